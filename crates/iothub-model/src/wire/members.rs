//! Names of members of JSON objects in any case.
//!
//! The service reads bodies with Json.NET, which takes the member of the exact name or else of the name in any case: `{"Query": …}` is as good as
//! `{"query": …}`. Where a body names a member twice, in whichever cases, the last one counts (JamesNK/Newtonsoft.Json#1571). Names that users
//! make up, those of tags, properties and metrics, keep their case.
//!
//! [`read`] is for bodies that have a type. [`with_names`] is for objects that stay JSON.

use std::fmt;

use serde::Deserialize;
use serde::de::value::StrDeserializer;
use serde::de::{DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::twin::OrderedObject;

/// Reads JSON into a type, and takes the names of the type's members, and of those of the types inside, in any case.
///
/// # Errors
///
/// When the text is not JSON, or is not what the type wants.
pub fn read<'de, T: Deserialize<'de>>(text: &'de [u8]) -> Result<T, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let value = T::deserialize(AnyCase(&mut deserializer))?;
    deserializer.end()?;
    Ok(value)
}

/// Returns an object whose members of these names are spelt so, whichever case they had. Of several that are one name the last one counts.
#[must_use]
pub fn with_names(object: OrderedObject, names: &[&str]) -> OrderedObject {
    if object.iter().all(|(key, _)| known(key, names).is_none_or(|name| name == key)) {
        return object;
    }
    object
        .into_iter()
        .map(|(key, value)| match known(&key, names) {
            Some(name) => (name.to_owned(), value),
            None => (key, value),
        })
        .collect()
}

fn known<'n>(key: &str, names: &[&'n str]) -> Option<&'n str> {
    let exact = names.iter().find(|name| **name == key);
    exact.or_else(|| names.iter().find(|name| name.eq_ignore_ascii_case(key))).copied()
}

/// A deserializer that gives types their members by the names that they know. What is inside is read in the same way.
struct AnyCase<D>(D);

/// A visitor, access or seed that wraps what it hands on in [`AnyCase`].
struct Inside<T>(T);

macro_rules! forward {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            self.0.$method(visitor)
        })*
    };
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for AnyCase<D> {
    type Error = D::Error;

    // `deserialize_any` is asked for by JSON without a type, whose names are the user's.
    forward! {
        deserialize_any deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128 deserialize_u8
        deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128 deserialize_f32 deserialize_f64 deserialize_char deserialize_str
        deserialize_string deserialize_bytes deserialize_byte_buf deserialize_unit deserialize_identifier deserialize_ignored_any
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_option(Inside(visitor))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_seq(Inside(visitor))
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_tuple(len, Inside(visitor))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_tuple_struct(name, len, Inside(visitor))
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_map(Inside(visitor))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_map(Named { fields, visitor })
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_unit_struct(name, visitor)
    }

    /// Raw JSON asks for itself under such a name, and is not looked into.
    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_newtype_struct(name, visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_enum(name, variants, visitor)
    }
}

