//! Twins as they stand in an answer: found, and not taken apart.
//!
//! Most twins of a fleet are as declared, and of these nothing is kept. A [`RawTwin`] borrows from the answer's text what it takes to see
//! that, and whatever is not as expected is read whole, by [`super::twins::decode_twin`].

use serde::Deserialize;
use serde_json::value::RawValue;

/// A twin's members, as far as a plan looks at them, each the text of its JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawTwin<'b> {
    /// `deviceId`
    pub device: &'b str,
    /// `moduleId`, of a module twin.
    pub module: Option<&'b str>,
    /// The tags, an object; nothing when the answer has none.
    pub tags: Option<&'b str>,
    /// The desired properties, an object with `$metadata` and `$version` in it.
    pub desired: Option<&'b str>,
}

impl<'b> RawTwin<'b> {
    /// Finds the members of a twin.
    ///
    /// Nothing when they are not such as the service writes them, which is no answer about the twin: escapes in a name are enough, or a
    /// member that is there twice.
    pub fn find(text: &'b str) -> Option<Self> {
        let Members { device_id, module_id, etag, tags, properties } = serde_json::from_str(text).ok()?;
        let desired = properties.and_then(|properties| properties.desired);
        (!etag.is_empty()).then_some(())?;
        Some(Self { device: device_id, module: module_id, tags: object(tags)?, desired: object(desired)? })
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
struct Members<'b> {
    device_id: &'b str,
    module_id: Option<&'b str>,
    etag: &'b str,
    #[serde(borrow)]
    tags: Option<&'b RawValue>,
    #[serde(borrow)]
    properties: Option<Properties<'b>>,
}

#[derive(Deserialize)]
struct Properties<'b> {
    #[serde(borrow)]
    desired: Option<&'b RawValue>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_found_or_left_to_a_whole_read() {
        let found = |device, module, tags, desired| Some(RawTwin { device, module, tags, desired });
        for (text, expected) in [
            (r#"{"deviceId":"a","etag":"x"}"#, found("a", None, None, None)),
            (
                r#" { "etag" : "x", "properties":{"reported":{"a":[1]}, "desired":{"b":{"c":"}"}}}, "deviceId":"a", "tags": {} }"#,
                found("a", None, Some("{}"), Some(r#"{"b":{"c":"}"}}"#)),
            ),
            (
                r#"{"deviceId":"a","moduleId":"m","etag":"x","tags":null,"properties":{"desired":null}}"#,
                found("a", Some("m"), None, None),
            ),
            (r#"{"deviceId":"a'b","etag":"x"}"#, found("a'b", None, None, None)),
            (r#"{"deviceId":"a\u0027b","etag":"x"}"#, None),
            (r#"{"deviceId":"a","etag":""}"#, None),
            (r#"{"deviceId":"a"}"#, None),
            (r#"{"deviceId":"a","etag":"x","tags":1}"#, None),
            (r#"{"deviceId":"a","etag":"x","tags":{},"tags":{}}"#, None),
            (r#"{"deviceId":"a","etag":"x","properties":{"desired":[]}}"#, None),
            (r#"{"deviceId":"a","etag":"x""#, None),
            ("[]", None),
        ] {
            assert_eq!(RawTwin::find(text), expected, "{text}");
        }
    }
}
