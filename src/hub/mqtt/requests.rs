//! What a client may say once it is let in, and what that comes to.

use std::collections::BTreeSet;

use bytes::BytesMut;
use mqttbytes::QoS;
use mqttbytes::v4::{Packet, PingResp, PubAck, Publish, SubAck, Subscribe, SubscribeReasonCode, UnsubAck, Unsubscribe};
use serde_json::Value;

use super::connection::Attached;
use super::outbox::Message;
use super::packets::MESSAGE_MAX_BYTES;
use crate::hub::command::{Command, Refusal, Reply};
use crate::hub::links::MethodResult;
use crate::hub::service::request_id;
use crate::hub::session::SessionCommand;
use crate::hub::timestamp::timestamp;
use crate::twin::Object;
use crate::wire::ErrorCode;
use crate::wire::error::{encode_numbered_body, tracking_id};
use crate::wire::topics::{FromDevice, FromHub, Subscription};

/// What becomes of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Continue,
    Close,
}

/// Takes a packet: does what it asks, and puts the answers in the outbox.
pub(super) fn take(attached: &Attached, packet: Packet) -> Next {
    let done = match packet {
        Packet::Publish(publish) => attached.publish(publish),
        Packet::Subscribe(subscribe) => attached.subscribe(&subscribe),
        Packet::Unsubscribe(unsubscribe) => attached.unsubscribe(&unsubscribe),
        Packet::PingReq => {
            attached.say(|buffer| PingResp.write(buffer), 0);
            Some(())
        }
        Packet::PubAck(acknowledgement) => attached.delivered(acknowledgement.pkid),
        Packet::Disconnect => None,
        // A second CONNECT, the packets of QoS 2, and what only servers send.
        Packet::Connect(_)
        | Packet::ConnAck(_)
        | Packet::PubRec(_)
        | Packet::PubRel(_)
        | Packet::PubComp(_)
        | Packet::SubAck(_)
        | Packet::UnsubAck(_)
        | Packet::PingResp => None,
    };
    done.map_or(Next::Close, |()| Next::Continue)
}

/// Each returns nothing when the connection is to be closed.
impl Attached {
    fn publish(&self, publish: Publish) -> Option<()> {
        if publish.qos == QoS::ExactlyOnce || publish.payload.len() > MESSAGE_MAX_BYTES {
            return None;
        }
        let said = FromDevice::parse(&publish.topic, self.link.id())?;
        // A report moves the time of the last activity with the rest of the document.
        self.touch();
        let acknowledge = |seen| {
            if publish.qos == QoS::AtLeastOnce {
                self.say(|buffer| PubAck::new(publish.pkid).write(buffer), seen);
            }
        };
        match said {
            // Twin requests are answered whether or not the answers are subscribed to: a client that was told nothing would
            // wait for ever, and some ask before they subscribe.
            FromDevice::TwinGet { rid } => {
                self.do_and_answer(Command::GetTwin { id: self.link.id().clone() }, &rid, acknowledge)
            }
            FromDevice::TwinPatch { rid, version } => match serde_json::from_slice::<Object>(&publish.payload) {
                Ok(patch) => {
                    let (id, connection) = (self.link.id().clone(), self.link.connection());
                    let command = SessionCommand::Report { id, connection, patch, base: version };
                    self.do_and_answer(Command::Session(command), &rid, acknowledge)
                }
                Err(error) => {
                    let text = format!("the reported properties are not a JSON object: {error}");
                    acknowledge(0);
                    self.refuse(&rid, &Refusal::new(ErrorCode::ArgumentInvalid, text), 0);
                    Some(())
                }
            },
            FromDevice::MethodResult { status, rid } => {
                self.link.answer(&rid, MethodResult { status, payload: publish.payload.clone() });
                acknowledge(0);
                Some(())
            }
            FromDevice::Telemetry { properties: _ } => {
                acknowledge(0);
                Some(())
            }
        }
    }

    fn do_and_answer(&self, command: Command, rid: &str, acknowledge: impl Fn(u64)) -> Option<()> {
        let begun = self.live.begin(command, |outcome| {
            acknowledge(outcome.seen);
            let message = match &outcome.reply {
                Ok(Reply::Device(device)) => Message::Twin { rid: rid.to_owned(), twin: device.twin.clone() },
                Ok(Reply::Module(module)) => Message::Twin { rid: rid.to_owned(), twin: module.twin.clone() },
                Ok(Reply::Reported(version)) => {
                    let response = FromHub::TwinResponse { status: 204, rid: rid.to_owned(), version: Some(*version) };
                    Message::Publish { topic: response.topic(), payload: bytes::Bytes::new() }
                }
                Ok(other) => unreachable!("the two commands of twin requests do not answer with {other:?}"),
                Err(refusal) => return self.refuse(rid, refusal, outcome.seen),
            };
            self.link.outbox.offer(message, outcome.seen);
        });
        match begun {
            Ok(outcome) => match outcome.reply {
                // It is gone, or this is no longer its connection.
                Err(Refusal { code: ErrorCode::DeviceNotFound | ErrorCode::DeviceNotOnline, .. }) => None,
                Ok(_) | Err(_) => Some(()),
            },
            // The hub takes no writes any more.
            Err(refusal) => {
                acknowledge(0);
                self.refuse(rid, &refusal, 0);
                Some(())
            }
        }
    }

