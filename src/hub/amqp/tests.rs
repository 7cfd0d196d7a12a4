//! The service side as a client meets it that knows no better, or means no good; Microsoft's SDKs are the others.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use fe2o3_amqp_types::definitions::{Error, ErrorCondition, Role};
use fe2o3_amqp_types::messaging::{
    Accepted, AmqpValue, ApplicationProperties, Data, DeliveryState, MessageId, Modified, Properties, Rejected,
    Released, Source, Target, TargetArchetype,
};
use fe2o3_amqp_types::performatives::{Attach, Begin, Disposition, Flow, Open, Performative, Transfer};
use fe2o3_amqp_types::primitives::{OrderedMap, SimpleValue, Value};
use fe2o3_amqp_types::sasl::{SaslCode, SaslInit, SaslMechanisms, SaslOutcome};
use serde_amqp::primitives::{Binary, Symbol};

use super::frames::{Frame, Layer, NoFrame, Reader, encode, write, write_sasl};
use super::*;
use crate::hub::access::Policies;
use crate::hub::command::{Command, Entropy, Reply};
use crate::hub::messages::MessageCommand;
use crate::hub::mqtt::transport::{self, Sink};
use crate::hub::state::Hub;
use crate::hub::store::Committer;
use crate::hub::tests::NOW;
use crate::twin::{DeviceId, IfMatch};
use crate::wire::sas::{self, Key};

const HOST: &str = "hub.example";
const FEEDBACK: &str = "/messages/serviceBound/feedback";
const TO_DEVICES: &str = "/messages/devicebound";

/// A hub without listeners or disk, with the device `d`, and a clock that tests move.
struct Bench {
    live: Arc<Live>,
    front: Front,
    seconds: Arc<AtomicI64>,
    _stop: watch::Sender<bool>,
}

fn key() -> Key {
    Key::from_bytes([7; 32])
}

fn token(policy: &str, seconds: u64) -> String {
    token_for(HOST, policy, seconds)
}

fn token_for(resource: &str, policy: &str, seconds: u64) -> String {
    let expiry = u64::try_from(NOW.unix_timestamp()).expect("after 1970") + seconds;
    sas::sign(resource, &key(), expiry, Some(policy)).expose().to_owned()
}

impl Bench {
    async fn new() -> Self {
        let (committer, _) = Committer::without_disk();
        let seconds = Arc::new(AtomicI64::new(0));
        let clock = {
            let seconds = seconds.clone();
            Arc::new(move || NOW + time::Duration::seconds(seconds.load(Ordering::Relaxed)))
        };
        let live = Arc::new(Live::new(Hub::default(), committer, clock));
        let id: DeviceId = "d".parse().expect("an id");
        let (body, entropy) = (Box::default(), Entropy([1; 80]));
        live.handle(Command::PutDevice { id, body, if_match: IfMatch::Absent, entropy }).await.expect("a device");
        let access = Arc::new(Access::new(Policies::of_one_key(&key()), HOST, &[HOST.to_owned()], 443));
        let (stop, stopping) = watch::channel(false);
        let front = Front::new(live.clone(), access, stopping, mpsc::channel(1).0);
        Self { live, front, seconds, _stop: stop }
    }

    /// Opens a connection, of which nothing is said yet.
    fn dial(&self) -> Client {
        let (ours, theirs) = tokio::io::duplex(1 << 20);
        let (source, sink) = transport::stream(theirs);
        tokio::spawn(self.front.clone().serve(source, sink));
        let (source, sink) = transport::stream(ours);
        Client { reader: Reader::new(source), sink, delivery: 0 }
    }

    /// Opens a connection as far as a session.
    async fn open(&self) -> Client {
        let mut client = self.dial();
        client.say_bytes(&Layer::Amqp.header()).await;
        client.open().await;
        client
    }

    /// Opens one with the rights of the policy `service`.
    async fn service(&self) -> Client {
        let mut client = self.open().await;
        assert_eq!(client.put_token(&token("service", 3600)).await, 200);
        client
    }

    /// Lets there be feedback about so many messages.
    async fn feedback(&self, ids: &[&str]) {
        for id in ids {
            let others = vec![("iothub-ack".to_owned(), Some("full".to_owned()))];
            let message_id = Some((*id).to_owned());
            let properties = crate::wire::messages::MessageProperties { message_id, others, ..Default::default() };
            let message = Box::new(crate::hub::messages::MessageBody { properties, ..Default::default() });
            let send = MessageCommand::Send { to: "d".parse().expect("an id"), message };
            self.live.handle(Command::Message(send)).await.expect("there is room");
        }
        let purge = MessageCommand::Purge { device: "d".parse().expect("an id") };
        self.live.handle(Command::Message(purge)).await.expect("purged");
    }

