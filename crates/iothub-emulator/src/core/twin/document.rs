//! The document of a twin, and what moves in it.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::Serialize;

use crate::core::command::{Refusal, TwinWrite};
use crate::core::document::Document;
use crate::core::identity::{Identity, is_count};
use crate::core::module_identity::ModuleIdentity;
use crate::core::outbox::DesiredPatch;
use crate::core::presence::{CONNECTED, DISCONNECTED, Presence};
use crate::core::timestamp::{NEVER, renew, timestamp};
use crate::core::twin::section::{LAST_UPDATED, SectionText, VERSION, put_system, take_metadata, version_of};
use crate::core::twin::writing::{Stamp, patch_of_merge, patch_of_replacement, refuse, written};
use iothub_model::twin::DeviceId;
use iothub_model::twin::ETag;
use iothub_model::twin::ModuleId;
use iothub_model::twin::Object;
use iothub_model::twin::OrderedObject;
use iothub_model::twin::Section;
use iothub_model::twin::limits::DESIRED_MAX_BYTES;
use iothub_model::twin::limits::check_values;
use iothub_model::twin::limits::section_size;
use iothub_model::twin::patch;
use iothub_model::wire::ErrorCode;
use iothub_model::wire::registry::AuthenticationType;
use iothub_model::wire::registry::Capabilities;
use iothub_model::wire::registry::DeviceStatus;
use iothub_model::wire::registry::Thumbprints;
use iothub_model::wire::twins::SectionBody;
use iothub_model::wire::twins::TwinBody;

/// The version of a twin that nobody has written: those of both sections together.
const FRESH_VERSION: u64 = 2;

/// A twin as `GET /twins/{id}` and `GET /twins/{id}/modules/{id}` answer it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct TwinDocument {
    device_id: DeviceId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    module_id: Option<ModuleId>,
    pub(crate) etag: ETag,
    device_etag: ETag,
    status: DeviceStatus,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status_reason: Option<String>,
    status_update_time: String,
    connection_state: String,
    last_activity_time: String,
    cloud_to_device_message_count: u64,
    authentication_type: AuthenticationType,
    x509_thumbprint: Thumbprints,
    model_id: String,
    version: u64,
    /// Left out while there are none: az's own tests against a live hub read it so, before the first write and after the last removal.
    #[serde(default, skip_serializing_if = "OrderedObject::is_empty")]
    tags: OrderedObject,
    properties: Properties,
    /// `None` for a module.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    capabilities: Option<Capabilities>,
    /// The status of each configuration that targets the twin.
    #[serde(default, skip_serializing_if = "OrderedObject::is_empty")]
    configurations: OrderedObject,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    device_scope: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parent_scopes: Option<Vec<String>>,
    /// The write to desired properties that made the twin so, for the connected client. It is no part of the document.
    #[serde(skip)]
    pub(crate) desired_patch: Option<Arc<DesiredPatch>>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Properties {
    desired: SectionText,
    reported: SectionText,
}

impl TwinDocument {
    /// Makes the twin of a new device: empty, both sections at version 1. Their metadata is of the time when the device was made.
    pub(crate) fn fresh(identity: &Identity, now: time::OffsetDateTime) -> Self {
        let mut twin = Self::empty(identity.device_id.clone(), identity.etag.clone(), &timestamp(now));
        twin.follow(identity);
        twin
    }

    /// Makes the twin of a new module: like a device's, but with metadata of no time.
    pub(crate) fn fresh_module(identity: &ModuleIdentity) -> Self {
        let mut twin = Self::empty(identity.device_id.clone(), identity.etag.clone(), NEVER);
        twin.module_id = Some(identity.module_id.clone());
        twin.follow_module(identity);
        twin
    }

    fn empty(device_id: DeviceId, device_etag: ETag, updated: &str) -> Self {
        let mut metadata = OrderedObject::new();
        metadata.insert(LAST_UPDATED, updated);
        let mut section = OrderedObject::new();
        put_system(&mut section, metadata, 1);
        Self {
            device_id,
            module_id: None,
            etag: etag_of(1),
            device_etag,
            status: DeviceStatus::default(),
            status_reason: None,
            status_update_time: NEVER.to_owned(),
            connection_state: DISCONNECTED.to_owned(),
            last_activity_time: NEVER.to_owned(),
            cloud_to_device_message_count: 0,
            authentication_type: AuthenticationType::default(),
            x509_thumbprint: Thumbprints::default(),
            model_id: String::new(),
            version: FRESH_VERSION,
            tags: OrderedObject::new(),
            properties: Properties { desired: SectionText::of(&section), reported: SectionText::of(&section) },
            capabilities: None,
            configurations: OrderedObject::new(),
            device_scope: None,
            parent_scopes: None,
            desired_patch: None,
        }
    }

