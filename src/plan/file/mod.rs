//! The plan file: a plan written down, and read back with suspicion.
//!
//! One JSON object, a twin a line, with a format, a version and a digest; its types are frozen in `v1` and apart from those of
//! the plan. It holds no time, no absolute path and no credential: the same plan gives the same bytes.
//!
//! Of a sensitive value it holds the path alone, and nothing that is derived from the value: see [`redact`](super::redact).
//!
//! The digest finds accidents and hand edits. It is no signature: whoever can write the file can write the digest. So what is
//! read is also held against itself (`validate`): each patch does what the changes beside it say and nothing else, the records
//! it writes claim what was shown, and no twin is written without an etag. What a file cannot show is left out of a twin's
//! changes altogether: that an object which goes as a whole held nothing but the leaves that are listed. The etag holds that in
//! place for an honest file.

mod error;
mod words;
mod checks_v1;
mod members;
mod origin_v1;
mod outlook_v1;
mod policy_v1;
mod v1;
mod validate;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

pub(crate) use self::error::{FORMAT, PlanFileError, VERSION};
use self::members::RawMembers;
pub(crate) use self::outlook_v1::{OutlookV1, SelectionV1};
use self::validate::Validator;
use super::Plan;
use super::intern::Interner;
use crate::digest::{Digest, Hasher};
use iothub_model::twin::value::canonical;
use iothub_model::twin::{Object, TwinId};

/// Writes a plan down. `tool_version` is that of twinctl, for people.
pub(crate) fn write(plan: &Plan, tool_version: &str) -> String {
    let head = serde_json::to_string(&v1::Head::of(plan, tool_version)).expect(WRITTEN);
    let members: RawMembers<'_> = serde_json::from_str(&head).expect(WRITTEN);
    let members = members.values().expect(WRITTEN);
    let mut text = String::from("{\n");
    for (name, value) in &members {
        text.push_str(&format!("{}: {value},\n", Value::from(name.as_str())));
    }
    let mut hashed = Hashed::start(members.into_iter().collect());
    text.push_str("\"twins\": [");
    for (index, twin) in plan.twins.iter().enumerate() {
        let twin = to_value(&v1::TwinV1::of(twin));
        hashed.twin(&canonical(&twin));
        text.push_str(if index > 0 { ",\n" } else { "\n" });
        text.push_str(&twin.to_string());
    }
    text.push_str(&format!("\n],\n\"digest\": {}\n}}\n", Value::from(hashed.finish().as_str())));
    text
}

/// Reads a plan back, and refuses one that was altered, that is of a later version, or that would do what it does not show.
pub(crate) fn read(text: &str) -> Result<Plan, PlanFileError> {
    check_format(text)?;
    let (head, members, raw_twins, said) = split(text).map_err(PlanFileError::Malformed)?;
    // One twin at a time: only what is shared of it is kept.
    let mut twins = Vec::with_capacity(raw_twins.len());
    let mut hashed = Hashed::start(members);
    let mut interner = Interner::default();
    let sensitive = head.sensitive();
    for raw in raw_twins {
        let value: Value = serde_json::from_str(raw.get()).map_err(PlanFileError::Malformed)?;
        hashed.twin(&canonical(&value));
        let twin = v1::TwinV1::deserialize(value).map_err(PlanFileError::Malformed)?;
        let id = twin.id().clone();
        let (bare, decision) = twin
            .into_parts(head.fleet(), &sensitive)
            .map_err(|problem| PlanFileError::Contradiction { twin: Some(id), problem })?;
        twins.push(interner.twin_plan(bare, decision));
    }
    let found = hashed.finish();
    if found != said {
        return Err(PlanFileError::Altered { said, found });
    }

    let contradiction = |twin: Option<&TwinId>, problem: &str| PlanFileError::Contradiction {
        twin: twin.cloned(),
        problem: problem.to_owned(),
    };
    if let Some(pair) = twins.windows(2).find(|pair| pair[0].id >= pair[1].id) {
        return Err(contradiction(Some(&pair[1].id), "twins are not sorted by id, or one is there twice"));
    }
    let review = head.review().clone();
    let plan = Plan { twins, ..head.into_plan()? };
    let mut validator = Validator::new(&plan.revision);
    for twin in &plan.twins {
        validator.check(twin).map_err(|problem| contradiction(Some(&twin.id), &problem))?;
    }
    // Files of earlier releases have the digest of the patches alone.
    if plan.review_digest() != review && plan.patch_digest() != review {
        return Err(contradiction(None, "its review digest is not that of its patches"));
    }
    if plan.approval.as_ref().is_some_and(|approval| *approval != plan.review_digest()) {
        return Err(contradiction(None, "it is approved under another digest than its own"));
    }
    Ok(plan)
}

/// Tells files that are no plans, and plans of later versions, from plans that are broken.
fn check_format(text: &str) -> Result<(), PlanFileError> {
    #[derive(Deserialize)]
    struct Marks {
        format: Value,
        version: Value,
    }
    let marks: Marks = serde_json::from_str(text).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => PlanFileError::NotAPlan,
        _ => PlanFileError::NotJson(error),
    })?;
    if marks.format != FORMAT {
        return Err(PlanFileError::NotAPlan);
    }
    match marks.version.as_u64() {
        Some(VERSION) => Ok(()),
        _ => Err(PlanFileError::Newer { found: marks.version.to_string().chars().take(20).collect() }),
    }
}

/// Why our own types are always written.
const WRITTEN: &str = "the file's types have string keys and finite numbers";

fn to_value(value: &impl serde::Serialize) -> Value {
    serde_json::to_value(value).expect(WRITTEN)
}

/// Takes a file apart: what is said but for the twins and the digest, as its type and, before that has made one thing of two
/// spellings, as it is written; the twins; the digest.
fn split(text: &str) -> serde_json::Result<(v1::Head, Object, Vec<&RawValue>, Digest)> {
    let mut members: RawMembers<'_> = serde_json::from_str(text)?;
    let (twins, digest) = (members.take("twins")?, members.take("digest")?);
    Ok((members.read()?, members.values()?.into_iter().collect(), twins, digest))
}

/// The digest of the file's canonical JSON without the digest, twin by twin, so that it need never be held whole.
struct Hashed {
    hasher: Hasher,
    /// Members that sort after `twins`.
    rest: Object,
    is_first: bool,
}

impl Hashed {
    fn start(members: Object) -> Self {
        let mut rest = Object::new();
        let mut hasher = Hasher::new();
        hasher.part("{");
        for (name, value) in members {
            if name.as_str() < "twins" {
                hasher.part(format!("{}:{},", Value::from(name), canonical(&value)));
            } else {
                rest.insert(name, value);
            }
        }
        hasher.part("\"twins\":[");
        Self { hasher, rest, is_first: true }
    }

    fn twin(&mut self, canonical: &str) {
        self.hasher.part(if std::mem::take(&mut self.is_first) { "" } else { "," });
        self.hasher.part(canonical);
    }

    fn finish(mut self) -> Digest {
        self.hasher.part("]");
        for (name, value) in self.rest {
            self.hasher.part(format!(",{}:{}", Value::from(name), canonical(&value)));
        }
        self.hasher.part("}");
        self.hasher.finish()
    }
}
