//! Configurations: who may change what, and what an evaluation does to the twins.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use serde_json::json;
use tempfile::TempDir;
use time::macros::datetime;

use crate::core::ask::Ask;
use crate::core::command::{Entropy, Refusal, TwinWrite};
use crate::core::configurations::Configuration;
use crate::core::requests::configurations::{
    DeleteConfiguration, EvaluateConfigurations, Evaluated, GetConfiguration, ListConfigurations, PutConfiguration,
};
use crate::core::requests::devices::PutDevice;
use crate::core::requests::modules::PutModule;
use crate::core::requests::twins::{GetTwin, WriteTwin};
use crate::core::state::Hub;
use crate::tests::Sandbox;
use iothub_model::twin::IfMatch;
use iothub_model::twin::TwinId;
use iothub_model::wire::ErrorCode;
use iothub_model::wire::twins::TwinBody;

const NOW: time::OffsetDateTime = datetime!(2026-01-01 00:00:00 UTC);

/// A reply in short.
trait Short {
    fn short(&self) -> Value;
}

impl Short for Arc<Configuration> {
    fn short(&self) -> Value {
        serde_json::to_value(&**self).expect("JSON")
    }
}

impl Short for Vec<Arc<Configuration>> {
    fn short(&self) -> Value {
        self.iter().map(|it| json!(it.id)).collect()
    }
}

impl Short for Evaluated {
    fn short(&self) -> Value {
        json!(self.done)
    }
}

impl Short for () {
    fn short(&self) -> Value {
        Value::Null
    }
}

fn ask<A: Ask<Reply: Short>>(hub: &mut Hub, ask: A) -> Result<Value, Refusal> {
    Ok(hub.handle(ask, NOW).reply?.short())
}

fn put(hub: &mut Hub, id: &str, if_match: Option<&str>, body: Value) -> Result<Value, Refusal> {
    let body = Box::new(serde_json::from_value(body).expect("a body"));
    ask(hub, PutConfiguration { id: id.to_owned(), body, if_match: IfMatch::parse(if_match), limit: 3 })
}

fn get(hub: &mut Hub, id: &str) -> Value {
    ask(hub, GetConfiguration { id: id.to_owned() }).expect("a configuration")
}

fn delete(hub: &mut Hub, id: &str, if_match: Option<&str>) -> Result<Value, Refusal> {
    ask(hub, DeleteConfiguration { id: id.to_owned(), if_match: IfMatch::parse(if_match) })
}

/// A whole evaluation, a few twins at a time.
fn evaluate(hub: &mut Hub) {
    while ask(hub, EvaluateConfigurations { limit: 2 }).expect("a step") == json!(false) {}
}

fn code(result: Result<Value, Refusal>) -> ErrorCode {
    result.expect_err("a refusal").code
}

fn content(path: &str, value: Value) -> Value {
    json!({"deviceContent": {format!("properties.desired.{path}"): value}})
}

fn sets(path: &str, value: Value, condition: &str, priority: i64) -> Value {
    json!({"content": content(path, value), "targetCondition": condition, "priority": priority})
}

fn device(hub: &mut Hub, id: &str, tags: Value) {
    let (id, body) = (id.parse::<iothub_model::twin::DeviceId>().expect(id), Box::default());
    let put = PutDevice { id: id.clone(), body, if_match: IfMatch::Absent, entropy: Entropy([1; 80]) };
    hub.handle(put, NOW).reply.expect("a device");
    if tags != json!({}) {
        write(hub, id.as_str(), json!({ "tags": tags }));
    }
}

fn write(hub: &mut Hub, id: &str, body: Value) {
    let body = TwinBody::decode(body).expect("a body");
    let id = id.parse().expect(id);
    let write = WriteTwin { id, how: TwinWrite::Merge, body, if_match: IfMatch::Absent };
    hub.handle(write, NOW).reply.expect("a write");
}

