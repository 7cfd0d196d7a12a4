//! `vars`: the values that `${var.NAME}` stands for, of all files together, and what goes over them from outside.

use std::collections::BTreeMap;

use crate::manifest::fields::reader::Reader;
use crate::manifest::references::env_access::EnvAccess;
use crate::manifest::references::interpolate::Interpolation;
use crate::manifest::references::reference::{is_variable_name, only_reference};
use crate::manifest::text::node::{Key, Kind, Node, Spanned, Text, TextOrigin};
use crate::manifest::text::source::File;
use crate::manifest::text::{node, traps, yaml};
use iothub_model::diagnostic::{Diagnostic, Span, nearest};
use iothub_model::placeholder::Placeholder;

/// What goes over the manifests' variables: files in their order, then single values.
#[derive(Default)]
pub(crate) struct Overrides<'a> {
    /// Files with one mapping of names to values, as `vars` is.
    pub(crate) files: Vec<(&'a File, Node)>,
    /// Names and values, as `--var` has them.
    pub(crate) given: &'a [(String, String)],
    /// Names that no manifest declares are passed over.
    pub(crate) ignore_unknown: bool,
}

/// A variable while it is collected.
struct Variable<'f> {
    declared: Spanned<&'f File>,
    /// What it is as it is declared, which nothing from outside changes.
    is: Type,
    node: Node,
    /// Where the value is from, when that is another file.
    from: Option<&'f File>,
}

/// What a variable is, as far as that matters to what may be put in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    /// It is declared as null, or by a reference to whatever JSON there is.
    Any,
    Text,
    Number,
    Boolean,
    List,
    Mapping,
}

impl Type {
    /// Returns what a value is, or will be once its references are resolved.
    fn of(kind: &Kind) -> Self {
        match kind {
            Kind::Nothing | Kind::Null => Self::Any,
            Kind::Bool(_) => Self::Boolean,
            Kind::Number(_) => Self::Number,
            Kind::List(_) => Self::List,
            Kind::Mapping(_) | Kind::Taken(_) => Self::Mapping,
            Kind::Text(text) => match only_reference(&text.value).and_then(|reference| reference.kind).as_deref() {
                Some("int" | "float") => Self::Number,
                Some("bool") => Self::Boolean,
                Some(_) => Self::Any,
                None => Self::Text,
            },
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Any => "anything",
            Self::Text => "a text",
            Self::Number => "a number",
            Self::Boolean => "a boolean",
            Self::List => "a list",
            Self::Mapping => "a mapping",
        }
    }

    /// Says whether a value may stand in the place of the declared one.
    fn takes(self, value: &Kind) -> bool {
        let is = Self::of(value);
        let is_null = matches!(value, Kind::Nothing | Kind::Null);
        self == Self::Any || is == self || (is == Self::Any && !is_null)
    }

    /// Says how a value is written that is of the type.
    fn example(self) -> Option<&'static str> {
        match self {
            Self::Any => None,
            Self::Text => Some("put it in quotes, so that it is a text"),
            Self::Number => {
                Some("a number is written as in YAML, 60 or 0.5: without quotes, and without zeros before it")
            }
            Self::Boolean => Some("a boolean is `true` or `false`"),
            Self::List => Some("a list is written as in YAML: [7, 8]"),
            Self::Mapping => Some("a mapping is written as in YAML: { name: value }"),
        }
    }
}

