//! Microsoft's SDKs for Java as clients of the embedded hub: the service's, and the device's over MQTT and over WebSockets.
//!
//! The tests build their programs with Maven, whose downloads stay below the target folder. The service's SDK connects to
//! port 443 and the device's to port 8883, so that each hub takes an address of the loopback network for itself.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::python_device::{NO_443, address_for, at, step};
use crate::support::{Hub, Sandbox, client_is_absent, client_runs, not_run, scrub};

fn here() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/java"))
}

/// Returns the class path of the programs, built at the first call; `None` if there is no Maven with a JDK.
fn class_path() -> Option<&'static str> {
    static CLASS_PATH: OnceLock<Option<String>> = OnceLock::new();
    CLASS_PATH
        .get_or_init(|| {
            let starts =
                |tool: &str| Command::new(tool).arg("--version").output().is_ok_and(|run| run.status.success());
            if !(starts("mvn") && starts("java") && starts("javac")) {
                client_is_absent("Java", "there is no Maven with a JDK");
                return None;
            }
            Some(build())
        })
        .as_deref()
}

/// Builds the programs unless they were built from the same sources before, and returns their class path.
fn build() -> String {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("java-sdks");
    let (stamp, dependencies) = (folder.join("built.txt"), folder.join("dependencies.txt"));
    let mut files = vec![PathBuf::from("pom.xml")];
    let sources = fs::read_dir(here().join("src/main/java")).expect("the sources");
    files.extend(sources.map(|entry| Path::new("src/main/java").join(entry.expect("an entry").file_name())));
    files.sort();
    let texts = files.iter().map(|file| fs::read_to_string(here().join(file)).expect("a source"));
    let wanted = texts.collect::<Vec<_>>().join("\0");
    if fs::read_to_string(&stamp).is_ok_and(|built| built == wanted) {
        return class_path_of(&folder, &dependencies);
    }
    for made in ["src", "target"] {
        let _ = fs::remove_dir_all(folder.join(made));
    }
    fs::create_dir_all(folder.join("src/main/java")).expect("a folder");
    for file in &files {
        fs::copy(here().join(file), folder.join(file)).expect("a copy");
    }
    let maven = |more: &[&str]| {
        let mut command = Command::new("mvn");
        command.args(["--batch-mode", "--quiet"]).args(more).current_dir(&folder);
        command.arg(format!("-Dmaven.repo.local={}", folder.join("repository").display()));
        command.args(["-Dmdep.outputFile=dependencies.txt", "compiler:compile", "dependency:build-classpath"]);
        command.output().expect("Maven starts")
    };
    // What was downloaded before is enough, most of the time.
    if !maven(&["--offline"]).status.success() {
        let output = maven(&[]);
        assert!(output.status.success(), "mvn:\n{}", String::from_utf8_lossy(&output.stdout));
    }
    fs::write(&stamp, wanted).expect("the stamp");
    class_path_of(&folder, &dependencies)
}

fn class_path_of(folder: &Path, dependencies: &Path) -> String {
    let jars = fs::read_to_string(dependencies).expect("the class path");
    format!("{}:{}", folder.join("target/classes").display(), jars.trim())
}

/// Returns the SDKs that `pom.xml` names, each with its version.
fn sdks() -> Vec<String> {
    let pom = fs::read_to_string(here().join("pom.xml")).expect("pom.xml");
    let value = |dependency: &str, tag: &str| -> String {
        let after = dependency.split(&format!("<{tag}>")).nth(1).expect(tag);
        after.split('<').next().unwrap_or_default().to_owned()
    };
    let dependencies = pom.split("<dependency>").skip(1).filter(|each| each.contains("com.microsoft.azure"));
    dependencies.map(|each| format!("{} {}", value(each, "artifactId"), value(each, "version"))).collect()
}

/// Returns a store with the hub's certificate authority, which Java trusts instead of its own.
fn trust_store(sandbox: &Sandbox, hub: &Hub) -> PathBuf {
    let store = sandbox.path("trust.p12");
    let mut command = Command::new("keytool");
    command.args(["-importcert", "-noprompt", "-alias", "hub", "-storepass", "changeit", "-file"]);
    let output = command.arg(hub.ca_file()).arg("-keystore").arg(&store).output().expect("keytool comes with Java");
    assert!(output.status.success(), "keytool:\n{}", String::from_utf8_lossy(&output.stdout));
    store
}

