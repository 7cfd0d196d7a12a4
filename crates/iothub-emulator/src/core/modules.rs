//! Modules: identities below a device's, each with a twin of its own (docs: Understand and use module twins).
//!
//! Owns what a module is and where modules are found; [`crate::core::state`] decides when one may be written. A module goes with its
//! device.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::sync::Arc;

use serde::Deserialize;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::core::command::{Entropy, Refusal};
use crate::core::device::{CONNECTED, DISCONNECTED, Document, Presence};
use crate::core::identity::{
    Authentication, Identity, authentication, counter_of, etag_of, first_numbers, invalid, is_count,
};
use crate::core::outbox::DesiredPatch;
use crate::core::timestamp::{NEVER, renew};
use crate::core::twin::TwinDocument;
use iothub_model::twin::DeviceId;
use iothub_model::twin::ETag;
use iothub_model::twin::IfMatch;
use iothub_model::twin::ModuleId;
use iothub_model::twin::TwinId;
use iothub_model::wire::keys::PolicyKey;
use iothub_model::wire::modules::ModuleBody;
use iothub_model::wire::registry::AuthenticationType;
use iothub_model::wire::registry::SymmetricKeys;
use iothub_model::wire::registry::Thumbprints;

/// One thing asked about module identities. Module twins are asked for like device twins.
#[derive(Clone, Debug)]
pub enum ModuleCommand {
    /// An identity as it is, keys and all.
    Get {
        /// Of which device.
        device: DeviceId,
        /// Which.
        module: ModuleId,
    },
    /// All identities of a device, in order of creation.
    List {
        /// Of which device.
        device: DeviceId,
    },
    /// Creates an identity with its twin (no condition), or replaces one (with a condition).
    Put {
        /// Of which device.
        device: DeviceId,
        /// Which.
        module: ModuleId,
        /// What to write.
        body: Box<ModuleBody>,
        /// Under which condition.
        if_match: IfMatch,
        /// What the hub makes keys and numbers of.
        entropy: Entropy,
    },
    /// Removes an identity and its twin.
    Delete {
        /// Of which device.
        device: DeviceId,
        /// Which.
        module: ModuleId,
        /// Under which condition; one must be given.
        if_match: IfMatch,
    },
    /// The next modules in order of creation, whichever their devices: what a query is asked of, a slice at a time.
    Scan {
        /// The [`Module::sequence`] of the last one seen; 0 for none.
        after: u64,
        /// So many at most.
        limit: usize,
    },
    /// The modules of these devices, in order of creation: for a query that names all the devices it can match.
    Find {
        /// Ids of devices, or texts that are none.
        devices: Vec<String>,
    },
}

impl ModuleCommand {
    /// Says whether it may change something.
    pub fn writes(&self) -> bool {
        match self {
            Self::Put { .. } | Self::Delete { .. } => true,
            Self::Get { .. } | Self::List { .. } | Self::Scan { .. } | Self::Find { .. } => false,
        }
    }

    /// Returns the device that it is about, and the module.
    pub(crate) fn subject(&self) -> Option<(&DeviceId, Option<&ModuleId>)> {
        match self {
            Self::Get { device, module } | Self::Put { device, module, .. } | Self::Delete { device, module, .. } => {
                Some((device, Some(module)))
            }
            Self::List { device } => Some((device, None)),
            Self::Scan { .. } | Self::Find { .. } => None,
        }
    }
}

/// A module's identity and its twin, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// Its place in the order of creation, among devices and modules together, never given twice.
    pub sequence: u64,
    /// The revision of the change that made it so; 0 when it was read from disk.
    pub revision: u64,
    /// The device that it is a part of.
    pub device: DeviceId,
    /// Its id.
    pub id: ModuleId,
    /// The identity's etag.
    pub identity_etag: ETag,
    /// The twin's etag.
    pub twin_etag: ETag,
    /// The identity as `GET /devices/{id}/modules/{id}` answers it. Holds the module's keys.
    pub identity: Document,
    /// The twin as `GET /twins/{id}/modules/{id}` answers it.
    pub twin: Document,
    /// The write to desired properties that made the twin so, until its connected client is told.
    pub(crate) desired_patch: Option<Arc<DesiredPatch>>,
}

/// How a module stands on disk.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record<'a> {
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
        format!("{{\"identity\":{},\"twin\":{}}}", self.identity.as_str(), self.twin.as_str()).into_bytes()
    }

    /// Reads it from the disk, and looks that both documents are what this program writes.
    pub(crate) fn from_record(sequence: u64, record: &[u8]) -> Result<Self, serde_json::Error> {
        let record: Record<'_> = serde_json::from_slice(record)?;
        let mut identity: ModuleIdentity = serde_json::from_str(record.identity.get())?;
        let mut twin: TwinDocument = serde_json::from_str(record.twin.get())?;
        if !counter_of(&identity.etag).is_some_and(is_count) || !twin.is_sound() {
            return Err(serde::de::Error::custom("an etag, a version or metadata that this program does not write"));
        }
        identity.renew();
        twin.renew();
        let module = Self { revision: 0, ..Self::new(sequence, 0, &identity, &twin) };
        // Whoever was connected when the hub went down is not any more.
        let away = Presence { state: Some((DISCONNECTED, NEVER)), activity: None };
        Ok(if identity.connection_state == CONNECTED { module.with_presence(&away) } else { module })
    }
}

