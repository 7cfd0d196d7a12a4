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

/// Each path of a twin by what the next apply does about it, which is then applied.
#[test]
fn what_show_says_is_what_apply_does() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    let before = "fleet: demo\nmissing: register\ndevices:\n  d1:\n    tags: { legacy: x, gone: 1, taken: 1 }\n    \
                  desired: { freq: 5, net: { ssid: a } }\n  d2: { tags: { keep: 1, lose: 2 } }\n";
    sandbox.write("fleet.yaml", before);
    sandbox.on(&hub, ["apply", "fleet.yaml", "--yes"]).success();
    hub.patch("d1", json!({ "properties": { "desired": { "net": { "psk": 1 } } } }));
    // Another fleet owns it by now.
    let other = json!({ "v": 1, "rev": "", "owns": ["tags.taken=6b86"] });
    hub.patch("d1", json!({ "tags": { "twinctl": { "other": other } } }));
    sandbox.write(
        "fleet.yaml",
        "fleet: demo\nexact: [desired.net]\nmoved: [{ from: desired.freq, to: desired.interval }]\n\
         released: [tags.legacy, tags.keep]\ndevices:\n  d1: { desired: { interval: 5, net: { ssid: a } } }\n",
    );
    let mut said = String::new();
    let mut run = |args: &[&str]| {
        let run = sandbox.on(&hub, args);
        assert_eq!(run.code, 0, "{run}");
        writeln!(said, "$ twinctl {}\n{run}\n", args.join(" ")).expect("text");
    };
    run(&["show", "d1", "fleet.yaml"]);
    run(&["show", "d2", "fleet.yaml"]);
    run(&["plan", "fleet.yaml"]);
    run(&["apply", "fleet.yaml", "--yes"]);
    run(&["show", "d1", "fleet.yaml"]);
    run(&["show", "d2", "fleet.yaml"]);
    snapshot("show_what_apply_does", said);

    let twin = hub.twin("d1");
    assert_eq!(twin["tags"]["legacy"], json!("x"), "released: the value stays");
    assert_eq!(hub.twin("d2")["tags"], json!({ "keep": 1 }));
    let document = |id: &str| -> serde_json::Value {
        let text = sandbox.on(&hub, ["show", id, "fleet.yaml", "--format", "json"]).success();
        serde_json::from_str(&text).expect("JSON")
    };
    assert_eq!(document("d1")["fleet"]["recordLost"], json!(false));
    hub.patch("d1", json!({ "tags": { "twinctl": null } }));
    let lost = sandbox.on(&hub, ["show", "d1", "fleet.yaml"]).success();
    assert!(lost.contains("fleet demo has no record in it: the twin was replaced"), "{lost}");
    assert!(lost.contains("only the ownership record changes"), "{lost}");
    assert_eq!(document("d1")["fleet"]["recordLost"], json!(true));
}

#[test]
fn a_device_that_a_selector_finds_is_declared() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    hub.create("d1");
    hub.patch("d1", json!({ "tags": { "site": "oslo" } }));
    sandbox.write(
        "fleet.yaml",
        "fleet: demo\nselectors: [{ name: oslo, where: \"tags.site = 'oslo'\", desired: { mode: eco } }]\n",
    );
    sandbox.on(&hub, ["apply", "fleet.yaml", "--yes"]).success();
    let shown = sandbox.on(&hub, ["show", "d1", "fleet.yaml"]).success();
    assert!(shown.contains("fleet demo declares it at fleet.yaml:2"), "{shown}");
    assert!(shown.contains("1 path declared; nothing to change"), "{shown}");
    hub.patch("d1", json!({ "tags": { "site": "bergen" } }));
    let shown = sandbox.on(&hub, ["show", "d1", "fleet.yaml"]).success();
    assert!(shown.contains("the next apply removes its record, and the paths that are marked -"), "{shown}");
    assert!(shown.contains("-  desired.mode"), "{shown}");
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
