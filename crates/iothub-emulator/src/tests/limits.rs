//! The limits of a tier, as a client meets them.

use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::stream::StreamExt;
use serde_json::json;
use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;

use crate::Tier;
use crate::tests::Sandbox;
use iothub_model::wire::sas::Key;

async fn of_tier(tier: Tier) -> Sandbox {
    Sandbox::with(TempDir::new().expect("a temporary folder"), |options| options.tier(tier, 1)).await
}

/// Twenty queries at once, ten that wait for their turn, and then the service's own refusal.
#[tokio::test]
async fn too_many_queries() {
    let hub = of_tier(Tier::S1).await;
    let query = || hub.ask("POST", "/devices/query", &[], Some(json!({"query": "SELECT * FROM devices"})));
    let mut all: FuturesUnordered<_> = (0..40).map(|_| query()).collect();
    // The ten in the middle take up to half a minute; on a machine that is slow the first of them may be served here.
    let (mut served, mut refused) = (0, Vec::new());
    while served + refused.len() < 30 {
        let answer = all.next().await.expect("an answer");
        match answer.status {
            200 => served += 1,
            _ => refused.push(answer),
        }
    }
    assert!((20..30).contains(&served), "{served} were served");
    for answer in refused {
        assert_eq!(answer.refusal(), (429, "ThrottlingBacklogTimeout"));
        let expected = "ErrorCode:ThrottlingBacklogTimeout;The request has been throttled. Wait 10 seconds and try again. \
                        Operation type: Query";
        assert_eq!(answer.body["Message"], expected);
        let tracking = answer.body["ExceptionMessage"].as_str().expect("a tracking id");
        assert!(tracking.starts_with("Tracking ID:") && tracking.ends_with("-G:0-TimeStamp:11/24/2026 10:00:00"));
        assert_eq!(answer.header("retry-after"), None);
    }
    drop(all);

    // Other classes are not held up, and who may not ask takes nobody's turn.
    assert_eq!(hub.ask("PUT", "/devices/d", &[], Some(json!({"deviceId": "d"}))).await.status, 200);
    let token = hub.token("registryRead");
    let headers = [("Authorization", token.as_str())];
    let body = Some(json!({"query": "SELECT * FROM devices"}).to_string());
    assert_eq!(hub.send("POST", "/devices/query?api-version=2021-04-12", &headers, body).await.status, 401);
}

/// Over HTTP/1.1 the connection is closed with the refusal.
#[tokio::test]
async fn a_throttled_connection_is_closed() {
    let hub = of_tier(Tier::S1).await;
    let body = "{\"query\":\"SELECT * FROM devices\"}";
    let mut waiting = Vec::new();
    let mut answer = String::new();
    while answer.is_empty() {
        assert!(waiting.len() < 60, "nobody is refused");
        let mut stream = crate::tests::raw_tls(&hub.hub).await;
        let request = format!(
            "POST /devices/query?api-version=2021-04-12 HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\n\
             Content-Length: {}\r\n\r\n{body}",
            hub.token("service"),
            body.len()
        );
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut start = [0; 12];
        match tokio::time::timeout(Duration::from_millis(100), stream.read_exact(&mut start)).await {
            Ok(read) if read.is_ok() && &start == b"HTTP/1.1 429" => {
                answer = String::from_utf8_lossy(&start).into_owned();
                stream.read_to_string(&mut answer).await.expect("the rest and an end");
            }
            Ok(read) => {
                read.expect("an answer");
                assert_eq!(&start, b"HTTP/1.1 200");
            }
            // It waits for its turn, and keeps its place in the queue while it does.
            Err(_) => waiting.push(stream),
        }
    }
    assert!(waiting.len() >= 10, "{} wait", waiting.len());
    assert!(answer.starts_with("HTTP/1.1 429 Too Many Requests\r\n"), "{answer}");
    for line in ["\r\nconnection: close\r\n", "\r\niothub-errorcode: ThrottlingBacklogTimeout\r\n"] {
        assert!(answer.contains(line), "{answer}");
    }
    assert!(!answer.to_lowercase().contains("retry-after"), "{answer}");
}

