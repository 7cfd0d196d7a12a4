//! Who owns what in a twin: the record in `tags.twinctl.<fleet>`, and the table that names each change.
//!
//! A record is `{ "v": 1, "rev": "…", "owns": ["desired.power_level=01bc", …] }`. Its entries are sorted as text. The last `=`
//! of an entry separates path and hash, since a key may hold a `=` of its own; the hash is the first 16 bits of SHA-256 over
//! the value's canonical JSON, `null` for an absence. It decides how a change is named, never whether it is made.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::digest::short_hash;
use crate::manifest::FleetName;
use crate::plan::change::Verdict;
use crate::plan::records::RecordState;
use iothub_model::twin::limits::STRING_MAX_BYTES;
use iothub_model::twin::value::{canonical, equal};
use iothub_model::twin::{Object, Section, TwinPath};

/// The tag under which every fleet keeps its record. It may not be declared.
pub(crate) const RECORDS_KEY: &str = "twinctl";

/// The only version of a record that there is so far.
pub(crate) const RECORD_VERSION: u64 = 1;

/// Returns the path under which every fleet keeps its record, `tags.twinctl`.
pub(crate) fn records_path() -> TwinPath {
    TwinPath::section_root(Section::Tags).child(RECORDS_KEY)
}

/// Returns the path of one fleet's record, `tags.twinctl.<fleet>`.
pub(crate) fn record_path(fleet: &FleetName) -> TwinPath {
    records_path().child(fleet.as_str())
}

/// Says whether the JSON of a twin's tags may hold records; a no is certain.
pub(crate) fn may_have_records(tags: &str) -> bool {
    // A key can be spelt otherwise only by escapes.
    tags.contains(RECORDS_KEY) || tags.contains('\\')
}

/// Returns the hash that an entry carries for a value, or for an absence.
pub(crate) fn value_hash(value: Option<&Value>) -> u16 {
    match value {
        None => short_hash("null"),
        Some(value) => short_hash(&canonical(value)),
    }
}

/// What one fleet owns in one twin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OwnershipRecord {
    /// The Git revision that it was applied at; may be empty.
    pub revision: String,
    /// The leaves, and the hash of each value as it was applied.
    pub owns: BTreeMap<TwinPath, u16>,
}

/// Why a record cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RecordError {
    /// A later version of twinctl wrote it.
    #[error("it has version {found}, and this twinctl reads version {RECORD_VERSION}: a newer one wrote it")]
    Newer {
        /// The version.
        found: String,
    },
    /// It is not what twinctl writes.
    #[error("{problem}")]
    Malformed {
        /// In what way.
        problem: String,
    },
}

impl OwnershipRecord {
    /// Makes the record of these leaves, or none when there are no leaves: an empty record is not kept.
    #[cfg(test)]
    pub(crate) fn of(leaves: &[crate::manifest::Leaf], revision: &str) -> Option<Self> {
        let owns: BTreeMap<_, _> =
            leaves.iter().map(|leaf| (leaf.path.clone(), value_hash(leaf.value.as_ref()))).collect();
        (!owns.is_empty()).then(|| Self { revision: revision.to_owned(), owns })
    }

    /// Reads a record as it stands in a twin. Strict: what is not just as twinctl writes it is not guessed at, but for the
    /// order of its entries.
    pub(crate) fn read(value: &Value) -> Result<Self, RecordError> {
        let malformed = |problem: String| RecordError::Malformed { problem };
        let Value::Object(record) = value else { return Err(malformed("it is not an object".to_owned())) };
        match record.get("v") {
            Some(version) if equal(version, &json!(RECORD_VERSION)) => {}
            Some(Value::Number(version)) if version.as_f64() > Some(RECORD_VERSION as f64) => {
                return Err(RecordError::Newer { found: version.to_string() });
            }
            Some(other) => return Err(malformed(format!("its version is {}", shortened(&other.to_string())))),
            None => return Err(malformed("it has no version `v`".to_owned())),
        }
        if let Some(key) = record.keys().find(|key| !matches!(key.as_str(), "v" | "rev" | "owns")) {
            return Err(malformed(format!("it has `{}`, which is not of twinctl's making", shortened(key))));
        }
        let Some(Value::String(revision)) = record.get("rev") else {
            return Err(malformed("its `rev` is not a text".to_owned()));
        };
        let Some(Value::Array(entries)) = record.get("owns") else {
            return Err(malformed("its `owns` is not a list".to_owned()));
        };
        let mut owns = BTreeMap::new();
        for entry in entries {
            let (path, hash) = entry
                .as_str()
                .and_then(read_entry)
                .ok_or_else(|| malformed(format!("its entry {} is not PATH=HASH", without_hash(entry))))?;
            if owns.insert(path.clone(), hash).is_some() {
                return Err(malformed(format!("it has `{}` twice", shortened(path.as_str()))));
            }
        }
        Ok(Self { revision: revision.clone(), owns })
    }