fn twin(hub: &mut Hub, id: &str) -> Value {
    let id: TwinId = id.parse().expect(id);
    let twin = hub.handle(GetTwin { id }, NOW).reply.expect("a twin");
    serde_json::from_str(twin.document().as_str()).expect("JSON")
}

/// The desired properties without what is the hub's, and the statuses.
fn state(hub: &mut Hub, id: &str) -> (Value, Value) {
    let twin = twin(hub, id);
    let mut desired = twin["properties"]["desired"].clone();
    let section = desired.as_object_mut().expect("an object");
    section.retain(|key, _| !key.starts_with('$'));
    let statuses = twin["configurations"].as_object().into_iter().flatten();
    let statuses = statuses.map(|(id, status)| (id.clone(), status["status"].clone())).collect();
    (desired, Value::Object(statuses))
}

#[test]
fn a_new_configuration() {
    let mut hub = Hub::default();
    let made =
        put(&mut hub, "fw", None, sets("fw.channel", json!("beta"), "tags.ring = 1", 5)).expect("a configuration");
    let expected = json!({
        "id": "fw",
        "schemaVersion": null,
        "labels": null,
        "content": {"deviceContent": {"properties.desired.fw.channel": "beta"}},
        "targetCondition": "tags.ring = 1",
        "createdTimeUtc": "2026-01-01T00:00:00.0000000Z",
        "lastUpdatedTimeUtc": "2026-01-01T00:00:00.0000000Z",
        "priority": 5,
        "systemMetrics": {
            "results": {},
            "queries": {
                "targetedCount": "select deviceId from devices where tags.ring = 1",
                "appliedCount": "select deviceId from devices where configurations.[[fw]].status = 'Applied'",
            }
        },
        "metrics": {"results": {}, "queries": {}},
        "etag": "MQ==",
    });
    assert_eq!(made, expected);
    assert_eq!(get(&mut hub, "fw"), expected);
}

#[test]
fn what_a_configuration_cannot_be() {
    let good = sets("a", json!(1), "*", 0);
    let with = |name: &str, value: Value| {
        let mut body = good.clone();
        body[name] = value;
        body
    };
    for (id, body, expected) in [
        ("Big", good.clone(), ErrorCode::ArgumentInvalid),
        ("a b", good.clone(), ErrorCode::ArgumentInvalid),
        ("", good.clone(), ErrorCode::ArgumentInvalid),
        (&"x".repeat(129), good.clone(), ErrorCode::ArgumentInvalid),
        ("a", with("id", json!("b")), ErrorCode::ArgumentInvalid),
        ("a", json!({"targetCondition": "*"}), ErrorCode::InvalidConfigurationContent),
        ("a", with("content", json!({})), ErrorCode::InvalidConfigurationContent),
        ("a", with("content", json!({"deviceContent": {"tags.a": 1}})), ErrorCode::InvalidConfigurationContent),
        ("a", with("content", content("a", json!(null))), ErrorCode::InvalidConfigurationContent),
        ("a", with("content", content("a", json!({"b c": 1}))), ErrorCode::InvalidConfigurationContent),
        ("a", with("content", content("a$", json!(1))), ErrorCode::InvalidConfigurationContent),
        ("a", with("content", content("a", json!("x".repeat(4097)))), ErrorCode::InvalidConfigurationContent),
        ("a", with("targetCondition", json!("tags.a =")), ErrorCode::InvalidConfigurationTargetCondition),
        ("a", with("targetCondition", json!("status = 'enabled'")), ErrorCode::InvalidConfigurationTargetCondition),
        (
            "a",
            with("targetCondition", json!("tags.a = 1 OR NOT is_defined(properties.desired.b)")),
            ErrorCode::InvalidConfigurationTargetCondition,
        ),
        (
            "a",
            with("targetCondition", json!("FROM devices.modules WHERE tags.a = 1")),
            ErrorCode::InvalidConfigurationTargetCondition,
        ),
        (
            "a",
            json!({"content": {"moduleContent": {"properties.desired.a": 1}}, "targetCondition": "tags.a = 1"}),
            ErrorCode::InvalidConfigurationTargetCondition,
        ),
        (
            "a",
            with("metrics", json!({"queries": {"m": "SELECT FROM"}})),
            ErrorCode::InvalidConfigurationCustomMetricsQuery,
        ),
        (
            "a",
            with("metrics", json!({"queries": {"m": "SELECT COUNT() AS n FROM devices"}})),
            ErrorCode::InvalidConfigurationCustomMetricsQuery,
        ),
        (
            "a",
            with("metrics", json!({"queries": {"m": "SELECT * FROM devices.jobs"}})),
            ErrorCode::InvalidConfigurationCustomMetricsQuery,
        ),
    ] {
        let mut hub = Hub::default();
        assert_eq!(code(put(&mut hub, id, None, body.clone())), expected, "{id} {body}");
        assert_eq!(ask(&mut hub, ListConfigurations).expect("a list"), json!([]));
    }
    for condition in [
        "",
        "*",
        "deviceId IN ['a', 'b']",
        "devices.tags.a = 1 AND NOT (properties.reported.b > 2 OR STARTSWITH(deviceId, 'x'))",
    ] {
        put(&mut Hub::default(), "a-+%_*!'1", None, with("targetCondition", json!(condition))).expect(condition);
    }
    let modules = json!({
        "content": {"moduleContent": {"properties.desired.a": 1}},
        "targetCondition": "from  devices.modules\nwhere moduleId = 'm' and tags.a = 1"
    });
    put(&mut Hub::default(), "m", None, modules).expect("modules");
}

