//! The plan as a fold over lookups.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::decide::{Decision, decide};
use super::intern::Interner;
use super::ownership::RECORDS_KEY;
use super::records::{FleetRecords, RecordState};
use super::rules::{DeclaredTwin, PlanRules};
use super::target::TwinSections;
use super::twin_plan::{Action, TwinPlan};
use super::unchanged::{TwinTemplate, Unchanged};
use super::{Impact, Plan, Population, ReadBy};
use crate::manifest::{Body, Declarations, Leaf, Missing, Ownership, PolicyPath, SourceDigests};
use iothub_model::twin::{ETag, HubHost, Lookup, Object, Twin, TwinId};
use iothub_model::wire::raw_twin::RawTwin;

/// What a plan needs to know beside declarations and twins.
#[derive(Clone, Debug)]
pub struct PlanContext {
    /// Which hub the twins are read from.
    pub hub: HubHost,
    /// The Git revision that goes into the records; may be empty.
    pub revision: String,
    /// Take over paths that other fleets' records own, and take them out of these records. Without it they are conflicts.
    pub take_ownership: bool,
}

/// Makes a plan of twins as they arrive, in any order. Holds the changes, never the twins.
pub(crate) struct Planner<'d> {
    declarations: &'d Declarations,
    hub: HubHost,
    rules: PlanRules,
    pending: BTreeSet<&'d TwinId>,
    twins: Vec<TwinPlan>,
    /// Twins that are not declared and carry this fleet's record.
    orphaned: BTreeSet<TwinId>,
    /// Whether a twin that carries the record and is not declared is taken to have left.
    finds_orphaned: bool,
    /// Whether what another writer seems to have done is only believed of a GET.
    confirms_drift: bool,
    unchanged: usize,
    records: FleetRecords,
    interner: Interner,
    /// Bodies that several twins share, by address; the declarations outlive the planner.
    shared: HashMap<usize, Arc<SharedBody<'d>>>,
}

impl<'d> Planner<'d> {
    /// Starts a plan in which every declared twin is yet to come.
    pub(crate) fn new(declarations: &'d Declarations, context: PlanContext) -> Self {
        let PlanContext { hub, revision, take_ownership } = context;
        let rules = PlanRules {
            fleet: declarations.fleet.clone(),
            ownership: declarations.ownership,
            take_ownership,
            revision,
            policy: declarations.policy.clone(),
        };
        Self {
            declarations,
            hub,
            rules,
            pending: declarations.twins.keys().collect(),
            twins: Vec::new(),
            orphaned: BTreeSet::new(),
            finds_orphaned: declarations.ownership == Ownership::Record,
            confirms_drift: false,
            unchanged: 0,
            records: FleetRecords::default(),
            interner: Interner::default(),
            shared: HashMap::new(),
        }
    }

    /// Plans for a part of the fleet: of the others nothing is asked, and nobody is taken to have left.
    #[must_use]
    pub(crate) fn narrowed_to(mut self, includes: impl Fn(&TwinId) -> bool) -> Self {
        self.pending.retain(|id| includes(id));
        self.finds_orphaned = false;
        self
    }

    /// Asks for a GET of each twin whose record does not explain how it differs: a query's answer may be older than the last
    /// apply. See [`Self::is_doubtful`].
    #[must_use]
    pub(crate) fn confirming_drift(mut self, confirms: bool) -> Self {
        self.confirms_drift = confirms;
        self
    }

    /// Returns `true` if a twin that a query listed is to be read by GET before it is pushed.
    pub(crate) fn is_doubtful(&mut self, twin: &Twin) -> bool {
        let declarations = self.declarations;
        match declarations.twins.get(&twin.id) {
            Some(declaration) if self.confirms_drift => self.with_shared(&declaration.body, |planner, shared| {
                decide(&planner.rules, &shared.declared, TwinSections::of(twin)).is_unexplained(&shared.declared)
            }),
            _ => false,
        }
    }

    /// Says whether twins that are not declared and carry this fleet's record are of interest.
    pub(crate) fn finds_orphaned(&self) -> bool {
        self.finds_orphaned
    }

    /// Takes in a declared twin, or any other twin, which matters only if it carries this fleet's record. A second push of the
    /// same id is ignored. Returns what is planned for it, if anything is.
    pub(crate) fn push(&mut self, lookup: &Lookup) -> Option<&TwinPlan> {
        let before = self.twins.len();
        self.take(lookup);
        self.twins[before..].last()
    }

    fn take(&mut self, lookup: &Lookup) {
        let declarations = self.declarations;
        match (declarations.twins.get(lookup.id()), lookup) {
            (Some(declaration), lookup) => {
                if !self.pending.remove(lookup.id()) {
                    return;
                }
                let body = &declaration.body;
                self.with_shared(body, |planner, shared| match lookup {
                    Lookup::Found(twin) => planner.update(twin, Action::Update, &shared.declared),
                    Lookup::Absent(id) => planner.absent(id, &shared.declared),
                });
            }
            (None, Lookup::Found(twin)) => {
                if self.carries_record(twin) && self.orphaned.insert(twin.id.clone()) {
                    self.update(twin, Action::Release, &DeclaredTwin::default());
                }
            }
            (None, Lookup::Absent(_)) => {}
        }
    }