    async fn waiting(&self) -> usize {
        let purge = MessageCommand::Purge { device: "d".parse().expect("an id") };
        match self.live.handle(Command::Message(purge)).await {
            Ok(Reply::Purged(count)) => count,
            other => panic!("{other:?}"),
        }
    }
}

struct Client {
    reader: Reader,
    sink: Sink,
    delivery: u32,
}

fn condition(error: &Error) -> String {
    match &error.condition {
        ErrorCondition::Custom(symbol) => symbol.as_str().to_owned(),
        other => serde_amqp::from_slice::<Symbol>(&encode(other)).expect("a symbol").into_inner(),
    }
}

impl Client {
    async fn say_bytes(&mut self, bytes: &[u8]) {
        // A hub that has closed meanwhile shows when one reads.
        let _ = self.sink.write(bytes.to_vec().into()).await;
    }

    async fn say(&mut self, performative: &impl serde::Serialize, payload: &[u8]) {
        let mut out = BytesMut::new();
        write(&mut out, 0, performative, payload);
        self.say_bytes(&out).await;
    }

    async fn next(&mut self) -> Option<Frame> {
        match tokio::time::timeout(Duration::from_secs(600), self.reader.frame()).await.expect("the hub says something")
        {
            Ok(frame) => Some(frame),
            Err(NoFrame::Ended) => None,
            Err(NoFrame::Garbage) => panic!("the hub sent no frame"),
        }
    }

    /// Returns the next frame that is neither a flow nor empty.
    async fn heard(&mut self) -> (Performative, bytes::Bytes) {
        loop {
            match self.next().await.expect("a frame") {
                Frame { performative: None | Some(Performative::Flow(_)), .. } => {}
                Frame { performative: Some(performative), payload, .. } => return (performative, payload),
            }
        }
    }

    /// Returns the condition with which the hub closes the connection.
    async fn closed(&mut self) -> String {
        loop {
            if let Some(Performative::Close(close)) = self.next().await.expect("a reason").performative {
                assert!(self.next().await.is_none());
                return condition(&close.error.expect("a reason"));
            }
        }
    }

    /// Sees that the hub ends the connection without a word.
    async fn ends(&mut self) {
        let next = self.next().await;
        assert!(next.is_none(), "{next:?}");
    }

    async fn open(&mut self) {
        assert_eq!(self.reader.layer().await, Ok(Some(Layer::Amqp)));
        let open = Open {
            container_id: "test".to_owned(),
            hostname: Some(HOST.to_owned()),
            max_frame_size: 512.into(),
            channel_max: 7.into(),
            idle_time_out: None,
            outgoing_locales: None,
            incoming_locales: None,
            offered_capabilities: None,
            desired_capabilities: None,
            properties: None,
        };
        self.say(&open, &[]).await;
        assert!(matches!(self.heard().await, (Performative::Open(_), _)));
        let begin = Begin {
            remote_channel: None,
            next_outgoing_id: 0,
            incoming_window: 1000,
            outgoing_window: 1000,
            handle_max: 100.into(),
            offered_capabilities: None,
            desired_capabilities: None,
            properties: None,
        };
        self.say(&begin, &[]).await;
        assert!(matches!(self.heard().await, (Performative::Begin(_), _)));
    }

    /// Attaches a link; the condition with which it is refused otherwise.
    async fn attach(&mut self, handle: u32, role: Role, address: &str) -> Result<(), String> {
        let attach = attach_of(handle, role.clone(), address);
        self.say(&attach, &[]).await;
        let (Performative::Attach(theirs), _) = self.heard().await else { panic!("an attach") };
        let ends = theirs.source.is_some();
        if ends && role == Role::Receiver {
            self.allow(handle, 0, 10).await;
        }
        if ends {
            return Ok(());
        }
        let (Performative::Detach(detach), _) = self.heard().await else { panic!("a detach") };
        Err(condition(&detach.error.expect("a reason")))
    }

    async fn allow(&mut self, handle: u32, count: u32, credit: u32) {
        let flow = Flow {
            next_incoming_id: Some(0),
            incoming_window: 1000,
            next_outgoing_id: 0,
            outgoing_window: 1000,
            handle: Some(handle.into()),
            delivery_count: Some(count),
            link_credit: Some(credit),
            available: None,
            drain: false,
            echo: false,
            properties: None,
        };
        self.say(&flow, &[]).await;
    }

