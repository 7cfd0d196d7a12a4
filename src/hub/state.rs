//! The whole hub as a pure machine: a command and the time in, an answer and what changed out.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use time::OffsetDateTime;

use super::command::{Change, Command, Notice, Outcome, Refusal, Reply, TwinWrite};
use super::device::Device;
use super::identity::Identity;
use super::twin::TwinDocument;
use crate::twin::{DeviceId, ETag, IfMatch, TwinId};
use crate::wire::ErrorCode;
use crate::wire::registry::DeviceStatus;
use crate::wire::twins::TwinBody;

mod presence;

/// The devices, and the rules by which they change. No clock, no randomness, no disk.
#[derive(Debug, Default)]
pub struct Hub {
    sequences: HashMap<DeviceId, u64>,
    devices: BTreeMap<u64, Arc<Device>>,
    last_sequence: u64,
    enabled: usize,
    revision: u64,
    /// The revision of the last change that removed something: what an answer that shows an absence has seen.
    removal: u64,
    /// Who is connected, by the connection's number.
    connected: BTreeMap<TwinId, u64>,
    /// What the command under way has for those who are connected.
    notices: Vec<Notice>,
}

/// What a command comes to: the answer, and the device as it is after it (or none, when it is gone).
type Decision = (Reply, Option<Write>);

enum Write {
    Put(Arc<Device>),
    Remove(u64),
}

impl Hub {
    /// Takes up where a store left off.
    pub fn restore(devices: impl IntoIterator<Item = Device>, last_sequence: u64) -> Self {
        let mut hub = Self { last_sequence, ..Self::default() };
        for device in devices {
            hub.last_sequence = hub.last_sequence.max(device.sequence);
            hub.put(Arc::new(device));
        }
        hub
    }

    /// Does what a command asks.
    pub fn handle(&mut self, command: Command, now: OffsetDateTime) -> Outcome {
        let command = match command {
            Command::Session(command) => return self.handle_session(command, now),
            other => other,
        };
        let subject = match &command {
            Command::GetTwin { id } | Command::WriteTwin { id, .. } => Some(id.device.clone()),
            Command::GetDevice { id } | Command::PutDevice { id, .. } | Command::DeleteDevice { id, .. } => {
                Some(id.clone())
            }
            Command::ListDevices { .. }
            | Command::CountDevices
            | Command::ScanDevices { .. }
            | Command::FindDevices { .. }
            | Command::Session(_) => None,
        };
        let (reply, change) = match self.decide(command, now) {
            Ok((reply, write)) => (Ok(reply), write.map(|write| self.write(write))),
            Err(refusal) => (Err(refusal), None),
        };
        let seen = match (&change, &reply) {
            (Some(change), _) => change.revision,
            // A slice of the fleet shows what is there, and shows by what it lacks what is gone.
            (None, Ok(Reply::Devices(devices))) => {
                devices.iter().map(|device| device.revision).max().unwrap_or(0).max(self.removal)
            }
            (None, Ok(Reply::Counts { .. })) => self.revision,
            (None, Ok(Reply::Device(device))) => device.revision,
            (None, _) => {
                let device = subject.and_then(|id| self.find(&id).cloned());
                device.map_or(self.removal, |device| device.revision)
            }
        };
        Outcome { reply, change, seen, notices: std::mem::take(&mut self.notices) }
    }

