//! A message from the cloud, as its sender has it and as it waits for a device.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Deserialize;
use serde::Serialize;
use time::OffsetDateTime;

use crate::core::command::Refusal;
use crate::core::messages::feedback::{FeedbackBody, FeedbackStatus};
use crate::core::messages::moments::{at, is_moment, millis, millis_in, not_ours, record};
use crate::core::messages::{DELIVERIES_MAX, MESSAGE_MAX_BYTES, TIME_TO_LIVE};
use crate::core::timestamp::timestamp;
use iothub_model::twin::DeviceId;
use iothub_model::wire::ErrorCode;
use iothub_model::wire::messages::ACK;
use iothub_model::wire::messages::MessageProperties;

/// How long one is kept at most.
const TIME_TO_LIVE_MAX: time::Duration = time::Duration::days(2);
/// Bytes of a topic, at most, which is MQTT's limit of texts.
const TOPIC_MAX_BYTES: usize = 0xffff;

/// A message as its sender has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct MessageBody {
    /// What it carries beside its payload; `expiry` is not looked at.
    pub(crate) properties: MessageProperties,
    /// Until when it is of use, in milliseconds since 1970.
    pub(crate) expires: Option<i64>,
    /// The payload.
    pub(crate) payload: Bytes,
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
pub(crate) struct CloudMessage {
    /// Its place in the order of creation, among all that the hub keeps.
    pub(crate) sequence: u64,
    /// The revision of the change that made it; 0 when it was read from disk.
    pub(crate) revision: u64,
    /// Whose it is.
    pub(crate) device: DeviceId,
    /// When it is over, in milliseconds since 1970.
    pub(crate) expires: i64,
    /// The topic on which the device gets it.
    pub(crate) topic: String,
    /// The payload.
    pub(crate) payload: Bytes,
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
