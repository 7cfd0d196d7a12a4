//! The sensitive values that a plan file does not hold, put in again from the manifest that the plan was made from.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::change::{PlannedChange, Side, Verdict};
use super::decide::Decision;
use super::fleet_plan::Plan;
use super::intern::Interner;
use super::ownership::{RECORDS_KEY, value_hash};
use super::redact::{ChangePhase, redacted_entry};
use super::twin_plan::TwinPlan;
use crate::manifest::{Declarations, FleetName};
use iothub_model::twin::{MergePatch, TwinId, TwinPath};

/// Why a plan's sensitive values cannot be put in from a manifest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// The manifest does not declare what the plan sets.
    #[error("the plan sets {path} of {id}, which is sensitive, and the manifest does not declare it")]
    NotDeclared {
        /// Which twin.
        id: TwinId,
        /// Which path.
        path: TwinPath,
    },
    /// A record of another fleet keeps an entry whose hash no file may hold.
    #[error(
        "the plan takes something out of the record of fleet {fleet} in {id}, which keeps an entry for {path}: that one is \
         sensitive, so the file does not hold it whole; apply the manifests without a plan file"
    )]
    OtherRecord {
        /// Which twin.
        id: TwinId,
        /// Whose record.
        fleet: FleetName,
        /// Which path.
        path: TwinPath,
    },
}

impl Plan {
    /// Returns one of the values or hashes that are to be written and are not known, since the plan comes from a file.
    pub fn first_redacted(&self) -> Option<(TwinId, TwinPath)> {
        self.twins.iter().find_map(|twin| Some((twin.id.clone(), twin.first_redacted()?)))
    }

    /// Puts in the sensitive values that a plan file does not hold, from the manifest that the plan was made from.
    ///
    /// What was there before is still not known: where such a twin moved since, its record tells whether the value did, and a rollback
    /// does not bring it back. The records in the inverse say of such a path what is there then.
    ///
    /// # Errors
    ///
    /// The manifest does not declare what the plan sets, or the plan needs what no manifest says. The plan is as it was.
    pub fn restore(&mut self, declarations: &Declarations) -> Result<(), RestoreError> {
        let mut interner = Interner::default();
        let mut twins = Vec::with_capacity(self.twins.len());
        for twin in &self.twins {
            if twin.first_redacted().is_none() {
                twins.push(twin.clone());
                continue;
            }
            let declaration = declarations.twins.get(&twin.id);
            let leaves = declaration.map(|declaration| declaration.body.leaves()).unwrap_or_default();
            let declared: BTreeMap<&TwinPath, Option<&Value>> =
                leaves.iter().map(|leaf| (&leaf.path, leaf.value.as_ref())).collect();
            let value = |change: &PlannedChange| match declared.get(&change.path) {
                Some(Some(value)) => Ok((*value).clone()),
                _ => Err(RestoreError::NotDeclared { id: twin.id.clone(), path: change.path.clone() }),
            };
            let decision = fill(
                twin,
                |change| {
                    let after = if change.lacks_value() { Side::Known(value(change)?) } else { change.after.clone() };
                    let before = if change.verdict == Verdict::Adopt { after.clone() } else { change.before.clone() };
                    Ok((before, after))
                },
                |side, fleet, path| match (side, declared.get(path)) {
                    _ if *fleet != twin.fleet && side == ChangePhase::After => {
                        Err(RestoreError::OtherRecord { id: twin.id.clone(), fleet: fleet.clone(), path: path.clone() })
                    }
                    (_, Some(declared)) => Ok(value_hash(*declared)),
                    (ChangePhase::Before, None) => Ok(value_hash(None)),
                    (ChangePhase::After, None) => {
                        Err(RestoreError::NotDeclared { id: twin.id.clone(), path: path.clone() })
                    }
                },
            )?;
            twins.push(interner.twin_plan(twin.clone(), decision));
        }
        self.twins = twins;
        Ok(())
    }
}

impl TwinPlan {
    fn first_redacted(&self) -> Option<TwinPath> {
        if self.sensitive.is_empty() {
            return None;
        }
        let value = self.changes.iter().find(|change| change.lacks_value()).map(|change| change.path.clone());
        value.or_else(|| [&self.patch, &self.inverse].into_iter().find_map(|patch| first_redacted_entry(patch)))
    }
}

fn first_redacted_entry(patch: &MergePatch) -> Option<TwinPath> {
    let records = patch.tags.get(RECORDS_KEY)?.as_object()?;
    let lists = records.values().filter_map(|record| record.get("owns")?.as_array());
    lists.flatten().find_map(|entry| redacted_entry(entry.as_str()?))
}

/// Makes a twin's plan whole: with these sides in its sensitive changes, before and after, and with these hashes in the place of
/// those that are withheld. A side that stays redacted is not put into the patch.
pub(super) fn fill<E>(
    twin: &TwinPlan,
    mut sides: impl FnMut(&PlannedChange) -> Result<(Side, Side), E>,
    mut hash: impl FnMut(ChangePhase, &FleetName, &TwinPath) -> Result<u16, E>,
) -> Result<Decision, E> {
    let mut decision = Decision {
        changes: twin.changes.to_vec(),
        taken: twin.taken.to_vec(),
        patch: MergePatch::clone(&twin.patch),
        inverse: MergePatch::clone(&twin.inverse),
        conflicts: twin.conflicts.clone(),
        ..Decision::default()
    };
    for change in decision.changes.iter_mut().filter(|change| change.sensitive) {
        let was_redacted = [&change.before, &change.after].map(|side| *side == Side::Redacted);
        (change.before, change.after) = sides(change)?;
        if !change.verdict.touches_value() {
            continue;
        }
        for (was_redacted, side, patch) in [
            (was_redacted[0], &change.before, &mut decision.inverse),
            (was_redacted[1], &change.after, &mut decision.patch),
        ] {
            if let Some(value) = side.known().filter(|_| was_redacted) {
                let path = &change.path;
                // An empty object may be what is left of one out of which something goes.
                let stays = value.is_object() && path.find(patch.section(path.section())).is_some_and(Value::is_object);
                if !stays {
                    patch.set(path, value.clone());
                }
            }
        }
    }
    for (side, patch) in [(ChangePhase::Before, &mut decision.inverse), (ChangePhase::After, &mut decision.patch)] {
        if let Some(records) = patch.tags.get_mut(RECORDS_KEY) {
            for_entries(records, |fleet, path| hash(side, fleet, path))?;
        }
    }
    Ok(decision)
}

/// Puts a hash into each entry that has none.
fn for_entries<E>(records: &mut Value, mut hash: impl FnMut(&FleetName, &TwinPath) -> Result<u16, E>) -> Result<(), E> {
    let Some(records) = records.as_object_mut() else { return Ok(()) };
    for (fleet, record) in records {
        let Ok(fleet) = fleet.parse::<FleetName>() else { continue };
        let Some(entries) = record.get_mut("owns").and_then(Value::as_array_mut) else { continue };
        for entry in entries {
            if let Some(path) = entry.as_str().and_then(redacted_entry) {
                *entry = json!(format!("{path}={:04x}", hash(&fleet, &path)?));
            }
        }
    }
    Ok(())
}