    /// Writes the record as it stands in a twin.
    pub(crate) fn write(&self) -> Value {
        json!({ "v": RECORD_VERSION, "rev": self.revision, "owns": write_entries(&self.owns) })
    }
}

/// Writes a record's entries, sorted as text.
pub(super) fn write_entries(owns: &BTreeMap<TwinPath, u16>) -> Value {
    let mut entries: Vec<String> = owns.iter().map(|(path, hash)| format!("{path}={hash:04x}")).collect();
    entries.sort_unstable();
    entries.into()
}

/// Says whether the hub takes a record's entry for a path, which is a text in the twin as any other.
pub(crate) fn fits_a_record(path: &TwinPath) -> bool {
    const HASH: usize = "=0000".len();
    path.as_str().len() + HASH <= STRING_MAX_BYTES
}

/// Reads one entry. Only a leaf that a fleet may declare can be owned, so nothing of `tags.twinctl` and no whole section:
/// a record must not be able to make twinctl delete another's.
pub(super) fn read_entry(entry: &str) -> Option<(TwinPath, u16)> {
    let (path, hash) = entry.rsplit_once('=')?;
    let lower_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if hash.len() != 4 || !hash.bytes().all(lower_hex) {
        return None;
    }
    let path: TwinPath = path.parse().ok()?;
    let declarable = path.keys().next().is_some() && !records_path().overlaps(&path);
    declarable.then_some((path, u16::from_str_radix(hash, 16).ok()?))
}

/// Writes an entry that cannot be read without what stands where its hash should, since that may be one of a sensitive value.
fn without_hash(entry: &Value) -> String {
    match entry.as_str().and_then(|entry| entry.rsplit_once('=')) {
        Some((path, _)) => shortened(&Value::from(format!("{path}=…")).to_string()),
        None => shortened(&entry.to_string()),
    }
}

/// Cuts a text that came from a hub to what fits in a sentence, control characters escaped.
fn shortened(text: &str) -> String {
    let mut short = String::new();
    for (index, c) in text.chars().enumerate() {
        match c {
            _ if index == 60 => {
                short.push('…');
                break;
            }
            c if c.is_control() => short.extend(c.escape_debug()),
            c => short.push(c),
        }
    }
    short
}

/// All fleets' records in one twin.
#[derive(Debug, Default)]
pub(super) struct Records {
    /// This fleet's.
    pub(super) own: Option<OwnershipRecord>,
    /// The other fleets'.
    pub(super) others: BTreeMap<FleetName, OwnershipRecord>,
    /// Why some of it cannot be read, this fleet's own record aside.
    pub(super) problems: BTreeMap<FleetName, String>,
    /// Why this fleet's own record cannot be read, or has no place.
    pub(super) own_problem: Option<String>,
}

impl Records {
    /// Reads what stands under `tags.twinctl`.
    ///
    /// A record of another fleet that cannot be read is a problem too: what it owns is not known, so anything might be. A key
    /// that is no fleet's name was not written by twinctl; it is left alone.
    pub(super) fn read(tags: &Object, fleet: &FleetName) -> Self {
        let mut records = Self::default();
        let all = match tags.get(RECORDS_KEY) {
            None => return records,
            Some(Value::Object(all)) => all,
            Some(_) => {
                records.own_problem = Some("tags.twinctl is no object, so there is no place for a record".to_owned());
                return records;
            }
        };
        for (key, value) in all {
            let Ok(name) = key.parse::<FleetName>() else { continue };
            match OwnershipRecord::read(value) {
                Ok(record) if name == *fleet => records.own = Some(record),
                Ok(record) => {
                    records.others.insert(name, record);
                }
                Err(error) if name == *fleet => {
                    records.own_problem = Some(format!("the record tags.twinctl.{name} cannot be read: {error}"));
                }
                Err(error) => {
                    let problem = format!(
                        "the record tags.twinctl.{name} of another fleet cannot be read, so what it owns is not known: {error}"
                    );
                    records.problems.insert(name, problem);
                }
            }
        }
        records
    }

