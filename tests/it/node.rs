//! Microsoft's device SDK for Node as a client of the embedded hub. It takes a port with the host name, over MQTT; over
//! WebSockets it is 443 always.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::python_device::{KEY, address_for, by_key, must_run, step};
use crate::support::{Hub, Sandbox, scrub};

fn here() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/node/device"))
}

/// Returns the folder of packages that has what the lock file says, made at the first call.
fn packages() -> &'static Path {
    static PACKAGES: OnceLock<PathBuf> = OnceLock::new();
    PACKAGES.get_or_init(|| {
        let lock = fs::read_to_string(here().join("package-lock.json")).expect("the lock file");
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("node-device-sdk");
        let (stamp, packages) = (folder.join("installed.json"), folder.join("node_modules"));
        if fs::read_to_string(&stamp).is_ok_and(|installed| installed == lock) {
            return packages;
        }
        fs::create_dir_all(&folder).expect("a folder");
        for file in ["package.json", "package-lock.json"] {
            fs::copy(here().join(file), folder.join(file)).expect(file);
        }
        must_run(Command::new("npm").args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]).current_dir(&folder));
        fs::write(&stamp, lock).expect("the stamp");
        packages
    })
}

/// Runs the device, plays its back end, and returns its steps with what the back end was answered.
fn steps(sandbox: &Sandbox, hub: &Hub, host: &str, transport: &str) -> Vec<Value> {
    let body = json!({ "deviceId": "node", "authentication": by_key() });
    assert_eq!(hub.send("PUT", "/devices/node", None, Some(body)).status, 200);
    let mut command = Command::new("node");
    command.arg(here().join("device.js")).arg(format!("HostName={host};DeviceId=node;SharedAccessKey={KEY}"));
    command.arg(hub.ca_file()).arg(transport);
    scrub(&mut command, &sandbox.path(""));
    command.env("NODE_PATH", packages());
    let mut child = command.stdout(Stdio::piped()).spawn().expect("the tests need Node");
    let mut steps = Vec::new();
    for line in BufReader::new(child.stdout.take().expect("a pipe")).lines() {
        let said: Value = serde_json::from_str(&line.expect("UTF-8")).expect("a line of JSON");
        let name = said["step"].as_str().unwrap_or_default().to_owned();
        steps.push(said);
        match name.as_str() {
            "listening" => hub.patch("node", json!({ "properties": { "desired": { "mode": "eco" } } })),
            "ready" => {
                let call = json!({ "methodName": "reboot", "payload": [1], "connectTimeoutInSeconds": 20 });
                let answer = hub.send("POST", "/twins/node/methods", None, Some(call));
                steps.push(step("method", json!([answer.status, answer.body])));
            }
            _ => {}
        }
    }
    assert!(child.wait().expect("an ended child").success(), "{steps:?}");
    steps
}

fn the_device() -> Vec<Value> {
    vec![
        step("open", json!(true)),
        step("twin", json!({ "desired": { "$version": 1 }, "reported": { "$version": 1 } })),
        step("reported", json!("taken")),
        step(
            "bad patch",
            json!(
                "properties.reported.a.b: the key holds '.', and the hub takes no `.`, `$`, `#`, space or control character in a key"
            ),
        ),
        step("listening", json!({ "$version": 1 })),
        step("patch", json!({ "mode": "eco", "$version": 2 })),
        step("ready", json!(true)),
        step("method", json!([200, { "status": 207, "payload": { "called": "reboot", "with": [1] } }])),
        step("telemetry", json!("acknowledged")),
        step("closed", json!(true)),
    ]
}

#[test]
fn a_device_over_mqtt() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    let address = hub.ready()["mqtt"].as_str().expect("an address").to_owned();
    assert_eq!(steps(&sandbox, &hub, &address, "mqtt"), the_device());
    assert_eq!(hub.twin("node")["properties"]["reported"]["connectivity"], "cellular");
}

/// Where this process may listen on port 443, which on most machines means as root.
#[test]
fn a_device_over_web_sockets() {
    let Some(address) = address_for(&[443]) else { return };
    let sandbox = Sandbox::new();
    let hub = Hub::start_at(&sandbox, &format!("{address}:443"), &["--mqtt", "127.0.0.1:0"]);
    assert_eq!(steps(&sandbox, &hub, &address.to_string(), "mqtt-ws"), the_device());
}
