//! Plans as JSON, version 1, and the one way in which JSON documents leave.
//!
//! The types here are what users' pipelines read: frozen, apart from the types that they are made from. A field may be
//! added; none is renamed, removed or given another meaning without a new version.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::{escape, view};
use crate::plan;
use crate::plan::file::{OutlookV1, SelectionV1};
use iothub_model::twin::MergePatch;

/// Writes a document, indented, keys in the order of its type, a line feed at the end, nothing in it that could steer a
/// terminal.
pub(crate) fn document(document: &impl Serialize) -> String {
    let text = serde_json::to_string_pretty(document).expect("our own types have string keys and finite numbers");
    escape::json_text(&text).into_owned() + "\n"
}

/// Writes a plan as JSON, version 1: clusters as people see them, then every twin in full.
pub(crate) fn plan(plan: &plan::Plan) -> String {
    let clusters = plan.clusters();
    let mut cluster_of = BTreeMap::new();
    for (index, cluster) in clusters.iter().enumerate() {
        cluster_of.extend(cluster.ids.iter().map(|&id| (id, index)));
    }
    let summary = plan.summary();
    let count = |action: plan::Action| summary.twins.get(&action).copied().unwrap_or(0);
    document(&PlanJson {
        version: 1,
        hub: plan.hub.as_str(),
        fleet: plan.fleet.as_str(),
        revision: &plan.revision,
        manifest: plan.manifest.as_str(),
        digest: plan.review_digest().as_str(),
        read: plan.read,
        empty: plan.is_empty(),
        summary: PlanSummaryJson {
            update: count(plan::Action::Update),
            register: count(plan::Action::Register),
            release: count(plan::Action::Release),
            missing: count(plan::Action::Missing),
            skip: count(plan::Action::Skip),
            conflicting: summary.conflicting_twins,
            unchanged: summary.unchanged,
            changes: summary.changes.iter().map(|(&verdict, &count)| (verdict, count)).collect(),
        },
        clusters: clusters.iter().map(ClusterJson::of).collect(),
        twins: plan
            .twins
            .iter()
            .map(|twin| TwinJson {
                id: twin.id.to_string(),
                action: twin.action,
                cluster: cluster_of[&twin.id],
                etag: twin.etag.as_ref().map(|etag| etag.as_str()),
                patch: twin.is_sent().then(|| {
                    let hidden = twin.changes.iter().filter(|change| change.sensitive);
                    let hidden: Vec<_> = hidden.map(|change| &change.path).collect();
                    view::patch(&twin.patch, |path| {
                        plan.policy.sensitive.covers(path) || hidden.iter().any(|hidden| hidden.overlaps(path))
                    })
                }),
            })
            .collect(),
        checks: plan.checks.iter().map(|check| check.name.as_str()).collect(),
        refusals: refusals(plan),
        ignored: if plan.ignores_rollout { plan.not_carried_out() } else { Vec::new() },
        record_lost: plan.records.lost_beside_others().map(ToString::to_string).collect(),
        selections: plan.selections.iter().map(SelectionV1::of).collect(),
        outlook: OutlookV1::of(&plan.impact),
    })
}

