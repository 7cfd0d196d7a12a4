//! The limits of a tier, as devices meet them.

use crate::core::messages::MessageBody;
use crate::core::requests::messages::SendMessage;
use crate::faults::injection::FaultInjector;
use crate::limits::admission::Admission;
use crate::{FaultSpec, Limits, Tier};
use iothub_model::diagnostic::Source;

use crate::frontends::mqtt::tests::*;

const GET: &str = "$iothub/twin/GET/?$rid=1";
/// What S1 lets happen at once: a minute of a hundred a second.
const BURST: usize = 6000;
/// What may wait after that: half a minute's worth.
const QUEUE: usize = 3000;

fn gate(tier: Tier) -> Gate {
    let limits = Limits::new(tier, 1).expect("one unit");
    let none = FaultSpec::parse(&Source::new("<faults>", "")).expect("no rules");
    Gate::new(Arc::new(FaultInjector::new(Duration::ZERO, none)), Arc::new(Admission::new(Some(limits))))
}

async fn hub_of(tier: Tier) -> Sandbox {
    let hub = Sandbox::with(TempDir::new().expect("a temporary folder"), |options| options.tier(tier, 1)).await;
    register(&hub, "d").await;
    hub
}

/// Publishes the same so many times at once.
async fn flood(device: &mut Client, topic: &str, count: usize) {
    let mut bytes = BytesMut::new();
    for _ in 0..count {
        let mut publish = Publish::new(topic, QoS::AtLeastOnce, "");
        publish.pkid = 7;
        publish.write(&mut bytes).expect("a packet");
    }
    device.send_bytes(&bytes).await;
}

