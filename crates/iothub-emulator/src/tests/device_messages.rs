//! Devices over HTTPS: their messages in both directions, and what the embedded hub does not have for them.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http::Request;
use http_body_util::BodyExt;
use serde_json::Value;
use serde_json::json;
use tokio::sync::mpsc;
use tokio::sync::watch;

use crate::FaultSpec;
use crate::access::{Access, Policies};
use crate::core::command::Entropy;
use crate::core::messages::MessageBody;
use crate::core::requests::devices::PutDevice;
use crate::core::requests::messages::SendMessage;
use crate::core::requests::twins::GetTwin;
use crate::core::session::Fingerprints;
use crate::core::state::Hub;
use crate::faults::injection::FaultInjector;
use crate::frontends::https::Service;
use crate::frontends::{amqp, mqtt};
use crate::handle::HubHandle;
use crate::store::Committer;
use crate::tests::{NOW, clock};
use crate::transport::web_socket::{ClientCertificate, WebSocketHandlers};
use iothub_model::twin::IfMatch;
use iothub_model::wire::messages::MessageProperties;
use iothub_model::wire::sas;
use iothub_model::wire::sas::Key;

const HOST: &str = "hub.example";

struct Bench {
    live: Arc<HubHandle>,
    service: Service,
    _stop: watch::Sender<bool>,
}

fn policy_key() -> Key {
    Key::from_bytes([7; 32])
}

fn device_key() -> Key {
    Key::from_bytes(*b"the primary key of all devices!!")
}

fn token(resource: &str, key: &Key, policy: Option<&str>, seconds: i64) -> String {
    let expiry = u64::try_from(NOW.unix_timestamp() + seconds).expect("after 1970");
    sas::sign(&format!("{HOST}{resource}"), key, expiry, policy).expose().to_owned()
}

impl Bench {
    async fn new() -> Self {
        let (committer, _) = Committer::without_disk();
        let live = Arc::new(HubHandle::new(Hub::default(), committer, clock().of_machine()));
        let access = Arc::new(Access::new(Policies::of_one_key(&policy_key()), HOST, &[HOST.to_owned()], 443));
        let (stop, stopping) = watch::channel(false);
        let alive = mpsc::channel(1).0;
        let web_sockets = WebSocketHandlers {
            mqtt: mqtt::MqttFront::new(live.clone(), access.clone(), stopping.clone(), alive.clone()).handler(),
            amqp: amqp::AmqpFront::new(live.clone(), access.clone(), stopping, alive).handler(),
        };
        let faults = Arc::new(FaultInjector::new(Duration::ZERO, FaultSpec::default()));
        let unlimited = Arc::new(crate::limits::admission::Admission::new(None));
        let service = Service::new(live.clone(), access, web_sockets, None, unlimited, faults, Arc::new([]));
        let bench = Self { live, service, _stop: stop };
        let keys = json!({ "symmetricKey": {
            "primaryKey": device_key().to_base64().expose(), "secondaryKey": Key::from_bytes([2; 32]).to_base64().expose()
        } });
        let certificate = json!({
            "type": "selfSigned", "x509Thumbprint": { "primaryThumbprint": Fingerprints::of(b"certificate").sha1 }
        });
        for (id, authentication, status) in [
            ("a+b", &keys, "enabled"),
            ("other", &keys, "enabled"),
            ("off", &keys, "disabled"),
            ("x509", &certificate, "enabled"),
        ] {
            let body = serde_json::from_value(json!({ "authentication": authentication, "status": status }));
            let body = Box::new(body.expect("a body"));
            let (id, entropy) = (id.parse().expect(id), Entropy([1; 80]));
            let put = PutDevice { id, body, if_match: IfMatch::Absent, entropy };
            bench.live.handle(put).await.expect("a device");
        }
        bench
    }

