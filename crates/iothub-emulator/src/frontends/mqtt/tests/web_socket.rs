//! MQTT over WebSocket.

use futures_util::SinkExt;
use futures_util::StreamExt;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::Message;

use crate::frontends::mqtt::tests::*;
use crate::tests::raw_tls;

type Socket = tokio_tungstenite::WebSocketStream<tokio_rustls::client::TlsStream<TcpStream>>;

async fn open(hub: &Sandbox, query: &str, protocol: &str) -> (Socket, Option<String>) {
    let url = format!("{}{query}", hub.hub.websocket_url());
    let mut request = url.into_client_request().expect("a request");
    request.headers_mut().insert("Sec-WebSocket-Protocol", protocol.parse().expect("a value"));
    let (socket, answer) =
        tokio_tungstenite::client_async(request, raw_tls(&hub.hub).await).await.expect("a handshake");
    let chosen = answer.headers().get("Sec-WebSocket-Protocol").map(|value| value.to_str().expect("text").to_owned());
    (socket, chosen)
}

/// Returns the next packet out of frames cut anywhere.
async fn next(socket: &mut Socket, buffer: &mut BytesMut) -> Option<Packet> {
    loop {
        if let Ok(packet) = Packet::read(buffer, 1 << 20) {
            return Some(packet);
        }
        match tokio::time::timeout(PATIENCE, socket.next()).await.expect("something comes") {
            Some(Ok(Message::Binary(bytes))) => buffer.extend_from_slice(&bytes),
            None | Some(Ok(Message::Close(_)) | Err(_)) => return None,
            Some(Ok(other)) => panic!("not a binary frame: {other:?}"),
        }
    }
}

#[tokio::test]
async fn packets_are_a_stream_of_bytes_over_frames() {
    let hub = hub().await;
    register(&hub, "d").await;
    for (query, protocol) in [("", "mqtt"), ("?iothub-no-client-cert=true", "MQTT"), ("/", "Mqtt")] {
        let (mut socket, chosen) = open(&hub, query, protocol).await;
        assert_eq!(chosen.as_deref(), Some(protocol));
        let mut bytes = BytesMut::new();
        Packet::Connect(connect("d", token("d"))).write(&mut bytes, 1 << 20).expect("a packet");
        // A byte for each frame, as some clients nearly do.
        for byte in bytes.iter() {
            socket.feed(Message::Binary(vec![*byte].into())).await.expect("an open socket");
        }
        // And two packets in one.
        let mut both = BytesMut::new();
        Packet::Publish(Publish::new("$iothub/twin/GET/?$rid=1", QoS::AtMostOnce, " "))
            .write(&mut both, 99)
            .expect("one");
        Packet::PingReq.write(&mut both, 99).expect("another");
        socket.send(Message::Binary(both.freeze())).await.expect("an open socket");
        let mut buffer = BytesMut::new();
        assert!(
            matches!(next(&mut socket, &mut buffer).await, Some(Packet::ConnAck(answer)) if answer.session_present)
        );
        let Some(Packet::Publish(twin)) = next(&mut socket, &mut buffer).await else { panic!("no twin") };
        assert_eq!(twin.topic, "$iothub/twin/res/200/?$rid=1");
        assert_eq!(next(&mut socket, &mut buffer).await, Some(Packet::PingResp));
        assert_eq!(connection_state(&hub, "d").await, "Connected");
        drop(socket);
        eventually("it is gone", async || connection_state(&hub, "d").await == "Disconnected").await;
    }
}

/// Returns the status of the close frame with which the hub ends.
async fn farewell(socket: &mut Socket) -> Option<u16> {
    loop {
        match tokio::time::timeout(PATIENCE, socket.next()).await.expect("something comes") {
            Some(Ok(Message::Close(frame))) => return frame.map(|frame| frame.code.into()),
            Some(Ok(_)) => {}
            other => panic!("no close frame: {other:?}"),
        }
    }
}

