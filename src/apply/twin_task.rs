//! One twin from its plan to its outcome: takes each response of the hub, and returns what comes next. Pure.
//!
//! A patch goes out under the etag that the plan was computed from. When that etag is not the current one any more, or when
//! it is not known whether a request was done, the twin is read, and what was read is held against what the plan saw: by
//! this one rule a write that somebody else made in between is found, whoever it was and whenever it came.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::error_class::{ErrorClass, explain, in_short, is_no_device};
use super::event::{ApplyEvent, TwinOutcome};
use super::request::{GuardedPatch, TwinRequest};
use crate::client::{Backoff, Error, Trouble};
use crate::plan::{Action, Rebase, TwinPlan};
use iothub_model::duration;
use iothub_model::twin::{ETag, Lookup, Twin};

/// How often a twin may have moved under its patch before it is left alone.
const MOST_MOVES: u32 = 8;
/// How often a twin is looked for that its identity's creation must have made.
const MOST_ABSENCES: u32 = 5;
/// How long to wait before looking for such a twin again.
const ABSENT_PAUSE: Duration = Duration::from_secs(1);

/// What comes next.
#[derive(Debug, PartialEq)]
pub(super) enum Next {
    /// A request, as soon as may be.
    Go(TwinRequest),
    /// A request, not before that time.
    At(Duration, TwinRequest),
    /// Nothing: the twin is done with.
    Done(TwinOutcome),
}

/// Why no twin may be written any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The user asked to stop.
    Stopped,
    /// Every other would fail as well.
    Halted,
}

/// What holds at the moment when an answer came.
pub(super) struct TaskContext<'a> {
    /// Since the start of the run.
    pub(super) now: Duration,
    /// From 0 to below 1.
    pub(super) random: f64,
    pub(super) backoff: &'a Backoff,
    pub(super) ending: Option<Ending>,
    pub(super) events: &'a mut VecDeque<ApplyEvent>,
}

/// What is known of the identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum IdentityState {
    /// The plan was made from its twin: it is not for this run to create.
    Planned,
    /// It is to be created.
    Uncreated,
    /// This run sent a request to create it, and the answer was lost.
    MaybeCreated,
    /// This run created it.
    Created,
    /// It was there when this run came to create it.
    Existed,
}

/// What is known of the requests that were sent.
#[derive(Debug)]
enum Certainty {
    /// It is known of each request whether it was done.
    Known {
        /// Why the last one was not, if something is in the way.
        trouble: Option<String>,
    },
    /// It is not known whether a request was done, and only reading the twin tells.
    MustLook {
        /// Why it is not known.
        trouble: String,
    },
    /// As [`Self::MustLook`], and nothing but a read is sent any more.
    LastLook {
        /// Why it is not known.
        trouble: String,
        /// Why the twin has failed, unless reading shows that the request was done.
        reason: String,
    },
}

/// The requests in vain since something last went forward.
#[derive(Clone, Copy, Debug)]
struct Failures {
    since: Duration,
    count: u32,
    /// When a patch whose answer was lost may be sent again.
    not_before: Duration,
}

/// The last patch that was sent.
#[derive(Debug)]
struct SentPatch {
    under: ETag,
    /// Of one of the patches that were sent, the answer was lost.
    was_lost: bool,
}

/// One twin under way.
#[derive(Debug)]
pub(super) struct TwinTask<'p> {
    pub(super) plan: &'p TwinPlan,
    identity: IdentityState,
    certainty: Certainty,
    failures: Option<Failures>,
    sent: Option<SentPatch>,
    moves: u32,
    absences: u32,
}

impl<'p> TwinTask<'p> {
    /// Begins with a twin.
    pub(super) fn begin(plan: &'p TwinPlan) -> (Self, TwinRequest) {
        let request = match (plan.action, &plan.etag) {
            (Action::Register, _) => TwinRequest::Register,
            (_, Some(etag)) => TwinRequest::Patch(GuardedPatch { etag: etag.clone(), patch: Arc::clone(&plan.patch) }),
            (_, None) => TwinRequest::Refresh,
        };
        let identity = match plan.action {
            Action::Register => IdentityState::Uncreated,
            Action::Update | Action::Release | Action::Missing | Action::Skip => IdentityState::Planned,
        };
        let task = Self {
            plan,
            identity,
            certainty: Certainty::Known { trouble: None },
            failures: None,
            sent: None,
            moves: 0,
            absences: 0,
        };
        (task, request)
    }

