//! Who may do what, and with which token.

use serde_json::json;

use crate::tests::{NOW, Sandbox};
use iothub_model::wire::ConnectionString;
use iothub_model::wire::Secret;
use iothub_model::wire::sas::Key;
use iothub_model::wire::sas::sign;

#[tokio::test]
async fn each_policy_has_its_rights() {
    let hub = Sandbox::new().await;
    hub.create("d").await;
    let body = json!({}).to_string();
    let query = json!({"query": "SELECT * FROM devices"}).to_string();
    let bulk = json!([]).to_string();
    // Which of iothubowner, service, device, registryRead, registryReadWrite may.
    for (method, path, body, allowed) in [
        ("GET", "/twins/d", None, "ys---"),
        ("PATCH", "/twins/d", Some(&body), "ys---"),
        ("PUT", "/twins/d", Some(&body), "ys---"),
        ("POST", "/devices/query", Some(&query), "ys---"),
        ("GET", "/devices/d", None, "y--rw"),
        ("GET", "/devices", None, "y--rw"),
        ("PUT", "/devices/d", Some(&body), "y---w"),
        ("GET", "/devices/d/modules", None, "y--rw"),
        ("PUT", "/devices/d/modules/m", Some(&body), "y---w"),
        ("GET", "/devices/d/modules/m", None, "y--rw"),
        ("GET", "/twins/d/modules/m", None, "ys---"),
        ("DELETE", "/devices/d/modules/m", None, "y---w"),
        ("GET", "/digitaltwins/d", None, "ys---"),
        ("PATCH", "/digitaltwins/d", Some(&body), "ys---"),
        ("POST", "/devices/keys/regenerate", Some(&body), "y---w"),
        ("POST", "/devices/d/applyConfigurationContent", Some(&body), "y----"),
        ("DELETE", "/devices/d", None, "y---w"),
        ("POST", "/devices", Some(&bulk), "y---w"),
        ("GET", "/configurations", None, "y----"),
        ("GET", "/configurations/c", None, "y----"),
        ("PUT", "/configurations/c", Some(&body), "y----"),
        ("DELETE", "/configurations/c", None, "y----"),
        ("POST", "/configurations/testQueries", Some(&body), "y----"),
        ("PUT", "/jobs/v2/j", Some(&body), "y----"),
        ("GET", "/jobs/v2/j", None, "y----"),
        ("POST", "/jobs/v2/j/cancel", None, "y----"),
        ("GET", "/jobs/v2/query", None, "y----"),
        ("POST", "/jobs/create", Some(&body), "y---w"),
        ("GET", "/jobs", None, "y---w"),
        ("GET", "/jobs/j", None, "y---w"),
        ("DELETE", "/jobs/j", None, "y---w"),
        ("GET", "/statistics/devices", None, "y--rw"),
        ("GET", "/statistics/service", None, "ys---"),
    ] {
        let policies = ["iothubowner", "service", "device", "registryRead", "registryReadWrite"];
        for (policy, allowed) in policies.into_iter().zip(allowed.chars()) {
            let path = format!("{path}?api-version=2021-04-12");
            let token = hub.token(policy);
            let answer = hub.send(method, &path, &[("Authorization", &token)], body.cloned()).await;
            assert_eq!(answer.status == 401, allowed == '-', "{policy}: {method} {path} {answer:?}");
            if allowed == '-' {
                assert_eq!(answer.refusal(), (401, "IotHubUnauthorizedAccess"));
                let message = answer.body["Message"].as_str().expect("a message");
                assert!(message.contains(&format!("the policy `{policy}` has no right ")), "{message}");
            }
        }
    }
}

