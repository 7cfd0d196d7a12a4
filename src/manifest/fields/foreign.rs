//! YAML files of a directory that are not manifests, such as those of other tools: one error each, with the command that leaves them out.

use crate::manifest::fields::schema;
use crate::manifest::text::node::{Kind, Node};
use crate::manifest::text::source::File;
use iothub_model::diagnostic::{Diagnostic, Span, nearest};

/// Fields that only a manifest has; others, such as `defaults`, also occur elsewhere.
const DECISIVE: [&str; 6] = ["fleet", "devices", "inventory", "selectors", "groups", "checks"];

/// Fields that a message names, at most.
const NAMED_MAX: usize = 3;

/// Returns the error for a document that is not a manifest, if the file was found in a directory.
pub(crate) fn refuse(file: &File, document: &Node) -> Option<Diagnostic> {
    let leave_out = file.leave_out.as_ref()?;
    let entries = match &document.kind {
        Kind::Mapping(entries) if !entries.is_empty() => entries,
        Kind::List(_) | Kind::Text(_) => {
            let message = format!("`{}` is not a manifest: it is {}", file.name, document.kind.name());
            return Some(with_help(at_start(file, message), leave_out));
        }
        _ => return None,
    };
    let is_decisive = entries.iter().any(|(key, _)| DECISIVE.contains(&key.name.as_str()));
    let (known, unknown): (Vec<_>, Vec<_>) = entries
        .iter()
        .map(|(key, _)| key.name.as_str())
        .partition(|name| schema::field_names().any(|field| field == *name));
    if is_decisive || known.len() * 2 > unknown.len() {
        return None;
    }
    if !file.is_quotable() {
        return Some(with_help(at_start(file, format!("`{}` is not a manifest", file.name)), leave_out));
    }
    let mut named: Vec<_> = unknown.iter().take(NAMED_MAX).map(|name| format!("`{}`", name.escape_debug())).collect();
    if unknown.len() > NAMED_MAX {
        named.push(format!("{} more", unknown.len() - NAMED_MAX));
    }
    let fields = match named.split_last() {
        Some((last, [])) => format!("{last} is not a field of one"),
        Some((last, others)) => format!("{} and {last} are not fields of one", others.join(", ")),
        None => return None,
    };
    let mut diagnostic = at_start(file, format!("`{}` is not a manifest: {fields}", file.name));
    if let [typed] = unknown.as_slice()
        && let Some(near) = nearest(typed, schema::field_names())
    {
        diagnostic = diagnostic.help(format!("did you mean `{near}`?"));
    }
    Some(with_help(diagnostic, leave_out))
}

/// Adds the command to the last error of a file of a directory that could not be parsed.
pub(crate) fn explain_unparsed(file: &File, found: &mut [Diagnostic]) {
    if let (Some(leave_out), Some(last)) = (&file.leave_out, found.last_mut()) {
        last.help.push(help(leave_out));
    }
}

/// Replaces the errors of a file that cannot be parsed where messages may not hold its words.
pub(crate) fn hush(file: &File, found: &mut Vec<Diagnostic>, from: usize) {
    if file.is_quotable() {
        return;
    }
    let first = found.drain(from..).find(Diagnostic::is_error);
    found.extend(first.map(|first| {
        Diagnostic {
            message: format!("`{}` cannot be read as YAML", file.name),
            help: vec!["its text is not shown, since a link leads to it: look at the file itself".to_owned()],
            labels: first
                .labels
                .into_iter()
                .take(1)
                .map(|label| iothub_model::diagnostic::Label { text: String::new(), ..label })
                .collect(),
            ..first
        }
    }));
}

fn at_start(file: &File, message: String) -> Diagnostic {
    Diagnostic::error(message).at(&file.source, Span::new(0, 0), "")
}

fn with_help(diagnostic: Diagnostic, leave_out: &str) -> Diagnostic {
    diagnostic.help(help(leave_out))
}

fn help(leave_out: &str) -> String {
    format!("if this file is not a manifest, leave it out: {leave_out}")
}
