//! Puts values in place of `${env.NAME}`, `${var.NAME}` and, in an inventory, `${row.COLUMN}`.
//!
//! How references are written is said in `reference`, and what their types do in `convert`. The default counts when there is no such
//! thing, or an empty text. A value that is only one reference keeps the reference's type: what comes from the environment or from a csv
//! cell is a text unless a type is named, a variable is what it was written as, and so is its default; a member of a JSON row is what it
//! is there, and so is its default. Keys are not interpolated.

use std::collections::BTreeMap;

use crate::manifest::entry::TakenEntry;
use crate::manifest::references::convert::{convert, from_json};
use crate::manifest::references::env_access::EnvAccess;
use crate::manifest::references::reference::{
    Namespace, Reference, ReferencePlace, TextPiece, pieces, refers_to_row, to_column,
};
use crate::manifest::text::node::{Key, Kind, Node, Text, TextOrigin};
use crate::manifest::text::row::{Cell, Row};
use crate::manifest::text::source::File;
use crate::manifest::text::{node, odd};
use iothub_model::diagnostic::{Diagnostic, Span, nearest};
use iothub_model::placeholder::Placeholder;

/// What references may put into a fleet altogether, in nodes, where a long text counts as several: so much for any fleet, and more for
/// one that is large itself.
const WEIGHT_FLOOR: usize = 500_000;
const BYTES_PER_WEIGHT: usize = 4;

/// What references may put into one device of an inventory: more than a twin can hold.
const ROW_WEIGHT: usize = 20_000;

/// What references are resolved from.
pub(crate) struct Interpolation<'a> {
    environment: EnvAccess<'a>,
    /// `None` while the variables themselves are read.
    vars: Option<&'a BTreeMap<String, Node>>,
    row: Option<&'a Row>,
    /// What references may still put in.
    budget: usize,
}

impl<'a> Interpolation<'a> {
    /// Starts with the size of the fleet's files in bytes.
    pub(crate) fn new(environment: EnvAccess<'a>, vars: Option<&'a BTreeMap<String, Node>>, bytes: usize) -> Self {
        Self { environment, vars, row: None, budget: WEIGHT_FLOOR + bytes / BYTES_PER_WEIGHT }
    }

    /// Starts with one row of an inventory.
    pub(crate) fn of_row(environment: EnvAccess<'a>, vars: &'a BTreeMap<String, Node>, row: &'a Row) -> Self {
        Self { environment, vars: Some(vars), row: Some(row), budget: ROW_WEIGHT }
    }

    /// Resolves all references in a document, those in entries that were taken out of it at their place.
    pub(crate) fn document(
        &mut self,
        file: &File,
        root: &mut Node,
        taken: &mut Vec<TakenEntry>,
        found: &mut Vec<Diagnostic>,
    ) {
        let Kind::Mapping(members) = &mut root.kind else { return self.resolve(file, root, found) };
        members.retain(|(key, _)| keep_key(file, key, found));
        for (_, value) in members {
            match value.kind {
                Kind::Taken(_) => self.taken(file, taken, found),
                _ => self.resolve(file, value, found),
            }
        }
    }

    fn taken(&mut self, file: &File, taken: &mut Vec<TakenEntry>, found: &mut Vec<Diagnostic>) {
        taken.retain(|entry| !matches!(entry, TakenEntry::Waiting(entry) if !keep_key(file, &entry.0, found)));
        for entry in taken {
            if let TakenEntry::Waiting(entry) = entry {
                self.resolve(file, &mut entry.1, found);
            }
        }
    }

    /// Resolves all references in a value. One that does not resolve is reported and leaves nothing behind.
    pub(crate) fn resolve(&mut self, file: &File, node: &mut Node, found: &mut Vec<Diagnostic>) {
        match &mut node.kind {
            // What has references is not taken.
            Kind::Nothing | Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::Taken(_) => {}
            Kind::List(items) => items.iter_mut().for_each(|item| self.resolve(file, item, found)),
            Kind::Mapping(entries) => {
                entries.retain(|(key, _)| keep_key(file, key, found));
                entries.iter_mut().for_each(|(_, value)| self.resolve(file, value, found));
            }
            Kind::Text(text) if text.value.contains("${") => {
                let place = ReferencePlace { file, span: node.span, text };
                node.kind = self.text(&place).unwrap_or_else(|diagnostics| {
                    found.extend(diagnostics);
                    Kind::Text(Text { value: String::new(), written: TextOrigin::Interpolated { secret: true } })
                });
            }
            Kind::Text(_) => {}
        }
    }

