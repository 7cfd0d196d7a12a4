//! Digital twins over HTTPS.

use serde_json::Value;
use serde_json::json;

use crate::tests::Sandbox;

#[tokio::test]
async fn each_device_has_a_digital_twin() {
    let hub = Sandbox::new().await;
    hub.create("d#1").await;
    let twin = hub.ask("GET", "/twins/d%231", &[], None).await;
    let answer = hub.ask("GET", "/digitaltwins/d%231", &[], None).await;
    assert_eq!((answer.status, answer.body), (200, json!({"$dtId": "d#1", "$metadata": {"$model": ""}})));
    assert_eq!(answer.headers.get("etag"), twin.headers.get("etag"));
    assert_eq!(hub.ask("GET", "/digitaltwins/nobody", &[], None).await.refusal(), (404, "DeviceNotFound"));
}

#[tokio::test]
async fn a_patch_of_a_digital_twin_writes_desired_properties() {
    let hub = Sandbox::new().await;
    hub.create("d").await;
    let patch = |if_match: &'static str, body: Value| {
        let hub = &hub;
        async move { hub.ask("PATCH", "/digitaltwins/d", &[("If-Match", if_match)], Some(body)).await }
    };
    let component = json!([{"op": "add", "path": "/thermostat1", "value": {"targetTemperature": 20, "$metadata": {}}}]);
    let answer = patch("*", component.clone()).await;
    assert_eq!((answer.status, answer.header("location"), &answer.body), (202, Some("/digitaltwins/d"), &Value::Null));
    let twin = hub.ask("GET", "/twins/d", &[], None).await;
    assert_eq!(answer.headers.get("etag"), twin.headers.get("etag"));
    let desired = &twin.body["properties"]["desired"];
    assert_eq!(desired["thermostat1"], json!({"__t": "c", "targetTemperature": 20}));

    let etag = answer.header("etag").expect("an etag").to_owned();
    let property = json!([{"op": "add", "path": "/thermostat1/targetTemperature", "value": 21.5}]);
    let answer = hub.ask("PATCH", "/digitaltwins/d", &[("If-Match", &etag)], Some(property.clone())).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let stale = hub.ask("PATCH", "/digitaltwins/d", &[("If-Match", &etag)], Some(property)).await;
    assert_eq!(stale.refusal(), (412, "PreconditionFailed"));
    let found = hub.ask("GET", "/digitaltwins/d", &[], None).await.body;
    let version = hub.ask("GET", "/twins/d", &[], None).await.body["properties"]["desired"]["$version"].clone();
    assert_eq!(
        found["thermostat1"],
        json!({"$metadata": {"targetTemperature": {"desiredValue": 21.5, "desiredVersion": version}}})
    );

    let nothing = hub.ask("GET", "/twins/d", &[], None).await.body;
    assert_eq!(patch("*", json!([])).await.status, 202);
    for (body, code) in [
        (json!({"op": "add"}), "InvalidDigitalTwinJsonPatch"),
        (json!([{"op": "add", "path": "/a", "value": [1]}]), "InvalidDigitalTwinPatch"),
        (json!([{"op": "add", "path": "/a b", "value": 1}]), "InvalidDigitalTwinPatchPath"),
        (json!([{"op": "add", "path": "/a", "value": "x".repeat(4097)}]), "ArgumentInvalid"),
    ] {
        assert_eq!(patch("*", body.clone()).await.refusal(), (400, code), "{body}");
    }
    assert_eq!(hub.ask("GET", "/twins/d", &[], None).await.body, nothing);
    let missing = hub.ask("PATCH", "/digitaltwins/nobody", &[], Some(component)).await;
    assert_eq!(missing.refusal(), (404, "DeviceNotFound"));
}

/// As everything else that clients write. The documentation's samples have `$dtId` first and `$metadata` last.
#[tokio::test]
async fn a_digital_twin_keeps_the_order_of_members() {
    let hub = Sandbox::new().await;
    hub.create("d").await;
    let token = hub.token("iothubowner");
    let patch = concat!(
        r#"[{"Op":"ADD","Path":"/neu","Value":{"$metadata":{},"z":1,"a":{"y":1,"b":2}}},"#,
        r#"{"op":"add","path":"/obj","value":{"z":1,"a":2}},{"op":"replace","path":"/neu/m","value":{"d":1,"c":2}}]"#
    );
    let path = |resource: &str| format!("/{resource}/d?api-version=2021-04-12");
    let headers = [("Authorization", token.as_str())];
    let answer = hub.send("PATCH", &path("digitaltwins"), &headers, Some(patch.to_owned())).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    let twin = hub.send("GET", &path("twins"), &headers, None).await.text;
    assert!(
        twin.contains(r#""neu":{"__t":"c","z":1,"a":{"y":1,"b":2},"m":{"d":1,"c":2}},"obj":{"z":1,"a":2}"#),
        "{twin}"
    );
    let found = hub.send("GET", &path("digitaltwins"), &headers, None).await.text;
    assert!(found.starts_with(r#"{"$dtId":"d","neu":{"$metadata":{"z":{"desiredValue":1,"#), "{found}");
    assert!(found.contains(r#""$metadata":{"$model":"","obj":{"desiredValue":{"z":1,"a":2}"#), "{found}");
}

/// As a merge patch of the property and the marker, which devices need: the service's own samples for devices look for `__t`.
#[tokio::test]
async fn a_patch_of_a_property_leaves_its_siblings_alone() {
    let hub = Sandbox::new().await;
    hub.create("d").await;
    let component = json!({"properties": {"desired": {"th": {"__t": "c", "k": 1, "m": {"a": 1}}}}});
    assert_eq!(hub.ask("PATCH", "/twins/d", &[], Some(component)).await.status, 200);
    let node = |twin: &Value, name: &str| twin["properties"]["desired"]["$metadata"]["th"][name].clone();
    let before = hub.ask("GET", "/twins/d", &[], None).await.body;
    for patch in [
        json!([{"op": "replace", "path": "/th/k", "value": 5}]),
        json!([{"op": "add", "path": "/th/n", "value": 6}]),
        json!([{"op": "remove", "path": "/th/k"}]),
    ] {
        assert_eq!(hub.ask("PATCH", "/digitaltwins/d", &[], Some(patch.clone())).await.status, 202, "{patch}");
        let after = hub.ask("GET", "/twins/d", &[], None).await.body;
        assert_eq!(node(&after, "m"), node(&before, "m"), "{patch}");
        let found = hub.ask("GET", "/digitaltwins/d", &[], None).await.body;
        assert_eq!(found["th"]["$metadata"]["m"]["desiredVersion"], 2, "{patch}");
    }
    let twin = hub.ask("GET", "/twins/d", &[], None).await.body;
    assert_eq!(twin["properties"]["desired"]["th"], json!({"__t": "c", "m": {"a": 1}, "n": 6}));
}

#[tokio::test]
async fn commands_of_digital_twins_are_refused_by_name() {
    let hub = Sandbox::new().await;
    hub.create("d").await;
    for path in ["/digitaltwins/d/commands/reboot", "/digitaltwins/d/components/c/commands/reboot"] {
        let answer = hub.ask("POST", path, &[], Some(json!(1))).await;
        assert_eq!(answer.refusal(), (404, "InvalidOperation"));
        let message = answer.body["Message"].as_str().expect("a message");
        assert!(message.contains("commands of digital twins"), "{message}");
    }
}
