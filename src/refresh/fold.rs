//! The fold over the twins that are read: the one place that knows in which order the planner, the observer of the
//! impact and the membership in selections learn of a twin.
//!
//! A twin is looked at as text first: most are as declared, and of these no tree is built. It is read whole at most
//! once.

use std::collections::BTreeSet;

use serde_json::Value;

use super::selection::Membership;
use crate::manifest::{Body, Declarations};
use crate::plan::impact::ReadConfiguration;
use crate::plan::ownership::{RECORDS_KEY, may_have_records};
use crate::plan::{ImpactObserver, Plan, PlanContext, Planner, ReadBy, SeenTwin};
use iothub_model::diagnostic::Diagnostic;
use iothub_model::twin::{Lookup, TwinId};
use iothub_model::wire::raw_twin::RawTwin;

/// A twin that was read.
pub(crate) struct Seen<'s, R> {
    /// How it was read. A query's answer may be older than the last write.
    pub by: ReadBy,
    /// The twin as text, where it is spelt as the service spells it.
    pub text: Option<(&'s TwinId, &'s RawTwin<'s>)>,
    /// Reads it whole.
    pub whole: R,
}

/// What became of a twin that was read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SeenOutcome {
    /// It counts as read: it is in the plan, or nothing is to be done about it.
    Read,
    /// Nothing follows: the plan is not about it, or it was read before, or a query left it in doubt and it stays
    /// pending.
    Left,
    /// Nobody declares it, and only a GET can tell whether the plan is about it.
    Ask(TwinId),
}

/// Makes a plan, and finds out what it leads to, of twins as they are read.
pub(crate) struct PlanFold<'d> {
    declarations: &'d Declarations,
    planner: Planner<'d>,
    observer: ImpactObserver<'d>,
    /// Absent where the selections are known to be right.
    membership: Option<Membership<'d>>,
}

impl<'d> PlanFold<'d> {
    /// Begins before the first twin. The selections are in the declarations already; `subjects` are the hub's
    /// configurations.
    pub(crate) fn new(
        declarations: &'d Declarations,
        context: PlanContext,
        subjects: Vec<ReadConfiguration>,
    ) -> Result<Self, Vec<Diagnostic>> {
        Ok(Self {
            declarations,
            planner: Planner::new(declarations, context),
            observer: ImpactObserver::new(declarations, subjects),
            membership: Some(Membership::new(declarations)?),
        })
    }

    /// Begins again for twins whose selections a first fold corrected, with the observer of that fold.
    pub(crate) fn corrected(
        declarations: &'d Declarations,
        context: PlanContext,
        ids: &BTreeSet<TwinId>,
        observer: ImpactObserver<'d>,
    ) -> Self {
        let planner = Planner::new(declarations, context).restricted_to(ids);
        Self { declarations, planner, observer, membership: None }
    }

    /// See [`Planner::confirming_drift`].
    #[must_use]
    pub(crate) fn confirming_drift(mut self, confirms: bool) -> Self {
        self.planner = self.planner.confirming_drift(confirms);
        self
    }

    /// Plans for a part of the fleet. The observer sees the other twins as ones that the plan is not about.
    #[must_use]
    pub(crate) fn narrowed_to(mut self, includes: impl Fn(&TwinId) -> bool) -> Self {
        let left_out = self.declarations.twins.keys().filter(|id| !includes(id)).cloned().collect();
        self.planner = self.planner.narrowed_to(includes);
        self.observer = self.observer.leaving_out(left_out);
        self
    }

