//! One twin from its plan to its outcome: takes each response of the hub, and returns what comes next. Pure.
//!
//! A patch goes out under the etag that the plan was computed from. When that etag is not the current one any more, or when
//! it is not known whether a request was done, the twin is read, and what was read is held against what the plan saw: by
//! this one rule a write that somebody else made in between is found, whoever it was and whenever it came.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::event::{ApplyEvent, TwinOutcome};
use crate::client::{Backoff, Error, Trouble};
use crate::plan::{Action, Rebase, TwinPlan};
use iothub_model::duration;
use iothub_model::twin::{ETag, Lookup, MergePatch, Twin};
use iothub_model::wire::ErrorCode;

/// How often a twin may have moved under its patch before it is left alone.
const MOST_MOVES: u32 = 8;
/// How often a twin is looked for that its identity's creation must have made.
const MOST_ABSENCES: u32 = 5;
/// How long to wait before looking for such a twin again.
const ABSENT_PAUSE: Duration = Duration::from_secs(1);

/// A request that a twin needs.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum TwinRequest {
    /// Create the identity.
    Register,
    /// Read the twin at once.
    Read,
    /// Read the twin when its patch may go, so that the patch follows under an etag that is fresh.
    Refresh,
    /// Write it.
    Patch(GuardedPatch),
}

/// A patch with the etag that it may be applied to: there is no patch without one.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct GuardedPatch {
    pub(super) etag: ETag,
    pub(super) patch: Arc<MergePatch>,
}

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

/// What an error says about what to do, whatever the request was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ErrorClass {
    /// The etag is not the current one.
    Moved,
    /// The same request may go through later.
    Trouble {
        /// The hub has too much to do: it asks for patience.
        busy: bool,
        /// Whether it was done nevertheless is not known.
        maybe_done: bool,
    },
    /// It may have been done.
    Lost,
    /// There is no such device or module.
    Gone,
    /// There is such a device or module.
    Exists,
    /// This request will never do better, and no other will either.
    Futile,
    /// The hub does not let this request through, and it is not clear whether any other would pass.
    Denied,
    /// This request will never do better.
    Refused,
}

impl ErrorClass {
    pub(super) fn of(error: &Error) -> Self {
        match error {
            Error::PreconditionFailed { .. } => Self::Moved,
            Error::Throttled { .. } => Self::Trouble { busy: true, maybe_done: false },
            Error::NotFound { .. } => Self::Gone,
            Error::AlreadyExists { .. } => Self::Exists,
            // Whoever answered nonsense to a write had it in hand.
            Error::Lost { .. } | Error::Nonsense { .. } => Self::Lost,
            Error::Unavailable { .. } => {
                Self::Trouble { busy: matches!(error.trouble(), Some(Trouble::Busy { .. })), maybe_done: true }
            }
            Error::Unreachable { .. } if error.trouble().is_some() => Self::Trouble { busy: false, maybe_done: false },
            Error::Unreachable { .. } => Self::Futile,
            Error::Unauthorized { hub, .. } => match hub.code() {
                Some(ErrorCode::GenericForbidden) | None => Self::Denied,
                Some(_) => Self::Futile,
            },
            Error::Refused { hub, .. } => match (hub.status, hub.code()) {
                (
                    _,
                    Some(
                        ErrorCode::IotHubQuotaExceeded
                        | ErrorCode::IotHubSuspended
                        | ErrorCode::OperationNotAvailableInCurrentTier,
                    ),
                ) => Self::Futile,
                // A code that is not known here, or no code at all: a gateway's word.
                (401, None) => Self::Denied,
                (403, None) if hub.code_name.is_none() => Self::Denied,
                _ => Self::Refused,
            },
            Error::Unsendable { .. } => Self::Refused,
        }
    }

    /// Says whether the hub, or the way to it, is to blame, and not the request.
    pub(super) fn is_transient(self) -> bool {
        matches!(self, Self::Trouble { .. } | Self::Lost)
    }
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

/// One twin under way.
#[derive(Debug)]
pub(super) struct TwinTask<'p> {
    pub(super) plan: &'p TwinPlan,
    /// How often a request was sent again since something last went forward, since when, and why.
    failures: u32,
    trouble_since: Option<Duration>,
    trouble: Option<String>,
    /// When a patch whose answer was lost may be sent again.
    not_before: Duration,
    moves: u32,
    absences: u32,
    /// The etag of the last patch that was sent.
    sent_under: Option<ETag>,
    /// The identity was created by this run.
    registered: bool,
    /// The identity was there when this run came to create it.
    existed: bool,
    create_lost: bool,
    patch_lost: bool,
    /// It is not known whether a request was done, and only reading will tell.
    must_look: bool,
    /// Nothing is sent any more, for this reason, unless reading shows that it was done.
    last: Option<String>,
}

