//! The plan file: what is written is read, and nothing else is.

use std::time::Duration;

use proptest::prelude::*;

use super::property_tests::{after_a_history, config, declared, live_twin};
use super::*;
use crate::check::{Bound, Check, Column, Comparison, Expectation, Severity};
use crate::manifest::Selection;
use crate::plan::file::{PlanFileError, read, write};

fn assert_same(a: &Plan, b: &Plan) {
    let Plan { hub, fleet, manifest, revision, read, twins, unchanged, checks, .. } = a;
    assert_eq!((&a.selections, &a.impact), (&b.selections, &b.impact));
    assert_eq!(
        (hub, fleet, manifest, revision, read, unchanged),
        (&b.hub, &b.fleet, &b.manifest, &b.revision, &b.read, &b.unchanged)
    );
    assert_eq!(twins, &b.twins);
    assert_eq!(checks.len(), b.checks.len());
    for (a, b) in checks.iter().zip(&b.checks) {
        let Check { name, query, expect, within, severity, gate } = a;
        assert_eq!(
            (name, query.text(), expect, within, severity, gate),
            (&b.name, b.query.text(), &b.expect, &b.within, &b.severity, &b.gate)
        );
    }
}

/// An impact with something of all there is.
fn rich_impact() -> Impact {
    let difference = || crate::check::Difference {
        summary: "expected no row, found 1".to_owned(),
        details: vec!["+ {}".to_owned()],
        devices: vec!["a".to_owned()],
    };
    let forecasts = [
        Forecast::WillHold,
        Forecast::WillFail(difference()),
        Forecast::DependsOnDevices { reads: vec!["properties.reported.r".to_owned()], as_it_is: None },
        Forecast::DependsOnDevices { reads: vec!["etag".to_owned()], as_it_is: Some(difference()) },
        Forecast::Unknown("why".to_owned()),
    ];
    let prediction = |forecast| Prediction {
        name: "c".to_owned(),
        query: "SELECT * FROM devices".to_owned(),
        severity: Severity::Warn,
        forecast,
    };
    let shared = SharedPath { declared: path("desired.a.b"), theirs: path("desired.a"), agree: true };
    let spent = Spent { requests: 3, messages: 4, seconds: 1.5 };
    Impact {
        predictions: forecasts.map(prediction).into(),
        writers: vec![
            Writer::Configuration {
                id: "c".to_owned(),
                priority: -1,
                condition: "*".to_owned(),
                paths: vec![shared],
                twins: vec![id("a"), id("z/m")],
            },
            Writer::Fleet {
                fleet: "oslo".parse().expect("a fleet"),
                revisions: vec!["r1".to_owned()],
                twins: 2,
                paths: vec![path("tags.x")],
            },
        ],
        unread: vec!["a line".to_owned()],
        diverging: vec![Divergence {
            selector: "s".to_owned(),
            origin: Origin { layer: Layer::Selector("s".into()), ..origin(3) },
            altered_by: Some(origin(4)),
            path: Some(path("tags.x")),
            leaving: vec![id("a")],
            joining: vec![id("b")],
        }],
        cost: Some(Cost { tier: "S1, 1 unit".to_owned(), read: spent, apply: Some(spent), notifications: 7 }),
    }
}

