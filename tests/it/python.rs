//! Microsoft's service SDK for Python as a client of the embedded hub.
//!
//! The tests install it themselves, in a virtual environment below the target folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::support::{Hub, Sandbox, client_runs, scrub};

fn here() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python"))
}

/// Returns the interpreter of a virtual environment that has what `requirements.txt` says, made at the first call.
fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let requirements = fs::read_to_string(here().join("requirements.txt")).expect("requirements.txt");
        client_runs("Python", sdks(&requirements));
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python-sdk");
        let python = folder.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
        let stamp = folder.join("installed.txt");
        if fs::read_to_string(&stamp).is_ok_and(|installed| installed == requirements) {
            return python;
        }
        let _ = fs::remove_dir_all(&folder);
        must_run(Command::new("python3").args(["-m", "venv"]).arg(&folder));
        must_run(
            Command::new(&python)
                .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"])
                .arg(here().join("requirements.txt")),
        );
        fs::write(&stamp, requirements).expect("the stamp");
        python
    })
}

/// Returns the SDKs among pinned requirements, each with its version.
pub(crate) fn sdks(requirements: &str) -> impl Iterator<Item = String> {
    requirements.lines().filter(|line| line.starts_with("azure-iot-")).map(|line| line.replace("==", " "))
}

fn must_run(command: &mut Command) {
    let output =
        command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; the tests need Python 3 with venv"));
    assert!(output.status.success(), "{command:?}:\n{}", String::from_utf8_lossy(&output.stderr));
}

/// Runs a script of `tests/python` against a hub, and returns its steps.
pub(crate) fn steps(sandbox: &Sandbox, hub: &Hub, script: &str, args: &[&str]) -> Vec<Value> {
    let mut command = Command::new(python());
    command.arg(here().join(script)).args(args);
    scrub(&mut command, &sandbox.path(""));
    command.env("IOTHUB_CONNECTION_STRING", hub.connection_string("iothubowner"));
    command.env("REQUESTS_CA_BUNDLE", hub.ca_file());
    let output = command.output().expect("the script starts");
    let stdout = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(output.status.success(), "{script}:\n{stdout}\n{}", String::from_utf8_lossy(&output.stderr));
    stdout.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

pub(crate) fn step(name: &str, value: Value) -> Value {
    json!({ "step": name, "value": value })
}

#[test]
fn the_back_end_program_of_the_article() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    hub.create("myDeviceId");
    let location = json!({ "location": { "region": "US", "plant": "Redmond43" } });
    assert_eq!(
        steps(&sandbox, &hub, "backend.py", &["myDeviceId"]),
        [
            step("fresh", json!({ "tags": null, "desired": {}, "version": 1 })),
            step(
                "updated",
                json!({ "tags": location, "desired": { "power_level": 1 }, "version": 2, "etag moved": true })
            ),
            step("plant", json!(["myDeviceId"])),
            step("plant on cellular", json!([])),
            step("stale etag", json!(412)),
            step("after the stale write", location),
        ]
    );
}

#[test]
fn each_call_of_the_registry_manager() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    assert_eq!(
        steps(&sandbox, &hub, "registry.py", &[]),
        [
            step("created", json!(["sdk-1", "enabled", "sas", "Disconnected"])),
            step("keys kept", json!(true)),
            step("created twice", json!([409, "DeviceAlreadyExists", "ErrorCode:DeviceAlreadyExists"])),
            step("keys generated", json!(32)),
            step("disabled", json!(["disabled", "spare part"])),
            step("x509", json!(["sdk#3", "selfSigned", "A".repeat(40)])),
            step("certificate authority", json!(["sdk+4-is-not-an-id", "certificateAuthority"])),
            step("updated", json!(["disabled", "repair", true])),
            step("x509 updated", json!(["disabled", "C".repeat(40)])),
            step("certificate authority updated", json!(["certificateAuthority", "checked"])),
            step("updated under a stale etag", json!([412, "PreconditionFailed", "ErrorCode:PreconditionFailed"])),
            step("get of nobody", json!([404, "DeviceNotFound", "ErrorCode:DeviceNotFound"])),
            step("twin of nobody", json!([404, "DeviceNotFound", "ErrorCode:DeviceNotFound"])),
            step("listed", json!(["sdk#3", "sdk+4-is-not-an-id", "sdk-1", "sdk-2"])),
            step("listed two", json!(2)),
            step("statistics", json!([4, 2, 2])),
            step("connected", json!(0)),
            step("merged", json!([{ "a": 1, "b": { "c": 2 } }, [1, 2]])),
            step("null removes", json!({ "a": 1, "b": {} })),
            step("replaced", json!([{ "z": true }, { "y": "é" }])),
            step("key with a dot", json!([400, "ArgumentInvalid", "ErrorCode:ArgumentInvalid"])),
            step("text too long", json!([400, "ArgumentInvalid", "ErrorCode:ArgumentInvalid"])),
            step("pages", json!([["Twin", 3], ["Twin", 1]])),
            step("count", json!(["Raw", [{ "n": 2 }]])),
            step("no query", json!([400, "ArgumentInvalid", "ErrorCode:ArgumentInvalid"])),
            step("deleted under a stale etag", json!([412, "PreconditionFailed", "ErrorCode:PreconditionFailed"])),
            step("left", json!(["sdk#3", "sdk+4-is-not-an-id"])),
        ]
    );
}
