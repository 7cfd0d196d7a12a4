//! The rules of messages from the cloud, asked of the pure machine.

use serde_json::Value;
use serde_json::json;
use time::Duration;
use time::OffsetDateTime;
use time::macros::datetime;

use crate::core::ask::{Ask, Outcome};
use crate::core::command::{Entropy, Notice, Refusal};
use crate::core::messages::{Feedback, MessageBody, Settlement, feedback_body};
use crate::core::record::Record;
use crate::core::requests::deliveries::{CompleteMessage, ReceiveMessage, SettleMessage, TakeMessages};
use crate::core::requests::devices::{DeleteDevice, GetDevice, PutDevice};
use crate::core::requests::messages::{PurgeMessages, SendMessage, SettleFeedback, SweepMessages, Swept, TakeFeedback};
use crate::core::requests::sessions::{Connect, Disconnect};
use crate::core::session::Proof;
use crate::core::state::Hub;
use crate::store::{Table, encode};
use iothub_model::twin::IfMatch;
use iothub_model::twin::TwinId;
use iothub_model::wire::ErrorCode;
use iothub_model::wire::messages::MessageProperties;

const NOW: OffsetDateTime = datetime!(2026-11-24 10:00:00 UTC);

/// A hub with one device, a clock, and what a disk would have of it.
struct Bench {
    hub: Hub,
    now: OffsetDateTime,
    disk: std::collections::BTreeMap<(Table, u64), Vec<u8>>,
}

fn id() -> TwinId {
    "d".parse().expect("an id")
}

impl Bench {
    fn new() -> Self {
        let mut bench = Self { hub: Hub::default(), now: NOW, disk: Default::default() };
        bench.create();
        bench
    }

    fn create(&mut self) {
        let (body, entropy) = (Box::default(), Entropy([7; 80]));
        self.ask(PutDevice { id: id().device, body, if_match: IfMatch::Absent, entropy }).reply.expect("new");
    }

    fn ask<A: Ask>(&mut self, ask: A) -> Outcome<A::Reply> {
        let outcome = self.hub.handle(ask, self.now);
        for record in outcome.change.iter().flat_map(|change| &change.records) {
            match encode(record) {
                Some(bytes) => self.disk.insert(Table::of(record), bytes),
                None => self.disk.remove(&Table::of(record)),
            };
        }
        outcome
    }

    /// Takes up where the disk is, as after a crash.
    fn restart(&mut self) {
        let records = self.disk.iter().map(|((table, key), bytes)| table.decode(*key, bytes).expect("a record"));
        let records: Vec<Record> = records.collect();
        self.hub = Hub::restore(records, 0);
    }

    fn send(&mut self, message: MessageBody) -> Result<(), ErrorCode> {
        let send = SendMessage { to: id(), message: Box::new(message) };
        self.ask(send).reply.map(|_| ()).map_err(|refusal| refusal.code)
    }

    fn connect(&mut self, connection: u64) {
        let connect = Connect { id: id(), connection, proof: Proof::Policy, clean: false, model: None };
        self.ask(connect).reply.expect("admitted");
    }

    fn take(&mut self, connection: u64, at_most_once: bool) -> Vec<(u64, String)> {
        let messages = self.ask(TakeMessages { id: id(), connection, at_most_once }).reply.expect("messages");
        messages.iter().map(|it| (it.sequence, String::from_utf8(it.payload.to_vec()).expect("text"))).collect()
    }

    fn payloads(&mut self, connection: u64) -> Vec<String> {
        self.take(connection, false).into_iter().map(|(_, payload)| payload).collect()
    }

    fn complete(&mut self, connection: u64, message: u64) -> Result<(), Refusal> {
        let complete = CompleteMessage { id: id(), connection, message };
        self.ask(complete).reply.map(|_| ())
    }

    fn purge(&mut self) -> usize {
        self.ask(PurgeMessages { device: id().device }).reply.expect("a count")
    }

    fn sweep(&mut self) -> Outcome<Swept> {
        self.ask(SweepMessages)
    }

    fn feedback(&mut self, receiver: u64) -> Vec<std::sync::Arc<Feedback>> {
        self.ask(TakeFeedback { receiver }).reply.expect("feedback")
    }

