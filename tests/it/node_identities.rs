//! Microsoft's SDKs for Node with Entra tokens, certificates and modules, and where the hub throttles a device.

use std::process::Command;

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::node::{here, packages};
use crate::python_device::{KEY, NO_443, address_for, at, by_key, step};
use crate::python_entra::{ISSUER, token};
use crate::support::{Hub, Sandbox, not_run, scrub};

/// What the device named `busy` meets, one after the other.
const FAULTS: &str = "MQTT /devices/busy/twin/patch 429 first 1; MQTT /devices/busy/twin/patch 502 first 1";

#[test]
fn whoever_proves_it_in_another_way() {
    let Some(packages) = packages() else { return };
    let Some(address) = address_for(&[443]) else { return not_run(NO_443) };
    let sandbox = Sandbox::new();
    let hub = Hub::start_with(&sandbox, |hub| {
        hub.https(at(address, 443)).mqtt(at(address, 0)).amqp(at(address, 5671)).entra_issuer(ISSUER).faults(FAULTS)
    });
    let key = rcgen::KeyPair::generate().expect("a key");
    let certificate = rcgen::CertificateParams::default().self_signed(&key).expect("a certificate");
    sandbox.write("device.pem", &certificate.pem());
    sandbox.write("device-key.pem", &key.serialize_pem());
    sandbox.write("ca.pem", &std::fs::read_to_string(hub.ca_file()).expect("the authority"));
    let thumbprint: String = Sha256::digest(certificate.der()).iter().map(|byte| format!("{byte:02x}")).collect();
    let by_certificate = json!({ "type": "selfSigned", "x509Thumbprint": { "primaryThumbprint": thumbprint } });
    for (path, body) in [
        ("/devices/node-x509", json!({ "deviceId": "node-x509", "authentication": by_certificate })),
        (
            "/devices/node-x509/modules/m",
            json!({ "deviceId": "node-x509", "moduleId": "m", "authentication": by_key() }),
        ),
        ("/devices/busy", json!({ "deviceId": "busy", "authentication": by_key() })),
    ] {
        assert_eq!(hub.send("PUT", path, None, Some(body)).status, 200);
    }

    let mut command = Command::new("node");
    command.arg(here().join("identities.js"));
    command.args([&address.to_string(), &token("IoT Hub Twin Contributor")]);
    command.args([hub.ready()["mqtt"].as_str().expect("an address"), KEY]).arg(sandbox.path(""));
    scrub(&mut command, &sandbox.path(""));
    command.env("NODE_EXTRA_CA_CERTS", hub.ca_file()).env("NODE_PATH", packages);
    let output = command.output().expect("the script starts");
    let stdout = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(output.status.success(), "{stdout}\n{}", String::from_utf8_lossy(&output.stderr));
    let steps: Vec<serde_json::Value> =
        stdout.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    assert_eq!(
        steps,
        [
            step("entra", json!("node-x509")),
            step("identity", json!("UnauthorizedError")),
            step("certificate", json!("taken")),
            step("module", json!([1, "taken"])),
            step(
                "throttled",
                json!("The request has been throttled. Wait 10 seconds and try again. Operation type: TwinUpdate"),
            ),
            step("failed", json!("the embedded hub was asked to fail")),
            step("then", json!("taken")),
        ]
    );
    let reported = |path: &str| hub.twin(path)["properties"]["reported"].clone();
    assert_eq!(reported("node-x509")["by"], "certificate");
    assert_eq!(reported("node-x509/modules/m")["by"], "module");
    assert_eq!(reported("busy")["n"], 3);
}
