//! Values by hand for the tests of this folder, and where their snapshots go.

use std::time::Duration;

use serde_json::{Value, json};

use crate::apply::{ApplyReport, MovedPath};
use crate::check::{CheckResult, CheckStatus, Difference, Severity};
use crate::digest::Hasher;
use crate::manifest::{
    Body, Declaration, Declarations, Layer, Leaf, Missing, Origin, Policy, Selection, Sensitive, SourceDigests,
};
use crate::plan::{
    Action, Conflict, FleetRecords, Forecast, Impact, Plan, PlannedChange, Population, Prediction, ReadBy, Side, Taken,
    TwinPlan, Verdict,
};
use iothub_model::twin::{ETag, MergePatch};

mod impact;

pub(crate) use impact::impact;

/// Compares with `snapshots/<name>.snap`.
pub(crate) fn snapshot(name: &str, text: &str) {
    insta::with_settings!({
        snapshot_path => "../../snapshots",
        prepend_module_to_snapshot => false,
        omit_expression => true,
    }, {
        insta::assert_snapshot!(name, text);
    });
}

/// One check that held at once, one that did later, one of each kind that did not.
pub(crate) fn check_results() -> Vec<CheckResult> {
    let result = |name: &str, query: &str, severity, status, attempts, waited| CheckResult {
        name: name.to_owned(),
        query: query.to_owned(),
        severity,
        status,
        attempts,
        waited: Duration::from_millis(waited),
    };
    vec![
        result(
            "plant has its thermostats",
            "SELECT COUNT() AS n FROM devices WHERE tags.location.plant = 'Redmond43'",
            Severity::Error,
            CheckStatus::Held,
            1,
            34,
        ),
        result("all settled", "SELECT * FROM devices", Severity::Error, CheckStatus::Held, 4, 8200),
        result(
            "nobody on cellular",
            "SELECT deviceId FROM devices WHERE properties.reported.connectivity = 'cellular'",
            Severity::Error,
            CheckStatus::Failed(Difference {
                summary: "expected no row, found 3".to_owned(),
                details: Vec::new(),
                devices: ["press-003", "press-007", "press-009"].map(str::to_owned).to_vec(),
            }),
            12,
            60_100,
        ),
        result(
            "firmware \u{1b}[5mmix",
            "SELECT properties.reported.fw AS fw, COUNT() AS n FROM devices GROUP BY properties.reported.fw",
            Severity::Warn,
            CheckStatus::Failed(Difference {
                summary: "expected 2 rows, found others".to_owned(),
                details: vec!["- {\"fw\":\"1.2\",\"n\":7}".to_owned(), "+ {\"fw\":\"1.3\u{7}\",\"n\":7}".to_owned()],
                devices: Vec::new(),
            }),
            1,
            12,
        ),
        result(
            "many",
            "SELECT deviceId FROM devices",
            Severity::Error,
            CheckStatus::Failed(Difference {
                summary: "expected no row, found 1234".to_owned(),
                details: Vec::new(),
                devices: (1..=1234).map(|n| format!("d-{n:04}")).take(25).collect(),
            }),
            1,
            12,
        ),
        result(
            "out of reach",
            "SELECT deviceId FROM devices",
            Severity::Error,
            CheckStatus::Errored("POST https://hub/devices/query: the answer did not come: timed out".to_owned()),
            1,
            30_000,
        ),
    ]
}

