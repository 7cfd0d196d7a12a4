//! Microsoft's device SDK for Python as a client of the embedded hub, with its service SDK on the other side.
//!
//! The SDK connects to port 8883, or 443 over WebSockets, and cannot be told another one: each test takes an address of the
//! loopback network for itself, which Linux gives without asking.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::python;
use crate::support::{Hub, Sandbox, client_runs, not_run, scrub};

fn here() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python"))
}

/// Returns the interpreter of a virtual environment that has both SDKs, made at the first call.
pub(crate) fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let requirements = here().join("requirements-device.txt");
        let wanted = fs::read_to_string(&requirements).expect("requirements-device.txt");
        client_runs("Python", python::sdks(&wanted));
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python-device-sdk");
        let python = folder.join("bin/python");
        let stamp = folder.join("installed.txt");
        if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
            return python;
        }
        let _ = fs::remove_dir_all(&folder);
        must_run(Command::new("python3").args(["-m", "venv"]).arg(&folder));
        must_run(
            Command::new(&python)
                .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"])
                .arg(&requirements),
        );
        fs::write(&stamp, wanted).expect("the stamp");
        python
    })
}

pub(crate) fn must_run(command: &mut Command) {
    let output =
        command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; the tests need Python 3 with venv"));
    assert!(output.status.success(), "{command:?}:\n{}", String::from_utf8_lossy(&output.stderr));
}

/// Returns a loopback address on which nobody listens at any of these ports; none when they may not be listened on at all.
pub(crate) fn address_for(ports: &[u16]) -> Option<Ipv4Addr> {
    static LAST: AtomicU8 = AtomicU8::new(1);
    // Other runs of these tests on this machine take theirs from another net, most likely.
    let [.., net] = std::process::id().to_be_bytes();
    loop {
        let last = LAST.fetch_add(1, Ordering::Relaxed);
        assert!(last < 255, "no loopback address has these ports free: {ports:?}");
        let address = Ipv4Addr::new(127, 88, net, last);
        let mut bound = ports.iter().map(|port| TcpListener::bind((address, *port)));
        match bound.find_map(Result::err) {
            None => return Some(address),
            Some(error) if error.kind() == std::io::ErrorKind::PermissionDenied => return None,
            Some(_) => {}
        }
    }
}

/// A port of such an address.
pub(crate) fn at(address: Ipv4Addr, port: u16) -> SocketAddr {
    (address, port).into()
}

/// What to do about an address that [`address_for`] did not find.
pub(crate) const NO_443: &str =
    "port 443 may not be listened on: be root, or lower net.ipv4.ip_unprivileged_port_start";

pub(crate) const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// Registers `myDeviceId`, and returns the command that runs a script of `tests/python` as it.
fn device(sandbox: &Sandbox, hub: &Hub, authentication: &Value, script: &str, address: Ipv4Addr, way: &str) -> Command {
    let body = json!({ "deviceId": "myDeviceId", "authentication": authentication });
    let answer = hub.send("PUT", "/devices/myDeviceId", None, Some(body));
    assert_eq!(answer.status, 200, "{}", answer.body);
    let mut command = Command::new(python());
    command.arg(here().join(script)).arg(address.to_string()).arg(way);
    scrub(&mut command, &sandbox.path(""));
    command.env("IOTHUB_CONNECTION_STRING", hub.connection_string("iothubowner"));
    command.env("DEVICE_CONNECTION_STRING", format!("HostName={address};DeviceId=myDeviceId;SharedAccessKey={KEY}"));
    command.env("REQUESTS_CA_BUNDLE", hub.ca_file()).env("DEVICE_CA_FILE", hub.ca_file());
    command.env("DEVICE_CERTIFICATE", sandbox.path("device.pem")).env("DEVICE_KEY", sandbox.path("device-key.pem"));
    command
}

