//! Plan and apply over HTTPS, against the embedded hub.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use time::macros::datetime;

use super::proxy::{Mishap, Proxy};
use crate::apply::{ApplyEvent, ApplyOptions, ApplyReport, apply};
use crate::cancel::CancelFlag;
use crate::client::{Backoff, ClientOptions, HubClient};
use crate::manifest::{Body, Declaration, Declarations, Layer, Leaf, Missing, Origin};
use crate::plan::{Consent, Plan, PlanContext, ReadBy, approve, plan};
use iothub_emulator::{Emulator, EmulatorClock, Policy};
use iothub_model::twin::{Lookup, MergePatch, Twin};
use iothub_model::wire::ConnectionString;

const NOW: time::OffsetDateTime = datetime!(2026-11-24 10:00:00 UTC);

/// A hub, and its owner as a client.
pub(super) struct Field {
    pub(super) hub: Emulator,
    pub(super) owner: HubClient,
}

fn backoff() -> Backoff {
    let quick = Duration::from_millis(20);
    Backoff { budget: Duration::from_secs(20), busy_base: quick, passing_base: quick, cap: quick, ..Backoff::default() }
}

fn client(connection: ConnectionString, authority: Vec<u8>) -> HubClient {
    let mut options = ClientOptions::new(connection, Arc::new(|| SystemTime::from(NOW)));
    options.ca_pem = Some(authority);
    options.backoff = backoff();
    HubClient::new(options).expect("a client")
}

impl Field {
    pub(super) async fn new(devices: &[&str]) -> Self {
        let options = Emulator::builder().in_memory().clock(EmulatorClock::fixed(NOW.into()));
        let hub = options.start().await.expect("a hub");
        let owner = Self::client_of(&hub, Policy::IotHubOwner);
        for id in devices {
            owner.create_device(&id.parse().expect("an id")).await.expect("a device");
        }
        Self { hub, owner }
    }

    fn client_of(hub: &Emulator, policy: Policy) -> HubClient {
        client(hub.connection_string(policy).parse_connection(), authority(hub))
    }

    async fn proxy(&self) -> (Proxy, HubClient) {
        let connection = self.hub.connection_string(Policy::IotHubOwner).parse_connection();
        let now = u64::try_from(NOW.unix_timestamp()).expect("after 1970");
        let proxy = Proxy::start(connection, &authority(&self.hub), now).await;
        let (connection, authority) = proxy.connection();
        let client = client(connection, authority);
        (proxy, client)
    }

    pub(super) async fn twin(&self, id: &str) -> Twin {
        match self.owner.get_twin(&id.parse().expect("an id")).await.expect("an answer") {
            Lookup::Found(twin) => *twin,
            Lookup::Absent(id) => panic!("no {id}"),
        }
    }

    /// Writes as somebody else would.
    pub(super) async fn write(&self, id: &str, path: &str, value: Value) {
        let mut patch = MergePatch::default();
        patch.set(&path.parse().expect("a path"), value);
        let twin = self.twin(id).await;
        self.owner.update_twin(&twin.id, &patch, &twin.etag).await.expect("a write");
    }

    /// Sends what the client has no call for.
    async fn put(&self, path: &str, body: Value) {
        let connection = self.hub.connection_string(Policy::IotHubOwner).parse_connection();
        let now = u64::try_from(NOW.unix_timestamp()).expect("after 1970");
        let token =
            iothub_model::wire::sas::sign(connection.host.as_str(), &connection.key, now + 600, Some("iothubowner"));
        let authority = reqwest::Certificate::from_pem(&authority(&self.hub)).expect("a certificate");
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().tls_certs_only([authority]).build().expect("a client");
        let url = format!("https://{}{path}?api-version=2021-04-12", self.hub.https_addr());
        let request = http.put(url).header("authorization", token.expose()).body(body.to_string());
        let answer = request.header("content-type", "application/json").send().await.expect("an answer");
        assert_eq!(answer.status(), 200);
    }

    /// Plans by reading every twin that is declared, and these others.
    pub(super) async fn plan(&self, declarations: &Declarations, others: &[&str]) -> Plan {
        let mut lookups = Vec::new();
        let others: Vec<_> = others.iter().map(|id| id.parse().expect("an id")).collect();
        for id in declarations.twins.keys().chain(&others) {
            lookups.push(self.owner.get_twin(id).await.expect("an answer"));
        }
        let context =
            PlanContext { hub: self.owner.host().clone(), revision: "4f2a".to_owned(), take_ownership: false };
        plan(declarations, context, lookups, ReadBy::Get)
    }

