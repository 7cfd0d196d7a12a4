//! What SDKs are strict about, one test for each point.

use serde_json::Value;
use serde_json::json;

use crate::tests::{Sandbox, recorder};
use iothub_model::wire::JSON;
use iothub_model::wire::SERVED_API_VERSIONS;

#[tokio::test]
async fn a_twin_from_birth_to_death() {
    let hub = Sandbox::new().await;
    let device = hub.create("a#b%c+d").await;
    let twin = hub.ask("GET", "/twins/a%23b%25c+d", &[], None).await;
    assert_eq!((twin.status, &twin.body["deviceId"]), (200, &json!("a#b%c+d")));
    assert_eq!(twin.header("etag"), Some("\"AAAAAAAAAAE=\""));
    assert_eq!(twin.body["deviceEtag"], device.body["etag"]);

    let body = json!({"tags": {"plant": "Redmond43"}, "properties": {"desired": {"power": 1}}});
    let patched =
        hub.ask("PATCH", "/twins/a%23b%25c%2Bd", &[("If-Match", "\"AAAAAAAAAAE=\"")], Some(body.clone())).await;
    assert_eq!((patched.status, &patched.body["tags"]), (200, &body["tags"]));
    assert_eq!(patched.body["etag"], "AAAAAAAAAAI=");

    let stale = hub.ask("PATCH", "/twins/a%23b%25c+d", &[("If-Match", "\"AAAAAAAAAAE=\"")], Some(body)).await;
    assert_eq!(stale.refusal(), (412, "PreconditionFailed"));

    let hub = hub.restart().await;
    let after = hub.ask("GET", "/twins/a%23b%25c+d", &[], None).await;
    assert_eq!(after.body, patched.body);

    let gone = hub.ask("DELETE", "/devices/a%23b%25c+d", &[("If-Match", "*")], None).await;
    assert_eq!(gone.status, 204);
    let missing = hub.ask("GET", "/twins/a%23b%25c+d", &[], None).await;
    assert_eq!(missing.refusal(), (404, "DeviceNotFound"));
}

/// Statuses, the media type, and which of both slash forms are served.
#[tokio::test]
async fn statuses_and_media_type() {
    let hub = Sandbox::new().await;
    hub.create("d").await;
    let query = json!({"query": "SELECT * FROM devices"});
    for (method, path, headers, body, status) in [
        ("GET", "/twins/d", None, None, 200),
        ("GET", "/twins/d/", None, None, 200),
        ("PATCH", "/twins/d", None, Some(json!({"tags": {"a": 1}})), 200),
        ("PUT", "/twins/d", None, Some(json!({"tags": {}, "properties": {"desired": {}}})), 200),
        ("GET", "/devices/d", None, None, 200),
        ("GET", "/devices/d/", None, None, 200),
        ("GET", "/devices", None, None, 200),
        ("GET", "/devices/?top=10", None, None, 200),
        ("PUT", "/devices/e", None, Some(json!({"deviceId": "e"})), 200),
        ("PUT", "/devices/e", Some(("If-Match", "\"*\"")), Some(json!({"deviceId": "e"})), 200),
        ("PUT", "/devices/query", None, Some(json!({})), 200),
        ("GET", "/devices/query", None, None, 200),
        ("POST", "/devices/query", None, Some(query.clone()), 200),
        ("POST", "/devices/query/", None, Some(query), 200),
        ("GET", "/statistics/devices", None, None, 200),
        ("GET", "/statistics/service/", None, None, 200),
        ("DELETE", "/devices/e", Some(("If-Match", "*")), None, 204),
    ] {
        let headers: Vec<_> = headers.into_iter().collect();
        let answer = hub.ask(method, path, &headers, body).await;
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
        assert!(answer.header("x-ms-request-id").is_some(), "{method} {path}");
        match status {
            204 => assert_eq!(answer.body, Value::Null),
            _ => assert_eq!(answer.header("content-type"), Some(JSON), "{method} {path}"),
        }
    }
}

