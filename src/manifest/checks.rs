//! Reads one entry under `checks`.

use std::time::Duration;

use super::expect;
use super::reader::{Field, Reader, Spanned, Table, shown};
use super::yaml::{Key, Kind, Node, Text, Written};
use crate::check::{Check, Severity};
use crate::diagnostic::{self, Diagnostic, Source, Span};
use crate::query::{self, BoundQuery, QueryError};

/// How long a check may take where it does not say: query results lag behind writes by seconds, as a rule.
const WITHIN: Duration = Duration::from_secs(60);

/// The longest time that a check may take.
const WITHIN_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Characters of a check's name, at most: it is a line of a report.
const NAME_MAX_CHARS: usize = 200;

/// A check while it is read. What is there and wrong is `Some(None)`.
#[derive(Default)]
struct Parts {
    name: Option<Option<Spanned<String>>>,
    query: Option<Spanned<Text>>,
    has_query: bool,
    expect: Option<(Key, Node)>,
    within: Option<Option<Duration>>,
    severity: Option<Option<Severity>>,
}

const CHECK: Table<Parts> = Table {
    what: "a check",
    fields: &[
        Field { name: "name", read: name },
        Field { name: "query", read: query_text },
        Field { name: "expect", read: |_, parts, key, node| parts.expect = Some((key, node)) },
        Field { name: "within", read: within },
        Field {
            name: "severity",
            read: |reader, parts, key, node| {
                let words = [("error", Severity::Error), ("warn", Severity::Warn)];
                parts.severity = Some(reader.one_of(&key, node, &words).map(|severity| severity.value));
            },
        },
    ],
    later: &["gate"],
    misplaced: &[
        ("timeout", "how long a check may take is `within`"),
        ("count", "put it under `expect`: `expect: { count: \">= 3\" }`"),
        ("share", "put it under `expect`, with `of`: `expect: { share: \">= 95%\", of: SELECT … }`"),
        ("of", "put it under `expect`, beside `share`"),
    ],
};

/// Reads a check; its name too when the rest of it is wrong.
pub(super) fn read(reader: &mut Reader<'_>, node: Node) -> (Option<Spanned<String>>, Option<Check>) {
    let span = node.span;
    let head = Span::new(span.start, span.start);
    let Kind::Mapping(entries) = node.kind else {
        let diagnostic = reader
            .error(format!("a check must be a mapping, and is {}", node.kind.name()), span, "")
            .help("write `name`, `query` and `expect`");
        reader.report(diagnostic);
        return (None, None);
    };
    let mut parts = Parts::default();
    reader.fields(&CHECK, entries, &mut parts);
    let mut lacking = Vec::new();
    if parts.name.is_none() {
        lacking.push("`name`");
    }
    if !parts.has_query {
        lacking.push("`query`");
    }
    if parts.expect.is_none() {
        lacking.push("`expect`");
    }
    if !lacking.is_empty() {
        let diagnostic = reader
            .error(format!("a check without {}", lacking.join(", ")), head, "this check")
            .help("a check has `name`, `query` and `expect`");
        reader.report(diagnostic);
    }
    let name = parts.name.flatten();
    let title = name.as_ref().map_or("without name", |name| name.value.as_str());
    let query = parts.query.and_then(|text| compile(reader, title, "query", text));
    let expect = parts.expect.and_then(|(key, node)| expect::read(reader, title, query.as_ref(), &key, node));
    let within = parts.within.unwrap_or(Some(WITHIN));
    let severity = parts.severity.unwrap_or(Some(Severity::default()));
    let check = match (&name, query, expect, within, severity) {
        (Some(name), Some(query), Some(expect), Some(within), Some(severity)) => {
            Some(Check { name: name.value.clone(), query, expect, within, severity })
        }
        _ => None,
    };
    (name, check)
}

fn name(reader: &mut Reader<'_>, parts: &mut Parts, key: Key, node: Node) {
    parts.name = Some(None);
    let Some(text) = reader.text(&key, node) else { return };
    let value = &text.value.value;
    let problem = if value.trim().is_empty() {
        "a check's name is empty"
    } else if value.chars().any(char::is_control) {
        "a check's name holds a control character or a line break"
    } else if value.chars().count() > NAME_MAX_CHARS {
        "a check's name has more than 200 characters"
    } else {
        parts.name = Some(Some(Spanned { value: text.value.value, span: text.span }));
        return;
    };
    let diagnostic = reader.error(problem, text.span, "").help("it is a line of the report");
    reader.report(diagnostic);
}

