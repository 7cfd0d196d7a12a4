//! What connections change: who is connected, what is kept of its session, what it reports.
//!
//! Who is connected is in memory alone; after a restart nobody is. Subscriptions and reported properties last.

use std::collections::BTreeSet;
use std::sync::Arc;

use time::OffsetDateTime;

use crate::core::ask::{Ask, Subject};
use crate::core::command::{Notice, Refusal};
use crate::core::device::Device;
use crate::core::identity::Authentication;
use crate::core::module::Module;
use crate::core::outbox::CutReason;
use crate::core::presence::{CONNECTED, DISCONNECTED, Presence};
use crate::core::record::Record;
use crate::core::session::{Proof, Session};
use crate::core::state::Hub;
use crate::core::timestamp::timestamp;
use iothub_model::twin::DeviceId;
use iothub_model::twin::OrderedObject;
use iothub_model::twin::TwinId;
use iothub_model::wire::ErrorCode;
use iothub_model::wire::registry::AuthenticationType;
use iothub_model::wire::registry::DeviceStatus;
use iothub_model::wire::sas::Key;
use iothub_model::wire::topics::Subscription;

// Connections have numbers that are never given twice, so that what an old connection says after a new one has taken over means
// nothing.

/// Takes the identity's one connection, from another connection if need be.
#[derive(Clone, Debug)]
pub(crate) struct Connect {
    /// Who.
    pub(crate) id: TwinId,
    /// The connection's number.
    pub(crate) connection: u64,
    /// How it proves that.
    pub(crate) proof: Proof,
    /// Begin anew: forget what is kept, and keep nothing.
    pub(crate) clean: bool,
    /// The model that the client announces (IoT Plug and Play), if it does.
    pub(crate) model: Option<String>,
}

impl Ask for Connect {
    type Reply = Session;
    // Only a connection forgets or announces something by it, and it works on when the disk does not.
    const WRITES: bool = false;

    fn subject(&self) -> Subject {
        Subject::Twin(self.id.clone())
    }

    fn perform(self, hub: &mut Hub, now: OffsetDateTime, records: &mut Vec<Record>) -> Result<Self::Reply, Refusal> {
        let Self { id, connection, proof, clean, model } = self;
        let device = hub.device(&id.device)?;
        let module = id.module.as_ref().map(|_| hub.module_twin(&id)).transpose()?;
        let authentication = match module {
            Some(module) => module.identity().authentication,
            None => device.identity().authentication,
        };
        let mut subscriptions = device.sessions.of(id.module.as_ref());
        admit(device.status, authentication, &proof).or_else(|refusal| match &proof {
            // A device's key connects its modules as well (live suites of Java's and C's SDKs).
            Proof::Key(_) if module.is_some() => {
                admit(device.status, device.identity().authentication, &proof).map_err(|_| refusal)
            }
            _ => Err(refusal),
        })?;
        hub.connected.insert(id.clone(), connection);
        hub.show(&id, Some(CONNECTED), now);
        if clean && !subscriptions.is_empty() {
            subscriptions.clear();
            let record = hub.with_session(&id, BTreeSet::new())?;
            hub.write(record, records);
        }
        if let Some(record) = model.and_then(|model| hub.with_model(&id, &model)) {
            hub.write(record, records);
        }
        Ok(Session { subscriptions })
    }
}

/// The connection is over.
#[derive(Clone, Debug)]
pub(crate) struct Disconnect {
    /// Whose.
    pub(crate) id: TwinId,
    /// The connection's number.
    pub(crate) connection: u64,
}

impl Ask for Disconnect {
    type Reply = ();
    const WRITES: bool = false;

    fn subject(&self) -> Subject {
        Subject::Twin(self.id.clone())
    }

    fn perform(self, hub: &mut Hub, now: OffsetDateTime, _: &mut Vec<Record>) -> Result<Self::Reply, Refusal> {
        let Self { id, connection } = self;
        hub.check_connection(&id, connection)?;
        hub.connected.remove(&id);
        if id.module.is_none() {
            hub.queues.release(&id.device);
        }
        hub.show(&id, Some(DISCONNECTED), now);
        Ok(())
    }
}

/// A message went through the connection.
#[derive(Clone, Debug)]
pub(crate) struct Touch {
    /// Whose.
    pub(crate) id: TwinId,
    /// The connection's number.
    pub(crate) connection: u64,
}

impl Ask for Touch {
    type Reply = ();
    const WRITES: bool = false;

    fn subject(&self) -> Subject {
        Subject::Twin(self.id.clone())
    }

