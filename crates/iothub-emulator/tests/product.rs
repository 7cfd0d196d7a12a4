//! The emulator as other crates have it: by its public API alone.

use std::error::Error;
use std::time::{Duration, SystemTime};

use iothub_emulator::{Emulator, EmulatorClock, HubStartError, Policy, Refusal, Tier, TlsFiles};
use iothub_model::wire::{ConnectionString, ErrorCode, sas};
use serde_json::{Value, json};

fn client(hub: &Emulator) -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let authority = reqwest::Certificate::from_pem(hub.ca_pem().as_bytes()).expect("a certificate");
    reqwest::Client::builder().tls_certs_only([authority]).no_proxy().build().expect("a client")
}

fn token(hub: &Emulator, policy: Policy) -> String {
    let connection = ConnectionString::parse(&hub.connection_string(policy)).expect("a connection string");
    let now = hub.clock().now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    let token = sas::sign(connection.host.as_str(), &connection.key, now.as_secs() + 600, Some(policy.name()));
    token.expose().to_owned()
}

async fn send(hub: &Emulator, method: &str, path: &str, token: &str, body: Option<Value>) -> (u16, Value) {
    let url = format!("https://{}{path}?api-version=2021-04-12", hub.host_name());
    let method = method.parse().expect("a method");
    let mut request = client(hub).request(method, url).header("Authorization", token);
    if let Some(body) = body {
        request = request.header("Content-Type", "application/json").body(body.to_string());
    }
    let answer = request.send().await.expect("an answer");
    let status = answer.status().as_u16();
    (status, serde_json::from_str(&answer.text().await.expect("a body")).unwrap_or_default())
}

fn code(refused: Result<impl Sized, Refusal>) -> ErrorCode {
    refused.err().expect("a refusal").code
}

#[tokio::test]
async fn what_the_owner_does_is_what_clients_see() {
    let hub = Emulator::builder().in_memory().start().await.expect("a hub");
    hub.create_device("thermostat-001").expect("a device");
    hub.set_tags("thermostat-001", json!({ "building": "43", "floor": 2 })).expect("tags");
    hub.set_tags("thermostat-001", json!({ "floor": null })).expect("tags");
    hub.set_desired("thermostat-001", json!({ "interval": 30 })).expect("desired");
    hub.report("thermostat-001", json!({ "interval": 30, "battery": 81 })).expect("reported");
    let token = token(&hub, Policy::Service);
    let (status, twin) = send(&hub, "GET", "/twins/thermostat-001", &token, None).await;
    assert_eq!((status, &twin), (200, &hub.twin("thermostat-001").expect("a twin")));
    assert_eq!(twin["tags"], json!({ "building": "43" }));
    assert_eq!(twin["properties"]["desired"]["interval"], 30);
    assert_eq!(twin["properties"]["reported"]["battery"], 81);
    assert_eq!(twin["connectionState"], "Disconnected");
    let patch = json!({ "tags": { "building": "44" } });
    assert_eq!(send(&hub, "PATCH", "/twins/thermostat-001", &token, Some(patch)).await.0, 200);
    assert_eq!(hub.twin("thermostat-001").expect("a twin")["tags"]["building"], "44");
    hub.delete_device("thermostat-001").expect("gone");
    assert_eq!(send(&hub, "GET", "/twins/thermostat-001", &token, None).await.0, 404);
    hub.stop().await;
}

#[tokio::test]
async fn the_owner_is_refused_as_clients_are() {
    let hub = Emulator::builder().start().await.expect("a hub");
    hub.create_device("d").expect("a device");
    assert_eq!(code(hub.create_device("d")), ErrorCode::DeviceAlreadyExists);
    assert_eq!(code(hub.create_device("no id")), ErrorCode::ArgumentInvalid);
    assert_eq!(code(hub.twin("nobody")), ErrorCode::DeviceNotFound);
    assert_eq!(code(hub.delete_device("nobody")), ErrorCode::DeviceNotFound);
    assert_eq!(code(hub.report("nobody", json!({}))), ErrorCode::DeviceNotFound);
    assert_eq!(code(hub.report("d", json!(1))), ErrorCode::ArgumentInvalid);
    assert_eq!(code(hub.set_tags("d", json!([1]))), ErrorCode::ArgumentInvalid);
    assert_eq!(code(hub.device_connection_string("nobody")), ErrorCode::DeviceNotFound);
    assert!(hub.set_tags("d", json!({ "a.b": 1 })).is_err());
}

