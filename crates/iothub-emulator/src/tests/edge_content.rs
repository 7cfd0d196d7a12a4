//! Content that is applied to one edge device, as `az iot edge set-modules` asks for it.

use serde_json::Value;
use serde_json::json;

use crate::tests::Sandbox;

async fn get(hub: &Sandbox, path: &str) -> Value {
    hub.ask("GET", path, &[], None).await.body
}

async fn apply(hub: &Sandbox, device: &str, content: Value) -> crate::tests::Answer {
    hub.ask("POST", &format!("/devices/{device}/applyConfigurationContent"), &[], Some(content)).await
}

/// What `az iot edge export-modules` makes of the twins of all modules.
async fn exported(hub: &Sandbox, device: &str) -> Value {
    let mut content = serde_json::Map::new();
    for module in get(hub, &format!("/devices/{device}/modules")).await.as_array().expect("a list") {
        let id = module["moduleId"].as_str().expect("an id");
        let mut twin = get(hub, &format!("/twins/{device}/modules/{id}")).await;
        let desired = twin["properties"]["desired"].as_object_mut().expect("an object");
        desired.retain(|name, _| !name.starts_with('$'));
        content.insert(id.to_owned(), json!({"properties.desired": desired}));
    }
    content.into()
}

#[tokio::test]
async fn modules_are_made_and_their_twins_written() {
    let hub = Sandbox::new().await;
    hub.ask("PUT", "/devices/gw", &[], Some(json!({"capabilities": {"iotEdge": true}}))).await;
    let first = json!({
        "$edgeAgent": {"properties.desired": {"schemaVersion": "1.1", "modules": {"a": {"version": "1.0"}}}},
        "$edgeHub": {"properties.desired": {"routes": {"up": "FROM /messages/* INTO $upstream"}}},
        "a": {"properties.desired": {"settings": {"x": 1}}},
    });
    let answer = apply(&hub, "gw", json!({"modulesContent": first})).await;
    assert_eq!((answer.status, &answer.body), (204, &Value::Null));
    assert_eq!(exported(&hub, "gw").await, first);
    let made = get(&hub, "/devices/gw/modules/a").await;
    assert_eq!(
        (&made["managedBy"], &made["authentication"]["type"], &made["authentication"]["symmetricKey"]["primaryKey"]),
        (&json!("iotEdge"), &json!("none"), &Value::Null)
    );

    // Another content: what it replaces is replaced, what it puts at a path stands there, what it does not name stays.
    let second = json!({
        "$edgeAgent": {"properties.desired.modules.b": {"version": "2.0"}},
        "$edgeHub": {"properties.desired": {"routes": {}}},
        "b": {},
    });
    assert_eq!(apply(&hub, "gw", json!({"modulesContent": second, "deviceContent": null})).await.status, 204);
    let expected = json!({
        "$edgeAgent": {"properties.desired": {"schemaVersion": "1.1", "modules": {"a": {"version": "1.0"}, "b": {"version": "2.0"}}}},
        "$edgeHub": {"properties.desired": {"routes": {}}},
        "a": {"properties.desired": {"settings": {"x": 1}}},
        "b": {"properties.desired": {}},
    });
    assert_eq!(exported(&hub, "gw").await, expected);
    let agent = get(&hub, "/twins/gw/modules/$edgeAgent").await;
    assert_eq!(apply(&hub, "gw", json!({"modulesContent": second})).await.status, 204);
    assert_eq!(get(&hub, "/twins/gw/modules/$edgeAgent").await, agent, "what is there already is not written");
    let hub = hub.restart().await;
    assert_eq!(exported(&hub, "gw").await, expected);
}

