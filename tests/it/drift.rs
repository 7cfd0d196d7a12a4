//! `drift`, and a plan that is narrowed to a part of the fleet.

use std::fmt::Write;
use std::time::Duration;

use serde_json::json;

use crate::support::{Hub, Sandbox, snapshot};

fn fleet(interval: u32, more: &str) -> String {
    format!(
        "fleet: demo\nmissing: register\ndefaults: {{ desired: {{ interval: {interval}, mode: full }} }}\n\
         groups:\n  oslo: {{ tags: {{ plant: oslo }} }}\n\
         devices:\n  'd{{1..4}}': {{ groups: [oslo] }}\n  gw: {{ modules: {{ vision: {{ desired: {{ fps: 5 }} }} }} }}\n{more}"
    )
}

#[test]
fn drift_alone() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    let mut said = String::new();
    let mut run = |args: &[&str], code: i32| {
        let run = sandbox.on(&hub, args);
        assert_eq!(run.code, code, "{run}");
        writeln!(said, "$ twinctl {}\n{run}\n", args.join(" ")).expect("text");
    };
    sandbox.write("fleet.yaml", &fleet(60, "  left: { tags: { x: 1 } }\n"));
    sandbox.on(&hub, ["apply", "fleet.yaml", "--yes"]).success();
    run(&["drift", "fleet.yaml", "--detailed-exitcode"], 0);
    for id in ["d1", "d2"] {
        hub.patch(id, json!({ "properties": { "desired": { "mode": "\u{1b}[2Jhalf" } } }));
    }
    hub.patch("d3", json!({ "properties": { "desired": { "interval": 7 } } }));
    hub.patch("left", json!({ "tags": { "x": 2 } }));
    hub.patch("gw", json!({ "tags": { "twinctl": { "demo": { "v": 9 } } } }));
    // The manifest changes too: an edit is no drift.
    sandbox.write("fleet.yaml", &fleet(30, "  new: {}\n"));
    run(&["drift", "fleet.yaml"], 0);
    run(&["drift", "fleet.yaml", "--format", "json", "--detailed-exitcode"], 2);
    assert!(!said.contains('\u{1b}'), "{said}");
    snapshot("drift", said);
}

#[test]
fn only_a_part() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    sandbox.write("fleet.yaml", &fleet(60, "  left: { tags: { x: 1 } }\n"));
    sandbox.on(&hub, ["apply", "fleet.yaml", "--yes"]).success();
    sandbox.write("fleet.yaml", &fleet(30, ""));
    let mut said = String::new();
    for (args, code) in [
        (vec!["plan", "fleet.yaml", "--only", "d2", "--only", "gw/vision"], 0),
        (vec!["plan", "fleet.yaml", "--only", "d{1..2}"], 0),
        (vec!["apply", "fleet.yaml", "--only", "group:oslo", "--yes"], 0),
        (vec!["plan", "fleet.yaml", "--only", "group:oslo", "--detailed-exitcode"], 0),
        (vec!["plan", "fleet.yaml"], 0),
        (vec!["plan", "fleet.yaml", "--only", "d5"], 1),
        (vec!["plan", "fleet.yaml", "--only", "d{4..5}"], 1),
        (vec!["plan", "fleet.yaml", "--only", "group:bergen"], 1),
        (vec!["plan", "fleet.yaml", "--only", "d{2..1}"], 1),
    ] {
        let run = sandbox.on(&hub, &args);
        assert_eq!(run.code, code, "{run}");
        writeln!(said, "$ twinctl {}\n{run}\n", args.join(" ")).expect("text");
    }
    snapshot("only", said);
    assert_eq!(hub.twin("left")["tags"]["x"], json!(1), "nobody was taken to have left");
    sandbox.on(&hub, ["plan", "fleet.yaml", "--out", "plan.json"]).success();
    let run = sandbox.on(&hub, ["apply", "plan.json", "--only", "d1", "--yes"]);
    assert!(run.stderr.contains("--only is decided when a plan is made"), "{run}");
}

/// Replaces a whole twin, as `az iot hub device-twin replace` does.
fn replace(hub: &Hub, id: &str, tags: serde_json::Value, desired: serde_json::Value) {
    let path = id.replace('/', "/modules/");
    let body = json!({ "tags": tags, "properties": { "desired": desired } });
    let answer = hub.send("PUT", &format!("/twins/{path}"), Some("*"), Some(body));
    assert_eq!(answer.status, 200, "{}", answer.body);
}

