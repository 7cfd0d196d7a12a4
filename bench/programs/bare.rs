//! A server that answers for twins and queries out of memory, so that `bench/compare` measures clients and not a hub.
//!
//! `bare TWINS CA LISTENER …`: `TWINS` is a file of recorded twins, one line of JSON each; the certificate to trust is written to
//! `CA`. A listener is `ADDRESS:PORT/MILLISECONDS/COUNT`: where to listen, how long each answer waits, and how many twins a query
//! that counts is told, by which twinctl decides whether it reads by GET or by query. Prints the addresses as a line of JSON. `GET /counters`
//! answers what was asked of a listener, and starts anew. TLS, HTTP/1.1 and HTTP/2 are as the embedded hub's; no token is looked at.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A message is billed by 4 KB.
const BLOCK: u64 = 4096;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Named {
    device_id: String,
}

#[derive(Deserialize)]
struct Query {
    query: String,
}

struct Fleet {
    twins: Vec<Bytes>,
    by_id: HashMap<String, usize>,
    /// The rows of a query for the twins that carry a record.
    recorded: Vec<Bytes>,
    /// The rows of a selector's query.
    selected: Vec<Bytes>,
}

impl Fleet {
    fn read(path: &str) -> Self {
        let text = Bytes::from(std::fs::read(path).expect("the recorded twins"));
        let mut fleet = Self { twins: Vec::new(), by_id: HashMap::new(), recorded: Vec::new(), selected: Vec::new() };
        for line in text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            let id = serde_json::from_slice::<Named>(line).expect("a twin").device_id;
            let row = || Bytes::from(serde_json::json!({ "deviceId": id }).to_string());
            let has = |text: &[u8]| line.windows(text.len()).any(|window| window == text);
            if has(br#""twinctl":"#) {
                fleet.recorded.push(row());
            }
            if has(br#""plant":"plant-07""#) {
                fleet.selected.push(row());
            }
            fleet.by_id.insert(id, fleet.twins.len());
            fleet.twins.push(text.slice_ref(line));
        }
        fleet
    }
}

struct Listener {
    fleet: Arc<Fleet>,
    latency: Duration,
    count: u64,
    requests: AtomicU64,
    bytes: AtomicU64,
    blocks: AtomicU64,
}

type Answer = (StatusCode, Bytes, Option<usize>);

