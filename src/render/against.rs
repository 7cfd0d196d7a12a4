//! What a pull request changes in the declarations: for people, for programs, and for a comment.

use std::fmt::Write;

use serde::Serialize;
use serde_json::Value;

use super::columns::{Cell, Columns};
use super::json::{Origin, document};
use super::number::{counted, grouped};
use super::style::Palette;
use super::{escape, value, view};
use crate::against::{CheckChange, Cluster, Declared, Differences, Kind, LeafChange, SelectorChange};
use crate::manifest::{Declarations, Ownership};
use crate::twin::TwinId;

/// What was compared.
#[derive(Clone, Copy, Debug)]
pub struct Compared<'c> {
    /// The later state.
    pub after: &'c Declarations,
    /// The ref, as the user gave it.
    pub reference: &'c str,
    /// Its commit.
    pub commit: &'c str,
    /// What differs.
    pub differences: &'c Differences,
}

/// How many twins of a cluster are named.
const NAMED: usize = 3;
/// The longest value that is shown whole unless all are.
const VALUE: usize = 44;

fn side(of: Option<&Declared>, most: usize) -> String {
    match of {
        None => "not declared".to_owned(),
        Some(Declared::Absent) => "absent".to_owned(),
        Some(Declared::Sensitive) => view::MASK.to_owned(),
        Some(Declared::Value(of)) => value::cut(&escape::json(of), most).into_owned(),
    }
}

/// Writes both sides of a leaf: `60 → 30`, or the one that there is.
fn sides(leaf: &LeafChange, most: usize) -> String {
    match (&leaf.before, &leaf.after) {
        (Some(before), Some(after)) => format!("{} → {}", side(Some(before), most), side(Some(after), most)),
        (before, after) => side(after.as_ref().or(before.as_ref()), most),
    }
}

fn sign(leaf: &LeafChange) -> char {
    match (&leaf.before, &leaf.after) {
        (None, _) => '+',
        (Some(_), None) => '-',
        (Some(_), Some(_)) => '~',
    }
}

fn kind_sign(kind: Kind) -> char {
    match kind {
        Kind::Changed => '~',
        Kind::Added => '+',
        Kind::Gone => '-',
    }
}

fn who(ids: &[TwinId]) -> String {
    match ids {
        [one] => one.to_string(),
        _ => counted(ids.len(), TwinId::kind_of_all(ids)),
    }
}

/// A few names, and how many more; all of them when asked for.
fn names(ids: &[TwinId], full: bool) -> String {
    let named = if full || ids.len() <= NAMED + 1 { ids.len() } else { NAMED };
    let listed: Vec<_> = ids[..named].iter().map(ToString::to_string).collect();
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
    for (kind, words) in [(Kind::Changed, "changed"), (Kind::Added, "added"), (Kind::Gone, "gone")] {
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
        (Kind::Added, Some(true), _) => "new, and a gate",
        (Kind::Added, ..) => "new",
        (Kind::Gone, ..) => "gone",
        (Kind::Changed, Some(true), None) => "a gate now",
        (Kind::Changed, Some(true), Some(_)) => "a gate now, with another query",
        (Kind::Changed, Some(false), None) => "no gate any more",
        (Kind::Changed, Some(false), Some(_)) => "no gate any more, with another query",
        (Kind::Changed, None, Some(_)) => "another query",
        (Kind::Changed, None, None) => "another expectation, time or severity",
    }
}

/// Says of a setting what it was or is; nothing where it is not said.
fn setting(of: &Value) -> String {
    if of.is_null() { "not said".to_owned() } else { escape::json(of) }
}