    /// Reads a document that the hub keeps.
    pub(crate) fn read(kept: &Document) -> Self {
        serde_json::from_str(kept.as_str())
            .expect("what is kept was written by this program, or checked when it was read")
    }

    /// Returns `true` if it is as this program writes it, as far as its types do not say so.
    pub(crate) fn is_sound(&self) -> bool {
        let Properties { desired, reported } = &self.properties;
        counter_of(&self.etag).is_some_and(is_count)
            && is_count(self.version)
            && desired.is_sound()
            && reported.is_sound()
    }

    /// Brings a twin that an earlier version of this program wrote to its present form: system members last, times with a `Z`, no capabilities
    /// of modules. Returns `true` if that changed it.
    pub(crate) fn renew(&mut self) -> bool {
        let mut changed = renew(&mut self.status_update_time) | renew(&mut self.last_activity_time);
        for text in [&mut self.properties.desired, &mut self.properties.reported] {
            if !text.is_in_order() {
                let mut section = text.read();
                let (metadata, version) = (take_metadata(&mut section), version_of(&section));
                put_system(&mut section, metadata, version);
                *text = SectionText::of(&section);
                changed = true;
            }
        }
        if self.module_id.is_some() {
            changed |= self.capabilities.take().is_some();
        }
        changed
    }

    /// Returns the desired properties, with `$metadata` and `$version`.
    pub(crate) fn desired(&self) -> Object {
        Object::from(&self.properties.desired.read())
    }

    /// Takes over the model that a device announces. Etag and versions stay. Returns `true` if it is another one.
    pub(crate) fn set_model(&mut self, id: &str) -> bool {
        let changed = self.model_id != id;
        self.model_id = id.to_owned();
        changed
    }

    /// Takes over how many messages wait for the device. Etag and versions stay.
    pub(crate) fn count_messages(&mut self, count: u64) {
        self.cloud_to_device_message_count = count;
    }

    /// Takes over what the twin shows of its identity. The twin's own etag and versions stay.
    pub(crate) fn follow(&mut self, identity: &Identity) {
        self.device_etag = identity.etag.clone();
        self.status = identity.status;
        self.status_reason = identity.status_reason.clone();
        self.status_update_time = identity.status_updated_time.clone();
        self.authentication_type = identity.authentication.kind;
        self.x509_thumbprint = identity.authentication.x509_thumbprint.clone();
        self.capabilities = Some(identity.capabilities);
        self.device_scope = identity.device_scope.clone();
        self.parent_scopes = Some(identity.parent_scopes.clone()).filter(|scopes| !scopes.is_empty());
    }

    /// Takes over what a module's twin shows of its identity.
    pub(crate) fn follow_module(&mut self, identity: &ModuleIdentity) {
        self.device_etag = identity.etag.clone();
        self.authentication_type = identity.authentication.kind;
        self.x509_thumbprint = identity.authentication.x509_thumbprint.clone();
    }

    /// Says which configurations target the twin, which moves neither etag nor version. Says whether that is news.
    pub(crate) fn set_configurations(&mut self, statuses: OrderedObject) -> bool {
        let before = std::mem::replace(&mut self.configurations, statuses);
        before != self.configurations
    }

    /// Writes to tags and desired properties. Returns `true` if anything was written: a body that names no section writes nothing.
    pub(crate) fn write(
        &mut self,
        how: TwinWrite,
        mut body: TwinBody,
        now: time::OffsetDateTime,
    ) -> Result<bool, Refusal> {
        if how == TwinWrite::Replace {
            // What a replacement does not name is wiped, a whole section like a key.
            body.tags.get_or_insert(SectionBody::Null);
            body.desired.get_or_insert(SectionBody::Null);
        }
        if let Some(new) = &body.tags {
            written(Section::Tags, how, &mut self.tags, new)?;
        }
        if let Some(new) = &body.desired {
            self.write_desired(how, new, &timestamp(now))?;
        }
        let wrote = body.tags.is_some() || body.desired.is_some();
        if wrote {
            self.etag = etag_of(counter_of(&self.etag).unwrap_or(0) + 1);
            self.version += 1;
        }
        Ok(wrote)
    }

