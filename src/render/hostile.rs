//! That nothing which others said steers, deceives or commands a reader, in any output.

use std::time::Duration;

use serde_json::{Value, json};

use super::annotations::{self, AnnotationFormat};
use super::samples::{self, change};
use super::style::Palette;
use super::text::TextOptions;
use super::view::PlanView;
use super::{checks, device, diff, drift, html, json as documents, junit, markdown, report, table, text};
use crate::apply::event::Halt;
use crate::check::{CheckResult, CheckStatus, Difference, Severity};
use crate::device::Event;
use crate::diff::compare;
use crate::drift::Drift;
use crate::legible::is_unseen;
use crate::manifest::{Origin, Selection, load_texts};
use crate::plan::{Action, Conflict, Forecast, Plan, Prediction, Verdict, Writer};

/// Text that turns around, hides, clears the screen, and commands who runs a pipeline.
const BAD: &str =
    "::error::x\u{202e}a\u{2066}b\u{200b}c\u{200d}d\u{fe0f}e\u{3164}f\u{e0041}g\u{1b}[2J\r\n::error::y ##vso[z]##[w]";
/// An id that is allowed and looks like a command.
const ID: &str = "::error::d";

fn origin() -> Origin {
    Origin { file: BAD.into(), ..samples::origin(1) }
}

fn difference() -> Difference {
    Difference { summary: BAD.to_owned(), details: vec![BAD.to_owned()], devices: vec![BAD.to_owned()] }
}

fn plan() -> Plan {
    let mut edit = change("desired.x", Verdict::Drift, Some(json!({ BAD: [BAD] })), Some(json!(BAD)));
    edit.path = "desired.a\u{200b}b\u{202e}".parse().expect("a path");
    edit.origin = Some(origin());
    let conflicts = vec![
        Conflict::Record { problem: BAD.to_owned() },
        Conflict::OwnedByOther {
            path: "desired.x".parse().expect("a path"),
            owned: "desired.x".parse().expect("a path"),
            fleet: "oslo".parse().expect("a name"),
            revision: BAD.to_owned(),
            origin: Some(origin()),
        },
    ];
    let mut plan = samples::plan(vec![
        samples::update(ID, vec![edit.clone()]),
        samples::update("::error::e", vec![edit.clone()]),
        samples::twin("::error::c", Action::Update, vec![edit], conflicts),
        samples::twin("::error::m", Action::Missing, Vec::new(), Vec::new()),
    ]);
    plan.revision = BAD.to_owned();
    plan.selections = vec![Selection {
        name: BAD.into(),
        condition: BAD.to_owned(),
        ids: vec![ID.parse().expect("an id")],
        origin: origin(),
    }];
    plan.impact = samples::impact();
    for (index, Prediction { name, query, forecast, .. }) in plan.impact.predictions.iter_mut().enumerate() {
        (*name, *query) = (BAD.to_owned(), BAD.to_owned());
        *forecast = match index {
            0 => Forecast::WillFail(difference()),
            1 => Forecast::DependsOnDevices { reads: vec![BAD.to_owned()], as_it_is: Some(difference()) },
            _ => Forecast::Unknown(BAD.to_owned()),
        };
    }
    for writer in &mut plan.impact.writers {
        match writer {
            Writer::Configuration { id, condition, twins, .. } => {
                (*id, *condition) = (BAD.to_owned(), BAD.to_owned());
                *twins = vec![ID.parse().expect("an id")];
            }
            Writer::Fleet { revisions, .. } => *revisions = vec![BAD.to_owned()],
        }
    }
    plan.impact.unread = vec![BAD.to_owned()];
    plan
}

/// Fails on characters that are not to be shown as they are, and on lines that a pipeline would obey.
fn check(what: &str, text: &str) {
    let found = text.chars().find(|&c| is_unseen(c) && !matches!(c, '\n' | '\t'));
    assert_eq!(found, None, "{what}:\n{text}");
    assert!(!text.contains("##vso[") && !text.contains("##["), "{what}:\n{text}");
    let forged = text.lines().find(|line| line.trim_start().strip_prefix("::").is_some_and(|rest| rest.contains("::")));
    assert_eq!(forged, None, "{what}:\n{text}");
}

