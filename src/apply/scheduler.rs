//! Who goes when: told what happened and the time, it answers what to do next. Pure.
//!
//! A module is registered after its device. It keeps no more than so many requests under way and not many more twins begun, sends no faster than the hub takes, sees
//! to it that nothing new begins once the run is to end, and ends every twin exactly once. What a single twin needs is its
//! `TwinTask`'s.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::ApplyOptions;
use super::error_class::{ErrorClass, explain};
use super::event::{ApplyEvent, Halt, TwinOutcome};
use super::request::{GuardedPatch, TwinRequest};
use super::twin_task::{Ending, Next, TaskContext, TwinTask};
use crate::client::Error;
use crate::plan::{Action, TwinPlan};
use iothub_model::rate::Pace;
use iothub_model::twin::{DeviceId, Lookup, Twin, TwinId};

/// How many twins may be begun and not done, for each request that may be under way: the others wait for their next attempt
/// or their turn. More would only be more twins that a hub in trouble has refused once.
const BEGUN_PER_REQUEST: usize = 4;

/// How many requests in a row may be denied for a reason that is not clearly the credentials', or after others of this run
/// were accepted, before the run ends: what befalls so many will befall all.
const MOST_DENIED: usize = 10;

/// Which twin an answer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(usize);

/// What to do next.
#[derive(Debug, PartialEq)]
pub(crate) enum Step<'p> {
    /// Send a request for this twin, once, and report its outcome to the scheduler under the same ticket.
    Send(Ticket, &'p TwinId, TwinRequest),
    /// Tell whoever listens.
    Tell(ApplyEvent),
    /// Nothing can be done before an answer comes, or before that time.
    Wait(Option<Duration>),
    /// All is done.
    End,
}

/// What came of a request.
#[derive(Debug)]
pub(crate) enum StepOutcome {
    /// The answer to [`TwinRequest::Register`].
    Registered(Result<(), Error>),
    /// The answer to [`TwinRequest::Read`] or [`TwinRequest::Refresh`].
    Read(Result<Lookup, Error>),
    /// The run is to end, and the answer to a read was not waited for.
    Unread,
    /// The answer to [`TwinRequest::Patch`].
    Patched(Result<Twin, Error>),
}

impl StepOutcome {
    fn error(&self) -> Option<&Error> {
        match self {
            Self::Registered(answer) => answer.as_ref().err(),
            Self::Read(answer) => answer.as_ref().err(),
            Self::Patched(answer) => answer.as_ref().err(),
            Self::Unread => None,
        }
    }

    /// Returns `true` if the hub, or whatever stands before it, sent an answer.
    fn is_answered(&self) -> bool {
        match self {
            Self::Unread => false,
            answered => answered.error().is_none_or(Error::is_answer),
        }
    }
}

/// The machine. Ask [`Scheduler::next`] until it says [`Step::Wait`], and tell it each answer.
#[derive(Debug)]
pub(crate) struct Scheduler<'p> {
    options: ApplyOptions,
    /// The twins to be written, and how many of them are begun.
    twins: Vec<&'p TwinPlan>,
    begun: usize,
    /// The devices that this run registers: their modules can be registered only after them.
    devices: BTreeMap<&'p DeviceId, Registration>,
    /// Modules whose turn came before their device was there, and that may begin now.
    released: VecDeque<usize>,
    /// Begun and not done.
    tasks: BTreeMap<Ticket, TwinTask<'p>>,
    under_way: BTreeMap<Ticket, UnderWay>,
    /// What waits for its time.
    waiting: BTreeMap<(Duration, Ticket), TwinRequest>,
    /// What could go at once, by kind: each has its own throttle on the hub (docs: IoT Hub quotas and throttling).
    reads: VecDeque<Ticket>,
    /// Patches, and twins that are to be read right before their patch: the patch pace lets one after the other go.
    writes: VecDeque<(Ticket, Write)>,
    /// Patches of twins that were read in their turn: the turn is still theirs.
    refreshed: VecDeque<(Ticket, GuardedPatch)>,
    registrations: VecDeque<Ticket>,
    patch_pace: Pace,
    registration_pace: Pace,
    events: VecDeque<ApplyEvent>,
    phase: Phase,
    /// How many requests in a row the hub denied, and whether it has accepted any write of this run.
    denied: usize,
    accepted: bool,
    /// Since when every answer, or the lack of one, told of trouble.
    trouble_since: Option<Duration>,
}