/// Every refusal has the code in two headers and in the body, and a tracking id that names the request.
#[tokio::test]
async fn refusals() {
    let hub = Sandbox::new().await;
    hub.create("d").await;
    let deep = "[".repeat(100_000);
    for (method, path, if_match, body, status, code) in [
        ("GET", "/twins/none", None, None, 404, "DeviceNotFound"),
        ("GET", "/twins/d/modules/m", None, None, 404, "DeviceNotFound"),
        ("PATCH", "/twins/none", None, Some("{}"), 404, "DeviceNotFound"),
        ("GET", "/twins/a%20b", None, None, 400, "ArgumentInvalid"),
        ("GET", "/twins/a%2Fb", None, None, 400, "ArgumentInvalid"),
        ("GET", "/twins/%ff", None, None, 400, "ArgumentInvalid"),
        ("PATCH", "/twins/d", None, Some("{"), 400, "IotHubFormatError"),
        ("PATCH", "/twins/d", None, Some("{\"tags\":{\"a\":NaN}}"), 400, "IotHubFormatError"),
        ("PATCH", "/twins/d", None, Some(deep.as_str()), 400, "IotHubFormatError"),
        ("PATCH", "/twins/d", None, Some("<twin/>"), 400, "IotHubFormatError"),
        ("PATCH", "/twins/d", None, Some("[]"), 400, "ArgumentInvalid"),
        ("PATCH", "/twins/d", None, Some("{\"tags\":7}"), 400, "ArgumentInvalid"),
        ("PATCH", "/twins/d", None, Some("{\"tags\":{\"a.b\":7}}"), 400, "ArgumentInvalid"),
        ("PATCH", "/twins/d", None, None, 400, "ArgumentNull"),
        ("PATCH", "/twins/d", Some("\"AAAAAAAAAAk=\""), Some("{}"), 412, "PreconditionFailed"),
        ("PUT", "/devices/d", None, Some("{}"), 409, "DeviceAlreadyExists"),
        ("PUT", "/devices/n", Some("*"), Some("{}"), 404, "DeviceNotFound"),
        ("PUT", "/devices/d", Some("\"MQ==\""), Some("{}"), 412, "PreconditionFailed"),
        ("PUT", "/devices/n", None, Some("{\"status\":\"asleep\"}"), 400, "ArgumentInvalid"),
        ("PUT", "/devices/n", None, Some("nonsense"), 400, "IotHubFormatError"),
        ("DELETE", "/devices/d", None, None, 412, "PreconditionFailed"),
        ("DELETE", "/devices/n", Some("*"), None, 404, "DeviceNotFound"),
        ("POST", "/devices/query", None, Some("{}"), 400, "ArgumentNull"),
        ("POST", "/devices/query", None, Some("{\"query\":\" \"}"), 400, "ArgumentNull"),
        ("POST", "/devices/query", None, Some("{\"query\":7}"), 400, "ArgumentInvalid"),
        ("POST", "/devices/query", None, Some("{\"query\":\"SELECT\"}"), 400, "ArgumentInvalid"),
        ("GET", "/", None, None, 404, "InvalidOperation"),
        ("GET", "/twins", None, None, 404, "InvalidOperation"),
        ("GET", "/twins//", None, None, 400, "ArgumentInvalid"),
        ("GET", "/jobs/v3/x", None, None, 404, "InvalidOperation"),
        ("DELETE", "/twins/d", None, None, 405, "InvalidOperation"),
        ("DELETE", "/devices", None, Some("[]"), 405, "InvalidOperation"),
    ] {
        let token = hub.token("iothubowner");
        let mut headers = vec![("Authorization", token.as_str())];
        headers.extend(if_match.map(|if_match| ("If-Match", if_match)));
        let path = format!("{path}?api-version=2021-04-12");
        let answer = hub.send(method, &path, &headers, body.map(str::to_owned)).await;
        assert_eq!(answer.refusal(), (status, code), "{method} {path}: {answer:?}");
        assert_eq!(answer.header("iothuberrorcode"), Some(code), "{method} {path}");
        assert_eq!(answer.header("content-type"), Some(JSON), "{method} {path}");
        let request_id = answer.header("x-ms-request-id").expect("an id").replace('-', "");
        let tracking = format!("Tracking ID:{request_id}-G:0-TimeStamp:11/24/2026 10:00:00");
        assert_eq!(answer.body["ExceptionMessage"], tracking.as_str(), "{method} {path}");
    }
}

