//! One live connection for each identity, and what outlives it.

use rumqttc::mqttbytes::v4::Unsubscribe;

use crate::frontends::mqtt::tests::*;

#[tokio::test]
async fn subscriptions_are_kept_for_those_who_come_back() {
    let (hub, mut device) = connected("d").await;
    device.subscribe(&[RESPONSES, DESIRED, METHODS, "devices/d/messages/devicebound/#"]).await;
    let mut unsubscribe = Unsubscribe::new(METHODS);
    unsubscribe.pkid = 9;
    device.send(Packet::Unsubscribe(unsubscribe)).await;
    assert!(matches!(device.next().await, Some(Packet::UnsubAck(answer)) if answer.pkid == 9));
    device.send(Packet::Disconnect).await;
    device.closed().await;

    let hub = restart(hub).await;
    let mut device = Client::dial(&hub).await;
    device.send(Packet::Connect(connect("d", token("d")))).await;
    let Some(Packet::ConnAck(answer)) = device.next().await else { panic!("no answer") };
    assert!(answer.session_present);
    let change = || Some(json!({"properties": {"desired": {"a": 1}}}));
    hub.ask("PATCH", "/twins/d", &[], change()).await;
    assert_eq!(device.publication().await.0, "$iothub/twin/PATCH/properties/desired/?$version=2");
    let call = json!({"methodName": "m"});
    assert_eq!(hub.ask("POST", "/twins/d/methods", &[], Some(call)).await.status, 404, "unsubscribed is unsubscribed");

    // A clean session forgets, and keeps nothing.
    let mut clean = connect("d", token("d"));
    clean.clean_session = true;
    let mut device = Client::dial(&hub).await;
    device.send(Packet::Connect(clean)).await;
    let Some(Packet::ConnAck(answer)) = device.next().await else { panic!("no answer") };
    assert!(!answer.session_present);
    hub.ask("PATCH", "/twins/d", &[], change()).await;
    device.quiet().await;
    device.subscribe(&[DESIRED]).await;
    hub.ask("PATCH", "/twins/d", &[], change()).await;
    assert_eq!(device.publication().await.0, "$iothub/twin/PATCH/properties/desired/?$version=4");
    let mut device = Client::login(&hub, "d").await;
    hub.ask("PATCH", "/twins/d", &[], change()).await;
    device.quiet().await;
}

#[tokio::test]
async fn sessions_go_with_their_device() {
    let (hub, mut device) = connected("d").await;
    device.subscribe(&[DESIRED]).await;
    assert_eq!(hub.ask("DELETE", "/devices/d", &[("If-Match", "*")], None).await.status, 204);
    device.closed().await;
    register(&hub, "d").await;
    assert_eq!(connection_state(&hub, "d").await, "Disconnected");
    let mut device = Client::login(&hub, "d").await;
    assert_eq!(connection_state(&hub, "d").await, "Connected");
    hub.ask("PATCH", "/twins/d", &[], Some(json!({"properties": {"desired": {"a": 1}}}))).await;
    device.quiet().await;
}

#[tokio::test]
async fn an_identity_write_keeps_the_session() {
    let (hub, mut device) = connected("d").await;
    device.subscribe(&[DESIRED]).await;
    let body = json!({"deviceId": "d", "statusReason": "as before", "authentication": {"symmetricKey": {
        "primaryKey": key().to_base64().expose(), "secondaryKey": key().to_base64().expose()
    }}});
    assert_eq!(hub.ask("PUT", "/devices/d", &[("If-Match", "*")], Some(body)).await.status, 200);
    assert_eq!(connection_state(&hub, "d").await, "Connected");
    let hub = restart(hub).await;
    let mut device = Client::login(&hub, "d").await;
    hub.ask("PATCH", "/twins/d", &[], Some(json!({"properties": {"desired": {"a": 1}}}))).await;
    device.publication().await;
}