    fn perform(self, hub: &mut Hub, now: OffsetDateTime, _: &mut Vec<Record>) -> Result<Self::Reply, Refusal> {
        hub.check_connection(&self.id, self.connection)?;
        hub.show(&self.id, None, now);
        Ok(())
    }
}

/// Keeps what the client is subscribed to for when it comes back.
#[derive(Clone, Debug)]
pub(crate) struct KeepSubscriptions {
    /// Whose.
    pub(crate) id: TwinId,
    /// The connection's number.
    pub(crate) connection: u64,
    /// All of them.
    pub(crate) subscriptions: BTreeSet<Subscription>,
}

impl Ask for KeepSubscriptions {
    type Reply = ();
    const WRITES: bool = true;

    fn subject(&self) -> Subject {
        Subject::Twin(self.id.clone())
    }

    fn perform(self, hub: &mut Hub, _: OffsetDateTime, records: &mut Vec<Record>) -> Result<Self::Reply, Refusal> {
        let Self { id, connection, subscriptions } = self;
        hub.check_connection(&id, connection)?;
        if hub.device(&id.device)?.sessions.of(id.module.as_ref()) != subscriptions {
            let record = hub.with_session(&id, subscriptions)?;
            hub.write(record, records);
        }
        Ok(())
    }
}

/// Merges into the reported properties. Replies with their new version.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    /// Whose.
    pub(crate) id: TwinId,
    /// The connection's number.
    pub(crate) connection: u64,
    /// What to merge.
    pub(crate) patch: OrderedObject,
    /// For which reported version, when that matters.
    pub(crate) base: Option<u64>,
}

impl Ask for Report {
    type Reply = u64;
    const WRITES: bool = true;

    fn subject(&self) -> Subject {
        Subject::Twin(self.id.clone())
    }

    fn perform(self, hub: &mut Hub, now: OffsetDateTime, records: &mut Vec<Record>) -> Result<Self::Reply, Refusal> {
        let Self { id, connection, patch, base } = self;
        hub.check_connection(&id, connection)?;
        let revision = hub.next_revision();
        if id.module.is_some() {
            let module = hub.module_twin(&id)?;
            let mut twin = module.twin();
            let version = twin.report(&patch, base, now)?;
            hub.write_module(module.with_twin(revision, &twin), records);
            return Ok(version);
        }
        let device = hub.device(&id.device)?;
        let mut twin = device.twin();
        let version = twin.report(&patch, base, now)?;
        hub.write_device(device.with_twin(revision, &twin), records);
        Ok(version)
    }
}

/// The number of a connection that no client has.
const NO_CLIENT: u64 = u64::MAX;

/// Merges into the reported properties in the name of the client: as its connection, or as one that lasts for this request alone.
#[derive(Clone, Debug)]
pub(crate) struct ReportForClient {
    /// The twin that reports.
    pub(crate) id: TwinId,
    /// What to merge.
    pub(crate) patch: OrderedObject,
}

impl Ask for ReportForClient {
    type Reply = u64;
    const WRITES: bool = true;

    fn subject(&self) -> Subject {
        Subject::Twin(self.id.clone())
    }

    fn perform(self, hub: &mut Hub, now: OffsetDateTime, records: &mut Vec<Record>) -> Result<Self::Reply, Refusal> {
        let Self { id, patch } = self;
        if let Some(&connection) = hub.connected.get(&id) {
            return Report { id, connection, patch, base: None }.perform(hub, now, records);
        }
        let connection = NO_CLIENT;
        let connect = Connect { id: id.clone(), connection, proof: Proof::Policy, clean: false, model: None };
        connect.perform(hub, now, records)?;
        let reported = Report { id: id.clone(), connection, patch, base: None }.perform(hub, now, records);
        Disconnect { id, connection }.perform(hub, now, records)?;
        reported
    }
}

impl Hub {
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
                let reason = CutReason::Disabled;
                self.notices.extend(cut.into_iter().map(|id| Notice::Cut { id, reason }));
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
        self.notices.push(Notice::Cut { id, reason: CutReason::Deleted });
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
    use crate::core::ask::Outcome;
    use crate::core::command::{Entropy, TwinWrite};
    use crate::core::requests::devices::{DeleteDevice, PutDevice};
    use crate::core::requests::twins::{GetTwin, WriteTwin};
    use crate::core::session::Fingerprints;
    use iothub_model::twin::IfMatch;
    use iothub_model::twin::OrderedObject;
    use iothub_model::wire::sas::SasToken;
    use iothub_model::wire::sas::sign;
    use iothub_model::wire::topics::Subscription::DesiredPatches;
    use iothub_model::wire::topics::Subscription::Methods;
    use iothub_model::wire::twins::TwinBody;

