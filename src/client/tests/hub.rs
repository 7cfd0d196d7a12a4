//! The client against the embedded hub: the way that everything takes, over HTTP/2.

use std::time::{Duration, SystemTime};

use serde_json::json;

use super::shown;
use crate::client::{ClientOptions, Error, HubClient};
use iothub_emulator::{Emulator, EmulatorClock, Policy};
use iothub_model::tiers::Tier;
use iothub_model::twin::{ETag, Lookup, MergePatch, TwinId};
use iothub_model::wire::{ConnectionString, Secret};

/// Tells the real time: the hub's answers have a `Date` of the real day, with which the client compares.
#[expect(clippy::disallowed_methods, reason = "a server's `Date` cannot be set")]
fn now() -> SystemTime {
    SystemTime::now()
}

/// An embedded hub of its own, with its clients; ends when it is dropped.
pub(crate) struct TestHub {
    running: Emulator,
}

impl TestHub {
    pub(crate) async fn start() -> Self {
        Self::start_with_tier(None).await
    }

    /// Starts a hub with the limits of one unit of a tier.
    pub(crate) async fn start_with_tier(tier: Option<Tier>) -> Self {
        let mut options = Emulator::builder().in_memory().clock(EmulatorClock::from_fn(now));
        if let Some(tier) = tier {
            options = options.tier(tier, 1);
        }
        Self { running: options.start().await.expect("a hub") }
    }

    /// Returns the number of messages that the hub has charged; 0 without a tier.
    pub(crate) fn charged(&self) -> u64 {
        self.running.messages_today().unwrap_or(0)
    }

    pub(crate) fn client(&self) -> HubClient {
        self.client_as(&self.connection(Policy::IotHubOwner), Duration::ZERO)
    }

    /// A client as the owner whose clock is off.
    pub(crate) fn client_off(&self, late: Duration, early: Duration) -> HubClient {
        let connection =
            ConnectionString::parse(self.connection(Policy::IotHubOwner).expose()).expect("a connection string");
        HubClient::new(ClientOptions {
            ca_pem: Some(self.running.ca_pem().as_bytes().to_vec()),
            ..ClientOptions::new(connection, std::sync::Arc::new(move || now() - late + early))
        })
        .expect("a client")
    }

    fn connection(&self, policy: Policy) -> Secret {
        Secret::new(self.running.connection_string(policy))
    }

    fn client_as(&self, connection: &Secret, late: Duration) -> HubClient {
        let connection = ConnectionString::parse(connection.expose()).expect("a connection string");
        HubClient::new(ClientOptions {
            ca_pem: Some(self.running.ca_pem().as_bytes().to_vec()),
            ..ClientOptions::new(connection, std::sync::Arc::new(move || now() - late))
        })
        .expect("a client")
    }

    /// Replaces what is different in each run.
    fn steady(&self, text: &str) -> String {
        let text = text.replace(&self.running.https_addr().port().to_string(), "PORT");
        let (before, rest) = text.split_once("(tracking id ").expect("a tracking id");
        format!("{}{}", before.trim_end(), rest.split_once(')').expect("closed").1)
    }
}

fn patch(desired: i64) -> MergePatch {
    let mut patch = MergePatch::default();
    patch.set(&"desired.power".parse().expect("a path"), json!(desired));
    patch
}