/// Takes the variables out of the files' documents. Their values may refer to the environment, not to one another. What goes over a
/// variable must be of the type that the manifest gives it. A file may be one for several fleets, so that names in it which none of these
/// manifests declares are only odd.
pub(crate) fn collect<'f>(
    documents: &mut [(&'f File, Node)],
    overrides: Overrides<'f>,
    environment: EnvAccess<'_>,
    found: &mut Vec<Diagnostic>,
) -> BTreeMap<String, Node> {
    let mut vars = declared(documents, found);
    let Overrides { files, given, ignore_unknown } = overrides;
    for (file, node) in files {
        from_file(file, node, &mut vars, found);
    }
    let mut interpolation = Interpolation::new(environment, None, 0);
    let mut values = BTreeMap::new();
    for (name, Variable { declared, is, mut node, from }) in vars {
        match given.iter().rev().find(|(given, _)| *given == name) {
            Some((_, value)) => match single(&name, is, value) {
                Ok(kind) => node.kind = placed(kind, node.span),
                Err(diagnostic) => {
                    let label = format!("declared as {} here", is.name());
                    let is_typed = is != Type::Any;
                    let place = &declared.value.source;
                    found.push(if is_typed { diagnostic.at(place, declared.span, label) } else { *diagnostic });
                }
            },
            None => {
                let file = from.unwrap_or(declared.value);
                traps::warn(file, &node, found);
                interpolation.resolve(file, &mut node, found);
            }
        }
        values.insert(name, node);
    }
    if ignore_unknown {
        return values;
    }
    let names: Vec<String> = values.keys().cloned().collect();
    for (name, _) in given.iter().filter(|(name, _)| !values.contains_key(name)) {
        found.push(with_hint(Diagnostic::error(format!("{}, which `--var` sets", unknown(name))), name, &names));
    }
    values
}

/// Puts what a file says over the variables.
fn from_file<'f>(file: &'f File, node: Node, vars: &mut BTreeMap<String, Variable<'f>>, found: &mut Vec<Diagnostic>) {
    let mut reader = Reader { file, found };
    if matches!(node.kind, Kind::Null) {
        return;
    }
    let Kind::Mapping(entries) = node.kind else {
        let message = format!("variables must be a mapping, and this is {}", node.kind.name());
        let diagnostic = reader.error(message, node.span, "").help("write `NAME: VALUE`, as under `vars`");
        return reader.report(diagnostic);
    };
    for (key, node) in entries {
        let Some(variable) = vars.get_mut(&key.name) else {
            let label = "declared by none of these manifests";
            let diagnostic = if file.is_quotable() {
                let diagnostic = Diagnostic::warning(format!("{}, which this file sets", unknown(&key.name)));
                with_hint(reader.at(diagnostic, key.span, label), &key.name, &vars.keys().cloned().collect::<Vec<_>>())
            } else {
                reader.at(Diagnostic::warning("this file sets a variable that is not there"), key.span, label)
            };
            reader.report(diagnostic);
            continue;
        };
        let place = if node.span.start == node.span.end { key.span } else { node.span };
        if let Some(placeholder) = placeholder_in(&node.kind) {
            let message = format!("the value of `{}` is {placeholder}", key.name);
            let diagnostic = reader.error(message, place, "").help(placeholder.advice());
            reader.report(diagnostic);
        } else if !variable.is.takes(&node.kind) {
            let (is, gives) = (variable.is.name(), name_of(&node.kind));
            let diagnostic = reader
                .error(format!("the variable `{}` is {is}, and this file gives {gives}", key.name), place, gives)
                .at(&variable.declared.value.source, variable.declared.span, format!("declared as {is} here"));
            let diagnostic = variable.is.example().into_iter().fold(diagnostic, Diagnostic::help);
            reader.report(diagnostic);
        } else {
            (variable.node, variable.from) = (node, Some(file));
        }
    }
}

/// Finds what a pipeline or a shell did not replace, in a text or in one below.
fn placeholder_in(kind: &Kind) -> Option<Placeholder<'_>> {
    match kind {
        Kind::Text(text) => Placeholder::of_value(&text.value).filter(|found| !is_reference(found.text())),
        Kind::List(items) => items.iter().find_map(|item| placeholder_in(&item.kind)),
        Kind::Mapping(entries) => entries.iter().find_map(|(_, value)| placeholder_in(&value.kind)),
        _ => None,
    }
}

/// Says whether it is one of manifests' own references, and no shell's.
fn is_reference(text: &str) -> bool {
    text.starts_with("${") && !text.starts_with("${{")
}

/// Names what a value is or will be: of a reference that is converted, what it is converted to.
fn name_of(kind: &Kind) -> &'static str {
    match Type::of(kind) {
        Type::Any => kind.name(),
        is => is.name(),
    }
}

fn unknown(name: &str) -> String {
    format!("there is no variable `{}`", name.escape_debug())
}

fn with_hint(diagnostic: Diagnostic, name: &str, names: &[String]) -> Diagnostic {
    match nearest(name, names.iter().map(String::as_str)) {
        Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
        None => diagnostic.help("a manifest must declare it under `vars`, with the value that it has otherwise"),
    }
}

