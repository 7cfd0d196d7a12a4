//! The drift in a plan alone: what others did to what the fleet had applied. Pure.

use std::collections::BTreeMap;

use crate::manifest::FleetName;
use crate::plan::cluster::cluster;
use crate::plan::{Action, Change, Cluster, Plan, ReadBy, TwinPlan, Verdict};
use crate::twin::{HubHost, TwinId};

/// What drifted.
#[derive(Clone, Debug)]
pub struct Drift {
    /// Which hub.
    pub hub: HubHost,
    /// Whose values.
    pub fleet: FleetName,
    /// How the live twins were read.
    pub read: ReadBy,
    /// The twins with their drifted paths alone, sorted by id. They are for showing: patches are still those of the whole plan.
    pub twins: Vec<TwinPlan>,
    /// How many twins were looked at.
    pub looked_at: usize,
    /// Twins of which it cannot be said, since they have conflicts; sorted.
    pub conflicting: Vec<TwinId>,
    /// Declared twins that the hub lacks; sorted.
    pub missing: Vec<TwinId>,
}

/// Says whether a change undoes somebody else's write to what this fleet had applied.
pub fn is_drift(change: &Change) -> bool {
    match change.verdict {
        Verdict::Drift | Verdict::EditOverDrift | Verdict::RemovedOverDrift => true,
        // Without a record nobody knows what was applied, so that an overwrite is no drift.
        Verdict::New
        | Verdict::Adopt
        | Verdict::Overwrite
        | Verdict::Edit
        | Verdict::Removed
        | Verdict::Moved
        | Verdict::Undeclared
        | Verdict::Released => false,
    }
}

impl Drift {
    /// Takes the drift out of a plan.
    pub fn of(plan: &Plan) -> Self {
        let ids = |wanted: &dyn Fn(&TwinPlan) -> bool| -> Vec<TwinId> {
            plan.twins.iter().filter(|twin| wanted(twin)).map(|twin| twin.id.clone()).collect()
        };
        let missing = ids(&|twin| matches!(twin.action, Action::Missing | Action::Skip | Action::Register));
        let drifted = plan.twins.iter().filter(|twin| twin.changes.iter().any(is_drift));
        Self {
            hub: plan.hub.clone(),
            fleet: plan.fleet.clone(),
            read: plan.read,
            twins: drifted
                .map(|twin| TwinPlan {
                    changes: twin.changes.iter().filter(|change| is_drift(change)).cloned().collect(),
                    taken: [].into(),
                    ..twin.clone()
                })
                .collect(),
            looked_at: plan.unchanged + plan.twins.len() - missing.len(),
            conflicting: ids(&|twin| !twin.conflicts.is_empty()),
            missing,
        }
    }

    /// Says whether nothing drifted, as far as can be said.
    pub fn is_empty(&self) -> bool {
        self.twins.is_empty()
    }

    /// Groups the twins with the same drift.
    pub fn clusters(&self) -> Vec<Cluster<'_>> {
        cluster(&self.twins)
    }

    /// Counts paths by how they drifted.
    pub fn paths(&self) -> BTreeMap<Verdict, usize> {
        let mut paths = BTreeMap::new();
        for change in self.twins.iter().flat_map(|twin| twin.changes.iter()) {
            *paths.entry(change.verdict).or_default() += 1;
        }
        paths
    }
}
