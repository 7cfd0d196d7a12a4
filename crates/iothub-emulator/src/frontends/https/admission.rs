//! The limits in front of the resources: who must wait waits here, and what was done is charged.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use axum::body::Body;
use axum::body::HttpBody;
use axum::response::Response;
use http::Method;
use http::Request;
use http::header;
use http::request::Parts;
use http_body_util::BodyExt;
use time::OffsetDateTime;

use crate::core::command::Refusal;
use crate::frontends::https::response::text_of;
use crate::limits::admission::Admission;
use iothub_model::tiers::Operation;
use iothub_model::wire::query::ITEM_TYPE_HEADER;

/// What is known of a request that may be charged.
pub(crate) struct Meter {
    operation: Option<Operation>,
    /// The bytes of its body that have come.
    bytes: Arc<AtomicU64>,
}

/// Returns when it is a request's turn, or refuses it.
pub(crate) async fn admit(admission: &Admission, parts: &Parts, now: OffsetDateTime) -> Result<(), Refusal> {
    let Some(operation) = Operation::of(parts.method.as_str(), parts.uri.path()) else { return Ok(()) };
    let length = text_of(&parts.headers, &header::CONTENT_LENGTH).and_then(|length| length.parse().ok());
    tokio::time::sleep_until(admission.turn(operation, length.unwrap_or(0), now)?).await;
    Ok(())
}

impl Meter {
    /// Counts the bytes of a request's body as they come.
    pub(crate) fn of(request: Request<Body>) -> (Request<Body>, Self) {
        let operation = Operation::of(request.method().as_str(), request.uri().path());
        let bytes = Arc::new(AtomicU64::new(0));
        let counted = bytes.clone();
        let request = request.map(|body| {
            Body::new(body.map_frame(move |frame| {
                let length = frame.data_ref().map_or(0, |data| data.len() as u64);
                counted.fetch_add(length, Ordering::Relaxed);
                frame
            }))
        });
        (request, Self { operation, bytes })
    }

    /// Charges a request after its response.
    pub(crate) fn charge(&self, admission: &Admission, response: &Response, now: OffsetDateTime) {
        let Some(operation) = self.operation else { return };
        let item_type = text_of(response.headers(), &header::HeaderName::from_static(ITEM_TYPE_HEADER));
        let charge = operation.charge_after(response.status().as_u16(), item_type);
        let answer = response.body().size_hint().lower();
        admission.charge(charge, self.bytes.load(Ordering::Relaxed), answer, now);
    }
}

/// Returns the operation type that a refusal of this request names.
pub(crate) fn kind_of(method: &Method, path: &str) -> &'static str {
    Operation::of(method.as_str(), path).map_or("CRUD", Operation::type_name)
}
