//! A twin's plan held against a fresher state of that twin.
//!
//! Works from the plan alone, as it may come out of a file: what was seen stands in the changes, and for records in the inverse
//! patch.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;

use super::change::{PlannedChange, Side, Taken, Verdict};
use super::ownership::{OwnershipRecord, RECORDS_KEY, Records, read_entry, record_path, records_path, value_hash};
use super::redact::{redact_hashes, redacted_entry};
use super::target::{RecordWrite, TwinSections, TwinTarget};
use super::twin_plan::TwinPlan;
use crate::manifest::{FleetName, Origin, Sensitive};
use iothub_model::twin::{MergePatch, Object, Section, Twin, TwinPath};

/// A path that is neither as the plan saw it nor as it should be.
#[derive(Clone, PartialEq)]
pub struct MovedPath {
    /// Where. `tags.twinctl.<fleet>` when it is a record that moved.
    pub path: TwinPath,
    /// What the plan saw.
    pub seen: Side,
    /// What is there now, which is always known; `None` for nothing.
    pub found: Option<Value>,
    /// What was planned.
    pub planned: Side,
    /// When it was written, as the hub says (ISO 8601), for desired properties.
    pub written_at: Option<String>,
    /// The manifest's line.
    pub origin: Option<Origin>,
    /// Whether the values are never shown.
    pub sensitive: bool,
}

/// Without sensitive values.
impl fmt::Debug for MovedPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, seen, found, planned, written_at, origin, sensitive } = self;
        let mut shown = f.debug_struct("MovedPath");
        shown.field("path", path);
        if *sensitive {
            shown.field("sensitive", sensitive);
        } else {
            shown.field("seen", seen).field("found", found).field("planned", planned);
        }
        shown.field("written_at", written_at).field("origin", origin).finish()
    }
}

/// What a plan comes to on a fresher twin.
#[derive(Clone, Debug, PartialEq)]
pub enum Rebase {
    /// The planned paths are as the plan saw them, or as planned: this is what is left to send, under the fresh etag.
    Send(MergePatch),
    /// All is as planned already; there is nothing to send.
    Converged,
    /// These paths moved to something else. Nothing may be sent.
    Conflict(Vec<MovedPath>),
}

impl TwinPlan {
    /// Carries the plan over to a fresher state of the twin, comparing nothing but the paths of its changes, adopted ones
    /// included, and the records that it writes.
    ///
    /// Whatever else changed meanwhile stays: where the plan removed a whole object and somebody has put something into it, the
    /// planned leaves alone are removed. A record is compared by what it owns; its revision does not matter. What another fleet
    /// came to own meanwhile is a conflict, and so is a value of which it is not known whether it moved. For a device that came to exist before it could be registered, the twin that is
    /// there is the fresher one.
    pub fn rebase(&self, fresh: &Twin) -> Rebase {
        let assessment = Assessment::of(self, fresh);
        if !assessment.moved.is_empty() {
            return Rebase::Conflict(assessment.moved);
        }
        if !assessment.pending {
            return Rebase::Converged;
        }
        let patch = assessment.rest(self, fresh);
        if patch.is_empty() { Rebase::Converged } else { Rebase::Send(patch) }
    }

    /// Says whether a twin, as a PATCH answered it, is what was planned.
    pub fn target_reached(&self, answer: &Twin) -> bool {
        let assessment = Assessment::of(self, answer);
        assessment.moved.is_empty() && !assessment.pending
    }
}

/// How a twin stands to what was planned for it.
struct Assessment {
    /// What is neither as seen nor as planned, sorted by path.
    moved: Vec<MovedPath>,
    /// Something is still as seen and not as planned.
    pending: bool,
}

