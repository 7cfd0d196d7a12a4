//! That two values which differ never look the same, in any output.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::annotations::{self, AnnotationFormat};
use super::samples::{self, change};
use super::style::Palette;
use super::text::TextOptions;
use super::view::PlanView;
use super::{checks, declarations, device, diff, html, inspection, junit, markdown, report, table, text, yaml};
use crate::check::{Check, CheckResult, CheckStatus, Expectation, Severity, evaluate};
use crate::device::Event;
use crate::diff::compare;
use crate::drift::Drift;
use crate::inspect::inspect;
use crate::legible::{is_unseen, tell_apart};
use crate::manifest::{Sensitive, load_texts};
use crate::plan::{Plan, Side, Verdict};
use iothub_model::query::compile;
use iothub_model::twin::value::equal;
use iothub_model::twin::{Desired, ETag, Object, Reported, Tags, Twin};

const OPTIONS: TextOptions = TextOptions { palette: Palette::PLAIN, width: 80, full: false };

fn edit(before: &Value, after: &Value) -> Plan {
    let drifted = change("desired.x", Verdict::Drift, Some(before.clone()), Some(after.clone()));
    samples::plan(vec![samples::update("d", vec![drifted])])
}

fn compared(before: &Value, after: &Value, show: impl Fn(&diff::Compared<'_>) -> String) -> String {
    let fleet = |value: &Value| {
        let mut twins = Object::new();
        twins.insert("d".to_owned(), json!({ "desired": { "x": value, "always": 1 } }));
        let text = yaml::document(&json!({ "fleet": "f", "devices": twins })).replace("${", "$${");
        load_texts(&[("f.yaml", &text)], &|_| None).expect("a manifest").declarations
    };
    let (before, after) = (fleet(before), fleet(after));
    let differences = compare(Some(&before), &after);
    let (reference, commit) = ("main", "abc");
    show(&diff::Compared {
        after: &after,
        reference,
        commit,
        tip: None,
        is_unreadable: false,
        notes: &[],
        differences: &differences,
    })
}

fn checked(before: &Value, after: &Value) -> Vec<CheckResult> {
    let rows = |value: &Value| vec![json!({ "x": value, "y": 1 })];
    let object = |row: &Value| row.as_object().expect("an object").clone();
    let check = Check {
        name: "a check".to_owned(),
        query: compile("SELECT properties.desired.x AS x FROM devices").expect("a query"),
        expect: Expectation::Rows(rows(before).iter().map(object).collect()),
        within: Duration::ZERO,
        severity: Severity::Error,
        gate: false,
    };
    let difference = evaluate(&check, &rows(after), None, &[]).expect_err("another value");
    vec![CheckResult {
        name: check.name,
        query: check.query.text().to_owned(),
        severity: check.severity,
        status: CheckStatus::Failed(difference),
        attempts: 1,
        waited: Duration::ZERO,
    }]
}

fn applied(before: &Value, after: &Value) -> String {
    let mut all = samples::apply_report();
    all.conflicts.truncate(1);
    let moved = &mut all.conflicts[0].1[0];
    (moved.planned, moved.seen, moved.found) = (Side::Known(before.clone()), Side::Absent, Some(after.clone()));
    report::text(&all, Duration::ZERO, false, Palette::PLAIN)
}

fn shown(before: &Value, after: &Value) -> String {
    let object = |value: &Value| json!({ "x": value }).as_object().expect("an object").clone();
    let twin = Twin {
        id: "d".parse().expect("an id"),
        etag: ETag::new("AAAAAAAAAAE="),
        tags: Tags(Object::new()),
        desired: Desired(object(before)),
        desired_version: 1,
        desired_metadata: Object::new(),
        reported: Reported(object(after)),
        rest: Object::new(),
    };
    let found = inspect(twin, None, &Sensitive::default());
    inspection::text(&found, &"hub".parse().expect("a host"), false, Palette::PLAIN)
}

/// The output that has one value at a time, and so nothing beside which it could look the same.
const ALONE: &str = "device";

/// Each output of a change from one value to another.
fn outputs(before: &Value, after: &Value) -> Vec<(&'static str, String)> {
    let plan = edit(before, after);
    let checked = checked(before, after);
    let remarks = annotations::of_plan(&PlanView::of(&plan), &samples::declarations(&[]));
    let method = |value: &Value| {
        let event = Event::Method { name: "m".to_owned(), payload: value.clone() };
        device::answer(&"d".parse().expect("an id"), &event, Palette::PLAIN).expect("an answer")
    };
    vec![
        ("text", text::plan(&plan, OPTIONS)),
        ("whole text", text::plan(&plan, TextOptions { full: true, ..OPTIONS })),
        ("narrow text", text::plan(&plan, TextOptions { width: 40, ..OPTIONS })),
        ("Markdown", markdown::plan(&plan, markdown::GITHUB_MAX)),
        ("HTML", html::plan(&plan)),
        ("drift", text::drift(&Drift::of(&plan, &samples::declarations(&[])), OPTIONS)),
        ("GitHub", annotations::write(&remarks, AnnotationFormat::GitHub, ".")),
        ("Azure", annotations::write(&remarks, AnnotationFormat::Azure, ".")),
        ("GitLab", annotations::write(&remarks, AnnotationFormat::GitLab, ".")),
        ("against", compared(before, after, |of| diff::text(of, false, Palette::PLAIN))),
        ("against as Markdown", compared(before, after, diff::markdown)),
        ("checks", checks::text(&checked, Palette::PLAIN)),
        ("JUnit", junit::xml(&checked, "f")),
        ("report", applied(before, after)),
        ("show", shown(before, after)),
        (ALONE, method(before) + &method(after)),
        (
            "table",
            table::RowTable::new(Palette::PLAIN, 80)
                .page(&[json!({ "a": before, "b": 1 }), json!({ "a": after, "b": 2 })]),
        ),
    ]
}

/// What a reader makes of a text: spaces and letters as they look, entities as what they stand for. Digests and digits
/// of length aside.
fn look(text: &str) -> String {
    let mut text = [text.replace(['\u{a0}', '\n'], " ")];
    let mut other = text.clone();
    tell_apart(text.iter_mut().chain(&mut other));
    text.concat().split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

fn texts() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec![
        "a",
        "a",
        "b",
        " ",
        " ",
        "\u{a0}",
        "\u{2003}",
        "\u{202f}",
        "-",
        "\u{2011}",
        "–",
        "\u{e9}",
        "e\u{301}",
        "\u{200b}",
        "\u{202e}",
        "\\u00a0",
        "\\",
        "\"",
        "'",
        "’",
        "|",
        "`",
        "<",
        "&",
        "&amp;",
        "1",
        "true",
        "\u{fe0f}",
        "\u{430}",
        "\u{3164}",
        "\n",
        "\\n",
        "\t",
        "\u{fffe}",
        "\u{1b}[2J",
        "::error::x",
        "##vso[x]",
        "#",
        "…",
        "漢",
        "한",
        "\u{1112}\u{1161}\u{11ab}",
    ]);
    let long = (0usize..3, prop::sample::select(vec!["", "xy ", "x"]), 0usize..300)
        .prop_map(|(_, what, times)| what.repeat(times));
    (long.clone(), prop::collection::vec(part, 0..4), long)
        .prop_map(|(head, parts, tail)| head + &parts.concat() + &tail)
}

