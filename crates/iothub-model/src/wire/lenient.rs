//! Numbers and booleans that clients send as texts.
//!
//! The service's JSON reader (Newtonsoft's) converts them: `az iot hub invoke-device-method` sends
//! `"responseTimeoutInSeconds": "30"`. It converts a number to a boolean as well, and reads an empty text as `null`. It takes no
//! number with a fraction for an integer, and no boolean for a number.

use std::fmt;
use std::marker::PhantomData;

use serde::Deserializer;
use serde::de::{Error, Visitor};

/// A scalar that may be sent as another one.
pub(super) trait Lenient: Sized {
    const EXPECTED: &'static str;

    /// Reads the text of a value, which is not empty and has no white space around it.
    fn of_text(text: &str) -> Option<Self>;
    fn of_number(number: i128) -> Option<Self>;
    fn of_bool(flag: bool) -> Option<Self>;
}

macro_rules! integers {
    ($($integer:ty: $expected:literal,)*) => {
        $(impl Lenient for $integer {
            const EXPECTED: &'static str = $expected;

            fn of_text(text: &str) -> Option<Self> {
                text.parse().ok()
            }

            fn of_number(number: i128) -> Option<Self> {
                number.try_into().ok()
            }

            fn of_bool(_: bool) -> Option<Self> {
                None
            }
        })*
    };
}

integers! {
    u64: "a whole number that is not negative, or a text of one",
    i64: "a whole number, or a text of one",
}

impl Lenient for bool {
    const EXPECTED: &'static str = "true or false, or a text of one of them";

    fn of_text(text: &str) -> Option<Self> {
        match text {
            _ if text.eq_ignore_ascii_case("true") => Some(true),
            _ if text.eq_ignore_ascii_case("false") => Some(false),
            _ => None,
        }
    }

    fn of_number(number: i128) -> Option<Self> {
        Some(number != 0)
    }

    fn of_bool(flag: bool) -> Option<Self> {
        Some(flag)
    }
}

/// Deserializes a scalar that may be missing, `null`, or sent as another scalar.
pub(super) fn option<'de, T: Lenient, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    deserializer.deserialize_any(ScalarVisitor(PhantomData))
}

/// Deserializes a scalar that may be `null`, which is its default.
pub(super) fn or_default<'de, T: Lenient + Default, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    option(deserializer).map(Option::unwrap_or_default)
}

struct ScalarVisitor<T>(PhantomData<T>);

impl<T: Lenient> Visitor<'_> for ScalarVisitor<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<Self::Value, E> {
        found(T::of_bool(flag), serde::de::Unexpected::Bool(flag), &self)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        found(T::of_number(number.into()), serde::de::Unexpected::Unsigned(number), &self)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        found(T::of_number(number.into()), serde::de::Unexpected::Signed(number), &self)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        match text.trim() {
            "" => Ok(None),
            trimmed => found(T::of_text(trimmed), serde::de::Unexpected::Str(text), &self),
        }
    }
}

fn found<T: Lenient, E: Error>(
    value: Option<T>,
    unexpected: serde::de::Unexpected<'_>,
    visitor: &ScalarVisitor<T>,
) -> Result<Option<T>, E> {
    value.map(Some).ok_or_else(|| E::invalid_value(unexpected, visitor))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn check<T: Lenient + PartialEq + fmt::Debug>(cases: &[(Value, Option<Option<T>>)]) {
        for (value, expected) in cases {
            assert_eq!(option::<T, _>(value.clone()).ok(), *expected, "{value}");
        }
    }

    #[test]
    fn numbers_as_texts() {
        check::<u64>(&[
            (json!(30), Some(Some(30))),
            (json!("30"), Some(Some(30))),
            (json!(" 30 "), Some(Some(30))),
            (json!("+30"), Some(Some(30))),
            (json!(null), Some(None)),
            (json!(""), Some(None)),
            (json!("30.0"), None),
            (json!(30.5), None),
            (json!("thirty"), None),
            (json!(-1), None),
            (json!("-1"), None),
            (json!(true), None),
            (json!([30]), None),
        ]);
        check::<i64>(&[(json!("-10"), Some(Some(-10))), (json!(-10), Some(Some(-10))), (json!(false), None)]);
    }

    #[test]
    fn booleans_as_texts_and_numbers() {
        check::<bool>(&[
            (json!(true), Some(Some(true))),
            (json!("true"), Some(Some(true))),
            (json!("False"), Some(Some(false))),
            (json!(1), Some(Some(true))),
            (json!(0), Some(Some(false))),
            (json!(null), Some(None)),
            (json!(""), Some(None)),
            (json!("yes"), None),
            (json!("1"), None),
            (json!({}), None),
        ]);
    }
}
