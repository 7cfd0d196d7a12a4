//! A tree of YAML: values that know where they are written.

use iothub_model::diagnostic::Span;
use serde_json::{Number, Value};

/// A value and where it is written.
#[derive(Clone, Debug)]
pub(crate) struct Spanned<T> {
    pub(crate) value: T,
    pub(crate) span: Span,
}

/// A value and where it is written.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) span: Span,
    pub(crate) kind: Kind,
}

/// A value.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// Nothing is written where a value could be. As a value it is null.
    Nothing,
    /// `null` or `~`.
    Null,
    Bool(bool),
    Number(Number),
    Text(Text),
    List(Vec<Node>),
    Mapping(Vec<(Key, Node)>),
    /// Was taken out of the tree, or all that is in it was: see [`EntryHook`](super::yaml::EntryHook). It is the so-manieth that was; nothing
    /// when it was wrong.
    Taken(Option<usize>),
}

/// A text, and how its characters relate to the file's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Text {
    pub(crate) value: String,
    pub(crate) written: TextOrigin,
}

/// How a text came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TextOrigin {
    /// It stands in the file as it is, from this byte on.
    Verbatim(usize),
    /// It has escapes or runs over several lines.
    Folded,
    /// It was put together from references; a secret one has something in it that came from the environment and is not shown.
    Interpolated { secret: bool },
}

/// A key of a mapping.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) name: String,
    pub(crate) span: Span,
}

impl Kind {
    /// Names what it is, for "must be a list, and is a text".
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Nothing => "empty",
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Mapping(_) | Self::Taken(_) => "a mapping",
        }
    }
}

impl Node {
    /// Says whether there is a reference in it, or something that looks like one.
    pub(crate) fn has_references(&self) -> bool {
        match &self.kind {
            Kind::Nothing | Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::Taken(_) => false,
            Kind::Text(text) => text.value.contains("${"),
            Kind::List(items) => items.iter().any(Self::has_references),
            Kind::Mapping(entries) => {
                entries.iter().any(|(key, value)| key.name.contains("${") || value.has_references())
            }
        }
    }

    /// What it costs to have it once more, in nodes; long texts count as several.
    pub(crate) fn weight(&self) -> usize {
        match &self.kind {
            Kind::Nothing | Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::Taken(_) => 1,
            Kind::Text(text) => text_weight(&text.value),
            Kind::List(items) => 1 + items.iter().map(Self::weight).sum::<usize>(),
            Kind::Mapping(entries) => {
                1 + entries.iter().map(|(key, value)| text_weight(&key.name) + value.weight()).sum::<usize>()
            }
        }
    }
}

pub(crate) fn text_weight(text: &str) -> usize {
    1 + text.len() / 64
}

/// Why a number cannot be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    NotFinite,
    OutOfRange,
}

/// Says what a plain scalar is: what serde_yaml makes of it. The text of a text is to be placed by the caller.
pub(crate) fn resolve(plain: &str) -> Result<Kind, Unfit> {
    let text = || Kind::Text(Text { value: plain.to_owned(), written: TextOrigin::Folded });
    match plain {
        "" => return Ok(Kind::Nothing),
        "null" | "Null" | "NULL" | "~" => return Ok(Kind::Null),
        "true" | "True" | "TRUE" => return Ok(Kind::Bool(true)),
        "false" | "False" | "FALSE" => return Ok(Kind::Bool(false)),
        _ => {}
    }
    // Only what starts as a number can be one. The rest is not shown to serde_yaml: that is most of a manifest, and there are
    // texts that would mean something else as a whole document.
    let bytes = plain.as_bytes();
    let starts =
        |bytes: &[u8]| matches!(bytes, [b'0'..=b'9', ..] | [b'.', b'0'..=b'9' | b'i' | b'I' | b'n' | b'N', ..]);
    let unsigned = bytes.strip_prefix(b"-").or_else(|| bytes.strip_prefix(b"+")).unwrap_or(bytes);
    let could_be_number =
        starts(unsigned) && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'+' | b'-'));
    if !could_be_number || is_version(bytes) {
        return Ok(text());
    }
    if let Some(integer) = plain_integer(bytes) {
        return Ok(Kind::Number(integer.into()));
    }
    match serde_yaml::from_str::<serde_yaml::Value>(plain) {
        Ok(serde_yaml::Value::Number(number)) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(integer), ..) => Ok(Kind::Number(integer.into())),
            (None, Some(integer), _) => Ok(Kind::Number(integer.into())),
            (None, None, float) => float.and_then(Number::from_f64).map(Kind::Number).ok_or(Unfit::NotFinite),
        },
        Ok(_) => Ok(text()),
        // An integer of more than 64 bits is the one thing of these characters that it refuses.
        Err(_) => Err(Unfit::OutOfRange),
    }
}

/// Reads what every version of YAML has as a decimal integer: most numbers of a manifest are such.
fn plain_integer(bytes: &[u8]) -> Option<i64> {
    let digits = bytes.strip_prefix(b"-").unwrap_or(bytes);
    let is_plain = matches!(digits, [b'0'] | [b'1'..=b'9', ..]) && digits.len() <= 18;
    if !is_plain || !digits.iter().all(u8::is_ascii_digit) || bytes == b"-0" {
        return None;
    }
    let number = digits.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0'));
    Some(if bytes.len() > digits.len() { -number } else { number })
}

/// Says whether a text that starts as a number has two points, as no number has.
fn is_version(bytes: &[u8]) -> bool {
    bytes.iter().filter(|&&byte| byte == b'.').count() > 1
}

/// Turns a value into JSON.
pub(crate) fn to_json(kind: &Kind) -> Value {
    match kind {
        Kind::Nothing | Kind::Null => Value::Null,
        Kind::Bool(boolean) => Value::Bool(*boolean),
        Kind::Number(number) => Value::Number(number.clone()),
        Kind::Text(text) => Value::String(text.value.clone()),
        Kind::List(items) => Value::Array(items.iter().map(|item| to_json(&item.kind)).collect()),
        Kind::Taken(_) => unreachable!("what is taken is an entry, and no value"),
        Kind::Mapping(entries) => {
            Value::Object(entries.iter().map(|(key, value)| (key.name.clone(), to_json(&value.kind))).collect())
        }
    }
}
