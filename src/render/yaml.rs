//! YAML that every reader reads back as the values that went in: readers of versions 1.1 and 1.2 alike.
//!
//! A text is written in quotes unless it can be nothing else, and a character that is not shown as it is by its number.

use std::fmt::{self, Write};

use serde::Serialize;
use serde_yaml::{Mapping, Value};

use crate::legible;

/// Longer keys are written with a `?`: YAML looks for the colon of others within 1,024 characters.
pub(super) const KEY_MAX: usize = 1000;

/// Writes a document in block style.
pub(super) fn document(of: &impl Serialize) -> String {
    let value = serde_yaml::to_value(of).expect("our own types have string keys");
    let mut out = String::new();
    match &value {
        Value::Mapping(members) if !members.is_empty() => mapping(&mut out, 0, members, false),
        Value::Sequence(items) if !items.is_empty() => sequence(&mut out, 0, items),
        other => scalar(&mut out, 0, other),
    }
    out
}

fn indent(out: &mut String, level: usize) {
    out.push_str(&"  ".repeat(level));
}

/// Writes a key and its colon.
pub(super) fn key(out: &mut String, level: usize, name: &str) {
    indent(out, level);
    bare_key(out, level, &text(name, is_word));
}

fn bare_key(out: &mut String, level: usize, name: &str) {
    _ = match name.len() > KEY_MAX {
        true => write!(out, "? {name}\n{}:", "  ".repeat(level)),
        false => write!(out, "{name}:"),
    };
}

/// Writes members; the first one where the line is already, if it is `begun`.
fn mapping(out: &mut String, level: usize, members: &Mapping, begun: bool) {
    for (index, (name, value)) in members.iter().enumerate() {
        if index > 0 || !begun {
            indent(out, level);
        }
        let name = name.as_str().expect("our own types have string keys");
        bare_key(out, level, &text(name, is_plain));
        match value {
            Value::Mapping(inner) if !inner.is_empty() => {
                out.push('\n');
                mapping(out, level + 1, inner, false);
            }
            Value::Sequence(items) if !items.is_empty() => {
                out.push('\n');
                sequence(out, level, items);
            }
            other => {
                out.push(' ');
                scalar(out, level + 1, other);
            }
        }
    }
}

fn sequence(out: &mut String, level: usize, items: &[Value]) {
    for item in items {
        indent(out, level);
        out.push('-');
        match item {
            Value::Mapping(inner) if !inner.is_empty() => {
                out.push(' ');
                mapping(out, level + 1, inner, true);
            }
            Value::Sequence(inner) if !inner.is_empty() => {
                out.push('\n');
                sequence(out, level + 1, inner);
            }
            other => {
                out.push(' ');
                scalar(out, level + 1, other);
            }
        }
    }
}

/// Writes what takes the rest of a line, or a text of several lines under it.
fn scalar(out: &mut String, level: usize, value: &Value) {
    match value {
        Value::Mapping(_) => out.push_str("{}"),
        Value::Sequence(_) => out.push_str("[]"),
        Value::String(of) if is_of_lines(of) => {
            out.push_str(if of.ends_with('\n') { "|" } else { "|-" });
            for line in of.lines() {
                out.push('\n');
                if !line.is_empty() {
                    indent(out, level);
                    out.push_str(line);
                }
            }
        }
        Value::String(of) => out.push_str(&text(of, is_plain)),
        Value::Number(of) => out.push_str(&number(of)),
        Value::Bool(of) => _ = write!(out, "{of}"),
        Value::Null | Value::Tagged(_) => out.push_str("null"),
    }
    out.push('\n');
}

/// Writes a number as a number of YAML 1.1, too, where one with an exponent has a point and a sign: `1e300` is a text
/// there.
pub(super) fn number(of: &impl fmt::Display) -> String {
    let number = of.to_string();
    let Some((mantissa, exponent)) = number.split_once(['e', 'E']) else { return number };
    let point = if mantissa.contains('.') { "" } else { ".0" };
    let sign = if exponent.starts_with(['+', '-']) { "" } else { "+" };
    format!("{mantissa}{point}e{sign}{exponent}")
}

/// Writes a text, with quotes unless it is a word that can stand anywhere.
pub(super) fn quoted(of: &str) -> String {
    text(of, is_word)
}

