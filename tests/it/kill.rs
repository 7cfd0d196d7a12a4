//! A power cut: what the hub has acknowledged is there afterwards, and its store opens.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;

use crate::support::hub::try_request;
use crate::support::{Hub, Sandbox};

const WRITERS: usize = 8;
const KILLS: u64 = 50;

#[test]
fn what_was_acknowledged_survives_fifty_kills() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    let ids: Vec<String> = (0..WRITERS).map(|n| format!("d{n}")).collect();
    ids.iter().for_each(|id| hub.create(id));
    drop(hub);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    // What each twin's counter was acknowledged to be. Each writer counts on from there, round after round.
    let acknowledged: Vec<_> = (0..WRITERS).map(|_| Arc::new(AtomicU64::new(0))).collect();
    let mut total = 0;
    for kill in 0..KILLS {
        let hub = Hub::start(&sandbox, &[]);
        for (id, acknowledged) in ids.iter().zip(&acknowledged) {
            let found = hub.twin(id)["properties"]["desired"]["n"].as_u64().unwrap_or(0);
            let expected = acknowledged.load(Ordering::SeqCst);
            // One more may have been written whose answer was cut off.
            assert!(
                found == expected || found == expected + 1,
                "kill {kill}: {id} has {found}, and {expected} was acknowledged"
            );
            acknowledged.store(found, Ordering::SeqCst);
        }
        let client = hub.new_client();
        let writers: Vec<_> = ids
            .iter()
            .zip(&acknowledged)
            .map(|(id, acknowledged)| {
                let (client, acknowledged) = (client.clone(), Arc::clone(acknowledged));
                let (connection, path) = (hub.connection_string("service").to_owned(), format!("/twins/{id}"));
                runtime.spawn(async move {
                    let mut written = 0u64;
                    loop {
                        let n = acknowledged.load(Ordering::SeqCst) + 1;
                        let body = json!({ "properties": { "desired": { "n": n } } });
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
            })
            .collect();
        // Cut at another point of the writing each time: from before the first commit to amid many.
        std::thread::sleep(Duration::from_millis(5 + kill * 37 % 120));
        hub.kill();
        for writer in writers {
            total += runtime.block_on(writer).expect("a writer ends");
        }
    }
    assert!(total > KILLS, "only {total} writes were acknowledged, which proves nothing");
}