fn delete(hub: &Hub, id: &str) {
    let path = id.replace('/', "/modules/");
    let answer = hub.send("DELETE", &format!("/devices/{path}"), Some("*"), None);
    assert_eq!(answer.status, 204, "{}", answer.body);
}

#[test]
fn a_twin_that_lost_its_record_is_drift() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    sandbox.write("fleet.yaml", &fleet(60, "  d5: {}\n  d6: { tags: { x: 1 }, desired: { y: 2 } }\n"));
    sandbox.on(&hub, ["apply", "fleet.yaml", "--yes"]).success();
    replace(&hub, "d1", json!({ "site": "lab" }), json!({ "interval": 60, "mode": "half" }));
    delete(&hub, "d2");
    hub.create("d2");
    // The values stay as they are.
    hub.patch("d3", json!({ "tags": { "twinctl": null } }));
    hub.patch("d4", json!({ "tags": { "twinctl": { "demo": { "owns": [] } } } }));
    replace(&hub, "d5", json!({}), json!({ "interval": 60, "mode": "full" }));
    // Without its entry, the record says nothing of the path.
    let mut owns = hub.twin("d6")["tags"]["twinctl"]["demo"]["owns"].as_array().expect("entries").clone();
    owns.retain(|entry| !entry.to_string().contains("desired.y="));
    hub.patch(
        "d6",
        json!({ "tags": { "twinctl": { "demo": { "owns": owns } } }, "properties": { "desired": { "y": 7 } } }),
    );
    replace(&hub, "gw/vision", json!({}), json!({}));
    let mut said = String::new();
    for (args, code) in [
        (vec!["drift", "fleet.yaml"], 0),
        (vec!["drift", "fleet.yaml", "--detailed-exitcode", "--format", "json"], 2),
        (vec!["drift", "fleet.yaml", "--detailed-exitcode", "--only", "d{3..4}", "--annotations", "github"], 2),
        (vec!["drift", "fleet.yaml", "--detailed-exitcode", "--only", "d6"], 2),
    ] {
        let run = sandbox.on(&hub, &args);
        assert_eq!(run.code, code, "{run}");
        assert!(!run.to_string().contains("No drift"), "{run}");
        writeln!(said, "$ twinctl {}\n{run}\n", args.join(" ")).expect("text");
    }
    snapshot("drift_record_lost", said);
    sandbox.on(&hub, ["apply", "fleet.yaml", "--yes"]).success();
    sandbox.on(&hub, ["drift", "fleet.yaml", "--detailed-exitcode"]).success();
}

#[test]
fn a_fleet_without_any_record_is_never_without_drift() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    hub.create("d1");
    sandbox.write("fleet.yaml", "fleet: demo\ndevices: { d1: { tags: { a: 1 }, desired: { b: 2 } } }\n");
    let run = || sandbox.on(&hub, ["drift", "fleet.yaml", "--detailed-exitcode"]);
    let never_applied = run();
    assert_eq!(never_applied.code, 2, "{never_applied}");
    snapshot("drift_no_record", &never_applied);
    sandbox.on(&hub, ["apply", "fleet.yaml", "--yes"]).success();
    run().success();
    // The one device is exchanged.
    delete(&hub, "d1");
    hub.create("d1");
    assert_eq!(run().to_string(), never_applied.to_string());
    // All that is declared is there, and nothing shows that this fleet put it there.
    replace(&hub, "d1", json!({ "a": 1 }), json!({ "b": 2 }));
    let as_declared = run();
    assert_eq!(as_declared.code, 2, "{as_declared}");
    assert!(as_declared.stdout.contains("! d1  no record; no path differs"), "{as_declared}");
}

