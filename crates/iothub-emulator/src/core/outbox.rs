//! How a notice reaches a connected client, whichever protocol the client speaks.

use std::sync::Arc;

use bytes::Bytes;

use iothub_model::twin::OrderedObject;

/// A write to desired properties, as the client of the twin is told.
#[derive(Debug, PartialEq)]
pub(crate) struct DesiredPatch {
    version: u64,
    /// What was written, and `$version` as the last key.
    members: OrderedObject,
    max_bytes: usize,
}

/// Every JSON value is equal to itself.
impl Eq for DesiredPatch {}

impl DesiredPatch {
    /// Creates a patch of members, whose `$version` is the last one. Its text has about `max_bytes` bytes or fewer.
    pub(crate) fn new(version: u64, members: OrderedObject, max_bytes: usize) -> Self {
        Self { version, members, max_bytes }
    }

    /// Returns the version of the desired properties after the write.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// Returns the number of bytes that an outbox counts for the patch before it is text.
    pub(crate) fn max_bytes(&self) -> usize {
        self.max_bytes
    }

    /// Returns the patch as JSON. Only the connection that sends it calls this, once.
    pub(crate) fn to_text(&self) -> String {
        self.members.to_string()
    }
}

/// Why a connection that broke no rule is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CutReason {
    /// Another connection of the same identity took its place.
    TakenOver,
    /// The device was disabled.
    Disabled,
    /// The identity, or that of its device, was deleted.
    Deleted,
}

/// The way to one connected client. A front end implements it. Nothing here waits for the client: the connection writes what
/// was offered when it can.
pub(crate) trait Outbox: Send + Sync {
    /// Offers a change of the desired properties. The client may see it when the revision `seen` is on disk.
    fn desired_patch(&self, patch: Arc<DesiredPatch>, seen: u64);

    /// Offers the call of a direct method. The client's response names `rid`.
    fn method_call(&self, name: String, rid: String, payload: Bytes);

    /// Lets the connection look for messages from the cloud.
    fn messages_wait(&self);

    /// Ends the connection, soon. The first reason counts.
    fn cut(&self, reason: CutReason);
}
