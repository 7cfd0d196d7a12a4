//! Direct methods, from the call to the device and back.

use crate::frontends::mqtt::tests::*;

async fn call(hub: &Sandbox, body: Value) -> crate::tests::Answer {
    hub.ask("POST", "/twins/d/methods", &[], Some(body)).await
}

/// Sends a call as it stands, and returns the answer's status and bytes.
async fn call_raw(hub: &Sandbox, body: &str) -> (u16, Vec<u8>) {
    let url = format!("https://{}/twins/d/methods?api-version=2021-04-12", hub.hub.host_name());
    let request = crate::tests::client(&hub.hub).post(url).header("Authorization", hub.token("iothubowner"));
    let answer = request.body(body.to_owned()).send().await.expect("an answer");
    (answer.status().as_u16(), answer.bytes().await.expect("a whole answer").to_vec())
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

#[tokio::test]
async fn payloads_pass_as_their_bytes() {
    let (hub, mut device) = connected("d").await;
    device.subscribe(&[METHODS]).await;
    for (member, sent, answered, payload) in [
        ("", &b""[..], &b""[..], &b"null"[..]),
        (r#","payload":null"#, b"null", b"null", b"null"),
        (
            r#","payload":{"z":1.50,"a":{"y":1e2,"b":[ ]}}"#,
            br#"{"z":1.50,"a":{"y":1e2,"b":[ ]}}"#,
            br#"{"z":1.50,"a":1}"#,
            br#"{"z":1.50,"a":1}"#,
        ),
        (r#","payload":"a""#, b"\"a\"", b"true", b"true"),
        // As devices answer that count the zero at the end of a text of C's, or write no JSON (azure-iot-sdk-c#1641).
        (r#","payload":0"#, b"0", b"{}\0", b"{}\0"),
        (r#","payload":0"#, b"0", b"{'a': 1}", b"{'a': 1}"),
        (r#","payload":0"#, b"0", b"\xff", b"\xff"),
    ] {
        let body =
            format!(r#"{{"methodName":"m","responseTimeoutInSeconds":"30","connectTimeoutInSeconds":"0"{member}}}"#);
        let device = async {
            let Some(Packet::Publish(call)) = device.next().await else { panic!("a call") };
            assert_eq!(&*call.payload, sent);
            device.publish(&call.topic.replace("POST/m", "res/200"), answered).await;
        };
        let (answer, ()) = tokio::join!(call_raw(&hub, &body), device);
        let expected = [&br#"{"status":200,"payload":"#[..], payload, b"}"].concat();
        assert_eq!(answer, (200, expected), "{body}");
    }
}

#[tokio::test]
async fn a_job_passes_payloads_as_their_bytes() {
    let (hub, mut device) = connected("d").await;
    device.subscribe(&[METHODS]).await;
    let token = hub.token("iothubowner");
    let headers = [("Authorization", token.as_str())];
    for (id, payload, sent, answered, kept) in [
        (
            "a",
            r#","payload":{"z":1.50,"a":null}"#,
            &br#"{"z":1.50,"a":null}"#[..],
            &br#"{"y":2.50,"b":0}"#[..],
            r#"{"y":2.50,"b":0}"#,
        ),
        ("b", r#","payload":null"#, b"null", b"", "null"),
        ("c", "", b"", b"{}\0", r#""{}\u0000""#),
    ] {
        let method = format!(r#"{{"methodName":"m","responseTimeoutInSeconds":"30"{payload}}}"#);
        let body = format!(
            r#"{{"type":"scheduleDeviceMethod","queryCondition":"*","maxExecutionTimeInSeconds":"60","cloudToDeviceMethod":{method}}}"#
        );
        let path = format!("/jobs/v2/{id}?api-version=2021-04-12");
        let made = hub.send("PUT", &path, &headers, Some(body)).await;
        assert_eq!((made.status, &made.body["maxExecutionTimeInSeconds"]), (200, &json!(60)), "{made:?}");
        let Some(Packet::Publish(call)) = device.next().await else { panic!("a call") };
        assert_eq!(&*call.payload, sent);
        device.publish(&call.topic.replace("POST/m", "res/200"), answered).await;
        eventually("the job is over", async || {
            hub.ask("GET", &format!("/jobs/v2/{id}"), &[], None).await.body["status"] == "completed"
        })
        .await;
        let query = json!({ "query": format!("SELECT * FROM devices.jobs WHERE devices.jobs.jobId = '{id}'") });
        let rows = hub.ask("POST", "/devices/query", &[], Some(query)).await;
        let payload = &rows.body[0]["outcome"]["deviceMethodResponse"]["payload"];
        assert_eq!(*payload, serde_json::from_str::<Value>(kept).expect(kept), "{rows:?}");
    }
}

/// The refusals about a device come as one envelope in another.
fn nested(answer: &crate::tests::Answer) -> (u16, u64, &str) {
    let inner: Value = serde_json::from_str(answer.body["Message"].as_str().expect("a message")).expect("JSON");
    assert_eq!(answer.body["ExceptionMessage"], "");
    assert_eq!(inner["info"], Value::Null);
    (answer.status, inner["errorCode"].as_u64().expect("a number"), answer.header("iothub-errorcode").expect("a code"))
}

#[tokio::test]
async fn nobody_to_call() {
    let hub = hub().await;
    assert_eq!(nested(&call(&hub, json!({"methodName": "m"})).await), (404, 404_001, "DeviceNotFound"));
    let of_module = async || {
        let answer = hub.ask("POST", "/twins/d/modules/m/methods", &[], Some(json!({"methodName": "m"}))).await;
        let (status, number, code) = nested(&answer);
        (status, number, code.to_owned())
    };
    assert_eq!(of_module().await, (404, 404_001, "DeviceNotFound".to_owned()));
    register(&hub, "d").await;
    assert_eq!(of_module().await, (404, 404_010, "ModuleNotFound".to_owned()));
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