#[test]
fn updates_are_guarded_and_never_change_the_content() {
    let mut hub = Hub::default();
    let body = sets("a", json!(1), "tags.x = 1", 1);
    put(&mut hub, "c", None, body.clone()).expect("a configuration");
    assert_eq!(code(put(&mut hub, "c", None, body.clone())), ErrorCode::ConfigurationAlreadyExists);
    for (id, if_match, expected) in [
        ("c", "MQ==", ErrorCode::ConfigurationAlreadyExists),
        ("c", "Mg==", ErrorCode::ConfigurationAlreadyExists),
        ("c", "\"Mg==\"", ErrorCode::PreconditionFailed),
        ("d", "\"MQ==\"", ErrorCode::ConfigurationNotFound),
        ("d", "*", ErrorCode::ConfigurationNotFound),
        ("d", "MQ==", ErrorCode::ConfigurationNotFound),
    ] {
        assert_eq!(code(put(&mut hub, id, Some(if_match), body.clone())), expected, "{id} {if_match}");
    }
    let bare = json!({"targetCondition": "*"});
    assert_eq!(code(put(&mut hub, "c", Some("*"), bare)), ErrorCode::InvalidConfigurationContent);

    let change = json!({
        "content": content("b", json!(2)), "labels": {"l": "1"}, "targetCondition": "*", "priority": 9,
        "metrics": {"queries": {"m": "SELECT * FROM devices"}},
    });
    let updated = put(&mut hub, "c", Some("\"MQ==\""), change).expect("a current etag");
    assert_eq!(updated["content"], content("a", json!(1)), "the old one, without a word");
    assert_eq!(
        (&updated["etag"], &updated["priority"], &updated["labels"]),
        (&json!("Mg=="), &json!(9), &json!({"l": "1"}))
    );
    assert_eq!(updated["systemMetrics"]["queries"]["targetedCount"], "select deviceId from devices");
    put(&mut hub, "c", Some("\"*\""), body).expect("whatever is there");

    assert_eq!(code(delete(&mut hub, "d", None)), ErrorCode::ConfigurationNotFound);
    assert_eq!(code(delete(&mut hub, "c", Some("\"Mg==\""))), ErrorCode::PreconditionFailed);
    assert_eq!(code(delete(&mut hub, "c", Some("Mg=="))), ErrorCode::PreconditionFailed);
    delete(&mut hub, "c", None).expect("no condition is needed");
    assert_eq!(ask(&mut hub, ListConfigurations).expect("a list"), json!([]));
}

