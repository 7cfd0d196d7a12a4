//! Messages from the cloud, from the queue to the device and what it says of them.

use rumqttc::mqttbytes::v4::PubAck;

use crate::core::messages::MessageBody;
use crate::core::requests::devices::GetDevice;
use crate::core::requests::messages::{PurgeMessages, SendMessage};
use crate::frontends::mqtt::tests::*;
use iothub_model::wire::messages::MessageProperties;

const FILTER: &str = "devices/d/messages/devicebound/#";

fn body(text: &str) -> MessageBody {
    MessageBody { payload: text.as_bytes().to_vec().into(), ..MessageBody::default() }
}

impl Bench {
    async fn send(&self, text: &str) {
        let send = SendMessage { to: "d".parse().expect("an id"), message: Box::new(body(text)) };
        self.live.handle(send).await.expect("there is room");
    }

    async fn login(&self, clean: bool) -> Client {
        let mut device = self.open(1 << 20);
        let mut hello = connect("d", token_until("d", now() + 100_000));
        hello.clean_session = clean;
        hello.keep_alive = 1000;
        assert_eq!(device.connect(hello).await, Some(ConnectReturnCode::Success));
        device
    }

    /// How many messages the device shows.
    async fn waiting(&self) -> u64 {
        let device = self.live.handle(GetDevice { id: "d".parse().expect("an id") }).await.expect("a device");
        let identity: Value = serde_json::from_str(device.identity.as_str()).expect("JSON");
        identity["cloudToDeviceMessageCount"].as_u64().expect("a count")
    }
}

impl Client {
    /// Returns the next message's payload and the number of its packet.
    async fn message(&mut self) -> (String, u16) {
        match self.next().await.expect("a message") {
            Packet::Publish(publish) => {
                assert_eq!(
                    publish.topic,
                    "devices/d/messages/devicebound/%24.to=%2Fdevices%2Fd%2Fmessages%2FdeviceBound"
                );
                assert_eq!(publish.pkid == 0, publish.qos == QoS::AtMostOnce);
                assert!(!publish.dup);
                (String::from_utf8(publish.payload.to_vec()).expect("text"), publish.pkid)
            }
            other => panic!("not a message: {other:?}"),
        }
    }

    async fn acknowledge(&mut self, pkid: u16) {
        self.send(Packet::PubAck(PubAck::new(pkid))).await;
        self.quiet().await;
    }

    async fn subscribe_at(&mut self, qos: QoS) {
        let mut subscribe = Subscribe::new(FILTER, qos);
        subscribe.pkid = self.packet_id();
        self.send(Packet::Subscribe(subscribe)).await;
        assert!(matches!(self.next().await, Some(Packet::SubAck(_))));
    }
}

#[tokio::test]
async fn queued_sent_and_completed() {
    let bench = Bench::new().await;
    bench.send("before").await;
    let mut device = bench.login(false).await;
    device.quiet().await;
    device.subscribe(&[FILTER]).await;
    let (text, first) = device.message().await;
    assert_eq!(text, "before", "it waited");
    bench.send("after").await;
    let (text, second) = device.message().await;
    assert_eq!(text, "after");
    assert_eq!(bench.waiting().await, 2);
    device.acknowledge(second).await;
    assert_eq!(bench.waiting().await, 1);
    // Neither twice nor for what was never sent.
    device.acknowledge(second).await;
    device.acknowledge(999).await;
    assert_eq!(bench.waiting().await, 1);
    // What was not acknowledged comes again, without a subscription in a session that lasts.
    drop(device);
    let mut device = bench.login(false).await;
    let (text, pkid) = device.message().await;
    assert_eq!((text.as_str(), pkid), ("before", first));
    device.acknowledge(pkid).await;
    assert_eq!(bench.waiting().await, 0);
}

/// azure-sdk-for-c has `+` in place of the id, and Microsoft's tutorial for plain MQTT clients asks for everything.
#[tokio::test]
async fn filters_with_wildcards_get_the_devices_own_messages() {
    for filter in ["devices/+/messages/devicebound/#", "#"] {
        let bench = Bench::new().await;
        let mut device = bench.login(true).await;
        device.subscribe(&[filter]).await;
        bench.send("hello").await;
        let (text, pkid) = device.message().await;
        assert_eq!(text, "hello", "{filter}");
        device.acknowledge(pkid).await;
        assert_eq!(bench.waiting().await, 0, "{filter}");
    }
}