impl Listener {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        if request.uri().path() == "/counters" {
            let take = |counter: &AtomicU64| counter.swap(0, Ordering::Relaxed);
            let (requests, bytes, blocks) = (take(&self.requests), take(&self.bytes), take(&self.blocks));
            let body = serde_json::json!({ "requests": requests, "bytes": bytes, "blocks": blocks }).to_string();
            return Response::new(Full::from(body));
        }
        let (parts, body) = request.into_parts();
        let (status, body, next) = match (&parts.method, parts.uri.path()) {
            (&Method::POST, "/devices/query") => self.query(&parts.headers, body).await,
            (&Method::GET, "/configurations") => (StatusCode::OK, Bytes::from_static(b"[]"), None),
            (&Method::GET, path) => self.twin(path),
            _ => (StatusCode::METHOD_NOT_ALLOWED, Bytes::new(), None),
        };
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(body.len() as u64, Ordering::Relaxed);
        self.blocks.fetch_add((body.len() as u64).div_ceil(BLOCK).max(1), Ordering::Relaxed);
        if !self.latency.is_zero() {
            tokio::time::sleep(self.latency).await;
        }
        let mut response = Response::builder().status(status).header("content-type", "application/json; charset=utf-8");
        if let Some(next) = next {
            response = response.header("x-ms-continuation", next);
        }
        response.body(Full::new(body)).expect("a response of known parts")
    }

    fn twin(&self, path: &str) -> Answer {
        let id = path.strip_prefix("/twins/").unwrap_or(path);
        match self.fleet.by_id.get(id) {
            Some(&at) => (StatusCode::OK, self.fleet.twins[at].clone(), None),
            None => (StatusCode::NOT_FOUND, Bytes::from_static(br#"{"Message":"ErrorCode:DeviceNotFound"}"#), None),
        }
    }

    async fn query(&self, headers: &HeaderMap, body: Incoming) -> Answer {
        let Ok(body) = body.collect().await else { return (StatusCode::BAD_REQUEST, Bytes::new(), None) };
        let query = serde_json::from_slice::<Query>(&body.to_bytes()).expect("a query").query;
        let number = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
        let size = number("x-ms-max-item-count").unwrap_or(100);
        let start = number("x-ms-continuation").unwrap_or(0);
        let rows = match &query {
            query if query.contains("devices.modules") => &[][..],
            query if query.contains("COUNT()") => {
                return (StatusCode::OK, format!(r#"[{{"n":{}}}]"#, self.count).into(), None);
            }
            query if query.contains("is_defined") => &self.fleet.recorded,
            query if query.contains("tags.location.plant = 'plant-07'") => &self.fleet.selected,
            _ => &self.fleet.twins,
        };
        let end = (start + size).min(rows.len());
        let page = &rows[start.min(end)..end];
        let mut body = Vec::with_capacity(page.iter().map(|row| row.len() + 1).sum::<usize>() + 2);
        body.push(b'[');
        for (index, row) in page.iter().enumerate() {
            if index > 0 {
                body.push(b',');
            }
            body.extend_from_slice(row);
        }
        body.push(b']');
        (StatusCode::OK, body.into(), (end < rows.len()).then_some(end))
    }
}

fn tls(addresses: &[SocketAddr], ca: &str) -> TlsAcceptor {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "bench CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let key = KeyPair::generate().expect("a key");
    let authority = params.self_signed(&key).expect("a certificate");
    std::fs::write(ca, authority.pem()).expect("the certificate is written");
    let mut server = CertificateParams::default();
    server.subject_alt_names = addresses.iter().map(|address| SanType::IpAddress(address.ip())).collect();
    let server_key = KeyPair::generate().expect("a key");
    let certificate = server.signed_by(&server_key, &Issuer::from_params(&params, &key)).expect("a certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring speaks TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(server_key.serialize_der())),
        )
        .expect("a usable key");
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [twins, ca, listeners @ ..] = arguments.as_slice() else { panic!("bare TWINS CA LISTENER …") };
    let fleet = Arc::new(Fleet::read(twins));
    let mut sockets = Vec::new();
    for listener in listeners {
        let parts: Vec<&str> = listener.split('/').collect();
        let [address, latency, count] = parts.as_slice() else { panic!("ADDRESS:PORT/MILLISECONDS/COUNT") };
        let socket = TcpListener::bind(address).await.expect("an address to listen on");
        let listener = Listener {
            fleet: Arc::clone(&fleet),
            latency: Duration::from_millis(latency.parse().expect("milliseconds")),
            count: count.parse().expect("a count"),
            requests: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            blocks: AtomicU64::new(0),
        };
        sockets.push((socket, Arc::new(listener)));
    }
    let addresses: Vec<SocketAddr> =
        sockets.iter().map(|(socket, _)| socket.local_addr().expect("an address")).collect();
    let tls = tls(&addresses, ca);
    println!("{}", serde_json::json!(addresses));
    let serving = sockets.into_iter().map(|(socket, listener)| tokio::spawn(serve(socket, tls.clone(), listener)));
    for serving in serving.collect::<Vec<_>>() {
        serving.await.expect("listens until it is killed");
    }
}

async fn serve(socket: TcpListener, tls: TlsAcceptor, listener: Arc<Listener>) {
    loop {
        let Ok((stream, _)) = socket.accept().await else { continue };
        let _ = stream.set_nodelay(true);
        let (tls, listener) = (tls.clone(), Arc::clone(&listener));
        tokio::spawn(async move {
            let Ok(stream) = tls.accept(stream).await else { return };
            let service = service_fn(move |request| {
                let listener = Arc::clone(&listener);
                async move { Ok::<_, Infallible>(listener.answer(request).await) }
            });
            let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
        });
    }
}
