//! Hubs that answer nonsense, half an answer, or nothing: the error names the request, and no twin is taken as absent.

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use crate::support::{Run, Sandbox, snapshot};

/// What to write for each connection, in place of an HTTP answer.
type Answer = &'static [u8];

/// Serves one answer over TLS to whoever connects, until the test ends. Returns its address and its CA as PEM.
fn serve(answer: Answer) -> (SocketAddr, String) {
    let key = rcgen::KeyPair::generate().expect("a key");
    let certificate = rcgen::CertificateParams::new(["127.0.0.1".to_owned()])
        .expect("a name")
        .self_signed(&key)
        .expect("a certificate");
    let private = rustls::pki_types::PrivatePkcs8KeyDer::from(key.serialize_der());
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private.into())
        .expect("a configuration");
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let config = Arc::clone(&config);
            std::thread::spawn(move || {
                let Ok(session) = rustls::ServerConnection::new(config) else { return };
                let mut tls = rustls::StreamOwned::new(session, stream);
                let mut request = [0; 4096];
                if tls.read(&mut request).is_ok_and(|read| read > 0) {
                    let _ = tls.write_all(answer);
                    let _ = tls.flush();
                    tls.conn.send_close_notify();
                    let _ = tls.flush();
                }
            });
        }
    });
    (address, certificate.pem())
}

#[test]
fn nonsense() {
    let mut conversation = String::new();
    for (what, answer) in [
        ("HTML", b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 29\r\n\r\n<html><h1>Sign in</h1></html>".as_slice()),
        ("HTML, as a proxy's error", b"HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\nContent-Length: 12\r\n\r\n<h1>no</h1>\r\n"),
        ("half a JSON", b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 16\r\n\r\n{\"deviceId\": \"d1"),
        ("less than was promised", b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n{\"deviceId\": "),
        ("an empty body", b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 0\r\n\r\n"),
        ("another device's twin", b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 37\r\n\r\n{\"deviceId\": \"d2\", \"etag\": \"AAAAAAA\"}"),
        ("nothing", b""),
        ("not HTTP", b"220 mail.example.com ESMTP\r\n"),
    ] {
        let sandbox = Sandbox::new();
        let (address, ca) = serve(answer);
        sandbox.write("ca.pem", &ca);
        sandbox.write("fleet.yaml", "fleet: demo\nmissing: register\nownership: none\ndevices: { d1: { tags: { a: 1 } } }\n");
        let connection = format!("HostName={address};SharedAccessKeyName=service;SharedAccessKey=c2VjcmV0IGtleQ==");
        let mut command = sandbox.command(["apply", "fleet.yaml", "--yes", "--ca-file", "ca.pem", "--retry-budget", "0s"]);
        command.env("IOTHUB_CONNECTION_STRING", connection);
        let run = Run::of(&mut command, &sandbox.path(""));
        assert_eq!(run.code, 1, "{what}\n{run}");
        assert!(run.stderr.contains("GET https://127.0.0.1"), "it names the request: {run}");
        writeln!(conversation, "# {what}\n{run}\n").expect("text");
    }
    snapshot("hostile_hub", conversation);
}

#[test]
fn doctor_takes_no_other_server_for_a_hub() {
    let sandbox = Sandbox::new();
    // Each connection has one answer. One that the client takes for open would be lost to its next request.
    let (address, ca) = serve(
        b"HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\nContent-Length: 4\r\nConnection: close\r\n\r\nnone",
    );
    sandbox.write("ca.pem", &ca);
    let mut command = sandbox.command(["doctor", "--ca-file", "ca.pem", "--retry-budget", "0s"]);
    let connection = format!("HostName={address};SharedAccessKeyName=service;SharedAccessKey=c2VjcmV0IGtleQ==");
    command.env("IOTHUB_CONNECTION_STRING", connection);
    let run = Run::of(&mut command, &sandbox.path(""));
    assert_eq!(run.code, 1, "{run}");
    assert!(run.stdout.contains("fail  service ") && run.stdout.contains("look at the host name"), "{run}");
    assert!(!run.stdout.contains("ok    credentials"), "nobody has looked at the key: {run}");
}
