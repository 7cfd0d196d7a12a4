//! What any protocol can ask of the hub, and what the hub answers.

use std::sync::Arc;

use crate::core::configurations::{Configuration, ConfigurationCommand};
use crate::core::device::Device;
use crate::core::digital_twin::Change as DigitalTwinChange;
use crate::core::jobs::{DeviceJob, Job, JobCommand, JobStep};
use crate::core::messages::{CloudMessage, Feedback, MessageCommand};
use crate::core::modules::{Module, ModuleCommand};
use crate::core::outbox::DesiredPatch;
use crate::core::session::{Session, SessionCommand};
use crate::core::transfers::{Transfer, TransferCommand};
use iothub_model::twin::DeviceId;
use iothub_model::twin::IfMatch;
use iothub_model::twin::TwinId;
use iothub_model::wire::ErrorCode;
use iothub_model::wire::bulk::BulkEntry;
use iothub_model::wire::bulk::BulkResult;
use iothub_model::wire::keys::KeyOwner;
use iothub_model::wire::keys::PolicyKey;
use iothub_model::wire::keys::RegenerateKeysResult;
use iothub_model::wire::registry::DeviceBody;
use iothub_model::wire::twins::TwinBody;

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
    /// Many identities and twins, each by itself.
    Bulk {
        /// What is to be done, each with what the hub makes keys and numbers of.
        entries: Vec<(BulkEntry, Entropy)>,
    },
    /// New keys for many devices and modules, each by itself.
    RegenerateKeys {
        /// Which of the two keys.
        which: PolicyKey,
        /// The devices and modules, each with what the hub makes keys of.
        owners: Vec<(KeyOwner, Entropy)>,
    },
    /// A write to a device twin by way of the digital twin.
    PatchDigitalTwin {
        /// The device.
        id: DeviceId,
        /// The changes, in order.
        changes: Vec<DigitalTwinChange>,
        /// Under which condition.
        if_match: IfMatch,
    },
    /// Something about module identities.
    Module(ModuleCommand),
    /// Something about automatic device configurations.
    Configuration(ConfigurationCommand),
    /// Something about scheduled jobs.
    Job(JobCommand),
    /// Something about import and export jobs.
    Transfer(TransferCommand),
    /// Something about messages from the cloud.
    Message(MessageCommand),
    /// What a device's connection asks.
    Session(SessionCommand),
}

impl Command {
    /// Says whether it may change something.
    pub fn writes(&self) -> bool {
        match self {
            Self::WriteTwin { .. } | Self::PutDevice { .. } | Self::DeleteDevice { .. } => true,
            Self::Bulk { .. } | Self::RegenerateKeys { .. } | Self::PatchDigitalTwin { .. } => true,
            Self::Module(command) => command.writes(),
            Self::Configuration(command) => command.writes(),
            Self::Job(command) => command.writes(),
            Self::Transfer(command) => command.writes(),
            Self::Message(command) => command.writes(),
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
    /// The module, with its twin, as it is now.
    Module(Arc<Module>),
    /// The modules, in order of creation.
    Modules(Vec<Arc<Module>>),
    /// What became of many.
    Bulk(BulkResult),
    /// The new keys.
    Keys(RegenerateKeysResult),
    /// The configuration as it is now.
    Configuration(Arc<Configuration>),
    /// The configurations, in order of creation.
    Configurations(Vec<Arc<Configuration>>),
    /// The evaluation of configurations is one step further.
    Evaluated {
        /// All twins have been seen.
        done: bool,
    },
    /// The job as it is now, if there is one.
    Job(Option<Arc<Job>>),
    /// The jobs, in order of creation.
    Jobs(Vec<Arc<Job>>),
    /// The outcomes of jobs on devices, in order of creation.
    DeviceJobs(Vec<Arc<DeviceJob>>),
    /// The import or export job as it is now, if there is one.
    Transfer(Option<Arc<Transfer>>),
    /// The import and export jobs, in order of creation.
    Transfers(Vec<Arc<Transfer>>),
    /// The jobs are a step further.
    Ran(JobStep),
    /// Messages for a device, oldest first.
    Messages(Vec<Arc<CloudMessage>>),
    /// What became of messages, oldest first.
    Feedback(Vec<Arc<Feedback>>),
    /// So many messages are gone.
    Purged(usize),
    /// What time brought about is done.
    Swept {
        /// Is there anything left that time may change.
        waiting: bool,
    },
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
pub(crate) struct Outcome {
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
pub(crate) enum Notice {
    /// Its desired properties were written.
    DesiredPatch {
        /// The twin that was written.
        id: TwinId,
        /// The write, with its version.
        patch: Arc<DesiredPatch>,
    },
    /// Messages from the cloud wait for it.
    MessagesWait {
        /// Whom for.
        id: TwinId,
    },
    /// It may no longer be connected.
    Cut {
        /// Who.
        id: TwinId,
    },
}

/// What one command changed, in the order of its revision. On disk all of it or nothing.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    /// Counts the changes since the hub was started, from 1.
    pub revision: u64,
    /// What is now as it was not before.
    pub records: Vec<Record>,
}

/// One thing that changed, as it is now; nothing when it is gone.
#[derive(Clone, Debug)]
pub(crate) enum Record {
    /// A device, by its [`Device::sequence`].
    Device(u64, Option<Arc<Device>>),
    /// A module, by its [`Module::sequence`].
    Module(u64, Option<Arc<Module>>),
    /// A configuration, by its [`Configuration::sequence`].
    Configuration(u64, Option<Arc<Configuration>>),
    /// An import or export job, by its [`Transfer::sequence`].
    Transfer(u64, Option<Arc<Transfer>>),
    /// A job, by its [`Job::sequence`].
    Job(u64, Option<Arc<Job>>),
    /// A job's outcome on a device, by its [`DeviceJob::sequence`].
    DeviceJob(u64, Option<Arc<DeviceJob>>),
    /// A message from the cloud, by its [`CloudMessage::sequence`].
    Message(u64, Option<Arc<CloudMessage>>),
    /// What became of one, by its [`Feedback::sequence`].
    Feedback(u64, Option<Arc<Feedback>>),
}

impl Record {
    /// Returns the twin of a device or module that is there.
    pub(crate) fn twin(&self) -> Option<&str> {
        match self {
            Self::Device(_, device) => device.as_ref().map(|device| device.twin.as_str()),
            Self::Module(_, module) => module.as_ref().map(|module| module.twin.as_str()),
            Self::Configuration(..) | Self::Job(..) | Self::DeviceJob(..) | Self::Transfer(..) => None,
            Self::Message(..) | Self::Feedback(..) => None,
        }
    }
}
