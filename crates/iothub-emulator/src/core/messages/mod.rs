//! Messages from the cloud to devices, and what became of them (docs: Understand cloud-to-device messaging from an IoT hub).
//!
//! Owns what a message and its feedback are, and where they wait (`queues`); [`crate::core::state`] decides what becomes of one. Both
//! last until they are done with; who has one in its hands at present is in memory alone. Read [`CloudMessage`] first.

pub(crate) mod operations;
pub(crate) mod queues;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde::Serialize;
use time::OffsetDateTime;

use crate::core::command::Refusal;
use crate::core::identity::is_count;
use crate::core::session::Proof;
use crate::core::timestamp::timestamp;
use iothub_model::twin::DeviceId;
use iothub_model::twin::TwinId;
use iothub_model::wire::ErrorCode;
use iothub_model::wire::messages::ACK;
use iothub_model::wire::messages::MessageProperties;

/// Messages that wait for a device, at most.
pub(crate) const QUEUE_MAX: usize = 50;
/// How long a message is kept that says nothing of it.
pub(crate) const TIME_TO_LIVE: time::Duration = time::Duration::HOUR;
/// How long one is kept at most.
const TIME_TO_LIVE_MAX: time::Duration = time::Duration::days(2);
/// How long whoever has taken something has to say what became of it.
pub(crate) const LOCK: time::Duration = time::Duration::MINUTE;
/// How often feedback, or a message over HTTPS, is handed out before it is given up.
pub(crate) const DELIVERIES_MAX: u32 = 10;
/// Outcomes in one feedback message, at most.
pub(crate) const BATCH_MAX: usize = 64;
/// From one feedback message to the next, unless that one is full.
pub(crate) const BATCH_EVERY: time::Duration = time::Duration::seconds(15);
/// Bytes of a message with all its properties, at most (docs: IoT Hub quotas and throttling).
pub(crate) const MESSAGE_MAX_BYTES: usize = 64 * 1024;
/// Bytes of a topic, at most, which is MQTT's limit of texts.
const TOPIC_MAX_BYTES: usize = 0xffff;

/// One thing asked about messages from the cloud. What devices do with theirs is a
/// [`SessionCommand`](crate::core::session::SessionCommand).
#[derive(Clone, Debug)]
pub enum MessageCommand {
    /// Puts a message into a device's queue.
    Send {
        /// Whose.
        to: TwinId,
        /// What.
        message: Box<MessageBody>,
    },
    /// Empties a device's queue.
    Purge {
        /// Whose.
        device: DeviceId,
    },
    /// Takes outcomes, if it is time for a feedback message. They are the receiver's until it settles them, or for a minute.
    TakeFeedback {
        /// The receiver's number, which no other has.
        receiver: u64,
    },
    /// Hands a device its next message over HTTPS. It is the device's for a while, under a lock that names it.
    Receive {
        /// Whose.
        device: DeviceId,
        /// How it proves who it is.
        proof: Proof,
        /// The lock's name, which no other has.
        lock: String,
        /// For how long.
        lasts: time::Duration,
    },
    /// Says what becomes of a message that a device has under a lock.
    Settle {
        /// Whose.
        device: DeviceId,
        /// How it proves who it is.
        proof: Proof,
        /// The lock's name.
        lock: String,
        /// What.
        how: Settlement,
    },
    /// Takes a message of a device over HTTPS. It goes nowhere.
    Telemetry {
        /// Whose.
        device: DeviceId,
        /// How it proves who it is.
        proof: Proof,
    },
    /// Says what becomes of outcomes that were taken.
    SettleFeedback {
        /// The receiver's number.
        receiver: u64,
        /// Which, by their [`Feedback::sequence`].
        outcomes: Vec<u64>,
        /// What.
        how: Settlement,
    },
    /// Does what time brings about: what is over goes, and what nobody settled waits again.
    Sweep,
}

impl MessageCommand {
    /// Says whether it may change something that lasts.
    pub fn writes(&self) -> bool {
        match self {
            Self::Send { .. } | Self::Purge { .. } | Self::SettleFeedback { .. } | Self::Sweep => true,
            // A lock that is over counts as a delivery.
            Self::Receive { .. } | Self::Settle { .. } => true,
            Self::TakeFeedback { .. } | Self::Telemetry { .. } => false,
        }
    }
}

/// What a receiver says of what it took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// It has it.
    Complete,
    /// It could not do anything with it now.
    Abandon,
    /// It will never do anything with it.
    Reject,
    /// It is gone and has said nothing.
    Release,
}

