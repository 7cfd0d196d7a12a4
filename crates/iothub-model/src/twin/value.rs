//! Which two JSON values the hub holds to be equal, and the one text that stands for all that are.

use std::fmt::Write;

use serde_json::{Number, Value};

/// Says whether the hub would hold two values to be equal: numbers by value, so that `1` and `1.0` do not differ.
pub fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => equal_numbers(a, b),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| equal(a, b)))
        }
        _ => a == b,
    }
}

fn equal_numbers(a: &Number, b: &Number) -> bool {
    canonical_number(a) == canonical_number(b)
}

/// A number's one spelling: an integer where the value is one that a double holds exactly, else as serde_json writes it.
fn canonical_number(number: &Number) -> String {
    match number.as_f64() {
        // 2^63 and above are not integers of ours; the hub takes none past 2^52 anyway.
        Some(float) if number.is_f64() && float.fract() == 0.0 && float.abs() < 9.2e18 => format!("{}", float as i64),
        _ => number.to_string(),
    }
}

/// Writes a value so that equal values give equal text: keys sorted, numbers by value, no white space.
///
/// This text is what digests and ownership hashes are taken over.
pub fn canonical(value: &Value) -> String {
    let mut text = String::new();
    write_canonical(value, &mut text);
    text
}

fn write_canonical(value: &Value, text: &mut String) {
    match value {
        Value::Number(number) => text.push_str(&canonical_number(number)),
        Value::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write_canonical(item, text);
            }
            text.push(']');
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|&(key, _)| key);
            text.push('{');
            for (index, (key, value)) in members.into_iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write!(text, "{}:", Value::from(key.as_str())).expect("a string takes all that is written to it");
                write_canonical(value, text);
            }
            text.push('}');
        }
        Value::Null | Value::Bool(_) | Value::String(_) => {
            write!(text, "{value}").expect("a string takes all that is written to it");
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn equality_is_by_value() {
        for (a, b, expected) in [
            (json!(1), json!(1.0), true),
            (json!(0), json!(-0.0), true),
            (json!(1), json!(1.5), false),
            (json!(1), json!("1"), false),
            (json!(0.1), json!(0.1), true),
            (json!(4503599627370495_i64), json!(4503599627370495.0), true),
            (json!({"a": [1, {"b": 2}]}), json!({"a": [1.0, {"b": 2.0}]}), true),
            (json!({"a": 1}), json!({"a": 1, "b": 2}), false),
            (json!([1, 2]), json!([2, 1]), false),
            (json!(null), json!(false), false),
        ] {
            assert_eq!(equal(&a, &b), expected, "{a} {b}");
            assert_eq!(canonical(&a) == canonical(&b), expected, "{a} {b}");
        }
    }

    #[test]
    fn canonical_text() {
        assert_eq!(
            canonical(&json!({"b": 1.0, "a": [true, null, "é\"", 2.5]})),
            r#"{"a":[true,null,"é\"",2.5],"b":1}"#
        );
    }
}
