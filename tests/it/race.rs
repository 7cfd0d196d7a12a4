//! Twins that change between plan and apply: what is sent again, what is left alone, and that nothing is sent unguarded.

use serde_json::{Value, json};

use crate::support::{Hub, Sandbox, snapshot};

/// A hub with one device, and a plan for it that was made before a stranger wrote to it.
fn planned(sandbox: &Sandbox, stranger: Value) -> Hub {
    let hub = sandbox.hub();
    hub.create("d1");
    hub.patch("d1", json!({ "tags": { "plant": "Oslo" }, "properties": { "desired": { "a": 1, "b": 1 } } }));
    sandbox.write("fleet.yaml", "fleet: demo\ndevices: { d1: { tags: { plant: Redmond43 }, desired: { a: 2 } } }\n");
    sandbox.on(&hub, ["plan", "fleet.yaml", "--out", "plan.json"]).success();
    hub.patch("d1", stranger);
    hub
}

/// Asserts that twins were written, and none of them without the etag of what had been read. The test's own writes are no requests.
fn assert_guarded(hub: &Hub) {
    let requests = hub.requests();
    let is_write = |request: &&Value| {
        request["path"].as_str().is_some_and(|path| path.starts_with("/twins/")) && request["method"] != "GET"
    };
    let writes: Vec<_> = requests.iter().filter(is_write).collect();
    assert!(!writes.is_empty(), "twinctl wrote nothing that could be looked at");
    assert!(writes.iter().all(|request| request["ifMatch"].as_str().is_some_and(is_an_etag)), "{writes:#?}");
}

fn is_an_etag(header: &str) -> bool {
    header.len() > 3 && header.starts_with('"') && header.ends_with('"') && header != "\"*\""
}

#[test]
fn other_paths_moved_rebased() {
    let sandbox = Sandbox::new();
    let hub = planned(&sandbox, json!({ "tags": { "floor": 3 }, "properties": { "desired": { "b": 5 } } }));
    snapshot("race_rebased", sandbox.on(&hub, ["apply", "plan.json", "--yes"]));
    let twin = hub.twin("d1");
    assert_eq!((&twin["tags"]["plant"], &twin["tags"]["floor"]), (&json!("Redmond43"), &json!(3)));
    assert_eq!((&twin["properties"]["desired"]["a"], &twin["properties"]["desired"]["b"]), (&json!(2), &json!(5)));
    assert_guarded(&hub);
}

#[test]
fn already_as_declared_is_not_written_twice() {
    let sandbox = Sandbox::new();
    let hub = planned(&sandbox, json!({ "tags": { "floor": 3 } }));
    sandbox.on(&hub, ["apply", "fleet.yaml", "--yes"]).success();
    let before = hub.twin("d1");
    snapshot("race_converged", sandbox.on(&hub, ["apply", "plan.json", "--yes"]));
    assert_eq!(hub.twin("d1"), before, "not even a version moved");
    assert_guarded(&hub);
}

#[test]
fn the_same_path_moved_is_a_conflict() {
    let sandbox = Sandbox::new();
    let hub = planned(&sandbox, json!({ "properties": { "desired": { "a": 9 } } }));
    let before = hub.twin("d1");
    let run = sandbox.on(&hub, ["apply", "plan.json", "--yes"]);
    assert_eq!(run.code, 4, "{run}");
    snapshot("race_conflict", run);
    assert_eq!(hub.twin("d1"), before, "left alone");
    assert_guarded(&hub);
}

#[test]
fn a_device_that_went_is_a_failure() {
    let sandbox = Sandbox::new();
    let hub = planned(&sandbox, json!({}));
    assert_eq!(hub.send("DELETE", "/devices/d1", Some("*"), None).status, 204);
    let run = sandbox.on(&hub, ["apply", "plan.json", "--yes"]);
    assert_eq!(run.code, 5, "{run}");
    snapshot("race_gone", run);
}

#[test]
fn a_writer_at_work_during_apply_is_never_overwritten() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    let ids: Vec<String> = (1..=20).map(|n| format!("d{n:02}")).collect();
    ids.iter().for_each(|id| hub.create(id));
    sandbox.write("fleet.yaml", "fleet: demo\ndevices: { 'd{01..20}': { desired: { ours: 1 } } }\n");
    let mut apply = sandbox
        .command_on(&hub, ["apply", "fleet.yaml", "--yes"])
        .stderr(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("apply starts");
    let mut counts = vec![0; ids.len()];
    while apply.try_wait().expect("a child").is_none() {
        for (id, count) in ids.iter().zip(&mut counts) {
            *count += 1;
            hub.patch(id, json!({ "properties": { "desired": { "theirs": *count } } }));
        }
    }
    for (id, count) in ids.iter().zip(&counts) {
        let desired = &hub.twin(id)["properties"]["desired"];
        assert_eq!(desired["theirs"], *count, "{id}");
    }
    sandbox.on(&hub, ["apply", "fleet.yaml", "--yes"]).success();
    sandbox.on(&hub, ["plan", "fleet.yaml", "--detailed-exitcode"]).success();
    assert_guarded(&hub);
}

#[test]
fn plans_for_another_hub_or_altered_are_refused_before_any_request() {
    let sandbox = Sandbox::new();
    let hub = planned(&sandbox, json!({ "tags": { "floor": 3 } }));
    let plan = sandbox.read("plan.json");
    let elsewhere = Sandbox::new();
    let other = elsewhere.hub();
    let before = hub.requests().len();

    let path = sandbox.path("plan.json");
    let run = elsewhere.on(&other, ["apply".as_ref(), path.as_os_str(), "--yes".as_ref()]);
    assert_eq!(run.code, 3, "{run}");
    snapshot(
        "plan_for_another_hub",
        run.to_string().replace(sandbox.path("").to_str().expect("UTF-8"), "[ELSEWHERE]/"),
    );

    sandbox.write("altered.json", &plan.replace("Redmond43", "Redmond44"));
    let run = sandbox.on(&hub, ["apply", "altered.json", "--yes"]);
    assert_eq!(run.code, 1, "{run}");
    snapshot("plan_altered", run);

    sandbox.write("half.json", &plan[..plan.len() / 2]);
    let run = sandbox.on(&hub, ["apply", "half.json", "--yes"]);
    assert_eq!(run.code, 1, "{run}");
    snapshot("plan_cut", run);

    assert_eq!(hub.requests().len(), before);
    assert_eq!(other.requests().len(), 0);
}