impl Assessment {
    fn of(plan: &TwinPlan, fresh: &Twin) -> Self {
        let record = fresh.tags.0.get(RECORDS_KEY).and_then(|all| all.get(plan.fleet.as_str()));
        let recorded = record.and_then(|record| OwnershipRecord::read(record).ok()).map(|record| record.owns);
        let recorded = recorded.unwrap_or_default();
        let mut moved =
            RebaseComparison { plan, fresh, sections: TwinSections::of(fresh), recorded, found: BTreeMap::new() };
        let mut pending = false;
        // Whatever becomes of a value that is released is no concern of this plan; its entry in the record is.
        for change in plan.changes.iter().filter(|change| change.verdict != Verdict::Released) {
            pending |= moved.compare(change);
            moved.look_around(change, &plan.changes);
        }
        for (fleet, sides) in record_sides(plan) {
            pending |= moved.compare_record(&fleet, &sides, fleet == plan.fleet);
        }
        moved.look_for_owners();
        Self { moved: moved.found.into_values().collect(), pending }
    }

    /// Returns what is left to send to a twin on which nothing moved.
    fn rest(&self, plan: &TwinPlan, fresh: &Twin) -> MergePatch {
        let writes: Vec<RecordWrite> = record_sides(plan)
            .into_iter()
            .filter_map(|(fleet, sides)| {
                let there = fresh.tags.0.get(RECORDS_KEY).and_then(|all| all.get(fleet.as_str()));
                if there.is_none() && fleet != plan.fleet {
                    // There is nothing left to take.
                    return None;
                }
                let after = sides.after.map(|pieces| {
                    let mut record = there.and_then(Value::as_object).cloned().unwrap_or_default();
                    record.extend(pieces);
                    Value::Object(record)
                });
                Some(RecordWrite { fleet, after })
            })
            .collect();
        let live = TwinSections::of(fresh);
        TwinTarget::reach(live, &plan.changes, &writes).patches(live).0
    }
}

/// What a plan does to one fleet's record: the members that it writes, as they were and as they are to be. `None` where there
/// is no record.
pub(super) struct RecordSides {
    pub(super) before: Option<Object>,
    pub(super) after: Option<Object>,
}

/// Takes the records out of patch and inverse. A null, be it for one record or for all of them, stands for none.
pub(super) fn record_sides(plan: &TwinPlan) -> BTreeMap<FleetName, RecordSides> {
    let records = |patch: &MergePatch| patch.tags.get(RECORDS_KEY).and_then(Value::as_object).cloned();
    let (before, after) = (records(&plan.inverse).unwrap_or_default(), records(&plan.patch).unwrap_or_default());
    let fleets: BTreeSet<FleetName> = before.keys().chain(after.keys()).filter_map(|key| key.parse().ok()).collect();
    fleets
        .into_iter()
        .map(|fleet| {
            let side = |records: &Object| records.get(fleet.as_str()).and_then(Value::as_object).cloned();
            let sides = RecordSides { before: side(&before), after: side(&after) };
            (fleet, sides)
        })
        .collect()
}

/// What a record owns, out of a patch. Hashes of sensitive values are left out, since a plan that was read from a file does not
/// have them: the values themselves are compared.
fn entries(record: &Object, sensitive: &Sensitive) -> Option<Owned> {
    record
        .get("owns")?
        .as_array()?
        .iter()
        .map(|entry| {
            let entry = entry.as_str()?;
            match redacted_entry(entry) {
                Some(path) => Some((path, None)),
                None => read_entry(entry).map(|(path, hash)| blurred(path, hash, sensitive)),
            }
        })
        .collect()
}

type Owned = BTreeMap<TwinPath, Option<u16>>;

fn blurred(path: TwinPath, hash: u16, sensitive: &Sensitive) -> (TwinPath, Option<u16>) {
    let hash = (!sensitive.covers(&path)).then_some(hash);
    (path, hash)
}

struct RebaseComparison<'t> {
    plan: &'t TwinPlan,
    fresh: &'t Twin,
    sections: TwinSections<'t>,
    /// The hashes of what this fleet applied last.
    recorded: BTreeMap<TwinPath, u16>,
    found: BTreeMap<TwinPath, MovedPath>,
}

