//! What survives, who holds a folder, and what happens when a folder cannot be used.

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use serde_json::json;
use tempfile::TempDir;

use crate::core::command::{Entropy, Refusal, TwinWrite};
use crate::core::configurations::Configuration;
use crate::core::requests::bulk::Bulk;
use crate::core::requests::configurations::{
    DeleteConfiguration, EvaluateConfigurations, ListConfigurations, PutConfiguration,
};
use crate::core::requests::devices::{CountDevices, DeleteDevice, PutDevice};
use crate::core::requests::job_runs::RunJobs;
use crate::core::requests::jobs::{CreateJob, ListJobs, ScanDeviceJobs};
use crate::core::requests::modules::{DeleteModule, PutModule, ScanModules};
use crate::core::requests::twins::WriteTwin;
use crate::tests::{Sandbox, clock};
use crate::{Emulator, HubStartError, OfflineHub, Policy};
use iothub_model::twin::DeviceId;
use iothub_model::twin::IfMatch;
use iothub_model::twin::ModuleId;
use iothub_model::twin::TwinId;
use iothub_model::wire::ErrorCode;
use iothub_model::wire::bulk::BulkEntry;
use iothub_model::wire::registry::DeviceBody;
use iothub_model::wire::twins::TwinBody;

fn id(text: &str) -> DeviceId {
    text.parse().expect(text)
}

/// An error with its causes, the temporary folder's name replaced.
fn said(error: &dyn std::error::Error, folder: &Path) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    let folder = std::fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
    text.replace(&folder.display().to_string(), "DIR")
}

fn on(folder: &Path) -> crate::EmulatorBuilder {
    Emulator::builder().data_dir(folder).clock(clock())
}

fn open(folder: &Path) -> Result<OfflineHub, HubStartError> {
    on(folder).open()
}

#[tokio::test]
async fn a_restart_keeps_everything() {
    let hub = Sandbox::new().await;
    let device = hub.create("d").await.body;
    let twin = hub.ask("PATCH", "/twins/d", &[], Some(json!({"tags": {"a": 1}}))).await.body;
    hub.create("gone").await;
    hub.ask("DELETE", "/devices/gone", &[("If-Match", "*")], None).await;
    let authority = hub.hub.ca_pem().to_owned();
    let owner = hub.hub.connection_string(Policy::IotHubOwner);
    let port = hub.hub.https_addr().port();

    let hub = hub.restart().await;
    assert_eq!(hub.hub.ca_pem(), authority);
    let file = hub.hub.ca_file().expect("a file");
    assert_eq!(std::fs::read_to_string(file).expect("a certificate"), authority);
    let moved = owner.replace(&format!(":{port};"), &format!(":{};", hub.hub.https_addr().port()));
    assert_eq!(hub.hub.connection_string(Policy::IotHubOwner), moved);
    assert_eq!(hub.ask("GET", "/devices/d", &[], None).await.body, device);
    assert_eq!(hub.ask("GET", "/twins/d", &[], None).await.body, twin);
    assert_eq!(hub.ask("GET", "/twins/gone", &[], None).await.status, 404);
    let next = hub.ask("PATCH", "/twins/d", &[], Some(json!({"tags": {"a": 2}}))).await.body;
    assert_eq!((&next["etag"], &next["version"]), (&json!("AAAAAAAAAAM="), &json!(4)));
}

#[tokio::test]
async fn one_folder_one_hub() {
    let hub = Sandbox::new().await;
    let address = hub.hub.host_name().to_owned();
    let expected = format!(
        "the data folder DIR is in use by process {}, which serves it as {address}; stop that one, or ask it with its \
         connection string",
        std::process::id()
    );
    let second = on(hub.folder.path()).start().await.expect_err("it is taken");
    assert_eq!(said(&second, hub.folder.path()), expected);
    let offline = open(hub.folder.path()).map(|_| ()).expect_err("it is taken");
    assert_eq!(said(&offline, hub.folder.path()), expected);

    let Sandbox { hub, folder, .. } = hub;
    hub.stop().await;
    let mut offline = open(folder.path()).expect("it is free");
    let string = offline.add_device(&id("d")).expect("a device");
    assert!(string.expose().starts_with(&format!("HostName={address};DeviceId=d;SharedAccessKey=")));
    let again = offline.add_device(&id("d")).expect_err("it is there");
    assert_eq!(again.code, ErrorCode::DeviceAlreadyExists);
    drop(offline);

    let hub = Sandbox::with(folder, |options| options).await;
    assert_eq!(hub.ask("GET", "/twins/d", &[], None).await.status, 200);
}

