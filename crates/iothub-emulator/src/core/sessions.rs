//! What connections change: who is connected, what is kept of its session, what it reports.
//!
//! Who is connected is in memory alone; after a restart nobody is. Subscriptions and reported properties last.

use std::collections::BTreeSet;
use std::sync::Arc;

use time::OffsetDateTime;

use crate::core::command::{Notice, Record, Refusal, Reply};
use crate::core::device::{CONNECTED, DISCONNECTED, Device, Presence};
use crate::core::identity::Authentication;
use crate::core::modules::Module;
use crate::core::session::{Proof, Session, SessionCommand};
use crate::core::state::{Decision, Hub};
use crate::core::timestamp::timestamp;
use iothub_model::twin::DeviceId;
use iothub_model::twin::TwinId;
use iothub_model::wire::ErrorCode;
use iothub_model::wire::registry::AuthenticationType;
use iothub_model::wire::registry::DeviceStatus;
use iothub_model::wire::sas::Key;
use iothub_model::wire::topics::Subscription;

impl Hub {
    pub(crate) fn session(&mut self, command: SessionCommand, now: OffsetDateTime) -> Result<Decision, Refusal> {
        let (id, connection) = command.sender();
        let (id, connection) = (id.clone(), connection);
        if !matches!(command, SessionCommand::Connect { .. }) {
            self.check_connection(&id, connection)?;
        }
        match command {
            SessionCommand::Connect { proof, clean, .. } => {
                let device = self.device(&id.device)?;
                let module = id.module.as_ref().map(|_| self.module_twin(&id)).transpose()?;
                let authentication = match module {
                    Some(module) => module.identity().authentication,
                    None => device.identity().authentication,
                };
                let kept = device.sessions.of(id.module.as_ref());
                admit(device.status, authentication, &proof).or_else(|refusal| match &proof {
                    // A device's key connects its modules as well (live suites of Java's and C's SDKs).
                    Proof::Key(_) if module.is_some() => {
                        admit(device.status, device.identity().authentication, &proof).map_err(|_| refusal)
                    }
                    _ => Err(refusal),
                })?;
                self.connected.insert(id.clone(), connection);
                self.show(&id, Some(CONNECTED), now);
                if clean && !kept.is_empty() {
                    let subscriptions = BTreeSet::new();
                    let record = self.with_session(&id, subscriptions.clone())?;
                    return Ok((Reply::Session(Session { subscriptions }), Some(record)));
                }
                Ok((Reply::Session(Session { subscriptions: kept }), None))
            }
            SessionCommand::Disconnect { .. } => {
                self.connected.remove(&id);
                if id.module.is_none() {
                    self.queues.release(&id.device);
                }
                self.show(&id, Some(DISCONNECTED), now);
                Ok((Reply::Done, None))
            }
            SessionCommand::Touch { .. } => {
                self.show(&id, None, now);
                Ok((Reply::Done, None))
            }
            SessionCommand::KeepSubscriptions { subscriptions, .. } => {
                if self.device(&id.device)?.sessions.of(id.module.as_ref()) == subscriptions {
                    return Ok((Reply::Done, None));
                }
                Ok((Reply::Done, Some(self.with_session(&id, subscriptions)?)))
            }
            SessionCommand::Take { .. } | SessionCommand::Complete { .. } => unreachable!("done elsewhere"),
            SessionCommand::Report { patch, base, .. } => {
                let revision = self.next_revision();
                let (version, record) = match &id.module {
                    None => {
                        let device = self.device(&id.device)?;
                        let mut twin = device.twin();
                        let version = twin.report(&patch, base, now)?;
                        let device = Arc::new(device.with_twin(revision, &twin));
                        (version, Record::Device(device.sequence, Some(device)))
                    }
                    Some(_) => {
                        let module = self.module_twin(&id)?;
                        let mut twin = module.twin();
                        let version = twin.report(&patch, base, now)?;
                        let module = Arc::new(module.with_twin(revision, &twin));
                        (version, Record::Module(module.sequence, Some(module)))
                    }
                };
                Ok((Reply::Reported(version), Some(record)))
            }
        }
    }

