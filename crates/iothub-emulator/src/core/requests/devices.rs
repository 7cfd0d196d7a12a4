//! What can be asked about device identities.

use std::collections::HashSet;
use std::sync::Arc;

use time::OffsetDateTime;

use crate::core::ask::{Ask, Subject};
use crate::core::command::{Entropy, Refusal, check_delete, check_etag};
use crate::core::device::Device;
use crate::core::identity::Identity;
use crate::core::lag::Lag;
use crate::core::record::Record;
use crate::core::state::Hub;
use crate::core::twin::TwinDocument;
use iothub_model::twin::DeviceId;
use iothub_model::twin::IfMatch;
use iothub_model::wire::ErrorCode;
use iothub_model::wire::registry::DeviceBody;

/// An identity as it is, keys and all.
#[derive(Clone, Debug)]
pub(crate) struct GetDevice {
    /// Whose.
    pub(crate) id: DeviceId,
}

impl Ask for GetDevice {
    type Reply = Arc<Device>;
    const WRITES: bool = false;

    fn subject(&self) -> Subject {
        Subject::Twin(self.id.clone().into())
    }

    fn perform(self, hub: &mut Hub, _: OffsetDateTime, _: &mut Vec<Record>) -> Result<Arc<Device>, Refusal> {
        hub.device(&self.id).cloned()
    }

    fn shown(device: &Arc<Device>, _: &Hub) -> Option<u64> {
        Some(device.revision)
    }
}

/// Creates an identity with its twin (no condition), or replaces one (with a condition).
#[derive(Clone, Debug)]
pub(crate) struct PutDevice {
    /// Whose.
    pub(crate) id: DeviceId,
    /// What to write.
    pub(crate) body: Box<DeviceBody>,
    /// Under which condition.
    pub(crate) if_match: IfMatch,
    /// What the hub makes keys and numbers of.
    pub(crate) entropy: Entropy,
}

impl Ask for PutDevice {
    type Reply = Arc<Device>;
    const WRITES: bool = true;

    fn subject(&self) -> Subject {
        Subject::Twin(self.id.clone().into())
    }

    fn perform(self, hub: &mut Hub, now: OffsetDateTime, records: &mut Vec<Record>) -> Result<Arc<Device>, Refusal> {
        let Self { id, body, if_match, entropy } = self;
        let device = match if_match {
            IfMatch::Absent if hub.find(&id).is_some() => {
                let text = format!("a device with ID '{id}' is already registered; an update needs an If-Match header");
                return Err(Refusal::new(ErrorCode::DeviceAlreadyExists, text));
            }
            IfMatch::Absent => {
                let identity = Identity::create(id, *body, &entropy)?;
                let twin = TwinDocument::fresh(&identity, now);
                Device::new(hub.last_sequence() + 1, hub.next_revision(), &identity, &twin)
            }
            condition => {
                let device = hub.device(&id)?;
                let mut identity = device.identity();
                check_etag(&condition, &identity.etag)?;
                identity.replace(*body, &entropy, now, &|scope| hub.is_edge_scope(scope))?;
                hub.check_room_for_system_modules(&identity)?;
                let mut twin = device.twin();
                twin.follow(&identity);
                device.with_identity(hub.next_revision(), &identity, &twin)
            }
        };
        Ok(hub.write_device(device, records))
    }
}

/// Removes an identity and its twin.
#[derive(Clone, Debug)]
pub(crate) struct DeleteDevice {
    /// Whose.
    pub(crate) id: DeviceId,
    /// Under which condition; one must be given.
    pub(crate) if_match: IfMatch,
}

impl Ask for DeleteDevice {
    type Reply = ();
    const WRITES: bool = true;

    fn subject(&self) -> Subject {
        Subject::Twin(self.id.clone().into())
    }

    fn perform(self, hub: &mut Hub, _: OffsetDateTime, records: &mut Vec<Record>) -> Result<(), Refusal> {
        check_delete(&self.if_match)?;
        let device = hub.device(&self.id)?;
        check_etag(&self.if_match, &device.identity_etag)?;
        hub.write(Record::Device(device.sequence, None), records);
        Ok(())
    }
}

