//! That a sensitive side of a change stays redacted on its way out of the process, and is neither `null` nor absent.

use proptest::prelude::*;

use super::policy_property_tests::any_case;
use super::property_tests::{config, is_record, live_object, only};
use super::*;
use crate::apply::ApplyReport;
use crate::plan::file::{read, write};
use crate::render::{applied, html, json, markdown, report, style::Palette, text, view};

/// Returns what a reader sees of a plan, in every format.
fn outputs(plan: &Plan) -> [(&'static str, String); 5] {
    let text = |full| text::plan(plan, text::TextOptions { palette: Palette::PLAIN, width: 100, full });
    [
        ("text", text(false)),
        ("text in full", text(true)),
        ("Markdown", markdown::plan(plan, usize::MAX)),
        ("HTML", html::plan(plan)),
        ("JSON", json::plan(plan)),
    ]
}

fn report_of(moved: Vec<MovedPath>) -> ApplyReport {
    ApplyReport { conflicts: vec![(id("d"), moved)], ..ApplyReport::default() }
}

fn applied_json(report: &ApplyReport) -> Value {
    let run = applied::Run {
        hub: "hub.example.net",
        fleet: "redmond",
        digest: "sha256:00",
        ignored_rollout: None,
        outcome: "conflicts",
        exit_code: 4,
    };
    let document = applied::json(run, Some((report, std::time::Duration::ZERO)), None);
    serde_json::from_str(&document).expect("JSON")
}

fn report_text(report: &ApplyReport) -> String {
    report::text(report, std::time::Duration::ZERO, true, Palette::PLAIN)
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_sensitive_side_is_redacted_by_the_plan_file_and_shown_alike(
        (policy, declared, live, take) in any_case(), tags in live_object(), desired in live_object()
    ) {
        let plan = plan_under(&policy, declared, &live, take);
        let back = read(&write(&plan, "0.1.0")).map_err(|error| TestCaseError::fail(error.to_string()))?;
        let (Some(twin), Some(back_twin)) = (only(&plan), only(&back)) else { return Ok(()) };
        prop_assert_eq!(twin.changes.len(), back_twin.changes.len());
        let document: Value = serde_json::from_str(&json::plan(&back)).expect("JSON");
        for (index, (change, back)) in twin.changes.iter().zip(back_twin.changes.iter()).enumerate() {
            for (side, back) in [(&change.before, &back.before), (&change.after, &back.after)] {
                let expected = match side {
                    Side::Known(_) if change.sensitive => &Side::Redacted,
                    side => side,
                };
                prop_assert_eq!(back, expected, "{}", change.path);
            }
            prop_assert_eq!(back.shown(), change.shown());
            let document = &document["clusters"][0]["changes"][index];
            for (name, side) in [("before", &back.before), ("after", &back.after)] {
                prop_assert_eq!(document.get(name), side.known(), "{} in JSON", name);
                let row = view::RedactedValue::of_side(side);
                prop_assert_eq!(row.is_some(), side.has_value());
                let is_masked = row.is_some_and(|row| row.is_hidden() && row.line() == view::MASK);
                prop_assert_eq!(is_masked, *side == Side::Redacted);
            }
            prop_assert_eq!(document.get("sensitive"), change.sensitive.then_some(&Value::Bool(true)));
        }
        for ((format, shown), (_, shown_back)) in outputs(&plan).into_iter().zip(outputs(&back)) {
            prop_assert_eq!(shown, shown_back, "{}", format);
        }
        let fresh = MergePatch { tags, desired }.apply(&live);
        let Rebase::Conflict(moved) = back_twin.rebase(&fresh) else { return Ok(()) };
        let document = applied_json(&report_of(moved.clone()));
        for (index, moved) in moved.iter().enumerate() {
            let change = back_twin.changes.iter().find(|change| change.path == moved.path);
            if let Some(change) = change.filter(|_| !is_record(&moved.path)) {
                prop_assert_eq!(&moved.seen, &change.before);
                prop_assert_eq!(&moved.planned, &change.after);
            }
            let path = &document["conflicts"][0]["paths"][index];
            for (name, side) in [("seen", &moved.seen), ("planned", &moved.planned)] {
                prop_assert_eq!(path.get(name), side.known().filter(|_| !moved.sensitive), "{} in JSON", name);
                let line = report_text(&report_of(vec![moved.clone()]));
                let line = line.lines().find(|line| line.trim_start().starts_with(name)).expect("one line for each side");
                let is_unknown = line.contains("not known, since plan files hold no sensitive values");
                prop_assert_eq!(is_unknown, *side == Side::Redacted, "{}", line);
            }
        }
    }
}

#[test]
fn a_known_null_is_a_value_like_any_other() {
    let null_sides =
        |change| PlannedChange { before: Side::Known(Value::Null), after: Side::Known(Value::Null), ..change };
    let mut plan = plan_one(json!({"desired": {"x": 1}}), &twin("d", json!({"desired": {"x": 0}})));
    let changes: Vec<_> = plan.twins[0].changes.iter().cloned().map(null_sides).collect();
    let change = changes[0].clone();
    plan.twins[0].changes = changes.into();
    assert!(!change.lacks_value() && plan.first_redacted().is_none());
    assert_eq!(plan.twins[0].not_restored().count(), 0);
    assert_eq!(change.shown(), (&Side::Known(Value::Null), &Side::Known(Value::Null)));
    assert_eq!(Side::Known(Value::Null).redacted(), &Side::Redacted);
    assert!(change.before.is_same(Some(&Value::Null)) && !change.before.is_same(None));
    for unequal in [Side::Absent, Side::Redacted] {
        assert!(!unequal.is_same(Some(&Value::Null)), "{unequal:?}");
    }
    assert!(!Side::Redacted.is_same(None), "whether it is the same is not known");
    let moved = MovedPath {
        path: change.path,
        seen: change.before,
        found: Some(json!(5)),
        planned: change.after,
        written_at: None,
        origin: None,
        sensitive: false,
    };
    let report = report_of(vec![moved]);
    let text = report_text(&report);
    assert!(text.contains("planned  null\n") && text.contains("seen     null\n"), "{text}");
    assert_eq!(applied_json(&report)["conflicts"][0]["paths"][0]["seen"], Value::Null);
}
