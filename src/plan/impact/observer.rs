//! Observes the pass in which the plan is made: each live twin, and what is planned for it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::forecast::{Forecasts, Question, collection_of};
use super::writers::{ReadConfiguration, Writers};
use super::{Divergence, Impact};
use crate::manifest::{Body, Declarations, Origin, Selector};
use crate::plan::{Action, PlannedChange, SeenTwin, TwinPlan, Unchanged};
use iothub_model::query::{self, Collection};
use iothub_model::twin::patch::merge;
use iothub_model::twin::{TwinId, TwinPath};
use iothub_model::wire::raw_twin::RawTwin;

/// Finds out what a plan will lead to while it is made.
#[derive(Debug)]
pub(crate) struct ImpactObserver<'d> {
    declarations: &'d Declarations,
    forecasts: Forecasts<'d>,
    writers: Writers,
    diverging: BTreeMap<DivergenceKey, (Vec<TwinId>, Vec<TwinId>)>,
    /// Twins that were looked at and are not declared.
    orphaned: BTreeSet<TwinId>,
    /// Declared twins that the plan is not about.
    left_out: BTreeSet<TwinId>,
    needs_documents: bool,
}

/// By the selector's place, what alters it, and where that is declared.
type DivergenceKey = (usize, Option<TwinPath>, Option<Origin>);

impl<'d> ImpactObserver<'d> {
    /// Begins before the first twin. `declarations` are those that the plan is made of, and `subjects` the hub's
    /// configurations.
    pub(crate) fn new(declarations: &'d Declarations, subjects: Vec<ReadConfiguration>) -> Self {
        let forecasts = Forecasts::new(&declarations.checks);
        let writers = Writers::new(declarations, subjects);
        let needs_documents = !forecasts.is_empty() || writers.needs_documents() || !declarations.selectors.is_empty();
        Self {
            declarations,
            forecasts,
            writers,
            diverging: BTreeMap::new(),
            orphaned: BTreeSet::new(),
            left_out: BTreeSet::new(),
            needs_documents,
        }
    }

    /// Leaves out declared twins that the plan is not about.
    #[must_use]
    pub(crate) fn leaving_out(mut self, ids: BTreeSet<TwinId>) -> Self {
        self.left_out = ids;
        self
    }

    /// Says whether a declared twin is left out of the plan.
    pub(crate) fn leaves_out(&self, id: &TwinId) -> bool {
        self.left_out.contains(id)
    }

    /// Reads of a twin's text all that is looked at of a twin to which nothing happens, by the observer and by selectors. Nothing means
    /// that it is to be read whole.
    pub(crate) fn excerpt(&self, id: &TwinId, twin: &RawTwin<'_>) -> Option<Value> {
        if !self.needs_documents {
            return Some(Value::Null);
        }
        let collection = collection_of(id);
        let selectors = self.declarations.selectors.iter().filter(|_| id.module.is_none());
        let queries = self.forecasts.queries(collection).chain(self.writers.conditions(collection));
        let queries = queries.chain(selectors.map(|selector| &selector.condition));
        let mut excerpt = query::excerpt(queries, twin.text).ok().filter(|_| twin.is_whole)?;
        // A twin without tags has no such member, as `encode_twin` has it.
        if let Value::Object(members) = &mut excerpt
            && members.get("tags").and_then(Value::as_object).is_some_and(Map::is_empty)
        {
            members.remove("tags");
        }
        Some(excerpt)
    }

    /// Takes a twin that was read whole, with what is planned for it and what is declared for it, each if there is any.
    pub(crate) fn planned(&mut self, seen: &SeenTwin, plan: Option<&TwinPlan>, declared: Option<&Body>) {
        if let (Some(twin), Some(declared)) = (seen.twin(), declared) {
            self.writers.look_at_records(&twin.tags.0, declared);
        }
        if !self.needs_documents {
            return;
        }
        let (id, live) = (seen.id(), seen.document());
        self.take_id(id);
        let plan = plan.filter(|plan| plan.is_sent());
        let mut planned = match (live, plan) {
            (Some(live), _) => Cow::Borrowed(live),
            (None, Some(plan)) if plan.action == Action::Register => Cow::Owned(fresh(id)),
            // The hub lacks it, and goes on lacking it.
            (None, _) => return,
        };
        if let Some(plan) = plan {
            apply(planned.to_mut(), plan);
            if id.module.is_none() {
                self.compare_selections(id, live, &planned, &plan.changes);
            }
        }
        if let Some(declared) = declared {
            self.writers.look(id, &planned, declared);
        }
        self.forecasts.push(id, &planned);
    }

    /// Takes note of a twin of the plan that the declarations of this pass do not have.
    fn take_id(&mut self, id: &TwinId) {
        if !self.declarations.twins.contains_key(id) {
            self.orphaned.insert(id.clone());
        }
    }

