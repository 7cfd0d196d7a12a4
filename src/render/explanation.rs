//! Why a twin is declared as it is, for people and for programs.

use std::fmt::Write;

use serde::Serialize;
use serde_json::Value;

use super::columns::{Cell, Columns};
use super::json::{Origin, document};
use super::style::Palette;
use super::{escape, value};
use crate::manifest::{Explained, Explanation};

/// The longest value that is shown whole unless all are.
const VALUE: usize = 60;

/// Writes it for people: each leaf with what every layer says, weakest first, and a sign before the one that counts.
pub fn text(of: &Explanation, leaves: &[&Explained], full: bool, palette: Palette) -> String {
    let mut out = String::new();
    let origin = escape::line(&of.origin.to_string()).into_owned();
    _ = write!(out, "{}  declared at {}", palette.title(&of.id), palette.origin(&origin));
    if of.entry != of.id.device.as_str() {
        _ = write!(out, " as {}", escape::line(&of.entry));
    }
    out.push('\n');
    let layers: Vec<_> = of.layers.iter().map(|origin| origin.layer.to_string()).collect();
    _ = writeln!(out, "  {}", palette.aside(format!("layers, weakest first: {}", escape::line(&layers.join(", ")))));
    for leaf in leaves {
        let winner = leaf.candidates.iter().find(|candidate| candidate.wins);
        let winner = value::inline(winner.and_then(|winner| winner.leaf.value.as_ref()));
        let most = if full { usize::MAX } else { VALUE };
        let path = escape::line(leaf.path.as_str());
        _ = writeln!(out, "\n{} = {}", palette.path(path), value::cut(&winner, most));
        let mut columns = Columns::default();
        for candidate in &leaf.candidates {
            let origin = &candidate.leaf.origin;
            let place = escape::line(&origin.to_string()).into_owned();
            let mut said = value::cut(&value::inline(candidate.leaf.value.as_ref()), most).into_owned();
            if candidate.leaf.path != leaf.path {
                said = format!("{said} at {}", escape::line(candidate.leaf.path.as_str()));
            }
            columns.row([
                if candidate.wins { Cell::new(">", palette.good(">")) } else { Cell::plain(" ") },
                Cell::plain(escape::line(&origin.layer.to_string()).into_owned()),
                Cell::new(&place, palette.origin(&place)),
                Cell::plain(said),
                if candidate.wins { Cell::new("wins", palette.good("wins")) } else { Cell::plain("") },
            ]);
        }
        columns.write(&mut out, "  ");
    }
    if of.leaves.is_empty() {
        out.push_str("\nNo layer declares anything for it.\n");
    }
    out
}

/// The published shape of `twinctl explain --format json`.
#[derive(Serialize)]
struct Document<'e> {
    version: u32,
    /// `DEVICE`, or `DEVICE/MODULE`.
    id: String,
    /// The manifest's entry, as written.
    entry: &'e str,
    origin: Origin<'e>,
    /// Weakest first.
    layers: Vec<Origin<'e>>,
    paths: Vec<Path<'e>>,
}

#[derive(Serialize)]
struct Path<'e> {
    path: &'e str,
    /// Weakest first.
    candidates: Vec<Candidate<'e>>,
}

#[derive(Serialize)]
struct Candidate<'e> {
    /// The path explained, or one over or under it.
    path: &'e str,
    /// Left out when the layer declares that the path must be absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'e Value>,
    origin: Origin<'e>,
    wins: bool,
}

/// Writes it as JSON, version 1.
pub fn json(of: &Explanation, leaves: &[&Explained]) -> String {
    document(&Document {
        version: 1,
        id: of.id.to_string(),
        entry: &of.entry,
        origin: Origin::of(&of.origin),
        layers: of.layers.iter().map(Origin::of).collect(),
        paths: leaves
            .iter()
            .map(|leaf| Path {
                path: leaf.path.as_str(),
                candidates: leaf
                    .candidates
                    .iter()
                    .map(|candidate| Candidate {
                        path: candidate.leaf.path.as_str(),
                        value: candidate.leaf.value.as_ref(),
                        origin: Origin::of(&candidate.leaf.origin),
                        wins: candidate.wins,
                    })
                    .collect(),
            })
            .collect(),
    })
}
