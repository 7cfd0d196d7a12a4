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
    assert_eq!(hub.twin("d01").get("tags"), None);
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

#[test]
fn limits_of_a_part_are_those_of_the_whole() {
    let sandbox = Sandbox::new();
    let hub = fleet(&sandbox);
    let plan = |only: &[&str]| {
        let only = only.iter().flat_map(|only| ["--only", *only]);
        sandbox.on(&hub, ["plan", "fleet.yaml"].into_iter().chain(only).collect::<Vec<_>>())
    };
    // Two of twelve, not two of two; and twelve are enough.
    sandbox.write("fleet.yaml", &manifest("limits: { max_changed: 20%, min_population: 12 }\n", 2));
    let whole = plan(&[]);
    assert_eq!(whole.code, 3, "{whole}");
    plan(&["d01", "d02"]).success();
    let more = plan(&["d01", "d02", "d03"]);
    assert!(more.code == 3 && more.stderr.contains("3 of 12 twins are changed (25%)"), "{more}");

    // Devices that left, and a selector that finds none, are not looked at.
    let selector = "selectors: [{ name: nobody, where: tags.none = 1, desired: { power: 1 } }]\n";
    sandbox.write(
        "fleet.yaml",
        &format!("fleet: demo\nmissing: register\n{selector}devices: {{ d01: {{ desired: {{ x: 1 }} }} }}\n"),
    );
    let whole = plan(&[]);
    assert!(whole.code == 3 && whole.stderr.contains("nobody"), "{whole}");
    plan(&["d01"]).success();

    // A group that no device of the whole fleet lists is empty all the same, once it matters for many of the part.
    let emptied = manifest("", 1).replace("{ groups: [strong] }", "{}");
    sandbox.write("fleet.yaml", &emptied);
    plan(&["d{01..02}"]).success();
    let many = plan(&["d{01..03}"]);
    assert!(many.code == 3 && many.stderr.contains("the group strong"), "{many}");
    // One that others of the fleet list is not.
    let shared = emptied.replace("devices: {", "devices: { other: { groups: [strong] },");
    sandbox.write("fleet.yaml", &shared);
    plan(&["d{01..10}"]).success();
}

#[test]
fn a_group_has_its_rows() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    sandbox.write("rows.csv", "id\nr1\nr2\n");
    sandbox.write(
        "fleet.yaml",
        "fleet: demo\nmissing: register\ngroups: { g: { tags: { a: 1 } } }\ndevices: { d1: {}, d2: { groups: [g] } }\n\
         inventory: [{ from: rows.csv, id: '${row.id}', groups: [g] }]\n",
    );
    let run = sandbox.on(&hub, ["plan", "fleet.yaml", "--only", "group:g", "--format", "json"]);
    assert!(run.stderr.contains("--only: 3 of 4 twins"), "{run}");
    let plan: Value = serde_json::from_str(&run.success()).expect("JSON");
    let ids: Vec<_> = plan["twins"].as_array().expect("twins").iter().map(|twin| twin["id"].clone()).collect();
    assert_eq!(ids, ["d2", "r1", "r2"]);
}

