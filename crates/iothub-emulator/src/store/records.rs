//! How things are written down: the tables, the bytes of each record, and the checksum over them.

use std::sync::Arc;

use redb::TableDefinition;
use sha2::Digest;
use sha2::Sha256;

use crate::core::configurations::Configuration;
use crate::core::device::Device;
use crate::core::identity::is_count;
use crate::core::jobs::{DeviceJob, Job};
use crate::core::messages::{CloudMessage, Feedback};
use crate::core::module::Module;
use crate::core::record::Record;
use crate::core::transfer::Transfer;

/// The bytes of a checksum, which precede those of the record.
const CHECKSUM_BYTES: usize = size_of::<u64>();

/// The tables of things, each by its place in the order of creation, which all of them share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Table {
    Devices,
    Modules,
    Configurations,
    Jobs,
    DeviceJobs,
    Transfers,
    Messages,
    Feedback,
}

impl Table {
    pub(crate) const ALL: [Self; 8] = [
        Self::Devices,
        Self::Modules,
        Self::Configurations,
        Self::Jobs,
        Self::DeviceJobs,
        Self::Transfers,
        Self::Messages,
        Self::Feedback,
    ];

    /// Returns the table of the database, whose keys are places in the order of creation.
    pub(crate) fn definition(self) -> TableDefinition<'static, u64, &'static [u8]> {
        TableDefinition::new(match self {
            Self::Devices => "devices",
            Self::Modules => "modules",
            Self::Configurations => "configurations",
            Self::Jobs => "jobs",
            Self::DeviceJobs => "device jobs",
            Self::Transfers => "import and export jobs",
            Self::Messages => "messages",
            Self::Feedback => "feedback",
        })
    }

    /// Returns what one thing in it is called.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Devices => "device",
            Self::Modules => "module",
            Self::Configurations => "configuration",
            Self::Jobs => "job",
            Self::DeviceJobs => "device job",
            Self::Transfers => "import or export job",
            Self::Messages => "message",
            Self::Feedback => "feedback",
        }
    }

    pub(crate) fn of(record: &Record) -> (Self, u64) {
        match record {
            Record::Device(sequence, _) => (Self::Devices, *sequence),
            Record::Module(sequence, _) => (Self::Modules, *sequence),
            Record::Configuration(sequence, _) => (Self::Configurations, *sequence),
            Record::Job(sequence, _) => (Self::Jobs, *sequence),
            Record::DeviceJob(sequence, _) => (Self::DeviceJobs, *sequence),
            Record::Transfer(sequence, _) => (Self::Transfers, *sequence),
            Record::Message(sequence, _) => (Self::Messages, *sequence),
            Record::Feedback(sequence, _) => (Self::Feedback, *sequence),
        }
    }

    pub(crate) fn decode(self, key: u64, bytes: &[u8]) -> Result<Record, serde_json::Error> {
        if !is_count(key) {
            return Err(serde::de::Error::custom("a place in the order of creation that this program does not give"));
        }
        Ok(match self {
            Self::Devices => Record::Device(key, Some(Arc::new(Device::from_record(key, bytes)?))),
            Self::Modules => Record::Module(key, Some(Arc::new(Module::from_record(key, bytes)?))),
            Self::Transfers => Record::Transfer(key, Some(Arc::new(Transfer::from_record(key, bytes)?))),
            Self::Messages => Record::Message(key, Some(Arc::new(CloudMessage::from_record(key, bytes)?))),
            Self::Feedback => Record::Feedback(key, Some(Arc::new(Feedback::from_record(key, bytes)?))),
            Self::Jobs => Record::Job(key, Some(Arc::new(Job::from_record(key, bytes)?))),
            Self::DeviceJobs => Record::DeviceJob(key, Some(Arc::new(DeviceJob::from_record(key, bytes)?))),
            Self::Configurations => Record::Configuration(key, Some(Arc::new(Configuration::from_record(key, bytes)?))),
        })
    }
}

/// Writes a thing for the disk; nothing when it is gone.
pub(crate) fn encode(record: &Record) -> Option<Vec<u8>> {
    match record {
        Record::Device(_, device) => device.as_ref().map(|device| device.to_record()),
        Record::Module(_, module) => module.as_ref().map(|module| module.to_record()),
        Record::Transfer(_, it) => it.as_ref().map(|it| it.to_json().into_bytes()),
        Record::Message(_, it) => it.as_ref().map(|it| it.to_record()),
        Record::Feedback(_, it) => it.as_ref().map(|it| it.to_record()),
        Record::Job(_, job) => job.as_ref().map(|job| job.to_record()),
        Record::DeviceJob(_, it) => it.as_ref().map(|it| it.document.as_str().as_bytes().to_vec()),
        Record::Configuration(_, it) => it.as_ref().map(|it| it.to_json().into_bytes()),
    }
}

/// Returns a record's bytes as they are kept: a checksum over the table, the key and the record, then the record.
pub(crate) fn seal(table: Table, key: u64, record: &[u8]) -> Vec<u8> {
    let mut sealed = Vec::with_capacity(CHECKSUM_BYTES + record.len());
    sealed.extend_from_slice(&checksum_of(table, key, record).to_le_bytes());
    sealed.extend_from_slice(record);
    sealed
}

/// Returns the checksum and the record of bytes that [`seal`] made, or `None` if they are other bytes than it made.
pub(crate) fn unseal(table: Table, key: u64, sealed: &[u8]) -> Option<(u64, &[u8])> {
    let (_, record) = sealed.split_at_checked(CHECKSUM_BYTES)?;
    let checksum = sealed_checksum(sealed);
    (checksum == checksum_of(table, key, record)).then_some((checksum, record))
}

/// Returns the checksum that stands before a record.
pub(crate) fn sealed_checksum(sealed: &[u8]) -> u64 {
    sealed.first_chunk().map_or(0, |checksum| u64::from_le_bytes(*checksum))
}

fn checksum_of(table: Table, key: u64, record: &[u8]) -> u64 {
    let head = [table.name().as_bytes(), &[0], &key.to_le_bytes()].concat();
    checksum(&[&head, record])
}

/// Returns the first 64 bits of the SHA-256 of some bytes.
pub(crate) fn checksum(pieces: &[&[u8]]) -> u64 {
    let mut hash = Sha256::new();
    for piece in pieces {
        hash.update(piece);
    }
    let hash: [u8; 32] = hash.finalize().into();
    sealed_checksum(&hash)
}
