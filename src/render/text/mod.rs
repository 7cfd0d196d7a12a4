//! A plan as people see it: twins whose changes are the same once, a sign and a word for each path, what it will lead to,
//! counts at the end.
//!
//! The sign says what happens to a path, the word how it came about; colour only repeats them. Equal plans give equal bytes.
//! Here is the page as a whole; `cluster` writes the twins and their paths, `impact` the rest.

mod options;
mod cluster;
mod impact;

use std::fmt::Write;

use super::style::{Painted, Palette};
use super::view::{ChangeSign, ClusterView, NoteView, PlanView, Subject};
use crate::drift::Drift;
use crate::plan::Plan;
use cluster::Block;
use options::NAMED;
pub(crate) use options::TextOptions;

/// Writes a sign in its colour.
pub(super) fn sign(sign: ChangeSign, palette: Palette) -> Painted<&'static str> {
    cluster::paint(sign, palette)
}

/// Writes a plan.
pub(crate) fn plan(plan: &Plan, options: TextOptions) -> String {
    view(&PlanView::of(plan), options)
}

/// Writes the drift in a plan.
pub(crate) fn drift(drift: &Drift, options: TextOptions) -> String {
    view(&PlanView::of_drift(drift), options)
}

fn view(view: &PlanView<'_>, options: TextOptions) -> String {
    let palette = options.palette;
    let mut out = String::new();
    let what = match view.subject {
        Subject::Plan => "Fleet",
        Subject::Drift => "Drift of",
    };
    _ = write!(out, "{} {} on {}", palette.title(what), palette.title(view.fleet), palette.title(view.hub));
    if !view.revision.is_empty() {
        _ = write!(out, "  {}", palette.aside(format!("revision {}", view.revision)));
    }
    out.push_str("\n\n");
    if !view.clusters.is_empty() {
        write_clusters(&mut out, &view.clusters, options);
        out.push('\n');
    }
    impact::selections(&mut out, &view.selections, options);
    impact::writers(&mut out, &view.writers, options);
    impact::checks(&mut out, view, options);
    if let Some(ignored) = &view.ignored {
        _ = writeln!(out, "{} {ignored}\n", palette.warning("warning:"));
    }
    for hint in &view.hints {
        _ = writeln!(out, "{} {hint}", palette.hint("hint:"));
    }
    for NoteView { text, who } in &view.notes {
        let who = if who.is_empty() { String::new() } else { format!(": {who}") };
        _ = writeln!(out, "{} {text}{who}", palette.hint("note:"));
    }
    if !(view.hints.is_empty() && view.notes.is_empty()) {
        out.push('\n');
    }
    counts(&mut out, view, palette);
    if !view.clusters.is_empty() {
        impact::cost(&mut out, view.cost.as_ref(), options);
    }
    if !options.full && view.clusters.iter().any(|cluster| cluster.ids.len() > NAMED + 1) {
        _ = writeln!(out, "      {}", palette.aside("--full names every twin, --format json has every value"));
    }
    out
}

/// Writes clusters, aligned with each other.
fn write_clusters(out: &mut String, clusters: &[ClusterView], options: TextOptions) {
    let blocks: Vec<Block<'_>> = clusters.iter().map(|cluster| Block::of(cluster, options)).collect();
    cluster::write(out, &blocks, options);
}

