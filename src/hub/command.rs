//! What any protocol can ask of the hub, and what the hub answers.

use std::sync::Arc;

use super::device::{Device, Document};
use super::session::{Session, SessionCommand};
use crate::twin::{DeviceId, IfMatch, TwinId};
use crate::wire::ErrorCode;
use crate::wire::registry::DeviceBody;
use crate::wire::twins::TwinBody;

/// One thing asked of the hub. What is random about it comes with it, so that the answer follows from state and command.
#[derive(Clone, Debug)]
pub enum Command {
    /// A twin as it is.
    GetTwin {
        /// Whose.
        id: TwinId,
    },
    /// A write to tags and desired properties.
    WriteTwin {
        /// Whose.
        id: TwinId,
        /// What to do with what is there.
        how: TwinWrite,
        /// What to write.
        body: TwinBody,
        /// Under which condition.
        if_match: IfMatch,
    },
    /// An identity as it is, keys and all.
    GetDevice {
        /// Whose.
        id: DeviceId,
    },
    /// Creates an identity with its twin (no condition), or replaces one (with a condition).
    PutDevice {
        /// Whose.
        id: DeviceId,
        /// What to write.
        body: Box<DeviceBody>,
        /// Under which condition.
        if_match: IfMatch,
        /// What the hub makes keys and numbers of.
        entropy: Entropy,
    },
    /// Removes an identity and its twin.
    DeleteDevice {
        /// Whose.
        id: DeviceId,
        /// Under which condition; one must be given.
        if_match: IfMatch,
    },
    /// The first identities in order of creation.
    ListDevices {
        /// So many at most.
        top: usize,
    },
    /// How many devices there are.
    CountDevices,
    /// The next devices in order of creation: what a query is asked of, a slice at a time.
    ScanDevices {
        /// The [`Device::sequence`] of the last one seen; 0 for none.
        after: u64,
        /// So many at most.
        limit: usize,
    },
    /// The devices of these ids that exist, in order of creation: for a query that names all the devices it can match.
    FindDevices {
        /// Ids, or texts that are none.
        ids: Vec<String>,
    },
    /// What a device's connection asks.
    Session(SessionCommand),
}

impl Command {
    /// Says whether it may change something.
    pub fn writes(&self) -> bool {
        match self {
            Self::WriteTwin { .. } | Self::PutDevice { .. } | Self::DeleteDevice { .. } => true,
            Self::Session(command) => command.writes(),
            Self::GetTwin { .. }
            | Self::GetDevice { .. }
            | Self::ListDevices { .. }
            | Self::CountDevices
            | Self::ScanDevices { .. }
            | Self::FindDevices { .. } => false,
        }
    }
}

/// What a write does with what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TwinWrite {
    /// PATCH: merged into it.
    Merge,
    /// PUT: put in its place.
    Replace,
}

/// Random bytes for what the hub makes up: two keys, a generation and the first etag of an identity.
#[derive(Clone)]
pub struct Entropy(pub [u8; 80]);

impl std::fmt::Debug for Entropy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Entropy(…)")
    }
}

/// What the hub answers when it does not refuse.
#[derive(Clone, Debug)]
pub enum Reply {
    /// The device, with its twin, as it is now.
    Device(Arc<Device>),
    /// The devices, in order of creation.
    Devices(Vec<Arc<Device>>),
    /// It is gone.
    Deleted,
    /// How many there are.
    Counts {
        /// All.
        total: usize,
        /// Those that may connect.
        enabled: usize,
    },
    /// The client is connected.
    Session(Session),
    /// The device reported; this is its new reported version.
    Reported(u64),
    /// So it is now.
    Done,
}

/// What the hub says no with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {text}")]
pub struct Refusal {
    /// The service's code.
    pub code: ErrorCode,
    /// What is wrong, in a sentence.
    pub text: String,
}

impl Refusal {
    /// Says no with a code and a reason.
    pub fn new(code: ErrorCode, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }
}

/// What became of a command.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The answer.
    pub reply: Result<Reply, Refusal>,
    /// What changed, for the store.
    pub change: Option<Change>,
    /// The [`Change::revision`] of the latest change that the answer shows. Until that one is on disk nobody may see the
    /// answer, or a crash could take back an etag that somebody holds.
    pub seen: u64,
    /// What connected devices are to hear of.
    pub notices: Vec<Notice>,
}

/// What a connected client is to hear of, or to feel.
#[derive(Clone, Debug)]
pub enum Notice {
    /// Its twin was written.
    TwinWritten {
        /// Whose.
        id: TwinId,
        /// The twin as it was.
        before: Document,
        /// As it is now.
        after: Document,
    },
    /// It may no longer be connected.
    Cut {
        /// Who.
        id: TwinId,
    },
}

/// One change, in the order of its revision.
#[derive(Clone, Debug)]
pub struct Change {
    /// Counts the changes since the hub was started, from 1.
    pub revision: u64,
    /// Which device, by its [`Device::sequence`].
    pub sequence: u64,
    /// The device as it is now; nothing when it is gone.
    pub device: Option<Arc<Device>>,
}
