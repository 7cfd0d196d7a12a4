//! Import and export of the registry by blobs: which transfer there can be, and how far it is (docs: Import and export IoT Hub
//! device identities in bulk).
//!
//! Read [`Transfer`] first. `probe` looks whether the containers open; `drive` does the work, with commands like any client's,
//! and `configurations` the part of it that is about those; `blob` is what they know of storage.

use std::collections::BTreeMap;
use std::sync::Arc;

use time::OffsetDateTime;

use crate::core::command::{Record, Refusal, Reply};
use crate::core::identity::invalid;
use crate::core::timestamp::timestamp;
use iothub_model::wire::ErrorCode;
use iothub_model::wire::transfers::StorageAuthentication;
use iothub_model::wire::transfers::TransferProperties;
use iothub_model::wire::transfers::TransferStatus;
use iothub_model::wire::transfers::TransferType;

/// One thing asked about import and export jobs.
#[derive(Clone, Debug)]
pub enum TransferCommand {
    /// Asks for one.
    Create {
        /// Its id, random.
        id: String,
        /// What is asked.
        properties: Box<TransferProperties>,
    },
    /// One as it is.
    Get {
        /// Which.
        id: String,
    },
    /// All, in order of creation.
    List,
    /// Stops one.
    Cancel {
        /// Which.
        id: String,
    },
    /// Begins the one that waits; answers with none when none does.
    Begin,
    /// Says how far the one at work is. Nothing changes when it was cancelled.
    Advance {
        /// Which.
        id: String,
        /// In percent.
        progress: u64,
    },
    /// Ends the one at work, whichever it is.
    End {
        /// Why it could not go on, if it could not.
        failure: Option<String>,
    },
}

impl TransferCommand {
    /// Says whether it may change something.
    pub fn writes(&self) -> bool {
        match self {
            Self::Create { .. } | Self::Cancel { .. } | Self::Begin | Self::Advance { .. } | Self::End { .. } => true,
            Self::Get { .. } | Self::List => false,
        }
    }
}

/// An import or export job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// Its place in the order of creation, among all that the hub keeps.
    pub sequence: u64,
    /// The revision of the change that made it so; 0 when it was read from disk.
    pub revision: u64,
    /// The job as `GET /jobs/{id}` answers it.
    pub properties: TransferProperties,
}

impl Transfer {
    /// Writes it for the disk.
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(&self.properties).expect("own types with text as keys are always JSON")
    }

    /// Writes it for clients, without the containers' URIs: a live hub does not give their signatures back
    /// (mwalser/terraform-provider-iothub).
    pub(crate) fn answer(&self) -> String {
        let mut properties = self.properties.clone();
        properties.input_blob_container_uri = None;
        properties.output_blob_container_uri = None;
        serde_json::to_string(&properties).expect("own types with text as keys are always JSON")
    }

    /// Reads it from the disk.
    pub(crate) fn from_record(sequence: u64, record: &[u8]) -> Result<Self, serde_json::Error> {
        Ok(Self { sequence, revision: 0, properties: serde_json::from_slice(record)? })
    }

    fn is_over(&self) -> bool {
        match self.properties.status {
            TransferStatus::Enqueued | TransferStatus::Running => false,
            TransferStatus::Completed | TransferStatus::Failed | TransferStatus::Cancelled => true,
        }
    }
}

/// All import and export jobs.
#[derive(Debug, Default)]
pub(crate) struct Transfers {
    by_sequence: BTreeMap<u64, Arc<Transfer>>,
    /// The latest revision that changed one of them.
    pub(crate) latest: u64,
}

impl Transfers {
    pub(crate) fn put(&mut self, transfer: Arc<Transfer>) {
        self.latest = self.latest.max(transfer.revision);
        self.by_sequence.insert(transfer.sequence, transfer);
    }

    pub(crate) fn remove(&mut self, sequence: u64, revision: u64) {
        self.latest = self.latest.max(revision);
        self.by_sequence.remove(&sequence);
    }

    fn get(&self, id: &str) -> Result<&Arc<Transfer>, Refusal> {
        let found = self.by_sequence.values().find(|transfer| transfer.properties.job_id == id);
        let missing = || Refusal::new(ErrorCode::JobNotFound, format!("there is no job `{}`", id.escape_debug()));
        found.ok_or_else(missing)
    }

