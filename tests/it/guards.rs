//! Limits and fallen populations: refused with exit 3, and let pass for one plan at a time.

use std::fmt::Write;

use serde_json::Value;

use crate::support::{Hub, Run, Sandbox, snapshot};

/// A hub with twelve devices that a manifest has been applied to.
fn fleet(sandbox: &Sandbox) -> Hub {
    let hub = sandbox.hub();
    sandbox.write("fleet.yaml", &manifest("", 1));
    sandbox.on(&hub, ["apply", "fleet.yaml", "--yes"]).success();
    hub
}

fn manifest(limits: &str, power: i64) -> String {
    format!(
        "fleet: demo\nmissing: register\n{limits}defaults: {{ tags: {{ plant: Oslo }} }}\n\
         groups: {{ strong: {{ desired: {{ power: {power} }} }} }}\ndevices: {{ 'd{{01..12}}': {{ groups: [strong] }} }}\n"
    )
}

/// The digits that a refusal prints for `--approve`.
fn approval(run: &Run) -> String {
    let hint = run.stderr.split("--approve ").last().expect("a hint");
    hint.chars().take_while(char::is_ascii_hexdigit).collect()
}

fn digest_of(sandbox: &Sandbox, hub: &Hub) -> String {
    let run = sandbox.on(hub, ["plan", "fleet.yaml", "--format", "json"]);
    let plan: Value = serde_json::from_str(&run.stdout).expect("JSON");
    plan["digest"].as_str().expect("a digest").to_owned()
}

fn writes(hub: &Hub) -> usize {
    let requests = hub.requests();
    requests.iter().filter(|request| request["method"] == "PATCH").count()
}

#[test]
fn past_a_limit_only_what_was_approved_passes() {
    let sandbox = Sandbox::new();
    let hub = fleet(&sandbox);
    sandbox.write("fleet.yaml", &manifest("limits: { max_changed: 20%, min_population: 20 }\n", 2));
    let before = writes(&hub);
    let mut conversation = String::new();
    let refused = sandbox.on(&hub, ["plan", "fleet.yaml", "--out", "plan.json"]);
    let approve = approval(&refused);
    assert!(approve.len() >= 8, "{refused}");
    for (args, code) in [
        (vec!["plan", "fleet.yaml", "--out", "plan.json"], 3),
        (vec!["apply", "fleet.yaml", "--yes"], 3),
        (vec!["apply", "plan.json", "--yes"], 3),
        (vec!["apply", "plan.json", "--yes", "--approve", "0123456789ab"], 3),
        (vec!["apply", "plan.json", "--yes", "--approve", "0123"], 1),
    ] {
        let run = sandbox.on(&hub, &args);
        assert_eq!(run.code, code, "{run}");
        writeln!(conversation, "$ twinctl {}\n{run}\n", args.join(" ")).expect("text");
    }
    assert_eq!(writes(&hub), before, "nothing was sent");
    snapshot("guards_limits", conversation.replace(&approve, "[DIGEST]"));

    let json = sandbox.on(&hub, ["plan", "fleet.yaml", "--format", "json"]);
    let plan: Value = serde_json::from_str(&json.exits(3)).expect("JSON");
    let kinds: Vec<_> = plan["refusals"].as_array().expect("a list").iter().map(|one| &one["kind"]).collect();
    assert_eq!(kinds, ["max-changed", "min-population"]);

    sandbox.on(&hub, ["plan", "fleet.yaml", "--approve", &approve, "--detailed-exitcode"]).exits(2);
    sandbox.on(&hub, ["apply", "plan.json", "--yes", "--approve", &approve]).success();
    assert_eq!(hub.twin("d07")["properties"]["desired"]["power"], 2);
    // It was that plan; the next one asks for its own.
    sandbox.write("fleet.yaml", &manifest("limits: { max_changed: 20%, min_population: 20 }\n", 3));
    sandbox.on(&hub, ["apply", "fleet.yaml", "--yes", "--approve", &approve]).exits(3);
}

#[test]
fn a_fleet_or_a_group_that_fell_to_nothing_is_refused_without_limits() {
    let sandbox = Sandbox::new();
    let hub = fleet(&sandbox);
    let mut conversation = String::new();
    for (what, text) in [
        ("nobody is in the group any more", manifest("", 1).replace("{ groups: [strong] }", "{}")),
        ("nobody is declared any more", "fleet: demo\ndevices: {}\n".to_owned()),
    ] {
        sandbox.write("fleet.yaml", &text);
        let run = sandbox.on(&hub, ["plan", "fleet.yaml"]);
        assert_eq!(run.code, 3, "{run}");
        writeln!(conversation, "# {what}\n{run}\n").expect("text");
    }
    let approve = approval(&sandbox.on(&hub, ["plan", "fleet.yaml"]));
    snapshot("guards_populations", mask(&conversation));
    sandbox.on(&hub, ["apply", "fleet.yaml", "--yes", "--approve", &approve]).success();
    assert_eq!(hub.twin("d01")["tags"], serde_json::json!({}));
}

/// Takes the digests out that a hint offers.
fn mask(text: &str) -> String {
    let mut parts = text.split("--approve ");
    let mut masked = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        masked.push_str("--approve [DIGEST]");
        masked.push_str(part.trim_start_matches(|c: char| c.is_ascii_hexdigit()));
    }
    masked
}

#[test]
fn apply_goes_on_only_with_the_plan_that_was_reviewed() {
    let sandbox = Sandbox::new();
    let hub = fleet(&sandbox);
    sandbox.write("fleet.yaml", &manifest("", 2));
    let reviewed = digest_of(&sandbox, &hub);
    // The twin moves elsewhere: the plan is the same. On its path: it is another.
    hub.patch("d03", serde_json::json!({ "tags": { "note": 1 } }));
    assert_eq!(digest_of(&sandbox, &hub), reviewed);
    sandbox.write("fleet.yaml", &manifest("", 3));
    let before = writes(&hub);
    let run = sandbox.on(&hub, ["apply", "fleet.yaml", "--yes", "--expect", &reviewed]);
    let found = digest_of(&sandbox, &hub);
    let short = |digest: &str| digest["sha256:".len()..][..12].to_owned();
    let text = run.to_string().replace(&short(&found), "[FOUND]").replace(&reviewed["sha256:".len()..], "[REVIEWED]");
    assert_eq!((run.code, writes(&hub)), (3, before), "{run}");
    snapshot("expect_another", text);
    sandbox.write("fleet.yaml", &manifest("", 2));
    sandbox.on(&hub, ["apply", "fleet.yaml", "--yes", "--expect", &reviewed]).success();
    // Once it is done there is nothing to expect any more.
    sandbox.on(&hub, ["apply", "fleet.yaml", "--yes", "--expect", &reviewed]).success();
    sandbox.on(&hub, ["apply", "fleet.yaml", "--yes", "--expect", "short"]).exits(1);
}