/// How far the run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Twins may begin.
    Running,
    /// Nothing begins any more.
    Ending(Ending),
    /// Every twin has ended, and [`ApplyEvent::Finished`] was returned.
    Finished,
}

/// How far a device is that modules wait for.
#[derive(Debug, PartialEq)]
enum Registration {
    /// It is not done, and these modules had their turn already.
    Awaited(Vec<usize>),
    /// It is done, and there is an identity.
    There,
    /// It is done, and there is none.
    Failed,
}

/// What waits for the patch pace.
#[derive(Debug)]
enum Write {
    Refresh,
    Patch(GuardedPatch),
}

#[derive(Debug)]
struct UnderWay {
    since: Duration,
    request: TwinRequest,
}

impl<'p> Scheduler<'p> {
    /// Prepares to write those of the twins that need it.
    pub(crate) fn new(twins: impl IntoIterator<Item = &'p TwinPlan>, options: ApplyOptions) -> Self {
        let twins: Vec<_> = twins.into_iter().filter(|twin| twin.is_sent()).collect();
        let started = ApplyEvent::Started { twins: twins.len() };
        let devices = twins
            .iter()
            .filter(|twin| twin.action == Action::Register && twin.id.module.is_none())
            .map(|twin| (&twin.id.device, Registration::Awaited(Vec::new())))
            .collect();
        Self {
            options,
            twins,
            begun: 0,
            devices,
            released: VecDeque::new(),
            tasks: BTreeMap::new(),
            under_way: BTreeMap::new(),
            waiting: BTreeMap::new(),
            reads: VecDeque::new(),
            writes: VecDeque::new(),
            refreshed: VecDeque::new(),
            registrations: VecDeque::new(),
            patch_pace: Pace::default(),
            registration_pace: Pace::default(),
            events: VecDeque::from([started]),
            phase: Phase::Running,
            denied: 0,
            accepted: false,
            trouble_since: None,
        }
    }

