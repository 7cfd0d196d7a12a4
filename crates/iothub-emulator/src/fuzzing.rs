//! The hub as the fuzzer sees it: no sockets, no disk, a clock that counts requests.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::BytesMut;
use http::HeaderName;
use http::HeaderValue;
use http::Method;
use http::Request;
use http::StatusCode;
use http::Uri;
use http::header;
use http_body_util::BodyExt;
use serde_json::Value;
use serde_json::json;
use time::OffsetDateTime;
use time::macros::datetime;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::sync::watch;

use crate::access::{Access, Policies};
use crate::core::ask::{Ask, Outcome};
use crate::core::command::{Entropy, Refusal, TwinWrite};
use crate::core::messages::MessageBody;
use crate::core::record::{Change, Record};
use crate::core::requests::configurations::{EvaluateConfigurations, Evaluated};
use crate::core::requests::devices::PutDevice;
use crate::core::requests::job_runs::{FinishDeviceJob, RunJobs};
use crate::core::requests::messages::{PurgeMessages, SendMessage, SweepMessages, Swept};
use crate::core::requests::twins::WriteTwin;
use crate::core::state::Hub;
use crate::faults::FaultSpec;
use crate::faults::injection::FaultInjector;
use crate::frontends::amqp as amqp_side;
use crate::frontends::https::Service;
use crate::frontends::mqtt::MqttFront;
use crate::handle::HubHandle;
use crate::store::{Committer, Table, encode};
use crate::transport::stream;
use crate::transport::web_socket::WebSocketHandlers;
use iothub_model::twin::DeviceId;
use iothub_model::twin::IfMatch;
use iothub_model::twin::OrderedObject;
use iothub_model::wire::API_VERSION;
use iothub_model::wire::ErrorCode;
use iothub_model::wire::error::ERROR_CODE_HEADER;
use iothub_model::wire::messages::MessageProperties;
use iothub_model::wire::sas;
use iothub_model::wire::sas::Key;
use iothub_model::wire::twins::TwinBody;

const HOST: &str = "hub.example";
const START: OffsetDateTime = datetime!(2026-11-24 10:00:00 UTC);
/// Requests, records or steps of one input, at most.
const MANY: usize = 64;
/// Turns that an answer may wait for something that does not come, as that of a direct method to a device that is away.
const PATIENCE: usize = 200;
/// Between two requests.
const SEPARATOR: &[u8] = b"\n---\n";

/// The key of all policies, and of the devices in the seeds.
fn key() -> Key {
    Key::from_bytes(*b"the primary key of all devices!!")
}

fn runtime() -> &'static tokio::runtime::Runtime {
    static RUNTIME: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime needs nothing but memory")
    })
}

/// Lets everything else go on, so many times.
async fn turns(count: usize) {
    for _ in 0..count {
        tokio::task::yield_now().await;
    }
}

/// A hub with both of its sides.
struct Whole {
    live: Arc<HubHandle>,
    service: Service,
    front: MqttFront,
    amqp: amqp_side::AmqpFront,
    changes: mpsc::Receiver<Change>,
    seconds: Arc<AtomicI64>,
    _stop: watch::Sender<bool>,
}

impl Whole {
    fn new(hub: Hub) -> Self {
        let (committer, changes) = Committer::without_disk();
        let seconds = Arc::new(AtomicI64::new(0));
        let clock = {
            let seconds = seconds.clone();
            Arc::new(move || START + time::Duration::seconds(seconds.load(Ordering::Relaxed)))
        };
        let live = Arc::new(HubHandle::new(hub, committer, clock));
        let access = Arc::new(Access::new(Policies::of_one_key(&key()), HOST, &[HOST.to_owned()], 443));
        let (stop, stopping) = watch::channel(false);
        let alive = tokio::sync::mpsc::channel(1).0;
        let front = MqttFront::new(live.clone(), access.clone(), stopping.clone(), alive.clone());
        let amqp = amqp_side::AmqpFront::new(live.clone(), access.clone(), stopping, alive);
        let web_sockets = WebSocketHandlers { mqtt: front.handler(), amqp: amqp.handler() };
        let faults = Arc::new(FaultInjector::new(Duration::ZERO, FaultSpec::default()));
        let unlimited = Arc::new(crate::limits::admission::Admission::new(None));
        let service = Service::new(live.clone(), access, web_sockets, Some(10), unlimited, faults, Arc::new([]));
        Self { live, service, front, amqp, changes, seconds, _stop: stop }
    }

