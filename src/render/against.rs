//! What a pull request changes in the declarations: for people, for programs, and for a comment.

use std::fmt::Write;

use serde::Serialize;
use serde_json::Value;

use super::columns::{Cell, Columns};
use super::json::{Origin, document};
use super::number::{counted, grouped};
use super::style::Palette;
use super::{escape, value};
use crate::against::{CheckChange, Cluster, Declared, Differences, Kind, LeafChange};
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
    match (check.kind, &check.before) {
        (Kind::Added, _) => "new",
        (Kind::Gone, _) => "gone",
        (Kind::Changed, Some(_)) => "another query",
        (Kind::Changed, None) => "another expectation, time or severity",
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
    let paint = |sign: char| match sign {
        '+' => palette.added(sign).to_string(),
        '-' => palette.removed(sign).to_string(),
        _ => palette.changed(sign).to_string(),
    };
    let most = if full { usize::MAX } else { VALUE };
    for cluster in &differences.clusters {
        let remark = if cluster.kind == Kind::Gone { format!("  {}", fate(of)) } else { String::new() };
        let who = who(&cluster.ids);
        _ = writeln!(out, "{} {}{remark}", paint(kind_sign(cluster.kind)), palette.twin(&who));
        if cluster.ids.len() > 1 {
            _ = writeln!(out, "    {}", palette.aside(names(&cluster.ids, full)));
        }
        let mut columns = Columns::default();
        for leaf in cluster.leaves.iter() {
            let path = escape::line(leaf.path.as_str()).into_owned();
            let origin = leaf.origin.as_ref().map(ToString::to_string).unwrap_or_default();
            let origin = escape::line(&origin).into_owned();
            columns.row([
                Cell::new(" ", paint(sign(leaf))),
                Cell::new(&path, palette.path(&path)),
                Cell::plain(sides(leaf, most)),
                Cell::new(&origin, palette.origin(&origin)),
            ]);
        }
        columns.write(&mut out, "    ");
    }
    for setting in &differences.settings {
        let (before, after) = (escape::json(&setting.before), escape::json(&setting.after));
        _ = writeln!(out, "{} setting {}  {before} → {after}", paint('~'), palette.path(setting.name));
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
    for setting in &differences.settings {
        let (before, after) = (escape::json(&setting.before), escape::json(&setting.after));
        parts.push(format!("- setting {}: {} → {}\n", code(setting.name), code(&before), code(&after)));
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
        out.push_str("| | path | before | after | line |\n|---|---|---|---|---|\n");
        for leaf in leaves.iter() {
            let origin = leaf.origin.as_ref().map(|origin| code(&origin.to_string())).unwrap_or_default();
            let cell = |of: &Option<Declared>| match of {
                None => String::new(),
                Some(of) => code(&side(Some(of), 200)),
            };
            _ = writeln!(
                out,
                "| {} | {} | {} | {} | {origin} |",
                sign(leaf),
                code(leaf.path.as_str()),
                cell(&leaf.before),
                cell(&leaf.after)
            );
        }
        out.push('\n');
    }
    out.push_str("</details>\n\n");
    out
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

/// A side is left out where the path is not declared; it is `{}` where the path must be absent.
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
}

impl<'c> Side<'c> {
    fn of(declared: &'c Declared) -> Self {
        match declared {
            Declared::Absent => Self { value: None },
            Declared::Value(value) => Self { value: Some(value) },
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
struct Check<'c> {
    kind: Kind,
    name: &'c str,
    /// The query, where it was another.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<&'c str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<&'c str>,
}

/// Writes it as JSON, version 1.
pub fn json(of: &Compared<'_>) -> String {
    let Differences { settings, clusters, checks, unchanged } = of.differences;
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
                paths: leaves
                    .iter()
                    .map(|LeafChange { path, before, after, origin }| Path {
                        path: path.as_str(),
                        before: before.as_ref().map(Side::of),
                        after: after.as_ref().map(Side::of),
                        origin: origin.as_ref().map(Origin::of),
                    })
                    .collect(),
            })
            .collect(),
        settings: settings
            .iter()
            .map(|setting| Setting { name: setting.name, before: &setting.before, after: &setting.after })
            .collect(),
        checks: checks
            .iter()
            .map(|CheckChange { kind, name, before, after }| Check {
                kind: *kind,
                name,
                before: before.as_deref(),
                after: after.as_deref(),
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
