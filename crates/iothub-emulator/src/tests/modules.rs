//! Modules: the rules asked of the machine, and the paths over HTTPS.

use std::sync::Arc;

use serde_json::Value;
use serde_json::json;
use time::macros::datetime;

use crate::core::ask::Ask;
use crate::core::command::{Entropy, Refusal, TwinWrite};
use crate::core::module::Module;
use crate::core::record::Record;
use crate::core::requests::devices::{DeleteDevice, GetDevice, PutDevice};
use crate::core::requests::modules::{DeleteModule, GetModule, ListModules, PutModule, ScanModules};
use crate::core::requests::twins::{GetTwin, WriteTwin};
use crate::core::state::Hub;
use crate::tests::Sandbox;
use iothub_model::twin::IfMatch;
use iothub_model::twin::TwinId;
use iothub_model::wire::ErrorCode;
use iothub_model::wire::twins::TwinBody;

const NOW: time::OffsetDateTime = datetime!(2026-01-01 00:00:00 UTC);

fn id(text: &str) -> TwinId {
    text.parse().expect(text)
}

fn put_device(hub: &mut Hub, name: &str, status: &str, if_match: IfMatch) {
    let body = serde_json::from_value(json!({ "status": status })).expect("a body");
    let id = name.parse().expect(name);
    hub.handle(PutDevice { id, body: Box::new(body), if_match, entropy: Entropy([1; 80]) }, NOW)
        .reply
        .expect("a device");
}

/// A hub with the device `d`.
fn hub() -> Hub {
    let mut hub = Hub::default();
    put_device(&mut hub, "d", "enabled", IfMatch::Absent);
    hub
}

/// A reply in short.
trait Short {
    fn short(&self) -> Value;
}

impl Short for Arc<Module> {
    fn short(&self) -> Value {
        serde_json::from_str(self.identity.as_str()).expect("JSON")
    }
}

impl Short for Vec<Arc<Module>> {
    fn short(&self) -> Value {
        self.iter().map(Short::short).collect()
    }
}

impl Short for () {
    fn short(&self) -> Value {
        Value::Null
    }
}

fn ask<A: Ask<Reply: Short>>(hub: &mut Hub, ask: A) -> Result<Value, Refusal> {
    Ok(hub.handle(ask, NOW).reply?.short())
}

fn put(hub: &mut Hub, name: &str, if_match: Option<&str>, body: Value) -> Result<Value, Refusal> {
    let TwinId { device, module } = id(name);
    let module = module.expect("a module");
    let body = serde_json::from_value(body).expect("a body");
    let if_match = IfMatch::parse(if_match);
    ask(hub, PutModule { device, module, body: Box::new(body), if_match, entropy: Entropy([7; 80]) })
}

fn get(hub: &mut Hub, name: &str) -> Result<Value, Refusal> {
    let TwinId { device, module } = id(name);
    ask(hub, GetModule { device, module: module.expect("a module") })
}

fn delete(hub: &mut Hub, name: &str, if_match: Option<&str>) -> Result<Value, Refusal> {
    let TwinId { device, module } = id(name);
    let module = module.expect("a module");
    ask(hub, DeleteModule { device, module, if_match: IfMatch::parse(if_match) })
}

fn twin(hub: &mut Hub, name: &str) -> Result<Value, Refusal> {
    let twin = hub.handle(GetTwin { id: id(name) }, NOW).reply?;
    Ok(serde_json::from_str(twin.document().as_str()).expect("JSON"))
}

fn code(result: Result<Value, Refusal>) -> ErrorCode {
    result.expect_err("a refusal").code
}

