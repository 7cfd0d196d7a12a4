//! Secrets in twins: written to the hub, and to nothing else.

use std::fmt::Write;
use std::fs;

use base64::Engine;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::against::{git, masked};
use crate::device_run::{device, register};
use crate::support::{Hub, Run, Sandbox, snapshot};

/// The secrets that are planted, before and after they are rotated.
const OLD: &str = "hunter2-\"old\"";
const NEW: &str = "hunter2-\"new\"";
const FOUND: &str = "hunter2-\"found\"";
const BASE: &str = "hunter2-base";
const ROW: &str = "hunter2-row";

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
    for secret in [OLD, NEW, FOUND, BASE, ROW] {
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
fn a_plan_file_and_its_digest_agree_on_a_twin_that_moved_elsewhere() {
    for way in ["file", "expect"] {
        let sandbox = Sandbox::new();
        let hub = sandbox.hub();
        sandbox.write("fleet.yaml", FLEET);
        run(&sandbox, &hub, OLD, &["apply", "fleet.yaml", "--yes"]).success();
        // One is edited over what was applied, the other over what somebody else set.
        hub.patch("d2", json!({ "properties": { "desired": { "wifi": { "psk": FOUND } } } }));
        let shown = run(&sandbox, &hub, NEW, &["plan", "fleet.yaml", "--out", "plan.json", "--format", "json"]);
        let plan: Value = serde_json::from_str(&shown.success()).expect("JSON");
        let digest = plan["digest"].as_str().expect("a digest");
        for id in ["d1", "d2"] {
            hub.patch(id, json!({ "tags": { "note": 1 } }));
        }
        match way {
            "file" => run(&sandbox, &hub, NEW, &["apply", "plan.json", "--manifest", "fleet.yaml", "--yes"]),
            _ => run(&sandbox, &hub, NEW, &["apply", "fleet.yaml", "--expect", digest, "--yes"]),
        }
        .success();
        assert_eq!((psk(&hub, "d1"), psk(&hub, "d2")), (json!(NEW), json!(NEW)), "{way}");
    }
}

/// A fleet with secrets in every layer.
const WHOLE: &str = "\
fleet: demo
missing: register
sensitive: [desired.wifi.psk, tags.token]
defaults:
  desired: { wifi: { ssid: plant, psk: \"${env.PSK}\" } }
selectors:
  - { name: oslo, where: tags.site = 'Oslo', desired: { wifi: { psk: \"${env.PSK}\" } } }
groups:
  g: { tags: { token: \"${env.PSK}\" } }
inventory:
  - { from: rows.csv, id: \"${row.id}\", tags: { plant: Oslo, token: \"${row.token}\" }, modules: { m: { desired: { wifi: { psk: \"${row.token}\" } } } } }
devices:
  d1: { groups: [g] }
  d2: { desired: { wifi: { psk: \"${env.PSK}\" } } }
checks:
  - { name: whole twins, query: SELECT * FROM devices, expect: none, severity: warn, within: 1ms }
  - { name: keys, query: SELECT properties.desired.wifi.psk FROM devices, expect: { count: 4 }, within: 1ms }
";

/// As it was before anything was sensitive, with the secrets in the text.
const WHOLE_BASE: &str = "\
fleet: demo
missing: register
defaults:
  desired: { wifi: { ssid: plant, psk: hunter2-base } }
selectors:
  - { name: oslo, where: tags.site = 'Oslo', desired: { wifi: { psk: hunter2-base } } }
devices:
  d1: { tags: { token: hunter2-base } }
  d2: {}
";

#[test]
fn no_command_shows_a_secret_wherever_it_stands() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    sandbox.write("fleet/fleet.yaml", WHOLE_BASE);
    git(&sandbox, "fleet", &["init", "--quiet"]);
    git(&sandbox, "fleet", &["add", "."]);
    git(&sandbox, "fleet", &["commit", "--quiet", "-m", "one"]);
    sandbox.write("fleet/fleet.yaml", WHOLE);
    sandbox.write("fleet/rows.csv", "id,token\nr1,hunter2-row\nr2,hunter2-row\n");
    let string = register(&sandbox, &hub, "d1");
    hub.patch("d1", json!({ "tags": { "site": "Oslo" } }));
    run(&sandbox, &hub, OLD, &["apply", "fleet", "--yes"]).success();
    assert_eq!(hub.twin("r1")["tags"]["token"], ROW);
    // Found by others, and reported by the device.
    hub.patch("d1", json!({ "properties": { "desired": { "wifi": { "psk": FOUND } } }, "tags": { "token": FOUND } }));
    let psk = format!("wifi.psk={FOUND}");
    let mut reports = device(&sandbox, &hub, &string, &["--once", "--report", &psk, "--report", "fw=1"]);
    assert_eq!(reports.output().expect("a device").status.code(), Some(0));
    assert_eq!(hub.twin("d1")["properties"]["reported"]["wifi"]["psk"], FOUND);

    let online: &[&[&str]] = &[
        &["plan", "fleet", "--full"],
        &["plan", "fleet", "--annotations", "github", "--markdown", "plan.md", "--html", "plan.html"],
        &["show", "d1", "fleet"],
        &["show", "d1", "fleet", "--full"],
        &["show", "d1", "fleet", "--format", "json"],
        &["show", "r1/m", "fleet"],
        &["drift", "fleet"],
        &["drift", "fleet", "--format", "json"],
        &["drift", "fleet", "--format", "markdown"],
        &["drift", "fleet", "--annotations", "github", "--markdown", "drift.md", "--html", "drift.html"],
        &["check", "fleet"],
        &["check", "fleet", "--format", "json"],
        &["check", "fleet", "--format", "junit"],
    ];
    for args in online {
        let run = run(&sandbox, &hub, NEW, args);
        assert!(matches!(run.code, 0 | 6), "{run}");
    }
    for format in ["text", "json", "markdown", "html"] {
        let planned = run(&sandbox, &hub, NEW, &["plan", "fleet", "--out", "plan.json", "--format", format]);
        let shown = run(&sandbox, &hub, NEW, &["show", "plan.json", "--format", format]);
        assert_eq!(shown.success(), planned.success(), "{format}: the file shows what was planned");
    }
    for file in ["plan.md", "plan.html", "plan.json", "drift.md", "drift.html"] {
        assert_clean(file, &sandbox.read(file));
    }
    // A manifest that cannot be read whole still says what is sensitive.
    let alone = Run::of(&mut sandbox.command_on(&hub, ["show", "d1"]), &sandbox.path(""));
    assert_clean("show by itself", &alone.to_string());
    assert!(alone.stderr.contains("shown by itself") && alone.stdout.contains("(sensitive)"), "{alone}");

    let mut said = String::new();
    let offline: &[&[&str]] = &[
        &["explain", "d1", "fleet"],
        &["explain", "r1", "fleet"],
        &["explain", "r1", "tags", "fleet", "--format", "json"],
        &["explain", "r1/m", "fleet"],
        &["explain", "stray", "--selected", "fleet"],
        &["render", "fleet"],
        &["render", "fleet", "--format", "json"],
        &["render", "fleet", "--against", "HEAD"],
        &["render", "fleet", "--against", "HEAD", "--full"],
        &["render", "fleet", "--against", "HEAD", "--format", "json"],
        &["render", "fleet", "--against", "HEAD", "--format", "markdown"],
    ];
    for args in offline {
        let run = Run::of(sandbox.command(*args).env("PSK", NEW), &sandbox.path(""));
        assert_clean(&args.join(" "), &run.to_string());
        assert_eq!(run.code, 0, "{run}");
        if args[0] == "explain" || (args.contains(&"--against") && args.len() == 4) {
            writeln!(said, "$ twinctl {}\n{run}\n", args.join(" ")).expect("text");
        }
    }
    snapshot("sensitive_offline", masked(&said));

    // A conflict, and the report of it.
    hub.patch("d2", json!({ "properties": { "desired": { "wifi": { "psk": "hunter2-moved" } } } }));
    let conflict = run(&sandbox, &hub, NEW, &["apply", "plan.json", "--manifest", "fleet", "--yes"]);
    assert_eq!(conflict.code, 4, "{conflict}");
    // Mistakes on the very lines.
    let mut mistakes = String::new();
    for (good, bad) in [
        ("psk: \"${env.PSK}\" } } }\ngroups", "psk: \"${env.PSK}\", psk: \"${env.PSK}\" } } }\ngroups".to_owned()),
        ("psk: \"${env.PSK}\" } }\nsel", format!("psk: {} }} }}\nsel", "hunter2-".repeat(600))),
        ("token: \"${env.PSK}\"", "token: { a.b: hunter2-x }".to_owned()),
        ("token: \"${row.token}\"", "token: \"${row.token:int}\"".to_owned()),
        ("id: \"${row.id}\"", "id: \"x y ${row.id}\"".to_owned()),
        ("d2: { desired", "d2: { desierd: 1, desired".to_owned()),
    ] {
        assert!(WHOLE.contains(good), "{good}");
        sandbox.write("fleet/fleet.yaml", &WHOLE.replace(good, &bad));
        let run = Run::of(sandbox.command(["validate", "fleet"]).env("PSK", NEW), &sandbox.path(""));
        assert_clean("validate", &run.to_string());
        assert_eq!(run.code, 1, "{run}");
        writeln!(mistakes, "{run}\n").expect("text");
    }
    snapshot("sensitive_validate", mistakes);
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