fn query_text(reader: &mut Reader<'_>, parts: &mut Parts, key: Key, node: Node) {
    parts.has_query = true;
    parts.query = reader.text(&key, node);
}

/// Compiles a query, and reports what is wrong or odd in it.
pub(super) fn compile(
    reader: &mut Reader<'_>,
    check: &str,
    field: &str,
    mut text: Spanned<Text>,
) -> Option<BoundQuery> {
    // A block of text ends in a line break that is no part of the query.
    text.value.value.truncate(text.value.value.trim_end().len());
    match query::compile(&text.value.value) {
        Ok(query) => {
            for warning in query.warnings() {
                let diagnostic = place(reader, check, field, &text, warning);
                reader.report(diagnostic);
            }
            Some(query)
        }
        Err(errors) => {
            for error in &errors {
                let diagnostic = place(reader, check, field, &text, error);
                reader.report(diagnostic);
            }
            None
        }
    }
}

/// Points at a query's mistake: in the file, where the query stands there as it is, and else in a text of its own.
fn place(reader: &Reader<'_>, check: &str, field: &str, text: &Spanned<Text>, error: &QueryError) -> Diagnostic {
    match text.value.written {
        Written::Verbatim(offset) => error.to_diagnostic(reader.source(), offset),
        Written::Interpolated { secret: true } => {
            let character = text.value.value[..error.span.start].chars().count() + 1;
            let severity = error.kind.severity();
            let message = match severity {
                diagnostic::Severity::Error => format!("the {field} is wrong at its character {character}"),
                diagnostic::Severity::Warning => format!("the {field} is odd at its character {character}"),
            };
            reader
                .at(Diagnostic { severity, ..Diagnostic::error(message) }, text.span, "")
                .help("it holds a value from the environment, and so is not shown")
        }
        Written::Folded | Written::Interpolated { secret: false } => {
            let source = Source::new(format!("<{field} of check {check}>"), text.value.value.as_str());
            reader.at(error.to_diagnostic(&source, 0), text.span, "written here")
        }
    }
}

fn within(reader: &mut Reader<'_>, parts: &mut Parts, key: Key, node: Node) {
    parts.within = Some(None);
    let span = node.span;
    let example = "write it with units, as in 500ms, 60s, 2m or 1m30s; 0s asks once";
    let (duration, shown) = match &node.kind {
        Kind::Text(text) => (duration(&text.value), shown(text)),
        Kind::Number(number) if number.as_u64() == Some(0) => (Some(Duration::ZERO), String::new()),
        Kind::Number(number) => {
            let diagnostic = reader.error(format!("`within` is {number}, without a unit"), span, "").help(example);
            return reader.report(diagnostic);
        }
        _ => {
            let diagnostic = reader.wrong_kind(&key, &node, "a length of time").help(example);
            return reader.report(diagnostic);
        }
    };
    match duration {
        Some(duration) if duration <= WITHIN_MAX => parts.within = Some(Some(duration)),
        Some(_) => {
            let diagnostic = reader.error(format!("`within` is {shown}, and a check may take 24h at most"), span, "");
            reader.report(diagnostic);
        }
        None => {
            let diagnostic = reader.error(format!("{shown} is not a length of time"), span, "").help(example);
            reader.report(diagnostic);
        }
    }
}

/// Reads a length of time: whole numbers with units, larger ones first, each at most once.
fn duration(text: &str) -> Option<Duration> {
    const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
    let mut rest = text.trim();
    let mut units = UNITS.as_slice();
    let mut milliseconds: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number = rest[..digits].parse::<u64>().ok()?;
        rest = &rest[digits..];
        let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        let index = units.iter().position(|(unit, _)| *unit == &rest[..letters])?;
        milliseconds = milliseconds.checked_add(number.checked_mul(units[index].1)?)?;
        units = &units[index + 1..];
        rest = &rest[letters..];
    }
    (!text.trim().is_empty()).then(|| Duration::from_millis(milliseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time() {
        for (text, milliseconds) in [
            ("60s", Some(60_000)),
            ("2m", Some(120_000)),
            ("1m30s", Some(90_000)),
            ("500ms", Some(500)),
            ("1h1ms", Some(3_600_001)),
            ("0s", Some(0)),
            ("", None),
            ("60", None),
            ("s", None),
            ("1.5s", None),
            ("-1s", None),
            ("30s1m", None),
            ("1s1s", None),
            ("1 s", None),
            ("1d", None),
            ("99999999999999999999s", None),
            ("9999999999999999999h", None),
        ] {
            assert_eq!(duration(text), milliseconds.map(Duration::from_millis), "{text}");
        }
    }
}
