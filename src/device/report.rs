//! What a device says of itself, as `key=value` on a command line.

use std::str::FromStr;

use serde_json::Value;

use iothub_model::twin::Object;
use iothub_model::twin::limits::check_values;

/// One reported property: `connectivity=cellular`, `network.rssi=-71`.
#[derive(Clone, Debug, PartialEq)]
pub struct Property {
    keys: Vec<String>,
    value: Value,
}

/// Why a text is no reported property.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    /// No `=`.
    #[error("a property is KEY=VALUE, as in connectivity=cellular")]
    NoValue,
    /// Two dots in a row, or nothing before the `=`.
    #[error("`{}` has an empty key in it", path.escape_debug())]
    EmptyKey {
        /// As written.
        path: String,
    },
    /// What the hub takes from no device.
    #[error("{rule}")]
    Rule {
        /// Which of its rules.
        rule: String,
    },
    /// A property that is both a value and an object of others.
    #[error("`{path}` is given twice, once for all of it and once for a part")]
    Overlap {
        /// Its path.
        path: String,
    },
}

impl FromStr for Property {
    type Err = ReportError;

    /// Reads one. Dots in the key nest; the value is JSON if it can be read so, else text. `null` removes the property.
    fn from_str(text: &str) -> Result<Self, ReportError> {
        let (path, value) = text.split_once('=').ok_or(ReportError::NoValue)?;
        let keys: Vec<String> = path.split('.').map(str::to_owned).collect();
        if keys.iter().any(String::is_empty) {
            return Err(ReportError::EmptyKey { path: path.to_owned() });
        }
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
        let property = Self { keys, value };
        match check_values(&combine([&property])?).first() {
            Some(violation) => Err(ReportError::Rule { rule: violation.rule.to_string() }),
            None => Ok(property),
        }
    }
}

/// Makes one patch of several properties.
///
/// # Errors
///
/// When one of them lies inside another, or is there twice.
pub(crate) fn combine<'p>(properties: impl IntoIterator<Item = &'p Property>) -> Result<Object, ReportError> {
    let mut patch = Object::new();
    for Property { keys, value } in properties {
        let overlap = || ReportError::Overlap { path: keys.join(".") };
        let (last, parents) = keys.split_last().expect("a path has a key");
        let mut object = &mut patch;
        for key in parents {
            let child = object.entry(key.as_str()).or_insert_with(|| Value::Object(Object::new()));
            object = child.as_object_mut().ok_or_else(overlap)?;
        }
        if object.insert(last.clone(), value.clone()).is_some() {
            return Err(overlap());
        }
    }
    Ok(patch)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn report(texts: &[&str]) -> Result<Value, String> {
        let properties: Result<Vec<Property>, _> = texts.iter().map(|text| text.parse()).collect();
        properties.and_then(|all| combine(&all)).map(Value::Object).map_err(|error| error.to_string())
    }

    #[test]
    fn values_are_json_if_they_can_be_and_dots_nest() {
        for (texts, expected) in [
            (&["connectivity=cellular"][..], json!({"connectivity": "cellular"})),
            (&["n=5", "x=-1.5e3", "t=true", "q=\"5\""], json!({"n": 5, "x": -1500.0, "t": true, "q": "5"})),
            (&["a.b=1", "a.c.d=[1, {}]"], json!({"a": {"b": 1, "c": {"d": [1, {}]}}})),
            (&["gone=null"], json!({"gone": null})),
            (&["a={\"b\": 1}"], json!({"a": {"b": 1}})),
            (&["empty=", "eq=a=b"], json!({"empty": "", "eq": "a=b"})),
            (&["broken={\"b\""], json!({"broken": "{\"b\""})),
            (&[], json!({})),
        ] {
            assert_eq!(report(texts), Ok(expected), "{texts:?}");
        }
    }

    #[test]
    fn what_is_no_report() {
        for (texts, message) in [
            (&["connectivity"][..], "a property is KEY=VALUE, as in connectivity=cellular"),
            (&["=x"], "`` has an empty key in it"),
            (&["a..b=x"], "`a..b` has an empty key in it"),
            (
                &["$version=3"],
                "the key holds '$', and the hub takes no `.`, `$`, `#`, space or control character in a key",
            ),
            (&["n=4503599627370496"], "4503599627370496 is outside the hub's range for integers"),
            (&["a=1", "a.b=2"], "`a.b` is given twice, once for all of it and once for a part"),
            (&["a.b=2", "a=1"], "`a` is given twice, once for all of it and once for a part"),
            (&["a=1", "a=1"], "`a` is given twice, once for all of it and once for a part"),
        ] {
            let error = report(texts).expect_err(message);
            assert!(error.starts_with(message), "{error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn parsing_never_panics(text in "([a-z.=$]|\\PC|\"\\{\"){0,12}") {
            let _ = report(&[&text]);
        }
    }
}
