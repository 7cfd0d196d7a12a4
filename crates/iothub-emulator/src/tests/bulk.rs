//! `POST /devices`: each mode of an entry, and what the answer says.

use serde_json::Value;
use serde_json::json;
use time::macros::datetime;

use crate::core::command::Entropy;
use crate::core::requests::bulk;
use crate::core::requests::bulk::Bulk;
use crate::core::requests::devices::DeleteDevice;
use crate::core::requests::twins::{GetTwin, TwinReply};
use crate::core::state::Hub;
use crate::tests::Sandbox;
use iothub_model::twin::IfMatch;
use iothub_model::twin::TwinId;
use iothub_model::wire::ErrorCode;
use iothub_model::wire::bulk::BulkEntry;

const NOW: time::OffsetDateTime = datetime!(2026-01-01 00:00:00 UTC);
const FRESH: &str = "AAAAAAAAAAE=";

fn entries(body: Value) -> Vec<BulkEntry> {
    serde_json::from_value(body).expect("entries")
}

/// Does entries, and returns the answer as it is sent.
fn run(hub: &mut Hub, body: Value) -> Value {
    let entries = (1..).zip(entries(body)).map(|(seed, entry)| (entry, Entropy([seed; 80]))).collect();
    serde_json::to_value(hub.handle(Bulk { entries }, NOW).reply.expect("a result")).expect("JSON")
}

/// The names of the numbers that the answer has.
fn codes(result: &Value) -> Vec<&str> {
    result["errors"].as_array().expect("errors").iter().map(code_of).collect()
}

fn code_of(error: &Value) -> &'static str {
    ErrorCode::from_number(error["errorCode"].as_u64().expect("a number")).expect("a code").name()
}

fn done(hub: &mut Hub, body: Value) {
    assert_eq!(run(hub, body), json!({"isSuccessful": true, "errors": [], "warnings": []}));
}

/// The identity and the twin of a device or module; nothing when there is none.
fn look(hub: &mut Hub, id: &str) -> Option<(Value, Value)> {
    let id: TwinId = id.parse().expect(id);
    let read = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
    Some(match hub.handle(GetTwin { id }, NOW).reply.ok()? {
        TwinReply::Device(it) => (read(it.identity.as_str()), read(it.twin.as_str())),
        TwinReply::Module(it) => (read(it.identity.as_str()), read(it.twin.as_str())),
    })
}

/// A hub with the enabled device `d` and its module `d/m`, both twins fresh.
fn hub() -> Hub {
    let mut hub = Hub::default();
    done(&mut hub, json!([{"id": "d", "importMode": "create"}, {"id": "d", "moduleId": "m", "importMode": "create"}]));
    hub
}

#[test]
fn each_mode_on_what_is_there_and_what_is_not() {
    for (mode, on_device, on_nobody, on_module, on_no_module) in [
        ("create", "DeviceAlreadyExists", "", "ModuleAlreadyExistsOnDevice", ""),
        ("update", "", "DeviceNotFound", "", "ModuleNotFound"),
        ("updateIfMatchETag", "", "DeviceNotFound", "", "ModuleNotFound"),
        ("delete", "", "DeviceNotFound", "", "ModuleNotFound"),
        ("deleteIfMatchETag", "", "DeviceNotFound", "", "ModuleNotFound"),
        ("updateTwin", "", "DeviceNotFound", "", "DeviceNotFound"),
        ("updateTwinIfMatchETag", "", "DeviceNotFound", "", "DeviceNotFound"),
        ("createOrUpdate", "", "", "", ""),
        ("createOrUpdateIfMatchETag", "", "", "", ""),
    ] {
        for (device, module, expected) in [
            ("d", None, on_device),
            ("e", None, on_nobody),
            ("d", Some("m"), on_module),
            ("d", Some("n"), on_no_module),
            ("e", Some("m"), "DeviceNotFound"),
        ] {
            // Modes that compare an etag compare none where the entry has none: Go's live suite updates and removes so.
            for none in [json!(null), json!("")] {
                let entry =
                    json!({"id": device, "moduleId": module, "importMode": mode, "eTag": none, "twinETag": none});
                let result = run(&mut hub(), json!([entry]));
                let expected: &[&str] = if expected.is_empty() { &[] } else { &[expected] };
                assert_eq!(codes(&result), expected, "{mode} {device} {module:?}");
                assert_eq!(result["isSuccessful"], expected.is_empty());
            }
        }
    }
}