#[test]
fn twins_that_are_gone_or_in_conflict_are_listed() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    let whole = fleet(60, "");
    sandbox.write("fleet.yaml", &whole);
    sandbox.on(&hub, ["apply", "fleet.yaml", "--yes"]).success();
    delete(&hub, "d1");
    delete(&hub, "gw/vision");
    hub.patch("d2", json!({ "tags": { "twinctl": { "demo": { "v": 9 } } } }));
    hub.patch("d3", json!({ "tags": { "twinctl": null } }));
    hub.patch("d3", json!({ "tags": { "twinctl": 5 } }));
    let mut said = String::new();
    for missing in ["fail", "skip", "register"] {
        sandbox.write("fleet.yaml", &whole.replace("missing: register", &format!("missing: {missing}")));
        let run = sandbox.on(&hub, ["drift", "fleet.yaml", "--detailed-exitcode"]);
        assert_eq!(run.code, 2, "{run}");
        if said.is_empty() {
            said = run.to_string();
        }
        assert_eq!(run.to_string(), said, "missing: {missing}");
    }
    let args = ["drift", "fleet.yaml", "--annotations", "gitlab", "--format", "markdown", "--html", "drift.html"];
    let run = sandbox.on(&hub, args);
    let report = sandbox.read("gl-code-quality-report.json");
    snapshot("drift_gone", format!("{said}\n--- markdown\n{run}\n--- annotations\n{report}"));
    let run = sandbox.on(&hub, ["drift", "fleet.yaml", "--format", "json"]);
    let drift: serde_json::Value = serde_json::from_str(&run.success()).expect("JSON");
    assert_eq!(drift["recordLost"], json!(["d3"]));
    assert_eq!(drift["conflicting"], json!(["d2", "d3"]), "what an annotation calls a conflict");
    let page = sandbox.read("drift.html");
    assert!(page.contains("<title>Drift of fleet demo") && page.contains("not on the hub: deleted"), "{page}");
    assert!(!page.contains("Review digest"), "nobody applies drift");
    assert_eq!(sandbox.on(&hub, ["drift", "fleet.yaml", "--only", "gw", "--detailed-exitcode"]).code, 2);
    sandbox.on(&hub, ["drift", "fleet.yaml", "--only", "d4", "--detailed-exitcode"]).success();
}

#[test]
fn without_records_every_difference_counts() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    let text = |more: &str| format!("fleet: demo\nownership: none\nmissing: register\nexact: [desired.net]\n{more}");
    let devices = "devices: { d1: { desired: { net: { ssid: x } } }, d2: { tags: { b: 2 } } }\n";
    sandbox.write("fleet.yaml", &text(devices));
    let run = || sandbox.on(&hub, ["drift", "fleet.yaml", "--detailed-exitcode"]);
    sandbox.on(&hub, ["apply", "fleet.yaml", "--yes"]).success();
    let mut said = format!("{}\n\n", run());
    hub.patch("d1", json!({ "properties": { "desired": { "net": { "psk": 1 } } } }));
    replace(&hub, "d2", json!({}), json!({}));
    writeln!(said, "{}", run()).expect("text");
    snapshot("drift_without_records", said);
}

#[test]
fn what_a_query_lists_is_read_again_before_it_is_drift() {
    let sandbox = Sandbox::new();
    let text =
        |defaults: &str| format!("fleet: demo\nmissing: register\n{defaults}devices: {{ 'd{{001..150}}': {{}} }}\n");
    sandbox.write("bare.yaml", &text(""));
    sandbox.write("fleet.yaml", &text("defaults: { desired: { mode: full } }\n"));
    let hub = sandbox.hub();
    sandbox.on(&hub, ["apply", "bare.yaml", "--yes"]).success();
    hub.kill();
    // Queries know the devices from now on, and nothing of what is applied.
    let hub = Hub::start_with(&sandbox, |hub| hub.query_lag(Duration::from_secs(600)));
    sandbox.on(&hub, ["apply", "fleet.yaml", "--yes"]).success();
    let drift = || sandbox.on(&hub, ["drift", "fleet.yaml", "--detailed-exitcode"]);
    let nothing = drift().success();
    assert!(nothing.contains("No drift: 150 twins looked at (read by query, which may lag by minutes)"), "{nothing}");
    replace(&hub, "d007", json!({}), json!({}));
    delete(&hub, "d008");
    let run = drift();
    assert_eq!(run.code, 2, "{run}");
    assert!(run.stdout.contains("! d008  not on the hub") && run.stdout.contains("! d007  record lost"), "{run}");
    assert!(run.stdout.contains("; the twins that are listed were read again by GET"), "{run}");
}