    /// Answers a request, unless the answer waits for something that does not come.
    async fn answer(&self, request: Request<Body>) -> Option<Response> {
        self.seconds.fetch_add(1, Ordering::Relaxed);
        let response = tokio::select! {
            response = self.service.answer_in_process(request) => response,
            () = turns(PATIENCE) => return None,
        };
        let status = response.status();
        assert!(status != StatusCode::INTERNAL_SERVER_ERROR, "{response:?}");
        let refused = status.is_client_error() || status.is_server_error();
        assert_eq!(refused, response.headers().contains_key(ERROR_CODE_HEADER), "{response:?}");
        Some(response)
    }

    /// Looks that a hub which is started from what this one has put on its disk has what this one has.
    fn restarts(self, mut disk: Disk) {
        let Self { live, service, front, amqp, changes, seconds: _, _stop } = self;
        drop((service, front, amqp));
        let now = live.now();
        let mut hub = Arc::into_inner(live).expect("nobody else has it any more").into_hub();
        for change in changes.try_iter() {
            keep(&mut disk, &change.records);
        }
        settle(&mut hub, &mut disk, now);
        compare(&hub, &disk);
    }
}

/// Requests, with lines `---` between them, over the whole service side: each is answered, and never with the hub's own
/// failure; what the hub then has is what it would find on its disk. A request is `METHOD PATH`, headers, an empty line and a
/// body; a token and a version come of themselves where there are none.
pub fn http(input: &[u8]) {
    let whole = Whole::new(Hub::default());
    runtime().block_on(async {
        for request in split(input).filter_map(|text| read_request(&text)).take(MANY) {
            let Some(response) = whole.answer(request).await else { continue };
            let body = response.into_body().collect().await.expect("the whole body is there").to_bytes();
            let json = serde_json::from_slice::<Value>(&body);
            assert!(body.is_empty() || json.is_ok(), "{}", String::from_utf8_lossy(&body));
        }
    });
    whole.restarts(Disk::new());
}

/// One connection, whatever is sent over it, while the device's twin is written and a method of it is called: it ends when its
/// client is gone, what the client gets is packets, and what it reported is on disk. The first byte says whether the client is
/// logged in before the rest is sent, whether it wants a clean session, and whether it was here before.
pub fn mqtt(input: &[u8]) {
    let Some((options, packets)) = input.split_first() else { return };
    let (hub, disk) = fleet();
    let whole = Whole::new(hub);
    runtime().block_on(async {
        if options & 4 != 0 {
            let mut before = login(false);
            before.extend_from_slice(KEEPS);
            connection(&whole, &before, false).await;
        }
        let mut sent = if options & 1 == 0 { login(options & 2 != 0) } else { Vec::new() };
        sent.extend_from_slice(packets);
        connection(&whole, &sent, true).await;
    });
    whole.restarts(disk);
}

/// One connection of a service's, whatever is sent over it, while there is feedback to be had: it ends with its client, what the
/// client gets is frames, and what it sent to devices is on disk. The first byte says whether the client has opened a session by
/// a token before the rest is sent.
pub fn amqp(input: &[u8]) {
    let Some((options, sent)) = input.split_first() else { return };
    let (hub, disk) = fleet();
    let whole = Whole::new(hub);
    runtime().block_on(async {
        let device: DeviceId = "a".parse().expect("an id");
        let others = vec![("iothub-ack".to_owned(), Some("full".to_owned()))];
        let properties = MessageProperties { others, ..MessageProperties::default() };
        let message = Box::new(MessageBody { properties, ..MessageBody::default() });
        whole.live.handle(SendMessage { to: device.clone().into(), message }).await.expect("there is room");
        whole.live.handle(PurgeMessages { device: device.clone() }).await.expect("it is there");
        let mut all = if options & 1 == 0 { session() } else { Vec::new() };
        all.extend_from_slice(sent);
        let (client, server) = tokio::io::duplex(1 << 20);
        let (source, sink) = stream::stream(server);
        let (mut read, mut write) = tokio::io::split(client);
        let speak = async {
            let _ = write.write_all(&all).await;
            turns(8).await;
            let _ = write.shutdown().await;
        };
        let listen = async {
            let mut got = Vec::new();
            let _ = read.read_to_end(&mut got).await;
            got
        };
        let served = whole.amqp.clone().serve(source, sink);
        let both = async { tokio::join!(served, speak, listen) };
        let ((), (), got) = tokio::time::timeout(Duration::from_secs(10), both).await.expect("it ends with its client");
        let mut got = got.as_slice();
        while !got.is_empty() {
            let size = match got {
                [b'A', b'M', b'Q', b'P', ..] => 8,
                [a, b, c, d, 2, 0 | 1, _, _, ..] => u32::from_be_bytes([*a, *b, *c, *d]) as usize,
                _ => panic!("what the hub sends is frames: {got:x?}"),
            };
            assert!((8..=65_536).contains(&size), "a frame of {size} bytes");
            got = got.get(size..).expect("what the hub sends is whole");
        }
    });
    whole.restarts(disk);
}

