//! What a plan says that it will lead to: checks, others who write, cost; and selectors whose queries are stale.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Hub, Sandbox, snapshot};

fn outlook(text: &str) -> Value {
    let plan: Value = serde_json::from_str(text).expect("a plan in JSON");
    plan["outlook"].clone()
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).expect("JSON")
}

fn configure(hub: &Hub, id: &str, priority: i64, condition: &str, content: Value) {
    let body = json!({ "id": id, "priority": priority, "targetCondition": condition, "content": { "deviceContent": content } });
    let answer = hub.send("PUT", &format!("/configurations/{id}"), None, Some(body));
    assert_eq!(answer.status, 200, "{}", answer.body);
}

const FLEET: &str = "\
fleet: demo
missing: register
defaults:
  tags: { plant: oslo }
  desired: { mode: eco, telemetry: { interval: 60 } }
devices:
  press-1: {}
  press-2: {}
  press-9: {}
checks:
  - name: oslo is whole
    query: SELECT COUNT() AS n FROM devices WHERE tags.plant = 'oslo'
    expect: { n: 4 }
  - name: all of them are eco
    query: SELECT deviceId FROM devices WHERE properties.desired.mode != 'eco'
    expect: none
  - name: nobody on cellular
    query: SELECT deviceId FROM devices WHERE tags.plant = 'oslo' AND properties.reported.connectivity = 'cellular'
    expect: none
  - name: most are in oslo
    query: SELECT deviceId FROM devices WHERE tags.plant = 'oslo'
    expect: { share: '>= 90%', of: SELECT deviceId FROM devices }
  - name: these two
    query: SELECT * FROM devices WHERE deviceId IN ['press-1', 'press-2'] AND tags.plant = 'oslo'
    expect: [press-1, press-2]
  - name: no jobs
    query: SELECT * FROM devices.jobs
    expect: none
    severity: warn
";

/// Two presses of the fleet, one that it does not have yet, and two strangers, one of them in the same plant.
fn hub_of_presses(sandbox: &Sandbox) -> Hub {
    let hub = Hub::start_with(sandbox, |hub| hub.evaluate_configurations(Duration::from_secs(3600)));
    for id in ["press-1", "press-2", "other-1", "other-2"] {
        hub.create(id);
    }
    hub.patch("other-1", json!({ "tags": { "plant": "oslo" }, "properties": { "desired": { "mode": "fast" } } }));
    hub.patch(
        "press-2",
        json!({ "tags": { "twinctl": { "wifi": { "v": 1, "rev": "c0ffee", "owns": ["desired.wifi.ssid=01bc"] } } } }),
    );
    configure(
        &hub,
        "fast",
        10,
        "tags.plant = 'oslo'",
        json!({ "properties.desired.mode": "fast", "properties.desired.telemetry": { "interval": 60, "level": 3 } }),
    );
    // It loses one path to the other, and the other path is nobody's.
    configure(&hub, "slow", 1, "*", json!({ "properties.desired.mode": "slow", "properties.desired.elsewhere": 1 }));
    configure(&hub, "nowhere", 99, "tags.plant = 'bergen'", json!({ "properties.desired.mode": "fast" }));
    hub
}

#[test]
fn a_plan_says_what_it_will_lead_to() {
    let sandbox = Sandbox::new();
    let hub = hub_of_presses(&sandbox);
    sandbox.write("fleet.yaml", FLEET);
    let before = hub.requests().len();
    let plan = sandbox.on(&hub, ["plan", "fleet.yaml", "--format", "json", "--out", "plan.json"]).success();
    snapshot("outlook", pretty(&outlook(&plan)));

    // What it says of its requests is what the hub saw.
    let seen = hub.requests().len() - before;
    assert_eq!(outlook(&plan)["cost"]["read"]["requests"], json!(seen));
    // The file has the same.
    let file: Value = serde_json::from_str(&sandbox.read("plan.json")).expect("JSON");
    assert_eq!(file["outlook"], outlook(&plan));

    snapshot(
        "outlook-require-checks",
        format!(
            "{}\n\n{}",
            sandbox.on(&hub, ["plan", "fleet.yaml", "--format", "json", "--require-checks"]).stderr_and_code(),
            sandbox.on(&hub, ["apply", "plan.json", "--yes", "--require-checks"]).stderr_and_code(),
        ),
    );
    assert_eq!(hub.twin("press-1").get("tags"), None, "nothing was sent");
}

