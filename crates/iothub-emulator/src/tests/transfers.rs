//! Import and export jobs: which there can be, and what they do with a storage account of the test's own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::RawQuery;
use axum::extract::State;
use axum::response::IntoResponse;
use axum::response::Response;
use http::HeaderMap;
use http::Method;
use http::StatusCode;
use http::Uri;
use serde_json::Value;
use serde_json::json;

use crate::core::ask::Ask;
use crate::core::command::Refusal;
use crate::core::requests::transfers::{
    AdvanceTransfer, BeginTransfer, CancelTransfer, CreateTransfer, EndTransfer, GetTransfer, ListTransfers,
};
use crate::core::state::Hub;
use crate::core::transfer::Transfer;
use crate::tests::{NOW, Sandbox};
use iothub_model::wire::ErrorCode;

/// A reply in short.
trait Short {
    fn short(&self) -> Value;
}

impl Short for Arc<Transfer> {
    fn short(&self) -> Value {
        serde_json::to_value(&self.properties).expect("JSON")
    }
}

impl Short for Option<Arc<Transfer>> {
    fn short(&self) -> Value {
        self.as_ref().map_or(Value::Null, Short::short)
    }
}

impl Short for Vec<Arc<Transfer>> {
    fn short(&self) -> Value {
        self.iter().map(|it| json!(it.properties.job_id)).collect()
    }
}

fn ask<A: Ask<Reply: Short>>(hub: &mut Hub, ask: A) -> Result<Value, Refusal> {
    Ok(hub.handle(ask, NOW).reply?.short())
}

fn create(hub: &mut Hub, id: &str, properties: Value) -> Result<Value, Refusal> {
    let properties = Box::new(serde_json::from_value(properties).expect("properties"));
    ask(hub, CreateTransfer { id: id.to_owned(), properties })
}

fn export() -> Value {
    json!({"type": "export", "outputBlobContainerUri": "https://a.blob.core.windows.net/c?sig=x"})
}

#[test]
fn what_a_transfer_needs() {
    let with = |name: &str, value: Value| {
        let mut properties = export();
        properties[name] = value;
        properties
    };
    use ErrorCode::{ArgumentInvalid, BlobContainerValidationError};
    for (properties, expected) in [
        (json!({"type": "export"}), BlobContainerValidationError),
        (with("outputBlobContainerUri", json!("c")), BlobContainerValidationError),
        (with("outputBlobContainerUri", json!("ftp://a/c")), BlobContainerValidationError),
        (with("type", json!("import")), BlobContainerValidationError),
        (with("storageAuthenticationType", json!("identityBased")), ArgumentInvalid),
    ] {
        let refusal = create(&mut Hub::default(), "a", properties.clone()).expect_err("a refusal");
        assert_eq!(refusal.code, expected, "{properties}");
    }
    let made = create(&mut Hub::default(), "a", with("storageAuthenticationType", json!("keyBased"))).expect("a job");
    assert_eq!((&made["jobId"], &made["status"], &made["progress"]), (&json!("a"), &json!("enqueued"), &json!(0)));
}

