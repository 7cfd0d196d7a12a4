//! A device as the hub keeps it: two JSON documents that are the answers themselves.
//!
//! What is kept is what is sent, so a read costs nothing but its bytes, and a hundred thousand twins cost little more than
//! their text. A write takes a document apart and puts it together again.

use std::sync::Arc;

use serde::Deserialize;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::core::document::Document;
use crate::core::identity::Identity;
use crate::core::outbox::DesiredPatch;
use crate::core::presence::{DISCONNECTED, Presence};
use crate::core::session::Sessions;
use crate::core::timestamp::NEVER;
use crate::core::twin::TwinDocument;
use iothub_model::twin::DeviceId;
use iothub_model::twin::ETag;
use iothub_model::wire::registry::DeviceStatus;

/// An identity and its twin, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Device {
    /// Its place in the order of creation, never given twice.
    pub(crate) sequence: u64,
    /// The revision of the change that made it so; 0 when it was read from disk.
    pub(crate) revision: u64,
    /// Its id.
    pub(crate) id: DeviceId,
    /// May it connect.
    pub(crate) status: DeviceStatus,
    /// Is it an edge device.
    pub(crate) is_edge: bool,
    /// The identity's etag.
    pub(crate) identity_etag: ETag,
    /// The twin's etag.
    pub(crate) twin_etag: ETag,
    /// The identity as `GET /devices/{id}` answers it. Holds the device's keys.
    pub(crate) identity: Document,
    /// The twin as `GET /twins/{id}` answers it.
    pub(crate) twin: Document,
    /// What its clients are subscribed to, also while they are away.
    pub(crate) sessions: Sessions,
    /// The write to desired properties that made the twin so, until its connected client is told.
    pub(crate) desired_patch: Option<Arc<DesiredPatch>>,
}

/// How a device stands on disk.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DeviceRecord<'a> {
    #[serde(borrow)]
    identity: &'a RawValue,
    #[serde(borrow)]
    twin: &'a RawValue,
    #[serde(default, skip_serializing_if = "Sessions::is_empty")]
    sessions: Sessions,
}

impl Device {
    pub(crate) fn new(sequence: u64, revision: u64, identity: &Identity, twin: &TwinDocument) -> Self {
        Self {
            sequence,
            revision,
            id: identity.device_id.clone(),
            status: identity.status,
            is_edge: identity.capabilities.iot_edge,
            identity_etag: identity.etag.clone(),
            twin_etag: twin.etag.clone(),
            identity: Document::of(identity),
            twin: Document::of(twin),
            sessions: Sessions::default(),
            desired_patch: twin.desired_patch.clone(),
        }
    }

    /// Returns the device with another twin; its identity is as it was.
    pub(crate) fn with_twin(&self, revision: u64, twin: &TwinDocument) -> Self {
        let desired_patch = twin.desired_patch.clone();
        Self { revision, twin_etag: twin.etag.clone(), twin: Document::of(twin), desired_patch, ..self.clone() }
    }

    /// Returns the device with another identity, and the twin that follows it.
    pub(crate) fn with_identity(&self, revision: u64, identity: &Identity, twin: &TwinDocument) -> Self {
        Self { sessions: self.sessions.clone(), ..Self::new(self.sequence, revision, identity, twin) }
    }

    /// Returns the device with other sessions; nothing that it shows of itself changes.
    pub(crate) fn with_sessions(&self, revision: u64, sessions: Sessions) -> Self {
        Self { revision, sessions, desired_patch: None, ..self.clone() }
    }

    /// Returns the device as one for which so many messages wait.
    pub(crate) fn with_messages(&self, revision: u64, count: usize) -> Self {
        let (mut identity, mut twin) = (self.identity(), self.twin());
        let count = u64::try_from(count).expect("a count of things in memory");
        identity.count_messages(count);
        twin.count_messages(count);
        let (identity, twin) = (Document::of(&identity), Document::of(&twin));
        Self { revision, identity, twin, desired_patch: None, ..self.clone() }
    }

    /// Returns the device as it shows itself connected or not. That is no change that a disk need know, so its revision stays.
    pub(crate) fn with_presence(&self, presence: &Presence<'_>) -> Self {
        let (mut identity, mut twin) = (self.identity(), self.twin());
        identity.show(presence);
        twin.show(presence);
        let (identity, twin) = (Document::of(&identity), Document::of(&twin));
        Self { identity, twin, desired_patch: None, ..self.clone() }
    }

    pub(crate) fn identity(&self) -> Identity {
        serde_json::from_str(self.identity.as_str()).expect("written by Device::new, or checked by Device::from_record")
    }

    pub(crate) fn twin(&self) -> TwinDocument {
        TwinDocument::read(&self.twin)
    }

    /// Writes it for the disk.
    pub(crate) fn to_record(&self) -> Vec<u8> {
        let sessions = if self.sessions.is_empty() {
            String::new()
        } else {
            format!(",\"sessions\":{}", Document::of(&self.sessions).as_str())
        };
        ["{\"identity\":", self.identity.as_str(), ",\"twin\":", self.twin.as_str(), &sessions, "}"]
            .concat()
            .into_bytes()
    }

