//! Characters that come in with pasted text and look like others: no-break spaces, invisible ones, typographic quotes.
//!
//! YAML takes them for text. Where they stand for a space or a quote they are named in errors; where they are allowed and probably not meant,
//! a warning names them.

use crate::manifest::text::node::{self, Kind};
use crate::manifest::text::source::File;
use iothub_model::diagnostic::{Diagnostic, Span};

/// Returns the name of a character that looks like a space or like nothing.
fn space(c: char) -> Option<&'static str> {
    Some(match c {
        '\u{a0}' => "a no-break space",
        '\u{202f}' => "a narrow no-break space",
        '\u{2007}' => "a figure space",
        '\u{3000}' => "an ideographic space",
        '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{205f}' => "a space of another width",
        '\u{85}' | '\u{2028}' | '\u{2029}' => "a line separator",
        '\u{200b}' => "a zero-width space",
        '\u{2060}' => "a word joiner",
        '\u{feff}' => "a byte-order mark",
        '\u{200e}' | '\u{200f}' => "a direction mark",
        '\u{ad}' => "a soft hyphen",
        _ => return None,
    })
}

fn is_space(c: char) -> bool {
    // Most characters are before all of these.
    c >= '\u{85}' && space(c).is_some()
}

fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}' | '\u{2060}' | '\u{feff}' | '\u{200e}' | '\u{200f}')
}

fn is_quote(c: char) -> bool {
    matches!(c, '\u{2018}'..='\u{201f}' | '\u{ab}' | '\u{bb}' | '\u{ff02}' | '\u{ff07}')
}

/// Names an odd character, as in "U+00A0 (a no-break space)".
fn named(c: char) -> String {
    format!("U+{:04X} ({})", u32::from(c), space(c).unwrap_or("a typographic quote"))
}

/// Returns a text with plain spaces for odd ones, without invisible characters, and without what surrounds it.
pub(crate) fn plain(text: &str) -> String {
    let plain = text.chars().filter(|&c| !is_invisible(c)).map(|c| if is_space(c) { ' ' } else { c });
    plain.collect::<String>().trim().trim_matches(is_quote).to_owned()
}

/// Removes spaces of all kinds and invisible characters from both ends.
pub(crate) fn trim(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || is_space(c))
}

/// Names the first odd character of a text.
pub(crate) fn first(text: &str) -> Option<String> {
    text.chars().find(|&c| is_space(c) || is_quote(c)).map(named)
}

/// Returns `true` if a key begins with what looks like its indentation.
pub(crate) fn indents(key: &str) -> bool {
    key.starts_with(is_space)
}

/// A pasted character in a scalar: its place, and what it does there.
struct Pasted {
    offset: usize,
    c: char,
    what: &'static str,
}

/// Returns the warning for a key, when an odd character is in it.
pub(crate) fn in_key(file: &File, written: Span, name: &str) -> Option<Diagnostic> {
    if name.is_ascii() {
        return None;
    }
    let space = name.char_indices().find(|&(_, c)| is_space(c));
    let found = space.or_else(|| name.char_indices().next().filter(|&(_, c)| is_quote(c)));
    let (offset, c) = found?;
    let what = if indents(name) { "is part of this key, and does not indent it" } else { "is part of this key" };
    Some(warning(file, written, Pasted { offset, c, what }))
}

/// Returns the warning for a text that stands in the file as it is, when an odd character is where none is probably meant.
pub(crate) fn in_value(file: &File, written: Span, value: &str, is_plain: bool) -> Option<Diagnostic> {
    if value.is_ascii() {
        return None;
    }
    let what = |what| move |(offset, c)| Pasted { offset, c, what };
    let mut chars = value.char_indices();
    let (first, last) = (chars.next()?, chars.next_back());
    let edge = [Some(first), last].into_iter().flatten().find(|&(_, c)| is_space(c));
    let edge = edge.map(what(if edge == Some(first) { "begins this text" } else { "ends this text" }));
    let invisible = || value.char_indices().find(|&(_, c)| is_invisible(c)).map(what("is inside this text"));
    let structural = || {
        let quote =
            Some(first).filter(|&(_, c)| is_quote(c)).map(what("is part of this text, and quotes nothing in YAML"));
        let separator = || {
            value.char_indices().find(|&(offset, c)| {
                let (before, after) = (&value[..offset], &value[offset + c.len_utf8()..]);
                is_space(c) && (before.ends_with(':') || before == "-" || after.starts_with('#'))
            })
        };
        let number = || {
            let compact: String = value.chars().filter(|&c| !is_space(c)).collect();
            let is_text = matches!(node::resolve(&compact), Ok(Kind::Text(_)));
            value.char_indices().find(|&(_, c)| !is_text && is_space(c))
        };
        quote
            .or_else(|| separator().map(what("separates nothing in YAML")))
            .or_else(|| number().map(what("makes this a text")))
    };
    let pasted = edge.or_else(invisible).or_else(|| is_plain.then(structural).flatten())?;
    Some(warning(file, written, pasted))
}

/// `written` is the place of the scalar: its first character may be a quote.
fn warning(file: &File, written: Span, Pasted { offset, c, what }: Pasted) -> Diagnostic {
    let quote = usize::from(file.slice(written).starts_with(['"', '\'']));
    let start = written.start + quote + offset;
    let diagnostic = Diagnostic::warning(format!("{} {what}", named(c)));
    let diagnostic = diagnostic.at(&file.source, Span::new(start, start + c.len_utf8()), "here");
    diagnostic.help(match is_quote(c) {
        true => "write \" or '; where the character is meant, put the whole text in plain quotes".to_owned(),
        false => format!(
            "write a plain space, or none; where it is meant, write it as an escape in double quotes: \"\\u{:04x}\"",
            u32::from(c)
        ),
    })
}