#[test]
fn deployments_to_edge_devices_are_among_those_who_write() {
    let sandbox = Sandbox::new();
    let hub = Hub::start_with(&sandbox, |hub| hub.evaluate_configurations(Duration::from_secs(3600)));
    for gateway in ["gw-1", "gw-2", "gw-3"] {
        hub.create(gateway);
        let module = json!({ "deviceId": gateway, "moduleId": "vision" });
        let answer = hub.send("PUT", &format!("/devices/{gateway}/modules/vision"), None, Some(module));
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    hub.patch("gw-1", json!({ "tags": { "plant": "oslo" } }));
    hub.patch("gw-2", json!({ "tags": { "plant": "oslo" } }));
    let agent = json!({ "properties.desired": { "modules": {} } });
    for (id, priority, condition, content) in [
        // Layered over the base: one path.
        ("layered", 20, "tags.plant = 'oslo'", json!({ "vision": { "properties.desired.fps": 30 } })),
        // The base of oslo replaces all of it, and what lies below it is not there.
        (
            "base",
            10,
            "tags.plant = 'oslo'",
            json!({ "$edgeAgent": agent, "vision": { "properties.desired": { "fps": 1, "mode": "eco" } } }),
        ),
        ("older", 1, "*", json!({ "$edgeAgent": agent, "vision": { "properties.desired.zoom": 2 } })),
        ("nobody", 99, "tags.plant = 'bergen'", json!({ "vision": { "properties.desired.fps": 2 } })),
    ] {
        let content = json!({ "modulesContent": content });
        let body = json!({ "id": id, "priority": priority, "targetCondition": condition, "content": content });
        let answer = hub.send("PUT", &format!("/configurations/{id}"), None, Some(body));
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    sandbox.write(
        "fleet.yaml",
        "fleet: edge\ndevices:\n  'gw-{1..3}': { modules: { vision: { desired: { fps: 5, mode: eco, zoom: 1 } } } }\n",
    );
    let writers = |args: &[&str]| {
        let plan = sandbox.on(&hub, ["plan", "fleet.yaml", "--format", "json"].iter().chain(args)).success();
        let outlook = outlook(&plan);
        let line = |writer: &Value| {
            let paths = writer["paths"].as_array().expect("paths").iter();
            let paths = paths.map(|path| format!("{} by {} {}", path["declared"], path["theirs"], path["agree"]));
            format!("{} {} {}", writer["id"], paths.collect::<Vec<_>>().join(", "), writer["twins"]).replace('"', "")
        };
        let writers: Vec<_> = outlook["writers"].as_array().into_iter().flatten().map(line).collect();
        (writers, outlook["unread"].clone())
    };
    let all = [
        "layered desired.fps by desired.fps false [gw-1/vision,gw-2/vision]",
        "base desired.mode by desired true, desired.zoom by desired false [gw-1/vision,gw-2/vision]",
        "older desired.zoom by desired.zoom false [gw-3/vision]",
    ];
    assert_eq!(writers(&[]), (all.map(str::to_owned).to_vec(), Value::Null));
    let (found, unread) = writers(&["--only", "gw-1/vision"]);
    assert_eq!(found, [""; 0]);
    assert_eq!(unread.as_array().map(Vec::len), Some(4));
    assert_eq!(
        unread[1],
        "the deployment layered writes into what is planned, if it targets gw-1: this plan does not look at the device"
    );
}

#[test]
fn a_narrowed_plan_leaves_the_rest_of_the_fleet_as_it_is() {
    let sandbox = Sandbox::new();
    let hub = hub_of_presses(&sandbox);
    hub.patch("press-2", json!({ "tags": { "plant": "oslo" } }));
    sandbox.write("fleet.yaml", FLEET);
    let plan = sandbox.on(&hub, ["plan", "fleet.yaml", "--only", "press-1", "--format", "json"]).success();
    let forecast = &outlook(&plan)["predictions"][0]["forecast"];
    // press-1 comes, press-2 and other-1 are there, press-9 is not registered by this.
    assert_eq!(forecast["difference"]["summary"], json!("n: expected 4, found 3"), "{forecast}");
}

#[test]
fn other_tiers_have_other_throttles() {
    let sandbox = Sandbox::new();
    let hub = hub_of_presses(&sandbox);
    sandbox.write("fleet.yaml", FLEET);
    let cost = |more: &[&str]| {
        let plan = sandbox.on(&hub, [&["plan", "fleet.yaml", "--format", "json"], more].concat()).success();
        outlook(&plan)["cost"].clone()
    };
    let (s1, s3, free) = (cost(&[]), cost(&["--tier", "s3", "--units", "2"]), cost(&["--tier", "F1"]));
    assert_eq!(
        [&s1, &s3, &free].map(|it| it["tier"].as_str().expect("a text")),
        ["S1, 1 unit", "S3, 2 units", "F1, 1 unit"]
    );
    let seconds = |cost: &Value| cost["read"]["seconds"].as_f64().expect("a number");
    assert!(seconds(&s3) < seconds(&s1), "{s1} {s3}");
    assert!(free["read"]["messages"].as_u64() > s1["read"]["messages"].as_u64(), "{s1} {free}");
    let wrong = sandbox.on(&hub, ["plan", "fleet.yaml", "--tier", "F1", "--units", "2"]);
    assert_eq!(wrong.code, 1, "{wrong}");
    assert!(wrong.stderr.contains("a hub of the tier F1 has 1 unit, and not 2"), "{wrong}");
}

#[test]
fn a_policy_that_may_not_read_configurations_plans_all_the_same() {
    let sandbox = Sandbox::new();
    let hub = hub_of_presses(&sandbox);
    sandbox.write("fleet.yaml", FLEET);
    let mut command = sandbox.command(["plan", "fleet.yaml", "--format", "json", "--ca-file", hub.ca_file()]);
    command.env("IOTHUB_CONNECTION_STRING", hub.connection_string("service"));
    let output = command.output().expect("it starts");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let expected = json!(["the hub's configurations were not read: it answers IotHubUnauthorizedAccess"]);
    assert_eq!(outlook(&text)["unread"], expected, "{text}");
}

#[test]
fn a_large_fleet_is_read_by_query_with_its_strangers() {
    let sandbox = Sandbox::new();
    let hub = Hub::start(&sandbox);
    for n in 1..=150 {
        hub.create(&format!("p-{n:03}"));
    }
    hub.create("stranger");
    hub.patch("stranger", json!({ "tags": { "plant": "oslo" } }));
    sandbox.write(
        "fleet.yaml",
        "fleet: demo\ndevices:\n  'p-{001..150}': { tags: { plant: oslo } }\nchecks:\n  - name: all\n    query: SELECT COUNT() AS n FROM devices WHERE tags.plant = 'oslo'\n    expect: { n: 151 }\n",
    );
    let plan = sandbox.on(&hub, ["plan", "fleet.yaml", "--format", "json"]).success();
    let plan: Value = serde_json::from_str(&plan).expect("JSON");
    assert_eq!(plan["read"], json!("query"));
    assert_eq!(plan["outlook"]["predictions"][0]["forecast"], json!({ "kind": "will-hold" }));
    // The count, one page of twins, and what other modules carry the record: nothing for the check.
    assert_eq!(plan["outlook"]["cost"]["read"]["requests"], json!(3));
    sandbox.on(&hub, ["apply", "fleet.yaml", "--yes"]).success();
}

const SAVER: &str = "\
fleet: demo
defaults:
  desired: { interval: 60 }
devices:
  d-1: {}
  d-2: {}
selectors:
  - name: saver
    where: tags.mode = 'slow'
    desired: { interval: 600 }
";

fn interval(hub: &Hub, id: &str) -> Value {
    hub.twin(id)["properties"]["desired"]["interval"].clone()
}

#[test]
fn a_stale_query_takes_no_device_out_of_a_selection() {
    let sandbox = Sandbox::new();
    sandbox.write("fleet.yaml", SAVER);
    let hub = Hub::start(&sandbox);
    for (id, mode) in [("d-1", "slow"), ("d-2", "quick"), ("found", "slow"), ("ghost", "slow"), ("leaving", "slow")] {
        hub.create(id);
        hub.patch(id, json!({ "tags": { "mode": mode } }));
    }
    sandbox.on(&hub, ["apply", "fleet.yaml", "--yes"]).success();
    let intervals = |hub: &Hub| ["d-1", "d-2", "found", "leaving"].map(|id| interval(hub, id));
    assert_eq!(intervals(&hub), [json!(600), json!(60), json!(600), json!(600)]);
    sandbox.on(&hub, ["plan", "fleet.yaml", "--detailed-exitcode"]).success();
    hub.kill();

    // From here on queries see the fleet as it is now, for ever.
    let hub = Hub::start_with(&sandbox, |hub| hub.query_lag(Duration::from_secs(24 * 3600)));
    for (id, mode) in [("d-1", "quick"), ("d-2", "slow"), ("leaving", "quick")] {
        hub.patch(id, json!({ "tags": { "mode": mode } }));
    }
    assert_eq!(hub.send("DELETE", "/devices/ghost", Some("*"), None).status, 204);
    let plan = sandbox.on(&hub, ["plan", "fleet.yaml", "--format", "json"]).success();
    let plan: Value = serde_json::from_str(&plan).expect("JSON");
    assert_eq!(plan["selections"][0]["ids"], json!(["d-2", "found"]), "by what GET says");
    let acted: Vec<_> = plan["twins"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|twin| format!("{} {} {}", twin["id"], twin["action"], twin["patch"]["desired"]))
        .collect();
    assert_eq!(
        acted,
        [
            r#""d-1" "update" {"interval":60}"#,
            r#""d-2" "update" {"interval":600}"#,
            r#""leaving" "release" {"interval":null}"#,
        ]
    );
    // What twins say by GET counts for the checks as well, where their query still knows it otherwise.
    sandbox.write(
        "checked.yaml",
        &format!(
            "{SAVER}checks: [{{ name: slow ones, query: \"SELECT deviceId FROM devices WHERE tags.mode = 'slow'\", expect: [d-2, found] }}]\n"
        ),
    );
    let checked = sandbox.on(&hub, ["plan", "checked.yaml", "--format", "json"]).success();
    assert_eq!(outlook(&checked)["predictions"][0]["forecast"], json!({ "kind": "will-hold" }));

    sandbox.on(&hub, ["apply", "fleet.yaml", "--yes"]).success();
    assert_eq!(intervals(&hub), [json!(60), json!(600), json!(600), Value::Null]);
    // The queries know nothing of that, and nothing is done twice or taken back.
    sandbox.on(&hub, ["plan", "fleet.yaml", "--detailed-exitcode"]).success();
}

#[test]
fn selectors_find_devices_of_a_fleet_that_is_read_by_query() {
    let sandbox = Sandbox::new();
    let hub = Hub::start(&sandbox);
    for n in 1..=120 {
        hub.create(&format!("d-{n:03}"));
    }
    for id in ["d-007", "found"] {
        if id == "found" {
            hub.create(id);
        }
        hub.patch(id, json!({ "tags": { "mode": "slow" } }));
    }
    sandbox.write("fleet.yaml", &SAVER.replace("  d-1: {}\n  d-2: {}\n", "  'd-{001..120}': {}\n"));
    sandbox.on(&hub, ["apply", "fleet.yaml", "--yes"]).success();
    let intervals = |hub: &Hub| ["d-001", "d-007", "found"].map(|id| interval(hub, id));
    assert_eq!(intervals(&hub), [json!(60), json!(600), json!(600)]);
    for (id, mode) in [("d-001", "slow"), ("d-007", "quick"), ("found", "quick")] {
        hub.patch(id, json!({ "tags": { "mode": mode } }));
    }
    let plan = sandbox.on(&hub, ["plan", "fleet.yaml", "--format", "json"]).success();
    let plan: Value = serde_json::from_str(&plan).expect("JSON");
    assert_eq!((&plan["read"], &plan["selections"][0]["ids"]), (&json!("query"), &json!(["d-001"])));
    let summary = &plan["summary"];
    assert_eq!((&summary["update"], &summary["release"], &summary["unchanged"]), (&json!(2), &json!(1), &json!(118)));
    sandbox.on(&hub, ["apply", "fleet.yaml", "--yes"]).success();
    assert_eq!(intervals(&hub), [json!(600), json!(60), Value::Null]);
    sandbox.on(&hub, ["plan", "fleet.yaml", "--detailed-exitcode"]).success();
}

#[test]
fn a_selection_that_the_manifest_alters_is_refused() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "fleet.yaml",
        "\
fleet: demo
devices:
  d-1: { tags: { mode: slow } }
  d-2: {}
selectors:
  - name: saver
    where: tags.mode = 'slow'
    tags: { mode: quick }
  - name: plain
    where: NOT is_defined(tags.checked)
    tags: { checked: true }
",
    );
    let hub = Hub::start(&sandbox);
    for id in ["d-1", "d-2", "d-3"] {
        hub.create(id);
    }
    hub.patch("d-3", json!({ "tags": { "mode": "slow", "checked": true } }));
    let run = sandbox.on(&hub, ["plan", "fleet.yaml", "--format", "json", "--out", "plan.json"]);
    snapshot(
        "selectors-that-do-not-converge",
        format!("{}\n\n{}", pretty(&outlook(&run.stdout)["diverging"]), run.stderr_and_code()),
    );
    let apply = sandbox.on(&hub, ["apply", "plan.json", "--yes"]);
    assert_eq!(apply.code, 3, "{apply}");
    assert_eq!(hub.twin("d-2").get("tags"), None);
}