    /// Returns what these tags, of which it was read, hold of this fleet's record.
    pub(super) fn state(&self, tags: &Object, fleet: &FleetName) -> RecordState {
        match (&self.own, tags.get(RECORDS_KEY).and_then(|all| all.get(fleet.as_str()))) {
            (_, None) => RecordState::Absent,
            (Some(own), _) if own.owns.is_empty() => RecordState::Empty,
            (_, Some(_)) => RecordState::Kept,
        }
    }

    /// Visits what other fleets own at `path`, over it or under it.
    pub(super) fn overlapping<'r>(
        &'r self,
        path: &TwinPath,
        mut visit: impl FnMut(&'r FleetName, &'r OwnershipRecord, &'r TwinPath),
    ) {
        for (fleet, record) in &self.others {
            let mut above = path.parent();
            while let Some(ancestor) = above {
                if let Some((owned, _)) = record.owns.get_key_value(&ancestor) {
                    visit(fleet, record, owned);
                }
                above = ancestor.parent();
            }
            // Paths under one path follow it in the order of paths, with nothing between.
            for (owned, _) in record.owns.range(path..).take_while(|&(owned, _)| path.covers(owned)) {
                visit(fleet, record, owned);
            }
        }
    }
}

/// What the manifest says about one leaf.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wanted<'v> {
    /// Nothing, so that only what was applied before is of interest.
    Undeclared,
    /// It must be absent.
    Absent,
    /// It must be this.
    Value(&'v Value),
}