#[tokio::test]
async fn requests_are_data_and_hold_no_secrets() {
    let hub = Emulator::builder().request_history(3).start().await.expect("a hub");
    hub.create_device("a b".trim_end_matches(" b")).expect("a device");
    assert_eq!(hub.requests(), []);
    let service = token(&hub, Policy::Service);
    for path in ["/statistics/service", "/twins/a", "/twins/x%23y", "/devices/a"] {
        send(&hub, "GET", path, &service, None).await;
    }
    let requests = hub.requests();
    let seen: Vec<_> = requests
        .iter()
        .map(|request| (request.path.as_str(), request.status, request.error_code.as_deref(), request.device()))
        .collect();
    let id = |id: &str| Some(id.to_owned());
    assert_eq!(
        seen,
        [
            ("/twins/a", 200, None, id("a")),
            ("/twins/x%23y", 404, Some("DeviceNotFound"), id("x#y")),
            ("/devices/a", 401, Some("IotHubUnauthorizedAccess"), id("a")),
        ]
    );
    let key = hub.connection_string(Policy::Service);
    let key = key.rsplit_once("SharedAccessKey=").expect("a key").1;
    assert!(!format!("{requests:?} {hub:?}").contains(key));
    hub.clear_requests();
    assert_eq!(hub.requests(), []);
}

#[tokio::test]
async fn the_clock_moves_tokens_and_times() {
    let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let clock = EmulatorClock::fixed(start);
    let hub = Emulator::builder().clock(clock.clone()).start().await.expect("a hub");
    hub.create_device("d").expect("a device");
    let service = token(&hub, Policy::Service);
    assert_eq!(send(&hub, "GET", "/twins/d", &service, None).await.0, 200);
    clock.advance(Duration::from_secs(86_400));
    assert_eq!(send(&hub, "GET", "/twins/d", &service, None).await.0, 401);
    hub.set_tags("d", json!({ "a": 1 })).expect("tags");
    hub.set_desired("d", json!({ "a": 1 })).expect("desired");
    let twin = hub.twin("d").expect("a twin");
    let updated = twin["properties"]["desired"]["$metadata"]["a"]["$lastUpdated"].as_str().expect("a time").to_owned();
    assert!(updated.starts_with("2027-01-16T08:00:00"), "{updated}");
    hub.clock().set(start);
    assert_eq!(send(&hub, "GET", "/twins/d", &service, None).await.0, 200);
}

