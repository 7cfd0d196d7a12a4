//! The rules of twins and identities, asked of the pure machine.

use std::sync::Arc;

use serde_json::Value;
use serde_json::json;
use time::OffsetDateTime;
use time::macros::datetime;

use crate::core::ask::Ask;
use crate::core::command::{Entropy, Refusal, TwinWrite};
use crate::core::device::Device;
use crate::core::requests::devices::{
    CountDevices, DeleteDevice, DeviceCounts, FindDevices, GetDevice, ListDevices, PutDevice, ScanDevices,
};
use crate::core::requests::twins::{GetTwin, TwinReply, WriteTwin};
use crate::core::state::Hub;
use iothub_model::twin::IfMatch;
use iothub_model::wire::ErrorCode;
use iothub_model::wire::registry::DeviceBody;
use iothub_model::wire::twins::TwinBody;

const BIRTH: OffsetDateTime = datetime!(2026-01-01 00:00:00 UTC);
const LATER: OffsetDateTime = datetime!(2026-01-02 03:04:05.678 UTC);
const T0: &str = "2026-01-01T00:00:00.0000000Z";
const T1: &str = "2026-01-02T03:04:05.6780000Z";

fn entropy(seed: u8) -> Entropy {
    Entropy(std::array::from_fn(|at| seed.wrapping_mul(31).wrapping_add(u8::try_from(at).expect("under 80"))))
}

fn identity(hub: &mut Hub, id: &str, if_match: Option<&str>, body: Value, seed: u8) -> Result<Value, Refusal> {
    let body = serde_json::from_value::<DeviceBody>(body).expect("a body");
    let command = PutDevice {
        id: id.parse().expect(id),
        body: Box::new(body),
        if_match: IfMatch::parse(if_match),
        entropy: entropy(seed),
    };
    let device = hub.handle(command, LATER).reply?;
    Ok(serde_json::from_str(device.identity.as_str()).expect("JSON"))
}

fn twin_reply(reply: Result<TwinReply, Refusal>) -> Result<Value, Refusal> {
    Ok(serde_json::from_str(reply?.document().as_str()).expect("JSON"))
}

fn twin(hub: &mut Hub, id: &str) -> Result<Value, Refusal> {
    twin_reply(hub.handle(GetTwin { id: id.parse().expect(id) }, LATER).reply)
}

fn write(hub: &mut Hub, how: TwinWrite, if_match: Option<&str>, body: Value) -> Result<Value, Refusal> {
    let body = TwinBody::decode(body).expect("a body");
    let id = "d".parse().expect("an id");
    twin_reply(hub.handle(WriteTwin { id, how, body, if_match: IfMatch::parse(if_match) }, LATER).reply)
}

fn patch(hub: &mut Hub, body: Value) -> Result<Value, Refusal> {
    write(hub, TwinWrite::Merge, None, body)
}

fn desired(value: Value) -> Value {
    json!({"properties": {"desired": value}})
}

/// A hub with the device `d`, whose desired properties were written once, at [`BIRTH`].
fn hub_with(properties: Value) -> Hub {
    let mut hub = Hub::default();
    let body = Box::new(DeviceBody::default());
    let id = "d".parse::<iothub_model::twin::DeviceId>().expect("an id");
    let command = PutDevice { id: id.clone(), body, if_match: IfMatch::Absent, entropy: entropy(1) };
    hub.handle(command, BIRTH).reply.expect("a new device");
    if properties != json!({}) {
        let body = TwinBody::decode(desired(properties)).expect("a body");
        let command = WriteTwin { id: id.into(), how: TwinWrite::Merge, body, if_match: IfMatch::Absent };
        hub.handle(command, BIRTH).reply.expect("a write");
    }
    hub
}

fn codes(hub: &mut Hub) -> [Value; 4] {
    let twin = twin(hub, "d").expect("a twin");
    [
        twin["etag"].clone(),
        twin["version"].clone(),
        twin["properties"]["desired"]["$version"].clone(),
        twin["deviceEtag"].clone(),
    ]
}

