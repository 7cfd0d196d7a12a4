//! Messages from the cloud, by Microsoft's SDKs for Python and Node: the services' over AMQP, the devices' over MQTT.
//!
//! The services' SDKs connect to port 5671, or 443 over WebSockets, and cannot be told another one.

use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::device_run::{Running, device, register};
use crate::node;
use crate::python_device::{self, KEY, NO_443, address_for, at, by_key, step};
use crate::python_entra::{ISSUER, token};
use crate::support::{Hub, Sandbox, not_run, scrub};

/// Runs a command with what both SDKs need, and returns its steps.
fn steps(sandbox: &Sandbox, hub: &Hub, command: &mut Command, more: &[(&str, &str)]) -> Vec<Value> {
    scrub(command, &sandbox.path(""));
    command.env("IOTHUB_CONNECTION_STRING", hub.connection_string("iothubowner"));
    command.env("DEVICE_POLICY_CONNECTION_STRING", hub.connection_string("device"));
    command.envs(more.iter().copied());
    let output = command.output().expect("the program starts");
    let stdout = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(output.status.success(), "{stdout}\n{}", String::from_utf8_lossy(&output.stderr));
    stdout.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

fn tests(file: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(file)
}

/// Sends by Python's SDK, one way or the other.
fn by_python(way: &str) {
    let Some(address) = address_for(&[443, 5671, 8883]) else { return not_run(NO_443) };
    let sandbox = Sandbox::new();
    let hub =
        Hub::start_with(&sandbox, |hub| hub.https(at(address, 443)).mqtt(at(address, 8883)).amqp(at(address, 5671)));
    assert_eq!(hub.ready()["amqp"], format!("{address}:5671"));
    let body = json!({ "deviceId": "myDeviceId", "authentication": by_key() });
    assert_eq!(hub.send("PUT", "/devices/myDeviceId", None, Some(body)).status, 200);
    let device = format!("HostName={address};DeviceId=myDeviceId;SharedAccessKey={KEY}");
    let service = hub.token("service");
    let mut command = Command::new(python_device::python());
    command.arg(tests("python/messages.py")).arg(address.to_string()).arg(way);
    let more = [
        ("DEVICE_CONNECTION_STRING", device.as_str()),
        ("SERVICE_TOKEN", service.as_str()),
        ("DEVICE_CA_FILE", hub.ca_file()),
        ("REQUESTS_CA_BUNDLE", hub.ca_file()),
    ];
    let failure = json!("Exception: C2D message send failure");
    assert_eq!(
        steps(&sandbox, &hub, &mut command, &more),
        [
            step("waiting", json!(1)),
            step("received", json!(["while it is away", "m-1", null, null, null, null, {}])),
            step(
                "with properties",
                json!([
                    "{\"speed\": 2}", "m/2", "c 2", "application/json", "utf-8", "full",
                    { "empty": "", "line": "a&b=c/d é" }
                ])
            ),
            step("left", json!(0)),
            step("expired", json!(1)),
            step("after it came back", json!("in time")),
            step("one too many", failure.clone()),
            step("purged", json!([50, 0, 0])),
            step("to nobody", failure.clone()),
            step("too large", failure),
            step("feedback", json!([["m/2", "Success", "myDeviceId"]])),
            step("its type", json!("application/vnd.microsoft.iothub.feedback.json")),
            step("by another policy", json!("TokenAuthFailure: CBS Token authentication failed.")),
        ]
    );
}

#[test]
fn by_python_over_amqp() {
    by_python("amqp");
}

#[test]
fn by_python_over_web_sockets() {
    by_python("websocket");
}

/// Sends by Node's SDK, one way or the other.
fn by_node(way: &str) {
    let Some(packages) = node::packages() else { return };
    let Some(address) = address_for(&[443, 5671]) else { return not_run(NO_443) };
    let sandbox = Sandbox::new();
    let hub = Hub::start_with(&sandbox, |hub| hub.https(at(address, 443)).mqtt(at(address, 0)).amqp(at(address, 5671)));
    let mut command = Command::new("node");
    command.arg(tests("node/messages.js")).arg(hub.ready()["mqtt"].as_str().expect("an address")).arg(way);
    let packages = packages.to_str().expect("a path in UTF-8");
    let more = [("NODE_EXTRA_CA_CERTS", hub.ca_file()), ("NODE_PATH", packages)];
    let feedback = "application/vnd.microsoft.iothub.feedback.json";
    assert_eq!(
        steps(&sandbox, &hub, &mut command, &more),
        [
            step("open", json!(true)),
            step("waiting", json!(1)),
            // The SDK knows no `ack` of messages that come.
            step("received", json!(["while it is away", "m-1", "", null, null, { "iothub-ack": "full" }])),
            step(
                "with properties",
                json!([
                    "{\"speed\":2}", "m/2", "9f3c6a1e-3b61-4b0e-9a55-0e3f1c7d2b11", "application/json", "utf-8",
                    { "line": "a&b=c/d é" }
                ])
            ),
            step("feedback", json!([["m-1", "Success", "node", feedback], ["m-3", "Expired", "node", feedback]])),
            step("one too many", json!(["DeviceMaximumQueueDepthExceededError", "amqp:resource-limit-exceeded"])),
            step("to nobody", json!(["DeviceNotFoundError", "amqp:not-found"])),
            step("too large", json!(["MessageTooLargeError", "amqp:link:message-size-exceeded"])),
            step("closed", json!(true)),
            step("file notifications", json!("amqp:not-implemented")),
            step("by another policy", json!(["Error", "UnauthorizedError"])),
        ]
    );
}

#[test]
fn by_node_over_amqp() {
    by_node("amqp");
}

#[test]
fn by_node_over_web_sockets() {
    by_node("amqp-ws");
}

/// The program that sends so many messages to the device `d`.
fn sender(sandbox: &Sandbox, hub: &Hub, count: usize, properties: &Value) -> Command {
    let mut command = Command::new(python_device::python());
    command.arg(tests("python/send.py")).args(["d", &count.to_string(), &properties.to_string()]);
    scrub(&mut command, &sandbox.path(""));
    command.env("IOTHUB_CONNECTION_STRING", hub.connection_string("iothubowner"));
    command.env("REQUESTS_CA_BUNDLE", hub.ca_file());
    command
}

/// A hub at an address of its own, on the ports that SDKs look for.
fn hub_at(sandbox: &Sandbox, address: Ipv4Addr) -> Hub {
    Hub::serve_at(sandbox, &format!("{address}:0"), &["--amqp", &format!("{address}:5671")])
}

#[test]
fn a_simulated_device_prints_them() {
    let address = address_for(&[5671]).expect("5671 is nobody's privilege");
    let sandbox = Sandbox::new();
    let hub = hub_at(&sandbox, address);
    let string = register(&sandbox, &hub, "d");
    let mut running = Running::start(&sandbox, device(&sandbox, &hub, &string, &[]));
    running.wait_for("err", "d is connected");
    let sent = sender(&sandbox, &hub, 2, &json!({ "messageId": "m-1", "line": "7" })).status().expect("it starts");
    assert!(sent.success());
    running.wait_for("out", "{\"n\":1}");
    let (code, out) = running.stop("-INT");
    let message = |n: usize| format!("d  message m-1  {{\"n\":{n}}}  {{\"line\":\"7\"}}\n");
    assert_eq!((code, out), (0, format!("d  desired 1  {{}}\n{}{}", message(0), message(1))));
    assert_eq!(waiting(&hub), 0, "what was printed is completed");
}

#[test]
fn by_entra_tokens() {
    let address = address_for(&[5671]).expect("5671 is nobody's privilege");
    let sandbox = Sandbox::new();
    let hub = Hub::start_with(&sandbox, |hub| hub.https(at(address, 0)).amqp(at(address, 5671)).entra_issuer(ISSUER));
    hub.create("d");
    for (role, sends) in [("IoT Hub Data Contributor", true), ("IoT Hub Data Reader", false)] {
        let mut command = sender(&sandbox, &hub, 1, &json!({}));
        let output = command.env("ENTRA_TOKEN", token(role)).output().expect("it starts");
        assert_eq!(output.status.success(), sends, "{role}: {}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(waiting(&hub), 1, "{role}");
    }
}

/// How many messages wait for the device `d`.
fn waiting(hub: &Hub) -> u64 {
    let answer = hub.send("GET", "/devices/d", None, None);
    answer.body["cloudToDeviceMessageCount"].as_u64().expect("a count")
}

/// Killed, not stopped: what was taken is there.
#[test]
fn messages_outlive_their_hub() {
    let address = address_for(&[5671]).expect("5671 is nobody's privilege");
    let sandbox = Sandbox::new();
    let mut hub = hub_at(&sandbox, address);
    hub.create("d");
    for kill_after in [1, 7, 20] {
        let mut sending = sender(&sandbox, &hub, 50, &json!({ "iothub-ack": "full" }));
        // The SDK prints what it thinks of a hub that dies.
        let mut child = sending.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
        let mut said = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        for _ in 0..kill_after {
            said.next().expect("a message is taken").expect("UTF-8");
        }
        hub.kill();
        // What it says from here on it was told before the kill, for the SDK would try for ever.
        std::thread::sleep(Duration::from_millis(200));
        let _ = child.kill();
        let _ = child.wait();
        let taken = kill_after + said.count() as u64;
        hub = hub_at(&sandbox, address);
        let found = waiting(&hub);
        // One more may have been taken whose answer was cut off.
        assert!(found == taken || found == taken + 1, "{found} are there, and {taken} were taken");
        let purged = hub.send("DELETE", "/devices/d/commands", None, None);
        assert_eq!(purged.body["totalMessagesPurged"], found);
    }
}