/// Time stands still but when all wait, and so what is served at once is told from what waits its turn.
#[tokio::test]
async fn twin_requests_are_served_then_delayed_then_refused() {
    let bench = Bench::behind(gate(Tier::S1)).await;
    let mut device = bench.open(1 << 20);
    assert_eq!(device.connect(connect("d", token("d"))).await, Some(ConnectReturnCode::Success));
    tokio::time::pause();
    let begun = tokio::time::Instant::now();
    for _ in 0..BURST / 500 {
        flood(&mut device, GET, 500).await;
        for _ in 0..500 {
            assert!(matches!(device.next().await, Some(Packet::PubAck(_))));
            assert!(matches!(device.next().await, Some(Packet::Publish(_))));
        }
    }
    assert_eq!(begun.elapsed(), Duration::ZERO, "a minute's worth at once");
    flood(&mut device, GET, QUEUE + 2).await;
    let (mut served, mut refused) = (0, Vec::new());
    while served + refused.len() < QUEUE + 2 {
        match device.next().await {
            Some(Packet::PubAck(_)) => {}
            Some(Packet::Publish(publish)) if publish.topic == "$iothub/twin/res/200/?$rid=1" => {
                served += 1;
                let due = Duration::from_millis(10) * u32::try_from(served).expect("few");
                assert!(begun.elapsed() + Duration::from_millis(2) >= due, "{served} after {:?}", begun.elapsed());
            }
            Some(Packet::Publish(publish)) => refused.push(publish),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((served, refused.len()), (QUEUE, 2));
    assert_eq!(refused[0].topic, "$iothub/twin/res/429/?$rid=1");
    let body: Value = serde_json::from_slice(&refused[0].payload).expect("JSON");
    assert_eq!(body["errorCode"], 429_001);
    assert_eq!(
        body["message"],
        "The request has been throttled. Wait 10 seconds and try again. Operation type: TwinRead"
    );
    tokio::time::resume();
    // There is room again, and reports have a throttle of their own.
    assert!(device.report(json!({"r": 1})).await.0.starts_with("$iothub/twin/res/204/"));
}

#[tokio::test]
async fn telemetry_is_delayed_and_then_ends_the_connection() {
    let bench = Bench::behind(gate(Tier::S1)).await;
    let mut device = bench.open(1 << 20);
    assert_eq!(device.connect(connect("d", token("d"))).await, Some(ConnectReturnCode::Success));
    tokio::time::pause();
    let begun = tokio::time::Instant::now();
    flood(&mut device, "devices/d/messages/events/", BURST + QUEUE).await;
    for nth in 1..=BURST + 500 {
        assert!(matches!(device.next().await, Some(Packet::PubAck(_))), "{nth}");
    }
    let elapsed = begun.elapsed();
    assert!((4990..=5100).contains(&elapsed.as_millis()), "{elapsed:?}");
    flood(&mut device, "devices/d/messages/events/", 600).await;
    while let Some(packet) = device.next().await {
        assert!(matches!(packet, Packet::PubAck(_)), "{packet:?}");
    }
    assert!(begun.elapsed() < Duration::from_secs(36), "{:?}", begun.elapsed());
    assert_eq!(bench.connected(), 0);
}

#[tokio::test]
async fn connections_wait_their_turn_and_then_find_no_room() {
    let bench = Bench::behind(gate(Tier::S1)).await;
    let id = "d".parse().expect("an id");
    for _ in 0..BURST {
        bench.front.gate.connect(&id, NOW);
    }
    tokio::time::pause();
    let begun = tokio::time::Instant::now();
    for _ in 0..99 {
        bench.front.gate.connect(&id, NOW);
    }
    let mut device = bench.open(4096);
    assert_eq!(device.connect(connect("d", token("d"))).await, Some(ConnectReturnCode::Success));
    assert!((900..1100).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
    for _ in 0..QUEUE + 10 {
        bench.front.gate.connect(&id, NOW);
    }
    let mut late = bench.open(4096);
    assert_eq!(late.connect(connect("d", token("d"))).await, Some(ConnectReturnCode::ServiceUnavailable));
    late.closed().await;
    device.quiet().await;
}

/// 8,000 messages of half a KB: devices use up what the back end has, and the other way round.
#[tokio::test]
async fn one_quota_for_both_sides() {
    let hub = hub_of(Tier::F1).await;
    let mut device = Client::login(&hub, "d").await;
    device.subscribe(&[DESIRED]).await;
    let text = "x".repeat(500);
    for turn in 0..20 {
        let patch = json!({"properties": {"desired": {"a": text, "turn": turn}}});
        assert_eq!(hub.ask("PATCH", "/twins/d", &[], Some(patch)).await.status, 200);
        device.publication().await;
    }
    // Each has more than 512 bytes, and so has the notification that it brings about.
    let mut used = 20 * 2 + 20 * 2;
    device.report(json!({"b": "y".repeat(600)})).await;
    used += 2;
    let twin = device.twin().await;
    used += twin.to_string().len().div_ceil(512);
    let large = vec![0; 256 * 1024];
    while used + 512 < 8000 {
        device.publish("devices/d/messages/events/", large.clone()).await;
        used += 512;
    }
    for _ in used..8000 {
        device.publish("devices/d/messages/events/", "").await;
    }
    // The last was the eight thousandth.
    for topic in ["devices/d/messages/events/", GET, "$iothub/twin/PATCH/properties/reported/?$rid=1"] {
        let mut publish = Publish::new(topic, QoS::AtLeastOnce, "{}");
        publish.pkid = 9;
        device.send(Packet::Publish(publish)).await;
        device.closed().await;
        device = Client::login(&hub, "d").await;
    }
    let patch = Some(json!({"tags": {"a": 1}}));
    assert_eq!(hub.ask("PATCH", "/twins/d", &[], patch).await.refusal(), (403, "IotHubQuotaExceeded"));
}

#[tokio::test]
async fn basic_has_telemetry_and_no_twins() {
    let hub = hub_of(Tier::B1).await;
    let mut device = Client::login(&hub, "d").await;
    device.publish("devices/d/messages/events/", "{}").await;
    for topic in [GET, "$iothub/twin/PATCH/properties/reported/?$rid=1"] {
        device.publish(topic, "{}").await;
        let (topic, body) = device.publication().await;
        assert_eq!((topic.as_str(), &body["errorCode"]), ("$iothub/twin/res/403/?$rid=1", &json!(403_010)));
    }
}

/// Messages from a time when the hub had another tier wait until it has one that delivers them.
#[tokio::test]
async fn basic_delivers_no_messages() {
    for (tier, delivers) in [(Tier::B1, false), (Tier::S1, true)] {
        let bench = Bench::behind(gate(tier)).await;
        let body = MessageBody { payload: "hello".into(), ..MessageBody::default() };
        let send = SendMessage { to: "d".parse().expect("an id"), message: Box::new(body) };
        bench.live.handle(send).await.expect("there is room");
        let mut device = bench.open(1 << 20);
        assert_eq!(device.connect(connect("d", token("d"))).await, Some(ConnectReturnCode::Success));
        device.subscribe(&["devices/d/messages/devicebound/#"]).await;
        match delivers {
            true => assert!(matches!(device.next().await, Some(Packet::Publish(_)))),
            false => device.quiet().await,
        }
    }
}
