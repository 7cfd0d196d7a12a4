//! What a hub or a file says, made harmless: nothing that is shown can steer a terminal, turn text around, or command whoever runs
//! a pipeline and reads its log.

use std::borrow::Cow;
use std::fmt::Write;

use serde_json::Value;

use crate::twin::TwinId;

/// Says whether a character must not reach a reader as it is: control characters, line separators, what reorders text, and what is
/// not seen at all, by which two values that look alike may differ (Unicode: Bidirectional Algorithm, "explicit formatting";
/// the property `Default_Ignorable_Code_Point`; interlinear annotations). An emoji made of several is shown in its parts.
pub(super) fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

fn push_escaped(c: char, out: &mut String) {
    match c {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        _ => {
            for unit in c.encode_utf16(&mut [0; 2]) {
                write!(out, "\\u{unit:04x}").expect("a string takes all that is written to it");
            }
        }
    }
}

fn escape<'t>(text: &'t str, keep: impl Fn(char) -> bool) -> Cow<'t, str> {
    let dangerous = |c: char| is_unsafe(c) && !keep(c);
    let commands = commands(text);
    if commands.is_empty() && !text.contains(dangerous) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    let mut commands = commands.into_iter().peekable();
    for (at, c) in text.char_indices() {
        let begins = commands.next_if_eq(&at).is_some();
        if begins || dangerous(c) { push_escaped(c, &mut out) } else { out.push(c) }
    }
    Cow::Owned(out)
}

/// Finds where a text would be read as a command by whoever runs a pipeline and looks through its log: `##vso[` and `##[` anywhere
/// in a line (Azure Pipelines, and GitHub Actions for the latter), and `::command::` at its beginning (GitHub Actions).
fn commands(text: &str) -> Vec<usize> {
    let mut found: Vec<usize> = Vec::new();
    if text.contains("##") {
        found.extend(text.match_indices('#').map(|(at, _)| at).filter(|&at| {
            let rest = &text.as_bytes()[at..];
            let vso = rest.get(..6).is_some_and(|start| start.eq_ignore_ascii_case(b"##vso["));
            vso || rest.starts_with(b"##[")
        }));
    }
    if text.contains("::") {
        let mut start = 0;
        for line in text.split_inclusive(['\n', '\r']) {
            let command = line.trim_start();
            if command.strip_prefix("::").is_some_and(|rest| rest.contains("::")) {
                found.push(start + line.len() - command.len());
            }
            start += line.len();
        }
        found.sort_unstable();
    }
    found
}

/// Escapes for one line of text: `\n`, `\t`, `\u001b`.
pub fn line(text: &str) -> Cow<'_, str> {
    escape(text, |_| false)
}

/// Escapes a twin's id, which may be spelled like a command.
pub fn id(id: &TwinId) -> String {
    line(&id.to_string()).into_owned()
}

/// Escapes for text of several lines, and for CSV cells: line feeds and tabs stay.
pub fn lines(text: &str) -> Cow<'_, str> {
    escape(text, |c| c == '\n' || c == '\t')
}

/// Escapes what a JSON writer left in the text of a document; the document stays the same value.
pub fn json_text(text: &str) -> Cow<'_, str> {
    // Outside strings JSON has no such characters but white space, and inside them a writer leaves no line feed.
    escape(text, |c| c == '\n')
}

/// Writes a value on one line.
pub fn json(value: &Value) -> String {
    json_text(&value.to_string()).into_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn dangerous_characters_are_named() {
        for (text, shown) in [
            ("plain é 漢 🦀", "plain é 漢 🦀"),
            ("\u{1b}[31mred", "\\u001b[31mred"),
            ("a\nb\tc\rd", "a\\nb\\tc\\rd"),
            ("\u{9b}2J\u{7f}", "\\u009b2J\\u007f"),
            ("user\u{202e}nimda\u{2066}", "user\\u202enimda\\u2066"),
            ("\u{e0041}", "\\udb40\\udc41"),
            // Not to be seen between letters: joiners, fillers, and selectors that carry bytes.
            ("a\u{200b}b\u{200c}c\u{200d}d\u{2060}", "a\\u200bb\\u200cc\\u200dd\\u2060"),
            ("a\u{34f}b\u{3164}c\u{ffa0}d\u{115f}", "a\\u034fb\\u3164c\\uffa0d\\u115f"),
            ("x\u{fe0f}y\u{e0100}", "x\\ufe0fy\\udb40\\udd00"),
            ("a ##vso[task.setvariable variable=x]y", "a \\u0023#vso[task.setvariable variable=x]y"),
            ("##VSO[x]##[error]###[x]", "\\u0023#VSO[x]\\u0023#[error]#\\u0023#[x]"),
            ("## a # b", "## a # b"),
            (" ::error::forged", " \\u003a:error::forged"),
            ("::1", "::1"),
            ("std::io::Error", "std::io::Error"),
        ] {
            assert_eq!(line(text), shown);
        }
        assert_eq!(lines("a\nb\tc\u{7}"), "a\nb\tc\\u0007");
    }

    #[test]
    fn json_stays_the_same_value() {
        let value =
            json!({"k\u{202e}": ["##vso[x]y", "::a::", "\u{1b}]0;x\u{7}", "\u{7f}\u{9f}\u{feff}", "\u{e0041}", "ok"]});
        let text = json(&value);
        assert!(!text.contains(is_unsafe) && !text.contains("##vso"), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).expect("still JSON"), value);
    }
}
