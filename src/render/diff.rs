//! What a pull request changes in the declarations: for people, for programs, and for a comment.

mod json;
mod markdown;

use std::fmt::Write;

use serde_json::Value;

pub(crate) use self::json::json;
pub(crate) use self::markdown::markdown;
use super::columns::{AlignedCell, Columns};
use super::number::{counted, grouped};
use super::style::Palette;
use super::{escape, value, view};
use crate::diff::{CheckChange, DeclarationsDiff, DiffKind, DiffedLeaf, DiffedValue, SelectorChange};
use crate::legible;
use crate::manifest::{Declarations, Ownership};
use iothub_model::twin::TwinId;

/// What was compared.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Compared<'c> {
    /// The later state.
    pub after: &'c Declarations,
    /// The ref, as the user gave it.
    pub reference: &'c str,
    /// The commit that is compared with.
    pub commit: &'c str,
    /// The ref's own commit, if the one that is compared with is its merge base with what is checked out.
    pub tip: Option<&'c str>,
    /// Whether the manifests there have mistakes, so that all is as new as if there were none.
    pub is_unreadable: bool,
    /// What has no older state or is left out.
    pub notes: &'c [String],
    /// What differs.
    pub differences: &'c DeclarationsDiff,
}

/// How many twins of a cluster are named.
const NAMED: usize = 3;
/// The longest value that is shown whole unless all are.
const VALUE: usize = 44;

/// What is said where there is nothing to compare with.
const UNREADABLE: &str = "The manifests there have mistakes, so that all is shown as new.";

/// Names the commit that is compared with, and how far the ref has moved on.
fn commit(of: &Compared<'_>, code: impl Fn(&str) -> String) -> String {
    match of.tip {
        None => code(of.commit),
        Some(tip) => format!("merge base {}; {} is at {}", code(of.commit), code(of.reference), code(tip)),
    }
}

fn side(of: &DiffedValue) -> String {
    match of {
        DiffedValue::Absent => "absent".to_owned(),
        DiffedValue::Sensitive => view::MASK.to_owned(),
        DiffedValue::Value(of) => escape::json(of),
    }
}

/// Returns both sides of a leaf, each in so many characters, in which what differs is seen.
fn pair(leaf: &DiffedLeaf, most: usize) -> (Option<String>, Option<String>) {
    let DiffedLeaf { before, after, .. } = leaf;
    let (mut before, mut after) = (before.as_ref().map(side), after.as_ref().map(side));
    legible::tell_apart(before.iter_mut().chain(&mut after));
    let cut = |text: String| value::cut(&text, most).into_owned();
    match (before, after) {
        (Some(before), Some(after)) => {
            let (before, after) = value::differences(&before, &after, most, Palette::PLAIN);
            (Some(before), Some(after))
        }
        (before, after) => (before.map(cut), after.map(cut)),
    }
}

/// Writes both sides of a leaf: `60 → 30`, or the one that there is.
fn sides(leaf: &DiffedLeaf, most: usize) -> String {
    match pair(leaf, most) {
        (Some(before), Some(after)) => format!("{before} → {after}"),
        (before, after) => after.or(before).unwrap_or_else(|| "not declared".to_owned()),
    }
}

fn sign(leaf: &DiffedLeaf) -> char {
    match (&leaf.before, &leaf.after) {
        (None, _) => '+',
        (Some(_), None) => '-',
        (Some(_), Some(_)) => '~',
    }
}

fn kind_sign(kind: DiffKind) -> char {
    match kind {
        DiffKind::Changed => '~',
        DiffKind::Added => '+',
        DiffKind::Gone => '-',
    }
}

fn who(ids: &[TwinId]) -> String {
    match ids {
        [one] => escape::id(one),
        _ => counted(ids.len(), TwinId::kind_of_all(ids)),
    }
}

/// A few names, and how many more; all of them when asked for.
fn names(ids: &[TwinId], full: bool) -> String {
    let named = if full || ids.len() <= NAMED + 1 { ids.len() } else { NAMED };
    let listed: Vec<_> = ids[..named].iter().map(escape::id).collect();
    match ids.len() - named {
        0 => listed.join(", "),
        more => format!("{} and {} more", listed.join(", "), grouped(more)),
    }
}

/// What becomes of twins that are no longer declared.
fn fate(of: &Compared<'_>) -> &'static str {
    match of.after.ownership {
        Ownership::Record => "no longer declared: what the fleet owns there is removed; the identity stays",
        Ownership::None => "no longer declared, and left as it is",
    }
}

/// Counts everything in a line.
fn counts(of: &Compared<'_>) -> String {
    let differences = of.differences;
    let mut parts = Vec::new();
    for (kind, words) in [(DiffKind::Changed, "changed"), (DiffKind::Added, "added"), (DiffKind::Gone, "gone")] {
        match differences.twins(kind) {
            0 => {}
            count if parts.is_empty() => parts.push(format!("{} {words}", counted(count, "twin"))),
            count => parts.push(format!("{} {words}", grouped(count))),
        }
    }
    if !differences.settings.is_empty() {
        parts.push(format!("{} changed", counted(differences.settings.len(), "setting")));
    }
    if !differences.selectors.is_empty() {
        parts.push(format!("{} changed", counted(differences.selectors.len(), "selector")));
    }
    if !differences.checks.is_empty() {
        parts.push(format!("{} changed", counted(differences.checks.len(), "check")));
    }
    let unchanged = match differences.unchanged {
        0 => "no twin is as before".to_owned(),
        count => format!("{} declared as before", counted(count, "twin")),
    };
    format!("{}; {unchanged}", parts.join(", "))
}

fn check_words(check: &CheckChange) -> &'static str {
    match (check.kind, check.gate, &check.before) {
        (DiffKind::Added, Some(true), _) => "new, and a gate",
        (DiffKind::Added, ..) => "new",
        (DiffKind::Gone, ..) => "gone",
        (DiffKind::Changed, Some(true), None) => "a gate now",
        (DiffKind::Changed, Some(true), Some(_)) => "a gate now, with another query",
        (DiffKind::Changed, Some(false), None) => "no gate any more",
        (DiffKind::Changed, Some(false), Some(_)) => "no gate any more, with another query",
        (DiffKind::Changed, None, Some(_)) => "another query",
        (DiffKind::Changed, None, None) => "another expectation, time or severity",
    }
}