    fn decide(&self, command: Command, now: OffsetDateTime) -> Result<Decision, Refusal> {
        match command {
            Command::GetTwin { id } => Ok((Reply::Device(self.twin(&id)?.clone()), None)),
            Command::WriteTwin { id, how, body, if_match } => self.write_twin(&id, how, body, &if_match, now),
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
                    check_identity(&condition, &identity.etag)?;
                    identity.replace(*body, &entropy, now)?;
                    let mut twin = device.twin();
                    twin.follow(&identity);
                    let written = Device::new(device.sequence, self.revision + 1, &identity, &twin);
                    Ok(put(written.with_sessions(self.revision + 1, device.sessions.clone())))
                }
            },
            Command::DeleteDevice { id, if_match } => {
                if if_match == IfMatch::Absent {
                    return Err(Refusal::new(
                        ErrorCode::PreconditionFailed,
                        "ETag missing: a delete needs an If-Match header, \"*\" for whatever is there",
                    ));
                }
                let device = self.device(&id)?;
                check_identity(&if_match, &device.identity_etag)?;
                Ok((Reply::Deleted, Some(Write::Remove(device.sequence))))
            }
            Command::ListDevices { top } => {
                Ok((Reply::Devices(self.devices.values().take(top).cloned().collect()), None))
            }
            Command::CountDevices => Ok((Reply::Counts { total: self.devices.len(), enabled: self.enabled }, None)),
            Command::ScanDevices { after, limit } => {
                let next = self.devices.range((std::ops::Bound::Excluded(after), std::ops::Bound::Unbounded));
                Ok((Reply::Devices(next.take(limit).map(|(_, device)| device.clone()).collect()), None))
            }
            Command::FindDevices { ids } => {
                let ids = ids.iter().filter_map(|id| id.parse::<DeviceId>().ok());
                let mut found: Vec<_> = ids.filter_map(|id| self.find(&id).cloned()).collect();
                found.sort_unstable_by_key(|device| device.sequence);
                found.dedup_by_key(|device| device.sequence);
                Ok((Reply::Devices(found), None))
            }
            Command::Session(_) => unreachable!("handle gives these to handle_session"),
        }
    }

    fn write_twin(
        &self,
        id: &TwinId,
        how: TwinWrite,
        body: TwinBody,
        if_match: &IfMatch,
        now: OffsetDateTime,
    ) -> Result<Decision, Refusal> {
        let device = self.twin(id)?;
        let mut twin = device.twin();
        // An etag without quotes is passed over, as the service did when its own SDKs forgot the quotes.
        if let IfMatch::Quoted(wanted) = if_match
            && *wanted != twin.etag
        {
            return Err(stale(wanted, &twin.etag));
        }
        if !twin.write(how, body, now)? {
            return Ok((Reply::Device(device.clone()), None));
        }
        Ok(put(device.with_twin(self.revision + 1, &twin)))
    }

    fn find(&self, id: &DeviceId) -> Option<&Arc<Device>> {
        self.devices.get(self.sequences.get(id)?)
    }

    fn device(&self, id: &DeviceId) -> Result<&Arc<Device>, Refusal> {
        self.find(id).ok_or_else(|| Refusal::new(ErrorCode::DeviceNotFound, format!("device {id} not registered")))
    }

    fn twin(&self, id: &TwinId) -> Result<&Arc<Device>, Refusal> {
        let device = self.device(&id.device)?;
        match &id.module {
            None => Ok(device),
            // A missing module's twin says DeviceNotFound, unlike its identity.
            Some(_) => Err(Refusal::new(ErrorCode::DeviceNotFound, format!("there is no twin of the module {id}"))),
        }
    }

    fn write(&mut self, write: Write) -> Change {
        self.revision += 1;
        let revision = self.revision;
        match write {
            Write::Put(device) => {
                let sequence = device.sequence;
                self.last_sequence = self.last_sequence.max(sequence);
                if let Some(before) = self.devices.get(&sequence).cloned() {
                    self.notice_write(&before, Some(&device));
                }
                self.put(device.clone());
                Change { revision, sequence, device: Some(device) }
            }
            Write::Remove(sequence) => {
                self.removal = revision;
                if let Some(device) = self.devices.remove(&sequence) {
                    self.notice_write(&device, None);
                    self.sequences.remove(&device.id);
                    self.enabled -= usize::from(device.status == DeviceStatus::Enabled);
                }
                Change { revision, sequence, device: None }
            }
        }
    }

    fn put(&mut self, device: Arc<Device>) {
        self.enabled += usize::from(device.status == DeviceStatus::Enabled);
        self.sequences.insert(device.id.clone(), device.sequence);
        if let Some(before) = self.devices.insert(device.sequence, device) {
            self.enabled -= usize::from(before.status == DeviceStatus::Enabled);
        }
    }
}

fn put(device: Device) -> Decision {
    let device = Arc::new(device);
    (Reply::Device(device.clone()), Some(Write::Put(device)))
}

/// An identity's etag counts with quotes and without.
fn check_identity(if_match: &IfMatch, etag: &ETag) -> Result<(), Refusal> {
    match if_match {
        IfMatch::Absent | IfMatch::Any => Ok(()),
        IfMatch::Quoted(wanted) | IfMatch::Unquoted(wanted) if wanted == etag => Ok(()),
        IfMatch::Quoted(wanted) | IfMatch::Unquoted(wanted) => Err(stale(wanted, etag)),
    }
}

fn stale(wanted: &ETag, current: &ETag) -> Refusal {
    let text = format!(
        "the If-Match header names the etag {}, and the current one is {current}",
        wanted.as_str().escape_debug()
    );
    Refusal::new(ErrorCode::PreconditionFailed, text)
}
