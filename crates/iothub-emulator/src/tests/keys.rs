//! Keys of devices and modules: new ones for many at once, and what a device's own key opens.

use serde_json::Value;
use serde_json::json;

use crate::tests::{NOW, Sandbox};
use iothub_model::wire::API_VERSION;
use iothub_model::wire::sas::Key;
use iothub_model::wire::sas::sign;

async fn made(hub: &Sandbox, path: &str, body: Value) -> Value {
    let answer = hub.ask("PUT", path, &[], Some(body)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body
}

fn keys_of(identity: &Value) -> (&str, &str) {
    let keys = &identity["authentication"]["symmetricKey"];
    (keys["primaryKey"].as_str().expect("a key"), keys["secondaryKey"].as_str().expect("a key"))
}

async fn get(hub: &Sandbox, path: &str) -> Value {
    hub.ask("GET", path, &[], None).await.body
}

#[tokio::test]
async fn keys_are_renewed_one_or_both() {
    let hub = Sandbox::new().await;
    made(&hub, "/devices/d", json!({})).await;
    made(&hub, "/devices/d/modules/m", json!({})).await;
    // As `renew-key` and `module-identity renew-key` ask.
    for (path, owner) in
        [("/devices/d", json!({"id": "d"})), ("/devices/d/modules/m", json!({"id": "d", "moduleId": "m"}))]
    {
        for (policy, primary, secondary) in [
            ("primaryKey", true, false),
            ("secondaryKey", false, true),
            ("both", true, true),
            ("PrimaryKey", true, false),
        ] {
            let before = get(&hub, path).await;
            let body = json!({"policyKey": policy, "devices": [owner]});
            let answer = hub.ask("POST", "/devices/keys/regenerate", &[], Some(body)).await;
            assert_eq!((answer.status, &answer.body["errors"]), (200, &json!([])), "{answer:?}");
            let after = get(&hub, path).await;
            assert_ne!(after["etag"], before["etag"]);
            let (old, new) = (keys_of(&before), keys_of(&after));
            assert_eq!((old.0 != new.0, old.1 != new.1), (primary, secondary), "{policy}");
            let rotated = json!([{
                "id": "d", "moduleId": owner.get("moduleId"),
                "primaryKey": primary.then_some(new.0), "secondaryKey": secondary.then_some(new.1),
            }]);
            assert_eq!(answer.body["rotatedKeys"], rotated);
            let named = if policy == "PrimaryKey" { "primaryKey" } else { policy };
            assert_eq!(answer.body["policyKey"], named);
        }
    }
    assert_eq!(get(&hub, "/twins/d").await["deviceEtag"], get(&hub, "/devices/d").await["etag"]);
    // A device may be called so.
    made(&hub, "/devices/keys", json!({})).await;
    made(&hub, "/devices/keys/modules/regenerate", json!({})).await;
    assert_eq!(get(&hub, "/devices/keys").await["deviceId"], "keys");
    assert_eq!(get(&hub, "/devices/keys/modules").await[0]["moduleId"], "regenerate");
    let kept = get(&hub, "/devices/d").await;
    let hub = hub.restart().await;
    assert_eq!(get(&hub, "/devices/d").await, kept);
}

#[tokio::test]
async fn what_has_no_keys_gets_none() {
    let hub = Sandbox::new().await;
    made(&hub, "/devices/d", json!({"capabilities": {"iotEdge": true}})).await;
    let thumbprint = "A".repeat(40);
    made(&hub, "/devices/x", json!({"authentication": {"x509Thumbprint": {"primaryThumbprint": thumbprint}}})).await;
    let ask = |policy: Value, devices: Value| {
        let body = json!({"policyKey": policy, "devices": devices});
        let hub = &hub;
        async move { hub.ask("POST", "/devices/keys/regenerate", &[], Some(body)).await }
    };
    let answer = ask(json!("both"), json!([{"id": "x"}, {"id": "d"}])).await;
    assert_eq!((answer.status, answer.header("iothub-errorcode")), (207, None));
    assert_eq!(answer.body["rotatedKeys"][0]["id"], "d");
    let wrong = json!([{"id": "x"}, {"id": "e"}, {"id": "d", "moduleId": "m"}, {"id": "d", "moduleId": "$edgeHub"}, {"id": "a b"}]);
    let answer = ask(json!("both"), wrong).await;
    let code = Some("BulkRegenerateDeviceKeyOperationFailure");
    assert_eq!((answer.status, answer.header("iothub-errorcode"), answer.header("IotHubErrorCode")), (400, code, code));
    assert_eq!(answer.body["rotatedKeys"], json!([]));
    let codes: Vec<_> =
        answer.body["errors"].as_array().expect("errors").iter().map(|it| it["errorCode"].clone()).collect();
    assert_eq!(codes, [400_004, 404_001, 404_010, 400_004, 400_004]);

    let before = get(&hub, "/devices/d").await;
    for (policy, devices, expected) in [
        (json!("swap"), json!([{"id": "d"}]), (400, "InvalidPolicyKey")),
        (json!(null), json!([{"id": "d"}]), (400, "InvalidPolicyKey")),
        (json!("both"), json!([]), (400, "ArgumentInvalid")),
        (json!("both"), json!(null), (400, "ArgumentInvalid")),
        (json!("both"), json!([{"id": "d"}, {"id": "x"}, {"id": "d"}]), (400, "DeviceDefinedMultipleTimes")),
        (json!("both"), json!([{"id": "d"}, {"id": "d", "moduleId": ""}]), (400, "DeviceDefinedMultipleTimes")),
        (
            json!("primaryKey"),
            json!([{"id": "d", "moduleId": "m"}, {"id": "d", "moduleId": "m"}]),
            (400, "DeviceDefinedMultipleTimes"),
        ),
        (json!("both"), (0..101).map(|n| json!({"id": format!("d{n}")})).collect(), (413, "TooManyDevices")),
    ] {
        assert_eq!(ask(policy.clone(), devices).await.refusal(), expected, "{policy}");
    }
    assert_eq!(get(&hub, "/devices/d").await, before, "a request that is refused renews no key");
}

/// The service's live suites and IoT Edge make modules by the key of their device.
#[tokio::test]
async fn a_device_s_key_opens_its_own_modules_and_nothing_else() {
    let hub = Sandbox::new().await;
    let device = made(&hub, "/devices/d%231", json!({})).await;
    let other = made(&hub, "/devices/other", json!({})).await;
    made(&hub, "/devices/other/modules/m", json!({})).await;
    let host = hub.hub.host_name().to_owned();
    let later = u64::try_from(NOW.unix_timestamp()).expect("after 1970") + 60;
    let token = |resource: &str, key: &str, expiry: u64| {
        let key = Key::from_base64(key).expect("a key");
        sign(&format!("{host}{resource}"), &key, expiry, None).expose().to_owned()
    };
    let ask = |token: String, method: &'static str, path: &'static str, body: Option<Value>| {
        let hub = &hub;
        async move {
            let if_match = if method == "DELETE" { "*" } else { "\"none\"" };
            let mut headers = vec![("Authorization", token.as_str())];
            if method == "DELETE" {
                headers.push(("If-Match", if_match));
            }
            let path = format!("{path}?api-version={API_VERSION}");
            hub.send(method, &path, &headers, body.map(|body| body.to_string())).await
        }
    };
    let (primary, secondary) = keys_of(&device);
    for (resource, key) in [
        ("/devices/d#1", primary),
        ("/devices/d#1", secondary),
        ("/devices/d#1/modules", primary),
        ("/devices", primary),
        ("/d#1", primary),
        ("", primary),
    ] {
        let own = || token(resource, key, later);
        let body = Some(
            json!({"deviceId": "d#1", "moduleId": "m", "managedBy": "IotEdge", "authentication": {"type": "sas"}}),
        );
        let created = ask(own(), "PUT", "/devices/d%231/modules/m", body).await;
        assert_eq!((created.status, &created.body["managedBy"]), (200, &json!("IotEdge")), "{created:?}");
        assert_eq!(ask(own(), "GET", "/devices/d%231/modules", None).await.body.as_array().map(Vec::len), Some(1));
        assert_eq!(ask(own(), "GET", "/devices/d%231/modules/m", None).await.body["moduleId"], "m");
        assert_eq!(ask(own(), "DELETE", "/devices/d%231/modules/m", None).await.status, 204);
        // Nothing else, its own identity and twin included.
        for (method, path) in [
            ("GET", "/devices/d%231"),
            ("GET", "/devices"),
            ("GET", "/twins/d%231"),
            ("GET", "/twins/d%231/modules/m"),
            ("GET", "/devices/other/modules"),
            ("GET", "/devices/other/modules/m"),
            ("DELETE", "/devices/other/modules/m"),
            ("GET", "/devices/nobody/modules"),
        ] {
            let answer = ask(own(), method, path, None).await;
            assert_eq!(answer.refusal(), (401, "IotHubUnauthorizedAccess"), "{method} {path} {resource}");
        }
    }
    let module = made(&hub, "/devices/d%231/modules/m", json!({})).await;
    for (what, token) in [
        ("another device's key", token("/devices/d#1", keys_of(&other).0, later)),
        ("a token for another device", token("/devices/other", primary, later)),
        ("a token for another device, as Go's client writes it", token("/other", primary, later)),
        ("a token for one module, for all", token("/devices/d#1/modules/m", primary, later)),
        ("the module's own key", token("/devices/d#1/modules", keys_of(&module).0, later)),
        ("a token that is over", token("/devices/d#1", primary, later - 3600)),
        (
            "another hub",
            sign("other.example/devices/d#1", &Key::from_base64(primary).expect("a key"), later, None)
                .expose()
                .to_owned(),
        ),
    ] {
        let answer = ask(token, "GET", "/devices/d%231/modules", None).await;
        assert_eq!(answer.refusal(), (401, "IotHubUnauthorizedAccess"), "{what}");
    }
    let reserved =
        ask(token("/devices/d#1", primary, later), "PUT", "/devices/d%231/modules/$edgeAgent", Some(json!({}))).await;
    assert_eq!(reserved.refusal(), (401, "SystemModuleModifyUnauthorizedAccess"));

    let keep = json!({"symmetricKey": device["authentication"]["symmetricKey"]});
    let disabled = json!({"status": "disabled", "authentication": keep});
    assert_eq!(hub.ask("PUT", "/devices/d%231", &[("If-Match", "*")], Some(disabled)).await.status, 200);
    let answer = ask(token("/devices/d#1", primary, later), "GET", "/devices/d%231/modules", None).await;
    assert_eq!(answer.refusal(), (401, "IotHubUnauthorizedAccess"));
    assert!(answer.body["Message"].as_str().expect("a message").contains("is disabled"), "{answer:?}");
}