#[test]
fn a_fresh_twin() {
    let mut hub = hub_with(json!({}));
    let twin = twin(&mut hub, "d").expect("a twin");
    let expected = json!({
        "deviceId": "d",
        "etag": "AAAAAAAAAAE=",
        "deviceEtag": twin["deviceEtag"],
        "status": "enabled",
        "statusUpdateTime": "0001-01-01T00:00:00Z",
        "connectionState": "Disconnected",
        "lastActivityTime": "0001-01-01T00:00:00Z",
        "cloudToDeviceMessageCount": 0,
        "authenticationType": "sas",
        "x509Thumbprint": {"primaryThumbprint": null, "secondaryThumbprint": null},
        "modelId": "",
        "version": 2,
        "properties": {
            "desired": {"$metadata": {"$lastUpdated": T0}, "$version": 1},
            "reported": {"$metadata": {"$lastUpdated": T0}, "$version": 1}
        },
        "capabilities": {"iotEdge": false}
    });
    assert_eq!(twin, expected);
}

#[test]
fn what_a_patch_makes_of_values() {
    for (before, patched, after) in [
        (json!({"a": 1}), json!({"b": 2}), json!({"a": 1, "b": 2})),
        (json!({"a": {"b": 1, "c": 2}}), json!({"a": {"b": null}}), json!({"a": {"c": 2}})),
        (json!({"a": {"b": 1}}), json!({"a": {"b": null}}), json!({"a": {}})),
        (json!({"a": {"b": 1}}), json!({"a": null}), json!({})),
        (json!({"a": [1, 2]}), json!({"a": [3]}), json!({"a": [3]})),
        (json!({}), json!({"a": {}}), json!({"a": {}})),
        (json!({}), json!({"a": {"b": null}}), json!({"a": {}})),
        (json!({"a": 1}), json!({"z": null}), json!({"a": 1})),
        (json!({"a": 1}), json!({"a": 1.0}), json!({"a": 1.0})),
    ] {
        let mut hub = hub_with(before);
        let twin = patch(&mut hub, desired(patched.clone())).expect("a write");
        let mut section = twin["properties"]["desired"].as_object().expect("an object").clone();
        section.retain(|key, _| !key.starts_with('$'));
        assert_eq!(Value::Object(section), after, "{patched}");
    }
}

#[test]
fn metadata_follows_the_keys_that_are_sent() {
    let old = json!({"$lastUpdated": T0, "$lastUpdatedVersion": 2});
    let new = json!({"$lastUpdated": T1, "$lastUpdatedVersion": 3});
    let node = |own: &Value, children: Value| -> Value {
        let mut node = own.as_object().expect("an object").clone();
        node.extend(children.as_object().expect("an object").clone());
        node.into()
    };
    for (why, before, patched, expected) in [
        (
            "an untouched sibling keeps its time, the root does not",
            json!({"a": 1, "b": 1}),
            json!({"a": 2}),
            node(&new, json!({"a": new, "b": old})),
        ),
        ("an equal value is a write", json!({"a": 1}), json!({"a": 1}), node(&new, json!({"a": new}))),
        (
            "a removed key is gone, and its parents have moved",
            json!({"o": {"a": 1, "b": 1}, "p": 1}),
            json!({"o": {"a": null}}),
            node(&new, json!({"o": node(&new, json!({"b": old})), "p": old})),
        ),
        ("an array is a leaf", json!({"z": 1}), json!({"l": [{"a": 1}, 2]}), node(&new, json!({"l": new, "z": old}))),
        (
            "an object over a scalar has nodes for all that is in it",
            json!({"a": 1}),
            json!({"a": {"b": {"c": 1, "d": null}}}),
            node(&new, json!({"a": node(&new, json!({"b": node(&new, json!({"c": new}))}))})),
        ),
        (
            "a scalar over an object leaves no children",
            json!({"a": {"b": 1}}),
            json!({"a": 1}),
            node(&new, json!({"a": new})),
        ),
        ("nothing sent moves the root alone", json!({"a": 1}), json!({}), node(&new, json!({"a": old}))),
    ] {
        let mut hub = hub_with(before);
        let twin = patch(&mut hub, desired(patched)).expect("a write");
        assert_eq!(twin["properties"]["desired"]["$metadata"], expected, "{why}");
    }
}

