//! `twinctl hub serve` as its operator meets it: who is refused and why, and which certificate is shown.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::device_run::device;
use crate::support::{Hub, Sandbox};

/// Nothing here takes so long when all is well.
const PATIENCE: Duration = Duration::from_secs(60);

fn log_of(hub: &Hub) -> String {
    fs::read_to_string(hub.data().with_extension("log")).expect("what the hub prints")
}

fn wait_for(hub: &Hub, text: &str) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let log = log_of(hub);
        if log.contains(text) {
            return log;
        }
        assert!(Instant::now() < deadline, "no `{text}` in\n{log}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A device that is refused is named on stderr and in the log, and a flood of them is counted.
#[test]
fn refusals_are_named_and_a_flood_is_counted() {
    let sandbox = Sandbox::new();
    let hub = Hub::start(&sandbox, &[]);
    let host = hub.ready()["hostName"].as_str().expect("a host");
    let key = "bm9ib2R5J3Mga2V5IGlzIHRoaXMgb25lIGhlcmUuLi4=";
    let string = format!("HostName={host};DeviceId=nobody;SharedAccessKey={key}");
    let refused = device(&sandbox, &hub, &string, &["--once"]).output().expect("it ends");
    assert!(!refused.status.success());
    let line = "MQTT /devices/nobody/connect: DeviceNotFound: ";
    let log = wait_for(&hub, line);
    assert!(!log.contains(key), "{log}");
    let records = hub.requests();
    let record = records.iter().find(|record| record["path"] == "/devices/nobody/connect").expect("a line");
    assert_eq!((&record["method"], &record["status"]), (&"MQTT".into(), &404.into()));
    assert!(record["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{record}");

    // A client that speaks no TLS, or does not trust the authority, never gets as far as its protocol.
    for front in ["mqtt", "amqp", "https"] {
        let address = hub.ready()[front].as_str().expect("an address");
        let mut stream = std::net::TcpStream::connect(address).expect("a connection");
        std::io::Write::write_all(&mut stream, b"GET / HTTP/1.1\r\n\r\n").expect("sent");
        let _ = wait_for(&hub, &format!("TLS /{front}: TlsHandshakeFailed: the TLS handshake failed: "));
    }

    let mut flood =
        sandbox.command(["device", "run", "--ca-file", hub.ca_file(), "--once", "--id", "nobody-{001..100}"]);
    let port = hub.ready()["mqtt"].as_str().and_then(|at| at.rsplit_once(':')).expect("a port").1;
    flood.args(["--port", port]).env("IOTHUB_CONNECTION_STRING", hub.connection_string("device"));
    let flooded = flood.output().expect("it ends");
    assert!(!flooded.status.success());
    let log = wait_for(&hub, " more refusals; --request-log FILE keeps them all");
    let lines = log.lines().filter(|line| line.starts_with("MQTT /devices/nobody")).count();
    assert!((2..=25).contains(&lines), "{lines} lines in\n{log}");
    assert!(hub.requests().len() > 100, "the log has them all");
}

/// Runs openssl; `None` where there is none.
fn openssl(folder: &std::path::Path, arguments: &[&str]) -> Option<String> {
    let run = Command::new("openssl").args(arguments).current_dir(folder).stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&run.stdout).into_owned();
    assert!(run.status.success(), "openssl {arguments:?}: {text}{}", String::from_utf8_lossy(&run.stderr));
    Some(text)
}

/// The commands of docs/hub.md make a certificate that a client takes which offers RSA suites of TLS 1.2 alone.
#[test]
#[expect(clippy::print_stderr, reason = "a test that was not run says so")]
fn clients_that_take_rsa_alone() {
    let sandbox = Sandbox::new();
    let docs = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/hub.md")).expect("the guide");
    let folder = sandbox.path("");
    if openssl(&folder, &["version"]).is_none() {
        eprintln!("skipped: openssl is not installed");
        return;
    }
    let commands: Vec<&str> = docs
        .lines()
        .filter_map(|line| line.strip_prefix("$ "))
        .filter(|line| line.starts_with("openssl ") || line.starts_with("printf 'subjectAltName"))
        .collect();
    assert_eq!(commands.len(), 4, "{commands:?}");
    let made = Command::new("sh").args(["-e", "-c", &commands.join("\n")]).current_dir(&folder).output().expect("sh");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));

    let options = ["--tls-cert", "server.pem", "--tls-key", "server-key.pem", "--tls-ca", "rsa-ca.pem"];
    let hub = Hub::start(&sandbox, &options);
    assert!(hub.ca_file().ends_with("rsa-ca.pem"), "{}", hub.ca_file());
    assert!(hub.data().join("ca.pem").exists(), "its own authority stays");
    hub.create("d");
    for address in ["https", "mqtt", "amqp"] {
        let connect = hub.ready()[address].as_str().expect("an address");
        let text = openssl(
            &folder,
            &[
                "s_client",
                "-connect",
                connect,
                "-tls1_2",
                "-cipher",
                "ECDHE-RSA-AES128-GCM-SHA256",
                "-CAfile",
                "rsa-ca.pem",
                "-verify_return_error",
                "-verify_ip",
                "127.0.0.1",
            ],
        );
        let text = text.expect("openssl is there");
        assert!(
            text.contains("ECDHE-RSA-AES128-GCM-SHA256") && text.contains("Verify return code: 0 (ok)"),
            "{address}: {text}"
        );
    }
    drop(hub);

    // What clients would not take is said before anybody meets it.
    let refuses = |options: &[&str], message: &str| {
        let mut command = sandbox.command(["hub", "serve", "--https", "127.0.0.1:0", "--data"]);
        let run = command.arg(sandbox.path("another-hub")).args(options).output().expect("it ends");
        let text = String::from_utf8_lossy(&run.stderr).into_owned();
        assert!(!run.status.success() && text.contains(message), "{options:?}: {text}");
    };
    refuses(&options[..4], "do not take it for `127.0.0.1`");
    refuses(&[&options[..], &["--host-name", "hub.example"]].concat(), "do not take it for `hub.example`");
    refuses(&["--tls-cert", "server.pem", "--tls-key", "server.ext"], "there is no key in PEM in it");
    refuses(&["--tls-cert", "missing.pem", "--tls-key", "server-key.pem"], "missing.pem");
    refuses(&["--tls-cert", "server.pem", "--tls-key", "rsa-ca-key.pem", "--tls-ca", "rsa-ca.pem"], "setting up TLS");
    refuses(&["--tls-cert", "server.pem"], "--tls-key");
}