/// A run in which everything happened.
pub(crate) fn apply_report() -> ApplyReport {
    let moved = |path: &str, seen, found, planned, written_at: Option<&str>| MovedPath {
        path: path.parse().expect("a path"),
        seen: Side::from(seen),
        found,
        planned: Side::from(planned),
        written_at: written_at.map(str::to_owned),
        origin: Some(origin(14)),
        sensitive: false,
    };
    let id = |text: &str| text.parse().expect("an id");
    ApplyReport {
        written: 9980,
        rebased: 12,
        registered: 3,
        converged: 3,
        conflicts: vec![
            (
                id("thermostat-004"),
                vec![
                    moved(
                        "desired.power_level",
                        Some(json!(1)),
                        Some(json!(5)),
                        Some(json!(2)),
                        Some("2026-11-24T10:00:00Z"),
                    ),
                    moved("tags.note", None, Some(json!("by hand \u{1b}[2J")), Some(json!("by git")), None),
                ],
            ),
            (id("gateway-01/telemetry"), vec![moved("desired.batch", Some(json!(50)), Some(json!(7)), None, None)]),
        ],
        failed: ["press-007", "press-008", "odd"]
            .into_iter()
            .map(|name| {
                let why = if name == "odd" { "the hub answers 400" } else { "the answer did not come: timed out" };
                (id(name), format!("PATCH https://hub/twins/{name}: {why}"))
            })
            .collect(),
        not_attempted: Vec::new(),
        retries: 1204,
        interrupted: false,
        halted: None,
    }
}

/// A line of `fleet.yaml`.
pub(crate) fn origin(line: u32) -> Origin {
    Origin { file: "fleet.yaml".into(), line, layer: Layer::Group("redmond43".into()) }
}

pub(crate) fn change(path: &str, verdict: Verdict, before: Option<Value>, after: Option<Value>) -> PlannedChange {
    let removed = matches!(verdict, Verdict::Removed | Verdict::RemovedOverDrift);
    let origin = (!removed).then(|| origin(14));
    PlannedChange {
        path: path.parse().expect("a path"),
        verdict,
        before: before.into(),
        after: after.into(),
        moved_from: None,
        origin,
        sensitive: false,
    }
}

pub(crate) fn twin(id: &str, action: Action, changes: Vec<PlannedChange>, conflicts: Vec<Conflict>) -> TwinPlan {
    let mut patch = MergePatch::default();
    for change in &changes {
        patch.set(&change.path, change.after.known().cloned().unwrap_or(Value::Null));
    }
    TwinPlan {
        id: id.parse().expect("an id"),
        fleet: "redmond".parse().expect("a name"),
        sensitive: Sensitive::default(),
        action,
        etag: matches!(action, Action::Update | Action::Release).then(|| ETag::new("AAAAAAAAAAE=")),
        changes: changes.into(),
        taken: Vec::new().into(),
        patch: patch.into(),
        inverse: MergePatch::default().into(),
        conflicts,
    }
}

pub(crate) fn update(id: &str, changes: Vec<PlannedChange>) -> TwinPlan {
    twin(id, Action::Update, changes, Vec::new())
}

/// A plan of fleet redmond with these twins, and twelve that are as declared.
pub(crate) fn plan(mut twins: Vec<TwinPlan>) -> Plan {
    twins.sort_by(|a, b| a.id.cmp(&b.id));
    Plan {
        hub: "hub.azure-devices.net".parse().expect("a host"),
        fleet: "redmond".parse().expect("a name"),
        manifest: Hasher::new().finish(),
        revision: "3f2a91c04d11".to_owned(),
        read: ReadBy::Get,
        twins,
        unchanged: 12,
        population: Population::default(),
        checks: Vec::new(),
        policy: Policy::default(),
        selections: Vec::new(),
        impact: Impact::default(),
        ignores_rollout: false,
        approval: None,
        sources: SourceDigests::default(),
        records: FleetRecords::default(),
    }
}

/// Ten thousand devices with one edit, and a few others.
pub(crate) fn fleet() -> Vec<TwinPlan> {
    let edit = || vec![change("desired.power_level", Verdict::Edit, Some(json!(1)), Some(json!(2)))];
    let drift = || vec![change("desired.power_level", Verdict::Drift, Some(json!(7)), Some(json!(2)))];
    let mut twins: Vec<_> = (1..=9987).map(|n| update(&format!("press-{n:05}"), edit())).collect();
    twins.extend((9988..=9990).map(|n| update(&format!("press-{n:05}"), drift())));
    twins.push(update("thermostat-001", drift()));
    twins.push(update(
        "thermostat-002",
        vec![
            change("tags.location.floor", Verdict::Edit, Some(json!(3)), Some(json!(4))),
            change("desired.fan", Verdict::New, None, Some(json!({}))),
        ],
    ));
    twins
}

