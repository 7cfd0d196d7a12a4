//! What can be asked about twins, of devices and of modules.

use std::sync::Arc;

use time::OffsetDateTime;

use crate::core::ask::{Ask, Subject};
use crate::core::command::{Refusal, TwinWrite, check_etag};
use crate::core::device::Device;
use crate::core::digital_twin::DigitalTwinChange;
use crate::core::document::Document;
use crate::core::module::{Module, reserved};
use crate::core::record::Record;
use crate::core::state::Hub;
use crate::core::twin::TwinDocument;
use iothub_model::twin::DeviceId;
use iothub_model::twin::ETag;
use iothub_model::twin::IfMatch;
use iothub_model::twin::OrderedObject;
use iothub_model::twin::TwinId;
use iothub_model::wire::modules::is_system_module;
use iothub_model::wire::twins::SectionBody;
use iothub_model::wire::twins::TwinBody;

/// A twin as it is now, with whose it is.
#[derive(Clone, Debug)]
pub(crate) enum TwinReply {
    /// A device's.
    Device(Arc<Device>),
    /// A module's.
    Module(Arc<Module>),
}

impl TwinReply {
    /// Returns the twin's document.
    pub(crate) fn document(&self) -> &Document {
        match self {
            Self::Device(device) => &device.twin,
            Self::Module(module) => &module.twin,
        }
    }

    /// Returns the twin's etag.
    pub(crate) fn etag(&self) -> &ETag {
        match self {
            Self::Device(device) => &device.twin_etag,
            Self::Module(module) => &module.twin_etag,
        }
    }

    fn revision(&self) -> u64 {
        match self {
            Self::Device(device) => device.revision,
            Self::Module(module) => module.revision,
        }
    }
}

/// A twin as it is.
#[derive(Clone, Debug)]
pub(crate) struct GetTwin {
    /// Whose.
    pub(crate) id: TwinId,
}

impl Ask for GetTwin {
    type Reply = TwinReply;
    const WRITES: bool = false;

    fn subject(&self) -> Subject {
        Subject::Twin(self.id.clone())
    }

    fn perform(self, hub: &mut Hub, _: OffsetDateTime, _: &mut Vec<Record>) -> Result<TwinReply, Refusal> {
        match self.id.module {
            None => Ok(TwinReply::Device(hub.device(&self.id.device)?.clone())),
            Some(_) => Ok(TwinReply::Module(hub.module_twin(&self.id)?.clone())),
        }
    }

    fn shown(reply: &TwinReply, _: &Hub) -> Option<u64> {
        Some(reply.revision())
    }
}

/// A write to tags and desired properties.
#[derive(Clone, Debug)]
pub(crate) struct WriteTwin {
    /// Whose.
    pub(crate) id: TwinId,
    /// What to do with what is there.
    pub(crate) how: TwinWrite,
    /// What to write.
    pub(crate) body: TwinBody,
    /// Under which condition.
    pub(crate) if_match: IfMatch,
}

impl Ask for WriteTwin {
    type Reply = TwinReply;
    const WRITES: bool = true;

    fn subject(&self) -> Subject {
        Subject::Twin(self.id.clone())
    }

    fn perform(self, hub: &mut Hub, now: OffsetDateTime, records: &mut Vec<Record>) -> Result<TwinReply, Refusal> {
        let Self { id, how, body, if_match } = self;
        match id.module {
            None => hub.write_device_twin(&id.device, how, body, &if_match, now, records).map(TwinReply::Device),
            Some(_) => hub.write_module_twin(&id, how, body, &if_match, now, records).map(TwinReply::Module),
        }
    }

    fn shown(reply: &TwinReply, _: &Hub) -> Option<u64> {
        Some(reply.revision())
    }
}

/// A write to a device twin by way of the digital twin.
#[derive(Clone, Debug)]
pub(crate) struct PatchDigitalTwin {
    /// The device.
    pub(crate) id: DeviceId,
    /// The changes, in order.
    pub(crate) changes: Vec<DigitalTwinChange>,
    /// Under which condition.
    pub(crate) if_match: IfMatch,
}

impl Ask for PatchDigitalTwin {
    type Reply = Arc<Device>;
    const WRITES: bool = true;

    fn subject(&self) -> Subject {
        Subject::Twin(self.id.clone().into())
    }

    fn perform(self, hub: &mut Hub, now: OffsetDateTime, records: &mut Vec<Record>) -> Result<Arc<Device>, Refusal> {
        let Self { id, changes, if_match } = self;
        let twin: OrderedObject =
            serde_json::from_str(hub.device(&id)?.twin.as_str()).expect("a kept document is JSON");
        let patch = DigitalTwinChange::patch(&changes, &twin)?;
        let desired = Some(patch).filter(|patch| !patch.is_empty()).map(SectionBody::Object);
        let body = TwinBody { tags: None, desired };
        hub.write_device_twin(&id, TwinWrite::Merge, body, &if_match, now, records)
    }

    fn shown(device: &Arc<Device>, _: &Hub) -> Option<u64> {
        Some(device.revision)
    }
}

impl Hub {
    /// Writes to a device's twin, and returns the device as it is then.
    fn write_device_twin(
        &mut self,
        id: &DeviceId,
        how: TwinWrite,
        body: TwinBody,
        if_match: &IfMatch,
        now: OffsetDateTime,
        records: &mut Vec<Record>,
    ) -> Result<Arc<Device>, Refusal> {
        let device = self.device(id)?;
        let mut twin = device.twin();
        if !write(&mut twin, how, body, if_match, now)? {
            return Ok(device.clone());
        }
        Ok(self.write_device(device.with_twin(self.next_revision(), &twin), records))
    }

    /// Writes to a module's twin, and returns the module as it is then.
    fn write_module_twin(
        &mut self,
        id: &TwinId,
        how: TwinWrite,
        body: TwinBody,
        if_match: &IfMatch,
        now: OffsetDateTime,
        records: &mut Vec<Record>,
    ) -> Result<Arc<Module>, Refusal> {
        let module = self.module_twin(id)?;
        if is_system_module(&module.id) {
            return Err(reserved(&module.id));
        }
        let mut twin = module.twin();
        if !write(&mut twin, how, body, if_match, now)? {
            return Ok(module.clone());
        }
        Ok(self.write_module(module.with_twin(self.next_revision(), &twin), records))
    }
}

/// Writes to a twin under a condition. Returns `true` if anything was written.
fn write(
    twin: &mut TwinDocument,
    how: TwinWrite,
    body: TwinBody,
    if_match: &IfMatch,
    now: OffsetDateTime,
) -> Result<bool, Refusal> {
    // An etag without quotes is passed over, as the service did when its own SDKs forgot the quotes.
    if !matches!(if_match, IfMatch::Unquoted(_)) {
        check_etag(if_match, &twin.etag)?;
    }
    twin.write(how, body, now)
}
