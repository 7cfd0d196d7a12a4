//! Names of members in request bodies, in any case.

use serde_json::json;

use crate::tests::Sandbox;

#[tokio::test]
async fn every_body_is_read_with_names_in_any_case() {
    let hub = Sandbox::new().await;
    let check = async |method: &str,
                       path: &str,
                       body: serde_json::Value,
                       status: u16,
                       pointer: &str,
                       expected: serde_json::Value| {
        let answer = hub.ask(method, path, &[], Some(body)).await;
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
        assert_eq!(answer.body.pointer(pointer), Some(&expected), "{method} {path} {pointer}: {answer:?}");
    };
    let keys = json!({"PrimaryKey": "AAECAwQFBgcICQoLDA0ODw==", "SECONDARYKEY": "AAECAwQFBgcICQoLDA0ODw=="});
    let body = json!({"DeviceId": "d", "STATUS": "Disabled", "statusreason": "why", "Authentication": {"Type": "SAS", "SymmetricKey": keys},
        "Capabilities": {"IotEdge": false}});
    check("PUT", "/devices/d", body, 200, "/statusReason", json!("why")).await;
    check("GET", "/devices/d", json!(null), 200, "/status", json!("disabled")).await;
    check(
        "GET",
        "/devices/d",
        json!(null),
        200,
        "/authentication/symmetricKey/primaryKey",
        json!("AAECAwQFBgcICQoLDA0ODw=="),
    )
    .await;
    let print = "A".repeat(40);
    let body = json!({"authentication": {"type": "selfSigned", "x509Thumbprint": {"PrimaryThumbprint": print}}});
    check("PUT", "/devices/x", body, 200, "/authentication/x509Thumbprint/primaryThumbprint", json!(print)).await;
    check("PUT", "/devices/x/modules/m", json!({"ModuleId": "m", "ManagedBy": "me"}), 200, "/managedBy", json!("me"))
        .await;
    let body = json!({"Tags": {"A": 1, "a": 2}, "Properties": {"Desired": {"B": 3}}});
    check("PATCH", "/twins/d", body.clone(), 200, "/tags", json!({"A": 1, "a": 2})).await;
    check("PUT", "/twins/d", body, 200, "/properties/desired/B", json!(3)).await;
    check(
        "POST",
        "/devices/query",
        json!({"Query": "SELECT deviceId FROM devices WHERE tags.A = 1"}),
        200,
        "",
        json!([{"deviceId": "d"}]),
    )
    .await;
    let entry = json!([{"Id": "x", "ImportMode": "UpdateTwin", "TAGS": {"t": 1}, "Properties": {"DESIRED": {"p": 1}}}]);
    check("POST", "/devices", entry, 200, "/isSuccessful", json!(true)).await;
    check("GET", "/twins/x", json!(null), 200, "/properties/desired/p", json!(1)).await;
    let job = json!({"Type": "ScheduleUpdateTwin", "QUERYCONDITION": "*", "UpdateTwin": {"Etag": "*", "Tags": {"j": 1}}, "StartTime": null});
    check("PUT", "/jobs/v2/j", job, 200, "/updateTwin/tags/j", json!(1)).await;
    let content = json!({"DeviceContent": {"properties.desired.c": 1}});
    let body = json!({"Content": content, "TargetCondition": "tags.Z = 1", "PRIORITY": 7, "Metrics": {"Queries": {"Mine": "SELECT deviceId FROM devices"}}});
    check("PUT", "/configurations/c", body, 200, "/content/deviceContent", json!({"properties.desired.c": 1})).await;
    check(
        "GET",
        "/configurations/c",
        json!(null),
        200,
        "/metrics/queries",
        json!({"Mine": "SELECT deviceId FROM devices"}),
    )
    .await;
    let body = json!({"TargetCondition": "tags.a = ", "CustomMetricQueries": {}});
    check("POST", "/configurations/testQueries", body, 200, "/customMetricQueryErrors", json!({})).await;
    let body = json!({"MethodName": "reboot", "ResponseTimeoutInSeconds": 1});
    let answer = hub.ask("POST", "/twins/d/methods", &[], Some(body)).await;
    assert!(answer.text.contains("responseTimeoutInSeconds must be from"), "{answer:?}");
    let answer = hub.ask("POST", "/jobs/create", &[], Some(json!({"TYPE": "export"}))).await;
    assert!(!answer.text.contains("missing field"), "{answer:?}");
}

