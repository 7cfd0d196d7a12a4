//! The whole hub as a pure machine: a command and the time in, an answer and what changed out.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;

use crate::core::command::{Change, Command, Notice, Outcome, Record, Refusal, Reply, TwinWrite};
use crate::core::configurations::{ConfigurationCommand, Configurations};
use crate::core::device::Device;
use crate::core::digital_twin::Change as DigitalTwinChange;
use crate::core::identity::Identity;
use crate::core::jobs::{JobCommand, JobStep, Jobs};
use crate::core::lag::Lag;
use crate::core::messages::MessageCommand;
use crate::core::messages::queues::Queues;
use crate::core::modules::{Module, ModuleCommand, ModuleIdentity, Modules};
use crate::core::scope::device_of;
use crate::core::session::SessionCommand;
use crate::core::transfers::Transfers;
use crate::core::twin::TwinDocument;
use iothub_model::twin::DeviceId;
use iothub_model::twin::ETag;
use iothub_model::twin::IfMatch;
use iothub_model::twin::ModuleId;
use iothub_model::twin::OrderedObject;
use iothub_model::twin::TwinId;
use iothub_model::twin::limits::MODULES_PER_DEVICE;
use iothub_model::wire::ErrorCode;
use iothub_model::wire::modules::SYSTEM_MODULES;
use iothub_model::wire::modules::is_system_module;
use iothub_model::wire::registry::DeviceStatus;
use iothub_model::wire::twins::SectionBody;
use iothub_model::wire::twins::TwinBody;

pub(crate) use crate::core::sessions::admit;

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
    /// The time of the command under way.
    pub(in crate::core) now: Option<OffsetDateTime>,
    /// Who is connected, by the connection's number.
    pub(in crate::core) connected: BTreeMap<TwinId, u64>,
    /// What the command under way has for those who are connected.
    pub(in crate::core) notices: Vec<Notice>,
}

