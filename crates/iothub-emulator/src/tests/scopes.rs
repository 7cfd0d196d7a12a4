//! Edge devices, their scopes and their children, over HTTPS as `az iot hub device-identity` asks for them.

use serde_json::Value;
use serde_json::json;

use crate::tests::Sandbox;

async fn put(hub: &Sandbox, id: &str, if_match: Option<&str>, body: Value) -> (u16, Value) {
    let headers: Vec<_> = if_match.map(|etag| ("If-Match", etag)).into_iter().collect();
    let answer = hub.ask("PUT", &format!("/devices/{id}"), &headers, Some(body)).await;
    (answer.status, answer.body)
}

async fn made(hub: &Sandbox, id: &str, body: Value) -> Value {
    let (status, body) = put(hub, id, None, body).await;
    assert_eq!(status, 200, "{body}");
    body
}

async fn get(hub: &Sandbox, path: &str) -> Value {
    hub.ask("GET", path, &[], None).await.body
}

/// Sends a device back as it was read, with one member changed, as `parent set` and `children add` do.
async fn set(hub: &Sandbox, id: &str, member: &str, value: Value) -> (u16, Value) {
    let mut device = get(hub, &format!("/devices/{id}")).await;
    let etag = format!("\"{}\"", device["etag"].as_str().expect("an etag"));
    device[member] = value;
    put(hub, id, Some(&etag), device).await
}

async fn children(hub: &Sandbox, scope: &Value) -> Value {
    let query = format!("select deviceId from devices where array_contains(parentScopes, '{}')", text(scope));
    hub.ask("POST", "/devices/query", &[], Some(json!({ "query": query }))).await.body
}

fn text(scope: &Value) -> &str {
    scope.as_str().expect("a scope")
}

fn edge() -> Value {
    json!({ "capabilities": { "iotEdge": true } })
}

#[tokio::test]
async fn an_edge_device_has_a_scope_of_its_own_and_children() {
    let hub = Sandbox::new().await;
    let root = made(&hub, "root-1", edge()).await;
    let scope = root["deviceScope"].clone();
    assert_eq!(scope, format!("ms-azure-iot-edge://root-1-{}", root["generationId"].as_str().expect("digits")));
    assert_eq!(root["parentScopes"], json!([]));

    let mut nested = edge();
    nested["parentScopes"] = json!([scope]);
    let nested = made(&hub, "nested", nested).await;
    assert_eq!(nested["parentScopes"], json!([scope]));
    assert_ne!(nested["deviceScope"], scope);

    let leaf = made(&hub, "leaf", json!({ "deviceScope": scope })).await;
    assert_eq!((&leaf["deviceScope"], &leaf["parentScopes"]), (&scope, &json!([scope])));
    let plain = made(&hub, "plain", json!({ "parentScopes": [scope] })).await;
    assert_eq!((plain.get("deviceScope"), &plain["parentScopes"]), (None, &json!([])));
    assert_eq!(children(&hub, &scope).await, json!([{ "deviceId": "nested" }, { "deviceId": "leaf" }]));

    // Another parent, by what the device was read as: the list of the former parent comes along.
    let (status, leaf) = set(&hub, "leaf", "deviceScope", nested["deviceScope"].clone()).await;
    assert_eq!((status, &leaf["parentScopes"]), (200, &json!([nested["deviceScope"]])), "{leaf}");
    let twin = get(&hub, "/twins/leaf").await;
    assert_eq!(
        (&twin["deviceScope"], &twin["parentScopes"]),
        (&nested["deviceScope"], &json!([nested["deviceScope"]]))
    );
    let (status, plain) = set(&hub, "plain", "deviceScope", scope.clone()).await;
    assert_eq!((status, &plain["parentScopes"]), (200, &json!([scope])));

    // No parent any more.
    let (status, leaf) = set(&hub, "leaf", "deviceScope", json!("")).await;
    assert_eq!((status, leaf.get("deviceScope"), &leaf["parentScopes"]), (200, None, &json!([])));
    let twin = get(&hub, "/twins/leaf").await;
    assert_eq!((twin.get("deviceScope"), twin.get("parentScopes")), (None, None));
    let (status, detached) = set(&hub, "nested", "parentScopes", json!([])).await;
    assert_eq!((status, &detached["deviceScope"]), (200, &nested["deviceScope"]));
    assert_eq!(children(&hub, &scope).await, json!([{ "deviceId": "plain" }]));

    // What a scope names need not be there for ever.
    hub.ask("DELETE", "/devices/root-1", &[("If-Match", "*")], None).await;
    let (status, plain) = set(&hub, "plain", "statusReason", json!("still")).await;
    assert_eq!((status, &plain["deviceScope"]), (200, &scope));
    let hub = hub.restart().await;
    assert_eq!(get(&hub, "/devices/plain").await, plain);
    assert_eq!(get(&hub, "/devices/nested").await, detached);
}

