//! Clients that mean no good, or know no better.

use rumqttc::mqttbytes::v4::PubAck;
use rumqttc::mqttbytes::v4::PubRec;
use rumqttc::mqttbytes::v4::PubRel;

use crate::frontends::mqtt::tests::*;

/// Connects, sends what must end the connection, and sees that it does.
async fn ends(hub: &Sandbox, what: &str, packet: Packet) {
    let mut device = Client::login(hub, "d").await;
    device.send(packet).await;
    let next = device.next().await;
    assert!(next.is_none(), "{what}: {next:?}");
}

fn publish(topic: &str, qos: QoS, payload: impl Into<Vec<u8>>) -> Packet {
    let mut publish = Publish::new(topic, qos, payload);
    publish.pkid = 7;
    Packet::Publish(publish)
}

fn subscribe(filters: &[&str]) -> Packet {
    let mut subscribe =
        Subscribe::new_many(filters.iter().map(|filter| SubscribeFilter::new((*filter).to_owned(), QoS::AtMostOnce)));
    subscribe.pkid = 7;
    Packet::Subscribe(subscribe)
}

#[tokio::test]
async fn what_ends_a_connection() {
    let hub = hub().await;
    register(&hub, "d").await;
    register(&hub, "other").await;
    let before = hub.ask("GET", "/twins/other", &[], None).await.body;
    for topic in [
        "devices/other/messages/events/",
        "devices/d/messages/devicebound/",
        "$iothub/twin/res/200/?$rid=1",
        "a",
        "$SYS/x",
    ] {
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
            ends(&hub, topic, publish(topic, qos, "{}")).await;
        }
    }
    ends(&hub, "QoS 2", publish("devices/d/messages/events/", QoS::ExactlyOnce, "{}")).await;
    for filters in [
        vec!["$iothub/#"],
        vec!["devices/other/messages/devicebound/#"],
        // One that may not be among those that may.
        vec![RESPONSES, "devices/other/messages/events/#"],
    ] {
        ends(&hub, &format!("{filters:?}"), subscribe(&filters)).await;
    }
    for packet in [
        Packet::Connect(connect("d", token("d"))),
        Packet::PubRec(PubRec::new(7)),
        Packet::PubRel(PubRel::new(7)),
        Packet::PingResp,
        Packet::Disconnect,
    ] {
        ends(&hub, &format!("{packet:?}"), packet).await;
    }
    // A filter that may not be taken is not kept either.
    let mut device = Client::login(&hub, "d").await;
    hub.ask("PATCH", "/twins/d", &[], Some(json!({"properties": {"desired": {"a": 1}}}))).await;
    device.send(Packet::PubAck(PubAck::new(99))).await;
    let mut unknown = Unsubscribe::new("never/subscribed");
    unknown.pkid = 3;
    device.send(Packet::Unsubscribe(unknown)).await;
    assert!(matches!(device.next().await, Some(Packet::UnsubAck(_))), "no reason to end");
    device.quiet().await;
    assert_eq!(hub.ask("GET", "/twins/other", &[], None).await.body, before);
}

#[tokio::test]
async fn a_deleted_or_disabled_device_is_cut_and_stays_out() {
    let hub = hub().await;
    for (id, method, body) in [
        ("deleted", "DELETE", None),
        (
            "disabled",
            "PUT",
            Some(json!({"deviceId": "disabled", "status": "disabled", "authentication": {"symmetricKey": {
                "primaryKey": key().to_base64().expose(), "secondaryKey": key().to_base64().expose()
            }}})),
        ),
    ] {
        register(&hub, id).await;
        let mut device = Client::login(&hub, id).await;
        let answer = hub.ask(method, &format!("/devices/{id}"), &[("If-Match", "*")], body).await;
        assert!(answer.status < 300, "{answer:?}");
        device.closed().await;
        let mut again = Client::dial(&hub).await;
        assert_eq!(again.connect(connect(id, token(id))).await, Some(ConnectReturnCode::NotAuthorized), "{id}");
        again.closed().await;
    }
    eventually("it shows itself disconnected", async || connection_state(&hub, "disabled").await == "Disconnected")
        .await;
}

