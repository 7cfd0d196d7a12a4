//! What applying came to: every conflict in full, every reason for a failure, and the counts.

use std::collections::HashMap;
use std::fmt::Write;
use std::time::Duration;

use super::number::{counted, grouped};
use super::style::Palette;
use super::{escape, value};
use crate::apply::{ApplyReport, MovedPath};
use crate::legible;
use crate::plan::Side;
use iothub_model::duration;
use iothub_model::twin::TwinId;

/// How many twins of one kind are named, unless all are to be.
const NAMED: usize = 10;

/// Writes the report of a run that took so long. With `full` it names every twin that is not done.
pub(crate) fn text(report: &ApplyReport, took: Duration, full: bool, palette: Palette) -> String {
    let mut out = String::new();
    for (id, moved) in &report.conflicts {
        conflict(&mut out, id, moved, palette);
    }
    if !report.conflicts.is_empty() {
        ways_on(&mut out, palette);
    }
    failures(&mut out, &report.failed, full, palette);
    let halted = report.halted.as_ref();
    // The twin whose failure ended the run has said why already.
    if let Some(halt) = halted.filter(|halt| report.failed.iter().all(|(_, why)| *why != halt.reason)) {
        _ = writeln!(out, "{} {}", palette.error("stopped before its end:"), escape::line(&halt.reason));
    }
    if !report.not_attempted.is_empty() {
        let ids: Vec<_> = report.not_attempted.iter().collect();
        _ = writeln!(out, "{} {}", palette.warning("not attempted:"), palette.twin(named(&ids, full)));
    }
    if !report.not_attempted.is_empty() || !report.failed.is_empty() {
        if let Some(advice) = halted.and_then(|halt| halt.advice.as_ref()) {
            _ = writeln!(out, "{} {}", palette.hint("hint:"), escape::line(advice));
        }
        _ = writeln!(
            out,
            "{} what is done already is not sent twice when you plan and apply again",
            palette.hint("hint:")
        );
        out.push('\n');
    }
    out.push_str(&summary(report, took, palette));
    out
}

/// `9,980 twins written (12 rebased), 3 converged, 2 conflicts, in 3 min 12 s`
fn summary(report: &ApplyReport, took: Duration, palette: Palette) -> String {
    let mut how = Vec::new();
    for (count, word) in [(report.registered, "registered first"), (report.rebased, "rebased")] {
        if count > 0 {
            how.push(format!("{} {word}", grouped(count)));
        }
    }
    let mut parts = vec![format!("{} written", counted(report.written, "twin"))];
    if !how.is_empty() {
        parts[0].push_str(&format!(" ({})", how.join(", ")));
    }
    if report.converged > 0 {
        parts.push(format!("{} converged", grouped(report.converged)));
    }
    if !report.conflicts.is_empty() {
        parts.push(palette.error(counted(report.conflicts.len(), "conflict")).to_string());
    }
    if !report.failed.is_empty() {
        parts.push(palette.error(format!("{} failed", grouped(report.failed.len()))).to_string());
    }
    if !report.not_attempted.is_empty() {
        parts.push(palette.warning(format!("{} not attempted", grouped(report.not_attempted.len()))).to_string());
    }
    let retries = match report.retries {
        0 => String::new(),
        retries => format!(", {} sent again", counted(retries, "request")),
    };
    let title = match (report.interrupted, &report.halted) {
        (true, _) => "Interrupted:",
        (false, Some(_)) => "Stopped:",
        (false, None) => "Applied:",
    };
    format!(
        "{} {} {}\n",
        palette.title(title),
        parts.join(", "),
        palette.aside(format!("in {}{retries}", duration::rounded(took)))
    )
}

