//! Microsoft's service SDK for Python on modules, bulk requests, configurations and jobs.

use std::time::Duration;

use serde_json::json;

use crate::python::{step, steps};
use crate::support::{Hub, Sandbox};

#[test]
fn modules_and_bulk_requests() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    let merged = json!([{ "site": "A", "ring": 1 }, 5, "enabled"]);
    assert_eq!(
        steps(&sandbox, &hub, "modules.py", &[]),
        [
            step("created", json!(["gw", "m#1", "IotEdge", "sas"])),
            step("keys kept", json!(true)),
            step("created twice", json!([409, "ModuleAlreadyExistsOnDevice"])),
            step("x509", json!("B".repeat(40))),
            step("certificate authority", json!("certificateAuthority")),
            step("updated", json!(["me", true, true])),
            step("x509 updated", json!(["me", "C".repeat(40)])),
            step("certificate authority updated", json!(["you", "certificateAuthority"])),
            step("updated under a stale etag", json!([412, "PreconditionFailed"])),
            step("get", json!(true)),
            step("listed", json!(["ca", "m#1", "x"])),
            step("module of nobody", json!([401, "IotHubUnauthorizedAccess"])),
            step("no such module", json!([404, "ModuleNotFound"])),
            step("twin", json!(["gw", "m#1", 1, true])),
            step("twin updated", json!([{ "a": 1 }, 2, 2])),
            step("twin under a stale etag", json!([412, "PreconditionFailed"])),
            step("twin replaced", json!({ "z": 1 })),
            step("twin of no module", json!([404, "DeviceNotFound"])),
            step("query", json!(["Twin", [["gw", "m#1"]]])),
            step("deleted under a stale etag", json!([412, "PreconditionFailed"])),
            step("left", json!(["ca"])),
            step("bulk create", json!([true, [], []])),
            step(
                "bulk with failures",
                json!([
                    false,
                    [["b1", null, "409001"], ["b2", null, "412001"], ["b4", null, "404001"]],
                    [["b3", "DeviceRegisteredWithoutTwin"]]
                ])
            ),
            step("bulk of twins", json!([true, [], []])),
            step("bulk merged", merged),
            step("bulk delete", json!([true, [], []])),
            step("devices", json!(["gw"])),
        ]
    );
}

#[test]
fn each_call_of_the_configuration_manager() {
    let sandbox = Sandbox::new();
    let hub = Hub::start_with(&sandbox, |hub| hub.evaluate_configurations(Duration::from_millis(20)));
    assert_eq!(
        steps(&sandbox, &hub, "configurations.py", &[]),
        [
            step("created", json!(["beta", "MQ==", 10, { "team": "fw" }, null])),
            step("created twice", json!([409, "ConfigurationAlreadyExists"])),
            step("applied", json!(["beta", null])),
            step("status", json!({ "beta": { "status": "Applied" } })),
            step("metrics", json!([{ "targetedCount": 1, "appliedCount": 1 }, { "on beta": 1 }])),
            step("rewritten", json!("beta")),
            step("a higher priority", json!(["stable", "stable"])),
            step("listed", json!(["beta", "stable"])),
            step("updated without quotes", json!([409, "ConfigurationAlreadyExists"])),
            step("updated", json!(["Mg==", "tags.ring = 2", { "properties.desired.fw.channel": "beta" }])),
            step("updated under a stale etag", json!([412, "PreconditionFailed"])),
            step("tags as content", json!([400, "InvalidConfigurationContent"])),
            step("a bad target", json!([400, "InvalidConfigurationTargetCondition"])),
            step("tested", json!([true, ["bad"]])),
            step("get of none", json!([404, "ConfigurationNotFound"])),
            step("left", json!(null)),
            step("what was written stays", json!("stable")),
            step("none left", json!([])),
            step("content applied", json!(5)),
            step("modules made", json!(["$edgeAgent", "$edgeHub", "probe"])),
            step("content on no edge device", json!([400, "ArgumentInvalid"])),
            step(
                "digital twin",
                json!({ "$dtId": "gw", "$metadata": { "$model": "", "speed": { "desiredValue": 3, "desiredVersion": 2 } } })
            ),
        ]
    );
}

#[test]
fn each_call_of_the_job_manager() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    assert_eq!(
        steps(&sandbox, &hub, "jobs.py", &[]),
        [
            step("created", json!(["update-1", "scheduleUpdateTwin", "queued", "tags.n > 0"])),
            step("over", json!(["completed", 2, 2, 0])),
            step("twin", json!([{ "job": 1 }, 1])),
            step("created twice", json!([409, "JobAlreadyExists"])),
            step("an etag", json!([412, "PreconditionFailed"])),
            step("a type that is none", json!([400, "GenericBadRequest"])),
            step("an unknown job", json!(["unknown", "unknown"])),
            step("methods of devices that are away", json!(["completed", 3, 0, 3])),
            step("one at a time", json!([429, "ThrottlingMaxActiveJobCountExceeded"])),
            step("cancelled", json!("cancelled")),
            step("cancelled twice", json!([405, "OperationNotAllowedInCurrentState"])),
            step("cancelled none", json!([404, "JobNotFound"])),
            step("outcomes", json!(["DeviceJob", [["d1", "completed"], ["d2", "completed"]]])),
            step("listed", json!("not read")),
        ]
    );
}
