//! The plan for a fleet.

use std::collections::BTreeMap;

use super::change::Verdict;
use super::cluster::{Cluster, cluster};
use super::impact::Impact;
use super::population::Population;
use super::records::FleetRecords;
use super::twin_plan::{Action, TwinPlan};
use crate::check::Check;
use crate::digest::Digest;
use crate::manifest::{FleetName, Policy, Selection, SourceDigests};
use iothub_model::twin::HubHost;

/// What would be done to a hub, decided whole: apply has nothing left to choose.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Which hub it was made for.
    pub hub: HubHost,
    /// Whose it is.
    pub fleet: FleetName,
    /// The declarations that it was made from.
    pub manifest: Digest,
    /// The Git revision that goes into the records; may be empty.
    pub revision: String,
    /// How the live twins were read.
    pub read: ReadBy,
    /// The twins that something is to be done or said about, sorted by id.
    pub twins: Vec<TwinPlan>,
    /// How many more were looked at and are as declared.
    pub unchanged: usize,
    /// How many devices are declared, and which groups and selectors have none any more.
    pub population: Population,
    /// What must hold afterwards.
    pub checks: Vec<Check>,
    /// How it may be enforced.
    pub policy: Policy,
    /// What the manifest's selectors found.
    pub selections: Vec<Selection>,
    /// What it will lead to, beside its changes.
    pub impact: Impact,
    /// Whether all twins may be written at once although the manifest asks for a rollout.
    pub ignores_rollout: bool,
    /// The review digest that was approved when the plan was made. It is good for the plan with this digest alone.
    pub approval: Option<Digest>,
    /// What the manifest's digest comes from, as far as it is known.
    pub sources: SourceDigests,
    /// Which twins carry this fleet's record. A plan that was read from a file knows the lost ones alone, where others carry it.
    pub records: FleetRecords,
}

/// How live twins were read, which says how fresh they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReadBy {
    /// One GET a twin: current.
    Get,
    /// Pages of queries: may lag by seconds, at worst by many minutes.
    Query,
}

/// A plan in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlanSummary {
    /// Twins that something is to be sent to or said about, by what is to be done. Those with conflicts are not among them.
    pub twins: BTreeMap<Action, usize>,
    /// Changes of all these twins, by how they came about.
    pub changes: BTreeMap<Verdict, usize>,
    /// Of these twins, those that get a new record and nothing else: no path of theirs is changed or adopted, but this fleet
    /// owned one that is gone already.
    pub record_only: usize,
    /// Twins with conflicts, which are left alone.
    pub conflicting_twins: usize,
    /// All conflicts.
    pub conflicts: usize,
    /// Twins that are as declared.
    pub unchanged: usize,
}

impl Plan {
    /// Says whether there is nothing to do and nothing in the way. Devices that are left out ([`Action::Skip`]) do not count.
    pub fn is_empty(&self) -> bool {
        self.twins.iter().all(|twin| twin.action == Action::Skip)
    }

    /// Counts what is in it.
    pub fn summary(&self) -> PlanSummary {
        let mut summary = PlanSummary { unchanged: self.unchanged, ..PlanSummary::default() };
        for twin in &self.twins {
            if !twin.conflicts.is_empty() {
                summary.conflicting_twins += 1;
                summary.conflicts += twin.conflicts.len();
                continue;
            }
            *summary.twins.entry(twin.action).or_default() += 1;
            // A rename is one change to a reader.
            for change in twin.changes.iter().filter(|change| !change.is_moved_away()) {
                *summary.changes.entry(change.verdict).or_default() += 1;
            }
            if twin.is_sent() && twin.changes.is_empty() && !twin.patch.is_empty() {
                summary.record_only += 1;
            }
        }
        summary
    }

    /// Returns what the manifest asks for and this version of twinctl does not carry out.
    pub fn not_carried_out(&self) -> Vec<&'static str> {
        let gates = self.checks.iter().any(|check| check.gate).then_some("checks.gate");
        self.policy.not_carried_out().into_iter().chain(gates).collect()
    }

    /// Takes over a plan for other twins, made of the same manifest with other selections. The population stays as it was.
    pub(crate) fn take_over(&mut self, rest: Plan) {
        self.twins.extend(rest.twins);
        self.twins.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        self.unchanged += rest.unchanged;
        self.selections = rest.selections;
        self.records.take_over(rest.records);
    }

    /// Groups the twins whose changes are the same. See [`cluster`].
    pub fn clusters(&self) -> Vec<Cluster<'_>> {
        cluster(&self.twins)
    }
}