#[tokio::test]
async fn bodies_have_a_limit() {
    let hub = Sandbox::new().await;
    hub.create("d").await;
    let answer = hub.ask("PATCH", "/twins/d", &[], Some(json!("x".repeat(1 << 20)))).await;
    assert_eq!(answer.refusal(), (413, "MessageTooLarge"));
    assert_eq!(hub.ask("GET", "/twins/d", &[], None).await.body["version"], 2);
}

#[tokio::test]
async fn api_versions() {
    let hub = Sandbox::new().await;
    hub.create("d").await;
    let token = hub.token("iothubowner");
    for (query, status) in [
        ("?x=y&api-version=2020-05-31-preview", 200),
        ("", 400),
        ("?api-version=", 400),
        ("?api-version=2016-02-03", 400),
        ("?api-version=2021-04-13", 400),
        ("?api-version=2021-04-12-preview", 400),
        ("?api-version=2099-12-31", 400),
        ("?api-version=latest", 400),
        ("?API-VERSION=2021-04-12", 200),
    ] {
        let answer = hub.send("GET", &format!("/twins/d{query}"), &[("Authorization", &token)], None).await;
        assert_eq!(answer.status, status, "{query}");
        if status == 400 {
            assert_eq!(answer.refusal(), (400, "InvalidProtocolVersion"), "{query}");
        }
    }
    for (version, _) in SERVED_API_VERSIONS {
        let path = format!("/twins/d?api-version={version}");
        let answer = hub.send("GET", &path, &[("Authorization", &token)], None).await;
        assert_eq!(answer.status, 200, "{version}: {answer:?}");
    }
}

/// As Python (all escaped), Node (`!'()*` bare) and C# encode ids.
#[tokio::test]
async fn ids_are_decoded_once_and_a_plus_is_a_plus() {
    let hub = Sandbox::new().await;
    let id = "a-:.+%_#*?!(),=@;$'9%23";
    let made = hub.create(id).await;
    assert_eq!(made.body["deviceId"], id);
    for path in [
        "/twins/a-%3A.%2B%25_%23%2A%3F%21%28%29%2C%3D%40%3B%24%279%2523",
        "/twins/a-:.+%25_%23*%3F!(),=@;$'9%2523",
        "/twins/a-%3a.%2b%25_%23*%3f!()%2c%3d%40%3b%24%279%2523",
    ] {
        let answer = hub.ask("GET", path, &[], None).await;
        assert_eq!((answer.status, &answer.body["deviceId"]), (200, &json!(id)), "{path}");
    }
}

#[tokio::test]
async fn user_data_comes_back_as_it_was_sent() {
    let hub = Sandbox::new().await;
    hub.create("d").await;
    let tags = json!({
        "date": "2026-01-01T00:00:00.0000000+02:00", "float": 1.0, "integer": 1, "large": 1e300, "empty": "", "": "empty key",
        "ключ": "значение \u{1f4a1}", "list": [[], {}, [1, "x"]], "control": "a\u{7}b"
    });
    let answer = hub.ask("PATCH", "/twins/d", &[], Some(json!({ "tags": tags }))).await;
    assert_eq!(answer.body["tags"].to_string(), tags.to_string());
}

