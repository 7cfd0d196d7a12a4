//! What applying came to as JSON, version 1.
//!
//! The types here are what users' pipelines read: frozen, apart from the types that they are made from. A field may be
//! added; none is renamed, removed or given another meaning without a new version.

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::checks::CheckResultJson;
use super::json::{OriginJson, document};
use crate::apply::{ApplyReport, MovedPath};
use crate::check::CheckResult;

/// What was applied to what, and how the command ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run<'a> {
    /// The hub's host name.
    pub hub: &'a str,
    /// The fleet.
    pub fleet: &'a str,
    /// The digest that a review of the plan is bound to.
    pub digest: &'a str,
    /// The sentence that says that a rollout was ignored, where one was.
    pub ignored_rollout: Option<&'a str>,
    /// The outcome in a word.
    pub outcome: &'a str,
    /// The exit code.
    pub exit_code: u8,
}

/// Writes what a run came to. Without a report nothing was to be written; without results the checks were not run.
pub(crate) fn json(run: Run<'_>, report: Option<(&ApplyReport, Duration)>, checks: Option<&[CheckResult]>) -> String {
    let nothing = ApplyReport::default();
    let (report, took) = report.unwrap_or((&nothing, Duration::ZERO));
    document(&Applied {
        version: 1,
        hub: run.hub,
        fleet: run.fleet,
        digest: run.digest,
        ignored_rollout: run.ignored_rollout,
        outcome: run.outcome,
        exit_code: run.exit_code,
        took_ms: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        interrupted: report.interrupted,
        halted: report.halted.as_ref().map(|halt| Halted { reason: &halt.reason, advice: halt.advice.as_deref() }),
        summary: AppliedSummaryJson {
            written: report.written,
            registered: report.registered,
            rebased: report.rebased,
            converged: report.converged,
            conflicting: report.conflicts.len(),
            failed: report.failed.len(),
            not_attempted: report.not_attempted.len(),
            sent_again: report.retries,
        },
        conflicts: report
            .conflicts
            .iter()
            .map(|(id, paths)| ConflictedTwinJson {
                id: id.to_string(),
                paths: paths.iter().map(MovedPathJson::of).collect(),
            })
            .collect(),
        failed: report.failed.iter().map(|(id, reason)| Failed { id: id.to_string(), reason }).collect(),
        not_attempted: report.not_attempted.iter().map(ToString::to_string).collect(),
        checks: checks.map(|results| results.iter().map(CheckResultJson::of).collect()),
    })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Applied<'a> {
    version: u32,
    hub: &'a str,
    fleet: &'a str,
    digest: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ignored_rollout: Option<&'a str>,
    /// `done`, `conflicts`, `twins-failed`, `checks-failed` or `interrupted`.
    outcome: &'a str,
    exit_code: u8,
    took_ms: u64,
    interrupted: bool,
    /// Why the run ended before all twins were tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    halted: Option<Halted<'a>>,
    summary: AppliedSummaryJson,
    conflicts: Vec<ConflictedTwinJson<'a>>,
    failed: Vec<Failed<'a>>,
    not_attempted: Vec<String>,
    /// As in `twinctl check --format json`; left out when they were not run.
    #[serde(skip_serializing_if = "Option::is_none")]
    checks: Option<Vec<CheckResultJson<'a>>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Halted<'a> {
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AppliedSummaryJson {
    written: usize,
    registered: usize,
    rebased: usize,
    converged: usize,
    conflicting: usize,
    failed: usize,
    not_attempted: usize,
    sent_again: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ConflictedTwinJson<'a> {
    id: String,
    paths: Vec<MovedPathJson<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MovedPathJson<'a> {
    path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    planned: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seen: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    found: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    written_at: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<OriginJson<'a>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    sensitive: bool,
}

impl<'a> MovedPathJson<'a> {
    fn of(moved: &'a MovedPath) -> Self {
        let shown = |value: Option<&'a Value>| value.filter(|_| !moved.sensitive);
        Self {
            path: moved.path.as_str(),
            planned: shown(moved.planned.known()),
            seen: shown(moved.seen.known()),
            found: shown(moved.found.as_ref()),
            written_at: moved.written_at.as_deref(),
            origin: moved.origin.as_ref().map(OriginJson::of),
            sensitive: moved.sensitive,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Failed<'a> {
    id: String,
    reason: &'a str,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::apply::event::Halt;
    use crate::render::json::tests::fields;
    use crate::render::samples::{apply_report, check_results, origin, snapshot};

    fn report() -> ApplyReport {
        let mut report = apply_report();
        report.conflicts[0].1[0].origin = Some(origin(14));
        report.not_attempted = (1..=12).map(|n| format!("late-{n:02}").parse().expect("an id")).collect();
        report.halted = Some(Halt { reason: "no\u{202e}".to_owned(), advice: Some("wait".to_owned()) });
        report
    }

    fn written(report: &ApplyReport) -> String {
        let run = Run {
            hub: "hub.azure-devices.net",
            fleet: "redmond",
            digest: "sha256:00",
            ignored_rollout: Some("the rollout is ignored"),
            outcome: "twins-failed",
            exit_code: 5,
        };
        json(run, Some((report, Duration::from_millis(1200))), Some(&check_results()))
    }

    #[test]
    fn version_1_of_what_applying_came_to() {
        let text = written(&report());
        assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text}");
        snapshot("applied-json", &text);
    }

    #[test]
    fn nothing_sensitive_is_in_it() {
        let mut report = report();
        let moved = &mut report.conflicts[0].1[0];
        (moved.sensitive, moved.found) = (true, Some("hunter2".into()));
        let text = written(&report);
        assert!(!text.contains("hunter2") && text.contains("\"sensitive\": true"), "{text}");
    }

    #[test]
    fn all_fields_are_documented_and_no_others() {
        let mut sensitive = report();
        sensitive.conflicts[0].1[0].sensitive = true;
        let mut found = BTreeSet::new();
        for report in [report(), sensitive] {
            let document: Value = serde_json::from_str(&written(&report)).expect("JSON");
            fields(&document, "", &mut found);
        }
        let documented: BTreeSet<String> = include_str!("../../docs/apply-json.md")
            .lines()
            .filter_map(|line| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned()))
            .collect();
        assert_eq!(documented, found);
    }
}
