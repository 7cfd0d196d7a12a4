//! What a client may say once it is let in, and what that comes to.

use std::collections::BTreeSet;

use bytes::BytesMut;
use mqttbytes::QoS;
use mqttbytes::v4::{Packet, PingResp, PubAck, Publish, SubAck, Subscribe, SubscribeReasonCode, UnsubAck, Unsubscribe};

use super::connection::Attached;
use super::gate::{Asked, Ending, Fate, Refused, message_bytes};
use super::outbox::{Message, Outbox};
use super::packets::MESSAGE_MAX_BYTES;
use crate::hub::command::{Command, Refusal, Reply};
use crate::hub::links::MethodResult;
use crate::hub::service::request_id;
use crate::hub::session::SessionCommand;
use crate::hub::timestamp::timestamp;
use crate::twin::Object;
use crate::wire::ErrorCode;
use crate::wire::error::{encode_body_of_number, encode_numbered_body, tracking_id};
use crate::wire::topics::{FromDevice, FromHub, Subscription};

/// What becomes of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Continue,
    Close,
}

/// What a packet means.
#[derive(Debug)]
pub(super) enum Said {
    /// It is dealt with.
    Nothing,
    /// Something is to be done.
    Asked(Asked),
    /// The client goes.
    Goodbye,
    /// A rule is broken.
    Forbidden,
}

/// Looks at a packet, and answers it if that is all there is to do.
pub(super) fn hear(attached: &Attached, packet: Packet) -> Said {
    match packet {
        Packet::Publish(publish) => {
            if publish.qos == QoS::ExactlyOnce || publish.payload.len() > MESSAGE_MAX_BYTES {
                return Said::Forbidden;
            }
            match FromDevice::parse(&publish.topic, attached.link.id()) {
                Some(said) => Said::Asked(Asked::Publish(said, publish)),
                None => Said::Forbidden,
            }
        }
        Packet::Subscribe(subscribe) => Said::Asked(Asked::Subscribe(subscribe)),
        Packet::Unsubscribe(unsubscribe) => Said::Asked(Asked::Unsubscribe(unsubscribe)),
        Packet::PingReq => {
            attached.well().say(|buffer| PingResp.write(buffer), 0);
            Said::Nothing
        }
        Packet::PubAck(acknowledgement) => match attached.delivered(acknowledgement.pkid) {
            Some(()) => Said::Nothing,
            None => Said::Forbidden,
        },
        Packet::Disconnect => Said::Goodbye,
        // A second CONNECT, the packets of QoS 2, and what only servers send.
        Packet::Connect(_)
        | Packet::ConnAck(_)
        | Packet::PubRec(_)
        | Packet::PubRel(_)
        | Packet::PubComp(_)
        | Packet::SubAck(_)
        | Packet::UnsubAck(_)
        | Packet::PingResp => Said::Forbidden,
    }
}

/// The way of an answer.
#[derive(Clone, Copy)]
pub(super) struct Answer<'a> {
    outbox: &'a Outbox,
    ending: Ending,
}

impl<'a> Answer<'a> {
    pub(super) fn new(outbox: &'a Outbox, ending: Ending) -> Self {
        Self { outbox, ending }
    }

    /// Puts the answer into the outbox, unless it is not to come.
    pub(super) fn offer(self, message: Message, seen: u64) {
        match self.ending {
            Ending::Answered(None) => self.outbox.offer(message, seen),
            Ending::Answered(Some(spoil)) => self.outbox.offer(Message::Spoiled(Box::new(message), spoil), seen),
            Ending::Unanswered | Ending::Broken => {}
        }
    }

    /// The way of what only says that a request has come: it comes to no harm, unless nothing comes at all.
    fn of_packets(self) -> Self {
        let ending = if self.ending == Ending::Broken { Ending::Broken } else { Ending::Answered(None) };
        Self { ending, ..self }
    }

    fn say(self, write: impl Fn(&mut BytesMut) -> Result<usize, mqttbytes::Error>, seen: u64) {
        let mut buffer = BytesMut::new();
        if write(&mut buffer).is_ok() {
            self.offer(Message::Packet(buffer.freeze()), seen);
        }
    }
}