#[tokio::test]
async fn oversized_packets() {
    let hub = hub().await;
    register(&hub, "d").await;
    let mut device = Client::login(&hub, "d").await;
    // Told by its first bytes, so nobody waits for the rest.
    device.send_bytes(&[0x30, 0xff, 0xff, 0xff, 0x7f]).await;
    device.closed().await;
    let mut device = Client::login(&hub, "d").await;
    device.send(publish("devices/d/messages/events/", QoS::AtMostOnce, vec![0; 256 * 1024 + 1])).await;
    device.closed().await;
    let mut stranger = Client::dial(&hub).await;
    stranger.send_bytes(&[0x10, 0xff, 0xff, 0x7f]).await;
    stranger.closed().await;
}

#[tokio::test]
async fn no_word_before_connect_is_heard() {
    let hub = hub().await;
    for bytes in [
        b"GET / HTTP/1.1\r\nHost: localhost\r\nAccept: text/html,application/xhtml+xml,application/xml;q=0.9\r\n\r\n"
            .as_slice(),
        &[0; 64],
        &[0xff; 64],
        &[0xc0, 0],
        &[0x30, 5, 0, 3, b'a', b'/', b'b'],
        &[0x82, 6, 0, 1, 0, 1, b'#', 0],
        &[0xe0, 0],
        &[0x10, 0],
    ] {
        let mut stranger = Client::dial(&hub).await;
        stranger.send_bytes(bytes).await;
        stranger.closed().await;
    }
    let mut old = Client::dial(&hub).await;
    old.send_bytes(&[0x10, 14, 0, 6, b'M', b'Q', b'I', b's', b'd', b'p', 3, 2, 0, 60, 0, 0]).await;
    let Some(Packet::ConnAck(answer)) = old.next().await else { panic!("no answer") };
    assert_eq!(answer.code, ConnectReturnCode::RefusedProtocolVersion);
    old.closed().await;
}

/// What MQTT 3.1.1 wants the connection closed for, by the bytes and by a part of the log's reason.
const MALFORMED: [(&str, &[u8], &str); 16] = [
    ("flags of SUBSCRIBE", b"\x80\x06\0\x07\0\x01#\0", "reserved flags"),
    ("flags of UNSUBSCRIBE", b"\xa0\x05\0\x07\0\x01#", "reserved flags"),
    ("flags of PUBREL", b"\x60\x02\0\x07", "reserved flags"),
    ("flags of PINGREQ", b"\xc1\0", "reserved flags"),
    ("flags of DISCONNECT", b"\xe1\0", "reserved flags"),
    ("a packet without an id", b"\x82\x06\0\0\0\x01#\0", "identifier is 0"),
    ("a message without an id", b"\x32\x1e\0\x1adevices/d/messages/events/\0\0", "identifier is 0"),
    ("U+0000", b"\x30\x1c\0\x1adevices/d/messages/events\0", "U+0000"),
    ("ill-formed UTF-8", b"\x30\x1c\0\x1adevices/d/messages/events\xff", "not UTF-8"),
    ("a wildcard", b"\x30\x1c\0\x1adevices/d/messages/events#", "wildcard"),
    ("DUP at QoS 0", b"\x38\x1c\0\x1adevices/d/messages/events/", "duplicate"),
    ("no filter", b"\x82\x02\0\x07", "no topic filter"),
    ("a length of five bytes", b"\x30\x80\x80\x80\x80\x01", "four bytes"),
    ("bytes after the content", b"\xc0\x01x", "bytes follow"),
    ("a packet of servers", b"\xd0\0", "only servers"),
    ("a second CONNECT", b"\x10\x0d\0\x04MQTT\x04\x02\0\x3c\0\x01d", "second CONNECT"),
];

