//! Reads what a check expects.
//!
//! | written | means |
//! |---|---|
//! | `none`, `some` | no row, at least one row |
//! | `{ count: ">= 3" }` | so many rows; a number alone is "just as many" |
//! | `{ share: ">= 95%", of: SELECT … }` | the rows as a share of another query's |
//! | `[thermostat-001, thermostat-002]` | one row of each of these devices, and no other |
//! | `[{ … }, { … }]` | just these rows |
//! | `{ n: { min: 3, max: 9 } }` | one row in which the named columns are so: as soon as one has bounds, the others are compared and unnamed ones do not matter |
//! | `{ n: 122 }` | just this row: no other column, no other row |
//!
//! So a mapping with the one name `count` is a number of rows, never a column; `share` and `of` stand together; and an object
//! of just `min` and `max` is a pair of bounds. A row that has such a column in earnest is written as a list of one row, in which
//! nothing has a second meaning.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::check::{Bound, Column, Comparison, Expectation};
use crate::manifest::fields::query;
use crate::manifest::fields::reader::{Reader, shown};
use crate::manifest::text::node::{Key, Kind, Node, Spanned, to_json};
use iothub_model::diagnostic::{Diagnostic, Span, nearest};
use iothub_model::query::{BoundQuery, compile};
use iothub_model::twin::{DeviceId, Object};

const FORMS: &str =
    "expect `none`, `some`, a row, a list of rows or device ids, `{ count: \">= 3\" }`, bounds, or a share";

/// Reads the value of `expect`. The query, where it is sound, tells which columns there are.
pub(crate) fn read(
    reader: &mut Reader<'_>,
    check: &str,
    query: Option<&BoundQuery>,
    key: &Key,
    node: Node,
) -> Option<Expectation> {
    match node.kind {
        Kind::Text(text) => match text.value.as_str() {
            "none" => Some(Expectation::None),
            "some" => Some(Expectation::Some),
            other => {
                let diagnostic = reader.error(format!("{} is not something to expect", shown(&text)), node.span, "");
                let help = match (nearest(other, ["none", "some"]), other.parse::<Bound>().ok()) {
                    (Some(near), _) => format!("did you mean `{near}`?"),
                    (None, Some(_)) => format!("for a number of rows, write `{{ count: \"{other}\" }}`"),
                    (None, None) => FORMS.to_owned(),
                };
                reader.report(diagnostic.help(help));
                None
            }
        },
        Kind::List(items) => list(reader, query, node.span, items),
        Kind::Mapping(entries) if entries.is_empty() => {
            let diagnostic = reader.error("a row without columns", node.span, "").help(FORMS);
            reader.report(diagnostic);
            None
        }
        Kind::Mapping(entries) => mapping(reader, check, query, entries),
        Kind::Number(ref number) => {
            let number = reader.shown_number(number, node.span);
            let help =
                format!("for a number of rows, write `{{ count: {number} }}`; for a column, `{{ n: {number} }}`");
            let diagnostic = reader.error("a number alone could mean rows or a column", node.span, "").help(help);
            reader.report(diagnostic);
            None
        }
        Kind::Nothing | Kind::Null | Kind::Bool(_) | Kind::Taken(_) => {
            let diagnostic = reader.wrong_kind(key, &node, "an expectation").help(FORMS);
            let diagnostic = match node.kind {
                Kind::Bool(_) => diagnostic,
                _ => diagnostic.help("for no rows at all, write `none`"),
            };
            reader.report(diagnostic);
            None
        }
    }
}