#[test]
fn modes_that_compare() {
    let mut hub = hub();
    let (identity, _) = look(&mut hub, "d").expect("a device");
    let etag = identity["etag"].clone();
    for (entry, expected) in [
        (
            json!({"id": "d", "importMode": "updateTwinIfMatchETag", "twinETag": "AAAAAAAAAAI=", "tags": {"a": 1}}),
            false,
        ),
        (json!({"id": "d", "importMode": "updateTwinIfMatchETag", "twinETag": FRESH, "tags": {"a": 1}}), true),
        (json!({"id": "d", "importMode": "updateTwinIfMatchETag", "twinETag": FRESH, "tags": {"a": 2}}), false),
        (json!({"id": "d", "importMode": "updateTwinIfMatchETag", "twinETag": "*", "tags": {"a": 3}}), true),
        (json!({"id": "d", "importMode": "updateIfMatchETag", "eTag": "MQ==", "status": "disabled"}), false),
        (json!({"id": "d", "importMode": "updateIfMatchETag", "eTag": etag, "status": "disabled"}), true),
        (json!({"id": "d", "importMode": "deleteIfMatchETag", "eTag": etag}), false),
        (json!({"id": "d", "importMode": "updateTwinIfMatchETag", "twinETag": "\"*\"", "tags": {"a": 4}}), true),
        (json!({"id": "d", "importMode": "createOrUpdate", "twinETag": "\"*\"", "tags": {"a": 5}}), true),
        (json!({"id": "d", "importMode": "updateIfMatchETag", "eTag": "*"}), true),
        (json!({"id": "d", "importMode": "deleteIfMatchETag", "eTag": "\"x\""}), false),
        (json!({"id": "d", "importMode": "deleteIfMatchETag", "eTag": "\"*\""}), true),
    ] {
        let before = look(&mut hub, "d");
        let result = run(&mut hub, json!([entry]));
        assert_eq!(result["isSuccessful"], expected, "{entry}: {result}");
        if !expected {
            assert_eq!(codes(&result), ["PreconditionFailed"], "{entry}");
            assert_eq!(look(&mut hub, "d"), before, "{entry}");
        }
    }
    assert_eq!(look(&mut hub, "d"), None);
    assert_eq!(look(&mut hub, "d/m"), None, "a module goes with its device");
}

/// The documentation's table of import modes: what a stale etag of the twin and a stale one of the identity come to.
#[test]
fn the_etags_of_an_identity_and_its_twin_count_for_themselves() {
    const STALE: &str = "AAAAAAAAAAk=";
    for (mode, stale_twin, stale_identity) in [
        ("createOrUpdate", false, true),
        ("createOrUpdateIfMatchETag", false, false),
        ("update", true, true),
        ("updateIfMatchETag", true, false),
        ("updateTwin", true, true),
        ("updateTwinIfMatchETag", false, true),
        ("delete", true, true),
        ("deleteIfMatchETag", true, false),
    ] {
        for module in [None, Some("m")] {
            let id = if module.is_some() { "d/m" } else { "d" };
            let etag = look(&mut hub(), id).expect(id).0["etag"].clone();
            for (twin_etag, identity_etag, expected) in
                [(FRESH, etag.clone(), true), (STALE, etag, stale_twin), (FRESH, json!("c3RhbGU="), stale_identity)]
            {
                let mut hub = hub();
                let before = look(&mut hub, id);
                let entry = json!({
                    "id": "d", "moduleId": module, "importMode": mode, "eTag": identity_etag, "twinETag": twin_etag,
                    "status": "disabled", "tags": {"a": 1},
                });
                let result = run(&mut hub, json!([entry]));
                assert_eq!(result["isSuccessful"], expected, "{entry}: {result}");
                assert_eq!(look(&mut hub, id) != before, expected, "{entry}");
            }
        }
    }
    // The other etag alone is no guard, and nothing is written under it.
    for (mode, other) in [
        ("updateTwinIfMatchETag", "eTag"),
        ("updateIfMatchETag", "twinETag"),
        ("createOrUpdateIfMatchETag", "twinETag"),
        ("deleteIfMatchETag", "twinETag"),
    ] {
        let mut hub = hub();
        let before = look(&mut hub, "d");
        let result = run(&mut hub, json!([{"id": "d", "importMode": mode, other: STALE, "tags": {"a": 1}}]));
        assert_eq!(codes(&result), ["PreconditionFailed"], "{mode}");
        assert_eq!(look(&mut hub, "d"), before, "{mode}");
    }
    // What is not there has no etag to compare.
    let mut hub = Hub::default();
    for (id, mode) in [("a", "create"), ("b", "createOrUpdate"), ("c", "createOrUpdateIfMatchETag")] {
        done(&mut hub, json!([{"id": id, "importMode": mode, "eTag": "x", "twinETag": STALE, "tags": {"a": 1}}]));
        assert_eq!(look(&mut hub, id).expect(id).1["tags"], json!({"a": 1}));
    }
    for twin_etag in [json!(null), json!(""), json!("*")] {
        done(&mut hub, json!([{"id": "b", "importMode": "createOrUpdate", "twinETag": twin_etag, "tags": {"a": 2}}]));
    }
}

