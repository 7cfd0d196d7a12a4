//! Microsoft's SDKs for Node as clients of the embedded hub: the service's, and the device's over MQTT and over WebSockets.
//!
//! The tests install them themselves, below the target folder. The device's SDK takes a port with the host name, over MQTT;
//! HTTPS and WebSockets are at port 443 always, so that each hub takes an address of the loopback network for itself.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Value, json};

use crate::azurite::Azurite;
use crate::python_device::{KEY, NO_443, address_for, at, by_key, step};
use crate::support::{Hub, Sandbox, client_runs, not_run, packages_of, scrub};

pub(crate) fn here() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/node"))
}

/// Returns the folder of packages that has what the lock file says, made at the first call; none where there is no Node.
pub(crate) fn packages() -> Option<&'static Path> {
    static PACKAGES: OnceLock<Option<PathBuf>> = OnceLock::new();
    PACKAGES
        .get_or_init(|| {
            let packages = packages_of(here(), "node-sdks")?;
            client_runs("Node", sdks());
            Some(packages)
        })
        .as_deref()
}

/// Returns the SDKs that `package.json` names, each with its version.
fn sdks() -> Vec<String> {
    let package = std::fs::read_to_string(here().join("package.json")).expect("package.json");
    let package: Value = serde_json::from_str(&package).expect("JSON");
    let dependencies = package["dependencies"].as_object().expect("the dependencies");
    dependencies.iter().map(|(name, version)| format!("{name} {}", version.as_str().unwrap_or_default())).collect()
}

/// Runs the device, plays its back end, and returns its steps with what the back end was answered.
fn device_steps(sandbox: &Sandbox, hub: &Hub, host: &str, transport: &str, packages: &Path) -> Vec<Value> {
    let body = json!({ "deviceId": "node", "authentication": by_key() });
    assert_eq!(hub.send("PUT", "/devices/node", None, Some(body)).status, 200);
    let mut command = Command::new("node");
    command.arg(here().join("device.js")).arg(format!("HostName={host};DeviceId=node;SharedAccessKey={KEY}"));
    command.arg(hub.ca_file()).arg(transport);
    scrub(&mut command, &sandbox.path(""));
    command.env("NODE_PATH", packages);
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
    let Some(packages) = packages() else { return };
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    let address = hub.ready()["mqtt"].as_str().expect("an address").to_owned();
    assert_eq!(device_steps(&sandbox, &hub, &address, "mqtt", packages), the_device());
    assert_eq!(hub.twin("node")["properties"]["reported"]["connectivity"], "cellular");
}

#[test]
fn a_device_over_web_sockets() {
    let Some(packages) = packages() else { return };
    let Some(address) = address_for(&[443]) else { return not_run(NO_443) };
    let sandbox = Sandbox::new();
    let hub = Hub::start_with(&sandbox, |hub| hub.https(at(address, 443)));
    assert_eq!(device_steps(&sandbox, &hub, &address.to_string(), "mqtt-ws", packages), the_device());
}

