//! MQTT over TLS: a port of its own.

use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::{Front, stopped, transport};
use crate::hub::session::Fingerprints;

/// A client that has not finished its TLS handshake by then is let go.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// After a failed accept (no file descriptors left, say) some connections may end before the next try.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Takes connections until the hub stops, and returns when all have ended.
pub(in crate::hub) async fn accept(
    listener: TcpListener,
    tls: TlsAcceptor,
    front: Front,
    mut stopping: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve(stream, tls.clone(), front.clone()));
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
            // Collects those that have ended; disabled while there are none.
            Some(_) = connections.join_next() => {}
            () = stopped(&mut stopping) => break,
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn serve(stream: TcpStream, tls: TlsAcceptor, front: Front) {
    // Packets are small and wanted at once.
    let _ = stream.set_nodelay(true);
    let mut stopping = front.stopping.clone();
    let stream = tokio::select! {
        accepted = tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)) => match accepted {
            Ok(Ok(stream)) => stream,
            Ok(Err(_)) | Err(_) => return,
        },
        () = stopped(&mut stopping) => return,
    };
    let certificate =
        stream.get_ref().1.peer_certificates().and_then(|chain| chain.first()).map(|leaf| Fingerprints::of(leaf));
    let (source, sink) = transport::stream(stream);
    front.serve(source, sink, certificate).await;
}