#[tokio::test]
async fn content_that_is_refused_changes_nothing() {
    let hub = Sandbox::new().await;
    hub.ask("PUT", "/devices/gw", &[], Some(json!({"capabilities": {"iotEdge": true}}))).await;
    hub.create("leaf").await;
    let before = exported(&hub, "gw").await;
    let agent = |more: Value| {
        let mut modules = json!({"$edgeAgent": {"properties.desired": {"a": 1}}});
        modules.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        json!({ "modulesContent": modules })
    };
    let many: serde_json::Map<_, _> = (0..49).map(|n| (format!("m{n}"), json!({}))).collect();
    for (device, content, expected) in [
        ("leaf", agent(json!({})), (400, "ArgumentInvalid")),
        ("leaf", json!({"deviceContent": {"properties.desired.a": 1}}), (400, "ArgumentInvalid")),
        ("nobody", agent(json!({})), (404, "DeviceNotFound")),
        ("gw", json!({}), (400, "InvalidConfigurationContent")),
        ("gw", json!({"modulesContent": {"$edgeHub": {}}}), (400, "InvalidConfigurationContent")),
        ("gw", agent(json!({"m": 1})), (400, "InvalidConfigurationContent")),
        ("gw", agent(json!({"m": {"tags.a": 1}})), (400, "InvalidConfigurationContent")),
        ("gw", agent(json!({"m m": {}})), (400, "InvalidConfigurationContent")),
        ("gw", agent(json!({"m": {"properties.desired": {"a.b": 1}}})), (400, "ArgumentInvalid")),
        ("gw", agent(json!({"m": {"properties.desired.n": null}})), (400, "InvalidConfigurationContent")),
        ("gw", agent(json!({"m": {"properties.desired": {"a": {"b": null}}}})), (400, "InvalidConfigurationContent")),
        ("gw", agent(Value::Object(many)), (413, "TooManyModulesOnDevice")),
        ("gw", json!([]), (400, "ArgumentInvalid")),
    ] {
        let answer = apply(&hub, device, content.clone()).await;
        assert_eq!(answer.refusal(), expected, "{device} {content}");
        if device == "leaf" {
            assert!(answer.body["Message"].as_str().expect("a message").contains("Not an Azure IoT Edge device"));
        }
    }
    assert_eq!(exported(&hub, "gw").await, before);
}

#[tokio::test]
async fn a_null_is_named_by_all_of_its_keys() {
    let hub = Sandbox::new().await;
    hub.ask("PUT", "/devices/gw", &[], Some(json!({"capabilities": {"iotEdge": true}}))).await;
    for (section, keys) in [
        (json!({"properties.desired": {"a": {"b": null}}}), "properties.desired.a.b"),
        (json!({"properties.desired": {"a": [1, {"b": null}]}}), "properties.desired.a.b"),
        (json!({"properties.desired.x": {"y": null}}), "properties.desired.x.y"),
        (json!({"properties.desired.x": null}), "properties.desired.x"),
    ] {
        let answer = apply(&hub, "gw", json!({"modulesContent": {"$edgeAgent": section}})).await;
        let message = answer.body["Message"].as_str().expect("a message");
        assert!(message.ends_with(&format!("null at $edgeAgent: {keys}")), "{message}");
        let content = json!({"content": {"deviceContent": section}, "targetCondition": "*"});
        let answer = hub.ask("PUT", "/configurations/c", &[], Some(content)).await;
        let message = answer.body["Message"].as_str().expect("a message");
        assert!(message.ends_with(&format!("null at {keys}")), "{message}");
    }
}

#[tokio::test]
async fn a_device_without_room_for_the_system_modules_does_not_become_an_edge_device() {
    let hub = Sandbox::new().await;
    hub.create("d").await;
    for n in 0..49 {
        let answer = hub.ask("PUT", &format!("/devices/d/modules/m{n}"), &[], Some(json!({}))).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let edge = || Some(json!({"capabilities": {"iotEdge": true}}));
    let answer = hub.ask("PUT", "/devices/d", &[("If-Match", "*")], edge()).await;
    assert_eq!(answer.refusal(), (413, "TooManyModulesOnDevice"));
    assert_eq!(hub.ask("DELETE", "/devices/d/modules/m0", &[("If-Match", "*")], None).await.status, 204);
    assert_eq!(hub.ask("PUT", "/devices/d", &[("If-Match", "*")], edge()).await.status, 200);
}

/// A layered deployment need not touch `$edgeAgent`; the content of one device must have it, as it is all that the device has.
#[tokio::test]
async fn a_deployment_may_be_a_layer_without_the_agent() {
    let hub = Sandbox::new().await;
    let content = json!({"modulesContent": {"sensor": {"properties.desired.layered": {"interval": 5}}}});
    let body = json!({"content": content, "targetCondition": "*", "priority": 2});
    let made = hub.ask("PUT", "/configurations/layer", &[], Some(body)).await;
    assert_eq!((made.status, &made.body["content"]), (200, &content), "{made:?}");
    assert_eq!(hub.ask("PUT", "/devices/e", &[], Some(json!({"capabilities": {"iotEdge": true}}))).await.status, 200);
    let applied = hub.ask("POST", "/devices/e/applyConfigurationContent", &[], Some(content)).await;
    assert_eq!(applied.refusal(), (400, "InvalidConfigurationContent"));
}