    /// Reads it from the disk, and looks that both documents are what this program writes.
    pub(crate) fn from_record(sequence: u64, record: &[u8]) -> Result<Self, serde_json::Error> {
        let record: DeviceRecord<'_> = serde_json::from_slice(record)?;
        let mut identity: Identity = serde_json::from_str(record.identity.get())?;
        let mut twin: TwinDocument = serde_json::from_str(record.twin.get())?;
        if !identity.is_sound() || !twin.is_sound() {
            return Err(serde::de::Error::custom("an etag, a version or metadata that this program does not write"));
        }
        let has_new_scopes = identity.complete_scopes();
        // Most documents are as this version writes them, and stay as they are.
        let is_as_written = !identity.renew() && !has_new_scopes && record.identity.get().contains("\"parentScopes\":");
        if has_new_scopes {
            twin.follow(&identity);
        }
        let is_renewed = twin.renew() || has_new_scopes;
        let device = Self {
            sequence,
            revision: 0,
            id: identity.device_id.clone(),
            status: identity.status,
            is_edge: identity.capabilities.iot_edge,
            identity_etag: identity.etag.clone(),
            twin_etag: twin.etag.clone(),
            identity: if is_as_written { Document::from(record.identity.get()) } else { Document::of(&identity) },
            twin: if is_renewed { Document::of(&twin) } else { Document::from(record.twin.get()) },
            sessions: record.sessions,
            desired_patch: None,
        };
        // A client that was connected when the hub stopped is not connected any more.
        let away = Presence { state: Some((DISCONNECTED, NEVER)), activity: None };
        Ok(if identity.is_connected() { device.with_presence(&away) } else { device })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Versions that made no scopes kept edge devices without one, and whatever lists they were given.
    #[test]
    fn records_without_scopes_get_them() {
        use crate::core::command::Entropy;
        let body = |is_edge: bool, scope: Option<&str>| {
            let body = serde_json::json!({ "capabilities": { "iotEdge": is_edge }, "deviceScope": scope });
            let body = serde_json::from_value(body).expect("a body");
            Identity::create("d".parse().expect("an id"), body, &Entropy([1; 80])).expect("an identity")
        };
        for (new, had) in [(body(true, None), None), (body(false, Some("s")), Some("s")), (body(false, None), None)] {
            let twin = TwinDocument::fresh(&new, time::OffsetDateTime::UNIX_EPOCH);
            let expected = Device::new(1, 0, &new, &twin);
            let mut old: serde_json::Value = serde_json::from_slice(&expected.to_record()).expect("JSON");
            for document in ["identity", "twin"] {
                let document = old[document].as_object_mut().expect("an object");
                document.remove("parentScopes");
                document.retain(|name, _| name != "deviceScope" || had.is_some());
            }
            let read = Device::from_record(1, old.to_string().as_bytes()).expect("a device");
            let text =
                |document: &Document| serde_json::from_str::<serde_json::Value>(document.as_str()).expect("JSON");
            assert_eq!(text(&read.identity), text(&expected.identity), "{had:?}");
            assert_eq!(text(&read.twin), text(&expected.twin), "{had:?}");
        }
    }

    #[test]
    fn records_of_earlier_versions() {
        let identity = |never: &str, scopes: &str| {
            format!(
                r#"{{"deviceId":"d","generationId":"1","etag":"MQ==","connectionState":"Disconnected","status":"enabled","statusReason":null,"connectionStateUpdatedTime":"{never}","statusUpdatedTime":"{never}","lastActivityTime":"{never}","cloudToDeviceMessageCount":0,"authentication":{{"symmetricKey":{{"primaryKey":null,"secondaryKey":null}},"x509Thumbprint":{{"primaryThumbprint":null,"secondaryThumbprint":null}},"type":"none"}},"capabilities":{{"iotEdge":false}}{scopes}}}"#
            )
        };
        let twin = |never: &str, tags: &str, desired: &str, reported: &str| {
            format!(
                r#"{{"deviceId":"d","etag":"AAAAAAAAAAI=","deviceEtag":"MQ==","status":"enabled","statusUpdateTime":"{never}","connectionState":"Disconnected","lastActivityTime":"{never}","cloudToDeviceMessageCount":0,"authenticationType":"none","x509Thumbprint":{{"primaryThumbprint":null,"secondaryThumbprint":null}},"modelId":"","version":2,{tags}"properties":{{"desired":{{{desired}}},"reported":{{{reported}}}}},"capabilities":{{"iotEdge":false}}}}"#
            )
        };
        let stamp = r#"{"$lastUpdated":"2026-01-01T00:00:00.0000000Z","$lastUpdatedVersion":2}"#;
        let metadata = format!(
            r#""$metadata":{{"$lastUpdated":"2026-01-01T00:00:00.0000000Z","$lastUpdatedVersion":2,"a":{stamp},"b":{stamp}}}"#
        );
        let (old, new) = ("0001-01-01T00:00:00", "0001-01-01T00:00:00Z");
        let before = twin(
            old,
            r#""tags":{},"#,
            &format!(r#"{metadata},"$version":2,"a":1,"b":2"#),
            r#""$metadata":{"$lastUpdated":"2026-01-01T00:00:00.0000000Z"},"$version":1"#,
        );
        let after = twin(
            new,
            "",
            &format!(r#""a":1,"b":2,{metadata},"$version":2"#),
            r#""$metadata":{"$lastUpdated":"2026-01-01T00:00:00.0000000Z"},"$version":1"#,
        );
        let record = format!(r#"{{"identity":{},"twin":{before}}}"#, identity(old, ""));
        let device = Device::from_record(1, record.as_bytes()).expect("a device");
        assert_eq!(
            (device.identity.as_str(), device.twin.as_str()),
            (identity(new, r#","parentScopes":[]"#).as_str(), after.as_str())
        );
        let again = Device::from_record(1, &device.to_record()).expect("a device");
        assert_eq!(again, device);
    }

    #[test]
    fn records_that_are_none() {
        for bad in
            ["", "{}", "[]", "{\"identity\":{},\"twin\":{}}", "{\"identity\":{\"deviceId\":\"a b\"},\"twin\":{}}"]
        {
            assert!(Device::from_record(1, bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
