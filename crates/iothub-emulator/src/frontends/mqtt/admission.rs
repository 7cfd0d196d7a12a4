//! What stands between something that a client asks for and its being done: the misbehaviour and the latency that the hub was
//! asked for, and the limits of its tier.
//!
//! Over MQTT a refusal can be told of a CONNECT, by its code, and of a twin request, by a status and a body. Anything else that
//! is refused ends the connection, as the service does with a device that sends too much. What is held up is done in its order:
//! see [`Held`]. Of the faults, `half` and `garbage` are for the answer that was asked for (CONNACK, the twin's response, or
//! the acknowledgement where there is no other answer), and so is `no-answer`; a twin request's PUBACK comes all the same.

use std::collections::VecDeque;
use std::sync::Arc;

use mqttbytes::v4::Publish;
use mqttbytes::v4::Subscribe;
use mqttbytes::v4::Unsubscribe;
use time::OffsetDateTime;
use tokio::time::Instant;
use tokio::time::sleep_until;

use crate::core::command::Refusal;
use crate::faults::injection::{FaultInjector, refusal_of};
use crate::faults::{FaultAction, MQTT_ROUTES};
use crate::frontends::mqtt::outbox::AnswerFault;
use crate::limits::admission::Admission;
use iothub_model::tiers::Charge;
use iothub_model::tiers::Feature;
use iothub_model::tiers::Operation;
use iothub_model::twin::TwinId;
use iothub_model::wire::ErrorCode;
use iothub_model::wire::topics::FromDevice;

/// Bytes of one client that may be held up before nothing more is read from it.
const HELD_MAX_BYTES: usize = 1024 * 1024;
/// What something that is held up costs beside its content.
const OVERHEAD: usize = 128;

/// What a client asks for, as rules and limits know it. Numbered as [`MQTT_ROUTES`] has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    Connect,
    TwinGet,
    TwinPatch,
    Telemetry,
    Method,
    Subscribe,
    Unsubscribe,
}

impl Route {
    pub(crate) fn name(self) -> &'static str {
        MQTT_ROUTES[self as usize]
    }

    /// Returns what it counts as; nothing for what is not limited.
    fn operation(self) -> Option<Operation> {
        match self {
            Self::Connect => Some(Operation::Connect),
            Self::TwinGet => Some(Operation::ReadTwin),
            Self::TwinPatch => Some(Operation::UpdateTwin),
            Self::Telemetry => Some(Operation::SendTelemetry),
            // Methods are counted where they are called.
            Self::Method | Self::Subscribe | Self::Unsubscribe => None,
        }
    }
}

/// Something that a client asks for after its CONNECT.
#[derive(Debug)]
pub(crate) enum Asked {
    Publish(FromDevice, Publish),
    Subscribe(Subscribe),
    Unsubscribe(Unsubscribe),
}

impl Asked {
    pub(crate) fn route(&self) -> Route {
        match self {
            Self::Publish(FromDevice::TwinGet { .. }, _) => Route::TwinGet,
            Self::Publish(FromDevice::TwinPatch { .. }, _) => Route::TwinPatch,
            Self::Publish(FromDevice::Telemetry { .. }, _) => Route::Telemetry,
            Self::Publish(FromDevice::MethodResult { .. }, _) => Route::Method,
            Self::Subscribe(_) => Route::Subscribe,
            Self::Unsubscribe(_) => Route::Unsubscribe,
        }
    }

    /// What it costs to keep.
    fn cost(&self) -> usize {
        OVERHEAD
            + match self {
                Self::Publish(_, publish) => publish.topic.len() + publish.payload.len(),
                Self::Subscribe(subscribe) => subscribe.filters.iter().map(|filter| filter.path.len()).sum(),
                Self::Unsubscribe(unsubscribe) => unsubscribe.topics.iter().map(String::len).sum(),
            }
    }
}