/// Runs a program against a hub of its own, and returns its steps; `None` if this machine cannot run it.
fn steps(program: &str, args: &[&str]) -> Option<Vec<Value>> {
    let class_path = class_path()?;
    let Some(address) = address_for(&[443, 8883, 5671]) else {
        not_run(NO_443);
        return None;
    };
    client_runs("Java", sdks());
    let sandbox = Sandbox::new();
    let hub =
        Hub::start_with(&sandbox, |hub| hub.https(at(address, 443)).mqtt(at(address, 8883)).amqp(at(address, 5671)));
    let mut command = Command::new("java");
    command.arg(format!("-Djavax.net.ssl.trustStore={}", trust_store(&sandbox, &hub).display()));
    command.args(["-Djavax.net.ssl.trustStorePassword=changeit", "-cp", class_path, program]);
    command.arg(hub.connection_string("iothubowner")).args(args);
    scrub(&mut command, &sandbox.path(""));
    let output = command.output().expect("the program starts");
    let stdout = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(output.status.success(), "{program}:\n{stdout}\n{}", String::from_utf8_lossy(&output.stderr));
    Some(stdout.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect())
}

#[test]
fn a_back_end() {
    let Some(found) = steps("BackEnd", &[]) else { return };
    let patched = json!([{ "location": { "plant": "Redmond43" } }, { "mode": "eco", "power_level": 1 }]);
    let replaced = json!([{ "plant": "Redmond44" }, { "speed": 2.5 }]);
    let stale = json!(["IotHubPreconditionFailedException", 412, "PreconditionFailed"]);
    let nobody = json!(["IotHubNotFoundException", 404, "NotFound"]);
    let expected = [
        step("added", json!(["java-1", "Enabled", "sas", "Disconnected"])),
        step("keys kept", json!(true)),
        step("added twice", json!(["IotHubConflictException", 409, "Conflict"])),
        step("x509", json!(["selfSigned", "A".repeat(40), "Disabled"])),
        step("updated", json!("Enabled")),
        step("certificate authority", json!("certificateAuthority")),
        step("get of nobody", nobody.clone()),
        step("statistics", json!(3)),
        step("module added", json!(["java-1", "m-1", "sas", 16])),
        step("module added twice", json!(["IotHubConflictException", 409_301, "ModuleAlreadyExistsOnDevice"])),
        step("modules", json!(["m-1", "m-2"])),
        step("module of nobody", json!(["IotHubNotFoundException", 404_010, "ModuleNotFound"])),
        step("fresh twin", json!(["java-1", {}])),
        step("patched", patched),
        step("moved", json!([true, 1])),
        step("patch under a stale etag", stale.clone()),
        step("null removes", json!([{ "location": { "plant": "Redmond43" } }, { "power_level": 1 }])),
        step("replaced", replaced.clone()),
        step("replacement under a stale etag", stale),
        step("after the stale writes", replaced.clone()),
        step("text too long", json!(["IotHubBadFormatException", 400, "BadFormat"])),
        step("module twin", json!([{}, { "interval": 5 }])),
        step("twin of nobody", nobody.clone()),
        step("by plant", json!([replaced])),
        step("in pages of two", json!(["java-1", "java-2", "java-3"])),
        step("modules by query", json!("m-1")),
        step("count", json!("{\"n\":1}")),
        step("query over nowhere", json!(["IotHubBadFormatException", 400, "BadFormat"])),
        step("twin of a deleted device", nobody),
    ];
    assert_eq!(found, expected);
}

/// What `Devices.java` comes to, whichever way it connects: a device, one of its modules, and a device with another's key.
fn the_devices() -> Vec<Value> {
    let session = |messages: Option<Value>| {
        let before = [
            step("open", json!("Connected")),
            step("twin", json!([[{}, 1], [{}, 1]])),
            step("reported", json!(["204", 2])),
            step("report on an old version", json!(["412", null])),
            step("seen by the back end", json!({ "network": { "rssi": -71, "kind": "cellular" } })),
            step("patch", json!([{ "mode": "eco" }, 2])),
            step("patch that removes", json!([{ "mode": null }, 3])),
            step("replacement", json!([{ "speed": 2 }, 4])),
            step("method", json!([207, { "called": "reboot", "with": { "delay": 5 } }])),
        ];
        let after = [step("telemetry", json!("acknowledged")), step("closed", json!(true))];
        before.into_iter().chain(messages).chain(after).collect::<Vec<_>>()
    };
    let device = session(Some(step("message", json!("wake up"))));
    [device, session(None), vec![step("wrong key", json!("UNAUTHORIZED"))]].concat()
}

#[test]
fn a_device_and_a_module_over_mqtt() {
    let Some(found) = steps("Devices", &["MQTT"]) else { return };
    assert_eq!(found, the_devices());
}

#[test]
fn a_device_and_a_module_over_web_sockets() {
    let Some(found) = steps("Devices", &["MQTT_WS"]) else { return };
    assert_eq!(found, the_devices());
}