#[tokio::test]
async fn tokens_that_open_nothing() {
    let hub = Sandbox::new().await;
    hub.create("d").await;
    let string = ConnectionString::parse(&hub.hub.connection_string(crate::Policy::Service)).expect("a string");
    let (host, key) = (string.host.as_str(), &string.key);
    let port = hub.hub.https_addr().port();
    let now = u64::try_from(NOW.unix_timestamp()).expect("after 1970");
    let other_key = Key::from_bytes([1; 32]);
    let good = sign(host, key, now + 60, Some("service"));
    let tampered = |from: &str, to: &str| Some(Secret::new(good.expose().replace(from, to)));
    let no_mistake = None::<&str>;
    for (token, mistake) in [
        (Some(good.clone()), no_mistake),
        (Some(sign(&host.to_uppercase(), key, now + 60, Some("service"))), no_mistake),
        (Some(sign(&format!("localhost:{port}"), key, now + 60, Some("service"))), no_mistake),
        (Some(sign("localhost", key, now + 60, Some("service"))), no_mistake),
        (Some(sign("[::1]", key, now + 60, Some("service"))), no_mistake),
        (Some(sign(&format!("{host}/twins"), key, now + 60, Some("service"))), no_mistake),
        (Some(sign(&format!("{host}/twins/d"), key, now + 60, Some("service"))), no_mistake),
        (None, Some("the request has no Authorization header")),
        (Some(Secret::new("Bearer eyJ0eXAi")), Some("the embedded hub takes shared access signatures")),
        (Some(Secret::new("Basic dTpw")), Some("not a shared access signature")),
        (
            Some(Secret::new("SharedAccessSignature x")),
            Some("the field `sr` of the shared access signature is missing"),
        ),
        (Some(sign(host, &other_key, now + 60, Some("service"))), Some("the token is not signed by a key of")),
        (Some(sign(host, key, now + 60, Some("iothubowner"))), Some("the token is not signed by a key of")),
        (Some(sign(host, key, now + 60, Some("admin"))), Some("there is no shared access policy `admin`")),
        (Some(sign(host, key, now + 60, None)), Some("the token names no shared access policy")),
        // Five minutes of grace.
        (Some(sign(host, key, now, Some("service"))), no_mistake),
        (Some(sign(host, key, now - 299, Some("service"))), no_mistake),
        (Some(sign(host, key, now - 300, Some("service"))), Some("the token expired 300 s ago")),
        (Some(sign(host, key, now - 3600, Some("service"))), Some("the token expired 3600 s ago")),
        (tampered(&format!("se={}", now + 60), &format!("se={}", now + 3600)), Some("the token is not signed by")),
        (tampered("sr=", "sr=x"), Some("the token is not signed by")),
        (
            Some(sign("other.azure-devices.net", key, now + 60, Some("service"))),
            Some("the token is for `other.azure-devices.net`"),
        ),
        (Some(sign("localhost:1", key, now + 60, Some("service"))), Some("the token is for `localhost:1`")),
        (Some(sign(&format!("{host}/twins/e"), key, now + 60, Some("service"))), Some("the token is for")),
        (Some(sign(&format!("{host}/devices/d"), key, now + 60, Some("service"))), Some("the token is for")),
    ] {
        let header = token.as_ref().map(|token| ("Authorization", token.expose()));
        let headers: Vec<_> = header.into_iter().collect();
        let answer = hub.send("GET", "/twins/d?api-version=2021-04-12", &headers, None).await;
        match mistake {
            None => assert_eq!(answer.status, 200, "{headers:?} {answer:?}"),
            Some(mistake) => {
                assert_eq!(answer.refusal(), (401, "IotHubUnauthorizedAccess"), "{mistake}");
                let message = answer.body["Message"]
                    .as_str()
                    .expect("a message")
                    .replace("ErrorCode:IotHubUnauthorizedAccess;", "");
                assert!(message.starts_with(mistake), "{message}");
            }
        }
    }
}

#[tokio::test]
async fn a_host_name_of_ones_own() {
    // A port that comes with the name is a forwarder's, and clients are told to use it.
    for (name, expected) in [("Hub.test", None), ("hub.test:9443", Some("hub.test:9443"))] {
        let folder = tempfile::TempDir::new().expect("a folder");
        let hub = Sandbox::with(folder, |options| options.host_name(name)).await;
        let port = hub.hub.https_addr().port();
        let own = format!("hub.test:{port}");
        assert_eq!(hub.hub.host_name(), expected.unwrap_or(&own));
        // Reached by its address all the same, with a token for its name.
        let url = format!("https://127.0.0.1:{port}/twins/d?api-version=2021-04-12");
        let request = crate::tests::client(&hub.hub).get(url).header("Authorization", hub.token("service"));
        assert_eq!(request.send().await.expect("an answer").status(), 404);
    }
}

#[tokio::test]
async fn nothing_shows_keys_by_accident() {
    let hub = Sandbox::new().await;
    let shown = format!("{:?}", hub.hub);
    let key = ConnectionString::parse(&hub.hub.connection_string(crate::Policy::IotHubOwner)).expect("a string").key;
    assert!(!shown.contains(key.to_base64().expose()), "{shown}");
    assert_eq!(
        hub.hub.connection_string(crate::Policy::IotHubOwner),
        format!(
            "HostName={};SharedAccessKeyName=iothubowner;SharedAccessKey={}",
            hub.hub.host_name(),
            key.to_base64().expose()
        )
    );
}

#[cfg(unix)]
#[tokio::test]
async fn secrets_are_their_owners_alone() {
    use std::os::unix::fs::PermissionsExt;

    let hub = Sandbox::new().await;
    for (file, mode) in [("ca-key.pem", 0o600), ("policies.json", 0o600), ("hub.redb", 0o600), ("ca.pem", 0o644)] {
        let metadata = std::fs::metadata(hub.folder.path().join(file)).expect(file);
        assert_eq!(metadata.permissions().mode() & 0o777, mode, "{file}");
    }
}