#[tokio::test]
async fn the_second_connection_takes_over() {
    let (hub, mut first) = connected("d").await;
    first.subscribe(&[DESIRED]).await;
    let mut second = Client::login(&hub, "d").await;
    first.closed().await;
    // The end of the first is not the device's.
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(connection_state(&hub, "d").await, "Connected");
    hub.ask("PATCH", "/twins/d", &[], Some(json!({"properties": {"desired": {"a": 1}}}))).await;
    second.publication().await;
    drop(second);
    eventually("it shows itself disconnected", async || connection_state(&hub, "d").await == "Disconnected").await;
}

#[tokio::test]
async fn the_connection_state_follows() {
    let hub = hub().await;
    register(&hub, "d").await;
    let before = hub.ask("GET", "/devices/d", &[], None).await.body;
    assert_eq!(before["lastActivityTime"], "0001-01-01T00:00:00Z");
    let twin = hub.ask("GET", "/twins/d", &[], None).await.body;
    let mut device = Client::login(&hub, "d").await;
    let after = hub.ask("GET", "/devices/d", &[], None).await.body;
    for member in ["lastActivityTime", "connectionStateUpdatedTime"] {
        assert_eq!(after[member], "2026-11-24T10:00:00.0000000Z", "{member}");
    }
    assert_eq!(after["etag"], before["etag"]);
    let connected = hub.ask("GET", "/twins/d", &[], None).await.body;
    for member in ["etag", "deviceEtag", "version", "properties"] {
        assert_eq!(connected[member], twin[member], "{member}");
    }
    assert_eq!(hub.ask("GET", "/statistics/service", &[], None).await.body, json!({"connectedDeviceCount": 1}));
    // A write while it is connected reaches the disk; a restart disconnects it all the same.
    device.report(json!({"a": 1})).await;
    let hub = restart(hub).await;
    device.closed().await;
    assert_eq!(connection_state(&hub, "d").await, "Disconnected");
    assert_eq!(hub.ask("GET", "/statistics/service", &[], None).await.body, json!({"connectedDeviceCount": 0}));
    let twin = hub.ask("GET", "/twins/d", &[], None).await.body;
    assert_eq!(twin["properties"]["reported"]["a"], 1, "what was answered with 204 is there");
}

#[tokio::test]
async fn silence_ends_a_connection() {
    let bench = Bench::new().await;
    tokio::time::pause();
    for (keep_alive, ends_after) in [(10, 15), (60, 90), (0, 1767), (65535, 1767)] {
        let mut device = bench.open(4096);
        let mut hello = connect("d", token_until("d", now() + 100_000));
        hello.keep_alive = keep_alive;
        assert_eq!(device.connect(hello).await, Some(ConnectReturnCode::Success));
        let begun = tokio::time::Instant::now();
        // Whatever it sends counts.
        tokio::time::sleep(Duration::from_secs(ends_after - 1)).await;
        device.quiet().await;
        tokio::time::sleep(Duration::from_secs(ends_after - 1)).await;
        device.publish("devices/d/messages/events/", "").await;
        let mut rest = Vec::new();
        device.stream.read_to_end(&mut rest).await.expect("an end");
        assert_eq!(begun.elapsed().as_secs(), 3 * ends_after - 2, "keep alive {keep_alive}");
        eventually("it is gone", async || bench.connected() == 0).await;
    }
}

#[tokio::test]
async fn a_token_s_end_ends_the_connection() {
    let bench = Bench::new().await;
    tokio::time::pause();
    let mut device = bench.open(4096);
    let mut hello = connect("d", token_until("d", now() + 300));
    hello.keep_alive = 1000;
    assert_eq!(device.connect(hello).await, Some(ConnectReturnCode::Success));
    let begun = tokio::time::Instant::now();
    let mut rest = Vec::new();
    device.stream.read_to_end(&mut rest).await.expect("an end");
    assert_eq!(begun.elapsed().as_secs(), 600, "with five minutes of grace");
}

#[tokio::test]
async fn connections_end_with_the_hub() {
    let bench = Bench::new().await;
    let mut idle = bench.open(4096);
    let mut device = bench.open(4096);
    assert_eq!(device.connect(connect("d", token("d"))).await, Some(ConnectReturnCode::Success));
    bench.stop.send(true).expect("connections listen");
    idle.closed().await;
    device.closed().await;
    assert_eq!(bench.connected(), 0);
}
