//! The scheduler by script (what the hub answers goes in, what is done comes out), its property tests, and all of it against a real hub.

mod billed;
mod faults;
mod property_tests;
mod modules;
mod proxy;
mod real;
mod script;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::ApplyOptions;
use super::event::{ApplyEvent, ApplyReport, TwinOutcome};
use super::request::{GuardedPatch, TwinRequest};
use super::scheduler::{Scheduler, Step, StepOutcome, Ticket};
use crate::client::error::{Cause, Obstacle, RequestLine};
use crate::client::{Backoff, Error};
use crate::manifest::Sensitive;
use crate::plan::{Action, PlannedChange, Side, TwinPlan, Verdict};
use iothub_model::twin::{Desired, ETag, Lookup, MergePatch, Object, Reported, Tags, Twin, TwinId};
use iothub_model::wire::HubError;

/// What the hub answers.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// The write was done.
    Done,
    /// The write was done, and the answer says something else.
    Otherwise,
    /// The twin, with this etag and these desired properties.
    Found(&'static str, Value),
    Absent,
    Moved,
    Throttled,
    /// 5xx.
    Ill(u16),
    Lost,
    Unreachable,
    /// A certificate that will not get better.
    Untrusted,
    Gone,
    Exists,
    Unauthorized,
    OutOfQuota,
    Refused,
    /// 401, 403 or another status with a code of the hub's, or none at all.
    Coded(u16, &'static str),
}

fn error(answer: &Answer) -> Error {
    let request = || RequestLine { method: "PATCH", path: "/…".into(), host: "h".parse().expect("a host") };
    let hub = |status, code: &str| {
        Box::new(HubError { status, code_name: Some(code.to_owned()), message: String::new(), tracking_id: None })
    };
    let cause = |text: &str| Cause(text.to_owned());
    match answer {
        Answer::Moved => Error::PreconditionFailed { request: request(), hub: hub(412, "PreconditionFailed") },
        Answer::Throttled => {
            Error::Throttled { request: request(), hub: hub(429, "ThrottlingException"), retry_after: None }
        }
        Answer::Ill(status) => {
            Error::Unavailable { request: request(), hub: hub(*status, "ServerError"), retry_after: None }
        }
        Answer::Lost => Error::Lost { request: request(), source: cause("connection reset") },
        Answer::Unreachable => {
            Error::Unreachable { request: request(), reason: Obstacle::Closed, source: cause("connection refused") }
        }
        Answer::Untrusted => {
            Error::Unreachable { request: request(), reason: Obstacle::Untrusted, source: cause("unknown issuer") }
        }
        Answer::Gone => Error::NotFound { request: request(), hub: hub(404, "DeviceNotFound") },
        Answer::Exists => Error::AlreadyExists { request: request(), hub: hub(409, "DeviceAlreadyExists") },
        Answer::Unauthorized => {
            Error::Unauthorized { request: request(), hub: hub(401, "IotHubUnauthorizedAccess"), clock_ahead: None }
        }
        Answer::OutOfQuota => Error::Refused { request: request(), hub: hub(403, "IotHubQuotaExceeded") },
        Answer::Coded(401, "") => {
            let hub = HubError { status: 401, code_name: None, message: String::new(), tracking_id: None };
            Error::Unauthorized { request: request(), hub: Box::new(hub), clock_ahead: None }
        }
        Answer::Coded(403, "GenericForbidden") => {
            Error::Unauthorized { request: request(), hub: hub(403, "GenericForbidden"), clock_ahead: None }
        }
        Answer::Coded(status, code) => Error::Refused { request: request(), hub: hub(*status, code) },
        Answer::Refused => Error::Refused { request: request(), hub: hub(400, "ArgumentInvalid") },
        Answer::Done | Answer::Otherwise | Answer::Found(..) | Answer::Absent => panic!("{answer:?} is no error"),
    }
}

fn name(answer: &Answer) -> String {
    match answer {
        Answer::Found(etag, desired) => format!("found {etag} {desired}"),
        Answer::Ill(status) => status.to_string(),
        Answer::Coded(status, code) => format!("{status} {code}"),
        other => format!("{other:?}").to_lowercase(),
    }
}

/// Gives an answer to a request, if it can be one.
pub(super) fn outcome(id: &TwinId, request: &TwinRequest, answer: &Answer) -> StepOutcome {
    match (request, answer) {
        (TwinRequest::Register, Answer::Done) => StepOutcome::Registered(Ok(())),
        (TwinRequest::Register, answer) => StepOutcome::Registered(Err(error(answer))),
        (TwinRequest::Read | TwinRequest::Refresh, Answer::Found(etag, desired)) => {
            StepOutcome::Read(Ok(Lookup::Found(Box::new(twin(&id.to_string(), etag, desired.clone())))))
        }
        (TwinRequest::Read | TwinRequest::Refresh, Answer::Absent) => StepOutcome::Read(Ok(Lookup::Absent(id.clone()))),
        (TwinRequest::Read | TwinRequest::Refresh, answer) => StepOutcome::Read(Err(error(answer))),
        (TwinRequest::Patch(_), Answer::Done) => {
            StepOutcome::Patched(Ok(twin(&id.to_string(), "new", json!({"power": 2}))))
        }
        (TwinRequest::Patch(_), Answer::Otherwise) => {
            StepOutcome::Patched(Ok(twin(&id.to_string(), "new", json!({"power": 7}))))
        }
        (TwinRequest::Patch(_), answer) => StepOutcome::Patched(Err(error(answer))),
    }
}

pub(super) fn twin(id: &str, etag: &str, desired: Value) -> Twin {
    let Value::Object(desired) = desired else { panic!("not an object: {desired}") };
    Twin {
        id: id.parse().expect("an id"),
        etag: ETag::new(etag),
        tags: Tags::default(),
        desired: Desired(desired),
        desired_version: 1,
        desired_metadata: Object::new(),
        reported: Reported::default(),
        rest: Object::new(),
    }
}

/// A twin whose `desired.power` is to become 2; it is 1, or, for one to be registered, absent.
pub(super) fn twin_plan(id: &str, action: Action) -> TwinPlan {
    let registered = action == Action::Register;
    let before = twin(id, "e1", if registered { json!({}) } else { json!({"power": 1}) });
    let mut patch = MergePatch::default();
    patch.set(&"desired.power".parse().expect("a path"), json!(2));
    TwinPlan {
        id: id.parse().expect("an id"),
        fleet: "fleet".parse().expect("a name"),
        sensitive: Sensitive::default(),
        action,
        etag: (!registered).then(|| ETag::new("e1")),
        changes: Arc::new([PlannedChange {
            path: "desired.power".parse().expect("a path"),
            verdict: if registered { Verdict::New } else { Verdict::Edit },
            before: (!registered).then(|| json!(1)).into(),
            after: Side::Known(json!(2)),
            moved_from: None,
            origin: None,
            sensitive: false,
        }]),
        taken: Arc::new([]),
        inverse: Arc::new(patch.invert(&before)),
        patch: Arc::new(patch),
        conflicts: Vec::new(),
    }
}

pub(super) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Plays a scheduler: each request takes 10 ms, and every twin has its list of answers. Returns what happened.
pub(super) struct Play {
    pub(super) concurrency: usize,
    pub(super) stop_at: Option<Duration>,
    /// The answer to requests that have none of their own.
    pub(super) otherwise: Option<Answer>,
}

impl Play {
    pub(super) fn run(&self, twins: &[TwinPlan], answers: &[(&str, &[Answer])]) -> String {
        let mut answers: BTreeMap<String, VecDeque<Answer>> =
            answers.iter().map(|(id, answers)| ((*id).to_owned(), answers.iter().cloned().collect())).collect();
        let options = ApplyOptions { concurrency: self.concurrency, backoff: Backoff::default() };
        let mut scheduler = Scheduler::new(twins, options);
        let mut report = ApplyReport::default();
        let mut log = String::new();
        let mut under_way: VecDeque<(Duration, Ticket, &TwinId, TwinRequest)> = VecDeque::new();
        let (mut now, mut stopped) = (Duration::ZERO, false);
        let mut say = |now: Duration, text: String| log += &format!("{:>6} {text}\n", now.as_millis());
        loop {
            if !stopped && self.stop_at.is_some_and(|at| now >= at) {
                stopped = true;
                scheduler.stop();
            }
            match scheduler.next(now) {
                Step::Tell(event) => {
                    report.record(&event);
                    say(now, describe(&event));
                }
                Step::Send(ticket, id, request) => {
                    say(now, format!("{id} {}", show(&request)));
                    under_way.push_back((now + ms(10), ticket, id, request));
                }
                Step::Wait(until) => {
                    let answered = under_way.front().map(|(at, ..)| *at);
                    let stop = self.stop_at.filter(|_| !stopped);
                    let next = [until, answered, stop].into_iter().flatten().min().expect("something to wait for");
                    assert!(next >= now, "{log}");
                    now = next;
                    if answered == Some(now) {
                        let (_, ticket, id, request) = under_way.pop_front().expect("just seen");
                        let answer = answers
                            .get_mut(&id.to_string())
                            .and_then(VecDeque::pop_front)
                            .or_else(|| self.otherwise.clone())
                            .unwrap_or_else(|| panic!("no answer left for {request:?}"));
                        let outcome = outcome(id, &request, &answer);
                        say(now, format!("{id} ← {}", name(&answer)));
                        scheduler.told(ticket, outcome, now, 0.5);
                    }
                }
                Step::End => break,
            }
        }
        assert_eq!(report.twins(), twins.len(), "every twin ends once");
        assert!(answers.values().all(VecDeque::is_empty), "not asked for: {answers:?}");
        log
    }
}

fn show(request: &TwinRequest) -> String {
    match request {
        TwinRequest::Register => "register".to_owned(),
        TwinRequest::Read | TwinRequest::Refresh => "read".to_owned(),
        TwinRequest::Patch(GuardedPatch { etag, patch }) => {
            format!("patch if {etag}: {}", serde_json::to_string(patch).expect("JSON"))
        }
    }
}

fn describe(event: &ApplyEvent) -> String {
    match event {
        ApplyEvent::Started { twins } => format!("started: {twins}"),
        ApplyEvent::Retrying { id, reason, after } => format!("{id} again in {after:?}: {reason}"),
        ApplyEvent::Interrupted => "interrupted".to_owned(),
        ApplyEvent::Halted(halt) => format!("halted: {}", halt.reason),
        ApplyEvent::Finished => "finished".to_owned(),
        ApplyEvent::TwinDone { id, action: _, outcome } => match outcome {
            TwinOutcome::Written { rebased, registered } => {
                let rebased = if *rebased { ", rebased" } else { "" };
                let registered = if *registered { ", registered" } else { "" };
                format!("{id} = written{rebased}{registered}")
            }
            TwinOutcome::Converged => format!("{id} = converged"),
            TwinOutcome::Conflict(moved) => {
                let moved: Vec<_> = moved
                    .iter()
                    .map(|moved| {
                        let show = |value: Option<&Value>| value.map_or("nothing".into(), Value::to_string);
                        let (seen, found) = (show(moved.seen.known()), show(moved.found.as_ref()));
                        let planned = show(moved.planned.known());
                        format!("{}: seen {seen}, found {found}, planned {planned}", moved.path)
                    })
                    .collect();
                format!("{id} = conflict: {}", moved.join("; "))
            }
            TwinOutcome::Failed { reason } => format!("{id} = failed: {reason}"),
            TwinOutcome::NotAttempted => format!("{id} = not attempted"),
        },
    }
}
