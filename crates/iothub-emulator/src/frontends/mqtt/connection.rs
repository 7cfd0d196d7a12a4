//! One connection, from its first packet to its end.

use std::time::Duration;

use bytes::BytesMut;
use mqttbytes::v4::ConnectReturnCode;
use mqttbytes::v4::Packet;
use tokio::time::Instant;
use tokio::time::sleep_until;
use tokio::time::timeout;
use tokio::time::timeout_at;

use crate::core::command::Refusal;
use crate::core::outbox::CutReason;
use crate::core::session::Fingerprints;
use crate::frontends::mqtt::MqttFront;
use crate::frontends::mqtt::admission::{Admitted, Ending, Held, Verdict};
use crate::frontends::mqtt::attached::{Attached, connack};
use crate::frontends::mqtt::deliveries::deliver;
use crate::frontends::mqtt::log::{MQTT, log_path, note_refused};
use crate::frontends::mqtt::login::{Denied, login};
use crate::frontends::mqtt::outbox::{Message, Pending, WriteOutcome};
use crate::frontends::mqtt::packets::{CONNECT_MAX_BYTES, NoPacket, PACKET_MAX_BYTES, PacketReader};
use crate::frontends::mqtt::requests::{Closing, SECOND_CONNECT, Said, hear};
use crate::frontends::mqtt::rules::Violation;
use crate::transport::connection::stopped;
use crate::transport::stream::{Farewell, Sink, Source, TransportFault};
use iothub_model::wire::ErrorCode;

/// The longest silence that a client may ask for, and that of one which asks for none (docs: Communicate with an IoT hub by
/// using the MQTT protocol).
const SILENCE_MAX: Duration = Duration::from_secs(1767);
/// Bytes that are written at once when there are so many.
const WRITE_TOGETHER: usize = 64 * 1024;
/// A client that does not hear of the end by then is let go unheard.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

impl MqttFront {
    /// Serves one connection until it ends, however that is.
    pub(crate) async fn serve(self, source: Source, mut sink: Sink, certificate: Option<Fingerprints>) {
        let mut stopping = self.stopping.clone();
        let farewell = tokio::select! {
            farewell = self.converse(source, &mut sink, certificate) => farewell,
            () = stopped(&mut stopping) => Farewell::GoingAway,
        };
        let _ = timeout(CLOSE_TIMEOUT, sink.close(farewell)).await;
    }

