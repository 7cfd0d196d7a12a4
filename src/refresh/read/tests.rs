//! How a fleet is read: by which way, and what becomes of answers that lag, lie or do not come.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::client::tests::hub::TestHub;
use crate::client::tests::server::{Reply, Server, answer};
use crate::manifest::{Body, Declaration, Layer, Leaf, Origin};
use crate::plan::{Action, Plan, PlanContext};
use iothub_model::twin::MergePatch;

#[test]
fn which_way_is_cheaper() {
    for (declared, finds_orphaned, on_hub, page, expected) in [
        (101, true, 101, 1000, ReadBy::Query),
        (101, false, 101, 1000, ReadBy::Get),
        (500, false, 500, 1000, ReadBy::Query),
        (10_000, true, 10_000, 1000, ReadBy::Query),
        // A small fleet on a large hub.
        (500, true, 1_000_000, 1000, ReadBy::Get),
        (400_000, true, 1_000_000, 1000, ReadBy::Query),
        // A hub that has none of them yet.
        (10_000, true, 0, 1000, ReadBy::Get),
        // A hub that sends small pages.
        (10_000, false, 10_000, 10, ReadBy::Get),
    ] {
        let cost = ReadCost { pending: declared, finds_orphaned };
        assert_eq!(cost.by(on_hub, page), expected, "{declared} of {on_hub} by {page}");
    }
}

/// A fleet of `d-000` and so on, each with `tags.x: 1`.
fn fleet(devices: usize) -> Declarations {
    fleet_of((0..devices).map(|n| format!("d-{n:03}")))
}

fn fleet_of(ids: impl IntoIterator<Item = String>) -> Declarations {
    let origin = Origin { file: "fleet.yaml".into(), line: 1, layer: Layer::Device };
    let leaf = Leaf { path: "tags.x".parse().expect("a path"), value: Some(json!(1)), origin: origin.clone() };
    let body = Arc::new(Body::new(vec![leaf]));
    let declaration = Declaration { body, origin };
    Declarations {
        twins: ids.into_iter().map(|id| (id.parse().expect("an id"), declaration.clone())).collect::<BTreeMap<_, _>>(),
        ..Declarations::empty("plant-1".parse().expect("a name"))
    }
}

async fn plan(client: &HubClient, declarations: &Declarations) -> Result<(Plan, usize), Error> {
    let context = PlanContext { hub: client.host().clone(), revision: String::new(), take_ownership: false };
    let mut fold = PlanFold::new(declarations, context, Vec::new()).expect("no selectors");
    let mut read = 0;
    let reading = FleetReading { client, fold: &mut fold, census: Census::default(), concurrency: 1 };
    let fleet = read_fleet(reading, &mut |count| read = count).await?;
    Ok((fold.finish(fleet.read).0, read))
}

fn of(plan: &Plan, action: Action) -> Vec<String> {
    plan.twins.iter().filter(|twin| twin.action == action).map(|twin| twin.id.to_string()).collect()
}

/// A hub with `devices` of the fleet as declared but for the first, one that left it, and a stranger.
async fn hub_of(devices: usize) -> TestHub {
    let hub = TestHub::start().await;
    let client = &hub.client();
    let ids = (0..devices).map(|n| format!("d-{n:03}")).chain(["left".to_owned(), "stranger".to_owned()]);
    let made = stream::iter(ids).map(|id| async move {
        let id: TwinId = id.parse().expect("an id");
        client.create_device(&id.device).await.expect("made");
        let mut patch = MergePatch::default();
        let (path, value) = match id.device.as_str() {
            "d-000" | "stranger" => return,
            "left" => ("tags.x", json!(7)),
            _ => ("tags.x", json!(1)),
        };
        patch.set(&path.parse().expect("a path"), value);
        let record = json!({"v": 1, "rev": "", "owns": ["tags.x=6b86"]});
        patch.set(&"tags.twinctl.plant-1".parse().expect("a path"), record);
        let Lookup::Found(twin) = client.get_twin(&id).await.expect("an answer") else { panic!("there") };
        client.update_twin(&id, &patch, &twin.etag).await.expect("written");
    });
    made.buffer_unordered(16).collect::<Vec<()>>().await;
    hub
}

