//! `/twins/{id}/methods`, `/twins/{id}/modules/{id}/methods`, and `/devices/{id}/commands`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::response::Response;
use serde_json::json;

use crate::core::command::Refusal;
use crate::core::requests::messages::PurgeMessages;
use crate::frontends::https::call::{ServiceCall, ServiceConnect, read_json_with_bytes};
use crate::frontends::https::context::Context;
use crate::frontends::https::response::json;
use crate::methods::{MethodCall, invoke};
use iothub_model::wire::ErrorCode;
use iothub_model::wire::methods::encode_result;

/// Marks a refusal whose body is one envelope in another, as those about the device itself come.
#[derive(Clone, Copy)]
pub(crate) struct Nested;

pub(crate) async fn post(
    State(context): State<Arc<Context>>,
    call: ServiceCall<ServiceConnect>,
    body: Body,
) -> Result<Response, Response> {
    match answer(&context, &call, body).await {
        Ok(response) => Ok(response),
        Err(refusal) => {
            let nested = matches!(
                refusal.code,
                ErrorCode::DeviceNotFound
                    | ErrorCode::ModuleNotFound
                    | ErrorCode::DeviceNotOnline
                    | ErrorCode::GatewayTimeout
            );
            let mut response = refusal.into_response();
            if nested {
                response.extensions_mut().insert(Nested);
            }
            Err(response)
        }
    }
}

async fn answer(context: &Context, call: &ServiceCall<ServiceConnect>, body: Body) -> Result<Response, Refusal> {
    let id = call.twin()?;
    let method = MethodCall::read(read_json_with_bytes(body).await?)?;
    let (status, payload) = invoke(&context.live, &id, method).await?;
    Ok(json(encode_result(status, &payload)))
}

/// Purges a device's queue of messages from the cloud.
pub(crate) async fn purge(
    State(context): State<Arc<Context>>,
    call: ServiceCall<ServiceConnect>,
) -> Result<Response, Refusal> {
    let id = call.device()?;
    let count = context.live.handle(PurgeMessages { device: id.clone() }).await?;
    Ok(json(json!({ "deviceId": id, "moduleId": null, "totalMessagesPurged": count }).to_string()))
}
