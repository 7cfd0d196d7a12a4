//! Links, who may have one, and what goes over them.

use crate::frontends::amqp::tests::*;

#[tokio::test]
async fn links_and_their_rights() {
    let bench = Bench::new().await;
    let unauthorized = || Err("amqp:unauthorized-access".to_owned());
    let mut client = bench.open().await;
    assert_eq!(client.attach(5, Role::Sender, TO_DEVICES).await, unauthorized(), "no token");
    for (what, token, status) in [
        ("no token", "hello".to_owned(), 401),
        ("another policy", token("device", 3600), 401),
        ("no policy", token("nobody", 3600), 401),
        ("another hub", token_for("other.example", "service", 3600), 401),
        ("expired within the grace", token_until(-299), 200),
        ("expired", token_until(-300), 401),
        (
            "wrong key",
            sas::sign(HOST, &Key::from_bytes([1; 32]), 4_000_000_000, Some("service")).expose().to_owned(),
            401,
        ),
        ("for one of both", token_for(&format!("{HOST}{FEEDBACK}"), "service", 3600), 200),
    ] {
        assert_eq!(client.put_token(&token).await, status, "{what}");
    }
    assert_eq!(client.attach(6, Role::Sender, TO_DEVICES).await, unauthorized(), "the token is for feedback");
    assert_eq!(client.attach(7, Role::Receiver, FEEDBACK).await, Ok(()));
    let none = || Err("amqp:not-implemented".to_owned());
    for (handle, address, sentence) in [
        (20, "/devices/d/messages/devicebound", "the embedded hub has no devices over AMQP"),
        (21, "/messages/events/ConsumerGroups/$Default/Partitions/0", "the embedded hub has no events endpoint"),
        (22, "/messages/serviceBound/filenotifications", "the embedded hub has no file upload"),
    ] {
        let text = client.attach_refusal(handle, Role::Receiver, address).await;
        assert!(text.starts_with(sentence), "{address}: {text}");
    }
    for (handle, address) in
        [(8, "/messages/events"), (9, "/devices/d/messages/devicebound"), (10, TO_DEVICES), (11, "")]
    {
        assert_eq!(client.attach(handle, Role::Receiver, address).await, none(), "{address}");
    }
    assert_eq!(client.attach(12, Role::Sender, FEEDBACK).await, none());
    let mut others = bench.service().await;
    assert_eq!(others.attach(5, Role::Sender, TO_DEVICES).await, Ok(()));
}

#[tokio::test]
async fn basic_has_no_messages_to_devices() {
    let records = Arc::new(std::sync::Mutex::new(Vec::new()));
    let kept = records.clone();
    let observer = crate::request_log::RequestObserver::new(move |record: &crate::RequestRecord| {
        kept.lock().expect("a lock").push((record.status, record.error_code.clone()));
    });
    let of = |tier| Some(crate::Limits::new(tier, 1).expect("one unit"));
    let admission = Arc::new(Admission::new(of(crate::Tier::B1)));
    let mut bench = Bench::new().await.observed_by(observer);
    bench.front = bench.front.limited_by(admission.clone());
    let mut client = bench.service().await;
    let refused = || Err("amqp:not-allowed".to_owned());
    assert_eq!(client.attach(5, Role::Sender, TO_DEVICES).await, refused());
    let text = client.attach_refusal(6, Role::Receiver, FEEDBACK).await;
    assert!(text.starts_with("ErrorCode:OperationNotAvailableInCurrentTier;the tier B1 does not"), "{text}");
    let expected = (403, Some("OperationNotAvailableInCurrentTier".to_owned()));
    assert_eq!(*records.lock().expect("a lock"), [expected.clone(), expected]);
    admission.set(of(crate::Tier::S1));
    assert_eq!(client.attach(7, Role::Sender, TO_DEVICES).await, Ok(()));
}