    fn text(&mut self, place: &ReferencePlace<'_>) -> Result<Kind, Vec<Diagnostic>> {
        let pieces = pieces(place)?;
        if let [TextPiece::Reference(reference)] = pieces.as_slice() {
            let kind = self.value(reference, place).map_err(|diagnostic| vec![*diagnostic])?;
            self.spend(&Node { span: place.span, kind: kind.clone() }, place)
                .map_err(|diagnostic| vec![*diagnostic])?;
            return Ok(at(kind, place.span));
        }
        let mut value = String::new();
        let mut secret = false;
        let mut found = Vec::new();
        for piece in &pieces {
            match piece {
                TextPiece::Literal(literal) => value.push_str(literal),
                TextPiece::Reference(reference) => match self.value(reference, place) {
                    Err(diagnostic) => found.push(*diagnostic),
                    Ok(Kind::Text(text)) => {
                        secret |= matches!(text.written, TextOrigin::Interpolated { secret: true });
                        value.push_str(&text.value);
                    }
                    Ok(Kind::Number(number)) => {
                        secret |= reference.namespace == Namespace::Env;
                        value.push_str(&number.to_string());
                    }
                    Ok(Kind::Bool(boolean)) => {
                        secret |= reference.namespace == Namespace::Env;
                        value.push_str(if boolean { "true" } else { "false" });
                    }
                    Ok(kind @ (Kind::Nothing | Kind::Null | Kind::List(_) | Kind::Mapping(_) | Kind::Taken(_))) => {
                        found.push(
                            place
                                .error(
                                    format!(
                                        "`{}` is {}, which cannot stand inside a text",
                                        reference.written,
                                        kind.name()
                                    ),
                                    &reference.range,
                                    "",
                                )
                                .help("let the whole value be the reference"),
                        )
                    }
                },
            }
        }
        if !found.is_empty() {
            return Err(found);
        }
        let kind = Kind::Text(Text { value, written: TextOrigin::Interpolated { secret } });
        let node = Node { span: place.span, kind };
        self.spend(&node, place).map_err(|diagnostic| vec![*diagnostic])?;
        Ok(node.kind)
    }

    /// Bounds what references make: a long value may be referred to many times.
    fn spend(&mut self, node: &Node, place: &ReferencePlace<'_>) -> Result<(), Box<Diagnostic>> {
        match self.budget.checked_sub(node.weight()) {
            Some(left) => {
                self.budget = left;
                Ok(())
            }
            None => Err(Box::new(
                place
                    .error("references put too much into the fleet", &(0..place.text.value.len()), "one too many")
                    .help("put what devices share into groups"),
            )),
        }
    }

