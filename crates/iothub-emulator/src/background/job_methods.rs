//! The one place where a job calls a device's method.

use crate::core::command::Refusal;
use crate::handle::Live;
use crate::methods;
use iothub_model::twin::DeviceId;
use iothub_model::twin::TwinId;
use iothub_model::wire::ErrorCode;
use iothub_model::wire::members;
use iothub_model::wire::methods::MethodBody;
use iothub_model::wire::methods::encode_outcome;
use iothub_model::wire::raw_json::RawJson;

/// A method that a job is to call now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MethodCall {
    /// The outcome's place, by which it is told.
    pub device_job: u64,
    /// On which device.
    pub device: DeviceId,
    /// The method's name, payload and timeouts, as the job's maker gave them.
    pub method: RawJson,
}

/// What came of a method: the device's `status` and `payload`, or why it was not called.
pub(crate) type MethodOutcome = Result<RawJson, Refusal>;

/// Calls a method and waits for what comes of it.
pub(crate) async fn call(live: &Live, call: &MethodCall) -> MethodOutcome {
    let body: MethodBody = members::read(call.method.as_str().as_bytes())
        .map_err(|error| Refusal::new(ErrorCode::ArgumentInvalid, format!("the cloudToDeviceMethod: {error}")))?;
    let method = methods::MethodCall::read(body)?;
    let (status, payload) = methods::invoke(live, &TwinId::device(call.device.clone()), method).await?;
    Ok(encode_outcome(status, &payload))
}
