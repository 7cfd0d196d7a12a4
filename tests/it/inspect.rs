//! `show` and `explain`: one twin looked at.

use std::fmt::Write;

use serde_json::json;

use crate::support::{Sandbox, snapshot};

const FLEET: &str = "\
fleet: demo
defaults: { tags: { managedBy: platform }, desired: { telemetry: { interval: 60, mode: full } } }
groups:
  oslo: { tags: { place: { plant: oslo } }, desired: { telemetry: { interval: 30 } } }
devices:
  d1:
    groups: [oslo]
    desired: { telemetry: { interval: 10 }, fan: null }
    modules: { vision: { desired: { fps: 5 } } }
  'press-{1..3}': { groups: [oslo] }
";

#[test]
fn a_twin_beside_its_declaration() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    let mut said = String::new();
    sandbox.write("fleet.yaml", &FLEET.replace("fleet: demo", "fleet: demo\nmissing: register"));
    sandbox.on(&hub, ["apply", "fleet.yaml", "--yes", "--revision", "abc123"]).success();
    sandbox.write("other.yaml", "fleet: other\ndevices: { d1: { desired: { theirs: 1 } }, gone: {} }\n");
    let planned = sandbox.on(&hub, ["plan", "other.yaml", "--out", "plan.json", "--format", "json"]).exits(3);
    hub.patch(
        "d1",
        json!({ "properties": { "desired": { "telemetry": { "interval": 99 }, "steer": "\u{1b}[31m\u{202e}" } } }),
    );
    hub.patch("d1", json!({ "tags": { "place": { "plant": null } } }));
    for (args, code) in [
        (vec!["show", "d1", "fleet.yaml"], 0),
        (vec!["show", "d1/vision", "fleet.yaml"], 0),
        (vec!["show", "d1", "other.yaml"], 0),
        (vec!["show", "press-2", "--format", "json"], 0),
        (vec!["show", "d2", "fleet.yaml"], 1),
        (vec!["show", "gone", "other.yaml"], 1),
        (vec!["show", "a b"], 1),
    ] {
        let run = sandbox.on(&hub, &args);
        assert_eq!(run.code, code, "{run}");
        assert!(!run.to_string().contains(['\u{1b}', '\u{202e}']), "{run}");
        writeln!(said, "$ twinctl {}\n{run}\n", args.join(" ")).expect("text");
    }
    said.push_str("# a saved plan, without a hub\n");
    for args in [vec!["show", "plan.json"], vec!["show", "plan.json", "fleet.yaml"], vec!["show", "nowhere.json"]] {
        writeln!(said, "$ twinctl {}\n{}\n", args.join(" "), sandbox.twinctl(&args)).expect("text");
    }
    let altered = sandbox.read("plan.json").replace("theirs", "others");
    sandbox.write("altered.json", &altered);
    let run = sandbox.twinctl(["show", "altered.json"]);
    assert_eq!(run.code, 1, "{run}");
    let shown = sandbox.twinctl(["show", "plan.json", "--format", "json"]).success();
    assert_eq!(shown, planned, "as `plan` showed it");
    // The identity's etag is another each time.
    let steady = |line: &str| match line.split_once("\"deviceEtag\": ") {
        Some((indent, _)) => format!("{indent}\"deviceEtag\": [ETAG],\n"),
        None => format!("{line}\n"),
    };
    snapshot("show", said.lines().map(steady).collect::<String>());
}

#[test]
fn a_twin_by_itself_where_there_is_no_manifest() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    hub.create("d1");
    hub.patch("d1", json!({ "properties": { "desired": { "a": 1 } } }));
    snapshot("show_alone", sandbox.on(&hub, ["show", "d1"]));
}

#[test]
fn which_line_won() {
    let sandbox = Sandbox::new();
    sandbox.write("fleet.yaml", FLEET);
    let mut said = String::new();
    for (args, code) in [
        (vec!["explain", "d1"], 0),
        (vec!["explain", "d1", "desired.telemetry.interval", "fleet.yaml"], 0),
        (vec!["explain", "press-2", "tags"], 0),
        (vec!["explain", "d1/vision", "--format", "json"], 0),
        (vec!["explain", "d1", "desired.telemetry.intervall"], 1),
        (vec!["explain", "d1", "reported.fan"], 1),
        (vec!["explain", "d1", "tags.nowhere.at.all"], 1),
        (vec!["explain", "press-4"], 1),
        (vec!["explain", "d1/visoin"], 1),
        (vec!["explain", "somewhere-else"], 1),
    ] {
        let run = sandbox.twinctl(&args);
        assert_eq!(run.code, code, "{run}");
        writeln!(said, "$ twinctl {}\n{run}\n", args.join(" ")).expect("text");
    }
    snapshot("explain", said);
}
