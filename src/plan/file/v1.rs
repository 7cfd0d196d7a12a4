//! Version 1 of the plan file, frozen: what is renamed elsewhere is not renamed here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::outlook_v1::{OutlookV1, SelectionV1};
use super::{FORMAT, PlanFileError, VERSION, to_value};
use crate::check::{Bound, Check, Column, Comparison, Expectation, Severity};
use crate::digest::Digest;
use crate::manifest::{FleetName, Layer, Origin, Policy};
use crate::plan::decide::Decision;
use crate::plan::{Action, Change, Conflict, Plan, ReadBy, Taken, TwinPlan, Verdict};
use crate::query::{BoundQuery, compile};
use crate::twin::{ETag, HubHost, MergePatch, Object, TwinId, TwinPath};

/// The whole file, with its twins as they are written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct File<'t> {
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
    checks: Vec<CheckV1>,
    #[serde(default)]
    selections: Vec<SelectionV1>,
    #[serde(default)]
    outlook: OutlookV1,
    #[serde(borrow)]
    twins: Vec<&'t RawValue>,
    digest: Digest,
}

impl<'t> File<'t> {
    pub(super) fn split(self) -> (Head, Vec<&'t RawValue>, Digest) {
        let Self {
            format,
            version,
            tool,
            hub,
            fleet,
            manifest,
            revision,
            read,
            review,
            unchanged,
            checks,
            selections,
            outlook,
            twins,
            digest,
        } = self;
        let head = Head {
            format,
            version,
            tool,
            hub,
            fleet,
            manifest,
            revision,
            read,
            review,
            unchanged,
            checks,
            selections,
            outlook,
        };
        (head, twins, digest)
    }
}

/// All but the twins and the digest.
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
    checks: Vec<CheckV1>,
    selections: Vec<SelectionV1>,
    outlook: OutlookV1,
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
            checks: plan.checks.iter().map(CheckV1::of).collect(),
            selections: plan.selections.iter().map(SelectionV1::of).collect(),
            outlook: OutlookV1::of(&plan.outlook),
        }
    }

    /// Returns the members in the order in which they are written.
    pub(super) fn members(&self) -> Vec<(&'static str, Value)> {
        let Self {
            format,
            version,
            tool,
            hub,
            fleet,
            manifest,
            revision,
            read,
            review,
            unchanged,
            checks,
            selections,
            outlook,
        } = self;
        let mut members = vec![
            ("format", to_value(format)),
            ("version", to_value(version)),
            ("tool", to_value(tool)),
            ("hub", to_value(hub)),
            ("fleet", to_value(fleet)),
            ("manifest", to_value(manifest)),
            ("revision", to_value(revision)),
            ("read", to_value(read)),
            ("review", to_value(review)),
            ("unchanged", to_value(unchanged)),
            ("checks", to_value(checks)),
        ];
        if !selections.is_empty() {
            members.push(("selections", to_value(selections)));
        }
        if *outlook != OutlookV1::default() {
            members.push(("outlook", to_value(outlook)));
        }
        members
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
            checks: self.checks.into_iter().map(CheckV1::into_check).collect::<Result<_, _>>()?,
            policy: Policy::default(),
            selections: self.selections.into_iter().map(SelectionV1::into_selection).collect(),
            outlook: self.outlook.into_outlook()?,
        })
    }
}

