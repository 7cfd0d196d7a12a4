//! `If-Match` with several etags, weak ones and several headers: the same for all that has an etag.

use serde_json::Value;
use serde_json::json;

use crate::tests::Sandbox;

/// Asks for a write under `If-Match` headers, where `CURRENT` is the etag that `GET` answers with.
async fn under(hub: &Sandbox, (method, path, body): (&str, &str, &Option<Value>), headers: &[&str]) -> u16 {
    let read = match path.strip_prefix("/digitaltwins/") {
        Some(id) => format!("/twins/{id}"),
        None => path.to_owned(),
    };
    let current = hub.ask("GET", &read, &[], None).await.body["etag"].as_str().expect("an etag").to_owned();
    let headers: Vec<String> = headers.iter().map(|header| header.replace("CURRENT", &current)).collect();
    let headers: Vec<_> = headers.iter().map(|header| ("If-Match", header.as_str())).collect();
    hub.ask(method, path, &headers, body.clone()).await.status
}

#[tokio::test]
async fn lists_and_weak_etags_are_read_alike_everywhere() {
    let hub = Sandbox::new().await;
    hub.create("d").await;
    assert_eq!(hub.ask("PUT", "/devices/d/modules/m", &[], Some(json!({}))).await.status, 200);
    let configuration = json!({"content": {"deviceContent": {"properties.desired.x": 1}}});
    assert_eq!(hub.ask("PUT", "/configurations/c", &[], Some(configuration.clone())).await.status, 200);
    let twin = json!({"tags": {"a": 1}, "properties": {"desired": {"p": 1}}});
    let patch = json!([{"op": "add", "path": "/p", "value": 2}]);
    for (method, path, body) in [
        ("PATCH", "/twins/d", Some(twin.clone())),
        ("PUT", "/twins/d", Some(twin.clone())),
        ("PATCH", "/twins/d/modules/m", Some(twin)),
        ("PUT", "/devices/d", Some(json!({"deviceId": "d"}))),
        ("PUT", "/devices/d/modules/m", Some(json!({}))),
        ("PUT", "/configurations/c", Some(configuration)),
        ("PATCH", "/digitaltwins/d", Some(patch)),
    ] {
        for (headers, is_done) in [
            (&["\"old\", \"CURRENT\""][..], true),
            (&["\"CURRENT\",\"old\""], true),
            (&["\"old\"", "\"CURRENT\""], true),
            (&["\"old, older\", \"CURRENT\""], true),
            (&["W/\"old\", \"CURRENT\""], true),
            (&["\"old\", \"older\""], false),
            (&["\"old\"", "\"older\""], false),
            (&["\"old\"", "*"], false),
            (&["\"old\", *"], false),
            (&["W/\"CURRENT\""], false),
            (&["W/\"old\""], false),
            (&["\"old, CURRENT\""], false),
            (&["*"], true),
        ] {
            let status = under(&hub, (method, path, &body), headers).await;
            let done = if path.starts_with("/digitaltwins") { 202 } else { 200 };
            assert_eq!(status, if is_done { done } else { 412 }, "{method} {path} {headers:?}");
        }
    }
    for (path, headers, status) in [
        ("/devices/d/modules/m", "W/\"CURRENT\"", 412),
        ("/devices/d/modules/m", "\"old\", \"CURRENT\"", 204),
        ("/configurations/c", "\"old\", \"older\"", 412),
        ("/configurations/c", "\"old\", \"CURRENT\"", 204),
        ("/devices/d", "W/\"CURRENT\"", 412),
        ("/devices/d", "\"old\", \"CURRENT\"", 204),
    ] {
        assert_eq!(under(&hub, ("DELETE", path, &None), &[headers]).await, status, "{path} {headers}");
    }
}

#[tokio::test]
async fn the_refusal_and_the_log_name_all_etags() {
    let (observer, records) = crate::tests::recorder();
    let folder = tempfile::TempDir::new().expect("a temporary folder");
    let hub = Sandbox::with(folder, |options| options.on_request(observer)).await;
    hub.create("d").await;
    let headers = [("If-Match", "\"a\""), ("If-Match", "\"b\"")];
    let answer = hub.ask("PATCH", "/twins/d", &headers, Some(json!({}))).await;
    assert!(answer.text.contains("names the etags a, b, and the current one is AAAAAAAAAAE="), "{answer:?}");
    let last = records.lock().expect("a lock").last().cloned().expect("a record");
    assert_eq!(last.if_match.as_deref(), Some("\"a\", \"b\""));
}