#[test]
fn a_selected_twin_that_lost_its_record_is_drift() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    for id in ["d1", "d2"] {
        hub.create(id);
        hub.patch(id, json!({ "tags": { "site": "oslo" } }));
    }
    sandbox.write(
        "fleet.yaml",
        "fleet: demo\nselectors: [{ name: oslo, where: \"tags.site = 'oslo'\", desired: { mode: eco } }]\n",
    );
    sandbox.on(&hub, ["apply", "fleet.yaml", "--yes"]).success();
    sandbox.on(&hub, ["drift", "fleet.yaml", "--detailed-exitcode"]).success();
    replace(&hub, "d1", json!({ "site": "oslo" }), json!({}));
    // This one is not found any more, so that the number of devices is all that shows it.
    replace(&hub, "d2", json!({}), json!({}));
    let run = sandbox.on(&hub, ["drift", "fleet.yaml", "--detailed-exitcode"]);
    assert_eq!(run.code, 2, "{run}");
    snapshot("drift_selected", run);
}

#[test]
fn a_plan_names_the_twins_that_lost_their_record() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    sandbox.write("fleet.yaml", "fleet: demo\nmissing: register\ndevices: { 'd{1..3}': { desired: { x: 1 } } }\n");
    sandbox.on(&hub, ["apply", "fleet.yaml", "--yes"]).success();
    replace(&hub, "d2", json!({}), json!({}));
    let note = "1 twin has no record of this fleet, and others have one: replaced, registered anew, or never applied";
    let planned = sandbox.on(&hub, ["plan", "fleet.yaml", "--out", "plan.json"]).success();
    assert!(planned.contains(&format!("note: {note}: d2\n")), "{planned}");
    for (format, expected) in [
        ("text", format!("note: {note}: d2\n")),
        ("markdown", format!("- {note}: `d2`\n")),
        ("html", format!("{note}: d2</p>")),
        ("json", "\"recordLost\": [\n    \"d2\"\n  ]".to_owned()),
    ] {
        let shown = sandbox.twinctl(["show", "plan.json", "--format", format]).success();
        assert!(shown.contains(&expected), "{format}: {shown}");
    }
}

#[test]
fn a_twin_that_left_its_selector_is_drift() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    for id in ["d1", "d2", "d3"] {
        hub.create(id);
        hub.patch(id, json!({ "tags": { "zq": "y" } }));
    }
    let text = |devices: &str| {
        format!(
            "fleet: demo\ndefaults: {{ tags: {{ all: 1 }} }}\n\
             selectors: [{{ name: s, where: \"tags.zq = 'y'\", desired: {{ q: 1 }} }}]\ndevices: {{ d3: {{}}{devices} }}\n"
        )
    };
    hub.create("named");
    sandbox.write("fleet.yaml", &text(", named: { tags: { x: 1 } }"));
    sandbox.on(&hub, ["apply", "fleet.yaml", "--yes"]).success();
    let drift = || sandbox.on(&hub, ["drift", "fleet.yaml", "--detailed-exitcode"]);
    drift().success();
    // That a device leaves the manifest is an edit.
    sandbox.write("fleet.yaml", &text(""));
    drift().success();
    hub.patch("d1", json!({ "tags": { "zq": null } }));
    let run = drift();
    assert_eq!(run.code, 2, "{run}");
    assert!(run.stdout.contains("- d1  left its selector, and still carries this fleet's record"), "{run}");
    assert!(run.stdout.contains("Drift: 1 twin no longer selected; 4 looked at"), "{run}");
    // One that is declared by name as well, and one that has drifted on top.
    hub.patch("d3", json!({ "tags": { "zq": "n" } }));
    hub.patch("d2", json!({ "tags": { "zq": null }, "properties": { "desired": { "q": 5 } } }));
    let run = drift();
    assert_eq!(run.code, 2, "{run}");
    snapshot("drift_unselected", &run);
    // Another writer took the values away as well: the record is left.
    hub.patch("d1", json!({ "tags": { "all": null }, "properties": { "desired": { "q": null } } }));
    assert!(drift().stdout.contains("d1  left its selector"), "{}", drift());
    let run = sandbox.on(&hub, ["drift", "fleet.yaml", "--format", "json", "--annotations", "github"]);
    let json = run.stdout.split("::warning").next().expect("JSON");
    let drift: serde_json::Value = serde_json::from_str(json).unwrap_or_else(|_| panic!("{run}"));
    assert_eq!(drift["unselected"], json!(["d1", "d2", "d3"]));
    assert_eq!(drift["empty"], json!(false));
}