#[test]
fn what_moves_when() {
    let etag = |n: u8| json!(["", "AAAAAAAAAAE=", "AAAAAAAAAAI="][usize::from(n)]);
    for (why, body, (wanted_etag, version, desired_version)) in [
        ("desired", desired(json!({"a": 1})), (2, 3, 2)),
        ("an empty desired", desired(json!({})), (2, 3, 2)),
        ("tags", json!({"tags": {"a": 1}}), (2, 3, 1)),
        ("both", json!({"tags": {}, "properties": {"desired": {}}}), (2, 3, 2)),
        ("tags of null", json!({"tags": null}), (2, 3, 1)),
        ("desired of null", desired(json!(null)), (2, 3, 2)),
        ("properties of null", json!({"properties": null}), (1, 2, 1)),
        ("nothing", json!({}), (1, 2, 1)),
        ("what is the hub's own", json!({"status": "disabled", "deviceId": "x", "etag": "y"}), (1, 2, 1)),
        ("reported", json!({"properties": {"reported": {"a": 1}}}), (1, 2, 1)),
    ] {
        let mut hub = hub_with(json!({}));
        let [.., device_etag] = codes(&mut hub);
        let twin = patch(&mut hub, body).expect("a write");
        let expected = [etag(wanted_etag), json!(version), json!(desired_version), device_etag];
        assert_eq!(codes(&mut hub), expected, "{why}");
        assert_eq!(twin["status"], "enabled", "{why}");
        assert_eq!(twin["properties"]["reported"]["$version"], 1, "{why}");
    }
}

#[test]
fn identity_writes_move_the_device_etag_alone() {
    let mut hub = hub_with(json!({"a": 1}));
    let [etag, version, desired_version, device_etag] = codes(&mut hub);
    identity(&mut hub, "d", Some("*"), json!({"status": "disabled", "statusReason": "broken"}), 2).expect("a write");
    let after = codes(&mut hub);
    assert_eq!(after[..3], [etag, version, desired_version]);
    assert_ne!(after[3], device_etag);
    let twin = twin(&mut hub, "d").expect("a twin");
    assert_eq!((&twin["status"], &twin["statusReason"]), (&json!("disabled"), &json!("broken")));
    assert_eq!(twin["statusUpdateTime"], T1);
}

#[test]
fn a_replacement_wipes() {
    for (body, tags, keys) in [
        (json!({"tags": {"t": 1}, "properties": {"desired": {"b": {"c": 1}}}}), json!({"t": 1}), "b"),
        (json!({"tags": null, "properties": {"desired": null}}), json!(null), ""),
        (json!({"tags": {"t": 1}}), json!({"t": 1}), ""),
        (desired(json!({"b": 1})), json!(null), "b"),
        (json!({}), json!(null), ""),
    ] {
        let mut hub = hub_with(json!({"a": 1}));
        patch(&mut hub, json!({"tags": {"old": 1}})).expect("a write");
        let twin = write(&mut hub, TwinWrite::Replace, None, body.clone()).expect("a write");
        assert_eq!(twin["tags"], tags, "{body}");
        let section = &twin["properties"]["desired"];
        let found: Vec<_> =
            section.as_object().expect("an object").keys().filter(|key| !key.starts_with('$')).cloned().collect();
        assert_eq!(found.join(" "), keys, "{body}");
        assert_eq!(section["$version"], 3, "{body}");
        assert_eq!(section["$metadata"]["$lastUpdated"], T1, "{body}");
        assert_eq!(twin["etag"], "AAAAAAAAAAQ=", "{body}");
    }
}

