//! Content that is applied to one edge device at once: `az iot edge set-modules`.
//!
//! The content of each module becomes its desired properties, IoT Edge's own modules included. A module that the device does
//! not have is made without keys, managed by `iotEdge`, as a record of the service has it; the device's agent gives it keys
//! later. Modules that the content does not name stay.

use std::sync::Arc;

use time::OffsetDateTime;

use crate::core::ask::{Ask, Subject};
use crate::core::command::{Refusal, TwinWrite, invalid};
use crate::core::configurations::check::{WrittenPath, as_written, null_in};
use crate::core::configurations::evaluation::{add, change};
use crate::core::identity::Identity;
use crate::core::module::Module;
use crate::core::module_identity::ModuleIdentity;
use crate::core::record::Record;
use crate::core::state::Hub;
use crate::core::twin::TwinDocument;
use iothub_model::twin::DeviceId;
use iothub_model::twin::ModuleId;
use iothub_model::twin::Object;
use iothub_model::twin::OrderedObject;
use iothub_model::twin::OrderedValue;
use iothub_model::twin::limits::MODULES_PER_DEVICE;
use iothub_model::wire::ErrorCode;
use iothub_model::wire::configurations::ModuleContent;
use iothub_model::wire::configurations::decode_modules;
use iothub_model::wire::twins::SectionBody;
use iothub_model::wire::twins::TwinBody;

/// Applies content to one edge device at once.
#[derive(Clone, Debug)]
pub(crate) struct ApplyContent {
    /// The device.
    pub(crate) device: DeviceId,
    /// The content, as a configuration has it.
    pub(crate) content: OrderedObject,
}

impl Ask for ApplyContent {
    type Reply = ();
    const WRITES: bool = true;

    /// Shows modules, whichever it finds as they should be.
    fn subject(&self) -> Subject {
        Subject::Many
    }

    fn perform(self, hub: &mut Hub, now: OffsetDateTime, records: &mut Vec<Record>) -> Result<(), Refusal> {
        hub.apply_content(&self.device, &self.content, now, records)
    }
}

impl Hub {
    /// Applies the content to the device: all of it or nothing.
    fn apply_content(
        &mut self,
        device: &DeviceId,
        content: &OrderedObject,
        now: OffsetDateTime,
        records: &mut Vec<Record>,
    ) -> Result<(), Refusal> {
        let identity = self.device(device)?.identity();
        if !identity.capabilities.iot_edge {
            return Err(invalid(format!("Not an Azure IoT Edge device: {device}")));
        }
        let bad = |problem: String| Refusal::new(ErrorCode::InvalidConfigurationContent, problem);
        let mut modules = decode_modules(&Object::from(content)).map_err(|error| bad(error.to_string()))?;
        let written = content.get("modulesContent").and_then(OrderedValue::as_object);
        let written_of = |module: &str| written?.get(module)?.as_object();
        // New modules are made in the order in which the content names them.
        let place = |module: &ModuleContent| written?.iter().position(|(name, _)| name == module.module);
        modules.sort_by_cached_key(place);
        if !modules.iter().any(|module| module.module == "$edgeAgent") {
            return Err(bad("modulesContent has no `$edgeAgent`".to_owned()));
        }
        let mut changed = Vec::new();
        let mut count = self.modules.count(device);
        for ModuleContent { module, paths } in modules {
            if let Some(place) = paths.iter().find_map(null_in) {
                return Err(bad(format!("null at {module}: {place}")));
            }
            let content = as_written(paths, written_of(&module).into_iter().flat_map(OrderedObject::iter));
            let id: ModuleId = module.parse().map_err(|error: iothub_model::twin::IdError| bad(error.to_string()))?;
            let there = self.modules.get(device, &id).cloned();
            count += usize::from(there.is_none());
            changed.extend(self.applied_module(&identity, id, there, &content, now)?);
        }
        if count > MODULES_PER_DEVICE {
            let text = format!("the device '{device}' would have {count} modules, and can have {MODULES_PER_DEVICE}");
            return Err(Refusal::new(ErrorCode::TooManyModulesOnDevice, text));
        }
        for module in changed {
            let sequence = if module.sequence == 0 { self.last_sequence() + 1 } else { module.sequence };
            let module = Module { sequence, revision: self.next_revision(), ..module };
            self.write(Record::Module(sequence, Some(Arc::new(module))), records);
        }
        Ok(())
    }

    /// Returns a module with its content, in the place 0 if it is new; none if it has the content already.
    fn applied_module(
        &self,
        device: &Identity,
        id: ModuleId,
        there: Option<Arc<Module>>,
        content: &[WrittenPath],
        now: OffsetDateTime,
    ) -> Result<Option<Module>, Refusal> {
        let (sequence, identity, mut twin) = match &there {
            Some(module) => (module.sequence, module.identity(), module.twin()),
            None => {
                let identity = ModuleIdentity::system(device, id);
                let twin = TwinDocument::fresh_module(&identity);
                (0, identity, twin)
            }
        };
        let mut patch = OrderedObject::new();
        let desired = twin.desired();
        for WrittenPath { path, order } in content {
            add(&mut patch, OrderedObject::from(change(Some(&desired), path)).in_order_of(order));
        }
        if patch.is_empty() && there.is_some() {
            return Ok(None);
        }
        if !patch.is_empty() {
            twin.write(TwinWrite::Merge, TwinBody { tags: None, desired: Some(SectionBody::Object(patch)) }, now)?;
        }
        Ok(Some(Module::new(sequence, self.next_revision(), &identity, &twin)))
    }
}