/// A job that is scheduled for tomorrow runs when the clock gets there.
#[tokio::test]
async fn a_job_runs_when_the_clock_is_moved_to_it() {
    let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let hub = Emulator::builder().clock(EmulatorClock::fixed(start)).start().await.expect("a hub");
    hub.create_device("d").expect("a device");
    let job = json!({
        "jobId": "j", "type": "scheduleUpdateTwin", "updateTwin": { "tags": { "a": 1 }, "etag": "*" },
        "queryCondition": "*", "startTime": "2027-01-16T08:00:00Z", "maxExecutionTimeInSeconds": 60
    });
    let owner = token(&hub, Policy::IotHubOwner);
    let (status, made) = send(&hub, "PUT", "/jobs/v2/j", &owner, Some(job)).await;
    assert_eq!(status, 200, "{made}");
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(hub.twin("d").expect("a twin")["tags"], Value::Null);
    hub.clock().advance(Duration::from_secs(86_400));
    for _ in 0..500 {
        if hub.twin("d").expect("a twin")["tags"]["a"] == 1 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the job has not run five seconds later: {}", hub.twin("d").expect("a twin"));
}

#[tokio::test]
async fn faults_and_throttles_come_and_go() {
    let hub = Emulator::builder().faults("GET /twins/* 503 first 1").start().await.expect("a hub");
    hub.create_device("d").expect("a device");
    let service = token(&hub, Policy::Service);
    let status = async || send(&hub, "GET", "/twins/d", &service, None).await.0;
    assert_eq!(status().await, 503);
    assert_eq!(status().await, 200);
    assert!(hub.set_faults("nonsense").is_err());
    hub.set_faults("GET /twins/* 429").expect("a rule");
    assert_eq!(status().await, 429);
    assert_eq!(hub.requests().last().and_then(|request| request.fault.clone()).as_deref(), Some("429"));
    hub.set_faults("").expect("no rules");
    hub.set_throttles(Tier::B1, 1).expect("a tier");
    assert_eq!(status().await, 403);
    assert!(hub.set_throttles(Tier::F1, 2).is_err());
    hub.remove_throttles();
    assert_eq!(status().await, 200);
    // What the owner does is never throttled: 100 a minute would be.
    hub.set_throttles(Tier::F1, 1).expect("a tier");
    for n in 0..300 {
        hub.create_device(&format!("d{n}")).expect("a device");
    }
}

#[tokio::test]
async fn options_that_no_hub_can_have() {
    let mistakes = [
        (Emulator::builder().tier(Tier::F1, 2), "the limits of the hub"),
        (Emulator::builder().faults("PATCH"), "the faults"),
        (Emulator::builder().host_name("a b"), "the host name of the hub"),
        (
            Emulator::builder().tls_files(TlsFiles::new("cert.pem", "key.pem")),
            "the authority of a hub in memory is new",
        ),
    ];
    for (builder, said) in mistakes {
        let error = builder.start().await.expect_err(said);
        assert!(error.to_string().starts_with(said), "{error}");
    }
    assert!(matches!(Emulator::builder().open(), Err(HubStartError::NoFolder)));
}

#[test]
fn without_a_runtime_it_says_so() {
    let mut start = std::pin::pin!(Emulator::builder().start());
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match start.as_mut().poll(&mut context) {
        std::task::Poll::Ready(Err(HubStartError::NoRuntime)) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn one_with_its_own_runtime_ends_when_it_is_dropped() {
    let hub = Emulator::builder().start_blocking().expect("a hub");
    hub.create_device("d").expect("a device");
    let addresses = [Some(hub.https_addr()), hub.mqtt_addr(), hub.amqp_addr()];
    drop(hub);
    for address in addresses {
        std::net::TcpListener::bind(address.expect("it listened")).expect("the port is free");
    }
    let hub = Emulator::builder().start_blocking().expect("a hub");
    hub.stop_blocking();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address");
    let error = Emulator::builder().https(address).start_blocking().expect_err("it is taken");
    assert!(matches!(error, HubStartError::Listen { .. }), "{error}");
}

#[tokio::test]
async fn a_data_directory_outlives_the_hub() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let options = Emulator::builder().data_dir(folder.path());
    let hub = options.clone().start().await?;
    hub.create_device("d")?;
    hub.set_tags("d", json!({ "a": 1 }))?;
    let (ca, owner) = (hub.ca_pem().to_owned(), hub.connection_string(Policy::IotHubOwner));
    assert_eq!(std::fs::read_to_string(hub.ca_file().ok_or("a file")?)?, ca);
    assert!(matches!(options.clone().open(), Err(HubStartError::InUse { .. })));
    hub.stop().await;
    let mut offline = options.clone().open()?;
    assert_eq!(offline.twin(&"d".parse()?)?["tags"]["a"], 1);
    drop(offline);
    let again = options.start().await?;
    assert_eq!(again.ca_pem(), ca);
    let key = |string: &str| string.rsplit_once(';').map(|(_, key)| key.to_owned());
    assert_eq!(key(&again.connection_string(Policy::IotHubOwner)), key(&owner));
    assert_eq!(again.twin("d")?["tags"]["a"], 1);
    again.stop().await;
    Ok(())
}

/// Nothing lies around of a hub in memory, and two of them have nothing in common.
#[tokio::test]
async fn hubs_in_memory_are_their_own() {
    let one = Emulator::builder().in_memory().start().await.expect("a hub");
    let other = Emulator::builder().in_memory().start().await.expect("another");
    one.create_device("d").expect("a device");
    assert!(other.twin("d").is_err());
    assert_ne!(one.ca_pem(), other.ca_pem());
    assert_eq!((one.ca_file(), other.ca_file()), (None, None));
}

#[test]
fn threads_report_for_one_device() {
    let hub = Emulator::builder().start_blocking().expect("a hub");
    hub.create_device("d").expect("a device");
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let hub = &hub;
            scope.spawn(move || {
                for n in 0..100 {
                    hub.report("d", json!({ format!("k{thread}"): n })).expect("a report");
                }
            });
        }
    });
    let twin = hub.twin("d").expect("a twin");
    assert_eq!(twin["properties"]["reported"]["$version"], 401);
    assert_eq!(twin["connectionState"], "Disconnected");
}

#[test]
fn clones_of_a_builder_have_clocks_of_their_own_and_odd_times_are_taken() {
    let builder = Emulator::builder();
    let (a, b) = (builder.clone().start_blocking().expect("a hub"), builder.start_blocking().expect("a hub"));
    let day = Duration::from_secs(24 * 3600);
    a.clock().advance(day);
    assert!(b.clock().now() + day / 2 < a.clock().now());
    a.create_device("d").expect("a device");
    for years in [100_000, 8100] {
        a.clock().set(SystemTime::UNIX_EPOCH + years * 365 * day);
        a.set_tags("d", json!({ "years": years })).expect("tags");
    }
    assert_eq!(a.twin("d").expect("a twin")["properties"]["desired"]["$version"], 1);
}
