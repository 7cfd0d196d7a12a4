//! The verdicts: what the hub does to the next request, and what a refusal or a malformed response is made of. Each front end
//! carries the verdict out in its own protocol.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http::Method;

use crate::core::command::Refusal;
use crate::faults::{FaultSpec, Faults, InjectedFault, between, draw};
use crate::limits::throttle::throttled;
use iothub_model::twin::TwinId;
use iothub_model::wire::ErrorCode;
use iothub_model::wire::faults::FAULTS_PATH;
use iothub_model::wire::faults::FaultsReport;

/// The faults that the hub injects. The rules can change while the hub runs.
#[derive(Debug)]
pub(crate) struct FaultInjector {
    /// `true` if there is a rule or a latency. Without one, a request costs this one read.
    any: AtomicBool,
    latency: Duration,
    /// The number of requests that were delayed by the latency.
    late: AtomicU64,
    faults: Mutex<Faults>,
}

/// The connection of a request breaks off in place of a response.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the connection is broken off, as was asked for")]
pub(crate) struct BrokenOff;

impl FaultInjector {
    pub(crate) fn new(latency: Duration, faults: FaultSpec) -> Self {
        let any = AtomicBool::new(!latency.is_zero() || !faults.is_empty());
        Self { any, latency, late: AtomicU64::new(0), faults: Mutex::new(Faults::new(faults)) }
    }

    /// Replaces the rules.
    pub(crate) fn set(&self, faults: FaultSpec) {
        let mut current = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        self.any.store(!self.latency.is_zero() || !faults.is_empty(), Ordering::Relaxed);
        *current = Faults::new(faults);
    }

    /// Returns the rules, and how often each matched and fired.
    pub(crate) fn report(&self) -> FaultsReport {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).report()
    }

    /// Returns the fault for the next request over HTTPS. Requests that change the rules get none.
    pub(crate) fn meet(&self, method: &Method, path: &str) -> InjectedFault {
        if path.trim_end_matches('/') == FAULTS_PATH {
            return InjectedFault::default();
        }
        self.next(|faults| faults.meet(method, path))
    }

    /// Returns the fault for the next thing that a device asks for over MQTT.
    pub(crate) fn meet_mqtt(&self, id: &TwinId, route: &str) -> InjectedFault {
        self.next(|faults| faults.meet_mqtt(id, route))
    }

    fn next(&self, meet: impl FnOnce(&mut Faults) -> InjectedFault) -> InjectedFault {
        if !self.any.load(Ordering::Relaxed) {
            return InjectedFault::default();
        }
        let injected = meet(&mut self.faults.lock().unwrap_or_else(PoisonError::into_inner));
        InjectedFault { delay: injected.delay.saturating_add(self.late()), ..injected }
    }

    fn late(&self) -> Duration {
        if self.latency.is_zero() {
            return Duration::ZERO;
        }
        let nth = self.late.fetch_add(1, Ordering::Relaxed);
        between(self.latency / 2, self.latency.saturating_add(self.latency / 2), draw(0, 0, nth, 0))
    }
}

/// Returns the refusal that the service has for a status. `kind` is the operation type that one of too many requests names.
pub(crate) fn refusal_of(status: u16, kind: &str) -> Option<Refusal> {
    let code = match status {
        429 => return Some(throttled(kind)),
        400 => ErrorCode::GenericBadRequest,
        401 => ErrorCode::IotHubUnauthorizedAccess,
        403 => ErrorCode::IotHubQuotaExceeded,
        404 => ErrorCode::DeviceNotFound,
        409 => ErrorCode::DeviceAlreadyExists,
        412 => ErrorCode::PreconditionFailed,
        413 => ErrorCode::MessageTooLarge,
        500 => ErrorCode::ServerError,
        503 => ErrorCode::ServiceUnavailable,
        _ => return None,
    };
    Some(Refusal::new(code, "the embedded hub was asked to fail"))
}

/// Returns the malformed response of a number: bytes that no client expects.
pub(crate) fn malformed_response(draw: u64) -> Bytes {
    const BODIES: [&[u8]; 4] =
        [b"<html><body><h1>It works!</h1></body></html>", b"{\"deviceId\":\"d", b"\xff\xfe\x00\x01\x00garbage", b"{}"];
    Bytes::from_static(BODIES[usize::try_from(draw % 4).unwrap_or(0)])
}
