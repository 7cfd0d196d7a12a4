//! Drift, for programs. People read it as a [`view`](super::view).

use std::collections::BTreeMap;

use serde::Serialize;

use super::json::{self, document};
use crate::drift::{Drift, DriftKind};
use crate::manifest::Ownership;
use crate::plan::cluster::cluster;
use crate::plan::{ReadBy, Verdict};

/// The published shape of `twinctl drift --format json`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DriftDocument<'d> {
    version: u32,
    hub: &'d str,
    fleet: &'d str,
    /// `record` or `none`: without records, every difference from the manifest is in `clusters`.
    ownership: Ownership,
    /// `get` or `query`: how fresh the twins were.
    read: ReadBy,
    /// Whether every twin is as it was applied last; the exit code of `--detailed-exitcode` is 2 if not.
    empty: bool,
    /// The number of twins that were read.
    looked_at: usize,
    /// The number of twins with paths that differ, those without record or in `unselected` aside.
    drifted: usize,
    /// The number of twins that carry a record of this fleet.
    carriers: usize,
    /// The number of paths by verdict.
    paths: BTreeMap<Verdict, usize>,
    /// Twins with the same drift.
    clusters: Vec<DriftClusterJson<'d>>,
    /// Twins without a record of this fleet, or with an emptied one.
    record_lost: Vec<String>,
    /// Twins with conflicts, which cannot be compared.
    conflicting: Vec<String>,
    /// Twins that carry the record of what a selector gave, which does not find them any more.
    unselected: Vec<String>,
    /// Declared twins that the hub does not have.
    missing: Vec<String>,
}

#[derive(Serialize)]
struct DriftClusterJson<'d> {
    ids: Vec<String>,
    /// `lost` or `emptied`; left out if the twins have their record.
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<&'static str>,
    /// As in a plan.
    changes: Vec<json::ChangeJson<'d>>,
}

/// Writes it as JSON, version 1.
pub(crate) fn json(drift: &Drift) -> String {
    let ids = |kinds: &[DriftKind]| kinds.iter().flat_map(|&kind| drift.ids(kind)).map(ToString::to_string).collect();
    let kinds = [
        (DriftKind::RecordLost, Some("lost")),
        (DriftKind::RecordEmptied, Some("emptied")),
        (DriftKind::Unselected, None),
        (DriftKind::Drifted, None),
    ];
    let mut clusters = Vec::new();
    for (kind, record) in kinds {
        clusters.extend(cluster(drift.of_kind(kind)).iter().map(|cluster| DriftClusterJson {
            ids: cluster.ids.iter().map(ToString::to_string).collect(),
            record,
            changes: cluster.changes.iter().map(json::ChangeJson::of).collect(),
        }));
    }
    let mut record_lost: Vec<String> = ids(&[DriftKind::RecordLost, DriftKind::RecordEmptied]);
    record_lost.sort_unstable();
    document(&DriftDocument {
        version: 1,
        hub: drift.hub.as_str(),
        fleet: drift.fleet.as_str(),
        ownership: drift.ownership,
        read: drift.read,
        empty: drift.is_empty(),
        looked_at: drift.looked_at,
        drifted: drift.of_kind(DriftKind::Drifted).len(),
        carriers: drift.carriers,
        paths: drift.paths(),
        clusters,
        record_lost,
        conflicting: drift.conflicting().iter().map(ToString::to_string).collect(),
        unselected: ids(&[DriftKind::Unselected]),
        missing: ids(&[DriftKind::Missing]),
    })
}
