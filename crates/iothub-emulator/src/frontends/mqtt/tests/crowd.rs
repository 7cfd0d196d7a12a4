//! Many at once.

use futures_util::future::join_all;

use crate::frontends::mqtt::tests::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_holds_nobody() {
    let hub = hub().await;
    for id in ["slow", "quick"] {
        register(&hub, id).await;
    }
    let mut slow = Client::login(&hub, "slow").await;
    slow.subscribe(&[DESIRED]).await;
    let mut quick = Client::login(&hub, "quick").await;
    quick.subscribe(&[DESIRED]).await;
    // More than the kernel's buffers and the outbox take together, for a device that reads none of it.
    let large = json!({"properties": {"desired": {"a": "x".repeat(4000), "b": "x".repeat(4000), "c": "x".repeat(4000),
        "d": "x".repeat(4000), "e": "x".repeat(4000), "f": "x".repeat(4000), "g": "x".repeat(4000)}}});
    let mut cut = false;
    for turn in 0..1000 {
        assert_eq!(hub.ask("PATCH", "/twins/slow", &[], Some(large.clone())).await.status, 200);
        if turn % 50 == 0 {
            let small = json!({"properties": {"desired": {"turn": turn}}});
            hub.ask("PATCH", "/twins/quick", &[], Some(small)).await;
            assert_eq!(quick.publication().await.1["turn"], turn);
        }
        if turn % 10 == 0 && connection_state(&hub, "slow").await == "Disconnected" {
            cut = true;
            break;
        }
    }
    assert!(cut, "the slow one is given up");
    quick.quiet().await;
}

/// Two clients with one identity fight; nothing of it is left behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_takeovers_leaves_nothing() {
    let bench = Arc::new(Bench::new().await);
    let storm = (0..8).map(|_| {
        let bench = bench.clone();
        tokio::spawn(async move {
            for _ in 0..50 {
                let mut device = bench.open(4096);
                // The next one may have taken over before the answer left.
                let answer = device.connect(connect("d", token("d"))).await;
                assert!(matches!(answer, Some(ConnectReturnCode::Success) | None), "{answer:?}");
            }
        })
    });
    for end in join_all(storm).await {
        end.expect("no panic");
    }
    eventually("all are gone", async || bench.connected() == 0).await;
    let mut last = bench.open(4096);
    assert_eq!(last.connect(connect("d", token("d"))).await, Some(ConnectReturnCode::Success));
    last.quiet().await;
    assert_eq!(bench.connected(), 1);
    drop(last);
    eventually("the last is gone", async || bench.connected() == 0).await;
    // Connections own the hub; that it is owned by nobody else says that their tasks have ended.
    let bench = Arc::into_inner(bench).expect("nobody else has it");
    let Bench { live, front, .. } = bench;
    drop(front);
    eventually("their tasks have ended", async || Arc::strong_count(&live) == 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn patches_reach_a_thousand_devices() {
    const DEVICES: usize = 1000;
    let hub = hub().await;
    let id = |n: usize| format!("device-{n:04}");
    for batch in (0..DEVICES).collect::<Vec<_>>().chunks(50) {
        join_all(batch.iter().map(async |n| register(&hub, &id(*n)).await)).await;
    }
    let mut devices = Vec::with_capacity(DEVICES);
    for batch in (0..DEVICES).collect::<Vec<_>>().chunks(50) {
        let batch = batch.iter().map(async |n| {
            let mut device = Client::login(&hub, &id(*n)).await;
            device.subscribe(&[DESIRED]).await;
            device
        });
        devices.extend(join_all(batch).await);
    }
    assert_eq!(hub.ask("GET", "/statistics/service", &[], None).await.body, json!({ "connectedDeviceCount": DEVICES }));
    for batch in (0..DEVICES).collect::<Vec<_>>().chunks(50) {
        join_all(batch.iter().map(async |n| {
            let patch = json!({"properties": {"desired": {"n": n}}});
            let answer = hub.ask("PATCH", &format!("/twins/{}", id(*n)), &[], Some(patch)).await;
            assert_eq!(answer.status, 200);
        }))
        .await;
    }
    for (n, device) in devices.iter_mut().enumerate() {
        assert_eq!(device.publication().await.1, json!({"n": n, "$version": 2}));
    }
    let query = json!({"query": "SELECT COUNT() AS n FROM devices WHERE connectionState = 'Connected'"});
    assert_eq!(hub.ask("POST", "/devices/query", &[], Some(query)).await.body, json!([{ "n": DEVICES }]));
}
