//! The least that a client can do: the requests that twinctl sends for a plan, answers parsed and compared, and nothing else.
//!
//! `bare_loop HOST CA DECLARED get|query`: `DECLARED` is JSON with the `ids` and the `tags` and `desired` that each of them should
//! have. Prints how many differ.

use std::collections::HashSet;

use futures_util::{StreamExt, stream};
use reqwest::Client;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use serde::Deserialize;
use serde_json::Value;

const CONCURRENCY: usize = 32;
const PAGE: usize = 1000;

#[derive(Deserialize)]
struct Declared {
    ids: Vec<String>,
    tags: Value,
    desired: Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Twin<'b> {
    device_id: &'b str,
    tags: Value,
    properties: Properties,
}

#[derive(Deserialize)]
struct Properties {
    desired: Value,
}

/// Says whether all that is declared is there.
fn holds(declared: &Value, live: &Value) -> bool {
    match (declared, live) {
        (Value::Object(declared), Value::Object(live)) => {
            declared.iter().all(|(key, declared)| live.get(key).is_some_and(|live| holds(declared, live)))
        }
        _ => declared == live,
    }
}

impl Declared {
    fn differs(&self, twin: &Twin<'_>) -> bool {
        !holds(&self.tags, &twin.tags) || !holds(&self.desired, &twin.properties.desired)
    }
}

struct Hub {
    http: Client,
    host: String,
}

impl Hub {
    fn new(host: &str, ca: &str) -> Self {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(ca).expect("the CA file") {
            roots.add(certificate.expect("a certificate")).expect("a certificate");
        }
        let mut tls = ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .expect("ring speaks TLS 1.2 and 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let http = Client::builder().tls_backend_preconfigured(tls).no_proxy().pool_max_idle_per_host(CONCURRENCY);
        Self { http: http.build().expect("a client"), host: host.to_owned() }
    }

    async fn get(&self, path: &str) -> bytes::Bytes {
        let url = format!("https://{}{path}?api-version=2021-04-12", self.host);
        let answer = self.http.get(url).header("authorization", "SharedAccessSignature").send().await;
        answer.and_then(reqwest::Response::error_for_status).expect("an answer").bytes().await.expect("a body")
    }

    /// Asks a query, and shows each page.
    async fn query(&self, text: &str, mut page: impl FnMut(&[u8])) {
        let url = format!("https://{}/devices/query?api-version=2021-04-12", self.host);
        let body = serde_json::json!({ "query": text }).to_string();
        let mut continuation = None;
        loop {
            let mut request = self
                .http
                .post(&url)
                .header("authorization", "SharedAccessSignature")
                .header("content-type", "application/json")
                .header("x-ms-max-item-count", PAGE)
                .body(body.clone());
            if let Some(continuation) = continuation {
                request = request.header("x-ms-continuation", continuation);
            }
            let answer = request.send().await.and_then(reqwest::Response::error_for_status).expect("an answer");
            continuation = answer.headers().get("x-ms-continuation").cloned();
            page(&answer.bytes().await.expect("a body"));
            if continuation.is_none() {
                return;
            }
        }
    }
}

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [host, ca, declared, way] = arguments.as_slice() else { panic!("bare_loop HOST CA DECLARED get|query") };
    let declared = std::fs::read(declared).expect("what is declared");
    let declared: Declared = serde_json::from_slice(&declared).expect("what is declared");
    let hub = Hub::new(host, ca);
    let mut differ = 0;
    let rows = |page: &[u8]| drop(serde_json::from_slice::<Vec<Value>>(page).expect("rows"));
    tokio::join!(hub.query("SELECT COUNT() AS n FROM devices", rows), hub.get("/configurations"));
    let modules = "SELECT deviceId, moduleId FROM devices.modules WHERE is_defined(tags.twinctl.[[bench]])";
    if way == "get" {
        let (hub, declared) = (&hub, &declared);
        let get = |id| async move { hub.get(&format!("/twins/{id}")).await };
        let mut answers = stream::iter(&declared.ids).map(get).buffer_unordered(CONCURRENCY);
        let twins = async {
            while let Some(body) = answers.next().await {
                let twin = serde_json::from_slice(&body).expect("a twin");
                differ += usize::from(declared.differs(&twin));
            }
        };
        let left = "SELECT deviceId FROM devices WHERE is_defined(tags.twinctl.[[bench]])";
        tokio::join!(twins, hub.query(left, rows), hub.query(modules, rows));
    } else {
        let ids: HashSet<&str> = declared.ids.iter().map(String::as_str).collect();
        let compare = |page: &[u8]| {
            let twins = serde_json::from_slice::<Vec<Twin<'_>>>(page).expect("a page");
            differ += twins.iter().filter(|twin| ids.contains(twin.device_id) && declared.differs(twin)).count();
        };
        tokio::join!(hub.query("SELECT * FROM devices", compare), hub.query(modules, rows));
    }
    println!("{differ}");
}
