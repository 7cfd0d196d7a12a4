//! Responses and headers that several resources have in common.

use axum::body::Body;
use axum::body::Bytes;
use axum::response::IntoResponse;
use axum::response::Response;
use http::HeaderMap;
use http::HeaderValue;
use http::StatusCode;
use http::header;
use http::header::HeaderName;

use crate::core::command::Refusal;
use crate::core::document::Document;
use iothub_model::twin::ETag;
use iothub_model::wire;
use iothub_model::wire::ErrorCode;
use iothub_model::wire::error::ERROR_CODE_HEADER;
use iothub_model::wire::error::ERROR_CODE_HEADER_BULK;

/// Both names under which a refusal's code is sent.
pub(super) const ERROR_CODE_HEADERS: [&str; 2] = [ERROR_CODE_HEADER, ERROR_CODE_HEADER_BULK];

/// No code of the service's says that a path means nothing; above all it must not look like a device that is not there.
pub(super) fn unserved(status: StatusCode, text: &str) -> Response {
    let mut response = Refusal::new(ErrorCode::InvalidOperation, text).into_response();
    *response.status_mut() = status;
    response
}

/// Returns the values of all headers of a name, which are one list.
pub(super) fn list_of(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let values: Vec<&str> = headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
    (!values.is_empty()).then(|| values.join(", "))
}

pub(super) fn text_of<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Answers with a document and its etag, between quotes as the header wants it.
pub(super) fn document(document: &Document, etag: &ETag) -> Response {
    with_etag(json(Bytes::from_owner(document.clone())), etag)
}

pub(super) fn with_etag(mut response: Response, etag: &ETag) -> Response {
    if let Ok(etag) = HeaderValue::try_from(etag.quoted()) {
        response.headers_mut().insert(header::ETAG, etag);
    }
    response
}

/// Answers with JSON text.
pub(super) fn json(text: impl Into<Bytes>) -> Response {
    let mut response = Response::new(Body::from(text.into()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(wire::JSON));
    response
}

/// Answers with nothing but that it is done.
pub(super) fn no_content() -> Response {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// Makes an array of texts that are JSON.
pub(super) fn array<'a>(items: impl IntoIterator<Item = &'a str>) -> String {
    let mut text = String::from("[");
    for item in items {
        if text.len() > 1 {
            text.push(',');
        }
        text.push_str(item);
    }
    text.push(']');
    text
}
