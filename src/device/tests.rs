//! Devices on the embedded hub, over real TLS.

use std::time::SystemTime;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::client::{ClientOptions, Clock, HubClient, tls};
use iothub_emulator::{Emulator, EmulatorClock, Policy};
use iothub_model::twin::{HubHost, Lookup, MergePatch, Object, TwinId};
use iothub_model::wire::ConnectionString;
use iothub_model::wire::sas::Key;

/// Nothing in these tests takes so long when all is well.
const PATIENCE: Duration = Duration::from_secs(30);

#[expect(clippy::disallowed_methods, reason = "the hub's tokens end by the real time")]
fn clock() -> Clock {
    Arc::new(SystemTime::now)
}

/// A hub, and its service API as its owner.
struct Bench {
    hub: Emulator,
    folder: TempDir,
    client: HubClient,
    ca: Vec<u8>,
}

impl Bench {
    async fn new() -> Self {
        Self::on(TempDir::new().expect("a folder"), [0, 0]).await
    }

    async fn on(folder: TempDir, ports: [u16; 2]) -> Self {
        let [https, mqtt] = ports.map(|port| std::net::SocketAddr::from(([127, 0, 0, 1], port)));
        let clock = clock();
        let options = Emulator::builder().data_dir(folder.path()).https(https).mqtt(mqtt);
        let hub = options.clock(EmulatorClock::from_fn(move || clock())).start().await.expect("a hub");
        let ca = hub.ca_pem().as_bytes().to_vec();
        let owner = ConnectionString::parse(&hub.connection_string(Policy::IotHubOwner)).expect("a string");
        let mut options = ClientOptions::new(owner, self::clock());
        options.ca_pem = Some(ca.clone());
        Self { client: HubClient::new(options).expect("a client"), hub, folder, ca }
    }

    /// Stops it and starts it again at the same addresses.
    async fn restart(self) -> Self {
        let ports = [self.hub.https_addr().port(), self.hub.mqtt_addr().expect("MQTT").port()];
        let Self { hub, folder, client, .. } = self;
        drop(client);
        hub.stop().await;
        Self::on(folder, ports).await
    }

    async fn register(&self, id: &str) -> Device {
        let id: iothub_model::twin::DeviceId = id.parse().expect("an id");
        let identity = self.client.create_device(&id).await.expect("registered");
        let key = Key::from_base64(identity.primary_key().expect("a key").expose()).expect("base64");
        Device { id: id.into(), key, policy: None }
    }

    fn options(&self, report: Value, acknowledge: bool) -> DeviceOptions {
        self.options_over(report, acknowledge, false)
    }

    fn options_over(&self, report: Value, acknowledge: bool, web_socket: bool) -> DeviceOptions {
        let host = self.client.host().clone();
        let port = self.hub.mqtt_addr().map(|mqtt| mqtt.port()).filter(|_| !web_socket);
        let endpoint = Endpoint::new(&host, port, web_socket, Some(&self.ca)).expect("an endpoint");
        let behaviour = Behaviour { report: object(report), acknowledge };
        DeviceOptions::new(host, endpoint, behaviour, clock())
    }

    async fn twin(&self, id: &str) -> iothub_model::twin::Twin {
        match self.client.get_twin(&id.parse().expect("an id")).await.expect("a twin") {
            Lookup::Found(twin) => *twin,
            Lookup::Absent(id) => panic!("no {id}"),
        }
    }

    async fn desire(&self, id: &str, desired: Value) {
        let etag = self.twin(id).await.etag;
        let patch = MergePatch { desired: object(desired), ..MergePatch::default() };
        self.client.update_twin(&id.parse::<TwinId>().expect("an id"), &patch, &etag).await.expect("written");
    }

    async fn reports(&self, id: &str, reported: Value) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = Value::Object(self.twin(id).await.reported.0);
            if found == reported {
                return;
            }
            assert!(Instant::now() < deadline, "it reports {found}, and not {reported}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn rows(&self, query: &str) -> usize {
        self.client.query(query, 1000).next().await.expect("a page").map_or(0, |page| page.rows.len())
    }
}

fn object(value: Value) -> Object {
    value.as_object().expect("an object").clone()
}

/// The events of one device, as they come.
struct Events(mpsc::Receiver<Told>);