#[test]
fn if_match_on_twins() {
    for (header, allowed) in [
        (None, true),
        (Some("*"), true),
        (Some("\"*\""), true),
        (Some("\"AAAAAAAAAAE=\""), true),
        (Some("\"AAAAAAAAAAI=\""), false),
        (Some("\"\""), false),
        (Some("AAAAAAAAAAE="), true),
        (Some("AAAAAAAAAAI="), true),
    ] {
        for how in [TwinWrite::Merge, TwinWrite::Replace] {
            let mut hub = hub_with(json!({}));
            let outcome = write(&mut hub, how, header, json!({"tags": {"a": 1}}));
            match allowed {
                true => assert_eq!(outcome.expect("a write")["etag"], "AAAAAAAAAAI=", "{header:?}"),
                false => {
                    assert_eq!(outcome.expect_err("stale").code, ErrorCode::PreconditionFailed, "{header:?}");
                    assert_eq!(codes(&mut hub)[0], "AAAAAAAAAAE=", "{header:?}");
                }
            }
        }
    }
    let mut hub = hub_with(json!({}));
    let stale = write(&mut hub, TwinWrite::Merge, Some("\"AAAAAAAAAAI=\""), json!({}));
    assert_eq!(stale.expect_err("even to write nothing").code, ErrorCode::PreconditionFailed);
}

#[test]
fn limits_name_the_place_and_change_nothing() {
    for (body, text) in [
        (desired(json!({"a": {"b.c": 1}})), "properties.desired.a.b.c: the key holds '.'"),
        (desired(json!({"$x": 1})), "properties.desired.$x: the key holds '$'"),
        (json!({"tags": {"a b": 1}}), "tags.a b: the key holds ' '"),
        (json!({"tags": {"a": "x".repeat(4097)}}), "tags.a: the text has 4097 bytes"),
        (desired(json!({"a": 4503599627370496_i64})), "properties.desired.a: 4503599627370496 is outside"),
        (desired(json!({"a": [null]})), "properties.desired.a.0: null inside an array"),
        (desired((0..11).fold(json!({"x": 1}), |inner, _| json!({"n": inner}))), "properties.desired.n.n.n.n"),
        (
            json!({"tags": {"a": "x".repeat(4096), "b": "x".repeat(4096)}}),
            "tags: tags have 8194 bytes as the hub counts, and it takes 8192 at most",
        ),
    ] {
        for how in [TwinWrite::Merge, TwinWrite::Replace] {
            let mut hub = hub_with(json!({}));
            let refusal = write(&mut hub, how, None, body.clone()).expect_err(text);
            let code = match text.starts_with("tags: tags have") {
                true => ErrorCode::DeviceModelMaxPropertiesExceeded,
                false => ErrorCode::ArgumentInvalid,
            };
            assert_eq!(refusal.code, code, "{text}");
            assert!(refusal.text.starts_with(text), "{}", refusal.text);
            assert_eq!(codes(&mut hub)[0], "AAAAAAAAAAE=", "{text}");
        }
    }
}

#[test]
fn a_section_that_is_too_large_has_a_code_of_its_own() {
    let large = |count: usize| -> Value {
        (0..count).map(|n| (format!("k{n}"), Value::from("x".repeat(4000)))).collect::<serde_json::Map<_, _>>().into()
    };
    for body in [json!({"tags": large(3)}), desired(large(9))] {
        for how in [TwinWrite::Merge, TwinWrite::Replace] {
            let refusal = write(&mut hub_with(json!({})), how, None, body.clone()).expect_err("too large");
            assert_eq!(refusal.code, ErrorCode::DeviceModelMaxPropertiesExceeded);
            assert_eq!((refusal.code.status(), refusal.code.number()), (403, 403_100));
        }
    }
}

