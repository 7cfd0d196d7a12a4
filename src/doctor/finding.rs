//! What was found out about one piece.

use serde::Serialize;

/// What one piece is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Health {
    /// As it should be.
    Ok,
    /// It works, but not all of it, or not for long.
    Warn,
    /// It does not work.
    Fail,
    /// Not looked at.
    Skip,
}

/// One piece that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// Which, in a word or two.
    pub what: &'static str,
    /// What it is like.
    pub health: Health,
    /// What was found: a fragment. Holds no secret.
    pub says: String,
    /// What to do next, where there is something to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl Finding {
    /// Makes one of which nothing follows.
    pub(crate) fn new(what: &'static str, health: Health, says: impl Into<String>) -> Self {
        Self { what, health, says: says.into(), next: None }
    }

    /// Adds what to do next.
    #[must_use]
    pub(crate) fn next(mut self, next: Option<impl Into<String>>) -> Self {
        self.next = next.map(Into::into);
        self
    }
}
