//! Reads one entry under `checks`.

use std::time::Duration;

use crate::check::{Check, Severity};
use crate::manifest::fields::expect;
use crate::manifest::fields::policy::read::not_carried_out;
use crate::manifest::fields::query::compile;
use crate::manifest::fields::reader::{Field, Reader, Table};
use crate::manifest::text::node::{Key, Kind, Node, Spanned, Text};
use iothub_model::diagnostic::Span;
use iothub_model::query::{self};

/// How long a check may take where it does not say: query results lag behind writes by seconds, as a rule.
const WITHIN: Duration = Duration::from_secs(60);

/// Characters of a check's name, at most: it is a line of a report.
const NAME_MAX_CHARS: usize = 200;

/// A check while it is read. What is there and wrong is `Some(None)`.
#[derive(Default)]
pub(crate) struct CheckParts {
    name: Option<Option<Spanned<String>>>,
    query: Option<Spanned<Text>>,
    has_query: bool,
    expect: Option<(Key, Node)>,
    within: Option<Option<Duration>>,
    severity: Option<Option<Severity>>,
    gate: Option<Option<bool>>,
}

pub(crate) const CHECK: Table<CheckParts> = Table {
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
        Field {
            name: "gate",
            read: |reader, parts, key, node| {
                let gate = reader.boolean(&key, &node);
                if gate == Some(true) {
                    not_carried_out(reader, "`gate`", key.span);
                }
                parts.gate = Some(gate);
            },
        },
    ],
    misplaced: &[
        ("timeout", "how long a check may take is `within`"),
        ("count", "put it under `expect`: `expect: { count: \">= 3\" }`"),
        ("share", "put it under `expect`, with `of`: `expect: { share: \">= 95%\", of: SELECT … }`"),
        ("of", "put it under `expect`, beside `share`"),
    ],
};

/// Reads a check; its name too when the rest of it is wrong.
pub(crate) fn read(reader: &mut Reader<'_>, node: Node) -> (Option<Spanned<String>>, Option<Check>) {
    let span = node.span;
    let head = Span::new(span.start, span.start);
    let Kind::Mapping(entries) = node.kind else {
        let diagnostic = reader
            .error(format!("a check must be a mapping, and is {}", node.kind.name()), span, "")
            .help("write `name`, `query` and `expect`");
        reader.report(diagnostic);
        return (None, None);
    };
    let mut parts = CheckParts::default();
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
    let title = format!("check {}", name.as_ref().map_or("without name", |name| name.value.as_str()));
    let query = parts.query.and_then(|text| compile(reader, &title, "query", text, query::compile));
    let expect = parts.expect.and_then(|(key, node)| expect::read(reader, &title, query.as_ref(), &key, node));
    let within = parts.within.unwrap_or(Some(WITHIN));
    let severity = parts.severity.unwrap_or(Some(Severity::default()));
    let gate = parts.gate.unwrap_or(Some(false));
    let check = match (&name, query, expect, within, severity, gate) {
        (Some(name), Some(query), Some(expect), Some(within), Some(severity), Some(gate)) => {
            Some(Check { name: name.value.clone(), query, expect, within, severity, gate })
        }
        _ => None,
    };
    (name, check)
}

fn name(reader: &mut Reader<'_>, parts: &mut CheckParts, key: Key, node: Node) {
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

fn query_text(reader: &mut Reader<'_>, parts: &mut CheckParts, key: Key, node: Node) {
    parts.has_query = true;
    parts.query = reader.text(&key, node);
}

fn within(reader: &mut Reader<'_>, parts: &mut CheckParts, key: Key, node: Node) {
    parts.within = Some(reader.duration(&key, node).map(|within| within.value));
}