#[tokio::test]
async fn close_frames_have_a_status() {
    let hub = hub().await;
    register(&hub, "d").await;
    let said = |packets: &[Packet]| {
        let mut bytes = BytesMut::new();
        for packet in packets {
            packet.write(&mut bytes, 1 << 20).expect("a packet");
        }
        Message::Binary(bytes.freeze())
    };
    let hello = || Packet::Connect(connect("d", token("d")));
    let stranger = || Packet::Publish(Publish::new("somewhere", QoS::AtMostOnce, ""));
    for (name, message, expected) in [
        ("DISCONNECT", said(&[hello(), Packet::Disconnect]), 1000),
        ("a refusal", said(&[Packet::Connect(connect("d", "no token"))]), 1000),
        ("a topic of somebody else's", said(&[hello(), stranger()]), 1008),
        ("no packet", Message::Binary(b"GET / HTTP/1.1\r\n\r\n".to_vec().into()), 1002),
        ("a text", Message::Text("hello".into()), 1003),
    ] {
        let (mut socket, _) = open(&hub, "", "mqtt").await;
        socket.send(message).await.expect("an open socket");
        if name == "no packet" {
            // It is the beginning of a long one of another kind.
            socket.send(Message::Binary(vec![0xff; 200].into())).await.expect("an open socket");
        }
        assert_eq!(farewell(&mut socket).await, Some(expected), "{name}");
    }
    let (mut socket, _) = open(&hub, "", "mqtt").await;
    socket.send(said(&[hello()])).await.expect("an open socket");
    assert!(next(&mut socket, &mut BytesMut::new()).await.is_some());
    let (stopped, farewell) = tokio::join!(hub.hub.stop(), farewell(&mut socket));
    assert_eq!(((), Some(1001)), (stopped, farewell));
}

/// Returns a frame of a client, masked with zeros.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match u8::try_from(payload.len()) {
        Ok(short @ ..126) => frame.push(0x80 | short),
        _ => {
            frame.push(0x80 | 127);
            frame.extend(u64::try_from(payload.len()).expect("a length").to_be_bytes());
        }
    }
    [&frame[..], &[0; 4], payload].concat()
}

/// Faults of frames end with the status that RFC 6455 has for them, and leave a line.
#[tokio::test]
async fn faults_of_frames() {
    let (hub, records) = observed().await;
    register(&hub, "d").await;
    let logged = || {
        let records = records.lock().expect("a lock");
        let of = records.iter().filter(|record| record.method == "MQTT" || record.method == "AMQP");
        of.map(|record| (record.method.clone(), record.path.clone(), record.status, record.reason.clone()))
            .collect::<Vec<_>>()
    };
    let faults = [
        ("no mask", vec![0x82, 1, 0], 1002),
        ("a reserved bit", frame(0xc2, b"x"), 1002),
        ("an unknown data frame", frame(0x83, b"x"), 1002),
        ("an unknown control frame", frame(0x8b, b"x"), 1002),
        ("a part of a control frame", frame(0x09, b"x"), 1002),
        ("a large control frame", frame(0x89, &[0; 126]), 1002),
        ("a continuation of nothing", frame(0x80, b"x"), 1002),
        ("a message within another", [frame(0x02, b""), frame(0x82, b"x")].concat(), 1002),
        ("half a status", frame(0x88, b"x"), 1002),
        ("a status that may not be sent", frame(0x88, &1005_u16.to_be_bytes()), 1002),
        ("a text", frame(0x81, b"x"), 1003),
        ("a text that is no UTF-8", frame(0x81, b"\xff"), 1007),
        ("a large message", frame(0x82, &vec![0x10; 600 * 1024]), 1009),
        (
            "a large message in parts",
            [frame(0x02, &vec![0; 300 * 1024]), frame(0x80, &vec![0; 300 * 1024])].concat(),
            1009,
        ),
    ];
    for (what, bytes, status) in faults {
        let code = if status == 1009 { 413 } else { 400 };
        for (protocol, method, path) in
            [("mqtt", "MQTT", "/connect"), ("AMQPWSB10", "AMQP", "/connect"), ("mqtt", "MQTT", "/devices/d/packet")]
        {
            let (mut socket, _) = open(&hub, "", protocol).await;
            if path != "/connect" {
                let mut hello = BytesMut::new();
                Packet::Connect(connect("d", token("d"))).write(&mut hello, 1 << 20).expect("a packet");
                socket.send(Message::Binary(hello.freeze())).await.expect("an open socket");
                assert!(next(&mut socket, &mut BytesMut::new()).await.is_some(), "it is let in");
            }
            let before = logged().len();
            let _ = socket.get_mut().write_all(&bytes).await;
            let _ = socket.get_mut().flush().await;
            assert_eq!(farewell(&mut socket).await, Some(status), "{what}, {method} {path}");
            eventually(what, async || logged().len() > before).await;
            let (at_method, at_path, at_status, reason) = logged().pop().expect("a line");
            assert_eq!((at_method.as_str(), at_path.as_str(), at_status), (method, path, code), "{what}: {reason:?}");
            assert!(reason.expect("one").contains(&format!("status {status}: ")), "{what}");
        }
    }
    // A connection that is lost is no fault.
    let before = logged().len();
    let (mut socket, _) = open(&hub, "", "mqtt").await;
    let mut hello = BytesMut::new();
    Packet::Connect(connect("d", token("d"))).write(&mut hello, 1 << 20).expect("a packet");
    socket.send(Message::Binary(hello.freeze())).await.expect("an open socket");
    assert!(next(&mut socket, &mut BytesMut::new()).await.is_some(), "it is let in");
    drop(socket);
    eventually("it is gone", async || connection_state(&hub, "d").await == "Disconnected").await;
    assert_eq!(logged().len(), before);
}

