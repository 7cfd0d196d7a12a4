//! Version 1 of the plan file, frozen: what is renamed elsewhere is not renamed here.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::checks_v1::CheckV1;
use super::error::{FORMAT, PlanFileError, VERSION};
use super::origin_v1::OriginV1;
use super::outlook_v1::{OutlookV1, SelectionV1};
use super::policy_v1::{PolicyV1, PopulationV1};
use super::words::words;
use crate::digest::Digest;
use crate::manifest::{FleetName, Sensitive, SourceDigests};
use crate::plan::decide::Decision;
use crate::plan::redact::{ChangePhase, redact, redacted_paths};
use crate::plan::{Action, Conflict, FleetRecords, Plan, PlannedChange, ReadBy, Side, Taken, TwinPlan, Verdict};
use iothub_model::twin::{ETag, HubHost, MergePatch, Object, TwinId, TwinPath};

/// All but the twins and the digest, in the order in which it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Head {
    format: String,
    version: u64,
    tool: String,
    hub: HubHost,
    fleet: FleetName,
    manifest: Digest,
    revision: String,
    read: Read,
    review: Digest,
    unchanged: u64,
    population: PopulationV1,
    #[serde(default, skip_serializing_if = "is_default")]
    policy: PolicyV1,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    selections: Vec<SelectionV1>,
    checks: Vec<CheckV1>,
    #[serde(default, skip_serializing_if = "is_default")]
    outlook: OutlookV1,
    #[serde(default, skip_serializing_if = "is_default")]
    ignores_rollout: bool,
    /// The review digest that was approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    approval: Option<Digest>,
    #[serde(default, skip_serializing_if = "is_default")]
    sources: SourcesV1,
    /// Twins without this fleet's record, if others carry it; to be shown.
    #[serde(default, rename = "recordLost", skip_serializing_if = "Vec::is_empty")]
    record_lost: Vec<TwinId>,
}

/// What the manifest's digest comes from, as far as it is known.
#[derive(Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SourcesV1 {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    files: Option<Digest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    variables: Option<Digest>,
}

impl SourcesV1 {
    fn of(sources: &SourceDigests) -> Self {
        let SourceDigests { files, variables } = sources.clone();
        Self { files, variables }
    }

    fn into_sources(self) -> SourceDigests {
        let Self { files, variables } = self;
        SourceDigests { files, variables }
    }
}

fn is_default<T: Default + PartialEq>(of: &T) -> bool {
    *of == T::default()
}

impl Head {
    pub(super) fn of(plan: &Plan, tool_version: &str) -> Self {
        Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            tool: tool_version.to_owned(),
            hub: plan.hub.clone(),
            fleet: plan.fleet.clone(),
            manifest: plan.manifest.clone(),
            revision: plan.revision.clone(),
            read: plan.read.into(),
            review: plan.review_digest(),
            unchanged: plan.unchanged as u64,
            population: PopulationV1::of(&plan.population),
            policy: PolicyV1::of(&plan.policy),
            selections: plan.selections.iter().map(SelectionV1::of).collect(),
            checks: plan.checks.iter().map(CheckV1::of).collect(),
            outlook: OutlookV1::of(&plan.impact),
            ignores_rollout: plan.ignores_rollout,
            approval: plan.approval.clone(),
            sources: SourcesV1::of(&plan.sources),
            record_lost: plan.records.lost_beside_others().cloned().collect(),
        }
    }

    pub(super) fn sensitive(&self) -> Sensitive {
        self.policy.sensitive()
    }

    pub(super) fn fleet(&self) -> &FleetName {
        &self.fleet
    }

    pub(super) fn review(&self) -> &Digest {
        &self.review
    }

    /// Makes a plan that has no twins yet.
    pub(super) fn into_plan(self) -> Result<Plan, PlanFileError> {
        Ok(Plan {
            hub: self.hub,
            fleet: self.fleet,
            manifest: self.manifest,
            revision: self.revision,
            read: self.read.into(),
            twins: Vec::new(),
            unchanged: usize::try_from(self.unchanged).unwrap_or(usize::MAX),
            population: self.population.into_population(),
            checks: self.checks.into_iter().map(CheckV1::into_check).collect::<Result<_, _>>()?,
            policy: self.policy.into_policy(),
            selections: self.selections.into_iter().map(SelectionV1::into_selection).collect(),
            impact: self.outlook.into_impact(),
            ignores_rollout: self.ignores_rollout,
            approval: self.approval,
            sources: self.sources.into_sources(),
            records: FleetRecords::of_lost_beside_others(self.record_lost),
        })
    }
}

