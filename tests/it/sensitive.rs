//! Secrets in twins: written to the hub, and to nothing else.

use std::fs;

use base64::Engine;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::{Hub, Run, Sandbox, snapshot};

/// The secrets that are planted, before and after they are rotated.
const OLD: &str = "hunter2-\"old\"";
const NEW: &str = "hunter2-\"new\"";
const FOUND: &str = "hunter2-\"found\"";

const FLEET: &str = "\
fleet: demo
missing: register
sensitive: [desired.wifi.psk, tags.token]
defaults:
  tags: { plant: Oslo }
  desired: { wifi: { ssid: plant, psk: \"${env.PSK}\" } }
devices:
  d1: {}
  d2: { desired: { wifi: { psk: \"${env.PSK}\" } }, tags: { token: \"${env.PSK}\" } }
checks:
  - { name: 'every device has a key', query: \"SELECT deviceId, properties.desired.wifi.psk FROM devices\", expect: none, severity: warn, within: 1ms }
  - { name: 'whole twins', query: \"SELECT * FROM devices\", expect: none, severity: warn, within: 1ms }
";

/// Fails if any of the secrets is in it, as it is, as JSON has it, as base64, or as the hash in an ownership record.
fn assert_clean(what: &str, text: &str) {
    for secret in [OLD, NEW, FOUND] {
        let json = Value::from(secret).to_string();
        let hash = Sha256::digest(json.as_bytes());
        let encoded = |text: &str| base64::engine::general_purpose::STANDARD_NO_PAD.encode(text);
        for spelling in [
            secret.to_owned(),
            json.trim_matches('"').to_owned(),
            "hunter2".to_owned(),
            encoded(secret),
            encoded(&json),
            format!("psk={:02x}{:02x}", hash[0], hash[1]),
            format!("token={:02x}{:02x}", hash[0], hash[1]),
        ] {
            assert!(!text.contains(&spelling), "{what} has {spelling}:\n{text}");
        }
    }
}

fn run(sandbox: &Sandbox, hub: &Hub, secret: &str, args: &[&str]) -> Run {
    let output = sandbox.command_on(hub, args).env("PSK", secret).output().expect("the binary starts");
    let run = Run::from_output(&output, &sandbox.path(""));
    assert_clean(&format!("twinctl {}", args.join(" ")), &run.to_string());
    run
}

fn psk(hub: &Hub, id: &str) -> Value {
    hub.twin(id)["properties"]["desired"]["wifi"]["psk"].clone()
}

#[test]
fn secrets_are_in_no_output_and_no_plan_file() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    sandbox.write("fleet.yaml", FLEET);
    run(&sandbox, &hub, OLD, &["apply", "fleet.yaml", "--yes"]).success();
    assert_eq!((psk(&hub, "d1"), psk(&hub, "d2")), (json!(OLD), json!(OLD)));
    let owns = hub.twin("d1")["tags"]["twinctl"]["demo"]["owns"].clone();
    assert!(owns.to_string().contains("desired.wifi.psk="), "in the twin's own record the hash stands");

    // Rotated in the manifest, and changed by somebody else.
    hub.patch("d1", json!({ "properties": { "desired": { "wifi": { "psk": FOUND } } } }));
    let shown = run(&sandbox, &hub, NEW, &["plan", "fleet.yaml", "--out", "plan.json"]);
    snapshot("sensitive_plan", &shown);
    let file = sandbox.read("plan.json");
    assert_clean("the plan file", &file);
    assert!(file.contains("desired.wifi.psk"), "the path alone is in it");
    for args in [
        vec!["plan", "fleet.yaml", "--full"],
        vec!["plan", "fleet.yaml", "--format", "json"],
        vec!["check", "fleet.yaml"],
        vec!["check", "fleet.yaml", "--format", "json"],
        vec!["check", "fleet.yaml", "--format", "junit"],
    ] {
        run(&sandbox, &hub, NEW, &args).success();
    }

    // The file alone does not do; with the manifest it does.
    let alone = run(&sandbox, &hub, NEW, &["apply", "plan.json", "--yes"]);
    assert_eq!(alone.code, 1, "{alone}");
    snapshot("sensitive_apply_alone", &alone);
    assert_eq!(psk(&hub, "d2"), json!(OLD));
    // Another value there is none of the plan's business.
    let apply = ["apply", "plan.json", "--manifest", "fleet.yaml", "--yes", "--full"];
    snapshot("sensitive_apply", run(&sandbox, &hub, NEW, &apply));
    assert_eq!((psk(&hub, "d1"), psk(&hub, "d2")), (json!(NEW), json!(NEW)));
    run(&sandbox, &hub, NEW, &["plan", "fleet.yaml", "--detailed-exitcode"]).success();

    // What a run leaves behind in its folder is what it was asked for.
    for entry in fs::read_dir(sandbox.path("")).expect("the folder") {
        let path = entry.expect("an entry").path();
        if path.is_file() && path.extension().is_some_and(|extension| extension == "json") {
            assert_clean("a file", &fs::read_to_string(&path).expect("text"));
        }
    }
}

#[test]
fn a_secret_that_moved_is_a_conflict_that_shows_nothing() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    sandbox.write("fleet.yaml", FLEET);
    run(&sandbox, &hub, OLD, &["apply", "fleet.yaml", "--yes"]).success();
    run(&sandbox, &hub, NEW, &["plan", "fleet.yaml", "--out", "plan.json"]).success();
    hub.patch("d1", json!({ "properties": { "desired": { "wifi": { "psk": FOUND } } } }));
    let conflict = run(&sandbox, &hub, NEW, &["apply", "plan.json", "--manifest", "fleet.yaml", "--yes"]);
    assert_eq!(conflict.code, 4, "{conflict}");
    snapshot("sensitive_conflict", &conflict);
    assert_eq!((psk(&hub, "d1"), psk(&hub, "d2")), (json!(FOUND), json!(NEW)), "the other is written");
}

#[test]
fn exact_moved_and_released_from_plan_to_plan() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    let before = "fleet: demo\nmissing: register\ndevices:\n  d1: { tags: { place: { plant: P }, legacy: x }, desired: { freq: 5 } }\n";
    sandbox.write("fleet.yaml", before);
    sandbox.on(&hub, ["apply", "fleet.yaml", "--yes"]).success();
    hub.patch("d1", json!({ "tags": { "place": { "floor": 3 } } }));
    sandbox.write(
        "fleet.yaml",
        "fleet: demo\nexact: [tags.place]\nmoved: [{ from: desired.freq, to: desired.interval }]\nreleased: [tags.legacy]\n\
         devices:\n  d1: { tags: { place: { plant: P } }, desired: { interval: 5 } }\n",
    );
    snapshot("policy_plan", sandbox.on(&hub, ["plan", "fleet.yaml", "--out", "plan.json"]));
    sandbox.on(&hub, ["apply", "plan.json", "--yes"]).success();
    let twin = hub.twin("d1");
    assert_eq!((&twin["tags"]["place"], &twin["tags"]["legacy"]), (&json!({ "plant": "P" }), &json!("x")));
    let desired = &twin["properties"]["desired"];
    assert_eq!((&desired["interval"], desired.get("freq")), (&json!(5), None));
    sandbox.on(&hub, ["plan", "fleet.yaml", "--detailed-exitcode"]).success();
}