/// A message as its sender has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageBody {
    /// What it carries beside its payload; `expiry` is not looked at.
    pub properties: MessageProperties,
    /// Until when it is of use, in milliseconds since 1970.
    pub expires: Option<i64>,
    /// The payload.
    pub payload: Bytes,
}

/// When a sender hears of what became of its message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Ack {
    /// When the device has it.
    positive: bool,
    /// When the device will not get it.
    negative: bool,
}

impl Ack {
    fn of(properties: &MessageProperties) -> Option<Self> {
        let asked = properties.others.iter().find(|(name, _)| name == ACK).and_then(|(_, value)| value.as_deref());
        let (positive, negative) = match asked {
            None => (false, false),
            Some(text) if text.eq_ignore_ascii_case("none") => (false, false),
            Some(text) if text.eq_ignore_ascii_case("positive") => (true, false),
            Some(text) if text.eq_ignore_ascii_case("negative") => (false, true),
            Some(text) if text.eq_ignore_ascii_case("full") => (true, true),
            Some(_) => return None,
        };
        Some(Self { positive, negative })
    }
}

/// A message that waits for a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudMessage {
    /// Its place in the order of creation, among all that the hub keeps.
    pub sequence: u64,
    /// The revision of the change that made it; 0 when it was read from disk.
    pub revision: u64,
    /// Whose it is.
    pub device: DeviceId,
    /// When it is over, in milliseconds since 1970.
    pub(crate) expires: i64,
    /// The topic on which the device gets it.
    pub topic: String,
    /// The payload.
    pub payload: Bytes,
    message_id: Option<String>,
    ack: Ack,
    /// When it came, in milliseconds since 1970; none of messages that an older version of this program wrote.
    enqueued: Option<i64>,
    /// How often it was handed out in vain.
    deliveries: u32,
}

/// How a message stands on disk.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct MessageRecord {
    device: DeviceId,
    expires: i64,
    topic: String,
    payload: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    enqueued: Option<i64>,
    #[serde(default, skip_serializing_if = "is_zero")]
    deliveries: u32,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl CloudMessage {
    /// Makes a message of what a sender gives.
    pub(crate) fn new(
        sequence: u64,
        revision: u64,
        device: DeviceId,
        body: MessageBody,
        now: OffsetDateTime,
    ) -> Result<Self, Refusal> {
        let MessageBody { mut properties, expires: given, payload } = body;
        let now = millis(now);
        let latest = now + millis_in(TIME_TO_LIVE_MAX);
        let expires = given.map_or(now + millis_in(TIME_TO_LIVE), |given| given.clamp(0, latest));
        properties.expiry = given.map(|_| timestamp(at(expires)));
        if let Some((name, _)) = properties.others.iter().find(|(name, _)| name.starts_with("$.")) {
            let text = format!(
                "a property is called `{}`, and names that begin with `$.` are the system's",
                name.escape_debug()
            );
            return Err(Refusal::new(ErrorCode::ArgumentInvalid, text));
        }
        let Some(ack) = Ack::of(&properties) else {
            let text = format!("{ACK} is none, positive, negative or full, and this message has another value");
            return Err(Refusal::new(ErrorCode::ArgumentInvalid, text));
        };
        let bytes = payload.len() + size_of(&properties);
        if bytes > MESSAGE_MAX_BYTES {
            let text =
                format!("the message has {bytes} bytes with its properties, and {MESSAGE_MAX_BYTES} are allowed");
            return Err(Refusal::new(ErrorCode::MessageTooLarge, text));
        }
        let topic = properties.topic(&device);
        if topic.len() > TOPIC_MAX_BYTES {
            let text = format!("the message's properties make a topic of more than {TOPIC_MAX_BYTES} bytes");
            return Err(Refusal::new(ErrorCode::MessageTooLarge, text));
        }
        let (message_id, enqueued) = (properties.message_id, Some(now));
        Ok(Self { sequence, revision, device, expires, topic, payload, message_id, ack, enqueued, deliveries: 0 })
    }

    /// Writes it for the disk.
    pub(crate) fn to_record(&self) -> Vec<u8> {
        let Self { device, expires, topic, payload, enqueued, deliveries, .. } = self;
        record(&MessageRecord {
            device: device.clone(),
            expires: *expires,
            topic: topic.clone(),
            payload: STANDARD.encode(payload),
            enqueued: *enqueued,
            deliveries: *deliveries,
        })
    }

    /// Returns it as handed out once more in vain; `None` if that was the last time.
    pub(crate) fn abandoned(&self, revision: u64) -> Option<Self> {
        let message = Self { revision, deliveries: self.deliveries + 1, ..self.clone() };
        (message.deliveries < DELIVERIES_MAX).then_some(message)
    }

    /// Returns what it carries beside its payload.
    pub(crate) fn properties(&self) -> MessageProperties {
        MessageProperties::parse(&self.topic, &self.device).expect("the topic is made of them, or was read")
    }

    /// Returns when it came.
    pub(crate) fn enqueued(&self) -> Option<OffsetDateTime> {
        self.enqueued.map(at)
    }

    /// Returns when it is over.
    pub(crate) fn expires(&self) -> OffsetDateTime {
        at(self.expires)
    }

    /// Returns how often it was handed out in vain.
    pub(crate) fn deliveries(&self) -> u32 {
        self.deliveries
    }

    /// Reads it from the disk.
    pub(crate) fn from_record(sequence: u64, record: &[u8]) -> Result<Self, serde_json::Error> {
        let MessageRecord { device, expires, topic, payload, enqueued, deliveries } = serde_json::from_slice(record)?;
        let properties = MessageProperties::parse(&topic, &device).filter(|_| topic.len() <= TOPIC_MAX_BYTES);
        let properties = properties.ok_or_else(|| not_ours("a topic"))?;
        let ack = Ack::of(&properties).ok_or_else(|| not_ours("an acknowledgement"))?;
        let payload = STANDARD.decode(payload).map_err(|_| not_ours("a payload"))?;
        let is_kept = deliveries < DELIVERIES_MAX && enqueued.is_none_or(is_moment);
        if payload.len() > MESSAGE_MAX_BYTES || !is_moment(expires) || !is_kept {
            return Err(not_ours("a size or time"));
        }
        let (payload, message_id) = (payload.into(), properties.message_id);
        Ok(Self { sequence, revision: 0, device, expires, topic, payload, message_id, ack, enqueued, deliveries })
    }

    /// Returns what its sender is to hear when this becomes of it; nothing when the sender did not ask for it.
    pub(crate) fn feedback(&self, status: FeedbackStatus, at: i64) -> Option<FeedbackBody> {
        let asked = match status {
            FeedbackStatus::Success => self.ack.positive,
            FeedbackStatus::Expired
            | FeedbackStatus::Purged
            | FeedbackStatus::Rejected
            | FeedbackStatus::DeliveryCountExceeded => self.ack.negative,
        };
        asked.then(|| FeedbackBody { status, at, message_id: self.message_id.clone() })
    }

    pub(crate) fn is_over(&self, now: i64) -> bool {
        self.expires <= now
    }
}