#[tokio::test]
async fn the_quota_of_a_free_hub() {
    let hub = of_tier(Tier::F1).await;
    hub.create("d").await;
    // Writes are charged by their own bytes, reads by the twin's.
    let long = "x".repeat(4000);
    let sections = json!({"a": long, "b": long, "c": long, "d": long, "e": long, "f": long, "g": long});
    let write = hub.ask("PATCH", "/twins/d", &[], Some(json!({"properties": {"desired": sections}}))).await;
    assert_eq!(write.status, 200, "{write:?}");
    let bytes = 28_000 / 512 + 1;
    let mut reads = 0;
    let last = loop {
        let answer = hub.ask("GET", "/twins/d", &[], None).await;
        match answer.status {
            200 => reads += 1,
            _ => break answer,
        }
        assert!(reads < 200, "there is no end");
    };
    assert_eq!(last.refusal(), (403, "IotHubQuotaExceeded"));
    assert!((8_000 / (bytes + 5)..=8_000 / (bytes - 2)).contains(&reads), "{reads} reads of some {bytes} messages");
    for (method, path, body) in [
        ("PATCH", "/twins/d", Some(json!({"tags": {"a": 1}}))),
        ("POST", "/devices/query", Some(json!({"query": "SELECT * FROM devices"}))),
    ] {
        assert_eq!(hub.ask(method, path, &[], body).await.refusal(), (403, "IotHubQuotaExceeded"), "{method}");
    }
    // Identities are free of charge.
    assert_eq!(hub.ask("GET", "/devices/d", &[], None).await.status, 200);
    assert_eq!(hub.ask("GET", "/statistics/devices", &[], None).await.status, 200);
}

#[tokio::test]
async fn what_basic_has() {
    let hub = of_tier(Tier::B1).await;
    hub.create("d").await;
    for (method, path, body) in [
        ("GET", "/twins/d", None),
        ("PATCH", "/twins/d", Some(json!({}))),
        ("GET", "/twins/d/modules/m", None),
        ("GET", "/digitaltwins/d", None),
        ("POST", "/twins/d/methods", Some(json!({"methodName": "m"}))),
        ("GET", "/configurations", None),
        ("POST", "/devices/d/applyConfigurationContent", Some(json!({}))),
        ("PUT", "/jobs/v2/j", Some(json!({}))),
        ("DELETE", "/devices/d/commands", None),
    ] {
        let answer = hub.ask(method, path, &[], body).await;
        assert_eq!(answer.refusal(), (403, "OperationNotAvailableInCurrentTier"), "{method} {path}");
    }
    for (method, path, body) in [
        ("GET", "/devices/d", None),
        ("GET", "/devices/d/modules", None),
        ("POST", "/devices/query", Some(json!({"query": "SELECT * FROM devices"}))),
        ("GET", "/statistics/service", None),
        ("GET", "/jobs", None),
    ] {
        assert_eq!(hub.ask(method, path, &[], body).await.status, 200, "{method} {path}");
    }
    let device = hub.ask("GET", "/devices/d", &[], None).await.body;
    let key = device["authentication"]["symmetricKey"]["primaryKey"].as_str().expect("a key");
    let key = Key::from_base64(key).expect("a key");
    let host = hub.hub.host_name();
    let expiry = u64::try_from(crate::tests::NOW.unix_timestamp()).expect("after 1970") + 3600;
    let token = iothub_model::wire::sas::sign(&format!("{host}/devices/d"), &key, expiry, None);
    let headers = [("Authorization", token.expose())];
    for (method, path) in [
        ("GET", "/devices/d/messages/deviceBound"),
        ("DELETE", "/devices/d/messages/devicebound/lock"),
        ("POST", "/devices/d/messages/deviceBound/lock/abandon"),
    ] {
        let answer = hub.send(method, &format!("{path}?api-version=2020-03-13"), &headers, None).await;
        assert_eq!(answer.refusal(), (403, "OperationNotAvailableInCurrentTier"), "{method} {path}");
    }
    let path = "/devices/d/messages/events?api-version=2020-03-13";
    assert_eq!(hub.send("POST", path, &headers, Some("{}".to_owned())).await.status, 204);
}

#[tokio::test]
async fn a_free_hub_has_few_configurations() {
    let hub = of_tier(Tier::F1).await;
    for number in 0..=10 {
        let body = json!({"id": format!("c{number}"), "content": {"deviceContent": {"properties.desired.a": 1}},
            "targetCondition": "*", "priority": 1, "schemaVersion": "1.0"});
        let answer = hub.ask("PUT", &format!("/configurations/c{number}"), &[], Some(body)).await;
        match number {
            10 => assert_eq!(answer.refusal(), (413, "ConfigurationCountLimitExceeded")),
            _ => assert_eq!(answer.status, 200, "{answer:?}"),
        }
    }
}

#[tokio::test]
async fn more_units_than_a_hub_can_have() {
    let error = crate::Emulator::builder().tier(Tier::F1, 2).start().await.expect_err("no hub");
    let source = std::error::Error::source(&error).expect("a reason").to_string();
    assert_eq!(source, "a hub of the tier F1 has 1 unit, and not 2");
}
