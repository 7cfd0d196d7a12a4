//! Takes a text apart into literals and references.
//!
//! A reference is `${KIND.NAME}`, or `${KIND["NAME"]}` for a name that holds a colon or a brace, as columns of tables do; then perhaps
//! `:TYPE`, then perhaps `:-DEFAULT`. `$${` stands for `${` itself.

use std::ops::Range;

use crate::manifest::references::convert::TYPES;
use crate::manifest::text::node::{Text, TextOrigin};
use crate::manifest::text::source::File;
use iothub_model::diagnostic::{Diagnostic, Span, nearest};

/// A text with references in it, and where it stands.
pub(crate) struct ReferencePlace<'a> {
    pub(crate) file: &'a File,
    pub(crate) span: Span,
    pub(crate) text: &'a Text,
}

impl ReferencePlace<'_> {
    pub(crate) fn error(&self, message: impl Into<String>, range: &Range<usize>, label: &str) -> Diagnostic {
        self.point(Diagnostic::error(message), range, label)
    }

    /// Points at a range of the text's bytes, as far as the file has them one to one.
    pub(crate) fn point(&self, diagnostic: Diagnostic, range: &Range<usize>, label: &str) -> Diagnostic {
        let span = match self.text.written {
            TextOrigin::Verbatim(offset) => Span::new(offset + range.start, offset + range.end),
            TextOrigin::Folded | TextOrigin::Interpolated { .. } => self.span,
        };
        diagnostic.at(&self.file.source, span, label)
    }
}

#[derive(Debug, PartialEq)]
pub(crate) enum TextPiece {
    Literal(String),
    Reference(Reference),
}

#[derive(Debug, PartialEq)]
pub(crate) struct Reference {
    /// Its bytes in the text.
    pub(crate) range: Range<usize>,
    /// The reference without type and default, for messages.
    pub(crate) written: String,
    pub(crate) namespace: Namespace,
    pub(crate) name: String,
    /// All that follows the point, type and default included; empty where the name is in brackets.
    pub(crate) raw: String,
    pub(crate) kind: Option<String>,
    pub(crate) default: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Namespace {
    Env,
    Var,
    Row,
}

impl Namespace {
    fn of(name: &str) -> Option<Self> {
        match name {
            "env" => Some(Self::Env),
            "var" => Some(Self::Var),
            "row" => Some(Self::Row),
            _ => None,
        }
    }
}

/// Says whether a text refers to a row, or looks as if it did.
pub(crate) fn refers_to_row(text: &str) -> bool {
    text.contains("${row.") || text.contains("${row[")
}

/// Returns the one reference that a text is, without a place for what may be wrong with it.
pub(crate) fn only_reference(text: &str) -> Option<Reference> {
    let file = File::new("", "");
    let text = Text { value: text.to_owned(), written: TextOrigin::Folded };
    let place = ReferencePlace { file: &file, span: Span::default(), text: &text };
    match pieces(&place).ok()?.pop() {
        Some(TextPiece::Reference(reference)) if reference.range == (0..text.value.len()) => Some(reference),
        _ => None,
    }
}

/// Writes a reference to a column so that it can be read, `more` being its type and default; as a YAML value where it has quotes in it.
pub(crate) fn to_column(name: &str, more: &str) -> String {
    let is_plain = !name.is_empty()
        && !name.contains([':', '{', '}', '[', ']', '"', '\'', '\\'])
        && !name.contains(char::is_control);
    if is_plain {
        return format!("${{row.{name}{more}}}");
    }
    let quoted = serde_json::Value::from(name).to_string();
    format!("'${{row[{}]{more}}}'", quoted.replace('\'', "''"))
}

/// Takes a text apart; neighbouring literals are one piece.
pub(crate) fn pieces(place: &ReferencePlace<'_>) -> Result<Vec<TextPiece>, Vec<Diagnostic>> {
    let whole = place.text.value.as_str();
    let (mut pieces, mut found) = (Vec::new(), Vec::new());
    let mut literal = String::new();
    let mut position = 0;
    while let Some(dollar) = whole[position..].find("${").map(|offset| position + offset) {
        if whole[position..dollar].ends_with('$') {
            literal.push_str(&whole[position..dollar - 1]);
            literal.push_str("${");
            position = dollar + 2;
            continue;
        }
        literal.push_str(&whole[position..dollar]);
        let inner = &whole[dollar + 2..];
        // A name in brackets may have braces of its own.
        let after_name = bracketed(inner).map_or(0, |name| name.end);
        let Some(end) = closing_brace(&inner[after_name..]).map(|offset| dollar + 2 + after_name + offset) else {
            found.push(
                place
                    .error("a reference without its `}`", &(dollar..whole.len()), "starts here")
                    .help("close it; for `${` as text, write `$${`"),
            );
            return Err(found);
        };
        if !literal.is_empty() {
            pieces.push(TextPiece::Literal(std::mem::take(&mut literal)));
        }
        match reference(place, dollar..end + 1, &whole[dollar + 2..end]) {
            Ok(reference) => pieces.push(TextPiece::Reference(reference)),
            Err(diagnostic) => found.push(*diagnostic),
        }
        position = end + 1;
    }
    literal.push_str(&whole[position..]);
    if !literal.is_empty() || pieces.is_empty() {
        pieces.push(TextPiece::Literal(literal));
    }
    if found.is_empty() { Ok(pieces) } else { Err(found) }
}

/// Finds the brace that closes a reference; a default may have pairs of its own.
fn closing_brace(text: &str) -> Option<usize> {
    let mut depth = 0;
    text.bytes().position(|byte| {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 0 => return true,
            b'}' => depth -= 1,
            _ => {}
        }
        false
    })
}

