//! The device side as a client meets it: over real TLS with another codec than the hub's own, and, where time or a client's
//! slowness matters, over a pipe with a clock that jumps.

mod crowd;
mod faults;
mod hostile;
mod limits;
mod login;
mod messages;
mod methods;
mod modules;
mod sessions;
mod twins;
mod web_socket;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use rumqttc::mqttbytes::QoS;
use rumqttc::mqttbytes::v4::Connect;
use rumqttc::mqttbytes::v4::ConnectReturnCode;
use rumqttc::mqttbytes::v4::Packet;
use rumqttc::mqttbytes::v4::Publish;
use rumqttc::mqttbytes::v4::Subscribe;
use rumqttc::mqttbytes::v4::SubscribeFilter;
use rumqttc::mqttbytes::v4::SubscribeReasonCode;
use rumqttc::mqttbytes::v4::Unsubscribe;
use serde_json::Value;
use serde_json::json;
use tempfile::TempDir;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::access::{Access, Policies};
use crate::core::command::Entropy;
use crate::core::requests::devices::PutDevice;
use crate::frontends::mqtt::MqttFront;
use crate::frontends::mqtt::admission::Gate;
use crate::handle::HubHandle;
use crate::store::folder::Folder;
use crate::store::{Committer, Store};
use crate::tests::{NOW, Sandbox, clock, tls_of};
use crate::transport::stream;
use iothub_model::twin::DeviceId;
use iothub_model::twin::IfMatch;
use iothub_model::wire::registry::DeviceBody;
use iothub_model::wire::sas;
use iothub_model::wire::sas::Key;

const HOST: &str = "hub.example";
const DESIRED: &str = "$iothub/twin/PATCH/properties/desired/#";
const RESPONSES: &str = "$iothub/twin/res/#";
const METHODS: &str = "$iothub/methods/POST/#";
/// Nothing in these tests takes so long when all is well.
const PATIENCE: Duration = Duration::from_secs(30);

/// The primary key of each device in these tests.
fn key() -> Key {
    Key::from_bytes(*b"the primary key of all devices!!")
}

fn now() -> u64 {
    u64::try_from(NOW.unix_timestamp()).expect("after 1970")
}

/// A token for a device or a module, signed by its own key, good for an hour.
fn token(id: &str) -> String {
    token_until(id, now() + 3600)
}

fn token_until(id: &str, expiry: u64) -> String {
    sas::sign(&audience(id), &key(), expiry, None).expose().to_owned()
}

fn audience(id: &str) -> String {
    format!("{HOST}/devices/{}", id.replace('/', "/modules/"))
}

/// A CONNECT as SDKs send it.
fn connect(id: &str, token: impl Into<String>) -> Connect {
    let mut connect = Connect::new(id);
    connect.clean_session = false;
    connect.keep_alive = 60;
    connect.set_login(format!("{HOST}/{id}/?api-version=2021-04-12&DeviceClientType=test"), token.into());
    connect
}

async fn hub() -> Sandbox {
    on(TempDir::new().expect("a temporary folder")).await
}

async fn on(folder: TempDir) -> Sandbox {
    Sandbox::with(folder, |options| options).await
}

/// A hub that listens for MQTT, and what it notes.
async fn observed() -> (Sandbox, Arc<std::sync::Mutex<Vec<crate::RequestRecord>>>) {
    let (observer, records) = crate::tests::recorder();
    let folder = TempDir::new().expect("a temporary folder");
    let hub = Sandbox::with(folder, |options| options.on_request(observer));
    (hub.await, records)
}

async fn restart(hub: Sandbox) -> Sandbox {
    let Sandbox { hub, folder, .. } = hub;
    hub.stop().await;
    on(folder).await
}

