//! Clients that break off, send nonsense or meet a fault: the next one is served as if nothing had been.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{NOW, Sandbox, raw_tls, tls_of};
use crate::hub::{HubOptions, start};

#[tokio::test]
async fn broken_clients_harm_nobody() {
    let hub = Sandbox::new().await;
    hub.create("d").await;

    let mut plain = TcpStream::connect(hub.hub.https_addr()).await.expect("a connection");
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").await.expect("sent");
    let mut rest = Vec::new();
    let _ = plain.read_to_end(&mut rest).await;
    assert!(!rest.starts_with(b"HTTP"), "no plain HTTP on a TLS port");

    let mut garbage = raw_tls(&hub.hub).await;
    garbage.write_all(b"\x00\x01\x02 nonsense\r\n\r\n").await.expect("sent");
    let mut answer = Vec::new();
    let _ = garbage.read_to_end(&mut answer).await;
    assert!(answer.starts_with(b"HTTP/1.1 400 "), "{}", String::from_utf8_lossy(&answer));

    // Half a PATCH, and gone: nothing is written.
    let mut half = raw_tls(&hub.hub).await;
    let head = format!(
        "PATCH /twins/d?api-version=2021-04-12 HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\nContent-Length: 30\r\n\r\n",
        hub.token("service")
    );
    half.write_all(format!("{head}{{\"tags\":{{}}").as_bytes()).await.expect("sent");
    half.flush().await.expect("sent");
    drop(half);

    let twin = hub.ask("GET", "/twins/d", &[], None).await;
    assert_eq!((twin.status, &twin.body["etag"]), (200, &"AAAAAAAAAAE=".into()));
}

#[tokio::test]
async fn both_versions_of_tls() {
    let hub = Sandbox::new().await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let client = reqwest::Client::builder().tls_backend_preconfigured(tls_of(&hub.hub, &[version])).build();
        let request = client.expect("a client").get(format!("https://{}/", hub.hub.ready().host_name));
        assert_eq!(request.send().await.expect("an answer").status(), 404, "{version:?}");
    }
}

#[tokio::test]
async fn every_name_is_in_the_certificate() {
    let hub = Sandbox::new().await;
    let port = hub.hub.https_addr().port();
    for name in ["localhost", "127.0.0.1"] {
        let request = super::client(&hub.hub).get(format!("https://{name}:{port}/"));
        assert_eq!(request.send().await.expect(name).status(), 404);
    }
}

/// The only thing of ours that runs inside a request and can be made to fail is the clock.
#[tokio::test]
async fn a_fault_in_one_request_is_that_requests_alone() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let broken = Arc::new(AtomicBool::new(false));
    let flag = broken.clone();
    let clock = Arc::new(move || {
        assert!(!flag.swap(false, Ordering::SeqCst), "the clock is broken, as this test wants it");
        NOW
    });
    let hub = start(HubOptions::loopback(folder.path()), clock).await.expect("a hub");
    let client = super::client(&hub);
    let hub = Sandbox { hub, folder, client };
    hub.create("d").await;
    broken.store(true, Ordering::SeqCst);
    let answer = hub.ask("GET", "/twins/d", &[], None).await;
    assert_eq!(answer.refusal(), (500, "ServerError"));
    assert_eq!(hub.ask("GET", "/twins/d", &[], None).await.status, 200);
}