    const NOW: OffsetDateTime = datetime!(2026-11-24 10:00:00 UTC);
    const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    fn id() -> TwinId {
        "d".parse().expect("an id")
    }

    fn put(hub: &mut Hub, if_match: IfMatch, body: Value) -> Outcome<Arc<Device>> {
        let body = Box::new(serde_json::from_value(body).expect("a body"));
        let command = PutDevice { id: id().device, body, if_match, entropy: Entropy([7; 80]) };
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
        Proof::Key(SasToken::parse(sign("h/devices/d", &key, 1, None).expose()).expect("a token"))
    }

    fn ask<A: Ask>(hub: &mut Hub, ask: A) -> Outcome<A::Reply> {
        hub.handle(ask, NOW)
    }

    fn connect(hub: &mut Hub, connection: u64, clean: bool) -> Outcome<Session> {
        ask(hub, Connect { id: id(), connection, proof: token(KEY), clean, model: None })
    }

    fn keep(hub: &mut Hub, connection: u64) -> Outcome<()> {
        let subscriptions = [DesiredPatches, Methods].into();
        ask(hub, KeepSubscriptions { id: id(), connection, subscriptions })
    }

    fn report(hub: &mut Hub, connection: u64) -> Outcome<u64> {
        let patch = OrderedObject::from(json!({"r": 1}).as_object().cloned().expect("an object"));
        ask(hub, Report { id: id(), connection, patch, base: None })
    }

    fn state(hub: &mut Hub) -> String {
        let twin = hub.handle(GetTwin { id: id() }, NOW).reply.expect("a twin");
        let twin: Value = serde_json::from_str(twin.document().as_str()).expect("JSON");
        twin["connectionState"].as_str().expect("a state").to_owned()
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
            let command = Connect { id: id(), connection: 1, proof, clean: false, model: None };
            assert_eq!(ask(&mut hub, command).reply.is_ok(), admitted, "{name}");
            assert_eq!(state(&mut hub) == CONNECTED, admitted, "{name}");
        }
        let command = Connect {
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
        fn is_ignored<R: std::fmt::Debug>(outcome: Outcome<R>) {
            assert_eq!(outcome.reply.expect_err("old").code, ErrorCode::DeviceNotOnline);
            assert!(outcome.change.is_none());
        }
        is_ignored(report(&mut hub, 1));
        is_ignored(keep(&mut hub, 1));
        is_ignored(ask(&mut hub, Touch { id: id(), connection: 1 }));
        is_ignored(ask(&mut hub, Disconnect { id: id(), connection: 1 }));
        assert_eq!(state(&mut hub), CONNECTED);
        report(&mut hub, 2).reply.expect("the new one's");
        ask(&mut hub, Disconnect { id: id(), connection: 2 }).reply.expect("the new one's");
        assert_eq!(state(&mut hub), DISCONNECTED);
    }

    #[test]
    fn what_lasts_is_a_change_and_what_does_not_is_none() {
        let mut hub = hub();
        let subscriptions = |outcome: Outcome<Session>| outcome.reply.expect("admitted").subscriptions;
        assert!(connect(&mut hub, 1, false).change.is_none());
        assert!(ask(&mut hub, Touch { id: id(), connection: 1 }).change.is_none());
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
            hub.handle(WriteTwin { id: id(), how: TwinWrite::Merge, body, if_match: IfMatch::Absent }, NOW)
        };
        assert!(write(&mut hub).notices.is_empty());
        connect(&mut hub, 1, false).reply.expect("admitted");
        assert!(matches!(&*write(&mut hub).notices, [Notice::DesiredPatch { .. }]));
        assert!(report(&mut hub, 1).notices.is_empty(), "its own reports are no news");
        assert!(put(&mut hub, IfMatch::Any, with_keys()).notices.is_empty());
        let disabled = put(&mut hub, IfMatch::Any, json!({"status": "disabled"}));
        assert!(matches!(&*disabled.notices, [Notice::Cut { .. }]));
        let deleted = hub.handle(DeleteDevice { id: id().device, if_match: IfMatch::Any }, NOW);
        assert!(matches!(&*deleted.notices, [Notice::Cut { .. }]));
        // Whoever is still to hear of the end of its connection is not the next device of that name.
        put(&mut hub, IfMatch::Absent, with_keys()).reply.expect("a new device");
        assert!(report(&mut hub, 1).reply.is_err());
        assert!(write(&mut hub).notices.is_empty());
    }
}
