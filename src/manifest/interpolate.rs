//! Puts values in place of `${env.NAME}`, `${var.NAME}` and, in an inventory, `${row.COLUMN}`.
//!
//! A reference is `${KIND.NAME}`, then perhaps `:TYPE` (`int`, `float`, `bool`, `json`), then perhaps `:-DEFAULT`; `$${` stands
//! for `${` itself. The default counts when there is no such thing, or an empty text. A value that is only one reference keeps the
//! reference's type: what comes from the environment or from a csv cell is a text unless a type is named, a variable is what it was
//! written as, and so is its default; a member of a JSON row is what it is there, and so is its default. Keys are not interpolated.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::{Number, Value};

use super::cut::Part;
use super::odd;
use super::source::File;
use super::table::{Cell, Row};
use super::yaml::{self, Key, Kind, Node, Text, Written};
use crate::diagnostic::{Diagnostic, Span, nearest};
use crate::twin::limits::{INTEGER_MAX, INTEGER_MIN};

/// Variables with what lets into hubs and code hosts. Whoever may change a manifest would otherwise have the plan print them, or a
/// twin hold them.
const OWN_SECRETS: [&str; 6] =
    ["IOTHUB_CONNECTION_STRING", "GITHUB_TOKEN", "GH_TOKEN", "SYSTEM_ACCESSTOKEN", "GITLAB_TOKEN", "CI_JOB_TOKEN"];

/// What references may put into a fleet altogether, in nodes, where a long text counts as several: so much for any fleet, and more for
/// one that is large itself.
const WEIGHT_FLOOR: usize = 500_000;
const BYTES_PER_WEIGHT: usize = 4;

/// What references may put into one device of an inventory: more than a twin can hold.
const ROW_WEIGHT: usize = 20_000;

const TYPES: [&str; 4] = ["int", "float", "bool", "json"];

/// What references are resolved from.
pub(super) struct Interpolation<'a> {
    environment: &'a dyn Fn(&str) -> Option<String>,
    /// `None` while the variables themselves are read.
    vars: Option<&'a BTreeMap<String, Node>>,
    row: Option<&'a Row>,
    /// What references may still put in.
    budget: usize,
}

impl<'a> Interpolation<'a> {
    /// Starts with the size of the fleet's files in bytes.
    pub(super) fn new(
        environment: &'a dyn Fn(&str) -> Option<String>,
        vars: Option<&'a BTreeMap<String, Node>>,
        bytes: usize,
    ) -> Self {
        Self { environment, vars, row: None, budget: WEIGHT_FLOOR + bytes / BYTES_PER_WEIGHT }
    }

    /// Starts with one row of an inventory.
    pub(super) fn of_row(
        environment: &'a dyn Fn(&str) -> Option<String>,
        vars: &'a BTreeMap<String, Node>,
        row: &'a Row,
    ) -> Self {
        Self { environment, vars: Some(vars), row: Some(row), budget: ROW_WEIGHT }
    }

    /// Resolves all references in a value. One that does not resolve is reported and leaves nothing behind.
    pub(super) fn resolve(&mut self, file: &File, node: &mut Node, found: &mut Vec<Diagnostic>) {
        match &mut node.kind {
            // A device with references is not read early.
            Kind::Nothing | Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::Device(_) => {}
            Kind::Devices(parts) => {
                parts.retain(|part| !matches!(part, Part::Tree(entry) if !keep_key(file, &entry.0, found)));
                for part in parts {
                    if let Part::Tree(entry) = part {
                        self.resolve(file, &mut entry.1, found);
                    }
                }
            }
            Kind::List(items) => items.iter_mut().for_each(|item| self.resolve(file, item, found)),
            Kind::Mapping(entries) => {
                entries.retain(|(key, _)| keep_key(file, key, found));
                entries.iter_mut().for_each(|(_, value)| self.resolve(file, value, found));
            }
            Kind::Text(text) if text.value.contains("${") => {
                let place = Place { file, span: node.span, text };
                node.kind = self.text(&place).unwrap_or_else(|diagnostics| {
                    found.extend(diagnostics);
                    Kind::Text(Text { value: String::new(), written: Written::Interpolated { secret: true } })
                });
            }
            Kind::Text(_) => {}
        }
    }

