//! A protocol over TLS with a port of its own: MQTT, and AMQP.

use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::core::session::Fingerprints;
use crate::transport::connection::stopped;
use crate::transport::stream;
use crate::transport::stream::{Sink, Source};
use crate::transport::tls::TlsPort;

/// After a failed accept (no file descriptors left, say) some connections may end before the next try.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Takes connections until the hub stops, has each served by `serve`, and returns when all have ended.
pub(crate) async fn accept<S>(
    listener: TcpListener,
    tls: TlsPort,
    mut stopping: watch::Receiver<bool>,
    serve: impl Fn(Source, Sink, Option<Fingerprints>) -> S + Clone + Send + 'static,
) where
    S: Future<Output = ()> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let (tls, mut stopping, serve) = (tls.clone(), stopping.clone(), serve.clone());
                    connections.spawn(async move {
                        let stream = tokio::select! {
                            stream = tls.accept(stream) => stream,
                            () = stopped(&mut stopping) => None,
                        };
                        if let Some(stream) = stream {
                            let chain = stream.get_ref().get_ref().1.peer_certificates();
                            let certificate = chain.and_then(|chain| chain.first()).map(|leaf| Fingerprints::of(leaf));
                            let (source, sink) = stream::stream(stream);
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
