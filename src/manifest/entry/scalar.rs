//! Scalars that are surely what they look like, seen without a parser.
//!
//! A yes holds for one line of a block mapping, with nothing but the scalar after the colon. A no means nothing: the parser knows.

use serde_json::{Number, Value};

use crate::manifest::text::node::{Kind, Text, TextOrigin};
use crate::manifest::text::{node, traps};
use iothub_model::diagnostic::Diagnostic;
use iothub_model::twin::limits::{INTEGER_MAX, INTEGER_MIN, STRING_MAX_BYTES};

/// What such a scalar is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Scalar<'t> {
    Null,
    Bool(bool),
    Number(Number),
    /// The text, without quotes.
    Text(&'t str),
}

impl Scalar<'_> {
    /// Returns the value that is declared; nothing for an absence.
    pub(crate) fn value(self) -> Option<Value> {
        match self {
            Self::Null => None,
            Self::Bool(boolean) => Some(Value::Bool(boolean)),
            Self::Number(number) => Some(Value::Number(number)),
            Self::Text(text) => Some(Value::String(text.to_owned())),
        }
    }
}

/// Reads what stands after `key: ` on a line, without what ends the line.
pub(crate) fn scalar(written: &str) -> Option<Scalar<'_>> {
    let bytes = written.as_bytes();
    let (&first, &last) = (bytes.first()?, bytes.last()?);
    if written.len() > STRING_MAX_BYTES {
        return None;
    }
    if matches!(first, b'"' | b'\'') {
        let inner = written.get(1..written.len() - 1).filter(|_| last == first && written.len() > 1)?;
        let is_plain = |byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\'' | b'\\' | b'$');
        return inner.bytes().all(is_plain).then_some(Scalar::Text(inner));
    }
    let begins = first.is_ascii_alphanumeric()
        || matches!(first, b'_' | b'/' | b'+' | b'.')
        || (first == b'-' && bytes.get(1).is_some_and(u8::is_ascii_alphanumeric));
    let goes_on = |(index, &byte): (usize, &u8)| match byte {
        b' ' => bytes[index - 1] != b' ',
        // Before a space or the end of the line it ends a key. A comma would end a value inside of brackets, and is not among these.
        b':' => bytes.get(index + 1).is_some_and(|next| *next != b' '),
        _ => byte.is_ascii_alphanumeric() || b"_-./+=@%();~".contains(&byte),
    };
    if !begins || last == b' ' || !bytes.iter().enumerate().skip(1).all(goes_on) {
        return None;
    }
    // Null, booleans and numbers begin with these; whatever begins otherwise is a text.
    if first.is_ascii_alphabetic() && !matches!(first, b'n' | b'N' | b't' | b'T' | b'f' | b'F') {
        return Some(Scalar::Text(written));
    }
    match node::resolve(written).ok()? {
        Kind::Null => Some(Scalar::Null),
        Kind::Bool(boolean) => Some(Scalar::Bool(boolean)),
        Kind::Number(number) => {
            let fits = number.is_f64() || number.as_i64().is_some_and(|it| (INTEGER_MIN..=INTEGER_MAX).contains(&it));
            fits.then_some(Scalar::Number(number))
        }
        Kind::Text(_) => Some(Scalar::Text(written)),
        Kind::Nothing | Kind::List(_) | Kind::Mapping(_) | Kind::Taken(_) => None,
    }
}

/// Says whether it might be one of YAML's traps.
pub(crate) fn may_be_trap(scalar: &Scalar<'_>, written: &str) -> bool {
    let first = written.as_bytes().first().copied().unwrap_or_default();
    match scalar {
        Scalar::Null | Scalar::Bool(_) => false,
        Scalar::Number(number) => number.is_f64() || !first.is_ascii_digit() || written.contains(['x', 'o', 'b']),
        Scalar::Text(_) => match first {
            b'y' | b'Y' | b'n' | b'N' | b'o' | b'O' => written.len() <= 3,
            _ => first.is_ascii_digit() || matches!(first, b'+' | b'-'),
        },
    }
}

/// Warns of one of YAML's traps; the place is the caller's.
pub(crate) fn trap(scalar: &Scalar<'_>, written: &str) -> Option<Diagnostic> {
    let kind = match scalar {
        Scalar::Null => Kind::Null,
        Scalar::Bool(boolean) => Kind::Bool(*boolean),
        Scalar::Number(number) => Kind::Number(number.clone()),
        Scalar::Text(text) => Kind::Text(Text { value: (*text).to_owned(), written: TextOrigin::Verbatim(0) }),
    };
    let (message, help) = traps::trap(&kind, written)?;
    Some(Diagnostic::warning(message).help(help))
}

/// Says whether a key is a text of few characters, as it stands.
pub(crate) fn is_key(written: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    !written.is_empty()
        && written.as_bytes()[0].is_ascii_alphanumeric()
        && written.len() <= 128
        && written.bytes().all(is_plain)
}

/// Says whether a name that [`is_key`] is no null, boolean or number without quotes.
pub(crate) fn is_text(name: &str) -> bool {
    (name.as_bytes()[0].is_ascii_alphabetic() && name.len() > 5) || matches!(node::resolve(name), Ok(Kind::Text(_)))
}