impl Events {
    async fn next(&mut self) -> Option<Event> {
        let told = tokio::time::timeout(PATIENCE, self.0.recv()).await.expect("something happens");
        told.map(|told| told.event)
    }

    /// Waits for the first that is wanted; others are passed over.
    async fn until<T>(&mut self, mut wanted: impl FnMut(Event) -> Option<T>) -> T {
        loop {
            let event = self.next().await.expect("it has not ended");
            if let Some(found) = wanted(event) {
                return found;
            }
        }
    }

    async fn patch(&mut self) -> (Value, u64) {
        self.until(|event| match event {
            Event::Patch { patch, version } => Some((Value::Object(patch), version)),
            _ => None,
        })
        .await
    }

    async fn failure(&mut self) -> DeviceError {
        self.until(|event| match event {
            Event::Failed(error) => Some(error),
            _ => None,
        })
        .await
    }

    /// Waits for the good end.
    async fn finished(&mut self) {
        self.until(|event| match event {
            Event::Finished => Some(()),
            Event::Failed(error) => panic!("{error:?}"),
            _ => None,
        })
        .await;
        assert!(self.next().await.is_none());
    }
}

#[tokio::test]
async fn it_reports_and_a_back_end_finds_it() {
    for web_socket in [false, true] {
        let bench = Bench::new().await;
        let device = bench.register("thermostat-001").await;
        let report = json!({"connectivity": "cellular", "network": {"rssi": -71}});
        let options = DeviceOptions { once: true, ..bench.options_over(report.clone(), false, web_socket) };
        Events(start(vec![device], options)).finished().await;
        bench.reports("thermostat-001", report).await;
        let query = "SELECT deviceId FROM devices WHERE properties.reported.connectivity = 'cellular'";
        assert_eq!(bench.rows(query).await, 1);
    }
}

