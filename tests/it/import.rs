//! `import`: a live hub to a manifest on which a plan has nothing to do.

use std::fmt::Write;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::{Hub, Sandbox, snapshot};

#[test]
fn a_hub_that_grew_by_hand() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    for n in 1..=6 {
        let id = format!("press-{n:03}");
        hub.create(&id);
        let plant = if n < 5 { "oslo" } else { "redmond" };
        let mut desired = json!({ "interval": 60, "plc": { "address": if n < 5 { "10.0.0.1" } else { "10.1.0.1" } } });
        if n == 3 {
            desired["note"] = json!("costs ${env.HOME}: \u{1b}[31mmuch");
        }
        hub.patch(&id, json!({ "tags": { "place": { "plant": plant } }, "properties": { "desired": desired } }));
    }
    hub.create("gateway");
    let module = json!({ "deviceId": "gateway", "moduleId": "vision" });
    assert_eq!(hub.send("PUT", "/devices/gateway/modules/vision", None, Some(module)).status, 200);
    hub.patch("gateway/modules/vision", json!({ "properties": { "desired": { "fps": 5 } } }));
    sandbox.write("other.yaml", "fleet: other\ndevices: { press-006: { desired: { plc: { address: 10.1.0.1 } } } }\n");
    sandbox.on(&hub, ["apply", "other.yaml", "--yes"]).success();

    let mut said = String::new();
    for (args, code) in [
        (vec!["import", "--fleet", "plants"], 0),
        (vec!["import", "--fleet", "plants", "--out", "fleet.yaml"], 0),
        (vec!["plan", "fleet.yaml"], 0),
        (
            vec![
                "import",
                "--ownership",
                "none",
                "--fleet",
                "oslo",
                "--where",
                "tags.place.plant = 'oslo'",
                "--out",
                "oslo.yaml",
            ],
            0,
        ),
        (vec!["plan", "oslo.yaml", "--detailed-exitcode"], 0),
        (vec!["import", "--where", "tags.place.plant = 'oslo"], 1),
        (vec!["import", "--where", "tags.place.plant = 'nowhere'"], 0),
        (vec!["import", "--where", "tags.x = 1 GROUP BY tags.x"], 1),
        (vec!["import", "--by", "desired.interval"], 1),
        (vec!["import", "--fleet", "No"], 1),
    ] {
        let run = sandbox.on(&hub, &args);
        assert_eq!(run.code, code, "{run}");
        assert!(!run.to_string().contains('\u{1b}'), "{run}");
        writeln!(said, "$ twinctl {}\n{run}\n", args.join(" ")).expect("text");
    }
    snapshot("import_hub", said);
    let before = hub.twin("press-003")["properties"]["desired"].clone();
    sandbox.on(&hub, ["apply", "fleet.yaml", "--yes"]).success();
    assert_eq!(hub.twin("press-003")["properties"]["desired"], before, "adopted, not written");
    sandbox.on(&hub, ["plan", "fleet.yaml", "--detailed-exitcode"]).success();
    let run =
        sandbox.on(&hub, ["import", "--fleet", "plants", "--where", "tags.place.plant = 'oslo'", "--out", "part.yaml"]);
    let known = "fleet plants is known to this hub, and 3 twins of it are not in this manifest";
    assert!(run.stderr.contains(known), "press-005, press-006, and the module: {run}");
}

#[test]
fn what_a_query_still_lists_and_the_hub_has_no_more_is_left_out() {
    let sandbox = Sandbox::new();
    let hub = Hub::start_with(&sandbox, |hub| hub.query_lag(Duration::from_secs(5)));
    for id in ["press-1", "press-2", "gone-gateway"] {
        hub.create(id);
    }
    let edge = json!({ "deviceId": "gateway", "capabilities": { "iotEdge": true } });
    assert_eq!(hub.send("PUT", "/devices/gateway", None, Some(edge)).status, 200);
    for (device, module) in [("gateway", "vision"), ("gateway", "old"), ("gone-gateway", "vision")] {
        let body = json!({ "deviceId": device, "moduleId": module });
        let answer = hub.send("PUT", &format!("/devices/{device}/modules/{module}"), None, Some(body));
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    hub.patch("press-1", json!({ "tags": { "plant": "bergen" } }));
    let deadline = Instant::now() + Duration::from_secs(60);
    let listed = |query: &str| sandbox.on(&hub, ["query", query, "--format", "csv"]).success().lines().count();
    while (
        listed("SELECT deviceId FROM devices.modules"),
        listed("SELECT deviceId FROM devices WHERE tags.plant = 'bergen'"),
    ) != (6, 2)
    {
        assert!(Instant::now() < deadline, "the index does not follow");
        std::thread::sleep(Duration::from_millis(50));
    }
    for path in ["/devices/press-2", "/devices/gone-gateway", "/devices/gateway/modules/old"] {
        assert_eq!(hub.send("DELETE", path, Some("*"), None).status, 204, "{path}");
    }
    hub.patch("press-1", json!({ "tags": { "plant": "oslo" } }));
    let run = sandbox.on(&hub, ["import", "--fleet", "plants", "--out", "fleet.yaml"]);
    assert_eq!(run.code, 0, "{run}");
    for said in [
        "left out: 2 devices and 2 modules that a query still lists and the hub has no more: gateway/old, gone-gateway, \
         gone-gateway/vision and 1 more",
        "left out: 2 modules of the IoT Edge runtime ($edgeAgent, $edgeHub), whose twins a deployment alone may write",
        "2 devices and 1 module are declared in fleet.yaml",
    ] {
        assert!(run.stderr.contains(said), "{said}\n{run}");
    }
    assert!(sandbox.read("fleet.yaml").contains("oslo"), "what the hub has, and not what the index had");
    sandbox.on(&hub, ["plan", "fleet.yaml"]).success();
}

#[test]
fn a_manifest_that_is_there_is_not_written_over() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    sandbox.write("fleet.yaml", "fleet: by-hand # with much thought\n");
    let run = sandbox.on(&hub, ["import", "--out", "fleet.yaml"]);
    assert_eq!(run.code, 1, "{run}");
    assert!(run.stderr.contains("fleet.yaml is there already"), "{run}");
    assert_eq!(sandbox.read("fleet.yaml"), "fleet: by-hand # with much thought\n");
    assert!(hub.requests().iter().all(|request| request["path"] != "/devices/query"), "said before anything is read");
}
