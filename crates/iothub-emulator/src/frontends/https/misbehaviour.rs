//! Doing to requests and answers what the rules of [`crate::faults`] say.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::Body;
use axum::body::Bytes;
use axum::response::IntoResponse;
use axum::response::Response;
use futures_util::StreamExt;
use futures_util::stream;
use http::HeaderValue;
use http::Request;
use http::StatusCode;
use http::header;
use http_body_util::BodyExt;

use crate::core::command::Refusal;
use crate::faults::{FaultSpec, Faults, Ill, Mishap, between, draw};
use crate::frontends::https::admission::kind_of;
use crate::limits::throttle::throttled;
use iothub_model::twin::TwinId;
use iothub_model::wire::ErrorCode;
use iothub_model::wire::faults::FAULTS_PATH;
use iothub_model::wire::faults::FaultsReport;

/// How long half an answer has to leave before the connection breaks.
const FLUSH: Duration = Duration::from_millis(10);

/// How the hub is to misbehave, which can be changed while it runs.
#[derive(Debug)]
pub(crate) struct Misbehaviour {
    /// Whether there is anything to look up; what a well-behaved hub pays is this.
    any: AtomicBool,
    latency: Duration,
    /// How many requests were made to wait for the latency.
    late: AtomicU64,
    faults: Mutex<Faults>,
}

/// A request that is to get no answer.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the connection is broken off, as was asked for")]
pub(crate) struct BrokenOff;

impl Misbehaviour {
    pub(crate) fn new(latency: Duration, faults: FaultSpec) -> Self {
        let any = AtomicBool::new(!latency.is_zero() || !faults.is_empty());
        Self { any, latency, late: AtomicU64::new(0), faults: Mutex::new(Faults::new(faults)) }
    }

    /// Puts rules in the place of those that were there.
    pub(crate) fn set(&self, faults: FaultSpec) {
        let mut current = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        self.any.store(!self.latency.is_zero() || !faults.is_empty(), Ordering::Relaxed);
        *current = Faults::new(faults);
    }

    /// Says which rules there are and what they came to.
    pub(crate) fn report(&self) -> FaultsReport {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).report()
    }

    /// Holds a request up for as long as it is to be, and says what else happens to it. Requests to change the rules are
    /// spared.
    pub(crate) async fn meet<B>(&self, request: &Request<B>) -> Option<Ill> {
        if request.uri().path().trim_end_matches('/') == FAULTS_PATH {
            return None;
        }
        let Mishap { delay, ill } = self.mishap(|faults| faults.meet(request.method(), request.uri().path()));
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        ill
    }

    /// Says what happens to something that a device asks for over MQTT.
    pub(crate) fn meet_mqtt(&self, id: &TwinId, route: &str) -> Mishap {
        self.mishap(|faults| faults.meet_mqtt(id, route))
    }

    fn mishap(&self, meet: impl FnOnce(&mut Faults) -> Mishap) -> Mishap {
        if !self.any.load(Ordering::Relaxed) {
            return Mishap::default();
        }
        let Mishap { delay, ill } = meet(&mut self.faults.lock().unwrap_or_else(PoisonError::into_inner));
        Mishap { delay: delay + self.late(), ill }
    }

    fn late(&self) -> Duration {
        if self.latency.is_zero() {
            return Duration::ZERO;
        }
        let nth = self.late.fetch_add(1, Ordering::Relaxed);
        between(self.latency / 2, self.latency + self.latency / 2, draw(0, 0, nth, 0))
    }
}

/// Answers with a failure in place of what was asked: with the service's body where it has one for the status, else with
/// nothing, as a gateway does.
pub(crate) fn refusal<B>(status: u16, request: &Request<B>) -> Response {
    match refusal_of(status, kind_of(request.method(), request.uri().path())) {
        Some(refusal) => refusal.into_response(),
        None => {
            let mut response = Response::default();
            *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            response
        }
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

/// Lets half of an answer's body come, and breaks off.
pub(crate) async fn halve(response: Response) -> Result<Response, BrokenOff> {
    let (mut head, body) = response.into_parts();
    let body = body.collect().await.map_err(|_| BrokenOff)?.to_bytes();
    if body.is_empty() {
        // Half of nothing cannot be told from all of it.
        return Err(BrokenOff);
    }
    // The length is that of the whole.
    head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(body.len()));
    let half = stream::once(std::future::ready(Ok(body.slice(..body.len() / 2))));
    // What has come so far is sent when nothing more is there, and would be dropped with an end that comes at once.
    let end = stream::once(async {
        tokio::time::sleep(FLUSH).await;
        Err(BrokenOff)
    });
    Ok(Response::from_parts(head, Body::from_stream(half.chain(end))))
}

/// Puts nonsense in the place of an answer's body. Its status stays.
pub(crate) fn garble(response: Response, draw: u64) -> Response {
    let (mut head, _) = response.into_parts();
    head.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(head, Body::from(nonsense(draw)))
}

/// Returns something that is not what was wanted, by a number.
pub(crate) fn nonsense(draw: u64) -> Bytes {
    const NONSENSE: [&[u8]; 4] =
        [b"<html><body><h1>It works!</h1></body></html>", b"{\"deviceId\":\"d", b"\xff\xfe\x00\x01\x00garbage", b"{}"];
    Bytes::from_static(NONSENSE[usize::try_from(draw % 4).unwrap_or(0)])
}
