//! Queries that see the past.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::Value;
use serde_json::json;
use tempfile::TempDir;
use time::OffsetDateTime;

use crate::core::command::{Entropy, TwinWrite};
use crate::core::requests::devices::{DeleteDevice, FindDevices, PutDevice, ScanDevices};
use crate::core::requests::twins::WriteTwin;
use crate::core::state::Hub;
use crate::tests::{NOW, Sandbox, client};
use crate::{Emulator, EmulatorClock};
use iothub_model::twin::DeviceId;
use iothub_model::twin::IfMatch;
use iothub_model::wire::twins::TwinBody;

/// A hub two seconds behind, and how to let time pass.
async fn lagging() -> (Sandbox, Arc<AtomicI64>) {
    let folder = TempDir::new().expect("a temporary folder");
    let passed = Arc::new(AtomicI64::new(0));
    let clock = passed.clone();
    let clock =
        EmulatorClock::from_fn(move || (NOW + time::Duration::milliseconds(clock.load(Ordering::SeqCst))).into());
    let options = Emulator::builder().data_dir(folder.path()).query_lag(Duration::from_secs(2)).clock(clock);
    let hub = options.start().await.expect("a hub");
    let client = client(&hub);
    (Sandbox { hub, folder, client }, passed)
}

async fn ask(hub: &Sandbox, query: &str) -> Value {
    let answer = hub.ask("POST", "/devices/query", &[], Some(json!({ "query": query }))).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body
}

#[tokio::test]
async fn a_device_shows_late_changes_late_and_leaves_late() {
    const POWER: &str = "SELECT properties.desired.power AS power FROM devices";
    const ONE: &str = "SELECT deviceId FROM devices WHERE deviceId = 'd'";
    const COUNT: &str = "SELECT COUNT() AS n FROM devices";
    let (hub, clock) = lagging().await;
    let power = |power: i64| Some(json!({"properties": {"desired": {"power": power}}}));

    hub.create("d").await;
    hub.ask("PATCH", "/twins/d", &[], power(1)).await;
    assert_eq!(ask(&hub, POWER).await, json!([]), "not there yet");
    assert_eq!(
        hub.ask("GET", "/twins/d", &[], None).await.body["properties"]["desired"]["power"],
        1,
        "a GET is current"
    );

    clock.store(2_000, Ordering::SeqCst);
    assert_eq!(ask(&hub, POWER).await, json!([{"power": 1}]));
    hub.ask("PATCH", "/twins/d", &[], power(2)).await;
    clock.store(3_000, Ordering::SeqCst);
    hub.ask("PATCH", "/twins/d", &[], power(3)).await;
    assert_eq!(ask(&hub, POWER).await, json!([{"power": 1}]), "the past");
    clock.store(4_000, Ordering::SeqCst);
    assert_eq!(ask(&hub, POWER).await, json!([{"power": 2}]), "each state in its turn");
    clock.store(5_000, Ordering::SeqCst);
    assert_eq!(ask(&hub, POWER).await, json!([{"power": 3}]));

    hub.ask("DELETE", "/devices/d", &[("If-Match", "*")], None).await;
    assert_eq!(ask(&hub, ONE).await, json!([{"deviceId": "d"}]), "a ghost");
    assert_eq!(ask(&hub, COUNT).await, json!([{"n": 1}]));
    assert_eq!(hub.ask("GET", "/twins/d", &[], None).await.refusal(), (404, "DeviceNotFound"));

    // The ghost stays beside a new device of its id, which is not seen yet.
    hub.create("d").await;
    assert_eq!(ask(&hub, ONE).await, json!([{"deviceId": "d"}]));
    clock.store(7_000, Ordering::SeqCst);
    assert_eq!(
        ask(&hub, "SELECT properties.desired.$version AS v FROM devices").await,
        json!([{"v": 1}]),
        "the new one"
    );
    hub.ask("DELETE", "/devices/d", &[("If-Match", "*")], None).await;
    clock.store(9_000, Ordering::SeqCst);
    assert_eq!(ask(&hub, ONE).await, json!([]));
    assert_eq!(ask(&hub, COUNT).await, json!([{"n": 0}]));
}