/// How a service begins: SASL with a token as its password, a connection, a session.
fn session() -> Vec<u8> {
    fn frame(kind: u8, code: u8, fields: &[&[u8]]) -> Vec<u8> {
        let fields_bytes = fields.concat();
        let length = u32::try_from(fields_bytes.len() + 4).expect("short").to_be_bytes();
        let count = u32::try_from(fields.len()).expect("few").to_be_bytes();
        let body = [&[0, 0x53, code, 0xd0][..], &length, &count, &fields_bytes].concat();
        let size = u32::try_from(body.len() + 8).expect("short").to_be_bytes();
        [&size[..], &[2, kind, 0, 0], &body].concat()
    }
    let token = sas::sign(HOST, &key(), 4_000_000_000, Some("service"));
    let password = format!("\0service\0{}", token.expose());
    let length = u32::try_from(password.len()).expect("short").to_be_bytes();
    let response = [&[0xb0][..], &length, password.as_bytes()].concat();
    [
        b"AMQP\x03\x01\x00\x00".to_vec(),
        frame(1, 0x41, &[b"\xa3\x05PLAIN", &response]),
        b"AMQP\x00\x01\x00\x00".to_vec(),
        frame(0, 0x10, &[b"\xa1\x04fuzz"]),
        frame(0, 0x11, &[b"\x40", b"\x43", b"\x52\x7f", b"\x52\x7f"]),
    ]
    .concat()
}

/// A SUBSCRIBE to the desired patches and to methods.
const KEEPS: &[u8] =
    b"\x82\x45\x00\x01\x00\x27$iothub/twin/PATCH/properties/desired/#\x01\x00\x16$iothub/methods/POST/#\x00";

fn login(clean: bool) -> Vec<u8> {
    let token = sas::sign(&format!("{HOST}/devices/a"), &key(), 4_000_000_000, None);
    let mut connect = mqttbytes::v4::Connect::new("a");
    connect.clean_session = clean;
    connect.set_login(format!("{HOST}/a/?api-version=2021-04-12"), token.expose().to_owned());
    let mut buffer = BytesMut::new();
    connect.write(&mut buffer).expect("a short packet");
    buffer.to_vec()
}

/// Sends bytes over a connection, has the service side at work meanwhile, and reads to the end.
async fn connection(whole: &Whole, sent: &[u8], with_service: bool) {
    let (client, server) = tokio::io::duplex(1 << 20);
    let (source, sink) = stream::stream(server);
    let (mut read, mut write) = tokio::io::split(client);
    let speak = async {
        let _ = write.write_all(sent).await;
        let requests: &[&str] = if with_service {
            &[
                "PATCH /twins/a\n\n{\"properties\":{\"desired\":{\"interval\":{\"a\":1}}}}",
                "POST /twins/a/methods\n\n{\"methodName\":\"m\",\"payload\":{},\"responseTimeoutInSeconds\":5}",
                "PUT /twins/a\n\n{\"properties\":{\"desired\":{\"b\":[1]}}}",
            ]
        } else {
            &[]
        };
        for request in requests {
            let request = read_request(request.as_bytes()).expect("a request");
            // The connection has its turns while the answer waits.
            let _ = whole.answer(request).await;
        }
        turns(8).await;
        let _ = write.shutdown().await;
    };
    let listen = async {
        let mut got = Vec::new();
        let _ = read.read_to_end(&mut got).await;
        got
    };
    let served = whole.front.clone().serve(source, sink, None);
    let all = async { tokio::join!(served, speak, listen) };
    let ((), (), got) = tokio::time::timeout(Duration::from_secs(10), all).await.expect("it ends with its client");
    let mut got = BytesMut::from(&*got);
    while !got.is_empty() {
        mqttbytes::v4::read(&mut got, usize::MAX).expect("what the hub sends is packets");
    }
}