    fn value(&self, reference: &Reference, place: &ReferencePlace<'_>) -> Result<Kind, Box<Diagnostic>> {
        let name = reference.name.as_str();
        let error = |message: String, label: &str| place.error(message, &reference.range, label);
        let (found, missing) = match reference.namespace {
            Namespace::Env => {
                let value = self.environment.get(name);
                let value = value.map_err(|denied| Box::new(denied.help(error(denied.message(name), ""), name)))?;
                if let Some(placeholder) = value.as_deref().and_then(Placeholder::of_value) {
                    let message = format!("the environment variable `{name}` is {placeholder}");
                    return Err(Box::new(error(message, "").help(placeholder.advice())));
                }
                let missing = error(format!("the environment variable `{name}` is not set"), "")
                    .help(format!("set it, or give a default: `${{env.{name}:-…}}`"));
                let is_default = self.environment.defaults_first && reference.default.is_some();
                (value.filter(|_| !is_default).map(|value| text(value, true)), missing)
            }
            Namespace::Var => match self.vars {
                None => {
                    return Err(Box::new(
                        error("a variable cannot refer to another one".to_owned(), "")
                            .help("variables are read from the environment, or written out"),
                    ));
                }
                Some(vars) => {
                    let missing = error(format!("there is no variable `{name}`"), "");
                    let missing = match nearest(name, vars.keys().map(String::as_str)) {
                        Some(near) => missing.help(format!("did you mean `{near}`?")),
                        None => missing.help(format!("declare it: `vars: {{ {name}: … }}`")),
                    };
                    (vars.get(name).map(|node| node.kind.clone()), missing)
                }
            },
            Namespace::Row => {
                let Some(row) = self.row else {
                    return Err(Box::new(
                        error(
                            format!("`{}` stands outside of an inventory", reference.written),
                            "there is no row here",
                        )
                        .help("rows are read by `inventory`, and their columns stand in its values alone"),
                    ));
                };
                let value = row.cell(name).map(|cell| match cell {
                    Cell::Text(cell) => text(cell.to_owned(), false),
                    Cell::Json(value) => from_json(value.clone(), false),
                });
                (value, place.point(no_column(row, reference), &reference.range, "asked for here"))
            }
        };
        // A JSON row without a value is as an empty cell.
        let is_row = reference.namespace == Namespace::Row;
        let is_empty = |kind: &Kind| match kind {
            Kind::Text(text) => text.value.is_empty(),
            Kind::Null => is_row,
            _ => false,
        };
        let kind = match (found, &reference.default) {
            (Some(kind), None) => kind,
            (Some(kind), Some(_)) if !is_empty(&kind) => kind,
            (_, Some(default)) => match reference.namespace {
                Namespace::Env => text(default.clone(), false),
                Namespace::Row if self.row.is_some_and(Row::is_csv) => text(default.clone(), false),
                Namespace::Var | Namespace::Row => node::resolve(default)
                    .map_err(|_| error(format!("the default `{default}` is not a number that the hub takes"), ""))?,
            },
            (None, None) => return Err(Box::new(missing)),
        };
        match &reference.kind {
            None => Ok(kind),
            Some(to) => convert(kind, to).map_err(|problem| {
                let message = format!("`{}` {problem}", reference.written);
                // What a row holds is no secret, so that its place is shown.
                Box::new(match self.row.filter(|_| is_row) {
                    None => error(message, "the value is not shown"),
                    Some(row) => {
                        let diagnostic = row.at(Diagnostic::error(message), Some(name), "this value");
                        let diagnostic = place.point(diagnostic, &reference.range, "put in here");
                        match reference.default {
                            None => diagnostic.help(format!(
                                "where it may be empty, give a default: {}",
                                code(&to_column(name, &format!(":{to}:-…")))
                            )),
                            Some(_) => diagnostic,
                        }
                    }
                })
            }),
        }
    }
}

fn keep_key(file: &File, key: &Key, found: &mut Vec<Diagnostic>) -> bool {
    if !key.name.contains("${") {
        return true;
    }
    found.push(
        Diagnostic::error("keys are not interpolated")
            .at(&file.source, key.span, "a reference in a key")
            .help("references stand in values alone; write the key out"),
    );
    false
}

fn text(value: String, secret: bool) -> Kind {
    Kind::Text(Text { value, written: TextOrigin::Interpolated { secret } })
}

/// Gives a value the place of the reference that it came by.
fn at(kind: Kind, span: Span) -> Kind {
    let place = |node: Node| Node { span, kind: at(node.kind, span) };
    match kind {
        Kind::List(items) => Kind::List(items.into_iter().map(place).collect()),
        Kind::Mapping(entries) => Kind::Mapping(
            entries.into_iter().map(|(key, value)| (Key { name: key.name, span }, place(value))).collect(),
        ),
        Kind::Text(Text { value, written }) => {
            let secret = matches!(written, TextOrigin::Interpolated { secret: true });
            text(value, secret)
        }
        scalar => scalar,
    }
}

