//! Device identities as JSON: `/devices/{id}`.

use serde::{Deserialize, Serialize};

use super::names::json_names;
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
    /// What else it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Capabilities>,
}

impl NewDevice {
    /// Asks for an enabled device.
    pub fn enabled(device_id: DeviceId) -> Self {
        Self { device_id, status: "enabled".to_owned(), capabilities: None }
    }

    /// Asks for an enabled IoT Edge device.
    pub fn edge(device_id: DeviceId) -> Self {
        Self { capabilities: Some(Capabilities { iot_edge: true }), ..Self::enabled(device_id) }
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

/// An identity as a PUT sends it and as the service reads it: all optional, read-only members passed over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeviceBody {
    /// The id, which must be the path's where it is given.
    pub device_id: Option<String>,
    /// May the device connect.
    pub status: Option<DeviceStatus>,
    /// Why, in the operator's words.
    pub status_reason: Option<String>,
    /// How the device proves who it is; the service makes keys where this is absent.
    pub authentication: Option<AuthenticationBody>,
    /// What the device can be.
    pub capabilities: Option<Capabilities>,
    /// The scope of a device under an edge device.
    pub device_scope: Option<String>,
    /// The scopes above it.
    pub parent_scopes: Option<Vec<String>>,
}

/// `authentication` as a PUT sends it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuthenticationBody {
    /// Which of the ways.
    #[serde(rename = "type")]
    pub kind: Option<AuthenticationType>,
    /// The keys; empty ones ask the service to make them.
    pub symmetric_key: Option<SymmetricKeys>,
    /// The certificates' thumbprints.
    pub x509_thumbprint: Option<Thumbprints>,
}

/// May a device connect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceStatus {
    /// It may.
    #[default]
    Enabled,
    /// It may not.
    Disabled,
}

json_names! { DeviceStatus, "device status", {
    "enabled" => Enabled,
    "disabled" => Disabled,
} }

/// How a device proves who it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AuthenticationType {
    /// By a symmetric key.
    #[default]
    Sas,
    /// By a certificate of its own, whose thumbprint the hub has.
    SelfSigned,
    /// By a certificate that an authority signed which the hub knows.
    CertificateAuthority,
    /// Not at all.
    None,
}

json_names! { AuthenticationType, "authentication type", {
    "sas" => Sas,
    "selfSigned" => SelfSigned,
    "certificateAuthority" => CertificateAuthority,
    "none" => None,
} }

/// Two keys in base64. Its `Debug` shows nothing.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SymmetricKeys {
    /// The one.
    pub primary_key: Option<String>,
    /// The other, so that one can be changed while the other is in use.
    pub secondary_key: Option<String>,
}

impl std::fmt::Debug for SymmetricKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SymmetricKeys(…)")
    }
}

/// Two thumbprints in hexadecimal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Thumbprints {
    /// The one.
    pub primary_thumbprint: Option<String>,
    /// The other.
    pub secondary_thumbprint: Option<String>,
}

/// What a device can be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Capabilities {
    /// Is it an edge device.
    #[serde(default, deserialize_with = "super::lenient::or_default")]
    pub iot_edge: bool,
}