#[test]
fn an_impact_is_read_as_it_was_written_and_is_no_part_of_the_review() {
    let selection = Selection {
        name: "s".into(),
        condition: "tags.x = 1".to_owned(),
        ids: vec![id("a")],
        origin: Origin { layer: Layer::Selector("s".into()), ..origin(3) },
    };
    let bare = rich_plan("r1");
    let plan = Plan { selections: vec![selection], impact: rich_impact(), ..bare.clone() };
    let text = write(&plan, "0.1.0");
    assert_same(&read(&text).expect("a plan"), &plan);
    assert_eq!(plan.review_digest(), bare.review_digest());
    assert!(matches!(
        guard::check(&Plan { twins: Vec::new(), ignores_rollout: true, ..plan }),
        Err(PlanRefusal::Diverges { .. })
    ));
    for (from, to, problem) in [
        (r#""kind":"will-hold""#, r#""kind":"will-hold","more":1"#, "the plan file is not as twinctl writes plans"),
        (r#""strategy":"patch""#, r#""strategy":"magic""#, "the plan file was altered"),
    ] {
        let error = read(&text.replacen(from, to, 1)).expect_err(problem).to_string();
        assert!(error.starts_with(problem), "{error}");
    }
}

/// A plan with something of all there is: edit, drift, adopt, removal, a fleet to take from, a device and a module to register, one that left.
fn rich_plan(revision: &str) -> Plan {
    let mut declarations = declarations([
        (id("a"), body(json!({"tags": {"site": {"plant": "P"}}, "desired": {"power": 2, "fan": null, "list": [1.0]}}))),
        (id("b"), body(json!({"desired": {"power": 2}}))),
        (id("z/m"), body(json!({"desired": {"batch": 50}}))),
        (id("c"), body(json!({"tags": {"k=v": 1.5}}))),
    ]);
    let module = declarations.twins.get_mut(&id("z/m")).expect("declared");
    let mut leaves = module.body.leaves().into_owned();
    leaves[0].origin.layer = Layer::Module;
    module.body = Arc::new(leaves.into());
    declarations.missing = Missing::Register;
    let check = |name: &str, expect| Check {
        name: name.to_owned(),
        query: iothub_model::query::compile("SELECT * FROM devices").expect("a query"),
        expect,
        within: Duration::from_millis(1500),
        severity: Severity::Warn,
        gate: name == "some",
    };
    let columns =
        [("n".to_owned(), Column::Range { min: Some(3.0), max: None }), ("m".to_owned(), Column::Equals(json!("x")))];
    let bound = Bound { comparison: Comparison::AtLeast, number: 95.5 };
    let whole = iothub_model::query::compile("SELECT * FROM devices").expect("a query");
    declarations.checks = vec![
        check("none", Expectation::None),
        check("some", Expectation::Some),
        check("rows", Expectation::Rows(vec![object(json!({"n": 1}))])),
        check("count", Expectation::Count(bound)),
        check("devices", Expectation::Devices(["a".to_owned()].into())),
        check("columns", Expectation::Columns(columns.into())),
        check("share", Expectation::Share { bound, of: Box::new(whole) }),
    ];
    let own = record(json!({"desired": {"power": 2, "old": {"x": 1}}}));
    let other = record(json!({"tags": {"site": {"plant": "Q"}, "z": 1}}));
    let lookups = [
        Lookup::Found(Box::new(twin(
            "a",
            json!({
                "tags": {"site": {"plant": "Q", "hall": 1}, "twinctl": {"redmond": own, "oslo": other}},
                "desired": {"power": 1, "list": [1], "old": {"x": 1}},
            }),
        ))),
        Lookup::Absent(id("b")),
        Lookup::Found(Box::new(twin("c", json!({})))),
        Lookup::Absent(id("z/m")),
        Lookup::Found(Box::new(twin(
            "gone",
            json!({"tags": {"twinctl": {"redmond": record(json!({"desired": {"power": 1}}))}}, "desired": {"power": 1}}),
        ))),
    ];
    let context = PlanContext { take_ownership: true, revision: revision.to_owned(), ..context() };
    plan(&declarations, context, lookups, ReadBy::Query)
}

#[test]
fn the_file_reads_well() {
    let text = write(&rich_plan("r1"), "0.1.0");
    insta::with_settings!({
        snapshot_path => concat!(env!("CARGO_MANIFEST_DIR"), "/snapshots"),
        prepend_module_to_snapshot => false,
        omit_expression => true,
    }, { insta::assert_snapshot!("plan-file", text) });
    assert_same(&rich_plan("r1"), &read(&text).expect("a plan"));
    assert_eq!(text, write(&rich_plan("r1"), "0.1.0"), "same plan, same bytes");
}

#[test]
fn conflicts_and_missing_devices_are_kept() {
    let other = record(json!({"desired": {"power": 1}}));
    let declarations = declarations([
        (id("a"), body(json!({"desired": {"power": 2, "o": 1}}))),
        (id("b"), body(json!({"desired": {"power": 2}}))),
        (id("c"), body(json!({"desired": {"power": 2}}))),
    ]);
    let lookups = [
        Lookup::Found(Box::new(twin("a", json!({"tags": {"twinctl": {"oslo": other}}, "desired": {"o": {"x": 1}}})))),
        Lookup::Found(Box::new(twin("b", json!({"tags": {"twinctl": {"redmond": 5}}})))),
        Lookup::Absent(id("c")),
    ];
    let plan = plan(&declarations, context(), lookups, ReadBy::Get);
    assert_same(&plan, &read(&write(&plan, "0.1.0")).expect("a plan"));
}

#[test]
fn a_changed_byte_is_refused_or_says_the_same() {
    let text = write(&rich_plan("r1"), "0.1.0");
    let original: Value = serde_json::from_str(&text).expect("JSON");
    for at in 0..text.len() {
        let mut bytes = text.clone().into_bytes();
        bytes[at] ^= 1 << (at % 7);
        let Ok(altered) = String::from_utf8(bytes) else { continue };
        if read(&altered).is_ok() {
            // As white space may be.
            let altered: Value = serde_json::from_str(&altered).expect("it was read");
            assert!(iothub_model::twin::value::equal(&altered, &original), "byte {at}");
        }
    }
    for at in (0..text.len()).filter(|&at| text.is_char_boundary(at)).step_by(97) {
        assert!(read(&text[..at]).is_err(), "cut at {at}");
    }
}

#[test]
fn what_is_said_twice_is_refused() {
    let text = write(&rich_plan("r1"), "0.1.0");
    for (once, twice) in [
        ("\"revision\": \"r1\"", "\"revision\": \"r0\",\n\"revision\": \"r1\""),
        ("\"population\": {", "\"population\": {\"devices\":9,"),
        ("\"twins\": [", "\"twins\": [],\n\"twins\": ["),
    ] {
        assert!(text.contains(once), "{once}");
        let found = read(&text.replacen(once, twice, 1));
        let said = found.expect_err(twice);
        let cause = std::error::Error::source(&said).map(ToString::to_string).unwrap_or_default();
        assert!(cause.starts_with("duplicate field"), "{twice}: {said}: {cause}");
    }
}

#[test]
fn what_is_no_plan() {
    for (text, message) in [
        ("", "the plan file is not JSON; was it cut short? plan again, with --out"),
        ("fleet: redmond", "the plan file is not JSON; was it cut short? plan again, with --out"),
        ("{\"format\": \"twinctl-plan\",", "the plan file is not JSON; was it cut short? plan again, with --out"),
        (
            "[]",
            "the file is JSON, but no plan of twinctl: those are written by `plan` with --out and have \"format\": \"twinctl-plan\"",
        ),
        (
            "{}",
            "the file is JSON, but no plan of twinctl: those are written by `plan` with --out and have \"format\": \"twinctl-plan\"",
        ),
        (
            r#"{"format": "terraform", "version": 1}"#,
            "the file is JSON, but no plan of twinctl: those are written by `plan` with --out and have \"format\": \"twinctl-plan\"",
        ),
        (
            r#"{"format": "twinctl-plan", "version": 2}"#,
            "the plan file has version 2, and this twinctl reads version 1: use the twinctl that wrote it, or plan again",
        ),
        (r#"{"format": "twinctl-plan", "version": 1}"#, "the plan file is not as twinctl writes plans; plan again"),
    ] {
        assert_eq!(read(text).expect_err(text).to_string(), message);
    }
    let altered = write(&rich_plan("r1"), "0.1.0").replace("\"power\":2", "\"power\":3");
    let error = read(&altered).expect_err("altered");
    assert!(matches!(error, PlanFileError::Altered { .. }), "{error}");
    assert!(error.to_string().starts_with("the plan file was altered after it was written: it says "), "{error}");
}

/// Forges a plan: changes one with full knowledge of the format, digests included.
fn forge(forgery: impl FnOnce(&mut Plan)) -> Result<Plan, String> {
    let mut plan = rich_plan("r1");
    forgery(&mut plan);
    read(&write(&plan, "0.1.0")).map_err(|error| error.to_string())
}

fn patch_of(plan: &mut Plan, at: usize) -> &mut MergePatch {
    Arc::make_mut(&mut plan.twins[at].patch)
}

fn changes_of(plan: &mut Plan, at: usize, edit: impl FnOnce(&mut Vec<PlannedChange>)) {
    let mut changes = plan.twins[at].changes.to_vec();
    edit(&mut changes);
    plan.twins[at].changes = changes.into();
}

#[test]
fn forged_plans_are_refused() {
    type Forgery = fn(&mut Plan);
    assert!(forge(|_| {}).is_ok());
    let rows: Vec<(Forgery, &str)> = vec![
        (|plan| plan.twins[0].etag = None, "at the twin of a: it has no etag, and nothing is written without one"),
        (|plan| plan.twins[0].etag = Some(ETag::new("*")), "at the twin of a: its etag is none"),
        (|plan| plan.twins[0].etag = Some(ETag::new("\"*")), "at the twin of a: its etag is none"),
        (|plan| plan.twins[0].etag = Some(ETag::new("a\r\nX: y")), "at the twin of a: its etag is none"),
        (
            |plan| plan.twins[1].etag = Some(ETag::new("AAA=")),
            "at the twin of b: it has an etag, but is said not to be there",
        ),
        (|plan| plan.twins.swap(0, 1), "at the twin of a: twins are not sorted by id, or one is there twice"),
        (
            |plan| plan.twins.insert(0, plan.twins[0].clone()),
            "at the twin of a: twins are not sorted by id, or one is there twice",
        ),
        (|plan| plan.twins[0].patch = Arc::default(), "at the twin of a: it has an empty patch"),
        (|plan| plan.twins[1].action = Action::Skip, "at the twin of b: it is said not to be there, and is changed"),
        (
            |plan| patch_of(plan, 0).set(&path("desired.reboot"), json!(true)),
            "at the twin of a: its patch touches desired.reboot, which is not among its changes",
        ),
        (
            |plan| patch_of(plan, 0).set(&path("desired.secret"), Value::Null),
            "at the twin of a: its patch touches desired.secret, which is not among its changes",
        ),
        (
            |plan| patch_of(plan, 0).set(&path("tags.site"), Value::Null),
            "at the twin of a: its patch touches tags.site, which is not among its changes",
        ),
        (
            |plan| patch_of(plan, 0).set(&path("desired.power"), json!(9)),
            "at the twin of a: its patch touches desired.power, which is not among its changes",
        ),
        (
            |plan| patch_of(plan, 0).set(&path("desired.power"), json!({})),
            "at the twin of a: its patch touches desired.power, which is not among its changes",
        ),
        (
            |plan| {
                patch_of(plan, 0).desired.remove("power");
            },
            "at the twin of a: its patch does not do what its changes say",
        ),
        (
            |plan| patch_of(plan, 0).set(&path("desired.power"), json!([null])),
            "at the twin of a: the hub would refuse its patch: power.0: null inside an array, which the hub does not store",
        ),
        (
            |plan| Arc::make_mut(&mut plan.twins[0].inverse).set(&path("desired.reboot"), json!(true)),
            "at the twin of a: its inverse patch touches desired.reboot, which is not among its changes",
        ),
        (
            |plan| {
                Arc::make_mut(&mut plan.twins[0].inverse).desired.remove("power");
            },
            "at the twin of a: its inverse patch does not take it back",
        ),
        (
            |plan| changes_of(plan, 0, |changes| changes.reverse()),
            "at the twin of a: its changes are not sorted by path, or one is there twice",
        ),
        (
            |plan| changes_of(plan, 2, |changes| changes[0].verdict = Verdict::Adopt),
            "at the twin of c: tags.k=v is called adopt, which its values are not",
        ),
        (
            // It would hide that a stranger's value is taken over.
            |plan| changes_of(plan, 2, |changes| changes[0].verdict = Verdict::Edit),
            "at the twin of c: its record does not agree with the change of tags.k=v",
        ),
        (
            |plan| changes_of(plan, 2, |changes| changes[0].path = path("tags.twinctl.oslo.rev")),
            "at the twin of c: tags.twinctl.oslo.rev is not for a manifest to change",
        ),
        (|plan| patch_of(plan, 2).set(&path("tags.twinctl"), Value::Null), "at the twin of c: it removes tags.twinctl"),
        (
            |plan| {
                patch_of(plan, 2).set(&path("tags.twinctl.oslo"), json!({"v": 1, "rev": "", "owns": ["tags.x=0000"]}))
            },
            "at the twin of c: it changes the record of oslo by more or less than it says it takes over",
        ),
        (
            |plan| patch_of(plan, 2).set(&path("tags.twinctl.Oslo"), json!(1)),
            "at the twin of c: it writes something under tags.twinctl that is no record",
        ),
        (
            |plan| patch_of(plan, 2).set(&path("tags.twinctl.redmond.rev"), json!("r2")),
            "at the twin of c: its record has another revision than the plan",
        ),
        (
            |plan| patch_of(plan, 2).set(&path("tags.twinctl.redmond.owns"), json!(["tags.k=v=1234"])),
            "at the twin of c: its record does not agree with the change of tags.k=v",
        ),
        (
            |plan| {
                let owns = record(json!({"tags": {"k=v": 1.5, "other": 1}}))["owns"].clone();
                patch_of(plan, 2).set(&path("tags.twinctl.redmond.owns"), owns);
            },
            "at the twin of c: its record claims tags.other=6b86, which is not among its changes",
        ),
        (
            |plan| plan.twins[0].taken = Arc::default(),
            "at the twin of a: it changes the record of oslo by more or less than it says it takes over",
        ),
        (
            |plan| patch_of(plan, 0).set(&path("tags.twinctl.oslo"), Value::Null),
            "at the twin of a: it writes a record that is none",
        ),
        (
            |plan| patch_of(plan, 0).set(&path("tags.twinctl.oslo.owns"), json!([])),
            "at the twin of a: it changes the record of oslo by more or less than it says it takes over",
        ),
        (
            |plan| {
                patch_of(plan, 3).tags.clear();
            },
            "at the twin of gone: its patch writes records that its inverse does not, or the other way round",
        ),
        (
            |plan| plan.twins[2].conflicts.push(Conflict::Limit { problem: "x".to_owned() }),
            "at the twin of c: it has conflicts, and changes none the less",
        ),
    ];
    for (forgery, message) in rows {
        let expected = format!("the plan file contradicts itself {message}; it must not be applied, plan again");
        assert_eq!(forge(forgery).expect_err(message), expected);
    }
}

#[test]
fn a_forged_review_digest_is_refused() {
    let plan = rich_plan("r1");
    let other = rich_plan("r2");
    let text = write(&plan, "0.1.0");
    let swapped = text.replace(plan.review_digest().as_str(), other.review_digest().as_str());
    let Err(PlanFileError::Altered { said, found }) = read(&swapped) else { panic!("altered") };
    let error = read(&swapped.replace(said.as_str(), found.as_str())).expect_err("contradicts itself");
    assert_eq!(
        error.to_string(),
        "the plan file contradicts itself: its review digest is not that of its patches; it must not be applied, plan again"
    );
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_plan_comes_back((_, declared, live) in after_a_history(), take in any::<bool>(), none in any::<bool>()) {
        let mut declarations = declarations([(live.id.clone(), body(declared))]);
        if none {
            declarations.ownership = Ownership::None;
        }
        let context = PlanContext { take_ownership: take, ..context() };
        let plan = plan(&declarations, context, [Lookup::Found(Box::new(live))], ReadBy::Get);
        let back = read(&write(&plan, "0.1.0"));
        prop_assert!(back.is_ok(), "{} {:#?}", back.unwrap_err(), plan);
        assert_same(&plan, &back.expect("asserted above"));
    }

    #[test]
    fn plans_to_register_and_to_release_come_back(declared in declared(), live in live_twin()) {
        let declarations = Declarations {
            missing: Missing::Register,
            ..declarations([(id("new"), body(declared))])
        };
        let lookups = [Lookup::Absent(id("new")), Lookup::Found(Box::new(live))];
        let plan = plan(&declarations, context(), lookups, ReadBy::Get);
        let back = read(&write(&plan, "0.1.0"));
        prop_assert!(back.is_ok(), "{} {:#?}", back.unwrap_err(), plan);
        assert_same(&plan, &back.expect("asserted above"));
    }
}
