//! How to apply a plan.

use crate::client::Backoff;

/// How to go about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ApplyOptions {
    /// How many requests may be under way at once; at least one.
    pub concurrency: usize,
    /// When a write is sent again, for each twin by itself. If the hub takes nothing at all for as long as its budget, the run
    /// is halted.
    pub backoff: Backoff,
}

impl Default for ApplyOptions {
    /// 16 writes at once, as patient as reads are.
    fn default() -> Self {
        Self { concurrency: 16, backoff: Backoff::default() }
    }
}