/// Writes a text, with quotes unless it `may_stand` without them.
fn text(of: &str, may_stand: impl Fn(&str) -> bool) -> String {
    if is_never_else(of) && may_stand(of) {
        return of.to_owned();
    }
    let mut unseen = legible::unseen(of, |_| false).into_iter().peekable();
    let mut out = String::with_capacity(of.len() + 2);
    out.push('"');
    for (at, c) in of.char_indices() {
        let is_unseen = unseen.next_if_eq(&at).is_some();
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if is_unseen => match u32::from(c) {
                code @ 0..=0xffff => _ = write!(out, "\\u{code:04x}"),
                code => _ = write!(out, "\\U{code:08x}"),
            },
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Returns `true` if no YAML reader of any version takes a plain text for something else: it begins with a letter and
/// is not one of the words for a boolean, a null or a number.
fn is_never_else(text: &str) -> bool {
    const OTHER: [&str; 10] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan"];
    text.starts_with(|c: char| c.is_ascii_alphabetic()) && !OTHER.iter().any(|other| text.eq_ignore_ascii_case(other))
}

/// Returns `true` for a word that has no meaning in YAML's syntax, in flow style as well.
fn is_word(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/'))
}

/// Returns `true` for a text that stands without quotes in block style: on one line, all of it seen.
fn is_plain(text: &str) -> bool {
    legible::unseen(text, |_| false).is_empty()
        && !text.ends_with([' ', ':'])
        && !text.contains(": ")
        && !text.contains(" #")
}

/// Returns `true` for a text that reads well as lines in block style, and is read back as it is.
fn is_of_lines(text: &str) -> bool {
    let body = text.strip_suffix('\n').unwrap_or(text);
    text.contains('\n')
        && !body.is_empty()
        && !body.starts_with(['\n', ' '])
        && !body.ends_with(['\n', ' '])
        && legible::unseen(text, |c| c == '\n').is_empty()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value as Json, json};

    use super::*;

    fn read(text: &str) -> Json {
        serde_yaml::from_str(text).unwrap_or_else(|error| panic!("{error}: {text:?}"))
    }

    #[test]
    fn values_are_read_back() {
        let value = json!({
            "version": 1,
            "words": ["yes", "No", "~", "null", "0o7", "0x1f", "1e3", "1_000", "2024-01-31", "12:30:45", "=", "<<", ".inf", ""],
            "numbers": [1, -2, 1.5, 1e300, 1e-7, 0.1, true, null],
            "odd": ["a\u{a0}b", "\u{85}", "x\u{2028}y", "\u{feff}x", "\tx", "e\u{301}", "\u{fffe}", "🦀\u{200d}", "\u{7f}"],
            "nested": [[1, [2]], {}, [], {"a": {"b": [{"c": 1, "d": [3]}]}}],
            "lines": ["a\nb", "a\n\n  b\n", "\na", " a\nb", "a\n\n", "a \nb", "a\tb\nc"],
            "plain words: no": "SELECT a FROM devices # x",
            "yes": "a: b",
            "query": "SELECT deviceId FROM devices WHERE a = 'b'",
            "end:": "end:",
        });
        let text = document(&value);
        assert_eq!(read(&text), value, "{text}");
        assert!(text.contains("query: SELECT deviceId FROM devices WHERE a = 'b'\n"), "{text}");
        assert!(text.contains("- |-\n  a\n  b\n") && text.contains("- \"a\\u00a0b\"\n"), "{text}");
        assert!(text.contains("- 1.0e+300\n"), "{text}");
    }

    fn any_text() -> impl Strategy<Value = String> {
        let part = prop_oneof![
            any::<char>().prop_map(String::from),
            prop::sample::select(vec![
                "a", "b ", " ", "\n", ": ", " #", "- ", "\"", "'", "\\", "\u{a0}", "\u{85}", "\u{2028}", "\u{feff}",
                "e\u{301}", "\t", "|", ">", "&", "*", "!", "%", "@", "`", "{", "}", "[", "]", ",", "?", "~", "1",
                "0o7", "yes",
            ])
            .prop_map(str::to_owned),
        ];
        prop::collection::vec(part, 0..6).prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn any_text_is_read_back(keys in prop::collection::vec(any_text(), 1..4), value in any_text()) {
            let members: serde_json::Map<_, _> = keys.iter().map(|key| (key.clone(), json!([value, { "k": value }]))).collect();
            let all = json!({ "a": members, "b": value });
            let text = document(&all);
            prop_assert_eq!(&read(&text), &all, "{}", text);
            prop_assert!(legible::unseen(&text, |c| c == '\n').is_empty(), "{}", text);
        }
    }
}
