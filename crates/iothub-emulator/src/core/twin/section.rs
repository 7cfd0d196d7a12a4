//! A section of properties as a twin keeps it: its text, with `$metadata` and `$version` last.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::Serialize;
use serde::de::Deserializer;
use serde::de::IgnoredAny;
use serde::de::MapAccess;
use serde::de::Visitor;
use serde_json::value::RawValue;
use serde_json::value::to_raw_value;

use crate::core::identity::is_count;
use iothub_model::twin::OrderedObject;
use iothub_model::twin::OrderedValue;

pub(super) const METADATA: &str = "$metadata";
pub(super) const VERSION: &str = "$version";
pub(super) const LAST_UPDATED: &str = "$lastUpdated";
pub(super) const LAST_UPDATED_VERSION: &str = "$lastUpdatedVersion";

/// A section with `$metadata` and `$version` as its last keys: some clients read no further than `$version`.
///
/// It is kept as text and is read when it is looked into, so that a write to one section copies the other.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct SectionText(Box<RawValue>);

impl SectionText {
    pub(super) fn of(section: &OrderedObject) -> Self {
        Self(to_raw_value(section).expect("an object with text as keys is always JSON"))
    }

    /// Returns the number of bytes of its text.
    pub(super) fn len(&self) -> usize {
        self.0.get().len()
    }

    pub(super) fn read(&self) -> OrderedObject {
        serde_json::from_str(self.0.get())
            .expect("what is kept was written by this program, or checked when it was read")
    }

    /// Returns `true` if the section is as this program writes it, its order aside.
    pub(super) fn is_sound(&self) -> bool {
        serde_json::from_str::<SectionCheck>(self.0.get()).is_ok_and(|section| is_count(section.version))
    }

    /// Returns `true` if `$version` is its last key. No key of a user has `$version` in it.
    pub(super) fn is_in_order(&self) -> bool {
        let text = self.0.get().strip_suffix('}').unwrap_or_default();
        text.trim_end_matches(|c: char| c.is_ascii_digit()).ends_with("\"$version\":")
    }

    /// Returns the section's text without its metadata.
    pub(super) fn for_device(&self) -> String {
        let shown: Shown = serde_json::from_str(self.0.get()).expect("a section is an object");
        shown.0
    }
}

/// The text of a section as its device sees it.
struct Shown(String);

impl<'de> Deserialize<'de> for Shown {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Self("{".to_owned()))
    }
}

impl<'de> Visitor<'de> for Shown {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a section")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<Self, A::Error> {
        let Self(text) = &mut self;
        while let Some(key) = members.next_key::<Cow<'de, str>>()? {
            if key == METADATA {
                members.next_value::<IgnoredAny>()?;
                continue;
            }
            if text.len() > 1 {
                text.push(',');
            }
            text.push_str(&serde_json::Value::from(&*key).to_string());
            text.push(':');
            text.push_str(members.next_value::<&'de RawValue>()?.get());
        }
        text.push('}');
        Ok(self)
    }
}

/// A section as far as it is the hub's, for a look at it that builds nothing.
#[derive(Deserialize)]
struct SectionCheck {
    #[serde(rename = "$metadata")]
    _metadata: NodeCheck,
    #[serde(rename = "$version")]
    version: u64,
}

/// A node of `$metadata` with nothing but nodes below it.
struct NodeCheck;

impl<'de> Deserialize<'de> for NodeCheck {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Self)
    }
}

impl<'de> Visitor<'de> for NodeCheck {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a node of $metadata")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self, A::Error> {
        while let Some(key) = members.next_key::<Cow<'de, str>>()? {
            if key.starts_with('$') {
                members.next_value::<IgnoredAny>()?;
            } else {
                members.next_value::<Self>()?;
            }
        }
        Ok(self)
    }
}

pub(super) fn version_of(section: &OrderedObject) -> u64 {
    section.get(VERSION).and_then(OrderedValue::as_u64).unwrap_or(0)
}

pub(super) fn take_metadata(section: &mut OrderedObject) -> OrderedObject {
    match section.remove(METADATA) {
        Some(OrderedValue::Object(metadata)) => metadata,
        _ => OrderedObject::new(),
    }
}

/// Sets a section's system members, which are its last ones.
pub(super) fn put_system(section: &mut OrderedObject, metadata: OrderedObject, version: u64) {
    section.remove(METADATA);
    section.remove(VERSION);
    section.insert(METADATA, metadata);
    section.insert(VERSION, version);
}