/// ASP.NET reads the names of parameters in any case, and decodes them.
#[tokio::test]
async fn parameters_are_read_with_names_in_any_case() {
    let hub = Sandbox::new().await;
    for id in ["a", "b"] {
        hub.create(id).await;
    }
    let job =
        json!({"type": "scheduleUpdateTwin", "queryCondition": "*", "updateTwin": {"etag": "*", "tags": {"j": 1}}});
    assert_eq!(hub.ask("PUT", "/jobs/v2/j", &[], Some(job)).await.status, 200);
    let token = hub.token("iothubowner");
    for (path, rows) in [
        ("/devices?Api-Version=2021-04-12&Top=1", 1),
        ("/devices?API-VERSION=2021-04-12&tOP=1", 1),
        ("/devices?top=%31&api%2Dversion=2021%2d04-12", 1),
        ("/devices?TOP=2&x=%ff&api-version=2021-04-12&top=1", 2),
        ("/jobs/v2/query?JobType=scheduleUpdateTwin&Api-Version=2021-04-12", 1),
        ("/jobs/v2/query?JOBTYPE=scheduleDeviceMethod&api-version=2021-04-12", 0),
        ("/jobs/v2/query?JobStatus=fail%65d&api-version=2021-04-12", 0),
    ] {
        let answer = hub.send("GET", path, &[("Authorization", &token)], None).await;
        assert_eq!((answer.status, answer.body.as_array().map(Vec::len)), (200, Some(rows)), "{path}: {answer:?}");
    }
    for path in ["/devices?Api-Version=1", "/devices?api-version", "/devices?Api_Version=2021-04-12"] {
        let answer = hub.send("GET", path, &[("Authorization", &token)], None).await;
        assert_eq!(answer.refusal(), (400, "InvalidProtocolVersion"), "{path}");
    }
}

#[tokio::test]
async fn of_several_spellings_the_last_counts() {
    let hub = Sandbox::new().await;
    let token = hub.token("iothubowner");
    let send = async |method: &str, path: &str, body: &str| {
        hub.send(method, &format!("{path}?api-version=2021-04-12"), &[("Authorization", &token)], Some(body.to_owned()))
            .await
    };
    let answer =
        send("PUT", "/devices/d", r#"{"status":"enabled","Status":"disabled","statusReason":1,"StatusReason":"x"}"#)
            .await;
    assert_eq!(
        (answer.status, &answer.body["status"], &answer.body["statusReason"]),
        (200, &json!("disabled"), &json!("x"))
    );
    let answer = send("PATCH", "/twins/d", r#"{"Tags":{"a":1},"tags":{"b":1}}"#).await;
    assert_eq!(answer.body["tags"], json!({"b": 1}));
    let job = concat!(
        r#"{"type":"ScheduleDeviceMethod","queryCondition":"*","#,
        r#""CloudToDeviceMethod":{"MethodName":"m","Payload":{"Z":1},"ResponseTimeoutInSeconds":"30"}}"#
    );
    let answer = send("PUT", "/jobs/v2/j", job).await;
    let method = json!({"methodName": "m", "payload": {"Z": 1}, "responseTimeoutInSeconds": 30});
    assert_eq!((answer.status, &answer.body["cloudToDeviceMethod"]), (200, &method), "{answer:?}");
    let answer = send("POST", "/devices/query", r#"{"query":"SELECT","QUERY":"SELECT deviceId FROM devices"}"#).await;
    assert_eq!(answer.text, r#"[{"deviceId":"d"}]"#);
}

/// PowerShell writes files so, and sends them as they are.
#[tokio::test]
async fn a_body_may_begin_with_a_byte_order_mark() {
    let hub = Sandbox::new().await;
    hub.create("d").await;
    let token = hub.token("iothubowner");
    for (method, path, body) in [
        ("PATCH", "/twins/d", r#"{"tags":{"a":1}}"#),
        ("PUT", "/devices/e", r#"{"deviceId":"e"}"#),
        ("POST", "/devices", r#"[{"id":"f","importMode":"create"}]"#),
        ("POST", "/devices/query", r#"{"query":"SELECT * FROM devices"}"#),
    ] {
        for (marks, status) in [(1, 200), (2, 400)] {
            let body = format!("{}{body}", "\u{feff}".repeat(marks));
            let path = format!("{path}?api-version=2021-04-12");
            let answer = hub.send(method, &path, &[("Authorization", &token)], Some(body)).await;
            assert_eq!(answer.status, status, "{method} {path}, {marks}: {answer:?}");
        }
    }
}
