//! That a plan's predictions come true, for any fleet, manifest and check.

use std::collections::BTreeSet;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::subsequence;

use super::ownership::may_have_records;
use super::property_tests::{config, declared, live_twin};
use super::unchanged::exactly;
use super::*;
use crate::check::{Bound, Check, Column, Comparison, Difference, Expectation, Severity, evaluate};
use crate::plan::impact::ReadConfiguration;
use iothub_model::query::{BoundQuery, Collection, compile};
use iothub_model::wire::configurations::Configuration;
use iothub_model::wire::raw_twin::RawTwin;
use iothub_model::wire::twins::encode_twin;

/// Conditions over what twins have here, and what they do not.
fn condition() -> impl Strategy<Value = String> {
    let path = prop_oneof![
        Just("tags.a"),
        Just("tags.b"),
        Just("tags.a.b"),
        Just("properties.desired.a"),
        Just("properties.desired.b"),
        Just("properties.desired.c.a"),
        Just("properties.reported.r"),
    ];
    let leaf = prop_oneof![
        4 => (path.clone(), prop_oneof![Just("="), Just("!="), Just("<"), Just(">=")], 0i64..3)
            .prop_map(|(path, operator, value)| format!("{path} {operator} {value}")),
        2 => path.clone().prop_map(|path| format!("is_defined({path})")),
        1 => path.prop_map(|path| format!("{path} IN [0, 2]")),
        1 => subsequence(IDS.to_vec(), 0..4).prop_map(|ids| format!("deviceId IN [{}]", quoted(&ids))),
        1 => Just("status = 'enabled'".to_owned()),
        1 => Just("is_defined(tags)".to_owned()),
        1 => Just("is_defined(tags.twinctl.redmond)".to_owned()),
    ];
    leaf.prop_recursive(2, 6, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} AND {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a} OR {b})")),
            inner.prop_map(|a| format!("NOT ({a})")),
        ]
    })
}

fn quoted(ids: &[&str]) -> String {
    ids.iter().map(|id| format!("'{id}'")).collect::<Vec<_>>().join(", ")
}

fn query() -> impl Strategy<Value = BoundQuery> {
    let shape = prop_oneof![
        3 => Just(("deviceId", "")),
        2 => Just(("*", "")),
        1 => Just(("deviceId, tags.a AS t, Properties.Desired.a", "")),
        2 => Just(("COUNT() AS n", "")),
        1 => Just(("SUM(tags.a) AS s, MAX(properties.desired.a) AS m, MIN(tags.b) AS i", "")),
        1 => Just(("AVG(tags.a) AS v, COUNT() AS n", "")),
        1 => Just(("tags.a, COUNT() AS n", " GROUP BY tags.a")),
        1 => Just(("properties.desired.a AS d", " GROUP BY properties.desired.a")),
    ];
    let top = prop_oneof![5 => Just(""), 1 => Just("TOP 1 "), 1 => Just("TOP 3 ")];
    (shape, top, proptest::option::weighted(0.9, condition())).prop_map(|((columns, group), top, condition)| {
        let condition = condition.map(|condition| format!(" WHERE {condition}")).unwrap_or_default();
        let text = format!("SELECT {top}{columns} FROM devices{condition}{group}");
        compile(&text).unwrap_or_else(|errors| panic!("{text}: {errors:?}"))
    })
}

fn expectation() -> impl Strategy<Value = Expectation> {
    let bound = || {
        let comparison = prop_oneof![Just(Comparison::Equal), Just(Comparison::AtLeast), Just(Comparison::Less)];
        (comparison, 0i32..5).prop_map(|(comparison, number)| Bound { comparison, number: f64::from(number) })
    };
    prop_oneof![
        Just(Expectation::None),
        Just(Expectation::Some),
        bound().prop_map(Expectation::Count),
        subsequence(IDS.to_vec(), 0..4)
            .prop_map(|ids| Expectation::Devices(ids.into_iter().map(str::to_owned).collect())),
        vec((0i64..3, 0i64..4), 0..3).prop_map(|rows| {
            Expectation::Rows(rows.into_iter().map(|(a, n)| object(json!({ "a": a, "n": n }))).collect())
        }),
        (0f64..6.0).prop_map(|max| {
            let column = Column::Range { min: Some(0.0), max: Some(max.floor()) };
            Expectation::Columns([("n".to_owned(), column)].into())
        }),
        (bound(), query()).prop_map(|(bound, of)| {
            let bound = Bound { number: bound.number * 25.0, ..bound };
            Expectation::Share { bound, of: Box::new(of) }
        }),
    ]
}