    /// Says what to do next. A request that it asks for counts as under way from then on.
    pub(crate) fn next(&mut self, now: Duration) -> Step<'p> {
        if let Some(event) = self.events.pop_front() {
            return Step::Tell(event);
        }
        self.wake(now);
        while self.under_way.len() < self.options.concurrency.max(1) {
            if let Some(step) = self.send(now) {
                return step;
            }
            if !self.begin() {
                break;
            }
        }
        if let Some(event) = self.events.pop_front() {
            return Step::Tell(event);
        }
        if !self.tasks.is_empty() {
            return Step::Wait(self.next_time());
        }
        match self.leave() {
            // Only when the run was to end: whoever is left was not tried.
            Some(twin) => Step::Tell(done(twin, TwinOutcome::NotAttempted)),
            None if self.phase == Phase::Finished => Step::End,
            None => {
                self.phase = Phase::Finished;
                Step::Tell(ApplyEvent::Finished)
            }
        }
    }

    /// Takes what came of a request. `random` is a number from 0 to 1.
    pub(crate) fn told(&mut self, ticket: Ticket, outcome: StepOutcome, now: Duration, random: f64) {
        let Some(UnderWay { since, request }) = self.under_way.remove(&ticket) else { return };
        let Some(task) = self.tasks.get(&ticket) else { return };
        let plan = task.plan;
        let class = outcome.error().map(|error| task.classify(&request, error));
        let pace = match &request {
            TwinRequest::Patch(_) => Some(&mut self.patch_pace),
            TwinRequest::Register => Some(&mut self.registration_pace),
            TwinRequest::Read | TwinRequest::Refresh => None,
        };
        if let Some(pace) = pace {
            match class {
                Some(ErrorClass::Trouble { busy: true, .. }) => pace.refused(since, now),
                // Whatever else the hub says, it had time to say it.
                _ if outcome.is_answered() => pace.taken(),
                _ => {}
            }
        }
        if let Some(halt) = self.halt(plan, class, request.is_write(), outcome.error(), now)
            && self.phase == Phase::Running
        {
            self.events.push_back(ApplyEvent::Halted(halt));
            self.phase = Phase::Ending(Ending::Halted);
        }
        let ending = self.ending();
        let Some(task) = self.tasks.get_mut(&ticket) else { return };
        let has_turn = matches!(request, TwinRequest::Refresh);
        let mut at = TaskContext { now, random, backoff: &self.options.backoff, ending, events: &mut self.events };
        let next = match (request, outcome) {
            (TwinRequest::Register, StepOutcome::Registered(answer)) => task.registered(answer, &mut at),
            (TwinRequest::Read | TwinRequest::Refresh, StepOutcome::Read(answer)) => task.read(answer, &mut at),
            (TwinRequest::Patch(sent), StepOutcome::Patched(answer)) => task.patched(sent, answer, &mut at),
            (_, _) => task.unread(),
        };
        match next {
            Next::Go(TwinRequest::Patch(guarded)) if has_turn => self.refreshed.push_back((ticket, guarded)),
            next => self.follow(ticket, next),
        }
        self.close();
    }

    /// Returns why the run must end when this answer means that the other twins would fail as well.
    fn halt(
        &mut self,
        plan: &TwinPlan,
        class: Option<ErrorClass>,
        is_write: bool,
        error: Option<&Error>,
        now: Duration,
    ) -> Option<Halt> {
        let because = |why: &str, error: &Error| Halt {
            reason: plan.redact_text(format!("{why}{}", explain(error))),
            advice: error.advice(),
        };
        match (class, error) {
            (Some(ErrorClass::Futile), Some(error)) if !(self.accepted && error.is_unauthorized()) => {
                Some(because("", error))
            }
            (Some(ErrorClass::Futile | ErrorClass::Denied), Some(error)) => {
                self.denied += 1;
                (self.denied >= MOST_DENIED).then(|| because("", error))
            }
            (Some(class), Some(error)) if class.is_transient() => {
                let since = *self.trouble_since.get_or_insert(now);
                let hopeless = now.saturating_sub(since) >= self.options.backoff.budget;
                hopeless.then(|| because("the hub takes no requests any more: ", error))
            }
            _ => {
                self.trouble_since = None;
                if is_write {
                    self.denied = 0;
                    self.accepted |= class.is_none();
                }
                None
            }
        }
    }

    /// Begins nothing new from now on.
    pub(crate) fn stop(&mut self) {
        if self.phase == Phase::Running {
            self.phase = Phase::Ending(Ending::Stopped);
            self.events.push_back(ApplyEvent::Interrupted);
            self.close();
        }
    }

    /// Returns why nothing begins any more, if so.
    fn ending(&self) -> Option<Ending> {
        match self.phase {
            Phase::Ending(ending) => Some(ending),
            Phase::Running | Phase::Finished => None,
        }
    }

    /// Returns `true` if nothing begins any more: the answer to a read is then worth a moment and not more.
    pub(crate) fn is_ending(&self) -> bool {
        self.ending().is_some()
    }

    /// Ends the twins of which no request is under way, but for those that must be read to know what became of them. Does nothing
    /// while twins may begin.
    fn close(&mut self) {
        let Some(ending) = self.ending() else { return };
        for device in self.devices.values_mut() {
            if let Registration::Awaited(modules) = device {
                self.released.extend(modules.drain(..));
            }
        }
        let waiting = std::mem::take(&mut self.waiting).into_keys().map(|(_, ticket)| ticket);
        let idle: BTreeSet<Ticket> = waiting
            .chain(self.reads.drain(..))
            .chain(self.writes.drain(..).map(|(ticket, _)| ticket))
            .chain(self.refreshed.drain(..).map(|(ticket, _)| ticket))
            .chain(self.registrations.drain(..))
            .collect();
        for ticket in idle {
            if let Some(task) = self.tasks.get_mut(&ticket) {
                let next = task.close(ending);
                self.follow(ticket, next);
            }
        }
    }

    fn follow(&mut self, ticket: Ticket, next: Next) {
        match next {
            Next::Go(request) => self.ready(ticket, request),
            Next::At(time, request) => {
                self.waiting.insert((time, ticket), request);
            }
            Next::Done(outcome) => {
                if let Some(task) = self.tasks.remove(&ticket) {
                    self.events.push_back(done(task.plan, outcome));
                    self.release(&task);
                }
            }
        }
    }

    /// Lets the modules begin that waited for this device, or ends them when it could not be registered.
    fn release(&mut self, task: &TwinTask<'p>) {
        let TwinId { device, module: None } = &task.plan.id else { return };
        let Some(registration) = self.devices.get_mut(device) else { return };
        let after = if task.is_there() { Registration::There } else { Registration::Failed };
        let is_there = after == Registration::There;
        let Registration::Awaited(modules) = std::mem::replace(registration, after) else { return };
        for module in modules {
            if is_there || self.is_ending() {
                self.released.push_back(module);
            } else {
                self.events.push_back(orphaned(self.twins[module]));
            }
        }
    }

    fn ready(&mut self, ticket: Ticket, request: TwinRequest) {
        match request {
            TwinRequest::Read => self.reads.push_back(ticket),
            TwinRequest::Register => self.registrations.push_back(ticket),
            // It had its turn already, and was not to blame that it came to nothing.
            TwinRequest::Refresh => self.writes.push_front((ticket, Write::Refresh)),
            TwinRequest::Patch(guarded) => self.writes.push_back((ticket, Write::Patch(guarded))),
        }
    }

    /// Readies whoever has waited long enough.
    fn wake(&mut self, now: Duration) {
        while let Some(first) = self.waiting.first_entry() {
            if first.key().0 > now {
                return;
            }
            let ((_, ticket), request) = first.remove_entry();
            self.ready(ticket, request);
        }
    }

    /// Takes the next request that may go now. Reads come first: each is in the way of a twin that is half done.
    fn send(&mut self, now: Duration) -> Option<Step<'p>> {
        if let Some(ticket) = self.reads.pop_front() {
            return self.depart(ticket, TwinRequest::Read, now);
        }
        if let Some((ticket, guarded)) = self.refreshed.pop_front() {
            return self.depart(ticket, TwinRequest::Patch(guarded), now);
        }
        if self.patch_pace.ready_at() <= now
            && let Some((ticket, write)) = self.writes.pop_front()
        {
            self.patch_pace.begin(now);
            let request = match write {
                Write::Patch(guarded) => TwinRequest::Patch(guarded),
                Write::Refresh => TwinRequest::Refresh,
            };
            return self.depart(ticket, request, now);
        }
        if self.registration_pace.ready_at() <= now
            && let Some(ticket) = self.registrations.pop_front()
        {
            self.registration_pace.begin(now);
            return self.depart(ticket, TwinRequest::Register, now);
        }
        None
    }

    fn depart(&mut self, ticket: Ticket, request: TwinRequest, now: Duration) -> Option<Step<'p>> {
        let id = &self.tasks.get(&ticket)?.plan.id;
        self.under_way.insert(ticket, UnderWay { since: now, request: request.clone() });
        Some(Step::Send(ticket, id, request))
    }

    /// Begins with one more twin, if there is one and not too many are begun.
    fn begin(&mut self) -> bool {
        let most = self.options.concurrency.max(1).saturating_mul(BEGUN_PER_REQUEST);
        if self.is_ending() || self.tasks.len() >= most {
            return false;
        }
        let Some(next) = self.turn() else { return false };
        let ticket = Ticket(next);
        let (task, request) = TwinTask::begin(self.twins[next]);
        self.tasks.insert(ticket, task);
        self.ready(ticket, request);
        true
    }

    /// Returns whose turn it is. A module to be registered before its device is there steps aside.
    fn turn(&mut self) -> Option<usize> {
        if let Some(released) = self.released.pop_front() {
            return Some(released);
        }
        while let Some(&twin) = self.twins.get(self.begun) {
            let next = self.begun;
            self.begun += 1;
            if twin.action != Action::Register || twin.id.module.is_none() {
                return Some(next);
            }
            match self.devices.get_mut(&twin.id.device) {
                None | Some(Registration::There) => return Some(next),
                Some(Registration::Awaited(modules)) => modules.push(next),
                Some(Registration::Failed) => self.events.push_back(orphaned(twin)),
            }
        }
        None
    }

    /// Takes a twin that was not begun, and never will be.
    fn leave(&mut self) -> Option<&'p TwinPlan> {
        let next = self.released.pop_front().unwrap_or_else(|| {
            self.begun += 1;
            self.begun - 1
        });
        self.twins.get(next).copied()
    }

    /// When something can be done that cannot be done now; never while only answers are awaited.
    fn next_time(&self) -> Option<Duration> {
        if self.under_way.len() >= self.options.concurrency.max(1) {
            return None;
        }
        let waiting = self.waiting.keys().next().map(|&(time, _)| time);
        let patch = (!self.writes.is_empty()).then(|| self.patch_pace.ready_at());
        let registration = (!self.registrations.is_empty()).then(|| self.registration_pace.ready_at());
        [waiting, patch, registration].into_iter().flatten().min()
    }
}

/// A module whose device is not there ends with it: the service would answer as if the credentials were wrong.
fn orphaned(module: &TwinPlan) -> ApplyEvent {
    done(module, TwinOutcome::Failed { reason: "its device could not be registered".into() })
}

fn done(plan: &TwinPlan, outcome: TwinOutcome) -> ApplyEvent {
    ApplyEvent::TwinDone { id: plan.id.clone(), action: plan.action, outcome }
}
