//! What waits to be written to one client: bounded in bytes, so that a client that does not read costs little and holds nobody.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use bytes::BytesMut;
use mqttbytes::QoS;
use mqttbytes::v4::Publish;
use tokio::sync::Notify;
use tokio::sync::mpsc;

use crate::core::document::Document;
use crate::core::messages::CloudMessage;
use crate::core::outbox::{CutReason, DesiredPatch, Outbox};
use crate::core::twin::TwinDocument;
use crate::faults::injection::malformed_response;
use iothub_model::wire::topics::FromHub;

/// Bytes that may wait for a client before nothing more is read from it.
const READ_ON_BELOW: usize = 256 * 1024;
/// Bytes that may wait for a client before it is given up: a device that reads would have had them long ago.
const GIVE_UP_ABOVE: usize = 4 * 1024 * 1024;
const WITHIN_LIMITS: &str = "nothing that the hub publishes comes near MQTT's limit of 256 MiB";
/// What a message costs beside its content.
const OVERHEAD: usize = 128;

/// Something to be written.
#[derive(Debug)]
pub(crate) enum Message {
    /// A packet that is made already.
    Packet(Bytes),
    /// A publication at QoS 0, as twin responses, desired patches and method calls are.
    Publish {
        /// Its topic.
        topic: String,
        /// Its payload.
        payload: Bytes,
    },
    /// A message from the cloud.
    FromCloud {
        /// Which.
        message: Arc<CloudMessage>,
        /// The packet's number at QoS 1; none at QoS 0.
        pkid: Option<u16>,
        /// Was it sent over this connection before.
        again: bool,
    },
    /// The answer to a twin request, made when it is written.
    Twin {
        /// The client's name for the request.
        rid: String,
        /// The twin as it was when it was asked for.
        twin: Document,
    },
    /// A change of the desired properties. It becomes text when it is written.
    Desired(Arc<DesiredPatch>),
    /// An answer that comes to harm on its way.
    Faulty(Box<Message>, AnswerFault),
}

/// What happens to an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AnswerFault {
    /// Half of it comes, and the connection ends.
    Half,
    /// Its payload is malformed, which one by a number; so is all of it when it has no payload.
    Garbage(u64),
}

/// What a message comes to when it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WriteOutcome {
    /// Nothing more.
    Free,
    /// So many bytes that are charged for.
    Charged(usize),
    /// The end of the connection.
    Last,
}

impl Message {
    fn cost(&self) -> usize {
        OVERHEAD
            + match self {
                Self::Packet(bytes) => bytes.len(),
                Self::Publish { topic, payload } => topic.len() + payload.len(),
                Self::FromCloud { message, .. } => message.topic.len() + message.payload.len(),
                Self::Twin { twin, .. } => twin.as_str().len(),
                Self::Desired(patch) => patch.max_bytes(),
                Self::Faulty(message, _) => message.cost(),
            }
    }

    /// Appends it as it goes over the wire.
    pub(crate) fn encode(self, buffer: &mut BytesMut) -> WriteOutcome {
        match self {
            Self::Packet(bytes) => buffer.extend_from_slice(&bytes),
            Self::Publish { topic, payload } => publish(buffer, topic, payload),
            Self::FromCloud { message, pkid, again } => {
                let qos = if pkid.is_some() { QoS::AtLeastOnce } else { QoS::AtMostOnce };
                let mut packet = Publish::from_bytes(message.topic.clone(), qos, message.payload.clone());
                packet.pkid = pkid.unwrap_or(0);
                packet.dup = again;
                packet.write(buffer).expect(WITHIN_LIMITS);
            }
            Self::Twin { rid, twin } => {
                let payload = TwinDocument::read(&twin).for_device();
                let bytes = payload.len();
                publish(buffer, twin_topic(rid), payload.into());
                return WriteOutcome::Charged(bytes);
            }
            Self::Desired(patch) => {
                let payload = patch.to_text();
                let bytes = payload.len();
                publish(buffer, FromHub::DesiredPatch { version: patch.version() }.topic(), payload.into());
                return WriteOutcome::Charged(bytes);
            }
            Self::Faulty(message, AnswerFault::Garbage(draw)) => match *message {
                Self::Publish { topic, payload: _ } => publish(buffer, topic, malformed_response(draw)),
                Self::Twin { rid, twin: _ } => publish(buffer, twin_topic(rid), malformed_response(draw)),
                Self::Packet(_) | Self::Desired(_) | Self::FromCloud { .. } | Self::Faulty(..) => {
                    // No packet begins so; a client need not wait for the rest of one to know.
                    buffer.extend_from_slice(&[0xf0, 0]);
                    buffer.extend_from_slice(&malformed_response(draw));
                }
            },
            Self::Faulty(message, AnswerFault::Half) => {
                let begun = buffer.len();
                message.encode(buffer);
                buffer.truncate(begun + (buffer.len() - begun) / 2);
                return WriteOutcome::Last;
            }
        }
        WriteOutcome::Free
    }
}

fn twin_topic(rid: String) -> String {
    FromHub::TwinResponse { status: 200, rid, version: None }.topic()
}