#[test]
fn a_rollout_that_is_not_carried_out_is_refused_or_said_to_be_ignored() {
    let sandbox = Sandbox::new();
    let hub = fleet(&sandbox);
    let rollout = "rollout: { waves: [1, 100%], on_failure: rollback }\n";
    sandbox.write("fleet.yaml", &manifest(rollout, 2));
    let refused = "the manifest asks for a rollout (rollout.waves, rollout.on_failure), and this version of twinctl does not carry it out";
    let before = writes(&hub);
    for args in [
        &["plan", "fleet.yaml", "--out", "plan.json", "--markdown", "plan.md", "--html", "plan.html"][..],
        &["apply", "fleet.yaml", "--yes"],
        &["apply", "plan.json", "--yes"],
    ] {
        let run = sandbox.on(&hub, args);
        assert!(run.code == 3 && run.stderr.contains(refused), "{run}");
    }
    assert_eq!(writes(&hub), before, "nothing was sent");
    for output in ["plan.md", "plan.html"] {
        assert!(sandbox.read(output).contains(refused), "{output}");
    }
    let run = sandbox.twinctl(["show", "plan.json"]);
    assert!(run.code == 0 && run.stderr.contains(refused), "{run}");
    let run = sandbox.twinctl(["validate", "fleet.yaml"]);
    assert!(run.code == 0 && run.stderr.contains("does not carry out `rollout`"), "{run}");
    let run = sandbox.twinctl(["validate", "fleet.yaml", "--strict"]);
    assert!(run.code == 1 && run.stderr.contains("fleet.yaml:3:1"), "{run}");

    // Where it is ignored, every output says so.
    let ignored = "the rollout is ignored (rollout.waves, rollout.on_failure): all twins are written at once";
    let run = sandbox.on(
        &hub,
        [
            "plan",
            "fleet.yaml",
            "--ignore-rollout",
            "--out",
            "plan.json",
            "--markdown",
            "plan.md",
            "--html",
            "plan.html",
        ],
    );
    assert!(run.code == 0 && run.stdout.contains(ignored), "{run}");
    for output in ["plan.md", "plan.html"] {
        assert!(sandbox.read(output).contains(ignored), "{output}");
    }
    assert!(sandbox.twinctl(["show", "plan.json"]).success().contains(ignored));
    let json = sandbox.on(&hub, ["plan", "fleet.yaml", "--ignore-rollout", "--format", "json"]).success();
    let json: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["ignored"], serde_json::json!(["rollout.waves", "rollout.on_failure"]));
    let run = sandbox.on(&hub, ["apply", "plan.json", "--yes"]);
    assert!(run.code == 0 && run.stdout.matches(ignored).count() == 2, "before and after: {run}");

    // A gate alone is one, too, and what says nothing is not.
    let gated =
        manifest("", 3) + "checks: [{ name: c, query: SELECT deviceId FROM devices, expect: some, gate: true }]\n";
    sandbox.write("fleet.yaml", &gated);
    let run = sandbox.on(&hub, ["plan", "fleet.yaml"]);
    assert!(run.code == 3 && run.stderr.contains("(checks.gate)"), "{run}");
    sandbox.on(&hub, ["apply", "fleet.yaml", "--yes", "--ignore-rollout"]).success();
    sandbox.write("fleet.yaml", &manifest("rollout: { pause: 0s, on_failure: stop }\n", 3));
    sandbox.on(&hub, ["plan", "fleet.yaml"]).success();
}

#[test]
fn variables_beside_a_plan_file_are_for_manifests() {
    let sandbox = Sandbox::new();
    let hub = fleet(&sandbox);
    sandbox.on(&hub, ["plan", "fleet.yaml", "--out", "plan.json"]).success();
    let run = sandbox.on(&hub, ["apply", "plan.json", "--yes", "--var", "a=b"]);
    assert!(
        run.code == 1 && run.stderr.contains("--var and --vars are for manifests, and plan.json is a plan"),
        "{run}"
    );
}

/// The plan that was reviewed, applied in each way that a review has, after `moves` happened on the hub.
fn applied_after(review: &str, moves: impl Fn(&Hub)) -> [(i32, String); 3] {
    ["file", "expect", "approve"].map(|way| {
        let sandbox = Sandbox::new();
        let hub = sandbox.hub();
        sandbox.write("fleet.yaml", &manifest("", 1));
        sandbox.on(&hub, ["apply", "fleet.yaml", "--yes"]).success();
        sandbox.write("fleet.yaml", review);
        let run = sandbox.on(&hub, ["plan", "fleet.yaml", "--out", "plan.json", "--format", "json"]);
        let plan: Value = serde_json::from_str(&run.stdout).expect("JSON");
        let digest = plan["digest"].as_str().expect("a digest");
        let saved: Value = serde_json::from_str(&sandbox.read("plan.json")).expect("JSON");
        assert_eq!(saved["review"], digest, "the file has the digest that is shown");
        moves(&hub);
        let before = writes(&hub);
        let run = match way {
            "file" => sandbox.on(&hub, ["apply", "plan.json", "--yes", "--approve", digest]),
            "expect" => sandbox.on(&hub, ["apply", "fleet.yaml", "--yes", "--expect", digest, "--approve", digest]),
            _ => sandbox.on(&hub, ["apply", "fleet.yaml", "--yes", "--approve", digest]),
        };
        assert!(way == "file" || run.code == 0 || writes(&hub) == before, "nothing was sent: {run}");
        (run.code, run.stderr)
    })
}