    /// Takes a declared twin about which nothing is to be done, in place of [`ImpactObserver::planned`], by its
    /// [`ImpactObserver::excerpt`].
    pub(crate) fn unchanged(&mut self, id: &TwinId, excerpt: &Value, unchanged: Unchanged<'_>, declared: &Body) {
        if let Some(records) = unchanged.shared_records {
            self.writers.look_at_shared_records(records);
        }
        if self.needs_documents {
            self.take_id(id);
            self.writers.look(id, excerpt, declared);
            self.forecasts.push(id, excerpt);
        }
    }

    /// Takes a twin that the plan is not about, and that was read all the same: its document or its [`ImpactObserver::excerpt`],
    /// which is asked for only where a check looks at it.
    pub(crate) fn unmanaged<'v>(&mut self, id: &TwinId, document: impl FnOnce() -> Option<&'v Value>) {
        if !self.forecasts.is_empty()
            && let Some(document) = document()
        {
            self.forecasts.push_unmanaged(id, document);
        }
    }

    fn compare_selections(&mut self, id: &TwinId, live: Option<&Value>, planned: &Value, changes: &[PlannedChange]) {
        for (index, selector) in self.declarations.selectors.iter().enumerate() {
            let before = live.is_some_and(|live| selector.condition.matches(live));
            let after = selector.condition.matches(planned);
            if before == after {
                continue;
            }
            let change = changes.iter().find(|change| selector.condition.looks_at(&change.path));
            let key = (index, change.map(|it| it.path.clone()), change.and_then(|it| it.origin.clone()));
            let (leaving, joining) = self.diverging.entry(key).or_default();
            if before { leaving } else { joining }.push(id.clone());
        }
    }

    /// Returns what must be asked of the hub, for those kinds of twins of which not all were seen.
    pub(crate) fn questions(&mut self, unseen: &[Collection]) -> Vec<Question<'d>> {
        let declared = self.declarations.twins.keys().filter(|id| !self.left_out.contains(*id));
        let mut ours: Vec<&str> =
            declared.chain(&self.orphaned).filter(|id| id.module.is_none()).map(|id| id.device.as_str()).collect();
        ours.sort_unstable();
        self.forecasts.questions(unseen, &ours)
    }

    /// Takes a row of the answer to a question.
    ///
    /// # Errors
    ///
    /// When the row does not say of which twin it is.
    pub(crate) fn answer(&mut self, question: &Question<'_>, row: &Value) -> Result<(), String> {
        let (declared, orphaned, left_out) = (&self.declarations.twins, &self.orphaned, &self.left_out);
        let is_ours = |id: &TwinId| declared.contains_key(id) && !left_out.contains(id) || orphaned.contains(id);
        self.forecasts.answer(question, row, is_ours)
    }

    /// Says that there is no whole answer to a question, and why.
    pub(crate) fn give_up(&mut self, question: &Question<'_>, reason: String) {
        self.forecasts.give_up(question, reason);
    }

    /// Ends the pass. What it costs is reckoned elsewhere.
    pub(crate) fn finish(self) -> Impact {
        let selectors: &[Selector] = &self.declarations.selectors;
        let diverging = self.diverging.into_iter().map(|((index, path, altered_by), (mut leaving, mut joining))| {
            leaving.sort_unstable();
            joining.sort_unstable();
            let Selector { name, origin, .. } = &selectors[index];
            Divergence { selector: name.to_string(), origin: origin.clone(), altered_by, path, leaving, joining }
        });
        let (writers, unread) = self.writers.finish();
        Impact {
            diverging: diverging.collect(),
            predictions: self.forecasts.finish(&self.declarations.policy.sensitive),
            writers,
            unread,
            ..Impact::default()
        }
    }
}

/// A twin of a device or module that has just been created, as far as it can be known.
fn fresh(id: &TwinId) -> Value {
    let mut document = json!({
        "deviceId": id.device,
        "status": "enabled",
        "connectionState": "Disconnected",
        "cloudToDeviceMessageCount": 0,
        "authenticationType": "sas",
        "properties": { "desired": {}, "reported": {} },
    });
    match &id.module {
        Some(module) => document["moduleId"] = json!(module),
        None => document["capabilities"] = json!({ "iotEdge": false }),
    }
    document
}

fn apply(document: &mut Value, plan: &TwinPlan) {
    if let Value::Object(members) = document
        && let Value::Object(tags) = members.entry("tags").or_insert_with(|| json!({}))
    {
        merge(tags, &plan.patch.tags);
        if tags.is_empty() {
            members.remove("tags");
        }
    }
    if let Some(desired) = document["properties"]["desired"].as_object_mut() {
        merge(desired, &plan.patch.desired);
    }
}