#[test]
fn a_replacement_holds_no_null() {
    for (body, text) in [
        (json!({"tags": {"a": null}}), "tags.a: null, which a replacement cannot hold"),
        (json!({"tags": {"a": {"b": {"c": null}}}}), "tags.a.b.c: null"),
        (desired(json!({"x": 1, "a": {"b": null}})), "properties.desired.a.b: null"),
    ] {
        let mut hub = hub_with(json!({"a": 1}));
        let refusal = write(&mut hub, TwinWrite::Replace, None, body.clone()).expect_err(text);
        assert_eq!(refusal.code, ErrorCode::ArgumentInvalid, "{text}");
        assert!(refusal.text.starts_with(text), "{}", refusal.text);
        assert_eq!(codes(&mut hub)[0], "AAAAAAAAAAI=", "{text}");
        patch(&mut hub, body).expect("a merge removes by it");
    }
}

#[test]
fn null_for_a_section_clears_it() {
    let mut hub = hub_with(json!({"a": {"b": 1}, "c": 2}));
    patch(&mut hub, json!({"tags": {"t": 1}})).expect("a write");
    let twin = patch(&mut hub, desired(Value::Null)).expect("a write");
    let metadata = json!({"$lastUpdated": T1, "$lastUpdatedVersion": 3});
    assert_eq!(twin["properties"]["desired"], json!({"$metadata": metadata, "$version": 3}));
    assert_eq!(twin["tags"], json!({"t": 1}));
    let twin = patch(&mut hub, json!({"tags": null})).expect("a write");
    assert_eq!(twin.get("tags"), None);
    assert_eq!((&twin["etag"], &twin["properties"]["desired"]["$version"]), (&json!("AAAAAAAAAAU="), &json!(3)));
}

#[test]
fn tags_are_left_out_while_there_are_none() {
    let mut hub = hub_with(json!({}));
    for (body, tags) in [
        (json!({"tags": {}}), None),
        (json!({"tags": {"a": {"b": 1}}}), Some(json!({"a": {"b": 1}}))),
        (json!({"tags": {"a": {"b": null}}}), Some(json!({"a": {}}))),
        (json!({"tags": {"a": null}}), None),
    ] {
        let twin = patch(&mut hub, body.clone()).expect("a write");
        assert_eq!(twin.get("tags"), tags.as_ref(), "{body}");
    }
}

#[test]
fn a_full_section_may_change_and_shrink_and_not_grow() {
    let mut hub = hub_with(json!({}));
    let full = json!({"tags": {"a": "x".repeat(4096), "b": "x".repeat(4094)}});
    patch(&mut hub, full).expect("8,192 bytes exactly");
    patch(&mut hub, json!({"tags": {"a": "y".repeat(4096)}})).expect("as large as before");
    patch(&mut hub, json!({"tags": {"b": "x".repeat(4095)}})).expect_err("a byte more");
    patch(&mut hub, json!({"tags": {"b": null, "c": 1}})).expect("less");
}

#[test]
fn twins_that_are_not_there() {
    let mut hub = hub_with(json!({}));
    for id in ["D", "e", "d/module"] {
        assert_eq!(twin(&mut hub, id).expect_err(id).code, ErrorCode::DeviceNotFound, "{id}");
    }
}

#[test]
fn a_new_identity() {
    let mut hub = Hub::default();
    let made = identity(&mut hub, "d", None, json!({"deviceId": "d"}), 1).expect("a device");
    let keys = &made["authentication"]["symmetricKey"];
    assert_ne!(keys["primaryKey"], keys["secondaryKey"]);
    assert_eq!(keys["primaryKey"].as_str().map(str::len), Some(44), "32 bytes in base64");
    let expected = json!({
        "deviceId": "d",
        "generationId": made["generationId"],
        "etag": made["etag"],
        "connectionState": "Disconnected",
        "status": "enabled",
        "statusReason": null,
        "connectionStateUpdatedTime": "0001-01-01T00:00:00Z",
        "statusUpdatedTime": "0001-01-01T00:00:00Z",
        "lastActivityTime": "0001-01-01T00:00:00Z",
        "cloudToDeviceMessageCount": 0,
        "authentication": {
            "symmetricKey": keys,
            "x509Thumbprint": {"primaryThumbprint": null, "secondaryThumbprint": null},
            "type": "sas"
        },
        "capabilities": {"iotEdge": false},
        "parentScopes": []
    });
    assert_eq!(made, expected);
    let same = identity(&mut Hub::default(), "d", None, json!({}), 1).expect("a device");
    assert_eq!(same, made, "nothing but the command decides");
}

