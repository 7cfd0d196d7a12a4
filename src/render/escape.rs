//! What a hub or a file says, made harmless: nothing that is shown can steer a terminal, turn text around, look like
//! another text, or command whoever runs a pipeline and reads its log. Which characters are shown by their number,
//! [`legible`] decides.

use std::borrow::Cow;

use serde_json::Value;

use crate::legible;
use iothub_model::twin::TwinId;

fn push_escaped(c: char, out: &mut String) {
    match c {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        c => legible::push_number(c, out),
    }
}

/// Finds what is not shown as it is: characters that a reader cannot see or tell from others, and the first characters
/// of commands. Returns where each starts, in bytes.
fn dangers(text: &str, keep: impl Fn(char) -> bool) -> Vec<usize> {
    let mut found = legible::unseen(text, keep);
    let commands = commands(text);
    if !commands.is_empty() {
        found.extend(commands);
        found.sort_unstable();
        found.dedup();
    }
    found
}

fn escape<'t>(text: &'t str, keep: impl Fn(char) -> bool) -> Cow<'t, str> {
    let dangers = dangers(text, keep);
    if dangers.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8 * dangers.len());
    let mut dangers = dangers.into_iter().peekable();
    for (at, c) in text.char_indices() {
        if dangers.next_if_eq(&at).is_some() { push_escaped(c, &mut out) } else { out.push(c) }
    }
    Cow::Owned(out)
}

/// Escapes lines of a file that a message shows, and moves the places that the message points at.
pub(super) fn excerpt(text: &str) -> (Cow<'_, str>, impl Fn(usize) -> usize) {
    let keep = |c| c == '\n' || c == '\t';
    let mut moved = Vec::new();
    let mut by = 0;
    for at in dangers(text, keep) {
        let c = text[at..].chars().next().expect("a character starts there");
        let mut escaped = String::new();
        push_escaped(c, &mut escaped);
        by += escaped.len() - c.len_utf8();
        moved.push((at, by));
    }
    let place = move |offset: usize| {
        let before = moved.partition_point(|&(at, _)| at < offset);
        offset + before.checked_sub(1).map_or(0, |last| moved[last].1)
    };
    (escape(text, keep), place)
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
pub(crate) fn line(text: &str) -> Cow<'_, str> {
    escape(text, |_| false)
}

/// Escapes a text that is a value by itself, with nothing around it that tells where it ends: a path, a cell of CSV.
/// Backslashes are doubled where the result could be the result of another text, too.
pub(crate) fn bare(text: &str, keep: impl Fn(char) -> bool) -> Cow<'_, str> {
    let escaped = escape(text, &keep);
    if escaped.contains('\\') && (matches!(escaped, Cow::Owned(_)) || could_be_an_escape(text)) {
        return Cow::Owned(escape(&text.replace('\\', "\\\\"), keep).into_owned());
    }
    escaped
}

/// Returns `true` if a text has two backslashes in a row, or a backslash and what an escape goes on with.
fn could_be_an_escape(text: &str) -> bool {
    let goes_on = |rest: &str| {
        let number = rest.strip_prefix('u').and_then(|rest| rest.get(..4));
        rest.starts_with(['\\', 'n', 'r', 't'])
            || number.is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    text.match_indices('\\').any(|(at, _)| goes_on(&text[at + 1..]))
}

/// Escapes a path into a twin, whose keys may hold anything.
pub(crate) fn path(path: &str) -> Cow<'_, str> {
    bare(path, |_| false)
}

/// Escapes a twin's id, which may be spelled like a command.
pub(crate) fn id(id: &TwinId) -> String {
    line(&id.to_string()).into_owned()
}

/// Escapes for text of several lines, and for CSV cells: line feeds and tabs stay.
pub(crate) fn lines(text: &str) -> Cow<'_, str> {
    escape(text, |c| c == '\n' || c == '\t')
}

/// Escapes what a JSON writer left in the text of a document; the document stays the same value.
pub(crate) fn json_text(text: &str) -> Cow<'_, str> {
    // Outside strings JSON has no such characters but white space, and inside them a writer leaves no line feed.
    escape(text, |c| c == '\n')
}

/// Writes a value on one line.
pub(crate) fn json(value: &Value) -> String {
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
        assert!(!text.contains(legible::is_unseen) && !text.contains("##vso"), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).expect("still JSON"), value);
    }
}