/// Says what became of a selector, but for what it gives.
fn selector_words(selector: &SelectorChange, code: impl Fn(&str) -> String) -> String {
    let condition = |side: &Option<String>| side.as_deref().map(|text| code(&escape::line(text))).unwrap_or_default();
    let (before, after) = (condition(&selector.before), condition(&selector.after));
    match (selector.kind, &selector.before) {
        (Kind::Added, _) => format!("new, where {after}"),
        (Kind::Gone, _) => "gone: the devices that it alone declared leave the fleet".to_owned(),
        (Kind::Changed, Some(_)) => format!("where {before} → where {after}"),
        (Kind::Changed, None) => "gives otherwise".to_owned(),
    }
}

/// Writes it for people.
pub fn text(of: &Compared<'_>, full: bool, palette: Palette) -> String {
    let mut out = String::new();
    let reference = escape::line(of.reference);
    _ = writeln!(
        out,
        "{} {} against {reference} ({})\n",
        palette.title("Fleet"),
        palette.title(&of.after.fleet),
        of.commit
    );
    let differences = of.differences;
    if differences.is_empty() {
        let unchanged = counted(differences.unchanged, "twin");
        _ = writeln!(out, "{} {unchanged} declared as before", palette.good("No differences:"));
        return out;
    }
    let paint = |sign: char| paint(sign, palette);
    let most = if full { usize::MAX } else { VALUE };
    for cluster in &differences.clusters {
        let remark = if cluster.kind == Kind::Gone { format!("  {}", fate(of)) } else { String::new() };
        let who = who(&cluster.ids);
        _ = writeln!(out, "{} {}{remark}", paint(kind_sign(cluster.kind)), palette.twin(&who));
        if cluster.ids.len() > 1 {
            _ = writeln!(out, "    {}", palette.aside(names(&cluster.ids, full)));
        }
        write_leaves(&mut out, &cluster.leaves, most, palette);
    }
    for change in &differences.settings {
        let (before, after) = (setting(&change.before), setting(&change.after));
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

fn write_leaves(out: &mut String, leaves: &[LeafChange], most: usize, palette: Palette) {
    let mut columns = Columns::default();
    for leaf in leaves {
        let path = escape::line(leaf.path.as_str()).into_owned();
        let origin = leaf.origin.as_ref().map(ToString::to_string).unwrap_or_default();
        let origin = escape::line(&origin).into_owned();
        columns.row([
            Cell::new(" ", paint(sign(leaf), palette)),
            Cell::new(&path, palette.path(&path)),
            Cell::plain(sides(leaf, most)),
            Cell::new(&origin, palette.origin(&origin)),
        ]);
    }
    columns.write(out, "    ");
}

/// The longest comment that is written: GitHub takes 65,536 characters, Azure DevOps 150,000.
const COMMENT: usize = 60_000;

/// Writes it for a pull request's comment, cut to what one may have, with the counts kept.
pub fn markdown(of: &Compared<'_>) -> String {
    let differences = of.differences;
    let mut out = String::new();
    let (fleet, reference) = (&of.after.fleet, code(of.reference));
    _ = writeln!(out, "### twinctl: fleet {} against {reference}\n", code(fleet.as_str()));
    if differences.is_empty() {
        _ = writeln!(out, "No differences: {} declared as before.", counted(differences.unchanged, "twin"));
        return out;
    }
    _ = writeln!(out, "**{}** (commit {})\n", counts(of), code(of.commit));
    let mut parts: Vec<String> = differences.clusters.iter().map(|cluster| folded(of, cluster)).collect();
    for change in &differences.settings {
        let (before, after) = (setting(&change.before), setting(&change.after));
        parts.push(format!("- setting {}: {} → {}\n", code(change.name), code(&before), code(&after)));
    }
    for selector in &differences.selectors {
        let (name, words) = (code(&escape::line(&selector.name)), selector_words(selector, code));
        let mut part = format!("- selector {name}: {words}\n");
        if !selector.leaves.is_empty() {
            part.push('\n');
            write_table(&mut part, &selector.leaves);
        }
        parts.push(part);
    }
    for check in &differences.checks {
        parts.push(format!("- check {}: {}\n", code(&escape::line(&check.name)), check_words(check)));
    }
    let mut left = parts.len();
    for part in parts {
        if out.len() + part.len() > COMMENT {
            _ = writeln!(
                out,
                "\n_{} not shown here; `twinctl render --against` shows all._",
                counted(left, "more difference")
            );
            break;
        }
        out.push_str(&part);
        left -= 1;
    }
    out
}

fn folded(of: &Compared<'_>, cluster: &Cluster) -> String {
    let Cluster { kind, leaves, ids } = cluster;
    let what = match kind {
        Kind::Changed => "",
        Kind::Added => " (new)",
        Kind::Gone => " (gone)",
    };
    let summary = match (kind, &leaves[..]) {
        (Kind::Changed, [one]) => format!(": {}", html(one.path.as_str())),
        (Kind::Changed, many) => format!(": {}", counted(many.len(), "path")),
        _ => String::new(),
    };
    let mut out = format!("<details><summary>{} {}{what}{summary}</summary>\n\n", kind_sign(*kind), html(&who(ids)));
    if ids.len() > 1 {
        _ = writeln!(out, "{}\n", code(&names(ids, false)));
    }
    if *kind == Kind::Gone {
        _ = writeln!(out, "{}\n", fate(of));
    }
    if !leaves.is_empty() {
        write_table(&mut out, leaves);
    }
    out.push_str("</details>\n\n");
    out
}

fn write_table(out: &mut String, leaves: &[LeafChange]) {
    out.push_str("| | path | before | after | line |\n|---|---|---|---|---|\n");
    for leaf in leaves {
        let origin = leaf.origin.as_ref().map(|origin| code(&origin.to_string())).unwrap_or_default();
        let cell = |of: &Option<Declared>| match of {
            None => String::new(),
            Some(of) => code(&side(Some(of), 200)),
        };
        let (path, before, after) = (code(leaf.path.as_str()), cell(&leaf.before), cell(&leaf.after));
        _ = writeln!(out, "| {} | {path} | {before} | {after} | {origin} |", sign(leaf));
    }
    out.push('\n');
}

/// A text as code inside a line or a table's cell, whatever is in it: a code span ends at as many backticks as it began with, and
/// only there, but a bar ends a cell even in one.
fn code(text: &str) -> String {
    let text = escape::line(text);
    if text.is_empty() || text.contains(['|', '`', '\\']) {
        return format!("<code>{}</code>", html(&text));
    }
    format!("`{text}`")
}

/// A text inside of HTML inside of Markdown, in which neither finds anything of its own.
fn html(text: &str) -> String {
    let mut out = String::new();
    for c in escape::line(text).chars() {
        match c {
            '&' | '<' | '>' | '"' | '\'' | '|' | '`' | '*' | '_' | '[' | ']' | '\\' | '~' | '#' | '!' | '@' | ':' => {
                _ = write!(out, "&#{};", c as u32);
            }
            c => out.push(c),
        }
    }
    out
}

/// The published shape of `twinctl render --against REF --format json`.
#[derive(Serialize)]
struct Document<'c> {
    version: u32,
    fleet: &'c str,
    /// The ref, as it was given, and its commit.
    against: &'c str,
    commit: &'c str,
    empty: bool,
    /// How many twins.
    summary: Summary,
    clusters: Vec<ClusterDocument<'c>>,
    settings: Vec<Setting<'c>>,
    selectors: Vec<SelectorDocument<'c>>,
    checks: Vec<Check<'c>>,
}

#[derive(Serialize)]
struct Summary {
    changed: usize,
    added: usize,
    gone: usize,
    unchanged: usize,
}

#[derive(Serialize)]
struct ClusterDocument<'c> {
    /// `changed`, `added` or `gone`.
    kind: Kind,
    ids: Vec<String>,
    paths: Vec<Path<'c>>,
}

