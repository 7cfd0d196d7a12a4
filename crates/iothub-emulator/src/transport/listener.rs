//! A protocol over TLS with a port of its own: MQTT, and AMQP.

use std::time::Duration;

use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::core::session::Fingerprints;
use crate::request_log::ConnectionLog;
use crate::transport::connection::stopped;
use crate::transport::stream;
use crate::transport::stream::{Sink, Source};

/// A client that has not finished its TLS handshake by then is let go.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// After a failed accept (no file descriptors left, say) some connections may end before the next try.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Takes connections until the hub stops, has each served by `serve`, and returns when all have ended.
pub(crate) async fn accept<S>(
    listener: TcpListener,
    tls: TlsAcceptor,
    mut stopping: watch::Receiver<bool>,
    (front, log): (&'static str, ConnectionLog),
    serve: impl Fn(Source, Sink, Option<Fingerprints>) -> S + Clone + Send + 'static,
) where
    S: Future<Output = ()> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let (tls, mut stopping, serve, log) = (tls.clone(), stopping.clone(), serve.clone(), log.clone());
                    connections.spawn(async move {
                        let failed = |error: &std::io::Error| log.no_handshake(front, error);
                        let handshake = shake_hands(stream, tls, &mut stopping, failed).await;
                        if let Some((source, sink, certificate)) = handshake {
                            serve(source, sink, certificate).await;
                        }
                    });
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

/// Brings TLS about; none where the client does not take part in it.
async fn shake_hands(
    stream: TcpStream,
    tls: TlsAcceptor,
    stopping: &mut watch::Receiver<bool>,
    failed: impl FnOnce(&std::io::Error),
) -> Option<(Source, Sink, Option<Fingerprints>)> {
    // Packets are small and wanted at once.
    let _ = stream.set_nodelay(true);
    let stream = tokio::select! {
        accepted = tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)) => match accepted {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                failed(&error);
                return None;
            }
            Err(_) => {
                failed(&std::io::ErrorKind::TimedOut.into());
                return None;
            }
        },
        () = stopped(stopping) => return None,
    };
    let certificate =
        stream.get_ref().1.peer_certificates().and_then(|chain| chain.first()).map(|leaf| Fingerprints::of(leaf));
    let (source, sink) = stream::stream(stream);
    Some((source, sink, certificate))
}
