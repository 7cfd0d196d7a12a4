//! A twin's document and its one write: what merges, what moves, what is refused.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::command::{Refusal, TwinWrite};
use super::device::{DISCONNECTED, Document, Presence};
use super::identity::{Identity, is_count};
use super::modules::ModuleIdentity;
use super::timestamp::{NEVER, timestamp};
use crate::twin::limits::{DESIRED_MAX_BYTES, Violation, check_size, check_values, section_size};
use crate::twin::{DeviceId, ETag, ModuleId, Object, Section, patch};
use crate::wire::ErrorCode;
use crate::wire::registry::{AuthenticationType, Capabilities, DeviceStatus, Thumbprints};
use crate::wire::twins::TwinBody;

const METADATA: &str = "$metadata";
const VERSION: &str = "$version";
const LAST_UPDATED: &str = "$lastUpdated";
const LAST_UPDATED_VERSION: &str = "$lastUpdatedVersion";

/// A twin as `GET /twins/{id}` and `GET /twins/{id}/modules/{id}` answer it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct TwinDocument {
    device_id: DeviceId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    module_id: Option<ModuleId>,
    pub(super) etag: ETag,
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
    tags: Object,
    properties: Properties,
    capabilities: Capabilities,
    /// The status of each configuration that targets the twin.
    #[serde(default, skip_serializing_if = "Object::is_empty")]
    configurations: Object,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    device_scope: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parent_scopes: Option<Vec<String>>,
}

/// Both sections with `$metadata` and `$version` among their keys.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Properties {
    desired: Object,
    reported: Object,
}

impl TwinDocument {
    /// Makes the twin of a new device: empty, all versions 1.
    pub(super) fn fresh(identity: &Identity, now: time::OffsetDateTime) -> Self {
        let mut twin = Self::empty(identity.device_id.clone(), identity.etag.clone(), now);
        twin.follow(identity);
        twin
    }

    /// Makes the twin of a new module: empty, all versions 1.
    pub(super) fn fresh_module(identity: &ModuleIdentity, now: time::OffsetDateTime) -> Self {
        let mut twin = Self::empty(identity.device_id.clone(), identity.etag.clone(), now);
        twin.module_id = Some(identity.module_id.clone());
        twin.follow_module(identity);
        twin
    }

