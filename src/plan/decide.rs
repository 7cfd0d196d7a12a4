//! What is to be done about one twin, given what is declared, what is live and what the records in it say.

use serde_json::Value;

use super::change::{Conflict, PlannedChange, Taken};
use super::differences::TwinDifferences;
use super::ownership::{OwnershipRecord, Records};
use super::records::RecordState;
use super::rules::{DeclaredTwin, PlanRules};
use super::target::{RecordWrite, TwinSections, TwinTarget};
use crate::manifest::{FleetName, Ownership};
use iothub_model::twin::limits::{Rule, check_size, check_values, section_max_bytes, section_size};
use iothub_model::twin::{MergePatch, Section, TwinPath};

/// What is to be done about one twin. Where there are conflicts there is nothing else.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Decision {
    pub(super) changes: Vec<PlannedChange>,
    pub(super) taken: Vec<Taken>,
    pub(super) patch: MergePatch,
    pub(super) inverse: MergePatch,
    pub(super) conflicts: Vec<Conflict>,
    /// What the twin holds of this fleet's record; not looked at under [`Ownership::None`].
    pub(super) record: RecordState,
}

impl Decision {
    /// Says whether the twin is as it should be, the record included.
    pub(super) fn is_nothing(&self) -> bool {
        self.patch.is_empty() && self.conflicts.is_empty()
    }

    /// Returns `true` if the record does not prove that all differences come from the manifest.
    pub(super) fn is_unexplained(&self, declared: &DeclaredTwin<'_>) -> bool {
        let lacks_record = match self.record {
            RecordState::Absent => !declared.owns.is_empty(),
            RecordState::Empty => true,
            RecordState::Kept => false,
        };
        lacks_record || !self.conflicts.is_empty() || self.changes.iter().any(|change| !change.verdict.is_explained())
    }
}

/// Decides about one twin.
///
/// Under [`Ownership::None`] this fleet's own record is neither read nor written: one that is left from before stays as it is.
/// Other fleets' records are looked at in any case, for they say what others will write again; nor are they written: what is
/// taken over then stays in them.
pub(super) fn decide(rules: &PlanRules, declared: &DeclaredTwin<'_>, live: TwinSections<'_>) -> Decision {
    let records = Records::read(live.tags, &rules.fleet);
    let record = match rules.ownership {
        Ownership::Record => records.state(live.tags, &rules.fleet),
        Ownership::None => RecordState::default(),
    };
    Decision { record, ..decide_by(&records, rules, declared, live) }
}

fn decide_by(records: &Records, rules: &PlanRules, declared: &DeclaredTwin<'_>, live: TwinSections<'_>) -> Decision {
    let mut conflicts: Vec<Conflict> = records.problems.values().map(|problem| record_conflict(problem)).collect();
    let own = match rules.ownership {
        Ownership::Record => {
            conflicts.extend(records.own_problem.as_deref().map(record_conflict));
            records.own.as_ref()
        }
        Ownership::None => None,
    };
    if !conflicts.is_empty() {
        return Decision { conflicts, ..Decision::default() };
    }

    let TwinDifferences { changes, taken, conflicts } = TwinDifferences::find(rules, declared, records, own, live);
    if !conflicts.is_empty() {
        return Decision { conflicts, ..Decision::default() };
    }
    let writes = record_writes(rules, declared, records, own, &changes, &taken, live);
    if changes.is_empty() && writes.is_empty() {
        return Decision::default();
    }
    let target = TwinTarget::reach(live, &changes, &writes);
    let (patch, inverse) = target.patches(live);
    let conflicts = outgrown(rules, live, &target, &patch);
    if !conflicts.is_empty() {
        return Decision { conflicts, ..Decision::default() };
    }
    Decision { changes, taken, patch, inverse, conflicts, ..Decision::default() }
}

fn record_conflict(problem: &str) -> Conflict {
    Conflict::Record { problem: problem.to_owned() }
}

