//! What a device connects with, made from its identity.

use iothub_model::twin::HubHost;
use iothub_model::wire::Secret;
use iothub_model::wire::connection_string::ConnectionString;
use iothub_model::wire::registry::DeviceIdentity;
use iothub_model::wire::sas::Key;

/// Returns a device's connection string; `None` if the device has no key.
pub(super) fn connection_string(host: &HubHost, identity: &DeviceIdentity) -> Option<Secret> {
    let key = Key::from_base64(identity.primary_key()?.expose()).ok()?;
    let device = Some(identity.device_id.clone());
    Some(ConnectionString { host: host.clone(), gateway: None, policy: None, device, module: None, key }.expose())
}