    fn text(&mut self, place: &Place<'_>) -> Result<Kind, Vec<Diagnostic>> {
        let pieces = pieces(place)?;
        if let [Piece::Reference(reference)] = pieces.as_slice() {
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
                Piece::Literal(literal) => value.push_str(literal),
                Piece::Reference(reference) => match self.value(reference, place) {
                    Err(diagnostic) => found.push(*diagnostic),
                    Ok(Kind::Text(text)) => {
                        secret |= matches!(text.written, Written::Interpolated { secret: true });
                        value.push_str(&text.value);
                    }
                    Ok(Kind::Number(number)) => value.push_str(&number.to_string()),
                    Ok(Kind::Bool(boolean)) => value.push_str(if boolean { "true" } else { "false" }),
                    Ok(
                        kind @ (Kind::Nothing
                        | Kind::Null
                        | Kind::List(_)
                        | Kind::Mapping(_)
                        | Kind::Device(_)
                        | Kind::Devices(_)),
                    ) => found.push(
                        place
                            .error(
                                format!("`{}` is {}, which cannot stand inside a text", reference.written, kind.name()),
                                &reference.range,
                                "",
                            )
                            .help("let the whole value be the reference"),
                    ),
                },
            }
        }
        if !found.is_empty() {
            return Err(found);
        }
        let kind = Kind::Text(Text { value, written: Written::Interpolated { secret } });
        let node = Node { span: place.span, kind };
        self.spend(&node, place).map_err(|diagnostic| vec![*diagnostic])?;
        Ok(node.kind)
    }

    /// Bounds what references make: a long value may be referred to many times.
    fn spend(&mut self, node: &Node, place: &Place<'_>) -> Result<(), Box<Diagnostic>> {
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

    fn value(&self, reference: &Reference, place: &Place<'_>) -> Result<Kind, Box<Diagnostic>> {
        let name = reference.name.as_str();
        let error = |message: String, label: &str| place.error(message, &reference.range, label);
        let (found, missing) = match reference.namespace {
            Namespace::Env if OWN_SECRETS.iter().any(|own| own.eq_ignore_ascii_case(name)) => {
                return Err(Box::new(
                    error(
                        format!("`{name}` is a secret that twinctl itself works with, and no declaration may hold it"),
                        "",
                    )
                    .help("give what the devices need under a name of its own, and list its path under `sensitive`"),
                ));
            }
            Namespace::Env => {
                let value = (self.environment)(name).map(|value| text(value, true));
                let missing = error(format!("the environment variable `{name}` is not set"), "")
                    .help(format!("set it, or give a default: `${{env.{name}:-…}}`"));
                (value, missing)
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
                (value, place.point(no_column(row, name), &reference.range, "asked for here"))
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
                Namespace::Var | Namespace::Row => yaml::resolve(default)
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
                            None => diagnostic
                                .help(format!("where it may be empty, give a default: `${{row.{name}:{to}:-…}}`")),
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
    Kind::Text(Text { value, written: Written::Interpolated { secret } })
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
            let secret = matches!(written, Written::Interpolated { secret: true });
            text(value, secret)
        }
        scalar => scalar,
    }
}

/// Converts to a type that a reference names; the problem goes on from "`${…}`". Values are never told: they may be secret.
fn convert(kind: Kind, to: &str) -> Result<Kind, String> {
    let range = || format!("is outside the hub's range for integers, {INTEGER_MIN} to {INTEGER_MAX} (52 bits)");
    match (to, kind) {
        ("int", Kind::Text(text)) => match text.value.trim().parse::<i128>() {
            Ok(integer) => match i64::try_from(integer) {
                Ok(integer) if (INTEGER_MIN..=INTEGER_MAX).contains(&integer) => Ok(Kind::Number(integer.into())),
                _ => Err(range()),
            },
            Err(_) => Err("is not an integer".to_owned()),
        },
        ("int", Kind::Number(number)) if !number.is_f64() => Ok(Kind::Number(number)),
        ("int", Kind::Number(number)) => match number.as_f64() {
            Some(float) if float.fract() == 0.0 && float.abs() <= INTEGER_MAX as f64 => {
                Ok(Kind::Number((float as i64).into()))
            }
            _ => Err("is not an integer".to_owned()),
        },
        ("float", Kind::Text(text)) => {
            let float = text.value.trim().parse().ok().and_then(Number::from_f64);
            float.map(Kind::Number).ok_or_else(|| "is not a number".to_owned())
        }
        ("float", Kind::Number(number)) => Ok(Kind::Number(number)),
        ("bool", Kind::Text(text)) => match text.value.trim() {
            "true" => Ok(Kind::Bool(true)),
            "false" => Ok(Kind::Bool(false)),
            _ => Err("is neither `true` nor `false`".to_owned()),
        },
        ("bool", Kind::Bool(boolean)) => Ok(Kind::Bool(boolean)),
        ("json", Kind::Text(text)) => {
            let secret = matches!(text.written, Written::Interpolated { secret: true });
            let value = serde_json::from_str::<Value>(&text.value);
            value.map(|value| from_json(value, secret)).map_err(|error| {
                format!("is not JSON, at line {} column {} of the value", error.line(), error.column())
            })
        }
        ("json", kind) => Ok(kind),
        ("int", kind) => Err(format!("is {}, not an integer", kind.name())),
        ("float", kind) => Err(format!("is {}, not a number", kind.name())),
        (_, kind) => Err(format!("is {}, not a boolean", kind.name())),
    }
}

fn from_json(value: Value, secret: bool) -> Kind {
    let node = |value| Node { span: Span::default(), kind: from_json(value, secret) };
    match value {
        Value::Null => Kind::Null,
        Value::Bool(boolean) => Kind::Bool(boolean),
        Value::Number(number) => Kind::Number(number),
        Value::String(string) => text(string, secret),
        Value::Array(items) => Kind::List(items.into_iter().map(node).collect()),
        Value::Object(members) => {
            let entry = |(name, value)| (Key { name, span: Span::default() }, node(value));
            Kind::Mapping(members.into_iter().map(entry).collect())
        }
    }
}

/// A text with references in it, and where it stands.
struct Place<'a> {
    file: &'a File,
    span: Span,
    text: &'a Text,
}

