//! What a client may say once it is let in, and what that comes to.

use std::collections::BTreeSet;

use bytes::BytesMut;
use mqttbytes::QoS;
use mqttbytes::v4::Packet;
use mqttbytes::v4::PingResp;
use mqttbytes::v4::PubAck;
use mqttbytes::v4::Publish;
use mqttbytes::v4::SubAck;
use mqttbytes::v4::Subscribe;
use mqttbytes::v4::SubscribeReasonCode;
use mqttbytes::v4::UnsubAck;
use mqttbytes::v4::Unsubscribe;

use crate::connections::MethodResult;
use crate::core::ask::Ask;
use crate::core::command::Refusal;
use crate::core::outbox::Outbox;
use crate::core::requests::sessions::{KeepSubscriptions, Report};
use crate::core::requests::twins::GetTwin;
use crate::core::timestamp::timestamp;
use crate::faults::by_message::{NO_FAULTS_BY_MESSAGES, asks_for_fault};
use crate::frontends::mqtt::admission::{Admitted, Asked, Ending, Refused, Route, Verdict, message_bytes};
use crate::frontends::mqtt::answer::Answer;
use crate::frontends::mqtt::attached::Attached;
use crate::frontends::mqtt::log::{MQTT, log_path, note_refused};
use crate::frontends::mqtt::outbox::Message;
use crate::frontends::mqtt::packets::MESSAGE_MAX_BYTES;
use crate::frontends::mqtt::rules::Violation;
use crate::transport::request_id::request_id;
use iothub_model::twin::OrderedObject;
use iothub_model::wire::ErrorCode;
use iothub_model::wire::decode_segment;
use iothub_model::wire::error::encode_body_of_number;
use iothub_model::wire::error::encode_numbered_body;
use iothub_model::wire::error::tracking_id;
use iothub_model::wire::numbers::as_the_service_reads;
use iothub_model::wire::topics::FromDevice;
use iothub_model::wire::topics::FromHub;
use iothub_model::wire::topics::Subscription;

/// Why a connection is to be closed.
#[derive(Debug)]
pub(crate) enum Closing {
    /// The client did what it may not do.
    Rule {
        /// What it did, as the log's paths have it.
        what: &'static str,
        /// Why not.
        refusal: Refusal,
    },
    /// What came is no packet, or not one that may come now.
    Malformed(Violation),
    /// Why, the log has already.
    Noted,
    /// It is no longer its client's connection, or its client's identity is gone.
    Replaced,
}

impl Closing {
    fn rule(what: &'static str, code: ErrorCode, text: impl Into<String>) -> Self {
        Self::Rule { what, refusal: Refusal::new(code, text) }
    }

    fn invalid(what: &'static str, text: impl Into<String>) -> Self {
        Self::rule(what, ErrorCode::InvalidOperation, text)
    }
}

/// What a packet means.
#[derive(Debug)]
pub(crate) enum Said {
    /// It is dealt with.
    Nothing,
    /// Something is to be done.
    Asked(Asked),
    /// The client goes.
    Goodbye,
    /// A rule is broken.
    Forbidden(Closing),
}

