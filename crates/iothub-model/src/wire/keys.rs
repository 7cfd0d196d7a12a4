//! New keys for many devices and modules: `POST /devices/keys/regenerate`.

use serde::{Deserialize, Serialize};

use super::bulk::as_number;
use super::error::ErrorCode;
use super::names::json_names;

/// Which of the two keys become new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyKey {
    /// The primary key.
    Primary,
    /// The secondary key.
    Secondary,
    /// Both keys.
    Both,
}

json_names! { PolicyKey, "policyKey", {
    "primaryKey" => Primary,
    "secondaryKey" => Secondary,
    "both" => Both,
} }

/// The request, as the service reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RegenerateKeysBody {
    /// The name of a [`PolicyKey`].
    pub policy_key: Option<String>,
    /// The devices and modules.
    pub devices: Option<Vec<KeyOwner>>,
}

/// A device or module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct KeyOwner {
    /// The device's id, which may be none.
    #[serde(default)]
    pub id: String,
    /// The module's id, for a module.
    pub module_id: Option<String>,
}

impl KeyOwner {
    /// Returns the module's id, for a module: an empty one is none.
    pub fn module(&self) -> Option<&str> {
        self.module_id.as_deref().filter(|module| !module.is_empty())
    }
}

/// The result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RegenerateKeysResult {
    /// Which keys are new.
    pub policy_key: PolicyKey,
    /// The devices and modules that have new keys.
    pub rotated_keys: Vec<RotatedKeys>,
    /// Those that have not.
    pub errors: Vec<RotationError>,
}

/// A device or module with its new keys; null for a key that stays. Its `Debug` shows no key.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RotatedKeys {
    /// The device's id.
    pub id: String,
    /// The module's id, for a module.
    pub module_id: Option<String>,
    /// The new primary key, in base64.
    pub primary_key: Option<String>,
    /// The new secondary key, in base64.
    pub secondary_key: Option<String>,
}

impl std::fmt::Debug for RotatedKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RotatedKeys({}, {:?}, …)", self.id, self.module_id)
    }
}

/// A device or module that has no new keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RotationError {
    /// The device's id, as it was named.
    pub id: String,
    /// The module's id, as it was named.
    pub module_id: Option<String>,
    /// The code, as a number.
    #[serde(serialize_with = "as_number")]
    pub error_code: ErrorCode,
    /// The reason.
    pub error_status: String,
}