/// An enum of ours, and the words for it that are frozen here.
macro_rules! words {
    ($name:ident for $ours:ident { $($variant:ident = $word:literal),* $(,)? }) => {
        #[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
        pub(super) enum $name { $(#[serde(rename = $word)] $variant),* }

        impl From<$ours> for $name {
            fn from(value: $ours) -> Self {
                match value { $($ours::$variant => Self::$variant),* }
            }
        }

        impl From<$name> for $ours {
            fn from(value: $name) -> Self {
                match value { $($name::$variant => Self::$variant),* }
            }
        }
    };
}

words!(Read for ReadBy { Get = "get", Query = "query" });
words!(ActionV1 for Action {
    Update = "update", Register = "register", Release = "release", Missing = "missing", Skip = "skip",
});
words!(VerdictV1 for Verdict {
    New = "new", Adopt = "adopt", Overwrite = "overwrite", Edit = "edit", Drift = "drift",
    EditOverDrift = "edit-over-drift", Removed = "removed", RemovedOverDrift = "removed-over-drift",
});
words!(SeverityV1 for Severity { Error = "error", Warn = "warn" });
words!(ComparisonV1 for Comparison {
    Equal = "=", NotEqual = "!=", Less = "<", AtMost = "<=", More = ">", AtLeast = ">=",
});

/// One twin.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Twin {
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

impl Twin {
    pub(super) fn of(twin: &TwinPlan) -> Self {
        let TwinPlan { id, fleet: _, action, etag, changes, taken, patch, inverse, conflicts } = twin;
        Self {
            id: id.clone(),
            action: (*action).into(),
            etag: etag.clone(),
            changes: changes.iter().map(ChangeV1::of).collect(),
            taken: taken.iter().map(TakenV1::of).collect(),
            patch: PatchV1::of(patch),
            inverse: PatchV1::of(inverse),
            conflicts: conflicts.iter().map(ConflictV1::of).collect(),
        }
    }

    pub(super) fn into_parts(self) -> (TwinId, Action, Option<ETag>, Decision) {
        let Self { id, action, etag, changes, taken, patch, inverse, conflicts } = self;
        let decision = Decision {
            changes: changes.into_iter().map(ChangeV1::into_change).collect(),
            taken: taken.into_iter().map(|TakenV1 { fleet, path }| Taken { fleet, path }).collect(),
            patch: patch.into_patch(),
            inverse: inverse.into_patch(),
            conflicts: conflicts.into_iter().map(ConflictV1::into_conflict).collect(),
        };
        (id, action.into(), etag, decision)
    }
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PatchV1 {
    #[serde(default, skip_serializing_if = "Object::is_empty")]
    tags: Object,
    #[serde(default, skip_serializing_if = "Object::is_empty")]
    desired: Object,
}

impl PatchV1 {
    fn of(patch: &MergePatch) -> Self {
        let MergePatch { tags, desired } = patch;
        Self { tags: tags.clone(), desired: desired.clone() }
    }

    fn into_patch(self) -> MergePatch {
        MergePatch { tags: self.tags, desired: self.desired }
    }

    fn is_empty(&self) -> bool {
        self.tags.is_empty() && self.desired.is_empty()
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangeV1 {
    path: TwinPath,
    verdict: VerdictV1,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    before: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    after: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    origin: Option<OriginV1>,
}

impl ChangeV1 {
    fn of(change: &Change) -> Self {
        let Change { path, verdict, before, after, origin, sensitive: _ } = change;
        Self {
            path: path.clone(),
            verdict: (*verdict).into(),
            before: before.clone(),
            after: after.clone(),
            origin: origin.as_ref().map(OriginV1::of),
        }
    }

    fn into_change(self) -> Change {
        let Self { path, verdict, before, after, origin } = self;
        Change {
            path,
            verdict: verdict.into(),
            before,
            after,
            origin: origin.map(OriginV1::into_origin),
            sensitive: false,
        }
    }
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OriginV1 {
    file: Arc<str>,
    line: u32,
    layer: LayerV1,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum LayerV1 {
    Defaults,
    Selector(Arc<str>),
    Group(Arc<str>),
    Inventory,
    Device,
    Module,
}

impl OriginV1 {
    pub(super) fn of(origin: &Origin) -> Self {
        let Origin { file, line, layer } = origin;
        let layer = match layer {
            Layer::Defaults => LayerV1::Defaults,
            Layer::Selector(name) => LayerV1::Selector(name.clone()),
            Layer::Group(name) => LayerV1::Group(name.clone()),
            Layer::Inventory => LayerV1::Inventory,
            Layer::Device => LayerV1::Device,
            Layer::Module => LayerV1::Module,
        };
        Self { file: file.clone(), line: *line, layer }
    }

    pub(super) fn into_origin(self) -> Origin {
        let layer = match self.layer {
            LayerV1::Defaults => Layer::Defaults,
            LayerV1::Selector(name) => Layer::Selector(name),
            LayerV1::Group(name) => Layer::Group(name),
            LayerV1::Inventory => Layer::Inventory,
            LayerV1::Device => Layer::Device,
            LayerV1::Module => Layer::Module,
        };
        Origin { file: self.file, line: self.line, layer }
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

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct CheckV1 {
    name: String,
    query: String,
    expect: ExpectV1,
    /// Milliseconds.
    within_ms: u64,
    severity: SeverityV1,
    /// Left out where it is not so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    gate: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ExpectV1 {
    None,
    Some,
    Rows(Vec<Object>),
    Count(BoundV1),
    Devices(BTreeSet<String>),
    Columns(BTreeMap<String, ColumnV1>),
    #[serde(rename_all = "camelCase")]
    Share {
        bound: BoundV1,
        of: String,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BoundV1 {
    is: ComparisonV1,
    number: f64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ColumnV1 {
    Equals(Value),
    Range { min: Option<f64>, max: Option<f64> },
}

impl CheckV1 {
    fn of(check: &Check) -> Self {
        let Check { name, query, expect, within, severity, gate } = check;
        let bound = |bound: &Bound| BoundV1 { is: bound.comparison.into(), number: bound.number };
        let expect = match expect {
            Expectation::None => ExpectV1::None,
            Expectation::Some => ExpectV1::Some,
            Expectation::Rows(rows) => ExpectV1::Rows(rows.clone()),
            Expectation::Count(count) => ExpectV1::Count(bound(count)),
            Expectation::Devices(ids) => ExpectV1::Devices(ids.clone()),
            Expectation::Columns(columns) => ExpectV1::Columns(
                columns
                    .iter()
                    .map(|(name, column)| {
                        let column = match column {
                            Column::Equals(value) => ColumnV1::Equals(value.clone()),
                            Column::Range { min, max } => ColumnV1::Range { min: *min, max: *max },
                        };
                        (name.clone(), column)
                    })
                    .collect(),
            ),
            Expectation::Share { bound: share, of } => {
                ExpectV1::Share { bound: bound(share), of: of.text().to_owned() }
            }
        };
        Self {
            name: name.clone(),
            query: query.text().to_owned(),
            expect,
            within_ms: u64::try_from(within.as_millis()).unwrap_or(u64::MAX),
            severity: (*severity).into(),
            gate: *gate,
        }
    }

    fn into_check(self) -> Result<Check, PlanFileError> {
        let Self { name, query, expect, within_ms, severity, gate } = self;
        let compiled = |text: &str| -> Result<BoundQuery, PlanFileError> {
            compile(text).map_err(|errors| PlanFileError::Query {
                check: name.clone(),
                problem: errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
            })
        };
        let bound = |bound: BoundV1| Bound { comparison: bound.is.into(), number: bound.number };
        let expect = match expect {
            ExpectV1::None => Expectation::None,
            ExpectV1::Some => Expectation::Some,
            ExpectV1::Rows(rows) => Expectation::Rows(rows),
            ExpectV1::Count(count) => Expectation::Count(bound(count)),
            ExpectV1::Devices(ids) => Expectation::Devices(ids),
            ExpectV1::Columns(columns) => Expectation::Columns(
                columns
                    .into_iter()
                    .map(|(name, column)| {
                        let column = match column {
                            ColumnV1::Equals(value) => Column::Equals(value),
                            ColumnV1::Range { min, max } => Column::Range { min, max },
                        };
                        (name, column)
                    })
                    .collect(),
            ),
            ExpectV1::Share { bound: share, of } => {
                Expectation::Share { bound: bound(share), of: Box::new(compiled(&of)?) }
            }
        };
        let query = compiled(&query)?;
        Ok(Check { query, expect, within: Duration::from_millis(within_ms), severity: severity.into(), gate, name })
    }
}