    fn empty(device_id: DeviceId, device_etag: ETag, now: time::OffsetDateTime) -> Self {
        let now = timestamp(now);
        let section = |metadata: Value| -> Object {
            [(METADATA.to_owned(), metadata), (VERSION.to_owned(), 1.into())].into_iter().collect()
        };
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
            version: 1,
            tags: Object::new(),
            properties: Properties {
                desired: section(json!({ LAST_UPDATED: now, LAST_UPDATED_VERSION: 1 })),
                reported: section(json!({ LAST_UPDATED: now })),
            },
            capabilities: Capabilities::default(),
            configurations: Object::new(),
            device_scope: None,
            parent_scopes: None,
        }
    }

    /// Reads a document that the hub keeps.
    pub(super) fn read(kept: &Document) -> Self {
        serde_json::from_str(kept.as_str())
            .expect("what is kept was written by this program, or checked when it was read")
    }

    /// Says whether it is as this program writes it, as far as its types do not say so.
    pub(super) fn is_sound(&self) -> bool {
        let counts = |section: &Object| section.get(VERSION).and_then(Value::as_u64).is_some_and(is_count);
        let Properties { desired, reported } = &self.properties;
        counter_of(&self.etag).is_some_and(is_count)
            && is_count(self.version)
            && [desired, reported]
                .into_iter()
                .all(|section| counts(section) && section.get(METADATA).is_some_and(is_node))
    }

    /// Returns the desired properties, with `$metadata` and `$version`.
    pub(super) fn desired(&self) -> &Object {
        &self.properties.desired
    }

    /// Takes over the model that a device announces. Etag and versions stay. Returns `true` if it is another one.
    pub(super) fn set_model(&mut self, id: &str) -> bool {
        let changed = self.model_id != id;
        self.model_id = id.to_owned();
        changed
    }

    /// Takes over how many messages wait for the device. Etag and versions stay.
    pub(super) fn count_messages(&mut self, count: u64) {
        self.cloud_to_device_message_count = count;
    }

    /// Takes over what the twin shows of its identity. The twin's own etag and versions stay.
    pub(super) fn follow(&mut self, identity: &Identity) {
        self.device_etag = identity.etag.clone();
        self.status = identity.status;
        self.status_reason = identity.status_reason.clone();
        self.status_update_time = identity.status_updated_time.clone();
        self.authentication_type = identity.authentication.kind;
        self.x509_thumbprint = identity.authentication.x509_thumbprint.clone();
        self.capabilities = identity.capabilities;
        self.device_scope = identity.device_scope.clone();
        self.parent_scopes = Some(identity.parent_scopes.clone()).filter(|scopes| !scopes.is_empty());
    }

    /// Takes over what a module's twin shows of its identity.
    pub(super) fn follow_module(&mut self, identity: &ModuleIdentity) {
        self.device_etag = identity.etag.clone();
        self.authentication_type = identity.authentication.kind;
        self.x509_thumbprint = identity.authentication.x509_thumbprint.clone();
    }

    /// Says which configurations target the twin, which moves neither etag nor version. Says whether that is news.
    pub(super) fn set_configurations(&mut self, statuses: Object) -> bool {
        let before = std::mem::replace(&mut self.configurations, statuses);
        before != self.configurations
    }

    /// Writes to tags and desired properties. Says whether anything was written: a body that names no section writes nothing.
    pub(super) fn write(
        &mut self,
        how: TwinWrite,
        mut body: TwinBody,
        now: time::OffsetDateTime,
    ) -> Result<bool, Refusal> {
        if how == TwinWrite::Replace {
            // What a replacement does not name is wiped, a whole section like a key.
            body.tags.get_or_insert_default();
            body.desired.get_or_insert_default();
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
    pub(super) fn show(&mut self, presence: &Presence<'_>) {
        let Presence { state, activity } = presence;
        if let Some((state, _)) = state {
            self.connection_state = (*state).to_owned();
        }
        if let Some(activity) = activity {
            self.last_activity_time = (*activity).to_owned();
        }
    }

    /// Merges what a device reports into its reported properties, for the reported version `base` when it names one. Returns
    /// the new version.
    ///
    /// The etag stays: it stands for tags and desired properties, which back ends write under it.
    pub(super) fn report(
        &mut self,
        patch: &Object,
        base: Option<u64>,
        now: time::OffsetDateTime,
    ) -> Result<u64, Refusal> {
        let section = &mut self.properties.reported;
        let version = version_of(section);
        if let Some(base) = base.filter(|base| *base != version) {
            let text = format!("the patch is for the reported version {base}, and the current one is {version}");
            return Err(Refusal::new(ErrorCode::PreconditionFailed, text));
        }
        if let Some(violation) = check_values(patch).first() {
            return Err(refuse("properties.reported", violation));
        }
        let mut metadata = take_metadata(section);
        section.remove(VERSION);
        let before = section_size(section);
        patch::merge(section, patch);
        let after = section_size(section);
        if after > DESIRED_MAX_BYTES && after > before {
            return Err(Refusal::new(
                ErrorCode::ArgumentInvalid,
                format!(
                    "properties.reported: {after} bytes as the hub counts, and it takes {DESIRED_MAX_BYTES} at most"
                ),
            ));
        }
        Stamp { now: &timestamp(now), version: None }.merge(&mut metadata, patch);
        section.insert(METADATA.to_owned(), metadata.into());
        section.insert(VERSION.to_owned(), (version + 1).into());
        self.version += 1;
        Ok(version + 1)
    }

    /// Writes what its device is shown of it: both sections of properties with their versions, without metadata.
    pub(super) fn for_device(self) -> Value {
        let Properties { mut desired, mut reported } = self.properties;
        desired.remove(METADATA);
        reported.remove(METADATA);
        json!({ "desired": desired, "reported": reported })
    }

    /// Returns what its device is told when its desired properties change from `before` to these, and their version;
    /// nothing when they were not written, or only keys were removed that were not there.
    ///
    /// The hub goes by the keys that were sent: a key that was sent with an equal value is told, and one that is gone is null
    /// (docs: Understand and use device twins). Which keys those are stands in the metadata.
    pub(super) fn desired_patch_since(self, before: Self) -> Option<(u64, Object)> {
        let (mut desired, mut before) = (self.properties.desired, before.properties.desired);
        let version = version_of(&desired);
        if version == version_of(&before) {
            return None;
        }
        let metadata = take_metadata(&mut desired);
        take_metadata(&mut before);
        let mut patch = sent(&before, desired, &metadata, version);
        if patch.is_empty() {
            return None;
        }
        patch.insert(VERSION.to_owned(), version.into());
        Some((version, patch))
    }

    fn write_desired(&mut self, how: TwinWrite, new: &Object, now: &str) -> Result<(), Refusal> {
        let section = &mut self.properties.desired;
        let mut metadata = take_metadata(section);
        let version = version_of(section) + 1;
        section.remove(VERSION);
        written(Section::Desired, how, section, new)?;
        let stamp = Stamp { now, version: Some(version) };
        match how {
            TwinWrite::Merge => stamp.merge(&mut metadata, new),
            TwinWrite::Replace => metadata = stamp.node(&Value::Object(section.clone())),
        }
        section.insert(METADATA.to_owned(), metadata.into());
        section.insert(VERSION.to_owned(), version.into());
        Ok(())
    }
}

fn version_of(section: &Object) -> u64 {
    section.get(VERSION).and_then(Value::as_u64).unwrap_or(0)
}

fn take_metadata(section: &mut Object) -> Object {
    match section.remove(METADATA) {
        Some(Value::Object(metadata)) => metadata,
        _ => Object::new(),
    }
}

/// Returns the patch that a write sent, as far as it shows: what it stamped, and null for what it removed.
fn sent(before: &Object, after: Object, metadata: &Object, version: u64) -> Object {
    let gone = before.keys().filter(|key| *key != VERSION && !after.contains_key(*key));
    let mut patch: Object = gone.map(|key| (key.clone(), Value::Null)).collect();
    for (key, value) in after {
        let Some(Value::Object(metadata)) = metadata.get(&key) else { continue };
        if metadata.get(LAST_UPDATED_VERSION).and_then(Value::as_u64) != Some(version) {
            continue;
        }
        let value = match (value, before.get(&key)) {
            (Value::Object(after), Some(Value::Object(before))) => match sent(before, after, metadata, version) {
                nothing if nothing.is_empty() => continue,
                inner => inner.into(),
            },
            (value, _) => value,
        };
        patch.insert(key, value);
    }
    patch
}

/// Writes `new` to a section that holds no `$` keys, or refuses it by the limits.
fn written(section: Section, how: TwinWrite, target: &mut Object, new: &Object) -> Result<(), Refusal> {
    let root = match section {
        Section::Tags => "tags",
        Section::Desired => "properties.desired",
    };
    if let Some(violation) = check_values(new).first() {
        return Err(refuse(root, violation));
    }
    let before = section_size(target);
    if how == TwinWrite::Replace {
        target.clear();
    }
    patch::merge(target, new);
    // A section that is too large already may shrink, and may not grow.
    match check_size(section, target) {
        Some(violation) if section_size(target) > before => Err(refuse(root, &violation)),
        _ => Ok(()),
    }
}

fn refuse(root: &str, violation: &Violation) -> Refusal {
    let path: String = violation.keys.iter().flat_map(|key| [".", key]).collect();
    let path: String = format!("{root}{path}").escape_debug().to_string();
    Refusal::new(ErrorCode::ArgumentInvalid, format!("{path}: {}", violation.rule))
}

/// What a write leaves on every node of `$metadata` that it touches.
struct Stamp<'a> {
    now: &'a str,
    /// None for reported properties, whose metadata has times only.
    version: Option<u64>,
}