fn check() -> impl Strategy<Value = Check> {
    (query(), expectation()).prop_map(|(query, expect)| Check {
        name: "c".to_owned(),
        query,
        expect,
        within: std::time::Duration::ZERO,
        severity: Severity::Error,
        gate: false,
    })
}

const IDS: [&str; 6] = ["d0", "d1", "d2", "d3", "d4", "d5"];

/// What a hub has: twins, some of which report.
fn fleet() -> impl Strategy<Value = BTreeMap<TwinId, Twin>> {
    btree_map(proptest::sample::select(IDS.to_vec()), (live_twin(), proptest::option::of(0i64..3)), 0..6).prop_map(
        |twins| {
            let twins = twins.into_iter().map(|(at, (mut twin, reported))| {
                twin.id = id(at);
                if let Some(reported) = reported {
                    twin.reported.0.insert("r".to_owned(), reported.into());
                }
                twin.rest.insert("status".to_owned(), "enabled".into());
                (twin.id.clone(), twin)
            });
            twins.collect()
        },
    )
}

fn manifest() -> impl Strategy<Value = Declarations> {
    let missing = prop_oneof![Just(Missing::Register), Just(Missing::Skip), Just(Missing::Fail)];
    (btree_map(proptest::sample::select(IDS.to_vec()), declared(), 0..4), missing, vec(check(), 1..4)).prop_map(
        |(bodies, missing, checks)| {
            let twins = bodies.into_iter().map(|(at, declared)| (id(at), body(declared)));
            Declarations { missing, checks, ..declarations(twins) }
        },
    )
}

/// How the twins of a hub come to be seen.
#[derive(Clone, Debug, Default)]
struct Refresh {
    /// All twins are listed, and not only the declared ones read.
    lists_all: bool,
    /// Twins are looked at as text where that is enough.
    by_text: bool,
    /// Texts are not spelt as this program spells them: with escapes, and with tags that are empty.
    foreign: bool,
    /// Who else writes.
    subjects: Vec<ReadConfiguration>,
}