/// The first identities in order of creation.
#[derive(Clone, Debug)]
pub(crate) struct ListDevices {
    /// So many at most.
    pub(crate) top: usize,
}

impl Ask for ListDevices {
    type Reply = Vec<Arc<Device>>;
    const WRITES: bool = false;

    fn subject(&self) -> Subject {
        Subject::Many
    }

    fn perform(self, hub: &mut Hub, _: OffsetDateTime, _: &mut Vec<Record>) -> Result<Self::Reply, Refusal> {
        Ok(hub.devices.values().take(self.top).cloned().collect())
    }

    fn shown(devices: &Self::Reply, hub: &Hub) -> Option<u64> {
        Some(latest(devices, hub))
    }
}

/// How many devices there are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CountDevices;

/// How many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DeviceCounts {
    /// All.
    pub(crate) total: usize,
    /// Those that may connect.
    pub(crate) enabled: usize,
}

impl Ask for CountDevices {
    type Reply = DeviceCounts;
    const WRITES: bool = false;

    fn subject(&self) -> Subject {
        Subject::Many
    }

    fn perform(self, hub: &mut Hub, _: OffsetDateTime, _: &mut Vec<Record>) -> Result<DeviceCounts, Refusal> {
        Ok(DeviceCounts { total: hub.devices.len(), enabled: hub.enabled })
    }
}

/// The next devices in order of creation: what a query is asked of, a slice at a time.
#[derive(Clone, Debug)]
pub(crate) struct ScanDevices {
    /// The [`Device::sequence`] of the last one seen; 0 for none.
    pub(crate) after: u64,
    /// So many at most.
    pub(crate) limit: usize,
}

impl Ask for ScanDevices {
    type Reply = Vec<Arc<Device>>;
    const WRITES: bool = false;

    fn subject(&self) -> Subject {
        Subject::Many
    }

    fn perform(self, hub: &mut Hub, _: OffsetDateTime, _: &mut Vec<Record>) -> Result<Self::Reply, Refusal> {
        Ok(hub.devices_for_queries(self.after).take(self.limit).cloned().collect())
    }

    fn shown(devices: &Self::Reply, hub: &Hub) -> Option<u64> {
        Some(latest(devices, hub))
    }
}

/// The devices of these ids that exist, in order of creation: for a query that names all the devices it can match.
#[derive(Clone, Debug)]
pub(crate) struct FindDevices {
    /// Ids, or texts that are none.
    pub(crate) ids: Vec<String>,
}

impl Ask for FindDevices {
    type Reply = Vec<Arc<Device>>;
    const WRITES: bool = false;

    fn subject(&self) -> Subject {
        Subject::Many
    }

    fn perform(self, hub: &mut Hub, _: OffsetDateTime, _: &mut Vec<Record>) -> Result<Self::Reply, Refusal> {
        let mut found: Vec<_> = match &hub.lag {
            Some(lag) => hub.find_as_queries_do(lag, &self.ids),
            None => {
                let ids = self.ids.iter().filter_map(|id| id.parse::<DeviceId>().ok());
                ids.filter_map(|id| hub.find(&id).cloned()).collect()
            }
        };
        found.sort_unstable_by_key(|device| device.sequence);
        found.dedup_by_key(|device| device.sequence);
        Ok(found)
    }

    fn shown(devices: &Self::Reply, hub: &Hub) -> Option<u64> {
        Some(latest(devices, hub))
    }
}

/// Returns what a slice of the fleet shows: what is there, and by what it lacks what is gone.
fn latest(devices: &[Arc<Device>], hub: &Hub) -> u64 {
    devices.iter().map(|device| device.revision).fold(hub.removal, u64::max)
}

impl Hub {
    fn find_as_queries_do(&self, lag: &Lag<Device>, ids: &[String]) -> Vec<Arc<Device>> {
        let ids: HashSet<DeviceId> = ids.iter().filter_map(|id| id.parse().ok()).collect();
        let unchanged = ids.iter().filter_map(|id| self.find(id)).filter(|device| lag.seen(device.sequence).is_none());
        unchanged.chain(lag.changed().filter(|device| ids.contains(&device.id))).cloned().collect()
    }
}