#[test]
fn keys_and_thumbprints() {
    let key = |bytes: usize| base64::Engine::encode(&base64::engine::general_purpose::STANDARD, vec![7; bytes]);
    let sas =
        |primary: Value, secondary: Value| json!({"symmetricKey": {"primaryKey": primary, "secondaryKey": secondary}});
    let thumbprint = "A".repeat(40);
    for (authentication, outcome) in [
        (json!(null), Ok("sas")),
        (json!({"type": "sas", "symmetricKey": {"primaryKey": "", "secondaryKey": ""}}), Ok("sas")),
        (json!({"type": "sas"}), Ok("sas")),
        (sas(json!(key(16)), json!(key(64))), Ok("sas")),
        (sas(json!(key(16)), json!("")), Err("a device has both keys or neither")),
        (sas(json!(null), json!(key(16))), Err("a device has both keys or neither")),
        (sas(json!(key(15)), json!(key(16))), Err("a device's key is base64 of 16 to 64 bytes")),
        (sas(json!(key(16)), json!(key(65))), Err("a device's key is base64 of 16 to 64 bytes")),
        (sas(json!("%"), json!(key(16))), Err("a device's key is base64 of 16 to 64 bytes")),
        (json!({"x509Thumbprint": {"primaryThumbprint": thumbprint}}), Ok("selfSigned")),
        (json!({"type": "selfSigned", "x509Thumbprint": {"primaryThumbprint": thumbprint}}), Ok("selfSigned")),
        (json!({"type": "selfSigned"}), Err("a device with a self-signed certificate needs its thumbprint")),
        (json!({"x509Thumbprint": {"primaryThumbprint": "xyz"}}), Err("a thumbprint is 40 or 64 hexadecimal digits")),
        (json!({"type": "certificateAuthority"}), Ok("certificateAuthority")),
        (json!({"type": "none"}), Ok("none")),
    ] {
        let body = json!({ "authentication": authentication });
        match (identity(&mut Hub::default(), "d", None, body.clone(), 1), outcome) {
            (Ok(made), Ok(kind)) => {
                let made = &made["authentication"];
                assert_eq!(made["type"], kind, "{body}");
                assert_eq!(made["symmetricKey"]["primaryKey"].is_string(), kind == "sas", "{body}");
                assert_eq!(made["x509Thumbprint"]["primaryThumbprint"].is_string(), kind == "selfSigned", "{body}");
            }
            (Err(refusal), Err(text)) => {
                assert_eq!(refusal.code, ErrorCode::ArgumentInvalid, "{body}");
                assert!(refusal.text.starts_with(text), "{body}: {}", refusal.text);
            }
            (made, expected) => panic!("{body}: {made:?}, not {expected:?}"),
        }
    }
}

