//! The one place where a job calls a device's method.

use serde_json::Value;

use crate::hub::command::Refusal;
use crate::hub::live::Live;
use crate::hub::methods;
use crate::twin::{DeviceId, TwinId};
use crate::wire::ErrorCode;
use crate::wire::members;
use crate::wire::methods::{MethodBody, encode_result};

/// A method that a job is to call now.
#[derive(Clone, Debug, PartialEq)]
pub struct MethodCall {
    /// The outcome's place, by which it is told.
    pub device_job: u64,
    /// On which device.
    pub device: DeviceId,
    /// The method's name, payload and timeouts, as the job's maker gave them.
    pub method: Value,
}

/// What came of a method: the device's `status` and `payload`, or why it was not called.
pub type MethodOutcome = Result<Value, Refusal>;

/// Calls a method and waits for what comes of it.
pub(in crate::hub) async fn call(live: &Live, call: &MethodCall) -> MethodOutcome {
    let body: MethodBody = members::read(call.method.to_string().as_bytes())
        .map_err(|error| Refusal::new(ErrorCode::ArgumentInvalid, format!("the cloudToDeviceMethod: {error}")))?;
    let method = methods::MethodCall::read(body)?;
    let (status, payload) = methods::invoke(live, &TwinId::device(call.device.clone()), method).await?;
    Ok(encode_result(status, &payload))
}