    async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &'static [u8]) -> Response {
        self.ask_with(method, path, headers, body, None).await
    }

    async fn ask_with(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &'static [u8],
        certificate: Option<&[u8]>,
    ) -> Response {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(Body::from(body)).expect("a request");
        request.extensions_mut().insert(ClientCertificate(certificate.map(Fingerprints::of)));
        self.service.answer_in_process(request).await
    }

    async fn send(
        &self,
        id: &str,
        properties: MessageProperties,
        expires: Option<time::OffsetDateTime>,
        payload: &'static str,
    ) {
        let expires = expires.map(|at| at.unix_timestamp() * 1000);
        let message = Box::new(MessageBody { properties, expires, payload: payload.into() });
        let send = SendMessage { to: id.parse().expect(id), message };
        self.live.handle(send).await.expect("there is room");
    }
}

fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}

async fn text(response: Response) -> String {
    let bytes = response.into_body().collect().await.expect("a body").to_bytes();
    String::from_utf8(bytes.to_vec()).expect("text")
}

const PATH: &str = "/devices/a%2Bb/messages/deviceBound?api-version=2020-03-13";

#[tokio::test]
async fn messages_to_a_device() {
    let bench = Bench::new().await;
    let token = token("/devices/a+b", &device_key(), None, 3600);
    let own = [("Authorization", token.as_str())];
    assert_eq!(bench.ask("GET", PATH, &own, b"").await.status(), 204, "there is none");
    assert_eq!(bench.ask("HEAD", PATH, &own, b"").await.status(), 405, "HEAD would take what it does not show");
    let properties = MessageProperties {
        message_id: Some("m1".to_owned()),
        to: Some("/devices/a%2Bb/messages/deviceBound".to_owned()),
        correlation_id: Some("c1".to_owned()),
        user_id: Some("me".to_owned()),
        content_type: Some("application/json".to_owned()),
        content_encoding: Some("utf-8".to_owned()),
        expiry: None,
        others: vec![
            ("Level".to_owned(), Some("high 5".to_owned())),
            ("flag".to_owned(), None),
            ("iothub-ack".to_owned(), Some("full".to_owned())),
        ],
    };
    let expires = NOW + time::Duration::seconds(3 * 3600 + 5 * 60 + 9);
    bench.send("a+b", properties, Some(expires), "{\"a\": 1}").await;
    let answer = bench.ask("GET", &PATH.replace("deviceBound", "devicebound"), &own, b"").await;
    assert_eq!(answer.status(), 200);
    let etag = header(&answer, "etag").expect("a lock").to_owned();
    for (name, value) in [
        ("iothub-messageid", "m1"),
        ("iothub-to", "/devices/a%2Bb/messages/deviceBound"),
        ("iothub-correlationid", "c1"),
        ("iothub-userid", "me"),
        ("iothub-ack", "full"),
        ("contenttype", "application/json"),
        ("contentencoding", "utf-8"),
        ("iothub-app-level", "high 5"),
        ("iothub-app-flag", ""),
        ("iothub-enqueuedtime", "11/24/2026 10:00:00 AM"),
        ("iothub-expiry", "11/24/2026 1:05:09 PM"),
        ("iothub-deliverycount", "0"),
    ] {
        assert_eq!(header(&answer, name), Some(value), "{name}");
    }
    assert!(header(&answer, "iothub-sequencenumber").is_some_and(|number| number.parse::<u64>().is_ok()));
    assert_eq!(header(&answer, "iothub-app-iothub-ack"), None);
    assert_eq!(text(answer).await, "{\"a\": 1}");
    assert_eq!(bench.ask("GET", PATH, &own, b"").await.status(), 204, "it is locked");

    let lock = etag.trim_matches('"');
    assert!(etag.starts_with('"') && etag.ends_with('"'), "{etag}");
    let of = |lock: &str, rest: &str| format!("/devices/a%2Bb/messages/deviceBound/{lock}{rest}");
    let abandon = of(lock, "/abandon?api-version=2020-03-13");
    assert_eq!(bench.ask("POST", &abandon, &own, b"").await.status(), 204);
    let lost = bench.ask("POST", &abandon, &own, b"").await;
    assert_eq!((lost.status().as_u16(), header(&lost, "iothub-errorcode")), (412, Some("DeviceMessageLockLost")));
    let again = bench.ask("GET", PATH, &own, b"").await;
    assert_eq!(header(&again, "iothub-deliverycount"), Some("1"));
    let again = of(header(&again, "etag").expect("a lock").trim_matches('"'), "?api-version=2020-03-13");
    assert_eq!(bench.ask("DELETE", &again, &own, b"").await.status(), 204);
    bench.send("a+b", MessageProperties::default(), None, "bare").await;
    for (rest, left) in [("?api-version=2020-03-13", 204), ("?reject&api-version=2016-11-14", 204)] {
        let answer = bench.ask("GET", PATH, &[own[0], ("IotHub-MessageLockTimeout", "10")], b"").await;
        let bare = ["iothub-messageid", "iothub-correlationid", "iothub-userid", "iothub-expiry", "iothub-ack"];
        assert_eq!(bare.map(|name| header(&answer, name)), [Some(""), Some(""), Some(""), Some(""), Some("none")]);
        assert_eq!(header(&answer, "iothub-to"), Some("/devices/a+b/messages/deviceBound"));
        let lock = header(&answer, "etag").expect("a lock").trim_matches('"').to_owned();
        assert_eq!(bench.ask("DELETE", &of(&lock, rest), &own, b"").await.status(), left, "{rest}");
        assert_eq!(bench.ask("GET", PATH, &own, b"").await.status(), 204, "{rest}");
        bench.send("a+b", MessageProperties::default(), None, "next").await;
    }
    for timeout in ["0", "301", "soon"] {
        let answer = bench.ask("GET", PATH, &[own[0], ("IotHub-MessageLockTimeout", timeout)], b"").await;
        assert_eq!(answer.status(), 400, "{timeout}");
    }
}