#[tokio::test]
async fn twins_are_made_read_written_and_found() {
    let hub = TestHub::start().await;
    let client = hub.client();
    let id: TwinId = "a#b".parse().expect("an id");
    assert_eq!(client.get_twin(&id).await.expect("an answer"), Lookup::Absent(id.clone()));
    assert_eq!(client.get_device(&id.device).await.expect("an answer"), None);
    let made = client.create_device(&id.device).await.expect("made");
    assert!(made.primary_key().is_some());
    assert_eq!(client.get_device(&id.device).await.expect("an answer"), Some(made));
    assert!(matches!(client.create_device(&id.device).await, Err(Error::AlreadyExists { .. })));

    let Lookup::Found(twin) = client.get_twin(&id).await.expect("an answer") else { panic!("there") };
    let written = client.update_twin(&id, &patch(1), &twin.etag).await.expect("written");
    assert_ne!(written.etag, twin.etag);
    assert!(matches!(client.update_twin(&id, &patch(2), &twin.etag).await, Err(Error::PreconditionFailed { .. })));
    let Lookup::Found(twin) = client.get_twin(&id).await.expect("an answer") else { panic!("there") };
    assert_eq!(*twin, written);

    for n in 0..5 {
        client.create_device(&format!("d-{n}").parse().expect("an id")).await.expect("made");
    }
    let mut pages = client.query("SELECT deviceId FROM devices", 2);
    let mut ids = Vec::new();
    while let Some(page) = pages.next().await.expect("a page") {
        assert!(page.rows.len() <= 2);
        ids.extend(page.rows.iter().map(|row| row["deviceId"].as_str().expect("an id").to_owned()));
    }
    ids.sort();
    assert_eq!(ids, ["a#b", "d-0", "d-1", "d-2", "d-3", "d-4"]);
    assert_eq!(client.list_devices(1000).await.expect("a list").len(), 6);
}

#[tokio::test]
async fn modules_are_made_with_their_twins() {
    let hub = TestHub::start().await;
    let client = hub.client();
    let id: TwinId = "gw/tele:metry".parse().expect("an id");
    let module = id.module.as_ref().expect("a module");
    assert_eq!(client.get_twin(&id).await.expect("an answer"), Lookup::Absent(id.clone()));
    // Not a 404: the service says so of modules whose device is not there.
    assert!(matches!(client.create_module(&id.device, module).await, Err(Error::Unauthorized { .. })));
    client.create_device(&id.device).await.expect("made");
    let made = client.create_module(&id.device, module).await.expect("made");
    assert_eq!((&made.device_id, &made.module_id), (&id.device, module));
    assert!(matches!(client.create_module(&id.device, module).await, Err(Error::AlreadyExists { .. })));
    let Lookup::Found(twin) = client.get_twin(&id).await.expect("an answer") else { panic!("there") };
    let written = client.update_twin(&id, &patch(1), &twin.etag).await.expect("written");
    assert_eq!((written.id, written.desired.0.get("power")), (id, Some(&json!(1))));
}

#[tokio::test]
async fn what_a_user_reads_when_the_credentials_are_wrong() {
    let hub = TestHub::start().await;
    let (service, registry) = (hub.connection(Policy::Service), hub.connection(Policy::RegistryReadWrite));
    let other_key = service.expose().rsplit_once("SharedAccessKey=").expect("a key").0.to_owned();
    let other_key = Secret::new(format!("{other_key}SharedAccessKey=AAECAwQFBgcICQoLDA0ODw=="));
    let id: TwinId = "a".parse().expect("an id");
    let mut text = String::new();
    for (name, connection, late) in [
        ("a wrong key", &other_key, Duration::ZERO),
        ("a token that has expired", &service, Duration::from_secs(7230)),
        ("a policy without the right", &registry, Duration::ZERO),
    ] {
        let error =
            hub.client_as(connection, late).update_twin(&id, &patch(1), &ETag::new("AAE=")).await.expect_err(name);
        text.push_str(&format!("{name}: {}\n", hub.steady(&shown(&error))));
    }
    insta::with_settings!({ filters => [(r"\d+ s ago", "N s ago")] }, {
        insta::assert_snapshot!(text, @r"
        a wrong key: PATCH https://127.0.0.1:PORT/twins/a: the hub refuses the credentials: IotHubUnauthorizedAccess: the token is not signed by a key of the policy `service`
          hint: look at the key, and at the policy's rights: reading and writing twins needs ServiceConnect, which `service` and `iothubowner` have by default
        a token that has expired: PATCH https://127.0.0.1:PORT/twins/a: the hub refuses the credentials: IotHubUnauthorizedAccess: the token expired N s ago
          hint: this machine's clock is 120 minutes behind the hub's; a token is only good at its time
        a policy without the right: PATCH https://127.0.0.1:PORT/twins/a: the hub refuses the credentials: IotHubUnauthorizedAccess: the policy `registryReadWrite` has no right ServiceConnect, which this needs; iothubowner, service have it
          hint: look at the key, and at the policy's rights: reading and writing twins needs ServiceConnect, which `service` and `iothubowner` have by default
        ");
    });
}
