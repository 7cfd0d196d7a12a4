//! All that the hub knows: where each thing is found, and what a store gives back.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;

use crate::core::command::{Notice, Refusal};
use crate::core::configurations::Configurations;
use crate::core::device::Device;
use crate::core::jobs::Jobs;
use crate::core::lag::Lag;
use crate::core::messages::queues::Queues;
use crate::core::module::{Module, Modules};
use crate::core::record::Record;
use crate::core::scope::device_of;
use crate::core::transfer::Transfers;
use iothub_model::twin::DeviceId;
use iothub_model::twin::ModuleId;
use iothub_model::twin::TwinId;
use iothub_model::wire::ErrorCode;
use iothub_model::wire::registry::DeviceStatus;

/// The devices, and the rules by which they change. No clock, no randomness, no disk.
#[derive(Debug, Default)]
pub(crate) struct Hub {
    pub(in crate::core) sequences: HashMap<DeviceId, u64>,
    pub(in crate::core) devices: BTreeMap<u64, Arc<Device>>,
    pub(crate) modules: Modules,
    pub(crate) configurations: Configurations,
    pub(crate) jobs: Jobs,
    pub(in crate::core) transfers: Transfers,
    pub(in crate::core) queues: Queues,
    pub(in crate::core) last_sequence: u64,
    pub(in crate::core) enabled: usize,
    pub(in crate::core) revision: u64,
    /// The revision of the last change that removed something: what an answer that shows an absence has seen.
    pub(in crate::core) removal: u64,
    /// How queries see it, when they lag.
    pub(in crate::core) lag: Option<Lag<Device>>,
    pub(in crate::core) module_lag: Option<Lag<Module>>,
    /// The time of the request under way.
    pub(in crate::core) now: Option<OffsetDateTime>,
    /// Who is connected, by the connection's number.
    pub(in crate::core) connected: BTreeMap<TwinId, u64>,
    /// What the request under way has for those who are connected.
    pub(in crate::core) notices: Vec<Notice>,
}

impl Hub {
    /// Takes up where a store left off.
    pub(crate) fn restore(kept: impl IntoIterator<Item = Record>, last_sequence: u64) -> Self {
        let mut hub = Self { last_sequence, ..Self::default() };
        for record in kept {
            // Twins whose configurations went while nobody evaluated; to look twice does no harm.
            hub.configurations.leftovers |= record.twin().is_some_and(|twin| twin.contains("\"configurations\":{"));
            hub.keep(record);
        }
        hub
    }

    /// Lets queries lag: they see the hub as it was that long ago, as far back as it has been running. What is asked for by
    /// its id is always current.
    #[must_use]
    pub(crate) fn with_query_lag(mut self, by: Duration) -> Self {
        self.lag = (!by.is_zero()).then(|| Lag::new(by));
        self.module_lag = (!by.is_zero()).then(|| Lag::new(by));
        self
    }

    /// Returns the revision of the change to come.
    pub(crate) fn next_revision(&self) -> u64 {
        self.revision + 1
    }

    /// Returns the last place in the order of creation that was given.
    pub(crate) fn last_sequence(&self) -> u64 {
        self.last_sequence
    }

    /// Returns the devices after one, in order of creation.
    pub(crate) fn devices_after(&self, after: u64) -> impl Iterator<Item = &Arc<Device>> {
        let next = (std::ops::Bound::Excluded(after), std::ops::Bound::Unbounded);
        self.devices.range(next).map(|(_, device)| device)
    }

