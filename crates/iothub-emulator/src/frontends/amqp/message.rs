//! Messages as AMQP has them: sections one after the other (AMQP 1.0, part 3.2).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use fe2o3_amqp_types::messaging::AmqpValue;
use fe2o3_amqp_types::messaging::ApplicationProperties;
use fe2o3_amqp_types::messaging::Data;
use fe2o3_amqp_types::messaging::Header;
use fe2o3_amqp_types::messaging::MessageAnnotations;
use fe2o3_amqp_types::messaging::MessageId;
use fe2o3_amqp_types::messaging::Properties;
use fe2o3_amqp_types::primitives::OrderedMap;
use fe2o3_amqp_types::primitives::SimpleValue;
use fe2o3_amqp_types::primitives::Value;
use serde::de::DeserializeOwned;
use serde_amqp::primitives::Binary;
use serde_amqp::primitives::Symbol;
use serde_amqp::primitives::Timestamp;
use time::OffsetDateTime;

use crate::core::messages::{Feedback, MessageBody, feedback_body, millis};
use crate::frontends::amqp::encoding::{descriptor, length};
use crate::frontends::amqp::frames::encode;
use iothub_model::wire::messages::MessageProperties;

const PROPERTIES: u64 = 0x73;
const APPLICATION_PROPERTIES: u64 = 0x74;
const DATA: u64 = 0x75;
const SEQUENCE: u64 = 0x76;
const VALUE: u64 = 0x77;
/// Header, annotations, footer.
const PASSED_OVER: [u64; 4] = [0x70, 0x71, 0x72, 0x78];
/// The media type of feedback (docs: Understand cloud-to-device messaging from an IoT hub).
const FEEDBACK: &str = "application/vnd.microsoft.iothub.feedback.json";

/// A message as far as the hub looks at it.
#[derive(Debug, Default)]
pub(crate) struct Received {
    properties: Properties,
    application: Vec<(String, SimpleValue)>,
    /// Data, or a value that is a text or bytes.
    payload: Vec<u8>,
}

impl Received {
    /// Reads a message; nothing when what is there is none that the hub takes.
    pub(crate) fn read(mut bytes: &[u8]) -> Option<Self> {
        let mut message = Self::default();
        while !bytes.is_empty() {
            let (section, rest) = bytes.split_at_checked(length(bytes)?)?;
            bytes = rest;
            match descriptor(section)? {
                PROPERTIES => message.properties = decode(section)?,
                APPLICATION_PROPERTIES => {
                    let ApplicationProperties(properties) = decode(section)?;
                    message.application = properties.into_iter().collect();
                }
                DATA => {
                    let Data(data) = decode(section)?;
                    message.payload.extend_from_slice(&data);
                }
                VALUE => match decode::<AmqpValue<Value>>(section)?.0 {
                    Value::Null => {}
                    Value::String(text) => message.payload.extend_from_slice(text.as_bytes()),
                    Value::Binary(data) => message.payload.extend_from_slice(&data),
                    _ => return None,
                },
                SEQUENCE => return None,
                code if PASSED_OVER.contains(&code) => {}
                _ => return None,
            }
        }
        Some(message)
    }

    /// Returns where it is to go.
    pub(crate) fn to(&self) -> Option<&str> {
        self.properties.to.as_deref()
    }