    /// What a receiver is told, of each message its id and what became of it. It is due again after that.
    fn told(&mut self) -> Vec<Value> {
        self.now += Duration::seconds(15);
        let batch = self.feedback(1);
        let body: Value = serde_json::from_str(&feedback_body(&batch)).expect("JSON");
        self.settle(1, &batch, Settlement::Complete);
        let entries = body.as_array().expect("an array").iter();
        entries.map(|entry| json!([entry["originalMessageId"], entry["statusCode"]])).collect()
    }

    fn settle(&mut self, receiver: u64, batch: &[std::sync::Arc<Feedback>], how: Settlement) {
        let outcomes = batch.iter().map(|it| it.sequence).collect();
        let settle = SettleFeedback { receiver, outcomes, how };
        self.ask(settle).reply.expect("taken");
    }

    /// How many messages the device shows, in its identity and in its twin alike.
    fn shown(&mut self) -> u64 {
        let device = self.ask(GetDevice { id: id().device }).reply.expect("a device");
        let [identity, twin] = [&device.identity, &device.twin].map(|document| {
            let document: Value = serde_json::from_str(document.as_str()).expect("JSON");
            document["cloudToDeviceMessageCount"].as_u64().expect("a count")
        });
        assert_eq!(identity, twin);
        identity
    }
}

fn message(text: &str) -> MessageBody {
    MessageBody { payload: text.as_bytes().to_vec().into(), ..MessageBody::default() }
}

fn acked(text: &str, ack: &str) -> MessageBody {
    let others = vec![("iothub-ack".to_owned(), Some(ack.to_owned()))];
    let properties = MessageProperties { message_id: Some(text.to_owned()), others, ..MessageProperties::default() };
    MessageBody { properties, ..message(text) }
}

fn until(text: &str, at: OffsetDateTime) -> MessageBody {
    MessageBody { expires: Some(at.unix_timestamp() * 1000), ..acked(text, "full") }
}

