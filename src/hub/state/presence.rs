//! What connections change: who is connected, what is kept of its session, what it reports.
//!
//! Who is connected is in memory alone; after a restart nobody is. Subscriptions and reported properties last.

use time::OffsetDateTime;

use super::{Hub, Write};
use crate::hub::command::{Change, Notice, Outcome, Refusal, Reply};
use crate::hub::device::{CONNECTED, DISCONNECTED, Device, Presence};
use crate::hub::session::{Proof, Session, SessionCommand};
use crate::hub::timestamp::timestamp;
use crate::twin::{DeviceId, TwinId};
use crate::wire::ErrorCode;
use crate::wire::registry::{AuthenticationType, DeviceStatus};
use crate::wire::sas::Key;

/// What came of a session's command: the answer, and the device to be stored when something changed that lasts.
type Decision = (Reply, Option<Device>);

impl Hub {
    pub(super) fn handle_session(&mut self, command: SessionCommand, now: OffsetDateTime) -> Outcome {
        let (id, connection) = command.sender();
        let (id, connection) = (id.clone(), connection);
        let decision = match &command {
            SessionCommand::Connect { .. } => Ok(()),
            _ if self.connected.get(&id) == Some(&connection) => Ok(()),
            _ => Err(Refusal::new(ErrorCode::DeviceNotOnline, format!("{id} has another connection now, or none"))),
        };
        let decision = decision.and_then(|()| self.decide_session(&id, connection, command, now));
        let (reply, change) = match decision {
            Ok((reply, device)) => (Ok(reply), device.map(|device| self.write(Write::Put(device.into())))),
            Err(refusal) => (Err(refusal), None),
        };
        let seen = match (&change, &reply) {
            (Some(Change { revision, .. }), _) => *revision,
            // What a client is let in by, or told, may not be on disk yet.
            (None, Ok(_)) => self.find(&id.device).map_or(0, |device| device.revision),
            (None, Err(_)) => self.removal,
        };
        Outcome { reply, change, seen, notices: std::mem::take(&mut self.notices) }
    }

    fn decide_session(
        &mut self,
        id: &TwinId,
        connection: u64,
        command: SessionCommand,
        now: OffsetDateTime,
    ) -> Result<Decision, Refusal> {
        match command {
            SessionCommand::Connect { proof, clean, .. } => {
                let device = self.twin(id)?;
                let kept = device.sessions.of(id.module.as_ref());
                admit(device, &proof)?;
                self.connected.insert(id.clone(), connection);
                self.show(id, Some(CONNECTED), now);
                if clean && !kept.is_empty() {
                    let device = self.twin(id)?;
                    let sessions = device.sessions.with(id.module.as_ref(), [].into());
                    let forgotten = device.with_sessions(self.revision + 1, sessions);
                    return Ok((Reply::Session(Session { subscriptions: [].into() }), Some(forgotten)));
                }
                Ok((Reply::Session(Session { subscriptions: kept }), None))
            }
            SessionCommand::Disconnect { .. } => {
                self.connected.remove(id);
                self.show(id, Some(DISCONNECTED), now);
                Ok((Reply::Done, None))
            }
            SessionCommand::Touch { .. } => {
                self.show(id, None, now);
                Ok((Reply::Done, None))
            }
            SessionCommand::KeepSubscriptions { subscriptions, .. } => {
                let device = self.twin(id)?;
                if device.sessions.of(id.module.as_ref()) == subscriptions {
                    return Ok((Reply::Done, None));
                }
                let sessions = device.sessions.with(id.module.as_ref(), subscriptions);
                Ok((Reply::Done, Some(device.with_sessions(self.revision + 1, sessions))))
            }
            SessionCommand::Report { patch, base, .. } => {
                let device = self.twin(id)?;
                let mut twin = device.twin();
                let version = twin.report(&patch, base, now)?;
                Ok((Reply::Reported(version), Some(device.with_twin(self.revision + 1, &twin))))
            }
        }
    }

    /// Lets an identity show its connection's state, or (none) just that it is alive.
    fn show(&mut self, id: &TwinId, state: Option<&'static str>, now: OffsetDateTime) {
        let Ok(device) = self.twin(id) else { return };
        let now = timestamp(now);
        // Going away is no activity.
        let activity = (state != Some(DISCONNECTED)).then_some(now.as_str());
        let device = device.with_presence(&Presence { state: state.map(|state| (state, now.as_str())), activity });
        self.put(device.into());
    }

    /// Says what a write means for those who are connected.
    pub(super) fn notice_write(&mut self, before: &std::sync::Arc<Device>, after: Option<&std::sync::Arc<Device>>) {
        if self.connected.is_empty() {
            return;
        }
        match after {
            Some(after) if after.status == DeviceStatus::Enabled => {
                let id = TwinId::from(before.id.clone());
                if before.twin_etag != after.twin_etag && self.connected.contains_key(&id) {
                    let (before, after) = (before.twin.clone(), after.twin.clone());
                    self.notices.push(Notice::TwinWritten { id, before, after });
                }
            }
            Some(_) => {
                let cut: Vec<_> = self.connections_of(&before.id).cloned().collect();
                self.notices.extend(cut.into_iter().map(|id| Notice::Cut { id }));
            }
            None => {
                let cut: Vec<_> = self.connections_of(&before.id).cloned().collect();
                for id in cut {
                    // Another device may come to have the id; what this connection still says is not from that one.
                    self.connected.remove(&id);
                    self.notices.push(Notice::Cut { id });
                }
            }
        }
    }

    fn connections_of<'a>(&'a self, device: &'a DeviceId) -> impl Iterator<Item = &'a TwinId> {
        let own = TwinId::from(device.clone());
        self.connected.range(own..).map(|(id, _)| id).take_while(move |id| id.device == *device)
    }
}

/// Lets a client in, or says why not. Clients are told no more than "not authorized".
fn admit(device: &Device, proof: &Proof) -> Result<(), Refusal> {
    let no = |text: &str| Err(Refusal::new(ErrorCode::IotHubUnauthorizedAccess, text));
    if device.status != DeviceStatus::Enabled {
        return no("the device is disabled");
    }
    let authentication = device.identity().authentication;
    match (proof, authentication.kind) {
        (Proof::Policy, _) => Ok(()),
        (Proof::Key(token), AuthenticationType::Sas) => {
            let keys = [authentication.symmetric_key.primary_key, authentication.symmetric_key.secondary_key];
            let mut keys = keys.iter().flatten().filter_map(|key| Key::from_base64(key).ok());
            match keys.any(|key| token.is_signed_by(&key)) {
                true => Ok(()),
                false => no("the token is not signed by a key of the device"),
            }
        }
        (Proof::Certificate(prints), AuthenticationType::SelfSigned) => {
            let known = authentication.x509_thumbprint;
            let mut known = [known.primary_thumbprint, known.secondary_thumbprint].into_iter().flatten();
            match known.any(|thumbprint| prints.contains(&thumbprint)) {
                true => Ok(()),
                false => no("the certificate is not one of the device's"),
            }
        }
        (Proof::Key(_) | Proof::Certificate(_), _) => no("the device proves itself in another way"),
    }
}