    /// Returns method, path, `If-Match` and status of the writes since the last call.
    pub(super) fn writes(&self) -> Vec<(String, String, Option<String>, u16)> {
        let all = self.hub.requests();
        self.hub.clear_requests();
        let writes = all.into_iter().filter(|record| record.method != "GET");
        writes.map(|record| (record.method, record.path, record.if_match, record.status)).collect()
    }
}

trait ParseConnection {
    fn parse_connection(&self) -> ConnectionString;
}

impl ParseConnection for str {
    fn parse_connection(&self) -> ConnectionString {
        ConnectionString::parse(self).expect("a connection string")
    }
}

fn authority(hub: &Emulator) -> Vec<u8> {
    hub.ca_pem().as_bytes().to_vec()
}

/// Declares leaves by device; null is absence.
pub(super) fn declare(missing: Missing, twins: Value) -> Declarations {
    let origin = || Origin { file: "fleet.yaml".into(), line: 1, layer: Layer::Device };
    let twins = twins.as_object().expect("an object").iter();
    let twins: BTreeMap<_, _> = twins
        .map(|(id, leaves)| {
            let leaves = leaves.as_object().expect("an object").iter();
            let mut leaves: Vec<_> = leaves
                .map(|(path, value)| Leaf {
                    path: path.parse().expect("a path"),
                    value: (!value.is_null()).then(|| value.clone()),
                    origin: origin(),
                })
                .collect();
            leaves.sort_by(|a, b| a.path.cmp(&b.path));
            let declaration = Declaration { body: Arc::new(Body::new(leaves)), origin: origin() };
            (id.parse().expect("an id"), declaration)
        })
        .collect();
    Declarations { missing, twins, ..Declarations::empty("fleet".parse().expect("a name")) }
}

pub(super) async fn carry_out(plan: Plan, client: &HubClient, concurrency: usize) -> (ApplyReport, Vec<ApplyEvent>) {
    carry_out_until(plan, client, concurrency, CancelFlag::new(), |_| {}).await
}

async fn carry_out_until(
    plan: Plan,
    client: &HubClient,
    concurrency: usize,
    stop: CancelFlag,
    mut on_event: impl FnMut(&ApplyEvent) + Send,
) -> (ApplyReport, Vec<ApplyEvent>) {
    let plan = approve(plan, Consent::Flag, None).expect("nothing is in the way");
    let mut events = Vec::new();
    let options = ApplyOptions { concurrency, backoff: backoff() };
    let report = apply(&plan, client, &options, stop, &mut |event| {
        on_event(&event);
        events.push(event);
    })
    .await;
    (report, events)
}

/// No write without an etag, quoted, that is not `*`.
pub(super) fn assert_guarded(writes: &[(String, String, Option<String>, u16)]) {
    for (method, path, if_match, _) in writes {
        if method == "PATCH" {
            let guard = if_match.as_deref().unwrap_or_else(|| panic!("an unguarded write of {path}"));
            assert!(guard.len() > 3 && guard.starts_with('"') && guard.ends_with('"'), "{guard}");
        }
    }
}

#[tokio::test]
async fn what_is_applied_needs_nothing_more() {
    let field = Field::new(&["a", "b", "c"]).await;
    field.write("a", "desired.fan", json!(true)).await;
    field.writes();
    let wanted = declare(
        Missing::Register,
        json!({
            "a": {"desired.power": 2, "tags.plant": "Redmond43"},
            "b": {"desired.power": 2, "desired.old": null},
            "new-1": {"desired.power": 2},
            "new-2": {},
        }),
    );
    let first = field.plan(&wanted, &["c"]).await;
    let (report, events) = carry_out(first, &field.owner, 4).await;
    assert_eq!(report, ApplyReport { written: 4, registered: 2, ..ApplyReport::default() });
    assert_eq!(events.first(), Some(&ApplyEvent::Started { twins: 4 }));
    assert_eq!(events.last(), Some(&ApplyEvent::Finished));

    let writes = field.writes();
    assert_guarded(&writes);
    assert!(writes.iter().all(|(.., status)| *status == 200), "{writes:?}");
    assert_eq!(field.twin("a").await.desired.0.get("fan"), Some(&json!(true)), "a stranger's sibling stays");

    let again = field.plan(&wanted, &["c"]).await;
    assert!(again.twins.is_empty(), "{:?}", again.twins);
    let (report, _) = carry_out(again, &field.owner, 4).await;
    assert_eq!(report, ApplyReport::default());
    assert_eq!(field.writes(), []);

    // What leaves the manifest goes, and only that.
    let less =
        declare(Missing::Register, json!({"a": {"desired.power": 2}, "new-1": {"desired.power": 2}, "new-2": {}}));
    let (report, _) = carry_out(field.plan(&less, &["b"]).await, &field.owner, 4).await;
    assert_eq!(report, ApplyReport { written: 2, ..ApplyReport::default() });
    let (a, b) = (field.twin("a").await, field.twin("b").await);
    assert_eq!((a.tags.0.get("plant"), a.desired.0.get("fan")), (None, Some(&json!(true))));
    assert_eq!((b.tags.0.get("twinctl"), b.desired.0.get("power")), (None, None));
    field.hub.stop().await;
}