words!(Read for ReadBy { Get = "get", Query = "query" });
words!(ActionV1 for Action {
    Update = "update", Register = "register", Release = "release", Missing = "missing", Skip = "skip",
});
words!(VerdictV1 for Verdict {
    New = "new", Adopt = "adopt", Overwrite = "overwrite", Edit = "edit", Drift = "drift",
    EditOverDrift = "edit-over-drift", Removed = "removed", RemovedOverDrift = "removed-over-drift",
    Moved = "moved", Undeclared = "undeclared", Released = "released",
});

/// One twin.
#[derive(Serialize, Deserialize)]
// Messages of serde name it.
#[serde(rename = "Twin", deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct TwinV1 {
    id: TwinId,
    action: ActionV1,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    etag: Option<ETag>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    changes: Vec<ChangeV1>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    taken: Vec<TakenV1>,
    #[serde(default, skip_serializing_if = "PatchV1::is_empty")]
    patch: PatchV1,
    #[serde(default, skip_serializing_if = "PatchV1::is_empty")]
    inverse: PatchV1,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    conflicts: Vec<ConflictV1>,
}

impl TwinV1 {
    pub(super) fn of(twin: &TwinPlan) -> Self {
        let TwinPlan { id, fleet: _, sensitive, action, etag, changes, taken, patch, inverse, conflicts } = twin;
        Self {
            id: id.clone(),
            action: (*action).into(),
            etag: etag.clone(),
            changes: changes.iter().map(ChangeV1::of).collect(),
            taken: taken.iter().map(TakenV1::of).collect(),
            patch: PatchV1::of(redact(patch, sensitive), redacted_paths(changes, ChangePhase::After)),
            inverse: PatchV1::of(redact(inverse, sensitive), redacted_paths(changes, ChangePhase::Before)),
            conflicts: conflicts.iter().map(ConflictV1::of).collect(),
        }
    }

    pub(super) fn id(&self) -> &TwinId {
        &self.id
    }

    /// Returns the twin with nothing in it, and what was decided about it.
    pub(super) fn into_parts(self, fleet: &FleetName, sensitive: &Sensitive) -> Result<(TwinPlan, Decision), String> {
        let Self { id, action, etag, changes, taken, patch, inverse, conflicts } = self;
        let merge_patch = |PatchV1 { tags, desired, withheld }: PatchV1| (MergePatch { tags, desired }, withheld);
        let ((patch, withheld_paths), (inverse, not_restored)) = (merge_patch(patch), merge_patch(inverse));
        let bare = TwinPlan::bare(id, fleet.clone(), sensitive.clone(), action.into(), etag);
        let decision = Decision {
            changes: changes.into_iter().map(ChangeV1::into_change).collect(),
            taken: taken.into_iter().map(|TakenV1 { fleet, path }| Taken { fleet, path }).collect(),
            patch,
            inverse,
            conflicts: conflicts.into_iter().map(ConflictV1::into_conflict).collect(),
            ..Decision::default()
        };
        if !redacted_paths(&decision.changes, ChangePhase::After).eq(&withheld_paths)
            || !redacted_paths(&decision.changes, ChangePhase::Before).eq(&not_restored)
        {
            return Err("it withholds more or less than its changes say".to_owned());
        }
        Ok((bare, decision))
    }
}

/// A merge patch, without sensitive values; of their hashes stands `withheld` in their place.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PatchV1 {
    #[serde(default, skip_serializing_if = "Object::is_empty")]
    tags: Object,
    #[serde(default, skip_serializing_if = "Object::is_empty")]
    desired: Object,
    /// Where it lacks a value: of a patch, apply takes it from the manifest; of an inverse, it is not restored.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    withheld: Vec<TwinPath>,
}