#[test]
fn a_value_that_moved_is_a_conflict_by_whatever_way_the_plan_was_reviewed() {
    let limited = |power| manifest("limits: { max_changed: 0 }\n", power);
    let on_d03 =
        |value: Value| move |hub: &Hub| hub.patch("d03", serde_json::json!({ "properties": { "desired": value } }));
    let moved = applied_after(&limited(2), on_d03(serde_json::json!({ "power": 7 })));
    assert_eq!(moved.each_ref().map(|(code, _)| *code), [4, 4, 4], "{moved:?}");
    for (_, said) in &moved[1..] {
        assert!(
            said.contains(
                "is not the one that this fleet applied last at desired.power of d03; what changed is there or at"
            ),
            "{said}"
        );
    }
    // Elsewhere does not matter.
    let elsewhere = applied_after(&limited(2), on_d03(serde_json::json!({ "note": 7 })));
    assert_eq!(elsewhere.each_ref().map(|(code, _)| *code), [0, 0, 0], "{elsewhere:?}");
    // Nor does it matter whether a guard trips.
    let generous = applied_after(&manifest("", 2), on_d03(serde_json::json!({ "power": 7 })));
    assert_eq!(generous.each_ref().map(|(code, _)| *code), [4, 4, 4], "{generous:?}");
    // A new path that somebody set, and a removed one that somebody changed.
    let fan = limited(1).replace("{ power: 1 }", "{ power: 1, fan: 1 }");
    let new = applied_after(&fan, on_d03(serde_json::json!({ "fan": 3 })));
    assert_eq!(new.each_ref().map(|(code, _)| *code), [4, 4, 4], "{new:?}");
    let gone = limited(1).replace("{ desired: { power: 1 } }", "{ desired: { } }");
    let removed = applied_after(&gone, on_d03(serde_json::json!({ "power": 7 })));
    assert_eq!(removed.each_ref().map(|(code, _)| *code), [4, 4, 4], "{removed:?}");
}

#[test]
fn an_approval_is_of_one_plan_whether_it_is_needed_or_not() {
    let sandbox = Sandbox::new();
    let hub = fleet(&sandbox);
    sandbox.write("fleet.yaml", &manifest("", 2));
    let digest = digest_of(&sandbox, &hub);
    let before = writes(&hub);
    for command in [&["plan"][..], &["apply", "--yes"], &["apply", "--format", "json", "--yes"]] {
        let run = sandbox.on(&hub, command.iter().chain(&["fleet.yaml", "--approve", "00000000"]));
        assert_eq!(run.code, 3, "{run}");
        assert!(
            run.stderr.contains("--approve says that 00000000 was approved") && !run.stderr.contains("next:"),
            "{run}"
        );
    }
    assert_eq!(writes(&hub), before, "nothing was sent");
    sandbox.on(&hub, ["plan", "fleet.yaml", "--out", "plan.json", "--approve", &digest]).success();
    sandbox.on(&hub, ["apply", "plan.json", "--yes", "--approve", "00000000"]).exits(3);
    sandbox.on(&hub, ["apply", "plan.json", "--yes", "--approve", &digest]).success();
    // All is as declared, also where a limit would refuse it without an approval.
    sandbox.on(&hub, ["apply", "fleet.yaml", "--yes", "--approve", &digest]).success();
    sandbox.write("fleet.yaml", &manifest("limits: { min_population: 20 }\n", 2));
    sandbox.on(&hub, ["apply", "fleet.yaml", "--yes"]).exits(3);
    sandbox.on(&hub, ["apply", "fleet.yaml", "--yes", "--approve", &digest]).success();
}