    /// Returns an identity with the model that it announces; none if it has that model already.
    pub(crate) fn with_model(&self, id: &TwinId, model: &str) -> Option<Record> {
        let revision = self.next_revision();
        if id.module.is_some() {
            let module = self.modules.twin(id)?;
            let mut twin = module.twin();
            let module = twin.set_model(model).then(|| Arc::new(module.with_twin(revision, &twin)))?;
            return Some(Record::Module(module.sequence, Some(module)));
        }
        let device = self.find(&id.device)?;
        let mut twin = device.twin();
        let device = twin.set_model(model).then(|| Arc::new(device.with_twin(revision, &twin)))?;
        Some(Record::Device(device.sequence, Some(device)))
    }

    /// Looks that a device proves who it is, without a connection. The service tells such a client no more than that it is not.
    pub(crate) fn prove(&self, id: &DeviceId, proof: &Proof) -> Result<(), Refusal> {
        let no = |text: String| Refusal::new(ErrorCode::IotHubUnauthorized, text);
        let device = self.find(id).ok_or_else(|| no(format!("there is no device '{id}'")))?;
        admit(device.status, device.identity().authentication, proof).map_err(|refusal| no(refusal.text))
    }

    /// Looks that a connection is the identity's.
    pub(crate) fn check_connection(&self, id: &TwinId, connection: u64) -> Result<(), Refusal> {
        match self.connected.get(id) {
            Some(current) if *current == connection => Ok(()),
            Some(_) | None => {
                let text = format!("{id} has another connection now, or none");
                Err(Refusal::new(ErrorCode::DeviceNotOnline, text))
            }
        }
    }

    /// Returns the device of an identity with what the identity's client is subscribed to.
    fn with_session(&self, id: &TwinId, subscriptions: BTreeSet<Subscription>) -> Result<Record, Refusal> {
        let device = self.device(&id.device)?;
        let sessions = device.sessions.with(id.module.as_ref(), subscriptions);
        let device = device.with_sessions(self.next_revision(), sessions);
        Ok(Record::Device(device.sequence, Some(device.into())))
    }

    /// Returns the device of a module that is to go, without what is kept of the module's session; none when that is nothing.
    pub(crate) fn without_session_of(&self, module: u64) -> Option<Record> {
        let module = self.modules.at(module)?;
        let id = TwinId { device: module.device.clone(), module: Some(module.id.clone()) };
        let kept = self.find(&id.device)?.sessions.of(Some(&module.id));
        if kept.is_empty() {
            return None;
        }
        self.with_session(&id, BTreeSet::new()).ok()
    }

    /// Lets an identity show its connection's state, or (none) just that it is alive.
    pub(crate) fn show(&mut self, id: &TwinId, state: Option<&'static str>, now: OffsetDateTime) {
        let now = timestamp(now);
        // Going away is no activity.
        let activity = (state != Some(DISCONNECTED)).then_some(now.as_str());
        let presence = Presence { state: state.map(|state| (state, now.as_str())), activity };
        let shown = match &id.module {
            None => self.find(&id.device).map(|device| {
                let device = device.with_presence(&presence);
                Record::Device(device.sequence, Some(device.into()))
            }),
            Some(_) => self.modules.twin(id).map(|module| {
                let module = module.with_presence(&presence);
                Record::Module(module.sequence, Some(module.into()))
            }),
        };
        if let Some(shown) = shown {
            self.keep(shown);
        }
    }

    /// Says what a change that is about to be made means for those who are connected.
    pub(crate) fn notice(&mut self, change: &Record) {
        if self.connected.is_empty() {
            return;
        }
        match change {
            Record::Device(sequence, after) => {
                if let Some(before) = self.devices.get(sequence).cloned() {
                    self.notice_device(&before, after.as_deref());
                }
            }
            Record::Module(sequence, after) => {
                if let Some(before) = self.modules.at(*sequence).cloned() {
                    self.notice_module(&before, after.as_deref());
                }
            }
            Record::Configuration(..) | Record::Job(..) | Record::DeviceJob(..) | Record::Transfer(..) => {}
            Record::Message(..) | Record::Feedback(..) => {}
        }
    }