/// Names each reason by itself.
fn refusals(plan: &plan::Plan) -> Vec<RefusalJson> {
    let found = plan::guard::refusals(plan);
    let reasons = found.iter().flat_map(|refusal| match refusal {
        plan::PlanRefusal::Guarded { guards, digest: _ } => {
            guards.iter().map(|guard| (guard.name(), guard.to_string(), true)).collect()
        }
        other => vec![(other.name(), other.to_string(), false)],
    });
    reasons.map(|(kind, message, approvable)| RefusalJson { kind, message, approvable }).collect()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PlanJson<'p> {
    /// 1.
    version: u32,
    /// The hub's host name.
    hub: &'p str,
    fleet: &'p str,
    /// What is written into the records; may be empty.
    revision: &'p str,
    /// The digest of the declarations.
    manifest: &'p str,
    /// The digest that a review is bound to: hub, fleet, each twin's id and patch, and each path's verdict and old value.
    digest: &'p str,
    /// `get` or `query`: how fresh the twins were.
    read: plan::ReadBy,
    /// Whether there is nothing to do and nothing in the way.
    empty: bool,
    summary: PlanSummaryJson,
    clusters: Vec<ClusterJson<'p>>,
    /// In order of ids.
    twins: Vec<TwinJson<'p>>,
    /// The names of the checks that run afterwards.
    checks: Vec<&'p str>,
    /// Why the plan would not be applied as it is; the exit code is 3 when there is any.
    refusals: Vec<RefusalJson>,
    /// What the manifest asks for and is ignored, since --ignore-rollout is given.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ignored: Vec<&'static str>,
    /// Declared twins without this fleet's record, if other twins carry it: replaced, registered anew, or never applied.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    record_lost: Vec<String>,
    /// What the selectors found: `name`, `condition`, `ids`, `origin`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    selections: Vec<SelectionV1>,
    /// What the plan leads to: `predictions`, `writers`, `unread`, `diverging`, `cost`, as in the plan file.
    outlook: OutlookV1,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RefusalJson {
    /// `rollout`, `missing`, `conflicts`, `diverges`, `max-changed`, `max-removed-keys`, `min-population`, `empty-fleet`, `empty-group`,
    /// `empty-inventory` or `empty-selector`.
    kind: &'static str,
    message: String,
    /// Whether `--approve` with the first digits of `digest` lets this one plan pass.
    approvable: bool,
}

/// How many twins, those with conflicts in `conflicting` alone, and how many paths by verdict.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PlanSummaryJson {
    update: usize,
    register: usize,
    release: usize,
    missing: usize,
    skip: usize,
    conflicting: usize,
    unchanged: usize,
    changes: BTreeMap<plan::Verdict, usize>,
}

/// Twins for which the same is to be done.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ClusterJson<'p> {
    /// `update`, `register`, `release`, `missing` or `skip`.
    action: plan::Action,
    /// How many twins; each names the cluster by its place in the list.
    count: usize,
    changes: Vec<ChangeJson<'p>>,
    /// What is taken out of other fleets' records.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    taken: Vec<TakenJson<'p>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    conflicts: Vec<ConflictJson<'p>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ChangeJson<'p> {
    path: &'p str,
    /// `new`, `adopt`, `overwrite`, `edit`, `drift`, `edit-over-drift`, `removed`, `removed-over-drift`, `moved` (twice: both paths of
    /// a rename), `undeclared` (under an exact path) or `released` (the value stays).
    verdict: plan::Verdict,
    /// Whether the values are kept back; left out when they are not.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    sensitive: bool,
    /// What is there; left out when nothing is, and when it is sensitive.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<&'p Value>,
    /// What will be there; left out when nothing will, and when it is sensitive.
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<&'p Value>,
    /// Of a rename's new path, the old one, which is a change of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    moved_from: Option<&'p str>,
    /// Where in the manifest, for the first twin of the cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<OriginJson<'p>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OriginJson<'p> {
    file: &'p str,
    line: u32,
    /// `defaults`, `group NAME`, `device`, or, of a module twin, `module`.
    layer: String,
}

