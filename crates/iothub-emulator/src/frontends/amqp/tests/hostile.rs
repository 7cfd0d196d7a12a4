//! Clients that mean no good, or are no clients.

use crate::frontends::amqp::tests::*;

#[tokio::test]
async fn silence_ends_a_connection() {
    let bench = Bench::new().await;
    tokio::time::pause();
    let begun = tokio::time::Instant::now();
    for said in [&b""[..], b"AMQP", b"AMQP\x00\x01\x00\x00", b"AMQP\x00\x01\x00\x00\x00\x00\x00\x09\x02\x00\x00\x00"] {
        let mut client = bench.dial();
        client.say_bytes(said).await;
        if said.len() >= 8 {
            assert_eq!(client.reader.layer().await, Ok(Some(Layer::Amqp)));
        }
        client.ends().await;
    }
    assert_eq!(begun.elapsed().as_secs(), 80, "twenty each");
    let mut client = bench.open().await;
    assert_eq!(client.closed().await, "amqp:unauthorized-access");
    assert!((19..=21).contains(&(begun.elapsed().as_secs() - 80)), "no token came");
    let mut client = bench.open().await;
    assert_eq!(client.put_token(&token("service", 100_000)).await, 200);
    let begun = tokio::time::Instant::now();
    assert_eq!(client.closed().await, "amqp:resource-limit-exceeded");
    assert!((480..=481).contains(&begun.elapsed().as_secs()));
}

#[tokio::test]
async fn sessions_and_parts_without_end() {
    let bench = Bench::new().await;
    let mut client = bench.open().await;
    for channel in 1..=64 {
        let mut out = BytesMut::new();
        begin()(&mut out, channel * 100);
        client.say_bytes(&out).await;
    }
    assert_eq!(client.closed().await, "amqp:resource-limit-exceeded", "sessions");
    let mut client = bench.service().await;
    for handle in 5..12 {
        client.attach(handle, Role::Sender, TO_DEVICES).await.expect("allowed");
    }
    for handle in 5..12 {
        for _ in 0..16 {
            let transfer = client.transfer(handle, true);
            client.say(&transfer, &[0; 60_000]).await;
        }
    }
    assert_eq!(client.closed().await, "amqp:resource-limit-exceeded", "parts of messages");
}

#[tokio::test]
async fn what_is_no_amqp() {
    let bench = Bench::new().await;
    for said in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00"] {
        let mut client = bench.dial();
        client.say_bytes(said).await;
        client.ends().await;
    }
    // Who asks for what there is not is told what there is.
    let mut client = bench.dial();
    client.say_bytes(b"AMQP\x00\x00\x09\x01").await;
    assert_eq!(client.reader.layer().await, Ok(Some(Layer::Amqp)));
    client.ends().await;
    for (what, said, reason) in [
        ("an endless frame", vec![0xff; 8], "amqp:connection:framing-error"),
        ("a short frame", vec![0, 0, 0, 1, 2, 0, 0, 0], "amqp:connection:framing-error"),
        ("another kind of frame", vec![0, 0, 0, 8, 2, 1, 0, 0], "amqp:connection:framing-error"),
        ("no performative", vec![0, 0, 0, 9, 2, 0, 0, 0, 0x40], "amqp:connection:framing-error"),
        ("a deep one", [&[0, 0, 0x20, 0, 2, 0, 0, 0][..], &[0; 0x1ff8]].concat(), "amqp:connection:framing-error"),
    ] {
        let mut client = bench.open().await;
        client.say_bytes(&said).await;
        assert_eq!(client.closed().await, reason, "{what}");
    }
    for (what, channel, said, reason) in [
        ("a channel that there is not", 8192, &begin() as &dyn Fn(&mut BytesMut, u16), "amqp:not-allowed"),
        ("a session that is there", 0, &begin(), "amqp:illegal-state"),
        ("a link that is not there", 0, &transfer(), "amqp:not-allowed"),
        ("a session that is not there", 3, &transfer(), "amqp:illegal-state"),
    ] {
        let mut client = bench.open().await;
        let mut out = BytesMut::new();
        said(&mut out, channel);
        client.say_bytes(&out).await;
        assert_eq!(client.closed().await, reason, "{what}");
    }
}