/// Devices are told what they look for, and so is the log.
#[tokio::test]
async fn devices_are_told_that_they_are_not_there() {
    let records = Arc::new(std::sync::Mutex::new(Vec::new()));
    let kept = records.clone();
    let observer = crate::request_log::RequestObserver::new(move |record: &crate::RequestRecord| {
        kept.lock().expect("a lock").push((
            record.path.clone(),
            record.status,
            record.reason.clone().unwrap_or_default(),
        ));
    });
    let bench = Bench::new().await.observed_by(observer);
    let mut client = bench.open().await;
    let sentence = "the embedded hub has no devices over AMQP";
    let expiry = u64::try_from(NOW.unix_timestamp()).expect("after 1970") + 3600;
    let resource = format!("{HOST}/devices/d");
    for (what, policy, resource) in
        [("its key", None, resource.as_str()), ("a policy's", Some("device"), &resource), ("for the hub", None, HOST)]
    {
        let token = sas::sign(resource, &key(), expiry, policy).expose().to_owned();
        let (status, text) = client.put_token_and_hear(&token).await;
        assert_eq!(status, 401, "{what}");
        assert!(text.contains(sentence), "{what}: {text}");
        let (path, status, reason) = records.lock().expect("a lock").pop().expect("a line");
        assert_eq!((path.as_str(), status), ("/$cbs", 401), "{what}");
        assert!(reason.starts_with(sentence), "{what}: {reason}");
    }
    // A policy that opens devices alone, for the hub: the right that it lacks is not what is wrong.
    let token = token("device", 3600);
    let (status, text) = client.put_token_and_hear(&token).await;
    assert_eq!(status, 401);
    assert!(text.contains("the policy `device` opens devices alone") && text.contains(sentence), "{text}");
    let _ = records.lock().expect("a lock").pop();
    let mut plain = bench.dial();
    assert_eq!(plain.plain(&format!("\0device@sas.root.hub\0{token}")).await, SaslCode::Auth);
    let (path, status, reason) = records.lock().expect("a lock").pop().expect("a line");
    assert_eq!((path.as_str(), status), ("/connect", 401));
    assert!(reason.contains("the policy `device` opens devices alone") && reason.contains(sentence), "{reason}");
    // Whoever did not sign with the policy's key learns nothing of it, and another policy lacks a right.
    for (user, key, expected) in [
        ("device", Key::from_bytes([9; 32]), "the token is not signed by a key of the policy `device`"),
        ("registryRead", key(), "the policy `registryRead` has no right ServiceConnect"),
    ] {
        let token = sas::sign(HOST, &key, expiry, Some(user)).expose().to_owned();
        let mut plain = bench.dial();
        assert_eq!(plain.plain(&format!("\0{user}@sas.root.hub\0{token}")).await, SaslCode::Auth);
        let (_, _, reason) = records.lock().expect("a lock").pop().expect("a line");
        assert!(reason.starts_with(expected), "{user}: {reason}");
    }
    let text = client.attach_refusal(5, Role::Sender, "amqps://hub.example/devices/d/messages/events").await;
    assert!(text.starts_with(sentence), "{text}");
    let (path, status, reason) = records.lock().expect("a lock").pop().expect("a line");
    let sent = bench.service().await;
    let mut sender = sent;
    sender.attach(5, Role::Sender, TO_DEVICES).await.expect("a link");
    for (to, at, expected, text) in [
        ("/devices/ghost/messages/devicebound", "/devices/ghost/messages/devicebound", 404, "amqp:not-found: "),
        ("/elsewhere", "/elsewhere", 400, "com.microsoft:argument-error: a message is to"),
    ] {
        assert!(sender.send(5, &message_to(to, b"x")).await.is_some(), "{to}");
        let (path, status, reason) = records.lock().expect("a lock").pop().expect("a line");
        assert_eq!((path.as_str(), status), (at, expected), "{to}");
        assert!(reason.starts_with(text) && !reason.contains("ErrorCode:"), "{reason}");
    }
    assert_eq!((path.as_str(), status), ("/amqps://hub.example/devices/d/messages/events", 400));
    assert!(reason.contains(sentence), "{reason}");
}

#[tokio::test]
async fn tokens_as_passwords() {
    for (what, mechanism, response, code, sends) in [
        ("a token", "PLAIN", format!("\0service@sas.root.hub\0{}", token("service", 3600)), SaslCode::Ok, true),
        (
            "another policy's",
            "PLAIN",
            format!("\0device@sas.root.hub\0{}", token("device", 3600)),
            SaslCode::Auth,
            false,
        ),
        ("no password", "PLAIN", "\0service".to_owned(), SaslCode::Auth, false),
        ("no user", "PLAIN", format!("\0\0{}", token("service", 3600)), SaslCode::Auth, false),
        ("too many", "PLAIN", format!("\0service\0{}\0", token("service", 3600)), SaslCode::Auth, false),
        ("nobody", "ANONYMOUS", String::new(), SaslCode::Ok, false),
        ("another way", "EXTERNAL", String::new(), SaslCode::Auth, false),
    ] {
        let bench = Bench::new().await;
        let mut client = bench.dial();
        client.say_bytes(&Layer::Sasl.header()).await;
        assert_eq!(client.reader.layer().await, Ok(Some(Layer::Sasl)));
        let offered: SaslMechanisms = client.reader.sasl().await.expect("mechanisms");
        assert_eq!(offered.sasl_server_mechanisms.len(), 3);
        let response = Some(Binary::from(response.into_bytes()));
        let init = SaslInit { mechanism: Symbol::from(mechanism), initial_response: response, hostname: None };
        let mut out = BytesMut::new();
        write_sasl(&mut out, &init);
        client.say_bytes(&out).await;
        let outcome: SaslOutcome = client.reader.sasl().await.expect("an outcome");
        assert_eq!(outcome.code, code, "{what}");
        if code != SaslCode::Ok {
            client.ends().await;
            continue;
        }
        client.say_bytes(&Layer::Amqp.header()).await;
        client.open().await;
        assert_eq!(client.attach(0, Role::Sender, TO_DEVICES).await.is_ok(), sends, "{what}");
    }
}