/// Runs a script as the device, and returns its steps.
fn steps(
    sandbox: &Sandbox,
    hub: &Hub,
    authentication: &Value,
    script: &str,
    address: Ipv4Addr,
    way: &str,
) -> Vec<Value> {
    let output = device(sandbox, hub, authentication, script, address, way).output().expect("the script starts");
    let stdout = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(output.status.success(), "{script}:\n{stdout}\n{}", String::from_utf8_lossy(&output.stderr));
    stdout.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

pub(crate) fn step(name: &str, value: Value) -> Value {
    json!({ "step": name, "value": value })
}

pub(crate) fn by_key() -> Value {
    json!({ "type": "sas", "symmetricKey": { "primaryKey": KEY, "secondaryKey": KEY } })
}

/// What `device.py` comes to, whichever way it connects.
fn the_device_program() -> Vec<Value> {
    vec![
        step("connected", json!([true, "Connected"])),
        step("twin", json!({ "desired": { "$version": 1 }, "reported": { "$version": 1 } })),
        step("reported", json!({ "connectivity": "cellular", "$version": 2 })),
        step("on cellular", json!(["myDeviceId"])),
        step("seen by the back end", json!(["Connected", { "connectivity": "cellular" }])),
        step("patch", json!({ "power": { "level": 1 }, "mode": "eco", "$version": 2 })),
        step("patch that removes", json!({ "mode": null, "$version": 3 })),
        step("replacement", json!({ "power": null, "speed": 2, "$version": 4 })),
        step("method", json!([207, { "called": "reboot", "with": { "delay": 5 } }])),
        step("telemetry", json!("acknowledged")),
        step("bad patch", json!("twin operation returned status 400")),
        step("connected devices", json!(1)),
        step("disconnected", json!("Disconnected")),
        step("patch after it came back", json!({ "after": "reconnect", "$version": 5 })),
        step("method after it came back", json!(207)),
        step("shut down", json!("Disconnected")),
        step("method without a device", json!([404, 404_103])),
    ]
}

#[test]
fn the_device_program_of_the_article() {
    let sandbox = Sandbox::new();
    let address = address_for(&[8883]).expect("8883 is nobody's privilege");
    let hub = Hub::start_with(&sandbox, |hub| hub.mqtt(at(address, 8883)));
    assert_eq!(hub.ready()["mqtt"], format!("{address}:8883"));
    let found = steps(&sandbox, &hub, &by_key(), "device.py", address, "sas");
    assert_eq!(found, the_device_program());
}

/// As the article has it: the class for modules, with a device's connection string.
#[test]
fn the_module_client_as_a_device() {
    let sandbox = Sandbox::new();
    let address = address_for(&[8883]).expect("8883 is nobody's privilege");
    let hub = Hub::start_with(&sandbox, |hub| hub.mqtt(at(address, 8883)));
    let found = steps(&sandbox, &hub, &by_key(), "device.py", address, "module-client");
    assert_eq!(found, the_device_program());
}

/// Where this process may listen on port 443, which on most machines means as root.
#[test]
fn the_device_program_over_web_sockets() {
    let Some(address) = address_for(&[443]) else { return not_run(NO_443) };
    let sandbox = Sandbox::new();
    let hub = Hub::start_with(&sandbox, |hub| hub.https(at(address, 443)));
    let found = steps(&sandbox, &hub, &by_key(), "device.py", address, "websocket");
    assert_eq!(found, the_device_program());
}

#[test]
fn the_device_program_with_a_certificate() {
    let sandbox = Sandbox::new();
    let key = rcgen::KeyPair::generate().expect("a key");
    let certificate = rcgen::CertificateParams::default().self_signed(&key).expect("a certificate");
    sandbox.write("device.pem", &certificate.pem());
    sandbox.write("device-key.pem", &key.serialize_pem());
    let thumbprint: String = Sha256::digest(certificate.der()).iter().map(|byte| format!("{byte:02x}")).collect();
    let authentication = json!({ "type": "selfSigned", "x509Thumbprint": { "primaryThumbprint": thumbprint } });
    let address = address_for(&[8883]).expect("8883 is nobody's privilege");
    let hub = Hub::start_with(&sandbox, |hub| hub.mqtt(at(address, 8883)));
    let found = steps(&sandbox, &hub, &authentication, "device.py", address, "x509");
    assert_eq!(found, the_device_program());
}

#[test]
fn a_module_of_a_device() {
    let sandbox = Sandbox::new();
    let address = address_for(&[8883]).expect("8883 is nobody's privilege");
    let hub = Hub::start_with(&sandbox, |hub| hub.mqtt(at(address, 8883)));
    assert_eq!(
        steps(&sandbox, &hub, &by_key(), "module_device.py", address, "sas"),
        [
            step("connected", json!(["Connected", "Disconnected"])),
            step("twin", json!({ "desired": { "$version": 1 }, "reported": { "$version": 1 } })),
            step("reported", json!({ "state": "idle", "$version": 2 })),
            step("patch", json!({ "speed": 2, "$version": 2 })),
            step("method", json!([200, { "called": "home" }])),
            step("method of the device", json!(404)),
            step("telemetry", json!("acknowledged")),
            step("shut down", json!(["Disconnected", "Disconnected"])),
            step("patches left", json!(0)),
            step("purged", json!(["myDeviceId", 0])),
        ]
    );
}

#[test]
fn short_tokens_are_renewed() {
    let sandbox = Sandbox::new();
    let address = address_for(&[8883]).expect("8883 is nobody's privilege");
    let hub = Hub::start_with(&sandbox, |hub| hub.mqtt(at(address, 8883)));
    assert_eq!(
        steps(&sandbox, &hub, &by_key(), "device_renewal.py", address, "sas"),
        [
            step("renewals", json!(2)),
            step("patch", json!({ "n": 1, "$version": 2 })),
            step("wrong key", json!("Credentials invalid, could not connect")),
        ]
    );
}

/// Killed, not stopped: what was answered is there, and so are the subscriptions that the SDK counts on.
#[test]
fn a_device_outlives_its_hub() {
    let sandbox = Sandbox::new();
    let address = address_for(&[8883]).expect("8883 is nobody's privilege");
    let mqtt = format!("{address}:8883");
    let hub = Hub::serve(&sandbox, &["--mqtt", &mqtt]);
    let mut command = device(&sandbox, &hub, &by_key(), "device_restart.py", address, "sas");
    // The SDK prints what it thinks of a hub that dies.
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the script starts");
    let mut said = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut next = || -> Value {
        let line = said.next().expect("a step").expect("UTF-8");
        serde_json::from_str(&line).expect("a line of JSON")
    };
    assert_eq!(next(), step("ready", json!(true)));
    hub.kill();
    let hub = Hub::serve(&sandbox, &["--mqtt", &mqtt]);
    let deadline = Instant::now() + Duration::from_secs(60);
    while hub.twin("myDeviceId")["connectionState"] != "Connected" {
        assert!(Instant::now() < deadline, "the device does not come back");
        std::thread::sleep(Duration::from_millis(20));
    }
    hub.patch("myDeviceId", json!({ "properties": { "desired": { "after": "the kill" } } }));
    assert_eq!(next(), step("patch", json!({ "after": "the kill", "$version": 2 })));
    assert_eq!(next(), step("twin", json!({ "n": 9, "$version": 11 })));
    assert!(child.wait().expect("an ended child").success());
}
