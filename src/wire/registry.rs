//! Device identities as JSON: `/devices/{id}`.

use serde::{Deserialize, Serialize};

use super::{Secret, encode_segment};
use crate::twin::DeviceId;

/// Returns the path of a device's identity.
pub fn device_path(id: &DeviceId) -> String {
    format!("/devices/{}", encode_segment(id.as_str()))
}

/// What a client sends to create an identity whose keys the hub makes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NewDevice {
    /// The id, which must be the path's.
    pub device_id: DeviceId,
    /// `enabled` or `disabled`.
    pub status: String,
}

impl NewDevice {
    /// Asks for an enabled device.
    pub fn enabled(device_id: DeviceId) -> Self {
        Self { device_id, status: "enabled".to_owned() }
    }
}

/// What a client reads of an identity: no more than it needs.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceIdentity {
    /// The id.
    pub device_id: DeviceId,
    /// `enabled` or `disabled`.
    #[serde(default)]
    pub status: Option<String>,
    /// How the device proves who it is.
    #[serde(default)]
    authentication: Option<Authentication>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Authentication {
    #[serde(default)]
    symmetric_key: Option<SymmetricKey>,
}

#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SymmetricKey {
    #[serde(default)]
    primary_key: Option<String>,
}

impl std::fmt::Debug for SymmetricKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SymmetricKey(…)")
    }
}

impl DeviceIdentity {
    /// Returns the primary key, in base64, when the device has one.
    pub fn primary_key(&self) -> Option<Secret> {
        self.authentication.as_ref()?.symmetric_key.as_ref()?.primary_key.as_deref().map(Secret::new)
    }
}
