//! `POST /devices/keys/regenerate`: new keys for many devices and modules.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::HeaderValue;
use http::StatusCode;

use crate::core::command::Refusal;
use crate::core::requests::keys;
use crate::frontends::https::call::{RegistryWrite, ServiceCall, read_json};
use crate::frontends::https::context::Context;
use crate::frontends::https::response::{ERROR_CODE_HEADERS, json};
use crate::handle;
use iothub_model::wire::ErrorCode;

/// Answers 200 if all have new keys, 207 if some have and 400 if none has, with the same body: SDKs read it from all three.
pub(crate) async fn regenerate(
    State(context): State<Arc<Context>>,
    _call: ServiceCall<RegistryWrite>,
    body: Body,
) -> Result<Response, Refusal> {
    let result = context.live.handle(keys::read(read_json(body).await?, handle::entropy)?).await?;
    let mut response = json(serde_json::to_string(&result).expect("text is JSON"));
    *response.status_mut() = match (result.rotated_keys.is_empty(), result.errors.is_empty()) {
        (_, true) => StatusCode::OK,
        (false, false) => StatusCode::MULTI_STATUS,
        (true, false) => StatusCode::BAD_REQUEST,
    };
    if response.status() == StatusCode::BAD_REQUEST {
        for name in ERROR_CODE_HEADERS {
            let code = HeaderValue::from_static(ErrorCode::BulkRegenerateDeviceKeyOperationFailure.name());
            response.headers_mut().insert(name, code);
        }
    }
    Ok(response)
}