/// What a command comes to: the answer, and what is different after it.
pub(crate) type Decision = (Reply, Option<Record>);

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

    /// Does what a command asks.
    pub(crate) fn handle(&mut self, command: Command, now: OffsetDateTime) -> Outcome {
        self.now = Some(now);
        if let Some(lag) = &mut self.lag {
            lag.settle(now);
        }
        if let Some(lag) = &mut self.module_lag {
            lag.settle(now);
        }
        let subject = Subject::of(&command);
        let mut records = Vec::new();
        let reply = self.perform(command, now, &mut records);
        let notices = std::mem::take(&mut self.notices);
        if records.is_empty() {
            let seen = self.seen(&reply, &subject);
            return Outcome { reply, change: None, seen, notices };
        }
        self.revision += 1;
        let revision = self.revision;
        Outcome { reply, change: Some(Change { revision, records }), seen: revision, notices }
    }

    /// Does what a command asks as a part of the revision to come, and adds what changed to `records`.
    pub(in crate::core) fn perform(
        &mut self,
        command: Command,
        now: OffsetDateTime,
        records: &mut Vec<Record>,
    ) -> Result<Reply, Refusal> {
        let (reply, record) = match command {
            Command::Bulk { entries } => return Ok(Reply::Bulk(self.bulk(entries, now, records))),
            Command::RegenerateKeys { which, owners } => return Ok(self.regenerate_keys(which, owners, records)),
            Command::Configuration(ConfigurationCommand::Apply { device, content }) => {
                return self.apply_content(&device, &content, now, records);
            }
            Command::Job(JobCommand::Run { limit }) => return Ok(Reply::Ran(self.run_jobs(limit, now, records))),
            Command::Job(JobCommand::Finish { device_job, outcome }) => {
                self.finish_method(device_job, outcome, now, records);
                return Ok(Reply::Ran(JobStep::default()));
            }
            Command::Configuration(ConfigurationCommand::Evaluate { limit }) => {
                return Ok(Reply::Evaluated { done: self.evaluate(limit, now, records) });
            }
            Command::Message(command) => return self.message(command, now, records),
            Command::Session(SessionCommand::Take { id, connection, at_most_once }) => {
                return self.take_messages(&id, connection, at_most_once, now, records);
            }
            Command::Session(SessionCommand::Complete { id, connection, message }) => {
                return self.complete_message(&id, connection, message, now, records);
            }
            Command::Session(command) => {
                let announced = command.announced();
                let decision = self.session(command, now)?;
                if let Some(record) = decision.1 {
                    self.write(record, records);
                }
                (decision.0, announced.and_then(|(id, model)| self.with_model(&id, &model)))
            }
            command => return self.carry_out(command, now, records),
        };
        if let Some(record) = record {
            self.write(record, records);
        }
        Ok(reply)
    }

    /// Decides what a command comes to, and makes the change.
    pub(crate) fn carry_out(
        &mut self,
        command: Command,
        now: OffsetDateTime,
        records: &mut Vec<Record>,
    ) -> Result<Reply, Refusal> {
        let (reply, record) = self.decide(command, now)?;
        if let Some(record) = record {
            self.write(record, records);
        }
        Ok(reply)
    }

    /// Returns the revision of the latest change that an answer shows which changed nothing itself.
    fn seen(&self, reply: &Result<Reply, Refusal>, subject: &Subject) -> u64 {
        match (reply, subject) {
            // A slice of the fleet shows what is there, and shows by what it lacks what is gone.
            (Ok(Reply::Devices(devices)), _) => {
                devices.iter().map(|device| device.revision).fold(self.removal, u64::max)
            }
            (Ok(Reply::Modules(modules)), _) => {
                modules.iter().map(|module| module.revision).fold(self.removal, u64::max)
            }
            (Ok(Reply::Messages(messages)), _) => messages.iter().map(|message| message.revision).max().unwrap_or(0),
            (Ok(Reply::Feedback(batch)), _) => batch.iter().map(|feedback| feedback.revision).max().unwrap_or(0),
            (Ok(Reply::Counts { .. }), _) => self.revision,
            (Ok(Reply::Configuration(configuration)), _) => configuration.revision,
            (_, Subject::Configurations) => self.configurations.latest,
            (_, Subject::Jobs) => self.jobs.latest,
            (_, Subject::Transfers) => self.transfers.latest,
            (Ok(Reply::Device(device)), _) => device.revision,
            (Ok(Reply::Module(module)), _) => module.revision,
            (_, Subject::Twin(id)) => {
                let device = self.find(&id.device).map_or(self.removal, |device| device.revision);
                let module = id.module.as_ref().map(|_| self.modules.twin(id).map_or(self.removal, |it| it.revision));
                device.max(module.unwrap_or(0))
            }
            (_, Subject::Nothing) => 0,
            (_, Subject::Many) => self.revision,
        }
    }

    pub(crate) fn decide(&self, command: Command, now: OffsetDateTime) -> Result<Decision, Refusal> {
        match command {
            Command::GetTwin { id } => match id.module {
                None => Ok((Reply::Device(self.device(&id.device)?.clone()), None)),
                Some(_) => Ok((Reply::Module(self.module_twin(&id)?.clone()), None)),
            },
            Command::WriteTwin { id, how, body, if_match } => self.write_twin(&id, how, body, &if_match, now),
            Command::PatchDigitalTwin { id, changes, if_match } => {
                let twin: OrderedObject =
                    serde_json::from_str(self.device(&id)?.twin.as_str()).expect("a kept document is JSON");
                let patch = DigitalTwinChange::patch(&changes, &twin)?;
                let body = TwinBody {
                    tags: None,
                    desired: Some(patch).filter(|patch| !patch.is_empty()).map(SectionBody::Object),
                };
                self.write_twin(&id.into(), TwinWrite::Merge, body, &if_match, now)
            }
            Command::GetDevice { id } => Ok((Reply::Device(self.device(&id)?.clone()), None)),
            Command::PutDevice { id, body, if_match, entropy } => match if_match {
                IfMatch::Absent if self.sequences.contains_key(&id) => Err(Refusal::new(
                    ErrorCode::DeviceAlreadyExists,
                    format!("a device with ID '{id}' is already registered; an update needs an If-Match header"),
                )),
                IfMatch::Absent => {
                    let identity = Identity::create(id, *body, &entropy)?;
                    let twin = TwinDocument::fresh(&identity, now);
                    Ok(put(Device::new(self.last_sequence + 1, self.revision + 1, &identity, &twin)))
                }
                condition => {
                    let device = self.device(&id)?;
                    let mut identity = device.identity();
                    check_etag(&condition, &identity.etag)?;
                    identity.replace(*body, &entropy, now, &|scope| self.is_edge_scope(scope))?;
                    self.check_room_for_system_modules(&identity)?;
                    let mut twin = device.twin();
                    twin.follow(&identity);
                    Ok(put(device.with_identity(self.revision + 1, &identity, &twin)))
                }
            },
            Command::DeleteDevice { id, if_match } => {
                check_delete(&if_match)?;
                let device = self.device(&id)?;
                check_etag(&if_match, &device.identity_etag)?;
                Ok((Reply::Deleted, Some(Record::Device(device.sequence, None))))
            }
            Command::ListDevices { top } => {
                Ok((Reply::Devices(self.devices.values().take(top).cloned().collect()), None))
            }
            Command::CountDevices => Ok((Reply::Counts { total: self.devices.len(), enabled: self.enabled }, None)),
            Command::ScanDevices { after, limit } => {
                Ok((Reply::Devices(self.devices_for_queries(after).take(limit).cloned().collect()), None))
            }
            Command::FindDevices { ids } => {
                let mut found: Vec<_> = match &self.lag {
                    Some(lag) => self.find_as_queries_do(lag, &ids),
                    None => {
                        let ids = ids.iter().filter_map(|id| id.parse::<DeviceId>().ok());
                        ids.filter_map(|id| self.find(&id).cloned()).collect()
                    }
                };
                found.sort_unstable_by_key(|device| device.sequence);
                found.dedup_by_key(|device| device.sequence);
                Ok((Reply::Devices(found), None))
            }
            Command::Module(command) => {
                if let Some((device, _)) = command.subject() {
                    self.check_open_to_modules(device)?;
                }
                self.decide_module(command)
            }
            Command::Configuration(command) => {
                self.configurations.decide(command, self.last_sequence + 1, self.next_revision(), now)
            }
            Command::Transfer(command) => {
                self.transfers.decide(command, self.last_sequence + 1, self.next_revision(), now)
            }
            Command::Job(command) => self.jobs.decide(command, self.last_sequence + 1, self.next_revision(), now),
            Command::Bulk { .. } | Command::RegenerateKeys { .. } | Command::Message(_) | Command::Session(_) => {
                unreachable!("done elsewhere, step by step")
            }
        }
    }

    pub(crate) fn decide_module(&self, command: ModuleCommand) -> Result<Decision, Refusal> {
        match command {
            ModuleCommand::Get { device, module } => Ok((Reply::Module(self.module(&device, &module)?.clone()), None)),
            ModuleCommand::List { device } => Ok((Reply::Modules(self.modules.of(&device)), None)),
            ModuleCommand::Put { module, .. } | ModuleCommand::Delete { module, .. } if is_system_module(&module) => {
                Err(reserved(&module))
            }
            ModuleCommand::Put { device, module, body, if_match: IfMatch::Absent, entropy } => {
                self.device(&device)?;
                if self.modules.get(&device, &module).is_some() {
                    let text = format!("a module with ID '{module}' is already registered on the device '{device}'");
                    return Err(Refusal::new(ErrorCode::ModuleAlreadyExistsOnDevice, text));
                }
                if self.modules.count(&device) >= MODULES_PER_DEVICE {
                    let text = format!("the device '{device}' has {MODULES_PER_DEVICE} modules, and can have no more");
                    return Err(Refusal::new(ErrorCode::TooManyModulesOnDevice, text));
                }
                let identity = ModuleIdentity::create(device, module, *body, &entropy)?;
                let twin = TwinDocument::fresh_module(&identity);
                Ok(put_module(Module::new(self.last_sequence + 1, self.revision + 1, &identity, &twin)))
            }
            ModuleCommand::Put { device, module, body, if_match, entropy } => {
                let module = self.module(&device, &module)?;
                let mut identity = module.identity();
                check_etag(&if_match, &identity.etag)?;
                identity.replace(*body, &entropy)?;
                let mut twin = module.twin();
                twin.follow_module(&identity);
                Ok(put_module(Module::new(module.sequence, self.revision + 1, &identity, &twin)))
            }
            ModuleCommand::Delete { device, module, if_match } => {
                check_delete(&if_match)?;
                let module = self.module(&device, &module)?;
                check_etag(&if_match, &module.identity_etag)?;
                Ok((Reply::Deleted, Some(Record::Module(module.sequence, None))))
            }
            ModuleCommand::Scan { after, limit } => {
                let found = match &self.module_lag {
                    Some(lag) => lag.scan(self.modules.by_sequence(), after).take(limit).cloned().collect(),
                    None => self.modules.after(after).take(limit).cloned().collect(),
                };
                Ok((Reply::Modules(found), None))
            }
            ModuleCommand::Find { devices } => {
                let ids: HashSet<DeviceId> = devices.iter().filter_map(|id| id.parse().ok()).collect();
                let mut found: Vec<_> = ids.iter().flat_map(|id| self.modules.of(id)).collect();
                if let Some(lag) = &self.module_lag {
                    found.retain(|module| lag.seen(module.sequence).is_none());
                    found.extend(lag.changed().filter(|module| ids.contains(&module.device)).cloned());
                }
                found.sort_unstable_by_key(|module| module.sequence);
                Ok((Reply::Modules(found), None))
            }
        }
    }

    pub(in crate::core) fn write_twin(
        &self,
        id: &TwinId,
        how: TwinWrite,
        body: TwinBody,
        if_match: &IfMatch,
        now: OffsetDateTime,
    ) -> Result<Decision, Refusal> {
        if id.module.is_some() {
            let module = self.module_twin(id)?;
            if is_system_module(&module.id) {
                return Err(reserved(&module.id));
            }
            let mut twin = module.twin();
            return Ok(match write(&mut twin, how, body, if_match, now)? {
                true => put_module(module.with_twin(self.revision + 1, &twin)),
                false => (Reply::Module(module.clone()), None),
            });
        }
        let device = self.device(&id.device)?;
        let mut twin = device.twin();
        Ok(match write(&mut twin, how, body, if_match, now)? {
            true => put(device.with_twin(self.revision + 1, &twin)),
            false => (Reply::Device(device.clone()), None),
        })
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

    pub(in crate::core) fn find_as_queries_do(&self, lag: &Lag<Device>, ids: &[String]) -> Vec<Arc<Device>> {
        let ids: HashSet<DeviceId> = ids.iter().filter_map(|id| id.parse().ok()).collect();
        let unchanged = ids.iter().filter_map(|id| self.find(id)).filter(|device| lag.seen(device.sequence).is_none());
        unchanged.chain(lag.changed().filter(|device| ids.contains(&device.id))).cloned().collect()
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

    /// The service looks a module's identity up with its device's rights, and so answers with 401 where that one is missing
    /// or disabled.
    pub(in crate::core) fn check_open_to_modules(&self, id: &DeviceId) -> Result<(), Refusal> {
        match self.find(id) {
            Some(device) if device.status == DeviceStatus::Enabled => Ok(()),
            Some(_) => Err(Refusal::new(ErrorCode::IotHubUnauthorizedAccess, format!("the device {id} is disabled"))),
            None => Err(Refusal::new(ErrorCode::IotHubUnauthorizedAccess, format!("device {id} not registered"))),
        }
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

/// What a command is about, when it is not what it answers with.
enum Subject {
    /// One device or module.
    Twin(TwinId),
    /// Configurations, and which there are.
    Configurations,
    /// Jobs, and which there are.
    Jobs,
    /// Import and export jobs, and which there are.
    Transfers,
    /// Nothing at all.
    Nothing,
    /// More than can be told.
    Many,
}

impl Subject {
    pub(in crate::core) fn of(command: &Command) -> Self {
        match command {
            Command::GetTwin { id } | Command::WriteTwin { id, .. } => Self::Twin(id.clone()),
            Command::GetDevice { id } | Command::PutDevice { id, .. } | Command::DeleteDevice { id, .. } => {
                Self::Twin(id.clone().into())
            }
            Command::PatchDigitalTwin { id, .. } => Self::Twin(id.clone().into()),
            Command::Module(command) => match command.subject() {
                Some((device, module)) => Self::Twin(TwinId { device: device.clone(), module: module.cloned() }),
                None => Self::Many,
            },
            // Shows modules, whichever it finds as they should be.
            Command::Configuration(ConfigurationCommand::Apply { .. }) => Self::Many,
            Command::Configuration(_) => Self::Configurations,
            Command::Job(_) => Self::Jobs,
            Command::Transfer(_) => Self::Transfers,
            Command::Message(MessageCommand::Send { to, .. }) => Self::Twin(to.clone()),
            Command::Message(
                MessageCommand::Purge { device }
                | MessageCommand::Receive { device, .. }
                | MessageCommand::Settle { device, .. },
            ) => Self::Twin(device.clone().into()),
            // They show nothing but what they answer with.
            Command::Message(_) => Self::Nothing,
            Command::Session(command) => Self::Twin(command.sender().0.clone()),
            Command::Bulk { .. }
            | Command::RegenerateKeys { .. }
            | Command::ListDevices { .. }
            | Command::CountDevices
            | Command::ScanDevices { .. }
            | Command::FindDevices { .. } => Self::Many,
        }
    }
}

/// Writes to a twin under a condition. Says whether anything was written.
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

/// What nobody may do to IoT Edge's own modules, whatever their credentials (iotedge#1162): a deployment's content writes them.
fn reserved(module: &ModuleId) -> Refusal {
    let text = format!("Unauthorized to modify reserved module. `{module}` is IoT Edge's own");
    Refusal::new(ErrorCode::SystemModuleModifyUnauthorizedAccess, text)
}

fn check_delete(if_match: &IfMatch) -> Result<(), Refusal> {
    match if_match {
        IfMatch::Absent => Err(Refusal::new(
            ErrorCode::PreconditionFailed,
            "ETag missing: a delete needs an If-Match header, \"*\" for whatever is there",
        )),
        _ => Ok(()),
    }
}

fn put(device: Device) -> Decision {
    let device = Arc::new(device);
    (Reply::Device(device.clone()), Some(Record::Device(device.sequence, Some(device))))
}

fn put_module(module: Module) -> Decision {
    let module = Arc::new(module);
    (Reply::Module(module.clone()), Some(Record::Module(module.sequence, Some(module))))
}

/// Refuses a write under a condition that does not hold. An etag counts with quotes and without.
pub(crate) fn check_etag(if_match: &IfMatch, current: &ETag) -> Result<(), Refusal> {
    if if_match.holds_for(current) {
        return Ok(());
    }
    let text = format!("the If-Match header names {if_match}, and the current one is {current}");
    Err(Refusal::new(ErrorCode::PreconditionFailed, text))
}
