//! TLS as the hub's ports have it, and clients that end a connection before they send anything over it. Most of those do not trust
//! the hub's authority: some of them say so in an alert, and others just close.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::task::Context;
use std::task::Poll;
use std::task::ready;
use std::time::Duration;

use tokio::io::AsyncRead;
use tokio::io::ReadBuf;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio::time::sleep;
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::rustls::server::{Acceptor, ClientHello};
use tokio_rustls::rustls::{AlertDescription, Error, ServerConfig};
use tokio_rustls::server::TlsStream;

use crate::request_log::ConnectionLog;

/// A client that has not finished its TLS handshake by then is let go.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// The error code of a TLS handshake that failed.
const NO_HANDSHAKE: &str = "TlsHandshakeFailed";
/// The error code of a connection that ends after its TLS handshake, before its client sent anything.
const NO_REQUEST: &str = "ClosedBeforeRequest";
const CERTAINLY_NO_TRUST: &str = "the client does not trust the hub's authority (caFile)";
const MOSTLY_NO_TRUST: &str = "mostly a client that does not trust the hub's authority (caFile)";
/// A client of HTTP that needs one connection may begin several and use the first. It uses that one so long before the others end,
/// at most.
const RACE: Duration = Duration::from_secs(5);
/// The request over the connection that such a client uses has come so long after the others ended.
const RACE_OVER: Duration = Duration::from_millis(500);
/// Kinds of clients that are remembered before old ones are forgotten.
const KINDS_MAX: usize = 1000;

/// TLS on one port of the hub.
#[derive(Clone)]
pub(crate) struct TlsPort {
    /// The port's name in the log.
    front: &'static str,
    config: Arc<ServerConfig>,
    log: ConnectionLog,
    /// `None` if clients of this port use each connection that they begin.
    used: Option<Arc<Used>>,
}

/// A connection whose TLS handshake is over.
pub(crate) type TlsConnection = FirstByte<TlsStream<TcpStream>>;

/// A client as its first TLS message shows it: programs that use the same library in the same way on one machine are one kind.
type Kind = (IpAddr, u64);

/// When each kind of client last sent the first bytes over a connection.
#[derive(Default)]
struct Used(Mutex<HashMap<Kind, Instant>>);

impl TlsPort {
    /// Makes the TLS of a port for a protocol whose clients use each connection that they begin.
    pub(crate) fn new(front: &'static str, config: Arc<ServerConfig>, log: ConnectionLog) -> Self {
        Self { front, config, log, used: None }
    }

    /// Does not name connections that a client began, and ended unused, while it used another one.
    pub(crate) fn with_unused_connections(self) -> Self {
        Self { used: Some(Arc::default()), ..self }
    }

    /// Takes a client through the TLS handshake. `None` if that failed, which the log has then, unless the client sent nothing at all, as
    /// port scans and health checks do.
    pub(crate) async fn accept(&self, stream: TcpStream) -> Option<TlsConnection> {
        // Packets are small and wanted at once.
        let _ = stream.set_nodelay(true);
        let begun = Instant::now();
        match timeout(HANDSHAKE_TIMEOUT, self.shake_hands(stream, begun)).await {
            Ok(connection) => connection,
            Err(_) => {
                self.log.tls(self.front, NO_HANDSHAKE, "the TLS handshake failed: timed out");
                None
            }
        }
    }

    async fn shake_hands(&self, stream: TcpStream, begun: Instant) -> Option<TlsConnection> {
        let address = stream.peer_addr().ok()?.ip();
        let hello = match stream.peek(&mut [0]).await {
            Ok(0) | Err(_) => return None,
            Ok(_) => LazyConfigAcceptor::new(Acceptor::default(), stream).await,
        };
        let hello = match hello {
            Ok(hello) => hello,
            Err(error) if is_lost(&error) => {
                let reason = "the client closed the connection in the middle of its first TLS message";
                self.log.tls(self.front, NO_HANDSHAKE, reason);
                return None;
            }
            Err(error) => {
                self.log.tls(self.front, NO_HANDSHAKE, &format!("the TLS handshake failed: {error}"));
                return None;
            }
        };
        let opening = Opening { port: self.clone(), begun, kind: (address, digest(&hello.client_hello())) };
        match hello.into_stream(self.config.clone()).await {
            Ok(stream) => Some(FirstByte { stream, opening: Some(Box::new(opening)) }),
            Err(error) if is_lost(&error) => {
                let reason = format!("the client closed the connection during the TLS handshake; {MOSTLY_NO_TRUST}");
                opening.ended(NO_HANDSHAKE, reason);
                None
            }
            Err(error) => {
                let mut reason = format!("the TLS handshake failed: {error}");
                if alert(&error).is_some_and(is_of_distrust) {
                    reason.push_str(&format!("; {CERTAINLY_NO_TRUST}"));
                }
                self.log.tls(self.front, NO_HANDSHAKE, &reason);
                None
            }
        }
    }
}