#[test]
fn a_new_module_and_its_twin() {
    let mut hub = hub();
    let made = put(&mut hub, "d/m", None, json!({"deviceId": "d", "moduleId": "m", "managedBy": "IotEdge"}));
    let made = made.expect("a module");
    let expected = json!({
        "moduleId": "m",
        "managedBy": "IotEdge",
        "deviceId": "d",
        "generationId": made["generationId"],
        "etag": made["etag"],
        "connectionState": "Disconnected",
        "connectionStateUpdatedTime": "0001-01-01T00:00:00Z",
        "lastActivityTime": "0001-01-01T00:00:00Z",
        "cloudToDeviceMessageCount": 0,
        "authentication": {
            "symmetricKey": made["authentication"]["symmetricKey"],
            "x509Thumbprint": {"primaryThumbprint": null, "secondaryThumbprint": null},
            "type": "sas"
        },
    });
    assert_eq!(made, expected);
    assert_eq!(made["authentication"]["symmetricKey"]["primaryKey"].as_str().map(str::len), Some(44));

    let twin = twin(&mut hub, "d/m").expect("a twin");
    assert_eq!((&twin["deviceId"], &twin["moduleId"]), (&json!("d"), &json!("m")));
    assert_eq!((&twin["etag"], &twin["deviceEtag"]), (&json!("AAAAAAAAAAE="), &made["etag"]));
    assert_eq!(twin["properties"]["desired"]["$version"], 1);
    assert_eq!((&twin["status"], &twin["authenticationType"]), (&json!("enabled"), &json!("sas")));
    let fresh = json!({"$metadata": {"$lastUpdated": "0001-01-01T00:00:00Z"}, "$version": 1});
    assert_eq!(twin["properties"], json!({"desired": fresh, "reported": fresh}));
    assert_eq!((&twin["version"], &twin["modelId"]), (&json!(2), &json!("")));
    assert!(twin.get("capabilities").is_none() && twin.get("tags").is_none(), "{twin}");
    assert!(twin.get("managedBy").is_none(), "it belongs to the identity alone");
}

#[test]
fn identities_are_guarded() {
    let mut hub = hub();
    let made = put(&mut hub, "d/m", None, json!({})).expect("a module");
    let etag = made["etag"].as_str().expect("an etag").to_owned();
    let quoted = format!("\"{etag}\"");
    assert_eq!(code(put(&mut hub, "d/m", None, json!({}))), ErrorCode::ModuleAlreadyExistsOnDevice);
    for (name, if_match, expected) in [
        ("d/m", "\"MQ==\"", ErrorCode::PreconditionFailed),
        ("d/m", "MQ==", ErrorCode::PreconditionFailed),
        ("d/n", "*", ErrorCode::ModuleNotFound),
        ("e/m", "*", ErrorCode::IotHubUnauthorizedAccess),
    ] {
        assert_eq!(code(put(&mut hub, name, Some(if_match), json!({}))), expected, "{name} {if_match}");
        assert_eq!(code(delete(&mut hub, name, Some(if_match))), expected, "{name} {if_match}");
    }
    for body in [json!({"deviceId": "e"}), json!({"moduleId": "n"}), json!({"authentication": {"type": "selfSigned"}})]
    {
        assert_eq!(code(put(&mut hub, "d/m", Some("*"), body.clone())), ErrorCode::ArgumentInvalid, "{body}");
        assert_eq!(code(put(&mut hub, "d/o", None, body.clone())), ErrorCode::ArgumentInvalid, "{body}");
    }
    let twin_before = twin(&mut hub, "d/m").expect("a twin");
    let kept = made["authentication"].clone();
    let updated = put(&mut hub, "d/m", Some(&quoted), json!({"authentication": kept, "managedBy": "me"}));
    let updated = updated.expect("a current etag");
    assert_eq!((&updated["authentication"], &updated["managedBy"]), (&kept, &json!("me")));
    assert_eq!(updated["generationId"], made["generationId"]);
    assert_ne!(updated["etag"], made["etag"]);
    let twin_after = twin(&mut hub, "d/m").expect("a twin");
    assert_eq!(twin_after["etag"], twin_before["etag"], "the twin's own etag stays");
    assert_eq!(twin_after["deviceEtag"], updated["etag"]);

    assert_eq!(code(delete(&mut hub, "d/m", None)), ErrorCode::PreconditionFailed);
    assert_eq!(code(delete(&mut hub, "d/m", Some(&quoted))), ErrorCode::PreconditionFailed);
    delete(&mut hub, "d/m", Some(updated["etag"].as_str().expect("an etag"))).expect("a current etag, unquoted");
    assert_eq!(code(get(&mut hub, "d/m")), ErrorCode::ModuleNotFound);
    assert_eq!(code(twin(&mut hub, "d/m")), ErrorCode::DeviceNotFound, "a twin says it in another way");
}

