//! What is wrong in a text that a person wrote, as data.
//!
//! A [`Diagnostic`] points into one or more [`Source`]s. It is never printed here: `render::diagnostic` draws carets, and
//! the same value can become JSON or a CI annotation.

use std::fmt;
use std::sync::Arc;

/// A text that a person wrote: a manifest, a query on the command line.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    name: String,
    text: String,
    /// The line of the first character, from 1.
    first_line: usize,
}

impl Source {
    /// Keeps `text` under the name that messages show, a path as the user gave it or something like `<query>`.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Arc<Self> {
        Arc::new(Self { name: name.into(), text: text.into(), first_line: 1 })
    }

    /// Keeps a part of a text that is not kept whole, as a row of a long table; it starts at the line `first_line`, counted from 1.
    pub fn excerpt(name: impl Into<String>, text: impl Into<String>, first_line: usize) -> Arc<Self> {
        Arc::new(Self { name: name.into(), text: text.into(), first_line })
    }

    /// Returns the line at which the text starts: 1 but for an excerpt.
    pub fn first_line(&self) -> usize {
        self.first_line
    }

    /// Returns the name that messages show.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the whole text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns line and column of a byte offset, both counted from 1, columns in characters.
    ///
    /// An offset past the end, or inside a character, is taken as the nearest place before it.
    pub fn position(&self, offset: usize) -> Position {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        let before = &self.text[..offset];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Position {
            line: before.bytes().filter(|&byte| byte == b'\n').count() + self.first_line,
            column: before[line_start..].chars().count() + 1,
        }
    }
}

/// A place in a text, for people: both numbers count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

/// A range of bytes in a [`Source`]; `start <= end`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// The byte after the last.
    pub end: usize,
}

impl Span {
    /// Spans from `start` up to, and without, `end`.
    pub fn new(start: usize, end: usize) -> Self {
        debug_assert!(start <= end, "a span runs forward");
        Self { start, end }
    }

    /// Spans all from the start of `self` to the end of `last`.
    pub fn to(self, last: Span) -> Self {
        Self { start: self.start.min(last.start), end: self.end.max(last.end) }
    }
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing can go on from here.
    Error,
    /// Allowed, and probably not what was meant.
    Warning,
}

/// A remark on one place in one source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// The text that is pointed into.
    pub source: Arc<Source>,
    /// Where.
    pub span: Span,
    /// What to say beside the caret; empty for the caret alone.
    pub text: String,
}

/// One thing that is wrong, where, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong: a lower-case fragment without a full stop.
    pub message: String,
    /// Where: the first label is the place itself, the others are what it clashes with. Empty when a whole file or the
    /// whole fleet is meant.
    pub labels: Vec<Label>,
    /// What to do about it, a sentence each, without a full stop.
    pub help: Vec<String>,
}

impl Diagnostic {
    /// Makes an error without a place yet.
    pub fn error(message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, message: message.into(), labels: Vec::new(), help: Vec::new() }
    }

    /// Makes a warning without a place yet.
    pub fn warning(message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(message) }
    }

    /// Adds a place; the first one added is where the thing is wrong.
    #[must_use]
    pub fn at(mut self, source: &Arc<Source>, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label { source: Arc::clone(source), span, text: text.into() });
        self
    }

    /// Adds a hint.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    /// Says whether this one stops everything.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// `name:line:column: message`, for logs and tests; people get `render::diagnostic`.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(label) = self.labels.first() {
            let Position { line, column } = label.source.position(label.span.start);
            write!(f, "{}:{line}:{column}: ", label.source.name())?;
        }
        f.write_str(&self.message)
    }
}

/// Returns the name among `known` that `written` was probably meant to be, if one is near enough to be worth a hint.
pub fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Of one or two letters, one is no slip.
    let allowed = written.chars().count() / 3;
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&written.to_lowercase(), &name.to_lowercase()), name))
        .filter(|&(distance, name)| distance <= allowed && (distance == 0 || !is_another_number(written, name)))
        .min_by_key(|&(distance, name)| (distance, name))
        .map(|(_, name)| name)
}

/// Returns the id among `known` that `written` was probably meant to be. An id that differs in its digits alone counts too, if no other
/// is near: a device's number may be mistyped as well as its name.
pub fn nearest_id<'a>(written: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> Option<&'a str> {
    nearest(written, known.clone()).or_else(|| {
        let allowed = (written.chars().count() / 3).max(1);
        let near = known.into_iter().map(|id| (strsim::damerau_levenshtein(written, id), id));
        near.filter(|&(distance, _)| distance <= allowed).min().map(|(_, id)| id)
    })
}

/// Returns `true` if two names differ in the digits that they have and in nothing else, as `press-041` and `press-042`:
/// those are two things. The same digits in another order are a slip.
fn is_another_number(a: &str, b: &str) -> bool {
    let words = |text: &str| text.chars().filter(|c| !c.is_ascii_digit()).collect::<String>().to_lowercase();
    let digits = |text: &str| {
        let mut digits: Vec<char> = text.chars().filter(char::is_ascii_digit).collect();
        digits.sort_unstable();
        digits
    };
    words(a) == words(b) && digits(a) != digits(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_lines_and_characters_from_one() {
        let source = Source::new("a.yaml", "é: 1\nb: ü\n");
        assert_eq!(source.position(0), Position { line: 1, column: 1 });
        assert_eq!(source.position(2), Position { line: 1, column: 2 });
        assert_eq!(source.position(1), Position { line: 1, column: 1 }, "inside é");
        assert_eq!(source.position(6), Position { line: 2, column: 1 });
        assert_eq!(source.position(999), Position { line: 3, column: 1 });
    }

    #[test]
    fn nearest_finds_typos_and_not_strangers() {
        let known = ["devices", "defaults", "groups"];
        assert_eq!(nearest("device", known), Some("devices"));
        assert_eq!(nearest("dveices", known), Some("devices"));
        assert_eq!(nearest("Groups", known), Some("groups"));
        assert_eq!(nearest("selectors", known), None);
        assert_eq!(nearest("b", ["a", "ab"]), None);
        assert_eq!(nearest("A", ["a"]), Some("a"));
        assert_eq!(nearest("press-041", ["press-042", "press-43"]), None);
        assert_eq!(nearest_id("press-041", ["press-042", "press-43"]), Some("press-042"));
        assert_eq!(nearest_id("pres-041", ["press-042", "press-041"]), Some("press-041"));
        assert_eq!(nearest_id("d2", ["d1", "thermostat-1"]), Some("d1"));
        assert_eq!(nearest_id("gateway", ["press-042", "press-43"]), None);
        assert_eq!(nearest("redmond34", ["redmond43", "redmond33"]), Some("redmond43"));
    }
}