/// A connection over which its client has not sent anything.
struct Opening {
    port: TlsPort,
    begun: Instant,
    kind: Kind,
}

impl Opening {
    /// Notes that the client used the connection.
    fn used(&self) {
        if let Some(used) = &self.port.used {
            used.note(self.kind);
        }
    }

    /// Notes how the connection ended. Returns `true` if that is all that there is to say of it.
    fn failed(&self, error: &io::Error) -> bool {
        match alert(error) {
            Some(alert) => {
                let why = if is_of_distrust(alert) { CERTAINLY_NO_TRUST } else { "an alert of the client's" };
                let reason = format!("the connection ended before the client sent anything ({error}): {why}");
                self.port.log.tls(self.port.front, NO_REQUEST, &reason);
            }
            None if is_lost(error) => {
                let reason = format!("the client closed the connection before it sent anything; {MOSTLY_NO_TRUST}");
                self.ended(NO_REQUEST, reason);
            }
            None => return false,
        }
        true
    }

    /// Notes that the client closed the connection, unless it did so since it used another one.
    fn ended(&self, code: &'static str, reason: String) {
        let TlsPort { front, log, used, .. } = self.port.clone();
        let Some(used) = used else { return log.tls(front, code, &reason) };
        let (kind, begun) = (self.kind, self.begun);
        tokio::spawn(async move {
            sleep(RACE_OVER).await;
            if !used.since(kind, begun) {
                log.tls(front, code, &reason);
            }
        });
    }
}

impl Used {
    fn note(&self, kind: Kind) {
        let mut used = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if used.len() >= KINDS_MAX {
            used.retain(|_, at| at.elapsed() < 2 * RACE);
        }
        used.insert(kind, Instant::now());
    }

    /// Returns `true` if a client of this kind used another connection at the time of one that was begun then.
    fn since(&self, kind: Kind, begun: Instant) -> bool {
        let used = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        used.get(&kind).is_some_and(|at| *at + RACE >= begun)
    }
}

/// Returns a number that is the same for what one program sends first.
fn digest(hello: &ClientHello<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    for suite in hello.cipher_suites() {
        u16::from(*suite).hash(&mut hasher);
    }
    for scheme in hello.signature_schemes() {
        u16::from(*scheme).hash(&mut hasher);
    }
    hello.alpn().map(Iterator::collect::<Vec<_>>).hash(&mut hasher);
    hello.server_name().hash(&mut hasher);
    hasher.finish()
}

/// Returns `true` if an error is that the connection is gone. A client that ends TLS in good order is no error.
fn is_lost(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), UnexpectedEof | ConnectionReset | ConnectionAborted | BrokenPipe)
}

/// Returns the alert by which a client ended TLS.
fn alert(error: &io::Error) -> Option<AlertDescription> {
    match error.get_ref()?.downcast_ref::<Error>()? {
        Error::AlertReceived(alert) => Some(*alert),
        _ => None,
    }
}

fn is_of_distrust(alert: AlertDescription) -> bool {
    use AlertDescription::{BadCertificate, CertificateUnknown, UnknownCA};
    matches!(alert, UnknownCA | CertificateUnknown | BadCertificate)
}

/// A stream that notes when its client ends it before it sent anything. Otherwise it is as any other.
pub(crate) struct FirstByte<S> {
    stream: S,
    opening: Option<Box<Opening>>,
}

impl<S> FirstByte<S> {
    pub(crate) fn get_ref(&self) -> &S {
        &self.stream
    }

    /// Takes an error of a connection that nothing came over. What the log has is an ordinary end to whoever reads.
    fn note(&mut self, error: io::Error) -> io::Result<()> {
        match self.opening.take() {
            Some(opening) if opening.failed(&error) => Ok(()),
            _ => Err(error),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for FirstByte<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.opening.is_none() {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let filled = buffer.filled().len();
        Poll::Ready(match ready!(Pin::new(&mut self.stream).poll_read(context, buffer)) {
            Ok(()) => {
                if let Some(opening) = self.opening.take().filter(|_| buffer.filled().len() > filled) {
                    opening.used();
                }
                Ok(())
            }
            Err(error) => self.note(error),
        })
    }
}

write_through!(FirstByte);