#[test]
fn missing_and_disabled_devices_hide_their_modules_and_not_the_twins() {
    let mut hub = hub();
    put(&mut hub, "d/m", None, json!({})).expect("a module");
    put_device(&mut hub, "d", "disabled", IfMatch::Any);
    for name in ["d/m", "e/m"] {
        let TwinId { device, .. } = id(name);
        assert_eq!(code(get(&mut hub, name)), ErrorCode::IotHubUnauthorizedAccess, "{name}");
        assert_eq!(code(put(&mut hub, name, None, json!({}))), ErrorCode::IotHubUnauthorizedAccess, "{name}");
        assert_eq!(code(delete(&mut hub, name, Some("*"))), ErrorCode::IotHubUnauthorizedAccess, "{name}");
        assert_eq!(code(ask(&mut hub, ListModules { device })), ErrorCode::IotHubUnauthorizedAccess, "{name}");
    }
    assert_eq!(twin(&mut hub, "d/m").expect("a twin")["moduleId"], "m");
    assert_eq!(code(twin(&mut hub, "e/m")), ErrorCode::DeviceNotFound);
}

#[test]
fn an_edge_device_has_modules_that_nobody_writes() {
    let mut hub = hub();
    let edge = |hub: &mut Hub, if_match: IfMatch, scope: Option<&str>| {
        let body =
            serde_json::from_value(json!({ "capabilities": {"iotEdge": true}, "deviceScope": scope })).expect("a body");
        let id = "edge".parse().expect("an id");
        let entropy = Entropy([1; 80]);
        let command = PutDevice { id, body: Box::new(body), if_match, entropy };
        hub.handle(command, NOW).change.expect("a change").records.len()
    };
    assert_eq!(edge(&mut hub, IfMatch::Absent, None), 3, "all in one change");
    let made = hub.handle(GetDevice { id: id("edge").device }, NOW).reply.expect("a device");
    let scope = made.identity().device_scope;
    assert_eq!(edge(&mut hub, IfMatch::Any, scope.as_deref()), 1, "they are there already");
    let list = |hub: &mut Hub, device: &str| {
        let listed = ask(hub, ListModules { device: id(device).device }).expect("a list");
        listed.as_array().expect("an array").iter().map(|module| module["moduleId"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(list(&mut hub, "edge"), [json!("$edgeAgent"), json!("$edgeHub")]);
    assert_eq!(list(&mut hub, "d"), [] as [Value; 0]);
    let agent = get(&mut hub, "edge/$edgeAgent").expect("a module");
    assert_eq!(
        (&agent["authentication"]["type"], &agent["authentication"]["symmetricKey"]["primaryKey"]),
        (&json!("none"), &Value::Null)
    );
    assert_eq!(agent["managedBy"], "iotEdge");
    assert_eq!(twin(&mut hub, "edge/$edgeHub").expect("a twin")["properties"]["desired"]["$version"], 1);

    let reserved = ErrorCode::SystemModuleModifyUnauthorizedAccess;
    for name in ["edge/$edgeAgent", "edge/$edgeHub"] {
        for how in [TwinWrite::Merge, TwinWrite::Replace] {
            for if_match in [IfMatch::Absent, IfMatch::Any, IfMatch::parse(Some("\"stale\""))] {
                let body = TwinBody::decode(json!({"properties": {"desired": {"a": 1}}})).expect("a body");
                let reply = hub.handle(WriteTwin { id: id(name), how, body, if_match }, NOW).reply;
                assert_eq!(reply.expect_err("refused").code, reserved, "{name}");
            }
        }
        assert_eq!(code(put(&mut hub, name, None, json!({}))), reserved, "{name}");
        assert_eq!(code(put(&mut hub, name, Some("*"), json!({}))), reserved, "{name}");
        assert_eq!(code(delete(&mut hub, name, Some("*"))), reserved, "{name}");
    }
    assert_eq!(code(put(&mut hub, "d/$edgeAgent", None, json!({}))), reserved, "nor makes them elsewhere");
    let command = DeleteDevice { id: id("edge").device, if_match: IfMatch::Any };
    assert_eq!(hub.handle(command, NOW).change.expect("a change").records.len(), 3, "they go with their device");
}

#[test]
fn a_device_that_becomes_an_edge_device_gets_its_modules() {
    let mut hub = hub();
    let body = serde_json::from_value(json!({ "capabilities": {"iotEdge": true} })).expect("a body");
    let (id, entropy) = ("d".parse().expect("an id"), Entropy([2; 80]));
    let command = PutDevice { id, body: Box::new(body), if_match: IfMatch::Any, entropy };
    hub.handle(command, NOW).reply.expect("a device");
    get(&mut hub, "d/$edgeAgent").expect("a module");
}

#[test]
fn fifty_and_no_more() {
    let mut hub = hub();
    for n in 0..50 {
        put(&mut hub, &format!("d/m{n}"), None, json!({})).expect("a module");
    }
    assert_eq!(code(put(&mut hub, "d/m50", None, json!({}))), ErrorCode::TooManyModulesOnDevice);
    put_device(&mut hub, "e", "enabled", IfMatch::Absent);
    put(&mut hub, "e/m", None, json!({})).expect("another device's");
    delete(&mut hub, "d/m7", Some("*")).expect("a module");
    put(&mut hub, "d/m50", None, json!({})).expect("there is room again");
    let listed = ask(&mut hub, ListModules { device: id("d").device }).expect("a list");
    let listed: Vec<_> = listed.as_array().expect("an array").iter().map(|module| module["moduleId"].clone()).collect();
    assert_eq!((listed.len(), &listed[0], &listed[49]), (50, &json!("m0"), &json!("m50")), "in order of creation");
}

#[test]
fn a_device_takes_its_modules_along() {
    let mut hub = hub();
    put_device(&mut hub, "e", "enabled", IfMatch::Absent);
    for name in ["d/m", "e/m", "d/n"] {
        put(&mut hub, name, None, json!({})).expect("a module");
    }
    let command = DeleteDevice { id: id("d").device, if_match: IfMatch::Any };
    let outcome = hub.handle(command, NOW);
    let change = outcome.change.expect("a change");
    assert_eq!(change.records.len(), 3, "all in one change");
    assert!(change.records.iter().all(|record| matches!(record, Record::Device(_, None) | Record::Module(_, None))));
    put_device(&mut hub, "d", "enabled", IfMatch::Absent);
    assert_eq!(code(get(&mut hub, "d/m")), ErrorCode::ModuleNotFound);
    assert_eq!(code(twin(&mut hub, "d/n")), ErrorCode::DeviceNotFound);
    get(&mut hub, "e/m").expect("another device's");
}

#[test]
fn module_twins_have_the_rules_of_twins() {
    let mut hub = hub();
    put(&mut hub, "d/m", None, json!({})).expect("a module");
    let mut write = |how, if_match: Option<&str>, body: Value| {
        let body = TwinBody::decode(body).expect("a body");
        let if_match = IfMatch::parse(if_match);
        let twin = hub.handle(WriteTwin { id: id("d/m"), how, body, if_match }, NOW).reply?;
        Ok(serde_json::from_str::<Value>(twin.document().as_str()).expect("JSON"))
    };
    let body = json!({"tags": {"t": 1}, "properties": {"desired": {"a": {"b": 1, "c": 2}}}});
    let written = write(TwinWrite::Merge, None, body).expect("a write");
    assert_eq!((&written["etag"], &written["properties"]["desired"]["$version"]), (&json!("AAAAAAAAAAI="), &json!(2)));
    let stale = write(TwinWrite::Merge, Some("\"AAAAAAAAAAE=\""), json!({"tags": {}}));
    assert_eq!(code(stale), ErrorCode::PreconditionFailed);
    let merged =
        write(TwinWrite::Merge, None, json!({"properties": {"desired": {"a": {"b": null}}}})).expect("a write");
    assert_eq!((&merged["properties"]["desired"]["a"], &merged["tags"]), (&json!({"c": 2}), &json!({"t": 1})));
    let replaced = write(TwinWrite::Replace, Some("\"AAAAAAAAAAM=\""), json!({"tags": {"z": 1}})).expect("a write");
    assert_eq!(replaced["tags"], json!({"z": 1}));
    assert!(replaced["properties"]["desired"].get("a").is_none());
    assert_eq!(code(write(TwinWrite::Merge, None, json!({"tags": {"a.b": 1}}))), ErrorCode::ArgumentInvalid);
}

/// Nobody may see what is not on disk, modules included.
#[test]
fn answers_name_the_change_that_they_show() {
    let mut hub = hub();
    put(&mut hub, "d/m", None, json!({})).expect("revision 2");
    put(&mut hub, "d/n", None, json!({})).expect("revision 3");
    let device = || id("d").device;
    let module = |name: &str| name.parse::<iothub_model::twin::ModuleId>().expect("an id");
    fn seen<A: Ask>(hub: &mut Hub, ask: A) -> u64 {
        hub.handle(ask, NOW).seen
    }
    let hub = &mut hub;
    let all = ScanModules { after: 0, limit: 9 };
    assert_eq!(seen(hub, GetModule { device: device(), module: module("m") }), 2);
    assert_eq!(seen(hub, ListModules { device: device() }), 3);
    assert_eq!(seen(hub, all.clone()), 3);
    let delete = DeleteModule { device: device(), module: module("n"), if_match: IfMatch::Any };
    assert_eq!(seen(hub, delete), 4);
    assert_eq!(seen(hub, GetModule { device: device(), module: module("n") }), 4, "its absence is a change");
    assert_eq!(seen(hub, all), 4);
    assert_eq!(hub.handle(GetTwin { id: id("d/n") }, NOW).seen, 4);
}

#[tokio::test]
async fn modules_over_https() {
    let hub = Sandbox::new().await;
    hub.create("d").await;
    let made = hub.ask("PUT", "/devices/d/modules/m%23%3A1", &[], Some(json!({"moduleId": "m#:1"}))).await;
    assert_eq!((made.status, &made.body["moduleId"]), (200, &json!("m#:1")));
    let etag = made.header("etag").expect("an etag").to_owned();
    assert_eq!(etag, format!("\"{}\"", made.body["etag"].as_str().expect("an etag")));
    assert_eq!(hub.ask("GET", "/devices/d/modules/m%23%3A1/", &[], None).await.body, made.body);
    assert_eq!(hub.ask("GET", "/devices/d/modules", &[], None).await.body, json!([made.body]));

    let patched = hub.ask("PATCH", "/twins/d/modules/m%23%3A1", &[], Some(json!({"tags": {"a": 1}}))).await;
    assert_eq!((patched.status, &patched.body["tags"]), (200, &json!({"a": 1})));
    let query = |text: &str| Some(json!({ "query": text }));
    for (text, expected) in [
        ("SELECT moduleId FROM devices.modules WHERE tags.a = 1", json!([{"moduleId": "m#:1"}])),
        ("SELECT * FROM devices.modules WHERE deviceId IN ['d', 'e']", json!([patched.body])),
        ("SELECT * FROM devices.modules WHERE deviceId = 'e'", json!([])),
        ("SELECT COUNT() AS n FROM devices.modules", json!([{"n": 1}])),
        ("SELECT COUNT() AS n FROM devices", json!([{"n": 1}])),
    ] {
        let answer = hub.ask("POST", "/devices/query", &[], query(text)).await;
        assert_eq!(answer.body, expected, "{text}");
    }

    // These are told by number, as on the service.
    let again = hub.ask("PUT", "/devices/d/modules/m%23%3A1", &[], Some(json!({}))).await;
    assert_eq!((again.status, again.header("iothub-errorcode")), (409, Some("ModuleAlreadyExistsOnDevice")));
    assert_eq!(again.body["errorCode"], 409301);
    assert!(again.body["timestampUtc"].is_string() && again.body["trackingId"].is_string());
    let missing = hub.ask("GET", "/devices/d/modules/x", &[], None).await;
    assert_eq!((missing.status, &missing.body["errorCode"]), (404, &json!(404010)));
    let nobody = hub.ask("GET", "/devices/e/modules/x", &[], None).await;
    assert_eq!(nobody.refusal(), (401, "IotHubUnauthorizedAccess"));
    assert_eq!(hub.ask("GET", "/twins/d/modules/x", &[], None).await.refusal(), (404, "DeviceNotFound"));

    let twin = patched.body;
    let hub = hub.restart().await;
    assert_eq!(hub.ask("GET", "/devices/d/modules", &[], None).await.body, json!([made.body]));
    assert_eq!(hub.ask("GET", "/twins/d/modules/m%23%3A1", &[], None).await.body, twin);
    let gone = hub.ask("DELETE", "/devices/d/modules/m%23%3A1", &[("If-Match", &etag)], None).await;
    assert_eq!(gone.status, 204);
    let hub = hub.restart().await;
    assert_eq!(hub.ask("GET", "/devices/d/modules", &[], None).await.body, json!([]));
}
