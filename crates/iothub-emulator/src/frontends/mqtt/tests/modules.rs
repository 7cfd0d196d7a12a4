//! Modules as clients of their own, and what other parts of the hub mean for those who are connected.

use crate::frontends::mqtt::tests::*;

async fn register_module(hub: &Sandbox, id: &str, module: &str) {
    let keys = json!({ "primaryKey": key().to_base64().expose(), "secondaryKey": Key::from_bytes([2; 32]).to_base64().expose() });
    let body = json!({ "deviceId": id, "moduleId": module, "authentication": { "type": "sas", "symmetricKey": keys } });
    let answer = hub.ask("PUT", &format!("/devices/{id}/modules/{module}"), &[], Some(body)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

async fn state_of(hub: &Sandbox, path: &str) -> Value {
    hub.ask("GET", path, &[], None).await.body["connectionState"].clone()
}

#[tokio::test]
async fn a_module_has_a_twin_and_a_connection_of_its_own() {
    let hub = hub().await;
    register(&hub, "d").await;
    assert_eq!(
        Client::dial(&hub).await.connect(connect("d/m", token("d/m"))).await,
        Some(ConnectReturnCode::NotAuthorized)
    );
    register_module(&hub, "d", "m").await;
    let mut device = Client::login(&hub, "d").await;
    let mut module = Client::login(&hub, "d/m").await;
    for path in ["/devices/d/modules/m", "/twins/d/modules/m"] {
        assert_eq!(state_of(&hub, path).await, "Connected", "{path}");
    }
    device.subscribe(&[DESIRED]).await;
    module.subscribe(&[DESIRED, METHODS]).await;

    let desired = |value: u8| Some(json!({"properties": {"desired": {"a": value}}}));
    hub.ask("PATCH", "/twins/d/modules/m", &[], desired(1)).await;
    let told = ("$iothub/twin/PATCH/properties/desired/?$version=2".to_owned(), json!({"a": 1, "$version": 2}));
    assert_eq!(module.publication().await, told);
    hub.ask("PATCH", "/twins/d", &[], desired(1)).await;
    assert_eq!(device.publication().await, told);
    module.report(json!({"r": 1})).await;
    assert_eq!(module.twin().await, json!({"desired": {"a": 1, "$version": 2}, "reported": {"r": 1, "$version": 2}}));
    assert_eq!(device.twin().await["reported"], json!({"$version": 1}));

    let call = hub.ask("POST", "/twins/d/modules/m/methods", &[], Some(json!({"methodName": "reboot"})));
    let answer = async {
        let (topic, _) = module.publication().await;
        let rid = topic.strip_prefix("$iothub/methods/POST/reboot/?$rid=").expect(&topic);
        module.publish(&format!("$iothub/methods/res/200/?$rid={rid}"), "1").await;
    };
    let (answer, ()) = tokio::join!(call, answer);
    assert_eq!((answer.status, answer.body), (200, json!({"status": 200, "payload": 1})));

    // What was kept for a module goes with it, and whoever comes to have its id begins anew.
    hub.ask("DELETE", "/devices/d/modules/m", &[("If-Match", "*")], None).await;
    module.closed().await;
    register_module(&hub, "d", "m").await;
    assert_eq!(state_of(&hub, "/devices/d/modules/m").await, "Disconnected");
    let mut module = Client::login(&hub, "d/m").await;
    hub.ask("PATCH", "/twins/d/modules/m", &[], desired(2)).await;
    module.quiet().await;

    // A device takes its modules along.
    let disabled = json!({"deviceId": "d", "status": "disabled"});
    hub.ask("PUT", "/devices/d", &[("If-Match", "*")], Some(disabled)).await;
    module.closed().await;
    device.closed().await;
}

/// Microsoft's Java device SDK subscribes to messages from the cloud on each connection of a module.
#[tokio::test]
async fn a_module_may_ask_for_messages_that_never_come() {
    let hub = hub().await;
    register(&hub, "d").await;
    register_module(&hub, "d", "m").await;
    let mut module = Client::login(&hub, "d/m").await;
    module.subscribe(&["devices/d/modules/m/messages/devicebound/#", DESIRED]).await;
    let desired = Some(json!({"properties": {"desired": {"a": 1}}}));
    hub.ask("PATCH", "/twins/d/modules/m", &[], desired).await;
    let told = ("$iothub/twin/PATCH/properties/desired/?$version=2".to_owned(), json!({"a": 1, "$version": 2}));
    assert_eq!(module.publication().await, told);
}

#[tokio::test]
async fn nobody_has_more_than_five_subscriptions() {
    let hub = hub().await;
    register(&hub, "d").await;
    register_module(&hub, "d", "m").await;
    let own = ["inputs/#", "#", "messages/devicebound/#"].map(|filter| format!("devices/d/modules/m/{filter}"));
    let mut module = Client::login(&hub, "d/m").await;
    module.subscribe(&["$iothub/twin/res/#", DESIRED]).await;
    module.subscribe(&own.each_ref().map(String::as_str)).await;
    // Again is none more.
    module.subscribe(&[DESIRED, &own[0]]).await;
    let mut sixth = Subscribe::new(METHODS, QoS::AtMostOnce);
    sixth.pkid = module.packet_id();
    module.send(Packet::Subscribe(sixth)).await;
    module.closed().await;
}

#[tokio::test]
async fn a_module_comes_back_to_what_it_asked_for() {
    let hub = hub().await;
    register(&hub, "d").await;
    register_module(&hub, "d", "m").await;
    let mut module = Client::login(&hub, "d/m").await;
    module.subscribe(&[DESIRED]).await;
    let hub = restart(hub).await;
    assert_eq!(state_of(&hub, "/twins/d/modules/m").await, "Disconnected");
    let mut module = Client::login(&hub, "d/m").await;
    hub.ask("PATCH", "/twins/d/modules/m", &[], Some(json!({"properties": {"desired": {"a": 1}}}))).await;
    assert_eq!(module.publication().await.1, json!({"a": 1, "$version": 2}));
}

#[tokio::test]
async fn bulk_requests_configurations_and_jobs_reach_connected_devices() {
    let (hub, mut device) = connected("d").await;
    device.subscribe(&[DESIRED]).await;
    let entry = json!([{"id": "d", "importMode": "updateTwin", "properties": {"desired": {"by": "bulk"}}}]);
    assert_eq!(hub.ask("POST", "/devices", &[], Some(entry)).await.status, 200);
    assert_eq!(device.publication().await.1, json!({"by": "bulk", "$version": 2}));

    let configuration = json!({
        "id": "c", "content": {"deviceContent": {"properties.desired.by": "configuration"}}, "targetCondition": "*",
    });
    assert_eq!(hub.ask("PUT", "/configurations/c", &[], Some(configuration)).await.status, 200);
    assert_eq!(device.publication().await.1, json!({"by": "configuration", "$version": 3}));
    hub.ask("DELETE", "/configurations/c", &[], None).await;

    let job = json!({
        "jobId": "j", "type": "scheduleUpdateTwin", "queryCondition": "*",
        "updateTwin": {"etag": "*", "properties": {"desired": {"by": "job"}}},
    });
    assert_eq!(hub.ask("PUT", "/jobs/v2/j", &[], Some(job)).await.status, 200);
    assert_eq!(device.publication().await.1, json!({"by": "job", "$version": 4}));

    let entry = json!([{"id": "d", "importMode": "delete"}]);
    assert_eq!(hub.ask("POST", "/devices", &[], Some(entry)).await.status, 200);
    device.closed().await;
}

/// The live suites of Microsoft's Java and C device SDKs connect all their modules with the keys of the devices.
#[tokio::test]
async fn a_device_s_key_connects_its_modules() {
    let hub = hub().await;
    for id in ["d", "e"] {
        let key = |bytes: [u8; 32]| Key::from_bytes(bytes).to_base64().expose().to_owned();
        let seed = id.as_bytes()[0];
        let keys = json!({ "primaryKey": key([seed; 32]), "secondaryKey": key([seed + 100; 32]) });
        let body = json!({ "authentication": { "symmetricKey": keys } });
        assert_eq!(hub.ask("PUT", &format!("/devices/{id}"), &[], Some(body)).await.status, 200);
        register_module(&hub, id, "m").await;
        let none = Some(json!({ "authentication": { "type": "none" } }));
        assert_eq!(hub.ask("PUT", &format!("/devices/{id}/modules/none"), &[], none).await.status, 200);
    }
    let token = |resource: &str, seed: u8| {
        sas::sign(&format!("{HOST}/devices/{resource}"), &Key::from_bytes([seed; 32]), now() + 60, None)
            .expose()
            .to_owned()
    };
    let code = |id: &'static str, token: String| {
        let hub = &hub;
        async move { Client::dial(hub).await.connect(connect(id, token)).await }
    };
    let (own, other) = (b'd', b'e');
    for (id, token, expected) in [
        ("d/m", token("d/modules/m", own), ConnectReturnCode::Success),
        ("d/m", token("d/modules/m", own + 100), ConnectReturnCode::Success),
        ("d/m", token("d", own), ConnectReturnCode::Success),
        ("d/none", token("d/modules/none", own), ConnectReturnCode::Success),
        ("d/m", token("d/modules/m", other), ConnectReturnCode::NotAuthorized),
        ("d/m", token("e/modules/m", other), ConnectReturnCode::NotAuthorized),
        ("d/m", token("d/modules/none", own), ConnectReturnCode::NotAuthorized),
        ("d/nobody", token("d/modules/nobody", own), ConnectReturnCode::NotAuthorized),
        // A module's key does not connect its device.
        ("d", crate::frontends::mqtt::tests::token("d"), ConnectReturnCode::NotAuthorized),
    ] {
        assert_eq!(code(id, token).await, Some(expected), "{id}");
    }
    hub.ask("PUT", "/devices/d", &[("If-Match", "*")], Some(json!({ "status": "disabled" }))).await;
    assert_eq!(code("d/m", token("d/modules/m", own)).await, Some(ConnectReturnCode::NotAuthorized));
}