#[tokio::test]
async fn messages_of_a_device() {
    let bench = Bench::new().await;
    let token = token("/devices/a+b", &device_key(), None, 3600);
    let own = ("Authorization", token.as_str());
    let path = "/devices/a%2Bb/messages/events?api-version=2020-03-13";
    for (headers, body, status) in [
        (vec![own], &b"hello"[..], 204),
        (vec![own], b"", 204),
        (vec![own, ("Content-Type", "application/vnd.microsoft.iothub.json")], b"[{\"body\":\"aGk=\"}]", 204),
        (vec![own, ("iothub-app-level", "1")], b"x", 204),
        (vec![own], &[b'x'; 256 * 1024], 204),
        (vec![own], &[b'x'; 256 * 1024 + 1], 413),
        (vec![], b"x", 401),
    ] {
        assert_eq!(bench.ask("POST", path, &headers, body).await.status(), status, "{} bytes", body.len());
    }
    let fault = [own, ("iothub-app-AzIoTHub_FaultOperationType", "KillTcp")];
    let answer = bench.ask("POST", path, &fault, b"x").await;
    assert_eq!(answer.status(), 400);
    assert!(text(answer).await.contains("no fault injection by message properties"));
    // It is an activity, and no connection.
    let twin = bench.live.handle(GetTwin { id: "a+b".parse().expect("an id") }).await.expect("a twin");
    let twin: Value = serde_json::from_str(twin.document().as_str()).expect("JSON");
    assert_eq!(twin["connectionState"], "Disconnected");
    assert!(twin["lastActivityTime"].as_str().expect("a time").starts_with("2026-11-24T10:00:00"));
}

