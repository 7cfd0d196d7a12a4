//! Making a change, with all that follows from it.

use std::sync::Arc;

use crate::core::command::Refusal;
use crate::core::device::Device;
use crate::core::identity::Identity;
use crate::core::module::Module;
use crate::core::module_identity::ModuleIdentity;
use crate::core::record::Record;
use crate::core::state::Hub;
use crate::core::twin::TwinDocument;
use iothub_model::twin::ModuleId;
use iothub_model::twin::limits::MODULES_PER_DEVICE;
use iothub_model::wire::ErrorCode;
use iothub_model::wire::modules::SYSTEM_MODULES;

impl Hub {
    /// Writes a device as it is to be, and returns it.
    pub(in crate::core) fn write_device(&mut self, device: Device, records: &mut Vec<Record>) -> Arc<Device> {
        let device = Arc::new(device);
        self.write(Record::Device(device.sequence, Some(device.clone())), records);
        device
    }

    /// Writes a module as it is to be, and returns it.
    pub(in crate::core) fn write_module(&mut self, module: Module, records: &mut Vec<Record>) -> Arc<Module> {
        let module = Arc::new(module);
        self.write(Record::Module(module.sequence, Some(module.clone())), records);
        module
    }

    /// Makes a change that was decided on, with all that follows from it.
    pub(crate) fn write(&mut self, record: Record, records: &mut Vec<Record>) {
        if let (Some(lag), Some(now), Record::Device(sequence, after)) = (&mut self.lag, self.now, &record) {
            lag.change(*sequence, self.devices.get(sequence).cloned(), after.clone(), now);
        }
        if let (Some(lag), Some(now), Record::Module(sequence, after)) = (&mut self.module_lag, self.now, &record) {
            lag.change(*sequence, self.modules.at(*sequence).cloned(), after.clone(), now);
        }
        if let Record::Device(sequence, None) = &record
            && let Some(device) = self.devices.get(sequence)
        {
            let id = device.id.clone();
            for module in self.modules.of(&id) {
                self.write(Record::Module(module.sequence, None), records);
            }
            self.forget_messages(&id, records);
        }
        if let Record::Module(sequence, None) = &record
            && let Some(forgetful) = self.without_session_of(*sequence)
        {
            self.write(forgetful, records);
        }
        if matches!(record, Record::Device(_, None) | Record::Module(_, None)) {
            self.removal = self.revision + 1;
        }
        let new_edge = match &record {
            Record::Device(sequence, Some(device)) => {
                let before = self.devices.get(sequence).map(|before| &before.identity_etag);
                (device.is_edge && before != Some(&device.identity_etag)).then(|| device.clone())
            }
            _ => None,
        };
        self.notice(&record);
        self.keep(record.clone());
        records.push(record);
        if let Some(device) = new_edge {
            self.add_system_modules(&device, records);
        }
    }

    /// Refuses an edge device that has no room for the system modules that it gets without asking.
    pub(in crate::core) fn check_room_for_system_modules(&self, identity: &Identity) -> Result<(), Refusal> {
        let id = &identity.device_id;
        let count = self.modules.count(id) + self.missing_system_modules(identity).count();
        if !identity.capabilities.iot_edge || count <= MODULES_PER_DEVICE {
            return Ok(());
        }
        let text = format!("the edge device '{id}' would have {count} modules, and can have {MODULES_PER_DEVICE}");
        Err(Refusal::new(ErrorCode::TooManyModulesOnDevice, text))
    }

    /// Creates the system modules that an edge device lacks: the service creates them with the device.
    pub(in crate::core) fn add_system_modules(&mut self, device: &Device, records: &mut Vec<Record>) {
        let identity = device.identity();
        if self.now.is_none() {
            return;
        }
        let missing: Vec<ModuleId> = self.missing_system_modules(&identity).collect();
        for module in missing {
            let identity = ModuleIdentity::system(&identity, module);
            let twin = TwinDocument::fresh_module(&identity);
            let module = Module::new(self.last_sequence + 1, self.next_revision(), &identity, &twin);
            self.write(Record::Module(module.sequence, Some(Arc::new(module))), records);
        }
    }

    /// Returns the system modules that an edge device should have and has not; none for another device.
    pub(in crate::core) fn missing_system_modules(&self, identity: &Identity) -> impl Iterator<Item = ModuleId> {
        let wanted = SYSTEM_MODULES.iter().filter(|_| identity.capabilities.iot_edge);
        let wanted = wanted.filter_map(|name| name.parse().ok());
        wanted.filter(|module| self.modules.get(&identity.device_id, module).is_none())
    }
}