    /// Takes over what a connection changes. Neither etag nor version move.
    pub(crate) fn show(&mut self, presence: &Presence<'_>) {
        presence.show(&mut self.connection_state, None, &mut self.last_activity_time);
    }

    /// Merges what a device reports into its reported properties, for the reported version `base` when it names one. Returns
    /// the new version.
    ///
    /// The etag stays: it stands for tags and desired properties, which back ends write under it.
    pub(crate) fn report(
        &mut self,
        patch: &OrderedObject,
        base: Option<u64>,
        now: time::OffsetDateTime,
    ) -> Result<u64, Refusal> {
        let mut section = self.properties.reported.read();
        let version = version_of(&section);
        if let Some(base) = base.filter(|base| *base != version) {
            let text = format!("the patch is for the reported version {base}, and the current one is {version}");
            return Err(Refusal::new(ErrorCode::PreconditionFailed, text));
        }
        if let Some(violation) = check_values(patch).first() {
            return Err(refuse("properties.reported", violation));
        }
        let mut metadata = take_metadata(&mut section);
        section.remove(VERSION);
        let before = section_size(&section);
        patch::merge_ordered(&mut section, patch);
        let after = section_size(&section);
        if after > DESIRED_MAX_BYTES && after > before {
            return Err(Refusal::new(
                ErrorCode::DeviceModelMaxPropertiesExceeded,
                format!(
                    "properties.reported: {after} bytes as the hub counts, and it takes {DESIRED_MAX_BYTES} at most"
                ),
            ));
        }
        Stamp { now: &timestamp(now), version: None }.merge(&mut metadata, patch);
        put_system(&mut section, metadata, version + 1);
        self.properties.reported = SectionText::of(&section);
        self.version += 1;
        Ok(version + 1)
    }

    /// Returns what its device is shown of it: both sections of properties with their versions, without metadata.
    pub(crate) fn for_device(&self) -> String {
        let Properties { desired, reported } = &self.properties;
        format!(r#"{{"desired":{},"reported":{}}}"#, desired.for_device(), reported.for_device())
    }

    fn write_desired(&mut self, how: TwinWrite, new: &SectionBody, now: &str) -> Result<(), Refusal> {
        let mut section = self.properties.desired.read();
        let mut metadata = take_metadata(&mut section);
        let version = version_of(&section) + 1;
        section.remove(VERSION);
        // Only the client of a twin that shows itself connected can be subscribed. The others cost nothing here.
        let is_connected = self.connection_state == CONNECTED;
        let mut patch = None;
        let before = match (how, new) {
            (TwinWrite::Merge, SectionBody::Object(new)) => {
                patch = is_connected.then(|| patch_of_merge(&section, new));
                None
            }
            (TwinWrite::Replace, _) | (_, SectionBody::Null) => is_connected.then(|| section.clone()),
        };
        written(Section::Desired, how, &mut section, new)?;
        let patch = patch.or_else(|| before.map(|before| patch_of_replacement(&before, &section)));
        let stamp = Stamp { now, version: Some(version) };
        match (how, new) {
            (TwinWrite::Merge, SectionBody::Object(new)) => stamp.merge(&mut metadata, new),
            (TwinWrite::Replace, _) | (_, SectionBody::Null) => metadata = stamp.object_node(&section),
        }
        put_system(&mut section, metadata, version);
        let text = SectionText::of(&section);
        let max_bytes = self.properties.desired.len() + text.len();
        self.properties.desired = text;
        // A write that removes only what is not there is no news.
        self.desired_patch = patch.filter(|patch| !patch.is_empty()).map(|mut members| {
            members.insert(VERSION, version);
            Arc::new(DesiredPatch::new(version, members, max_bytes))
        });
        Ok(())
    }
}

/// Returns a twin's etag: its counter as eight bytes, the highest first, in base64.
fn etag_of(counter: u64) -> ETag {
    ETag::new(STANDARD.encode(counter.to_be_bytes()))
}

fn counter_of(etag: &ETag) -> Option<u64> {
    Some(u64::from_be_bytes(STANDARD.decode(etag.as_str()).ok()?.try_into().ok()?))
}
