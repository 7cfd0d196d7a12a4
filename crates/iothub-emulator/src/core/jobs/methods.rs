//! The direct methods that jobs call, as data.

use crate::core::command::Refusal;
use iothub_model::twin::DeviceId;
use iothub_model::wire::raw_json::RawJson;

/// A direct method that a job has to call now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JobMethodCall {
    /// The sequence of the device job that records the outcome.
    pub(crate) device_job: u64,
    /// The device whose method is called.
    pub(crate) device: DeviceId,
    /// The method's name, payload and timeouts, as the job's creator wrote them.
    pub(crate) method: RawJson,
}

/// The outcome of a direct method: the device's `status` and `payload`, or the reason why it was not called.
pub(crate) type MethodOutcome = Result<RawJson, Refusal>;