/// One of everything.
pub(crate) fn everything() -> Vec<TwinPlan> {
    let url = |host: &str, token: &str| json!({"url": format!("https://{host}/api/v1/firmware/thermostat/latest"), "token": token, "retries": 3});
    let new = || vec![change("tags.plant", Verdict::New, None, Some(json!("Redmond43")))];
    let mut taken =
        update("t-taken", vec![change("desired.power_level", Verdict::Adopt, Some(json!(1)), Some(json!(1)))]);
    taken.taken =
        vec![Taken { fleet: "oslo".parse().expect("a name"), path: "desired.power_level".parse().expect("a path") }]
            .into();
    let conflict = |path: &str, owned: &str, revision: &str| Conflict::OwnedByOther {
        path: path.parse().expect("a path"),
        owned: owned.parse().expect("a path"),
        fleet: "oslo".parse().expect("a name"),
        revision: revision.to_owned(),
        origin: Some(origin(14)),
    };
    let mut twins = vec![
        twin("new-1", Action::Register, new(), Vec::new()),
        twin("new-2", Action::Register, new(), Vec::new()),
        twin("new-3", Action::Register, Vec::new(), Vec::new()),
        twin(
            "new-3/telemetry",
            Action::Register,
            vec![change("desired.batch", Verdict::New, None, Some(json!(50)))],
            Vec::new(),
        ),
        twin(
            "new-3/vision",
            Action::Register,
            vec![change("desired.batch", Verdict::New, None, Some(json!(50)))],
            Vec::new(),
        ),
        twin(
            "old-1",
            Action::Release,
            vec![
                change("tags.plant", Verdict::Removed, Some(json!("Redmond43")), None),
                change("desired.power_level", Verdict::RemovedOverDrift, Some(json!(3)), None),
            ],
            Vec::new(),
        ),
        twin("gone-1", Action::Missing, Vec::new(), Vec::new()),
        twin("gone-1/telemetry", Action::Missing, Vec::new(), Vec::new()),
        twin("gone-2", Action::Skip, Vec::new(), Vec::new()),
        twin(
            "c-1",
            Action::Update,
            Vec::new(),
            vec![
                conflict("desired.power_level", "desired.power_level", "abc123"),
                conflict("desired.telemetry.interval", "desired.telemetry", ""),
            ],
        ),
        twin(
            "c-2",
            Action::Update,
            Vec::new(),
            vec![Conflict::WouldDestroy {
                path: "desired.net".parse().expect("a path"),
                leaves: ["ssid", "psk", "dns", "ip"]
                    .map(|key| format!("desired.net.{key}").parse().expect("a path"))
                    .to_vec(),
                origin: Some(origin(20)),
            }],
        ),
        twin(
            "c-3",
            Action::Update,
            Vec::new(),
            vec![Conflict::Record { problem: "the record has version 2, and this twinctl knows 1".to_owned() }],
        ),
        update("r-only", Vec::new()),
        update(
            "t-adopt",
            vec![
                change("desired.power_level", Verdict::Adopt, Some(json!(1)), Some(json!(1))),
                change("desired.fan", Verdict::Adopt, None, None),
            ],
        ),
        update("t-adopt-one", vec![change("desired.power_level", Verdict::Adopt, Some(json!(1)), Some(json!(1)))]),
        taken,
        update(
            "t-long",
            vec![
                change(
                    "desired.source",
                    Verdict::EditOverDrift,
                    Some(url("old.example.com", "aaaa")),
                    Some(url("new.example.com", "bbbb")),
                ),
                change(
                    "desired.motd",
                    Verdict::New,
                    None,
                    Some(json!("all work and no play makes Jack a dull boy ".repeat(20))),
                ),
                change("tags.note", Verdict::Overwrite, Some(json!("\u{1b}[31mred\u{202e}")), Some(json!("plain"))),
                change("tags.scalar", Verdict::Edit, Some(json!({"a": 1})), Some(json!([1, 2]))),
            ],
        ),
        update("gateway-01/telemetry", vec![change("desired.batch", Verdict::Edit, Some(json!(10)), Some(json!(50)))]),
    ];
    twins.extend(
        (1..=5).map(|n| update(&format!("s-{n}"), vec![change("tags.x", Verdict::Removed, Some(json!(false)), None)])),
    );
    twins
}

