//! `POST /devices`: many identities and twins at once.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::HeaderValue;
use http::StatusCode;

use crate::core::command::Refusal;
use crate::core::requests::bulk;
use crate::core::requests::bulk::Bulk;
use crate::frontends::https::call::{RegistryWrite, ServiceCall, read_json};
use crate::frontends::https::context::Context;
use crate::frontends::https::response::{ERROR_CODE_HEADERS, json};
use crate::handle;
use iothub_model::wire::ErrorCode;
use iothub_model::wire::bulk::BulkEntry;

pub(crate) async fn post(
    State(context): State<Arc<Context>>,
    _call: ServiceCall<RegistryWrite>,
    body: Body,
) -> Result<Response, Refusal> {
    let entries: Vec<BulkEntry> = read_json(body).await?;
    bulk::check(&entries)?;
    let entries = entries.into_iter().map(|entry| Ok((entry, handle::entropy()?))).collect::<Result<_, Refusal>>()?;
    let result = context.live.handle(Bulk { entries }).await?;
    let mut response = json(serde_json::to_string(&result).expect("text is JSON"));
    if !result.is_successful {
        // A refusal with a body of its own, which some SDKs know by the one header and some by the other.
        *response.status_mut() = StatusCode::BAD_REQUEST;
        for name in ERROR_CODE_HEADERS {
            let code = HeaderValue::from_static(ErrorCode::BulkRegistryOperationFailure.name());
            response.headers_mut().insert(name, code);
        }
    }
    Ok(response)
}