fn publish(buffer: &mut BytesMut, topic: String, payload: Bytes) {
    let written = Publish::from_bytes(topic, QoS::AtMostOnce, payload).write(buffer);
    written.expect(WITHIN_LIMITS);
}

/// The way to a client over MQTT.
#[derive(Debug)]
pub(crate) struct ClientOutbox {
    queue: mpsc::UnboundedSender<(Message, u64)>,
    fill: Arc<Fill>,
    messages: Notify,
    cut: Notify,
    cut_reason: OnceLock<CutReason>,
}

/// The connection's end of an outbox.
pub(crate) struct Pending {
    queue: mpsc::UnboundedReceiver<(Message, u64)>,
    fill: Arc<Fill>,
}

#[derive(Debug, Default)]
struct Fill {
    bytes: AtomicUsize,
    less: Notify,
    over: AtomicBool,
    overflow: Notify,
}

/// Makes an outbox and the end from which it is emptied.
pub(crate) fn outbox() -> (ClientOutbox, Pending) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let fill = Arc::new(Fill::default());
    let outbox = ClientOutbox {
        queue: sender,
        fill: fill.clone(),
        messages: Notify::new(),
        cut: Notify::new(),
        cut_reason: OnceLock::new(),
    };
    (outbox, Pending { queue: receiver, fill })
}

impl Outbox for ClientOutbox {
    fn desired_patch(&self, patch: Arc<DesiredPatch>, seen: u64) {
        self.offer(Message::Desired(patch), seen);
    }

    fn method_call(&self, name: String, rid: String, payload: Bytes) {
        self.offer(Message::Publish { topic: FromHub::MethodCall { name, rid }.topic(), payload }, 0);
    }

    fn messages_wait(&self) {
        self.messages.notify_one();
    }

    fn cut(&self, reason: CutReason) {
        let _ = self.cut_reason.set(reason);
        self.cut.notify_one();
    }
}

impl ClientOutbox {
    /// Waits until messages from the cloud may wait for the client.
    pub(crate) async fn has_messages(&self) {
        self.messages.notified().await;
    }

    /// Returns why the connection is cut, if it is.
    pub(crate) fn cut_reason(&self) -> Option<CutReason> {
        self.cut_reason.get().copied()
    }

    /// Waits until the connection is cut.
    pub(crate) async fn is_cut(&self) {
        self.cut.notified().await;
    }

    /// Puts something in that nobody may see before the revision `seen` is on disk. When too much waits already, the client
    /// is given up instead.
    pub(crate) fn offer(&self, message: Message, seen: u64) {
        let fill = &self.fill;
        if fill.over.load(Ordering::Relaxed) {
            return;
        }
        let cost = message.cost();
        if fill.bytes.fetch_add(cost, Ordering::Relaxed) + cost > GIVE_UP_ABOVE {
            fill.over.store(true, Ordering::Relaxed);
            fill.overflow.notify_one();
            return;
        }
        // When the connection is over nobody wants it.
        let _ = self.queue.send((message, seen));
    }

    /// Waits until so little waits that the client may ask for more.
    pub(crate) async fn has_room(&self) {
        while self.fill.bytes.load(Ordering::Relaxed) > READ_ON_BELOW {
            self.fill.less.notified().await;
        }
    }

    /// Waits until the client is given up.
    pub(crate) async fn overflows(&self) {
        self.fill.overflow.notified().await;
    }
}

impl Pending {
    /// Returns the next message with the revision that must be on disk before it is written.
    pub(crate) async fn next(&mut self) -> Option<(Message, u64)> {
        let next = self.queue.recv().await;
        self.taken(next)
    }

    /// Returns the next message if it is there.
    pub(crate) fn next_now(&mut self) -> Option<(Message, u64)> {
        let next = self.queue.try_recv().ok();
        self.taken(next)
    }

    fn taken(&self, next: Option<(Message, u64)>) -> Option<(Message, u64)> {
        if let Some((message, _)) = &next {
            self.fill.bytes.fetch_sub(message.cost(), Ordering::Relaxed);
            // The one waiter is the connection itself; a permit that it does not need yet makes it look once more.
            self.fill.less.notify_one();
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(bytes: usize) -> Message {
        Message::Packet(vec![0; bytes].into())
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_outbox_stops_reading_and_then_gives_up() {
        let (outbox, mut pending) = outbox();
        outbox.has_room().await;
        outbox.offer(message(READ_ON_BELOW), 0);
        let soon = std::time::Duration::from_secs(1);
        tokio::time::timeout(soon, outbox.has_room()).await.expect_err("nothing was taken out");
        assert!(pending.next_now().is_some());
        tokio::time::timeout(soon, outbox.has_room()).await.expect("there is room again");

        outbox.offer(message(GIVE_UP_ABOVE - OVERHEAD), 0);
        tokio::time::timeout(soon, outbox.overflows()).await.expect_err("just full");
        outbox.offer(message(0), 0);
        tokio::time::timeout(soon, outbox.overflows()).await.expect("one too many");
        assert!(pending.next().await.is_some());
        assert!(pending.next_now().is_none(), "what did not fit is dropped");
    }
}
