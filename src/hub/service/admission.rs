//! The limits in front of the resources: who must wait waits here, and what was done is charged.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::{Body, HttpBody};
use axum::response::Response;
use http::request::Parts;
use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use time::OffsetDateTime;
use tokio::time::Instant;

use super::text_of;
use crate::hub::command::Refusal;
use crate::hub::operation::{self, Charge, Operation};
use crate::hub::throttle::{Limits, Throttle};
use crate::wire::query::{ITEM_TYPE_HEADER, ItemType};

/// The limits of a hub, and the time since it was started.
pub(super) struct Admission {
    throttle: Mutex<Throttle>,
    started: Instant,
}

/// What is known of a request that may be charged.
pub(super) struct Meter {
    operation: Option<Operation>,
    /// The bytes of its body that have come.
    bytes: Arc<AtomicU64>,
}

impl Admission {
    pub(super) fn new(limits: Limits) -> Self {
        Self { throttle: Mutex::new(Throttle::new(limits)), started: Instant::now() }
    }

    /// Returns when it is a request's turn, or refuses it. Somebody who does not wait to the end has had the turn all the same.
    pub(super) async fn admit(&self, parts: &Parts, now: OffsetDateTime) -> Result<(), Refusal> {
        let Some(operation) = operation::of(&parts.method, parts.uri.path()) else { return Ok(()) };
        let length = text_of(&parts.headers, &header::CONTENT_LENGTH).and_then(|length| length.parse().ok());
        let begin = self.throttle().admit(operation, length.unwrap_or(0), self.started.elapsed(), now)?;
        tokio::time::sleep_until(self.started + begin).await;
        Ok(())
    }

    /// Counts the bytes of a request's body as they come.
    pub(super) fn meter(&self, request: Request<Incoming>) -> (Request<Body>, Meter) {
        let operation = operation::of(request.method(), request.uri().path());
        let bytes = Arc::new(AtomicU64::new(0));
        let counted = bytes.clone();
        let request = request.map(|body| {
            Body::new(body.map_frame(move |frame| {
                let length = frame.data_ref().map_or(0, |data| data.len() as u64);
                counted.fetch_add(length, Ordering::Relaxed);
                frame
            }))
        });
        (request, Meter { operation, bytes })
    }

    /// Charges a request that was done. A method is also charged when its device does not answer.
    pub(super) fn charge(&self, meter: &Meter, response: &Response, now: OffsetDateTime) {
        let Some(Operation { charge, .. }) = meter.operation else { return };
        let done = response.status().is_success();
        let offline = charge == Charge::Both && response.status() == StatusCode::NOT_FOUND;
        // Queries of jobs are free.
        let of_jobs = text_of(response.headers(), &header::HeaderName::from_static(ITEM_TYPE_HEADER))
            .is_some_and(|kind| kind == ItemType::DeviceJob.name());
        if !(done || offline) || of_jobs {
            return;
        }
        let answer = response.body().size_hint().lower();
        self.throttle().charge(charge, meter.bytes.load(Ordering::Relaxed), answer, now);
    }

    fn throttle(&self) -> std::sync::MutexGuard<'_, Throttle> {
        self.throttle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the operation type that a refusal of this request names.
pub(super) fn kind_of(method: &Method, path: &str) -> &'static str {
    operation::of(method, path).map_or("CRUD", |operation| operation.kind)
}
