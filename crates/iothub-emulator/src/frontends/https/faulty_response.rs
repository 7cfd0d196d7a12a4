//! Injected faults, carried out on HTTP responses.

use std::time::Duration;

use axum::body::Body;
use axum::response::IntoResponse;
use axum::response::Response;
use futures_util::StreamExt;
use futures_util::stream;
use http::HeaderValue;
use http::Method;
use http::StatusCode;
use http::header;
use http_body_util::BodyExt;

use crate::faults::injection::{BrokenOff, malformed_response, refusal_of};
use crate::frontends::https::admission::kind_of;

/// How long half an answer has to leave before the connection breaks.
const FLUSH: Duration = Duration::from_millis(10);

/// Answers with a failure in place of what was asked: with the service's body where it has one for the status, else with
/// nothing, as a gateway does.
pub(crate) fn refusal(status: u16, method: &Method, path: &str) -> Response {
    match refusal_of(status, kind_of(method, path)) {
        Some(refusal) => refusal.into_response(),
        None => {
            let mut response = Response::default();
            *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            response
        }
    }
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

/// Replaces the body of a response by a malformed one. The status stays.
pub(crate) fn garble(response: Response, draw: u64) -> Response {
    let (mut head, _) = response.into_parts();
    head.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(head, Body::from(malformed_response(draw)))
}
