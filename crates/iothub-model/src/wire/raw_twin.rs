//! Twins as they stand in an answer: found, and not taken apart.
//!
//! Most twins of a fleet are as declared, and of these nothing is kept. A [`RawTwin`] borrows from the answer's text what it takes to see
//! that, and whatever is not as expected is read whole, by [`super::twins::decode_twin`].

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::twin::TwinId;

/// A twin's members, as far as a plan looks at them, each the text of its JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawTwin<'b> {
    /// All of it.
    pub text: &'b str,
    /// `deviceId`
    pub device: &'b str,
    /// `moduleId`, of a module twin.
    pub module: Option<&'b str>,
    /// The tags, an object; nothing when the answer has none.
    pub tags: Option<&'b str>,
    /// The desired properties, an object with `$metadata` and `$version` in it.
    pub desired: Option<&'b str>,
    /// Whether it has all that [`super::twins::encode_twin`] writes, but for tags: then what a query finds in the text is what it finds
    /// in the twin.
    pub is_whole: bool,
}

impl<'b> RawTwin<'b> {
    /// Finds the members of a twin.
    ///
    /// Nothing when they are not such as the service writes them, which is no answer about the twin: escapes in a name are enough, or a
    /// member that is there twice.
    pub fn find(text: &'b str) -> Option<Self> {
        let TwinMembers { device_id, module_id, etag, tags, properties } = serde_json::from_str(text).ok()?;
        let Properties { desired, reported } = properties.unwrap_or_default();
        let (tags, desired, reported) = (object(tags)?, object(desired)?, object(reported)?);
        (!etag.is_empty()).then_some(())?;
        let is_whole = desired.and(reported).is_some() && module_id != Some(None);
        Some(Self { text, device: device_id, module: module_id.flatten(), tags, desired, is_whole })
    }

    /// Returns which twin it is; nothing where the ids are none.
    pub fn id(&self) -> Option<TwinId> {
        let module = self.module.map(str::parse).transpose().ok()?;
        Some(TwinId { device: self.device.parse().ok()?, module })
    }
}

/// Returns the text of an object; nothing inside for what is absent, nothing at all for what is no object.
fn object(value: Option<&RawValue>) -> Option<Option<&str>> {
    match value.map(RawValue::get) {
        None => Some(None),
        Some(text) if text.starts_with('{') => Some(Some(text)),
        Some(_) => None,
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TwinMembers<'b> {
    device_id: &'b str,
    #[serde(default, deserialize_with = "there")]
    module_id: Option<Option<&'b str>>,
    etag: &'b str,
    #[serde(borrow)]
    tags: Option<&'b RawValue>,
    #[serde(borrow)]
    properties: Option<Properties<'b>>,
}

#[derive(Default, Deserialize)]
struct Properties<'b> {
    #[serde(borrow)]
    desired: Option<&'b RawValue>,
    #[serde(borrow)]
    reported: Option<&'b RawValue>,
}

/// Reads a member that is there, be it null.
fn there<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<&'de str>>, D::Error> {
    Deserialize::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_found_or_left_to_a_whole_read() {
        let found = |device, module, tags, desired, is_whole| Some((device, module, tags, desired, is_whole));
        for (text, expected) in [
            (r#"{"deviceId":"a","etag":"x"}"#, found("a", None, None, None, false)),
            (
                r#" { "etag" : "x", "properties":{"reported":{"a":[1]}, "desired":{"b":{"c":"}"}}}, "deviceId":"a", "tags": {} }"#,
                found("a", None, Some("{}"), Some(r#"{"b":{"c":"}"}}"#), true),
            ),
            (
                r#"{"deviceId":"a","moduleId":"m","etag":"x","tags":null,"properties":{"desired":null}}"#,
                found("a", Some("m"), None, None, false),
            ),
            (
                r#"{"deviceId":"a","moduleId":null,"etag":"x","tags":{},"properties":{"desired":{},"reported":{}}}"#,
                found("a", None, Some("{}"), Some("{}"), false),
            ),
            (
                r#"{"deviceId":"a","etag":"x","tags":{},"properties":{"desired":{}}}"#,
                found("a", None, Some("{}"), Some("{}"), false),
            ),
            (
                r#"{"deviceId":"a","etag":"x","properties":{"desired":{},"reported":{}}}"#,
                found("a", None, None, Some("{}"), true),
            ),
            (r#"{"deviceId":"a'b","etag":"x"}"#, found("a'b", None, None, None, false)),
            (r#"{"deviceId":"a\u0027b","etag":"x"}"#, None),
            (r#"{"deviceId":"a","etag":""}"#, None),
            (r#"{"deviceId":"a"}"#, None),
            (r#"{"deviceId":"a","etag":"x","tags":1}"#, None),
            (r#"{"deviceId":"a","etag":"x","tags":{},"tags":{}}"#, None),
            (r#"{"deviceId":"a","etag":"x","properties":{"desired":[]}}"#, None),
            (r#"{"deviceId":"a","etag":"x","properties":{"reported":[]}}"#, None),
            (r#"{"deviceId":"a","etag":"x""#, None),
            ("[]", None),
        ] {
            let raw = RawTwin::find(text);
            let raw = raw.map(|raw| (raw.device, raw.module, raw.tags, raw.desired, raw.is_whole));
            assert_eq!(raw, expected, "{text}");
        }
    }
}