#[tokio::test]
async fn who_is_a_device() {
    let bench = Bench::new().await;
    let (own, policy) = (device_key(), policy_key());
    for (name, id, token, expected) in [
        ("its key", "a%2Bb", token("/devices/a+b", &own, None, 3600), 204),
        ("its secondary key", "a%2Bb", token("/devices/a+b", &Key::from_bytes([2; 32]), None, 3600), 204),
        ("its id encoded twice", "a%2Bb", token("/devices/a%2Bb", &own, None, 3600), 204),
        ("a little late", "a%2Bb", token("/devices/a+b", &own, None, -299), 204),
        ("the policy `device`", "a%2Bb", token("", &policy, Some("device"), 3600), 204),
        ("the owner's policy", "a%2Bb", token("", &policy, Some("iothubowner"), 3600), 204),
        ("too late", "a%2Bb", token("/devices/a+b", &own, None, -300), 401),
        ("another policy", "a%2Bb", token("", &policy, Some("service"), 3600), 401),
        (
            "a policy of one device, its id encoded twice",
            "a%2Bb",
            token("/devices/a%2Bb", &policy, Some("device"), 3600),
            401,
        ),
        ("another device", "a%2Bb", token("/devices/other", &own, None, 3600), 401),
        ("another device's path", "other", token("/devices/a+b", &own, None, 3600), 401),
        ("another key", "a%2Bb", token("/devices/a+b", &Key::from_bytes([9; 32]), None, 3600), 401),
        ("a device that is off", "off", token("/devices/off", &own, None, 3600), 401),
        ("nobody", "nobody", token("/devices/nobody", &own, None, 3600), 401),
        ("a device with a certificate", "x509", token("/devices/x509", &own, None, 3600), 401),
        ("no token", "a%2Bb", "hello".to_owned(), 401),
    ] {
        let path = format!("/devices/{id}/messages/deviceBound?api-version=2021-04-12");
        let answer = bench.ask("GET", &path, &[("Authorization", &token)], b"").await;
        assert_eq!(answer.status(), expected, "{name}");
        if expected == 401 {
            assert_eq!(header(&answer, "iothub-errorcode"), Some("IotHubUnauthorized"), "{name}");
        }
    }
    let path = "/devices/x509/messages/deviceBound?api-version=2021-04-12";
    for (certificate, expected) in [(Some(&b"certificate"[..]), 204), (Some(b"another"), 401), (None, 401)] {
        assert_eq!(bench.ask_with("GET", path, &[], b"", certificate).await.status(), expected);
    }
    let token = token("/devices/a+b", &own, None, 3600);
    for (version, expected) in [
        ("?api-version=2016-02-03", 204),
        ("?api-version=2020-05-31-preview", 204),
        ("?api-version=now", 400),
        ("?api-version=2020/05/31", 400),
        ("", 400),
    ] {
        let path = format!("/devices/a%2Bb/messages/deviceBound{version}");
        assert_eq!(bench.ask("GET", &path, &[("Authorization", &token)], b"").await.status(), expected, "{version}");
    }
}

#[tokio::test]
async fn what_is_left_out_is_named() {
    let bench = Bench::new().await;
    let token = token("/devices/a+b", &device_key(), None, 3600);
    for (method, path, sentence) in [
        ("POST", "/devices/a%2Bb/files", "no file upload"),
        ("POST", "/devices/a%2Bb/files/notifications", "no file upload"),
        ("POST", "/devices/a%2Bb/files/notifications/c", "no file upload"),
        ("GET", "/messages/serviceBound/filenotifications", "no file upload"),
        ("GET", "/messages/events", "no events endpoint"),
        ("GET", "/messages/serviceBound/feedback", "over AMQP alone"),
        ("POST", "/devices/a%2Bb/modules/m/messages/events", "no modules over HTTPS"),
        ("GET", "/devices/a%2Bb/messages/outbox", "messages/events and messages/deviceBound"),
        ("GET", "/somewhere", "there is no such resource"),
    ] {
        let path = format!("{path}?api-version=2021-04-12");
        let answer = bench.ask(method, &path, &[("Authorization", &token)], b"{}").await;
        assert_eq!((answer.status().as_u16(), header(&answer, "iothub-errorcode")), (404, Some("InvalidOperation")));
        let body = text(answer).await;
        assert!(body.contains(sentence), "{path}: {body}");
    }
}
