//! Feedback: the outcome of a message, for the service that requested it.

use serde::Deserialize;
use serde::Serialize;

use crate::core::messages::moments::{at, is_moment, millis_in, not_ours, record};
use crate::core::messages::{DELIVERIES_MAX, TIME_TO_LIVE};
use crate::core::timestamp::timestamp;
use iothub_model::twin::DeviceId;

/// The outcome of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum FeedbackStatus {
    /// The device has it.
    Success,
    /// Its time was over first.
    Expired,
    /// The queue was emptied first.
    Purged,
    /// The device will never do anything with it.
    Rejected,
    /// It was handed out in vain as often as that may be.
    DeliveryCountExceeded,
}

impl FeedbackStatus {
    /// Returns the service's sentence for it, as far as one is known (live suite of azure-iot-cli-extension).
    fn description(self) -> &'static str {
        match self {
            Self::Rejected => "Message rejected",
            Self::Success | Self::Expired | Self::Purged | Self::DeliveryCountExceeded => self.name(),
        }
    }

    /// Returns the service's word for it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Success => "Success",
            Self::Expired => "Expired",
            Self::Purged => "Purged",
            Self::Rejected => "Rejected",
            Self::DeliveryCountExceeded => "DeliveryCountExceeded",
        }
    }
}

/// What a sender is to hear of one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FeedbackBody {
    pub(in crate::core) status: FeedbackStatus,
    pub(in crate::core) at: i64,
    pub(in crate::core) message_id: Option<String>,
}

/// The outcome of one message, for the service that requested it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Feedback {
    /// Its place in the order of creation, among all that the hub keeps.
    pub(crate) sequence: u64,
    /// The revision of the change that made it so; 0 when it was read from disk.
    pub(crate) revision: u64,
    record: FeedbackRecord,
}

/// How it stands on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct FeedbackRecord {
    device: DeviceId,
    generation: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    message_id: Option<String>,
    status: FeedbackStatus,
    at: i64,
    deliveries: u32,
}

/// The form that it has in a feedback message.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FeedbackEntry<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    original_message_id: Option<&'a str>,
    enqueued_time_utc: String,
    status_code: &'static str,
    description: &'static str,
    device_id: &'a DeviceId,
    device_generation_id: &'a str,
}

impl Feedback {
    pub(crate) fn new(sequence: u64, revision: u64, device: DeviceId, generation: String, body: FeedbackBody) -> Self {
        let FeedbackBody { status, at, message_id } = body;
        let record = FeedbackRecord { device, generation, message_id, status, at, deliveries: 0 };
        Self { sequence, revision, record }
    }

    /// Returns it as handed out once more in vain; nothing when that was the last time.
    pub(crate) fn abandoned(&self, revision: u64) -> Option<Self> {
        let mut feedback = Self { revision, ..self.clone() };
        feedback.record.deliveries += 1;
        (feedback.record.deliveries < DELIVERIES_MAX).then_some(feedback)
    }

    /// Returns whose message it is about.
    pub(crate) fn device(&self) -> &DeviceId {
        &self.record.device
    }

    /// Returns how often it was handed out in vain.
    pub(crate) fn deliveries(&self) -> u32 {
        self.record.deliveries
    }

    /// Returns when it is over, in milliseconds since 1970.
    pub(crate) fn expires(&self) -> i64 {
        self.record.at + millis_in(TIME_TO_LIVE)
    }

    /// Writes it for the disk.
    pub(crate) fn to_record(&self) -> Vec<u8> {
        record(&self.record)
    }

    /// Reads it from the disk.
    pub(crate) fn from_record(sequence: u64, record: &[u8]) -> Result<Self, serde_json::Error> {
        let record: FeedbackRecord = serde_json::from_slice(record)?;
        if record.deliveries >= DELIVERIES_MAX || !is_moment(record.at) {
            return Err(not_ours("a count or time"));
        }
        Ok(Self { sequence, revision: 0, record })
    }
}

/// Writes the body of a feedback message.
pub(crate) fn feedback_body(batch: &[std::sync::Arc<Feedback>]) -> String {
    let entries = batch.iter().map(|feedback| {
        let FeedbackRecord { device, generation, message_id, status, at: time, deliveries: _ } = &feedback.record;
        FeedbackEntry {
            original_message_id: message_id.as_deref(),
            enqueued_time_utc: timestamp(at(*time)),
            status_code: status.name(),
            description: status.description(),
            device_id: device,
            device_generation_id: generation,
        }
    });
    serde_json::to_string(&entries.collect::<Vec<_>>()).expect("own types with text as keys are always JSON")
}