    fn in_status(&self, status: TransferStatus) -> Option<Transfer> {
        self.by_sequence.values().find(|transfer| transfer.properties.status == status).map(|it| Transfer::clone(it))
    }

    /// Decides what a command comes to. `sequence` and `revision` are those of what would be new.
    pub(crate) fn decide(
        &self,
        command: TransferCommand,
        sequence: u64,
        revision: u64,
        now: OffsetDateTime,
    ) -> Result<(Reply, Option<Record>), Refusal> {
        let now = timestamp(now);
        let mut changed = match command {
            TransferCommand::Get { id } => return Ok((Reply::Transfer(Some(self.get(&id)?.clone())), None)),
            TransferCommand::List => {
                return Ok((Reply::Transfers(self.by_sequence.values().cloned().collect()), None));
            }
            TransferCommand::Create { id, properties } => {
                check(&properties)?;
                if let Some(other) = self.by_sequence.values().find(|transfer| !transfer.is_over()) {
                    let text = format!("the job {} is not over, and one runs at a time", other.properties.job_id);
                    return Err(Refusal::new(ErrorCode::JobQuotaExceeded, text));
                }
                let properties = TransferProperties {
                    job_id: id,
                    status: TransferStatus::Enqueued,
                    progress: 0,
                    start_time_utc: None,
                    end_time_utc: None,
                    failure_reason: None,
                    ..*properties
                };
                Transfer { sequence, revision, properties }
            }
            TransferCommand::Cancel { id } => {
                let mut transfer = Transfer::clone(self.get(&id)?);
                if transfer.is_over() {
                    let text = "the job is over, and only one that is not can be cancelled";
                    return Err(Refusal::new(ErrorCode::OperationNotAllowedInCurrentState, text));
                }
                transfer.properties.status = TransferStatus::Cancelled;
                transfer.properties.end_time_utc = Some(now);
                transfer
            }
            TransferCommand::Begin => {
                let Some(mut transfer) = self.in_status(TransferStatus::Enqueued) else {
                    return Ok((Reply::Transfer(None), None));
                };
                transfer.properties.status = TransferStatus::Running;
                transfer.properties.start_time_utc = Some(now);
                transfer
            }
            TransferCommand::Advance { id, progress } => {
                let mut transfer = Transfer::clone(self.get(&id)?);
                if transfer.is_over() || transfer.properties.progress == progress {
                    return Ok((Reply::Transfer(Some(Arc::new(transfer))), None));
                }
                transfer.properties.progress = progress;
                transfer
            }
            TransferCommand::End { failure } => {
                let Some(mut transfer) = self.in_status(TransferStatus::Running) else {
                    return Ok((Reply::Transfer(None), None));
                };
                transfer.properties.end_time_utc = Some(now);
                match failure {
                    None => {
                        transfer.properties.status = TransferStatus::Completed;
                        transfer.properties.progress = 100;
                    }
                    failure => {
                        transfer.properties.status = TransferStatus::Failed;
                        transfer.properties.failure_reason = failure;
                    }
                }
                transfer
            }
        };
        changed.revision = revision;
        let changed = Arc::new(changed);
        Ok((Reply::Transfer(Some(changed.clone())), Some(Record::Transfer(changed.sequence, Some(changed)))))
    }
}

/// Looks at what a transfer needs.
pub(crate) fn check(properties: &TransferProperties) -> Result<(), Refusal> {
    if properties.storage_authentication_type == Some(StorageAuthentication::IdentityBased) {
        return Err(invalid("the embedded hub has no identity of its own; give container URIs with a signature"));
    }
    let needed: &[(&str, &Option<String>)] = match properties.kind {
        TransferType::Import => &[
            ("inputBlobContainerUri", &properties.input_blob_container_uri),
            ("outputBlobContainerUri", &properties.output_blob_container_uri),
        ],
        TransferType::Export => &[("outputBlobContainerUri", &properties.output_blob_container_uri)],
    };
    for (name, uri) in needed {
        let uri = uri.as_deref().unwrap_or_default();
        if !uri.parse::<http::Uri>().is_ok_and(|uri| matches!(uri.scheme_str(), Some("http" | "https"))) {
            // Not shown: it may hold a signature.
            let text = format!("{name} is not a container's URI");
            return Err(Refusal::new(ErrorCode::BlobContainerValidationError, text));
        }
    }
    Ok(())
}
