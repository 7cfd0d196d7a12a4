//! What a review is bound to: the patches that are sent, and what was there when somebody looked at them.
//!
//! Two digests are woven into one, so that whoever has the digest of a review, or its first digits, can tell the two ways apart in
//! which a plan can differ from the one that was reviewed: other patches are another plan, and the same patches over other values are
//! a conflict, as they are when a saved plan is applied.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::{Plan, PlannedChange, TwinPlan, Verdict};
use crate::digest::{Digest, DigestPrefix, Hasher};
use iothub_model::twin::value::canonical;

/// How a plan differs from the one that was reviewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reviewed {
    /// It is the same plan.
    Same,
    /// It sends the same, and what is there has changed since.
    Moved,
    /// It sends something else.
    Other,
}

impl Plan {
    /// Returns the digest that a review is bound to. Two digests are woven into it: every third digit is of [`Plan::patch_digest`], the
    /// others are of the same together with each sent twin's changes, as `[{ path, verdict, before }]`.
    ///
    /// It depends on no etag and no time, so that planning again over twins that changed elsewhere gives the same. Nor does it depend on
    /// sensitive values: of these the path and the verdict alone are in it, which says whether the live value was the one last applied.
    /// Twins that nothing is sent to are not in it: a plan with conflicts or missing devices is not applied at all.
    pub fn review_digest(&self) -> Digest {
        let (patches, whole) = digests(self);
        whole.woven_with(&patches)
    }

    /// Returns the digest of what is sent alone: of the canonical JSON of `{ fleet, hub, twins: [{ id, patch }] }`, with each twin that
    /// something is sent to, in order of ids. A patch with sensitive values is as shown, with a list `withheld` of their paths.
    pub fn patch_digest(&self) -> Digest {
        digests(self).0
    }

    /// Compares the plan with the one that was reviewed.
    pub(super) fn compared_with(&self, reviewed: &DigestPrefix) -> Reviewed {
        let (patches, whole) = digests(self);
        if reviewed.names(&whole.woven_with(&patches)) {
            Reviewed::Same
        } else if reviewed.names_woven(&patches) {
            Reviewed::Moved
        } else {
            Reviewed::Other
        }
    }
}

/// Returns the digest of the patches, and the one of patches and changes.
fn digests(plan: &Plan) -> (Digest, Digest) {
    let mut hashers = [Hasher::new(), Hasher::new()];
    let mut both = |text: &str| hashers.iter_mut().for_each(|hasher| hasher.part(text));
    let (fleet, hub) = (Value::from(plan.fleet.as_str()), Value::from(plan.hub.as_str()));
    both(&format!(r#"{{"fleet":{fleet},"hub":{hub},"twins":["#));
    for (index, twin) in sent(plan).enumerate() {
        both(if index > 0 { "," } else { "" });
        both(&canonical(&reviewed_patch(twin)));
    }
    both("]}");
    let [patches, mut whole] = hashers;
    // Many twins share their changes; the address tells which, and does not go into the digest.
    let mut known: HashMap<*const PlannedChange, Digest> = HashMap::new();
    for twin in sent(plan) {
        let digest = known.entry(twin.changes.as_ptr()).or_insert_with(|| changes(&twin.changes));
        whole.piece(digest.as_str());
    }
    (patches.finish(), whole.finish())
}

fn sent(plan: &Plan) -> impl Iterator<Item = &TwinPlan> {
    plan.twins.iter().filter(|twin| twin.is_sent())
}

fn reviewed_patch(twin: &TwinPlan) -> Value {
    let mut reviewed = json!({ "id": twin.id, "patch": twin.redacted_patch() });
    let withheld: Vec<_> = twin.redacted_paths().collect();
    if !withheld.is_empty() {
        reviewed["patch"]["withheld"] = json!(withheld);
    }
    reviewed
}

fn changes(changes: &[PlannedChange]) -> Digest {
    let mut hasher = Hasher::new();
    for change in changes {
        hasher.piece(change.path.as_str());
        hasher.piece(canonical(&json!(change.verdict)));
        // Whatever becomes of a value that is given up is no concern of the plan.
        let before = change.shown().0.known().filter(|_| change.verdict != Verdict::Released);
        hasher.piece(before.map(canonical).unwrap_or_default());
    }
    hasher.finish()
}