    /// Says no to a twin request. Some SDKs go by the status and some by the body alone, so both say it.
    fn refuse(&self, rid: &str, refusal: &Refusal, seen: u64) {
        let now = self.live.now();
        let tracking_id = tracking_id(&request_id(), now);
        let body = encode_numbered_body(refusal.code, &refusal.text, &tracking_id, &timestamp(now));
        let response = FromHub::TwinResponse { status: refusal.code.status(), rid: rid.to_owned(), version: None };
        self.link.outbox.offer(Message::Publish { topic: response.topic(), payload: body.to_string().into() }, seen);
    }

    fn subscribe(&self, subscribe: &Subscribe) -> Option<()> {
        if subscribe.filters.is_empty() {
            return None;
        }
        let parse = |path: &str| Subscription::parse(path, self.link.id());
        let wanted = subscribe.filters.iter().map(|filter| match (parse(&filter.path)?, filter.qos) {
            (Subscription::CloudToDevice, QoS::AtMostOnce) => Some(Subscription::CloudToDeviceAtMostOnce),
            (subscription, _) => Some(subscription),
        });
        let wanted: Vec<_> = wanted.collect::<Option<_>>()?;
        // QoS 2 is granted as 1.
        let granted = |qos| match qos {
            QoS::AtMostOnce => QoS::AtMostOnce,
            QoS::AtLeastOnce | QoS::ExactlyOnce => QoS::AtLeastOnce,
        };
        let granted =
            subscribe.filters.iter().map(|filter| SubscribeReasonCode::Success(granted(filter.qos))).collect();
        let acknowledgement = SubAck::new(subscribe.pkid, granted);
        let add = |all: &mut BTreeSet<Subscription>| {
            for one in wanted {
                // In place of the same filter at another QoS.
                all.retain(|other| other.filter(self.link.id()) != one.filter(self.link.id()));
                all.insert(one);
            }
        };
        self.keep(add, |buffer| acknowledgement.write(buffer))?;
        self.link.deliveries.look();
        Some(())
    }

    fn unsubscribe(&self, unsubscribe: &Unsubscribe) -> Option<()> {
        let parse = |path: &String| Subscription::parse(path, self.link.id());
        let unwanted: Vec<_> = unsubscribe.topics.iter().filter_map(parse).collect();
        self.keep(
            |all| all.retain(|one| !unwanted.iter().any(|it| it.filter(self.link.id()) == one.filter(self.link.id()))),
            |buffer| UnsubAck::new(unsubscribe.pkid).write(buffer),
        )
    }

    /// Changes the subscriptions, keeps them if the session is one that lasts, and acknowledges.
    fn keep(
        &self,
        change: impl FnOnce(&mut BTreeSet<Subscription>),
        acknowledge: impl Fn(&mut BytesMut) -> Result<usize, mqttbytes::Error>,
    ) -> Option<()> {
        let mut subscriptions = self.link.subscriptions().clone();
        change(&mut subscriptions);
        if !self.keeps_session {
            *self.link.subscriptions() = subscriptions;
            self.say(acknowledge, 0);
            self.live.links().announce();
            return Some(());
        }
        let (id, connection) = (self.link.id().clone(), self.link.connection());
        let command = SessionCommand::KeepSubscriptions { id, connection, subscriptions: subscriptions.clone() };
        let begun = self.live.begin(Command::Session(command), |outcome| {
            if outcome.reply.is_ok() {
                // The acknowledgement goes into the outbox before anything that is due to it.
                self.say(&acknowledge, outcome.seen);
                *self.link.subscriptions() = subscriptions;
            }
        });
        begun.and_then(|outcome| outcome.reply).ok()?;
        self.live.links().announce();
        Some(())
    }

    /// Puts a packet into the outbox.
    fn say(&self, write: impl Fn(&mut BytesMut) -> Result<usize, mqttbytes::Error>, seen: u64) {
        let mut buffer = BytesMut::new();
        if write(&mut buffer).is_ok() {
            self.link.outbox.offer(Message::Packet(buffer.freeze()), seen);
        }
    }
}

/// Reads the payload of a method's result: JSON, or none. Whatever else a device sends is passed on as a text.
pub(in crate::hub) fn payload_of(payload: &[u8]) -> Value {
    match payload {
        [] => Value::Null,
        bytes => {
            serde_json::from_slice(bytes).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(bytes).into_owned()))
        }
    }
}