    fn notice_device(&mut self, before: &Device, after: Option<&Device>) {
        match after {
            Some(after) if after.status == DeviceStatus::Enabled => {
                let id = TwinId::from(before.id.clone());
                if let Some(patch) = &after.desired_patch
                    && before.twin_etag != after.twin_etag
                    && self.connected.contains_key(&id)
                {
                    self.notices.push(Notice::DesiredPatch { id, patch: patch.clone() });
                }
            }
            Some(_) => {
                let cut: Vec<_> = self.connections_of(&before.id).cloned().collect();
                self.notices.extend(cut.into_iter().map(|id| Notice::Cut { id }));
            }
            None => {
                let cut: Vec<_> = self.connections_of(&before.id).cloned().collect();
                for id in cut {
                    self.disown(id);
                }
            }
        }
    }

    fn notice_module(&mut self, before: &Module, after: Option<&Module>) {
        let id = TwinId { device: before.device.clone(), module: Some(before.id.clone()) };
        if !self.connected.contains_key(&id) {
            return;
        }
        match after {
            Some(after) => {
                if let Some(patch) = &after.desired_patch
                    && before.twin_etag != after.twin_etag
                {
                    self.notices.push(Notice::DesiredPatch { id, patch: patch.clone() });
                }
            }
            None => self.disown(id),
        }
    }

    /// Cuts the connection of an identity that is gone. Another may come to have the id; what this connection still says is
    /// not from that one.
    fn disown(&mut self, id: TwinId) {
        self.connected.remove(&id);
        self.notices.push(Notice::Cut { id });
    }

    fn connections_of<'a>(&'a self, device: &'a DeviceId) -> impl Iterator<Item = &'a TwinId> {
        let own = TwinId::from(device.clone());
        self.connected.range(own..).map(|(id, _)| id).take_while(move |id| id.device == *device)
    }
}

