//! Connections that end before their client sends anything: which of them the log names.

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::tests::*;

/// Long enough for the log to have what it is going to have.
const SOON: std::time::Duration = std::time::Duration::from_millis(1500);
const NO_TRUST: &str = "does not trust the hub's authority (caFile)";

/// A hub, and the lines of its log about TLS.
async fn observed() -> (Sandbox, impl AsyncFn() -> Vec<(String, String, String)>) {
    let (observer, records) = recorder();
    let folder = TempDir::new().expect("a temporary folder");
    let hub = Sandbox::with(folder, |options| options.on_request(observer)).await;
    let lines = async move || {
        tokio::time::sleep(SOON).await;
        let records = records.lock().expect("a lock");
        let tls = records.iter().filter(|record| record.method == "TLS");
        tls.map(|record| {
            let (code, reason) = (record.error_code.clone(), record.reason.clone());
            (record.path.clone(), code.unwrap_or_default(), reason.unwrap_or_default())
        })
        .collect()
    };
    (hub, lines)
}

/// The ports, with the names that the log has for them.
fn ports(hub: &Emulator) -> [(&'static str, std::net::SocketAddr); 3] {
    let (mqtt, amqp) = (hub.mqtt_addr().expect("a port"), hub.amqp_addr().expect("a port"));
    [("/https", hub.https_addr()), ("/mqtt", mqtt), ("/amqp", amqp)]
}

async fn shaken(hub: &Emulator, at: std::net::SocketAddr) -> tokio_rustls::client::TlsStream<TcpStream> {
    let stream = TcpStream::connect(at).await.expect("a connection");
    let name = rustls::pki_types::ServerName::try_from("localhost").expect("a name");
    TlsConnector::from(Arc::new(tls(hub))).connect(name, stream).await.expect("a handshake")
}

/// The first bytes that a client of TLS sends.
fn client_hello() -> Vec<u8> {
    let name = rustls::pki_types::ServerName::try_from("localhost").expect("a name");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    let mut client = rustls::ClientConnection::new(Arc::new(config), name).expect("a client");
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).expect("bytes");
    bytes
}

/// Port scans and health checks end before they begin TLS, or end TLS in good order.
#[tokio::test]
async fn probes_are_not_named() {
    let (hub, lines) = observed().await;
    for (_, at) in ports(&hub.hub) {
        drop(TcpStream::connect(at).await.expect("a connection"));
        let reset = TcpStream::connect(at).await.expect("a connection");
        reset.set_zero_linger().expect("an option");
        drop(reset);
        shaken(&hub.hub, at).await.shutdown().await.expect("a goodbye");
    }
    assert_eq!(lines().await, []);
}

/// Some clients that do not trust the authority send an alert, and others close, during the handshake or after it.
#[tokio::test]
async fn clients_without_trust_are_named() {
    let (hub, lines) = observed().await;
    for (_, at) in ports(&hub.hub) {
        let mut closes = TcpStream::connect(at).await.expect("a connection");
        closes.write_all(&client_hello()).await.expect("sent");
        // Its answer has come, and then the client has seen the certificate.
        closes.readable().await.expect("an answer");
        drop(closes);
        drop(shaken(&hub.hub, at).await);
        let stream = TcpStream::connect(at).await.expect("a connection");
        let name = rustls::pki_types::ServerName::try_from("localhost").expect("a name");
        let config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(rustls::RootCertStore::empty())
            .with_no_client_auth();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await.expect_err("no trust");
        let mut torn = TcpStream::connect(at).await.expect("a connection");
        torn.write_all(&client_hello()[..40]).await.expect("sent");
        torn.shutdown().await.expect("an end");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    let lines = lines().await;
    for (path, _) in ports(&hub.hub) {
        let of: Vec<_> = lines.iter().filter(|(at, ..)| at == path).collect();
        let has = |code: &str, begins: &str, ends: &str| {
            of.iter().any(|(_, at, why)| at == code && why.starts_with(begins) && why.ends_with(ends))
        };
        let (early, late) = ("TlsHandshakeFailed", "ClosedBeforeRequest");
        assert!(has(early, "the client closed the connection during the TLS handshake; mostly", NO_TRUST), "{of:?}");
        assert!(has(late, "the client closed the connection before it sent anything; mostly", NO_TRUST), "{of:?}");
        assert!(has(early, "the TLS handshake failed: received fatal alert: ", NO_TRUST), "{of:?}");
        assert!(has(early, "the client closed the connection in the middle of its first TLS message", ""), "{of:?}");
        assert_eq!(of.len(), 4, "{of:?}");
    }
}

/// A client that needs one connection may begin several, and let go of all but the one that was there first.
#[tokio::test]
async fn connections_that_a_client_did_not_need_are_not_named() {
    let (hub, lines) = observed().await;
    let at = hub.hub.https_addr();
    let mut unused = Vec::new();
    for _ in 0..3 {
        unused.push(shaken(&hub.hub, at).await);
    }
    let mut used = shaken(&hub.hub, at).await;
    drop(unused);
    used.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.expect("sent");
    let mut hello = TcpStream::connect(at).await.expect("a connection");
    hello.write_all(&client_hello()).await.expect("sent");
    hello.readable().await.expect("an answer");
    drop(hello);
    assert_eq!(lines().await, []);
}