/// Says of a setting what it was or is; nothing where it is not said.
fn setting(of: &Value) -> String {
    if of.is_null() { "not said".to_owned() } else { escape::json(of) }
}

/// Returns what a setting was and is.
fn settings(before: &Value, after: &Value) -> [String; 2] {
    let mut sides = [setting(before), setting(after)];
    legible::tell_apart(&mut sides);
    sides
}

/// Says what became of a selector, but for what it gives.
fn selector_words(selector: &SelectorChange, code: impl Fn(&str) -> String) -> String {
    let conditions = [&selector.before, &selector.after].map(|side| side.as_deref().unwrap_or_default());
    let mut conditions = conditions.map(|text| escape::line(text).into_owned());
    legible::tell_apart(&mut conditions);
    let [before, after] = conditions.map(|text| if text.is_empty() { text } else { code(&text) });
    match (selector.kind, &selector.before) {
        (DiffKind::Added, _) => format!("new, where {after}"),
        (DiffKind::Gone, _) => "gone: the devices that it alone declared leave the fleet".to_owned(),
        (DiffKind::Changed, Some(_)) => format!("where {before} → where {after}"),
        (DiffKind::Changed, None) => "gives otherwise".to_owned(),
    }
}

/// Writes it for people.
pub(crate) fn text(of: &Compared<'_>, full: bool, palette: Palette) -> String {
    let mut out = String::new();
    let reference = escape::line(of.reference);
    _ = writeln!(
        out,
        "{} {} against {reference} ({})\n",
        palette.title("Fleet"),
        palette.title(&of.after.fleet),
        commit(of, |text| escape::line(text).into_owned())
    );
    for note in of.notes {
        _ = writeln!(out, "{} {}", palette.warning("!"), escape::line(note));
    }
    if !of.notes.is_empty() {
        out.push('\n');
    }
    if of.is_unreadable {
        _ = writeln!(out, "{} {UNREADABLE}\n", palette.warning("!"));
    }
    let differences = of.differences;
    if differences.is_empty() {
        let unchanged = counted(differences.unchanged, "twin");
        _ = writeln!(out, "{} {unchanged} declared as before", palette.good("No differences:"));
        return out;
    }
    let paint = |sign: char| paint(sign, palette);
    let most = if full { usize::MAX } else { VALUE };
    for cluster in &differences.clusters {
        let remark = if cluster.kind == DiffKind::Gone { format!("  {}", fate(of)) } else { String::new() };
        let who = who(&cluster.ids);
        _ = writeln!(out, "{} {}{remark}", paint(kind_sign(cluster.kind)), palette.twin(&who));
        if cluster.ids.len() > 1 {
            _ = writeln!(out, "    {}", palette.aside(names(&cluster.ids, full)));
        }
        write_leaves(&mut out, &cluster.leaves, most, palette);
    }
    for change in &differences.settings {
        let [before, after] = settings(&change.before, &change.after);
        _ = writeln!(out, "{} setting {}  {before} → {after}", paint('~'), palette.path(change.name));
    }
    for selector in &differences.selectors {
        let (sign, name) = (paint(kind_sign(selector.kind)), escape::line(&selector.name));
        let words = selector_words(selector, str::to_owned);
        _ = writeln!(out, "{sign} selector {}  {words}", palette.path(name));
        write_leaves(&mut out, &selector.leaves, most, palette);
    }
    for check in &differences.checks {
        let name = escape::line(&check.name);
        _ = writeln!(out, "{} check {}  {}", paint(kind_sign(check.kind)), palette.path(name), check_words(check));
    }
    _ = writeln!(out, "\n{} {}", palette.title("Differences:"), counts(of));
    if !full && differences.clusters.iter().any(|cluster| cluster.ids.len() > NAMED + 1) {
        _ = writeln!(out, "{}", palette.aside("--full names every twin and cuts no value"));
    }
    out
}

fn paint(sign: char, palette: Palette) -> String {
    match sign {
        '+' => palette.added(sign).to_string(),
        '-' => palette.removed(sign).to_string(),
        _ => palette.changed(sign).to_string(),
    }
}

fn write_leaves(out: &mut String, leaves: &[DiffedLeaf], most: usize, palette: Palette) {
    let mut columns = Columns::default();
    for leaf in leaves {
        let path = escape::path(leaf.path.as_str()).into_owned();
        let origin = leaf.origin.as_ref().map(ToString::to_string).unwrap_or_default();
        let origin = escape::line(&origin).into_owned();
        columns.row([
            AlignedCell::new(" ", paint(sign(leaf), palette)),
            AlignedCell::new(&path, palette.path(&path)),
            AlignedCell::plain(sides(leaf, most)),
            AlignedCell::new(&origin, palette.origin(&origin)),
        ]);
    }
    columns.write(out, "    ");
}