#[test]
fn a_table_that_lost_its_rows_is_refused_in_every_format() {
    for (table, full, emptied) in [
        ("rows.csv", "id\nr1\nr2\nr3\n", "id\n"),
        ("rows.json", r#"[{"id": "r1"}, {"id": "r2"}, {"id": "r3"}]"#, "[]"),
        ("rows.jsonl", "{\"id\": \"r1\"}\n{\"id\": \"r2\"}\n{\"id\": \"r3\"}\n", ""),
    ] {
        let sandbox = Sandbox::new();
        let hub = sandbox.hub();
        sandbox.write(table, full);
        sandbox.write(
            "fleet.yaml",
            &format!(
                "fleet: demo\nmissing: register\nlimits: {{ max_changed: 10% }}\n\
                 inventory: [{{ from: {table}, id: '${{row.id}}', tags: {{ a: 1 }} }}]\ndevices: {{ d1: {{ tags: {{ b: 1 }} }} }}\n"
            ),
        );
        // The first plan of a new fleet is past no limit.
        sandbox.on(&hub, ["apply", "fleet.yaml", "--yes"]).success();
        sandbox.write("fleet.yaml", &sandbox.read("fleet.yaml").replace("max_changed: 10%", "max_changed: 100%"));
        sandbox.write(table, emptied);
        let run = sandbox.on(&hub, ["plan", "fleet.yaml", "--format", "json"]);
        let plan: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("{table}: {run}"));
        assert_eq!((run.code, &plan["refusals"][0]["kind"]), (3, &Value::from("empty-inventory")), "{table}: {run}");
    }
}

#[test]
fn a_fleet_of_one_that_loses_its_device_is_refused() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    sandbox.write("fleet.yaml", "fleet: demo\nmissing: register\ndevices: { d1: { tags: { a: 1 } } }\n");
    sandbox.on(&hub, ["apply", "fleet.yaml", "--yes"]).success();
    sandbox.write("fleet.yaml", "fleet: demo\n");
    let run = sandbox.on(&hub, ["plan", "fleet.yaml"]);
    assert!(run.code == 3 && run.stderr.contains("no device is declared any more, and 1 twin"), "{run}");
}

#[test]
fn a_fleet_whose_devices_all_get_other_names_is_refused() {
    for (missing, rows) in
        [("skip", "id\n1\n2\n3\n4\n5\n"), ("register", "id\n1\n2\n3\n4\n5\n"), ("register", "id\n9\n")]
    {
        let sandbox = Sandbox::new();
        let hub = sandbox.hub();
        let text = |missing: &str, id: &str, devices: &str| {
            format!(
                "fleet: demo\nmissing: {missing}\ninventory: [{{ from: rows.csv, id: '{id}${{row.id}}', tags: {{ a: 1 }} }}]\n\
                 devices: {{ {devices} }}\n"
            )
        };
        sandbox.write("rows.csv", "id\n1\n2\n3\n4\n5\n");
        sandbox.write("fleet.yaml", &text("register", "", "oo: { modules: { m: { tags: { b: 1 } } } }"));
        sandbox.on(&hub, ["apply", "fleet.yaml", "--yes"]).success();
        sandbox.write("rows.csv", rows);
        sandbox.write("fleet.yaml", &text(missing, "x", ""));
        let run = sandbox.on(&hub, ["plan", "fleet.yaml"]);
        assert_eq!(run.code, 3, "{run}");
        assert!(run.stderr.contains("no twin that this fleet was applied to stays in it: 6 twins"), "{run}");
        sandbox.on(&hub, ["apply", "fleet.yaml", "--yes"]).exits(3);
        assert_eq!(hub.twin("1")["tags"]["a"], 1);
        sandbox.on(&hub, ["apply", "fleet.yaml", "--yes", "--approve", &approval(&run)]).success();
        assert_eq!(hub.twin("1").get("tags"), None);
    }
}

#[test]
fn a_fleet_of_which_a_module_alone_has_a_record_is_refused_as_well() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    sandbox.write(
        "fleet.yaml",
        "fleet: demo\nmissing: register\ndevices: { gw: { modules: { m: { tags: { a: 1 } } } } }\n",
    );
    sandbox.on(&hub, ["apply", "fleet.yaml", "--yes"]).success();
    sandbox.write("fleet.yaml", "fleet: demo\n");
    let run = sandbox.on(&hub, ["plan", "fleet.yaml"]);
    assert!(run.code == 3 && run.stderr.contains("no device is declared any more, and 1 twin"), "{run}");
}
