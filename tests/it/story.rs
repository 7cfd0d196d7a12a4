//! The main job, end to end: plan, apply, check, and what a plan says afterwards.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::support::{Hub, Sandbox, snapshot};

const FLEET: &str = include_str!("../../examples/fleet.yaml");

/// A fleet of one device that is on the hub already, with these lines below `devices: d1:`.
fn one_device(lines: &str) -> String {
    format!("fleet: demo\ndevices:\n  d1:\n{lines}")
}

/// A hub with one device, to which a manifest has been applied.
fn applied(sandbox: &Sandbox, lines: &str) -> Hub {
    let hub = sandbox.hub();
    hub.create("d1");
    sandbox.write("fleet.yaml", &one_device(lines));
    sandbox.on(&hub, ["apply", "fleet.yaml", "--yes"]).success();
    hub
}

/// The desired properties without what the service adds, and the tags without the record.
fn content(twin: &Value) -> Value {
    // A twin without tags has no such member.
    let mut tags = twin.get("tags").cloned().unwrap_or_else(|| json!({}));
    let mut desired = twin["properties"]["desired"].clone();
    tags.as_object_mut().expect("tags").remove("twinctl");
    desired.as_object_mut().expect("desired").retain(|key, _| !key.starts_with('$'));
    json!({ "tags": tags, "desired": desired })
}

#[test]
fn plan_apply_plan() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    sandbox.write("fleet.yaml", FLEET);
    let mut conversation = String::new();
    for (args, code) in [
        (vec!["plan", "fleet.yaml", "--detailed-exitcode"], 2),
        (vec!["apply", "fleet.yaml", "--yes"], 0),
        (vec!["plan", "fleet.yaml", "--detailed-exitcode"], 0),
        (vec!["check", "fleet.yaml"], 0),
        (
            vec!["query", "SELECT deviceId, tags.location.plant FROM devices WHERE properties.desired.power_level > 1"],
            0,
        ),
    ] {
        let run = sandbox.on(&hub, &args);
        assert_eq!(run.code, code, "{run}");
        writeln!(conversation, "$ twinctl {}\n{run}\n", args.join(" ")).expect("text");
    }
    snapshot("plan_apply_plan", conversation);
    assert_eq!(
        content(&hub.twin("thermostat-002")),
        json!({
            "tags": { "managedBy": "platform", "location": { "region": "US", "plant": "Redmond43" } },
            "desired": { "power_level": 3, "telemetry": { "intervalSeconds": 60 } },
        })
    );
}

#[test]
fn the_same_on_the_hub_in_process() {
    let sandbox = Sandbox::new();
    sandbox.write("fleet.yaml", FLEET);
    for (args, code) in [
        (vec!["plan", "fleet.yaml", "--hub", "embedded:hub", "--detailed-exitcode"], 2),
        (vec!["apply", "fleet.yaml", "--hub", "embedded:hub", "--yes"], 0),
        (vec!["plan", "fleet.yaml", "--hub", "embedded:hub", "--detailed-exitcode"], 0),
        (vec!["check", "fleet.yaml", "--hub", "embedded:hub"], 0),
    ] {
        let run = sandbox.twinctl(&args);
        assert_eq!(run.code, code, "{run}");
    }
}

#[test]
fn the_same_plan_is_the_same_bytes() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    sandbox.write("fleet.yaml", FLEET);
    let mut outputs = Vec::new();
    for name in ["a.json", "b.json"] {
        let text = sandbox.on(&hub, ["plan", "fleet.yaml", "--out", name]).success();
        let json = sandbox.on(&hub, ["plan", "fleet.yaml", "--format", "json"]).success();
        outputs.push((text.replace(name, "[OUT]"), json, sandbox.read(name)));
    }
    assert_eq!(outputs[0], outputs[1]);
}

#[test]
fn removing_a_line_removes_the_key_and_only_it() {
    let sandbox = Sandbox::new();
    let hub = applied(
        &sandbox,
        "    tags: { a: 1, place: { plant: x, floor: 2 } }\n    desired: { net: { ours: 1 }, led: true }\n",
    );
    hub.patch("d1", json!({ "tags": { "place": { "room": 5 } }, "properties": { "desired": { "led2": false } } }));
    sandbox.write("fleet.yaml", &one_device("    tags: { a: 1, place: { plant: x } }\n"));
    let plan = sandbox.on(&hub, ["plan", "fleet.yaml"]);
    snapshot("removal_plan", plan);
    sandbox.on(&hub, ["apply", "fleet.yaml", "--yes"]).success();
    assert_eq!(
        content(&hub.twin("d1")),
        json!({ "tags": { "a": 1, "place": { "plant": "x", "room": 5 } }, "desired": { "led2": false } }),
        "`net` had nothing but what was ours, and goes; a stranger's siblings stay"
    );
    sandbox.on(&hub, ["plan", "fleet.yaml", "--detailed-exitcode"]).success();
}

