//! Direct methods, from the call to the device and back.

use super::*;

async fn call(hub: &Sandbox, body: Value) -> crate::hub::tests::Answer {
    hub.ask("POST", "/twins/d/methods", &[], Some(body)).await
}

#[tokio::test]
async fn a_method_goes_there_and_back() {
    let (hub, mut device) = connected("d").await;
    device.subscribe(&[METHODS]).await;
    for (body, sent, status, result, answered) in [
        (
            json!({"methodName": "reboot", "payload": {"in": [1]}}),
            json!({"in": [1]}),
            200,
            "{\"ok\":true}",
            json!({"ok": true}),
        ),
        (json!({"methodName": "reboot"}), Value::Null, 404, "", Value::Null),
        (json!({"methodName": "reboot", "payload": null}), Value::Null, -5, "no JSON", json!("no JSON")),
    ] {
        let device = async {
            let (topic, payload) = device.publication().await;
            assert_eq!(payload, sent);
            let rid = topic.strip_prefix("$iothub/methods/POST/reboot/?$rid=").expect(&topic);
            // An answer to a call that nobody made is passed over.
            device.publish("$iothub/methods/res/200/?$rid=nobody", "{}").await;
            device.publish(&format!("$iothub/methods/res/{status}/?$rid={rid}"), result).await;
        };
        let (answer, ()) = tokio::join!(call(&hub, body), device);
        assert_eq!((answer.status, answer.body), (200, json!({"status": status, "payload": answered})));
    }
    device.quiet().await;
}

/// The refusals about a device come as one envelope in another.
fn nested(answer: &crate::hub::tests::Answer) -> (u16, u64, &str) {
    let inner: Value = serde_json::from_str(answer.body["Message"].as_str().expect("a message")).expect("JSON");
    assert_eq!(answer.body["ExceptionMessage"], "");
    assert_eq!(inner["info"], Value::Null);
    (answer.status, inner["errorCode"].as_u64().expect("a number"), answer.header("iothub-errorcode").expect("a code"))
}

#[tokio::test]
async fn nobody_to_call() {
    let hub = hub().await;
    assert_eq!(call(&hub, json!({"methodName": "m"})).await.refusal(), (404, "DeviceNotFound"));
    register(&hub, "d").await;
    let offline = (404, 404_103, "DeviceNotOnline");
    assert_eq!(nested(&call(&hub, json!({"methodName": "m"})).await), offline);
    let mut device = Client::login(&hub, "d").await;
    assert_eq!(nested(&call(&hub, json!({"methodName": "m"})).await), offline, "without an ear");
    device.quiet().await;
    assert_eq!(call(&hub, json!({"methodName": "m/n"})).await.refusal(), (400, "ArgumentInvalid"));
    let token = hub.token("registryReadWrite");
    let refused = hub
        .send("POST", "/twins/d/methods?api-version=2021-04-12", &[("Authorization", &token)], Some("{}".to_owned()))
        .await;
    assert_eq!(refused.refusal(), (401, "IotHubUnauthorizedAccess"));
}

#[tokio::test]
async fn a_call_may_wait_for_the_device() {
    let hub = hub().await;
    register(&hub, "d").await;
    let body = json!({"methodName": "m", "connectTimeoutInSeconds": 20, "responseTimeoutInSeconds": 25});
    let device = async {
        let mut device = Client::login(&hub, "d").await;
        device.subscribe(&[METHODS]).await;
        let (topic, _) = device.publication().await;
        let rid = topic.rsplit('=').next().expect("a rid").to_owned();
        device.publish(&format!("$iothub/methods/res/1/?$rid={rid}"), "2").await;
        device
    };
    let (answer, _device) = tokio::join!(call(&hub, body), device);
    assert_eq!((answer.status, answer.body), (200, json!({"status": 1, "payload": 2})));
}

#[tokio::test]
async fn no_answer() {
    let (hub, mut device) = connected("d").await;
    device.subscribe(&[METHODS]).await;
    let late = async {
        let (topic, _) = device.publication().await;
        device.publish("devices/d/messages/events/", "busy").await;
        (device, topic)
    };
    let (answer, (mut device, topic)) =
        tokio::join!(call(&hub, json!({"methodName": "m", "responseTimeoutInSeconds": 5})), late);
    assert_eq!(nested(&answer), (504, 504_101, "GatewayTimeout"));
    // Too late is no violation.
    device.publish(&topic.replace("POST/m", "res/200"), "{}").await;
    device.quiet().await;
    let hangs_up = async {
        device.publication().await;
        drop(device);
    };
    let (answer, ()) = tokio::join!(call(&hub, json!({"methodName": "m"})), hangs_up);
    assert_eq!(nested(&answer), (504, 504_101, "GatewayTimeout"));
}

#[tokio::test]
async fn the_queue_of_messages_is_empty() {
    let hub = hub().await;
    register(&hub, "d").await;
    let answer = hub.ask("DELETE", "/devices/d/commands", &[], None).await;
    assert_eq!(answer.body, json!({"deviceId": "d", "moduleId": null, "totalMessagesPurged": 0}));
    assert_eq!(hub.ask("DELETE", "/devices/x/commands", &[], None).await.refusal(), (404, "DeviceNotFound"));
}