/// Runs the back end, and returns its steps.
fn service_steps(sandbox: &Sandbox, hub: &Hub, container: &str, packages: &Path) -> Vec<Value> {
    let mut command = Command::new("node");
    let mqtt = hub.ready()["mqtt"].as_str().expect("an address");
    command.arg(here().join("service.js")).args([mqtt, container]);
    scrub(&mut command, &sandbox.path(""));
    command.env("IOTHUB_CONNECTION_STRING", hub.connection_string("iothubowner"));
    command.env("NODE_EXTRA_CA_CERTS", hub.ca_file()).env("NODE_PATH", packages);
    let output = command.output().expect("the script starts");
    let stdout = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(output.status.success(), "{stdout}\n{}", String::from_utf8_lossy(&output.stderr));
    stdout.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

#[test]
fn each_call_of_the_service_clients() {
    let Some(packages) = packages() else { return };
    let Some(address) = address_for(&[443]) else { return not_run(NO_443) };
    let sandbox = Sandbox::new();
    let Some(azurite) = Azurite::start(&sandbox) else { return };
    let hub = Hub::start_with(&sandbox, |hub| {
        let hub = hub.https(at(address, 443)).mqtt(at(address, 0)).amqp(at(address, 5671));
        hub.evaluate_configurations(Duration::from_millis(100))
    });
    let container = azurite.container("registry", &hub.new_client());
    let found = service_steps(&sandbox, &hub, &container, packages);
    assert_eq!(found, the_service());
}

fn the_service() -> Vec<Value> {
    vec![
        step("created", json!(["node-1", "enabled", "sas", "Disconnected"])),
        step("keys kept", json!(true)),
        step("created twice", json!(["DeviceAlreadyExistsError", 409, "DeviceAlreadyExists"])),
        step("keys generated", json!(32)),
        step("x509", json!(["node-3!'()*", "selfSigned", "A".repeat(40)])),
        step("found", json!(["node#2", "disabled", "spare part", true])),
        step("get of nobody", json!(["DeviceNotFoundError", 404, "DeviceNotFound"])),
        step("updated", json!(["enabled", "repaired", true])),
        step("update of nobody", json!(["DeviceNotFoundError", 404, "DeviceNotFound"])),
        step("listed", json!(["node-1", "node#2", "node-3!'()*"])),
        step("statistics", json!([3, 3, 0])),
        step("deleted twice", json!(["DeviceNotFoundError", 404, "DeviceNotFound"])),
        step("bulk add", json!([true, 0, 0])),
        step("bulk add twice", json!(["ArgumentError", 400, "BulkRegistryOperationFailure"])),
        step("the other one is there", json!("bulk-3")),
        step("bulk update", json!([true, 0, 0])),
        step("updated in bulk", json!(["disabled", "bulk"])),
        step("bulk update under the etag", json!([true, 0, 0])),
        step("bulk update under a stale etag", json!(["ArgumentError", 400, "BulkRegistryOperationFailure"])),
        step("bulk remove under a stale etag", json!(["ArgumentError", 400, "BulkRegistryOperationFailure"])),
        step("bulk remove", json!([true, 0, 0])),
        step("left", json!(["node-1", "node#2"])),
        step("fresh twin", json!(["node-1", "AAAAAAAAAAE=", {}, {}])),
        step("twin.update", json!([{"floor": {"hall": 1}, "plant": "A"}, {"levels": [1, 2], "mode": "eco"}, 2, true])),
        step("nulls remove", json!([{"plant": "A"}, {"mode": "eco"}])),
        step("twin.get", json!([{"plant": "A"}, 3])),
        step("twin of nobody", json!(["DeviceNotFoundError", 404, "DeviceNotFound"])),
        step("stale etag", json!(["InvalidEtagError", 412, "PreconditionFailed"])),
        step("key with a dot", json!(["ArgumentError", 400, "ArgumentInvalid"])),
        step("under any etag", json!(["node#2", {"plant": "A"}])),
        step("a patch as text", json!({"line": 7, "plant": "A"})),
        step("module added", json!(["node-1", "m-1", "somebody", "sas"])),
        step("module added twice", json!(["DeviceAlreadyExistsError", 409, "ModuleAlreadyExistsOnDevice"])),
        step("modules", json!(["m-1", "m-2"])),
        step("module", json!(["m-1", true])),
        step("module of nobody", json!(["Error", 404, "ModuleNotFound"])),
        step("module updated", json!(["another", true])),
        step("module updated under a stale etag", json!(["InvalidEtagError", 412, "PreconditionFailed"])),
        step("module updated by force", json!("x")),
        step("module twin", json!(["node-1", "m-1", {}])),
        step("module twin.update", json!([{"interval": 5}, 2])),
        step("updateModuleTwin", json!({"kind": "probe"})),
        step("module twin under a stale etag", json!(["InvalidEtagError", 412, "PreconditionFailed"])),
        step("module twin of nobody", json!(["DeviceNotFoundError", 404, "DeviceNotFound"])),
        step("modules by query", json!([["node-1", "m-1"]])),
        step("module removed under a stale etag", json!(["InvalidEtagError", 412, "PreconditionFailed"])),
        step("modules left", json!([])),
        step("pages", json!([["node-1"], ["node#2"]])),
        step("where", json!([["node-1", "node#2"]])),
        step("nobody", json!([[]])),
        step("written after a query", json!(true)),
        step("count", json!([{"n": 2}])),
        step("item type", json!("Raw")),
        step("no query", json!(["ArgumentError", 400, "ArgumentInvalid"])),
        step(
            "configuration added",
            json!(["node-eco", 10, "tags.plant = 'A'", {"deviceContent": {"properties.desired.eco": {"level": 3}}}]),
        ),
        step("configuration added twice", json!(["DeviceAlreadyExistsError", 409, "ConfigurationAlreadyExists"])),
        step("configuration of tags", json!(["ArgumentError", 400, "InvalidConfigurationContent"])),
        step("configuration", json!([{"appliedCount": 2, "targetedCount": 2}, {"eco": 2}, {"by": "node"}])),
        step("configured", json!({"level": 3})),
        step("configurations", json!(["node-eco"])),
        step("configuration updated", json!([20, true])),
        step("configuration updated under a stale etag", json!(["InvalidEtagError", 412, "PreconditionFailed"])),
        step("configuration updated by force", json!(30)),
        step("configuration of nobody", json!(["Error", 404, "ConfigurationNotFound"])),
        step("configurations left", json!([])),
        step("content applied", json!(5)),
        step("modules made", json!(["$edgeAgent", "$edgeHub", "probe"])),
        step("content on no edge device", json!(["ArgumentError", 400, "ArgumentInvalid"])),
        step("digital twin", json!(["gw", {"$model": "", "speed": {"desiredValue": 3, "desiredVersion": 2}}])),
        step("job", json!(["node-job-1", "scheduleUpdateTwin", true])),
        step(
            "job over",
            json!(["completed", {"deviceCount": 2, "failedCount": 0, "pendingCount": 0, "runningCount": 0, "succeededCount": 2}]),
        ),
        step("twin after the job", json!([1, 9])),
        step("job twice", json!(["DeviceAlreadyExistsError", 409, "JobAlreadyExists"])),
        step(
            "device jobs",
            json!([["node-1", "scheduleUpdateTwin", "completed"], ["node#2", "scheduleUpdateTwin", "completed"]]),
        ),
        step("job to come", json!("scheduled")),
        step("cancelled", json!("node-job-2")),
        step("job cancelled", json!("cancelled")),
        step("cancelled twice", json!(["Error", 405, "OperationNotAllowedInCurrentState"])),
        step("cancel of nobody", json!(["Error", 404, "JobNotFound"])),
        step("job of nobody", json!("unknown")),
        step("jobs", json!(["node-job-1", "node-job-2"])),
        step("completed jobs", json!(["node-job-1"])),
        step("jobs one by one", json!(["node-job-1", "node-job-2"])),
        step("method without a device", json!(["Error", 404, "DeviceNotOnline"])),
        step("method", json!({"payload": {"called": "reboot", "with": {"delay": 5}}, "status": 207})),
        step(
            "method by a job",
            json!(["scheduleDeviceMethod", "completed", {"deviceCount": 1, "failedCount": 0, "pendingCount": 0, "runningCount": 0, "succeededCount": 1}]),
        ),
        step(
            "its outcome",
            json!([["node-1", "completed", {"deviceMethodResponse": {"payload": {"called": "reboot", "with": {"delay": 5}}, "status": 207}}]]),
        ),
        step("export", json!(["export", true])),
        step("exported", json!("completed")),
        step("imported", json!("completed")),
        step("back again", json!(["node-1", "node#2"])),
        step("transfers", json!([["export", "completed"], ["import", "completed"]])),
        step("transfer of nobody", json!(["Error", 404, "JobNotFound"])),
        step("cancel of a transfer that is over", json!(["Error", 405, "OperationNotAllowedInCurrentState"])),
        step("export by identity", json!(["ArgumentError", 400, "ArgumentInvalid"])),
    ]
}
