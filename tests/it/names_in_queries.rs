//! Queries as people and SDKs write them, at every place of the program that reads one: `query`, `validate`, `check` and the hub.

use crate::support::Sandbox;

const FLEET: &str = "\
fleet: dashes
missing: register
devices:
  press-1:
    tags: { line-no: 4, plant-a: { hall-2: x } }
    desired: { k-1f: 7 }
    modules:
      camera: { tags: { role-1: eye } }
  press-2:
    tags: { line-no: 5, a: 9, b: 4 }
checks:
  - name: names with a minus
    query: SELECT properties.desired.k-1f AS k-1f, COUNT() AS n FROM devices WHERE tags.line-no = 4 GROUP BY properties.desired.k-1f
    expect: [{ k-1f: 7, n: 1 }]
  - name: a difference
    query: SELECT deviceId FROM devices WHERE tags.a - tags.b = 5
    expect: [{ deviceId: press-2 }]
  - name: the modules of a device
    query: SELECT moduleId, tags.role-1 FROM devices.modules WHERE devices.deviceId = 'press-1'
    expect: [{ moduleId: camera, role-1: eye }]
";

#[test]
fn a_minus_in_a_name_is_read_alike_everywhere() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    sandbox.write("fleet.yaml", FLEET);
    let quiet = sandbox.twinctl(["validate", "--strict", "fleet.yaml"]).success();
    assert!(!quiet.to_string().contains("warning"), "{quiet}");
    sandbox.on(&hub, ["apply", "fleet.yaml", "--yes"]).success();
    let checked = sandbox.on(&hub, ["check", "fleet.yaml"]).success();
    assert!(!checked.to_string().contains("warning"), "{checked}");

    let rows = |query: &str| {
        let run = sandbox.on(&hub, ["query", query]);
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{query}: {run}");
        run.stdout
    };
    assert!(rows("SELECT tags.plant-a.hall-2 FROM devices WHERE tags.plant-a.hall-2 = 'x'").contains("hall-2"));
    assert!(rows("SELECT deviceId FROM devices WHERE tags.line-no - 1 = 4").contains("press-2"));
    assert!(rows("select * from devices.modules where devices.deviceId = 'press-1'").contains("camera"));

    let run = sandbox.on(&hub, ["query", "SELECT deviceId, COUNT() AS n FROM devices.modules GROUP BY deviceId"]);
    assert_eq!(run.code, 1, "{run}");
    assert!(run.stderr.contains("`devices.modules` cannot be grouped"), "{run}");
}