#[test]
fn so_many_and_no_more() {
    let mut hub = Hub::default();
    for id in ["c", "a", "b"] {
        put(&mut hub, id, None, sets("a", json!(1), "*", 0)).expect("there is room");
    }
    assert_eq!(code(put(&mut hub, "d", None, sets("a", json!(1), "*", 0))), ErrorCode::ConfigurationCountLimitExceeded);
    assert_eq!(ask(&mut hub, ListConfigurations).expect("a list"), json!(["c", "a", "b"]));
    put(&mut hub, "a", Some("*"), sets("a", json!(1), "*", 0)).expect("an update is no new one");
}

#[test]
fn an_evaluation_writes_what_is_not_there() {
    let mut hub = Hub::default();
    for n in 0..5 {
        device(&mut hub, &format!("d{n}"), json!({"even": n % 2 == 0}));
    }
    write(&mut hub, "d2", json!({"properties": {"desired": {"fw": {"channel": "beta", "own": 1}}}}));
    write(&mut hub, "d4", json!({"properties": {"desired": {"fw": {"channel": "stable"}}}}));
    let mut body = sets("fw.channel", json!("beta"), "tags.even = true", 0);
    body["metrics"] = json!({"queries": {
        "beta": "SELECT deviceId FROM devices WHERE properties.desired.fw.channel = 'beta'",
        "two": "SELECT TOP 2 * FROM devices",
    }});
    put(&mut hub, "fw", None, body).expect("a configuration");
    let before = twin(&mut hub, "d2");
    evaluate(&mut hub);
    let applied = json!({"fw": "Applied"});
    assert_eq!(state(&mut hub, "d0"), (json!({"fw": {"channel": "beta"}}), applied.clone()));
    assert_eq!(state(&mut hub, "d1"), (json!({}), json!({})));
    assert_eq!(state(&mut hub, "d2"), (json!({"fw": {"channel": "beta", "own": 1}}), applied.clone()));
    assert_eq!(state(&mut hub, "d4"), (json!({"fw": {"channel": "beta"}}), applied));
    assert_eq!(twin(&mut hub, "d2")["etag"], before["etag"], "a status moves nothing");
    assert_eq!(twin(&mut hub, "d2")["properties"], before["properties"]);
    assert!(twin(&mut hub, "d1").get("configurations").is_none());
    let metrics = get(&mut hub, "fw");
    assert_eq!(metrics["systemMetrics"]["results"], json!({"targetedCount": 3, "appliedCount": 3}));
    // The metrics are asked of each twin before it is written.
    assert_eq!(metrics["metrics"]["results"], json!({"beta": 1, "two": 2}));
    assert_eq!(metrics["etag"], "MQ==", "results move no etag");

    // A fleet at rest changes nothing, and an edit does not last.
    evaluate(&mut hub);
    let quiet = hub.handle(EvaluateConfigurations { limit: 99 }, NOW);
    assert!(quiet.change.is_none());
    evaluate(&mut hub);
    for round in 0..3 {
        write(&mut hub, "d0", json!({"properties": {"desired": {"fw": {"channel": round}}}}));
        evaluate(&mut hub);
        assert_eq!(state(&mut hub, "d0").0, json!({"fw": {"channel": "beta"}}));
        assert_eq!(twin(&mut hub, "d0")["properties"]["desired"]["$version"], 4 + 2 * round);
    }
}

