//! The one place where a job calls a device's method.

use crate::core::command::Refusal;
use crate::core::jobs::{JobMethodCall, MethodOutcome};
use crate::handle::HubHandle;
use crate::methods;
use iothub_model::twin::TwinId;
use iothub_model::wire::ErrorCode;
use iothub_model::wire::members;
use iothub_model::wire::methods::MethodBody;
use iothub_model::wire::methods::encode_outcome;

/// Calls a method and waits for what comes of it.
pub(crate) async fn call(live: &HubHandle, call: &JobMethodCall) -> MethodOutcome {
    let body: MethodBody = members::read(call.method.as_str().as_bytes())
        .map_err(|error| Refusal::new(ErrorCode::ArgumentInvalid, format!("the cloudToDeviceMethod: {error}")))?;
    let method = methods::MethodCall::read(body)?;
    let (status, payload) = methods::invoke(live, &TwinId::device(call.device.clone()), method).await?;
    Ok(encode_outcome(status, &payload))
}
