//! `/statistics/devices` and `/statistics/service`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde_json::json;

use crate::core::command::Refusal;
use crate::core::requests::devices::{CountDevices, DeviceCounts};
use crate::frontends::https::call::{RegistryRead, ServiceCall, ServiceConnect};
use crate::frontends::https::context::Context;
use crate::frontends::https::response::json;

pub(crate) async fn devices(
    State(context): State<Arc<Context>>,
    _call: ServiceCall<RegistryRead>,
) -> Result<Response, Refusal> {
    let DeviceCounts { total, enabled } = context.live.handle(CountDevices).await?;
    let counts = json!({
        "totalDeviceCount": total,
        "enabledDeviceCount": enabled,
        "disabledDeviceCount": total - enabled,
    });
    Ok(json(counts.to_string()))
}

pub(crate) async fn service(State(context): State<Arc<Context>>, _call: ServiceCall<ServiceConnect>) -> Response {
    json(json!({ "connectedDeviceCount": context.live.links().devices() }).to_string())
}
