//! What several files say of one thing.

use std::fmt;

use crate::manifest::text::node::Spanned;
use crate::manifest::text::source::File;
use iothub_model::diagnostic::{Diagnostic, Span};

/// Takes a value that stands once for the whole fleet; several files may repeat it, not contradict it.
pub(crate) fn agree<'f, T: PartialEq>(
    name: &str,
    file: &'f File,
    value: Option<Spanned<T>>,
    known: &mut Option<(Spanned<T>, &'f File)>,
    found: &mut Vec<Diagnostic>,
) {
    match (value, known) {
        (Some(second), Some((first, other))) if first.value != second.value => {
            let diagnostic = Diagnostic::error(format!("two files disagree on `{name}`"))
                .at(&file.source, second.span, "this here")
                .at(&other.source, first.span, "and that there");
            found.push(match name {
                "fleet" => diagnostic.help("name the files, or the folder, of one fleet: each fleet is read by itself"),
                _ => diagnostic.help("several files make one fleet: say it once"),
            });
        }
        (Some(value), known @ None) => *known = Some((value, file)),
        _ => {}
    }
}

pub(crate) fn twice(what: impl fmt::Display, file: &File, again: Span, other: &File, first: Span) -> Diagnostic {
    Diagnostic::error(format!("{what} declared twice")).at(&file.source, again, "once more").at(
        &other.source,
        first,
        "first here",
    )
}