/// A hub with the devices `a` and `b` and the module `a/m`, and its disk.
fn fleet() -> (Hub, Disk) {
    static FLEET: OnceLock<Disk> = OnceLock::new();
    let disk = FLEET.get_or_init(|| {
        let keys = key().to_base64();
        let body = format!(
            "{{\"authentication\":{{\"type\":\"sas\",\"symmetricKey\":{{\"primaryKey\":{0:?},\"secondaryKey\":{0:?}}}}}}}",
            keys.expose()
        );
        let whole = Whole::new(Hub::default());
        runtime().block_on(async {
            for path in ["/devices/a", "/devices/b", "/devices/a/modules/m"] {
                let request = format!("PUT {path}\n\n{body}");
                let response = whole.answer(read_request(request.as_bytes()).expect("a request")).await;
                assert!(response.is_some_and(|response| response.status().is_success()));
            }
        });
        let mut disk = Disk::new();
        for change in whole.changes.try_iter() {
            keep(&mut disk, &change.records);
        }
        disk
    });
    (restore(disk).expect("a hub"), disk.clone())
}

/// Records as they stand on the disk, a line each: the table, its key and the JSON. A hub starts from them or refuses them;
/// started, it does what is asked of it, and would start again.
pub fn store(input: &[u8]) {
    let mut disk = BTreeMap::new();
    for line in input.split(|byte| *byte == b'\n').take(MANY) {
        let mut words = line.splitn(3, |byte| *byte == b' ');
        let (Some(table), Some(key), Some(bytes)) = (words.next(), words.next(), words.next()) else { continue };
        let table = Table::ALL.into_iter().find(|known| known.name().replace(' ', "-").as_bytes() == table);
        let key = str::from_utf8(key).ok().and_then(|key| key.parse::<u64>().ok());
        if let (Some(table), Some(key)) = (table, key) {
            disk.insert((table, key), bytes.to_vec());
        }
    }
    let Ok(mut hub) = restore(&disk) else { return };
    let now = START;
    let devices: Vec<_> = hub.devices_after(0).cloned().collect();
    settle(&mut hub, &mut disk, now);
    for device in devices {
        let patch = json!({ "tags": { "a": 1 }, "properties": { "desired": { "a": { "b": null }, "c": 1 } } });
        let body = TwinBody::decode(patch).expect("a body");
        let if_match = IfMatch::Absent;
        let write =
            |how| WriteTwin { id: device.id.clone().into(), how, body: body.clone(), if_match: if_match.clone() };
        let put = PutDevice {
            id: device.id.clone(),
            body: Box::default(),
            if_match: IfMatch::Any,
            entropy: Entropy([7; 80]),
        };
        for change in [
            hub.handle(write(TwinWrite::Merge), now).change,
            hub.handle(write(TwinWrite::Replace), now).change,
            hub.handle(put, now).change,
        ] {
            keep(&mut disk, change.iter().flat_map(|change| &change.records));
        }
    }
    compare(&hub, &disk);
}

type Disk = BTreeMap<(Table, u64), Vec<u8>>;

fn keep<'r>(disk: &mut Disk, records: impl IntoIterator<Item = &'r Record>) {
    for record in records {
        match encode(record) {
            Some(bytes) => disk.insert(Table::of(record), bytes),
            None => disk.remove(&Table::of(record)),
        };
    }
}

fn restore(disk: &Disk) -> Result<Hub, serde_json::Error> {
    let records: Vec<Record> =
        disk.iter().map(|((table, key), bytes)| table.decode(*key, bytes)).collect::<Result<_, _>>()?;
    Ok(Hub::restore(records, 0))
}

