//! Converts a value to the type that a reference names: `:int`, `:float`, `:bool`, `:json`.
//!
//! A text is read as plain YAML reads it, so that `TRUE` of a spreadsheet is a boolean here as it is in a manifest.

use serde_json::{Number, Value};

use crate::manifest::text::node::{self, Key, Kind, Node, Text, TextOrigin};
use iothub_model::diagnostic::Span;
use iothub_model::twin::limits::{INTEGER_MAX, INTEGER_MIN};

pub(crate) const TYPES: [&str; 4] = ["int", "float", "bool", "json"];

/// Converts to a type that a reference names; the problem goes on from "`${…}`". Values are never told: they may be secret.
pub(crate) fn convert(kind: Kind, to: &str) -> Result<Kind, String> {
    match (to, kind) {
        ("json", Kind::Text(text)) => {
            let secret = matches!(text.written, TextOrigin::Interpolated { secret: true });
            let value = serde_json::from_str::<Value>(&text.value);
            value.map(|value| from_json(value, secret)).map_err(|error| {
                format!("is not JSON, at line {} column {} of the value", error.line(), error.column())
            })
        }
        ("json", kind) => Ok(kind),
        ("int", Kind::Text(text)) => integer_of(&text.value),
        ("int", Kind::Number(number)) => integer(number),
        ("float", Kind::Text(text)) => number_of(&text.value),
        ("float", Kind::Number(number)) => Ok(Kind::Number(number)),
        ("bool", Kind::Text(text)) => match node::resolve(text.value.trim()) {
            Ok(Kind::Bool(boolean)) => Ok(Kind::Bool(boolean)),
            Ok(Kind::Nothing) => Err("is empty, and neither `true` nor `false`".to_owned()),
            _ => Err("is neither `true` nor `false`".to_owned()),
        },
        ("bool", Kind::Bool(boolean)) => Ok(Kind::Bool(boolean)),
        ("int", kind) => Err(format!("is {}, not an integer", kind.name())),
        ("float", kind) => Err(format!("is {}, not a number", kind.name())),
        (_, kind) => Err(format!("is {}, not a boolean", kind.name())),
    }
}

fn integer_of(text: &str) -> Result<Kind, String> {
    let text = text.trim();
    // Decimal digits are decimal, leading zeros or not: the type says that no text is meant.
    if let Ok(number) = text.parse::<i128>() {
        return i64::try_from(number).map_err(|_| outside()).and_then(|number| integer(number.into()));
    }
    match node::resolve(text) {
        Ok(Kind::Number(number)) => integer(number),
        Ok(Kind::Nothing) => Err("is empty, not an integer".to_owned()),
        Err(node::Unfit::OutOfRange) => Err(outside()),
        _ => Err("is not an integer".to_owned()),
    }
}

fn integer(number: Number) -> Result<Kind, String> {
    let whole = match number.as_i64() {
        Some(integer) => integer,
        None if !number.is_f64() => return Err(outside()),
        None => match number.as_f64() {
            Some(float) if float.fract() != 0.0 => return Err("is not an integer".to_owned()),
            Some(float) if float.abs() <= INTEGER_MAX as f64 => float as i64,
            _ => return Err(outside()),
        },
    };
    if (INTEGER_MIN..=INTEGER_MAX).contains(&whole) { Ok(Kind::Number(whole.into())) } else { Err(outside()) }
}

fn outside() -> String {
    format!("is outside the hub's range for integers, {INTEGER_MIN} to {INTEGER_MAX} (52 bits)")
}

fn number_of(text: &str) -> Result<Kind, String> {
    let text = text.trim();
    if let Some(number) = text.parse().ok().and_then(Number::from_f64) {
        return Ok(Kind::Number(number));
    }
    match node::resolve(text) {
        Ok(Kind::Number(number)) => Ok(Kind::Number(number)),
        Ok(Kind::Nothing) => Err("is empty, not a number".to_owned()),
        Err(node::Unfit::NotFinite) => Err("is not a number that JSON has".to_owned()),
        Err(node::Unfit::OutOfRange) => Err(outside()),
        _ => Err("is not a number".to_owned()),
    }
}

/// Takes JSON as it is.
pub(crate) fn from_json(value: Value, secret: bool) -> Kind {
    let node = |value| Node { span: Span::default(), kind: from_json(value, secret) };
    match value {
        Value::Null => Kind::Null,
        Value::Bool(boolean) => Kind::Bool(boolean),
        Value::Number(number) => Kind::Number(number),
        Value::String(value) => Kind::Text(Text { value, written: TextOrigin::Interpolated { secret } }),
        Value::Array(items) => Kind::List(items.into_iter().map(node).collect()),
        Value::Object(members) => {
            let entry = |(name, value)| (Key { name, span: Span::default() }, node(value));
            Kind::Mapping(members.into_iter().map(entry).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_as_plain_yaml_is() {
        for (to, text, expected) in [
            ("bool", "true", Ok("true")),
            ("bool", "True", Ok("true")),
            ("bool", "TRUE", Ok("true")),
            ("bool", " FALSE ", Ok("false")),
            ("bool", "tRUE", Err("is neither `true` nor `false`")),
            ("bool", "yes", Err("is neither `true` nor `false`")),
            ("bool", "1", Err("is neither `true` nor `false`")),
            ("bool", "", Err("is empty, and neither `true` nor `false`")),
            ("int", "5", Ok("5")),
            ("int", "+5", Ok("5")),
            ("int", " 5 ", Ok("5")),
            ("int", "-007", Ok("-7")),
            ("int", "0x1F", Ok("31")),
            ("int", "0o17", Ok("15")),
            ("int", "1e3", Ok("1000")),
            ("int", "3.0", Ok("3")),
            ("int", "3.5", Err("is not an integer")),
            ("int", "1_000", Err("is not an integer")),
            ("int", "5 pcs", Err("is not an integer")),
            ("int", ".inf", Err("is not an integer")),
            ("int", "4503599627370495", Ok("4503599627370495")),
            ("int", "4503599627370496", Err("is outside the hub's range")),
            ("int", "0xFFFFFFFFFFFFFFFFFF", Err("is")),
            ("int", "1e300", Err("is outside the hub's range")),
            ("int", "", Err("is empty, not an integer")),
            ("float", "0.5", Ok("0.5")),
            ("float", "+.5", Ok("0.5")),
            ("float", "1e3", Ok("1000.0")),
            ("float", "0x1F", Ok("31")),
            ("float", ".inf", Err("is not a number that JSON has")),
            ("float", ".NaN", Err("is not a number that JSON has")),
            ("float", "inf", Err("is not a number")),
            ("float", "1e999", Err("is")),
            ("float", "0,5", Err("is not a number")),
            ("float", " ", Err("is empty, not a number")),
        ] {
            let kind = Kind::Text(Text { value: text.to_owned(), written: TextOrigin::Folded });
            let found = convert(kind, to);
            match (&found, expected) {
                (Ok(Kind::Bool(boolean)), Ok(expected)) => assert_eq!(boolean.to_string(), expected, "{text:?}:{to}"),
                (Ok(Kind::Number(number)), Ok(expected)) => assert_eq!(number.to_string(), expected, "{text:?}:{to}"),
                (Err(problem), Err(expected)) => assert!(problem.starts_with(expected), "{text:?}:{to}: {problem}"),
                _ => panic!("{text:?}:{to}: {found:?}"),
            }
        }
    }
}
