//! Module twins, end to end: registered with their devices, brought back from drift, and released.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::support::{Hub, Sandbox, snapshot};

const GATEWAY: &str = "\
fleet: edge
missing: register
defaults: { tags: { managedBy: platform } }
devices:
  gateway-01:
    tags: { plant: oslo }
    modules:
      telemetry: { tags: { team: data }, desired: { batch: 50, mode: fast } }
      vision: { desired: { fps: 5 } }
checks:
  - name: the gateway sends in batches
    query: SELECT deviceId, moduleId FROM devices.modules WHERE properties.desired.batch = 50
    expect: [{ deviceId: gateway-01, moduleId: telemetry }]
";

const TELEMETRY: &str = "gateway-01/modules/telemetry";
const VISION: &str = "gateway-01/modules/vision";

/// Tags without the record, and desired properties without what the service adds.
fn content(hub: &Hub, twin: &str) -> Value {
    let twin = hub.twin(twin);
    // A twin without tags has no such member.
    let mut tags = twin.get("tags").cloned().unwrap_or_else(|| json!({}));
    let mut desired = twin["properties"]["desired"].clone();
    tags.as_object_mut().expect("tags").remove("twinctl");
    desired.as_object_mut().expect("desired").retain(|key, _| !key.starts_with('$'));
    json!([tags, desired])
}

fn record(hub: &Hub, twin: &str) -> Value {
    hub.twin(twin)["tags"]["twinctl"]["edge"]["owns"].clone()
}

/// Runs commands and writes down what was said.
fn converse(sandbox: &Sandbox, hub: &Hub, conversation: &mut String, commands: &[(&str, i32)]) {
    for (command, code) in commands {
        let run = sandbox.on(hub, command.split(' '));
        assert_eq!(run.code, *code, "{run}");
        writeln!(conversation, "$ twinctl {command}\n{run}\n").expect("text");
    }
}

#[test]
fn a_gateway_with_its_modules() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    let mut said = String::new();
    sandbox.write("fleet.yaml", GATEWAY);
    let commands = [
        ("plan fleet.yaml --out plan.json", 0),
        ("apply plan.json --yes", 0),
        ("plan fleet.yaml --detailed-exitcode", 0),
        ("check fleet.yaml", 0),
    ];
    said.push_str("A device and its modules in one run.\n\n");
    converse(&sandbox, &hub, &mut said, &commands);
    // Defaults are the device's own.
    assert_eq!(content(&hub, "gateway-01"), json!([{ "managedBy": "platform", "plant": "oslo" }, {}]));
    assert_eq!(content(&hub, TELEMETRY), json!([{ "team": "data" }, { "batch": 50, "mode": "fast" }]));
    assert_eq!(content(&hub, VISION), json!([{}, { "fps": 5 }]));

    said.push_str("Somebody writes to one module.\n\n");
    hub.patch(TELEMETRY, json!({ "properties": { "desired": { "batch": 7, "theirs": true } } }));
    converse(&sandbox, &hub, &mut said, &[("apply fleet.yaml --yes", 0)]);
    assert_eq!(content(&hub, TELEMETRY), json!([{ "team": "data" }, { "batch": 50, "mode": "fast", "theirs": true }]));

    said.push_str("A line and a module leave the manifest.\n\n");
    let shorter = GATEWAY.replace(", mode: fast", "").replace("      vision: { desired: { fps: 5 } }\n", "");
    sandbox.write("fleet.yaml", &shorter);
    converse(&sandbox, &hub, &mut said, &[("apply fleet.yaml --yes", 0), ("plan fleet.yaml --detailed-exitcode", 0)]);
    assert_eq!(content(&hub, TELEMETRY), json!([{ "team": "data" }, { "batch": 50, "theirs": true }]));
    assert_eq!((content(&hub, VISION), record(&hub, VISION)), (json!([{}, {}]), Value::Null));

    said.push_str("The whole device leaves the manifest.\n\n");
    let other = "  other: { tags: { kept: true } }\n";
    sandbox.write("fleet.yaml", &shorter.replace("checks:\n", &format!("{other}checks:\n")));
    sandbox.on(&hub, ["apply", "fleet.yaml", "--yes"]).success();
    sandbox.write("fleet.yaml", &format!("fleet: edge\ndevices:\n{other}"));
    converse(&sandbox, &hub, &mut said, &[("apply fleet.yaml --yes", 0), ("plan fleet.yaml --detailed-exitcode", 0)]);
    assert_eq!(content(&hub, TELEMETRY), json!([{}, { "theirs": true }]));
    for twin in ["gateway-01", TELEMETRY] {
        assert_eq!(record(&hub, twin), Value::Null);
    }
    snapshot("modules", said);
}

#[test]
fn modules_that_the_hub_lacks() {
    let sandbox = Sandbox::new();
    let mut said = String::new();
    for missing in ["fail", "skip", "register"] {
        let hub = Hub::start(&sandbox);
        if missing == "fail" {
            hub.create("here");
        }
        let modules = "modules: { m: { desired: { a: 1 } } }";
        let text = format!("fleet: demo\nmissing: {missing}\ndevices:\n  here: {{ {modules} }}\n");
        sandbox.write("fleet.yaml", &text);
        writeln!(said, "missing: {missing}, of a module").expect("text");
        let code = if missing == "fail" { 3 } else { 0 };
        converse(&sandbox, &hub, &mut said, &[("apply fleet.yaml --yes", code)]);
        sandbox.write("fleet.yaml", &format!("{text}  there: {{ {modules} }}\n"));
        writeln!(said, "missing: {missing}, of a device with its module").expect("text");
        converse(&sandbox, &hub, &mut said, &[("apply fleet.yaml --yes", code)]);
    }
    snapshot("modules_missing", said);
}

#[test]
fn a_module_of_a_disabled_device_fails_alone() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    let body = json!({ "deviceId": "asleep", "status": "disabled" });
    assert_eq!(hub.send("PUT", "/devices/asleep", None, Some(body)).status, 200);
    let module = "{ modules: { m: { desired: { a: 1 } } } }";
    sandbox.write(
        "fleet.yaml",
        &format!("fleet: demo\nmissing: register\ndevices:\n  asleep: {module}\n  new: {module}\n"),
    );
    let run = sandbox.on(&hub, ["apply", "fleet.yaml", "--yes"]);
    snapshot("modules_of_a_disabled_device", &run);
    assert_eq!(content(&hub, "new/modules/m"), json!([{}, { "a": 1 }]));
}

#[test]
fn many_modules_are_read_by_query() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    sandbox.write(
        "fleet.yaml",
        "fleet: edge\nmissing: register\ndevices:\n  'gw-{1..40}': { modules: { a: { desired: { n: 1 } }, b: {}, c: { tags: { t: x } } } }\n",
    );
    sandbox.on(&hub, ["apply", "fleet.yaml", "--yes"]).success();
    hub.patch("gw-7/modules/c", json!({ "tags": { "t": "y" } }));
    let plan = sandbox.on(&hub, ["plan", "fleet.yaml", "--detailed-exitcode"]).exits(2);
    assert!(plan.contains("~ gw-7/c  tags.t  \"y\" → \"x\"  drift"), "{plan}");
    assert!(plan.contains("159 as declared (read by query"), "{plan}");
}