#[test]
fn plans() {
    let plan = plan();
    for full in [false, true] {
        let options = TextOptions { palette: Palette::PLAIN, width: 80, full };
        check("text", &text::plan(&plan, options));
        check("drift", &text::drift(&Drift::of(&plan, &samples::declarations(&[])), options));
    }
    check("JSON", &documents::plan(&plan));
    check("Markdown", &markdown::plan(&plan, markdown::GITHUB_MAX));
    check("HTML", &html::plan(&plan));
    check("drift as JSON", &drift::json(&Drift::of(&plan, &samples::declarations(&[]))));
    check("drift as Markdown", &markdown::drift(&Drift::of(&plan, &samples::declarations(&[])), markdown::GITHUB_MAX));
    check("drift as HTML", &html::drift(&Drift::of(&plan, &samples::declarations(&[]))));
    let remarks = annotations::of_plan(&PlanView::of(&plan), &samples::declarations(&[]));
    assert!(remarks.len() > 5, "{remarks:?}");
    for host in [AnnotationFormat::GitHub, AnnotationFormat::Azure, AnnotationFormat::GitLab] {
        let text = annotations::write(&remarks, host, "fleet.yaml");
        assert!(!text.contains(|c| is_unseen(c) && c != '\n'), "{host:?}: {text}");
        let lines = text.lines().filter(|line| line.starts_with("::") || line.starts_with("##vso["));
        assert!(host == AnnotationFormat::GitLab || lines.count() == remarks.len(), "a line each: {host:?}: {text}");
    }
}

#[test]
fn what_checks_came_to() {
    let result = |status| CheckResult {
        name: BAD.to_owned(),
        query: BAD.to_owned(),
        severity: Severity::Error,
        status,
        attempts: 1,
        waited: Duration::ZERO,
    };
    let results = [result(CheckStatus::Failed(difference())), result(CheckStatus::Errored(BAD.to_owned()))];
    check("text", &checks::text(&results, Palette::PLAIN));
    check("JSON", &checks::json(&results, "redmond", "hub", false));
    check("JUnit", &junit::xml(&results, "redmond"));
}

#[test]
fn what_a_pull_request_changes() {
    let fleet = |value: &str| {
        let value = Value::from(value);
        let text = format!(
            "fleet: f\nselectors: [{{ name: s, where: 'tags.a = 1', desired: {{ x: {value} }} }}]\n\
             devices:\n  '{ID}': {{ desired: {{ x: {value} }} }}\n  '::error::e': {{ desired: {{ x: {value} }} }}\n"
        );
        load_texts(&[("f.yaml", &text)], &|_| None).expect("a manifest").declarations
    };
    let (before, after) = (fleet("x"), fleet(BAD));
    let differences = compare(Some(&before), &after);
    let compared = diff::Compared {
        after: &after,
        reference: BAD,
        commit: "abc",
        tip: Some("def"),
        is_unreadable: false,
        notes: &[BAD.to_owned()],
        differences: &differences,
    };
    check("text", &diff::text(&compared, true, Palette::PLAIN));
    check("Markdown", &diff::markdown(&compared));
    check("JSON", &diff::json(&compared));
}

#[test]
fn what_applying_came_to() {
    let mut all = samples::apply_report();
    let id = || ID.parse().expect("an id");
    all.not_attempted = vec![id(), id()];
    all.halted = Some(Halt { reason: BAD.to_owned(), advice: Some(BAD.to_owned()) });
    all.failed = vec![(id(), BAD.to_owned()), ("::error::e".parse().expect("an id"), BAD.to_owned())];
    all.conflicts[0].0 = id();
    all.conflicts[0].1[0].found = Some(json!(BAD));
    all.conflicts[0].1[0].written_at = Some(BAD.to_owned());
    check("report", &report::text(&all, Duration::ZERO, true, Palette::PLAIN));
}

#[test]
fn rows_and_messages() {
    let rows = [json!({ "deviceId": ID, BAD: BAD }), json!({ "deviceId": BAD, BAD: [BAD] })];
    check("table", &table::RowTable::new(Palette::PLAIN, 80).page(&rows));
    check("JSON", &table::Json::default().page(&rows));
    let event = Event::Method { name: BAD.to_owned(), payload: json!(BAD) };
    let id = ID.parse().expect("an id");
    check("device", &device::answer(&id, &event, Palette::PLAIN).expect("an answer"));
    check("device", &device::remark(&id, &Event::Connected).expect("a remark"));
}
