//! Modules: identities below a device's, each with a twin of its own (docs: Understand and use module twins).
//!
//! Owns what a module is and where modules are found; `modules` decides when one may be written. A module goes with its device.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::sync::Arc;

use serde::Deserialize;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::core::command::Refusal;
use crate::core::document::Document;
use crate::core::identity::{counter_of, is_count};
use crate::core::module_identity::ModuleIdentity;
use crate::core::outbox::DesiredPatch;
use crate::core::presence::{DISCONNECTED, Presence};
use crate::core::timestamp::NEVER;
use crate::core::twin::TwinDocument;
use iothub_model::twin::DeviceId;
use iothub_model::twin::ETag;
use iothub_model::twin::ModuleId;
use iothub_model::twin::TwinId;
use iothub_model::wire::ErrorCode;

/// A module's identity and its twin, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Module {
    /// Its place in the order of creation, among devices and modules together, never given twice.
    pub(crate) sequence: u64,
    /// The revision of the change that made it so; 0 when it was read from disk.
    pub(crate) revision: u64,
    /// The device that it is a part of.
    pub(crate) device: DeviceId,
    /// Its id.
    pub(crate) id: ModuleId,
    /// The identity's etag.
    pub(crate) identity_etag: ETag,
    /// The twin's etag.
    pub(crate) twin_etag: ETag,
    /// The identity as `GET /devices/{id}/modules/{id}` answers it. Holds the module's keys.
    pub(crate) identity: Document,
    /// The twin as `GET /twins/{id}/modules/{id}` answers it.
    pub(crate) twin: Document,
    /// The write to desired properties that made the twin so, until its connected client is told.
    pub(crate) desired_patch: Option<Arc<DesiredPatch>>,
}

/// How a module stands on disk.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ModuleRecord<'a> {
    #[serde(borrow)]
    identity: &'a RawValue,
    #[serde(borrow)]
    twin: &'a RawValue,
}

impl Module {
    pub(crate) fn new(sequence: u64, revision: u64, identity: &ModuleIdentity, twin: &TwinDocument) -> Self {
        Self {
            sequence,
            revision,
            device: identity.device_id.clone(),
            id: identity.module_id.clone(),
            identity_etag: identity.etag.clone(),
            twin_etag: twin.etag.clone(),
            identity: Document::of(identity),
            twin: Document::of(twin),
            desired_patch: twin.desired_patch.clone(),
        }
    }

    /// Returns the module with another twin; its identity is as it was.
    pub(crate) fn with_twin(&self, revision: u64, twin: &TwinDocument) -> Self {
        let desired_patch = twin.desired_patch.clone();
        Self { revision, twin_etag: twin.etag.clone(), twin: Document::of(twin), desired_patch, ..self.clone() }
    }

    pub(crate) fn identity(&self) -> ModuleIdentity {
        serde_json::from_str(self.identity.as_str()).expect("written by Module::new, or checked by Module::from_record")
    }

    pub(crate) fn twin(&self) -> TwinDocument {
        serde_json::from_str(self.twin.as_str()).expect("written by Module::new, or checked by Module::from_record")
    }

    /// Returns the module as it shows itself connected or not. That is no change that a disk need know, so its revision stays.
    pub(crate) fn with_presence(&self, presence: &Presence<'_>) -> Self {
        let (mut identity, mut twin) = (self.identity(), self.twin());
        identity.show(presence);
        twin.show(presence);
        let (identity, twin) = (Document::of(&identity), Document::of(&twin));
        Self { identity, twin, desired_patch: None, ..self.clone() }
    }

    /// Writes it for the disk.
    pub(crate) fn to_record(&self) -> Vec<u8> {
        ["{\"identity\":", self.identity.as_str(), ",\"twin\":", self.twin.as_str(), "}"].concat().into_bytes()
    }

    /// Reads it from the disk, and looks that both documents are what this program writes.
    pub(crate) fn from_record(sequence: u64, record: &[u8]) -> Result<Self, serde_json::Error> {
        let record: ModuleRecord<'_> = serde_json::from_slice(record)?;
        let mut identity: ModuleIdentity = serde_json::from_str(record.identity.get())?;
        let mut twin: TwinDocument = serde_json::from_str(record.twin.get())?;
        if !counter_of(&identity.etag).is_some_and(is_count) || !twin.is_sound() {
            return Err(serde::de::Error::custom("an etag, a version or metadata that this program does not write"));
        }
        identity.renew();
        twin.renew();
        let module = Self { revision: 0, ..Self::new(sequence, 0, &identity, &twin) };
        // A client that was connected when the hub stopped is not connected any more.
        let away = Presence { state: Some((DISCONNECTED, NEVER)), activity: None };
        Ok(if identity.is_connected() { module.with_presence(&away) } else { module })
    }
}

/// All modules, found by place and by device.
#[derive(Debug, Default)]
pub(crate) struct Modules {
    by_sequence: BTreeMap<u64, Arc<Module>>,
    by_device: HashMap<DeviceId, BTreeMap<ModuleId, u64>>,
}

impl Modules {
    pub(crate) fn get(&self, device: &DeviceId, module: &ModuleId) -> Option<&Arc<Module>> {
        self.by_sequence.get(self.by_device.get(device)?.get(module)?)
    }

    pub(crate) fn at(&self, sequence: u64) -> Option<&Arc<Module>> {
        self.by_sequence.get(&sequence)
    }

    /// Returns them by their place in the order of creation.
    pub(crate) fn by_sequence(&self) -> &BTreeMap<u64, Arc<Module>> {
        &self.by_sequence
    }

    /// Returns the module of a twin's id; none for a device's.
    pub(crate) fn twin(&self, id: &TwinId) -> Option<&Arc<Module>> {
        self.get(&id.device, id.module.as_ref()?)
    }

    /// Returns a device's modules in order of creation.
    pub(crate) fn of(&self, device: &DeviceId) -> Vec<Arc<Module>> {
        let mut sequences: Vec<u64> =
            self.by_device.get(device).into_iter().flat_map(BTreeMap::values).copied().collect();
        sequences.sort_unstable();
        sequences.iter().filter_map(|sequence| self.by_sequence.get(sequence).cloned()).collect()
    }

    pub(crate) fn count(&self, device: &DeviceId) -> usize {
        self.by_device.get(device).map_or(0, BTreeMap::len)
    }

    /// Returns the next ones in order of creation.
    pub(crate) fn after(&self, after: u64) -> impl Iterator<Item = &Arc<Module>> {
        self.by_sequence.range((std::ops::Bound::Excluded(after), std::ops::Bound::Unbounded)).map(|(_, module)| module)
    }

    pub(crate) fn put(&mut self, module: Arc<Module>) {
        let of = self.by_device.entry(module.device.clone()).or_default();
        of.insert(module.id.clone(), module.sequence);
        self.by_sequence.insert(module.sequence, module);
    }

    pub(crate) fn remove(&mut self, sequence: u64) {
        let Some(module) = self.by_sequence.remove(&sequence) else { return };
        if let Some(of) = self.by_device.get_mut(&module.device) {
            of.remove(&module.id);
            if of.is_empty() {
                self.by_device.remove(&module.device);
            }
        }
    }
}

/// The refusal of a change to IoT Edge's own modules, for all credentials (iotedge#1162): a deployment's content writes them.
pub(crate) fn reserved(module: &ModuleId) -> Refusal {
    let text = format!("Unauthorized to modify reserved module. `{module}` is IoT Edge's own");
    Refusal::new(ErrorCode::SystemModuleModifyUnauthorizedAccess, text)
}
