//! The service side as a client meets it that knows no better, or means no good; Microsoft's SDKs are the others.

mod hostile;
mod links;

use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::BytesMut;
use fe2o3_amqp_types::definitions::Error;
use fe2o3_amqp_types::definitions::ErrorCondition;
use fe2o3_amqp_types::definitions::Role;
use fe2o3_amqp_types::messaging::Accepted;
use fe2o3_amqp_types::messaging::AmqpValue;
use fe2o3_amqp_types::messaging::ApplicationProperties;
use fe2o3_amqp_types::messaging::Data;
use fe2o3_amqp_types::messaging::DeliveryState;
use fe2o3_amqp_types::messaging::MessageId;
use fe2o3_amqp_types::messaging::Modified;
use fe2o3_amqp_types::messaging::Properties;
use fe2o3_amqp_types::messaging::Rejected;
use fe2o3_amqp_types::messaging::Released;
use fe2o3_amqp_types::messaging::Source;
use fe2o3_amqp_types::messaging::Target;
use fe2o3_amqp_types::messaging::TargetArchetype;
use fe2o3_amqp_types::performatives::Attach;
use fe2o3_amqp_types::performatives::Begin;
use fe2o3_amqp_types::performatives::Disposition;
use fe2o3_amqp_types::performatives::Flow;
use fe2o3_amqp_types::performatives::Open;
use fe2o3_amqp_types::performatives::Performative;
use fe2o3_amqp_types::performatives::Transfer;
use fe2o3_amqp_types::primitives::OrderedMap;
use fe2o3_amqp_types::primitives::SimpleValue;
use fe2o3_amqp_types::primitives::Value;
use fe2o3_amqp_types::sasl::SaslCode;
use fe2o3_amqp_types::sasl::SaslInit;
use fe2o3_amqp_types::sasl::SaslMechanisms;
use fe2o3_amqp_types::sasl::SaslOutcome;
use serde_amqp::primitives::Binary;
use serde_amqp::primitives::Symbol;

use crate::access::Policies;
use crate::core::command::Entropy;
use crate::core::requests::devices::PutDevice;
use crate::core::requests::messages::{PurgeMessages, SendMessage};
use crate::core::state::Hub;
use crate::frontends::amqp::frames::{Frame, FrameReader, Layer, NoFrame, encode, write, write_sasl};
use crate::frontends::amqp::*;
use crate::store::Committer;
use crate::tests::NOW;
use crate::transport::stream;
use crate::transport::stream::Sink;
use iothub_model::twin::DeviceId;
use iothub_model::twin::IfMatch;
use iothub_model::wire::sas;
use iothub_model::wire::sas::Key;

const HOST: &str = "hub.example";
const FEEDBACK: &str = "/messages/serviceBound/feedback";
const TO_DEVICES: &str = "/messages/devicebound";

/// A hub without listeners or disk, with the device `d`, and a clock that tests move.
struct Bench {
    live: Arc<HubHandle>,
    front: AmqpFront,
    seconds: Arc<AtomicI64>,
    _stop: watch::Sender<bool>,
}

fn key() -> Key {
    Key::from_bytes([7; 32])
}

fn token(policy: &str, seconds: u64) -> String {
    token_for(HOST, policy, seconds)
}