/// What became of a message.
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
    status: FeedbackStatus,
    at: i64,
    message_id: Option<String>,
}

/// What became of one message, on its way to whoever asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feedback {
    /// Its place in the order of creation, among all that the hub keeps.
    pub sequence: u64,
    /// The revision of the change that made it so; 0 when it was read from disk.
    pub revision: u64,
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

/// How it stands in a feedback message.
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
    pub fn deliveries(&self) -> u32 {
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

/// Returns a time in milliseconds since 1970.
pub(crate) fn millis(at: OffsetDateTime) -> i64 {
    i64::try_from(at.unix_timestamp_nanos() / 1_000_000).expect("a time has a year of four digits")
}

fn millis_in(duration: time::Duration) -> i64 {
    i64::try_from(duration.whole_milliseconds()).expect("the spans above are of days")
}

fn at(millis: i64) -> OffsetDateTime {
    let nanos = i128::from(millis) * 1_000_000;
    OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// Says whether a number of milliseconds is a time that can be written.
fn is_moment(millis: i64) -> bool {
    u64::try_from(millis).is_ok_and(is_count) && OffsetDateTime::from_unix_timestamp(millis / 1000 + 1_000_000).is_ok()
}

fn size_of(properties: &MessageProperties) -> usize {
    // Where it goes and until when is of no weight.
    let MessageProperties {
        message_id,
        to: _,
        correlation_id,
        user_id,
        content_type,
        content_encoding,
        expiry: _,
        others,
    } = properties;
    let known = [message_id, correlation_id, user_id, content_type, content_encoding];
    let known: usize = known.into_iter().flatten().map(String::len).sum();
    let others = others.iter().map(|(name, value)| name.len() + value.as_ref().map_or(0, String::len));
    known + others.sum::<usize>()
}

fn record(record: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(record).expect("own types with text as keys are always JSON")
}

fn not_ours(what: &str) -> serde_json::Error {
    serde::de::Error::custom(format_args!("{what} that this program does not write"))
}