#[test]
fn priority_decides_path_by_path() {
    let both = |a: i64, b: i64| json!({"content": {"deviceContent": {"properties.desired.x.y": a, "properties.desired.z": b}}, "targetCondition": "*"});
    for (first, second, desired, statuses) in [
        ((1, 0), (2, 0), json!({"x": {"y": 2}, "z": 2}), json!({"a": "Targeted", "b": "Applied"})),
        ((1, 5), (2, 4), json!({"x": {"y": 1}, "z": 1}), json!({"a": "Applied", "b": "Targeted"})),
        ((1, 4), (2, 5), json!({"x": {"y": 2}, "z": 2}), json!({"a": "Targeted", "b": "Applied"})),
    ] {
        let mut hub = Hub::default();
        device(&mut hub, "d", json!({}));
        for (id, (value, priority)) in [("a", first), ("b", second)] {
            let mut body = both(value, value);
            body["priority"] = json!(priority);
            put(&mut hub, id, None, body).expect("a configuration");
        }
        evaluate(&mut hub);
        assert_eq!(state(&mut hub, "d"), (desired, statuses), "{first:?} {second:?}");
    }
    // A path above a winner's is lost as well, one beside it is not.
    let mut hub = Hub::default();
    device(&mut hub, "d", json!({}));
    put(&mut hub, "deep", None, sets("x.y", json!(1), "*", 2)).expect("a configuration");
    put(&mut hub, "wide", None, sets("x", json!({"y": 0, "w": 0}), "*", 1)).expect("a configuration");
    put(&mut hub, "beside", None, sets("x.v", json!(3), "*", 0)).expect("a configuration");
    evaluate(&mut hub);
    let statuses = json!({"deep": "Applied", "wide": "Targeted", "beside": "Applied"});
    assert_eq!(state(&mut hub, "d"), (json!({"x": {"y": 1, "v": 3}}), statuses));
    let counts = |hub: &mut Hub, id: &str| get(hub, id)["systemMetrics"]["results"].clone();
    assert_eq!(counts(&mut hub, "wide"), json!({"targetedCount": 1, "appliedCount": 0}));
}

#[test]
fn leaving_the_target_leaves_what_was_written() {
    let mut hub = Hub::default();
    device(&mut hub, "d", json!({"ring": 1}));
    put(&mut hub, "c", None, sets("a", json!({"b": 1}), "tags.ring = 1", 0)).expect("a configuration");
    evaluate(&mut hub);
    write(&mut hub, "d", json!({"properties": {"desired": {"a": {"extra": 1}}}}));
    evaluate(&mut hub);
    assert_eq!(state(&mut hub, "d").0, json!({"a": {"b": 1}}), "what the value does not name goes");
    write(&mut hub, "d", json!({"tags": {"ring": 2}}));
    evaluate(&mut hub);
    assert_eq!(state(&mut hub, "d"), (json!({"a": {"b": 1}}), json!({})));
    assert_eq!(get(&mut hub, "c")["systemMetrics"]["results"]["targetedCount"], 0);

    write(&mut hub, "d", json!({"tags": {"ring": 1}}));
    evaluate(&mut hub);
    delete(&mut hub, "c", None).expect("a configuration");
    evaluate(&mut hub);
    assert_eq!(state(&mut hub, "d"), (json!({"a": {"b": 1}}), json!({})));
}

#[test]
fn a_twin_without_room_is_targeted_only() {
    let mut hub = Hub::default();
    device(&mut hub, "d", json!({}));
    let full: serde_json::Map<_, _> = (0..8).map(|n| (format!("k{n}"), json!("x".repeat(4090)))).collect();
    write(&mut hub, "d", json!({"properties": {"desired": full}}));
    put(&mut hub, "c", None, sets("a", json!("y".repeat(100)), "*", 0)).expect("a configuration");
    let before = twin(&mut hub, "d");
    evaluate(&mut hub);
    let after = twin(&mut hub, "d");
    assert_eq!((&after["properties"], &after["etag"]), (&before["properties"], &before["etag"]));
    assert_eq!(after["configurations"], json!({"c": {"status": "Targeted"}}));
}