#[test]
fn one_at_a_time() {
    let mut hub = Hub::default();
    create(&mut hub, "a", export()).expect("a job");
    for running in [false, true] {
        if running {
            assert_eq!(ask(&mut hub, BeginTransfer).expect("a job")["status"], "running");
        }
        assert_eq!(create(&mut hub, "b", export()).expect_err("a second").code, ErrorCode::JobQuotaExceeded);
    }
    assert_eq!(ask(&mut hub, BeginTransfer).expect("none waits"), Value::Null);
    let advance = |progress| AdvanceTransfer { id: "a".to_owned(), progress };
    assert_eq!(ask(&mut hub, advance(40)).expect("a job")["progress"], 40);
    let ended = ask(&mut hub, EndTransfer { failure: None }).expect("a job");
    assert_eq!((&ended["status"], &ended["progress"]), (&json!("completed"), &json!(100)));
    assert!(ended.get("failureReason").is_none());

    create(&mut hub, "b", export()).expect("its place is free");
    ask(&mut hub, BeginTransfer).expect("a job");
    let cancel = |id: &str| CancelTransfer { id: id.to_owned() };
    assert_eq!(ask(&mut hub, cancel("b")).expect("a job")["status"], "cancelled");
    assert_eq!(ask(&mut hub, cancel("b")).expect_err("over").code, ErrorCode::OperationNotAllowedInCurrentState);
    assert_eq!(ask(&mut hub, cancel("x")).expect_err("none").code, ErrorCode::JobNotFound);
    assert_eq!(ask(&mut hub, GetTransfer { id: "x".to_owned() }).expect_err("none").code, ErrorCode::JobNotFound);
    let late = AdvanceTransfer { id: "b".to_owned(), progress: 50 };
    assert_eq!(ask(&mut hub, late).expect("a job")["status"], "cancelled", "what was cancelled stays so");
    assert_eq!(ask(&mut hub, EndTransfer { failure: None }).expect("none"), Value::Null);

    create(&mut hub, "c", export()).expect("a job");
    ask(&mut hub, BeginTransfer).expect("a job");
    let failed = ask(&mut hub, EndTransfer { failure: Some("no".to_owned()) }).expect("a job");
    assert_eq!((&failed["status"], &failed["failureReason"]), (&json!("failed"), &json!("no")));
    assert_eq!(ask(&mut hub, ListTransfers).expect("a list"), json!(["a", "b", "c"]));
}

/// A storage account that keeps blobs by their paths, and has one signature.
#[derive(Clone, Default)]
struct Storage {
    /// Blobs are never finished.
    commits_stick: bool,
    blobs: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    blocks: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
}

impl Storage {
    async fn start(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let router = axum::Router::new().fallback(answer).with_state(self.clone());
        let http = hyper_util::server::conn::auto::Builder::new(hyper_util::rt::TokioExecutor::new());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let service = hyper_util::service::TowerToHyperService::new(router.clone());
                let http = http.clone();
                tokio::spawn(async move {
                    let _ = http.serve_connection(hyper_util::rt::TokioIo::new(stream), service).await;
                });
            }
        });
        format!("http://{address}/acct/c")
    }

    fn put(&self, name: &str, text: &str) {
        self.blobs.lock().expect("a lock").insert(format!("/acct/c/{name}"), text.into());
    }

    /// A blob's text; nothing when it is not there.
    fn text(&self, name: &str) -> Option<String> {
        let blobs = self.blobs.lock().expect("a lock");
        blobs.get(&format!("/acct/c/{name}")).map(|blob| String::from_utf8(blob.clone()).expect("UTF-8"))
    }

    /// The lines of a blob as JSON; nothing when it is not there.
    fn lines(&self, name: &str) -> Option<Vec<Value>> {
        let text = self.text(name)?;
        Some(text.lines().map(|line| serde_json::from_str(line).expect(line)).collect())
    }
}

