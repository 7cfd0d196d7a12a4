//! Reads YAML nodes as what they should be, and says so where they are not.

use std::sync::Arc;
use std::time::Duration;

use crate::manifest::text::node::{Key, Kind, Node, Spanned, Text, TextOrigin};
use crate::manifest::text::odd;
use crate::manifest::text::source::File;
use iothub_model::diagnostic::{Diagnostic, Source, Span, nearest};
use iothub_model::duration;

/// One field of a mapping: its name, and how it is read into a `T`.
pub(crate) struct Field<T> {
    pub(crate) name: &'static str,
    pub(crate) read: fn(&mut Reader<'_>, &mut T, Key, Node),
}

/// What a mapping may have in it.
pub(crate) struct Table<T: 'static> {
    /// What the mapping is, with its article: "a check".
    pub(crate) what: &'static str,
    pub(crate) fields: &'static [Field<T>],
    /// Names that people try, and what to do about them.
    pub(crate) misplaced: &'static [(&'static str, &'static str)],
}

/// Reads one file, and collects what is wrong in it.
pub(crate) struct Reader<'a> {
    pub(crate) file: &'a File,
    pub(crate) found: &'a mut Vec<Diagnostic>,
}

impl Reader<'_> {
    /// Points into the file.
    pub(crate) fn at(&self, diagnostic: Diagnostic, span: Span, label: impl Into<String>) -> Diagnostic {
        diagnostic.at(&self.file.source, span, label)
    }

    pub(crate) fn error(&self, message: impl Into<String>, span: Span, label: impl Into<String>) -> Diagnostic {
        self.at(Diagnostic::error(message), span, label)
    }

    pub(crate) fn report(&mut self, diagnostic: Diagnostic) {
        self.found.push(diagnostic);
    }

    pub(crate) fn source(&self) -> &Arc<Source> {
        &self.file.source
    }

    /// Reads the entries of a mapping by a table.
    pub(crate) fn fields<T>(&mut self, table: &Table<T>, entries: Vec<(Key, Node)>, into: &mut T) {
        for (key, node) in entries {
            match table.fields.iter().find(|field| field.name == key.name) {
                Some(field) => (field.read)(self, into, key, node),
                None => self.unknown_field(table, &key, &node),
            }
        }
    }

    fn unknown_field<T>(&mut self, table: &Table<T>, key: &Key, node: &Node) {
        let name = key.name.as_str();
        let what = table.what;
        let known = || table.fields.iter().map(|field| field.name);
        let misplaced = table.misplaced.iter().find(|(misplaced, _)| *misplaced == name);
        let pasted = odd::first(name).and_then(|odd| {
            let meant = odd::plain(name);
            match known().find(|field| *field == meant) {
                _ if odd::indents(name) => Some(format!("the line is indented with {odd}: write plain spaces")),
                Some(field) => Some(format!("write `{field}` without the {odd}")),
                None => None,
            }
        });
        let help = match (misplaced, nearest(name, known())) {
            _ if pasted.is_some() => pasted.unwrap_or_default(),
            (Some((_, help)), _) => (*help).to_owned(),
            (None, Some(near)) => format!("did you mean `{near}`?"),
            (None, None) if name.contains(' ') && matches!(node.kind, Kind::Nothing) => {
                "inside `{ … }` a comma ends a value: quote a text that has one".to_owned()
            }
            (None, None) => format!("{what} has {}", known().collect::<Vec<_>>().join(", ")),
        };
        let shown = name.escape_debug();
        let diagnostic = self.error(format!("unknown field `{shown}`"), key.span, format!("{what} has no such field"));
        self.report(diagnostic.help(help));
    }

    /// Says that a field has a value of the wrong kind. `should_be` goes on from "must be".
    pub(crate) fn wrong_kind(&self, key: &Key, node: &Node, should_be: &str) -> Diagnostic {
        self.wrong_kind_of(&format!("`{}`", key.name.escape_debug()), key.span, node, should_be)
    }

    /// Says the same of what is no field; where nothing is written, `place` is pointed at.
    fn wrong_kind_of(&self, what: &str, place: Span, node: &Node, should_be: &str) -> Diagnostic {
        let kind = node.kind.name();
        let span = if node.span.start == node.span.end { place } else { node.span };
        self.error(format!("{what} must be {should_be}, and is {kind}"), span, format!("{kind} here"))
    }

    /// Reads a mapping; nothing written is an empty one, and so is null.
    pub(crate) fn mapping(&mut self, key: &Key, node: Node) -> Option<Vec<(Key, Node)>> {
        match node.kind {
            Kind::Mapping(entries) => Some(entries),
            Kind::Nothing | Kind::Null => Some(Vec::new()),
            _ => {
                let diagnostic = self.wrong_kind(key, &node, "a mapping");
                self.report(diagnostic);
                None
            }
        }
    }

    /// Reads a field that is a text.
    pub(crate) fn text(&mut self, key: &Key, node: Node) -> Option<Spanned<Text>> {
        self.text_of(&format!("`{}`", key.name.escape_debug()), key.span, node)
    }

    /// Reads a text that is no field.
    pub(crate) fn text_of(&mut self, what: &str, place: Span, node: Node) -> Option<Spanned<Text>> {
        let span = node.span;
        if let Kind::Text(value) = node.kind {
            return Some(Spanned { value, span });
        }
        let diagnostic = self.wrong_kind_of(what, place, &node, "a text");
        let written = self.file.slice(span);
        let diagnostic = match node.kind {
            Kind::Bool(_) | Kind::Number(_) if !written.contains("${") => {
                diagnostic.help(format!("quote it: \"{written}\""))
            }
            _ => diagnostic,
        };
        self.report(diagnostic);
        None
    }

    /// Reads the items of a list; `each` says what they are, `hint` how one is written. Nothing written is an empty list, and so is null.
    pub(crate) fn list(&mut self, key: &Key, node: Node, each: &str, hint: &str) -> Vec<Node> {
        match node.kind {
            Kind::List(items) => items,
            Kind::Nothing | Kind::Null => Vec::new(),
            _ => {
                let diagnostic = self.wrong_kind(key, &node, &format!("a list of {each}")).help(hint);
                self.report(diagnostic);
                Vec::new()
            }
        }
    }

    /// Reads `true` or `false`.
    pub(crate) fn boolean(&mut self, key: &Key, node: &Node) -> Option<bool> {
        if let Kind::Bool(boolean) = node.kind {
            return Some(boolean);
        }
        let diagnostic = self.wrong_kind(key, node, "`true` or `false`");
        self.report(diagnostic);
        None
    }

    /// A number for a message: not told when a reference gave it, since it may be secret.
    pub(crate) fn shown_number(&self, number: &serde_json::Number, span: Span) -> String {
        if self.file.slice(span).contains("${") { "a number from a reference".to_owned() } else { number.to_string() }
    }

    /// Reads a whole number from 0.
    pub(crate) fn count(&mut self, key: &Key, node: &Node) -> Option<Spanned<u64>> {
        if let Kind::Number(number) = &node.kind
            && let Some(value) = number.as_u64()
        {
            return Some(Spanned { value, span: node.span });
        }
        let diagnostic = match &node.kind {
            Kind::Number(number) => {
                let number = self.shown_number(number, node.span);
                self.error(format!("`{}` must be a whole number, and is {number}", key.name), node.span, "")
            }
            _ => self.wrong_kind(key, node, "a whole number"),
        };
        self.report(diagnostic);
        None
    }

    /// Reads a duration of 24 hours at most.
    pub(crate) fn duration(&mut self, key: &Key, node: Node) -> Option<Spanned<Duration>> {
        let span = node.span;
        let (found, shown, is_secret) = match &node.kind {
            Kind::Text(text) => (duration::parse(&text.value, duration::DAY), shown(text), is_secret(text)),
            Kind::Number(number) => {
                // As it is written, where it is: `1e3` rather than `1000.0`.
                let written = self.file.slice(span);
                let is_number = written.parse::<f64>().is_ok();
                let shown = if is_number { written.to_owned() } else { self.shown_number(number, span) };
                (Err(duration::without_unit(&shown, duration::DAY)), shown, false)
            }
            _ => {
                let diagnostic = self.wrong_kind(key, &node, "a duration").help(duration::HINT);
                self.report(diagnostic);
                return None;
            }
        };
        match found {
            Ok(value) => Some(Spanned { value, span }),
            Err(error) => {
                let hint = if is_secret { duration::HINT.to_owned() } else { error.hint() };
                let diagnostic = self.error(format!("`{}` is {shown}: {error}", key.name), span, "").help(hint);
                self.report(diagnostic);
                None
            }
        }
    }

    /// Reads one of some words.
    pub(crate) fn one_of<T: Copy>(&mut self, key: &Key, node: Node, words: &[(&str, T)]) -> Option<Spanned<T>> {
        let names = words.iter().map(|(word, _)| *word).collect::<Vec<_>>();
        let (last, others) = names.split_last()?;
        let listed = format!("{} or {last}", others.join(", "));
        let Kind::Text(text) = &node.kind else {
            let diagnostic = self.wrong_kind(key, &node, &listed);
            self.report(diagnostic);
            return None;
        };
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text.value) {
            return Some(Spanned { value: *value, span: node.span });
        }
        let shown = shown(text);
        let diagnostic =
            self.error(format!("`{}` must be {listed}, and is {shown}", key.name), node.span, "none of these");
        let diagnostic = match nearest(&text.value, names) {
            Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
            None => diagnostic,
        };
        self.report(diagnostic);
        None
    }
}

/// Says whether something from the environment is in a text.
pub(crate) fn is_secret(text: &Text) -> bool {
    text.written == TextOrigin::Interpolated { secret: true }
}

/// A text for a message: short, without control characters, and not told at all when it may be secret.
pub(crate) fn shown(text: &Text) -> String {
    if is_secret(text) {
        return "a value from the environment".to_owned();
    }
    if text.value.is_empty() {
        return "an empty text".to_owned();
    }
    let escaped = text.value.escape_debug().to_string();
    match escaped.char_indices().nth(60) {
        Some((end, _)) => format!("`{}…`", &escaped[..end]),
        None => format!("`{escaped}`"),
    }
}