fn list(reader: &mut Reader<'_>, query: Option<&BoundQuery>, span: Span, items: Vec<Node>) -> Option<Expectation> {
    if items.is_empty() {
        let diagnostic = reader.error("an empty list could mean rows or devices", span, "").help("write `none`");
        reader.report(diagnostic);
        return None;
    }
    let texts = items.iter().filter(|item| matches!(item.kind, Kind::Text(_))).count();
    let rows = items.iter().filter(|item| matches!(item.kind, Kind::Mapping(_))).count();
    if texts == items.len() {
        warn_of_columns(reader, query, &[("deviceId", span)]);
        return devices(reader, items);
    }
    if rows == items.len() {
        for item in &items {
            if let Kind::Mapping(entries) = &item.kind {
                warn_of_columns(reader, query, &named(entries));
            }
        }
        return Some(Expectation::Rows(items.into_iter().map(|item| row(&item.kind)).collect()));
    }
    let of_rows = matches!(items[0].kind, Kind::Mapping(_));
    let stranger = items.iter().find(|item| match item.kind {
        Kind::Mapping(_) => !of_rows,
        Kind::Text(_) => of_rows,
        _ => true,
    });
    let stranger = stranger.unwrap_or(&items[0]);
    let diagnostic = reader
        .error(
            "a list must hold rows or device ids alone",
            stranger.span,
            format!("{} among them", stranger.kind.name()),
        )
        .help("a row is a mapping of columns, a device id is a text: quote one that looks like a number");
    reader.report(diagnostic);
    None
}

fn devices(reader: &mut Reader<'_>, items: Vec<Node>) -> Option<Expectation> {
    let mut ids = BTreeSet::new();
    let mut sound = true;
    for item in items {
        let Kind::Text(text) = item.kind else { continue };
        if text.value.parse::<DeviceId>().is_err() {
            let shown = shown(&text);
            let diagnostic = reader
                .error(format!("{shown} is not a device's id"), item.span, "")
                .help("a list of texts is a set of device ids; rows are written as mappings: `[{ column: value }]`");
            reader.report(diagnostic);
            sound = false;
        } else if ids.contains(&text.value) {
            let diagnostic =
                reader.error(format!("the device {} is listed twice", shown(&text)), item.span, "once more");
            reader.report(diagnostic);
            sound = false;
        } else {
            ids.insert(text.value);
        }
    }
    sound.then_some(Expectation::Devices(ids))
}

fn row(kind: &Kind) -> Object {
    match to_json(kind) {
        Value::Object(object) => object,
        _ => Object::new(),
    }
}

fn mapping(
    reader: &mut Reader<'_>,
    check: &str,
    query: Option<&BoundQuery>,
    entries: Vec<(Key, Node)>,
) -> Option<Expectation> {
    let find = |name: &str| entries.iter().position(|(key, _)| key.name == name);
    let one_row =
        "for a column of this name, write a list of one row, `[{ … }]`, or name the column otherwise with `AS`";
    match (find("count"), find("share"), find("of")) {
        (Some(index), None, None) if entries.len() == 1 => {
            let (key, node) = entries.into_iter().nth(index)?;
            if let Some((problem, help)) = query.and_then(rows_or_column) {
                let diagnostic = reader.error(problem, key.span, "a number of rows, or a column?");
                reader.report(diagnostic.help(help));
                return None;
            }
            count(reader, &key, node).map(Expectation::Count)
        }
        (Some(index), ..) => {
            let span = entries[index].0.span;
            let diagnostic = reader
                .error("`count` beside other names", span, "a number of rows, or a column?")
                .help("a number of rows stands alone: `{ count: \">= 3\" }`")
                .help(one_row);
            reader.report(diagnostic);
            None
        }
        (None, Some(_), Some(_)) if entries.len() == 2 => share(reader, check, entries),
        (None, share, of) if share.is_some() || of.is_some() => {
            let index = share.or(of)?;
            let (message, label) = match (share, of, entries.len()) {
                (Some(_), Some(_), _) => ("`share` and `of` beside other names", "a share, or a column?"),
                (Some(_), None, _) => ("`share` without `of`", "a share of what?"),
                _ => ("`of` without `share`", "which share?"),
            };
            let diagnostic = reader
                .error(message, entries[index].0.span, label)
                .help("a share is written `{ share: \">= 95%\", of: SELECT … }`")
                .help(one_row);
            reader.report(diagnostic);
            None
        }
        _ => {
            warn_of_columns(reader, query, &named(&entries));
            warn_of_numbers(reader, query, &entries);
            columns(reader, entries)
        }
    }
}