fn counts(out: &mut String, view: &PlanView<'_>, palette: Palette) {
    let counts = &view.counts;
    let (title, told) = &counts.headline;
    let title = if view.clusters.is_empty() { palette.good(*title) } else { palette.title(*title) };
    _ = writeln!(out, "{title} {told} ({})", counts.read);
    let paths = counts.paths_line();
    if !paths.is_empty() {
        _ = writeln!(out, "      {paths}");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plan::{ReadBy, Verdict};
    use crate::render::samples::{self, change, snapshot};
    use crate::render::value;

    fn shown(twins: Vec<crate::plan::TwinPlan>) -> String {
        text(&samples::plan(twins), 100)
    }

    fn text(of: &Plan, width: usize) -> String {
        plan(of, TextOptions { palette: Palette::PLAIN, width, full: false })
    }

    #[test]
    fn one_device() {
        let edit = change("desired.power_level", Verdict::Edit, Some(json!(1)), Some(json!(2)));
        snapshot("plan-one", &shown(vec![samples::update("thermostat-001", vec![edit])]));
    }

    #[test]
    fn three_devices_with_different_changes() {
        let twins = vec![
            samples::update(
                "gateway-01",
                vec![
                    change("tags.location.plant", Verdict::New, None, Some(json!("Redmond43"))),
                    change("desired.telemetry.intervalSeconds", Verdict::Overwrite, Some(json!(30)), Some(json!(60))),
                    change("desired.fan", Verdict::Removed, Some(json!(true)), None),
                ],
            ),
            samples::update(
                "thermostat-001",
                vec![change("desired.power_level", Verdict::Drift, Some(json!(3)), Some(json!(1)))],
            ),
            samples::update(
                "thermostat-002",
                vec![change("desired.power_level", Verdict::Edit, Some(json!(1)), Some(json!(3)))],
            ),
        ];
        snapshot("plan-three", &shown(twins));
    }

    #[test]
    fn ten_thousand_and_a_few() {
        snapshot("plan-many", &shown(samples::fleet()));
    }

    #[test]
    fn everything_that_can_stand_in_a_plan() {
        snapshot("plan-all", &shown(samples::everything()));
        let all = TextOptions { palette: Palette::PLAIN, width: 100, full: true };
        snapshot("plan-all-full", &plan(&samples::plan(samples::everything()), all));
        let coloured = TextOptions { palette: Palette::new(true), width: 100, full: false };
        let painted = plan(&samples::plan(samples::everything()), coloured);
        assert_eq!(
            anstream::adapter::strip_str(&painted).to_string(),
            shown(samples::everything()),
            "colour adds nothing"
        );
    }

    #[test]
    fn nothing_to_do() {
        let mut nothing = samples::plan(Vec::new());
        assert_eq!(
            text(&nothing, 100),
            "Fleet redmond on hub.azure-devices.net  revision 3f2a91c04d11\n\n\
             No changes: 12 twins are as declared (read by GET)\n"
        );
        (nothing.unchanged, nothing.read) = (1, ReadBy::Query);
        assert!(text(&nothing, 100).ends_with("1 twin is as declared (read by query, which may lag by minutes)\n"));
    }

    #[test]
    fn lines_are_no_wider_than_the_terminal_where_values_are_cut() {
        let long = "x".repeat(4000);
        let twins = vec![
            samples::update("a", vec![change("desired.note", Verdict::New, None, Some(json!(long)))]),
            samples::update("b", vec![change("desired.note", Verdict::Edit, Some(json!("y")), Some(json!(long)))]),
        ];
        for width in [80, 100, 200] {
            for line in text(&samples::plan(twins.clone()), width).lines() {
                assert!(value::width(line) <= width, "{width}: {line}");
            }
        }
        // However narrow, there is something to see.
        assert!(text(&samples::plan(twins), 10).contains("\"xxxx"));
    }

    #[test]
    fn what_it_leads_to() {
        snapshot("plan-outlook", &text(&samples::reviewed(), 100));
    }

    #[test]
    fn a_large_fleet_fits_a_screen() {
        let shown = text(&samples::large(), 80);
        let lines: usize = shown.lines().map(|line| value::width(line).div_ceil(80).max(1)).sum();
        assert!(lines <= 40, "{lines} lines on a screen of 80 by 40:\n{shown}");
        assert!(shown.contains("9,987 devices") && shown.contains("10,000 twins to change"), "{shown}");
    }

    #[test]
    fn nothing_sensitive_is_shown() {
        for full in [false, true] {
            let shown = plan(&samples::reviewed(), TextOptions { palette: Palette::PLAIN, width: 100, full });
            assert!(!shown.contains(samples::SECRET), "{shown}");
        }
    }
}