    /// Says what an error tells, of a request of this twin.
    pub(super) fn classify(&self, request: &TwinRequest, error: &Error) -> ErrorClass {
        match error {
            // The service looks a module's identity up with its device's rights: where that one is missing or disabled, it says
            // 401 of the module, and nothing of other twins is told by that.
            Error::Unauthorized { .. } if *request == TwinRequest::Register && self.plan.id.module.is_some() => {
                ErrorClass::Refused
            }
            error => ErrorClass::of(error),
        }
    }

    /// Says whether the identity is there, as far as this run knows.
    pub(super) fn is_there(&self) -> bool {
        matches!(self.identity, IdentityState::Created | IdentityState::Existed)
    }

    fn is_created(&self) -> bool {
        self.identity == IdentityState::Created
    }

    fn is_patch_lost(&self) -> bool {
        self.sent.as_ref().is_some_and(|sent| sent.was_lost)
    }

    /// Returns `true` if only reading the twin tells whether a request was done.
    fn must_look(&self) -> bool {
        !matches!(self.certainty, Certainty::Known { .. })
    }

    /// Takes the answer to a creation.
    pub(super) fn registered(&mut self, answer: Result<(), Error>, at: &mut TaskContext<'_>) -> Next {
        let error = match answer {
            Ok(()) => {
                self.identity = IdentityState::Created;
                self.went_forward();
                return self.go(TwinRequest::Refresh, at);
            }
            Err(error) => error,
        };
        match self.classify(&TwinRequest::Register, &error) {
            ErrorClass::Exists => {
                // When an answer was lost, it was most likely this run that created it.
                self.identity = match self.identity {
                    IdentityState::MaybeCreated => IdentityState::Created,
                    _ => IdentityState::Existed,
                };
                self.went_forward();
                self.go(TwinRequest::Refresh, at)
            }
            ErrorClass::Lost => {
                self.identity = IdentityState::MaybeCreated;
                self.look(&error, at)
            }
            ErrorClass::Trouble { maybe_done, .. } => {
                if maybe_done {
                    self.identity = IdentityState::MaybeCreated;
                }
                self.again(TwinRequest::Register, maybe_done, &error, at)
            }
            ErrorClass::Refused if matches!(error, Error::Unauthorized { .. }) => self.give_up(format!(
                "{}; of a module it says so too where its device is missing or disabled",
                explain(&error)
            )),
            ErrorClass::Moved | ErrorClass::Gone | ErrorClass::Futile | ErrorClass::Denied | ErrorClass::Refused => {
                self.give_up(explain(&error))
            }
        }
    }

    /// Takes the answer to a read. The client has read as often as it may, so that an error is the last word.
    pub(super) fn read(&mut self, answer: Result<Lookup, Error>, at: &mut TaskContext<'_>) -> Next {
        match answer {
            Ok(lookup) => {
                let last = self.looked();
                match lookup {
                    Lookup::Found(twin) => {
                        if self.identity == IdentityState::MaybeCreated {
                            self.identity = IdentityState::Created;
                        }
                        if self.sent.is_none() {
                            self.went_forward();
                        }
                        self.found(*twin, last, at)
                    }
                    Lookup::Absent(_) => self.absent(last, at),
                }
            }
            Err(error) => self.unread_because(&explain(&error), |task| task.failed(explain(&error))),
        }
    }

    /// The twin was read, so that it is known what was done. Returns why the twin has failed if it was not done, where nothing more
    /// may be sent.
    fn looked(&mut self) -> Option<String> {
        let known = Certainty::Known { trouble: None };
        let (trouble, last) = match std::mem::replace(&mut self.certainty, known) {
            Certainty::Known { trouble } => (trouble, None),
            Certainty::MustLook { trouble } => (Some(trouble), None),
            Certainty::LastLook { trouble, reason } => (Some(trouble), Some(reason)),
        };
        self.certainty = Certainty::Known { trouble };
        last
    }

    /// Takes note that the run is to end and a read was not waited for.
    pub(super) fn unread(&mut self) -> Next {
        self.unread_because("the run ended before the twin was read", |task| task.close(Ending::Stopped))
    }

    /// The twin was not read: where only that would have told whether a request was done, it is the end.
    fn unread_because(&mut self, reason: &str, otherwise: impl FnOnce(&mut Self) -> Next) -> Next {
        match &self.certainty {
            Certainty::MustLook { trouble } | Certainty::LastLook { trouble, .. } => {
                self.failed(format!("it is not known whether the write was done: {trouble}; and then: {reason}"))
            }
            Certainty::Known { .. } => otherwise(self),
        }
    }

