//! The drift in a plan alone: every difference that this fleet's records do not prove to come from the manifest. Pure.

use std::collections::BTreeMap;

use crate::manifest::{Declarations, FleetName, Ownership, Selection};
use crate::plan::population::loses_some;
use crate::plan::{Action, Plan, PlannedChange, ReadBy, RecordLoss, TwinPlan, Verdict};
use iothub_model::twin::{HubHost, TwinId};

/// What drifted.
#[derive(Clone, Debug)]
pub struct Drift {
    /// The hub that was read.
    pub hub: HubHost,
    /// The fleet whose values are compared.
    pub fleet: FleetName,
    /// Whether the fleet keeps records. Without them every difference counts.
    pub ownership: Ownership,
    /// How the live twins were read.
    pub read: ReadBy,
    /// The twins to report, each list sorted by id and not empty. They hold the unexplained paths alone and are for display:
    /// patches are those of the whole plan.
    pub twins: BTreeMap<DriftKind, Vec<TwinPlan>>,
    /// The number of twins that were read.
    pub looked_at: usize,
    /// The number of twins that carry a record of this fleet.
    pub carriers: usize,
    /// The devices that the manifest's selectors found.
    pub selections: Vec<Selection>,
}

/// What happened to a twin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DriftKind {
    /// The hub does not have the declared twin.
    Missing,
    /// The twin has conflicts, so it cannot be compared.
    Conflicting,
    /// The twin has no record of this fleet.
    RecordLost,
    /// The twin has a record that owns nothing.
    RecordEmptied,
    /// A selector of the manifest gave the twin values, and does not find it.
    Unselected,
    /// The twin has paths that differ.
    Drifted,
}

/// Returns `true` if a record does not prove that the manifest alone makes the change.
fn is_unexplained(change: &PlannedChange) -> bool {
    !change.verdict.is_explained()
}

/// Returns the selectors whose values were applied to a twin that they do not find. Of a twin that nobody declares, and of which nothing
/// is left but the record, it may have been any of them. What another writer did to the twin may be why, or
/// an edit of the manifest: the records do not tell.
fn left_selectors<'p>(plan: &'p Plan, declarations: &Declarations, twin: &TwinPlan) -> Vec<&'p str> {
    let is_bare = twin.action == Action::Release && twin.changes.is_empty();
    let is_left = |selection: &&Selection| {
        selection.ids.binary_search(&twin.id).is_err()
            && (is_bare || loses_some(twin, declarations.given_by(&selection.name)))
    };
    match twin.id.module {
        None => plan.selections.iter().filter(is_left).map(|selection| &*selection.name).collect(),
        Some(_) => Vec::new(),
    }
}

impl DriftKind {
    /// Returns how a twin drifted; `None` if the records explain all that apply would do to it.
    fn of(plan: &Plan, twin: &TwinPlan, has_left: bool) -> Option<Self> {
        match (twin.action, plan.records.lost.get(&twin.id)) {
            (Action::Missing | Action::Skip | Action::Register, _) => Some(Self::Missing),
            (Action::Update | Action::Release, Some(RecordLoss::Absent)) => Some(Self::RecordLost),
            (Action::Update | Action::Release, Some(RecordLoss::Emptied)) => Some(Self::RecordEmptied),
            (Action::Update | Action::Release, None) if !twin.conflicts.is_empty() => Some(Self::Conflicting),
            (Action::Update | Action::Release, None) if has_left => Some(Self::Unselected),
            (Action::Update | Action::Release, None) => {
                twin.changes.iter().any(is_unexplained).then_some(Self::Drifted)
            }
        }
    }
}

impl Drift {
    /// Takes the drift out of a plan of these declarations.
    pub fn of(plan: &Plan, declarations: &Declarations) -> Self {
        let mut twins: BTreeMap<DriftKind, Vec<TwinPlan>> = BTreeMap::new();
        for twin in &plan.twins {
            let left = left_selectors(plan, declarations, twin);
            let Some(kind) = DriftKind::of(plan, twin, !left.is_empty()) else { continue };
            let was_given = |change: &PlannedChange| {
                left.iter().flat_map(|name| declarations.given_by(name)).any(|leaf| leaf.path == change.path)
            };
            let is_shown =
                |change: &&PlannedChange| kind != DriftKind::Missing && (is_unexplained(change) || was_given(change));
            let mut drifted = twin.clone();
            drifted.changes = twin.changes.iter().filter(is_shown).cloned().collect();
            drifted.taken = [].into();
            if kind == DriftKind::Missing {
                (drifted.action, drifted.conflicts) = (Action::Missing, Vec::new());
            }
            twins.entry(kind).or_default().push(drifted);
        }
        let missing = twins.get(&DriftKind::Missing).map_or(0, Vec::len);
        Self {
            hub: plan.hub.clone(),
            fleet: plan.fleet.clone(),
            ownership: declarations.ownership,
            read: plan.read,
            twins,
            looked_at: plan.unchanged + plan.twins.len() - missing,
            carriers: plan.records.carriers,
            selections: plan.selections.clone(),
        }
    }

    /// Returns `true` if every twin is as this fleet applied it last.
    pub fn is_empty(&self) -> bool {
        self.twins.is_empty()
    }

    /// Returns the twins of one kind, sorted by id.
    pub fn of_kind(&self, kind: DriftKind) -> &[TwinPlan] {
        self.twins.get(&kind).map_or(&[], Vec::as_slice)
    }

    /// Returns the ids of the twins of one kind, sorted.
    pub fn ids(&self, kind: DriftKind) -> impl Iterator<Item = &TwinId> {
        self.of_kind(kind).iter().map(|twin| &twin.id)
    }

    /// Returns the ids of the twins with conflicts, sorted. Those that lack their record as well are among them.
    pub fn conflicting(&self) -> Vec<&TwinId> {
        let twins = self.twins.values().flatten().filter(|twin| !twin.conflicts.is_empty());
        let mut ids: Vec<_> = twins.map(|twin| &twin.id).collect();
        ids.sort_unstable();
        ids
    }

    /// Returns `true` if twins lack their record and no twin that was read carries one.
    pub fn is_without_records(&self) -> bool {
        self.carriers == 0 && self.twins.contains_key(&DriftKind::RecordLost)
    }

    /// Counts paths by verdict.
    pub fn paths(&self) -> BTreeMap<Verdict, usize> {
        let mut paths = BTreeMap::new();
        for change in self.twins.values().flatten().flat_map(|twin| twin.changes.iter()) {
            *paths.entry(change.verdict).or_default() += 1;
        }
        paths
    }
}
