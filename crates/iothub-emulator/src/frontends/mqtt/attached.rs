//! A client that is let in, and what its connection works with.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use bytes::Bytes;
use bytes::BytesMut;
use mqttbytes::v4::ConnAck;
use mqttbytes::v4::Connect;
use mqttbytes::v4::ConnectReturnCode;
use tokio::time::Instant;

use crate::connections::ClientLink;
use crate::core::command::Refusal;
use crate::core::requests::sessions;
use crate::core::requests::sessions::{Disconnect, Touch};
use crate::frontends::mqtt::MqttFront;
use crate::frontends::mqtt::admission::{Ending, Gate};
use crate::frontends::mqtt::answer::Answer;
use crate::frontends::mqtt::login::Login;
use crate::frontends::mqtt::outbox::{ClientOutbox, Message, Pending, outbox};
use crate::frontends::mqtt::under_way::UnderWay;
use crate::handle::HubHandle;
use crate::request_log::ConnectionLog;

/// `lastActivityTime` moves no more often than this.
const TOUCH_EVERY: Duration = Duration::from_secs(1);

/// A client that is let in. Dropped, it is gone, whichever way the connection ended.
pub(crate) struct Attached {
    pub(crate) live: Arc<HubHandle>,
    pub(crate) gate: Arc<Gate>,
    pub(crate) link: Arc<ClientLink>,
    pub(crate) outbox: Arc<ClientOutbox>,
    /// The messages that the client has not acknowledged.
    pub(crate) under_way: Mutex<UnderWay>,
    /// Are its subscriptions kept for when it comes back.
    pub(crate) keeps_session: bool,
    /// Where its refusals and the faults that it meets are noted.
    pub(crate) log: ConnectionLog,
    touched: Mutex<Instant>,
}

impl Attached {
    pub(super) fn new(
        front: &MqttFront,
        login: Login,
        connect: &Connect,
        ending: Ending,
    ) -> Result<(Self, Pending), Refusal> {
        let (live, gate) = (front.live.clone(), front.gate.clone());
        let (outbox, pending) = outbox();
        let outbox = Arc::new(outbox);
        let Login { id, proof, model, valid_for: _ } = login;
        let link = Arc::new(ClientLink::new(id.clone(), live.links().next_connection(), outbox.clone()));
        let command =
            sessions::Connect { id, connection: link.connection(), proof, clean: connect.clean_session, model };
        let begun = live.begin(command, |outcome| {
            if let Ok(session) = &outcome.reply {
                link.subscriptions().clone_from(&session.subscriptions);
                // In the outbox before anybody knows of the link, since some clients take no other packet first. The service
                // says that a session is present to each client that asks for one.
                let accepted = connack(ConnectReturnCode::Success, !connect.clean_session);
                Answer::new(&outbox, ending).offer(Message::Packet(accepted), outcome.seen);
                live.links().register(&link);
            }
        });
        match begun.and_then(|outcome| outcome.reply) {
            Ok(_) => {
                let (keeps_session, under_way) = (!connect.clean_session, Mutex::default());
                let touched = Mutex::new(Instant::now());
                let log = front.log.clone();
                Ok((Self { live, gate, link, outbox, under_way, keeps_session, log, touched }, pending))
            }
            Err(refusal) => Err(refusal),
        }
    }

    /// Notes that a message went through.
    pub(crate) fn touch(&self) {
        let mut touched = self.touched.lock().unwrap_or_else(PoisonError::into_inner);
        if touched.elapsed() >= TOUCH_EVERY {
            *touched = Instant::now();
            let (id, connection) = (self.link.id().clone(), self.link.connection());
            // A client that is no longer connected is told so by being cut.
            let _ = self.live.begin(Touch { id, connection }, |_| ());
        }
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.live.links().remove(&self.link);
        self.link.abandon_calls();
        let (id, connection) = (self.link.id().clone(), self.link.connection());
        // Refused when another connection has taken over, which then is what the device shows.
        let _ = self.live.begin(Disconnect { id, connection }, |_| ());
    }
}

pub(super) fn connack(code: ConnectReturnCode, session_present: bool) -> Bytes {
    let mut buffer = BytesMut::new();
    ConnAck::new(code, session_present).write(&mut buffer).expect("four bytes are within MQTT's limit");
    buffer.freeze()
}