/// A side is left out where the path is not declared; it is `{}` where the path must be absent, and `{ "sensitive": true }` where its value is
/// not told.
#[derive(Serialize)]
struct Path<'c> {
    path: &'c str,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<Side<'c>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<Side<'c>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<Origin<'c>>,
}

#[derive(Serialize)]
struct Side<'c> {
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'c Value>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    sensitive: bool,
}

impl<'c> Side<'c> {
    fn of(declared: &'c Declared) -> Self {
        match declared {
            Declared::Absent => Self { value: None, sensitive: false },
            Declared::Value(value) => Self { value: Some(value), sensitive: false },
            Declared::Sensitive => Self { value: None, sensitive: true },
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
    kind: Kind,
    name: &'c str,
    /// The condition, where it was another.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<&'c str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<&'c str>,
    /// What differs for a device that it alone finds.
    paths: Vec<Path<'c>>,
}

#[derive(Serialize)]
struct Check<'c> {
    kind: Kind,
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

fn path(LeafChange { path, before, after, origin }: &LeafChange) -> Path<'_> {
    Path {
        path: path.as_str(),
        before: before.as_ref().map(Side::of),
        after: after.as_ref().map(Side::of),
        origin: origin.as_ref().map(Origin::of),
    }
}

/// Writes it as JSON, version 1.
pub fn json(of: &Compared<'_>) -> String {
    let Differences { settings, selectors, clusters, checks, unchanged } = of.differences;
    let twins = |kind| of.differences.twins(kind);
    document(&Document {
        version: 1,
        fleet: of.after.fleet.as_str(),
        against: of.reference,
        commit: of.commit,
        empty: of.differences.is_empty(),
        summary: Summary {
            changed: twins(Kind::Changed),
            added: twins(Kind::Added),
            gone: twins(Kind::Gone),
            unchanged: *unchanged,
        },
        clusters: clusters
            .iter()
            .map(|Cluster { kind, leaves, ids }| ClusterDocument {
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
            .map(|CheckChange { kind, name, before, after, gate }| Check {
                kind: *kind,
                name,
                before: before.as_deref(),
                after: after.as_deref(),
                gate: *gate,
            })
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::against::compare;
    use crate::manifest::load_texts;

    #[test]
    fn a_comment_is_cut_and_keeps_its_counts() {
        let fleet = |value: usize| {
            let devices = (0..3000).map(|n| format!("  d{n}: {{ desired: {{ a: {} }} }}\n", n * value));
            let text = format!("fleet: f\ndevices:\n{}", devices.collect::<String>());
            load_texts(&[("f.yaml", &text)], &|_| None).expect("a good manifest").declarations
        };
        let (before, after) = (fleet(1), fleet(2));
        let differences = compare(Some(&before), &after);
        let compared = Compared { after: &after, reference: "main", commit: "abc", differences: &differences };
        let text = markdown(&compared);
        assert!(text.chars().count() < 65_536, "GitHub's limit");
        assert!(text.contains("**2,999 twins changed; 1 twin declared as before**"), "{}", &text[..400]);
        let shown = text.matches("<details>").count();
        assert!(shown > 100 && text.ends_with("`twinctl render --against` shows all._\n"), "{shown}");
        assert_eq!(text.matches("</details>").count(), shown);
        assert!(text.contains(&format!("\n_{} more differences not shown here", grouped(2999 - shown))), "{shown}");
    }

    #[test]
    fn nothing_breaks_out_of_a_cell() {
        for (text, shown) in [
            ("plain \"x\"", "`plain \"x\"`"),
            ("a|b", "<code>a&#124;b</code>"),
            ("`</details>`", "<code>&#96;&#60;/details&#62;&#96;</code>"),
            ("\\`", "<code>&#92;&#96;</code>"),
            ("</details>", "`</details>`"),
            ("a\n\n# b", "<code>a&#92;n&#92;n&#35; b</code>"),
        ] {
            assert_eq!(code(text), shown);
        }
        assert_eq!(html("@team *x* [y](z)"), "&#64;team &#42;x&#42; &#91;y&#93;(z)");
    }
}
