//! `/$iothub/websocket`: MQTT and AMQP over WebSocket, on the port of HTTPS.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::response::Response;

use crate::core::session::Fingerprints;
use crate::frontends::https::Context;
use crate::frontends::{amqp, mqtt};
use crate::transport::stream;

/// The path, the same for all SDKs.
pub(crate) const PATH: &str = "/$iothub/websocket";
/// The path where Microsoft's AMQP library for Python looks, whatever the service.
pub(crate) const SERVICE_BUS_PATH: &str = "/$servicebus/websocket";
/// The subprotocol of AMQP (AMQP WebSocket Binding 1.0).
const AMQP: &str = "AMQPWSB10";
/// Bytes of a frame or message, at most; packets may go over several, and several in one.
const FRAME_MAX_BYTES: usize = 512 * 1024;
/// Bytes of a connection's buffers, each.
const BUFFER_BYTES: usize = 4 << 10;

/// What WebSockets lead to.
#[derive(Clone)]
pub(crate) struct Fronts {
    /// Devices.
    pub(crate) mqtt: mqtt::Front,
    /// Services.
    pub(crate) amqp: amqp::Front,
}

/// The certificate of the client at the other end of a request's connection, where it showed one.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClientCertificate(pub(crate) Option<Fingerprints>);

/// Takes the connection over. No token is asked for here, and no version: the protocols have their own ways to prove a client.
pub(crate) async fn upgrade(
    State(context): State<Arc<Context>>,
    Extension(ClientCertificate(certificate)): Extension<ClientCertificate>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let Fronts { mqtt, amqp } = context.fronts.clone();
    upgrade
        // The subprotocol is answered as it was asked for.
        .protocols(["mqtt", "MQTT", AMQP])
        // A device's packets are small, and ten thousand devices may be idle.
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(BUFFER_BYTES)
        .max_message_size(FRAME_MAX_BYTES)
        .max_frame_size(FRAME_MAX_BYTES)
        .on_upgrade(async move |socket| {
            let is_amqp = socket.protocol().is_some_and(|protocol| protocol == AMQP);
            let (source, sink) = stream::web_socket(socket);
            match is_amqp {
                true => amqp.serve(source, sink).await,
                false => mqtt.serve(source, sink, certificate).await,
            }
        })
}