impl<'p> TwinTask<'p> {
    /// Begins with a twin.
    pub(super) fn begin(plan: &'p TwinPlan) -> (Self, TwinRequest) {
        let request = match (plan.action, &plan.etag) {
            (Action::Register, _) => TwinRequest::Register,
            (_, Some(etag)) => TwinRequest::Patch(GuardedPatch { etag: etag.clone(), patch: Arc::clone(&plan.patch) }),
            (_, None) => TwinRequest::Refresh,
        };
        let task = Self {
            plan,
            failures: 0,
            trouble_since: None,
            trouble: None,
            not_before: Duration::ZERO,
            moves: 0,
            absences: 0,
            sent_under: None,
            registered: false,
            existed: false,
            create_lost: false,
            patch_lost: false,
            must_look: false,
            last: None,
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
        self.registered || self.existed
    }

    /// Takes the answer to a creation.
    pub(super) fn registered(&mut self, answer: Result<(), Error>, at: &mut TaskContext<'_>) -> Next {
        let error = match answer {
            Ok(()) => {
                self.registered = true;
                self.went_forward();
                return self.go(TwinRequest::Refresh, at);
            }
            Err(error) => error,
        };
        match self.classify(&TwinRequest::Register, &error) {
            ErrorClass::Exists => {
                // When an answer was lost, it was most likely this run that created it.
                self.registered = self.create_lost;
                self.existed = !self.create_lost;
                self.went_forward();
                self.go(TwinRequest::Refresh, at)
            }
            ErrorClass::Lost => {
                self.create_lost = true;
                self.look(&error, at)
            }
            ErrorClass::Trouble { maybe_done, .. } => {
                if maybe_done {
                    (self.create_lost, self.must_look) = (true, true);
                }
                self.again(TwinRequest::Register, &error, at)
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
            Ok(Lookup::Found(twin)) => {
                self.must_look = false;
                self.registered |= self.create_lost && !self.existed;
                if self.sent_under.is_none() {
                    self.went_forward();
                }
                self.found(*twin, at)
            }
            Ok(Lookup::Absent(_)) => {
                self.must_look = false;
                self.absent(at)
            }
            Err(error) if self.must_look => self.unknown(&explain(&error)),
            Err(error) => self.failed(explain(&error)),
        }
    }

    /// Takes note that the run is to end and a read was not waited for.
    pub(super) fn unread(&mut self) -> Next {
        if self.must_look {
            return self.unknown("the run ended before the twin was read");
        }
        self.close(Ending::Stopped)
    }

    /// Nothing tells whether a request was done.
    fn unknown(&mut self, reason: &str) -> Next {
        self.must_look = false;
        let trouble = self.trouble.take().unwrap_or_default();
        self.failed(format!("it is not known whether the write was done: {trouble}; and then: {reason}"))
    }

    /// Takes the answer to a patch.
    pub(super) fn patched(
        &mut self,
        sent: GuardedPatch,
        answer: Result<Twin, Error>,
        at: &mut TaskContext<'_>,
    ) -> Next {
        self.sent_under = Some(sent.etag.clone());
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
            ErrorClass::Lost => {
                self.patch_lost = true;
                self.look(&error, at)
            }
            ErrorClass::Trouble { maybe_done, .. } => {
                if maybe_done {
                    (self.patch_lost, self.must_look) = (true, true);
                }
                self.again(TwinRequest::Patch(sent), &error, at)
            }
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
        if self.must_look {
            return Next::Go(TwinRequest::Read);
        }
        let trouble = self.trouble.take();
        match ending {
            _ if self.patch_lost => self.failed(match trouble {
                Some(trouble) => format!("the run ended before it could be sent again: {trouble}"),
                None => "the run ended before it could be sent again".to_owned(),
            }),
            _ if self.registered => self.failed("the run ended before its twin was written".into()),
            Ending::Stopped => Next::Done(TwinOutcome::NotAttempted),
            Ending::Halted => match trouble {
                Some(trouble) => self.failed(trouble),
                None => Next::Done(TwinOutcome::NotAttempted),
            },
        }
    }

    fn found(&mut self, twin: Twin, at: &mut TaskContext<'_>) -> Next {
        let patch = match self.plan.rebase(&twin) {
            Rebase::Conflict(moved) => return Next::Done(TwinOutcome::Conflict(moved)),
            Rebase::Converged if self.patch_lost || self.registered => return self.written(),
            Rebase::Converged => return Next::Done(TwinOutcome::Converged),
            Rebase::Send(patch) => patch,
        };
        if let Some(reason) = self.last.take() {
            return self.failed(reason);
        }
        self.go(TwinRequest::Patch(GuardedPatch { etag: twin.etag, patch: Arc::new(patch) }), at)
    }

    fn absent(&mut self, at: &mut TaskContext<'_>) -> Next {
        if self.plan.action == Action::Release {
            return Next::Done(TwinOutcome::Converged);
        }
        if self.plan.action != Action::Register {
            return self.failed(format!("the {} is gone from the hub", self.plan.id.kind()));
        }
        if let Some(reason) = self.last.take() {
            return self.failed(reason);
        }
        self.absences += 1;
        if self.absences > MOST_ABSENCES {
            return self.failed("the hub has no twin for it".into());
        }
        if !self.registered {
            // What was there is gone again, or the creation whose answer was lost had not been done.
            self.existed = false;
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
        match at.ending {
            Some(ending) => self.close(ending),
            None if request != TwinRequest::Read && self.not_before > at.now => Next::At(self.not_before, request),
            None => Next::Go(request),
        }
    }

    /// The same request later, if there is time for it.
    fn again(&mut self, request: TwinRequest, error: &Error, at: &mut TaskContext<'_>) -> Next {
        let reason = explain(error);
        self.trouble = Some(reason.clone());
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
        let reason = explain(error);
        self.must_look = true;
        match self.delay(error, at) {
            Some(after) => self.not_before = at.now + after,
            None => self.last = Some(format!("{reason}; {}", no_time(error, at))),
        }
        self.trouble = Some(reason);
        let reason = self.plan.redact_text(format!("{}, so it is read", in_short(error)));
        at.events.push_back(ApplyEvent::Retrying { id: self.plan.id.clone(), reason, after: Duration::ZERO });
        Next::Go(TwinRequest::Read)
    }

    /// How long until the next attempt; nothing when the time for trying again is over.
    fn delay(&mut self, error: &Error, at: &TaskContext<'_>) -> Option<Duration> {
        // Nonsense is nothing that a read would be tried again for; whether a write was done is worth another look.
        let trouble = error.trouble().unwrap_or(Trouble::Passing);
        let since = *self.trouble_since.get_or_insert(at.now);
        let failures = self.failures;
        self.failures += 1;
        at.backoff.wait(trouble, failures, at.now.saturating_sub(since), at.random)
    }

    fn went_forward(&mut self) {
        (self.failures, self.trouble_since, self.not_before) = (0, None, Duration::ZERO);
        if !self.must_look {
            self.trouble = None;
        }
    }

    fn give_up(&mut self, reason: String) -> Next {
        if self.must_look {
            self.last = Some(reason);
            return Next::Go(TwinRequest::Read);
        }
        self.failed(reason)
    }

    fn written(&self) -> Next {
        let moved = self.plan.etag.is_some() && self.sent_under.is_some() && self.sent_under != self.plan.etag;
        Next::Done(TwinOutcome::Written { rebased: self.existed || moved, registered: self.registered })
    }

    fn failed(&self, reason: String) -> Next {
        let kind = self.plan.id.kind();
        let reason = if self.registered { format!("the {kind} is registered, but {reason}") } else { reason };
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

fn is_no_device(error: &Error) -> bool {
    let code = error.hub_error().and_then(|hub| hub.code());
    matches!(code, Some(ErrorCode::DeviceNotFound | ErrorCode::ModuleNotFound))
}

/// An error and its causes, a line.
pub(super) fn explain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// An error in a few words.
fn in_short(error: &Error) -> String {
    match error {
        Error::Throttled { .. } => "too many requests".to_owned(),
        Error::Lost { .. } => "the answer did not come".to_owned(),
        Error::Nonsense { .. } => "the answer makes no sense".to_owned(),
        Error::Unreachable { .. } => "the hub cannot be reached".to_owned(),
        other => match other.hub_error() {
            Some(hub) => format!("the hub answers {}", hub.status),
            None => other.to_string(),
        },
    }
}