#[tokio::test]
async fn malformed_packets_end_a_connection_with_a_line() {
    let (hub, records) = observed().await;
    register(&hub, "d").await;
    let logged = async |what: &str, path: &str, status: u16, reason: &str| {
        eventually(what, async || {
            let records = records.lock().expect("a lock");
            let last = records.iter().rev().find(|record| record.method == "MQTT");
            last.is_some_and(|last| {
                let why = last.reason.as_deref().unwrap_or_default();
                last.path == path && last.status == status && why.contains(reason)
            })
        })
        .await;
    };
    for (what, bytes, reason) in MALFORMED {
        let mut device = Client::login(&hub, "d").await;
        device.send_bytes(bytes).await;
        device.closed().await;
        logged(what, "/devices/d/packet", 400, reason).await;
    }
    for (what, bytes, reason) in [
        ("the reserved flag", &b"\x10\x0d\0\x04MQTT\x04\x03\0\x3c\0\x01d"[..], "reserved flag"),
        ("a will's QoS without a will", b"\x10\x0d\0\x04MQTT\x04\x0a\0\x3c\0\x01d", "no will"),
        ("a password alone", b"\x10\x10\0\x04MQTT\x04\x42\0\x3c\0\x01d\0\x01p", "no user name"),
        ("U+0000 in the client id", b"\x10\x0d\0\x04MQTT\x04\x02\0\x3c\0\x01\0", "U+0000"),
        ("another protocol", b"\x10\x0d\0\x04HTTP\x04\x02\0\x3c\0\x01d", "protocol name"),
        ("HTTP", b"GET / HTTP/1.1\r\n", "what came first is no CONNECT"),
        ("another packet", b"\xc0\0", "it is another packet"),
    ] {
        let mut stranger = Client::dial(&hub).await;
        stranger.send_bytes(bytes).await;
        stranger.closed().await;
        logged(what, "/connect", 400, reason).await;
    }
    // One that goes in the middle has a line, and one that says nothing has one of TLS.
    let mut half = Client::dial(&hub).await;
    half.send_bytes(b"\x10\x0d\0\x04MQ").await;
    drop(half);
    logged("half a CONNECT", "/connect", 0, "in the middle of the CONNECT").await;
    let of_mqtt = || records.lock().expect("a lock").iter().filter(|record| record.method == "MQTT").count();
    let before = of_mqtt();
    drop(Client::dial(&hub).await);
    // A client id that can be nobody's, and a password that is no text, are answered.
    for (what, code, bytes) in [
        ("no client id", 2, &b"\x10\x0c\0\x04MQTT\x04\0\0\x3c\0\0"[..]),
        ("a password of bytes", 5, b"\x10\x13\0\x04MQTT\x04\xc2\0\x3c\0\x01d\0\x01u\0\x01\xff"),
    ] {
        let mut stranger = Client::dial(&hub).await;
        stranger.send_bytes(bytes).await;
        let Some(Packet::ConnAck(answer)) = stranger.next().await else { panic!("{what}") };
        assert_eq!(answer.code as u8, code, "{what}");
        stranger.closed().await;
    }
    assert_eq!(of_mqtt(), before + 2, "the two that were answered");
}

#[tokio::test]
async fn slow_loris() {
    let bench = Bench::new().await;
    tokio::time::pause();
    let mut hello = BytesMut::new();
    Packet::Connect(connect("d", token("d"))).write(&mut hello, 1 << 20).expect("a packet");
    let mut slow = bench.open(4096);
    let begun = tokio::time::Instant::now();
    for byte in hello.iter() {
        tokio::time::sleep(Duration::from_secs(1)).await;
        if slow.stream.write_all(&[*byte]).await.is_err() {
            break;
        }
    }
    assert!((19..=22).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());

    // Once connected, a packet may not take longer than the client may be silent.
    let mut slow = bench.open(4096);
    let mut hello = connect("d", token("d"));
    hello.keep_alive = 10;
    assert_eq!(slow.connect(hello).await, Some(ConnectReturnCode::Success));
    let begun = tokio::time::Instant::now();
    slow.send_bytes(&[0x30, 100]).await;
    while slow.stream.write_all(&[0]).await.is_ok() {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!((14..=17).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
}

/// A client that asks and does not read costs no more than what fits into its outbox, and is let go.
#[tokio::test]
async fn whoever_does_not_read_is_let_go() {
    let bench = Bench::new().await;
    let mut deaf = bench.open(1024);
    assert_eq!(deaf.connect(connect("d", token("d"))).await, Some(ConnectReturnCode::Success));
    tokio::time::pause();
    let begun = tokio::time::Instant::now();
    let ask = publish("$iothub/twin/GET/?$rid=1", QoS::AtMostOnce, "");
    let mut bytes = BytesMut::new();
    ask.write(&mut bytes, 1 << 20).expect("a packet");
    let mut asked = 0;
    while deaf.stream.write_all(&bytes).await.is_ok() {
        asked += 1;
    }
    assert!(asked < 10_000, "{asked} requests were taken from a client that reads nothing");
    assert_eq!(begun.elapsed().as_secs(), 30);
    assert_eq!(bench.connected(), 0);
}