#[test]
fn drift_is_shown_as_drift_and_edit_as_edit() {
    let sandbox = Sandbox::new();
    let hub = applied(&sandbox, "    desired: { kept: 1, drifted: 1, edited: 1, both: 1, gone: 1, adopted: 1 }\n");
    hub.patch(
        "d1",
        json!({ "properties": { "desired": { "drifted": 7, "both": 7, "gone": 7, "adopted": 2, "there": 1 } } }),
    );
    sandbox.write(
        "fleet.yaml",
        &one_device("    desired: { kept: 1, drifted: 1, edited: 2, both: 2, adopted: 2, there: 2, fresh: 1 }\n"),
    );
    snapshot("drift_and_edit_plan", sandbox.on(&hub, ["plan", "fleet.yaml"]));
    sandbox.on(&hub, ["apply", "fleet.yaml", "--yes"]).success();
    sandbox.on(&hub, ["plan", "fleet.yaml", "--detailed-exitcode"]).success();
}

#[test]
fn a_device_that_left_the_manifest_is_released() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    hub.create("d1");
    hub.create("d2");
    sandbox.write("fleet.yaml", "fleet: demo\ndefaults: { desired: { a: 1 } }\ndevices: { d1: {}, d2: {} }\n");
    sandbox.on(&hub, ["apply", "fleet.yaml", "--yes"]).success();
    hub.patch("d2", json!({ "properties": { "desired": { "b": 1 } } }));
    sandbox.write("fleet.yaml", "fleet: demo\ndefaults: { desired: { a: 1 } }\ndevices: { d1: {} }\n");
    snapshot("release_plan", sandbox.on(&hub, ["plan", "fleet.yaml"]));
    sandbox.on(&hub, ["apply", "fleet.yaml", "--yes"]).success();
    let twin = hub.twin("d2");
    assert_eq!(content(&twin), json!({ "tags": {}, "desired": { "b": 1 } }));
    assert_eq!(twin.get("tags"), None, "the record went as well");
    sandbox.on(&hub, ["plan", "fleet.yaml", "--detailed-exitcode"]).success();
}

#[test]
fn another_fleets_path_is_refused_until_taken() {
    let sandbox = Sandbox::new();
    let hub = applied(&sandbox, "    desired: { shared: 1, ours: 1 }\n");
    sandbox.write("other.yaml", "fleet: other\ndevices: { d1: { desired: { shared: 2 } } }\n");
    let mut conversation = String::new();
    for args in [
        vec!["plan", "other.yaml"],
        vec!["apply", "other.yaml", "--yes"],
        vec!["apply", "other.yaml", "--yes", "--take-ownership"],
    ] {
        let run = sandbox.on(&hub, &args);
        writeln!(conversation, "$ twinctl {}\n{run}\n", args.join(" ")).expect("text");
    }
    snapshot("ownership_conflict", conversation);
    assert_eq!(content(&hub.twin("d1"))["desired"], json!({ "shared": 2, "ours": 1 }));
}

#[test]
fn missing_devices_are_refused_skipped_or_registered() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    let mut conversation = String::new();
    for (missing, code) in [("fail", 3), ("skip", 0), ("register", 0)] {
        sandbox.write(
            "fleet.yaml",
            &format!("fleet: demo\nmissing: {missing}\ndevices: {{ d1: {{ desired: {{ a: 1 }} }} }}\n"),
        );
        let run = sandbox.on(&hub, ["apply", "fleet.yaml", "--yes"]);
        assert_eq!(run.code, code, "{run}");
        writeln!(conversation, "missing: {missing}\n{run}\n").expect("text");
    }
    snapshot("missing_devices", conversation);
    assert_eq!(content(&hub.twin("d1"))["desired"], json!({ "a": 1 }));
}

#[test]
fn a_thousand_devices_from_one_range() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    sandbox.write(
        "fleet.yaml",
        "fleet: demo\nmissing: register\ndefaults: { desired: { a: 1 } }\ndevices: { 'd{0001..1000}': {} }\n",
    );
    snapshot("thousand_plan", sandbox.on(&hub, ["plan", "fleet.yaml"]));
    sandbox.on(&hub, ["apply", "fleet.yaml", "--yes"]).success();
    hub.patch("d0500", json!({ "properties": { "desired": { "a": 2 } } }));
    sandbox.write(
        "fleet.yaml",
        "fleet: demo\nmissing: register\ndefaults: { desired: { a: 3 } }\ndevices: { 'd{0001..1000}': {} }\n",
    );
    snapshot("thousand_edit_plan", sandbox.on(&hub, ["plan", "fleet.yaml"]));
    sandbox.on(&hub, ["apply", "fleet.yaml", "--yes"]).success();
    sandbox.on(&hub, ["plan", "fleet.yaml", "--detailed-exitcode"]).success();
}
