//! What one twin is judged by: the fleet's rules, and what is declared for the twin.

use std::collections::BTreeMap;

use super::ownership::value_hash;
use crate::manifest::{FleetName, Leaf, Ownership, Policy};
use iothub_model::twin::TwinPath;

/// In whose name, and by which rules, twins are planned.
#[derive(Clone, Debug)]
pub(super) struct PlanRules {
    pub(super) fleet: FleetName,
    pub(super) ownership: Ownership,
    pub(super) take_ownership: bool,
    pub(super) revision: String,
    pub(super) policy: Policy,
}

/// The leaves declared for a twin, and what a record of them holds. By default that of a twin that is not declared at all, but
/// carries a record.
#[derive(Clone, Debug, Default)]
pub(super) struct DeclaredTwin<'d> {
    pub(super) is_declared: bool,
    pub(super) leaves: &'d [Leaf],
    pub(super) owns: BTreeMap<TwinPath, u16>,
}

impl<'d> DeclaredTwin<'d> {
    pub(super) fn new(leaves: &'d [Leaf]) -> Self {
        let owns = leaves.iter().map(|leaf| (leaf.path.clone(), value_hash(leaf.value.as_ref()))).collect();
        Self { is_declared: true, leaves, owns }
    }
}
