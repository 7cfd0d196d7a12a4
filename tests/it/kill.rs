//! A power cut: what the hub has acknowledged, over either of its protocols, is there afterwards, and its store opens.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use iothub_model::wire::sas::Key;
use serde_json::json;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use crate::support::device::{Device, Door};
use crate::support::hub::try_request;
use crate::support::{Hub, Sandbox};

/// Devices, each with one who writes its desired properties and its tags, and, as the device, its reported ones.
const DEVICES: usize = 4;
const KILLS: u64 = 200;

/// What was acknowledged of a device's two counters.
#[derive(Clone, Default)]
struct Acknowledged {
    service: Arc<AtomicU64>,
    device: Arc<AtomicU64>,
}

fn key() -> Key {
    Key::from_bytes(*b"the primary key of all devices!!")
}

#[test]
fn what_was_acknowledged_survives_two_hundred_kills() {
    let sandbox = Sandbox::new();
    let hub = Hub::serve(&sandbox, &[]);
    let ids: Vec<String> = (0..DEVICES).map(|n| format!("d{n}")).collect();
    for id in &ids {
        let keys = json!({ "primaryKey": key().to_base64().expose(), "secondaryKey": key().to_base64().expose() });
        let body = json!({ "deviceId": id, "authentication": { "type": "sas", "symmetricKey": keys } });
        assert_eq!(hub.send("PUT", &format!("/devices/{id}"), None, Some(body)).status, 200);
    }
    drop(hub);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    // Each writer counts on from what was acknowledged to it, round after round.
    let acknowledged: Vec<_> = ids.iter().map(|_| Acknowledged::default()).collect();
    let (mut by_service, mut by_devices) = (0, 0);
    for kill in 0..KILLS {
        let hub = Hub::serve(&sandbox, &[]);
        for (id, acknowledged) in ids.iter().zip(&acknowledged) {
            let twin = hub.twin(id);
            let properties = &twin["properties"];
            holds(kill, &format!("{id} desired"), &properties["desired"]["n"], &acknowledged.service);
            holds(kill, &format!("{id} reported"), &properties["reported"]["n"], &acknowledged.device);
            assert_eq!(twin["tags"]["n"], properties["desired"]["n"], "kill {kill}: half of a patch is there");
        }
        let mut services = Vec::new();
        let mut devices = Vec::new();
        for (id, acknowledged) in ids.iter().zip(&acknowledged) {
            services.push(patch(&runtime, &hub, id, acknowledged.service.clone()));
            devices.push(report(&runtime, &hub, id, acknowledged.device.clone()));
        }
        // Cut at another point of the writing each time: from before the first commit to amid many, however fast the machine is.
        let before = progress(&acknowledged);
        let begun = Instant::now();
        while progress(&acknowledged).iter().zip(before).any(|(now, before)| now - before < kill % 4) {
            assert!(begun.elapsed() < Duration::from_secs(60), "kill {kill}: nothing is acknowledged");
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(kill * 37 % 60));
        hub.kill();
        for writer in services {
            by_service += runtime.block_on(writer).expect("a writer ends");
        }
        for writer in devices {
            by_devices += runtime.block_on(writer).expect("a writer ends");
        }
    }
    let few = by_service.min(by_devices);
    assert!(few > KILLS, "only {by_service} and {by_devices} writes were acknowledged, which proves nothing");
}

/// Returns the number of writes that were acknowledged so far, to services and to devices.
fn progress(acknowledged: &[Acknowledged]) -> [u64; 2] {
    let sum = |of: fn(&Acknowledged) -> &AtomicU64| acknowledged.iter().map(|it| of(it).load(Ordering::SeqCst)).sum();
    [sum(|it| &it.service), sum(|it| &it.device)]
}

/// Asserts that a counter stands where it was acknowledged to stand, and takes it up from there.
fn holds(kill: u64, what: &str, found: &serde_json::Value, acknowledged: &AtomicU64) {
    let found = found.as_u64().unwrap_or(0);
    let expected = acknowledged.load(Ordering::SeqCst);
    // One more may have been written whose answer was cut off.
    assert!(
        found == expected || found == expected + 1,
        "kill {kill}: {what} is {found}, and {expected} was acknowledged"
    );
    acknowledged.store(found, Ordering::SeqCst);
}

/// Writes over HTTPS until the hub is gone; answers how many writes were acknowledged.
fn patch(runtime: &Runtime, hub: &Hub, id: &str, acknowledged: Arc<AtomicU64>) -> JoinHandle<u64> {
    let client = hub.new_client();
    let (connection, path) = (hub.connection_string("service").to_owned(), format!("/twins/{id}"));
    runtime.spawn(async move {
        let mut written = 0;
        loop {
            let n = acknowledged.load(Ordering::SeqCst) + 1;
            let body = json!({ "tags": { "n": n }, "properties": { "desired": { "n": n } } });
            match try_request(&client, &connection, "PATCH", &path, None, Some(body)).await {
                Ok(answer) if answer.status == 200 => {
                    acknowledged.store(n, Ordering::SeqCst);
                    written += 1;
                }
                Ok(answer) => panic!("{answer:?}"),
                Err(_) => return written,
            }
        }
    })
}

/// Reports over MQTT until the hub is gone; answers how many reports were acknowledged.
fn report(runtime: &Runtime, hub: &Hub, id: &str, acknowledged: Arc<AtomicU64>) -> JoinHandle<u64> {
    let (door, id) = (Door::new(hub.ready()), id.to_owned());
    runtime.spawn(async move {
        let mut written = 0;
        let Ok(mut device) = Device::connect(&door, &id, &key()).await else { return written };
        loop {
            let n = acknowledged.load(Ordering::SeqCst) + 1;
            match device.report(&json!({ "n": n })).await {
                Ok(204) => {
                    acknowledged.store(n, Ordering::SeqCst);
                    written += 1;
                }
                Ok(status) => panic!("{id} is answered {status}"),
                Err(_) => return written,
            }
        }
    })
}