#[test]
fn twin_modes_pass_over_what_belongs_to_the_identity() {
    let mut hub = hub();
    let (before, _) = look(&mut hub, "d").expect("a device");
    // As Microsoft's C# client sends it.
    done(
        &mut hub,
        json!([{
            "id": "d", "importMode": "updateTwin", "status": "disabled", "authentication": null, "deviceScope": null,
            "tags": {"a": 1}, "properties": {"desired": {"b": {"c": 1}}, "reported": {"r": 1}}
        }]),
    );
    done(&mut hub, json!([{"id": "d", "importMode": "updateTwin", "properties": {"desired": {"b": {"d": 2}}}}]));
    let (identity, twin) = look(&mut hub, "d").expect("a device");
    assert_eq!(identity, before);
    assert_eq!((&twin["tags"], &twin["status"]), (&json!({"a": 1}), &json!("enabled")));
    assert_eq!(twin["properties"]["desired"]["b"], json!({"c": 1, "d": 2}), "merged");
    assert!(twin["properties"]["reported"].get("r").is_none());
    assert_eq!(twin["etag"], "AAAAAAAAAAM=");
}

#[test]
fn identity_modes_write_the_twin_that_they_are_given() {
    let mut hub = Hub::default();
    done(
        &mut hub,
        json!([
            {"id": "d", "importMode": "create", "status": "disabled", "statusReason": "new", "tags": {"a": 1},
             "properties": {"desired": {"b": 1}}, "capabilities": {"iotEdge": true}},
            {"id": "d", "moduleId": "m", "importMode": "create", "tags": {"c": 1}},
        ]),
    );
    let (identity, twin) = look(&mut hub, "d").expect("a device");
    assert_eq!((&identity["status"], &identity["statusReason"]), (&json!("disabled"), &json!("new")));
    assert_eq!(identity["capabilities"]["iotEdge"], true);
    assert_eq!((&twin["tags"], &twin["properties"]["desired"]["$version"]), (&json!({"a": 1}), &json!(2)));
    assert_eq!(look(&mut hub, "d/m").expect("a module").1["tags"], json!({"c": 1}));

    done(&mut hub, json!([{"id": "d", "importMode": "update"}]));
    let (identity, again) = look(&mut hub, "d").expect("a device");
    assert_eq!(identity["status"], "enabled", "what is left out is as if it were new");
    assert_eq!(identity["capabilities"]["iotEdge"], false);
    assert_eq!(again["tags"], twin["tags"], "a twin that is not named stays");
}

#[test]
fn what_fails_fails_alone() {
    let mut hub = hub();
    let result = run(
        &mut hub,
        json!([
            {"id": "a b", "importMode": "create"},
            {"id": "new", "importMode": "create", "tags": {"a.b": 1}},
            {"id": "d", "importMode": "updateTwin", "tags": {"a": [null]}},
            {"id": "d", "moduleId": "m", "importMode": "updateTwin", "tags": 7},
            {"id": "bad", "importMode": "create", "authentication": {"symmetricKey": {"primaryKey": "x"}}},
            {"id": "good", "importMode": "create", "tags": {"a": 1}},
        ]),
    );
    let errors: Vec<_> = result["errors"]
        .as_array()
        .expect("errors")
        .iter()
        .map(|error| (error["deviceId"].as_str(), error["moduleId"].as_str(), Some(code_of(error))))
        .collect();
    let invalid = Some("ArgumentInvalid");
    assert_eq!(
        errors,
        [
            (Some("a b"), None, invalid),
            (Some("d"), None, invalid),
            (Some("d"), Some("m"), invalid),
            (Some("bad"), None, invalid)
        ]
    );
    assert_eq!(result["isSuccessful"], false);
    let warnings = result["warnings"].as_array().expect("warnings");
    assert_eq!(warnings.len(), 1);
    assert_eq!(
        (&warnings[0]["deviceId"], &warnings[0]["warningCode"]),
        (&json!("new"), &json!("DeviceRegisteredWithoutTwin"))
    );
    assert_eq!(look(&mut hub, "new").expect("registered").1["etag"], FRESH);
    assert_eq!(look(&mut hub, "good").expect("registered").1["tags"], json!({"a": 1}));
    assert_eq!(look(&mut hub, "bad"), None);
}