/// What becomes of something that is asked for, and when.
#[derive(Debug)]
pub(crate) struct Admitted {
    /// When its time has come.
    pub(crate) due: Instant,
    pub(crate) verdict: Verdict,
    /// The injected fault in the verdict or the time, as the log has it.
    pub(crate) fault: Option<String>,
}

/// What becomes of something that is asked for, when its time has come.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// It is done.
    Done(Ending),
    /// It is not done, and the client is told so where it can be.
    Refused(Refused),
    /// It is not done, and the connection ends: by a fault that was asked for, or for this reason.
    Broken(Option<Refusal>),
}

/// How something that is done is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Well, or with an answer that is damaged.
    Answered(Option<AnswerFault>),
    /// Not at all.
    Unanswered,
    /// Not at all, and the connection ends.
    Broken,
}

/// Why something is not done.
#[derive(Debug)]
pub(crate) enum Refused {
    /// In the service's words.
    By(Refusal),
    /// By a status for which the service has no words.
    Status(u16),
}

impl Refused {
    pub(crate) fn status(&self) -> u16 {
        match self {
            Self::By(refusal) => refusal.code.status(),
            Self::Status(status) => *status,
        }
    }
}

/// The misbehaviour and the limits of a hub, as its devices meet them.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    faults: Option<Arc<FaultInjector>>,
    admission: Option<Arc<Admission>>,
}

impl Gate {
    pub(crate) fn new(faults: Arc<FaultInjector>, admission: Arc<Admission>) -> Self {
        Self { faults: Some(faults), admission: Some(admission) }
    }

    /// Says what becomes of a CONNECT, and when.
    pub(crate) fn connect(&self, id: &TwinId, now: OffsetDateTime) -> Admitted {
        self.pass(id, Route::Connect, now)
    }

    /// Says what becomes of something that a client asks for, and when.
    fn pass(&self, id: &TwinId, route: Route, now: OffsetDateTime) -> Admitted {
        let injected = self.faults.as_ref().map(|faults| faults.meet_mqtt(id, route.name())).unwrap_or_default();
        let soonest = Instant::now() + injected.delay;
        let (due, verdict) = self.judge(injected.action, soonest, route, now);
        Admitted { due, verdict, fault: injected.name() }
    }

    fn judge(
        &self,
        action: Option<FaultAction>,
        soonest: Instant,
        route: Route,
        now: OffsetDateTime,
    ) -> (Instant, Verdict) {
        let operation = route.operation();
        let ending = match action {
            Some(FaultAction::ResetBefore) => return (soonest, Verdict::Broken(None)),
            Some(FaultAction::Status(status)) => {
                let refusal = match operation.filter(|_| status == 429) {
                    Some(operation) => Some(throttled(operation)),
                    None => refusal_of(status, route.name()),
                };
                return (soonest, Verdict::Refused(refusal.map_or(Refused::Status(status), Refused::By)));
            }
            None => Ending::Answered(None),
            Some(FaultAction::Half) => Ending::Answered(Some(AnswerFault::Half)),
            Some(FaultAction::Garbage(draw)) => Ending::Answered(Some(AnswerFault::Garbage(draw))),
            Some(FaultAction::NoAnswer) => Ending::Unanswered,
            Some(FaultAction::ResetAfter) => Ending::Broken,
        };
        let (Some(admission), Some(operation)) = (self.limits(), operation) else {
            return (soonest, Verdict::Done(ending));
        };
        match admission.turn(operation, 0, now) {
            Ok(turn) => (soonest.max(turn), Verdict::Done(ending)),
            // A device is not told that there is no quota left: it is let in, and let go when it asks for what is charged.
            Err(refusal @ Refusal { code: ErrorCode::IotHubQuotaExceeded, .. }) => {
                (soonest, Verdict::Broken(Some(refusal)))
            }
            Err(Refusal { code: ErrorCode::ThrottlingBacklogTimeout, .. }) => {
                (soonest, Verdict::Refused(Refused::By(throttled(operation))))
            }
            Err(refusal) => (soonest, Verdict::Refused(Refused::By(refusal))),
        }
    }