#[test]
fn identities_are_guarded() {
    let mut hub = Hub::default();
    let made = identity(&mut hub, "d", None, json!({}), 1).expect("a device");
    let etag = made["etag"].as_str().expect("an etag").to_owned();
    let quoted = format!("\"{etag}\"");

    let again = identity(&mut hub, "d", None, json!({ "etag": etag }), 2).expect_err("it is there");
    assert_eq!(again.code, ErrorCode::DeviceAlreadyExists);
    for (id, if_match, code) in [
        ("d", "\"MQ==\"", ErrorCode::PreconditionFailed),
        ("d", "MQ==", ErrorCode::PreconditionFailed),
        ("e", "*", ErrorCode::DeviceNotFound),
        ("e", "\"MQ==\"", ErrorCode::DeviceNotFound),
    ] {
        let refusal = identity(&mut hub, id, Some(if_match), json!({}), 2).expect_err(if_match);
        assert_eq!(refusal.code, code, "{id} {if_match}");
    }
    let other = identity(&mut hub, "d", Some("*"), json!({"deviceId": "e"}), 2).expect_err("another's id");
    assert_eq!(other.code, ErrorCode::ArgumentInvalid);
    let long = json!({"statusReason": "x".repeat(129)});
    assert_eq!(identity(&mut hub, "d", Some("*"), long, 2).expect_err("long").code, ErrorCode::ArgumentInvalid);

    let kept = made["authentication"].clone();
    let updated = identity(&mut hub, "d", Some(&quoted), json!({"authentication": kept}), 2).expect("current, quoted");
    assert_eq!(updated["authentication"], kept);
    assert_eq!(updated["generationId"], made["generationId"]);
    assert_ne!(updated["etag"], made["etag"]);
    let bare = updated["etag"].as_str().expect("an etag").to_owned();
    let updated = identity(&mut hub, "d", Some(&bare), json!({}), 3).expect("current, unquoted");
    assert_ne!(updated["authentication"], kept, "without authentication the keys are new");
}

#[test]
fn deletes_are_guarded() {
    let mut hub = Hub::default();
    let made = identity(&mut hub, "d", None, json!({}), 1).expect("a device");
    let current = format!("\"{}\"", made["etag"].as_str().expect("an etag"));
    let mut delete = |id: &str, if_match: Option<&str>| {
        let command = DeleteDevice { id: id.parse().expect(id), if_match: IfMatch::parse(if_match) };
        hub.handle(command, LATER).reply.map(|_| ()).map_err(|refusal| refusal.code)
    };
    assert_eq!(delete("d", None), Err(ErrorCode::PreconditionFailed));
    assert_eq!(delete("d", Some("\"MQ==\"")), Err(ErrorCode::PreconditionFailed));
    assert_eq!(delete("e", Some("*")), Err(ErrorCode::DeviceNotFound));
    assert_eq!(delete("d", Some(&current)), Ok(()));
    assert_eq!(delete("d", Some("*")), Err(ErrorCode::DeviceNotFound));
    let again = identity(&mut hub, "d", None, json!({}), 2).expect("a device");
    assert_ne!(again["generationId"], made["generationId"]);
}

#[test]
fn lists_counts_and_slices() {
    let mut hub = Hub::default();
    for (seed, id) in (0..).zip(["c", "a", "b"]) {
        let status = if id == "a" { "disabled" } else { "enabled" };
        identity(&mut hub, id, None, json!({ "status": status }), seed).expect("a device");
    }
    identity(&mut hub, "c", Some("*"), json!({"status": "disabled"}), 9).expect("a write");
    fn ids<A: Ask<Reply = Vec<Arc<Device>>>>(hub: &mut Hub, ask: A) -> String {
        let devices = hub.handle(ask, LATER).reply.expect("devices");
        devices.iter().map(|device| device.id.as_str()).collect::<Vec<_>>().join(" ")
    }
    assert_eq!(ids(&mut hub, ListDevices { top: 2 }), "c a");
    for (after, expected) in [(0, "c a"), (2, "b"), (3, "")] {
        assert_eq!(ids(&mut hub, ScanDevices { after, limit: 2 }), expected, "{after}");
    }
    let named = ["b", "x", "not an id", "c", "b"].map(str::to_owned).to_vec();
    assert_eq!(ids(&mut hub, FindDevices { ids: named }), "c b");
    let counts = |hub: &mut Hub| {
        let DeviceCounts { total, enabled } = hub.handle(CountDevices, LATER).reply.expect("counts");
        (total, enabled)
    };
    assert_eq!(counts(&mut hub), (3, 1));
    let command = DeleteDevice { id: "b".parse().expect("an id"), if_match: IfMatch::Any };
    hub.handle(command, LATER).reply.expect("a deletion");
    assert_eq!(counts(&mut hub), (2, 0));
}

