//! What everybody who waits for the disk is told when it fails.

use std::sync::Arc;

/// The reason why the store failed. All requests that wait share it.
pub(crate) type Failure = Arc<str>;