    /// Returns what the plan is made by.
    pub(crate) fn declarations(&self) -> &'d Declarations {
        self.declarations
    }

    /// Returns `true` if twins that are not declared and carry this fleet's record are of interest.
    pub(crate) fn finds_orphaned(&self) -> bool {
        self.planner.finds_orphaned()
    }

    /// Returns the declared twins that are still to be read, sorted.
    pub(crate) fn pending(&self) -> impl Iterator<Item = &TwinId> {
        self.planner.pending()
    }

    /// Takes a twin that was read.
    ///
    /// # Errors
    ///
    /// The twin had to be read whole, and could not be.
    pub(crate) fn take<E>(&mut self, seen: Seen<'_, impl FnOnce() -> Result<Lookup, E>>) -> Result<SeenOutcome, E> {
        let Seen { by, text, whole } = seen;
        if let Some((id, text)) = text {
            if self.take_unchanged(id, text) {
                return Ok(SeenOutcome::Read);
            }
            if by == ReadBy::Query && self.take_unmanaged(id, text) {
                return Ok(SeenOutcome::Left);
            }
        }
        let seen = SeenTwin::new(whole()?);
        Ok(match by {
            ReadBy::Query => self.take_listed(&seen),
            ReadBy::Get => self.take_answer(&seen),
        })
    }

    /// Ends the plan. Its impact is not complete: the observer may still ask for what this fold did not see. The
    /// membership has the twins that belong into other selections than they are declared in, which are not planned.
    pub(crate) fn finish(self, read: ReadBy) -> (Plan, ImpactObserver<'d>, Option<Membership<'d>>) {
        (self.planner.finish(read), self.observer, self.membership)
    }

    fn body(&self, id: &TwinId) -> Option<&'d Body> {
        self.declarations.twins.get(id).map(|declaration| &*declaration.body)
    }

    fn agrees(&self, id: &TwinId, excerpt: &Value) -> bool {
        self.membership.as_ref().is_none_or(|membership| membership.agrees(id, excerpt))
    }

    fn is_doubtful_member(&self, seen: &SeenTwin) -> bool {
        self.membership.as_ref().is_some_and(|membership| membership.is_doubtful(seen))
    }

    /// Takes a pending twin of which its text shows that it is as declared: most are, and of these no tree is built but
    /// of what checks, selectors and target conditions look at.
    fn take_unchanged(&mut self, id: &TwinId, text: &RawTwin<'_>) -> bool {
        let Some(body) = self.body(id).filter(|_| self.planner.is_pending(id)) else { return false };
        // What is in doubt is found to be so when it is read whole.
        let Some(excerpt) = self.observer.excerpt(id, text).filter(|it| self.agrees(id, it)) else { return false };
        let Some(unchanged) = self.planner.push_unchanged(id, text) else { return false };
        self.observer.unchanged(id, &excerpt, unchanged, body);
        true
    }

    /// Takes a twin that a query listed and that the plan is not about, if its text is enough to see that.
    fn take_unmanaged(&mut self, id: &TwinId, text: &RawTwin<'_>) -> bool {
        let is_left_out = self.observer.leaves_out(id);
        if self.planner.is_pending(id) || !is_left_out && text.tags.is_some_and(may_have_records) {
            return false;
        }
        if !is_left_out && self.declarations.twins.contains_key(id) {
            // It was there before.
            return true;
        }
        let Some(excerpt) = self.observer.excerpt(id, text) else { return false };
        if !is_left_out && !self.agrees(id, &excerpt) {
            return false;
        }
        self.observer.unmanaged(id, || Some(&excerpt));
        true
    }

    /// Takes a twin that a query listed.
    fn take_listed(&mut self, seen: &SeenTwin) -> SeenOutcome {
        let (id, Some(twin)) = (seen.id(), seen.twin()) else { return SeenOutcome::Left };
        if self.planner.is_pending(id) {
            // One that is in doubt stays pending, and is read by GET in the end.
            if self.is_doubtful_member(seen) || self.planner.is_doubtful(twin) {
                return SeenOutcome::Left;
            }
            self.push(seen);
            return SeenOutcome::Read;
        }
        let is_left_out = self.observer.leaves_out(id);
        if !is_left_out && self.declarations.twins.contains_key(id) {
            // It was there before.
            return SeenOutcome::Left;
        }
        let fleet = self.declarations.fleet.as_str();
        let carries_record = || twin.tags.0.get(RECORDS_KEY).and_then(|all| all.get(fleet)).is_some();
        if !is_left_out && (self.finds_orphaned() && carries_record() || self.is_doubtful_member(seen)) {
            return SeenOutcome::Ask(id.clone());
        }
        self.observer.unmanaged(id, || seen.document());
        SeenOutcome::Left
    }

    /// Takes the answer of a GET. A twin that belongs into other selections than it is declared in is not planned by
    /// these declarations.
    fn take_answer(&mut self, seen: &SeenTwin) -> SeenOutcome {
        if !self.membership.as_mut().is_some_and(|membership| membership.settle(seen)) {
            self.push(seen);
        }
        SeenOutcome::Read
    }

    fn push(&mut self, seen: &SeenTwin) {
        let body = self.body(seen.id());
        let plan = self.planner.push(seen.lookup());
        self.observer.planned(seen, plan, body);
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use serde_json::json;

    use super::*;
    use crate::manifest::{Selection, load_texts};
    use iothub_model::query::Collection;

    const MANIFEST: &str = "
fleet: demo
devices: { a: { desired: { interval: 60 } } }
selectors: [{ name: saver, where: \"tags.mode = 'slow'\", desired: { interval: 600 } }]
checks: [{ name: slow, query: \"SELECT deviceId FROM devices WHERE tags.mode = 'slow'\", expect: { count: 1 } }]
ownership: none
";

    /// The twin of a device that a query missed, and that is as its selector declares it.
    const MISSED: &str = r#"{"deviceId":"c","etag":"AAE=","tags":{"mode":"slow"},
        "properties":{"desired":{"interval":600,"$version":1},"reported":{"$version":1}}}"#;

    #[test]
    fn a_device_that_a_query_missed_is_counted_once() {
        let loaded = load_texts(&[("fleet.yaml", MANIFEST)], &|_| None).expect("a manifest").declarations;
        let selected = |ids: &[&str]| {
            let selector = &loaded.selectors[0];
            let ids = ids.iter().map(|id| id.parse().expect("an id")).collect();
            let (name, condition) = (selector.name.clone(), selector.condition.text().to_owned());
            loaded.select(vec![Selection { name, condition, ids, origin: selector.origin.clone() }]).expect("selected")
        };
        let (current, corrected) = (selected(&[]), selected(&["c"]));
        let context = PlanContext {
            hub: "hub.example.net".parse().expect("a host"),
            revision: String::new(),
            take_ownership: false,
        };
        let raw = RawTwin::find(MISSED).expect("a twin");
        let id = raw.id().expect("an id");
        let whole = || -> Result<Lookup, Infallible> { unreachable!("the text is enough") };
        let fold = PlanFold::new(&current, context.clone(), Vec::new()).expect("no problem");
        let (_, observer, _) = fold.finish(ReadBy::Get);
        let mut fold = PlanFold::corrected(&corrected, context, &[id.clone()].into(), observer);
        let outcome = fold.take(Seen { by: ReadBy::Get, text: Some((&id, &raw)), whole });
        assert_eq!(outcome, Ok(SeenOutcome::Read));
        let (plan, mut observer, _) = fold.finish(ReadBy::Get);
        assert_eq!((plan.twins.len(), plan.unchanged), (0, 1));
        for question in observer.questions(&[Collection::Devices]) {
            observer.answer(&question, &json!({ "deviceId": "c", "c0": "c" })).expect("a row");
        }
        let impact = observer.finish();
        assert_eq!(impact.predictions[0].forecast, crate::plan::Forecast::WillHold);
    }
}
