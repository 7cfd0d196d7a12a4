//! What changes, as the store keeps it.

use std::sync::Arc;

use crate::core::configurations::Configuration;
use crate::core::device::Device;
use crate::core::jobs::{DeviceJob, Job};
use crate::core::messages::{CloudMessage, Feedback};
use crate::core::module::Module;
use crate::core::transfer::Transfer;

/// What one request changed, in the order of its revision. On disk all of it or nothing.
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
    /// Feedback about one, by its [`Feedback::sequence`].
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