impl<'p> OriginJson<'p> {
    pub(super) fn of(origin: &'p crate::manifest::Origin) -> Self {
        Self { file: &origin.file, line: origin.line, layer: origin.layer.to_string() }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TakenJson<'p> {
    fleet: &'p str,
    path: &'p str,
}

/// Why nothing is sent to these twins.
#[derive(Serialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub(super) enum ConflictJson<'p> {
    /// Another fleet's record owns the path, or one over or under it.
    #[serde(rename_all = "camelCase")]
    OwnedByOther { path: &'p str, owned: &'p str, fleet: &'p str, revision: &'p str, origin: Option<OriginJson<'p>> },
    /// What is declared would remove leaves that this fleet does not own.
    #[serde(rename_all = "camelCase")]
    WouldDestroy { path: &'p str, leaves: Vec<&'p str>, origin: Option<OriginJson<'p>> },
    /// This fleet's record cannot be read.
    #[serde(rename_all = "camelCase")]
    Record { problem: &'p str },
    /// The twin would outgrow the hub's limits.
    #[serde(rename_all = "camelCase")]
    Limit { problem: &'p str },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TwinJson<'p> {
    /// `DEVICE`, or `DEVICE/MODULE`.
    id: String,
    action: plan::Action,
    /// Its place in `clusters`, from 0.
    cluster: usize,
    /// What the plan was computed from.
    #[serde(skip_serializing_if = "Option::is_none")]
    etag: Option<&'p str>,
    /// What is sent, the ownership record included, but for what is sensitive; left out when nothing is.
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<Cow<'p, MergePatch>>,
}

impl<'p> ChangeJson<'p> {
    pub(super) fn of(change: &'p plan::PlannedChange) -> Self {
        let plan::PlannedChange { path, verdict, before: _, after: _, moved_from, origin, sensitive } = change;
        let (before, after) = change.shown();
        Self {
            path: path.as_str(),
            verdict: *verdict,
            sensitive: *sensitive,
            before: before.known(),
            after: after.known(),
            moved_from: moved_from.as_ref().map(|path| path.as_str()),
            origin: origin.as_ref().map(OriginJson::of),
        }
    }
}

impl<'p> ClusterJson<'p> {
    fn of(cluster: &plan::Cluster<'p>) -> Self {
        Self {
            action: cluster.action,
            count: cluster.ids.len(),
            changes: cluster.changes.iter().map(ChangeJson::of).collect(),
            taken: cluster
                .taken
                .iter()
                .map(|plan::Taken { fleet, path }| TakenJson { fleet: fleet.as_str(), path: path.as_str() })
                .collect(),
            conflicts: cluster.conflicts.iter().map(ConflictJson::of).collect(),
        }
    }
}

impl<'p> ConflictJson<'p> {
    pub(super) fn of(conflict: &'p plan::Conflict) -> Self {
        match conflict {
            plan::Conflict::OwnedByOther { path, owned, fleet, revision, origin } => Self::OwnedByOther {
                path: path.as_str(),
                owned: owned.as_str(),
                fleet: fleet.as_str(),
                revision,
                origin: origin.as_ref().map(OriginJson::of),
            },
            plan::Conflict::WouldDestroy { path, leaves, origin } => Self::WouldDestroy {
                path: path.as_str(),
                leaves: leaves.iter().map(|leaf| leaf.as_str()).collect(),
                origin: origin.as_ref().map(OriginJson::of),
            },
            plan::Conflict::Record { problem } => Self::Record { problem },
            plan::Conflict::Limit { problem } => Self::Limit { problem },
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use crate::plan::{RecordLoss, Verdict};
    use crate::render::samples::{self, snapshot};

    #[test]
    fn version_1_of_a_plan_is_what_pipelines_read() {
        let text = super::plan(&samples::plan(samples::everything()));
        assert!(!text.contains(['\u{1b}', '\u{202e}']));
        snapshot("plan-json", &text);
    }

    #[test]
    fn nothing_sensitive_is_in_it() {
        let text = super::plan(&samples::reviewed());
        assert!(!text.contains(samples::SECRET), "{text}");
        assert!(text.contains("\"sensitive\": true"));
    }

    /// Collects the fields of a document: `clusters[].count`. What users put into twins is not looked into.
    pub(crate) fn fields(value: &Value, at: &str, found: &mut BTreeSet<String>) {
        const WHOLE: [&str; 4] = ["summary.changes", ".before", ".after", ".patch"];
        match value {
            Value::Object(members) if !WHOLE.iter().any(|whole| at.ends_with(whole)) => {
                for (name, value) in members {
                    let at = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
                    found.insert(at.clone());
                    fields(value, &at, found);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| fields(item, &format!("{at}[]"), found)),
            _ => {}
        }
    }

    #[test]
    fn all_fields_are_documented_and_no_others() {
        let mut written = BTreeSet::new();
        let mut renamed = samples::change("tags.new", Verdict::Moved, None, Some(1.into()));
        renamed.moved_from = Some("tags.old".parse().expect("a path"));
        let mut rename = samples::plan(vec![samples::update("d", vec![renamed])]);
        let mut gated = samples::plan(Vec::new());
        (gated.ignores_rollout, gated.policy.rollout.max_failed) = (true, Some(1));
        rename.records.carriers = 1;
        rename.records.lost.insert("d".parse().expect("an id"), RecordLoss::Absent);
        for plan in [samples::plan(samples::everything()), samples::reviewed(), rename, gated] {
            let document: Value = serde_json::from_str(&super::plan(&plan)).expect("JSON");
            fields(&document, "", &mut written);
        }
        let documented: BTreeSet<String> = include_str!("../../docs/plan-json.md")
            .lines()
            .filter_map(|line| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned()))
            .collect();
        assert_eq!(documented, written);
    }
}
