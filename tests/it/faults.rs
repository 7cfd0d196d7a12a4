//! A hub that is told to misbehave, by its command line and while it runs.

use serde_json::json;

use crate::support::{Hub, Sandbox};

const FLEET: &str = "fleet: demo\ndevices:\n  \"d-{01..20}\": { desired: { power_level: 2 } }\n";

#[test]
fn apply_gets_through() {
    let sandbox = Sandbox::new();
    let rules =
        sandbox.write("faults.txt", "# one in four\nPATCH  /twins/*  502  10%\nPATCH  /twins/*  reset-after  15%\n");
    let hub = Hub::start(&sandbox, &["--faults", rules.to_str().expect("a path")]);
    (1..=20).for_each(|n| hub.create(&format!("d-{n:02}")));
    sandbox.write("fleet.yaml", FLEET);
    sandbox.on(&hub, ["apply", "fleet.yaml", "--yes"]).success();
    for n in 1..=20 {
        assert_eq!(hub.twin(&format!("d-{n:02}"))["properties"]["desired"]["power_level"], 2);
    }
    let met = hub.requests().iter().filter(|request| !request["fault"].is_null()).count();
    assert!(met > 0, "with the seed 0 some of twenty meet something");
    sandbox.on(&hub, ["plan", "fleet.yaml", "--detailed-exitcode"]).success();
}

#[test]
fn rules_are_shown_set_and_cleared() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    hub.create("d1");
    let faults = |args: &[&str]| sandbox.on(&hub, [&["hub", "faults"], args].concat());

    let run = faults(&["set", "GET /twins/* 503 first 2; * * slow 1ms; MQTT twin/get 429"]);
    assert_eq!(run.code, 0, "{run}");
    let status = || hub.send("GET", "/twins/d1", None, None).status;
    assert_eq!([status(), status(), status()], [503, 503, 200]);
    assert_eq!(
        faults(&["show"]).success(),
        "requests  due  rule\n       3    2  GET /twins/* 503 first 2\n       1    1  * * slow 1ms\n       0    0  MQTT twin/get 429\n",
    );

    let run = faults(&["set", "GTE /twins/* 503"]);
    assert_eq!(run.code, 1, "{run}");
    let shown = run.to_string();
    for part in ["there is no method `GTE`", "<faults>:1:1", "did you mean `GET`?"] {
        assert!(shown.contains(part), "{shown}");
    }
    let run = faults(&["set", "no-such-file"]);
    assert!(run.code == 1 && run.to_string().contains("there is no file no-such-file"), "{run}");

    faults(&["clear"]).success();
    assert_eq!(status(), 200);
    let run = faults(&["show"]);
    assert!(run.to_string().contains("no faults"), "{run}");
}

#[test]
fn options_that_are_wrong() {
    let sandbox = Sandbox::new();
    for (args, expected) in [
        (vec!["--tier", "S9"], "there is no tier `S9`; these are: F1, B1, B2, B3, S1, S2, S3"),
        (vec!["--tier", "F1", "--units", "2"], "a hub of the tier F1 has 1 unit, and not 2"),
        (vec!["--units", "2"], "--tier"),
        (vec!["--faults", "* * explode"], "there is no fault `explode`"),
        (vec!["--entra-issuer", "nowhere.json"], "nowhere.json"),
    ] {
        let command = ["hub", "serve", "--data", "hub", "--https", "127.0.0.1:0"];
        let run = sandbox.twinctl(command.into_iter().chain(args.iter().copied()));
        assert_eq!(run.code, 1, "{args:?}: {run}");
        assert!(run.to_string().contains(expected), "{args:?}: {run}");
    }
}

#[test]
fn limits_and_lag_from_the_command_line() {
    let sandbox = Sandbox::new();
    let hub = Hub::start(&sandbox, &["--tier", "b1", "--query-lag", "1h", "--latency", "1ms"]);
    hub.create("d1");
    let answer = hub.send("GET", "/twins/d1", None, None);
    assert_eq!(answer.status, 403, "{}", answer.body);
    let message = answer.body["Message"].as_str().expect("a message");
    assert!(message.starts_with("ErrorCode:OperationNotAvailableInCurrentTier;"), "{message}");
    let query = json!({ "query": "SELECT deviceId FROM devices" });
    assert_eq!(hub.send("POST", "/devices/query", None, Some(query)).body, json!([]), "not to be seen for an hour");
}
