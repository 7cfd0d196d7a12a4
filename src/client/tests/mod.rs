//! What the client does about a hub that misbehaves, and what a user reads then.

pub(crate) mod hub;
pub(crate) mod server;

use std::error::Error as _;
use std::fmt::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use self::server::{Reply, Server, answer, expired, json, options};
use super::*;
use iothub_model::wire::ConnectionString;
use iothub_model::wire::Secret;

const TWIN: &str = r#"{"deviceId":"a","etag":"AAE=","tags":{"x":1},"properties":{"desired":{},"reported":{}}}"#;

fn id() -> TwinId {
    "a".parse().expect("an id")
}

fn patch() -> MergePatch {
    let mut patch = MergePatch::default();
    patch.set(&"desired.power".parse().expect("a path"), json!(1));
    patch
}

/// The error as a user sees it, and a look that no secret is in any form of it.
fn shown(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        write!(text, "\n  because: {error}").expect("written");
        cause = error.source();
    }
    if let Some(advice) = error.advice() {
        write!(text, "\n  hint: {advice}").expect("written");
    }
    let everything = format!("{text}{error:?}");
    assert!(!everything.contains("SharedAccessSignature") && !everything.contains("AAEC"), "{everything}");
    text
}

#[tokio::test]
async fn what_a_user_reads_when_the_hub_answers_oddly() {
    const E1: &str = "content-type: application/json; charset=utf-8\r\n";
    let own = |status: &str, code: &str, text: &str, headers: &str| {
        let body = format!(
            r#"{{"Message":"ErrorCode:{code};{text}","ExceptionMessage":"Tracking ID:f00d-G:1-TimeStamp:11/24/2026 20:26:40"}}"#
        );
        answer(status, &format!("{E1}iothub-errorcode: {code}\r\n{headers}"), &body)
    };
    let cases = [
        ("html", answer("200 OK", "content-type: text/html\r\n", "<html>welcome</html>")),
        ("empty", json("")),
        ("half a JSON", json(r#"{"deviceId":"a","etag":"#)),
        ("another twin", json(&TWIN.replace(r#""a""#, r#""b""#))),
        ("no twin", json("[]")),
        ("no content", answer("204 No Content", "", "")),
        ("too long", json(&" ".repeat((4 << 20) + 1))),
        ("redirect", answer("302 Found", "location: https://example.com/\r\n", "")),
        ("closed", Reply::Close),
        ("half an answer", Reply::SendAndClose("HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{".to_owned())),
        ("no HTTP", Reply::SendAndClose("SSH-2.0-OpenSSH\r\n\r\n".to_owned())),
        (
            "wrong key",
            own(
                "401 Unauthorized",
                "IotHubUnauthorizedAccess",
                "Unauthorized",
                "date: Tue, 24 Nov 2026 20:26:41 GMT\r\n",
            ),
        ),
        (
            "wrong clock",
            own(
                "401 Unauthorized",
                "IotHubUnauthorizedAccess",
                "Unauthorized",
                "date: Tue, 24 Nov 2026 23:00:00 GMT\r\n",
            ),
        ),
        ("quota", own("403 Forbidden", "IotHubQuotaExceeded", "Total number of messages exceeded", "")),
        ("proxy's 404", answer("404 Not Found", "content-type: text/html\r\n", "<html>no</html>")),
        ("another 404", own("404 Not Found", "IotHubNotFound", "no such hub", "")),
        ("conflict", own("412 Precondition Failed", "PreconditionFailed", "ETag mismatch", "")),
        ("busy", own("429 Too Many Requests", "ThrottlingBacklogTimeout", "wait 10 seconds", "connection: close\r\n")),
        ("busy, says how long", own("429 Too Many Requests", "ThrottlingException", "wait", "retry-after: 900\r\n")),
        ("down", answer("503 Service Unavailable", "content-type: text/html\r\n", "<html>down</html>")),
        ("bad query", own("400 Bad Request", "ArgumentInvalid", "BadRequest", "")),
    ];
    let server = Server::start(cases.iter().map(|(_, reply)| reply.clone())).await;
    let client = server.client();
    let mut text = String::new();
    for (name, _) in &cases {
        let error = client.get_twin(&id()).await.expect_err(name);
        writeln!(text, "{name}: {}", shown(&error)).expect("written");
    }
    insta::assert_snapshot!(server.steady(&text), @r"
    html: GET https://127.0.0.1:PORT/twins/a: the answer makes no sense: it is not JSON, its type is text/html (line 1, column 1)
      hint: look whether the host is an IoT hub, and whether a proxy stands between
    empty: GET https://127.0.0.1:PORT/twins/a: the answer makes no sense: it is empty
      hint: look whether the host is an IoT hub, and whether a proxy stands between
    half a JSON: GET https://127.0.0.1:PORT/twins/a: the answer makes no sense: it is cut off (line 1, column 23)
      hint: look whether the host is an IoT hub, and whether a proxy stands between
    another twin: GET https://127.0.0.1:PORT/twins/a: the answer makes no sense: it is the twin of b
      hint: look whether the host is an IoT hub, and whether a proxy stands between
    no twin: GET https://127.0.0.1:PORT/twins/a: the answer makes no sense: it is not a twin: it is not an object
      hint: look whether the host is an IoT hub, and whether a proxy stands between
    no content: GET https://127.0.0.1:PORT/twins/a: the answer makes no sense: its status is 204
      hint: look whether the host is an IoT hub, and whether a proxy stands between
    too long: GET https://127.0.0.1:PORT/twins/a: the answer makes no sense: it is longer than 4 MiB
      hint: look whether the host is an IoT hub, and whether a proxy stands between
    redirect: GET https://127.0.0.1:PORT/twins/a: the hub answers 302: a redirect, which is not followed
      hint: this does not look like IoT Hub's own words: look at the host name
    closed: GET https://127.0.0.1:PORT/twins/a: the answer did not come
      because: connection closed before message completed
      hint: try again later
    half an answer: GET https://127.0.0.1:PORT/twins/a: the answer did not come
      because: end of file before message length reached
      hint: try again later
    no HTTP: GET https://127.0.0.1:PORT/twins/a: the answer did not come
      because: invalid HTTP version parsed
      hint: try again later
    wrong key: GET https://127.0.0.1:PORT/twins/a: the hub refuses the credentials: IotHubUnauthorizedAccess: Unauthorized (tracking id f00d-G:1-TimeStamp:11/24/2026 20:26:40)
      hint: look at the key, and at the policy's rights: reading and writing twins needs ServiceConnect, which `service` and `iothubowner` have by default
    wrong clock: GET https://127.0.0.1:PORT/twins/a: the hub refuses the credentials: IotHubUnauthorizedAccess: Unauthorized (tracking id f00d-G:1-TimeStamp:11/24/2026 20:26:40)
      hint: this machine's clock is 153 minutes behind the hub's; a token is only good at its time
    quota: GET https://127.0.0.1:PORT/twins/a: the hub answers 403: IotHubQuotaExceeded: Total number of messages exceeded (tracking id f00d-G:1-TimeStamp:11/24/2026 20:26:40)
      hint: the hub's daily quota of messages is used up, and reading twins costs some too; it starts anew at 00:00 UTC, and more units bring more at once
    proxy's 404: GET https://127.0.0.1:PORT/twins/a: the hub answers 404
      hint: this does not look like IoT Hub's own words: look at the host name
    another 404: GET https://127.0.0.1:PORT/twins/a: the hub answers 404: IotHubNotFound: no such hub (tracking id f00d-G:1-TimeStamp:11/24/2026 20:26:40)
    conflict: GET https://127.0.0.1:PORT/twins/a: the twin has changed since it was read
    busy: GET https://127.0.0.1:PORT/twins/a: the hub answers that there are too many requests: ThrottlingBacklogTimeout: wait 10 seconds (tracking id f00d-G:1-TimeStamp:11/24/2026 20:26:40)
      hint: try again later, or with a smaller --concurrency
    busy, says how long: GET https://127.0.0.1:PORT/twins/a: the hub answers that there are too many requests: ThrottlingException: wait (tracking id f00d-G:1-TimeStamp:11/24/2026 20:26:40)
      hint: the hub asks for 900 seconds of patience: try again after that
    down: GET https://127.0.0.1:PORT/twins/a: the hub cannot answer now, it says 503
      hint: try again later
    bad query: GET https://127.0.0.1:PORT/twins/a: the hub answers 400: ArgumentInvalid: BadRequest (tracking id f00d-G:1-TimeStamp:11/24/2026 20:26:40)
    ");
    assert_eq!(server.requests().len(), cases.len(), "none was asked again");
}

#[tokio::test]
async fn what_a_user_reads_when_there_is_no_way_to_the_hub() {
    let mut text = String::new();
    let mut show = |name: &str, error: Error, steady: &dyn Fn(&str) -> String| {
        assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
        writeln!(text, "{name}: {}", steady(&shown(&error))).expect("written");
    };

    let server = Server::start([]).await;
    let other = Server::start([]).await;
    let client = server.client_with(|options| options.ca_pem = other.client_ca());
    show("untrusted", client.get_twin(&id()).await.expect_err("untrusted"), &|text| server.steady(text));

    let server = Server::with_certificate(
        |params| params.subject_alt_names = vec![rcgen::SanType::DnsName("my-hub.net".try_into().expect("a name"))],
        [],
    )
    .await;
    show("wrong name", server.client().get_twin(&id()).await.expect_err("wrong name"), &|text| server.steady(text));

    let server = Server::with_certificate(expired, []).await;
    let error = server.client().get_twin(&id()).await.expect_err("expired");
    assert!(matches!(error, Error::Unreachable { reason: Obstacle::OutOfDate, .. }), "{error:?}");

    let plain = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = plain.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = plain.accept().await {
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let client = HubClient::new(with_some_ca(options(&format!("127.0.0.1:{port}")), &server)).expect("a client");
    let steady = |text: &str| text.replace(&port.to_string(), "PORT");
    show("plain HTTP", client.get_twin(&id()).await.expect_err("plain HTTP"), &steady);

    // Bound, so that nobody else gets the port, and not listening.
    let closed = tokio::net::TcpSocket::new_v4().expect("a socket");
    closed.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
    let port = closed.local_addr().expect("an address").port();
    let client = HubClient::new(with_some_ca(options(&format!("127.0.0.1:{port}")), &server)).expect("a client");
    let steady = |text: &str| text.replace(&port.to_string(), "PORT");
    show("nobody there", client.get_twin(&id()).await.expect_err("nobody there"), &steady);

    let mut through_proxy = with_some_ca(options("my-hub.invalid"), &server);
    through_proxy.proxy =
        Some(ProxySettings { url: Secret::new(format!("http://user:hunter2@127.0.0.1:{port}")), except: None });
    let client = HubClient::new(through_proxy).expect("a client");
    let error = client.get_twin(&id()).await.expect_err("no proxy there");
    assert!(!format!("{error:?}").contains("hunter2"));
    show("no proxy there", error, &steady);

    insta::assert_snapshot!(text, @r#"
    untrusted: GET https://127.0.0.1:PORT/twins/a: the hub cannot be reached: its certificate is signed by nobody who is trusted here
      because: invalid peer certificate: BadSignature
      hint: give the certificate of its authority with --ca-file; `twinctl hub serve` says where its own is
    wrong name: GET https://127.0.0.1:PORT/twins/a: the hub cannot be reached: its certificate is made for another name
      because: invalid peer certificate: certificate not valid for name "127.0.0.1"; certificate is only valid for DnsName("my-hub.net")
      hint: use the host name that the certificate was made for
    plain HTTP: GET https://127.0.0.1:PORT/twins/a: the hub cannot be reached: what listens there does not speak TLS
      because: received corrupt message of type InvalidContentType
      hint: give the port on which the hub serves HTTPS
    nobody there: GET https://127.0.0.1:PORT/twins/a: the hub cannot be reached: nothing listens there
      because: Connection refused (os error 111)
      hint: look at the host and port, and whether the hub runs
    no proxy there: GET https://my-hub.invalid/twins/a: the hub cannot be reached: the proxy itself cannot be reached
      because: Connection refused (os error 111), where a proxy is set
      hint: look at the proxy's address in HTTPS_PROXY or ALL_PROXY
    "#);
}

fn with_some_ca(mut options: ClientOptions, server: &Server) -> ClientOptions {
    options.ca_pem = server.client_ca();
    options
}

#[test]
fn what_is_no_client() {
    let device = "HostName=h;DeviceId=d;SharedAccessKey=AAECAwQFBgcICQoLDA0ODw==";
    let mut of_a_device = options("h");
    of_a_device.connection = ConnectionString::parse(device).expect("a connection string");
    let mut no_pem = options("h");
    no_pem.ca_pem = Some(b"hello".to_vec());
    let mut bad_pem = options("h");
    bad_pem.ca_pem = Some(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_vec());
    let mut bad_proxy = options("h");
    bad_proxy.proxy = Some(ProxySettings { url: Secret::new("http://user:hunter2@:x"), except: None });
    bad_proxy.ca_pem = Some(rcgen_ca());
    for (options, message) in [
        (of_a_device, "the connection string is a device's; the service API needs one with a `SharedAccessKeyName`"),
        (no_pem, "the CA file: it holds no certificate; one begins with -----BEGIN CERTIFICATE-----"),
        (bad_pem, "the CA file: certificate 1: invalid peer certificate: BadEncoding"),
        (bad_proxy, "the proxy's URL cannot be read"),
    ] {
        assert_eq!(HubClient::new(options).expect_err(message).to_string(), message);
    }
}

fn rcgen_ca() -> Vec<u8> {
    let key = rcgen::KeyPair::generate().expect("a key");
    let params = rcgen::CertificateParams::new(vec!["h".to_owned()]).expect("names");
    params.self_signed(&key).expect("a certificate").pem().into_bytes()
}

#[tokio::test]
async fn reads_are_asked_again_and_say_so() {
    let server = Server::start([
        answer("429 Too Many Requests", "", ""),
        answer("503 Service Unavailable", "retry-after: 0\r\n", ""),
        answer("500 Internal Server Error", "", ""),
        Reply::Close,
        json(TWIN),
    ])
    .await;
    let retries = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&retries);
    let client = server.client_with(|options| {
        options.on_retry = Some(Arc::new(move |error, _| told.lock().expect("no panic").push(error.trouble())));
    });
    let Lookup::Found(twin) = client.get_twin(&id()).await.expect("found") else { panic!("there") };
    assert_eq!(twin.etag.as_str(), "AAE=");
    assert_eq!(server.requests(), ["GET /twins/a?api-version=2021-04-12 HTTP/1.1"; 5]);
    assert_eq!(
        *retries.lock().expect("no panic"),
        [
            Some(Trouble::Busy { retry_after: None }),
            Some(Trouble::Busy { retry_after: Some(Duration::ZERO) }),
            Some(Trouble::Passing),
            Some(Trouble::Passing),
        ]
    );
}

#[tokio::test]
async fn trouble_that_does_not_pass_ends() {
    let server = Server::start(std::iter::repeat_n(answer("502 Bad Gateway", "", ""), 9)).await;
    let client = server.client_with(|options| options.backoff.passing_attempts = 3);
    assert!(matches!(client.get_twin(&id()).await, Err(Error::Unavailable { .. })));
    assert_eq!(server.requests().len(), 4);
}

#[tokio::test]
async fn a_twin_is_absent_only_in_the_hubs_own_words() {
    let own = answer("404 Not Found", "iothub-errorcode: DeviceNotFound\r\n", "");
    let server = Server::start([own.clone(), own, answer("404 Not Found", "", "")]).await;
    let client = server.client();
    assert_eq!(client.get_twin(&id()).await.expect("an answer"), Lookup::Absent(id()));
    assert_eq!(client.get_device(&id().device).await.expect("an answer"), None);
    assert!(matches!(client.get_device(&id().device).await, Err(Error::Refused { .. })));
}

#[tokio::test]
async fn writes_are_guarded_and_sent_once() {
    let created = r#"{"deviceId":"a","status":"enabled","authentication":{"symmetricKey":{"primaryKey":"aGk="}}}"#;
    let exists = answer("409 Conflict", "iothub-errorcode: DeviceAlreadyExists\r\n", "");
    let server =
        Server::start([json(TWIN), json(TWIN), Reply::Close, json(TWIN), Reply::Close, exists, json(created)]).await;
    let client = server.client_with(|_| {});
    let etag = ETag::new("AAE=");
    let mut seen = Vec::new();
    // The second goes over a connection that was used before, and is lost: HTTP clients like to send again then.
    client.get_twin(&id()).await.expect("found");
    seen.push(format!("{:?}", client.update_twin(&id(), &patch(), &etag).await.map(|twin| twin.etag)));
    seen.push(shown(&client.update_twin(&id(), &patch(), &etag).await.expect_err("lost")));
    client.get_twin(&id()).await.expect("found");
    let device = id().device;
    seen.push(shown(&client.create_device(&device).await.expect_err("lost")));
    seen.push(shown(&client.create_device(&device).await.expect_err("exists")));
    let identity = client.create_device(&device).await.expect("created");
    assert_eq!(identity.primary_key(), Some(Secret::new("aGk=")));
    assert!(!format!("{identity:?}").contains("aGk="));
    insta::assert_snapshot!(server.steady(&seen.join("\n")), @r#"
    Ok("AAE=")
    PATCH https://127.0.0.1:PORT/twins/a: the answer did not come
      because: connection closed before message completed
      hint: try again later
    PUT https://127.0.0.1:PORT/devices/a: the answer did not come
      because: connection closed before message completed
      hint: try again later
    PUT https://127.0.0.1:PORT/devices/a: it is on the hub already: DeviceAlreadyExists
    "#);
    insta::assert_snapshot!(server.requests()[1..].join("\n\n"), @r#"
    PATCH /twins/a?api-version=2021-04-12 HTTP/1.1
    content-type: application/json; charset=utf-8
    if-match: "AAE="
    {"properties":{"desired":{"power":1}}}

    PATCH /twins/a?api-version=2021-04-12 HTTP/1.1
    content-type: application/json; charset=utf-8
    if-match: "AAE="
    {"properties":{"desired":{"power":1}}}

    GET /twins/a?api-version=2021-04-12 HTTP/1.1

    PUT /devices/a?api-version=2021-04-12 HTTP/1.1
    content-type: application/json; charset=utf-8
    {"deviceId":"a","status":"enabled"}

    PUT /devices/a?api-version=2021-04-12 HTTP/1.1
    content-type: application/json; charset=utf-8
    {"deviceId":"a","status":"enabled"}

    PUT /devices/a?api-version=2021-04-12 HTTP/1.1
    content-type: application/json; charset=utf-8
    {"deviceId":"a","status":"enabled"}
    "#);
    assert_eq!(server.requests().len(), 7);
}

#[tokio::test]
async fn what_cannot_be_sent_is_not() {
    let server = Server::start([]).await;
    let client = server.client();
    let mut text = String::new();
    for etag in ["*", "a\"b", "a\nb"] {
        let error = client.update_twin(&id(), &patch(), &ETag::new(etag)).await.expect_err(etag);
        writeln!(text, "{}", shown(&error)).expect("written");
    }
    for id in [".", ".."] {
        let error = client.get_twin(&id.parse().expect("an id")).await.expect_err(id);
        writeln!(text, "{}", shown(&error)).expect("written");
    }
    insta::assert_snapshot!(server.steady(&text), @r#"
    PATCH https://127.0.0.1:PORT/twins/a: nothing was sent: "*" is no etag of a twin
    PATCH https://127.0.0.1:PORT/twins/a: nothing was sent: "a\"b" is no etag of a twin
    PATCH https://127.0.0.1:PORT/twins/a: nothing was sent: "a\nb" is no etag of a twin
    GET https://127.0.0.1:PORT/twins/.: nothing was sent: a URL cannot hold this id
    GET https://127.0.0.1:PORT/twins/..: nothing was sent: a URL cannot hold this id
    "#);
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn an_answer_that_is_too_late_is_lost() {
    let server = Server::start([Reply::Hang]).await;
    let client = server.client_with(|options| options.request_timeout = Duration::from_millis(300));
    let error = client.update_twin(&id(), &patch(), &ETag::new("AAE=")).await.expect_err("late");
    insta::assert_snapshot!(server.steady(&shown(&error)), @r"
    PATCH https://127.0.0.1:PORT/twins/a: the answer did not come
      because: none within 300ms
      hint: try again later
    ");
}

#[tokio::test]
async fn connections_are_used_again() {
    let server = Server::start(std::iter::repeat_n(json(TWIN), 5)).await;
    let client = server.client();
    for _ in 0..5 {
        client.get_twin(&id()).await.expect("found");
    }
    assert_eq!((server.requests().len(), server.connections()), (5, 1));
}

#[tokio::test]
async fn identities_are_listed_and_never_shown() {
    let list = r#"[{"deviceId":"a"},{"deviceId":"b"}]"#;
    let bad = r#"[{"deviceId":"a","authentication":"c2VjcmV0"}]"#;
    let server = Server::start([json(list), json(bad)]).await;
    let client = server.client();
    let ids: Vec<_> =
        client.list_devices(10).await.expect("a list").iter().map(|device| device.device_id.to_string()).collect();
    assert_eq!(ids, ["a", "b"]);
    assert_eq!(server.requests(), ["GET /devices?top=10&api-version=2021-04-12 HTTP/1.1"]);
    let error = client.list_devices(10).await.expect_err("no list");
    assert!(!format!("{error:?}{error}").contains("c2VjcmV0"));
}

#[tokio::test]
async fn refused_credentials_name_the_right_that_is_needed() {
    let server = Server::start(std::iter::repeat_n(answer("401 Unauthorized", "", ""), 4)).await;
    let client = server.client();
    let device = id().device;
    let mut text = String::new();
    for error in [
        client.query("SELECT * FROM devices", 1).next().await.expect_err("refused"),
        client.update_twin(&id(), &patch(), &ETag::new("AAE=")).await.expect_err("refused"),
        client.get_device(&device).await.expect_err("refused"),
        client.create_device(&device).await.expect_err("refused"),
    ] {
        writeln!(text, "{}", shown(&error)).expect("written");
    }
    insta::assert_snapshot!(server.steady(&text), @r"
    POST https://127.0.0.1:PORT/devices/query: the hub refuses the credentials
      hint: look at the key, and at the policy's rights: reading and writing twins needs ServiceConnect, which `service` and `iothubowner` have by default
    PATCH https://127.0.0.1:PORT/twins/a: the hub refuses the credentials
      hint: look at the key, and at the policy's rights: reading and writing twins needs ServiceConnect, which `service` and `iothubowner` have by default
    GET https://127.0.0.1:PORT/devices/a: the hub refuses the credentials
      hint: look at the key, and at the policy's rights: reading device identities needs RegistryRead, which `registryRead`, `registryReadWrite` and `iothubowner` have by default
    PUT https://127.0.0.1:PORT/devices/a: the hub refuses the credentials
      hint: look at the key, and at the policy's rights: creating devices needs RegistryWrite, which `registryReadWrite` and `iothubowner` have by default
    ");
}

fn page(rows: &str, continuation: Option<&str>) -> Reply {
    let continuation = continuation.map(|text| format!("x-ms-continuation: {text}\r\n")).unwrap_or_default();
    answer("200 OK", &format!("content-type: application/json\r\nx-ms-item-type: Raw\r\n{continuation}"), rows)
}

#[tokio::test]
async fn pages_follow_until_the_last() {
    let server = Server::start([
        page(r#"[{"a":1}]"#, Some("one")),
        answer("429 Too Many Requests", "", ""),
        page("[]", Some("two")),
        page(r#"[{"a":2},{"a":3}]"#, None),
    ])
    .await;
    let mut pages = server.client_with(|_| {}).query("SELECT a FROM devices", 2);
    let mut rows = Vec::new();
    while let Some(page) = pages.next().await.expect("a page") {
        assert_eq!(page.item_type.as_deref(), Some("Raw"));
        rows.push(page.rows);
    }
    assert_eq!(rows, [vec![json!({"a": 1})], vec![], vec![json!({"a": 2}), json!({"a": 3})]]);
    assert!(pages.next().await.expect("the end").is_none());
    insta::assert_snapshot!(server.requests().join("\n\n"), @r#"
    POST /devices/query?api-version=2021-04-12 HTTP/1.1
    x-ms-max-item-count: 2
    content-type: application/json; charset=utf-8
    {"query":"SELECT a FROM devices"}

    POST /devices/query?api-version=2021-04-12 HTTP/1.1
    x-ms-max-item-count: 2
    content-type: application/json; charset=utf-8
    x-ms-continuation: one
    {"query":"SELECT a FROM devices"}

    POST /devices/query?api-version=2021-04-12 HTTP/1.1
    x-ms-max-item-count: 2
    content-type: application/json; charset=utf-8
    x-ms-continuation: one
    {"query":"SELECT a FROM devices"}

    POST /devices/query?api-version=2021-04-12 HTTP/1.1
    x-ms-max-item-count: 2
    content-type: application/json; charset=utf-8
    x-ms-continuation: two
    {"query":"SELECT a FROM devices"}
    "#);
}

#[tokio::test]
async fn an_answer_has_bounds() {
    let row = |count: usize| format!("[{}]", vec!["{}"; count].join(","));
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let endless = |body: String| Reply::SendAndClose(format!("HTTP/1.1 200 OK\r\n\r\n{body}"));
    let announced = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n[]", 300_000_000);
    let empty = (0..1100).map(|n| page("[ ]", Some(&format!("c{n}")))).collect::<Vec<_>>();
    let cases: [(&str, Vec<Reply>); 5] = [
        ("always another page", empty),
        ("too many rows", vec![page(&row(1001), None)]),
        ("deep", vec![page(&format!("[{{\"a\":{}}}]", deep(1000)), None)]),
        ("a long page", vec![Reply::SendAndClose(announced)]),
        ("no end", vec![endless(" ".repeat((128 << 20) + 1))]),
    ];
    let mut text = String::new();
    for (name, replies) in cases {
        let server = Server::start(replies).await;
        let mut pages = server.client().query("SELECT * FROM devices", 1000);
        let error = loop {
            match pages.next().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("{name}: ended"),
                Err(error) => break error,
            }
        };
        writeln!(text, "{name}: {}", server.steady(&error.to_string())).expect("written");
    }
    insta::assert_snapshot!(text, @r"
    always another page: POST https://127.0.0.1:PORT/devices/query: the answer makes no sense: page 1000 of the query: the last 1000 pages have no row, and yet another one is to follow
    too many rows: POST https://127.0.0.1:PORT/devices/query: the answer makes no sense: page 1 of the query: it has more than 1000 rows
    deep: POST https://127.0.0.1:PORT/devices/query: the answer makes no sense: page 1 of the query: its JSON is nested too deeply (line 1, column 132)
    a long page: POST https://127.0.0.1:PORT/devices/query: the answer makes no sense: it is longer than 128 MiB
    no end: POST https://127.0.0.1:PORT/devices/query: the answer makes no sense: it is longer than 128 MiB
    ");
}

#[tokio::test]
async fn of_a_refusal_only_the_beginning_is_read() {
    let long = format!(r#"{{"Message":"ErrorCode:ArgumentInvalid;{}"}}"#, "no ".repeat(20_000));
    let endless =
        format!("HTTP/1.1 400 Bad Request\r\niothub-errorcode: ArgumentInvalid\r\n\r\n{}", "x".repeat(9 << 20));
    let server = Server::start([answer("400 Bad Request", "", &long), Reply::SendAndClose(endless)]).await;
    let client = server.client();
    let error = client.get_twin(&id()).await.expect_err("refused").to_string();
    assert!(error.contains("ArgumentInvalid: no no no") && error.ends_with('…') && error.len() < 1200, "{error}");
    let error = server.steady(&client.get_twin(&id()).await.expect_err("refused").to_string());
    assert_eq!(error, "GET https://127.0.0.1:PORT/twins/a: the hub answers 400: ArgumentInvalid");
}

#[tokio::test]
async fn a_proxy_that_stands_in_the_way_is_named() {
    let server = Server::start([]).await;
    let mut text = String::new();
    for status in ["407 Proxy Authentication Required", "403 Forbidden", "502 Bad Gateway"] {
        let proxy = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = proxy.local_addr().expect("an address").port();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = proxy.accept().await {
                let _ = stream.read(&mut [0; 1024]).await;
                let _ = stream.write_all(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").as_bytes()).await;
            }
        });
        let mut through = with_some_ca(options("my-hub.invalid"), &server);
        through.proxy = Some(ProxySettings { url: Secret::new(format!("http://127.0.0.1:{port}")), except: None });
        let client = HubClient::new(through).expect("a client");
        writeln!(text, "{}", shown(&client.get_twin(&id()).await.expect_err("no way"))).expect("written");
    }
    insta::assert_snapshot!(text, @r"
    GET https://my-hub.invalid/twins/a: the hub cannot be reached: the proxy asks for a user and a password (407)
      because: tunnel error: proxy authorization required, where a proxy is set
      hint: put both into the proxy's address, special characters as %XX: HTTPS_PROXY=http://USER:PASSWORD@PROXY:PORT; or name the hub's host in NO_PROXY to go without the proxy
    GET https://my-hub.invalid/twins/a: the hub cannot be reached: the proxy does not lead there
      because: tunnel error: unsuccessful, where a proxy is set
      hint: let the proxy pass the hub's host and port, or name the host in NO_PROXY to go without the proxy
    GET https://my-hub.invalid/twins/a: the hub cannot be reached: the proxy does not lead there
      because: tunnel error: unsuccessful, where a proxy is set
      hint: let the proxy pass the hub's host and port, or name the host in NO_PROXY to go without the proxy
    ");
}

#[tokio::test]
async fn a_wait_may_be_a_date() {
    let date = "date: Tue, 24 Nov 2026 20:26:40 GMT\r\n";
    for (until, waits) in [("Tue, 24 Nov 2026 20:26:41 GMT", true), ("Tue, 24 Nov 2026 20:26:39 GMT", false)] {
        let refused = answer("429 Too Many Requests", &format!("{date}retry-after: {until}\r\n"), "");
        let server = Server::start([refused, json(TWIN)]).await;
        let client = server.client_with(|_| {});
        let begun = tokio::time::Instant::now();
        client.get_twin(&id()).await.expect("a twin");
        assert_eq!(begun.elapsed() >= Duration::from_secs(1), waits, "{until}: {:?}", begun.elapsed());
    }
    let refused =
        answer("503 Service Unavailable", &format!("{date}retry-after: Fri, 31 Dec 9999 23:59:59 GMT\r\n"), "");
    let server = Server::start([refused]).await;
    server.client_with(|_| {}).get_twin(&id()).await.expect_err("nobody waits for that");
}

#[tokio::test]
async fn pages_fail_rather_than_end_early() {
    let mut text = String::new();
    let cases: [(&str, Vec<Reply>); 7] = [
        ("in circles", vec![page("[]", Some("one")), page("[]", Some("two")), page("[]", Some("one"))]),
        ("an empty continuation", vec![page("[]", Some(""))]),
        ("a row that is none", vec![page(r#"[{"a":1},2]"#, None)]),
        ("no list", vec![page(r#"{"a":1}"#, None)]),
        ("half a page", vec![page("[]", Some("one")), page(r#"[{"a":1},"#, None)]),
        ("a lost page", vec![page("[]", Some("one")), Reply::Close]),
        ("a page of HTML", vec![page("[]", Some("one")), answer("200 OK", "content-type: text/html\r\n", "<p>")]),
    ];
    for (name, replies) in cases {
        let server = Server::start(replies).await;
        let mut pages = server.client().query("SELECT * FROM devices", 100);
        let error = loop {
            match pages.next().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("{name}: ended"),
                Err(error) => break error,
            }
        };
        writeln!(text, "{name}: {}", server.steady(&shown(&error))).expect("written");
    }
    insta::assert_snapshot!(text, @r"
    in circles: POST https://127.0.0.1:PORT/devices/query: the answer makes no sense: page 3 of the query: its continuation leads back to a page that was there before
      hint: look whether the host is an IoT hub, and whether a proxy stands between
    an empty continuation: POST https://127.0.0.1:PORT/devices/query: the answer makes no sense: page 1 of the query: its continuation is empty, so that the rest is not to be had
      hint: look whether the host is an IoT hub, and whether a proxy stands between
    a row that is none: POST https://127.0.0.1:PORT/devices/query: the answer makes no sense: page 1 of the query: row 2 is not an object
      hint: look whether the host is an IoT hub, and whether a proxy stands between
    no list: POST https://127.0.0.1:PORT/devices/query: the answer makes no sense: page 1 of the query: it is not a list of rows
      hint: look whether the host is an IoT hub, and whether a proxy stands between
    half a page: POST https://127.0.0.1:PORT/devices/query: the answer makes no sense: page 2 of the query: it is cut off (line 1, column 9)
      hint: look whether the host is an IoT hub, and whether a proxy stands between
    a lost page: POST https://127.0.0.1:PORT/devices/query: the answer did not come
      because: connection closed before message completed
      hint: try again later
    a page of HTML: POST https://127.0.0.1:PORT/devices/query: the answer makes no sense: page 2 of the query: it is not JSON, its type is text/html (line 1, column 1)
      hint: look whether the host is an IoT hub, and whether a proxy stands between
    ");
}