/// Warns of what no number is equal to, where the query gives numbers alone: a comparison, or bounds that are misspelt.
fn warn_of_numbers(reader: &mut Reader<'_>, query: Option<&BoundQuery>, entries: &[(Key, Node)]) {
    let Some(query) = query.filter(|query| query.is_aggregate()) else { return };
    // What counts and sums has a number over no documents, too; the least and the most of nothing are nothing, and may be texts.
    let rows = query.rows([]);
    let [row] = rows.as_slice() else { return };
    for (key, node) in entries.iter().filter(|(key, _)| row.get(&*key.name).is_some_and(Value::is_number)) {
        let is_bounds = |inner: &[(Key, Node)]| inner.iter().any(|(key, _)| matches!(&*key.name, "min" | "max"));
        let what = match &node.kind {
            Kind::Text(_) => "a text",
            Kind::Mapping(inner) if !is_bounds(inner) => "an object",
            _ => continue,
        };
        let name = key.name.escape_debug();
        let warning = Diagnostic::warning(format!("`{name}` is a number, and never equal to {what}"));
        let warning = reader.at(warning, node.span, "so that this check cannot hold");
        reader.report(warning.help("bounds are written `n: { min: 3, max: 9 }`; one of the two is enough"));
    }
}

/// Says why a number of rows is hardly what is meant of this query, and what to do.
fn rows_or_column(query: &BoundQuery) -> Option<(&'static str, String)> {
    let columns = query.columns().unwrap_or_default();
    if columns.contains(&"count") {
        let help = "name the column otherwise, with `AS n`, and expect `{ n: … }`".to_owned();
        return Some(("`count` is a number of rows here, and a column of the query", help));
    }
    // Over no documents, an aggregate without groups has its one row all the same.
    if query.is_aggregate() && query.rows([]).len() == 1 {
        let column = columns.first().copied().unwrap_or("n");
        return Some((
            "the query counts by itself, and always answers one row",
            format!("expect its column: `{{ {column}: … }}`"),
        ));
    }
    None
}

fn named(entries: &[(Key, Node)]) -> Vec<(&str, Span)> {
    entries.iter().map(|(key, _)| (key.name.as_str(), key.span)).collect()
}

/// Warns of expected columns that the query does not give. (Case is left aside: the hub spells system properties as it likes.)
fn warn_of_columns(reader: &mut Reader<'_>, query: Option<&BoundQuery>, expected: &[(&str, Span)]) {
    let Some(columns) = query.and_then(BoundQuery::columns) else { return };
    for (name, span) in expected {
        if columns.iter().any(|column| column.eq_ignore_ascii_case(name)) {
            continue;
        }
        let name = name.escape_debug();
        let warning = Diagnostic::warning(format!("the query gives no column `{name}`, so this check cannot hold"));
        let help = match nearest(&name.to_string(), columns.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("its columns are {}", columns.join(", ")),
        };
        let warning = reader.at(warning, *span, "").help(help);
        reader.report(warning);
    }
}

fn count(reader: &mut Reader<'_>, key: &Key, node: Node) -> Option<Bound> {
    let example = "write a number, or a comparison with one: \">= 3\"";
    match &node.kind {
        Kind::Number(number) => match number.as_u64() {
            Some(number) => Some(Bound { comparison: Comparison::Equal, number: number as f64 }),
            None => {
                let diagnostic = reader.error("a number of rows is a whole number, and not below 0", node.span, "");
                reader.report(diagnostic);
                None
            }
        },
        Kind::Text(text) => match text.value.parse::<Bound>().ok() {
            Some(bound) if bound.number >= 0.0 && bound.number.fract() == 0.0 => Some(bound),
            Some(_) => {
                let diagnostic = reader.error("a number of rows is a whole number, and not below 0", node.span, "");
                reader.report(diagnostic);
                None
            }
            None => {
                let diagnostic =
                    reader.error(format!("{} is not a number of rows", shown(text)), node.span, "").help(example);
                reader.report(diagnostic);
                None
            }
        },
        _ => {
            let diagnostic = reader.wrong_kind(key, &node, "a number of rows").help(example);
            reader.report(diagnostic);
            None
        }
    }
}