#[test]
fn from_the_queue_to_the_device() {
    let mut bench = Bench::new();
    bench.send(message("a")).expect("there is room");
    bench.send(message("b")).expect("there is room");
    assert_eq!(bench.shown(), 2);
    bench.connect(1);
    let taken = bench.take(1, false);
    assert_eq!(taken.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert!(bench.take(1, false).is_empty(), "they are its own already");
    assert_eq!(bench.shown(), 2, "what is under way counts");
    bench.complete(1, taken[0].0).expect("its own");
    assert_eq!(bench.shown(), 1);
    bench.complete(1, taken[0].0).expect("passed over");
    bench.complete(1, 999).expect("passed over");
    assert_eq!(bench.shown(), 1);
    // Another connection gets what the last one did not complete, and that one has no say any more.
    bench.connect(2);
    assert_eq!(bench.complete(1, taken[1].0).expect_err("old").code, ErrorCode::DeviceNotOnline);
    assert_eq!(bench.payloads(2), ["b"]);
    bench.ask(Disconnect { id: id(), connection: 2 }).reply.expect("gone");
    bench.connect(3);
    assert_eq!(bench.payloads(3), ["b"]);
    assert!(bench.told().is_empty(), "nobody asked");
}

#[test]
fn at_most_once() {
    let mut bench = Bench::new();
    bench.connect(1);
    bench.send(acked("a", "positive")).expect("there is room");
    assert_eq!(bench.take(1, true).len(), 1);
    assert_eq!(bench.shown(), 0);
    assert_eq!(bench.told(), [json!(["a", "Success"])]);
}

#[test]
fn a_full_queue() {
    let mut bench = Bench::new();
    for n in 0..50 {
        bench.send(until(&format!("{n}"), NOW + Duration::seconds(n + 1))).expect("there is room");
    }
    assert_eq!(bench.send(message("one too many")), Err(ErrorCode::DeviceMaximumQueueDepthExceeded));
    // Those under way take their place.
    bench.connect(1);
    let taken = bench.take(1, false);
    assert_eq!(taken.len(), 16, "a connection has so many in its hands at once");
    assert_eq!(bench.send(message("one too many")), Err(ErrorCode::DeviceMaximumQueueDepthExceeded));
    bench.complete(1, taken[0].0).expect("its own");
    assert_eq!(bench.take(1, false), [(taken[15].0 + 1, "16".to_owned())]);
    bench.send(message("fits")).expect("there is room");
    // What is over takes no place, swept or not.
    bench.now += Duration::seconds(20);
    bench.send(message("fits, too")).expect("there is room");
    assert_eq!(bench.shown(), 32);
    assert_eq!(bench.purge(), 32);
    assert_eq!((bench.shown(), bench.purge()), (0, 0));
}

#[test]
fn what_may_be_sent() {
    let with = |name: &str, value: &str| {
        let others = vec![(name.to_owned(), Some(value.to_owned()))];
        MessageBody { properties: MessageProperties { others, ..Default::default() }, ..MessageBody::default() }
    };
    for (what, message, expected) in [
        ("nothing at all", MessageBody::default(), Ok(())),
        ("as much as may be", message(&"x".repeat(65_536)), Ok(())),
        ("more than that", message(&"x".repeat(65_537)), Err(ErrorCode::MessageTooLarge)),
        ("more than that in properties", with("a", &"x".repeat(65_536)), Err(ErrorCode::MessageTooLarge)),
        ("more than a topic holds", with("a", &"/".repeat(30_000)), Err(ErrorCode::MessageTooLarge)),
        ("an acknowledgement", with("iothub-ack", "Full"), Ok(())),
        ("no acknowledgement", with("iothub-ack", "some"), Err(ErrorCode::ArgumentInvalid)),
        ("the system's name", with("$.mid", "1"), Err(ErrorCode::ArgumentInvalid)),
    ] {
        assert_eq!(Bench::new().send(message), expected, "{what}");
    }
    let mut bench = Bench::new();
    for (to, code) in [("x", ErrorCode::DeviceNotFound), ("d/m", ErrorCode::InvalidOperation)] {
        let to = to.parse().expect(to);
        let send = SendMessage { to, message: Box::default() };
        assert_eq!(bench.ask(send).reply.expect_err("refused").code, code);
    }
    let purge = PurgeMessages { device: "x".parse().expect("an id") };
    assert_eq!(bench.ask(purge).reply.expect_err("refused").code, ErrorCode::DeviceNotFound);
}

impl Bench {
    /// Takes the next message over HTTPS, and returns its payload and how often it was handed out in vain.
    fn receive(&mut self, lock: &str) -> Option<(String, u32)> {
        let (device, lasts) = (id().device, Duration::MINUTE);
        let receive = ReceiveMessage { device, proof: Proof::Policy, lock: lock.to_owned(), lasts };
        let message = self.ask(receive).reply.expect("a message or none");
        message.map(|it| (String::from_utf8(it.payload.to_vec()).expect("text"), it.deliveries()))
    }

    fn settle_lock(&mut self, lock: &str, how: Settlement) -> Result<(), ErrorCode> {
        let settle = SettleMessage { device: id().device, proof: Proof::Policy, lock: lock.to_owned(), how };
        self.ask(settle).reply.map(|_| ()).map_err(|refusal| refusal.code)
    }
}

#[test]
fn messages_under_a_lock() {
    let mut bench = Bench::new();
    bench.send(acked("a", "full")).expect("there is room");
    bench.send(message("second")).expect("there is room");
    bench.connect(1);
    let first = bench.receive("one").expect("a message");
    assert_eq!(first.1, 0);
    assert_eq!(bench.payloads(1), ["second"], "a connection gets what nobody has");
    assert_eq!(bench.receive("two"), None, "each is somebody's");
    assert_eq!(bench.settle_lock("two", Settlement::Complete), Err(ErrorCode::DeviceMessageLockLost));
    bench.settle_lock("one", Settlement::Abandon).expect("its own");
    assert_eq!(bench.settle_lock("one", Settlement::Complete), Err(ErrorCode::DeviceMessageLockLost), "once");
    assert_eq!(bench.receive("three"), Some((first.0.clone(), 1)), "it comes again");
    // How often it came outlives the hub, and a lock that is over counts.
    bench.restart();
    assert_eq!(bench.receive("four"), Some((first.0.clone(), 1)));
    bench.now += Duration::MINUTE;
    assert_eq!(bench.settle_lock("four", Settlement::Complete), Err(ErrorCode::DeviceMessageLockLost), "too late");
    assert_eq!(bench.receive("five"), Some((first.0, 2)));
    bench.settle_lock("five", Settlement::Reject).expect("its own");
    assert_eq!(bench.told(), [json!(["a", "Rejected"])]);
    assert_eq!(bench.shown(), 1);
    bench.receive("six").expect("the second");
    bench.settle_lock("six", Settlement::Complete).expect("its own");
    assert_eq!((bench.shown(), bench.receive("seven")), (0, None));
    bench.send(acked("b", "negative")).expect("there is room");
    for round in 0..10 {
        assert_eq!(bench.receive("again").expect("a message").1, round);
        bench.settle_lock("again", Settlement::Abandon).expect("its own");
    }
    assert_eq!(bench.receive("again"), None);
    assert_eq!(bench.told(), [json!(["b", "DeliveryCountExceeded"])]);
    // A device that is gone has no locks.
    bench.send(message("third")).expect("there is room");
    bench.receive("last").expect("a message");
    bench.ask(DeleteDevice { id: id().device, if_match: IfMatch::Any }).reply.expect("deleted");
    assert_eq!(bench.settle_lock("last", Settlement::Complete), Err(ErrorCode::IotHubUnauthorized));
}

#[test]
fn messages_of_an_older_version_are_read() {
    let record =
        br#"{"device":"d","expires":1795000000000,"topic":"devices/d/messages/devicebound/a=1","payload":"aGk="}"#;
    let message = crate::core::messages::CloudMessage::from_record(7, record).expect("a message");
    assert_eq!((message.enqueued(), message.deliveries()), (None, 0));
    assert_eq!(message.to_record(), record);
}

#[test]
fn who_hears_of_what() {
    for (ack, completed, expired, purged) in [
        ("none", false, false, false),
        ("positive", true, false, false),
        ("negative", false, true, true),
        ("full", true, true, true),
    ] {
        let mut bench = Bench::new();
        bench.connect(1);
        bench.send(acked("a", ack)).expect("there is room");
        let taken = bench.take(1, false);
        bench.complete(1, taken[0].0).expect("its own");
        let told = |status: &str, is: bool| if is { vec![json!(["a", status])] } else { vec![] };
        assert_eq!(bench.told(), told("Success", completed), "{ack}");
        bench.send(acked("a", ack)).expect("there is room");
        bench.now += Duration::HOUR;
        assert!(bench.take(1, false).is_empty(), "it is over");
        bench.sweep();
        assert_eq!(bench.told(), told("Expired", expired), "{ack}");
        bench.send(acked("a", ack)).expect("there is room");
        bench.purge();
        assert_eq!(bench.told(), told("Purged", purged), "{ack}");
        assert_eq!(bench.shown(), 0);
    }
}

#[test]
fn times_of_messages() {
    for (given, lasts) in [
        (None, Duration::HOUR),
        (Some(NOW + Duration::seconds(1)), Duration::seconds(1)),
        (Some(NOW + Duration::days(2)), Duration::days(2)),
        (Some(NOW + Duration::days(9)), Duration::days(2)),
        (Some(NOW - Duration::DAY), Duration::ZERO),
    ] {
        let mut bench = Bench::new();
        let message = given.map_or_else(|| message("a"), |at| until("a", at));
        bench.send(message).expect("there is room");
        if !lasts.is_zero() {
            bench.now = NOW + lasts - Duration::milliseconds(1);
            assert!(matches!(bench.sweep().reply, Ok(Swept { waiting: true })));
            assert_eq!(bench.shown(), 1, "{given:?}");
        }
        bench.now = NOW + lasts;
        bench.sweep().reply.expect("swept");
        assert_eq!(bench.shown(), 0, "{given:?}");
    }
}

#[test]
fn a_device_that_is_silent_for_a_minute_gets_it_again() {
    let mut bench = Bench::new();
    bench.connect(1);
    bench.send(message("a")).expect("there is room");
    let taken = bench.take(1, false);
    bench.now += Duration::seconds(59);
    assert!(bench.sweep().notices.is_empty());
    bench.now += Duration::seconds(1);
    assert!(matches!(&*bench.sweep().notices, [Notice::MessagesWait { .. }]));
    bench.complete(1, taken[0].0).expect("passed over");
    assert_eq!(bench.take(1, false), taken);
    bench.complete(1, taken[0].0).expect("its own");
    assert_eq!(bench.shown(), 0);
}

#[test]
fn feedback_comes_in_batches() {
    let mut bench = Bench::new();
    let fill = |bench: &mut Bench, count: usize| {
        for n in 0..count {
            bench.send(acked(&format!("{n}"), "full")).expect("there is room");
            bench.purge();
        }
    };
    fill(&mut bench, 1);
    let first = bench.feedback(1);
    assert_eq!(first.len(), 1, "nothing was sent for long");
    fill(&mut bench, 63);
    assert!(bench.feedback(1).is_empty(), "not full, and not due");
    bench.now += Duration::seconds(14);
    assert!(bench.feedback(1).is_empty());
    fill(&mut bench, 2);
    let full = bench.feedback(2);
    assert_eq!(full.len(), 64);
    bench.now += Duration::seconds(15);
    let last = bench.feedback(2);
    assert_eq!(last.len(), 1);
    // Nobody else has a say in them.
    bench.settle(2, &first, Settlement::Complete);
    bench.settle(1, &first, Settlement::Release);
    bench.now += Duration::seconds(15);
    assert_eq!(bench.feedback(3), first);
    // Nothing was said of any of them for a minute.
    bench.now += Duration::MINUTE;
    bench.sweep();
    assert_eq!(bench.feedback(4).len(), 64);
}

#[test]
fn feedback_that_nobody_can_use_goes() {
    for (how, times) in [(Settlement::Complete, 1), (Settlement::Reject, 1), (Settlement::Abandon, 10)] {
        let mut bench = Bench::new();
        bench.send(acked("a", "full")).expect("there is room");
        bench.purge();
        for time in 0..times {
            let batch = bench.feedback(1);
            assert_eq!(batch.len(), 1, "{how:?}");
            assert_eq!(batch[0].deliveries(), time);
            bench.settle(1, &batch, how);
            bench.now += Duration::seconds(15);
        }
        assert!(bench.feedback(1).is_empty(), "{how:?}");
        assert!(matches!(bench.sweep().reply, Ok(Swept { waiting: false })));
    }
    let mut bench = Bench::new();
    bench.send(acked("a", "full")).expect("there is room");
    bench.purge();
    bench.now += Duration::HOUR;
    assert!(bench.feedback(1).is_empty());
    assert!(matches!(bench.sweep().reply, Ok(Swept { waiting: false })));
}

#[test]
fn a_deleted_device_takes_its_messages_along() {
    let mut bench = Bench::new();
    bench.send(acked("gone", "full")).expect("there is room");
    bench.purge();
    bench.send(acked("waits", "full")).expect("there is room");
    bench.ask(DeleteDevice { id: id().device, if_match: IfMatch::Any }).reply.expect("gone");
    assert!(bench.disk.is_empty(), "{:?}", bench.disk.keys());
    bench.create();
    assert_eq!(bench.shown(), 0);
    bench.connect(1);
    assert!(bench.take(1, false).is_empty());
    assert!(bench.told().is_empty());
}

#[test]
fn what_a_crash_leaves() {
    let mut bench = Bench::new();
    bench.send(until("a", NOW + Duration::MINUTE)).expect("there is room");
    bench.send(acked("b", "full")).expect("there is room");
    bench.connect(1);
    let taken = bench.take(1, false);
    bench.complete(1, taken[1].0).expect("its own");
    assert_eq!(bench.feedback(1).len(), 1);
    bench.restart();
    assert_eq!(bench.shown(), 1);
    bench.connect(1);
    assert_eq!(bench.payloads(1), ["a"], "nobody has it in its hands any more");
    assert_eq!(bench.told(), [json!(["b", "Success"])]);
    bench.now += Duration::MINUTE;
    bench.sweep();
    bench.restart();
    assert_eq!(bench.told(), [json!(["a", "Expired"])]);
    assert_eq!(bench.shown(), 0);
}

#[test]
fn notices_are_for_those_who_are_connected() {
    let mut bench = Bench::new();
    let send = || SendMessage { to: id(), message: Box::new(message("a")) };
    assert!(bench.ask(send()).notices.is_empty());
    bench.connect(1);
    let outcome = bench.ask(send());
    assert!(matches!(&*outcome.notices, [Notice::MessagesWait { .. }]));
    assert_eq!(Some(outcome.seen), outcome.change.map(|change| change.revision), "answered when it is on disk");
}

#[test]
fn a_feedback_message() {
    let mut bench = Bench::new();
    bench.send(acked("m", "full")).expect("there is room");
    bench.purge();
    let body: Value = serde_json::from_str(&feedback_body(&bench.feedback(1))).expect("JSON");
    let generation = body[0]["deviceGenerationId"].as_str().expect("a text");
    assert_eq!(generation.len(), 18);
    assert_eq!(
        body,
        json!([{
            "originalMessageId": "m",
            "enqueuedTimeUtc": "2026-11-24T10:00:00.0000000Z",
            "statusCode": "Purged",
            "description": "Purged",
            "deviceId": "d",
            "deviceGenerationId": generation,
        }])
    );
}
