//! A module's identity as a document, and the rules of writing one.

use serde::Deserialize;
use serde::Serialize;

use crate::core::command::{Entropy, Refusal, invalid};
use crate::core::identity::{Authentication, Identity, authentication, first_numbers, next_etag};
use crate::core::presence::{CONNECTED, DISCONNECTED, Presence};
use crate::core::timestamp::{NEVER, renew};
use iothub_model::twin::DeviceId;
use iothub_model::twin::ETag;
use iothub_model::twin::ModuleId;
use iothub_model::wire::keys::PolicyKey;
use iothub_model::wire::modules::ModuleBody;
use iothub_model::wire::registry::AuthenticationType;
use iothub_model::wire::registry::SymmetricKeys;
use iothub_model::wire::registry::Thumbprints;

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
    /// for an edge device names. They have no keys. Their numbers follow from the device's, so that the request needs no more
    /// randomness.
    pub(crate) fn system(device: &Identity, module: ModuleId) -> Self {
        let etag = next_etag(&device.etag);
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

    pub(crate) fn is_connected(&self) -> bool {
        self.connection_state == CONNECTED
    }

    /// Brings the times that an earlier version of this program wrote to their present form.
    pub(crate) fn renew(&mut self) {
        renew(&mut self.connection_state_updated_time);
        renew(&mut self.last_activity_time);
    }

    /// Replaces all that a PUT may write, and moves the etag.
    pub(crate) fn replace(&mut self, body: ModuleBody, entropy: &Entropy) -> Result<(), Refusal> {
        self.take(body, entropy)?;
        self.etag = next_etag(&self.etag);
        Ok(())
    }

    /// Makes new keys, and moves the etag.
    ///
    /// # Errors
    ///
    /// When the module has no keys.
    pub(crate) fn regenerate(&mut self, which: PolicyKey, entropy: &Entropy) -> Result<(), Refusal> {
        self.authentication.regenerate(which, entropy)?;
        self.etag = next_etag(&self.etag);
        Ok(())
    }

    /// Takes over what a connection changes. The etag stays: clients hold it to write, and a connection writes nothing.
    pub(crate) fn show(&mut self, presence: &Presence<'_>) {
        let since = &mut self.connection_state_updated_time;
        presence.show(&mut self.connection_state, Some(since), &mut self.last_activity_time);
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
