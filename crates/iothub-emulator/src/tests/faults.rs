//! Injected faults, as a raw client sees it.

use std::time::Duration;
use std::time::Instant;

use serde_json::Value;
use serde_json::json;
use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;

use crate::tests::{Sandbox, recorder};

/// Sends a PATCH over HTTP/1.1 and returns all that came until the connection ended. The end may be abrupt.
async fn patch(hub: &Sandbox) -> String {
    let mut stream = crate::tests::raw_tls(&hub.hub).await;
    let body = "{\"tags\":{\"a\":1}}";
    let request = format!(
        "PATCH /twins/d?api-version=2021-04-12 HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        hub.token("service"),
        body.len()
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// What comes of each fault: the status that is seen (0 for none), what the body is, and whether the twin was written.
#[tokio::test]
async fn each_kind() {
    for (fault, status, body, written) in [
        ("429", 429, "refusal ThrottlingBacklogTimeout", false),
        ("500", 500, "refusal ServerError", false),
        ("503", 503, "refusal ServiceUnavailable", false),
        ("404", 404, "refusal DeviceNotFound", false),
        ("502", 502, "empty", false),
        ("504", 504, "empty", false),
        ("reset-before", 0, "", false),
        ("reset-after", 0, "", true),
        ("half", 200, "half", true),
        ("garbage", 200, "garbage", true),
        ("slow 60ms", 200, "whole", true),
    ] {
        let (observer, records) = recorder();
        let folder = TempDir::new().expect("a temporary folder");
        let hub =
            Sandbox::with(folder, |options| options.faults(format!("PATCH /twins/* {fault}")).on_request(observer))
                .await;
        hub.create("d").await;
        let started = Instant::now();
        let answer = patch(&hub).await;
        let took = started.elapsed();
        if fault.starts_with("slow") {
            assert!(took >= Duration::from_millis(60), "{took:?}");
        }
        let seen = answer.strip_prefix("HTTP/1.1 ").map_or(0, |rest| rest[..3].parse().expect("a status"));
        assert_eq!(seen, status, "{fault}: {answer}");
        let (head, rest) = answer.split_once("\r\n\r\n").unwrap_or_default();
        let json = serde_json::from_str::<Value>(rest);
        let length: Option<usize> =
            head.to_lowercase().lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        match body.split_once(' ') {
            Some((_, code)) => {
                let message = json.expect("a refusal")["Message"].as_str().expect("a message").to_owned();
                assert!(message.starts_with(&format!("ErrorCode:{code};")), "{fault}: {message}");
                assert_eq!(code == "ThrottlingBacklogTimeout", message.ends_with("Operation type: TwinUpdate"));
                assert!(head.contains(&format!("\r\niothub-errorcode: {code}")), "{head}");
            }
            None if body == "empty" => assert_eq!(rest, "", "{fault}"),
            None if body == "half" => {
                assert!(rest.starts_with("{\"deviceId\":\"d\"") && json.is_err(), "{rest}");
                let half = length.expect("a length") / 2;
                assert_eq!(rest.len(), half, "{fault}");
            }
            None if body == "garbage" => {
                assert!(json.is_err() || json.is_ok_and(|json| json == json!({})), "{rest}");
            }
            None if body == "whole" => assert_eq!(json.expect("a twin")["tags"], json!({"a": 1})),
            None => assert_eq!(rest, ""),
        }
        hub.hub.set_faults("").expect("no rules");
        let twin = hub.ask("GET", "/twins/d", &[], None).await;
        assert_eq!(twin.body["tags"] == json!({"a": 1}), written, "{fault}: {twin:?}");

        let record = records.lock().expect("a lock").iter().find(|record| record.method == "PATCH").cloned();
        let record = record.expect("a record");
        assert_eq!(record.fault.as_deref(), Some(fault), "{fault}");
        assert_eq!(record.status, if fault == "reset-after" { 200 } else { status }, "{fault}");
    }
}

/// On a shared HTTP/2 connection a reset is that of one stream, and the others go on.
#[tokio::test]
async fn a_reset_over_http_2_is_one_streams() {
    let hub = Sandbox::new().await;
    hub.create("d").await;
    hub.hub.set_faults("GET /twins/* reset-after").expect("a rule");
    let url = format!("https://{}/twins/d?api-version=2021-04-12", hub.hub.host_name());
    let lost = hub.client.get(url).header("Authorization", hub.token("service")).send().await;
    assert!(lost.is_err(), "{lost:?}");
    assert_eq!(hub.ask("GET", "/devices/d", &[], None).await.status, 200);
}

#[tokio::test]
async fn rules_are_changed_while_it_runs() {
    const PATH: &str = "/$twinctl/faults";
    let hub = Sandbox::new().await;
    hub.create("d").await;
    let none = json!({"spec": "", "rules": []});
    assert_eq!(hub.ask("GET", PATH, &[], None).await.body, none);

    let set = hub.ask("PUT", PATH, &[], Some(json!({"spec": "GET /twins/* 503 first 2 ; seed 3"}))).await;
    assert_eq!((set.status, &set.body["spec"]), (200, &json!("GET /twins/* 503 first 2\nseed 3\n")));
    for status in [503, 503, 200, 200] {
        assert_eq!(hub.ask("GET", "/twins/d", &[], None).await.status, status);
    }
    let rules = json!([{"rule": "GET /twins/* 503 first 2", "matched": 4, "fired": 2}]);
    assert_eq!(hub.ask("GET", PATH, &[], None).await.body["rules"], rules);

    // What is wrong leaves the rules as they are, and says where it is wrong.
    let wrong = hub.ask("PUT", PATH, &[], Some(json!({"spec": "GET * 503\nGTE * 503"}))).await;
    assert_eq!(wrong.refusal(), (400, "ArgumentInvalid"));
    let message = wrong.body["Message"].as_str().expect("a message");
    assert!(message.ends_with(";spec:2:1: there is no method `GTE`"), "{message}");
    assert_eq!(hub.ask("GET", PATH, &[], None).await.body["rules"], rules);

    // The hub that fails everything can still be told to stop.
    hub.ask("PUT", PATH, &[], Some(json!({"spec": "* * reset-before"}))).await;
    assert_eq!(hub.ask("DELETE", PATH, &[], None).await.body, none);
    assert_eq!(hub.ask("GET", "/twins/d", &[], None).await.status, 200);

    // Nobody but the owner.
    for policy in ["service", "device", "registryRead", "registryReadWrite"] {
        for method in ["GET", "PUT", "DELETE"] {
            let token = hub.token(policy);
            let path = format!("{PATH}?api-version=2021-04-12");
            let answer =
                hub.send(method, &path, &[("Authorization", &token)], Some("{\"spec\":\"\"}".to_owned())).await;
            assert_eq!(answer.refusal(), (401, "IotHubUnauthorizedAccess"), "{policy} {method}");
        }
    }
    assert_eq!(hub.ask("POST", PATH, &[], Some(json!({}))).await.status, 405);
}

/// Written, and never answered; other requests are.
#[tokio::test]
async fn no_answer() {
    let folder = TempDir::new().expect("a temporary folder");
    let hub = Sandbox::with(folder, |options| options.faults("PATCH * no-answer")).await;
    hub.create("d").await;
    let written = async {
        while hub.ask("GET", "/twins/d", &[], None).await.body["tags"]["a"] != 1 {}
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    tokio::select! {
        answer = patch(&hub) => panic!("an answer: {answer}"),
        () = written => {}
    }
}

#[tokio::test]
async fn latency() {
    let folder = TempDir::new().expect("a temporary folder");
    let hub = Sandbox::with(folder, |options| options.latency(Duration::from_millis(40))).await;
    let started = Instant::now();
    for _ in 0..5 {
        hub.ask("GET", "/statistics/devices", &[], None).await;
    }
    assert!(started.elapsed() >= Duration::from_millis(100), "half of it at least: {:?}", started.elapsed());
}
