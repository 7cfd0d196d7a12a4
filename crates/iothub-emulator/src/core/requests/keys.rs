//! New keys for many devices and modules in one request: what `az iot hub device-identity renew-key` asks for.

use std::sync::Arc;

use time::OffsetDateTime;

use crate::core::ask::{Ask, Subject};
use crate::core::command::{Entropy, Refusal, invalid};
use crate::core::module::Module;
use crate::core::record::Record;
use crate::core::requests::bulk::check_named_once;
use crate::core::state::Hub;
use iothub_model::twin::DeviceId;
use iothub_model::twin::ModuleId;
use iothub_model::wire::ErrorCode;
use iothub_model::wire::bulk::BULK_MAX;
use iothub_model::wire::keys::KeyOwner;
use iothub_model::wire::keys::PolicyKey;
use iothub_model::wire::keys::RegenerateKeysBody;
use iothub_model::wire::keys::RegenerateKeysResult;
use iothub_model::wire::keys::RotatedKeys;
use iothub_model::wire::keys::RotationError;
use iothub_model::wire::registry::SymmetricKeys;

/// Reads a request, and takes the randomness for each device from `entropy`.
pub(crate) fn read(
    body: RegenerateKeysBody,
    mut entropy: impl FnMut() -> Result<Entropy, Refusal>,
) -> Result<RegenerateKeys, Refusal> {
    let which = body.policy_key.as_deref().and_then(PolicyKey::from_name).ok_or_else(|| {
        let names: Vec<_> = PolicyKey::NAMES.iter().map(|(name, _)| *name).collect();
        let text = format!("policyKey must be one of {}", names.join(", "));
        Refusal::new(ErrorCode::InvalidPolicyKey, text)
    })?;
    let owners = body.devices.unwrap_or_default();
    if owners.is_empty() {
        return Err(invalid("the body names no device"));
    }
    if owners.len() > BULK_MAX {
        let text = format!("the body names {} devices, and a request takes {BULK_MAX} at most", owners.len());
        return Err(Refusal::new(ErrorCode::TooManyDevices, text));
    }
    check_named_once(owners.iter().map(|owner| (owner.id.as_str(), owner.module())))?;
    let owners = owners.into_iter().map(|owner| Ok((owner, entropy()?))).collect::<Result<_, Refusal>>()?;
    Ok(RegenerateKeys { which, owners })
}

/// New keys for many devices and modules, each by itself, in order.
#[derive(Clone, Debug)]
pub(crate) struct RegenerateKeys {
    /// Which of the two keys.
    pub(crate) which: PolicyKey,
    /// The devices and modules, each with what the hub makes keys of.
    pub(crate) owners: Vec<(KeyOwner, Entropy)>,
}

impl Ask for RegenerateKeys {
    type Reply = RegenerateKeysResult;
    const WRITES: bool = true;

    fn subject(&self) -> Subject {
        Subject::Many
    }

    fn perform(self, hub: &mut Hub, _: OffsetDateTime, records: &mut Vec<Record>) -> Result<Self::Reply, Refusal> {
        let Self { which, owners } = self;
        let mut result = RegenerateKeysResult { policy_key: which, rotated_keys: Vec::new(), errors: Vec::new() };
        for (owner, entropy) in owners {
            let rotated = hub.regenerate(which, &owner.id, owner.module(), &entropy);
            let KeyOwner { id, module_id } = owner;
            match rotated {
                Ok((keys, record)) => {
                    hub.write(record, records);
                    result.rotated_keys.push(RotatedKeys {
                        id,
                        module_id,
                        primary_key: keys.primary_key.filter(|_| which != PolicyKey::Secondary),
                        secondary_key: keys.secondary_key.filter(|_| which != PolicyKey::Primary),
                    });
                }
                Err(Refusal { code, text }) => {
                    result.errors.push(RotationError { id, module_id, error_code: code, error_status: text });
                }
            }
        }
        Ok(result)
    }
}

impl Hub {
    /// Returns a device's or module's keys after the rotation, and the change that makes it so.
    fn regenerate(
        &self,
        which: PolicyKey,
        device: &str,
        module: Option<&str>,
        entropy: &Entropy,
    ) -> Result<(SymmetricKeys, Record), Refusal> {
        let device: DeviceId =
            device.parse().map_err(|error: iothub_model::twin::IdError| invalid(error.to_string()))?;
        let revision = self.next_revision();
        let Some(module) = module else {
            let device = self.device(&device)?;
            let (mut identity, mut twin) = (device.identity(), device.twin());
            identity.regenerate(which, entropy)?;
            twin.follow(&identity);
            let device = Arc::new(device.with_identity(revision, &identity, &twin));
            return Ok((identity.authentication.symmetric_key, Record::Device(device.sequence, Some(device))));
        };
        let module: ModuleId =
            module.parse().map_err(|error: iothub_model::twin::IdError| invalid(error.to_string()))?;
        let module = self.module(&device, &module)?;
        let (mut identity, mut twin) = (module.identity(), module.twin());
        identity.regenerate(which, entropy)?;
        twin.follow_module(&identity);
        let module = Arc::new(Module::new(module.sequence, revision, &identity, &twin));
        Ok((identity.authentication.symmetric_key, Record::Module(module.sequence, Some(module))))
    }
}