    /// Returns an application property.
    pub(crate) fn property(&self, name: &str) -> Option<&SimpleValue> {
        self.application.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// Returns the payload as a text.
    pub(crate) fn payload(&self) -> Option<&str> {
        str::from_utf8(&self.payload).ok()
    }

    /// Returns the sender's name for it.
    pub(crate) fn id(&self) -> Option<MessageId> {
        self.properties.message_id.clone()
    }

    /// Takes it as a message to a device.
    pub(crate) fn into_body(self) -> MessageBody {
        let Self { properties, application, payload } = self;
        let properties_of = MessageProperties {
            message_id: properties.message_id.map(id_text),
            to: properties.to,
            correlation_id: properties.correlation_id.map(id_text),
            user_id: properties.user_id.map(binary_text),
            content_type: properties.content_type.map(Symbol::into_inner),
            content_encoding: properties.content_encoding.map(Symbol::into_inner),
            expiry: None,
            others: application.into_iter().map(|(name, value)| (name, simple_text(value))).collect(),
        };
        let expires = properties.absolute_expiry_time.map(Timestamp::into_inner);
        MessageBody { properties: properties_of, expires, payload: payload.into() }
    }
}

fn decode<T: DeserializeOwned>(section: &[u8]) -> Option<T> {
    serde_amqp::from_slice(section).ok()
}

fn id_text(id: MessageId) -> String {
    match id {
        MessageId::Ulong(number) => number.to_string(),
        MessageId::Uuid(uuid) => uuid_text(&uuid.into_inner()),
        MessageId::Binary(bytes) => binary_text(bytes),
        MessageId::String(text) => text,
    }
}

fn uuid_text(bytes: &[u8; 16]) -> String {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// Bytes that are a text are that text.
fn binary_text(bytes: Binary) -> String {
    String::from_utf8(bytes.into_vec()).unwrap_or_else(|error| STANDARD.encode(error.as_bytes()))
}

/// Writes a property's value as a device gets it; null is none.
fn simple_text(value: SimpleValue) -> Option<String> {
    Some(match value {
        SimpleValue::Null => return None,
        SimpleValue::String(text) => text,
        SimpleValue::Symbol(symbol) => symbol.into_inner(),
        SimpleValue::Bool(it) => it.to_string(),
        SimpleValue::Ubyte(it) => it.to_string(),
        SimpleValue::Ushort(it) => it.to_string(),
        SimpleValue::Uint(it) => it.to_string(),
        SimpleValue::Ulong(it) => it.to_string(),
        SimpleValue::Byte(it) => it.to_string(),
        SimpleValue::Short(it) => it.to_string(),
        SimpleValue::Int(it) => it.to_string(),
        SimpleValue::Long(it) => it.to_string(),
        SimpleValue::Float(it) => it.to_string(),
        SimpleValue::Double(it) => it.to_string(),
        SimpleValue::Char(it) => it.to_string(),
        SimpleValue::Timestamp(it) => it.into_inner().to_string(),
        SimpleValue::Uuid(it) => uuid_text(&it.into_inner()),
        SimpleValue::Binary(it) => binary_text(it),
        // Nothing that clients have a way to write.
        SimpleValue::Decimal32(_)
        | SimpleValue::Decimal64(_)
        | SimpleValue::Decimal128(_)
        | SimpleValue::Described(_) => return None,
    })
}

/// Bytes of an answer's description, at most. Microsoft's Python SDK cannot read an answer whose properties need more than 255 bytes.
const DESCRIPTION_MAX_BYTES: usize = 200;

/// Writes the answer to a request, with a status as HTTP has it.
pub(crate) fn answer(to: Option<MessageId>, status: i32, text: &str) -> Bytes {
    let text = &text[..text.floor_char_boundary(DESCRIPTION_MAX_BYTES)];
    let properties = Properties { correlation_id: to, ..Properties::new() };
    let mut application = OrderedMap::new();
    application.insert("status-code".to_owned(), SimpleValue::Int(status));
    application.insert("status-description".to_owned(), SimpleValue::String(text.to_owned()));
    let body = AmqpValue(Value::Null);
    [encode(&properties), encode(&ApplicationProperties(application)), encode(&body)].concat().into()
}

/// Writes a feedback message. `hub` is the hub's name, which the message has as its user.
pub(crate) fn feedback(batch: &[std::sync::Arc<Feedback>], hub: &str, now: OffsetDateTime) -> Bytes {
    let deliveries = batch.iter().map(|feedback| feedback.deliveries()).max().unwrap_or(0);
    let header = Header { delivery_count: deliveries, ..Header::default() };
    let mut annotations = MessageAnnotations::builder().build();
    let now = Timestamp::from_milliseconds(millis(now));
    annotations.0.insert(Symbol::from("iothub-enqueuedtime").into(), Value::Timestamp(now));
    let properties = Properties {
        user_id: Some(Binary::from(hub.as_bytes())),
        content_type: Some(Symbol::from(FEEDBACK)),
        ..Properties::new()
    };
    let body = Data(Binary::from(feedback_body(batch).into_bytes()));
    [encode(&header), encode(&annotations), encode(&properties), encode(&body)].concat().into()
}

#[cfg(test)]
mod tests {
    use serde_amqp::primitives::Uuid;

    use super::*;

    fn sections(properties: &Properties, application: &[(&str, SimpleValue)], body: &[Vec<u8>]) -> Vec<u8> {
        let application = application.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let application = ApplicationProperties(application);
        [&[encode(properties), encode(&application)], body].concat().concat()
    }

    fn data(bytes: &[u8]) -> Vec<u8> {
        encode(&Data(Binary::from(bytes)))
    }

    #[test]
    fn what_a_message_carries() {
        let uuid = Uuid::from(*b"\x9f\x3c\x6a\x1e\x3b\x61\x4b\x0e\x9a\x55\x0e\x3f\x1c\x7d\x2b\x11");
        let properties = Properties {
            message_id: Some(MessageId::Uuid(uuid.clone())),
            user_id: Some(Binary::from(&b"me"[..])),
            correlation_id: Some(MessageId::Ulong(7)),
            content_type: Some(Symbol::from("text/plain")),
            content_encoding: Some(Symbol::from("utf-8")),
            absolute_expiry_time: Some(Timestamp::from_milliseconds(1_795_000_000_000)),
            ..Properties::new()
        };
        let application = [
            ("text", SimpleValue::String("é".to_owned()), Some("é")),
            ("null", SimpleValue::Null, None),
            ("yes", SimpleValue::Bool(true), Some("true")),
            ("int", SimpleValue::Int(-5), Some("-5")),
            ("long", SimpleValue::Ulong(u64::MAX), Some("18446744073709551615")),
            ("half", SimpleValue::Double(0.5.into()), Some("0.5")),
            ("bytes", SimpleValue::Binary(Binary::from(vec![0xff])), Some("/w==")),
            ("uuid", SimpleValue::Uuid(uuid), Some("9f3c6a1e-3b61-4b0e-9a55-0e3f1c7d2b11")),
            ("time", SimpleValue::Timestamp(Timestamp::from_milliseconds(1)), Some("1")),
        ];
        let sent: Vec<_> = application.iter().map(|(name, value, _)| (*name, value.clone())).collect();
        let bytes = sections(&properties, &sent, &[data(b"one "), data(b"two")]);
        let body = Received::read(&bytes).expect("a message").into_body();
        assert_eq!(&*body.payload, b"one two");
        assert_eq!(body.expires, Some(1_795_000_000_000));
        let expected = MessageProperties {
            message_id: Some("9f3c6a1e-3b61-4b0e-9a55-0e3f1c7d2b11".to_owned()),
            to: properties.to.clone(),
            correlation_id: Some("7".to_owned()),
            user_id: Some("me".to_owned()),
            content_type: Some("text/plain".to_owned()),
            content_encoding: Some("utf-8".to_owned()),
            expiry: None,
            others: application.iter().map(|(name, _, text)| ((*name).to_owned(), text.map(str::to_owned))).collect(),
        };
        assert_eq!(body.properties, expected);
    }

    #[test]
    fn bodies() {
        let value = |value: Value| encode(&AmqpValue(value));
        for (body, expected) in [
            (vec![], Some(&b""[..])),
            (vec![data(b"a")], Some(b"a")),
            (vec![value(Value::Null)], Some(b"")),
            (vec![value(Value::String("text".to_owned()))], Some(b"text")),
            (vec![value(Value::Binary(Binary::from(vec![1, 2])))], Some(&[1, 2])),
            (vec![value(Value::Int(1))], None),
            (vec![vec![0, 0x53, 0x76, 0x45]], None),
            (vec![vec![0, 0x53, 0x79, 0x45]], None),
            (vec![vec![0x45]], None),
            (vec![vec![0, 0x53]], None),
            (vec![data(b"a")[..4].to_vec()], None),
        ] {
            let found = Received::read(&sections(&Properties::new(), &[], &body)).map(|message| message.payload);
            assert_eq!(found.as_deref(), expected, "{body:x?}");
        }
    }
}