/// Those that return nothing want the connection closed.
impl Attached {
    /// Does what is asked, or not, as it is fated, and puts the answers into the outbox.
    pub(super) fn take(&self, asked: Asked, fate: Fate) -> Next {
        let done = match (asked, fate) {
            (_, Fate::Broken) => None,
            (
                Asked::Publish(FromDevice::TwinGet { rid } | FromDevice::TwinPatch { rid, .. }, publish),
                Fate::Refused(why),
            ) => {
                self.touch();
                self.acknowledge(&publish, self.well(), 0);
                self.refuse(&rid, &why, self.well(), 0);
                Some(())
            }
            // There is no other way to tell it.
            (_, Fate::Refused(_)) => None,
            (asked, Fate::Done(ending)) => {
                let answer = Answer::new(&self.link.outbox, ending);
                let done = match asked {
                    Asked::Publish(said, publish) => self.publish(said, &publish, answer),
                    Asked::Subscribe(subscribe) => self.subscribe(&subscribe, answer),
                    Asked::Unsubscribe(unsubscribe) => self.unsubscribe(&unsubscribe, answer),
                };
                done.filter(|()| ending != Ending::Broken)
            }
        };
        done.map_or(Next::Close, |()| Next::Continue)
    }

    /// The way of an answer to which nothing happens.
    fn well(&self) -> Answer<'_> {
        Answer::new(&self.link.outbox, Ending::Answered(None))
    }

    fn acknowledge(&self, publish: &Publish, answer: Answer<'_>, seen: u64) {
        if publish.qos == QoS::AtLeastOnce {
            answer.say(|buffer| PubAck::new(publish.pkid).write(buffer), seen);
        }
    }

    fn publish(&self, said: FromDevice, publish: &Publish, answer: Answer<'_>) -> Option<()> {
        // A report moves the time of the last activity with the rest of the document.
        self.touch();
        match said {
            // Twin requests are answered whether or not the answers are subscribed to: a client that was told nothing would
            // wait for ever, and some ask before they subscribe.
            FromDevice::TwinGet { rid } => {
                self.do_and_answer(Command::GetTwin { id: self.link.id().clone() }, &rid, publish, answer)
            }
            FromDevice::TwinPatch { rid, version } => match serde_json::from_slice::<Object>(&publish.payload) {
                Ok(patch) => {
                    let (id, connection) = (self.link.id().clone(), self.link.connection());
                    let command = SessionCommand::Report { id, connection, patch, base: version };
                    self.do_and_answer(Command::Session(command), &rid, publish, answer)
                }
                Err(error) => {
                    let text = format!("the reported properties are not a JSON object: {error}");
                    self.acknowledge(publish, answer.of_packets(), 0);
                    self.refuse(&rid, &Refused::By(Refusal::new(ErrorCode::ArgumentInvalid, text)), answer, 0);
                    Some(())
                }
            },
            FromDevice::MethodResult { status, rid } => {
                self.link.answer(&rid, MethodResult { status, payload: publish.payload.clone() });
                self.acknowledge(publish, answer, 0);
                Some(())
            }
            FromDevice::Telemetry { properties } => {
                if self.gate.charges() {
                    self.gate.charge(message_bytes(&properties, &publish.payload), self.live.now());
                }
                self.acknowledge(publish, answer, 0);
                Some(())
            }
        }
    }

    fn do_and_answer(&self, command: Command, rid: &str, publish: &Publish, answer: Answer<'_>) -> Option<()> {
        let begun = self.live.begin(command, |outcome| {
            self.acknowledge(publish, answer.of_packets(), outcome.seen);
            let message = match &outcome.reply {
                Ok(Reply::Device(device)) => Message::Twin { rid: rid.to_owned(), twin: device.twin.clone() },
                Ok(Reply::Module(module)) => Message::Twin { rid: rid.to_owned(), twin: module.twin.clone() },
                Ok(Reply::Reported(version)) => {
                    let response = FromHub::TwinResponse { status: 204, rid: rid.to_owned(), version: Some(*version) };
                    Message::Publish { topic: response.topic(), payload: bytes::Bytes::new() }
                }
                Ok(other) => unreachable!("the two commands of twin requests do not answer with {other:?}"),
                Err(refusal) => return self.refuse(rid, &Refused::By(refusal.clone()), answer, outcome.seen),
            };
            answer.offer(message, outcome.seen);
        });
        match begun {
            Ok(outcome) => match outcome.reply {
                // It is gone, or this is no longer its connection.
                Err(Refusal { code: ErrorCode::DeviceNotFound | ErrorCode::DeviceNotOnline, .. }) => None,
                Ok(Reply::Reported(_)) => {
                    self.gate.charge(publish.payload.len(), self.live.now());
                    Some(())
                }
                Ok(_) | Err(_) => Some(()),
            },
            // The hub takes no writes any more.
            Err(refusal) => {
                self.acknowledge(publish, answer.of_packets(), 0);
                self.refuse(rid, &Refused::By(refusal), answer, 0);
                Some(())
            }
        }
    }

    /// Says no to a twin request. Some SDKs go by the status and some by the body alone, so both say it.
    fn refuse(&self, rid: &str, refused: &Refused, answer: Answer<'_>, seen: u64) {
        let now = self.live.now();
        let (tracking_id, now) = (tracking_id(&request_id(), now), timestamp(now));
        let status = refused.status();
        let body = match refused {
            Refused::By(Refusal { code, text }) if code.number() != 0 => {
                encode_numbered_body(*code, text, &tracking_id, &now)
            }
            Refused::By(Refusal { text, .. }) => encode_body_of_number(status, text, &tracking_id, &now),
            Refused::Status(_) => {
                encode_body_of_number(status, "the embedded hub was asked to fail", &tracking_id, &now)
            }
        };
        let response = FromHub::TwinResponse { status, rid: rid.to_owned(), version: None };
        answer.offer(Message::Publish { topic: response.topic(), payload: body.to_string().into() }, seen);
    }

    fn subscribe(&self, subscribe: &Subscribe, answer: Answer<'_>) -> Option<()> {
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
            for &one in &wanted {
                // In place of the same filter at another QoS.
                all.retain(|other| other.filter(self.link.id()) != one.filter(self.link.id()));
                all.insert(one);
            }
        };
        let mut after = self.link.subscriptions().clone();
        add(&mut after);
        if after.len() > Subscription::MAX {
            return None;
        }
        self.keep(add, |buffer| acknowledgement.write(buffer), answer)?;
        self.link.deliveries.look();
        Some(())
    }

    fn unsubscribe(&self, unsubscribe: &Unsubscribe, answer: Answer<'_>) -> Option<()> {
        let parse = |path: &String| Subscription::parse(path, self.link.id());
        let unwanted: Vec<_> = unsubscribe.topics.iter().filter_map(parse).collect();
        self.keep(
            |all| all.retain(|one| !unwanted.iter().any(|it| it.filter(self.link.id()) == one.filter(self.link.id()))),
            |buffer| UnsubAck::new(unsubscribe.pkid).write(buffer),
            answer,
        )
    }

    /// Changes the subscriptions, keeps them if the session is one that lasts, and acknowledges.
    fn keep(
        &self,
        change: impl FnOnce(&mut BTreeSet<Subscription>),
        acknowledge: impl Fn(&mut BytesMut) -> Result<usize, mqttbytes::Error>,
        answer: Answer<'_>,
    ) -> Option<()> {
        let mut subscriptions = self.link.subscriptions().clone();
        change(&mut subscriptions);
        if !self.keeps_session {
            *self.link.subscriptions() = subscriptions;
            answer.say(acknowledge, 0);
            self.live.links().announce();
            return Some(());
        }
        let (id, connection) = (self.link.id().clone(), self.link.connection());
        let command = SessionCommand::KeepSubscriptions { id, connection, subscriptions: subscriptions.clone() };
        let begun = self.live.begin(Command::Session(command), |outcome| {
            if outcome.reply.is_ok() {
                // The acknowledgement goes into the outbox before anything that is due to it.
                answer.say(&acknowledge, outcome.seen);
                *self.link.subscriptions() = subscriptions;
            }
        });
        begun.and_then(|outcome| outcome.reply).ok()?;
        self.live.links().announce();
        Some(())
    }
}
