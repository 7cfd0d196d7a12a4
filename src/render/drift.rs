//! Drift, for people and for programs.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;

use super::json::{self, document};
use super::number::{counted, grouped};
use super::text::{Options, write_clusters};
use super::view::{clusters, read_by};
use crate::drift::Drift;
use crate::plan::{ReadBy, Verdict};

/// Writes it for people.
pub fn text(drift: &Drift, options: Options) -> String {
    let palette = options.palette;
    let mut out = String::new();
    _ = writeln!(out, "Drift of {} on {}\n", palette.title(&drift.fleet), palette.title(&drift.hub));
    let (looked_at, read) = (counted(drift.looked_at, "twin"), read_by(drift.read));
    if drift.is_empty() {
        _ = writeln!(out, "{} {looked_at} looked at ({read})", palette.good("No drift:"));
    } else {
        write_clusters(&mut out, &clusters(&drift.twins), options);
        let paths = drift.paths();
        let words: Vec<_> = paths.iter().map(|(verdict, &count)| format!("{} {verdict}", grouped(count))).collect();
        let (twins, count) = (counted(drift.twins.len(), "twin"), counted(paths.values().sum(), "path"));
        let title = palette.title("Drift:");
        _ = writeln!(out, "\n{title} {twins}, {count}: {}; {looked_at} looked at ({read})", words.join(", "));
    }
    if !drift.conflicting.is_empty() {
        let count = counted(drift.conflicting.len(), "twin");
        _ = writeln!(
            out,
            "{} of {count} nothing can be said: they have conflicts, which `twinctl plan` shows",
            palette.warning("!")
        );
    }
    if !drift.missing.is_empty() {
        let count = counted(drift.missing.len(), "declared twin");
        _ = writeln!(out, "{} {count} not on the hub", palette.warning("!"));
    }
    out
}

/// The published shape of `twinctl drift --format json`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'d> {
    version: u32,
    hub: &'d str,
    fleet: &'d str,
    /// `get` or `query`: how fresh the twins were.
    read: ReadBy,
    empty: bool,
    /// How many twins were looked at, and how many of them drifted.
    looked_at: usize,
    drifted: usize,
    /// How many paths, by `drift`, `edit-over-drift` and `removed-over-drift`.
    paths: BTreeMap<Verdict, usize>,
    /// Twins with the same drift.
    clusters: Vec<Cluster<'d>>,
    /// Twins with conflicts, of which nothing can be said.
    conflicting: Vec<String>,
    /// Declared twins that the hub lacks.
    missing: Vec<String>,
}

#[derive(Serialize)]
struct Cluster<'d> {
    ids: Vec<String>,
    /// As in a plan.
    changes: Vec<json::Change<'d>>,
}

/// Writes it as JSON, version 1.
pub fn json(drift: &Drift) -> String {
    let ids = |ids: &[crate::twin::TwinId]| ids.iter().map(ToString::to_string).collect();
    document(&Document {
        version: 1,
        hub: drift.hub.as_str(),
        fleet: drift.fleet.as_str(),
        read: drift.read,
        empty: drift.is_empty(),
        looked_at: drift.looked_at,
        drifted: drift.twins.len(),
        paths: drift.paths(),
        clusters: drift
            .clusters()
            .iter()
            .map(|cluster| Cluster {
                ids: cluster.ids.iter().map(ToString::to_string).collect(),
                changes: cluster.changes.iter().map(json::Change::of).collect(),
            })
            .collect(),
        conflicting: ids(&drift.conflicting),
        missing: ids(&drift.missing),
    })
}