/// Lets a client in, or says why not. Clients are told no more than "not authorized".
pub(crate) fn admit(device: DeviceStatus, authentication: Authentication, proof: &Proof) -> Result<(), Refusal> {
    let no = |text: &str| Err(Refusal::new(ErrorCode::IotHubUnauthorizedAccess, text));
    if device != DeviceStatus::Enabled {
        return no("the device is disabled");
    }
    match (proof, authentication.kind) {
        (Proof::Policy, _) => Ok(()),
        (Proof::Key(token), AuthenticationType::Sas) => {
            let keys = [authentication.symmetric_key.primary_key, authentication.symmetric_key.secondary_key];
            let mut keys = keys.iter().flatten().filter_map(|key| Key::from_base64(key).ok());
            match keys.any(|key| token.is_signed_by(&key)) {
                true => Ok(()),
                false => no("the token is not signed by one of its keys"),
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

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use serde_json::json;
    use time::macros::datetime;

    use super::*;
    use crate::core::command::{Command, Entropy, Outcome, TwinWrite};
    use crate::core::session::Fingerprints;
    use iothub_model::twin::IfMatch;
    use iothub_model::twin::OrderedObject;
    use iothub_model::wire::sas::Token;
    use iothub_model::wire::sas::sign;
    use iothub_model::wire::topics::Subscription::DesiredPatches;
    use iothub_model::wire::topics::Subscription::Methods;
    use iothub_model::wire::twins::TwinBody;

    const NOW: OffsetDateTime = datetime!(2026-11-24 10:00:00 UTC);
    const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    fn id() -> TwinId {
        "d".parse().expect("an id")
    }

    fn put(hub: &mut Hub, if_match: IfMatch, body: Value) -> Outcome {
        let body = Box::new(serde_json::from_value(body).expect("a body"));
        let command = Command::PutDevice { id: id().device, body, if_match, entropy: Entropy([7; 80]) };
        hub.handle(command, NOW)
    }

    fn with_keys() -> Value {
        json!({ "authentication": { "symmetricKey": { "primaryKey": KEY, "secondaryKey": KEY } } })
    }

    fn hub() -> Hub {
        let mut hub = Hub::default();
        put(&mut hub, IfMatch::Absent, with_keys()).reply.expect("a new device");
        hub
    }

    fn token(key: &str) -> Proof {
        let key = Key::from_base64(key).expect("base64");
        Proof::Key(Token::parse(sign("h/devices/d", &key, 1, None).expose()).expect("a token"))
    }

    fn ask(hub: &mut Hub, command: SessionCommand) -> Outcome {
        hub.handle(Command::Session(command), NOW)
    }

    fn connect(hub: &mut Hub, connection: u64, clean: bool) -> Outcome {
        ask(hub, SessionCommand::Connect { id: id(), connection, proof: token(KEY), clean, model: None })
    }

    fn keep(hub: &mut Hub, connection: u64) -> Outcome {
        let subscriptions = [DesiredPatches, Methods].into();
        ask(hub, SessionCommand::KeepSubscriptions { id: id(), connection, subscriptions })
    }

    fn report(hub: &mut Hub, connection: u64) -> Outcome {
        let patch = OrderedObject::from(json!({"r": 1}).as_object().cloned().expect("an object"));
        ask(hub, SessionCommand::Report { id: id(), connection, patch, base: None })
    }

    fn state(hub: &mut Hub) -> String {
        match hub.handle(Command::GetTwin { id: id() }, NOW).reply.expect("a twin") {
            Reply::Device(device) => {
                let twin: Value = serde_json::from_str(device.twin.as_str()).expect("JSON");
                twin["connectionState"].as_str().expect("a state").to_owned()
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn who_is_admitted() {
        let certificate = Fingerprints::of(b"certificate");
        let by_certificate = |print: &str| json!({ "authentication": { "type": "selfSigned", "x509Thumbprint": { "secondaryThumbprint": print } } });
        let another = "/".repeat(42) + "8=";
        let disabled = {
            let mut body = with_keys();
            body["status"] = "disabled".into();
            body
        };
        for (name, body, proof, admitted) in [
            ("its key", with_keys(), token(KEY), true),
            ("another key", with_keys(), token(&another), false),
            ("a policy", with_keys(), Proof::Policy, true),
            ("a certificate for a device with keys", with_keys(), Proof::Certificate(certificate.clone()), false),
            ("its certificate", by_certificate(&certificate.sha1), Proof::Certificate(certificate.clone()), true),
            ("another certificate", by_certificate(&"0".repeat(64)), Proof::Certificate(certificate), false),
            ("a key for a device with certificates", by_certificate(&"0".repeat(64)), token(KEY), false),
            ("nothing will do", json!({ "authentication": { "type": "none" } }), token(KEY), false),
            ("an authority", json!({ "authentication": { "type": "certificateAuthority" } }), token(KEY), false),
            ("disabled", disabled.clone(), token(KEY), false),
            ("disabled, by a policy", disabled, Proof::Policy, false),
        ] {
            let mut hub = Hub::default();
            put(&mut hub, IfMatch::Absent, body).reply.expect("a new device");
            let command = SessionCommand::Connect { id: id(), connection: 1, proof, clean: false, model: None };
            assert_eq!(ask(&mut hub, command).reply.is_ok(), admitted, "{name}");
            assert_eq!(state(&mut hub) == CONNECTED, admitted, "{name}");
        }
        let command = SessionCommand::Connect {
            id: "nobody".parse().expect("an id"),
            connection: 1,
            proof: Proof::Policy,
            clean: false,
            model: None,
        };
        assert_eq!(ask(&mut hub(), command).reply.expect_err("nobody").code, ErrorCode::DeviceNotFound);
    }

    #[test]
    fn an_old_connection_has_no_say() {
        let mut hub = hub();
        connect(&mut hub, 1, false).reply.expect("admitted");
        connect(&mut hub, 2, false).reply.expect("admitted");
        for outcome in [
            report(&mut hub, 1),
            keep(&mut hub, 1),
            ask(&mut hub, SessionCommand::Touch { id: id(), connection: 1 }),
            ask(&mut hub, SessionCommand::Disconnect { id: id(), connection: 1 }),
        ] {
            assert_eq!(outcome.reply.expect_err("old").code, ErrorCode::DeviceNotOnline);
            assert!(outcome.change.is_none());
        }
        assert_eq!(state(&mut hub), CONNECTED);
        report(&mut hub, 2).reply.expect("the new one's");
        ask(&mut hub, SessionCommand::Disconnect { id: id(), connection: 2 }).reply.expect("the new one's");
        assert_eq!(state(&mut hub), DISCONNECTED);
    }

    #[test]
    fn what_lasts_is_a_change_and_what_does_not_is_none() {
        let mut hub = hub();
        let subscriptions = |outcome: Outcome| match outcome.reply.expect("admitted") {
            Reply::Session(session) => session.subscriptions,
            other => panic!("{other:?}"),
        };
        assert!(connect(&mut hub, 1, false).change.is_none());
        assert!(ask(&mut hub, SessionCommand::Touch { id: id(), connection: 1 }).change.is_none());
        assert!(keep(&mut hub, 1).change.is_some());
        assert!(keep(&mut hub, 1).change.is_none(), "it is kept already");
        let reported = report(&mut hub, 1);
        assert_eq!(Some(reported.seen), reported.change.map(|change| change.revision), "answered when it is on disk");
        let again = connect(&mut hub, 2, false);
        assert!(again.change.is_none());
        assert_eq!(subscriptions(again), [DesiredPatches, Methods].into());
        let clean = connect(&mut hub, 3, true);
        assert!(clean.change.is_some());
        assert_eq!(subscriptions(clean), [].into());
        assert_eq!(subscriptions(connect(&mut hub, 4, false)), [].into());
    }

    #[test]
    fn a_record_keeps_the_session_and_not_the_connection() {
        let mut hub = hub();
        connect(&mut hub, 1, false).reply.expect("admitted");
        let change = keep(&mut hub, 1).change.expect("a change");
        let [Record::Device(_, Some(device))] = change.records.as_slice() else { panic!("a device: {change:?}") };
        let record = device.to_record();
        let device = Device::from_record(1, &record).expect("a record");
        assert_eq!(device.sessions.of(None), [DesiredPatches, Methods].into());
        assert_eq!(state(&mut Hub::restore([Record::Device(1, Some(device.into()))], 1)), DISCONNECTED);
    }

    #[test]
    fn notices_are_for_those_who_are_connected() {
        let mut hub = hub();
        let write = |hub: &mut Hub| {
            let body = TwinBody::decode(json!({"properties": {"desired": {"a": 1}}})).expect("a body");
            hub.handle(Command::WriteTwin { id: id(), how: TwinWrite::Merge, body, if_match: IfMatch::Absent }, NOW)
        };
        assert!(write(&mut hub).notices.is_empty());
        connect(&mut hub, 1, false).reply.expect("admitted");
        assert!(matches!(&*write(&mut hub).notices, [Notice::DesiredPatch { .. }]));
        assert!(report(&mut hub, 1).notices.is_empty(), "its own reports are no news");
        assert!(put(&mut hub, IfMatch::Any, with_keys()).notices.is_empty());
        let disabled = put(&mut hub, IfMatch::Any, json!({"status": "disabled"}));
        assert!(matches!(&*disabled.notices, [Notice::Cut { .. }]));
        let deleted = hub.handle(Command::DeleteDevice { id: id().device, if_match: IfMatch::Any }, NOW);
        assert!(matches!(&*deleted.notices, [Notice::Cut { .. }]));
        // Whoever is still to hear of the end of its connection is not the next device of that name.
        put(&mut hub, IfMatch::Absent, with_keys()).reply.expect("a new device");
        assert!(report(&mut hub, 1).reply.is_err());
        assert!(write(&mut hub).notices.is_empty());
    }
}