#[tokio::test]
async fn a_port_that_is_taken() {
    let hub = Sandbox::new().await;
    let folder = TempDir::new().expect("a folder");
    let address = hub.hub.https_addr();
    let error = on(folder.path()).https(address).start().await.expect_err("it is taken");
    let expected =
        format!("listening on {address}, which another process has; choose another port, or 0 for a free one: ");
    assert!(said(&error, folder.path()).starts_with(&expected), "{}", said(&error, folder.path()));
}

#[tokio::test]
async fn folders_that_are_none() {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("file");
    std::fs::write(&file, "").expect("a file");
    let error = on(&file).start().await.expect_err("a file is no folder");
    assert!(said(&error, folder.path()).starts_with("opening the data folder DIR/file: "), "{error}");

    let error = on(folder.path()).host_name("a b").start().await.expect_err("no host name");
    assert!(
        said(&error, folder.path()).starts_with("the host name of the hub: `a b` is not a hub's host name"),
        "{error}"
    );
}

#[test]
fn damaged_files_are_named() {
    for (name, content, expected) in [
        ("policies.json", "[]", "the shared access policies in DIR/policies.json are damaged"),
        ("policies.json", "{", "the shared access policies in DIR/policies.json are damaged"),
        ("hub.redb", "this is no database at all", "the hub's store DIR/hub.redb is damaged: Not a redb database"),
        ("hub.redb", "", "the hub's store DIR/hub.redb is empty"),
        ("hub.commits", "commits 7", "the number of commits in DIR/hub.commits is damaged"),
    ] {
        let folder = TempDir::new().expect("a folder");
        drop(open(folder.path()).expect("a hub"));
        std::fs::write(folder.path().join(name), content).expect("a file");
        let error = open(folder.path()).map(|_| ()).expect_err(name);
        let said = said(&error, folder.path());
        assert!(said.starts_with(expected), "{said}");
        assert_eq!(std::fs::read_to_string(folder.path().join(name)).expect("still there"), content, "untouched");
    }
}

/// Group commit: many writers at once, each acknowledged write there after the store is opened again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_writes_all_count() {
    let hub = Arc::new(Sandbox::new().await);
    for n in 0..4 {
        hub.create(&format!("d{n}")).await;
    }
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let hub = hub.clone();
            tokio::spawn(async move {
                for n in 0..10 {
                    let body = json!({"tags": {format!("w{writer}"): n}});
                    let answer = hub.ask("PATCH", &format!("/twins/d{}", writer % 4), &[], Some(body)).await;
                    assert_eq!(answer.status, 200);
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.expect("a writer");
    }
    let hub = Arc::into_inner(hub).expect("all writers are done").restart().await;
    for n in 0..4 {
        let twin = hub.ask("GET", &format!("/twins/d{n}"), &[], None).await.body;
        assert_eq!(twin["version"], 22);
        assert_eq!(twin["tags"], json!({format!("w{n}"): 9, format!("w{}", n + 4): 9}));
    }
}

/// Of two writers with one etag, one wins.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_etag_one_write() {
    let hub = Arc::new(Sandbox::new().await);
    hub.create("d").await;
    let writers: Vec<_> = (0..8)
        .map(|n| {
            let hub = hub.clone();
            tokio::spawn(async move {
                let body = Some(json!({"tags": {"winner": n}}));
                hub.ask("PATCH", "/twins/d", &[("If-Match", "\"AAAAAAAAAAE=\"")], body).await.status
            })
        })
        .collect();
    let mut statuses = Vec::new();
    for writer in writers {
        statuses.push(writer.await.expect("a writer"));
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412, 412, 412, 412, 412, 412, 412]);
}

