//! The hub of a data folder without a listener: for adding and listing devices while no server runs.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use crate::access::Policies;
use crate::clock::Clock;
use crate::core::ask::Ask;
use crate::core::command::Refusal;
use crate::core::device::Device;
use crate::core::requests::devices::{DeleteDevice, GetDevice, PutDevice, ScanDevices};
use crate::core::state::Hub;
use crate::handle;
use crate::start_error::HubStartError;
use crate::store::folder::Folder;
use crate::store::{Failure, Store};
use iothub_model::twin::DeviceId;
use iothub_model::twin::IfMatch;
use iothub_model::wire::ErrorCode;
use iothub_model::wire::Secret;
use iothub_model::wire::registry::{Capabilities, DeviceBody};

/// What a host name in a connection string is when the folder was never served.
const HOST_NAME: &str = "localhost";

/// A hub whose data directory this process holds, and which nobody else can ask: for adding and listing devices while no server runs. Opened
/// by [`EmulatorBuilder::open`](crate::EmulatorBuilder::open).
pub struct OfflineHub {
    hub: Hub,
    store: Store,
    policies: Policies,
    clock: Clock,
    host_name: String,
    /// Why a change did not reach the disk. From then on nothing is answered: the machine is ahead of what is kept.
    failure: Option<Failure>,
}

impl OfflineHub {
    /// Opens the hub of a folder, made when it is missing, with all that a server makes at its first start.
    pub(crate) fn open(data: &Path, clock: Clock) -> Result<Self, HubStartError> {
        let folder = Arc::new(Folder::open(data)?);
        folder.announce(None)?;
        let (store, hub) = Store::open(folder.clone())?;
        let policies = Policies::open(&folder)?;
        let host_name = folder.last_host_name().unwrap_or_else(|| HOST_NAME.to_owned());
        Ok(Self { hub, store, policies, clock, host_name, failure: None })
    }

    /// Does what is asked; what it changes is on disk when this returns.
    pub(crate) fn handle<A: Ask>(&mut self, ask: A) -> Result<A::Reply, Refusal> {
        if let Some(failure) = &self.failure {
            return Err(unwritten(failure));
        }
        let outcome = self.hub.handle(ask, (self.clock)());
        if let Some(change) = outcome.change
            && let Err(failure) = self.store.commit(&[change])
        {
            let refusal = unwritten(&failure);
            self.failure = Some(failure);
            return Err(refusal);
        }
        outcome.reply
    }

    /// Registers a device with keys of the hub's making, and returns its connection string.
    ///
    /// # Errors
    ///
    /// `DeviceAlreadyExists` when it is there.
    pub fn add_device(&mut self, id: &DeviceId) -> Result<Secret, Refusal> {
        self.put_device(id, DeviceBody::default())
    }

    /// Registers an IoT Edge device with keys of the hub's making, and returns its connection string.
    ///
    /// # Errors
    ///
    /// `DeviceAlreadyExists` when it is there.
    pub fn add_edge_device(&mut self, id: &DeviceId) -> Result<Secret, Refusal> {
        let capabilities = Some(Capabilities { iot_edge: true });
        self.put_device(id, DeviceBody { capabilities, ..DeviceBody::default() })
    }

    /// Deletes a device, with its twin and modules.
    ///
    /// # Errors
    ///
    /// `DeviceNotFound`.
    pub fn remove_device(&mut self, id: &DeviceId) -> Result<(), Refusal> {
        self.handle(DeleteDevice { id: id.clone(), if_match: IfMatch::Any })
    }

    fn put_device(&mut self, id: &DeviceId, body: DeviceBody) -> Result<Secret, Refusal> {
        let (entropy, body) = (handle::entropy()?, Box::new(body));
        self.handle(PutDevice { id: id.clone(), body, if_match: IfMatch::Absent, entropy })?;
        let no_key = || Refusal::new(ErrorCode::ServerError, format!("the new device {id} has no key"));
        self.connection_string(id)?.ok_or_else(no_key)
    }

    /// Returns a device's connection string; `None` for one that has no key.
    ///
    /// # Errors
    ///
    /// `DeviceNotFound`.
    pub fn connection_string(&mut self, id: &DeviceId) -> Result<Option<Secret>, Refusal> {
        let key = self.device(id)?.identity().authentication.symmetric_key.primary_key;
        Ok(key.map(|key| Secret::new(format!("HostName={};DeviceId={id};SharedAccessKey={key}", self.host_name))))
    }

    /// Returns the connection string of a shared access policy; `None` where there is no such policy.
    pub fn policy_connection_string(&self, policy: &str) -> Option<Secret> {
        self.policies.connection_string(&self.host_name, policy)
    }

    /// Returns the identities of all devices as the service API answers them, in order of creation.
    ///
    /// # Errors
    ///
    /// None that a hub which opened gives.
    pub fn devices(&mut self) -> Result<Vec<Value>, Refusal> {
        self.scan()?.iter().map(|device| read(device.identity.as_str())).collect()
    }

    /// Returns all devices with their twins, in order of creation.
    pub(crate) fn scan(&mut self) -> Result<Vec<Arc<Device>>, Refusal> {
        self.handle(ScanDevices { after: 0, limit: usize::MAX })
    }

    fn device(&mut self, id: &DeviceId) -> Result<Arc<Device>, Refusal> {
        self.handle(GetDevice { id: id.clone() })
    }

    /// Returns the twin as `GET /twins/{id}` answers it.
    ///
    /// # Errors
    ///
    /// `DeviceNotFound`.
    pub fn twin(&mut self, id: &DeviceId) -> Result<Value, Refusal> {
        read(self.device(id)?.twin.as_str())
    }

    /// Returns the host name that connection strings have: where the folder was last served.
    pub fn host_name(&self) -> &str {
        &self.host_name
    }
}

fn read(document: &str) -> Result<Value, Refusal> {
    serde_json::from_str(document).map_err(|error| Refusal::new(ErrorCode::ServerError, format!("reading it: {error}")))
}

impl fmt::Debug for OfflineHub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OfflineHub").field("host_name", &self.host_name).finish_non_exhaustive()
    }
}

fn unwritten(failure: &Failure) -> Refusal {
    Refusal::new(ErrorCode::ServiceUnavailable, format!("writing to the data folder: {failure}"))
}
