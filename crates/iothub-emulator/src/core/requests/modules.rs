//! What can be asked about module identities. Module twins are asked for like device twins.

use std::collections::HashSet;
use std::sync::Arc;

use time::OffsetDateTime;

use crate::core::ask::{Ask, Subject};
use crate::core::command::{Entropy, Refusal, check_delete, check_etag};
use crate::core::module::{Module, reserved};
use crate::core::module_identity::ModuleIdentity;
use crate::core::record::Record;
use crate::core::state::Hub;
use crate::core::twin::TwinDocument;
use iothub_model::twin::DeviceId;
use iothub_model::twin::IfMatch;
use iothub_model::twin::ModuleId;
use iothub_model::twin::TwinId;
use iothub_model::twin::limits::MODULES_PER_DEVICE;
use iothub_model::wire::ErrorCode;
use iothub_model::wire::modules::ModuleBody;
use iothub_model::wire::modules::is_system_module;
use iothub_model::wire::registry::DeviceStatus;

/// An identity as it is, keys and all.
#[derive(Clone, Debug)]
pub(crate) struct GetModule {
    /// Of which device.
    pub(crate) device: DeviceId,
    /// Which.
    pub(crate) module: ModuleId,
}

impl Ask for GetModule {
    type Reply = Arc<Module>;
    const WRITES: bool = false;

    fn subject(&self) -> Subject {
        subject_of(&self.device, &self.module)
    }

    fn perform(self, hub: &mut Hub, _: OffsetDateTime, _: &mut Vec<Record>) -> Result<Arc<Module>, Refusal> {
        hub.check_open_to_modules(&self.device)?;
        hub.module(&self.device, &self.module).cloned()
    }

    fn shown(module: &Arc<Module>, _: &Hub) -> Option<u64> {
        Some(module.revision)
    }
}

/// All identities of a device, in order of creation.
#[derive(Clone, Debug)]
pub(crate) struct ListModules {
    /// Of which device.
    pub(crate) device: DeviceId,
}

impl Ask for ListModules {
    type Reply = Vec<Arc<Module>>;
    const WRITES: bool = false;

    fn subject(&self) -> Subject {
        Subject::Twin(self.device.clone().into())
    }

    fn perform(self, hub: &mut Hub, _: OffsetDateTime, _: &mut Vec<Record>) -> Result<Self::Reply, Refusal> {
        hub.check_open_to_modules(&self.device)?;
        Ok(hub.modules.of(&self.device))
    }

    fn shown(modules: &Self::Reply, hub: &Hub) -> Option<u64> {
        Some(latest(modules, hub))
    }
}

/// Creates an identity with its twin (no condition), or replaces one (with a condition).
#[derive(Clone, Debug)]
pub(crate) struct PutModule {
    /// Of which device.
    pub(crate) device: DeviceId,
    /// Which.
    pub(crate) module: ModuleId,
    /// What to write.
    pub(crate) body: Box<ModuleBody>,
    /// Under which condition.
    pub(crate) if_match: IfMatch,
    /// What the hub makes keys and numbers of.
    pub(crate) entropy: Entropy,
}

impl Ask for PutModule {
    type Reply = Arc<Module>;
    const WRITES: bool = true;

    fn subject(&self) -> Subject {
        subject_of(&self.device, &self.module)
    }

    fn perform(self, hub: &mut Hub, _: OffsetDateTime, records: &mut Vec<Record>) -> Result<Arc<Module>, Refusal> {
        hub.check_open_to_modules(&self.device)?;
        self.put(hub, records)
    }
}

impl PutModule {
    /// Does it whatever the device's status: what a disabled device's modules are closed to is a request for them alone.
    pub(crate) fn put(self, hub: &mut Hub, records: &mut Vec<Record>) -> Result<Arc<Module>, Refusal> {
        let Self { device, module, body, if_match, entropy } = self;
        if is_system_module(&module) {
            return Err(reserved(&module));
        }
        let module = if if_match == IfMatch::Absent {
            hub.device(&device)?;
            if hub.modules.get(&device, &module).is_some() {
                let text = format!("a module with ID '{module}' is already registered on the device '{device}'");
                return Err(Refusal::new(ErrorCode::ModuleAlreadyExistsOnDevice, text));
            }
            if hub.modules.count(&device) >= MODULES_PER_DEVICE {
                let text = format!("the device '{device}' has {MODULES_PER_DEVICE} modules, and can have no more");
                return Err(Refusal::new(ErrorCode::TooManyModulesOnDevice, text));
            }
            let identity = ModuleIdentity::create(device, module, *body, &entropy)?;
            let twin = TwinDocument::fresh_module(&identity);
            Module::new(hub.last_sequence() + 1, hub.next_revision(), &identity, &twin)
        } else {
            let module = hub.module(&device, &module)?;
            let mut identity = module.identity();
            check_etag(&if_match, &identity.etag)?;
            identity.replace(*body, &entropy)?;
            let mut twin = module.twin();
            twin.follow_module(&identity);
            Module::new(module.sequence, hub.next_revision(), &identity, &twin)
        };
        Ok(hub.write_module(module, records))
    }
}