/// Java's client waits for the status after the AMQP close.
#[tokio::test]
async fn an_amqp_close_ends_with_a_status() {
    let hub = hub().await;
    let (mut socket, chosen) = open(&hub, "", "AMQPWSB10").await;
    assert_eq!(chosen.as_deref(), Some("AMQPWSB10"));
    let header = b"AMQP\x00\x01\x00\x00";
    // OPEN with a container's name and a host, and CLOSE.
    let open = b"\x00\x00\x00\x14\x02\x00\x00\x00\x00\x53\x10\xc0\x07\x02\xa1\x01c\xa1\x01h";
    let close = b"\x00\x00\x00\x0c\x02\x00\x00\x00\x00\x53\x18\x45";
    socket.send(Message::Binary([&header[..], open, close].concat().into())).await.expect("an open socket");
    assert_eq!(farewell(&mut socket).await, Some(1000));
}

/// Names of subprotocols count in any case, and one is answered as the client spelt it.
#[tokio::test]
async fn paths_and_subprotocols_as_clients_spell_them() {
    let hub = hub().await;
    for path in ["/$iothub/websocket", "/%24iothub/websocket", "/$iothub/websocket/", "/%24servicebus/websocket/"] {
        for (asked, expected) in [
            ("mqtt", Some("mqtt")),
            ("MqTT", Some("MqTT")),
            ("amqpwsb10", Some("amqpwsb10")),
            ("x, AMQPWSB10 ,mqtt", Some("AMQPWSB10")),
            ("mqttv5", None),
        ] {
            let mut stream = raw_tls(&hub.hub).await;
            let head = format!(
                "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: {asked}\r\n\r\n"
            );
            stream.write_all(head.as_bytes()).await.expect("an open stream");
            let mut answer = Vec::new();
            while !answer.ends_with(b"\r\n\r\n") {
                answer.push(stream.read_u8().await.expect("an answer"));
            }
            let answer = String::from_utf8(answer).expect("text");
            assert!(answer.starts_with("HTTP/1.1 101 "), "{path} {asked}: {answer}");
            let lines = answer.lines().filter_map(|line| line.split_once(": "));
            let chosen = lines.filter(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-protocol"));
            assert_eq!(chosen.map(|(_, value)| value).next(), expected, "{path} {asked}");
        }
    }
}

#[tokio::test]
async fn the_hub_stops_with_sockets_open() {
    let hub = hub().await;
    register(&hub, "d").await;
    let (mut socket, _) = open(&hub, "", "mqtt").await;
    let mut bytes = BytesMut::new();
    Packet::Connect(connect("d", token("d"))).write(&mut bytes, 1 << 20).expect("a packet");
    socket.send(Message::Binary(bytes.freeze())).await.expect("an open socket");
    assert!(next(&mut socket, &mut BytesMut::new()).await.is_some());
    let (idle, _) = open(&hub, "", "mqtt").await;
    // The folder is free at once, so nothing holds it any more.
    let hub = restart(hub).await;
    assert!(next(&mut socket, &mut BytesMut::new()).await.is_none());
    drop(idle);
    assert_eq!(connection_state(&hub, "d").await, "Disconnected");
}

#[tokio::test]
async fn what_is_no_web_socket_of_ours() {
    let hub = hub().await;
    let answer = crate::tests::client(&hub.hub)
        .get(hub.hub.websocket_url().replace("wss", "https"))
        .send()
        .await
        .expect("an answer");
    assert!(answer.status().is_client_error(), "{answer:?}");
    let (mut socket, _) = open(&hub, "", "mqtt").await;
    socket.send(Message::Text("hello".into())).await.expect("an open socket");
    assert_eq!(next(&mut socket, &mut BytesMut::new()).await, None);
    let (mut socket, _) = open(&hub, "", "mqtt").await;
    let _ = socket.send(Message::Binary(vec![0x10; 600 * 1024].into())).await;
    assert_eq!(next(&mut socket, &mut BytesMut::new()).await, None);
}