#[test]
fn modules_and_deployments() {
    let mut hub = Hub::default();
    device(&mut hub, "d", json!({"t": 1}));
    for module in ["m", "n"] {
        let (device, module) = ("d".parse().expect("an id"), module.parse().expect("an id"));
        let (body, if_match, entropy) = (Box::default(), IfMatch::Absent, Entropy([2; 80]));
        let put = PutModule { device, module, body, if_match, entropy };
        hub.handle(put, NOW).reply.expect("a module");
    }
    let body = json!({
        "content": {"moduleContent": {"properties.desired.a": 1}},
        "targetCondition": "FROM devices.modules WHERE moduleId = 'm'",
        "metrics": {"queries": {"all": "SELECT * FROM devices.modules"}},
    });
    put(&mut hub, "m", None, body).expect("a configuration");
    let edge = json!({
        "content": {"modulesContent": {"$edgeAgent": {"properties.desired": {}}}}, "targetCondition": "tags.t = 1"
    });
    put(&mut hub, "e", None, edge).expect("a deployment");
    evaluate(&mut hub);
    assert_eq!(state(&mut hub, "d/m"), (json!({"a": 1}), json!({"m": "Applied"})));
    assert_eq!(state(&mut hub, "d/n"), (json!({}), json!({})));
    assert_eq!(state(&mut hub, "d"), (json!({}), json!({})));
    let m = get(&mut hub, "m");
    assert_eq!(m["systemMetrics"]["results"], json!({"targetedCount": 1, "appliedCount": 1}));
    assert_eq!(m["metrics"]["results"], json!({"all": 2}));
    assert_eq!(get(&mut hub, "e")["systemMetrics"]["results"]["targetedCount"], 0, "d is no edge device");
}

#[test]
fn a_configuration_that_goes_meanwhile_writes_no_more() {
    let mut hub = Hub::default();
    for n in 0..4 {
        device(&mut hub, &format!("d{n}"), json!({}));
    }
    put(&mut hub, "c", None, sets("a", json!(1), "*", 0)).expect("a configuration");
    ask(&mut hub, EvaluateConfigurations { limit: 2 }).expect("the first two");
    delete(&mut hub, "c", None).expect("a configuration");
    evaluate(&mut hub);
    assert_eq!(state(&mut hub, "d1").0, json!({"a": 1}));
    assert_eq!(state(&mut hub, "d2").0, json!({}));
    evaluate(&mut hub);
    for n in 0..4 {
        assert_eq!(state(&mut hub, &format!("d{n}")).1, json!({}));
    }
}

