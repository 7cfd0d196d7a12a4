//! The one place where a job calls a device's method.

use serde_json::Value;

use crate::hub::command::Refusal;
use crate::hub::live::Live;
use crate::twin::DeviceId;
use crate::wire::ErrorCode;

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

/// Calls a method and waits for what comes of it. No device can be called yet, so none is online.
pub(in crate::hub) async fn call(_live: &Live, call: &MethodCall) -> MethodOutcome {
    Err(Refusal::new(ErrorCode::DeviceNotOnline, format!("the device {} is not online", call.device)))
}
