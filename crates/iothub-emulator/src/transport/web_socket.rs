//! `/$iothub/websocket`: MQTT and AMQP over WebSocket, on the port of HTTPS.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::response::Response;
use axum::routing::MethodRouter;
use axum::routing::any;
use futures_util::future::BoxFuture;
use http::HeaderMap;
use http::HeaderValue;
use http::header;

use crate::core::session::Fingerprints;
use crate::transport::stream;
use crate::transport::stream::{Sink, Source};

/// The path, the same for all SDKs.
pub(crate) const PATH: &str = "/$iothub/websocket";
/// The path where Microsoft's AMQP library for Python looks, whatever the service.
pub(crate) const SERVICE_BUS_PATH: &str = "/$servicebus/websocket";
/// The subprotocol of MQTT (MQTT 3.1.1, section 6).
const MQTT: &str = "mqtt";
/// The subprotocol of AMQP (AMQP WebSocket Binding 1.0).
const AMQP: &str = "AMQPWSB10";
/// Bytes of a frame or message, at most; packets may go over several, and several in one.
const FRAME_MAX_BYTES: usize = 512 * 1024;
/// Bytes of a connection's buffers, each.
const BUFFER_BYTES: usize = 4 << 10;

/// Serves one connection from its first byte to its end, for a client that showed this certificate, if any.
pub(crate) type ConnectionHandler =
    Arc<dyn Fn(Source, Sink, Option<Fingerprints>) -> BoxFuture<'static, ()> + Send + Sync>;

/// The front ends that serve WebSockets. The server sets them, so that no front end names another.
#[derive(Clone)]
pub(crate) struct WebSocketHandlers {
    /// Serves devices and modules.
    pub(crate) mqtt: ConnectionHandler,
    /// Serves services.
    pub(crate) amqp: ConnectionHandler,
}

impl WebSocketHandlers {
    /// Returns the route that takes a connection over, for any state of a router.
    pub(crate) fn route<S>(&self) -> MethodRouter<S> {
        any(upgrade).with_state(self.clone())
    }
}

/// The certificate of the client at the other end of a request's connection, where it showed one.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClientCertificate(pub(crate) Option<Fingerprints>);

/// Returns the first subprotocol that a client asks for and that the hub speaks, as the client spells it.
fn subprotocol(headers: &HeaderMap) -> Option<&str> {
    let asked = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    let mut asked = asked.flat_map(|value| value.split(',')).map(str::trim);
    asked.find(|asked| [MQTT, AMQP].iter().any(|spoken| asked.eq_ignore_ascii_case(spoken)))
}

/// Takes the connection over. A client that asks for no subprotocol that the hub speaks is served MQTT, and told none. This route needs no token and no version: each protocol authenticates its clients itself.
async fn upgrade(
    State(handlers): State<WebSocketHandlers>,
    Extension(ClientCertificate(certificate)): Extension<ClientCertificate>,
    headers: HeaderMap,
    mut upgrade: WebSocketUpgrade,
) -> Response {
    let chosen = subprotocol(&headers);
    let is_amqp = chosen.is_some_and(|protocol| protocol.eq_ignore_ascii_case(AMQP));
    // The subprotocol is answered as it was asked for.
    if let Some(chosen) = chosen.and_then(|protocol| HeaderValue::from_str(protocol).ok()) {
        upgrade.set_selected_protocol(chosen);
    }
    upgrade
        // A device's packets are small, and ten thousand devices may be idle.
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(BUFFER_BYTES)
        .max_message_size(FRAME_MAX_BYTES)
        .max_frame_size(FRAME_MAX_BYTES)
        .on_upgrade(async move |socket| {
            let (source, sink) = stream::web_socket(socket);
            let handler = if is_amqp { &handlers.amqp } else { &handlers.mqtt };
            handler(source, sink, certificate).await;
        })
}
