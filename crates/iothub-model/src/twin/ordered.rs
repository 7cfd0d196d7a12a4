//! JSON whose objects keep their members in the order in which they were written.
//!
//! The service keeps this order in tags, in desired and in reported properties, and devices depend on it: azure-sdk-for-c reads a twin up to
//! `$version` and no further. The embedded hub therefore keeps twins as this type. twinctl's own outputs are sorted and use
//! [`super::Object`].

use std::fmt;

use foldhash::fast::RandomState;
use indexmap::IndexMap;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};
use serde_json::{Number, Value};

use super::Object;
use super::tree::{Members, Node};

/// A JSON value. Its objects keep the order of their members, and two objects are equal in any order.
#[derive(Clone, Debug, PartialEq)]
pub enum OrderedValue {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as `serde_json` reads it: `1` and `1.0` stay apart.
    Number(Number),
    /// A text.
    Text(String),
    /// An array.
    Array(Vec<OrderedValue>),
    /// An object.
    Object(OrderedObject),
}

/// A JSON object. It keeps the order of its members, and is equal to another in any order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OrderedObject(OrderedMap);

/// Twins are read and written more often than anything else is done with them, and the standard library's hasher would be a tenth of that.
type OrderedMap = IndexMap<String, OrderedValue, RandomState>;

/// Returns a map with room for what a hash table of the least size holds: most objects of twins have fewer members.
fn with_usual_room() -> OrderedMap {
    OrderedMap::with_capacity_and_hasher(7, RandomState::default())
}

impl OrderedValue {
    /// Returns the object, if the value is one.
    pub fn as_object(&self) -> Option<&OrderedObject> {
        match self {
            Self::Object(object) => Some(object),
            _ => None,
        }
    }

    /// Returns the object, if the value is one.
    pub fn as_object_mut(&mut self) -> Option<&mut OrderedObject> {
        match self {
            Self::Object(object) => Some(object),
            _ => None,
        }
    }

    /// Returns the text, if the value is one.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the number, if the value is one that is neither negative nor a fraction.
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Number(number) => number.as_u64(),
            _ => None,
        }
    }

    /// Returns `true` if the value is `null`.
    pub fn is_null(&self) -> bool {
        *self == Self::Null
    }

    /// Returns the value with the members of `template`'s objects first, in their order. Items of arrays go by their places.
    #[must_use]
    pub fn in_order_of(self, template: &Self) -> Self {
        match (self, template) {
            (Self::Object(object), Self::Object(template)) => Self::Object(object.in_order_of(template)),
            (Self::Array(items), Self::Array(templates)) => {
                let mut templates = templates.iter();
                let in_order = |item: Self| match templates.next() {
                    Some(template) => item.in_order_of(template),
                    None => item,
                };
                Self::Array(items.into_iter().map(in_order).collect())
            }
            (value, _) => value,
        }
    }
}

impl OrderedObject {
    /// Creates an object without members.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns `true` if the object has no members.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the value of a member.
    pub fn get(&self, key: &str) -> Option<&OrderedValue> {
        self.0.get(key)
    }

    /// Returns the value of a member.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut OrderedValue> {
        self.0.get_mut(key)
    }

    /// Returns `true` if the object has a member of this name.
    pub fn contains_key(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// Sets a member: in its place, or at the end where it is new.
    pub fn insert(&mut self, key: impl Into<String>, value: impl Into<OrderedValue>) {
        self.with_room().insert(key.into(), value.into());
    }

    /// Returns the value of a member, which is set at the end where there is none.
    pub fn get_or_insert_with(&mut self, key: &str, value: impl FnOnce() -> OrderedValue) -> &mut OrderedValue {
        if !self.0.contains_key(key) {
            self.with_room().insert(key.to_owned(), value());
        }
        &mut self.0[key]
    }

    /// Returns the members, with room for another.
    fn with_room(&mut self) -> &mut OrderedMap {
        if self.0.capacity() == 0 {
            self.0 = with_usual_room();
        }
        &mut self.0
    }

    /// Removes a member and returns its value. The order of the others stays.
    pub fn remove(&mut self, key: &str) -> Option<OrderedValue> {
        self.0.shift_remove(key)
    }

    /// Removes all members.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Removes the members for which `keep` returns `false`. The order of the others stays.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &OrderedValue) -> bool) {
        self.0.retain(|key, value| keep(key, value));
    }

    /// Returns the members in their order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &OrderedValue)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// Returns the object with the members of `template` first, in their order, and the same in the objects inside.
    #[must_use]
    pub fn in_order_of(mut self, template: &Self) -> Self {
        let mut ordered = OrderedMap::with_capacity_and_hasher(self.0.len(), RandomState::default());
        for (key, like) in &template.0 {
            // The member stays, without its value, so that the order of the others does.
            if let Some(value) = self.0.get_mut(key) {
                let value = std::mem::replace(value, OrderedValue::Null);
                ordered.insert(key.clone(), value.in_order_of(like));
            }
        }
        for (key, value) in self.0 {
            ordered.entry(key).or_insert(value);
        }
        Self(ordered)
    }
}