    fn transfer(&mut self, handle: u32, more: bool) -> Transfer {
        Transfer {
            handle: handle.into(),
            delivery_id: Some(self.delivery),
            delivery_tag: Some(Binary::from(vec![1])),
            message_format: Some(0),
            settled: Some(false),
            more,
            rcv_settle_mode: None,
            state: None,
            resume: false,
            aborted: false,
            batchable: false,
        }
    }

    /// Sends a message and returns what becomes of it: the condition with which it is rejected, if it is.
    async fn send(&mut self, handle: u32, message: &[u8]) -> Option<String> {
        let transfer = self.transfer(handle, false);
        self.delivery += 1;
        self.say(&transfer, message).await;
        let (Performative::Disposition(outcome), _) = self.heard().await else { panic!("an outcome") };
        assert!(outcome.settled && outcome.role == Role::Receiver && outcome.first == self.delivery - 1);
        match outcome.state {
            Some(DeliveryState::Accepted(_)) => None,
            Some(DeliveryState::Rejected(Rejected { error })) => Some(condition(&error.expect("a reason"))),
            other => panic!("{other:?}"),
        }
    }

    /// Puts a token, and returns the status.
    async fn put_token(&mut self, token: &str) -> i32 {
        if self.delivery == 0 {
            self.attach(0, Role::Sender, "$cbs").await.expect("for everybody");
            self.attach(1, Role::Receiver, "$cbs").await.expect("for everybody");
        }
        let properties = Properties { message_id: Some(MessageId::Ulong(7)), ..Properties::new() };
        let mut application = OrderedMap::new();
        application.insert("operation".to_owned(), SimpleValue::String("put-token".to_owned()));
        let body = AmqpValue(Value::String(token.to_owned()));
        let parts = [encode(&properties), encode(&ApplicationProperties(application)), encode(&body)];
        let transfer = self.transfer(0, false);
        self.delivery += 1;
        self.say(&transfer, &parts.concat()).await;
        let (Performative::Transfer(_), answer) = self.heard().await else { panic!("an answer") };
        let (Performative::Disposition(_), _) = self.heard().await else { panic!("an outcome") };
        let answer = message::Received::read(&answer).expect("a message");
        let Some(SimpleValue::Int(status)) = answer.property("status-code") else { panic!("a status: {answer:?}") };
        *status
    }

    /// Returns the next feedback's delivery and the ids of the messages that it is about.
    async fn feedback(&mut self) -> (u32, Vec<String>) {
        let mut body = BytesMut::new();
        let mut delivery = None;
        loop {
            let (Performative::Transfer(transfer), part) = self.heard().await else { panic!("feedback") };
            delivery = delivery.or(transfer.delivery_id);
            body.extend_from_slice(&part);
            if !transfer.more {
                break;
            }
        }
        let message = message::Received::read(&body).expect("a message");
        let body: serde_json::Value = serde_json::from_str(message.payload().expect("text")).expect("JSON");
        let ids = body.as_array().expect("an array").iter();
        let ids = ids.map(|it| it["originalMessageId"].as_str().expect("an id").to_owned()).collect();
        (delivery.expect("a number"), ids)
    }

    async fn settle(&mut self, delivery: u32, state: DeliveryState) {
        let state = Some(state);
        let disposition =
            Disposition { role: Role::Receiver, first: delivery, last: None, settled: true, state, batchable: false };
        self.say(&disposition, &[]).await;
    }
}

fn message_to(to: &str, body: &[u8]) -> Vec<u8> {
    let properties = Properties { to: Some(to.into()), ..Properties::new() };
    [encode(&properties), encode(&Data(Binary::from(body)))].concat()
}

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
        ("expired", token("service", 0), 401),
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
    bench.seconds.store(3600, Ordering::Relaxed);
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
        ("a channel that there is not", 8, &begin() as &dyn Fn(&mut BytesMut, u16), "amqp:not-allowed"),
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
    for _ in 0..6 {
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

fn detach_of(handle: u32) -> fe2o3_amqp_types::performatives::Detach {
    fe2o3_amqp_types::performatives::Detach { handle: handle.into(), closed: true, error: None }
}

fn attach_of(handle: u32, role: Role, address: &str) -> Attach {
    Attach {
        name: format!("{handle}"),
        handle: handle.into(),
        role: role.clone(),
        snd_settle_mode: Default::default(),
        rcv_settle_mode: Default::default(),
        source: Some(Box::new(Source::builder().address(address).build())),
        target: Some(Box::new(TargetArchetype::Target(Target::builder().address(address).build()))),
        unsettled: None,
        incomplete_unsettled: false,
        initial_delivery_count: (role == Role::Sender).then_some(0),
        max_message_size: None,
        offered_capabilities: None,
        desired_capabilities: None,
        properties: None,
    }
}