/// Looks at a packet, and answers it if that is all there is to do.
pub(crate) fn hear(attached: &Attached, packet: Packet) -> Said {
    match packet {
        Packet::Publish(publish) => {
            if publish.qos == QoS::ExactlyOnce {
                return Said::Forbidden(Closing::invalid("publish", "the hub takes no message at QoS 2"));
            }
            if publish.payload.len() > MESSAGE_MAX_BYTES {
                let text = format!("the message has more than {MESSAGE_MAX_BYTES} bytes");
                return Said::Forbidden(Closing::rule("publish", ErrorCode::MessageTooLarge, text));
            }
            match FromDevice::parse(&publish.topic, attached.link.id()) {
                Some(FromDevice::Telemetry { properties }) if has_fault(&properties) => {
                    Said::Forbidden(Closing::invalid("telemetry", NO_FAULTS_BY_MESSAGES))
                }
                Some(said) => Said::Asked(Asked::Publish(said, publish)),
                None => {
                    let text = format!("this client may not publish to `{}`", publish.topic);
                    Said::Forbidden(Closing::invalid("publish", text))
                }
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
            None => Said::Forbidden(Closing::Replaced),
        },
        Packet::Disconnect => Said::Goodbye,
        Packet::Connect(_) => Said::Forbidden(Closing::Malformed(SECOND_CONNECT)),
        // What belongs to QoS 2, which the hub neither sends nor takes, and what only servers send.
        Packet::ConnAck(_)
        | Packet::PubRec(_)
        | Packet::PubRel(_)
        | Packet::PubComp(_)
        | Packet::SubAck(_)
        | Packet::UnsubAck(_)
        | Packet::PingResp => Said::Forbidden(Closing::Malformed(
            "a packet of QoS 2, or of a server, which answers nothing that the hub sent",
        )),
    }
}

/// The rule that a second CONNECT breaks, whatever is in it.
pub(crate) const SECOND_CONNECT: Violation = "it is a second CONNECT [MQTT-3.1.0-2]";

/// Reads reported properties, or says what is wrong with them.
fn reported(payload: &[u8]) -> Result<OrderedObject, String> {
    let payload = as_the_service_reads(payload).map_err(|error| format!("the reported properties: {error}"))?;
    serde_json::from_slice(&payload).map_err(|error| format!("the reported properties are not a JSON object: {error}"))
}

/// Returns `true` if one of a message's properties, as they stand in its topic, asks for a fault.
fn has_fault(properties: &str) -> bool {
    let names = properties.split('&').map(|pair| pair.split_once('=').map_or(pair, |(name, _)| name));
    names.filter_map(decode_segment).any(|name| asks_for_fault(&name))
}

/// Those that fail want the connection closed.
impl Attached {
    /// Does what is asked, or not, as the verdict is, and puts the answers into the outbox.
    pub(crate) fn take(&self, asked: Asked, admitted: Admitted) -> Result<(), Closing> {
        let (route, Admitted { verdict, fault, .. }) = (asked.route(), admitted);
        let (what, fault) = (route.name(), fault.as_deref());
        let path = || format!("{}/{what}", log_path(self.link.id()));
        match (asked, verdict) {
            (_, Verdict::Broken(None)) => {
                self.log.fault(MQTT, &path(), 0, fault.unwrap_or_default());
                Err(Closing::Noted)
            }
            (_, Verdict::Broken(Some(refusal))) => Err(Closing::Rule { what, refusal }),
            (
                Asked::Publish(FromDevice::TwinGet { rid } | FromDevice::TwinPatch { rid, .. }, publish),
                Verdict::Refused(why),
            ) => {
                self.touch();
                self.acknowledge(&publish, self.well(), 0);
                note_refused(&self.log, &path(), &why, fault);
                self.refuse(&rid, &why, self.well(), 0);
                Ok(())
            }
            // There is no other way to tell it.
            (_, Verdict::Refused(why)) => {
                note_refused(&self.log, &path(), &why, fault);
                Err(Closing::Noted)
            }
            (asked, Verdict::Done(ending)) => {
                let answer = Answer::new(&self.outbox, ending);
                let refusal = match asked {
                    Asked::Publish(said, publish) => self.publish(said, &publish, answer)?,
                    Asked::Subscribe(subscribe) => self.subscribe(&subscribe, answer).map(|()| None)?,
                    Asked::Unsubscribe(unsubscribe) => self.unsubscribe(&unsubscribe, answer).map(|()| None)?,
                };
                // Nothing leaves before this returns: the log has it first.
                match (refusal, fault) {
                    (Some(refusal), fault) => self.log.refused_with(MQTT, &path(), &refusal, fault),
                    (None, Some(fault)) => {
                        let status = match route {
                            _ if ending == Ending::Broken => 0,
                            Route::TwinPatch => 204,
                            _ => 200,
                        };
                        self.log.fault(MQTT, &path(), status, fault);
                    }
                    (None, None) => {}
                }
                if ending == Ending::Broken { Err(Closing::Noted) } else { Ok(()) }
            }
        }
    }

    /// The way of an answer to which nothing happens.
    fn well(&self) -> Answer<'_> {
        Answer::new(&self.outbox, Ending::Answered(None))
    }

    fn acknowledge(&self, publish: &Publish, answer: Answer<'_>, seen: u64) {
        if publish.qos == QoS::AtLeastOnce {
            answer.say(|buffer| PubAck::new(publish.pkid).write(buffer), seen);
        }
    }

    /// Does what a message asks. Returns the refusal that its answer tells, if any.
    fn publish(&self, said: FromDevice, publish: &Publish, answer: Answer<'_>) -> Result<Option<Refusal>, Closing> {
        // A report moves the time of the last activity with the rest of the document.
        self.touch();
        match said {
            // Twin requests are answered whether or not the answers are subscribed to: a client that was told nothing would
            // wait for ever, and some ask before they subscribe.
            FromDevice::TwinGet { rid } => {
                let get = GetTwin { id: self.link.id().clone() };
                self.do_and_answer(get, &rid, publish, answer, |twin| Message::Twin {
                    rid: rid.clone(),
                    twin: twin.document().clone(),
                })
            }
            FromDevice::TwinPatch { rid, version } => match reported(&publish.payload) {
                Ok(patch) => {
                    let (id, connection) = (self.link.id().clone(), self.link.connection());
                    let report = Report { id, connection, patch, base: version };
                    let refusal = self.do_and_answer(report, &rid, publish, answer, |version| {
                        let response = FromHub::TwinResponse { status: 204, rid: rid.clone(), version: Some(*version) };
                        Message::Publish { topic: response.topic(), payload: bytes::Bytes::new() }
                    })?;
                    if refusal.is_none() {
                        self.gate.charge(publish.payload.len(), self.live.now());
                    }
                    Ok(refusal)
                }
                Err(text) => {
                    let refusal = Refusal::new(ErrorCode::ArgumentInvalid, text);
                    self.acknowledge(publish, answer.of_packets(), 0);
                    self.refuse(&rid, &Refused::By(refusal.clone()), answer, 0);
                    Ok(Some(refusal))
                }
            },
            FromDevice::MethodResult { status, rid } => {
                self.link.answer(&rid, MethodResult { status, payload: publish.payload.clone() });
                self.acknowledge(publish, answer, 0);
                Ok(None)
            }
            FromDevice::Telemetry { properties } => {
                if self.gate.charges() {
                    self.gate.charge(message_bytes(&properties, &publish.payload), self.live.now());
                }
                self.acknowledge(publish, answer, 0);
                Ok(None)
            }
        }
    }

    /// Does what a twin request asks and answers it. Returns the refusal, if it is one.
    fn do_and_answer<A: Ask>(
        &self,
        ask: A,
        rid: &str,
        publish: &Publish,
        answer: Answer<'_>,
        message_of: impl FnOnce(&A::Reply) -> Message,
    ) -> Result<Option<Refusal>, Closing> {
        let begun = self.live.begin(ask, |outcome| {
            self.acknowledge(publish, answer.of_packets(), outcome.seen);
            match &outcome.reply {
                Ok(reply) => answer.offer(message_of(reply), outcome.seen),
                Err(refusal) => self.refuse(rid, &Refused::By(refusal.clone()), answer, outcome.seen),
            }
        });
        match begun {
            Ok(outcome) => match outcome.reply {
                // It is gone, or this is no longer its connection.
                Err(Refusal { code: ErrorCode::DeviceNotFound | ErrorCode::DeviceNotOnline, .. }) => {
                    Err(Closing::Replaced)
                }
                reply => Ok(reply.err()),
            },
            // The hub takes no writes any more.
            Err(refusal) => {
                self.acknowledge(publish, answer.of_packets(), 0);
                self.refuse(rid, &Refused::By(refusal.clone()), answer, 0);
                Ok(Some(refusal))
            }
        }
    }

    /// Says no to a twin request. Some SDKs go by the status and some by the body alone, so both say it.
    fn refuse(&self, rid: &str, refused: &Refused, answer: Answer<'_>, seen: u64) {
        let now = self.live.now();
        let (tracking_id, now) = (tracking_id(&request_id(), now), timestamp(now));
        let status = refused.status();
        let body = match refused {
            Refused::By(Refusal { code, text }) => encode_numbered_body(*code, text, &tracking_id, &now),
            Refused::Status(_) => {
                encode_body_of_number(status, "the embedded hub was asked to fail", &tracking_id, &now)
            }
        };
        let response = FromHub::TwinResponse { status, rid: rid.to_owned(), version: None };
        answer.offer(Message::Publish { topic: response.topic(), payload: body.to_string().into() }, seen);
    }

    fn subscribe(&self, subscribe: &Subscribe, answer: Answer<'_>) -> Result<(), Closing> {
        let parse = |path: &str| Subscription::parse(path, self.link.id());
        let wanted = subscribe.filters.iter().map(|filter| match (parse(&filter.path), filter.qos) {
            (Some(subscription), QoS::AtMostOnce) => Ok(subscription.at_most_once()),
            (Some(subscription), _) => Ok(subscription),
            (None, _) => {
                let text = format!("this client may not subscribe to `{}`", filter.path);
                Err(Closing::invalid("subscribe", text))
            }
        });
        let wanted: Vec<_> = wanted.collect::<Result<_, _>>()?;
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
            let text = format!("a client has at most {} subscriptions at a time", Subscription::MAX);
            return Err(Closing::invalid("subscribe", text));
        }
        self.keep(add, |buffer| acknowledgement.write(buffer), answer)?;
        self.outbox.messages_wait();
        Ok(())
    }

    fn unsubscribe(&self, unsubscribe: &Unsubscribe, answer: Answer<'_>) -> Result<(), Closing> {
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
    ) -> Result<(), Closing> {
        let mut subscriptions = self.link.subscriptions().clone();
        change(&mut subscriptions);
        if !self.keeps_session {
            *self.link.subscriptions() = subscriptions;
            answer.say(acknowledge, 0);
            self.live.links().announce();
            return Ok(());
        }
        let (id, connection) = (self.link.id().clone(), self.link.connection());
        let command = KeepSubscriptions { id, connection, subscriptions: subscriptions.clone() };
        let begun = self.live.begin(command, |outcome| {
            if outcome.reply.is_ok() {
                // The acknowledgement goes into the outbox before anything that is due to it.
                answer.say(&acknowledge, outcome.seen);
                *self.link.subscriptions() = subscriptions;
            }
        });
        match begun.and_then(|outcome| outcome.reply) {
            Ok(_) => {}
            Err(Refusal { code: ErrorCode::DeviceNotFound | ErrorCode::DeviceNotOnline, .. }) => {
                return Err(Closing::Replaced);
            }
            Err(refusal) => return Err(Closing::Rule { what: "subscribe", refusal }),
        }
        self.live.links().announce();
        Ok(())
    }
}