async fn answer(
    State(storage): State<Storage>,
    method: Method,
    uri: Uri,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    assert!(headers.contains_key("x-ms-version"));
    let query = query.unwrap_or_default();
    let parameters: BTreeMap<&str, &str> = query.split('&').filter_map(|pair| pair.split_once('=')).collect();
    if parameters.get("sig") != Some(&"good%2F1") {
        return (StatusCode::FORBIDDEN, [("x-ms-error-code", "AuthenticationFailed")]).into_response();
    }
    let right = match method {
        Method::GET | Method::HEAD => 'r',
        Method::PUT => 'w',
        _ => 'd',
    };
    if !parameters.get("sp").unwrap_or(&"rwd").contains(right) {
        return (StatusCode::FORBIDDEN, [("x-ms-error-code", "AuthorizationPermissionMismatch")]).into_response();
    }
    let path = uri.path().to_owned();
    if !path.starts_with("/acct/c/") {
        return (StatusCode::NOT_FOUND, [("x-ms-error-code", "ContainerNotFound")]).into_response();
    }
    if storage.commits_stick && parameters.get("comp") == Some(&"blocklist") {
        return std::future::pending().await;
    }
    match (method, parameters.get("comp").copied()) {
        (Method::DELETE, None) => match storage.blobs.lock().expect("a lock").remove(&path) {
            Some(_) => StatusCode::ACCEPTED.into_response(),
            None => (StatusCode::NOT_FOUND, [("x-ms-error-code", "BlobNotFound")]).into_response(),
        },
        (Method::GET | Method::HEAD, None) => match storage.blobs.lock().expect("a lock").get(&path) {
            Some(blob) => blob.clone().into_response(),
            None => (StatusCode::NOT_FOUND, [("x-ms-error-code", "BlobNotFound")]).into_response(),
        },
        (Method::PUT, Some("block")) => {
            let block = format!("{path} {}", parameters["blockid"].replace("%3D", "="));
            storage.blocks.lock().expect("a lock").insert(block, body.to_vec());
            StatusCode::CREATED.into_response()
        }
        (Method::PUT, Some("blocklist")) => {
            let list = String::from_utf8(body.to_vec()).expect("UTF-8");
            let blocks = storage.blocks.lock().expect("a lock");
            let ids = list.split("<Latest>").skip(1).map(|rest| rest.split('<').next().expect("a block's id"));
            let blob: Vec<u8> = ids.flat_map(|id| blocks[&format!("{path} {id}")].clone()).collect();
            storage.blobs.lock().expect("a lock").insert(path, blob);
            StatusCode::CREATED.into_response()
        }
        _ => StatusCode::BAD_REQUEST.into_response(),
    }
}