#[tokio::test]
async fn a_few_twins_are_read_by_get() {
    let hub = hub_of(3).await;
    let (plan, read) = plan(&hub.client(), &fleet(4)).await.expect("read");
    assert_eq!((plan.read, read, plan.unchanged), (ReadBy::Get, 5, 2));
    assert_eq!(of(&plan, Action::Update), ["d-000"]);
    assert_eq!(of(&plan, Action::Missing), ["d-003"]);
    assert_eq!(of(&plan, Action::Release), ["left"]);
}

#[tokio::test]
async fn many_twins_are_read_by_query() {
    let hub = hub_of(120).await;
    let (plan, read) = plan(&hub.client(), &fleet(121)).await.expect("read");
    assert_eq!((plan.read, read, plan.unchanged), (ReadBy::Query, 122, 119));
    assert_eq!(of(&plan, Action::Update), ["d-000"]);
    assert_eq!(of(&plan, Action::Missing), ["d-120"]);
    assert_eq!(of(&plan, Action::Release), ["left"]);
}

/// A hub with three gateways as declared, each with so many modules: as declared but for the first of all, and one more that left.
async fn hub_of_modules(modules: usize) -> TestHub {
    let hub = TestHub::start().await;
    let client = &hub.client();
    let record = json!({"v": 1, "rev": "", "owns": ["tags.x=6b86"]});
    let write = async |id: &TwinId, value: i64| {
        let mut patch = MergePatch::default();
        patch.set(&"tags.x".parse().expect("a path"), json!(value));
        patch.set(&"tags.twinctl.plant-1".parse().expect("a path"), record.clone());
        let Lookup::Found(twin) = client.get_twin(id).await.expect("an answer") else { panic!("there") };
        client.update_twin(id, &patch, &twin.etag).await.expect("written");
    };
    for gateway in 0..3 {
        let device: TwinId = format!("gw-{gateway}").parse().expect("an id");
        client.create_device(&device.device).await.expect("made");
        write(&device, 1).await;
        for module in (0..modules).map(|n| format!("m-{n:02}")).chain(["left".to_owned(), "stranger".to_owned()]) {
            let id: TwinId = format!("gw-{gateway}/{module}").parse().expect("an id");
            client.create_module(&id.device, id.module.as_ref().expect("a module")).await.expect("made");
            match (gateway, module.as_str()) {
                (0, "m-00") | (_, "stranger") => {}
                (_, module) => write(&id, if module == "left" { 7 } else { 1 }).await,
            }
        }
    }
    hub
}

#[tokio::test]
async fn module_twins_are_read_as_those_of_devices() {
    for (modules, by, read) in [(2, ReadBy::Get, 3 + 7 + 3), (40, ReadBy::Query, 3 + 121 + 3)] {
        let hub = hub_of_modules(modules).await;
        let gateways = 0..3;
        let ids = gateways.flat_map(|gateway| {
            let of = move |n: usize| format!("gw-{gateway}/m-{n:02}");
            (0..modules).map(of).chain([format!("gw-{gateway}")])
        });
        let missing = "gw-1/missing".to_owned();
        let (plan, told) = plan(&hub.client(), &fleet_of(ids.chain([missing]))).await.expect("read");
        assert_eq!((plan.read, told, plan.unchanged), (by, read, 3 + 3 * modules - 1));
        assert_eq!(of(&plan, Action::Update), ["gw-0/m-00"]);
        assert_eq!(of(&plan, Action::Missing), ["gw-1/missing"]);
        assert_eq!(of(&plan, Action::Release), ["gw-0/left", "gw-1/left", "gw-2/left"]);
    }
}

fn page(rows: &str, continuation: &str) -> Reply {
    answer("200 OK", &format!("content-type: application/json\r\n{continuation}"), rows)
}

