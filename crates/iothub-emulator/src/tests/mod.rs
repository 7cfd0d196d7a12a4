//! The hub over real HTTPS, as a client meets it.

mod access;
mod bulk;
mod conditions;
mod configurations;
mod contract;
mod desired_patches;
mod device_messages;
mod digital_twins;
mod durability;
mod early_ends;
mod edge_content;
mod entra;
mod faults;
mod jobs;
mod keys;
mod lag;
mod limits;
mod machine;
mod messages;
mod modules;
mod names;
mod numbers;
mod order;
mod queries;
mod robustness;
mod scopes;
mod transfers;

use std::sync::Arc;

use reqwest::Method;
use reqwest::header::HeaderMap;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::Value;
use serde_json::json;
use tempfile::TempDir;
use time::OffsetDateTime;
use time::macros::datetime;

use crate::{Emulator, EmulatorBuilder, EmulatorClock, Policy, RequestRecord};
use iothub_model::wire::API_VERSION;
use iothub_model::wire::ConnectionString;
use iothub_model::wire::sas;

/// What time it is in these tests.
pub(crate) const NOW: OffsetDateTime = datetime!(2026-11-24 10:00:00 UTC);

pub(crate) fn clock() -> EmulatorClock {
    EmulatorClock::fixed(NOW.into())
}

/// A hub on a free port, its folder, and a client that trusts it.
pub(crate) struct Sandbox {
    pub(crate) hub: Emulator,
    pub(crate) folder: TempDir,
    client: reqwest::Client,
}

/// An answer, its JSON read.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
    /// The JSON as it was sent.
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The status and the code, which must be the same in the header and in the body.
    pub(crate) fn refusal(&self) -> (u16, &str) {
        let code = self.header("iothub-errorcode").expect("a refusal has a code");
        let message = self.body["Message"].as_str().expect("a refusal has a message");
        assert!(message.starts_with(&format!("ErrorCode:{code};")), "{message}");
        (self.status, code)
    }
}

impl Sandbox {
    pub(crate) async fn new() -> Self {
        Self::with(TempDir::new().expect("a temporary folder"), |options| options).await
    }

    pub(crate) async fn with(folder: TempDir, options: impl FnOnce(EmulatorBuilder) -> EmulatorBuilder) -> Self {
        let wanted = Emulator::builder().data_dir(folder.path()).clock(clock());
        let hub = options(wanted).start().await.expect("a hub");
        let client = client(&hub);
        Self { hub, folder, client }
    }

    /// Stops the hub and starts it again on the same folder.
    pub(crate) async fn restart(self) -> Self {
        let Self { hub, folder, .. } = self;
        hub.stop().await;
        Self::with(folder, |options| options).await
    }

    pub(crate) fn token(&self, policy: &str) -> String {
        let policy = Policy::ALL.into_iter().find(|known| known.name() == policy).expect(policy);
        let string = ConnectionString::parse(&self.hub.connection_string(policy)).expect("a connection string");
        let expiry = u64::try_from(NOW.unix_timestamp()).expect("after 1970") + 3600;
        sas::sign(string.host.as_str(), &string.key, expiry, string.policy.as_deref()).expose().to_owned()
    }

    /// Sends a request as the owner; `path` may have a query string of its own.
    pub(crate) async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<Value>) -> Answer {
        let separator = if path.contains('?') { '&' } else { '?' };
        let token = self.token("iothubowner");
        let mut all = vec![("Authorization", token.as_str())];
        all.extend(headers);
        let body = body.map(|body| body.to_string());
        self.send(method, &format!("{path}{separator}api-version={API_VERSION}"), &all, body).await
    }

    /// Sends a request as it is.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<String>,
    ) -> Answer {
        let url = format!("https://{}{path}", self.hub.host_name());
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let mut request = self.client.request(method, url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.header("Content-Type", "application/json; charset=utf-8").body(body);
        }
        let response = request.send().await.expect("an answer");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.expect("a whole answer");
        let body = if text.is_empty() { Value::Null } else { serde_json::from_str(&text).expect(&text) };
        Answer { status, headers, body, text }
    }

    pub(crate) async fn create(&self, id: &str) -> Answer {
        let path = iothub_model::wire::registry::device_path(&id.parse().expect(id));
        let answer = self.ask("PUT", &path, &[], Some(json!({ "deviceId": id }))).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer
    }
}

fn tls(hub: &Emulator) -> rustls::ClientConfig {
    tls_of(hub, rustls::DEFAULT_VERSIONS)
}

pub(crate) fn tls_of(hub: &Emulator, versions: &[&'static rustls::SupportedProtocolVersion]) -> rustls::ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    let authority = CertificateDer::from_pem_slice(hub.ca_pem().as_bytes()).expect("the authority's certificate");
    roots.add(authority).expect("a certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .expect("protocol versions")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

pub(crate) fn client(hub: &Emulator) -> reqwest::Client {
    reqwest::Client::builder().tls_backend_preconfigured(tls(hub)).build().expect("a client")
}

/// A connection of one's own, for what no client library would send.
pub(crate) async fn raw_tls(hub: &Emulator) -> tokio_rustls::client::TlsStream<tokio::net::TcpStream> {
    raw_tls_speaking(hub, &[]).await
}

/// The same, with these protocols to choose from.
pub(crate) async fn raw_tls_speaking(
    hub: &Emulator,
    protocols: &[&str],
) -> tokio_rustls::client::TlsStream<tokio::net::TcpStream> {
    let mut config = tls(hub);
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    let stream = tokio::net::TcpStream::connect(hub.https_addr()).await.expect("a connection");
    let name = rustls::pki_types::ServerName::try_from("localhost").expect("a name");
    tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect("a handshake")
}

/// An observer that keeps what it is told.
pub(crate) fn recorder() -> (impl Fn(&RequestRecord) + Send + Sync + 'static, Arc<std::sync::Mutex<Vec<RequestRecord>>>)
{
    let records = Arc::new(std::sync::Mutex::new(Vec::new()));
    let kept = records.clone();
    (move |record: &RequestRecord| kept.lock().expect("a lock").push(record.clone()), records)
}