/// As devices do; with its device a module goes.
#[tokio::test]
async fn modules_show_and_leave_late() {
    const ALL: &str = "SELECT moduleId, tags.a AS a FROM devices.modules";
    const ONE: &str = "SELECT moduleId, tags.a AS a FROM devices.modules WHERE deviceId = 'd'";
    let (hub, clock) = lagging().await;
    hub.create("d").await;
    let body = json!({"deviceId": "d", "moduleId": "m"});
    assert_eq!(hub.ask("PUT", "/devices/d/modules/m", &[], Some(body)).await.status, 200);
    let seen = async |expected: Value| {
        for query in [ALL, ONE] {
            assert_eq!(ask(&hub, query).await, expected, "{query}");
        }
    };
    seen(json!([])).await;
    clock.store(1_000, Ordering::SeqCst);
    hub.ask("PATCH", "/twins/d/modules/m", &[], Some(json!({"tags": {"a": 1}}))).await;
    clock.store(2_000, Ordering::SeqCst);
    seen(json!([{"moduleId": "m"}])).await;
    clock.store(3_000, Ordering::SeqCst);
    seen(json!([{"moduleId": "m", "a": 1}])).await;
    hub.ask("DELETE", "/devices/d", &[("If-Match", "*")], None).await;
    assert_eq!(hub.ask("GET", "/twins/d/modules/m", &[], None).await.status, 404);
    seen(json!([{"moduleId": "m", "a": 1}])).await;
    clock.store(5_000, Ordering::SeqCst);
    seen(json!([])).await;
}

#[derive(Clone, Debug)]
enum Doing {
    Put(u8),
    Patch(u8),
    Delete(u8),
}

proptest! {
    /// What a query sees is exactly what was there that long ago, whichever way it looks for it.
    #[test]
    fn the_past_as_it_was(
        lag in 1i64..50,
        script in proptest::collection::vec((
            0i64..20,
            prop_oneof![
                (0u8..5).prop_map(Doing::Put),
                (0u8..5).prop_map(Doing::Patch),
                (0u8..5).prop_map(Doing::Delete),
            ],
        ), 1..60),
    ) {
        let mut hub = Hub::default().with_query_lag(Duration::from_millis(lag.unsigned_abs()));
        let mut plain = Hub::default();
        let mut history: Vec<(i64, Vec<(DeviceId, String)>)> = vec![(i64::MIN, Vec::new())];
        let mut now = 0;
        for (passed, doing) in script {
            now += passed;
            let at = NOW + time::Duration::milliseconds(now);
            let id = |n: u8| format!("d{n}").parse::<DeviceId>().expect("an id");
            for hub in [&mut hub, &mut plain] {
                // Some of it is refused.
                let _ = match doing {
                    Doing::Put(n) => {
                        let (body, entropy) = (Box::default(), Entropy([n; 80]));
                        hub.handle(PutDevice { id: id(n), body, if_match: IfMatch::Absent, entropy }, at).reply.map(drop)
                    }
                    Doing::Patch(n) => {
                        let body = TwinBody::decode(json!({"tags": {"at": now}})).expect("a body");
                        let (how, if_match) = (TwinWrite::Merge, IfMatch::Absent);
                        hub.handle(WriteTwin { id: id(n).into(), how, body, if_match }, at).reply.map(drop)
                    }
                    Doing::Delete(n) => hub.handle(DeleteDevice { id: id(n), if_match: IfMatch::Any }, at).reply,
                };
            }
            history.push((now, scan(&mut plain, at)));

            let (_, past) = history.iter().rfind(|(then, _)| *then <= now - lag).expect("nothing before all");
            prop_assert_eq!(&scan(&mut hub, at), past);
            let ids = (0..5).map(|n| format!("d{n}")).collect();
            prop_assert_eq!(&devices(&mut hub, FindDevices { ids }, at), past);
        }
    }
}

fn scan(hub: &mut Hub, at: OffsetDateTime) -> Vec<(DeviceId, String)> {
    let mut all = Vec::new();
    let mut after = 0;
    loop {
        // In small slices, as a query of a large fleet does.
        let slice = hub.handle(ScanDevices { after, limit: 2 }, at).reply.expect("devices");
        let Some(last) = slice.last() else { return all };
        after = last.sequence;
        all.extend(slice.iter().map(|device| (device.id.clone(), device.twin.as_str().to_owned())));
    }
}

fn devices(hub: &mut Hub, find: FindDevices, at: OffsetDateTime) -> Vec<(DeviceId, String)> {
    let devices = hub.handle(find, at).reply.expect("devices");
    devices.iter().map(|device| (device.id.clone(), device.twin.as_str().to_owned())).collect()
}