    /// Plans for these twins alone: of the others nothing is known.
    #[must_use]
    pub(crate) fn restricted_to(mut self, ids: &BTreeSet<TwinId>) -> Self {
        self.pending.retain(|id| ids.contains(*id));
        self
    }

    /// Takes in a declared twin whose text alone shows that nothing is to be done about it. One that it did not take, which is said by
    /// nothing, is to be read whole and pushed, whether it differs or not.
    pub(crate) fn push_unchanged<'b>(&mut self, id: &TwinId, twin: &RawTwin<'b>) -> Option<Unchanged<'b>> {
        let declarations = self.declarations;
        let declaration = declarations.twins.get(id).filter(|_| self.pending.contains(id))?;
        let unchanged = self.with_shared(&declaration.body, |planner, SharedBody { declared, template }| {
            let unchanged = template.matches(&planner.rules, declared, twin)?;
            // As declared with leaves means with the record of them, and without leaves means without a record.
            let state = if declared.owns.is_empty() { RecordState::Absent } else { RecordState::Kept };
            planner.take_record(id, state, declared);
            Some(unchanged)
        })?;
        self.pending.remove(id);
        self.unchanged += 1;
        Some(unchanged)
    }

    /// Says whether a twin is declared and not yet pushed.
    pub(crate) fn is_pending(&self, id: &TwinId) -> bool {
        self.pending.contains(id)
    }

    /// Returns the declared twins that are not yet pushed, sorted.
    pub(crate) fn pending(&self) -> impl Iterator<Item = &TwinId> {
        self.pending.iter().copied()
    }

    /// Ends the plan. A declared twin that was never pushed is not in it: nothing is known about it, and that is not the same as
    /// its being absent.
    pub(crate) fn finish(self, read: ReadBy) -> Plan {
        let mut twins = self.twins;
        twins.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        let population = Population::of(self.declarations, &twins, &self.records);
        Plan {
            hub: self.hub,
            fleet: self.declarations.fleet.clone(),
            manifest: self.declarations.digest.clone(),
            revision: self.rules.revision,
            read,
            twins,
            unchanged: self.unchanged,
            population,
            checks: self.declarations.checks.clone(),
            policy: self.declarations.policy.clone(),
            selections: self.declarations.selections.clone(),
            impact: Impact::default(),
            ignores_rollout: false,
            approval: None,
            sources: SourceDigests::default(),
            records: self.records,
        }
    }

    fn take_record(&mut self, id: &TwinId, state: RecordState, declared: &DeclaredTwin<'_>) {
        if self.rules.ownership == Ownership::Record {
            self.records.take(id, state, !declared.owns.is_empty());
        }
    }

    fn update(&mut self, twin: &Twin, action: Action, declared: &DeclaredTwin<'_>) {
        let decision = decide(&self.rules, declared, TwinSections::of(twin));
        self.take_record(&twin.id, decision.record, declared);
        if decision.is_nothing() {
            self.unchanged += 1;
        } else {
            self.keep(&twin.id, action, Some(twin.etag.clone()), decision);
        }
    }

    fn absent(&mut self, id: &TwinId, declared: &DeclaredTwin<'_>) {
        match self.declarations.missing {
            Missing::Register => {
                let nothing = Object::new();
                let decision = decide(&self.rules, declared, TwinSections { tags: &nothing, desired: &nothing });
                self.keep(id, Action::Register, None, decision);
            }
            Missing::Fail => self.keep(id, Action::Missing, None, Decision::default()),
            Missing::Skip => self.keep(id, Action::Skip, None, Decision::default()),
        }
    }

    fn keep(&mut self, id: &TwinId, action: Action, etag: Option<ETag>, decision: Decision) {
        let (fleet, sensitive) = (self.rules.fleet.clone(), self.rules.policy.sensitive.clone());
        let bare = TwinPlan::bare(id.clone(), fleet, sensitive, action, etag);
        self.twins.push(self.interner.twin_plan(bare, decision));
    }

    fn carries_record(&self, twin: &Twin) -> bool {
        self.finds_orphaned
            && twin.tags.0.get(RECORDS_KEY).is_some_and(|all| all.get(self.rules.fleet.as_str()).is_some())
    }

    /// Makes of a body what twins are compared with, and keeps it where several twins share the body.
    fn with_shared<T>(&mut self, body: &'d Arc<Body>, look: impl FnOnce(&mut Self, &SharedBody<'_>) -> T) -> T {
        let exact = &self.declarations.policy.exact;
        match body.leaves() {
            Cow::Borrowed(leaves) if Arc::strong_count(body) > 1 => {
                let known = self.shared.entry(Arc::as_ptr(body).addr());
                let shared = Arc::clone(known.or_insert_with(|| Arc::new(SharedBody::new(leaves, exact))));
                look(self, &shared)
            }
            leaves => look(self, &SharedBody::new(&leaves, exact)),
        }
    }
}

/// What is made of a body once for all twins that share it.
struct SharedBody<'d> {
    declared: DeclaredTwin<'d>,
    template: TwinTemplate<'d>,
}

impl<'d> SharedBody<'d> {
    fn new(leaves: &'d [Leaf], exact: &'d [PolicyPath]) -> Self {
        Self { declared: DeclaredTwin::new(leaves), template: TwinTemplate::new(leaves, exact) }
    }
}