    /// Takes the answer to a patch.
    pub(super) fn patched(
        &mut self,
        sent: GuardedPatch,
        answer: Result<Twin, Error>,
        at: &mut TaskContext<'_>,
    ) -> Next {
        let was_lost = self.is_patch_lost() || answer.as_ref().is_err_and(|error| ErrorClass::of(error).maybe_done());
        self.sent = Some(SentPatch { under: sent.etag.clone(), was_lost });
        let error = match answer {
            Ok(twin) if self.plan.target_reached(&twin) => return self.written(),
            Ok(_) => {
                return self.failed("the hub took the patch, but its answer does not hold what was planned".into());
            }
            Err(error) => error,
        };
        match ErrorClass::of(&error) {
            ErrorClass::Moved => {
                self.moves += 1;
                self.went_forward();
                if self.moves > MOST_MOVES {
                    let times = self.moves;
                    return self.give_up(format!(
                        "somebody keeps writing this twin: {times} times it had changed between a read and the write"
                    ));
                }
                self.go(TwinRequest::Refresh, at)
            }
            ErrorClass::Lost => self.look(&error, at),
            ErrorClass::Trouble { maybe_done, .. } => self.again(TwinRequest::Patch(sent), maybe_done, &error, at),
            // The service says so, and not some gateway that does not know the path.
            ErrorClass::Gone if self.plan.action == Action::Release && is_no_device(&error) => {
                Next::Done(TwinOutcome::Converged)
            }
            ErrorClass::Gone => {
                self.failed(format!("the {} is gone from the hub: {}", self.plan.id.kind(), explain(&error)))
            }
            ErrorClass::Exists | ErrorClass::Futile | ErrorClass::Denied | ErrorClass::Refused => {
                self.give_up(explain(&error))
            }
        }
    }

    /// Says what becomes of the twin when nothing may be written any more and no request of its is under way.
    pub(super) fn close(&mut self, ending: Ending) -> Next {
        let trouble = match &mut self.certainty {
            Certainty::MustLook { .. } | Certainty::LastLook { .. } => return Next::Go(TwinRequest::Read),
            Certainty::Known { trouble } => trouble.take(),
        };
        match ending {
            _ if self.is_patch_lost() => self.failed(match trouble {
                Some(trouble) => format!("the run ended before it could be sent again: {trouble}"),
                None => "the run ended before it could be sent again".to_owned(),
            }),
            _ if self.is_created() => self.failed("the run ended before its twin was written".into()),
            Ending::Stopped => Next::Done(TwinOutcome::NotAttempted),
            Ending::Halted => match trouble {
                Some(trouble) => self.failed(trouble),
                None => Next::Done(TwinOutcome::NotAttempted),
            },
        }
    }

    fn found(&mut self, twin: Twin, last: Option<String>, at: &mut TaskContext<'_>) -> Next {
        let patch = match self.plan.rebase(&twin) {
            Rebase::Conflict(moved) => return Next::Done(TwinOutcome::Conflict(moved)),
            Rebase::Converged if self.is_patch_lost() || self.is_created() => return self.written(),
            Rebase::Converged => return Next::Done(TwinOutcome::Converged),
            Rebase::Send(patch) => patch,
        };
        if let Some(reason) = last {
            return self.failed(reason);
        }
        self.go(TwinRequest::Patch(GuardedPatch { etag: twin.etag, patch: Arc::new(patch) }), at)
    }

    fn absent(&mut self, last: Option<String>, at: &mut TaskContext<'_>) -> Next {
        if self.plan.action == Action::Release {
            return Next::Done(TwinOutcome::Converged);
        }
        if self.identity == IdentityState::Planned {
            return self.failed(format!("the {} is gone from the hub", self.plan.id.kind()));
        }
        if let Some(reason) = last {
            return self.failed(reason);
        }
        self.absences += 1;
        if self.absences > MOST_ABSENCES {
            return self.failed("the hub has no twin for it".into());
        }
        if !self.is_created() {
            // What was there is gone again, or the creation whose answer was lost had not been done.
            if self.identity == IdentityState::Existed {
                self.identity = IdentityState::Uncreated;
            }
            return self.go(TwinRequest::Register, at);
        }
        match at.ending {
            Some(ending) => self.close(ending),
            // The service makes the twin with the identity; nothing promises that both show at once.
            None => Next::At(at.now + ABSENT_PAUSE, TwinRequest::Read),
        }
    }

