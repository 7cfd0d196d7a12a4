//! Clients that break off, send nonsense or meet a fault: the next one is served as if nothing had been.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::tests::{NOW, Sandbox, raw_tls, raw_tls_speaking, tls_of};
use crate::{Emulator, EmulatorClock};

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

/// A client that sends its body after the head has been refused gets the refusal, and goes on over the same connection.
#[tokio::test]
async fn a_refusal_is_read_by_who_still_sends() {
    let hub = Sandbox::new().await;
    let head = |method: &str, path: &str, length: usize| {
        format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: none\r\nContent-Length: {length}\r\n\r\n"
        )
    };
    let query = "/devices/query?api-version=2021-04-12";
    for (method, path, status) in
        [("POST", query, "401"), ("POST", "/devices/query", "400"), ("POST", "/nothing", "404"), ("PUT", query, "401")]
    {
        let mut stream = raw_tls(&hub.hub).await;
        for length in [60_000, 900_000] {
            stream.write_all(head(method, path, length).as_bytes()).await.expect("sent");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            stream.write_all(&vec![b' '; length]).await.expect("the hub reads it");
            let mut answer = [0; 12];
            stream.read_exact(&mut answer).await.expect("an answer");
            assert_eq!(String::from_utf8_lossy(&answer), format!("HTTP/1.1 {status}"), "{method} {path}");
            // The rest of the answer.
            let mut rest = vec![0; 1 << 16];
            let read = tokio::time::timeout(std::time::Duration::from_millis(100), stream.read(&mut rest)).await;
            assert!(read.expect("at once").expect("a rest") > 0);
        }
    }
}

#[tokio::test]
async fn both_versions_of_tls() {
    let hub = Sandbox::new().await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let client = reqwest::Client::builder().tls_backend_preconfigured(tls_of(&hub.hub, &[version])).build();
        let request = client.expect("a client").get(format!("https://{}/", hub.hub.host_name()));
        assert_eq!(request.send().await.expect("an answer").status(), 404, "{version:?}");
    }
}

#[tokio::test]
async fn every_name_is_in_the_certificate() {
    let hub = Sandbox::new().await;
    let port = hub.hub.https_addr().port();
    for name in ["localhost", "127.0.0.1"] {
        let request = crate::tests::client(&hub.hub).get(format!("https://{name}:{port}/"));
        assert_eq!(request.send().await.expect(name).status(), 404);
    }
}

/// The only thing of ours that runs inside a request and can be made to fail is the clock.
#[tokio::test]
async fn a_fault_in_one_request_is_that_requests_alone() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let broken = Arc::new(AtomicBool::new(false));
    let flag = broken.clone();
    let clock = EmulatorClock::from_fn(move || {
        assert!(!flag.swap(false, Ordering::SeqCst), "the clock is broken, as this test wants it");
        NOW.into()
    });
    let hub = Emulator::builder().data_dir(folder.path()).clock(clock).start().await.expect("a hub");
    let client = crate::tests::client(&hub);
    let hub = Sandbox { hub, folder, client };
    hub.create("d").await;
    broken.store(true, Ordering::SeqCst);
    let answer = hub.ask("GET", "/twins/d", &[], None).await;
    assert_eq!(answer.refusal(), (500, "ServerError"));
    assert_eq!(hub.ask("GET", "/twins/d", &[], None).await.status, 200);
}

/// However far a client comes before it falls silent, it is let go. Time jumps to where something is due.
#[tokio::test]
async fn the_silent_are_let_go() {
    /// Reads until the hub has had enough, and returns how many seconds that took.
    async fn until_the_end(stream: &mut (impl AsyncReadExt + Unpin)) -> u64 {
        let begun = Instant::now();
        let mut rest = Vec::new();
        // Not for ever, should the hub have no end of it.
        let _ = tokio::time::timeout(Duration::from_secs(600), stream.read_to_end(&mut rest)).await;
        begun.elapsed().as_secs()
    }
    let folder = tempfile::TempDir::new().expect("a folder");
    let hub = Sandbox::with(folder, |options| options).await;
    for address in [hub.hub.https_addr(), hub.hub.mqtt_addr().expect("MQTT")] {
        // Nothing at all, and the beginning of a handshake.
        for said in [&[][..], &[0x16, 3, 1, 2, 0, 1]] {
            let mut stream = TcpStream::connect(address).await.expect("a connection");
            stream.write_all(said).await.expect("sent");
            tokio::time::pause();
            assert_eq!(until_the_end(&mut stream).await, 10, "{address} {said:?}");
            tokio::time::resume();
        }
    }
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
    for (protocol, said, expected) in [
        ("h2", vec![], 20..=20),
        ("h2", PREFACE[..20].to_vec(), 20..=20),
        // Asked whether it is there after half a minute, it has twenty seconds to answer.
        ("h2", PREFACE.to_vec(), 49..=51),
        ("h2", [PREFACE, SETTINGS].concat(), 49..=51),
        ("http/1.1", vec![], 120..=120),
        ("http/1.1", b"GET /twins/d HTT".to_vec(), 120..=120),
        ("http/1.1", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), 120..=120),
    ] {
        let mut stream = raw_tls_speaking(&hub.hub, &[protocol]).await;
        stream.write_all(&said).await.expect("sent");
        stream.flush().await.expect("sent");
        tokio::time::pause();
        let seconds = until_the_end(&mut stream).await;
        assert!(expected.contains(&seconds), "{protocol} {said:?}: {seconds}");
        tokio::time::resume();
    }
}