/// Nobody may see what is not on disk: an answer names the change that it waits for.
#[test]
fn answers_name_the_change_that_they_show() {
    let mut hub = Hub::default();
    identity(&mut hub, "a", None, json!({}), 1).expect("revision 1");
    identity(&mut hub, "b", None, json!({}), 2).expect("revision 2");
    fn seen<A: Ask>(hub: &mut Hub, ask: A) -> u64 {
        hub.handle(ask, LATER).seen
    }
    let id = |id: &str| id.parse::<iothub_model::twin::DeviceId>().expect("an id");
    let all = ScanDevices { after: 0, limit: 9 };
    assert_eq!(seen(&mut hub, GetDevice { id: id("a") }), 1);
    assert_eq!(seen(&mut hub, GetTwin { id: id("b").into() }), 2);
    assert_eq!(seen(&mut hub, GetTwin { id: id("c").into() }), 0, "it never was there");
    assert_eq!(seen(&mut hub, all.clone()), 2);
    assert_eq!(seen(&mut hub, DeleteDevice { id: id("b"), if_match: IfMatch::Any }), 3);
    assert_eq!(seen(&mut hub, GetTwin { id: id("b").into() }), 3, "its absence is the third change");
    assert_eq!(seen(&mut hub, all), 3);
    let stale = DeleteDevice { id: id("a"), if_match: IfMatch::parse(Some("\"MQ==\"")) };
    assert_eq!(seen(&mut hub, stale), 1, "a refusal shows the etag that it compared with");
}

mod laws {
    use proptest::prelude::*;

    use super::*;

    fn arbitrary_patch() -> impl Strategy<Value = Value> {
        let leaf =
            prop_oneof![Just(Value::Null), (0..3).prop_map(Value::from), Just(json!({})), Just(json!([{"x": 1}]))];
        leaf.prop_recursive(4, 24, 3, |inner| {
            proptest::collection::btree_map("[abc]", inner, 0..3)
                .prop_map(|map| Value::Object(map.into_iter().collect()))
        })
        .prop_filter("a section is an object", Value::is_object)
    }

    fn without_nulls(value: Value) -> Value {
        match value {
            Value::Object(object) => {
                let rest = object.into_iter().filter(|(_, value)| !value.is_null());
                rest.map(|(key, value)| (key, without_nulls(value))).collect::<serde_json::Map<_, _>>().into()
            }
            other => other,
        }
    }

    /// The metadata has the keys of the section, at every level, and nothing else.
    fn mirrors(value: &Value, metadata: &Value) -> bool {
        let keys = |of: &Value| -> Vec<String> {
            of.as_object()
                .into_iter()
                .flat_map(|object| object.keys().filter(|key| !key.starts_with('$')).cloned())
                .collect()
        };
        metadata["$lastUpdated"].is_string()
            && metadata["$lastUpdatedVersion"].is_u64()
            && keys(value) == keys(metadata)
            && keys(value).iter().all(|key| mirrors(&value[key], &metadata[key]))
    }

    proptest! {
        #[test]
        fn metadata_mirrors_its_section(writes in proptest::collection::vec((any::<bool>(), arbitrary_patch()), 1..6)) {
            let mut hub = hub_with(json!({}));
            for (version, (replace, body)) in (2..).zip(writes) {
                let how = if replace { TwinWrite::Replace } else { TwinWrite::Merge };
                // A replacement holds no null.
                let body = if replace { without_nulls(body) } else { body };
                let twin = write(&mut hub, how, None, desired(body)).expect("a write");
                let section = &twin["properties"]["desired"];
                prop_assert!(mirrors(section, &section["$metadata"]), "{section}");
                prop_assert_eq!(&section["$version"], &json!(version));
                prop_assert_eq!(&section["$metadata"]["$lastUpdatedVersion"], &json!(version));
            }
        }
    }
}