/// A token of the policy `service` that ends so many seconds after now.
fn token_until(seconds: i64) -> String {
    let expiry = u64::try_from(NOW.unix_timestamp() + seconds).expect("after 1970");
    sas::sign(HOST, &key(), expiry, Some("service")).expose().to_owned()
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
        let live = Arc::new(HubHandle::new(Hub::default(), committer, clock));
        let id: DeviceId = "d".parse().expect("an id");
        let (body, entropy) = (Box::default(), Entropy([1; 80]));
        live.handle(PutDevice { id, body, if_match: IfMatch::Absent, entropy }).await.expect("a device");
        let access = Arc::new(Access::new(Policies::of_one_key(&key()), HOST, &[HOST.to_owned()], 443));
        let (stop, stopping) = watch::channel(false);
        let front = AmqpFront::new(live.clone(), access, stopping, mpsc::channel(1).0);
        Self { live, front, seconds, _stop: stop }
    }

    /// Tells somebody of what the log has.
    fn observed_by(self, observer: crate::request_log::RequestObserver) -> Self {
        let front = self.front.observed_by(ConnectionLog::new(Arc::new([observer]), Arc::new(|| crate::tests::NOW)));
        Self { front, ..self }
    }

    /// Opens a connection, of which nothing is said yet.
    fn dial(&self) -> Client {
        let (ours, theirs) = tokio::io::duplex(1 << 20);
        let (source, sink) = stream::stream(theirs);
        tokio::spawn(self.front.clone().serve(source, sink));
        let (source, sink) = stream::stream(ours);
        Client { reader: FrameReader::new(source), sink, delivery: 0 }
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
            let properties =
                iothub_model::wire::messages::MessageProperties { message_id, others, ..Default::default() };
            let message = Box::new(crate::core::messages::MessageBody { properties, ..Default::default() });
            let send = SendMessage { to: "d".parse().expect("an id"), message };
            self.live.handle(send).await.expect("there is room");
        }
        let purge = PurgeMessages { device: "d".parse().expect("an id") };
        self.live.handle(purge).await.expect("purged");
    }

    async fn waiting(&self) -> usize {
        let purge = PurgeMessages { device: "d".parse().expect("an id") };
        self.live.handle(purge).await.expect("a count")
    }
}

struct Client {
    reader: FrameReader,
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
            Err(NoFrame::Garbage(_) | NoFrame::Transport(_)) => panic!("the hub sent no frame"),
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

    /// Goes through SASL PLAIN, and returns the outcome.
    async fn plain(&mut self, response: &str) -> SaslCode {
        self.say_bytes(&Layer::Sasl.header()).await;
        assert_eq!(self.reader.layer().await, Ok(Some(Layer::Sasl)));
        let _: SaslMechanisms = self.reader.sasl().await.expect("mechanisms");
        let response = Some(Binary::from(response.as_bytes()));
        let init = SaslInit { mechanism: Symbol::from("PLAIN"), initial_response: response, hostname: None };
        let mut out = BytesMut::new();
        write_sasl(&mut out, &init);
        self.say_bytes(&out).await;
        let outcome: SaslOutcome = self.reader.sasl().await.expect("an outcome");
        outcome.code
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
        let (Performative::Open(theirs), _) = self.heard().await else { panic!("an open") };
        assert_eq!(theirs.channel_max.0, 8191, "as the service's own");
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
        assert_eq!(theirs.max_message_size, Some(1_048_576), "as the service's own");
        if ends && role == Role::Receiver {
            self.allow(handle, 0, 10).await;
        }
        if ends {
            return Ok(());
        }
        let (Performative::Detach(detach), _) = self.heard().await else { panic!("a detach") };
        Err(condition(&detach.error.expect("a reason")))
    }

    /// Returns the text with which the hub refuses a link.
    async fn attach_refusal(&mut self, handle: u32, role: Role, address: &str) -> String {
        self.say(&attach_of(handle, role, address), &[]).await;
        let (Performative::Attach(theirs), _) = self.heard().await else { panic!("an attach") };
        assert!(theirs.source.is_none() && theirs.target.is_none(), "{theirs:?}");
        let (Performative::Detach(detach), _) = self.heard().await else { panic!("a detach") };
        detach.error.expect("a reason").description.expect("a text")
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
        self.put_token_and_hear(token).await.0
    }

    /// Puts a token, and returns the answer's status and text.
    async fn put_token_and_hear(&mut self, token: &str) -> (i32, String) {
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
        let Some(SimpleValue::String(text)) = answer.property("status-description") else { panic!("{answer:?}") };
        (*status, text.clone())
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
