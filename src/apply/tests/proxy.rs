//! A way to the hub on which things happen to requests and answers.

use std::collections::VecDeque;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use futures_util::stream;
use http::header::AUTHORIZATION;
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use iothub_model::wire::{ConnectionString, sas};

/// What happens to the next request of a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mishap {
    /// It does not reach the hub, and the connection breaks.
    RequestLost,
    /// It reaches the hub, and the connection breaks before the answer comes.
    AnswerLost,
    /// It reaches the hub, and half of the answer's body comes.
    AnswerHalved,
    /// It reaches the hub, and the stream is reset as if it had not (REFUSED_STREAM).
    RefusedStream,
    /// It does not reach the hub; the answer is this status.
    Answered(u16),
}

/// The reason is the server's to find among the causes.
#[derive(Debug, thiserror::Error)]
#[error("the stream is reset")]
struct Reset(#[source] h2::Error);

/// A body in pieces, the last of which may be a failure.
type Pieces = StreamBody<stream::Iter<std::vec::IntoIter<io::Result<Frame<Bytes>>>>>;

fn pieces(pieces: Vec<io::Result<Bytes>>) -> Pieces {
    StreamBody::new(stream::iter(pieces.into_iter().map(|piece| piece.map(Frame::data)).collect::<Vec<_>>()))
}

/// A TLS proxy before a hub. What is queued happens once, in order, to requests of its method; all else passes.
#[derive(Clone)]
pub(super) struct Proxy(Arc<Inner>);

struct Inner {
    address: SocketAddr,
    authority: Vec<u8>,
    /// The hub behind, as its owner knows it.
    hub: ConnectionString,
    /// When tokens are made that the hub takes, in Unix seconds.
    now: u64,
    way: reqwest::Client,
    mishaps: Mutex<VecDeque<(&'static str, Mishap)>>,
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

impl Proxy {
    pub(super) async fn start(hub: ConnectionString, hub_authority: &[u8], now: u64) -> Self {
        let own = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
        let key = PrivatePkcs8KeyDer::from(own.signing_key.serialize_der());
        let tls = rustls::ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("protocol versions")
            .with_no_client_auth()
            .with_single_cert(vec![own.cert.der().clone()], key.into())
            .map(|mut tls| {
                tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
                tls
            })
            .expect("a key that fits");

        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(hub_authority).expect("PEM")).expect("a certificate");
        let trust = rustls::ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("protocol versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let way = reqwest::Client::builder().tls_backend_preconfigured(trust).no_proxy().build().expect("a client");

        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let authority = own.cert.pem().into_bytes();
        let proxy = Self(Arc::new(Inner { address, authority, hub, now, way, mishaps: Mutex::default() }));
        tokio::spawn(proxy.clone().accept(listener, TlsAcceptor::from(Arc::new(tls))));
        proxy
    }

    /// Returns the hub's connection string with this way to it, and the authority to trust.
    pub(super) fn connection(&self) -> (ConnectionString, Vec<u8>) {
        let host = self.0.address.to_string().parse().expect("a host and a port");
        (ConnectionString { host, ..self.0.hub.clone() }, self.0.authority.clone())
    }

    pub(super) fn queue(&self, method: &'static str, mishaps: impl IntoIterator<Item = Mishap>) {
        let mishaps = mishaps.into_iter().map(|mishap| (method, mishap));
        self.0.mishaps.lock().expect("nobody panicked").extend(mishaps);
    }

    /// Returns how many mishaps have not happened yet.
    pub(super) fn left(&self) -> usize {
        self.0.mishaps.lock().expect("nobody panicked").len()
    }

    async fn accept(self, listener: TcpListener, tls: TlsAcceptor) {
        while let Ok((stream, _)) = listener.accept().await {
            let (proxy, tls) = (self.clone(), tls.clone());
            tokio::spawn(async move {
                let Ok(stream) = tls.accept(stream).await else { return };
                let service = service_fn(move |request| {
                    let proxy = proxy.clone();
                    async move { proxy.pass(request).await }
                });
                let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
            });
        }
    }

    fn mishap(&self, method: &str) -> Option<Mishap> {
        let mut mishaps = self.0.mishaps.lock().expect("nobody panicked");
        let at = mishaps.iter().position(|(of, _)| *of == method)?;
        mishaps.remove(at).map(|(_, mishap)| mishap)
    }

    async fn pass(&self, request: Request<Incoming>) -> io::Result<Response<Pieces>> {
        let mishap = self.mishap(request.method().as_str());
        let (mut head, body) = request.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        match mishap {
            Some(Mishap::RequestLost) => return Err(io::Error::other("the request is lost")),
            Some(Mishap::Answered(status)) => {
                let response = Response::builder().status(status).body(pieces(Vec::new()));
                return response.map_err(io::Error::other);
            }
            _ => {}
        }
        let hub = &self.0.hub;
        // The token is for the name by which the client knows the hub, which the hub does not.
        let token = sas::sign(hub.host.as_str(), &hub.key, self.0.now + 600, hub.policy.as_deref());
        head.headers.insert(AUTHORIZATION, HeaderValue::from_str(token.expose()).map_err(io::Error::other)?);
        head.headers.remove(http::header::HOST);
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        let way = self.0.way.request(head.method, format!("https://{}{path}", hub.host));
        let answer = way.headers(head.headers).body(body).send().await.map_err(io::Error::other)?;
        let mut response = Response::builder().status(answer.status());
        for (name, value) in answer.headers() {
            response = response.header(name, value);
        }
        let body = answer.bytes().await.map_err(io::Error::other)?;
        let body = match mishap {
            Some(Mishap::AnswerLost) => return Err(io::Error::other("the answer is lost")),
            Some(Mishap::RefusedStream) => return Err(io::Error::other(Reset(h2::Reason::REFUSED_STREAM.into()))),
            Some(Mishap::AnswerHalved) => {
                pieces(vec![Ok(body.slice(..body.len() / 2)), Err(io::Error::other("cut off"))])
            }
            _ => pieces(vec![Ok(body)]),
        };
        response.body(body).map_err(io::Error::other)
    }
}
