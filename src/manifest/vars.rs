//! `vars`: the values that `${var.NAME}` stands for, of all files together.

use std::collections::BTreeMap;

use super::interpolate::{Interpolation, is_variable_name};
use super::reader::{Reader, Spanned};
use super::source::File;
use super::yaml::{Kind, Node};
use crate::diagnostic::Diagnostic;

/// Takes the variables out of the files' documents. Their values may refer to the environment, not to one another.
pub(super) fn collect(
    documents: &mut [(&File, Node)],
    environment: &dyn Fn(&str) -> Option<String>,
    found: &mut Vec<Diagnostic>,
) -> BTreeMap<String, Node> {
    let mut vars: BTreeMap<String, (Spanned<&File>, Node)> = BTreeMap::new();
    let mut interpolation = Interpolation::new(environment, None, 0);
    for (file, document) in documents {
        let file: &File = file;
        let Kind::Mapping(entries) = &mut document.kind else { continue };
        let Some((key, node)) = entries.iter_mut().find(|(key, _)| key.name == "vars") else { continue };
        let node = Node { span: node.span, kind: std::mem::replace(&mut node.kind, Kind::Nothing) };
        let mut reader = Reader { file, found };
        let Some(entries) = reader.mapping(key, node) else { continue };
        for (key, mut node) in entries {
            if !is_variable_name(&key.name) {
                let diagnostic = reader
                    .error(format!("`{}` is not a variable's name", key.name.escape_debug()), key.span, "")
                    .help("one has ASCII letters, digits, `_` and `-`, and starts with a letter or `_`");
                reader.report(diagnostic);
                continue;
            }
            interpolation.resolve(file, &mut node, reader.found);
            match vars.get(&key.name) {
                // Twice in one file is a key twice, which has been reported.
                Some((first, _)) if std::ptr::eq(first.value, file) => {}
                Some((first, _)) => {
                    let diagnostic =
                        reader.error(format!("the variable `{}` is declared twice", key.name), key.span, "once more");
                    reader.report(diagnostic.at(&first.value.source, first.span, "first here"));
                }
                None => {
                    vars.insert(key.name, (Spanned { value: file, span: key.span }, node));
                }
            }
        }
    }
    vars.into_iter().map(|(name, (_, node))| (name, node)).collect()
}
