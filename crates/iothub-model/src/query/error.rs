//! What is wrong in a query, or only looks wrong.

use std::fmt;
use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Severity, Source, Span};

/// One thing wrong in a query. Also used for warnings, which are told apart by [`QueryErrorKind::severity`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryError {
    /// Where, in bytes of the query's own text.
    pub span: Span,
    /// What is wrong: a lower-case fragment without a full stop.
    pub message: String,
    /// What to say beside the caret; may be empty.
    pub label: String,
    /// What to do about it, a sentence each, without a full stop.
    pub help: Vec<String>,
    /// What sort of thing it is, for callers that act differently.
    pub kind: QueryErrorKind,
}

/// What sort of thing is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum QueryErrorKind {
    /// There is no query at all. The service has an error code of its own for it.
    Empty,
    /// More than [`MAX_CHARACTERS`](super::MAX_CHARACTERS) characters.
    TooLong,
    /// Parentheses nested deeper than anybody writes.
    TooDeep,
    /// The text is not a query.
    Syntax,
    /// A keyword where a name is, without `[[…]]`.
    Keyword,
    /// `FROM` something other than the three collections.
    UnknownSource,
    /// A name that a job's documents do not have.
    UnknownName,
    /// A function that neither twin queries nor message routing have.
    UnknownFunction,
    /// A function that is documented for message routing only.
    RouteOnlyFunction,
    /// A function with the wrong number or sort of arguments.
    Arguments,
    /// Well-formed, and refused in this place or for this collection.
    NotAllowedHere,
    /// A warning: a negation that leaves out documents without the path.
    MissingNotFound,
    /// A warning: a `-` that is a part of a name and looks like a minus.
    MinusInName,
    /// A warning: an aggregate without `AS`, whose key is not documented.
    UnnamedAggregate,
    /// A warning: two columns with one key, of which the later is lost.
    DuplicateKey,
    /// A warning: a path that no document of this collection is known to have.
    UnknownProperty,
    /// A warning: a comparison that can never be true.
    NeverTrue,
}

impl QueryErrorKind {
    /// Says whether the query runs all the same.
    pub fn severity(self) -> Severity {
        match self {
            Self::Empty
            | Self::TooLong
            | Self::TooDeep
            | Self::Syntax
            | Self::Keyword
            | Self::UnknownSource
            | Self::UnknownName
            | Self::UnknownFunction
            | Self::RouteOnlyFunction
            | Self::Arguments
            | Self::NotAllowedHere => Severity::Error,
            Self::MissingNotFound
            | Self::MinusInName
            | Self::UnnamedAggregate
            | Self::DuplicateKey
            | Self::UnknownProperty
            | Self::NeverTrue => Severity::Warning,
        }
    }
}

impl QueryError {
    pub(super) fn new(kind: QueryErrorKind, span: Span, message: impl Into<String>) -> Self {
        Self { span, message: message.into(), label: String::new(), help: Vec::new(), kind }
    }

    #[must_use]
    pub(super) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    #[must_use]
    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    #[must_use]
    pub(super) fn help_if(self, help: Option<impl Into<String>>) -> Self {
        match help {
            Some(help) => self.help(help),
            None => self,
        }
    }

    /// Makes a diagnostic for a query that stands at byte `offset` of `source`.
    pub fn to_diagnostic(&self, source: &Arc<Source>, offset: usize) -> Diagnostic {
        let span = Span::new(self.span.start + offset, self.span.end + offset);
        let diagnostic = match self.kind.severity() {
            Severity::Error => Diagnostic::error(&self.message),
            Severity::Warning => Diagnostic::warning(&self.message),
        };
        self.help.iter().fold(diagnostic.at(source, span, &self.label), |diagnostic, help| diagnostic.help(help))
    }
}

/// The message alone; [`QueryError::to_diagnostic`] has the place.
impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for QueryError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diagnostic_points_into_the_file_that_holds_the_query() {
        let source = Source::new("fleet.yaml", "query: SELECT * FROM device\n");
        let errors = super::super::compile("SELECT * FROM device").expect_err("there is no such source");
        let diagnostic = errors[0].to_diagnostic(&source, 7);
        assert_eq!(diagnostic.to_string(), format!("fleet.yaml:1:22: {}", errors[0]));
        assert!(diagnostic.is_error());
    }

    #[test]
    fn a_warning_stays_a_warning() {
        let source = Source::new("<query>", "SELECT COUNT() FROM devices");
        let query = super::super::compile(source.text()).expect("a query with a warning");
        assert!(!query.warnings()[0].to_diagnostic(&source, 0).is_error());
    }
}
