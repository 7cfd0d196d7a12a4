//! `/statistics/devices` and `/statistics/service`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde_json::json;

use super::call::{Call, RegistryRead, ServiceConnect};
use super::{Context, json};
use crate::command::{Command, Refusal, Reply};

pub(super) async fn devices(
    State(context): State<Arc<Context>>,
    _call: Call<RegistryRead>,
) -> Result<Response, Refusal> {
    let Reply::Counts { total, enabled } = context.live.handle(Command::CountDevices).await? else {
        unreachable!("the command answers with counts")
    };
    let counts = json!({
        "totalDeviceCount": total,
        "enabledDeviceCount": enabled,
        "disabledDeviceCount": total - enabled,
    });
    Ok(json(counts.to_string()))
}

pub(super) async fn service(State(context): State<Arc<Context>>, _call: Call<ServiceConnect>) -> Response {
    json(json!({ "connectedDeviceCount": context.live.links().devices() }).to_string())
}