fn share(reader: &mut Reader<'_>, check: &str, entries: Vec<(Key, Node)>) -> Option<Expectation> {
    let (mut bound, mut of) = (None, None);
    for (key, node) in entries {
        if key.name == "of" {
            of = reader
                .text(&key, node)
                .and_then(|text| query::compile(reader, check, "query under `of`", text, compile));
        } else {
            bound = percentage(reader, &key, node);
        }
    }
    Some(Expectation::Share { bound: bound?, of: Box::new(of?) })
}

fn percentage(reader: &mut Reader<'_>, key: &Key, node: Node) -> Option<Bound> {
    let example = "write a comparison with a percentage: \">= 95%\"";
    let Kind::Text(text) = &node.kind else {
        let diagnostic = reader.wrong_kind(key, &node, "a percentage").help(example);
        reader.report(diagnostic);
        return None;
    };
    let found = Bound::parse_percent(&text.value).ok();
    if found.is_some_and(|found| (0.0..=100.0).contains(&found.number)) {
        return found;
    }
    let diagnostic = reader.error(format!("{} is not a percentage", shown(text)), node.span, "").help(example);
    let diagnostic = if found.is_some() { diagnostic.help("a share runs from 0% to 100%") } else { diagnostic };
    reader.report(diagnostic);
    None
}

/// A row, or bounds on columns as soon as one column has them.
fn columns(reader: &mut Reader<'_>, entries: Vec<(Key, Node)>) -> Option<Expectation> {
    let bounds = |node: &Node| match &node.kind {
        Kind::Mapping(inner) => inner.iter().filter(|(key, _)| matches!(key.name.as_str(), "min" | "max")).count(),
        _ => 0,
    };
    if entries.iter().all(|(_, node)| bounds(node) == 0) {
        let value = entries.iter().map(|(key, node)| (key.name.clone(), to_json(&node.kind))).collect();
        return Some(Expectation::Rows(vec![value]));
    }
    let mut columns = BTreeMap::new();
    let mut sound = true;
    for (key, node) in entries {
        let column = match &node.kind {
            Kind::Mapping(inner) if bounds(&node) > 0 => {
                range(inner).map_err(|problem| problem.place(reader, &key, &node))
            }
            kind => Ok(Column::Equals(to_json(kind))),
        };
        match column {
            Ok(column) => {
                columns.insert(key.name, column);
            }
            Err(diagnostic) => {
                reader.report(*diagnostic);
                sound = false;
            }
        }
    }
    sound.then_some(Expectation::Columns(columns))
}

/// What is wrong with a pair of bounds.
enum RangeProblem {
    /// `min` or `max` beside other names.
    Stranger(Span),
    NotANumber(Spanned<&'static str>),
    Backwards,
}

impl RangeProblem {
    fn place(self, reader: &Reader<'_>, key: &Key, node: &Node) -> Box<Diagnostic> {
        let example =
            format!("bounds are written `{}: {{ min: 3, max: 9 }}`; one of the two is enough", key.name.escape_debug());
        Box::new(match self {
            Self::Stranger(span) => reader
                .error("`min` and `max` beside other names", span, "bounds, or an object with these members?")
                .help(example)
                .help("for an object of these members, write a list of one row, `[{ … }]`"),
            Self::NotANumber(bound) => {
                reader.error("a bound must be a number", bound.span, format!("{} here", bound.value)).help(example)
            }
            Self::Backwards => reader.error("no number is within these bounds", node.span, "`min` is above `max`"),
        })
    }
}

fn range(entries: &[(Key, Node)]) -> Result<Column, RangeProblem> {
    let (mut min, mut max) = (None, None);
    for (key, node) in entries {
        let bound = match key.name.as_str() {
            "min" => &mut min,
            "max" => &mut max,
            _ => return Err(RangeProblem::Stranger(key.span)),
        };
        let number = match &node.kind {
            Kind::Number(number) => number.as_f64(),
            _ => None,
        };
        let span = if node.span.start == node.span.end { key.span } else { node.span };
        *bound = Some(number.ok_or(RangeProblem::NotANumber(Spanned { value: node.kind.name(), span }))?);
    }
    match (min, max) {
        (Some(min), Some(max)) if min > max => Err(RangeProblem::Backwards),
        _ => Ok(Column::Range { min, max }),
    }
}
