//! The same for programs.

use serde::Serialize;
use serde_json::Value;

use super::Compared;
use crate::diff::{CheckChange, DeclarationsDiff, DiffCluster, DiffKind, DiffedLeaf, DiffedValue, SelectorChange};
use crate::render::json::{OriginJson, document};

/// The published shape of `twinctl render --against REF --format json`.
#[derive(Serialize)]
struct DiffDocument<'c> {
    version: u32,
    fleet: &'c str,
    /// The ref, as it was given, and the commit that is compared with.
    against: &'c str,
    commit: &'c str,
    /// The ref's own commit, where `commit` is its merge base with what is checked out.
    #[serde(skip_serializing_if = "Option::is_none")]
    tip: Option<&'c str>,
    /// What has no older state or is left out.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    notes: &'c [String],
    /// There where the manifests there have mistakes, so that all is shown as new.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    unreadable: bool,
    empty: bool,
    /// How many twins.
    summary: DiffSummaryJson,
    clusters: Vec<ClusterDocument<'c>>,
    settings: Vec<Setting<'c>>,
    selectors: Vec<SelectorDocument<'c>>,
    checks: Vec<CheckDiffJson<'c>>,
}

#[derive(Serialize)]
struct DiffSummaryJson {
    changed: usize,
    added: usize,
    gone: usize,
    unchanged: usize,
}

#[derive(Serialize)]
struct ClusterDocument<'c> {
    /// `changed`, `added` or `gone`.
    kind: DiffKind,
    ids: Vec<String>,
    paths: Vec<DiffedPathJson<'c>>,
}

/// A side is left out where the path is not declared; it is `{}` where the path must be absent, and `{ "sensitive": true }` where its value is
/// not told.
#[derive(Serialize)]
struct DiffedPathJson<'c> {
    path: &'c str,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<DiffedValueJson<'c>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<DiffedValueJson<'c>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<OriginJson<'c>>,
}

#[derive(Serialize)]
struct DiffedValueJson<'c> {
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'c Value>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    sensitive: bool,
}

impl<'c> DiffedValueJson<'c> {
    fn of(declared: &'c DiffedValue) -> Self {
        match declared {
            DiffedValue::Absent => Self { value: None, sensitive: false },
            DiffedValue::Value(value) => Self { value: Some(value), sensitive: false },
            DiffedValue::Sensitive => Self { value: None, sensitive: true },
        }
    }
}

#[derive(Serialize)]
struct Setting<'c> {
    name: &'c str,
    before: &'c Value,
    after: &'c Value,
}

#[derive(Serialize)]
struct SelectorDocument<'c> {
    kind: DiffKind,
    name: &'c str,
    /// The condition, where it was another.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<&'c str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<&'c str>,
    /// What differs for a device that it alone finds.
    paths: Vec<DiffedPathJson<'c>>,
}

#[derive(Serialize)]
struct CheckDiffJson<'c> {
    kind: DiffKind,
    name: &'c str,
    /// The query, where it was another.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<&'c str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<&'c str>,
    /// Whether it is a gate, where that differs.
    #[serde(skip_serializing_if = "Option::is_none")]
    gate: Option<bool>,
}

fn path(DiffedLeaf { path, before, after, origin }: &DiffedLeaf) -> DiffedPathJson<'_> {
    DiffedPathJson {
        path: path.as_str(),
        before: before.as_ref().map(DiffedValueJson::of),
        after: after.as_ref().map(DiffedValueJson::of),
        origin: origin.as_ref().map(OriginJson::of),
    }
}

/// Writes it as JSON, version 1.
pub(crate) fn json(of: &Compared<'_>) -> String {
    let DeclarationsDiff { settings, selectors, clusters, checks, unchanged } = of.differences;
    let twins = |kind| of.differences.twins(kind);
    document(&DiffDocument {
        version: 1,
        fleet: of.after.fleet.as_str(),
        against: of.reference,
        commit: of.commit,
        tip: of.tip,
        notes: of.notes,
        unreadable: of.is_unreadable,
        empty: of.differences.is_empty(),
        summary: DiffSummaryJson {
            changed: twins(DiffKind::Changed),
            added: twins(DiffKind::Added),
            gone: twins(DiffKind::Gone),
            unchanged: *unchanged,
        },
        clusters: clusters
            .iter()
            .map(|DiffCluster { kind, leaves, ids }| ClusterDocument {
                kind: *kind,
                ids: ids.iter().map(ToString::to_string).collect(),
                paths: leaves.iter().map(path).collect(),
            })
            .collect(),
        settings: settings
            .iter()
            .map(|setting| Setting { name: setting.name, before: &setting.before, after: &setting.after })
            .collect(),
        selectors: selectors
            .iter()
            .map(|SelectorChange { kind, name, before, after, leaves }| SelectorDocument {
                kind: *kind,
                name,
                before: before.as_deref(),
                after: after.as_deref(),
                paths: leaves.iter().map(path).collect(),
            })
            .collect(),
        checks: checks
            .iter()
            .map(|CheckChange { kind, name, before, after, gate }| CheckDiffJson {
                kind: *kind,
                name,
                before: before.as_deref(),
                after: after.as_deref(),
                gate: *gate,
            })
            .collect(),
    })
}