#[tokio::test]
async fn enums_are_spelled_as_sdks_want_them() {
    let hub = Sandbox::new().await;
    hub.create("d").await;
    for path in ["/twins/d", "/devices/d"] {
        let answer = hub.ask("GET", path, &[], None).await;
        assert_eq!(
            (&answer.body["status"], &answer.body["connectionState"]),
            (&json!("enabled"), &json!("Disconnected"))
        );
        let header = answer.header("etag").expect("an etag").to_owned();
        assert_eq!(header, format!("\"{}\"", answer.body["etag"].as_str().expect("an etag")));
    }
}

/// Node sends empty keys, C# sends whole twins.
#[tokio::test]
async fn what_sdks_send_is_taken() {
    let hub = Sandbox::new().await;
    let node = json!({
        "deviceId": "node",
        "authentication": {"type": "sas", "symmetricKey": {"primaryKey": "", "secondaryKey": ""}}
    });
    let made = hub.ask("PUT", "/devices/node", &[], Some(node)).await;
    assert!(!made.body["authentication"]["symmetricKey"]["primaryKey"].as_str().expect("a key").is_empty());

    let mut whole = hub.ask("GET", "/twins/node", &[], None).await.body;
    whole["tags"] = json!({"plant": "Redmond43"});
    whole["version"] = Value::Null;
    let answer = hub.ask("PATCH", "/twins/node", &[("If-Match", "\"*\"")], Some(whole)).await;
    assert_eq!((answer.status, &answer.body["tags"]["plant"]), (200, &json!("Redmond43")));
    assert_eq!(answer.body["version"], 3);
}

#[tokio::test]
async fn statistics_count() {
    let hub = Sandbox::new().await;
    hub.create("a").await;
    hub.ask("PUT", "/devices/b", &[], Some(json!({"status": "disabled"}))).await;
    let counts = json!({"totalDeviceCount": 2, "enabledDeviceCount": 1, "disabledDeviceCount": 1});
    assert_eq!(hub.ask("GET", "/statistics/devices", &[], None).await.body, counts);
    assert_eq!(hub.ask("GET", "/statistics/service", &[], None).await.body, json!({"connectedDeviceCount": 0}));
}

#[tokio::test]
async fn lists_have_a_top() {
    let hub = Sandbox::new().await;
    for id in ["c", "a", "b"] {
        hub.create(id).await;
    }
    for (top, expected) in [("", 3), ("?top=2", 2), ("?top=0", 3), ("?top=5000", 3), ("?top=x", 3)] {
        let answer = hub.ask("GET", &format!("/devices{top}"), &[], None).await;
        assert_eq!(answer.body.as_array().map(Vec::len), Some(expected), "{top}");
        assert_eq!(answer.body[0]["deviceId"], "c", "in order of creation");
    }
}

#[tokio::test]
async fn http_1_and_chunked_bodies() {
    use tokio::io::AsyncReadExt;
    use tokio::io::AsyncWriteExt;

    let hub = Sandbox::new().await;
    hub.create("d").await;
    let mut stream = crate::tests::raw_tls(&hub.hub).await;
    let body = "{\"tags\":{\"a\":1}}";
    let request = format!(
        "PATCH /twins/d?api-version=2021-04-12 HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\nTransfer-Encoding: chunked\r\n\
         Connection: close\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        hub.token("service"),
        body.len()
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains("\"tags\":{\"a\":1}"), "{answer}");
}