    /// The next request of a twin that is well, if requests may still begin.
    fn go(&mut self, request: TwinRequest, at: &TaskContext<'_>) -> Next {
        let not_before = self.failures.map_or(Duration::ZERO, |failures| failures.not_before);
        match at.ending {
            Some(ending) => self.close(ending),
            None if request != TwinRequest::Read && not_before > at.now => Next::At(not_before, request),
            None => Next::Go(request),
        }
    }

    /// The same request later, if there is time for it.
    fn again(&mut self, request: TwinRequest, maybe_done: bool, error: &Error, at: &mut TaskContext<'_>) -> Next {
        let reason = explain(error);
        self.certainty = if maybe_done || self.must_look() {
            Certainty::MustLook { trouble: reason.clone() }
        } else {
            Certainty::Known { trouble: Some(reason.clone()) }
        };
        if let Some(ending) = at.ending {
            return self.close(ending);
        }
        match self.delay(error, at) {
            Some(after) => {
                let reason = self.plan.redact_text(in_short(error));
                let retrying = ApplyEvent::Retrying { id: self.plan.id.clone(), reason, after };
                at.events.push_back(retrying);
                Next::At(at.now + after, request)
            }
            None => self.give_up(format!("{reason}; {}", no_time(error, at))),
        }
    }

    /// A request may have been done: look, and send it again only if it was not, later.
    fn look(&mut self, error: &Error, at: &mut TaskContext<'_>) -> Next {
        let trouble = explain(error);
        self.certainty = match (self.delay(error, at), &mut self.failures) {
            (Some(after), Some(failures)) => {
                failures.not_before = at.now + after;
                Certainty::MustLook { trouble }
            }
            _ => Certainty::LastLook { reason: format!("{trouble}; {}", no_time(error, at)), trouble },
        };
        let reason = self.plan.redact_text(format!("{}, so it is read", in_short(error)));
        at.events.push_back(ApplyEvent::Retrying { id: self.plan.id.clone(), reason, after: Duration::ZERO });
        Next::Go(TwinRequest::Read)
    }

    /// How long until the next attempt; nothing when the time for trying again is over.
    fn delay(&mut self, error: &Error, at: &TaskContext<'_>) -> Option<Duration> {
        // Nonsense is nothing that a read would be tried again for; whether a write was done is worth another look.
        let trouble = error.trouble().unwrap_or(Trouble::Passing);
        let failures = self.failures.get_or_insert(Failures { since: at.now, count: 0, not_before: Duration::ZERO });
        let before = failures.count;
        failures.count += 1;
        at.backoff.wait(trouble, before, at.now.saturating_sub(failures.since), at.random)
    }

    fn went_forward(&mut self) {
        self.failures = None;
        if let Certainty::Known { trouble } = &mut self.certainty {
            *trouble = None;
        }
    }

    fn give_up(&mut self, reason: String) -> Next {
        match &mut self.certainty {
            Certainty::Known { .. } => self.failed(reason),
            Certainty::MustLook { trouble } | Certainty::LastLook { trouble, .. } => {
                self.certainty = Certainty::LastLook { trouble: std::mem::take(trouble), reason };
                Next::Go(TwinRequest::Read)
            }
        }
    }

    fn written(&self) -> Next {
        let planned = self.plan.etag.as_ref();
        let moved = planned.zip(self.sent.as_ref()).is_some_and(|(planned, sent)| sent.under != *planned);
        let rebased = self.identity == IdentityState::Existed || moved;
        Next::Done(TwinOutcome::Written { rebased, registered: self.is_created() })
    }

    fn failed(&self, reason: String) -> Next {
        let kind = self.plan.id.kind();
        let reason = if self.is_created() { format!("the {kind} is registered, but {reason}") } else { reason };
        Next::Done(TwinOutcome::Failed { reason: self.plan.redact_text(reason) })
    }
}

/// Says why a request is not sent again.
fn no_time(error: &Error, at: &TaskContext<'_>) -> String {
    match error.trouble() {
        Some(Trouble::Busy { retry_after: Some(asked) }) if asked > at.backoff.budget => format!(
            "the hub asks to wait {}, longer than the {} of --retry-budget",
            duration::exact(asked),
            duration::exact(at.backoff.budget)
        ),
        _ => "the time for trying again is over".to_owned(),
    }
}