/// Registers a device with the key of all devices.
async fn register(hub: &Sandbox, id: &str) {
    let path = iothub_model::wire::registry::device_path(&id.parse().expect(id));
    let keys = json!({ "primaryKey": key().to_base64().expose(), "secondaryKey": Key::from_bytes([2; 32]).to_base64().expose() });
    let body = json!({ "deviceId": id, "authentication": { "type": "sas", "symmetricKey": keys } });
    let answer = hub.ask("PUT", &path, &[], Some(body)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// A hub with one device, and a client that is connected as it.
async fn connected(id: &str) -> (Sandbox, Client) {
    let hub = hub().await;
    register(&hub, id).await;
    let client = Client::login(&hub, id).await;
    (hub, client)
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A client that sends what it is told to.
struct Client {
    stream: Box<dyn Stream>,
    buffer: BytesMut,
    /// Publications that came while something else was waited for.
    aside: VecDeque<Publish>,
    last_packet: u16,
}

impl Client {
    fn over(stream: impl Stream + 'static) -> Self {
        Self { stream: Box::new(stream), buffer: BytesMut::new(), aside: VecDeque::new(), last_packet: 0 }
    }

    /// Connects as far as TLS.
    async fn dial(hub: &Sandbox) -> Self {
        Self::dial_with(hub, tls_of(&hub.hub, rustls::DEFAULT_VERSIONS)).await
    }

    async fn dial_with(hub: &Sandbox, config: rustls::ClientConfig) -> Self {
        let address = hub.hub.mqtt_addr().expect("it listens for MQTT");
        let stream = TcpStream::connect(address).await.expect("a connection");
        let name = rustls::pki_types::ServerName::try_from("localhost").expect("a name");
        let stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await;
        Self::over(stream.expect("a handshake"))
    }

    /// Connects as a device with its key.
    async fn login(hub: &Sandbox, id: &str) -> Self {
        let mut client = Self::dial(hub).await;
        assert_eq!(client.connect(connect(id, token(id))).await, Some(ConnectReturnCode::Success));
        client
    }

    /// Sends a CONNECT and returns the answer's code; none when there is no answer.
    async fn connect(&mut self, connect: Connect) -> Option<ConnectReturnCode> {
        self.send(Packet::Connect(connect)).await;
        match self.next().await? {
            Packet::ConnAck(answer) => Some(answer.code),
            other => panic!("not the answer to a CONNECT: {other:?}"),
        }
    }

    async fn send(&mut self, packet: Packet) {
        let mut buffer = BytesMut::new();
        packet.write(&mut buffer, 1 << 24).expect("a packet that can be written");
        self.send_bytes(&buffer).await;
    }

    /// Sends bytes; a hub that has closed meanwhile shows when one reads.
    async fn send_bytes(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
        let _ = self.stream.flush().await;
    }

    /// Returns the next packet; none when the hub has closed the connection.
    async fn next(&mut self) -> Option<Packet> {
        let reading = async {
            loop {
                match Packet::read(&mut self.buffer, 1 << 24) {
                    Ok(packet) => return Some(packet),
                    Err(rumqttc::mqttbytes::Error::InsufficientBytes(_)) => {}
                    Err(error) => panic!("the hub sent no packet: {error:?}"),
                }
                match self.stream.read_buf(&mut self.buffer).await {
                    Ok(0) | Err(_) => return None,
                    Ok(_) => {}
                }
            }
        };
        tokio::time::timeout(PATIENCE, reading).await.expect("the hub says something, or closes")
    }

    /// Asserts that the hub closes the connection without another word.
    async fn closed(&mut self) {
        let next = self.next().await;
        assert!(next.is_none(), "{next:?}");
    }

    /// Asserts that the hub has nothing more to say, and that the connection lives.
    async fn quiet(&mut self) {
        self.send(Packet::PingReq).await;
        assert_eq!(self.next().await, Some(Packet::PingResp));
        assert!(self.aside.is_empty(), "{:?}", self.aside);
    }

    async fn subscribe(&mut self, filters: &[&str]) {
        let filters = filters.iter().map(|filter| SubscribeFilter::new((*filter).to_owned(), QoS::AtLeastOnce));
        let mut subscribe = Subscribe::new_many(filters);
        subscribe.pkid = self.packet_id();
        let granted = vec![SubscribeReasonCode::Success(QoS::AtLeastOnce); subscribe.filters.len()];
        let pkid = subscribe.pkid;
        self.send(Packet::Subscribe(subscribe)).await;
        match self.next().await.expect("an answer") {
            Packet::SubAck(answer) => assert_eq!((answer.pkid, answer.return_codes), (pkid, granted)),
            other => panic!("not the answer to a SUBSCRIBE: {other:?}"),
        }
    }

    async fn unsubscribe(&mut self, filter: &str) {
        let mut unsubscribe = Unsubscribe::new(filter);
        unsubscribe.pkid = self.packet_id();
        let pkid = unsubscribe.pkid;
        self.send(Packet::Unsubscribe(unsubscribe)).await;
        match self.next().await {
            Some(Packet::UnsubAck(answer)) => assert_eq!(answer.pkid, pkid),
            other => panic!("not the answer to an UNSUBSCRIBE: {other:?}"),
        }
    }

    /// Publishes at QoS 1, and waits for the acknowledgement.
    async fn publish(&mut self, topic: &str, payload: impl Into<Vec<u8>>) {
        let mut publish = Publish::new(topic, QoS::AtLeastOnce, payload);
        publish.pkid = self.packet_id();
        let pkid = publish.pkid;
        self.send(Packet::Publish(publish)).await;
        loop {
            match self.next().await.expect("an acknowledgement") {
                Packet::PubAck(answer) => return assert_eq!(answer.pkid, pkid),
                Packet::Publish(publish) => self.aside.push_back(publish),
                other => panic!("not an acknowledgement: {other:?}"),
            }
        }
    }

    /// Returns the next publication's topic and payload.
    async fn publication(&mut self) -> (String, Value) {
        let (topic, payload) = self.publication_text().await;
        let payload = if payload.is_empty() { Value::Null } else { serde_json::from_str(&payload).expect("JSON") };
        (topic, payload)
    }

    /// Returns the next publication's topic and payload as it is.
    async fn publication_text(&mut self) -> (String, String) {
        let publish = match self.aside.pop_front() {
            Some(publish) => publish,
            None => match self.next().await.expect("a publication") {
                Packet::Publish(publish) => publish,
                other => panic!("not a publication: {other:?}"),
            },
        };
        assert_eq!(publish.qos, QoS::AtMostOnce);
        (publish.topic, String::from_utf8(publish.payload.to_vec()).expect("UTF-8"))
    }

    async fn twin(&mut self) -> Value {
        self.publish("$iothub/twin/GET/?$rid=twin", " ").await;
        let (topic, payload) = self.publication().await;
        assert_eq!(topic, "$iothub/twin/res/200/?$rid=twin");
        payload
    }

    /// Patches the reported properties, and returns the answer's topic and payload.
    async fn report(&mut self, patch: Value) -> (String, Value) {
        self.publish("$iothub/twin/PATCH/properties/reported/?$rid=r", patch.to_string()).await;
        self.publication().await
    }

    fn packet_id(&mut self) -> u16 {
        self.last_packet += 1;
        self.last_packet
    }
}

/// Waits until something holds that follows soon.
async fn eventually<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let deadline = std::time::Instant::now() + PATIENCE;
    while !holds().await {
        assert!(std::time::Instant::now() < deadline, "never so: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn connection_state(hub: &Sandbox, id: &str) -> String {
    let twin = hub.ask("GET", &format!("/twins/{id}"), &[], None).await;
    let identity = hub.ask("GET", &format!("/devices/{id}"), &[], None).await;
    assert_eq!(twin.body["connectionState"], identity.body["connectionState"]);
    twin.body["connectionState"].as_str().expect("a state").to_owned()
}

/// A hub without listeners, for connections over pipes.
struct Bench {
    live: Arc<HubHandle>,
    front: MqttFront,
    stop: watch::Sender<bool>,
    _folder: TempDir,
}

impl Bench {
    async fn new() -> Self {
        Self::behind(Gate::default()).await
    }

    async fn behind(gate: Gate) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let open = Arc::new(Folder::open(folder.path()).expect("a folder"));
        let (store, hub) = Store::open(open.clone()).expect("a store");
        let policies = Policies::open(&open).expect("policies");
        let access = Arc::new(Access::new(policies, HOST, &[], 443));
        let live = Arc::new(HubHandle::new(hub, Committer::start(store).expect("a thread"), clock().of_machine()));
        let (stop, stopping) = watch::channel(false);
        let front = MqttFront::new(live.clone(), access, stopping, tokio::sync::mpsc::channel(1).0).behind(gate);
        let bench = Self { live, front, stop, _folder: folder };
        let id: DeviceId = "d".parse().expect("an id");
        let body: DeviceBody = serde_json::from_value(json!({ "authentication": { "symmetricKey": {
            "primaryKey": key().to_base64().expose(), "secondaryKey": key().to_base64().expose()
        } } }))
        .expect("a body");
        let entropy = Entropy([1; 80]);
        let put = PutDevice { id, body: Box::new(body), if_match: IfMatch::Absent, entropy };
        bench.live.handle(put).await.expect("a new device");
        bench
    }

    /// Opens a connection that takes so many bytes at a time.
    fn open(&self, bytes: usize) -> Client {
        let (ours, theirs) = tokio::io::duplex(bytes);
        let (source, sink) = stream::stream(theirs);
        tokio::spawn(self.front.clone().serve(source, sink, None));
        Client::over(ours)
    }

    fn connected(&self) -> usize {
        self.live.links().devices()
    }
}