#[test]
fn one_change_for_all() {
    let mut hub = Hub::default();
    let body = json!([{"id": "a", "importMode": "create"}, {"id": "b", "importMode": "create"}]);
    let entries = entries(body).into_iter().map(|entry| (entry, Entropy([1; 80]))).collect();
    let outcome = hub.handle(Bulk { entries }, NOW);
    let change = outcome.change.expect("a change");
    assert_eq!((change.revision, change.records.len(), outcome.seen), (1, 2, 1));
    let seen = |hub: &mut Hub, id: &str| hub.handle(GetTwin { id: id.parse().expect(id) }, NOW).seen;
    assert_eq!((seen(&mut hub, "a"), seen(&mut hub, "b")), (1, 1));
    let delete = DeleteDevice { id: "a".parse().expect("an id"), if_match: IfMatch::Any };
    assert_eq!(hub.handle(delete, NOW).seen, 2);
}

#[test]
fn requests_that_are_refused_whole() {
    let create = |id: String| json!({"id": id, "importMode": "create"});
    let many = |n: u32| (0..n).map(|n| create(format!("d{n}"))).collect::<Value>();
    for (body, expected) in [
        (json!([]), Err(ErrorCode::ArgumentInvalid)),
        (many(100), Ok(())),
        (many(101), Err(ErrorCode::TooManyDevices)),
        (json!([{"id": "a"}]), Err(ErrorCode::ArgumentInvalid)),
        (json!([{"id": "a", "importMode": "createOrUpdate"}]), Err(ErrorCode::ArgumentInvalid)),
        (json!([{"id": "a", "importMode": "createOrUpdateIfMatchETag"}]), Err(ErrorCode::ArgumentInvalid)),
        (
            json!([{"id": "a", "importMode": "create"}, {"id": "a", "importMode": "delete"}]),
            Err(ErrorCode::DeviceDefinedMultipleTimes),
        ),
        (json!([{"id": "a", "importMode": "create"}, {"id": "a", "moduleId": "m", "importMode": "create"}]), Ok(())),
    ] {
        assert_eq!(bulk::check(&entries(body.clone())).map_err(|refusal| refusal.code), expected, "{body}");
    }
}

#[tokio::test]
async fn bulk_over_https() {
    let hub = Sandbox::new().await;
    let create = json!([{"id": "a", "importMode": "create"}, {"id": "b", "importMode": "create", "tags": {"t": 1}}]);
    for (path, body, status) in [("/devices", create.clone(), 200), ("/devices/", create, 400)] {
        let answer = hub.ask("POST", path, &[], Some(body)).await;
        assert_eq!((answer.status, &answer.body["isSuccessful"]), (status, &json!(status == 200)), "{answer:?}");
        let code = (status == 400).then_some("BulkRegistryOperationFailure");
        assert_eq!((answer.header("iothub-errorcode"), answer.header("IotHubErrorCode")), (code, code));
        let expected: &[&str] = if status == 400 { &["DeviceAlreadyExists"; 2] } else { &[] };
        assert_eq!(codes(&answer.body), expected);
        assert!(answer.body["warnings"].is_array());
    }
    for (body, expected) in [
        (json!({"devices": []}), (400, "ArgumentInvalid")),
        (json!([{"id": "a", "importMode": "upsert"}]), (400, "ArgumentInvalid")),
        (
            json!([{"id": "a", "importMode": "create"}, {"id": "a", "importMode": "create"}]),
            (400, "DeviceDefinedMultipleTimes"),
        ),
    ] {
        assert_eq!(hub.ask("POST", "/devices", &[], Some(body.clone())).await.refusal(), expected, "{body}");
    }
    let hub = hub.restart().await;
    assert_eq!(hub.ask("GET", "/twins/b", &[], None).await.body["tags"], json!({"t": 1}));
}
