//! What deployments to edge devices write into modules that are declared.
//!
//! A deployment targets devices and writes into their modules, and twins are seen in any order: whom it targets and what a module shares
//! with it are kept apart until all of them were seen.

use std::collections::{BTreeMap, BTreeSet};

use super::SharedPath;
use iothub_model::twin::{DeviceId, TwinId};

/// A deployment, by its place among the configurations, the winners first.
pub(super) type DeploymentIndex = usize;

/// What is known of deployments and modules so far.
#[derive(Debug, Default)]
pub(super) struct Deployments {
    /// Devices that were looked at, with the deployments that target each.
    targets: BTreeMap<DeviceId, Vec<DeploymentIndex>>,
    /// What modules share with deployments, wherever these go.
    shared: BTreeMap<TwinId, Vec<(DeploymentIndex, SharedPath)>>,
}

/// What comes of it.
#[derive(Debug, Default)]
pub(super) struct DeploymentWrites {
    /// Where a deployment writes what is declared for a module, one path after the other.
    pub(super) shared: Vec<(DeploymentIndex, TwinId, SharedPath)>,
    /// Deployments that write to modules of devices which were not looked at.
    pub(super) unknown: BTreeMap<DeploymentIndex, BTreeSet<DeviceId>>,
}

impl Deployments {
    pub(super) fn device(&mut self, device: &DeviceId, targets: Vec<DeploymentIndex>) {
        self.targets.insert(device.clone(), targets);
    }

    pub(super) fn module(&mut self, id: &TwinId, shared: Vec<(DeploymentIndex, SharedPath)>) {
        if !shared.is_empty() {
            self.shared.insert(id.clone(), shared);
        }
    }

    /// Holds modules against the targets. A device has one base deployment, the first, and what is layered over it: of what lies below it
    /// nothing is there. Of two that write one path the first wins.
    pub(super) fn finish(self, is_base: impl Fn(DeploymentIndex) -> bool) -> DeploymentWrites {
        let mut found = DeploymentWrites::default();
        for (id, shared) in self.shared {
            let Some(targets) = self.targets.get(&id.device) else {
                for (place, _) in shared {
                    found.unknown.entry(place).or_default().insert(id.device.clone());
                }
                continue;
            };
            let base = targets.iter().copied().find(|&place| is_base(place)).unwrap_or(DeploymentIndex::MAX);
            let mut won = BTreeMap::new();
            for (place, path) in shared.into_iter().filter(|(place, _)| targets.contains(place) && *place <= base) {
                if *won.entry(path.declared.clone()).or_insert(place) == place {
                    found.shared.push((place, id.clone(), path));
                }
            }
        }
        found
    }
}