    async fn converse(&self, source: Source, sink: &mut Sink, certificate: Option<Fingerprints>) -> Farewell {
        let mut reader = PacketReader::new(source);
        let connect = match timeout(self.patience.connect, reader.next(CONNECT_MAX_BYTES)).await {
            Ok(Ok(Packet::Connect(connect))) => connect,
            Ok(Err(NoPacket::Version)) => {
                let text = "the embedded hub speaks MQTT 3.1.1 alone, and this client another version, such as MQTT 5";
                let refusal = Refusal::new(ErrorCode::InvalidProtocolVersion, text);
                return self.refuse(sink, ConnectReturnCode::RefusedProtocolVersion, "/connect", &refusal).await;
            }
            Ok(Err(NoPacket::Password)) => {
                let refusal = Denied::Token.refusal();
                return self.refuse(sink, ConnectReturnCode::NotAuthorized, "/connect", &refusal).await;
            }
            // As port scans do.
            Ok(Err(NoPacket::Ended)) => return Farewell::Normal,
            Ok(Err(NoPacket::Torn)) => {
                self.log.cut(MQTT, "/connect", "the connection ended in the middle of the CONNECT");
                return Farewell::Normal;
            }
            Ok(Err(NoPacket::Transport(fault))) => {
                self.log.refused(MQTT, "/connect", &fault.refusal());
                return fault.farewell;
            }
            // Whatever this is, it is no client of ours.
            Ok(Ok(_)) => return self.no_connect("it is another packet [MQTT-3.1.0-1]"),
            Ok(Err(NoPacket::Malformed(violation))) => return self.no_connect(violation),
            Err(_) => {
                self.log.cut(MQTT, "/connect", "the client sent no CONNECT in time");
                return Farewell::Policy;
            }
        };
        let login = match login(&connect, certificate.as_ref(), &self.access, self.live.now()) {
            Ok(login) => login,
            Err(denied) => {
                let path = format!("/devices/{}/connect", connect.client_id);
                return self.refuse(sink, denied.code(), &path, &denied.refusal()).await;
            }
        };
        let path = format!("{}/connect", log_path(&login.id));
        // None where the proof has no end.
        let valid_until = login.valid_for.and_then(|valid_for| Instant::now().checked_add(valid_for));
        let Admitted { due, verdict, fault } = self.gate.connect(&login.id, self.live.now());
        let fault = fault.as_deref();
        sleep_until(due).await;
        let ending = match verdict {
            Verdict::Done(ending) => ending,
            Verdict::Refused(refused) => {
                let code = match refused.status() {
                    401 | 403 | 404 => ConnectReturnCode::NotAuthorized,
                    _ => ConnectReturnCode::ServiceUnavailable,
                };
                note_refused(&self.log, &path, &refused, fault);
                return self.deny(sink, code).await;
            }
            Verdict::Broken(None) => {
                self.log.fault(MQTT, &path, 0, fault.unwrap_or_default());
                return Farewell::Policy;
            }
            Verdict::Broken(Some(refusal)) => {
                self.log.refused(MQTT, &path, &refusal);
                return Farewell::Policy;
            }
        };
        let (attached, pending) = match Attached::new(self, login, &connect, ending) {
            Ok(attached) => attached,
            Err(refusal) => {
                self.log.refused_with(MQTT, &path, &refusal, fault);
                return self.deny(sink, ConnectReturnCode::NotAuthorized).await;
            }
        };
        if let Some(fault) = fault {
            let status = if ending == Ending::Broken { 0 } else { 200 };
            self.log.fault(MQTT, &path, status, fault);
        }
        let end = match ending {
            Ending::Broken => End::Closed(Closing::Noted),
            Ending::Answered(_) | Ending::Unanswered => {
                let silence = match connect.keep_alive {
                    0 => SILENCE_MAX,
                    seconds => (Duration::from_secs(seconds.into()) * 3 / 2).min(SILENCE_MAX),
                };
                // Whichever ends first ends them all.
                tokio::select! {
                    end = read(&attached, reader, silence) => end,
                    () = deliver(&attached) => End::Left,
                    end = write(&attached, pending, sink, self.patience.write) => end,
                    () = attached.outbox.is_cut() => End::Closed(Closing::Replaced),
                    () = attached.outbox.overflows() => End::Unread,
                    () = async { sleep_until(valid_until.expect("it is looked at before")).await }, if valid_until.is_some() => {
                        End::Expired
                    }
                }
            }
        };
        self.note(&attached, end)
    }

    /// Notes how a connection ended, and returns what to say.
    fn note(&self, attached: &Attached, end: End) -> Farewell {
        let path = log_path(attached.link.id());
        let reason = match end {
            End::Left => return Farewell::Normal,
            End::Closed(Closing::Malformed(violation)) => {
                let text = format!("what came is no packet that MQTT 3.1.1 allows here: {violation}");
                self.log.refused(MQTT, &format!("{path}/packet"), &Refusal::new(ErrorCode::InvalidOperation, text));
                return Farewell::Protocol;
            }
            End::Fault(fault) => {
                self.log.refused(MQTT, &format!("{path}/packet"), &fault.refusal());
                return fault.farewell;
            }
            End::Closed(Closing::Rule { what, refusal }) => {
                self.log.refused(MQTT, &format!("{path}/{what}"), &refusal);
                return Farewell::Policy;
            }
            End::Closed(Closing::Noted) => return Farewell::Policy,
            End::Closed(Closing::Replaced) => {
                let (code, reason) = match attached.outbox.cut_reason() {
                    None | Some(CutReason::TakenOver) => {
                        ("ConnectionTakenOver", "another connection of this client took its place")
                    }
                    Some(CutReason::Disabled) => ("IdentityDisabled", "the client's device was disabled"),
                    Some(CutReason::Deleted) => ("IdentityDeleted", "the client's identity was deleted"),
                };
                self.log.cut_by_others(MQTT, &path, code, reason);
                return Farewell::Policy;
            }
            End::Silent => "the client was silent for longer than one and a half of its keep alive",
            End::Unread => "the client does not read what the hub writes to it",
            End::Expired => "the client's token expired five minutes ago",
        };
        self.log.cut(MQTT, &path, reason);
        Farewell::Policy
    }