/// Removes an identity and its twin.
#[derive(Clone, Debug)]
pub(crate) struct DeleteModule {
    /// Of which device.
    pub(crate) device: DeviceId,
    /// Which.
    pub(crate) module: ModuleId,
    /// Under which condition; one must be given.
    pub(crate) if_match: IfMatch,
}

impl Ask for DeleteModule {
    type Reply = ();
    const WRITES: bool = true;

    fn subject(&self) -> Subject {
        subject_of(&self.device, &self.module)
    }

    fn perform(self, hub: &mut Hub, _: OffsetDateTime, records: &mut Vec<Record>) -> Result<(), Refusal> {
        hub.check_open_to_modules(&self.device)?;
        self.delete(hub, records)
    }
}

impl DeleteModule {
    /// Does it whatever the device's status, as [`PutModule::put`].
    pub(crate) fn delete(self, hub: &mut Hub, records: &mut Vec<Record>) -> Result<(), Refusal> {
        let Self { device, module, if_match } = self;
        if is_system_module(&module) {
            return Err(reserved(&module));
        }
        check_delete(&if_match)?;
        let module = hub.module(&device, &module)?;
        check_etag(&if_match, &module.identity_etag)?;
        hub.write(Record::Module(module.sequence, None), records);
        Ok(())
    }
}

/// The next modules in order of creation, whichever their devices: what a query is asked of, a slice at a time.
#[derive(Clone, Debug)]
pub(crate) struct ScanModules {
    /// The [`Module::sequence`] of the last one seen; 0 for none.
    pub(crate) after: u64,
    /// So many at most.
    pub(crate) limit: usize,
}

impl Ask for ScanModules {
    type Reply = Vec<Arc<Module>>;
    const WRITES: bool = false;

    fn subject(&self) -> Subject {
        Subject::Many
    }

    fn perform(self, hub: &mut Hub, _: OffsetDateTime, _: &mut Vec<Record>) -> Result<Self::Reply, Refusal> {
        let Self { after, limit } = self;
        Ok(match &hub.module_lag {
            Some(lag) => lag.scan(hub.modules.by_sequence(), after).take(limit).cloned().collect(),
            None => hub.modules.after(after).take(limit).cloned().collect(),
        })
    }

    fn shown(modules: &Self::Reply, hub: &Hub) -> Option<u64> {
        Some(latest(modules, hub))
    }
}

/// The modules of these devices, in order of creation: for a query that names all the devices it can match.
#[derive(Clone, Debug)]
pub(crate) struct FindModules {
    /// Ids of devices, or texts that are none.
    pub(crate) devices: Vec<String>,
}

impl Ask for FindModules {
    type Reply = Vec<Arc<Module>>;
    const WRITES: bool = false;

    fn subject(&self) -> Subject {
        Subject::Many
    }

    fn perform(self, hub: &mut Hub, _: OffsetDateTime, _: &mut Vec<Record>) -> Result<Self::Reply, Refusal> {
        let ids: HashSet<DeviceId> = self.devices.iter().filter_map(|id| id.parse().ok()).collect();
        let mut found: Vec<_> = ids.iter().flat_map(|id| hub.modules.of(id)).collect();
        if let Some(lag) = &hub.module_lag {
            found.retain(|module| lag.seen(module.sequence).is_none());
            found.extend(lag.changed().filter(|module| ids.contains(&module.device)).cloned());
        }
        found.sort_unstable_by_key(|module| module.sequence);
        Ok(found)
    }

    fn shown(modules: &Self::Reply, hub: &Hub) -> Option<u64> {
        Some(latest(modules, hub))
    }
}

fn subject_of(device: &DeviceId, module: &ModuleId) -> Subject {
    Subject::Twin(TwinId { device: device.clone(), module: Some(module.clone()) })
}

/// Returns what a slice of the modules shows: what is there, and by what it lacks what is gone.
fn latest(modules: &[Arc<Module>], hub: &Hub) -> u64 {
    modules.iter().map(|module| module.revision).fold(hub.removal, u64::max)
}

impl Hub {
    /// The service looks a module's identity up with its device's rights, and so answers with 401 where that one is missing
    /// or disabled.
    fn check_open_to_modules(&self, id: &DeviceId) -> Result<(), Refusal> {
        match self.find(id) {
            Some(device) if device.status == DeviceStatus::Enabled => Ok(()),
            Some(_) => Err(Refusal::new(ErrorCode::IotHubUnauthorizedAccess, format!("the device {id} is disabled"))),
            None => Err(Refusal::new(ErrorCode::IotHubUnauthorizedAccess, format!("device {id} not registered"))),
        }
    }
}