fn twins(range: std::ops::Range<usize>) -> String {
    let twin = |n| json!({"deviceId": format!("d-{n:03}"), "etag": "AAE=", "tags": {"x": 1}});
    serde_json::Value::from(range.map(twin).collect::<Vec<_>>()).to_string()
}

#[tokio::test]
async fn what_no_page_lists_is_asked_for() {
    let left = json!([{"deviceId": "left", "etag": "AAE=", "tags": {"twinctl": {"plant-1": {}}}}]).to_string();
    let server = Server::start_by_word([
        ("COUNT()", page(r#"[{"n":150}]"#, "")),
        ("SELECT *", page(&twins(0..149), "x-ms-continuation: more\r\n")),
        ("SELECT *", page(&left, "")),
        // The twin that left is gone, the one that was not listed is there.
        ("GET /twins/left?", answer("404 Not Found", "iothub-errorcode: DeviceNotFound\r\n", "")),
        ("GET /twins/d-149?", page(twins(149..150).trim_matches(['[', ']']), "")),
        ("devices.modules", page("[]", "")),
    ])
    .await;
    let (plan, _) = plan(&server.client(), &fleet(150)).await.expect("read");
    assert_eq!(of(&plan, Action::Update).len(), 150, "to adopt");
    assert_eq!(plan.twins.len(), 150);
    assert_eq!(server.requests().len(), 6);
}

#[tokio::test]
async fn small_pages_turn_it_to_gets() {
    let mut replies = vec![
        ("COUNT()", page(r#"[{"n":2000}]"#, "")),
        ("SELECT *", page(&twins(0..10), "x-ms-continuation: more\r\n")),
    ];
    replies.extend((10..800).map(|n| ("GET", page(twins(n..n + 1).trim_matches(['[', ']']), ""))));
    replies.extend([("is_defined", page("[]", "")), ("is_defined", page("[]", ""))]);
    let server = Server::start_by_word(replies).await;
    let (plan, read) = plan(&server.client(), &fleet(800)).await.expect("read");
    assert_eq!((plan.read, read, plan.twins.len()), (ReadBy::Query, 800, 800));
    let requests = server.requests();
    let asks =
        |text: &str, request: &str| request.contains(&format!("{text} WHERE is_defined(tags.twinctl.[[plant-1]])"));
    for text in ["SELECT deviceId FROM devices", "SELECT deviceId, moduleId FROM devices.modules"] {
        assert_eq!(requests.iter().filter(|request| asks(text, request)).count(), 1, "{text}");
    }
    assert_eq!(requests.len(), 2 + 790 + 2);
}

#[tokio::test]
async fn what_is_not_read_fails_the_plan() {
    let count = ("COUNT()", page(r#"[{"n":150}]"#, ""));
    let pages = |replies: Vec<Reply>| replies.into_iter().map(|reply| ("SELECT *", reply)).collect::<Vec<_>>();
    let none = || ("devices.modules", page("[]", ""));
    for (problem, replies, left) in [
        ("the answer did not come", vec![page(&twins(0..100), "x-ms-continuation: more\r\n"), Reply::Close], none()),
        ("page 1 of the query: the answer is not a twin: it has no deviceId", vec![page(r#"[{"n":1}]"#, "")], none()),
        (
            "page 2 of the query: the answer is not a twin: the twin of d has no etag",
            vec![page("[]", "x-ms-continuation: more\r\n"), page(r#"[{"deviceId":"d"}]"#, "")],
            none(),
        ),
        (
            "page 1 of the query: a row has no moduleId",
            vec![page(&twins(0..150), "")],
            ("devices.modules", page(r#"[{"deviceId":"d"}]"#, "")),
        ),
        ("the hub answers 404", vec![page(&twins(0..149), "")], none()),
    ] {
        let absent = ("GET", answer("404 Not Found", "", "<html>"));
        let replies = [vec![count.clone()], pages(replies), vec![left, absent]].concat();
        let server = Server::start_by_word(replies).await;
        let error = plan(&server.client(), &fleet(150)).await.expect_err(problem).to_string();
        assert!(error.ends_with(problem), "{error}");
    }
}
