//! Import and export of the registry by blobs: which transfer there can be, and how far it is (docs: Import and export IoT Hub
//! device identities in bulk).
//!
//! Read [`Transfer`] first. `transfers` is what can be asked about them; the work itself is done in the background, with requests like
//! any client's.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::core::command::{Refusal, invalid};
use iothub_model::wire::ErrorCode;
use iothub_model::wire::transfers::StorageAuthentication;
use iothub_model::wire::transfers::TransferProperties;
use iothub_model::wire::transfers::TransferStatus;
use iothub_model::wire::transfers::TransferType;

/// An import or export job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Transfer {
    /// Its place in the order of creation, among all that the hub keeps.
    pub(crate) sequence: u64,
    /// The revision of the change that made it so; 0 when it was read from disk.
    pub(crate) revision: u64,
    /// The job as `GET /jobs/{id}` answers it.
    pub(crate) properties: TransferProperties,
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

    pub(crate) fn is_over(&self) -> bool {
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

    /// Returns all, in order of creation.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Transfer>> {
        self.by_sequence.values()
    }

    pub(crate) fn get(&self, id: &str) -> Result<&Arc<Transfer>, Refusal> {
        let found = self.by_sequence.values().find(|transfer| transfer.properties.job_id == id);
        let missing = || Refusal::new(ErrorCode::JobNotFound, format!("there is no job `{}`", id.escape_debug()));
        found.ok_or_else(missing)
    }

    pub(crate) fn in_status(&self, status: TransferStatus) -> Option<Transfer> {
        self.by_sequence.values().find(|transfer| transfer.properties.status == status).map(|it| Transfer::clone(it))
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
