//! `vars`: the values that `${var.NAME}` stands for, of all files together, and what goes over them from outside.

use std::collections::BTreeMap;

use super::interpolate::{Interpolation, is_variable_name};
use super::reader::{Reader, Spanned};
use super::source::File;
use super::traps;
use super::yaml::{self, Key, Kind, Node, Text, Written};
use crate::diagnostic::{Diagnostic, nearest};

/// What goes over the manifests' variables: files in their order, then single values.
#[derive(Default)]
pub(super) struct Overrides<'a> {
    /// Files with one mapping of names to values, as `vars` is.
    pub(super) files: Vec<(&'a File, Node)>,
    /// Names and values, as `--var` has them.
    pub(super) given: &'a [(String, String)],
    /// Names that no manifest declares are passed over.
    pub(super) ignore_unknown: bool,
}

/// A variable while it is collected.
struct Variable<'f> {
    declared: Spanned<&'f File>,
    node: Node,
    /// Where the value is from, when that is another file.
    from: Option<&'f File>,
}

/// Takes the variables out of the files' documents. Their values may refer to the environment, not to one another. What goes over a
/// variable must have its name; a variable that is a text stays one.
pub(super) fn collect<'f>(
    documents: &mut [(&'f File, Node)],
    overrides: Overrides<'f>,
    environment: &dyn Fn(&str) -> Option<String>,
    found: &mut Vec<Diagnostic>,
) -> BTreeMap<String, Node> {
    let mut vars = declared(documents, found);
    let Overrides { files, given, ignore_unknown } = overrides;
    for (file, node) in files {
        let mut reader = Reader { file, found };
        if matches!(node.kind, Kind::Null) {
            continue;
        }
        let Kind::Mapping(entries) = node.kind else {
            let message = format!("variables must be a mapping, and this is {}", node.kind.name());
            let diagnostic = reader.error(message, node.span, "").help("write `NAME: VALUE`, as under `vars`");
            reader.report(diagnostic);
            continue;
        };
        for (key, node) in entries {
            let names: Vec<String> = vars.keys().cloned().collect();
            match vars.get_mut(&key.name) {
                Some(variable) => (variable.node, variable.from) = (node, Some(file)),
                None if ignore_unknown => {}
                None => {
                    let diagnostic = reader.error(unknown(&key.name), key.span, "not under `vars`");
                    reader.report(with_hint(diagnostic, &key.name, &names));
                }
            }
        }
    }
    let mut interpolation = Interpolation::new(environment, None, 0);
    let mut values = BTreeMap::new();
    for (name, Variable { declared, mut node, from }) in vars {
        match given.iter().rev().find(|(given, _)| *given == name) {
            Some((_, value)) => match single(&node.kind, value) {
                Some(kind) => node.kind = kind,
                None => {
                    // The value may be a secret, and is not shown.
                    let message =
                        format!("the value that `--var` gives `{name}` is a number that the hub does not take");
                    found.push(
                        Diagnostic::error(message)
                            .help("put it in quotes of its own where it is a text: --var 'NAME=\"VALUE\"'"),
                    );
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

fn unknown(name: &str) -> String {
    format!("there is no variable `{}`", name.escape_debug())
}

fn with_hint(diagnostic: Diagnostic, name: &str, names: &[String]) -> Diagnostic {
    match nearest(name, names.iter().map(String::as_str)) {
        Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
        None => diagnostic.help("a manifest must declare it under `vars`, with the value that it has otherwise"),
    }
}

/// Reads what `--var` gives: a text where the variable is one, and else what a plain YAML value would be.
fn single(declared: &Kind, value: &str) -> Option<Kind> {
    let text =
        |value: &str| Kind::Text(Text { value: value.to_owned(), written: Written::Interpolated { secret: true } });
    if matches!(declared, Kind::Text(text) if !text.value.contains("${")) {
        return Some(text(value));
    }
    for quote in ['"', '\''] {
        if let Some(inner) = value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote)) {
            return Some(text(inner));
        }
    }
    match yaml::resolve(value) {
        Ok(Kind::Text(_)) => Some(text(value)),
        Ok(Kind::Nothing) => Some(text("")),
        Ok(kind) => Some(kind),
        Err(_) => None,
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
            vars.insert(key.name, Variable { declared, node, from: None });
        }
    }
}
