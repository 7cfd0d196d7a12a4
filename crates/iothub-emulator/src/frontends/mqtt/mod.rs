//! The device side of the hub: MQTT 3.1.1 over TLS and over WebSocket.
//!
//! [`MqttFront::serve`] is a connection from its first packet to its end. Everything that lasts or that others see goes through
//! the hub's machine (`core::sessions`); what is here is bytes ([`crate::transport`], [`packets`]), the rules of MQTT for them
//! ([`rules`]), who the client is ([`login`]), what it may say ([`requests`]), what holds that up ([`admission`]) and what waits
//! for it ([`outbox`]).
//!
//! A violation of MQTT's rules or the hub's ends the connection without a word, as the service does: MQTT 3.1.1 has no other way to tell
//! a client, and SDKs take a SUBACK of failure for success.

// In reading order: a module uses those above it, and none below.
pub(crate) mod login;
pub(crate) mod outbox;
pub(crate) mod admission;
mod answer;
pub(crate) mod rules;
pub(crate) mod packets;
mod under_way;
mod attached;
pub(crate) mod deliveries;
mod log;
pub(crate) mod requests;
pub(crate) mod connection;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::sync::watch;

use crate::access::Access;
use crate::handle::HubHandle;
use crate::request_log::ConnectionLog;
use crate::transport::connection::Patience;
use crate::transport::web_socket::ConnectionHandler;

pub(crate) use crate::frontends::mqtt::admission::Gate;

/// What connections work with.
#[derive(Clone)]
pub(crate) struct MqttFront {
    live: Arc<HubHandle>,
    access: Arc<Access>,
    gate: Arc<Gate>,
    patience: Patience,
    log: ConnectionLog,
    /// True, or gone, when the hub stops.
    stopping: watch::Receiver<bool>,
    /// Held by each connection: when the last one is dropped, all have ended.
    _alive: mpsc::Sender<()>,
}

impl MqttFront {
    /// Makes the front of a hub; `alive` is held until all its connections have ended and it is dropped itself.
    pub(crate) fn new(
        live: Arc<HubHandle>,
        access: Arc<Access>,
        stopping: watch::Receiver<bool>,
        alive: mpsc::Sender<()>,
    ) -> Self {
        let (gate, patience) = (Arc::default(), Patience::default());
        Self { live, access, gate, patience, log: ConnectionLog::default(), stopping, _alive: alive }
    }

    /// Puts limits and misbehaviour before it.
    pub(crate) fn behind(self, gate: Gate) -> Self {
        Self { gate: Arc::new(gate), ..self }
    }

    /// Returns what serves the connections of this front end.
    pub(crate) fn handler(&self) -> ConnectionHandler {
        let front = self.clone();
        Arc::new(move |source, sink, certificate| Box::pin(front.clone().serve(source, sink, certificate)))
    }

    /// Notes in a log whom it refuses and cuts.
    pub(crate) fn observed_by(self, log: ConnectionLog) -> Self {
        Self { log, ..self }
    }
}