impl PatchV1 {
    fn of<'p>(shown: Cow<'_, MergePatch>, withheld: impl Iterator<Item = &'p TwinPath>) -> Self {
        let MergePatch { tags, desired } = shown.into_owned();
        Self { tags, desired, withheld: withheld.cloned().collect() }
    }

    fn is_empty(&self) -> bool {
        self.tags.is_empty() && self.desired.is_empty() && self.withheld.is_empty()
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct ChangeV1 {
    path: TwinPath,
    verdict: VerdictV1,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    before: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    after: Option<Value>,
    /// Of a sensitive path: which sides have a value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sensitive: Option<SidesV1>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    moved_from: Option<TwinPath>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    origin: Option<OriginV1>,
}

/// Which sides of a change have a value, the value itself being withheld.
#[derive(Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SidesV1 {
    before: bool,
    after: bool,
}

impl ChangeV1 {
    fn of(change: &PlannedChange) -> Self {
        let PlannedChange { path, verdict, before: _, after: _, moved_from, origin, sensitive } = change;
        let (before, after) = change.shown();
        let sides = SidesV1 { before: before.has_value(), after: after.has_value() };
        Self {
            path: path.clone(),
            verdict: (*verdict).into(),
            before: before.known().cloned(),
            after: after.known().cloned(),
            sensitive: sensitive.then_some(sides),
            moved_from: moved_from.clone(),
            origin: origin.as_ref().map(OriginV1::of),
        }
    }

    /// Makes a change whose sensitive values are redacted. A sensitive value that the file contains stays, to be refused.
    fn into_change(self) -> PlannedChange {
        let Self { path, verdict, before, after, sensitive, moved_from, origin } = self;
        let sides = sensitive.unwrap_or(SidesV1 { before: false, after: false });
        let side = |value: Option<Value>, has_value| match value {
            None if has_value => Side::Redacted,
            value => Side::from(value),
        };
        PlannedChange {
            path,
            verdict: verdict.into(),
            before: side(before, sides.before),
            after: side(after, sides.after),
            moved_from,
            origin: origin.map(OriginV1::into_origin),
            sensitive: sensitive.is_some(),
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TakenV1 {
    fleet: FleetName,
    path: TwinPath,
}

impl TakenV1 {
    fn of(taken: &Taken) -> Self {
        let Taken { fleet, path } = taken;
        Self { fleet: fleet.clone(), path: path.clone() }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", deny_unknown_fields, rename_all = "kebab-case")]
enum ConflictV1 {
    OwnedByOther {
        path: TwinPath,
        owned: TwinPath,
        fleet: FleetName,
        revision: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        origin: Option<OriginV1>,
    },
    WouldDestroy {
        path: TwinPath,
        leaves: Vec<TwinPath>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        origin: Option<OriginV1>,
    },
    Record {
        problem: String,
    },
    Limit {
        problem: String,
    },
}

impl ConflictV1 {
    fn of(conflict: &Conflict) -> Self {
        match conflict.clone() {
            Conflict::OwnedByOther { path, owned, fleet, revision, origin } => {
                Self::OwnedByOther { path, owned, fleet, revision, origin: origin.as_ref().map(OriginV1::of) }
            }
            Conflict::WouldDestroy { path, leaves, origin } => {
                Self::WouldDestroy { path, leaves, origin: origin.as_ref().map(OriginV1::of) }
            }
            Conflict::Record { problem } => Self::Record { problem },
            Conflict::Limit { problem } => Self::Limit { problem },
        }
    }

    fn into_conflict(self) -> Conflict {
        match self {
            Self::OwnedByOther { path, owned, fleet, revision, origin } => {
                Conflict::OwnedByOther { path, owned, fleet, revision, origin: origin.map(OriginV1::into_origin) }
            }
            Self::WouldDestroy { path, leaves, origin } => {
                Conflict::WouldDestroy { path, leaves, origin: origin.map(OriginV1::into_origin) }
            }
            Self::Record { problem } => Conflict::Record { problem },
            Self::Limit { problem } => Conflict::Limit { problem },
        }
    }
}