#[tokio::test]
async fn configurations_over_https() {
    let quick = |options: crate::EmulatorBuilder| options.evaluate_configurations(Duration::from_millis(10));
    let hub = Sandbox::with(TempDir::new().expect("a folder"), quick).await;
    hub.create("d").await;
    let body = sets("a", json!(1), "*", 0);
    let made = hub.ask("PUT", "/configurations/c%2B1", &[], Some(body.clone())).await;
    assert_eq!((made.status, &made.body["id"], made.header("etag")), (200, &json!("c+1"), Some("\"MQ==\"")));
    let unquoted = hub.ask("PUT", "/configurations/c%2B1", &[("If-Match", "MQ==")], Some(body.clone())).await;
    assert_eq!(unquoted.refusal(), (409, "ConfigurationAlreadyExists"));
    assert_eq!(hub.ask("GET", "/configurations/x", &[], None).await.refusal(), (404, "ConfigurationNotFound"));

    let wait = async |hub: &Sandbox, query: &str| {
        for _ in 0..500 {
            let body = Some(json!({ "query": query }));
            let rows = hub.ask("POST", "/devices/query", &[], body).await.body;
            if rows != json!([]) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("no rows in five seconds: {query}");
    };
    let applied =
        "SELECT deviceId FROM devices WHERE configurations.[[c+1]].status = 'Applied' AND properties.desired.a = 1";
    wait(&hub, applied).await;
    hub.ask("PATCH", "/twins/d", &[], Some(json!({"properties": {"desired": {"a": 2}}}))).await;
    wait(&hub, applied).await;
    let listed = hub.ask("GET", "/configurations/?top=5", &[], None).await.body;
    assert_eq!(listed[0]["content"], body["content"]);

    let Sandbox { hub: running, folder, .. } = hub;
    running.stop().await;
    let hub = Sandbox::with(folder, quick).await;
    hub.ask("PATCH", "/twins/d", &[], Some(json!({"properties": {"desired": {"a": 3}}}))).await;
    wait(&hub, applied).await;
    let gone = hub.ask("DELETE", "/configurations/c%2B1", &[("If-Match", "\"MQ==\"")], None).await;
    assert_eq!(gone.status, 204);
    wait(&hub, "SELECT deviceId FROM devices WHERE NOT is_defined(configurations)").await;
    let hub = hub.restart().await;
    assert_eq!(hub.ask("GET", "/configurations", &[], None).await.body, json!([]));
    assert_eq!(hub.ask("GET", "/twins/d", &[], None).await.body["properties"]["desired"]["a"], 1);
}

#[tokio::test]
async fn queries_are_tested_without_consequences() {
    let hub = Sandbox::new().await;
    for (body, condition, metrics) in [
        (json!({}), false, vec![]),
        (
            json!({"targetCondition": "tags.a = 1", "customMetricQueries": {"m": "SELECT * FROM devices"}}),
            false,
            vec![],
        ),
        (json!({"targetCondition": "*"}), true, vec![]),
        (json!({"targetCondition": "version = 1"}), true, vec![]),
        (
            json!({"customMetricQueries": {"good": "SELECT * FROM devices", "bad": "SELECT", "x": "?"}}),
            false,
            vec!["bad", "x"],
        ),
    ] {
        let answer = hub.ask("POST", "/configurations/testQueries", &[], Some(body.clone())).await;
        assert_eq!(answer.status, 200, "{body}");
        assert_eq!(answer.body["targetConditionError"].is_string(), condition, "{body}");
        let errors = answer.body["customMetricQueryErrors"].as_object().expect("an object");
        assert_eq!(errors.keys().collect::<Vec<_>>(), metrics, "{body}");
    }
}

#[test]
fn members_that_nobody_set_are_null() {
    let mut hub = Hub::default();
    let mut body = sets("a", json!(1), "", 0);
    let seen = |made: &Value| (made["schemaVersion"].clone(), made["labels"].clone());
    assert_eq!(seen(&put(&mut hub, "c", None, body.clone()).expect("a configuration")), (json!(null), json!(null)));
    (body["schemaVersion"], body["labels"]) = (json!("2.0"), json!({}));
    assert_eq!(seen(&put(&mut hub, "c", Some("*"), body.clone()).expect("an update")), (json!("2.0"), json!({})));
    body["labels"] = json!({"l": "1"});
    assert_eq!(seen(&put(&mut hub, "c", Some("*"), body).expect("an update")), (json!("2.0"), json!({"l": "1"})));
    put(&mut hub, "c", Some("*"), sets("a", json!(1), "", 0)).expect("an update");
    assert_eq!(seen(&get(&mut hub, "c")), (json!(null), json!(null)));
}

#[test]
fn a_metric_may_leave_out_what_it_asks() {
    let mut hub = Hub::default();
    device(&mut hub, "d", json!({}));
    device(&mut hub, "e", json!({"a": 1}));
    let mut body = sets("x", json!(1), "*", 0);
    body["metrics"] = json!({"queries": {"all": "select *", "ids": "SELECT deviceId", "some": "select * from devices where tags.a = 1"}});
    let made = put(&mut hub, "c", None, body.clone()).expect("a configuration");
    assert_eq!(made["metrics"]["queries"], body["metrics"]["queries"], "as they were sent");
    evaluate(&mut hub);
    assert_eq!(get(&mut hub, "c")["metrics"]["results"], json!({"all": 2, "ids": 2, "some": 1}));
    for wrong in ["select", "select * from", "select * from nowhere", "select * where from", ""] {
        body["metrics"] = json!({ "queries": { "wrong": wrong } });
        assert_eq!(
            code(put(&mut hub, "w", None, body.clone())),
            ErrorCode::InvalidConfigurationCustomMetricsQuery,
            "{wrong}"
        );
    }
}

/// As the service has them (a record of it in the extension of az, the tests of PowerShell).
#[test]
fn a_deployment_has_four_system_metrics() {
    let mut hub = Hub::default();
    let edge = |condition: &str| {
        let content = json!({"modulesContent": {"$edgeAgent": {"properties.desired": {}}}});
        json!({"content": content, "targetCondition": condition})
    };
    let applied = "select deviceId from devices.modules where moduleId = '$edgeAgent' and configurations.[[e]].status = 'Applied'";
    let reported = format!(
        "{applied} and properties.desired.$version = properties.reported.lastDesiredVersion \
         and properties.reported.lastDesiredStatus.code"
    );
    for (condition, targeted) in [
        ("", ""),
        ("*", "select deviceId from devices where capabilities.iotEdge = true"),
        ("tags.a ='x'", "select deviceId from devices where capabilities.iotEdge = true and tags.a ='x'"),
        (
            "tags.a = 1 or tags.b = 2",
            "select deviceId from devices where capabilities.iotEdge = true and (tags.a = 1 or tags.b = 2)",
        ),
    ] {
        let made = put(&mut hub, "e", None, edge(condition)).expect("a deployment");
        let queries = json!({
            "targetedCount": targeted,
            "appliedCount": applied,
            "reportedSuccessfulCount": format!("{reported} = 200"),
            "reportedFailedCount": format!("{reported} != 200"),
        });
        assert_eq!(made["systemMetrics"], json!({"results": {}, "queries": queries}), "{condition}");
        for query in queries.as_object().expect("queries").values().filter(|query| *query != "") {
            iothub_model::query::compile(query.as_str().expect("a text")).expect("a query");
        }
        delete(&mut hub, "e", None).expect("gone");
    }
    let body = serde_json::from_value(json!({"capabilities": {"iotEdge": true}})).expect("a body");
    let put_device = PutDevice {
        id: "gw".parse().expect("an id"),
        body: Box::new(body),
        if_match: IfMatch::Absent,
        entropy: Entropy([1; 80]),
    };
    hub.handle(put_device, NOW).reply.expect("a device");
    put(&mut hub, "e", None, edge("*")).expect("a deployment");
    evaluate(&mut hub);
    let expected =
        json!({"targetedCount": 1, "appliedCount": 0, "reportedSuccessfulCount": 0, "reportedFailedCount": 0});
    assert_eq!(get(&mut hub, "e")["systemMetrics"]["results"], expected);
}

#[test]
fn a_deployment_of_a_former_version_gets_its_metrics() {
    let mut hub = Hub::default();
    let content = json!({"modulesContent": {"$edgeAgent": {"properties.desired": {}}}});
    let mut kept = put(&mut hub, "e", None, json!({"content": content, "targetCondition": "*"})).expect("a deployment");
    let queries = kept["systemMetrics"]["queries"].take();
    kept["systemMetrics"] =
        json!({"results": {"targetedCount": 1}, "queries": {"targetedCount": "select deviceId from devices"}});
    (kept["schemaVersion"], kept["labels"]) = (json!("1.0"), json!({}));
    let read = crate::core::configurations::Configuration::from_record(7, kept.to_string().as_bytes()).expect("read");
    let read = serde_json::to_value(&read).expect("JSON");
    assert_eq!(read["systemMetrics"], json!({"results": {}, "queries": queries}));
    assert_eq!(read["labels"], json!({}));
}