/// Names what is to be done about one leaf, given the hash of what was last applied there, what is declared and what is live.
/// Nothing is to be done where there is no name. This is the table of ownership, whole.
///
/// A value that is live as declared needs no writing, but where the record does not say so yet it is *adopt*: the record alone
/// is written.
pub(super) fn verdict(applied: Option<u16>, declared: Wanted<'_>, live: Option<&Value>) -> Option<Verdict> {
    let is_live = |declared: Option<&Value>| match (declared, live) {
        (None, None) => true,
        (Some(declared), Some(live)) => equal(declared, live),
        _ => false,
    };
    let declared = match declared {
        Wanted::Undeclared => None,
        Wanted::Absent => Some(None),
        Wanted::Value(value) => Some(Some(value)),
    };
    match (applied, declared, live) {
        (None, None, _) => None,
        (Some(_), None, None) => None,
        (Some(v), None, Some(x)) if v == value_hash(Some(x)) => Some(Verdict::Removed),
        (Some(_), None, Some(_)) => Some(Verdict::RemovedOverDrift),
        (Some(v), Some(w), _) if is_live(w) && v == value_hash(w) => None,
        (_, Some(w), _) if is_live(w) => Some(Verdict::Adopt),
        (None, Some(_), None) => Some(Verdict::New),
        (None, Some(_), Some(_)) => Some(Verdict::Overwrite),
        (Some(v), Some(w), _) if v == value_hash(w) => Some(Verdict::Drift),
        (Some(v), Some(_), x) if v == value_hash(x) => Some(Verdict::Edit),
        (Some(_), Some(_), _) => Some(Verdict::EditOverDrift),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_ownership() {
        use Verdict::{Adopt, Drift, Edit, EditOverDrift, New, Overwrite, Removed, RemovedOverDrift};
        let none: Option<i64> = None;
        // Last applied, declared, live: as the design has it. `–` of "declared" is not declared.
        for (applied, declared, live, expected) in [
            (none, Some(1), none, Some(New)),
            (none, Some(1), Some(1), Some(Adopt)),
            (none, Some(1), Some(2), Some(Overwrite)),
            (Some(1), Some(2), Some(1), Some(Edit)),
            (Some(1), Some(1), Some(2), Some(Drift)),
            (Some(1), Some(2), Some(3), Some(EditOverDrift)),
            (Some(1), none, Some(1), Some(Removed)),
            (Some(1), none, Some(2), Some(RemovedOverDrift)),
            (Some(1), Some(1), Some(1), None),
            // What the nine rows leave open.
            (Some(2), Some(1), Some(1), Some(Adopt)),
            (Some(1), Some(1), none, Some(Drift)),
            (Some(1), Some(2), none, Some(EditOverDrift)),
            (Some(1), none, none, None),
            (none, none, Some(1), None),
            (none, none, none, None),
        ] {
            let value = |number: Option<i64>| number.map(Value::from);
            let hash = applied.map(|number| value_hash(Some(&number.into())));
            let (wanted, live) = (value(declared), value(live));
            let wanted = wanted.as_ref().map_or(Wanted::Undeclared, Wanted::Value);
            assert_eq!(verdict(hash, wanted, live.as_ref()), expected, "{applied:?} {declared:?} {live:?}");
        }
    }

    #[test]
    fn the_table_of_ownership_for_a_declared_absence() {
        let (absent, one, two) = (Some(value_hash(None)), json!(1), json!(2));
        let was_one = Some(value_hash(Some(&one)));
        for (applied, live, expected) in [
            (None, None, Some(Verdict::Adopt)),
            (None, Some(&one), Some(Verdict::Overwrite)),
            (absent, None, None),
            (absent, Some(&one), Some(Verdict::Drift)),
            (was_one, Some(&one), Some(Verdict::Edit)),
            (was_one, Some(&two), Some(Verdict::EditOverDrift)),
            (was_one, None, Some(Verdict::Adopt)),
        ] {
            assert_eq!(verdict(applied, Wanted::Absent, live), expected, "{applied:?} {live:?}");
        }
    }

    #[test]
    fn numbers_are_the_same_by_value() {
        assert_eq!(value_hash(Some(&json!(1))), value_hash(Some(&json!(1.0))));
        assert_eq!(verdict(Some(value_hash(Some(&json!(1)))), Wanted::Value(&json!(1.0)), Some(&json!(1))), None);
    }

    #[test]
    fn a_record_is_written_as_it_is_read() {
        let record = json!({
            "v": 1,
            "rev": "4f1c",
            "owns": ["desired.a=b=74e8", "desired.a=c=6b86", "desired.telemetry.interval=0000", "tags.x=ffff"],
        });
        let read = OwnershipRecord::read(&record).expect("a record");
        let owned: Vec<_> = read.owns.iter().map(|(path, hash)| format!("{path} {hash:04x}")).collect();
        // Text has `d` before `t`; paths have tags first.
        assert_eq!(owned, ["tags.x ffff", "desired.a=b 74e8", "desired.a=c 6b86", "desired.telemetry.interval 0000"]);
        assert_eq!(read.write(), record);
        assert_eq!(value_hash(None), 0x7423, "SHA-256 of `null`");
    }

    #[test]
    fn what_is_no_record() {
        let entries = |owns: Value| json!({"v": 1, "rev": "", "owns": owns});
        for (bad, message) in [
            (json!(5), "it is not an object"),
            (json!({"rev": "", "owns": []}), "it has no version `v`"),
            (json!({"v": "1", "rev": "", "owns": []}), "its version is \"1\""),
            (json!({"v": 0, "rev": "", "owns": []}), "its version is 0"),
            (json!({"v": 2, "x": 1}), "it has version 2, and this twinctl reads version 1: a newer one wrote it"),
            (json!({"v": 1, "owns": []}), "its `rev` is not a text"),
            (json!({"v": 1, "rev": ""}), "its `owns` is not a list"),
            (json!({"v": 1, "rev": "", "owns": [], "x\n": 1}), "it has `x\\n`, which is not of twinctl's making"),
            (entries(json!([5])), "its entry 5 is not PATH=HASH"),
            (entries(json!(["tags.a"])), "its entry \"tags.a\" is not PATH=HASH"),
            (entries(json!(["tags.a=+123"])), "its entry \"tags.a=…\" is not PATH=HASH"),
            (entries(json!(["tags.a=ABCD"])), "its entry \"tags.a=…\" is not PATH=HASH"),
            (entries(json!(["reported.a=0000"])), "its entry \"reported.a=…\" is not PATH=HASH"),
            (entries(json!(["tags=0000"])), "its entry \"tags=…\" is not PATH=HASH"),
            (entries(json!(["tags.twinctl=0000"])), "its entry \"tags.twinctl=…\" is not PATH=HASH"),
            (entries(json!(["tags.twinctl.oslo.v=0000"])), "its entry \"tags.twinctl.oslo.v=…\" is not PATH=HASH"),
            (entries(json!(["tags.a=0000", "tags.a=0001"])), "it has `tags.a` twice"),
        ] {
            let error = OwnershipRecord::read(&bad).expect_err(&bad.to_string());
            assert_eq!(error.to_string(), message);
        }
    }
}
