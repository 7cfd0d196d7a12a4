//! Twins whose changes are the same, shown once.

use std::cmp::Reverse;
use std::collections::HashMap;

use super::change::{Conflict, PlannedChange, Side, Taken, Verdict};
use super::intern::hash_of;
use super::twin_plan::{Action, TwinPlan};
use iothub_model::twin::{TwinId, TwinPath};

/// Twins for which the same is to be done. Where in the manifest it stands may differ from twin to twin.
#[derive(Clone, Debug, PartialEq)]
pub struct Cluster<'p> {
    /// What kind of thing is to be done.
    pub action: Action,
    /// The paths, sorted, with the first twin's lines of the manifest.
    pub changes: &'p [PlannedChange],
    /// What is taken out of other fleets' records.
    pub taken: &'p [Taken],
    /// What stands in the way.
    pub conflicts: &'p [Conflict],
    /// Whose, sorted; never empty.
    pub ids: Vec<&'p TwinId>,
}

/// Groups twins, which are sorted by id. Clusters with conflicts and missing devices come first, since they are what keeps the
/// plan from being applied; then by action, the largest first, and among equals the one with the first id.
pub(crate) fn cluster(twins: &[TwinPlan]) -> Vec<Cluster<'_>> {
    let mut clusters: Vec<Cluster<'_>> = Vec::new();
    let mut by_hash: HashMap<u64, Vec<usize>> = HashMap::new();
    // Twins share their changes in memory, so most need not be hashed again.
    let mut by_address: HashMap<*const PlannedChange, u64> = HashMap::new();
    for twin in twins {
        let changes_hash =
            *by_address.entry(twin.changes.as_ptr()).or_insert_with(|| hash_of(&changes_key(&twin.changes)));
        let conflicts: Vec<_> = twin.conflicts.iter().map(conflict_key).collect();
        let hash = hash_of(&(twin.action, changes_hash, &twin.taken, conflicts));
        let candidates = by_hash.entry(hash).or_default();
        match candidates.iter().find(|&&at| belongs(twin, &clusters[at])) {
            Some(&at) => clusters[at].ids.push(&twin.id),
            None => {
                candidates.push(clusters.len());
                clusters.push(Cluster {
                    action: twin.action,
                    changes: &twin.changes,
                    taken: &twin.taken,
                    conflicts: &twin.conflicts,
                    ids: vec![&twin.id],
                });
            }
        }
    }
    clusters.sort_by_key(|cluster| {
        let blocks = !cluster.conflicts.is_empty() || cluster.action == Action::Missing;
        (!blocks, cluster.action, Reverse(cluster.ids.len()), cluster.ids[0])
    });
    clusters
}

/// What a reader tells changes apart by: not the line of the manifest, and not values that are never shown.
type ChangeKey<'c> = (&'c TwinPath, Verdict, (&'c Side, &'c Side), &'c Option<TwinPath>, bool);

fn key(change: &PlannedChange) -> ChangeKey<'_> {
    let PlannedChange { path, verdict, before: _, after: _, moved_from, origin: _, sensitive } = change;
    (path, *verdict, change.shown(), moved_from, *sensitive)
}

/// What makes two conflicts the same to a reader: all but the line of the manifest.
fn conflict_key(conflict: &Conflict) -> Conflict {
    let mut key = conflict.clone();
    match &mut key {
        Conflict::OwnedByOther { origin, .. } | Conflict::WouldDestroy { origin, .. } => *origin = None,
        Conflict::Record { problem: _ } | Conflict::Limit { problem: _ } => {}
    }
    key
}

fn changes_key(changes: &[PlannedChange]) -> Vec<ChangeKey<'_>> {
    changes.iter().map(key).collect()
}

fn belongs(twin: &TwinPlan, cluster: &Cluster<'_>) -> bool {
    let same_changes = std::ptr::eq(&*twin.changes, cluster.changes)
        || (twin.changes.len() == cluster.changes.len()
            && twin.changes.iter().zip(cluster.changes).all(|(a, b)| key(a) == key(b)));
    let same_conflicts = twin.conflicts.len() == cluster.conflicts.len()
        && twin.conflicts.iter().zip(cluster.conflicts).all(|(a, b)| conflict_key(a) == conflict_key(b));
    twin.action == cluster.action && same_changes && *twin.taken == *cluster.taken && same_conflicts
}