#[tokio::test]
async fn stopping_is_quick_and_closes_idle_connections() {
    let hub = Sandbox::new().await;
    hub.create("d").await;
    // A client that has connected and says nothing, and one that is idle between two requests.
    let silent = tokio::net::TcpStream::connect(hub.hub.https_addr()).await.expect("a connection");
    let address = hub.hub.https_addr();
    let stopped = tokio::time::timeout(std::time::Duration::from_secs(5), hub.hub.stop()).await;
    assert!(stopped.is_ok());
    drop(silent);
    assert!(tokio::net::TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

#[derive(Clone, Debug)]
enum Step {
    Write { device: u8, module: Option<u8>, replace: bool, value: u8 },
    Put { device: u8, update: bool, disabled: bool },
    Delete { device: u8 },
    PutConfiguration { id: u8, value: u8, update: bool },
    DeleteConfiguration { id: u8 },
    Evaluate,
    CreateJob { id: u8, value: u8 },
    RunJobs,
    Bulk { device: u8, mode: u8, value: u8 },
    PutModule { device: u8, module: u8, update: bool },
    DeleteModule { device: u8, module: u8 },
    Reopen,
}

mod laws {
    use proptest::prelude::*;

    use super::*;

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0..3u8, proptest::option::of(0..2u8), any::<bool>(), 0..4u8)
                .prop_map(|(device, module, replace, value)| Step::Write { device, module, replace, value }),
            3 => (0..3u8, 0..2u8, any::<bool>())
                .prop_map(|(device, module, update)| Step::PutModule { device, module, update }),
            2 => (0..2u8, 1..4u8, any::<bool>())
                .prop_map(|(id, value, update)| Step::PutConfiguration { id, value, update }),
            1 => (0..2u8).prop_map(|id| Step::DeleteConfiguration { id }),
            2 => Just(Step::Evaluate),
            2 => (0..3u8, 1..4u8).prop_map(|(id, value)| Step::CreateJob { id, value }),
            3 => Just(Step::RunJobs),
            2 => (0..3u8, 0..9u8, 0..4u8).prop_map(|(device, mode, value)| Step::Bulk { device, mode, value }),
            1 => (0..3u8, 0..2u8).prop_map(|(device, module)| Step::DeleteModule { device, module }),
            3 => (0..3u8, any::<bool>(), any::<bool>())
                .prop_map(|(device, update, disabled)| Step::Put { device, update, disabled }),
            1 => (0..3u8).prop_map(|device| Step::Delete { device }),
            1 => Just(Step::Reopen),
        ]
    }

    /// Takes a step that is not to close and open the folder.
    fn take(hub: &mut OfflineHub, step: &Step, seed: u8) -> Result<(), Refusal> {
        let device = |n: &u8| id(&format!("d{n}"));
        let module = |n: &u8| format!("m{n}").parse::<ModuleId>().expect("an id");
        match step {
            Step::Write { device: n, module: m, replace, value } => {
                let value = match value {
                    0 => Value::Null,
                    value => json!(value),
                };
                let body = json!({"tags": {"t": value}, "properties": {"desired": {"o": {"d": value}}}});
                hub.handle(WriteTwin {
                    id: TwinId { device: device(n), module: m.as_ref().map(module) },
                    how: if *replace { TwinWrite::Replace } else { TwinWrite::Merge },
                    body: TwinBody::decode(body).expect("a body"),
                    if_match: IfMatch::Absent,
                })
                .map(drop)
            }
            Step::Put { device: n, update, disabled } => {
                let status = if *disabled { "disabled" } else { "enabled" };
                let body: DeviceBody = serde_json::from_value(json!({ "status": status })).expect("a body");
                let if_match = if *update { IfMatch::Any } else { IfMatch::Absent };
                hub.handle(PutDevice { id: device(n), body: Box::new(body), if_match, entropy: Entropy([seed; 80]) })
                    .map(drop)
            }
            Step::Delete { device: n } => hub.handle(DeleteDevice { id: device(n), if_match: IfMatch::Any }).map(drop),
            Step::PutModule { device: n, module: m, update } => hub
                .handle(PutModule {
                    device: device(n),
                    module: module(m),
                    body: Box::default(),
                    if_match: if *update { IfMatch::Any } else { IfMatch::Absent },
                    entropy: Entropy([seed; 80]),
                })
                .map(drop),
            Step::PutConfiguration { id, value, update } => {
                let body = json!({
                    "content": {"deviceContent": {"properties.desired.o.d": value}},
                    "targetCondition": format!("tags.t >= {value}"),
                    "priority": value,
                });
                hub.handle(PutConfiguration {
                    id: format!("c{id}"),
                    body: Box::new(serde_json::from_value(body).expect("a body")),
                    if_match: if *update { IfMatch::Any } else { IfMatch::Absent },
                    limit: 9,
                })
                .map(drop)
            }
            Step::DeleteConfiguration { id } => {
                hub.handle(DeleteConfiguration { id: format!("c{id}"), if_match: IfMatch::Any }).map(drop)
            }
            Step::CreateJob { id, value } => {
                let body = json!({
                    "type": "scheduleUpdateTwin",
                    "queryCondition": format!("tags.t >= {value}"),
                    "updateTwin": {"etag": "*", "tags": {"t": value}},
                });
                hub.handle(CreateJob {
                    id: format!("j{id}"),
                    body: Box::new(serde_json::from_value(body).expect("a body")),
                    active_limit: 2,
                })
                .map(drop)
            }
            Step::RunJobs => hub.handle(RunJobs { limit: 2 }).map(drop),
            // An evaluation under way is not kept, so here it is always a whole one.
            Step::Evaluate => {
                while !hub.handle(EvaluateConfigurations { limit: 99 })?.done {}
                Ok(())
            }
            Step::Bulk { device: n, mode, value } => {
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
                let mode = modes[usize::from(*mode)];
                let body = json!([
                    {"id": format!("d{n}"), "importMode": mode, "tags": {"t": value}},
                    {"id": format!("d{n}"), "moduleId": "m0", "importMode": mode, "twinETag": "AAAAAAAAAAE=", "tags": {"t": value}},
                ]);
                let entries: Vec<BulkEntry> = serde_json::from_value(body).expect("entries");
                hub.handle(Bulk { entries: entries.into_iter().map(|entry| (entry, Entropy([seed; 80]))).collect() })
                    .map(drop)
            }
            Step::DeleteModule { device: n, module: m } => {
                hub.handle(DeleteModule { device: device(n), module: module(m), if_match: IfMatch::Any }).map(drop)
            }
            Step::Reopen => Ok(()),
        }
    }

    /// All that can be asked of a hub.
    fn everything(hub: &mut OfflineHub) -> Vec<String> {
        let mut all: Vec<String> = hub
            .scan()
            .expect("devices")
            .iter()
            .map(|device| format!("{} {} {}", device.sequence, device.identity.as_str(), device.twin.as_str()))
            .collect();
        let modules = hub.handle(ScanModules { after: 0, limit: 99 }).expect("modules");
        all.extend(modules.iter().map(|it| format!("{} {} {}", it.sequence, it.identity.as_str(), it.twin.as_str())));
        let configurations = hub.handle(ListConfigurations).expect("configurations");
        let text = |it: &Configuration| format!("{} {}", it.sequence, serde_json::to_string(it).expect("JSON"));
        all.extend(configurations.iter().map(|it| text(it)));
        let jobs = hub.handle(ListJobs).expect("jobs");
        all.extend(jobs.iter().map(|job| serde_json::to_string(&**job).expect("JSON")));
        let outcomes = hub.handle(ScanDeviceJobs { after: 0, limit: 999 }).expect("outcomes");
        all.extend(outcomes.iter().map(|it| format!("{} {}", it.sequence, it.document.as_str())));
        all.push(format!("{:?}", hub.handle(CountDevices).expect("counts")));
        all
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// Whatever is asked, and wherever the folder is closed and opened in between: the answers are the same as those of a
        /// hub that never stopped, and so is what is there in the end.
        #[test]
        fn a_folder_opens_as_it_was_closed(steps in proptest::collection::vec(step(), 1..30)) {
            let (folder, other) = (TempDir::new().expect("a folder"), TempDir::new().expect("a folder"));
            let mut hub = open(folder.path()).expect("a hub");
            let mut unbroken = open(other.path()).expect("a hub");
            for (seed, step) in (0..).zip(&steps) {
                match step {
                    Step::Reopen => {
                        drop(hub);
                        hub = open(folder.path()).expect("a hub");
                    }
                    step => {
                        let expected = take(&mut unbroken, step, seed);
                        prop_assert_eq!(take(&mut hub, step, seed), expected);
                    }
                }
            }
            prop_assert_eq!(everything(&mut hub), everything(&mut unbroken));
            drop(hub);
            let mut hub = open(folder.path()).expect("a hub");
            prop_assert_eq!(everything(&mut hub), everything(&mut unbroken));
        }
    }
}