/// Says why twins failed, once where the reasons differ in nothing but the twin's name and the request's tracking id.
fn failures(out: &mut String, failed: &[(TwinId, String)], full: bool, palette: Palette) {
    let mut reasons: Vec<(String, &str, Vec<&TwinId>)> = Vec::new();
    let mut known: HashMap<String, usize> = HashMap::new();
    for (id, reason) in failed {
        let alike = untracked(reason).replace(&id.to_string(), "…");
        let at = *known.entry(alike.clone()).or_insert_with(|| {
            reasons.push((alike, reason, Vec::new()));
            reasons.len() - 1
        });
        reasons[at].2.push(id);
    }
    for (alike, whole, ids) in &reasons {
        let (who, reason) = match ids.as_slice() {
            [id] => (escape::id(id), *whole),
            ids => (counted(ids.len(), "twin"), alike.as_str()),
        };
        _ = writeln!(out, "{} {}  {}", palette.error("failed"), palette.twin(who), escape::line(reason));
        if ids.len() > 1 {
            _ = writeln!(out, "    {}", palette.aside(named(ids, full)));
        }
    }
}

/// Takes out the tracking id, which every request has its own of.
fn untracked(reason: &str) -> String {
    const BEGINS: &str = " (tracking id ";
    match reason.split_once(BEGINS).and_then(|(head, tail)| Some((head, tail.split_once(')')?.1))) {
        Some((head, tail)) => format!("{head}{tail}"),
        None => reason.to_owned(),
    }
}

/// The first few ids, and how many more; or all of them.
fn named(ids: &[&TwinId], full: bool) -> String {
    let first: Vec<_> = ids.iter().take(if full { ids.len() } else { NAMED }).map(|id| escape::id(id)).collect();
    match ids.len() - first.len() {
        0 => first.join(", "),
        more => format!("{} and {} more (--full names all)", first.join(", "), grouped(more)),
    }
}

fn conflict(out: &mut String, id: &TwinId, moved: &[MovedPath], palette: Palette) {
    _ = writeln!(
        out,
        "{} {}  changed since the plan, and was left alone",
        palette.error("conflict"),
        palette.twin(escape::id(id))
    );
    for path in moved {
        let origin = path.origin.as_ref().map(|origin| palette.origin(escape::line(&origin.to_string())).to_string());
        _ = writeln!(out, "    {}", palette.path(escape::path(path.path.as_str())));
        let found = Side::from(path.found.clone());
        let mut values = [&path.planned, &path.seen, &found].map(|side| shown(path, side));
        legible::tell_apart(&mut values);
        let [planned, seen, found] = values.map(Some);
        let planned = [planned, origin];
        let found = [found, path.written_at.as_deref().map(|at| format!("written {}", escape::line(at)))];
        for (word, parts) in [("planned", planned), ("seen", [seen, None]), ("found", found)] {
            let parts: Vec<_> = parts.into_iter().flatten().collect();
            _ = writeln!(out, "      {word:<8} {}", parts.join("   "));
        }
    }
}

/// Writes a value that may be shown, or the word for one that may not.
fn shown(path: &MovedPath, side: &Side) -> String {
    match side {
        // What is not known cannot be said to have changed, nor not to have.
        Side::Redacted => "not known, since plan files hold no sensitive values".to_owned(),
        Side::Known(_) if path.sensitive => "(sensitive)".to_owned(),
        side => value::inline(side.known()),
    }
}