#[tokio::test]
async fn desired_patches_come_and_are_acknowledged() {
    let bench = Bench::new().await;
    let device = bench.register("d").await;
    bench.desire("d", json!({"power": 1, "telemetry": {"interval": 60, "unit": "s"}})).await;
    let options = bench.options(json!({"own": true}), true);
    let stop = options.stop.clone();
    let mut events = Events(start(vec![device], options));
    bench.reports("d", json!({"own": true, "power": 1, "telemetry": {"interval": 60, "unit": "s"}})).await;
    bench.desire("d", json!({"power": 2, "telemetry": {"unit": null}})).await;
    assert_eq!(events.patch().await, (json!({"power": 2, "telemetry": {"unit": null}}), 3));
    bench.reports("d", json!({"own": true, "power": 2, "telemetry": {"interval": 60}})).await;
    assert_eq!(bench.twin("d").await.rest["connectionState"], "Connected");
    stop.request();
    events.finished().await;
    let deadline = Instant::now() + PATIENCE;
    while bench.twin("d").await.rest["connectionState"] != "Disconnected" {
        assert!(Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn what_was_desired_meanwhile_is_caught_up_with() {
    let bench = Bench::new().await;
    let device = bench.register("d").await;
    bench.desire("d", json!({"a": 1, "b": 1})).await;
    let options = bench.options(json!({}), true);
    let stop = options.stop.clone();
    let mut events = Events(start(vec![device], options));
    bench.reports("d", json!({"a": 1, "b": 1})).await;

    let Bench { hub, folder, client, .. } = bench;
    let ports = [hub.https_addr().port(), hub.mqtt_addr().expect("MQTT").port()];
    drop(client);
    hub.stop().await;
    events.until(|event| matches!(event, Event::Trying { .. }).then_some(())).await;
    // Up at another place, where the device does not look, and then where it does.
    let elsewhere = Bench::on(folder, [0, 0]).await;
    elsewhere.desire("d", json!({"a": 2, "b": null})).await;
    let Bench { hub, folder, client, .. } = elsewhere;
    drop(client);
    hub.stop().await;
    let bench = Bench::on(folder, ports).await;
    assert_eq!(events.patch().await, (json!({"a": 2, "b": null}), 3));
    bench.reports("d", json!({"a": 2})).await;
    stop.request();
    events.finished().await;
}

#[tokio::test]
async fn tokens_are_renewed_before_they_end() {
    let bench = Bench::new().await;
    let device = bench.register("d").await;
    let options = DeviceOptions { token_life: Duration::from_secs(2), ..bench.options(json!({"a": 1}), true) };
    let stop = options.stop.clone();
    let mut events = Events(start(vec![device], options));
    // Not merely connected: what is desired before the first reading is part of that.
    events.until(|event| matches!(event, Event::Desired { .. }).then_some(())).await;
    // Longer than a token lives.
    for turn in 0..5 {
        bench.desire("d", json!({"turn": turn})).await;
        assert_eq!(events.patch().await.0, json!({"turn": turn}));
        tokio::time::sleep(Duration::from_millis(600)).await;
    }
    stop.request();
    while let Some(event) = events.next().await {
        assert!(!matches!(event, Event::Trying { .. } | Event::Connected | Event::Failed(_)), "{event:?}");
    }
}

#[tokio::test]
async fn what_is_of_no_use_is_not_tried_again() {
    let bench = Bench::new().await;
    let device = bench.register("d").await;
    let host = bench.client.host().clone();
    let port = bench.hub.mqtt_addr().map(|mqtt| mqtt.port());
    let wrong_key = Device { key: Key::from_bytes([7; 32]), ..device.clone() };
    let unknown = Device { id: "nobody".parse().expect("an id"), ..device.clone() };
    for device in [wrong_key, unknown] {
        let error = Events(start(vec![device], bench.options(json!({}), false))).failure().await;
        assert!(matches!(error, DeviceError::NotAuthorized { .. }), "{error:?}");
        assert!(error.advice().is_some_and(|advice| advice.contains("key")));
    }
    // The system's authorities know nothing of this hub's; and where there are none, that is said before.
    let other = Bench::new().await;
    let endpoint = Endpoint::new(&host, port, false, Some(&other.ca)).expect("an endpoint");
    let options = DeviceOptions { endpoint, ..bench.options(json!({}), false) };
    let error = Events(start(vec![device.clone()], options)).failure().await;
    assert!(matches!(error, DeviceError::Untrusted { .. }), "{error:?}");
    assert!(error.advice().is_some_and(|advice| advice.contains("--ca-file")));

    let nowhere: HubHost = "no-such-host.invalid".parse().expect("a host");
    let endpoint = Endpoint::new(&nowhere, None, false, Some(&bench.ca)).expect("an endpoint");
    let options = DeviceOptions { endpoint, ..bench.options(json!({}), false) };
    let error = Events(start(vec![device.clone()], options)).failure().await;
    assert!(matches!(error, DeviceError::Name { .. }), "{error:?}");

    // The port of HTTPS, by mistake.
    let endpoint = Endpoint::new(&host, Some(bench.hub.https_addr().port()), false, Some(&bench.ca));
    let budget = Duration::from_millis(300);
    let options = DeviceOptions { endpoint: endpoint.expect("an endpoint"), budget, ..bench.options(json!({}), false) };
    let error = Events(start(vec![device.clone()], options)).failure().await;
    assert!(matches!(error, DeviceError::Unanswered { .. }), "{error:?}");
    assert!(error.advice().is_some_and(|advice| advice.contains("--port")));

    // A port that nobody listens on is tried for as long as the budget has it.
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    let endpoint = Endpoint::new(&host, Some(port), false, Some(&bench.ca)).expect("an endpoint");
    let options = DeviceOptions { endpoint, budget, ..bench.options(json!({}), false) };
    let error = Events(start(vec![device.clone()], options)).failure().await;
    assert!(matches!(error, DeviceError::Connect { .. }), "{error:?}");

    // What the hub does not take.
    let options = DeviceOptions { once: true, ..bench.options(json!({"much": "x".repeat(5000)}), false) };
    let error = Events(start(vec![device], options)).failure().await;
    assert!(matches!(error, DeviceError::NotTaken { status: 400, .. }), "{error:?}");
}

#[tokio::test]
async fn methods_are_answered() {
    let bench = Bench::new().await;
    let device = bench.register("d").await;
    let options = bench.options(json!({"up": true}), false);
    let stop = options.stop.clone();
    let mut events = Events(start(vec![device], options));
    bench.reports("d", json!({"up": true})).await;
    let owner = ConnectionString::parse(&bench.hub.connection_string(Policy::IotHubOwner)).expect("a string");
    let expiry = clock()().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs() + 600;
    let token = iothub_model::wire::sas::sign(owner.host.as_str(), &owner.key, expiry, owner.policy.as_deref());
    let http = reqwest::Client::builder()
        .tls_backend_preconfigured(tls::trust(Some(&bench.ca)).expect("trust"))
        .build()
        .expect("a client");
    let answer = http
        .post(format!("https://{}/twins/d/methods?api-version=2021-04-12", owner.host))
        .header("Authorization", token.expose())
        .header("Content-Type", "application/json")
        .body(json!({"methodName": "reboot", "payload": {"in": 5}}).to_string())
        .send()
        .await
        .expect("an answer");
    let text = answer.text().await.expect("a body");
    assert_eq!(serde_json::from_str::<Value>(&text).expect(&text), json!({"status": 200, "payload": {"in": 5}}));
    let called = events
        .until(|event| match event {
            Event::Method { name, payload } => Some((name, payload)),
            _ => None,
        })
        .await;
    assert_eq!(called, ("reboot".to_owned(), json!({"in": 5})));
    stop.request();
    events.finished().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_outlive_the_hub() {
    const DEVICES: usize = 200;
    let bench = Bench::new().await;
    let mut devices = Vec::new();
    for number in 0..DEVICES {
        devices.push(bench.register(&format!("d{number:03}")).await);
    }
    let options = bench.options(json!({"up": true}), true);
    let stop = options.stop.clone();
    let mut told = start(devices, options);
    let mut reported = vec![0; DEVICES];
    let mut all = async |told: &mut mpsc::Receiver<Told>, each: usize| {
        while reported.iter().any(|&count| count < each) {
            let Told { device, event } =
                tokio::time::timeout(PATIENCE, told.recv()).await.expect("in time").expect("running");
            if let Event::Reported { .. } = event {
                reported[device] += 1;
            }
        }
    };
    all(&mut told, 1).await;
    let bench = bench.restart().await;
    for number in 0..DEVICES {
        bench.desire(&format!("d{number:03}"), json!({"n": number})).await;
    }
    all(&mut told, 2).await;
    assert_eq!(bench.rows("SELECT deviceId FROM devices WHERE properties.reported.n >= 0").await, DEVICES);
    stop.request();
    while tokio::time::timeout(PATIENCE, told.recv()).await.expect("it ends").is_some() {}
}

/// One device for each thing that may happen twice to each thing that it asks for: all end with their report on the hub.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_hub_does_wrong_is_tried_again() {
    let bench = Bench::new().await;
    let (mut devices, mut rules) = (Vec::new(), String::new());
    for route in ["connect", "twin/get", "twin/patch", "subscribe"] {
        for fault in
            ["429", "500", "502", "reset-before", "reset-after", "half", "garbage", "no-answer", "slow 50ms..100ms"]
        {
            // Who does not speak MQTT from the first word on is taken for another kind of server.
            if (route, fault) != ("connect", "garbage") {
                let id = format!("d{:02}", devices.len());
                rules += &format!("MQTT /devices/{id}/{route} {fault} first 2\n");
                devices.push(bench.register(&id).await);
            }
        }
    }
    let count = devices.len();
    bench.hub.set_faults(&rules).expect("rules");
    let second = Duration::from_secs(1);
    let options = DeviceOptions {
        once: true,
        answer_timeout: second,
        connect_timeout: second * 3,
        at_a_time: count,
        ..bench.options(json!({"up": true}), false)
    };
    let mut told = start(devices, options);
    let mut finished = 0;
    while let Some(Told { device, event }) = tokio::time::timeout(PATIENCE, told.recv()).await.expect("in time") {
        match event {
            Event::Finished => finished += 1,
            Event::Failed(error) => panic!("{device}: {error:?}"),
            _ => {}
        }
    }
    assert_eq!(finished, count);
    assert_eq!(bench.rows("SELECT deviceId FROM devices WHERE properties.reported.up = true").await, count);
    for rule in bench.client.faults().await.expect("a report").rules {
        // A report whose answer was damaged or lost is known to have been made.
        assert!(rule.fired >= 1, "{} has not happened", rule.rule);
    }
}