/// Stands in each value that must not be shown.
pub(crate) const SECRET: &str = "hunter2";

/// A plan with all that a reviewer can be told beside the changes, some of whose values are sensitive.
pub(crate) fn reviewed() -> Plan {
    let secret = |n: u32| Some(json!(format!("{SECRET}-{n}")));
    let mut twins: Vec<_> = (1..=6)
        .map(|n| {
            let mut psk = change("desired.wifi.psk", Verdict::Edit, secret(n), secret(n + 100));
            psk.sensitive = true;
            update(&format!("press-{n:03}"), vec![psk])
        })
        .collect();
    let (mut edit, mut new) = (
        change("desired.power_level", Verdict::Edit, Some(json!(1)), Some(json!(2))),
        change("tags.pin", Verdict::New, None, secret(0)),
    );
    edit.origin.as_mut().expect("an origin").layer = Layer::Device;
    new.sensitive = true;
    twins.push(update("thermostat-001", vec![edit, new]));
    let mut plan = plan(twins);
    plan.policy.sensitive = sensitive();
    plan.selections = vec![
        Selection {
            name: "cellular-saver".into(),
            condition: "tags.location.plant = 'Redmond43' AND properties.reported.connectivity = 'cellular'".to_owned(),
            ids: (1..=6).map(|n| format!("press-{n:03}").parse().expect("an id")).collect(),
            origin: origin(31),
        },
        Selection { name: "nobody".into(), condition: "tags.x = 'y'".to_owned(), ids: Vec::new(), origin: origin(35) },
    ];
    plan.impact = impact();
    plan
}

fn sensitive() -> Sensitive {
    Sensitive::new(["desired.wifi.psk", "tags.pin"].map(|path| path.parse().expect("a path")).to_vec())
}

/// Ten thousand twins of which thirteen are unlike the others, with all that can be said of them.
pub(crate) fn large() -> Plan {
    let edit = |from: u32| vec![change("desired.power_level", Verdict::Edit, Some(json!(from)), Some(json!(2)))];
    let mut twins: Vec<_> = (1..=9987).map(|n| update(&format!("press-{n:05}"), edit(1))).collect();
    twins.extend((9988..=10_000).map(|n| update(&format!("press-{n:05}"), edit(n))));
    let mut plan = plan(twins);
    plan.impact = impact();
    plan.impact.unread.clear();
    for one in &mut plan.impact.predictions {
        if let Forecast::DependsOnDevices { as_it_is: Some(difference), .. } = &mut one.forecast {
            difference.details.clear();
        }
    }
    plan.impact.diverging.clear();
    let Impact { predictions, writers, .. } = &mut plan.impact;
    predictions.retain(|one| matches!(one.name.as_str(), "nobody at full power" | "nobody on cellular"));
    predictions.extend((1..=40).map(|n| Prediction {
        name: format!("plant {n} has its presses"),
        query: "SELECT COUNT() AS n FROM devices".to_owned(),
        severity: Severity::Error,
        forecast: Forecast::WillHold,
    }));
    writers.truncate(1);
    plan
}

/// A path and what must be there.
pub(crate) type Declared<'s> = (&'s str, Option<Value>);

/// Declarations of fleet redmond.
pub(crate) fn declarations(twins: &[(&str, &[Declared<'_>])]) -> Declarations {
    let twins = twins.iter().map(|(id, leaves)| {
        let mut leaves: Vec<_> = leaves
            .iter()
            .map(|(path, value)| Leaf { path: path.parse().expect("a path"), value: value.clone(), origin: origin(14) })
            .collect();
        leaves.sort_by(|a, b| a.path.cmp(&b.path));
        let declaration = Declaration { body: Body::new(leaves).into(), origin: origin(3) };
        (id.parse().expect("an id"), declaration)
    });
    Declarations {
        missing: Missing::Register,
        twins: twins.collect(),
        ..Declarations::empty("redmond".parse().expect("a name"))
    }
}