/// What goes wrong before the OPEN leaves a line, but for a client that says nothing and goes.
#[tokio::test]
async fn before_the_open() {
    let (observer, records) = crate::tests::recorder();
    let bench = Bench::new().await.observed_by(crate::request_log::RequestObserver::new(observer));
    tokio::time::pause();
    let line = async || {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let record = records.lock().expect("a lock").pop()?;
        assert_eq!((record.method.as_str(), record.path.as_str()), ("AMQP", "/connect"));
        Some((record.status, record.reason.expect("a reason")))
    };
    let sasl = Layer::Sasl.header();
    let amqp = Layer::Amqp.header();
    for (what, said, reason) in [
        ("another protocol", b"GET / HTTP/1.1\r\n".to_vec(), "no protocol header"),
        ("another version", b"AMQP\x00\x00\x09\x01".to_vec(), "another version or layer"),
        ("SASL and nonsense", [&sasl[..], b"nonsense and more"].concat(), "64 KiB"),
        ("SASL and a frame of AMQP", [&sasl[..], &[0, 0, 0, 8, 2, 0, 0, 0]].concat(), "another type"),
        ("SASL and no SASL-INIT", [&sasl[..], &[0, 0, 0, 9, 2, 1, 0, 0, 0x40]].concat(), "no body that may stand here"),
        ("an endless frame", [&amqp[..], &[0xff; 8]].concat(), "64 KiB"),
        ("a frame without a performative", [&amqp[..], &[0, 0, 0, 9, 2, 0, 0, 0, 0x40]].concat(), "no body"),
        ("no OPEN", [&amqp[..], &[0, 0, 0, 8, 2, 0, 0, 0]].concat(), "the first frame is no OPEN"),
    ] {
        let mut client = bench.dial();
        client.say_bytes(&said).await;
        while client.reader.read_on().await {}
        let (status, why) = line().await.expect(what);
        assert!(status == 400 && why.contains(reason), "{what}: {status} {why}");
    }
    for said in [b"AMQP".to_vec(), amqp.to_vec(), sasl.to_vec(), [&amqp[..], &[0, 0, 0, 90, 2]].concat()] {
        let mut client = bench.dial();
        client.say_bytes(&said).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        drop(client);
        let (status, why) = line().await.expect("a line");
        assert_eq!((status, why.as_str()), (0, "the connection ended before the client's OPEN"));
        let mut client = bench.dial();
        client.say_bytes(&said).await;
        while client.reader.read_on().await {}
        assert_eq!(line().await.expect("a line"), (0, "the client sent no OPEN in time".to_owned()));
    }
    drop(bench.dial());
    assert_eq!(line().await, None, "a port scan");
}

fn begin() -> impl Fn(&mut BytesMut, u16) {
    |out, channel| {
        let begin = Begin {
            remote_channel: None,
            next_outgoing_id: 0,
            incoming_window: 1,
            outgoing_window: 1,
            handle_max: 1.into(),
            offered_capabilities: None,
            desired_capabilities: None,
            properties: None,
        };
        write(out, channel, &begin, &[]);
    }
}

fn transfer() -> impl Fn(&mut BytesMut, u16) {
    |out, channel| {
        let transfer = Transfer {
            handle: 3.into(),
            delivery_id: Some(0),
            delivery_tag: None,
            message_format: None,
            settled: None,
            more: false,
            rcv_settle_mode: None,
            state: None,
            resume: false,
            aborted: false,
            batchable: false,
        };
        write(out, channel, &transfer, &[]);
    }
}

#[tokio::test]
async fn a_client_that_goes_too_far() {
    let bench = Bench::new().await;
    let mut client = bench.service().await;
    client.attach(5, Role::Sender, TO_DEVICES).await.expect("allowed");
    // A message without end costs its link.
    for _ in 0..18 {
        let transfer = client.transfer(5, true);
        client.say(&transfer, &[0; 60_000]).await;
    }
    let (Performative::Detach(detach), _) = client.heard().await else { panic!("a detach") };
    assert_eq!(condition(&detach.error.expect("a reason")), "amqp:link:message-size-exceeded");
    // What else comes for it is passed over, and so is the client's consent.
    let transfer = client.transfer(5, false);
    client.say(&transfer, &[0; 100]).await;
    client.say(&detach_of(5), &[]).await;
    // Links without end cost the connection.
    for handle in 10..24 {
        client.attach(handle, Role::Sender, TO_DEVICES).await.expect("allowed");
    }
    let mut out = BytesMut::new();
    write(&mut out, 0, &attach_of(24, Role::Sender, TO_DEVICES), &[]);
    client.say_bytes(&out).await;
    assert_eq!(client.closed().await, "amqp:resource-limit-exceeded");
}