/// Says that a row lacks a column.
fn no_column(row: &Row, reference: &Reference) -> Diagnostic {
    let name = reference.name.as_str();
    let columns = row.columns();
    let (has, what) = if row.is_csv() { ("the table", "column") } else { ("the row", "key") };
    let diagnostic = Diagnostic::error(format!("{has} has no {what} `{}`", name.escape_debug()));
    let diagnostic = row.at(diagnostic, None, if row.is_csv() { "its columns" } else { "this row" });
    let pasted = columns.iter().find(|column| !column.is_ascii() && odd::plain(column) == odd::plain(name));
    if let Some(odd) = pasted.and_then(|column| odd::first(column)) {
        return diagnostic.help(format!("the {what} is there with a {odd} in its name: write a plain space there"));
    }
    if let [one] = columns.as_slice()
        && let Some(separator) = one.chars().find(|c| matches!(c, ';' | '\t' | '|'))
        && row.is_csv()
    {
        let first_line = if separator == '\t' { "`sep=` and a tab".to_owned() } else { format!("`sep={separator}`") };
        return diagnostic
            .help(format!("cells are parted by commas: save the table so, or write {first_line} as its first line"));
    }
    // A colon in a column's name is read as the start of a type or a default.
    let inner = reference.raw.trim_end_matches('}');
    if let Some(whole) = columns.iter().find(|column| **column == inner) {
        return diagnostic.help(format!("did you mean {}?", code(&to_column(whole, ""))));
    }
    let longer = columns.iter().filter(|column| column.len() > name.len() && reference.raw.starts_with(**column));
    let longer =
        longer.max_by_key(|column| column.len()).map(|column| to_column(column, &reference.raw[column.len()..]));
    match longer.or_else(|| nearest(name, columns.iter().copied()).map(|near| to_column(near, ""))) {
        Some(near) => diagnostic.help(format!("did you mean {}?", code(&near))),
        None if row.is_csv() => diagnostic,
        None => diagnostic.help(format!("where it may be missing, give a default: {}", code(&to_column(name, ":-…")))),
    }
}

/// Marks a reference in a message, unless it has quotes of its own.
fn code(reference: &str) -> String {
    if reference.starts_with('\'') { reference.to_owned() } else { format!("`{reference}`") }
}

/// Finds the references of an inventory's values to columns that the head of its table does not have, and says whether there are
/// references to rows at all.
pub(crate) fn check_columns(file: &File, node: &Node, head: Option<&Row>, found: &mut Vec<Diagnostic>) -> bool {
    match &node.kind {
        Kind::List(items) => items.iter().fold(false, |any, item| check_columns(file, item, head, found) | any),
        Kind::Mapping(entries) => {
            entries.iter().fold(false, |any, (_, value)| check_columns(file, value, head, found) | any)
        }
        Kind::Text(text) if refers_to_row(&text.value) => {
            let place = ReferencePlace { file, span: node.span, text };
            // What is wrong in a reference is told when it is resolved.
            for piece in pieces(&place).unwrap_or_default() {
                if let (TextPiece::Reference(reference), Some(head)) = (piece, head)
                    && reference.namespace == Namespace::Row
                    && head.cell(&reference.name).is_none()
                {
                    let missing = Diagnostic { labels: Vec::new(), ..no_column(head, &reference) };
                    found.push(head.at(place.point(missing, &reference.range, "asked for here"), None, "its columns"));
                }
            }
            true
        }
        _ => false,
    }
}

/// Returns the columns of a table that an inventory's values ask for.
pub(crate) fn columns(file: &File, node: &Node) -> Vec<String> {
    match &node.kind {
        Kind::List(items) => items.iter().flat_map(|item| columns(file, item)).collect(),
        Kind::Mapping(entries) => entries.iter().flat_map(|(_, value)| columns(file, value)).collect(),
        Kind::Text(text) if text.value.contains("${") => {
            let pieces = pieces(&ReferencePlace { file, span: node.span, text }).unwrap_or_default();
            let column = |piece| match piece {
                TextPiece::Reference(Reference { namespace: Namespace::Row, name, .. }) => Some(name),
                _ => None,
            };
            pieces.into_iter().filter_map(column).collect()
        }
        _ => Vec::new(),
    }
}
