//! A device as the hub keeps it: two JSON documents that are the answers themselves.
//!
//! What is kept is what is sent, so a read costs nothing but its bytes, and a hundred thousand twins cost little more than
//! their text. A write takes a document apart and puts it together again.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::identity::Identity;
use super::twin::TwinDocument;
use crate::twin::{DeviceId, ETag};
use crate::wire::registry::DeviceStatus;

/// An identity and its twin, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its place in the order of creation, never given twice.
    pub sequence: u64,
    /// The revision of the change that made it so; 0 when it was read from disk.
    pub revision: u64,
    /// Its id.
    pub id: DeviceId,
    /// May it connect.
    pub status: DeviceStatus,
    /// The identity's etag.
    pub identity_etag: ETag,
    /// The twin's etag.
    pub twin_etag: ETag,
    /// The identity as `GET /devices/{id}` answers it. Holds the device's keys.
    pub identity: Document,
    /// The twin as `GET /twins/{id}` answers it.
    pub twin: Document,
}

/// JSON text that is shared rather than copied. Its `Debug` shows its length: it may hold keys.
#[derive(Clone, PartialEq, Eq)]
pub struct Document(Arc<str>);

impl Document {
    pub(super) fn of(value: &impl Serialize) -> Self {
        let text = serde_json::to_string(value).expect("own types with text as keys are always JSON");
        Self(text.into())
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AsRef<[u8]> for Document {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl std::fmt::Debug for Document {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Document({} bytes)", self.0.len())
    }
}

/// How a device stands on disk.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record<'a> {
    #[serde(borrow)]
    identity: &'a RawValue,
    #[serde(borrow)]
    twin: &'a RawValue,
}

impl Device {
    pub(super) fn new(sequence: u64, revision: u64, identity: &Identity, twin: &TwinDocument) -> Self {
        Self {
            sequence,
            revision,
            id: identity.device_id.clone(),
            status: identity.status,
            identity_etag: identity.etag.clone(),
            twin_etag: twin.etag.clone(),
            identity: Document::of(identity),
            twin: Document::of(twin),
        }
    }

    /// Returns the device with another twin; its identity is as it was.
    pub(super) fn with_twin(&self, revision: u64, twin: &TwinDocument) -> Self {
        Self { revision, twin_etag: twin.etag.clone(), twin: Document::of(twin), ..self.clone() }
    }

    pub(super) fn identity(&self) -> Identity {
        serde_json::from_str(self.identity.as_str()).expect("written by Device::new, or checked by Device::from_record")
    }

    pub(super) fn twin(&self) -> TwinDocument {
        serde_json::from_str(self.twin.as_str()).expect("written by Device::new, or checked by Device::from_record")
    }

    /// Writes it for the disk.
    pub(super) fn to_record(&self) -> Vec<u8> {
        format!("{{\"identity\":{},\"twin\":{}}}", self.identity.as_str(), self.twin.as_str()).into_bytes()
    }

    /// Reads it from the disk, and looks that both documents are what this program writes.
    pub(super) fn from_record(sequence: u64, record: &[u8]) -> Result<Self, serde_json::Error> {
        let record: Record<'_> = serde_json::from_slice(record)?;
        let identity: Identity = serde_json::from_str(record.identity.get())?;
        let twin: TwinDocument = serde_json::from_str(record.twin.get())?;
        if !identity.is_sound() || !twin.is_sound() {
            return Err(serde::de::Error::custom("an etag that this program does not write"));
        }
        Ok(Self {
            sequence,
            revision: 0,
            id: identity.device_id,
            status: identity.status,
            identity_etag: identity.etag,
            twin_etag: twin.etag,
            identity: Document(record.identity.get().into()),
            twin: Document(record.twin.get().into()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_that_are_none() {
        for bad in
            ["", "{}", "[]", "{\"identity\":{},\"twin\":{}}", "{\"identity\":{\"deviceId\":\"a b\"},\"twin\":{}}"]
        {
            assert!(Device::from_record(1, bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
