//! The service's messages to devices: AMQP 1.0 over TLS and over WebSocket.
//!
//! [`AmqpFront::serve`] is a connection from its first byte to its end. What is here is bytes ([`encoding`], [`frames`]), who the
//! client is ([`login`]), sessions and links ([`connection`], [`session`]), what stands in messages ([`message`]), and the
//! nodes that links lead to ([`nodes`]); what becomes of a message is the hub's machine's business
//! (`core::messages`).
//!
//! The codec of single values is a library's; frames, sessions and links are our own, since a hub must look at every byte of a
//! stranger before it trusts it with memory, and refuse links in the service's words. Served is what clients of the service
//! need: `$cbs`, `/messages/devicebound` and `/messages/serviceBound/feedback`. Devices over AMQP are not.

// In reading order: a module uses those above it, and none below.
mod encoding;
mod frames;
mod login;
mod message;
mod refusal;
mod nodes;
mod session;
mod connection;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::sync::watch;

use crate::access::Access;
use crate::handle::HubHandle;
use crate::limits::admission::Admission;
use crate::request_log::ConnectionLog;
use crate::transport::connection::Patience;
use crate::transport::web_socket::ConnectionHandler;

/// The protocol's name in the log.
const AMQP: &str = "AMQP";

/// What connections work with.
#[derive(Clone)]
pub(crate) struct AmqpFront {
    live: Arc<HubHandle>,
    access: Arc<Access>,
    patience: Patience,
    log: ConnectionLog,
    /// The limits of the hub; none for one whose limits do not matter.
    admission: Option<Arc<Admission>>,
    /// True, or gone, when the hub stops.
    stopping: watch::Receiver<bool>,
    /// Held by each connection: when the last one is dropped, all have ended.
    _alive: mpsc::Sender<()>,
}

impl AmqpFront {
    /// Makes the front of a hub; `alive` is held until all its connections have ended and it is dropped itself.
    pub(crate) fn new(
        live: Arc<HubHandle>,
        access: Arc<Access>,
        stopping: watch::Receiver<bool>,
        alive: mpsc::Sender<()>,
    ) -> Self {
        let (patience, log) = (Patience::default(), ConnectionLog::default());
        Self { live, access, patience, log, admission: None, stopping, _alive: alive }
    }

    /// Returns what serves the connections of this front end.
    pub(crate) fn handler(&self) -> ConnectionHandler {
        let front = self.clone();
        Arc::new(move |source, sink, _certificate| Box::pin(front.clone().serve(source, sink)))
    }

    /// Keeps to the features of the hub's tier.
    pub(crate) fn limited_by(self, admission: Arc<Admission>) -> Self {
        Self { admission: Some(admission), ..self }
    }

    /// Notes in a log whom it refuses and cuts.
    pub(crate) fn observed_by(self, log: ConnectionLog) -> Self {
        Self { log, ..self }
    }
}
