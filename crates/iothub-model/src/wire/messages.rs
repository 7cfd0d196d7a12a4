//! Messages from the cloud to a device: what they carry, and how that stands in an MQTT topic.
//!
//! Properties are written as `name=value` with `&` between them, both percent-encoded; a value that is null is the name alone,
//! and an empty one the name with `=` (docs: Communicate with an IoT hub by using the MQTT protocol, "Receiving
//! cloud-to-device messages"). The properties that the system knows have names of their own, with `$.` before them.

use crate::twin::DeviceId;
use crate::wire::{decode_segment, encode_segment};

/// When a sender hears of what became of its message, as a message's property.
pub const ACK: &str = "iothub-ack";

/// What a message carries beside its payload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageProperties {
    /// `$.mid`: the sender's name for the message.
    pub message_id: Option<String>,
    /// `$.to`: where it is to go, in the sender's own spelling; none for the hub's.
    pub to: Option<String>,
    /// `$.cid`: what it answers.
    pub correlation_id: Option<String>,
    /// `$.uid`: who sent it.
    pub user_id: Option<String>,
    /// `$.ct`: what the payload is.
    pub content_type: Option<String>,
    /// `$.ce`: how the payload is encoded.
    pub content_encoding: Option<String>,
    /// `$.exp`: until when it is of use, as the hub writes times.
    pub expiry: Option<String>,
    /// All others, in their order, `iothub-ack` among them.
    pub others: Vec<(String, Option<String>)>,
}

impl MessageProperties {
    /// Writes the topic on which a device gets the message.
    pub fn topic(&self, device: &DeviceId) -> String {
        let Self { message_id, to, correlation_id, user_id, content_type, content_encoding, expiry, others } = self;
        let own = format!("/devices/{device}/messages/deviceBound");
        let known = [
            ("$.mid", message_id.as_deref()),
            ("$.to", Some(to.as_deref().unwrap_or(&own))),
            ("$.cid", correlation_id.as_deref()),
            ("$.uid", user_id.as_deref()),
            ("$.ct", content_type.as_deref()),
            ("$.ce", content_encoding.as_deref()),
            ("$.exp", expiry.as_deref()),
        ];
        let known = known.into_iter().filter(|(_, value)| value.is_some());
        let others = others.iter().map(|(name, value)| (name.as_str(), value.as_deref()));
        let pairs: Vec<_> = known.chain(others).map(|(name, value)| pair(name, value)).collect();
        format!("{}{}", prefix(device), pairs.join("&"))
    }

    /// Reads the topic on which `device` gets a message; nothing when it is another one.
    pub fn parse(topic: &str, device: &DeviceId) -> Option<Self> {
        let mut properties = Self::default();
        for pair in topic.strip_prefix(&prefix(device))?.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = match pair.split_once('=') {
                Some((name, value)) => (name, Some(decode_segment(value)?)),
                None => (pair, None),
            };
            let name = decode_segment(name)?;
            match name.as_str() {
                "$.mid" => properties.message_id = value,
                "$.cid" => properties.correlation_id = value,
                "$.uid" => properties.user_id = value,
                "$.ct" => properties.content_type = value,
                "$.ce" => properties.content_encoding = value,
                "$.exp" => properties.expiry = value,
                "$.to" => properties.to = value,
                _ => properties.others.push((name, value)),
            }
        }
        Some(properties)
    }
}

fn prefix(device: &DeviceId) -> String {
    format!("devices/{device}/messages/devicebound/")
}

fn pair(name: &str, value: Option<&str>) -> String {
    match value {
        None => encode_segment(name),
        Some(value) => format!("{}={}", encode_segment(name), encode_segment(value)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn device() -> DeviceId {
        "d".parse().expect("an id")
    }

    #[test]
    fn topics_and_what_they_say() {
        let others = |others: &[(&str, Option<&str>)]| -> Vec<(String, Option<String>)> {
            others.iter().map(|(name, value)| ((*name).to_owned(), value.map(str::to_owned))).collect()
        };
        let to = "%24.to=%2Fdevices%2Fd%2Fmessages%2FdeviceBound";
        let own = Some("/devices/d/messages/deviceBound".to_owned());
        for (properties, topic) in [
            (MessageProperties::default(), format!("devices/d/messages/devicebound/{to}")),
            (
                MessageProperties {
                    others: others(&[("a b", Some("1&2=3")), ("empty", Some("")), ("null", None), (ACK, Some("full"))]),
                    ..MessageProperties::default()
                },
                format!("devices/d/messages/devicebound/{to}&a%20b=1%262%3D3&empty=&null&iothub-ack=full"),
            ),
            (
                MessageProperties {
                    message_id: Some("m/1".to_owned()),
                    to: None,
                    correlation_id: Some("c".to_owned()),
                    user_id: Some("u".to_owned()),
                    content_type: Some("application/json".to_owned()),
                    content_encoding: Some("utf-8".to_owned()),
                    expiry: Some("2026-11-24T10:00:00.0000000Z".to_owned()),
                    others: Vec::new(),
                },
                format!(
                    "devices/d/messages/devicebound/%24.mid=m%2F1&{to}&%24.cid=c&%24.uid=u&%24.ct=application%2Fjson\
                     &%24.ce=utf-8&%24.exp=2026-11-24T10%3A00%3A00.0000000Z"
                ),
            ),
        ] {
            assert_eq!(properties.topic(&device()), topic);
            let properties = MessageProperties { to: own.clone(), ..properties };
            assert_eq!(MessageProperties::parse(&topic, &device()), Some(properties), "{topic}");
        }
        for other in [
            "devices/e/messages/devicebound/a=1",
            "devices/d/messages/events/a=1",
            "devices/d/messages/devicebound/%ff=1",
        ] {
            assert_eq!(MessageProperties::parse(other, &device()), None, "{other}");
        }
        let bare = MessageProperties::parse("devices/d/messages/devicebound/", &device());
        assert_eq!(bare, Some(MessageProperties::default()));
    }

    proptest! {
        /// What is written is read back, whatever stands in it, and one segment of the topic holds it.
        #[test]
        fn there_and_back(names in proptest::collection::vec(("[^$].{0,8}", proptest::option::of(".{0,8}")), 0..4)) {
            let to = Some("/devices/d/messages/devicebound".to_owned());
            let properties = MessageProperties { others: names, to, ..MessageProperties::default() };
            let topic = properties.topic(&device());
            prop_assert_eq!(topic.split('/').count(), 5);
            prop_assert_eq!(MessageProperties::parse(&topic, &device()), Some(properties));
        }
    }
}