#[tokio::test]
async fn an_update_does_not_move_an_edge_device_s_own_scope() {
    let hub = Sandbox::new().await;
    let device = made(&hub, "e", edge()).await;
    for (scope, status) in
        [(json!(null), 400), (json!(""), 400), (json!("other"), 400), (device["deviceScope"].clone(), 200)]
    {
        let (found, body) = set(&hub, "e", "deviceScope", scope.clone()).await;
        assert_eq!(found, status, "{scope}: {body}");
        assert!(status == 200 || body["Message"].as_str().expect("a message").contains("Device scope is immutable"));
    }
    assert_eq!(get(&hub, "/devices/e").await["deviceScope"], device["deviceScope"]);

    made(&hub, "leaf", json!({ "deviceScope": device["deviceScope"] })).await;
    let (status, body) = set(&hub, "leaf", "deviceScope", json!("17b9f5f4-7d3b-4b4c-8a4e-6f1f0b3f4c52")).await;
    assert_eq!(status, 400, "no edge device has the scope: {body}");
    assert_eq!(get(&hub, "/devices/leaf").await["deviceScope"], device["deviceScope"]);
}

#[tokio::test]
async fn a_device_becomes_an_edge_device_and_stops_being_one() {
    let hub = Sandbox::new().await;
    let root = made(&hub, "root", edge()).await["deviceScope"].clone();
    made(&hub, "d", json!({ "deviceScope": root })).await;
    let is_edge = |is_edge: bool| json!({ "iotEdge": is_edge });

    let (status, body) = set(&hub, "d", "capabilities", is_edge(true)).await;
    assert_eq!((status, body["Message"].as_str().map(|text| &text[..28])), (503, Some("ErrorCode:ServiceUnavailable")));
    let (status, device) =
        put(&hub, "d", Some("*"), json!({ "capabilities": is_edge(true), "deviceScope": "", "parentScopes": [root] }))
            .await;
    assert_eq!(
        (status, &device["deviceScope"], &device["parentScopes"]),
        (200, &json!("ms-azure-iot-edge://d-"), &json!([root]))
    );
    assert_eq!(get(&hub, "/devices/d/modules").await.as_array().map(Vec::len), Some(2));
    let child = made(&hub, "child", json!({ "deviceScope": device["deviceScope"] })).await;
    assert_eq!(child["parentScopes"], json!(["ms-azure-iot-edge://d-"]));

    let (status, device) = set(&hub, "d", "capabilities", is_edge(false)).await;
    assert_eq!((status, device.get("deviceScope"), &device["parentScopes"]), (200, None, &json!([])));
    let (status, device) = set(&hub, "d", "deviceScope", root.clone()).await;
    assert_eq!((status, &device["parentScopes"]), (200, &json!([root])));
}

#[tokio::test]
async fn bulk_requests_name_parents_that_are_none() {
    let hub = Sandbox::new().await;
    let entries = json!([
        { "id": "a", "importMode": "create", "deviceScope": "someScope1" },
        { "id": "b", "importMode": "create", "deviceScope": "someScope1" },
        { "id": "e", "importMode": "create", "capabilities": { "iotEdge": true }, "deviceScope": "mine" },
    ]);
    assert_eq!(hub.ask("POST", "/devices", &[], Some(entries)).await.body["isSuccessful"], true);
    let device = get(&hub, "/devices/b").await;
    assert_eq!((&device["deviceScope"], &device["parentScopes"]), (&json!("someScope1"), &json!(["someScope1"])));
    let scope = get(&hub, "/devices/e").await["deviceScope"].clone();
    assert!(text(&scope).starts_with("ms-azure-iot-edge://e-"), "{scope}");

    let updates = json!([
        { "id": "a", "importMode": "update", "deviceScope": scope },
        { "id": "b", "importMode": "update", "deviceScope": "someScope2" },
        { "id": "e", "importMode": "update", "capabilities": { "iotEdge": true } },
    ]);
    let result = hub.ask("POST", "/devices", &[], Some(updates)).await.body;
    let failed: Vec<_> = result["errors"].as_array().expect("errors").iter().map(|it| it["deviceId"].clone()).collect();
    assert_eq!(failed, ["b", "e"], "{result}");
    assert_eq!(get(&hub, "/devices/a").await["parentScopes"], json!([scope]));
}