/// A name in brackets and quotes.
struct Bracketed<'t> {
    /// What stands before the bracket.
    namespace: &'t str,
    name: String,
    /// The offset after the bracket that closes it.
    end: usize,
}

/// Reads `KIND["NAME"]` at the start of a text: in double quotes as JSON has texts, in single ones as YAML has them.
fn bracketed(text: &str) -> Option<Bracketed<'_>> {
    let open = text.find(|c: char| !c.is_ascii_alphabetic()).filter(|&at| text[at..].starts_with('['))?;
    let namespace = &text[..open];
    Namespace::of(namespace)?;
    let quoted = &text[open + 1..];
    let bytes = quoted.as_bytes();
    let quote = *bytes.first().filter(|quote| matches!(quote, b'"' | b'\''))?;
    let mut at = 1;
    let close = loop {
        match (*bytes.get(at)?, quote) {
            (b'\\', b'"') => at += 2,
            (b'\'', b'\'') if bytes.get(at + 1) == Some(&b'\'') => at += 2,
            (byte, quote) if byte == quote => break at,
            _ => at += 1,
        }
    };
    let name = match quote {
        b'"' => serde_json::from_str(&quoted[..=close]).ok()?,
        _ => quoted[1..close].replace("''", "'"),
    };
    let end = open + 1 + close + 1;
    text[end..].starts_with(']').then_some(Bracketed { namespace, name, end: end + 1 })
}

/// Takes `:TYPE` and `:-DEFAULT` off the end of a reference.
fn with_default(inner: &str) -> (&str, Option<String>) {
    match inner.split_once(":-") {
        Some((head, default)) => (head, Some(default.to_owned())),
        None => (inner, None),
    }
}

fn reference(place: &ReferencePlace<'_>, range: Range<usize>, inner: &str) -> Result<Reference, Box<Diagnostic>> {
    let error = |message: String| place.error(message, &range, "");
    let bracketed = bracketed(inner);
    let (start, more) = inner.split_at(bracketed.as_ref().map_or(0, |name| name.end));
    let (head, default) = with_default(more);
    if default.as_ref().is_some_and(|default| default.contains("${")) {
        return Err(Box::new(error("a default cannot hold a reference".to_owned()).help("write the default out")));
    }
    let (path, kind) = match head.split_once(':') {
        Some((path, kind)) => (path, Some(kind.to_owned())),
        None => (head, None),
    };
    if let Some(Bracketed { namespace, name, .. }) = bracketed {
        let Some(namespace) = Namespace::of(namespace).filter(|_| path.is_empty()) else {
            let message = format!("`{path}` after the name of a reference");
            return Err(Box::new(error(message).help("after `]` come `:TYPE`, `:-DEFAULT` or `}` alone")));
        };
        let written = format!("${{{start}}}");
        let raw = String::new();
        let reference = Reference { range, written, namespace, name, raw, kind, default };
        return check(place, reference);
    }
    let help = "references are `${env.NAME}` and `${var.NAME}`; for `${` as text, write `$${`";
    if inner.starts_with('{') {
        let help = "`${{ … }}` is replaced in pipelines' own files alone: give the step the value under `env:`, and write `${env.NAME}` here";
        return Err(Box::new(error(format!("unknown reference `${{{path}}}`")).help(help)));
    }
    let Some((namespace, name)) = path.split_once('.') else {
        let diagnostic = error(format!("unknown reference `${{{path}}}`"));
        return Err(Box::new(match inner.split_once('[') {
            Some((namespace, _)) if Namespace::of(namespace).is_some() => {
                diagnostic.help(format!("a name in brackets is in quotes, too: '${{{namespace}[\"NAME\"]}}'"))
            }
            _ if is_variable_name(path) => diagnostic.help(format!(
                "write `${{env.{path}}}` for the environment or `${{var.{path}}}` for a variable; for `${{` as text, `$${{`"
            )),
            _ => diagnostic.help(help),
        }));
    };
    let Some(known) = Namespace::of(namespace) else {
        let diagnostic = error(format!("unknown reference `${{{path}}}`"));
        return Err(Box::new(match nearest(namespace, ["env", "var", "row"]) {
            Some(near) if is_variable_name(name) => diagnostic.help(format!("did you mean `${{{near}.{name}}}`?")),
            _ => diagnostic.help(help),
        }));
    };
    let raw = inner[namespace.len() + 1..].to_owned();
    let (written, name) = (format!("${{{path}}}"), name.to_owned());
    check(place, Reference { range, written, namespace: known, name, raw, kind, default })
}