fn ways_on(out: &mut String, palette: Palette) {
    _ = writeln!(
        out,
        "{} to keep what was found, write it into the device's own entry in the manifest",
        palette.hint("hint:")
    );
    out.push_str("      to set it as declared, plan and apply again\n\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apply::event::Halt;
    use crate::render::samples::{apply_report, snapshot};

    #[test]
    fn reports_read_well() {
        snapshot("apply-report", &text(&apply_report(), Duration::from_secs(192), false, Palette::PLAIN));
    }

    #[test]
    fn sensitive_values_are_not_shown() {
        let mut report = apply_report();
        report.conflicts.truncate(1);
        report.conflicts[0].1.truncate(1);
        let moved = &mut report.conflicts[0].1[0];
        (moved.sensitive, moved.found, moved.seen) = (true, Some("hunter2".into()), Side::Redacted);
        let text = text(&report, Duration::ZERO, false, Palette::PLAIN);
        assert!(!text.contains("hunter2"), "{text}");
        assert!(text.contains("found    (sensitive)"), "{text}");
        assert!(text.contains("seen     not known, since plan files hold no sensitive values"), "{text}");
    }

    #[test]
    fn a_clean_run_is_a_line() {
        let report = ApplyReport { written: 9987, ..ApplyReport::default() };
        assert_eq!(
            text(&report, Duration::from_millis(1200), false, Palette::PLAIN),
            "Applied: 9,987 twins written in 1.2 s\n"
        );
    }

    #[test]
    fn failures_that_differ_in_ids_alone_are_said_once() {
        let failed = |id: &str, track: &str| {
            let reason = format!("PATCH /twins/{id}: the hub says 500: cut… (tracking id {track}); no more tries");
            (id.parse().expect("an id"), reason)
        };
        let mut report =
            ApplyReport { failed: vec![failed("d-1", "A-G:0"), failed("d-2", "B-G:0")], ..ApplyReport::default() };
        let many = text(&report, Duration::ZERO, false, Palette::PLAIN);
        assert!(
            many.contains("failed 2 twins  PATCH /twins/…: the hub says 500: cut…; no more tries\n    d-1, d-2\n"),
            "{many}"
        );
        report.failed.truncate(1);
        let one = text(&report, Duration::ZERO, false, Palette::PLAIN);
        assert!(
            one.contains("failed d-1  PATCH /twins/d-1: the hub says 500: cut… (tracking id A-G:0); no more tries\n")
        );
    }

    #[test]
    fn an_interrupted_run_names_what_is_left() {
        let report = ApplyReport {
            written: 1,
            not_attempted: (1..=12).map(|n| format!("d-{n:02}").parse().expect("an id")).collect(),
            interrupted: true,
            ..ApplyReport::default()
        };
        snapshot("apply-report-interrupted", &text(&report, Duration::from_secs(2), false, Palette::PLAIN));
        let full = text(&report, Duration::from_secs(2), true, Palette::PLAIN);
        assert!(full.contains("not attempted: d-01, ") && full.contains(", d-12\n"), "{full}");
    }

    #[test]
    fn failed_twins_are_all_named_when_all_are_asked_for() {
        let failed = (1..=25).map(|n| (format!("d-{n:02}").parse().expect("an id"), format!("no d-{n:02}")));
        let report = ApplyReport { failed: failed.collect(), ..ApplyReport::default() };
        let few = text(&report, Duration::ZERO, false, Palette::PLAIN);
        assert!(few.contains("d-10 and 15 more (--full names all)\n"), "{few}");
        let all = text(&report, Duration::ZERO, true, Palette::PLAIN);
        assert!(all.contains(", d-25\n") && !all.contains(" more"), "{all}");
    }

    #[test]
    fn a_run_that_was_halted_says_what_to_do_first() {
        let halt = Halt { reason: "PATCH /twins/d: 403".into(), advice: Some("wait until 00:00 UTC".into()) };
        let id: TwinId = "d".parse().expect("an id");
        let report = ApplyReport {
            failed: vec![(id.clone(), halt.reason.clone())],
            not_attempted: vec![id],
            halted: Some(halt),
            ..ApplyReport::default()
        };
        insta::assert_snapshot!(text(&report, Duration::from_secs(2), false, Palette::PLAIN), @r"
        failed d  PATCH /twins/d: 403
        not attempted: d
        hint: wait until 00:00 UTC
        hint: what is done already is not sent twice when you plan and apply again

        Stopped: 0 twins written, 1 failed, 1 not attempted in 2.0 s
        ");
    }
}