impl RebaseComparison<'_> {
    /// Compares one leaf, and says whether it is still to be changed.
    fn compare(&mut self, change: &PlannedChange) -> bool {
        let found = self.sections.leaf(&change.path);
        if change.after.is_same(found) {
            return false;
        }
        if !self.is_as_seen(change, found) {
            self.report(change, self.sections.find(&change.path).cloned());
        }
        true
    }

    /// Returns `true` if a leaf is as it was when the plan was made. Of a sensitive value that a plan file does not hold, the record
    /// tells what the verdict says, as it does in a review: whether it is the one that was applied last.
    fn is_as_seen(&self, change: &PlannedChange, found: Option<&Value>) -> bool {
        use Verdict::{Drift, Edit, EditOverDrift, Moved, Overwrite, Removed, RemovedOverDrift, Undeclared};
        let Some(found) = found.filter(|_| change.before == Side::Redacted) else {
            return change.before.is_same(found);
        };
        let is_as_applied = self.recorded.get(&change.path).map(|hash| *hash == value_hash(Some(found)));
        match change.verdict {
            Edit | Removed | Moved => is_as_applied == Some(true),
            Drift | EditOverDrift | RemovedOverDrift => is_as_applied == Some(false),
            Overwrite | Undeclared => is_as_applied.is_none(),
            Verdict::New | Verdict::Adopt | Verdict::Released => false,
        }
    }

    /// Finds what somebody put over or under a leaf, where writing the leaf would destroy it.
    fn look_around(&mut self, change: &PlannedChange, changes: &[PlannedChange]) {
        if change.is_removal() {
            // Only the leaf goes; an object that took its place is somebody else's.
            return;
        }
        if change.after.has_value()
            && let Some((path, value)) = self.sections.blocked_by(&change.path)
            && find(changes, &path).is_none()
        {
            let moved = self.moved(&path, Side::Absent, Some(value.clone()), Side::Absent);
            self.found.insert(path, MovedPath { origin: change.origin.clone(), ..moved });
        }
        // A scalar that is replaced by an object: whatever else is in such an object by now may stay.
        let strangers = self.sections.leaves_under(&change.path);
        let goes = |path: &TwinPath| {
            find(changes, path).is_some_and(|change| change.before.has_value() && !change.after.has_value())
        };
        if !becomes_object(changes, change) && !strangers.iter().all(goes) {
            self.report(change, self.sections.find(&change.path).cloned());
        }
    }

    /// Compares a record that the plan writes, and says whether it is still to be written. The revision alone is never a reason
    /// to write.
    fn compare_record(&mut self, fleet: &FleetName, sides: &RecordSides, is_own: bool) -> bool {
        let there = self.sections.tags.get(RECORDS_KEY).and_then(|all| all.get(fleet.as_str()));
        let path = record_path(fleet);
        let owned = match there.map(OwnershipRecord::read).transpose() {
            Ok(record) => record.map(|record| {
                record.owns.into_iter().map(|(path, hash)| blurred(path, hash, &self.plan.sensitive)).collect::<Owned>()
            }),
            Err(_) => {
                self.report_record(path, sides, there);
                return true;
            }
        };
        let entries = |side: &Option<Object>| side.as_ref().map(|record| entries(record, &self.plan.sensitive));
        let (before, after) = (entries(&sides.before), entries(&sides.after));
        let is_as = |side: &Option<Option<_>>| match (side, &owned) {
            (None, None) => true,
            // A side without entries writes the revision alone, for which there must be a record.
            (Some(None), Some(_)) => true,
            (Some(Some(entries)), Some(owned)) => entries == owned,
            _ => false,
        };
        // What is no longer there need not be taken out of it.
        if is_as(&after) || (!is_own && owned.is_none()) {
            return false;
        }
        if !is_as(&before) {
            self.report_record(path, sides, there);
        }
        true
    }

    /// Finds planned paths that another fleet has come to own.
    fn look_for_owners(&mut self) {
        let plan = self.plan;
        let records = Records::read(self.sections.tags, &plan.fleet);
        for fleet in records.problems.keys() {
            let path = record_path(fleet);
            let found = self.sections.find(&path).cloned();
            let moved = self.moved(&path, Side::Absent, found, Side::Absent);
            self.found.insert(path, moved);
        }
        // A scalar that gives way to an object is judged by what is declared under it.
        let leaves = plan.changes.iter().filter(|change| change.verdict != Verdict::Released);
        for change in leaves.filter(|change| !becomes_object(&plan.changes, change)) {
            let mut owners = BTreeMap::new();
            records.overlapping(&change.path, |fleet, _, owned| {
                let entry = Taken { fleet: fleet.clone(), path: owned.clone() };
                if plan.taken.binary_search(&entry).is_err() {
                    owners.entry(fleet).or_insert_with(Vec::new).push(Value::from(owned.as_str()));
                }
            });
            for (fleet, owned) in owners {
                let path = record_path(fleet);
                let moved = self.moved(&path, Side::Absent, Some(owned.into()), Side::Absent);
                self.found.entry(path).or_insert(MovedPath { origin: change.origin.clone(), ..moved });
            }
        }
    }

    fn report(&mut self, change: &PlannedChange, found: Option<Value>) {
        let moved = self.moved(&change.path, change.before.clone(), found, change.after.clone());
        self.found.insert(change.path.clone(), MovedPath { origin: change.origin.clone(), ..moved });
    }

    fn report_record(&mut self, path: TwinPath, sides: &RecordSides, found: Option<&Value>) {
        let side = |side: &Option<Object>| Side::from(side.clone().map(Value::Object));
        let moved = self.moved(&path, side(&sides.before), found.cloned(), side(&sides.after));
        self.found.insert(path, moved);
    }

    fn moved(&self, path: &TwinPath, mut seen: Side, mut found: Option<Value>, mut planned: Side) -> MovedPath {
        let sensitive = &self.plan.sensitive;
        if records_path().covers(path) {
            let values = [seen.known_mut(), found.as_mut(), planned.known_mut()];
            values.into_iter().flatten().for_each(|value| redact_hashes(value, sensitive));
        }
        MovedPath {
            path: path.clone(),
            seen,
            found,
            planned,
            written_at: written_at(self.fresh, path),
            origin: None,
            sensitive: sensitive.covers(path),
        }
    }
}

fn find<'c>(changes: &'c [PlannedChange], path: &TwinPath) -> Option<&'c PlannedChange> {
    changes.binary_search_by(|change| change.path.cmp(path)).ok().map(|at| &changes[at])
}

/// Says whether a leaf goes because a value is planned under it.
pub(super) fn becomes_object(changes: &[PlannedChange], change: &PlannedChange) -> bool {
    let from = changes.partition_point(|other| other.path <= change.path);
    !change.after.has_value()
        && changes[from..]
            .iter()
            .take_while(|under| change.path.covers(&under.path))
            .any(|under| under.after.has_value() && under.verdict.touches_value())
}

/// Returns when a path was last written, by the nearest node that the hub's metadata has. Tags have no metadata.
fn written_at(twin: &Twin, path: &TwinPath) -> Option<String> {
    if path.section() == Section::Tags {
        return None;
    }
    let written = |node: &Object| node.get("$lastUpdated").and_then(Value::as_str).map(str::to_owned);
    let mut node = &twin.desired_metadata;
    let mut latest = written(node);
    for key in path.keys() {
        let Some(inner) = node.get(key).and_then(Value::as_object) else { break };
        node = inner;
        latest = written(node).or(latest);
    }
    latest
}
