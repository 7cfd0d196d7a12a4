//! Why a twin is declared as it is, for people and for programs.

use std::borrow::Cow;
use std::fmt::Write;

use serde::Serialize;
use serde_json::Value;

use super::columns::{AlignedCell, Columns};
use super::json::{OriginJson, document};
use super::style::Palette;
use super::{escape, value, view};
use crate::legible;
use crate::manifest::{Candidate, Explained, ExplainedLayer, Explanation, Layer};

/// The longest value that is shown whole unless all are.
const VALUE: usize = 60;

/// Writes it for people: each leaf with what every layer says, weakest first, and a sign before the one that counts.
pub(crate) fn text(of: &Explanation, leaves: &[&Explained], full: bool, palette: Palette) -> String {
    let mut out = String::new();
    match &of.origin {
        Some(origin) => {
            let origin = escape::line(&origin.to_string()).into_owned();
            _ = write!(out, "{}  declared at {}", palette.title(escape::id(&of.id)), palette.origin(&origin));
        }
        None => _ = write!(out, "{}  declared only if a selector finds it", palette.title(escape::id(&of.id))),
    }
    if let Some(entry) = of.entry.as_ref().filter(|entry| *entry != of.id.device.as_str()) {
        _ = write!(out, " as {}", escape::line(entry));
    }
    out.push('\n');
    let layers: Vec<_> = of.layers.iter().map(layer_words).collect();
    _ = writeln!(out, "  {}", palette.aside(format!("layers, weakest first: {}", escape::line(&layers.join(", ")))));
    for leaf in leaves {
        let most = if full { usize::MAX } else { VALUE };
        let line = |candidate: &Candidate| match &candidate.leaf.value {
            Some(value) => view::RedactedValue::at(&candidate.leaf.path, value, &of.sensitive).line().to_owned(),
            None => value::inline(None),
        };
        let mut values: Vec<String> = leaf.candidates.iter().map(line).collect();
        legible::tell_apart(&mut values);
        let values: Vec<_> = values.iter().map(|text| value::cut(text, most)).collect();
        let is_winner = |candidate: &Candidate| candidate.wins && candidate.condition.is_none();
        let winner = leaf.candidates.iter().position(is_winner).map(|at| &values[at]);
        let contested = leaf.candidates.iter().any(|candidate| candidate.wins && candidate.condition.is_some());
        let winner = match (winner, contested) {
            (Some(winner), true) => format!("= {winner}, unless a selector finds it"),
            (Some(winner), false) => format!("= {winner}"),
            (None, _) => "only if a selector finds it".to_owned(),
        };
        _ = writeln!(out, "\n{} {winner}", palette.path(escape::path(leaf.path.as_str())));
        let mut columns = Columns::default();
        for (candidate, value) in leaf.candidates.iter().zip(&values) {
            let origin = &candidate.leaf.origin;
            let place = escape::line(&origin.to_string()).into_owned();
            let mut said = value.to_string();
            if candidate.leaf.path != leaf.path {
                said = format!("{said} at {}", escape::path(candidate.leaf.path.as_str()));
            }
            columns.row([
                match (candidate.wins, &candidate.condition) {
                    (true, None) => AlignedCell::new(">", palette.good(">")),
                    (true, Some(_)) => AlignedCell::new("?", palette.changed("?")),
                    (false, _) => AlignedCell::plain(" "),
                },
                AlignedCell::plain(escape::line(&origin.layer.to_string()).into_owned()),
                AlignedCell::new(&place, palette.origin(&place)),
                AlignedCell::plain(said),
                match (candidate.wins, &candidate.condition) {
                    (true, None) => AlignedCell::new("wins", palette.good("wins")),
                    (true, Some(condition)) => AlignedCell::plain(format!("wins {}", if_it_matches(condition))),
                    (false, Some(condition)) => AlignedCell::plain(if_it_matches(condition)),
                    (false, None) => AlignedCell::plain(""),
                },
            ]);
        }
        columns.write(&mut out, "  ");
    }
    if of.leaves.is_empty() {
        out.push_str("\nNo layer declares anything for it.\n");
    }
    out
}

fn layer_words(layer: &ExplainedLayer) -> String {
    match (&layer.condition, &layer.origin.layer) {
        (Some(condition), name) => format!("{name} ({})", if_it_matches(condition)),
        (None, Layer::Inventory) => format!("inventory {}", layer.origin),
        (None, name) => name.to_string(),
    }
}

fn if_it_matches(condition: &str) -> String {
    format!("if it matches `where {}`", escape::line(condition))
}

/// The published shape of `twinctl explain --format json`.
#[derive(Serialize)]
struct ExplanationDocument<'e> {
    version: u32,
    /// `DEVICE`, or `DEVICE/MODULE`.
    id: String,
    /// The manifest's entry, as written; left out when only a table names the device, or nothing does.
    #[serde(skip_serializing_if = "Option::is_none")]
    entry: Option<&'e str>,
    /// Left out when the device is declared only if a selector finds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<OriginJson<'e>>,
    /// Weakest first.
    layers: Vec<LayerDocument<'e>>,
    paths: Vec<ExplainedPathJson<'e>>,
}

#[derive(Serialize)]
struct LayerDocument<'e> {
    #[serde(flatten)]
    origin: OriginJson<'e>,
    /// The condition of a selector: without a hub it is not known whether it holds.
    #[serde(rename = "where", skip_serializing_if = "Option::is_none")]
    condition: Option<&'e str>,
}

#[derive(Serialize)]
struct ExplainedPathJson<'e> {
    path: &'e str,
    /// Weakest first.
    candidates: Vec<CandidateDocument<'e>>,
}

#[derive(Serialize)]
struct CandidateDocument<'e> {
    /// The path explained, or one over or under it.
    path: &'e str,
    /// Left out when the layer declares that the path must be absent; `(sensitive)` when it is not shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Cow<'e, Value>>,
    /// Whether the value is not shown; left out when it is.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    sensitive: bool,
    origin: OriginJson<'e>,
    /// Whether it counts; with `where`, if that holds.
    wins: bool,
    #[serde(rename = "where", skip_serializing_if = "Option::is_none")]
    condition: Option<&'e str>,
}

/// Writes it as JSON, version 1.
pub(crate) fn json(of: &Explanation, leaves: &[&Explained]) -> String {
    document(&ExplanationDocument {
        version: 1,
        id: of.id.to_string(),
        entry: of.entry.as_deref(),
        origin: of.origin.as_ref().map(OriginJson::of),
        layers: of
            .layers
            .iter()
            .map(|ExplainedLayer { origin, condition }| LayerDocument {
                origin: OriginJson::of(origin),
                condition: condition.as_deref(),
            })
            .collect(),
        paths: leaves
            .iter()
            .map(|leaf| ExplainedPathJson {
                path: leaf.path.as_str(),
                candidates: leaf
                    .candidates
                    .iter()
                    .map(|Candidate { leaf, wins, condition }| CandidateDocument {
                        path: leaf.path.as_str(),
                        value: leaf.value.as_ref().map(|value| view::value(&leaf.path, value, &of.sensitive)),
                        sensitive: of.sensitive.covers(&leaf.path),
                        origin: OriginJson::of(&leaf.origin),
                        wins: *wins,
                        condition: condition.as_deref(),
                    })
                    .collect(),
            })
            .collect(),
    })
}