/// Looks at the name and the type of a reference.
fn check(place: &ReferencePlace<'_>, reference: Reference) -> Result<Reference, Box<Diagnostic>> {
    let error = |message: String| place.error(message, &reference.range, "");
    let name = reference.name.as_str();
    // Columns are named by whoever made the table.
    let is_name = match reference.namespace {
        Namespace::Env | Namespace::Var => is_variable_name(name),
        Namespace::Row => !name.is_empty(),
    };
    if !is_name {
        return Err(Box::new(
            error(format!("`{}` is not a name", name.escape_debug()))
                .help("a name has ASCII letters, digits, `_` and `-`, and starts with none of digits and `-`"),
        ));
    }
    if let Some(kind) = reference.kind.as_deref().filter(|kind| !TYPES.contains(kind)) {
        let mut diagnostic = error(format!("unknown type `{}` of a reference", kind.escape_debug()));
        if let Some(near) = nearest(kind, TYPES) {
            diagnostic = diagnostic.help(format!("did you mean `{near}`?"));
        } else {
            diagnostic = diagnostic.help("types are int, float, bool and json; a default is written `:-DEFAULT`");
        }
        if reference.namespace == Namespace::Row && !reference.raw.is_empty() {
            let (column, more) = column_and_more(&reference.raw);
            diagnostic = diagnostic
                .help(format!("a column that has a colon in its name is written {}", to_column(column, &more)));
        }
        return Err(Box::new(diagnostic));
    }
    Ok(reference)
}

/// Takes a column's name with colons in it from what may be its type and default.
fn column_and_more(raw: &str) -> (&str, String) {
    let (head, default) = with_default(raw);
    let default = default.map_or_else(String::new, |default| format!(":-{default}"));
    match head.rsplit_once(':') {
        Some((column, kind)) if TYPES.contains(&kind) => (column, format!(":{kind}{default}")),
        _ => (head, default),
    }
}

/// Says whether a text may name a variable.
pub(crate) fn is_variable_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_brackets() {
        for (text, expected) in [
            ("${row[\"TAG:site\"]}", Some(("TAG:site", None, None))),
            ("${row['TAG:site']}", Some(("TAG:site", None, None))),
            ("${row[\"a b\"]:int:-5}", Some(("a b", Some("int"), Some("5")))),
            ("${row[\"a\\\"b\"]:-}", Some(("a\"b", None, Some("")))),
            ("${row['it''s']:json}", Some(("it's", Some("json"), None))),
            ("${row[\"a]b\"]}", Some(("a]b", None, None))),
            ("${row[\"{a}\"]}", Some(("{a}", None, None))),
            ("${row[\"}\"]:-{x}}", Some(("}", None, Some("{x}")))),
            ("${row[\"a:-b\"]:-c}", Some(("a:-b", None, Some("c")))),
            ("${row[\"tab\\there\"]}", Some(("tab\there", None, None))),
            ("${var[\"x\"]}", Some(("x", None, None))),
            ("${env['X']:-y}", Some(("X", None, Some("y")))),
            ("${row.a.b:float}", Some(("a.b", Some("float"), None))),
            ("${row.Serial No}", Some(("Serial No", None, None))),
            ("${row[a]}", None),
            ("${row[\"a\"}", None),
            ("${row[\"a\"].b}", None),
            ("${row[\"\"]}", None),
            ("${var[\"a b\"]}", None),
            ("${row[\"a\"]:itn}", None),
            ("${col[\"a\"]}", None),
            ("${row[\"a", None),
            ("${row[\"\\", None),
        ] {
            let found = only_reference(text);
            let found = found.as_ref().map(|it| (it.name.as_str(), it.kind.as_deref(), it.default.as_deref()));
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn references_to_columns_are_written_so_that_they_are_read() {
        for name in ["a", "a b", "a.b", "TAG:site", "a\"b", "it's", "{x}", "[x]", "a\\b", "tab\there", "é", "x:-y"] {
            let written = to_column(name, ":int:-5");
            let yaml: String = serde_yaml::from_str(&written).expect("a YAML value");
            let found = only_reference(&yaml).expect(&yaml);
            assert_eq!((found.name.as_str(), found.kind.as_deref()), (name, Some("int")), "{written}");
        }
        assert_eq!(to_column("TAG:site", ""), "'${row[\"TAG:site\"]}'");
    }
}
