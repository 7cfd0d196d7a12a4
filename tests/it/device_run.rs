//! `twinctl device run`: simulated devices, and the commands that see what they do.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Hub, Run, Sandbox, TWINCTL, scrub};

/// Nothing here takes so long when all is well.
const PATIENCE: Duration = Duration::from_secs(60);

fn mqtt_port(hub: &Hub) -> String {
    let address = hub.ready()["mqtt"].as_str().expect("mqtt");
    address.rsplit_once(':').expect("a port").1.to_owned()
}

/// Registers a device, and returns its connection string as `hub device add` prints it.
pub(crate) fn register(sandbox: &Sandbox, hub: &Hub, id: &str) -> String {
    sandbox.on(hub, ["hub", "device", "add", id]).success().trim().to_owned()
}

/// The command for a device that is named by its connection string.
pub(crate) fn device(sandbox: &Sandbox, hub: &Hub, string: &str, more: &[&str]) -> Command {
    let mut command = sandbox.command(["device", "run", "--ca-file", hub.ca_file(), "--port", &mqtt_port(hub)]);
    command.args(more).env("IOTHUB_DEVICE_CONNECTION_STRING", string);
    command
}

/// A device that runs until it is told to stop.
pub(crate) struct Running {
    child: Child,
    out: PathBuf,
    err: PathBuf,
}

impl Running {
    pub(crate) fn start(sandbox: &Sandbox, mut command: Command) -> Self {
        let (out, err) = (sandbox.path("device.out"), sandbox.path("device.err"));
        command.stdout(File::create(&out).expect("a file")).stderr(File::create(&err).expect("a file"));
        Self { child: command.spawn().expect("it starts"), out, err }
    }

