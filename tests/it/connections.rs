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
    let hub = Hub::serve(&sandbox, &[]);
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

/// What becomes of a connection is said, and who did not begin one.
#[test]
fn connections_that_others_end_are_named() {
    let sandbox = Sandbox::new();
    let hub = Hub::serve(&sandbox, &[]);
    let string = crate::device_run::register(&sandbox, &hub, "d");
    let mut first = crate::device_run::Running::start(&sandbox, device(&sandbox, &hub, &string, &[]));
    first.wait_for("err", "is connected");
    let second = device(&sandbox, &hub, &string, &["--once"]).output().expect("it ends");
    assert!(second.status.success());
    let _ = wait_for(&hub, "MQTT /devices/d: ConnectionTakenOver: another connection of this client took its place");
    let begun = Instant::now();
    while hub.twin("d")["connectionState"] != "Connected" {
        assert!(begun.elapsed() < PATIENCE, "it does not come back");
        std::thread::sleep(Duration::from_millis(20));
    }
    let _ = sandbox.on(&hub, ["hub", "device", "remove", "d"]).success();
    let _ = wait_for(&hub, "MQTT /devices/d: IdentityDeleted: the client's identity was deleted");
    let _ = first.stop("-INT");
}

/// Programs of two languages that do not trust the authority leave a trace, whichever port they come to.
#[test]
fn programs_without_trust_are_named() {
    let sandbox = Sandbox::new();
    let hub = Hub::serve(&sandbox, &[]);
    let python = "import socket, ssl, sys\nhost, port = sys.argv[1].rsplit(':', 1)\n\
        ssl.create_default_context().wrap_socket(socket.create_connection((host, port)), server_hostname=host)";
    let node = "const [host, port] = process.argv[1].split(':'); \
        require('tls').connect({ host, port }).on('error', () => {}); \
        require('tls').connect({ host, port, maxVersion: 'TLSv1.2' }).on('error', () => {});";
    for front in ["https", "mqtt", "amqp"] {
        let address = hub.ready()[front].as_str().expect("an address");
        let refused = Command::new("python3").args(["-c", python, address]).stderr(Stdio::null()).status();
        if refused.is_ok() {
            let _ = wait_for(
                &hub,
                &format!("TLS /{front}: TlsHandshakeFailed: the TLS handshake failed: received fatal alert"),
            );
        }
        let refused = Command::new("node").args(["-e", node, address]).stderr(Stdio::null()).status();
        if refused.is_ok() {
            let early = format!(
                "TLS /{front}: TlsHandshakeFailed: the client closed the connection during the TLS handshake; \
                mostly a client that does not trust the hub's authority (caFile)"
            );
            let late = format!(
                "TLS /{front}: ClosedBeforeRequest: the client closed the connection before it sent anything; \
                mostly a client that does not trust the hub's authority (caFile)"
            );
            let deadline = Instant::now() + PATIENCE;
            while log_of(&hub).matches(&early).count() + log_of(&hub).matches(&late).count() < 2 {
                assert!(Instant::now() < deadline, "{}", log_of(&hub));
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
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
    let hub = Hub::serve(&sandbox, &options);
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

    // What clients would not take is said before anybody meets it, with what to do.
    let refuses = |options: &[&str], parts: &[&str]| {
        let mut command = sandbox.command(["hub", "serve", "--https", "127.0.0.1:0", "--mqtt", "127.0.0.1:0"]);
        command.args(["--amqp", "127.0.0.1:0", "--data"]).arg(sandbox.path("another-hub")).args(options);
        let run = command.output().expect("it ends");
        let text = String::from_utf8_lossy(&run.stderr).into_owned();
        assert!(!run.status.success(), "{options:?}: {text}");
        for part in parts {
            assert!(text.contains(part), "{options:?}: no `{part}` in {text}");
        }
        text
    };
    let _ = refuses(&options[..4], &["do not take it for `127.0.0.1`", "another authority issued it", "--tls-ca"]);
    let named = [&options[..], &["--host-name", "hub.example"]].concat();
    let _ =
        refuses(&named, &["do not take it for `hub.example`", "is for localhost, 127.0.0.1", "--host-name localhost"]);
    let with_key = |key: &'static str| ["--tls-cert", "server.pem", "--tls-key", key, "--tls-ca", "rsa-ca.pem"];
    let _ = refuses(&with_key("server.ext"), &["there is no private key in PEM in it", "-----BEGIN PRIVATE KEY-----"]);
    let _ = refuses(&with_key("server.pem"), &["no private key in PEM in it; it holds CERTIFICATE"]);
    let _ = refuses(&with_key("missing.pem"), &["missing.pem: it cannot be read"]);
    let key = fs::read_to_string(folder.join("server-key.pem")).expect("a key");
    fs::write(folder.join("joined.pem"), key.replace('\n', " ")).expect("a file");
    let text = refuses(
        &with_key("joined.pem"),
        &["joined.pem: its PEM is damaged: its line breaks are lost", "double quotes"],
    );
    assert!(!text.contains("MII") && !text.contains("[80"), "{text}");
    let mismatch =
        refuses(&with_key("rsa-ca-key.pem"), &["is not the private key of the certificate in", "-pubout -in"]);
    let printed = Command::new("sh").args(["-ec", hint_command(&mismatch)]).output().expect("sh");
    let printed = String::from_utf8_lossy(&printed.stdout).into_owned();
    assert_eq!(printed.matches("-----BEGIN PUBLIC KEY-----").count(), 2, "{mismatch}{printed}");
    let _ = refuses(&["--tls-cert", "server.pem"], &["--tls-key"]);

    // The commands of hints make files that the hub takes.
    let run = |arguments: &str| openssl(&folder, &arguments.split(' ').collect::<Vec<_>>()).expect("openssl is there");
    run("pkey -in server-key.pem -aes128 -passout pass:secret -out encrypted.pem");
    run("rsa -in server-key.pem -traditional -aes128 -passout pass:secret -out encrypted-older.pem");
    run("pkey -in server-key.pem -outform DER -out key.der");
    run("x509 -in server.pem -outform DER -out server.der");
    run("pkcs12 -export -in server.pem -inkey server-key.pem -passout pass:secret -out server.p12");
    for (file, problem, made) in [
        ("encrypted.pem", "the private key in it is encrypted", "encrypted.pem.decrypted"),
        ("encrypted-older.pem", "the private key in it is encrypted", "encrypted-older.pem.decrypted"),
        ("key.der", "a private key in DER", "key.der.pem"),
        ("server.p12", "a PKCS #12 archive", "server.p12.pem"),
    ] {
        let text = refuses(&with_key(file), &[problem]);
        let mut command = hint_command(&text).to_owned();
        if file != "key.der" {
            command.push_str(" -passin pass:secret");
        }
        let run = Command::new("sh").args(["-ec", &command]).output().expect("sh");
        assert!(run.status.success(), "{command}: {}", String::from_utf8_lossy(&run.stderr));
        let hub = Hub::serve(&sandbox, &with_key(made));
        drop(hub);
    }
    let der = ["--tls-cert", "server.der", "--tls-key", "server-key.pem", "--tls-ca", "rsa-ca.pem"];
    let text = refuses(&der, &["a certificate in DER"]);
    assert!(Command::new("sh").args(["-ec", hint_command(&text)]).status().expect("sh").success(), "{text}");
    drop(Hub::serve(
        &sandbox,
        &["--tls-cert", "server.der.pem", "--tls-key", "server-key.pem", "--tls-ca", "rsa-ca.pem"],
    ));
    let keys = ["server-key.pem", "rsa-ca-key.pem"].map(|name| fs::read_to_string(folder.join(name)).expect("a key"));
    fs::write(folder.join("keys.pem"), keys.concat()).expect("a file");
    let text = refuses(&with_key("keys.pem"), &["there are 2 private keys in it"]);
    assert!(Command::new("sh").args(["-ec", hint_command(&text)]).status().expect("sh").success(), "{text}");
    drop(Hub::serve(&sandbox, &with_key("keys.pem.first")));

    // As they are made without the file of extensions.
    let sign = "x509 -req -in server.csr -CA rsa-ca.pem -CAkey rsa-ca-key.pem -CAcreateserial -out other.pem";
    run(&format!("{sign} -days 3650"));
    let other = ["--tls-cert", "other.pem", "--tls-key", "server-key.pem", "--tls-ca", "rsa-ca.pem"];
    let text = refuses(&other, &["subjectAltName=DNS:localhost,IP:127.0.0.1"]);
    assert!(text.contains("version 1") || text.contains("no host name and no address in a subjectAltName"), "{text}");
    fs::write(folder.join("other.ext"), "basicConstraints=CA:FALSE\n").expect("a file");
    run(&format!("{sign} -days 3650 -extfile other.ext"));
    let _ = refuses(&other, &["no host name and no address in a subjectAltName"]);
    run("req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -keyout self-key.pem -out self.pem");
    let of_itself = ["--tls-cert", "self.pem", "--tls-key", "self-key.pem", "--tls-ca", "self.pem"];
    let _ = refuses(&of_itself, &["CA:TRUE"]);
}

/// Returns the command of a hint, which is what follows its last explanation.
fn hint_command(text: &str) -> &str {
    let at = text.find(": openssl ").unwrap_or_else(|| panic!("no command in {text}"));
    text[at + 2..].trim_end()
}