    /// Returns the devices after one as queries see them.
    pub(crate) fn devices_for_queries(&self, after: u64) -> Box<dyn Iterator<Item = &Arc<Device>> + '_> {
        match &self.lag {
            Some(lag) => Box::new(lag.scan(&self.devices, after)),
            None => Box::new(self.devices_after(after)),
        }
    }

    pub(crate) fn find(&self, id: &DeviceId) -> Option<&Arc<Device>> {
        self.devices.get(self.sequences.get(id)?)
    }

    /// Returns `true` if a scope is that of an edge device that is there.
    pub(in crate::core) fn is_edge_scope(&self, scope: &str) -> bool {
        let device = device_of(scope).and_then(|id| self.find(&id));
        device
            .map(|device| device.identity())
            .is_some_and(|identity| identity.capabilities.iot_edge && identity.device_scope.as_deref() == Some(scope))
    }

    pub(crate) fn device(&self, id: &DeviceId) -> Result<&Arc<Device>, Refusal> {
        self.find(id).ok_or_else(|| Refusal::new(ErrorCode::DeviceNotFound, format!("device {id} not registered")))
    }

    /// A missing module's twin says DeviceNotFound, unlike its identity.
    pub(in crate::core) fn module_twin(&self, id: &TwinId) -> Result<&Arc<Module>, Refusal> {
        let missing = || Refusal::new(ErrorCode::DeviceNotFound, format!("there is no twin of the module {id}"));
        self.modules.twin(id).ok_or_else(missing)
    }

    pub(crate) fn module(&self, device: &DeviceId, module: &ModuleId) -> Result<&Arc<Module>, Refusal> {
        self.device(device)?;
        let missing = || Refusal::new(ErrorCode::ModuleNotFound, format!("module {module} not registered on {device}"));
        self.modules.get(device, module).ok_or_else(missing)
    }

    /// Takes a record over, as a store gives it back or a change makes it.
    pub(in crate::core) fn keep(&mut self, record: Record) {
        match record {
            Record::Device(sequence, Some(device)) => {
                self.last_sequence = self.last_sequence.max(sequence);
                self.enabled += usize::from(device.status == DeviceStatus::Enabled);
                self.sequences.insert(device.id.clone(), sequence);
                if let Some(before) = self.devices.insert(sequence, device) {
                    self.enabled -= usize::from(before.status == DeviceStatus::Enabled);
                }
            }
            Record::Device(sequence, None) => {
                if let Some(device) = self.devices.remove(&sequence) {
                    self.sequences.remove(&device.id);
                    self.enabled -= usize::from(device.status == DeviceStatus::Enabled);
                }
            }
            Record::Module(sequence, Some(module)) => {
                self.last_sequence = self.last_sequence.max(sequence);
                self.modules.put(module);
            }
            Record::Module(sequence, None) => self.modules.remove(sequence),
            Record::Configuration(sequence, Some(configuration)) => {
                self.last_sequence = self.last_sequence.max(sequence);
                self.configurations.put(configuration);
            }
            Record::Transfer(sequence, Some(transfer)) => {
                self.last_sequence = self.last_sequence.max(sequence);
                self.transfers.put(transfer);
            }
            Record::Transfer(sequence, None) => self.transfers.remove(sequence, self.next_revision()),
            Record::Job(sequence, Some(job)) => {
                self.last_sequence = self.last_sequence.max(sequence);
                self.jobs.put(job);
            }
            Record::Job(sequence, None) => self.jobs.remove(sequence, self.next_revision()),
            Record::DeviceJob(sequence, Some(it)) => {
                self.last_sequence = self.last_sequence.max(sequence);
                self.jobs.put_device_job(it);
            }
            Record::DeviceJob(sequence, None) => self.jobs.remove_device_job(sequence, self.next_revision()),
            Record::Message(sequence, Some(message)) => {
                self.last_sequence = self.last_sequence.max(sequence);
                self.queues.put(message);
            }
            Record::Message(sequence, None) => self.queues.remove(sequence),
            Record::Feedback(sequence, Some(feedback)) => {
                self.last_sequence = self.last_sequence.max(sequence);
                self.queues.put_feedback(feedback);
            }
            Record::Feedback(sequence, None) => self.queues.remove_feedback(sequence),
            Record::Configuration(sequence, None) => self.configurations.remove(sequence, self.next_revision()),
        }
    }
}