impl Refresh {
    fn text(&self, twin: &Twin) -> String {
        let mut document = encode_twin(twin);
        if !self.foreign {
            return document.to_string();
        }
        document.as_object_mut().expect("a twin").entry("tags").or_insert_with(|| json!({}));
        document.to_string().replace(r#""enabled""#, r#""\u0065nabled""#)
    }

    /// Takes a twin by its text, if that is enough; what is declared for it, if anything is.
    fn takes(
        &self,
        planner: &mut Planner<'_>,
        observer: &mut ImpactObserver<'_>,
        twin: &Twin,
        body: Option<&Body>,
    ) -> bool {
        let text = self.text(twin);
        let Some(raw) = RawTwin::find(&text).filter(|_| self.by_text) else { return false };
        let excerpt = observer.excerpt(&twin.id, &raw).expect("it has all that a twin has");
        match body {
            Some(body) => {
                let Some(unchanged) = planner.push_unchanged(&twin.id, &raw) else { return false };
                observer.unchanged(&twin.id, &excerpt, unchanged, body);
            }
            None if may_have_records(raw.tags.unwrap_or_default()) => return false,
            None => observer.unmanaged(&twin.id, || Some(&excerpt)),
        }
        true
    }
}

/// Plans as refresh does, and returns what is predicted.
fn predict(declarations: &Declarations, hub: &BTreeMap<TwinId, Twin>, refresh: &Refresh) -> Plan {
    let mut planner = Planner::new(declarations, context());
    let mut observer = ImpactObserver::new(declarations, refresh.subjects.clone());
    let lists_all = refresh.lists_all;
    let fleet = "redmond";
    let carries = |twin: &Twin| twin.tags.0.get("twinctl").is_some_and(|all| all.get(fleet).is_some());
    let left = hub.values().filter(|twin| !declarations.twins.contains_key(&twin.id));
    let (left, unmanaged): (Vec<&Twin>, Vec<&Twin>) = left.partition(|twin| carries(twin));
    let ids: BTreeSet<&TwinId> = declarations.twins.keys().chain(left.iter().map(|twin| &twin.id)).collect();
    for unmanaged in unmanaged.iter().filter(|_| lists_all) {
        if !refresh.takes(&mut planner, &mut observer, unmanaged, None) {
            let document = encode_twin(unmanaged);
            observer.unmanaged(&unmanaged.id, || Some(&document));
        }
    }
    for id in ids {
        let body = declarations.twins.get(id).map(|declaration| &*declaration.body);
        if let (Some(twin), Some(body)) = (hub.get(id), body)
            && refresh.takes(&mut planner, &mut observer, twin, Some(body))
        {
            continue;
        }
        let lookup = match hub.get(id) {
            Some(twin) => Lookup::Found(Box::new(twin.clone())),
            None => Lookup::Absent(id.clone()),
        };
        let seen = SeenTwin::new(lookup);
        let plan = planner.push(seen.lookup());
        observer.planned(&seen, plan, body);
    }
    let unseen: &[Collection] = if lists_all { &[] } else { &[Collection::Devices] };
    let documents: Vec<Value> = hub.values().map(encode_twin).collect();
    for question in observer.questions(unseen) {
        let query = compile(question.text()).unwrap_or_else(|errors| panic!("{}: {errors:?}", question.text()));
        for row in query.rows(&documents) {
            observer.answer(&question, &row).expect("a row");
        }
    }
    Plan { impact: observer.finish(), ..planner.finish(ReadBy::Get) }
}

/// The hub's twins after the plan has been applied.
fn applied(plan: &Plan, hub: &BTreeMap<TwinId, Twin>) -> BTreeMap<TwinId, Twin> {
    let mut hub = hub.clone();
    for planned in plan.twins.iter().filter(|twin| twin.is_sent()) {
        let live = hub.remove(&planned.id).unwrap_or_else(|| {
            let mut twin = twin("d", json!({}));
            twin.id = planned.id.clone();
            twin.rest.insert("status".to_owned(), "enabled".into());
            twin
        });
        hub.insert(planned.id.clone(), planned.patch.apply(&live));
    }
    hub
}

/// Configurations that write what is declared here, to some twins.
fn subjects() -> impl Strategy<Value = Vec<ReadConfiguration>> {
    let target = prop_oneof![1 => Just("*".to_owned()), 4 => condition()];
    let written = prop_oneof![Just("a"), Just("b"), Just("c.a")];
    vec((target, written, 0i64..3), 0..3).prop_map(|all| {
        let subjects = all.into_iter().enumerate().map(|(at, (condition, path, priority))| {
            let content = json!({ "deviceContent": { format!("properties.desired.{path}"): 1 } });
            let listed = json!({ "id": format!("c{at}"), "targetCondition": condition, "priority": priority, "content": content });
            let configuration: Configuration = serde_json::from_value(listed).expect("a configuration");
            ReadConfiguration::read(&configuration).expect("it can be read")
        });
        subjects.collect()
    })
}

/// What a check says of these twins, as `verify` finds it out.
fn ask(check: &Check, documents: &[Value]) -> Result<(), Difference> {
    let rows = |query: &BoundQuery| -> Vec<Value> {
        let rows = query.rows(documents);
        if !query.selects_documents() {
            return rows;
        }
        rows.iter().map(|row| json!({ "deviceId": row["deviceId"] })).collect()
    };
    let whole = check.expect.whole().map(rows);
    evaluate(check, &rows(&check.query), whole.as_deref(), &[])
}

/// A difference without what depends on the order of rows, and on which of them `TOP` takes.
fn comparable(check: &Check, outcome: Result<(), Difference>) -> Result<(), Difference> {
    outcome.map_err(|mut difference| {
        difference.details.sort();
        if check.query.top().is_some() {
            return Difference { summary: difference.summary, ..Difference::default() };
        }
        difference
    })
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn predictions_come_true(declarations in manifest(), hub in fleet(), lists_all in any::<bool>()) {
        let plan = predict(&declarations, &hub, &Refresh { lists_all, ..Refresh::default() });
        let after: Vec<Value> = applied(&plan, &hub).values().map(encode_twin).collect();
        prop_assert_eq!(plan.impact.predictions.len(), declarations.checks.len());
        for (check, prediction) in declarations.checks.iter().zip(&plan.impact.predictions) {
            let found = comparable(check, ask(check, &after));
            let predicted = match prediction.forecast.clone() {
                Forecast::WillHold => Ok(()),
                Forecast::WillFail(difference) => Err(difference),
                Forecast::DependsOnDevices { reads, as_it_is } => {
                    prop_assert_eq!(reads, ["properties.reported.r"]);
                    as_it_is.map_or(Ok(()), Err)
                }
                Forecast::Unknown(reason) => {
                    let excused = reason.starts_with("its `TOP` takes") || reason.starts_with("it compares whole twins");
                    prop_assert!(excused, "{}", reason);
                    continue;
                }
            };
            prop_assert_eq!(comparable(check, predicted), found, "{}: {:?}", check.query.text(), check.expect);
        }
    }

    #[test]
    fn texts_show_what_whole_twins_do(
        declarations in manifest(), hub in fleet(), lists_all in any::<bool>(), foreign in any::<bool>(),
        subjects in subjects(), exact in subsequence(vec!["tags.a", "desired.b"], 0..2),
    ) {
        let declarations = Declarations { policy: exactly(&exact), ..declarations };
        let whole = Refresh { lists_all, foreign, subjects, by_text: false };
        let texts = Refresh { by_text: true, ..whole.clone() };
        // As it is found, and as it is left, when most twins are as declared.
        let after = applied(&predict(&declarations, &hub, &whole), &hub);
        for hub in [hub, after] {
            let told = |refresh: &Refresh| {
                let Plan { twins, unchanged, impact, .. } = predict(&declarations, &hub, refresh);
                (twins, unchanged, impact)
            };
            prop_assert_eq!(told(&texts), told(&whole));
        }
    }
}

#[test]
fn what_a_plan_cannot_know() {
    let check = |text: &str, expect: Expectation| Check {
        name: text.to_owned(),
        query: compile(text).expect(text),
        expect,
        within: std::time::Duration::ZERO,
        severity: Severity::Error,
        gate: false,
    };
    let devices = || Expectation::Devices(["d0".to_owned()].into());
    let checks = vec![
        check("SELECT * FROM devices.jobs", Expectation::None),
        check("SELECT TOP 1 deviceId FROM devices", devices()),
        check("SELECT * FROM devices", Expectation::Rows(Vec::new())),
        check("SELECT deviceId FROM devices WHERE etag = 'x' AND connectionState = 'Connected'", Expectation::None),
    ];
    let declarations = Declarations { checks, ..declarations([(id("d0"), body(json!({"tags": {"a": 1}})))]) };
    let hub = ["d0", "d1"].map(|name| (id(name), twin(name, json!({}))));
    let plan = predict(&declarations, &hub.into(), &Refresh { lists_all: true, ..Refresh::default() });
    let told: Vec<String> = plan
        .impact
        .predictions
        .iter()
        .map(|prediction| match &prediction.forecast {
            Forecast::Unknown(reason) => reason.clone(),
            Forecast::DependsOnDevices { reads, .. } => format!("depends on {}", reads.join(", ")),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        told,
        [
            "it asks about jobs, of which a plan knows nothing",
            "its `TOP` takes 1 of 2 rows, and a hub does not say which",
            "it compares whole twins, whose etags and times are not known beforehand",
            "depends on etag, connectionState",
        ]
    );
}

#[test]
fn sensitive_values_are_in_no_prediction() {
    let check = Check {
        name: "c".to_owned(),
        query: compile("SELECT deviceId, properties.desired.wifi AS w FROM devices").expect("a query"),
        expect: Expectation::None,
        within: std::time::Duration::ZERO,
        severity: Severity::Error,
        gate: false,
    };
    let declared = json!({"desired": {"wifi": {"psk": "hunter2"}}});
    let mut declarations = Declarations { checks: vec![check], ..declarations([(id("d0"), body(declared))]) };
    let hub = BTreeMap::from([(id("d0"), twin("d0", json!({})))]);
    let refresh = Refresh { lists_all: true, ..Refresh::default() };
    assert!(format!("{:?}", predict(&declarations, &hub, &refresh).impact).contains("hunter2"));
    declarations.policy.sensitive = crate::manifest::Sensitive::new(vec![path("desired.wifi.psk")]);
    let impact = predict(&declarations, &hub, &refresh).impact;
    assert!(!format!("{impact:?}").contains("hunter2"));
    let Forecast::WillFail(difference) = &impact.predictions[0].forecast else { panic!("{impact:?}") };
    assert_eq!(difference.devices, ["d0"]);
}
