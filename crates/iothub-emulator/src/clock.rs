//! The time, as an argument.

use std::sync::Arc;

/// Where the hub has its time from.
pub type Clock = Arc<dyn Fn() -> time::OffsetDateTime + Send + Sync>;