    pub(crate) fn wait_for(&mut self, file: &str, text: &str) {
        let path = if file == "out" { &self.out } else { &self.err };
        let deadline = Instant::now() + PATIENCE;
        loop {
            let read = fs::read_to_string(path).expect("its output");
            if read.contains(text) {
                return;
            }
            let ended = self.child.try_wait().expect("a child");
            assert!(ended.is_none() && Instant::now() < deadline, "no `{text}` in\n{read}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Sends a signal, and returns how it ended and what it had printed.
    pub(crate) fn stop(mut self, signal: &str) -> (i32, String) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status().expect("kill");
        assert!(sent.success());
        let code = self.child.wait().expect("it ends").code().unwrap_or(-1);
        (code, fs::read_to_string(&self.out).expect("its output"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Each of several devices prints what one prints.
#[test]
fn several_devices_print_what_they_find() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    sandbox.on(&hub, ["hub", "device", "add", "press-{001..003}"]).success();
    let mut command = sandbox.command_on(&hub, ["device", "run", "--id", "press-{001..003}", "--once"]);
    command.args(["--port", &mqtt_port(&hub)]);
    let run = Run::of(&mut command, &sandbox.path("")).success();
    let mut lines: Vec<&str> = run.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["press-001  desired 1  {}", "press-002  desired 1  {}", "press-003  desired 1  {}"]);
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "never so: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_device_reports_and_the_back_end_finds_it() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    let string = register(&sandbox, &hub, "thermostat-001");
    let run = |more: &[&str]| Run::of(&mut device(&sandbox, &hub, &string, more), &sandbox.path("")).success();
    assert_eq!(run(&["--once", "--report", "connectivity=cellular"]), "thermostat-001  desired 1  {}\n");
    let query = "SELECT deviceId FROM devices WHERE properties.reported.connectivity = 'cellular'";
    let rows = sandbox.on(&hub, ["query", query, "--format", "json"]).success();
    assert_eq!(serde_json::from_str::<Value>(&rows).expect("JSON"), json!([{"deviceId": "thermostat-001"}]));

    // A hub by another name, behind a gateway: the certificate is for the gateway, the token for the hub.
    let (_, rest) = string.split_once(';').expect("a host name first");
    let behind = format!("HostName=my-hub.azure-devices.net;{rest};GatewayHostName=localhost");
    let mut command = device(&sandbox, &hub, &behind, &["--once", "--report", "connectivity=none"]);
    let _ = Run::of(&mut command, &sandbox.path("")).success();
    assert_eq!(hub.twin("thermostat-001")["properties"]["reported"]["connectivity"], "none");

    // The same over a WebSocket, on the port that the connection string has for HTTPS.
    let mut command = sandbox.command(["device", "run", "--ca-file", hub.ca_file(), "--websocket", "--once"]);
    command.args(["--report", "connectivity=wifi", "--connection-string", &string]);
    let _ = Run::of(&mut command, &sandbox.path("")).success();
    assert_eq!(hub.twin("thermostat-001")["properties"]["reported"]["connectivity"], "wifi");
}

#[cfg(unix)]
#[test]
fn the_example_of_the_readme() {
    let sandbox = Sandbox::new();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/device.sh");
    let mut command = Command::new(script);
    scrub(&mut command, &sandbox.path(""));
    let run = Run::of(command.env("TWINCTL", TWINCTL), &sandbox.path(""));
    assert_eq!(run.code, 0, "{run}");
    let readme = include_str!("../../README.md");
    for line in [
        "thermostat-001 is connected",
        "thermostat-001  desired 2  {\"power_level\":1,\"telemetry\":{\"intervalSeconds\":60}}",
        "thermostat-001 reported {\"connectivity\":\"cellular\"} (version 2)",
        "deviceId\nthermostat-001\n",
    ] {
        assert!(readme.contains(line), "the README lacks {line}");
        assert!(run.stdout.contains(line) || run.stderr.contains(line), "no {line} in {run}");
    }
    assert!(run.stdout.contains("failed nobody in the plant is on cellular"), "{run}");
}

#[cfg(unix)]
#[test]
fn what_apply_declares_reaches_a_device_and_comes_back() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    let string = register(&sandbox, &hub, "d");
    let mut running = Running::start(&sandbox, device(&sandbox, &hub, &string, &["--ack"]));
    running.wait_for("out", "desired 1");
    sandbox.write(
        "fleet.yaml",
        "fleet: demo\ndevices: { d: { desired: { power: 2, telemetry: { interval: 60 } } } }\nchecks:\n  \
         - { name: acknowledged, query: SELECT deviceId FROM devices WHERE properties.reported.power = 2 AND \
         properties.reported.telemetry.interval = 60, expect: [d], within: 60s }\n",
    );
    let _ = sandbox.on(&hub, ["apply", "fleet.yaml", "--yes"]).success();

    // The hub dies and comes back at the same place; before the device is there again, its twin changes twice.
    let (https, mqtt) = (hub.ready()["https"].clone(), hub.ready()["mqtt"].clone());
    hub.kill();
    running.wait_for("err", "trying again in");
    let (https, mqtt) = (https.as_str().expect("an address"), mqtt.as_str().expect("an address"));
    let hub = Hub::serve_at(&sandbox, https, &["--mqtt", mqtt, "--amqp", "127.0.0.1:0"]);
    hub.patch("d", json!({"properties": {"desired": {"power": 3}}}));
    hub.patch("d", json!({"properties": {"desired": {"telemetry": null}}}));
    eventually("it has caught up", || {
        let reported = hub.twin("d")["properties"]["reported"].clone();
        reported["power"] == 3 && reported.get("telemetry").is_none()
    });
    let (code, out) = running.stop("-TERM");
    assert_eq!(code, 0);
    assert!(
        out.starts_with("d  desired 1  {}\nd  patch 2  {\"power\":2,\"telemetry\":{\"interval\":60}}\n"),
        "the whole of it:\n{out}"
    );
    eventually("it has taken leave", || hub.twin("d")["connectionState"] == "Disconnected");
}

#[cfg(unix)]
#[test]
fn what_is_cut_short_says_so() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    let string = register(&sandbox, &hub, "d");
    let mut running = Running::start(&sandbox, device(&sandbox, &hub, &string, &["--exit-after", "1h"]));
    running.wait_for("out", "desired 1");
    assert_eq!(running.stop("-INT").0, 130);
    let run = Run::of(&mut device(&sandbox, &hub, &string, &["--exit-after", "200ms"]), &sandbox.path(""));
    let _ = run.success();
}

#[test]
fn mistakes_end_it_with_what_to_do() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    let string = register(&sandbox, &hub, "d");
    let (before, key) = string.split_once("SharedAccessKey=").expect("a key");
    let other = format!("{before}SharedAccessKey=AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
    let unknown = string.replace("DeviceId=d", "DeviceId=nobody");
    let owner = hub.connection_string("iothubowner");
    let run = |string: &str, more: &[&str]| Run::of(&mut device(&sandbox, &hub, string, more), &sandbox.path(""));
    for (string, more, said) in [
        (other.as_str(), &[][..], "does not let d in: not authorized\nhint: the hub does not say which:"),
        (&unknown, &[], "does not let nobody in: not authorized"),
        (&string, &["--report", "$version=1"], "the key holds '$'"),
        (&string, &["--report", "a=1", "--report", "a.b=1"], "`a.b` is given twice"),
        (&string, &["--report", "connectivity"], "a property is KEY=VALUE"),
        (&string, &["--once", "--report", "much=[[[[[[[[[[[1]]]]]]]]]]]"], "the hub takes"),
        (&string, &["--hub", "embedded"], "run `twinctl hub serve --data hub` beside this"),
        (&string, &["--count", "2"], "--id <ID>"),
        (&string, &["--id", "d", "--connection-string", &string], "the connection string is the one of d"),
        (owner, &[], "no device is named"),
        (
            "",
            &["--id", "x{1..3}", "--connection-string", owner],
            "has no device x1, nor 2 others\nhint: `hub device add`",
        ),
        ("", &["--id", "d", "--id", "d", "--connection-string", owner], "names d twice"),
        ("", &["--id", "x{1..3}", "--count", "9", "--connection-string", owner], "more than the 3 devices"),
        ("", &["--id", "x{1..", "--connection-string", owner], "a range without its `}`"),
        ("", &[], "a device's connection string, which `hub device show` prints"),
        ("HostName=h;DeviceId=d", &[], "has no `SharedAccessKey`"),
    ] {
        let run = run(string, more);
        assert_eq!(run.code, 1, "{more:?}: {run}");
        assert!(run.stderr.contains(said), "{more:?}: {run}");
        assert!(!run.stderr.contains(key.trim_end_matches('=')) && !run.stderr.contains("AAECAw"), "{run}");
    }
    // Without the authority.
    let mut command = sandbox.command(["device", "run", "--port", &mqtt_port(&hub), "--connection-string", &string]);
    let run = Run::of(command.args(["--retry-budget", "0s"]), &sandbox.path(""));
    assert_eq!(run.code, 1, "{run}");
    assert!(run.stderr.contains("--ca-file"), "{run}");
}

#[test]
fn two_hundred_in_one_process() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    sandbox.write(
        "fleet.yaml",
        "fleet: demo\nmissing: register\ndefaults: { desired: { power: 1 } }\ndevices: { 'press-{001..200}': {} }\n",
    );
    let _ = sandbox.on(&hub, ["apply", "fleet.yaml", "--yes"]).success();
    let port = mqtt_port(&hub);
    let common = ["device", "run", "--id", "press-{001..200}", "--once", "--ack", "--port", &port];
    let run = sandbox.on(&hub, common);
    assert_eq!((run.code, run.stdout.lines().count()), (0, 200), "{run}");
    assert!(run.stdout.lines().all(|line| line.ends_with("  desired 2  {\"power\":1}")), "{run}");
    assert!(
        run.stderr.ends_with("0 of 200 devices connected, 200 done; 0 patches received, 200 reports sent\n"),
        "{run}"
    );
    let count = "SELECT COUNT() AS n FROM devices WHERE properties.reported.power = 1";
    let rows = sandbox.on(&hub, ["query", count, "--format", "json"]).success();
    assert_eq!(serde_json::from_str::<Value>(&rows).expect("JSON"), json!([{"n": 200}]));

    // By the policy that may do nothing but connect, and with one that the hub does not let in.
    let disabled = json!({"deviceId": "press-002", "status": "disabled"});
    assert_eq!(hub.send("PUT", "/devices/press-002", Some("*"), Some(disabled)).status, 200);
    let mut command = sandbox.command(["device", "run", "--id", "press-{001..200}", "--count", "3", "--once"]);
    command.args(["--report", "by=policy", "--port", &port, "--ca-file", hub.ca_file()]);
    let run = Run::of(command.env("IOTHUB_CONNECTION_STRING", hub.connection_string("device")), &sandbox.path(""));
    assert_eq!(run.code, 5, "{run}");
    assert!(run.stderr.contains("2 done, 1 failed (not authorized: 1)"), "{run}");
    assert_eq!(hub.twin("press-003")["properties"]["reported"]["by"], "policy");
}

/// Ids may have what separates the parts of a connection string, and what shells and URLs have for something else.
#[test]
fn odd_ids() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    for id in ["a;b", ";", "a;;b=c;", "a=b,c", "it's", "a%3Bb", "a$b!(c)*@:.d?", "a;Hostname=b", "a#b", "a+b"] {
        let string = register(&sandbox, &hub, id);
        let run = Run::of(&mut device(&sandbox, &hub, &string, &["--once"]), &sandbox.path(""));
        assert_eq!(run.code, 0, "{id}: {run}");
        assert!(run.stdout.starts_with(&format!("{id}  desired 1  {{}}\n")), "{id}: {run}");
        let run = sandbox.on(&hub, ["hub", "device", "show", id]).success();
        let shown: Value = serde_json::from_str(&run).expect("JSON");
        assert_eq!(shown["connectionString"], string.as_str(), "{id}");
    }
    let run = sandbox.on(&hub, ["hub", "device", "add", "a;ModuleId=b"]);
    assert_eq!(run.code, 0, "{run}");
    assert!(run.stderr.contains("warning: a;ModuleId=b reads as several parts of a connection string"), "{run}");
}