async fn run(hub: &Sandbox, properties: Value) -> Value {
    let made = hub.ask("POST", "/jobs/create", &[], Some(properties)).await;
    assert_eq!(made.status, 200, "{made:?}");
    assert!(!made.body.to_string().contains("BlobContainerUri"), "signatures are not given back: {made:?}");
    let path = format!("/jobs/{}", made.body["jobId"].as_str().expect("an id"));
    for _ in 0..500 {
        let job = hub.ask("GET", &path, &[], None).await.body;
        if !["enqueued", "running"].contains(&job["status"].as_str().expect("a status")) {
            return job;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{path} was not over in five seconds");
}

#[tokio::test]
async fn a_registry_goes_out_and_comes_in_again() {
    let storage = Storage::default();
    let container = format!("{}?sv=1&sig=good%2F1", storage.start().await);
    let hub = Sandbox::new().await;
    for n in 0..130 {
        hub.create(&format!("d#{n}")).await;
    }
    let body = json!({"tags": {"a": 1}, "properties": {"desired": {"b": {"c": 2}}}});
    hub.ask("PATCH", "/twins/d%237", &[], Some(body)).await;
    hub.ask("PUT", "/devices/d%237/modules/m", &[], Some(json!({}))).await;
    hub.ask("PATCH", "/twins/d%237/modules/m", &[], Some(json!({"tags": {"m": 1}}))).await;
    let (device, twin) =
        (hub.ask("GET", "/devices/d%237", &[], None).await.body, hub.ask("GET", "/twins/d%237", &[], None).await.body);

    let export = json!({"type": "export", "outputBlobContainerUri": container});
    let job = run(&hub, export).await;
    assert_eq!((&job["status"], &job["progress"]), (&json!("completed"), &json!(100)));
    let lines = storage.lines("devices.txt").expect("the export");
    assert_eq!(lines.len(), 131);
    let expected = json!({
        "id": "d#7", "eTag": device["etag"], "status": "enabled", "authentication": device["authentication"],
        "capabilities": {"iotEdge": false}, "twinETag": twin["etag"], "tags": {"a": 1},
        "properties": {"desired": {"b": {"c": 2}}, "reported": {}},
    });
    assert!(lines.iter().all(|line| !line.to_string().contains('$')), "no $metadata and no $version");
    assert_eq!(lines[7], expected);
    assert_eq!(
        (&lines[8]["id"], &lines[8]["moduleId"], &lines[8]["status"]),
        (&json!("d#7"), &json!("m"), &json!("enabled"))
    );

    let without = json!({
        "type": "export", "outputBlobContainerUri": container, "outputBlobName": "x/y z.txt", "excludeKeysInExport": true
    });
    run(&hub, without).await;
    let lines = storage.lines("x/y%20z.txt").expect("the export");
    assert_eq!(lines[7]["authentication"]["symmetricKey"], json!({"primaryKey": null, "secondaryKey": null}));

    // Another hub, which has one of the devices and takes it over: the etags of their twins are the same.
    let other = Sandbox::new().await;
    other.create("d#7").await;
    other.ask("PATCH", "/twins/d%237", &[], Some(json!({"tags": {"b": 1}}))).await;
    let import = json!({"type": "import", "inputBlobContainerUri": container, "outputBlobContainerUri": container});
    let job = run(&other, import).await;
    assert_eq!(job["status"], "completed");
    assert!(storage.lines("importErrors.log").is_none());
    let counts = other.ask("GET", "/statistics/devices", &[], None).await.body;
    assert_eq!(counts["totalDeviceCount"], 130);
    let there = other.ask("GET", "/devices/d%237", &[], None).await.body;
    assert_eq!(there["authentication"], device["authentication"]);
    let there = other.ask("GET", "/twins/d%237", &[], None).await.body;
    assert_eq!((&there["tags"], &there["properties"]["desired"]["b"]), (&json!({"a": 1, "b": 1}), &json!({"c": 2})));
    assert_eq!(other.ask("GET", "/twins/d%237/modules/m", &[], None).await.body["tags"], json!({"m": 1}));
    let listed = hub.ask("GET", "/jobs", &[], None).await.body;
    assert_eq!(listed.as_array().map(Vec::len), Some(2));
}

/// The service exports the lines of IoT Edge's own modules and cannot import them again (azure-iot-sdk-csharp#1146): they are made with
/// their device, and nobody may write them.
#[tokio::test]
async fn of_an_edge_device_all_but_its_system_modules_comes_in_again() {
    let storage = Storage::default();
    let container = format!("{}?sig=good%2F1", storage.start().await);
    let hub = Sandbox::new().await;
    hub.ask("PUT", "/devices/e", &[], Some(json!({"capabilities": {"iotEdge": true}}))).await;
    hub.ask("PUT", "/devices/e/modules/m", &[], Some(json!({}))).await;
    hub.ask("PATCH", "/twins/e/modules/m", &[], Some(json!({"tags": {"m": 1}}))).await;
    run(&hub, json!({"type": "export", "outputBlobContainerUri": container})).await;
    let names = |lines: Vec<Value>| -> Vec<Value> { lines.iter().map(|line| line["moduleId"].clone()).collect() };
    let exported = names(storage.lines("devices.txt").expect("the export"));
    assert_eq!(exported, [json!(null), json!("$edgeAgent"), json!("$edgeHub"), json!("m")]);

    let other = Sandbox::new().await;
    let import = json!({"type": "import", "inputBlobContainerUri": container, "outputBlobContainerUri": container});
    // Etags that are stale come after that.
    assert_eq!(run(&hub, import.clone()).await["status"], "completed");
    let modes = [
        "create",
        "update",
        "updateIfMatchETag",
        "delete",
        "deleteIfMatchETag",
        "updateTwin",
        "updateTwinIfMatchETag",
        "createOrUpdate",
        "createOrUpdateIfMatchETag",
    ];
    let lines: String = modes
        .iter()
        .map(|mode| {
            let line = json!({"id": "e", "moduleId": "$edgeAgent", "status": "enabled", "importMode": mode, "eTag": "x",
            "twinETag": "y", "tags": {"a": 1}});
            format!("{line}\n")
        })
        .collect();
    storage.put("modes.txt", &lines);
    let by_mode = json!({"type": "import", "inputBlobContainerUri": container, "inputBlobName": "modes.txt",
        "outputBlobContainerUri": container});
    assert_eq!(run(&hub, by_mode).await["status"], "completed");
    let log = storage.lines("importErrors.log").expect("a log");
    assert_eq!(log.len(), modes.len());
    assert!(log.iter().all(|line| line["errorCode"] == 401_100), "{log:?}");

    assert_eq!(run(&other, import).await["status"], "completed");
    let log = storage.lines("importErrors.log").expect("a log");
    assert!(log.iter().all(|line| line["errorCode"] == 401_100), "{log:?}");
    assert_eq!(names(log), ["$edgeAgent", "$edgeHub"]);
    let modules = other.ask("GET", "/devices/e/modules", &[], None).await.body;
    assert_eq!(names(modules.as_array().cloned().expect("modules")), ["$edgeAgent", "$edgeHub", "m"]);
    assert_eq!(other.ask("GET", "/twins/e/modules/m", &[], None).await.body["tags"], json!({"m": 1}));
}

#[tokio::test]
async fn what_an_import_cannot_do_is_in_its_log() {
    let storage = Storage::default();
    let container = format!("{}?sig=good%2F1", storage.start().await);
    storage.put(
        "in.txt",
        concat!(
            "\u{feff}{\"id\":\"a\",\"status\":\"enabled\",\"importMode\":\"create\",\"tags\":{\"t\":1}}\r\n",
            "\n",
            "{\"id\":\"b\"}\n",
            "{\"id\":\"c c\",\"status\":\"enabled\"}\n",
            "not json\n",
            "{\"id\":\"a\",\"status\":\"enabled\",\"importMode\":\"create\"}\n",
            "{\"id\":\"z\",\"moduleId\":\"m\",\"status\":\"enabled\",\"importMode\":\"delete\"}\n",
            "{\"id\":\"d\",\"status\":\"disabled\"}\n",
            "{\"Id\":\"bad\",\"moduleId\":\"m\",\"status\":\"maybe\"}\n",
            "{\"id\":\"key\",\"status\":\"enabled\",\"authentication\":\"secret\"}\n",
            "{\"id\":\"w\",\"status\":\"enabled\",\"importMode\":\"create\",\"tags\":{\"a b\":1}}",
        ),
    );
    let hub = Sandbox::new().await;
    let import = json!({
        "type": "import", "inputBlobContainerUri": container, "inputBlobName": "in.txt", "outputBlobContainerUri": container
    });
    let job = run(&hub, import).await;
    assert_eq!(job["status"], "completed");
    assert!(job.get("failureReason").is_none());
    let log = storage.lines("importErrors.log").expect("a log");
    let found: Vec<_> = log.iter().map(|line| (line["deviceId"].as_str(), line["errorCode"].as_u64())).collect();
    assert_eq!(
        found,
        [
            (Some("b"), Some(400_004)),
            (Some(""), Some(400_006)),
            (Some("bad"), Some(400_006)),
            (Some("key"), Some(400_006)),
            (Some("c c"), Some(400_004)),
            (Some("a"), Some(409_001)),
            (Some("z"), Some(404_001)),
            (Some("w"), None),
        ]
    );
    assert_eq!(log[2]["moduleId"], "m");
    assert!(!log[3].to_string().contains("secret"), "{}", log[3]);
    assert_eq!(log[7]["warningCode"], "DeviceRegisteredWithoutTwin");
    assert_eq!(hub.ask("GET", "/twins/a", &[], None).await.body["tags"], json!({"t": 1}));
    assert_eq!(hub.ask("GET", "/twins/d", &[], None).await.body["status"], "disabled");
}

#[tokio::test]
async fn a_stale_etag_of_a_twin_is_in_the_log_and_nothing_is_written() {
    let storage = Storage::default();
    let container = format!("{}?sig=good%2F1", storage.start().await);
    let hub = Sandbox::new().await;
    for id in ["fresh", "stale"] {
        hub.create(id).await;
    }
    let etag = hub.ask("GET", "/twins/fresh", &[], None).await.body["etag"].clone();
    let before = hub.ask("GET", "/twins/stale", &[], None).await.body;
    let line = |id: &str, etag: &Value| json!({"id": id, "status": "disabled", "twinETag": etag, "tags": {"a": 1}});
    let lines = format!("{}\n{}\n", line("fresh", &etag), line("stale", &json!("AAAAAAAAAAk=")));
    storage.put("devices.txt", &lines);
    let import = json!({"type": "import", "inputBlobContainerUri": container, "outputBlobContainerUri": container});
    assert_eq!(run(&hub, import).await["status"], "completed");
    let log = storage.lines("importErrors.log").expect("a log");
    assert_eq!(log.len(), 1, "{log:?}");
    assert_eq!((&log[0]["deviceId"], &log[0]["errorCode"]), (&json!("stale"), &json!(412_001)));
    assert_eq!(hub.ask("GET", "/twins/stale", &[], None).await.body, before);
    let fresh = hub.ask("GET", "/twins/fresh", &[], None).await.body;
    assert_eq!((&fresh["status"], &fresh["tags"]), (&json!("disabled"), &json!({"a": 1})));
}

#[tokio::test]
async fn a_job_that_is_cancelled_holds_nobody_up() {
    let slow = Storage { commits_stick: true, ..Storage::default() };
    let slow_container = format!("{}?sig=good%2F1", slow.start().await);
    let storage = Storage::default();
    let container = format!("{}?sig=good%2F1", storage.start().await);
    let hub = Sandbox::new().await;
    let export = |uri: &str| Some(json!({"type": "export", "outputBlobContainerUri": uri}));
    let path = |job: &Value| format!("/jobs/{}", job["jobId"].as_str().expect("an id"));
    let begin = async || {
        let stuck = path(&hub.ask("POST", "/jobs/create", &[], export(&slow_container)).await.body);
        while hub.ask("GET", &stuck, &[], None).await.body["status"] != "running" {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        stuck
    };
    let stuck = begin().await;
    assert_eq!(hub.ask("DELETE", &stuck, &[], None).await.status, 204);
    assert_eq!(run(&hub, export(&container).expect("a job")).await["status"], "completed");
    let job = hub.ask("GET", &stuck, &[], None).await.body;
    assert_eq!((&job["status"], &job["failureReason"]), (&json!("cancelled"), &Value::Null), "{job}");
    assert_eq!(slow.text("devices.txt"), None);

    let stuck = begin().await;
    let hub = tokio::time::timeout(Duration::from_secs(10), hub.restart()).await.expect("it stops");
    assert_eq!(hub.ask("GET", &stuck, &[], None).await.body["status"], "failed");
}

#[tokio::test]
async fn configurations_go_out_and_come_in_again() {
    let storage = Storage::default();
    let container = format!("{}?sig=good%2F1", storage.start().await);
    let hub = Sandbox::new().await;
    for (id, priority) in [("c-1", 2), ("c-2", 5)] {
        let body = json!({
            "id": id, "priority": priority, "labels": {"Team": "a"}, "targetCondition": "deviceId = 'nobody'",
            "content": {"deviceContent": {"properties.desired.x": {"y": 4}}},
            "metrics": {"queries": {"mine": "select deviceId from devices where properties.reported.x = 4"}},
        });
        let made = hub.ask("PUT", &format!("/configurations/{id}"), &[], Some(body)).await;
        assert_eq!(made.status, 200, "{made:?}");
    }
    let export = json!({"type": "export", "outputBlobContainerUri": container});
    assert_eq!(run(&hub, export.clone()).await["status"], "completed");
    assert!(storage.lines("configurations.txt").is_none(), "not asked for");

    let with = |mut properties: Value, name: Option<&str>| {
        properties["includeConfigurations"] = json!(true);
        properties["configurationsBlobName"] = json!(name);
        properties
    };
    for name in [None, Some("conf/mine.txt")] {
        assert_eq!(run(&hub, with(export.clone(), name)).await["status"], "completed");
        let lines = storage.lines(name.unwrap_or("configurations.txt")).expect("the export");
        assert_eq!(lines.len(), 2);
        let line = &lines[1];
        assert_eq!((&line["Id"], &line["Priority"], &line["ETag"]), (&json!("c-2"), &json!(5), &json!("MQ==")));
        assert_eq!((&line["TargetCondition"], &line["Labels"]), (&json!("deviceId = 'nobody'"), &json!({"Team": "a"})));
        assert_eq!(line["Content"], json!({"DeviceContent": {"properties.desired.x": {"y": 4}}}));
        assert!(line["Metrics"]["Queries"]["mine"].is_string(), "{line}");
    }

    // Into another hub: one is new, one has another etag there, and three lines are none.
    let other = Sandbox::new().await;
    let body = json!({"content": {"deviceContent": {"properties.desired.z": 1}}});
    other.ask("PUT", "/configurations/c-2", &[], Some(body.clone())).await;
    other.ask("PUT", "/configurations/c-2", &[("If-Match", "*")], Some(body)).await;
    let text = storage.text("configurations.txt").expect("the export")
        + concat!(
            "\r\n{\"id\":\"c-3\",\"importMode\":\"createOrUpdateIfMatchETag\",\"content\":{\"deviceContent\":{\"properties.desired.x\":1}}}\r\n",
            "not json\r\n{\"id\":\"No Id\",\"content\":{}}\r\n{\"id\":\"c-1\",\"importMode\":\"delete\"}\r\n",
        );
    storage.put("configurations.txt", &text);
    let import = json!({"type": "import", "inputBlobContainerUri": container, "outputBlobContainerUri": container});
    assert_eq!(run(&other, with(import.clone(), None)).await["status"], "completed");
    let log = storage.lines("importErrors.log").expect("a log");
    let found: Vec<_> = log.iter().map(|it| (it["configurationId"].as_str(), it["errorCode"].as_u64())).collect();
    assert_eq!(
        found,
        [
            (Some("c-2"), Some(412_001)),
            (Some(""), Some(400_006)),
            (Some("No Id"), Some(400_004)),
            (Some("c-1"), Some(400_004)),
        ]
    );
    let there = other.ask("GET", "/configurations", &[], None).await.body;
    let ids: Vec<_> = there.as_array().expect("a list").iter().map(|it| it["id"].as_str().expect("an id")).collect();
    assert_eq!(ids, ["c-2", "c-1", "c-3"]);
    assert_eq!((&there[1]["priority"], &there[1]["labels"]), (&json!(2), &json!({"Team": "a"})));
    assert_eq!(there[0]["priority"], 0, "what is stale writes nothing");

    // Again, without the ones that are wrong: the etags are those of the lines.
    storage.put("configurations.txt", "{\"Id\":\"c-1\",\"Priority\":9,\"Content\":{},\"ETag\":\"MQ==\"}\n{\"id\":\"c-3\",\"priority\":8,\"content\":{}}");
    assert_eq!(run(&other, with(import.clone(), None)).await["status"], "completed");
    for (id, priority) in [("c-1", 9), ("c-3", 8)] {
        let configuration = other.ask("GET", &format!("/configurations/{id}"), &[], None).await.body;
        assert_eq!((&configuration["priority"], &configuration["etag"]), (&json!(priority), &json!("Mg==")), "{id}");
    }
    let failed = run(&other, with(import, Some("none.txt"))).await;
    let reason = "reading the blob none.txt: the storage account answers with 404 BlobNotFound";
    assert_eq!((&failed["status"], &failed["failureReason"]), (&json!("failed"), &json!(reason)));
}

#[tokio::test]
async fn containers_that_do_not_open_are_refused_at_once_and_show_no_signature() {
    let storage = Storage::default();
    let container = storage.start().await;
    let hub = Sandbox::new().await;
    hub.create("d").await;
    let good = format!("{container}?sig=good%2F1");
    let wrong = format!("{container}?sig=secret");
    let missing = format!("{container}c?sig=good%2F1");
    let nobody = "http://127.0.0.1:1/acct/c?sig=secret".to_owned();
    let with = |rights: &str| format!("{good}&sp={rights}");
    let import = |input: &str, output: &str| json!({"type": "import", "inputBlobContainerUri": input, "outputBlobContainerUri": output});
    let export = |output: &str| json!({"type": "export", "outputBlobContainerUri": output});
    for (properties, expected) in [
        (export(&wrong), "Unauthorized to write to output blob container"),
        (export(&with("rd")), "Unauthorized to write to output blob container"),
        (export(&with("rw")), "Unauthorized to delete from output blob container"),
        (export(&missing), "Unable to write to output blob container"),
        (export(&nobody), "Unable to write to output blob container"),
        (import(&wrong, &good), "Unauthorized to read from input blob container"),
        (import(&with("wd"), &good), "Unauthorized to read from input blob container"),
        (import(&missing, &good), "Unable to read from input blob container"),
        (import(&nobody, &good), "Unable to read from input blob container"),
        (import(&good, &wrong), "Unauthorized to write to output blob container"),
        (import(&good, &with("rw")), "Unauthorized to delete from output blob container"),
        (import(&good, &nobody), "Unable to write to output blob container"),
    ] {
        let answer = hub.ask("POST", "/jobs/create", &[], Some(properties.clone())).await;
        assert_eq!(answer.refusal(), (400, "BlobContainerValidationError"), "{properties}");
        let message = answer.body["Message"].as_str().expect("a message");
        assert!(message.contains(expected) && !message.contains("secret"), "{properties}: {message}");
    }
    assert_eq!(hub.ask("GET", "/jobs", &[], None).await.body, json!([]), "there is no job");
    assert!(storage.blobs.lock().expect("a lock").is_empty(), "nothing is left behind");
    // What must be read may be only that, and what is not there fails the job.
    let job = run(&hub, import(&with("r"), &with("wd"))).await;
    let reason = "reading the blob devices.txt: the storage account answers with 404 BlobNotFound";
    assert_eq!((&job["status"], &job["failureReason"]), (&json!("failed"), &json!(reason)));
}

#[tokio::test]
async fn a_second_job_is_refused_in_lines_of_text() {
    let storage = Storage { commits_stick: true, ..Storage::default() };
    let uri = format!("{}?sig=good%2F1", storage.start().await);
    let export = json!({"type": "export", "outputBlobContainerUri": uri});
    let hub = Sandbox::new().await;
    hub.create("d").await;
    let first = hub.ask("POST", "/jobs/create", &[], Some(export.clone())).await.body;
    let second = hub.ask("POST", "/jobs/create", &[], Some(export.clone())).await;
    assert_eq!((second.status, second.header("iothub-errorcode")), (403, Some("JobQuotaExceeded")));
    assert!(second.body["Message"].as_str().is_some_and(|text| text.starts_with("Error: 403 ")), "{second:?}");
    let path = format!("/jobs/{}", first["jobId"].as_str().expect("an id"));
    assert_eq!(hub.ask("DELETE", "/jobs/x", &[], None).await.refusal(), (404, "JobNotFound"));

    let until = async |hub: &Sandbox, status: &str| {
        for _ in 0..500 {
            let job = hub.ask("GET", &path, &[], None).await.body;
            if job["status"] == status {
                return job;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the job is not {status} after five seconds");
    };
    until(&hub, "running").await;
    let hub = hub.restart().await;
    let job = until(&hub, "failed").await;
    assert_eq!(job["failureReason"], "the hub was stopped while the job was under way");
    assert_eq!(hub.ask("DELETE", &path, &[], None).await.status, 405);
}