#[tokio::test]
async fn what_moved_since_the_plan() {
    let field = Field::new(&["elsewhere", "same", "already", "record"]).await;
    for id in ["elsewhere", "same", "already", "record"] {
        field.write(id, "desired.power", json!(1)).await;
    }
    let leaf = json!({"desired.power": 2});
    let wanted = declare(
        Missing::Fail,
        json!({"elsewhere": leaf, "same": leaf, "already": leaf, "record": {"desired.power": 1}}),
    );
    let stale = field.plan(&wanted, &[]).await;
    let twin = field.plan(&wanted, &[]).await;
    field.write("elsewhere", "desired.fan", json!(true)).await;
    field.write("same", "desired.power", json!(9)).await;
    // Somebody else applied the same plan.
    let only: Vec<_> = twin.twins.iter().filter(|twin| twin.id.device.as_str() == "already").cloned().collect();
    carry_out(Plan { twins: only, ..twin }, &field.owner, 1).await;
    field.writes();

    let (report, _) = carry_out(stale, &field.owner, 4).await;
    let writes = field.writes();
    assert_guarded(&writes);
    let of = |id: &str| -> Vec<u16> {
        writes.iter().filter(|(_, path, ..)| path.ends_with(&format!("/{id}"))).map(|(.., status)| *status).collect()
    };
    assert_eq!(
        (of("elsewhere"), of("same"), of("already"), of("record")),
        (vec![412, 200], vec![412], vec![412], vec![200])
    );
    assert_eq!((report.written, report.rebased, report.converged), (2, 1, 1), "{report:?}");
    let [(id, moved)] = report.conflicts.as_slice() else { panic!("{report:?}") };
    assert_eq!(id.to_string(), "same");
    let power = moved.iter().find(|moved| moved.path.as_str() == "desired.power").expect("the path");
    let sides = [power.seen.known(), power.found.as_ref(), power.planned.known()];
    assert_eq!(sides, [Some(&json!(1)), Some(&json!(9)), Some(&json!(2))]);
    assert!(power.written_at.as_deref().is_some_and(|at| at.starts_with("2026-11-24T10:00:00")), "{power:?}");
    assert_eq!(power.origin.as_ref().map(ToString::to_string).as_deref(), Some("fleet.yaml:1"));
    assert_eq!(field.twin("same").await.desired.0.get("power"), Some(&json!(9)), "it is left alone");
    assert_eq!(field.twin("elsewhere").await.desired.0, *json!({"fan": true, "power": 2}).as_object().expect("one"));
    field.hub.stop().await;
}

#[tokio::test]
async fn registered_by_somebody_else_meanwhile() {
    let field = Field::new(&[]).await;
    let leaf = json!({"desired.power": 2});
    let wanted = declare(Missing::Register, json!({"empty": leaf, "other": leaf}));
    let stale = field.plan(&wanted, &[]).await;
    for id in ["empty", "other"] {
        field.owner.create_device(&id.parse().expect("an id")).await.expect("a device");
    }
    field.write("other", "desired.power", json!(9)).await;
    let (report, _) = carry_out(stale, &field.owner, 4).await;
    assert_eq!((report.written, report.registered, report.conflicts.len()), (1, 0, 1), "{report:?}");
    assert_eq!(field.twin("empty").await.desired.0.get("power"), Some(&json!(2)));
    field.hub.stop().await;
}