/// Reads what `--var` gives: a text where the variable is one, and else what YAML would make of it. The value may be a secret, and is not
/// shown.
fn single(name: &str, is: Type, value: &str) -> Result<Kind, Box<Diagnostic>> {
    if let Some(placeholder) = Placeholder::of_value(value) {
        let message = format!("the value that `--var` gives `{name}` is {placeholder}");
        return Err(Box::new(Diagnostic::error(message).help(placeholder.advice())));
    }
    if is == Type::Text {
        return Ok(Kind::Text(secret(value)));
    }
    let error = |problem: &str| Diagnostic::error(format!("the value that `--var` gives `{name}` {problem}"));
    let is_more = matches!(is, Type::List | Type::Mapping) || value.trim_start().starts_with(['[', '{', '"', '\'']);
    let kind = if is_more {
        let file = File::new("<--var>", value);
        let mut problems = Vec::new();
        match yaml::parse(&file, &mut problems) {
            Some(node) if problems.is_empty() => match placeholder_in(&node.kind) {
                Some(found) => {
                    let message = format!("a value that `--var` gives `{name}` is {found}");
                    return Err(Box::new(Diagnostic::error(message).help(found.advice())));
                }
                None => node.kind,
            },
            None if problems.is_empty() => Kind::Nothing,
            _ => {
                let column = problems.first().and_then(|problem| problem.labels.first());
                let column = column.map_or(1, |label| label.source.position(label.span.start).column);
                let error = error(&format!("is not YAML, at its character {column}"));
                return Err(Box::new(is.example().into_iter().fold(error, Diagnostic::help)));
            }
        }
    } else {
        match node::resolve(value.trim()) {
            Ok(Kind::Text(_)) => Kind::Text(secret(value)),
            Ok(kind) => kind,
            Err(_) => {
                let error = error("is a number that the hub does not take");
                return Err(Box::new(match is {
                    Type::Any => error.help("put it in quotes of its own where it is a text: --var 'NAME=\"VALUE\"'"),
                    _ => error,
                }));
            }
        }
    };
    if is.takes(&kind) {
        return Ok(kind);
    }
    let gives = if matches!(kind, Kind::Nothing) { "nothing" } else { kind.name() };
    let diagnostic = Diagnostic::error(format!("the variable `{name}` is {}, and `--var` gives {gives}", is.name()));
    Err(Box::new(is.example().into_iter().fold(diagnostic, Diagnostic::help)))
}

fn secret(value: &str) -> Text {
    Text { value: value.to_owned(), written: TextOrigin::Interpolated { secret: true } }
}

/// Gives a value the place of the declared one. What came from outside is shown nowhere.
fn placed(kind: Kind, span: Span) -> Kind {
    let node = |node: Node| Node { span, kind: placed(node.kind, span) };
    match kind {
        Kind::Nothing => Kind::Null,
        Kind::Text(text) => Kind::Text(secret(&text.value)),
        Kind::List(items) => Kind::List(items.into_iter().map(node).collect()),
        Kind::Mapping(entries) => {
            let entry = |(key, value): (Key, Node)| (Key { name: key.name, span }, node(value));
            Kind::Mapping(entries.into_iter().map(entry).collect())
        }
        scalar => scalar,
    }
}

fn declared<'f>(documents: &mut [(&'f File, Node)], found: &mut Vec<Diagnostic>) -> BTreeMap<String, Variable<'f>> {
    let mut vars: BTreeMap<String, Variable<'f>> = BTreeMap::new();
    for (file, document) in documents {
        let file: &'f File = file;
        let Kind::Mapping(entries) = &mut document.kind else { continue };
        let Some((key, node)) = entries.iter_mut().find(|(key, _)| key.name == "vars") else { continue };
        let node = Node { span: node.span, kind: std::mem::replace(&mut node.kind, Kind::Nothing) };
        let mut reader = Reader { file, found };
        let Some(entries) = reader.mapping(key, node) else { continue };
        for (key, node) in entries {
            declare(&mut reader, file, key, node, &mut vars);
        }
    }
    vars
}

fn declare<'f>(
    reader: &mut Reader<'_>,
    file: &'f File,
    key: Key,
    node: Node,
    vars: &mut BTreeMap<String, Variable<'f>>,
) {
    if !is_variable_name(&key.name) {
        let diagnostic = reader
            .error(format!("`{}` is not a variable's name", key.name.escape_debug()), key.span, "")
            .help("one has ASCII letters, digits, `_` and `-`, and starts with a letter or `_`");
        return reader.report(diagnostic);
    }
    match vars.get(&key.name) {
        // Twice in one file is a key twice, which has been reported.
        Some(Variable { declared: first, .. }) if std::ptr::eq(first.value, file) => {}
        Some(Variable { declared: first, .. }) => {
            let diagnostic =
                reader.error(format!("the variable `{}` is declared twice", key.name), key.span, "once more");
            reader.report(diagnostic.at(&first.value.source, first.span, "first here"));
        }
        None => {
            let declared = Spanned { value: file, span: key.span };
            let is = Type::of(&node.kind);
            vars.insert(key.name, Variable { declared, is, node, from: None });
        }
    }
}