/// Explains a syntax error in these lines of a file by the first odd character that stands where YAML has a space or a quote.
pub(crate) fn explain(file: &File, lines: Span) -> Option<Diagnostic> {
    let text = file.slice(lines);
    let (offset, c) = text.char_indices().find(|&(offset, c)| {
        let before = text[..offset].trim_end_matches(|c: char| is_space(c) || c == ' ');
        let is_structural = before.is_empty() || before.ends_with(['\n', '\r', ':', '-', ',', '[', '{', '?']);
        let before_comment = text[offset + c.len_utf8()..].starts_with('#');
        // YAML has no byte-order mark inside of a text.
        c == '\u{feff}' || (is_space(c) && (is_structural || before_comment)) || (is_quote(c) && is_structural)
    })?;
    let start = lines.start + offset;
    let (message, help) = match is_quote(c) {
        true => (format!("{} where YAML takes only \" and '", named(c)), "write \" or ' in its place"),
        false => {
            (format!("{} where YAML takes only spaces", named(c)), "write plain spaces in place of all such characters")
        }
    };
    Some(Diagnostic::error(message).at(&file.source, Span::new(start, start + c.len_utf8()), "here").help(help))
}

/// Returns the offset of the first space in a query, outside of its texts, that another reader may not take for one, and a message.
pub(crate) fn in_query(text: &str) -> Option<(usize, String)> {
    let mut quote = None;
    let (offset, c) = text.char_indices().find(|&(_, c)| {
        match quote {
            Some(open) if c == open => quote = None,
            None if matches!(c, '\'' | '"') => quote = Some(c),
            _ => {}
        }
        quote.is_none() && is_space(c)
    })?;
    Some((offset, format!("{} in a query", named(c))))
}

/// Names the odd character at an end of a cell.
pub(crate) fn at_end_of_cell(cell: &str) -> Option<String> {
    let mut chars = cell.chars();
    let (first, last) = (chars.next(), chars.next_back());
    [first, last].into_iter().flatten().find(|&c| is_space(c)).map(named)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::text::yaml;

    /// Returns the messages for a manifest, or what else is said of it.
    fn messages(text: &str) -> Vec<String> {
        let file = File::new("f", text);
        let mut found = Vec::new();
        yaml::parse(&file, &mut found);
        found.into_iter().map(|diagnostic| diagnostic.message).collect()
    }

    #[test]
    fn pasted_characters_are_named_where_they_are_not_meant() {
        for (text, message) in [
            ("a\u{a0}b: 1", "U+00A0 (a no-break space) is part of this key"),
            ("\u{a0}\u{a0}a: 1", "U+00A0 (a no-break space) is part of this key, and does not indent it"),
            ("\"a\u{200b}\": 1", "U+200B (a zero-width space) is part of this key"),
            ("“a”: 1", "U+201C (a typographic quote) is part of this key"),
            ("{ a:\u{a0}1 }", "U+00A0 (a no-break space) is part of this key"),
            ("a: b\u{a0}", "U+00A0 (a no-break space) ends this text"),
            ("a: \u{202f}b", "U+202F (a narrow no-break space) begins this text"),
            ("a: \"b\u{3000}\"", "U+3000 (an ideographic space) ends this text"),
            ("a: b\u{200b}c", "U+200B (a zero-width space) is inside this text"),
            ("a: b\u{feff}c", "U+FEFF (a byte-order mark) where YAML takes only spaces"),
            ("a: “b”", "U+201C (a typographic quote) is part of this text, and quotes nothing in YAML"),
            ("a: ‘b’", "U+2018 (a typographic quote) is part of this text, and quotes nothing in YAML"),
            ("a: b:\u{2007}c", "U+2007 (a figure space) separates nothing in YAML"),
            ("a: b\u{a0}# c", "U+00A0 (a no-break space) separates nothing in YAML"),
            ("a: 1\u{a0}000", "U+00A0 (a no-break space) makes this a text"),
            ("a:\n-\u{a0}b", "U+00A0 (a no-break space) where YAML takes only spaces"),
            ("a: 1\nb:\u{a0}2\n", "U+00A0 (a no-break space) where YAML takes only spaces"),
            ("a:\n\u{a0}\u{a0}b: 1\n  c: 2\n", "U+00A0 (a no-break space) where YAML takes only spaces"),
            ("a: { b: “c: d” }", "U+201C (a typographic quote) where YAML takes only \" and '"),
        ] {
            assert_eq!(messages(text).last().map(String::as_str), Some(message), "{text:?}");
        }
    }

    #[test]
    fn they_are_let_be_where_they_are_meant() {
        for text in [
            "a: 10\u{a0}€",
            "a: \"“b”\"",
            "a: \"\\u00a0\"",
            "a: it’s",
            "a: it’s “b”",
            "a: |\n  b\u{a0}\n",
            "a: 👩\u{200d}💻",
            "# a\u{a0}b\na: 1",
            "a: é",
        ] {
            assert_eq!(messages(text), [""; 0], "{text:?}");
        }
    }

    #[test]
    fn texts_in_queries_are_the_query_s_own() {
        assert_eq!(in_query("tags.a = 'b\u{a0}c'"), None);
        assert_eq!(in_query("tags.a\u{a0}= 'b'"), Some((6, "U+00A0 (a no-break space) in a query".to_owned())));
    }
}