impl Place<'_> {
    fn error(&self, message: impl Into<String>, range: &Range<usize>, label: &str) -> Diagnostic {
        self.point(Diagnostic::error(message), range, label)
    }

    /// Points at a range of the text's bytes, as far as the file has them one to one.
    fn point(&self, diagnostic: Diagnostic, range: &Range<usize>, label: &str) -> Diagnostic {
        let span = match self.text.written {
            Written::Verbatim(offset) => Span::new(offset + range.start, offset + range.end),
            Written::Folded | Written::Interpolated { .. } => self.span,
        };
        diagnostic.at(&self.file.source, span, label)
    }
}

#[derive(Debug, PartialEq)]
enum Piece {
    Literal(String),
    Reference(Reference),
}

#[derive(Debug, PartialEq)]
struct Reference {
    /// Its bytes in the text.
    range: Range<usize>,
    /// The reference without type and default, for messages.
    written: String,
    namespace: Namespace,
    name: String,
    kind: Option<String>,
    default: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Namespace {
    Env,
    Var,
    Row,
}

/// Takes a text apart; neighbouring literals are one piece.
fn pieces(place: &Place<'_>) -> Result<Vec<Piece>, Vec<Diagnostic>> {
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
        let Some(end) = closing_brace(&whole[dollar + 2..]).map(|offset| dollar + 2 + offset) else {
            found.push(
                place
                    .error("a reference without its `}`", &(dollar..whole.len()), "starts here")
                    .help("close it; for `${` as text, write `$${`"),
            );
            return Err(found);
        };
        if !literal.is_empty() {
            pieces.push(Piece::Literal(std::mem::take(&mut literal)));
        }
        match reference(place, dollar..end + 1, &whole[dollar + 2..end]) {
            Ok(reference) => pieces.push(Piece::Reference(reference)),
            Err(diagnostic) => found.push(*diagnostic),
        }
        position = end + 1;
    }
    literal.push_str(&whole[position..]);
    if !literal.is_empty() || pieces.is_empty() {
        pieces.push(Piece::Literal(literal));
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

fn reference(place: &Place<'_>, range: Range<usize>, inner: &str) -> Result<Reference, Box<Diagnostic>> {
    let error = |message: String| place.error(message, &range, "");
    let (head, default) = match inner.split_once(":-") {
        Some((head, default)) => (head, Some(default.to_owned())),
        None => (inner, None),
    };
    if default.as_ref().is_some_and(|default| default.contains("${")) {
        return Err(Box::new(error("a default cannot hold a reference".to_owned()).help("write the default out")));
    }
    let (path, kind) = match head.split_once(':') {
        Some((path, kind)) => (path, Some(kind.to_owned())),
        None => (head, None),
    };
    let (namespace, name) = match path.split_once('.') {
        Some(("env", name)) => (Namespace::Env, name),
        Some(("var", name)) => (Namespace::Var, name),
        Some(("row", name)) => (Namespace::Row, name),
        Some((other, name)) => {
            let diagnostic = error(format!("unknown reference `${{{path}}}`"));
            return Err(Box::new(match nearest(other, ["env", "var", "row"]) {
                Some(near) if is_variable_name(name) => diagnostic.help(format!("did you mean `${{{near}.{name}}}`?")),
                _ => diagnostic.help("references are `${env.NAME}` and `${var.NAME}`; for `${` as text, write `$${`"),
            }));
        }
        None => {
            let diagnostic = error(format!("unknown reference `${{{path}}}`"));
            return Err(Box::new(if is_variable_name(path) {
                diagnostic.help(format!(
                    "write `${{env.{path}}}` for the environment or `${{var.{path}}}` for a variable; for `${{` as text, `$${{`"
                ))
            } else {
                diagnostic.help("references are `${env.NAME}` and `${var.NAME}`; for `${` as text, write `$${`")
            }));
        }
    };
    // Columns are named by whoever made the table.
    let is_name = match namespace {
        Namespace::Env | Namespace::Var => is_variable_name(name),
        Namespace::Row => !name.is_empty(),
    };
    if !is_name {
        return Err(Box::new(
            error(format!("`{name}` is not a name"))
                .help("a name has ASCII letters, digits, `_` and `-`, and starts with none of digits and `-`"),
        ));
    }
    if let Some(kind) = kind.as_deref().filter(|kind| !TYPES.contains(kind)) {
        let diagnostic = error(format!("unknown type `{kind}` of a reference"));
        return Err(Box::new(match nearest(kind, TYPES) {
            Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
            None => diagnostic.help("types are int, float, bool and json; a default is written `:-DEFAULT`"),
        }));
    }
    Ok(Reference { range, written: format!("${{{path}}}"), namespace, name: name.to_owned(), kind, default })
}

/// Says that a row lacks a column.
fn no_column(row: &Row, name: &str) -> Diagnostic {
    let columns = row.columns();
    let (has, what) = if row.is_csv() { ("the table", "column") } else { ("the row", "key") };
    let diagnostic = Diagnostic::error(format!("{has} has no {what} `{}`", name.escape_debug()));
    let diagnostic = row.at(diagnostic, None, if row.is_csv() { "its columns" } else { "this row" });
    let one = match columns.as_slice() {
        [one] if row.is_csv() && one.contains([';', '\t']) => Some(one),
        _ => None,
    };
    let pasted = columns.iter().find(|column| !column.is_ascii() && odd::plain(column) == odd::plain(name));
    match nearest(name, columns.iter().copied()) {
        _ if let Some(odd) = pasted.and_then(|column| odd::first(column)) => {
            diagnostic.help(format!("the {what} is there with a {odd} in its name: write a plain space there"))
        }
        _ if one.is_some() => diagnostic.help("columns are parted by commas: save the table so"),
        Some(near) => diagnostic.help(format!("did you mean `${{row.{near}}}`?")),
        None if row.is_csv() => diagnostic,
        None => diagnostic.help(format!("where it may be missing, give a default: `${{row.{name}:-…}}`")),
    }
}

/// Finds the references of an inventory's values to columns that the head of its table does not have, and says whether there are
/// references to rows at all.
pub(super) fn check_columns(file: &File, node: &Node, head: Option<&Row>, found: &mut Vec<Diagnostic>) -> bool {
    match &node.kind {
        Kind::List(items) => items.iter().fold(false, |any, item| check_columns(file, item, head, found) | any),
        Kind::Mapping(entries) => {
            entries.iter().fold(false, |any, (_, value)| check_columns(file, value, head, found) | any)
        }
        Kind::Text(text) if text.value.contains("${row.") => {
            let place = Place { file, span: node.span, text };
            // What is wrong in a reference is told when it is resolved.
            for piece in pieces(&place).unwrap_or_default() {
                if let (Piece::Reference(Reference { namespace: Namespace::Row, name, range, .. }), Some(head)) =
                    (piece, head)
                    && head.cell(&name).is_none()
                {
                    let missing = Diagnostic { labels: Vec::new(), ..no_column(head, &name) };
                    found.push(head.at(place.point(missing, &range, "asked for here"), None, "its columns"));
                }
            }
            true
        }
        _ => false,
    }
}

/// Returns the columns of a table that an inventory's values ask for.
pub(super) fn columns(file: &File, node: &Node) -> Vec<String> {
    match &node.kind {
        Kind::List(items) => items.iter().flat_map(|item| columns(file, item)).collect(),
        Kind::Mapping(entries) => entries.iter().flat_map(|(_, value)| columns(file, value)).collect(),
        Kind::Text(text) if text.value.contains("${") => {
            let pieces = pieces(&Place { file, span: node.span, text }).unwrap_or_default();
            let column = |piece| match piece {
                Piece::Reference(Reference { namespace: Namespace::Row, name, .. }) => Some(name),
                _ => None,
            };
            pieces.into_iter().filter_map(column).collect()
        }
        _ => Vec::new(),
    }
}

/// Says whether a text may name a variable.
pub(super) fn is_variable_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
}
