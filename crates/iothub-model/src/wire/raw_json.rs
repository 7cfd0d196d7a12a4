//! JSON that passes through as its own text: order of members, spelling of numbers and white space included.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// One JSON value as text. Two are equal if their texts are.
#[derive(Clone)]
pub struct RawJson(Box<RawValue>);

impl RawJson {
    /// Writes a value.
    pub fn of(value: &impl Serialize) -> Self {
        Self(serde_json::value::to_raw_value(value).expect("own types with text as keys are always JSON"))
    }

    /// Takes a text over; `None` if it is not one JSON value.
    pub fn parse(text: &[u8]) -> Option<Self> {
        serde_json::from_slice(text).ok()
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    /// Deserializes a member so that `null` differs from a member that is left out, together with `#[serde(default)]`.
    pub(super) fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Self>, D::Error> {
        Self::deserialize(deserializer).map(Some)
    }
}

impl PartialEq for RawJson {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for RawJson {}

impl fmt::Debug for RawJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for RawJson {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for RawJson {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(deserializer).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_stay_as_they_are() {
        let text = r#"{"z": 1.50, "a" :[1e2,9007199254740993,null]}"#;
        let raw = RawJson::parse(format!(" {text}\n").as_bytes()).expect("JSON");
        assert_eq!(raw.as_str(), text);
        assert_eq!(serde_json::to_string(&[raw]).expect("JSON"), format!("[{text}]"));
        for bad in ["", "{", "1 2", "nul", "\"\u{0}\""] {
            assert_eq!(RawJson::parse(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(RawJson::parse(b"\"\xff\""), None);
    }
}
