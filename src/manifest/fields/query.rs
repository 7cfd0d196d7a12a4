//! Queries in a manifest, and their mistakes where they stand.

use crate::manifest::fields::reader::Reader;
use crate::manifest::text::node::{Spanned, Text, TextOrigin};
use crate::manifest::text::odd;
use iothub_model::diagnostic::{self, Diagnostic, Source, Span};
use iothub_model::query::{BoundQuery, QueryError};

/// Compiles a query, and reports what is wrong or odd in it. `owner` says whose it is, as in "check NAME".
pub(crate) fn compile(
    reader: &mut Reader<'_>,
    owner: &str,
    field: &str,
    mut text: Spanned<Text>,
    compile: impl Fn(&str) -> Result<BoundQuery, Vec<QueryError>>,
) -> Option<BoundQuery> {
    // A block of text ends in a line break that is no part of the query.
    text.value.value.truncate(text.value.value.trim_end().len());
    if let (Some((offset, message)), TextOrigin::Verbatim(start)) =
        (odd::in_query(&text.value.value), text.value.written)
    {
        let diagnostic = reader.at(Diagnostic::warning(message), Span::new(start + offset, start + offset), "here");
        reader.report(diagnostic.help("write a plain space: IoT Hub may not take this one for a space"));
    }
    match compile(&text.value.value) {
        Ok(query) => {
            for warning in query.warnings() {
                let diagnostic = place(reader, owner, field, &text, warning);
                reader.report(diagnostic);
            }
            Some(query)
        }
        Err(errors) => {
            for error in &errors {
                let diagnostic = place(reader, owner, field, &text, error);
                reader.report(diagnostic);
            }
            None
        }
    }
}

/// Points at a query's mistake: in the file, where the query stands there as it is, and else in a text of its own.
fn place(reader: &Reader<'_>, owner: &str, field: &str, text: &Spanned<Text>, error: &QueryError) -> Diagnostic {
    match text.value.written {
        TextOrigin::Verbatim(offset) => error.to_diagnostic(reader.source(), offset),
        TextOrigin::Interpolated { secret: true } => {
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
        TextOrigin::Folded | TextOrigin::Interpolated { secret: false } => {
            let source = Source::new(format!("<{field} of {owner}>"), text.value.value.as_str());
            reader.at(error.to_diagnostic(&source, 0), text.span, "written here")
        }
    }
}