/// Returns the records that are to be written: this fleet's, and those that something is taken out of. The revision is written
/// when something else changes, never alone.
fn record_writes(
    rules: &PlanRules,
    declared: &DeclaredTwin<'_>,
    records: &Records,
    own: Option<&OwnershipRecord>,
    changes: &[PlannedChange],
    taken: &[Taken],
    live: TwinSections<'_>,
) -> Vec<RecordWrite> {
    if rules.ownership == Ownership::None {
        return Vec::new();
    }
    let same_entries = match own {
        Some(own) => !own.owns.is_empty() && own.owns == declared.owns,
        None => declared.owns.is_empty(),
    };
    let something_else = !taken.is_empty() || changes.iter().any(|change| change.verdict.touches_value());
    let mut writes = taken_writes(taken, records);
    let after = (!declared.owns.is_empty())
        .then(|| OwnershipRecord { revision: rules.revision.clone(), owns: declared.owns.clone() }.write());
    if (!same_entries || something_else) && (own.is_some() || after.is_some()) {
        let mut after = after;
        if same_entries && let Some(after) = &mut after {
            // As they stand, whatever their order: nothing is written that does not differ.
            keep_entries(after, live, &rules.fleet);
        }
        writes.push(RecordWrite { fleet: rules.fleet.clone(), after });
    }
    writes
}

fn keep_entries(record: &mut Value, live: TwinSections<'_>, fleet: &FleetName) {
    if let Some(entries) = live.find(&super::ownership::record_path(fleet).child("owns")) {
        record["owns"] = entries.clone();
    }
}

/// Returns what becomes of the records that entries are taken out of. A record that has none left goes.
fn taken_writes(taken: &[Taken], records: &Records) -> Vec<RecordWrite> {
    taken
        .chunk_by(|a, b| a.fleet == b.fleet)
        .filter_map(|taken| {
            let mut record = records.others.get(&taken[0].fleet)?.clone();
            taken.iter().for_each(|taken| {
                record.owns.remove(&taken.path);
            });
            let after = (!record.owns.is_empty()).then(|| record.write());
            Some(RecordWrite { fleet: taken[0].fleet.clone(), after })
        })
        .collect()
}

/// Finds what the hub would refuse of the twin as it is to be. A section that is too large already may stay so as long as it
/// does not grow (docs: Understand and use device twins, "Device twin size").
fn outgrown(rules: &PlanRules, live: TwinSections<'_>, target: &TwinTarget, patch: &MergePatch) -> Vec<Conflict> {
    let mut conflicts = Vec::new();
    for section in Section::ALL {
        let after = target.sections().section(section);
        for violation in check_values(patch.section(section)) {
            let root = TwinPath::section_root(section);
            let place = violation.keys.iter().fold(root, |place, key| place.child(key));
            let rule = match violation.rule {
                // What is said of the value tells something about it.
                Rule::IntegerRange { .. } | Rule::StringLength { .. } if rules.policy.sensitive.covers(&place) => {
                    "the hub would refuse the value, which is not shown".to_owned()
                }
                rule => rule.to_string(),
            };
            conflicts.push(Conflict::Limit { problem: format!("{place}: {rule}") });
        }
        let Some(violation) = check_size(section, after) else { continue };
        let before = section_size(live.section(section));
        if section_size(after) <= before {
            continue;
        }
        let Rule::SectionSize { found, .. } = violation.rule else { continue };
        let maximum = section_max_bytes(section);
        let mut problem =
            format!("{section} would have {found} bytes as the hub counts, and it takes {maximum} at most");
        let record = target.tags.get(super::ownership::RECORDS_KEY).and_then(|all| all.get(rules.fleet.as_str()));
        if section == Section::Tags
            && let Some(Value::Object(record)) = record
        {
            let record = section_size(record) + rules.fleet.as_str().len();
            problem.push_str(&format!(
                "; {record} of them are the record of what {} owns, which grows with the number of declared leaves",
                rules.fleet
            ));
        }
        problem.push_str(&format!("; {before} are there now"));
        conflicts.push(Conflict::Limit { problem });
    }
    conflicts
}