macro_rules! visit {
    ($($method:ident $type:ty,)*) => {
        $(fn $method<E: Error>(self, value: $type) -> Result<V::Value, E> {
            self.0.$method(value)
        })*
    };
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Inside<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    visit! {
        visit_bool bool, visit_i64 i64, visit_u64 u64, visit_f64 f64, visit_str &str, visit_borrowed_str &'de str, visit_string String,
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.0.visit_none()
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.0.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        self.0.visit_some(AnyCase(deserializer))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        self.0.visit_newtype_struct(AnyCase(deserializer))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<V::Value, A::Error> {
        self.0.visit_seq(Inside(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<V::Value, A::Error> {
        self.0.visit_map(Inside(members))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, variant: A) -> Result<V::Value, A::Error> {
        self.0.visit_enum(variant)
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Inside<A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        self.0.next_element_seed(Inside(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Inside<A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        self.0.next_key_seed(seed)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.0.next_value_seed(Inside(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.0.size_hint()
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Inside<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        self.0.deserialize(AnyCase(deserializer))
    }
}

/// The visitor of a type that knows the names of its members.
struct Named<V> {
    fields: &'static [&'static str],
    visitor: V,
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Named<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.visitor.expecting(f)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<V::Value, A::Error> {
        let Self { fields, visitor } = self;
        let mut named: Vec<(&'static str, &'de RawValue)> = Vec::new();
        // A type passes over what it does not know, and so it need not see it.
        while let Some(name) = members.next_key_seed(KnownName { fields })? {
            let value: &'de RawValue = members.next_value()?;
            let Some(name) = name else { continue };
            match named.iter_mut().find(|(other, _)| *other == name) {
                Some((_, earlier)) => *earlier = value,
                None => named.push((name, value)),
            }
        }
        visitor.visit_map(Last { members: named.into_iter(), next: None }).map_err(A::Error::custom)
    }
}

/// Reads a member's name as one of the names that a type knows. It copies no text: bulk requests have hundreds of members.
struct KnownName {
    fields: &'static [&'static str],
}

impl<'de> DeserializeSeed<'de> for KnownName {
    type Value = Option<&'static str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KnownName {
    type Value = Option<&'static str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a member")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(known(name, self.fields))
    }
}

/// The members of a type, each once.
struct Last<'de> {
    members: std::vec::IntoIter<(&'static str, &'de RawValue)>,
    next: Option<(&'static str, &'de RawValue)>,
}

impl<'de> MapAccess<'de> for Last<'de> {
    type Error = InMember;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, InMember> {
        self.next = self.members.next();
        self.next.map(|(name, _)| seed.deserialize(StrDeserializer::new(name))).transpose()
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, InMember> {
        let Some((name, value)) = self.next.take() else { return Err(InMember::custom("a value without a name")) };
        let mut deserializer = serde_json::Deserializer::from_str(value.get());
        seed.deserialize(AnyCase(&mut deserializer)).map_err(|error| {
            let text = error.to_string();
            // The place is one in the member alone, which nobody sees.
            let text = text.rfind(" at line ").map_or(text.as_str(), |at| &text[..at]);
            InMember(format!("`{name}`: {text}"))
        })
    }
}

/// What is wrong inside of a member.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct InMember(String);

impl Error for InMember {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::Value;

    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Outer {
        e_tag: Option<String>,
        #[serde(rename = "type")]
        kind: Option<u8>,
        inner: Option<Inner>,
        all: Vec<Inner>,
        by_name: BTreeMap<String, Inner>,
        free: Option<Value>,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Inner {
        iot_edge: Option<bool>,
    }

    fn check(text: &str, expected: Outer) {
        assert_eq!(read::<Outer>(text.as_bytes()).expect(text), expected, "{text}");
    }

    #[test]
    fn names_are_read_in_any_case_at_every_depth() {
        let inner = |iot_edge| Inner { iot_edge: Some(iot_edge) };
        for text in
            [r#"{"eTag":"x","type":1}"#, r#"{"ETAG":"x","Type":1}"#, r#"{"etag":"x","tYPE":1,"other":{"etag":2}}"#]
        {
            check(text, Outer { e_tag: Some("x".to_owned()), kind: Some(1), ..Outer::default() });
        }
        check(r#"{"Inner":{"IoTEdge":true}}"#, Outer { inner: Some(inner(true)), ..Outer::default() });
        check(r#"{"INNER":null}"#, Outer::default());
        check(
            r#"{"All":[{"IotEdge":true},{"iotedge":false}]}"#,
            Outer { all: vec![inner(true), inner(false)], ..Outer::default() },
        );
    }

    #[test]
    fn names_of_users_keep_their_case() {
        let by_name = ["a", "A"].map(|name| (name.to_owned(), Inner { iot_edge: Some(name == "A") }));
        check(
            r#"{"byName":{"a":{"IOTEDGE":false},"A":{"iotEdge":true}}}"#,
            Outer { by_name: by_name.into(), ..Outer::default() },
        );
        let free = serde_json::json!({"Inner": {"IotEdge": 1, "iotEdge": 2}});
        check(r#"{"Free":{"Inner":{"IotEdge":1,"iotEdge":2}}}"#, Outer { free: Some(free), ..Outer::default() });
    }

    #[test]
    fn the_last_of_several_counts() {
        for text in [r#"{"type":1,"Type":2}"#, r#"{"Type":1,"type":2}"#, r#"{"type":"x","TYPE":3,"type":2}"#] {
            check(text, Outer { kind: Some(2), ..Outer::default() });
        }
    }

    #[test]
    fn errors_name_the_member() {
        for (text, message) in [
            (r#"{"Type":"x"}"#, r#"`type`: invalid type: string "x", expected u8"#),
            (r#"{"inner":{"IotEdge":1}}"#, "`inner`: `iotEdge`: invalid type: integer `1`, expected a boolean"),
            (r#"{"type":1"#, "EOF while parsing an object"),
            ("[]", "invalid type: sequence, expected struct Outer"),
            ("{} {}", "trailing characters"),
        ] {
            let error = read::<Outer>(text.as_bytes()).expect_err(text).to_string();
            assert!(error.starts_with(message), "{text}: {error}");
        }
    }

    #[test]
    fn objects_get_the_names_that_are_known() {
        let object = |text: &str| serde_json::from_str::<OrderedObject>(text).expect(text);
        let named = with_names(object(r#"{"TAGS":1,"x":2,"Etag":3,"tags":4,"Tags":5}"#), &["etag", "tags"]);
        assert_eq!(named.to_string(), r#"{"tags":5,"x":2,"etag":3}"#);
    }
}