/// Lets the hub do a part of its own work.
fn perform<A: Ask>(hub: &mut Hub, disk: &mut Disk, ask: A, now: OffsetDateTime) -> A::Reply {
    let Outcome { reply, change, .. } = hub.handle(ask, now);
    keep(disk, change.iter().flat_map(|change| &change.records));
    reply.unwrap_or_else(|refusal| panic!("the hub's own work is not refused: {refusal}"))
}

/// Lets the hub do what it does without being asked, until there is no more to do.
fn settle(hub: &mut Hub, disk: &mut Disk, now: OffsetDateTime) {
    for step in 0..MANY {
        // Jobs can be planned a week ahead.
        let now = now + time::Duration::hours(8 * i64::try_from(step).expect("a small number"));
        let Evaluated { done } = perform(hub, disk, EvaluateConfigurations { limit: 8 }, now);
        let step = perform(hub, disk, RunJobs { limit: 8 }, now);
        // Their time is over before the last step.
        let Swept { waiting } = perform(hub, disk, SweepMessages, now);
        let busy = !done || step.more || step.waiting || waiting || !step.calls.is_empty();
        for call in step.calls {
            let outcome = Err(Refusal::new(ErrorCode::DeviceNotOnline, "it is not there"));
            perform(hub, disk, FinishDeviceJob { device_job: call.device_job, outcome }, now);
        }
        if !busy {
            return;
        }
    }
}

/// Looks that a hub which starts from the disk has what this one has.
fn compare(hub: &Hub, disk: &Disk) {
    let restored = restore(disk).unwrap_or_else(|error| panic!("a record that is not read back: {error}"));
    assert_eq!(documents(hub), documents(&restored), "after a restart");
}

/// Returns the documents of all devices and modules, but for who is connected.
pub(crate) fn documents(hub: &Hub) -> Vec<(u64, String)> {
    let devices = hub.devices_after(0).map(|it| (it.sequence, [&it.identity, &it.twin]));
    let modules = hub.modules.after(0).map(|it| (it.sequence, [&it.identity, &it.twin]));
    let mut all = Vec::new();
    for (sequence, documents) in devices.chain(modules) {
        for document in documents {
            let mut document: OrderedObject = serde_json::from_str(document.as_str()).expect("a kept document is JSON");
            for passing in ["connectionState", "connectionStateUpdatedTime", "lastActivityTime"] {
                document.remove(passing);
            }
            all.push((sequence, document.to_string()));
        }
    }
    all
}

fn split(input: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let mut rest = Some(input.to_vec());
    std::iter::from_fn(move || {
        let text = rest.take()?;
        match text.windows(SEPARATOR.len()).position(|window| window == SEPARATOR) {
            Some(at) => {
                rest = Some(text[at + SEPARATOR.len()..].to_vec());
                Some(text[..at].to_vec())
            }
            None => Some(text),
        }
    })
}

/// Reads a request, as far as it is one that a server would hand on.
fn read_request(text: &[u8]) -> Option<Request<Body>> {
    let end = text.windows(2).position(|window| window == b"\n\n");
    let (head, body) = end.map_or((text, &[][..]), |end| (&text[..end], &text[end + 2..]));
    let mut lines = head.split(|byte| *byte == b'\n');
    let first = lines.next()?;
    let space = first.iter().position(|byte| *byte == b' ')?;
    let method = Method::from_bytes(&first[..space]).ok()?;
    let mut target = first[space + 1..].to_vec();
    if !target.contains(&b'?') {
        target.extend_from_slice(format!("?api-version={API_VERSION}").as_bytes());
    }
    let target = Uri::try_from(target).ok().filter(|uri| uri.path().starts_with('/'))?;
    let mut request = Request::builder().method(method).uri(target).body(Body::from(body.to_vec())).ok()?;
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_bytes(&line[..colon]).ok()?;
        request.headers_mut().append(name, HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?);
    }
    if !request.headers().contains_key(header::AUTHORIZATION) {
        let token = sas::sign(HOST, &key(), 4_000_000_000, Some("iothubowner"));
        request.headers_mut().insert(header::AUTHORIZATION, HeaderValue::try_from(token.expose()).ok()?);
    }
    Some(request)
}