impl Stamp<'_> {
    fn put(&self, metadata: &mut Object) {
        metadata.insert(LAST_UPDATED.to_owned(), self.now.into());
        if let Some(version) = self.version {
            metadata.insert(LAST_UPDATED_VERSION.to_owned(), version.into());
        }
    }

    /// Stamps an object's node and what the patch names below it. The hub goes by the keys that are sent and not by
    /// values, so an equal value is stamped as well.
    fn merge(&self, metadata: &mut Object, patch: &Object) {
        self.put(metadata);
        for (key, value) in patch {
            match value {
                Value::Null => {
                    metadata.remove(key);
                }
                Value::Object(inner) => {
                    // Over a scalar this makes an object, whose node had no children to keep.
                    let child = metadata.entry(key.as_str()).or_insert_with(|| json!({}));
                    self.merge(child.as_object_mut().expect("every node of $metadata is an object"), inner);
                }
                leaf => {
                    metadata.insert(key.clone(), self.node(leaf).into());
                }
            }
        }
    }

    /// Returns the node of a value that has none yet. An array is a leaf: it is replaced whole.
    fn node(&self, value: &Value) -> Object {
        let mut metadata = Object::new();
        self.put(&mut metadata);
        if let Value::Object(object) = value {
            for (key, value) in object {
                metadata.insert(key.clone(), self.node(value).into());
            }
        }
        metadata
    }
}

/// Says whether a value is a node of `$metadata` with nothing but nodes below it.
fn is_node(value: &Value) -> bool {
    value.as_object().is_some_and(|node| node.iter().all(|(key, value)| key.starts_with('$') || is_node(value)))
}

/// Returns a twin's etag: its counter as eight bytes, the highest first, in base64.
fn etag_of(counter: u64) -> ETag {
    ETag::new(STANDARD.encode(counter.to_be_bytes()))
}

fn counter_of(etag: &ETag) -> Option<u64> {
    Some(u64::from_be_bytes(STANDARD.decode(etag.as_str()).ok()?.try_into().ok()?))
}