/// Filters that match the same messages are held one by one, and the highest QoS counts (MQTT 3.1.1, MQTT-3.3.5-1).
#[tokio::test]
async fn filters_that_overlap_are_held_one_by_one() {
    let bench = Bench::new().await;
    let mut device = bench.login(true).await;
    device.subscribe(&[FILTER, "#"]).await;
    let mut subscribe = Subscribe::new("devices/+/messages/devicebound/#", QoS::AtMostOnce);
    subscribe.pkid = device.packet_id();
    device.send(Packet::Subscribe(subscribe)).await;
    assert!(matches!(device.next().await, Some(Packet::SubAck(_))));
    for (unwanted, acknowledged) in [(FILTER, true), ("#", false)] {
        device.unsubscribe(unwanted).await;
        bench.send(unwanted).await;
        let (text, pkid) = device.message().await;
        assert_eq!((text.as_str(), pkid != 0), (unwanted, acknowledged));
        if acknowledged {
            device.acknowledge(pkid).await;
        }
    }
    // What was never asked for takes nothing away.
    device.unsubscribe(FILTER).await;
    bench.send("still").await;
    assert_eq!(device.message().await.0, "still");
}

#[tokio::test]
async fn a_clean_session_hears_nothing_until_it_subscribes() {
    let bench = Bench::new().await;
    let mut device = bench.login(false).await;
    device.subscribe(&[FILTER]).await;
    drop(device);
    bench.send("waits").await;
    let mut device = bench.login(true).await;
    device.quiet().await;
    device.subscribe(&[FILTER]).await;
    let (text, pkid) = device.message().await;
    assert_eq!(text, "waits");
    device.acknowledge(pkid).await;
    device.unsubscribe(FILTER).await;
    bench.send("stays").await;
    device.quiet().await;
    assert_eq!(bench.waiting().await, 1);
}

#[tokio::test]
async fn at_most_once() {
    let bench = Bench::new().await;
    let mut device = bench.login(false).await;
    device.subscribe_at(QoS::AtMostOnce).await;
    for n in 0..40 {
        bench.send(&n.to_string()).await;
    }
    for n in 0..40 {
        assert_eq!(device.message().await, (n.to_string(), 0));
    }
    assert_eq!(bench.waiting().await, 0);
    // The last word counts.
    device.subscribe_at(QoS::AtLeastOnce).await;
    bench.send("acknowledged").await;
    let (_, pkid) = device.message().await;
    assert_ne!(pkid, 0);
    assert_eq!(bench.waiting().await, 1);
}

#[tokio::test]
async fn a_full_queue_goes_through() {
    let bench = Bench::new().await;
    for n in 0..50 {
        bench.send(&n.to_string()).await;
    }
    let mut device = bench.login(false).await;
    device.subscribe(&[FILTER]).await;
    for n in 0..50 {
        let (text, pkid) = device.message().await;
        assert_eq!(text, n.to_string());
        device.send(Packet::PubAck(PubAck::new(pkid))).await;
    }
    device.quiet().await;
    assert_eq!(bench.waiting().await, 0);
}

#[tokio::test]
async fn properties_reach_the_device() {
    let bench = Bench::new().await;
    let mut device = bench.login(false).await;
    device.subscribe(&[FILTER]).await;
    let properties = MessageProperties {
        message_id: Some("m 1".to_owned()),
        to: Some("/DEVICES/d/messages/devicebound".to_owned()),
        others: vec![("a".to_owned(), Some("1/2".to_owned())), ("null".to_owned(), None)],
        ..MessageProperties::default()
    };
    let message = Box::new(MessageBody { properties: properties.clone(), ..body("{}") });
    let send = SendMessage { to: "d".parse().expect("an id"), message };
    bench.live.handle(send).await.expect("there is room");
    let Some(Packet::Publish(publish)) = device.next().await else { panic!("a message") };
    assert_eq!(MessageProperties::parse(&publish.topic, &"d".parse().expect("an id")), Some(properties));
    // Purging counts what is under way.
    let purge = PurgeMessages { device: "d".parse().expect("an id") };
    assert_eq!(bench.live.handle(purge).await, Ok(1));
    device.acknowledge(publish.pkid).await;
}