    /// Returns `true` if the hub's tier has the feature.
    pub(crate) fn has(&self, feature: Feature) -> bool {
        self.limits().is_none_or(|admission| admission.check(feature).is_ok())
    }

    /// Charges what a client did, by the bytes that it sent or that it got.
    pub(crate) fn charge(&self, bytes: usize, now: OffsetDateTime) {
        if let Some(admission) = self.limits() {
            admission.charge(Charge::Request, bytes as u64, 0, now);
        }
    }

    /// Says whether anything is charged.
    pub(crate) fn charges(&self) -> bool {
        self.limits().is_some()
    }

    fn limits(&self) -> Option<&Admission> {
        self.admission.as_deref().filter(|admission| admission.is_limited())
    }
}

/// The refusal of a device that asks too much, which has a number of its own.
fn throttled(operation: Operation) -> Refusal {
    let text = crate::limits::throttle::throttled(operation.type_name()).text;
    Refusal::new(ErrorCode::ThrottlingException, text)
}

/// Returns what a message is charged by: its payload, and its properties as far as they count (docs: IoT Hub message format:
/// the values of system properties, the names and values of others).
pub(crate) fn message_bytes(properties: &str, payload: &[u8]) -> usize {
    let length = |text: &str| iothub_model::wire::decode_segment(text).map_or(text.len(), |decoded| decoded.len());
    let properties = properties.trim_end_matches('/').split('&').filter(|pair| !pair.is_empty());
    let counted = properties.map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let is_system = name.starts_with('$') || name.starts_with("%24");
        length(value) + if is_system { 0 } else { length(name) }
    });
    payload.len() + counted.sum::<usize>()
}

/// What one client asked for and has to wait, in the order in which it asked: what is late holds up what comes after it.
#[derive(Debug, Default)]
pub(crate) struct Held {
    queue: VecDeque<(Asked, Admitted)>,
    bytes: usize,
    /// When the last one's time comes.
    last: Option<Instant>,
}

impl Held {
    /// Lets something in that is asked for. Returns it if its time is now.
    pub(crate) fn admit(
        &mut self,
        gate: &Gate,
        id: &TwinId,
        asked: Asked,
        now: OffsetDateTime,
    ) -> Option<(Asked, Admitted)> {
        let mut admitted = gate.pass(id, asked.route(), now);
        if let Some(last) = self.last {
            admitted.due = admitted.due.max(last);
        }
        if self.queue.is_empty() && admitted.due <= Instant::now() {
            return Some((asked, admitted));
        }
        self.last = Some(admitted.due);
        self.bytes += asked.cost();
        self.queue.push_back((asked, admitted));
        None
    }

    /// Returns the next one when its time has come; never when there is none.
    pub(crate) async fn next(&mut self) -> (Asked, Admitted) {
        match self.queue.front() {
            Some((_, admitted)) => sleep_until(admitted.due).await,
            None => std::future::pending().await,
        }
        let (asked, admitted) = self.queue.pop_front().expect("it was waited for");
        self.bytes -= asked.cost();
        (asked, admitted)
    }

    /// Says whether the client may ask for more.
    pub(crate) fn has_room(&self) -> bool {
        self.bytes < HELD_MAX_BYTES
    }

    /// Says whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_message_is_charged_by() {
        for (properties, payload, expected) in [
            ("", "", 0),
            ("", "12345", 5),
            ("a=1&bc=23", "x", 1 + 2 + 4),
            ("%24.mid=abc&$.ct=application%2Fjson", "", 3 + 16),
            ("a%20b=%C3%A9", "", 3 + 2),
            ("$.on=out/", "", 3),
            ("flag", "", 4),
        ] {
            assert_eq!(message_bytes(properties, payload.as_bytes()), expected, "{properties}");
        }
    }
}
