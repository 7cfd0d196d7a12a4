//! A JSON object in the order in which it is written.

use serde::de::value::MapDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

/// The members of an object as they stand, no two of one name.
#[derive(Default)]
pub(super) struct RawMembers<'t>(Vec<(String, &'t RawValue)>);

impl<'t> RawMembers<'t> {
    /// Takes the member of this name out, and reads it as its type.
    pub(super) fn take<T: Deserialize<'t>>(&mut self, name: &'static str) -> serde_json::Result<T> {
        let at = self.0.iter().position(|(known, _)| known == name);
        let at = at.ok_or_else(|| serde_json::Error::missing_field(name))?;
        serde_json::from_str(self.0.remove(at).1.get())
    }

    /// Reads all of them as one type.
    pub(super) fn read<T: Deserialize<'t>>(&self) -> serde_json::Result<T> {
        T::deserialize(MapDeserializer::new(self.0.iter().map(|(name, raw)| (name.as_str(), *raw))))
    }

    /// Reads all of them as they stand.
    pub(super) fn values(&self) -> serde_json::Result<Vec<(String, Value)>> {
        self.0.iter().map(|(name, raw)| Ok((name.clone(), serde_json::from_str(raw.get())?))).collect()
    }
}

impl<'de: 't, 't> Deserialize<'de> for RawMembers<'t> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members: Self::Value = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
                    if members.iter().any(|(known, _)| *known == name) {
                        return Err(A::Error::custom(format!("duplicate field `{name}`")));
                    }
                    // Of a file that is no plan there may be any number, and none is looked for twice.
                    if members.len() >= MOST {
                        return Err(A::Error::custom(format!("more than {MOST} fields")));
                    }
                    members.push((name, value));
                }
                Ok(members)
            }
        }

        deserializer.deserialize_map(Object).map(Self)
    }
}

/// Far more than a plan file has.
const MOST: usize = 100;
