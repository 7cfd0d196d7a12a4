//! What SDKs are strict about, one test for each point.

use serde_json::json;

use super::Sandbox;

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
