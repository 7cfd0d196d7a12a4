//! `drift`, and a plan that is narrowed to a part of the fleet.

use std::fmt::Write;

use serde_json::json;

use crate::support::{Sandbox, snapshot};

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
    sandbox.write("none.yaml", "fleet: demo\nownership: none\ndevices: { d1: {} }\n");
    run(&["drift", "none.yaml"], 1);
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
