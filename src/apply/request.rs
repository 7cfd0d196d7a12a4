//! The request that a twin needs next, from the task that asks for it to the client that sends it.

use std::sync::Arc;

use iothub_model::twin::{ETag, MergePatch};

/// A request that a twin needs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum TwinRequest {
    /// Create the device's or the module's identity.
    Register,
    /// Read the twin at once.
    Read,
    /// Read the twin when its patch may go, so that the patch follows under an etag that is fresh.
    Refresh,
    /// Write the twin.
    Patch(GuardedPatch),
}

impl TwinRequest {
    /// Returns `true` if the request changes something on the hub.
    pub(crate) fn is_write(&self) -> bool {
        match self {
            Self::Register | Self::Patch(_) => true,
            Self::Read | Self::Refresh => false,
        }
    }
}

/// A patch with the etag that it may be applied to: there is no patch without one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct GuardedPatch {
    pub(crate) etag: ETag,
    pub(crate) patch: Arc<MergePatch>,
}
