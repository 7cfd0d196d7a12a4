//! How many devices a fleet has, and what of it went from many to none: what limits cannot be trusted to catch.

use std::sync::Arc;

use super::change::{PlannedChange, Verdict};
use super::ownership::value_hash;
use super::records::FleetRecords;
use super::twin_plan::{Action, TwinPlan};
use crate::manifest::{Declarations, EmptyInventory, Leaf, Origin};
use iothub_model::twin::TwinPath;

/// So many twins that lose something at once are many: that they have nothing in its place is more likely a mistake than a wish.
pub(crate) const MANY: usize = 3;

/// How many devices are declared, and what has none any more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Population {
    /// Devices that the manifest declares, modules not counted.
    pub devices: usize,
    /// Twins that it declares, those of modules among them.
    pub twins: usize,
    /// Devices that are released while selectors alone find the declared ones, and that have nothing of what a selector gives: they
    /// were written down, and no device is any more.
    pub unlisted: usize,
    /// Twins that are released while no declared twin carries the fleet's record; 0 if one does. Nothing of what was applied would stay.
    pub uprooted: usize,
    /// Groups that have no device any more while [`MANY`] twins lose what they gave, and inventories without rows and selectors
    /// without devices while as many leave the fleet.
    pub emptied: Vec<Emptied>,
}

/// A group, an inventory or a selector that has no device any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Emptied {
    /// What it is.
    pub kind: EmptiedKind,
    /// Its name.
    pub name: Arc<str>,
    /// How many device twins lose what it gave.
    pub twins: usize,
    /// Where in the manifest.
    pub origin: Origin,
}

/// What can have no device any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmptiedKind {
    /// A group of the manifest.
    Group,
    /// An inventory; its name is that of its table.
    Inventory,
    /// A selector, which found none.
    Selector,
}

impl Population {
    /// Counts, and finds what went from many to none. That a twin was in a group is seen by what it loses: each leaf of the group
    /// was there, as the group has it. Selectors find now more and now fewer devices, which is what they are for; of them only the
    /// devices count that leave the fleet.
    ///
    /// `records` are those of all twins that were looked at.
    pub fn of(declarations: &Declarations, twins: &[TwinPlan], records: &FleetRecords) -> Self {
        let devices = declarations.twins.keys().filter(|id| id.module.is_none()).count();
        let touched = || twins.iter().filter(|twin| twin.id.module.is_none() && twin.is_sent());
        let groups = declarations.groups.iter().filter(|(_, group)| group.members == 0).map(|(name, group)| Emptied {
            kind: EmptiedKind::Group,
            name: name.clone(),
            twins: touched().filter(|twin| loses(twin, &group.body.leaves())).count(),
            origin: group.origin.clone(),
        });
        let leaving =
            |given: &[Leaf]| touched().filter(|twin| twin.action == Action::Release && loses(twin, given)).count();
        let selectors = declarations.selections.iter().filter(|selection| selection.ids.is_empty());
        let selectors = selectors.map(|selection| Emptied {
            kind: EmptiedKind::Selector,
            name: selection.name.clone(),
            twins: leaving(declarations.given_by(&selection.name)),
            origin: selection.origin.clone(),
        });
        let released = || touched().filter(|twin| twin.action == Action::Release);
        let inventories = declarations.empty_inventories.iter().map(|inventory| Emptied {
            kind: EmptiedKind::Inventory,
            name: inventory.table.clone(),
            twins: released().filter(|twin| was_in(twin, inventory)).count(),
            origin: inventory.origin.clone(),
        });
        let was_selected =
            |twin: &TwinPlan| declarations.selectors.iter().any(|it| loses(twin, declarations.given_by(&it.name)));
        let unlisted = match declarations.lists_no_device() {
            true => released().filter(|twin| !was_selected(twin)).count(),
            false => 0,
        };
        // Each of them carries the record: that is how it was found.
        let all_released = twins.iter().filter(|twin| twin.action == Action::Release).count();
        let uprooted = if records.carriers > all_released { 0 } else { all_released };
        let twins = declarations.twins.len();
        let emptied = groups.chain(inventories).chain(selectors).filter(|emptied| emptied.twins >= MANY).collect();
        Self { devices, twins, unlisted, uprooted, emptied }
    }
}

/// Returns `true` if a released device may have been a row of an inventory: its id fits, and it loses all that the inventory gives.
fn was_in(twin: &TwinPlan, inventory: &EmptyInventory) -> bool {
    let EmptyInventory { table: _, id: (before, after), leaves, origin: _ } = inventory;
    let id = twin.id.device.as_str();
    let fits = id.strip_prefix(before.as_str()).is_some_and(|rest| rest.ends_with(after.as_str()));
    fits && leaves.iter().all(|(path, value)| {
        let change = find(twin, path).filter(|change| !change.after.has_value());
        change.is_some_and(|change| match (change.verdict, value) {
            (Verdict::Removed, Some(value)) => value_hash(change.before.known()) == value_hash(Some(value)),
            // What was applied is not known, or what would be.
            (Verdict::Removed | Verdict::RemovedOverDrift, _) => true,
            _ => false,
        })
    })
}

fn find<'t>(twin: &'t TwinPlan, path: &TwinPath) -> Option<&'t PlannedChange> {
    twin.changes.binary_search_by(|change| change.path.cmp(path)).ok().map(|at| &twin.changes[at])
}

/// Returns `true` if a twin loses something that a selector gave, as the selector has it or as another writer left it.
pub(crate) fn loses_some(twin: &TwinPlan, given: &[Leaf]) -> bool {
    given.iter().filter(|leaf| leaf.value.is_some()).any(|leaf| {
        find(twin, &leaf.path).is_some_and(|change| match change.verdict {
            Verdict::Removed => value_hash(change.before.known()) == value_hash(leaf.value.as_ref()),
            verdict => verdict == Verdict::RemovedOverDrift,
        })
    })
}

/// Says whether a twin loses all that a group or a selector gave: each of its leaves is removed, or gives way to another layer's value, and
/// at least one is removed.
fn loses(twin: &TwinPlan, given: &[Leaf]) -> bool {
    let was = |change: &PlannedChange, hash: u16| value_hash(change.before.known()) == hash;
    let mut removed = 0;
    // Of an absence that is no longer declared nothing is left to see.
    let all = given.iter().filter(|leaf| leaf.value.is_some()).all(|leaf| {
        let Some(change) = find(twin, &leaf.path) else { return false };
        let hash = value_hash(leaf.value.as_ref());
        match change.verdict {
            Verdict::Removed if was(change, hash) => removed += 1,
            // What was applied is not known any more.
            Verdict::RemovedOverDrift => removed += 1,
            Verdict::Edit if was(change, hash) => {}
            _ => return false,
        }
        true
    });
    all && removed > 0
}
