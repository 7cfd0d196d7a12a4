//! JSON objects in either form, sorted ([`Object`]) or as written ([`super::ordered::OrderedObject`]), for rules that hold for both.

use serde_json::{Number, Value};

use super::Object;

/// An object's members.
pub trait Members: Sized {
    /// The values that such an object holds.
    type Value;

    /// Returns the members in the object's order.
    fn members(&self) -> impl Iterator<Item = (&str, &Self::Value)>;

    /// Returns what a value is.
    fn node(value: &Self::Value) -> Node<'_, Self>;
}

/// What a JSON value is, as far as the rules need to know.
#[derive(Debug)]
pub enum Node<'a, M: Members> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool,
    /// A number.
    Number(&'a Number),
    /// A text.
    Text(&'a str),
    /// An array.
    Array(&'a [M::Value]),
    /// An object.
    Object(&'a M),
}

impl Members for Object {
    type Value = Value;

    fn members(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.iter().map(|(key, value)| (key.as_str(), value))
    }

    fn node(value: &Value) -> Node<'_, Self> {
        match value {
            Value::Null => Node::Null,
            Value::Bool(_) => Node::Bool,
            Value::Number(number) => Node::Number(number),
            Value::String(text) => Node::Text(text),
            Value::Array(items) => Node::Array(items),
            Value::Object(object) => Node::Object(object),
        }
    }
}