    /// Notes that a client began with something else than a CONNECT, and returns what to say.
    fn no_connect(&self, violation: Violation) -> Farewell {
        let text = format!("what came first is no CONNECT of MQTT 3.1.1: {violation}");
        self.log.refused(MQTT, "/connect", &Refusal::new(ErrorCode::InvalidOperation, text));
        Farewell::Protocol
    }

    async fn refuse(&self, sink: &mut Sink, code: ConnectReturnCode, path: &str, refusal: &Refusal) -> Farewell {
        // Before the client hears of it, as with all that is logged.
        self.log.refused(MQTT, path, refusal);
        self.deny(sink, code).await
    }

    async fn deny(&self, sink: &mut Sink, code: ConnectReturnCode) -> Farewell {
        let _ = timeout(self.patience.write, sink.write(connack(code, false))).await;
        Farewell::Normal
    }
}

/// How a connection ends that was let in.
enum End {
    /// Its client said goodbye, or is gone.
    Left,
    Silent,
    /// The client does not take what is written to it.
    Unread,
    Expired,
    /// What came is not of the layer below.
    Fault(TransportFault),
    Closed(Closing),
}

/// Takes what the client sends, until it ends or breaks a rule, or says nothing for too long.
async fn read(attached: &Attached, mut reader: PacketReader, silence: Duration) -> End {
    let mut held = Held::default();
    let mut heard = Instant::now();
    let mut is_leaving = false;
    loop {
        let listens = !is_leaving && held.has_room();
        let (asked, admitted) = tokio::select! {
            due = held.next() => due,
            packet = async {
                // Whoever does not read what it asked for may not ask for more, and is not silent meanwhile.
                let full_since = Instant::now();
                attached.outbox.has_room().await;
                heard += full_since.elapsed();
                timeout_at(heard + silence, reader.next(PACKET_MAX_BYTES)).await
            }, if listens => {
                let packet = match packet {
                    Ok(Ok(packet)) => packet,
                    Ok(Err(NoPacket::Ended | NoPacket::Torn)) => return End::Left,
                    Ok(Err(NoPacket::Version | NoPacket::Password)) => {
                        return End::Closed(Closing::Malformed(SECOND_CONNECT));
                    }
                    Ok(Err(NoPacket::Malformed(violation))) => return End::Closed(Closing::Malformed(violation)),
                    Ok(Err(NoPacket::Transport(fault))) => return End::Fault(fault),
                    Err(_) => return End::Silent,
                };
                heard = Instant::now();
                match hear(attached, packet) {
                    Said::Nothing => continue,
                    Said::Asked(asked) => {
                        let admitted = held.admit(&attached.gate, attached.link.id(), asked, attached.live.now());
                        let Some(now) = admitted else { continue };
                        now
                    }
                    // What it sent before it went is done all the same.
                    Said::Goodbye if !held.is_empty() => {
                        is_leaving = true;
                        continue;
                    }
                    Said::Goodbye => return End::Left,
                    Said::Forbidden(closing) => return End::Closed(closing),
                }
            }
        };
        if let Err(closing) = attached.take(asked, admitted) {
            return End::Closed(closing);
        }
        if is_leaving && held.is_empty() {
            return End::Left;
        }
    }
}

/// Writes what waits for the client, each message when what it shows is on disk.
async fn write(attached: &Attached, mut pending: Pending, sink: &mut Sink, patience: Duration) -> End {
    let mut buffer = BytesMut::new();
    while let Some(first) = pending.next().await {
        let mut next = Some(first);
        let (mut spoke, mut is_last) = (false, false);
        while let Some((message, seen)) = next {
            if attached.live.durable(seen).await.is_err() {
                return End::Left;
            }
            spoke |= !matches!(message, Message::Packet(_));
            match message.encode(&mut buffer) {
                WriteOutcome::Free => {}
                WriteOutcome::Charged(bytes) => attached.gate.charge(bytes, attached.live.now()),
                WriteOutcome::Last => is_last = true,
            }
            next = if buffer.len() < WRITE_TOGETHER && !is_last { pending.next_now() } else { None };
        }
        if spoke {
            attached.touch();
        }
        match timeout(patience, sink.write(buffer.split().freeze())).await {
            Ok(Ok(())) if !is_last => {}
            // Half of an answer was asked for.
            Ok(Ok(())) => return End::Closed(Closing::Noted),
            Ok(Err(_)) => return End::Left,
            Err(_) => return End::Unread,
        }
    }
    End::Left
}
