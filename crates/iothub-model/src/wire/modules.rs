//! Module identities as JSON: `/devices/{id}/modules/{id}`.

use serde::{Deserialize, Serialize};

use super::encode_segment;
use super::registry::AuthenticationBody;
use crate::twin::{DeviceId, ModuleId};

/// IoT Edge's own modules: the hub makes them with an edge device, and nobody else writes, makes or deletes them.
pub const SYSTEM_MODULES: [&str; 2] = ["$edgeAgent", "$edgeHub"];

/// Returns `true` if a module is one of IoT Edge's own.
pub fn is_system_module(module: &ModuleId) -> bool {
    SYSTEM_MODULES.contains(&module.as_str())
}

/// Returns the path of a module's identity.
pub fn module_path(device: &DeviceId, module: &ModuleId) -> String {
    format!("{}/{}", modules_path(device), encode_segment(module.as_str()))
}

/// Returns the path of the list of a device's modules.
pub fn modules_path(device: &DeviceId) -> String {
    format!("/devices/{}/modules", encode_segment(device.as_str()))
}

/// What a client sends to create an identity whose keys the hub makes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NewModule {
    /// The device's id, which must be the path's.
    pub device_id: DeviceId,
    /// The module's id, which must be the path's.
    pub module_id: ModuleId,
}

/// What a client reads of an identity: no more than it needs.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModuleIdentity {
    /// The device's id.
    pub device_id: DeviceId,
    /// The module's id.
    pub module_id: ModuleId,
}

/// A module's identity as a PUT sends it and as the service reads it: all optional, read-only members passed over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ModuleBody {
    /// The device's id, which must be the path's where it is given.
    pub device_id: Option<String>,
    /// The module's id, which must be the path's where it is given.
    pub module_id: Option<String>,
    /// Who manages the module: `IotEdge` where the edge runtime does.
    pub managed_by: Option<String>,
    /// How the module proves who it is; the service makes keys where this is absent.
    pub authentication: Option<AuthenticationBody>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_escape_both_ids() {
        let (device, module) = ("a#b".parse().expect("an id"), "m:1".parse().expect("an id"));
        assert_eq!(module_path(&device, &module), "/devices/a%23b/modules/m%3A1");
        assert_eq!(modules_path(&device), "/devices/a%23b/modules");
    }
}
