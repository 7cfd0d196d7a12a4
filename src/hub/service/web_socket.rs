//! `/$iothub/websocket`: MQTT over WebSocket, on the port of HTTPS.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::response::Response;

use super::Context;
use crate::hub::mqtt::transport;
use crate::hub::session::Fingerprints;

/// The path, the same for all SDKs.
pub(in crate::hub) const PATH: &str = "/$iothub/websocket";
/// Bytes of a frame or message, at most; MQTT's packets may go over several, and several in one.
const FRAME_MAX_BYTES: usize = 512 * 1024;

/// The certificate of the client at the other end of a request's connection, where it showed one.
#[derive(Clone, Debug, Default)]
pub(in crate::hub) struct ClientCertificate(pub(in crate::hub) Option<Fingerprints>);

/// Takes the connection over. No token is asked for here, and no version: MQTT's own CONNECT has what proves the client.
pub(super) async fn upgrade(
    State(context): State<Arc<Context>>,
    Extension(ClientCertificate(certificate)): Extension<ClientCertificate>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let front = context.front.clone();
    upgrade
        // The subprotocol is answered as it was asked for.
        .protocols(["mqtt", "MQTT"])
        .max_message_size(FRAME_MAX_BYTES)
        .max_frame_size(FRAME_MAX_BYTES)
        .on_upgrade(async move |socket| {
            let (source, sink) = transport::web_socket(socket);
            front.serve(source, sink, certificate).await;
        })
}