impl IntoIterator for OrderedObject {
    type Item = (String, OrderedValue);
    type IntoIter = indexmap::map::IntoIter<String, OrderedValue>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl FromIterator<(String, OrderedValue)> for OrderedObject {
    fn from_iter<I: IntoIterator<Item = (String, OrderedValue)>>(members: I) -> Self {
        Self(members.into_iter().collect())
    }
}

impl From<OrderedObject> for OrderedValue {
    fn from(object: OrderedObject) -> Self {
        Self::Object(object)
    }
}

impl From<&str> for OrderedValue {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<u64> for OrderedValue {
    fn from(number: u64) -> Self {
        Self::Number(number.into())
    }
}

/// The members come in `serde_json`'s order, which is the alphabet's.
impl From<Value> for OrderedValue {
    fn from(value: Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(value),
            Value::Number(number) => Self::Number(number),
            Value::String(text) => Self::Text(text),
            Value::Array(items) => Self::Array(items.into_iter().map(Self::from).collect()),
            Value::Object(object) => Self::Object(object.into()),
        }
    }
}

/// The members come in `serde_json`'s order, which is the alphabet's.
impl From<Object> for OrderedObject {
    fn from(object: Object) -> Self {
        object.into_iter().map(|(key, value)| (key, value.into())).collect()
    }
}

impl From<&OrderedValue> for Value {
    fn from(value: &OrderedValue) -> Self {
        match value {
            OrderedValue::Null => Self::Null,
            OrderedValue::Bool(value) => Self::Bool(*value),
            OrderedValue::Number(number) => Self::Number(number.clone()),
            OrderedValue::Text(text) => Self::String(text.clone()),
            OrderedValue::Array(items) => Self::Array(items.iter().map(Self::from).collect()),
            OrderedValue::Object(object) => Self::Object(object.into()),
        }
    }
}

impl From<&OrderedObject> for Object {
    fn from(object: &OrderedObject) -> Self {
        object.iter().map(|(key, value)| (key.to_owned(), value.into())).collect()
    }
}

impl Members for OrderedObject {
    type Value = OrderedValue;

    fn members(&self) -> impl Iterator<Item = (&str, &OrderedValue)> {
        self.iter()
    }

    fn node(value: &OrderedValue) -> Node<'_, Self> {
        match value {
            OrderedValue::Null => Node::Null,
            OrderedValue::Bool(_) => Node::Bool,
            OrderedValue::Number(number) => Node::Number(number),
            OrderedValue::Text(text) => Node::Text(text),
            OrderedValue::Array(items) => Node::Array(items),
            OrderedValue::Object(object) => Node::Object(object),
        }
    }
}

impl fmt::Display for OrderedObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

impl Serialize for OrderedObject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(&self.0)
    }
}

impl Serialize for OrderedValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Number(number) => number.serialize(serializer),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Array(items) => serializer.collect_seq(items),
            Self::Object(object) => object.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for OrderedObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor;

        impl<'de> Visitor<'de> for ObjectVisitor {
            type Value = OrderedObject;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<OrderedObject, A::Error> {
                read_members(members)
            }
        }

        deserializer.deserialize_map(ObjectVisitor)
    }
}

/// Reads an object's members. One that is there twice keeps its first place and has its last value.
fn read_members<'de, A: MapAccess<'de>>(mut members: A) -> Result<OrderedObject, A::Error> {
    let mut object = with_usual_room();
    while let Some((key, value)) = members.next_entry::<String, OrderedValue>()? {
        object.insert(key, value);
    }
    Ok(OrderedObject(object))
}

impl<'de> Deserialize<'de> for OrderedValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = OrderedValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<OrderedValue, E> {
        Ok(OrderedValue::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<OrderedValue, E> {
        Ok(OrderedValue::Bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<OrderedValue, E> {
        Ok(OrderedValue::Number(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<OrderedValue, E> {
        Ok(OrderedValue::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<OrderedValue, E> {
        Ok(Number::from_f64(value).map_or(OrderedValue::Null, OrderedValue::Number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<OrderedValue, E> {
        Ok(text.into())
    }

    fn visit_string<E: Error>(self, text: String) -> Result<OrderedValue, E> {
        Ok(OrderedValue::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<OrderedValue, A::Error> {
        let mut array = Vec::new();
        while let Some(item) = items.next_element()? {
            array.push(item);
        }
        Ok(OrderedValue::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<OrderedValue, A::Error> {
        read_members(members).map(OrderedValue::Object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> OrderedObject {
        serde_json::from_str(text).expect(text)
    }

    #[test]
    fn members_are_written_as_they_were_read() {
        for text in [
            r#"{"z":1,"a":{"y":[{"c":1,"b":null},true],"x":"t"},"m":-1.5}"#,
            r#"{"10":1.0,"9":1,"":18446744073709551615}"#,
            "{}",
        ] {
            assert_eq!(read(text).to_string(), text);
            assert_eq!(Object::from(&read(text)), serde_json::from_str::<Object>(text).expect(text));
        }
        assert_eq!(read(r#"{"b":1,"a":2,"b":3}"#).to_string(), r#"{"b":3,"a":2}"#);
    }

    #[test]
    fn what_is_no_object() {
        for text in ["1", "null", "[]", r#"{"a":}"#, "{} {}"] {
            assert!(serde_json::from_str::<OrderedObject>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_template_orders_what_both_have() {
        let check = |object: &str, template: &str, expected: &str| {
            assert_eq!(read(object).in_order_of(&read(template)).to_string(), expected, "{object} {template}");
        };
        check(r#"{"a":1,"b":2,"c":3}"#, r#"{"c":0,"a":0}"#, r#"{"c":3,"a":1,"b":2}"#);
        check(r#"{"o":{"a":1,"b":2},"n":null}"#, r#"{"n":1,"o":{"b":{}}}"#, r#"{"n":null,"o":{"b":2,"a":1}}"#);
        check(r#"{"b":1,"a":2}"#, r#"{"z":1}"#, r#"{"b":1,"a":2}"#);
    }
}
