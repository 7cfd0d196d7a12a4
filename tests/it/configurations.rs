//! An automatic device configuration and a manifest that claim one path: each rewrites what the other wrote.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Hub, Sandbox};

const FLEET: &str = "\
fleet: demo
devices:
  press-1:
    desired:
      mode: eco
      speed: 5
";

fn desired(hub: &Hub) -> Value {
    let mut desired = hub.twin("press-1")["properties"]["desired"].clone();
    desired.as_object_mut().expect("an object").remove("$metadata");
    desired
}

fn eventually(hub: &Hub, expected: &Value) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let found = desired(hub);
        if found == *expected {
            return;
        }
        assert!(Instant::now() < deadline, "{found}, and not {expected}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_configuration_takes_back_what_apply_wrote_evaluation_after_evaluation() {
    let sandbox = Sandbox::new();
    let hub = Hub::start_with(&sandbox, |hub| hub.evaluate_configurations(Duration::from_millis(200)));
    hub.create("press-1");
    sandbox.write("fleet.yaml", FLEET);
    sandbox.on(&hub, ["apply", "fleet.yaml", "--yes"]).success();
    eventually(&hub, &json!({ "mode": "eco", "speed": 5, "$version": 2 }));

    let configuration = json!({
        "id": "fast", "targetCondition": "*", "content": { "deviceContent": { "properties.desired.mode": "fast" } },
    });
    let answer = hub.send("PUT", "/configurations/fast", None, Some(configuration));
    assert_eq!(answer.status, 200, "{}", answer.body);
    // The versions say that nobody wrote but these two, in turns.
    for round in 0..3 {
        eventually(&hub, &json!({ "mode": "fast", "speed": 5, "$version": 3 + 2 * round }));
        let plan = sandbox.on(&hub, ["plan", "fleet.yaml", "--detailed-exitcode"]).exits(2);
        assert!(plan.contains("desired.mode  \"fast\" → \"eco\"  drift"), "{plan}");
        assert!(plan.contains("1 path: 1 drift"), "{plan}");
        let apply = sandbox.on(&hub, ["apply", "fleet.yaml", "--yes"]).success();
        assert!(apply.contains("Applied: 1 twin written"), "{apply}");
    }
    eventually(&hub, &json!({ "mode": "fast", "speed": 5, "$version": 9 }));
    let configuration = hub.send("GET", "/configurations/fast", None, None).body;
    assert_eq!(configuration["systemMetrics"]["results"], json!({ "targetedCount": 1, "appliedCount": 1 }));

    // Once it is gone, what is applied stays.
    assert_eq!(hub.send("DELETE", "/configurations/fast", None, None).status, 204);
    sandbox.on(&hub, ["apply", "fleet.yaml", "--yes"]).success();
    std::thread::sleep(Duration::from_millis(500));
    sandbox.on(&hub, ["plan", "fleet.yaml", "--detailed-exitcode"]).success();
    assert_eq!(desired(&hub), json!({ "mode": "eco", "speed": 5, "$version": 10 }));
}
