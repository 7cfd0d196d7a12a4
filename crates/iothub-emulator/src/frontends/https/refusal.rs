//! A refusal on its way out.

use axum::body::Body;
use axum::response::IntoResponse;
use axum::response::Response;
use http::StatusCode;

use crate::core::command::Refusal;
use iothub_model::wire::ErrorCode;

/// Sets the status and carries the refusal; `Service::answer` writes the body, which names the request.
impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::from_u16(self.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        response.extensions_mut().insert(self);
        response
    }
}

/// Says why a body was not read: no JSON at all, or JSON of another shape.
pub(crate) fn bad_json(error: &serde_json::Error) -> Refusal {
    match error.classify() {
        serde_json::error::Category::Data => Refusal::new(ErrorCode::ArgumentInvalid, format!("the body: {error}")),
        _ => Refusal::new(ErrorCode::IotHubFormatError, format!("the body is not JSON: {error}")),
    }
}