#[tokio::test]
async fn whatever_befalls_requests_and_answers() {
    use Mishap::{AnswerHalved, AnswerLost, Answered, RefusedStream, RequestLost};
    for (method, mishaps, patches) in [
        ("PATCH", vec![AnswerLost], vec![200]),
        ("PATCH", vec![AnswerHalved], vec![200]),
        ("PATCH", vec![RequestLost], vec![200]),
        ("PATCH", vec![RequestLost, AnswerLost], vec![200]),
        ("PATCH", vec![Answered(429), Answered(503), Answered(500)], vec![200]),
        ("PATCH", vec![Answered(200)], vec![200]),
        // The hub took the write and says that it did not: it is ours nevertheless.
        ("PATCH", vec![RefusedStream], vec![200]),
        ("PUT", vec![AnswerLost], vec![200]),
        ("PUT", vec![RequestLost, Answered(429)], vec![200]),
    ] {
        let field = Field::new(&[]).await;
        let (proxy, client) = field.proxy().await;
        let wanted = declare(Missing::Register, json!({"a": {"desired.power": 2}}));
        let first = field.plan(&wanted, &[]).await;
        proxy.queue(method, mishaps.clone());
        let (report, events) = carry_out(first, &client, 4).await;
        let expected = ApplyReport { written: 1, registered: 1, retries: mishaps.len(), ..ApplyReport::default() };
        assert_eq!(report, expected, "{method} {mishaps:?}: {events:?}");
        assert_eq!(proxy.left(), 0);
        let writes = field.writes();
        assert_guarded(&writes);
        let sent: Vec<u16> = writes.iter().filter(|(of, ..)| of == "PATCH").map(|(.., status)| *status).collect();
        assert_eq!(sent, patches, "{method} {mishaps:?}: {writes:?}");
        assert!(field.plan(&wanted, &[]).await.twins.is_empty());
        field.hub.stop().await;
    }
}

#[tokio::test]
async fn a_twin_that_nobody_may_write_does_not_end_the_run() {
    let field = Field::new(&["a", "c"]).await;
    let edge = json!({ "deviceId": "b", "capabilities": { "iotEdge": true } });
    field.put("/devices/b", edge).await;
    let leaf = json!({"desired.power": 2});
    let wanted =
        declare(Missing::Fail, json!({"a": leaf, "b": leaf, "b/$edgeAgent": leaf, "b/$edgeHub": leaf, "c": leaf}));
    let first = field.plan(&wanted, &[]).await;
    let (report, events) = carry_out(first, &field.owner, 1).await;
    assert_eq!((report.written, report.failed.len(), &report.halted), (3, 2, &None), "{events:?}");
    for (id, reason) in &report.failed {
        assert!(id.to_string().starts_with("b/$edge"), "{id}");
        assert!(reason.contains("the hub answers 401: SystemModuleModifyUnauthorizedAccess"), "{reason}");
    }
    field.hub.stop().await;
}

#[tokio::test]
async fn a_policy_without_the_right_ends_the_run() {
    let field = Field::new(&["a", "b", "c"]).await;
    let leaf = json!({"desired.power": 2});
    let wanted = declare(Missing::Fail, json!({"a": leaf, "b": leaf, "c": leaf}));
    let first = field.plan(&wanted, &[]).await;
    let reader = Field::client_of(&field.hub, Policy::RegistryRead);
    let (report, _) = carry_out(first, &reader, 1).await;
    assert!(report.halted.as_ref().is_some_and(|halt| halt.reason.contains("IotHubUnauthorizedAccess")), "{report:?}");
    assert!(report.has_failures() && !report.interrupted);
    assert_eq!((report.failed.len(), report.not_attempted.len()), (1, 2));
    field.hub.stop().await;
}

#[tokio::test]
async fn stopped_in_the_middle() {
    let ids: Vec<String> = (0..40).map(|n| format!("d{n:02}")).collect();
    let field = Field::new(&ids.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let leaf = json!({"desired.power": 2});
    let wanted = declare(Missing::Fail, ids.iter().map(|id| (id.clone(), leaf.clone())).collect());
    let first = field.plan(&wanted, &[]).await;
    field.writes();
    let stop = CancelFlag::new();
    let mut done = 0;
    let (report, _) = carry_out_until(first, &field.owner, 3, stop.clone(), |event| {
        done += usize::from(matches!(event, ApplyEvent::TwinDone { .. }));
        if done == 10 {
            stop.request();
        }
    })
    .await;
    assert!(report.interrupted && !report.has_failures());
    assert!((10..=13).contains(&report.written), "{report:?}");
    assert_eq!(report.twins(), 40);
    assert_eq!(field.writes().len(), report.written, "nothing but what is reported was sent");
    // The rest is what a second plan finds.
    let rest = field.plan(&wanted, &[]).await;
    assert_eq!(rest.twins.iter().map(|twin| twin.id.clone()).collect::<Vec<_>>(), report.not_attempted);
    field.hub.stop().await;
}