/// A module's identity as `GET` answers it. It has no status of its own: its device's counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ModuleIdentity {
    pub(crate) module_id: ModuleId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) managed_by: Option<String>,
    pub(crate) device_id: DeviceId,
    generation_id: String,
    pub(crate) etag: ETag,
    connection_state: String,
    connection_state_updated_time: String,
    last_activity_time: String,
    cloud_to_device_message_count: u64,
    pub(crate) authentication: Authentication,
}

impl ModuleIdentity {
    /// Makes a new identity of what a PUT says.
    pub(crate) fn create(
        device: DeviceId,
        module: ModuleId,
        body: ModuleBody,
        entropy: &Entropy,
    ) -> Result<Self, Refusal> {
        let (generation_id, etag) = first_numbers(entropy);
        let mut identity = Self {
            module_id: module,
            managed_by: None,
            device_id: device,
            generation_id,
            etag,
            connection_state: DISCONNECTED.to_owned(),
            connection_state_updated_time: NEVER.to_owned(),
            last_activity_time: NEVER.to_owned(),
            cloud_to_device_message_count: 0,
            authentication: authentication(None, entropy)?,
        };
        identity.take(body, entropy)?;
        Ok(identity)
    }

    /// Makes one of the modules that the hub makes itself: IoT Edge's own, which come with their device, and those that content
    /// for an edge device names. They have no keys. Their numbers follow from the device's, so that the command needs no more
    /// randomness.
    pub(crate) fn system(device: &Identity, module: ModuleId) -> Self {
        let etag = etag_of(counter_of(&device.etag).unwrap_or(0) + 1);
        let authentication = Authentication {
            symmetric_key: SymmetricKeys::default(),
            x509_thumbprint: Thumbprints::default(),
            kind: AuthenticationType::None,
        };
        Self {
            module_id: module,
            managed_by: Some("iotEdge".to_owned()),
            device_id: device.device_id.clone(),
            generation_id: device.generation().to_owned(),
            etag,
            connection_state: DISCONNECTED.to_owned(),
            connection_state_updated_time: NEVER.to_owned(),
            last_activity_time: NEVER.to_owned(),
            cloud_to_device_message_count: 0,
            authentication,
        }
    }

    /// Brings the times that an earlier version of this program wrote to their present form.
    fn renew(&mut self) {
        renew(&mut self.connection_state_updated_time);
        renew(&mut self.last_activity_time);
    }

    /// Replaces all that a PUT may write, and moves the etag.
    pub(crate) fn replace(&mut self, body: ModuleBody, entropy: &Entropy) -> Result<(), Refusal> {
        self.take(body, entropy)?;
        self.etag = etag_of(counter_of(&self.etag).unwrap_or(0) + 1);
        Ok(())
    }

    /// Makes new keys, and moves the etag.
    ///
    /// # Errors
    ///
    /// When the module has no keys.
    pub(crate) fn regenerate(&mut self, which: PolicyKey, entropy: &Entropy) -> Result<(), Refusal> {
        self.authentication.regenerate(which, entropy)?;
        self.etag = etag_of(counter_of(&self.etag).unwrap_or(0) + 1);
        Ok(())
    }

    /// Takes over what a connection changes. The etag stays: clients hold it to write, and a connection writes nothing.
    fn show(&mut self, presence: &Presence<'_>) {
        let Presence { state, activity } = presence;
        if let Some((state, at)) = state {
            self.connection_state = (*state).to_owned();
            self.connection_state_updated_time = (*at).to_owned();
        }
        if let Some(activity) = activity {
            self.last_activity_time = (*activity).to_owned();
        }
    }

    fn take(&mut self, body: ModuleBody, entropy: &Entropy) -> Result<(), Refusal> {
        let ModuleBody { device_id, module_id, managed_by, authentication: proof } = body;
        for (named, own, what) in
            [(device_id, self.device_id.as_str(), "device"), (module_id, self.module_id.as_str(), "module")]
        {
            if let Some(named) = named.filter(|named| named != own) {
                let text =
                    format!("the body names the {what} `{}` and the path the {what} `{own}`", named.escape_debug());
                return Err(invalid(text));
            }
        }
        self.authentication = authentication(proof, entropy)?;
        self.managed_by = managed_by;
        Ok(())
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
