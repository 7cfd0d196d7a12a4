//! Drift as a view: the clusters of a plan, of the twins and paths that the records do not explain.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::counts::{are_as_declared, listed};
use super::{ChangeSign, ClusterView, Counts, NoteView, PlanView, SelectionView, Subject, clusters, read_by};
use crate::drift::{Drift, DriftKind};
use crate::manifest::Ownership;
use crate::plan::{ReadBy, Verdict};
use crate::render::number::{counted, grouped};

impl ClusterView {
    /// Adds to a cluster of a plan what drift says of it.
    fn of_drift(mut self, drift: &Drift, kind: DriftKind) -> Self {
        let lost = match kind {
            DriftKind::Missing => {
                self.remark = "not on the hub: deleted, or never registered".into();
                return self;
            }
            DriftKind::Unselected => {
                (self.sign, self.kind) = (ChangeSign::Remove, Some("left its selector"));
                self.remark = "left its selector, and still carries this fleet's record".into();
                return self;
            }
            DriftKind::Conflicting | DriftKind::Drifted => return self,
            DriftKind::RecordEmptied => "record emptied by another writer",
            DriftKind::RecordLost if drift.is_without_records() => "no record",
            DriftKind::RecordLost => "record lost: replaced or registered anew? or never applied",
        };
        let differing = match self.rows.iter().filter(|row| row.verdict().is_some()).count() {
            // What differs is not known of a twin in conflict.
            0 if !self.rows.is_empty() => String::new(),
            0 => "; no path differs".to_owned(),
            1 => "; 1 path differs".to_owned(),
            count => format!("; {} paths differ", grouped(count)),
        };
        (self.sign, self.kind) = (ChangeSign::Stop, Some("record lost"));
        self.remark = format!("{lost}{differing}").into();
        self
    }
}

impl Counts {
    fn of_drift(drift: &Drift) -> Self {
        let words = |kind| match (kind, drift.ownership) {
            (DriftKind::Drifted, Ownership::Record) => "drifted",
            (DriftKind::Drifted, Ownership::None) => "not as declared",
            (DriftKind::RecordLost, _) => "without record",
            (DriftKind::RecordEmptied, _) => "with an emptied record",
            (DriftKind::Missing, _) => "not on the hub",
            (DriftKind::Unselected, _) => "no longer selected",
            (DriftKind::Conflicting, _) => "in conflict",
        };
        // The most certain first.
        let mut kinds: BTreeMap<_, _> = drift.twins.iter().map(|(&kind, twins)| (kind, twins.len())).collect();
        // A twin in conflict may lack its record as well, and is counted as both.
        if let conflicting @ 1.. = drift.conflicting().len() {
            kinds.insert(DriftKind::Conflicting, conflicting);
        }
        let twins: Vec<_> = kinds.into_iter().rev().map(|(kind, count)| (count, words(kind))).collect();
        let is_only = |wanted| drift.twins.keys().all(|&kind| kind == wanted);
        let title = match drift.ownership {
            Ownership::Record if drift.is_without_records() => "No record:",
            Ownership::Record if is_only(DriftKind::Conflicting) => "Not known:",
            Ownership::Record => "Drift:",
            Ownership::None => "Differences:",
        };
        let headline = match drift.ownership {
            Ownership::Record if drift.is_empty() => {
                ("No drift:", format!("{} looked at", counted(drift.looked_at, "twin")))
            }
            Ownership::None if drift.is_empty() => ("No drift:", are_as_declared(drift.looked_at)),
            _ => (title, format!("{}; {} looked at", listed(&twins), grouped(drift.looked_at))),
        };
        let read = match drift.read {
            ReadBy::Query if !drift.is_empty() => {
                Cow::from(format!("{}; the twins that are listed were read again by GET", read_by(drift.read)))
            }
            read => read_by(read).into(),
        };
        Self {
            headline,
            twins,
            rest: (drift.looked_at, "looked at"),
            paths: drift.paths().into_iter().map(|(verdict, count)| (count, verdict)).collect(),
            checks: 0,
            read,
        }
    }
}

fn notes(drift: &Drift) -> Vec<NoteView> {
    let has = |kind| drift.twins.contains_key(&kind);
    let drifted = drift.of_kind(DriftKind::Drifted);
    let says = |wanted: &[Verdict]| {
        let mut changes = drifted.iter().flat_map(|twin| twin.changes.iter());
        changes.any(|change| wanted.contains(&change.verdict))
    };
    let is_recorded = drift.ownership == Ownership::Record;
    let notes = [
        (
            drift.is_without_records(),
            "none of the twins that were looked at carries a record of this fleet: the fleet was never applied here, or all \
             of its twins were replaced or registered anew",
        ),
        (
            has(DriftKind::RecordLost) && !drift.is_without_records(),
            "other twins of this fleet carry its record: a twin without one was replaced or registered anew since the last \
             apply, or was never applied",
        ),
        (
            is_recorded && says(&[Verdict::New, Verdict::Overwrite]),
            "`new` and `overwrite`: the record does not have the path, which was declared after the last apply, or whose \
             entry was removed from the record",
        ),
        (
            is_recorded && says(&[Verdict::Undeclared]),
            "`undeclared`: another writer added the path, or the manifest made it `exact` after the last apply",
        ),
        (
            !is_recorded && !drift.is_empty(),
            "the fleet keeps no records (`ownership: none`), so drift cannot be told from edits of the manifest: every \
             difference is listed",
        ),
        (
            has(DriftKind::Unselected),
            "a twin that left its selector carries the record of what this fleet applied, and the selector does not find it: another writer \
             changed what the selector asks for, or the manifest was edited; `twinctl apply` would remove what the selector gave",
        ),
        (
            !drift.selections.is_empty(),
            "a device that only a selector declares is looked at while the selector finds it or it carries the record: compare the number of devices",
        ),
        (
            !drift.conflicting().is_empty(),
            "a twin in conflict cannot be compared, so it may have drifted; `twinctl plan` prints what to do about conflicts",
        ),
    ];
    notes
        .into_iter()
        .filter(|&(applies, _)| applies)
        .map(|(_, note)| NoteView { text: note.into(), who: String::new() })
        .collect()
}

impl<'p> PlanView<'p> {
    /// Creates the view of a plan's drift.
    pub(crate) fn of_drift(drift: &'p Drift) -> Self {
        let view = |(&kind, twins): (&DriftKind, &'p Vec<_>)| {
            clusters(twins).into_iter().map(move |cluster| cluster.of_drift(drift, kind))
        };
        Self {
            plan: None,
            subject: Subject::Drift,
            fleet: drift.fleet.as_str(),
            hub: drift.hub.as_str(),
            revision: String::new(),
            clusters: drift.twins.iter().flat_map(view).collect(),
            counts: Counts::of_drift(drift),
            ignored: None,
            refusals: Vec::new(),
            hints: Vec::new(),
            notes: notes(drift),
            selections: drift.selections.iter().map(SelectionView::of).collect(),
            writers: Vec::new(),
            checks: Vec::new(),
            cost: None,
        }
    }
}