#[tokio::test]
async fn messages_and_what_becomes_of_them() {
    let bench = Bench::new().await;
    let mut client = bench.service().await;
    client.attach(5, Role::Sender, TO_DEVICES).await.expect("allowed");
    let refused = |condition: &str| Some(condition.to_owned());
    for (what, message, outcome) in [
        ("to the device", message_to("/devices/d/messages/devicebound", b"hello"), None),
        ("to nobody", message_to("/devices/x/messages/devicebound", b"hello"), refused("amqp:not-found")),
        ("to a module", message_to("/devices/d/modules/m/messages/devicebound", b""), refused("amqp:not-implemented")),
        ("to somewhere", message_to("/somewhere", b""), refused("com.microsoft:argument-error")),
        ("to nowhere", encode(&Data(Binary::from(b"hello".to_vec()))), refused("com.microsoft:argument-error")),
        (
            "too large",
            message_to("/devices/d/messages/devicebound", &[b'x'; 65_537]),
            refused("amqp:link:message-size-exceeded"),
        ),
        ("no message", vec![1, 2, 3], refused("amqp:decode-error")),
        ("a deep one", vec![0; 3000], refused("amqp:decode-error")),
        ("nothing", Vec::new(), refused("com.microsoft:argument-error")),
    ] {
        // A frame holds less than the largest of them.
        let mut parts = message.chunks(60_000).peekable();
        while let Some(part) = parts.next() {
            if parts.peek().is_some() {
                let transfer = client.transfer(5, true);
                client.say(&transfer, part).await;
            } else {
                assert_eq!(client.send(5, part).await, outcome, "{what}");
            }
        }
        if message.is_empty() {
            assert_eq!(client.send(5, &[]).await, outcome, "{what}");
        }
    }
    assert_eq!(bench.waiting().await, 1);
    // More than is allowed at once is allowed one after the other.
    for _ in 0..300 {
        client.send(5, &message_to("/devices/x/messages/devicebound", b"")).await.expect("refused");
    }
    bench.seconds.store(3600 + 299, Ordering::Relaxed);
    assert_eq!(client.send(5, &message_to("/devices/x/messages/devicebound", b"")).await, refused("amqp:not-found"));
    bench.seconds.store(3600 + 300, Ordering::Relaxed);
    assert_eq!(client.closed().await, "amqp:unauthorized-access", "the token is over");
}

#[tokio::test]
async fn feedback_and_what_is_said_of_it() {
    let bench = Bench::new().await;
    let mut client = bench.service().await;
    client.attach(5, Role::Receiver, FEEDBACK).await.expect("allowed");
    let mut due = 0;
    let mut later = || {
        due += 15;
        bench.seconds.store(due, Ordering::Relaxed);
    };
    bench.feedback(&["a", "b"]).await;
    let ids = vec!["a".to_owned(), "b".to_owned()];
    // In frames of 512 bytes it takes several.
    let (delivery, told) = client.feedback().await;
    assert_eq!(told, ids);
    client.settle(delivery, DeliveryState::Released(Released {})).await;
    later();
    let (delivery, told) = client.feedback().await;
    assert_eq!(told, ids, "it was given back");
    let modified = Modified { delivery_failed: Some(true), undeliverable_here: None, message_annotations: None };
    client.settle(delivery, DeliveryState::Modified(modified)).await;
    later();
    let (delivery, told) = client.feedback().await;
    assert_eq!(told, ids, "it was given back");
    client.settle(delivery, DeliveryState::Accepted(Accepted {})).await;
    bench.feedback(&["c"]).await;
    later();
    let (_, told) = client.feedback().await;
    assert_eq!(told, ["c"], "what was taken is gone");
    // What a client had in its hands when it went is another's.
    drop(client);
    let mut client = bench.service().await;
    client.attach(5, Role::Receiver, FEEDBACK).await.expect("allowed");
    later();
    let (delivery, told) = client.feedback().await;
    assert_eq!(told, ["c"]);
    client.settle(delivery, DeliveryState::Rejected(Rejected { error: None })).await;
    bench.feedback(&["d"]).await;
    later();
    assert_eq!(client.feedback().await.1, ["d"], "what was rejected is gone");
}
