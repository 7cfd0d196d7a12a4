//! A plan in numbers, and what to do about what stands in its way.

use std::borrow::Cow;
use std::fmt::Write;

use crate::plan::{Action, Conflict, Plan, PlanSummary, ReadBy, Verdict};
use crate::render::number::{counted, grouped};

/// A plan in numbers, with the words for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    /// What it comes to: `Plan:` and `11 twins to change, 5 to register; 12 as declared`.
    pub headline: (&'static str, String),
    /// How many twins, by what is to be done.
    pub twins: Vec<(usize, &'static str)>,
    /// How many twins need nothing, or were looked at, and the words for it.
    pub rest: (usize, &'static str),
    /// How many paths, by how they came about.
    pub paths: Vec<(usize, Verdict)>,
    /// How many checks run afterwards.
    pub checks: usize,
    /// How the twins were read.
    pub read: Cow<'static, str>,
}

/// Says how fresh what is shown is.
pub(crate) fn read_by(read: ReadBy) -> &'static str {
    match read {
        ReadBy::Get => "read by GET",
        ReadBy::Query => "read by query, which may lag by minutes",
    }
}

impl Counts {
    pub(super) fn of(plan: &Plan, summary: &PlanSummary) -> Self {
        let words = [
            (Action::Update, "to change"),
            (Action::Register, "to register"),
            (Action::Release, "to release"),
            (Action::Missing, "missing"),
            (Action::Skip, "left out"),
        ];
        let mut twins: Vec<_> = words
            .into_iter()
            .filter_map(|(action, words)| summary.twins.get(&action).map(|&count| (count, words)))
            .collect();
        if summary.conflicting_twins > 0 {
            twins.push((summary.conflicting_twins, "in conflict"));
        }
        let headline = match summary.unchanged {
            count if plan.twins.is_empty() => ("No changes:", are_as_declared(count)),
            0 => ("Plan:", format!("{}; none as declared yet", listed(&twins))),
            count => ("Plan:", format!("{}; {} as declared", listed(&twins), grouped(count))),
        };
        Self {
            headline,
            twins,
            rest: (summary.unchanged, "as declared"),
            paths: summary.changes.iter().map(|(&verdict, &count)| (count, verdict)).collect(),
            checks: plan.checks.len(),
            read: read_by(plan.read).into(),
        }
    }

    /// `20 paths: 5 new, 15 edit; then 3 checks`; empty without any path.
    pub(crate) fn paths_line(&self) -> String {
        if self.paths.is_empty() {
            return String::new();
        }
        let all = self.paths.iter().map(|&(count, _)| count).sum();
        let parts: Vec<_> =
            self.paths.iter().map(|&(count, verdict)| format!("{} {verdict}", grouped(count))).collect();
        let mut line = format!("{}: {}", counted(all, "path"), parts.join(", "));
        if self.checks > 0 {
            _ = write!(line, "; then {}", counted(self.checks, "check"));
        }
        line
    }
}

/// `12 twins are as declared`
pub(super) fn are_as_declared(count: usize) -> String {
    format!("{} {} as declared", counted(count, "twin"), if count == 1 { "is" } else { "are" })
}

/// `11 twins to change, 5 to register`
pub(super) fn listed(twins: &[(usize, &'static str)]) -> String {
    let parts = twins.iter().enumerate().map(|(index, &(count, words))| match index {
        0 => format!("{} {words}", counted(count, "twin")),
        _ => format!("{} {words}", grouped(count)),
    });
    parts.collect::<Vec<_>>().join(", ")
}

/// Says what to do about what stands in the way, once for each kind.
pub(super) fn hints(plan: &Plan) -> Vec<&'static str> {
    let any = |is: fn(&Conflict) -> bool| plan.twins.iter().flat_map(|twin| &twin.conflicts).any(is);
    let hints = [
        (
            any(|conflict| matches!(conflict, Conflict::OwnedByOther { .. })),
            "remove the path from one of the two manifests, or take it over with --take-ownership",
        ),
        (
            any(|conflict| matches!(conflict, Conflict::WouldDestroy { .. })),
            "declare what stands under the path (null for what is to go), or do not declare the path",
        ),
        (
            any(|conflict| matches!(conflict, Conflict::Record { .. })),
            "a record that a newer twinctl wrote needs that version; a damaged one is removed by hand, and then everything \
             is adopted anew",
        ),
        (
            plan.twins.iter().any(|twin| twin.action == Action::Missing),
            "register what is missing, or let the manifest say `missing: register` or `missing: skip`",
        ),
    ];
    hints.into_iter().filter_map(|(applies, hint)| applies.then_some(hint)).collect()
}