fn values() -> impl Strategy<Value = Value> {
    prop_oneof![
        6 => texts().prop_map(Value::from),
        1 => prop::sample::select(vec![
            json!(1), json!("1"), json!("1.0"), json!(1.5), json!("1.5"), json!(true), json!("true"), json!("null"), json!(""), json!("absent"),
            json!([1]), json!("[1]"), json!({ "k": 1 }), json!("{\"k\":1}"), json!(-1), json!("\u{2212}1"), json!("(sensitive)"),
        ]),
        1 => (texts(), texts()).prop_map(|(key, value)| json!({ "k": [key, value], "n": value })),
    ]
}

/// Two values that are much alike.
fn pairs() -> impl Strategy<Value = (Value, Value)> {
    prop_oneof![
        (values(), values()),
        (texts(), texts(), texts(), texts()).prop_map(|(head, a, b, tail)| {
            (Value::from(format!("{head}{a}{tail}")), Value::from(format!("{head}{b}{tail}")))
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn values_that_differ_are_shown_otherwise((a, b) in pairs()) {
        prop_assume!(!equal(&a, &b));
        let other = json!("something else");
        prop_assume!(!equal(&a, &other) && !equal(&b, &other));
        for ((what, of_a), (_, of_b)) in outputs(&a, &other).into_iter().zip(outputs(&b, &other)) {
            prop_assert_ne!(&of_a, &of_b, "{}", what);
            let unseen = of_a.chars().find(|&c| is_unseen(c) && !matches!(c, '\n' | '\t'));
            prop_assert_eq!(unseen, None, "{}: {}", what, of_a);
        }
        // Beside each other they do not even look alike.
        for ((what, forth), (_, back)) in outputs(&a, &b).into_iter().zip(outputs(&b, &a)) {
            prop_assert!(what == ALONE || look(&forth) != look(&back), "{}: {}", what, forth);
        }
    }

    #[test]
    fn texts_are_told_apart_in_tables_and_csv((a, b) in pairs()) {
        prop_assume!(!equal(&a, &b));
        let page = |value: &Value| table::RowTable::new(Palette::PLAIN, 80).page(&[json!({ "a": value, "b": 1 })]);
        prop_assert_ne!(page(&a), page(&b));
        if let (Value::String(a), Value::String(b)) = (&a, &b) {
            let page = |value: &str| table::Csv::default().page(&[json!({ "a": value, "b": 1 })]).expect("a page");
            prop_assert_ne!(page(a), page(b));
            let mut reader = csv::Reader::from_reader(page(a).as_bytes().to_vec().leak() as &[u8]);
            let rows: Vec<_> = reader.records().collect::<Result<_, _>>().expect("CSV");
            prop_assert_eq!((rows.len(), rows[0].len()), (1, 2));
            let keys = |key: &str| table::Csv::default().page(&[json!({ key: 1 })]).expect("a page");
            prop_assert!(keys(a) != keys(b) || [a.as_str(), b.as_str()].contains(&""));
        }
    }

    #[test]
    fn rendered_yaml_is_read_back(value in values(), key in "[a-z]{1,3}") {
        let path = format!("desired.{key}");
        let declarations = samples::declarations(&[("d", &[(&path, Some(value.clone()))])]);
        let read: Value = serde_yaml::from_str(&declarations::yaml(&declarations)).expect("YAML");
        let twin = &read["twins"]["d"]["desired"][&key];
        prop_assert!(equal(twin, &value) || value.as_object().is_some(), "{}", twin);
    }
}

#[test]
fn a_spelling_is_seen() {
    for (before, after, expected) in [
        ("a b", "a\u{a0}b", "\"a b\" → \"a\\u00a0b\""),
        ("a-b", "a\u{2011}b", "\"a-b\" → \"a\\u2011b\""),
        ("caf\u{e9}", "cafe\u{301}", "\"café\" → \"cafe\\u0301\""),
        ("10-20", "10–20", "\"10-20\" → \"10\\u201320\""),
        ("paypal", "p\u{430}ypal", "\"paypal\" → \"p\\u0430ypal\""),
        ("Zürich", "Zurich", "\"Zürich\" → \"Zurich\""),
    ] {
        let (before, after) = (json!(before), json!(after));
        assert!(text::plan(&edit(&before, &after), OPTIONS).contains(expected), "{expected}");
        assert!(compared(&before, &after, |of| diff::text(of, false, Palette::PLAIN)).contains(expected));
        let [left, right] = expected.split(" → ").collect::<Vec<_>>()[..] else { panic!("two sides") };
        for (what, text) in outputs(&before, &after).into_iter().filter(|(what, _)| *what != ALONE) {
            let text = text.replace("&quot;", "\"").replace("<del>", "").replace("<ins>", "");
            let text = text.replace("</del>", "").replace("</ins>", "").replace("&#92;", "\\").replace("\\\"", "\"");
            let text = text.replace("\\\\u", "\\u").replace("&#34;", "\"");
            let bare = |side: &str| text.contains(side) || text.contains(side.trim_matches('"'));
            assert!(bare(left) && bare(right), "{what}: {expected}: {text}");
        }
    }
}