#[tokio::test]
async fn the_log_tells_what_was_sent_and_no_secret() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let log = folder.path().join("requests.jsonl");
    let (observer, records) = recorder();
    let path = log.clone();
    let hub = Sandbox::with(folder, |options| options.on_request(observer).request_log(path)).await;
    hub.create("a#1").await;
    hub.ask("PATCH", "/twins/a%231", &[("If-Match", "\"AAAAAAAAAAk=\"")], Some(json!({}))).await;
    hub.send("GET", "/nowhere", &[], None).await;
    let seen: Vec<Value> = std::fs::read_to_string(&log)
        .expect("a log")
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .collect();
    let expected = json!([
        {
            "time": "2026-11-24T10:00:00.0000000Z", "method": "PUT", "path": "/devices/a%231", "apiVersion": "2021-04-12", "ifMatch": null,
            "status": 200, "errorCode": null
        },
        {
            "time": "2026-11-24T10:00:00.0000000Z", "method": "PATCH", "path": "/twins/a%231", "apiVersion": "2021-04-12", "ifMatch": "\"AAAAAAAAAAk=\"",
            "status": 412, "errorCode": "PreconditionFailed",
            "reason": "the If-Match header names the etag AAAAAAAAAAk=, and the current one is AAAAAAAAAAE="
        },
        {
            "time": "2026-11-24T10:00:00.0000000Z", "method": "GET", "path": "/nowhere", "apiVersion": null, "ifMatch": null,
            "status": 404, "errorCode": "InvalidOperation", "reason": "there is no such resource on the embedded hub"
        }
    ]);
    assert_eq!(Value::Array(seen), expected);
    assert_eq!(serde_json::to_value(&*records.lock().expect("a lock")).expect("JSON"), expected);
}

/// Microsoft's Java service SDK sends each PATCH as a POST with a header, and the values of enumerations in capitals.
#[tokio::test]
async fn the_dialect_of_java() {
    let (observer, requests) = recorder();
    let folder = tempfile::TempDir::new().expect("a temporary folder");
    let hub = Sandbox::with(folder, |options| options.on_request(observer)).await;
    let body = json!({"deviceId": "d", "status": "Enabled", "authentication": {"type": "SAS"}});
    let device = hub.ask("PUT", "/devices/d", &[], Some(body)).await;
    assert_eq!((device.status, &device.body["status"]), (200, &json!("enabled")));
    assert_eq!(device.body["authentication"]["type"], "sas");
    let body = json!({"moduleId": "m", "deviceId": "d", "authentication": {"type": "SAS"}});
    assert_eq!(hub.ask("PUT", "/devices/d/modules/m", &[], Some(body)).await.status, 200);
    let thumbprint = "A".repeat(40);
    let entries = json!([
        {"id": "e", "importMode": "Create", "status": "Disabled", "authentication": {"type": "SAS"}},
        {"id": "f", "importMode": "create", "authentication": {"type": "SELFSIGNED", "x509Thumbprint": {"primaryThumbprint": thumbprint}}},
    ]);
    let bulk = hub.ask("POST", "/devices", &[], Some(entries)).await;
    assert_eq!((bulk.status, &bulk.body["isSuccessful"]), (200, &json!(true)), "{bulk:?}");
    assert_eq!(hub.ask("GET", "/twins/e", &[], None).await.body["status"], "disabled");
    assert_eq!(hub.ask("GET", "/twins/f", &[], None).await.body["authenticationType"], "selfSigned");

    let body = json!({"tags": {"a": 1}});
    for path in ["/twins/d", "/twins/d/", "/twins/d/modules/m"] {
        let post = async |method: &str, etag: &str| {
            let headers = [("X-HTTP-Method-Override", method), ("If-Match", etag)];
            hub.ask("POST", path, &headers, Some(body.clone())).await
        };
        let etag = hub.ask("GET", path, &[], None).await.header("etag").expect("an etag").to_owned();
        assert_eq!(post("PATCH", "\"AAAAAAAAAP8=\"").await.refusal(), (412, "PreconditionFailed"), "{path}");
        let patched = post("PATCH", &etag).await;
        assert_eq!((patched.status, &patched.body["tags"]), (200, &json!({"a": 1})), "{path}");
        assert_eq!(post("patch", "*").await.status, 200, "{path}");
        // The service is known to take the header for PATCH alone.
        for method in ["PUT", "DELETE", "GET", "", "PATCH,PUT"] {
            assert_eq!(post(method, "*").await.status, 405, "{method} {path}");
        }
    }
    let written = requests.lock().expect("not poisoned").iter().filter(|request| request.method == "PATCH").count();
    assert_eq!(written, 9, "the log has them as what they are");
}
