//! A plan as a comment on a pull request: Markdown that GitHub and Azure DevOps both render, cut to what they take.
//!
//! What a hub or a file said stands in fences, in code spans and in `<code>` alone: there neither Markdown nor HTML nor a
//! mention nor a reference means anything. Where the comment would be too long, whole clusters are left out, and the
//! counts stay.

use std::fmt::Write;

use super::number::{counted, grouped};
use super::style::Palette;
use super::value::{self, Mark};
use super::view::{
    ChangeSign, CheckView, ClusterView, CostView, Foreseen, NoteView, PlanView, RowView, SelectionView, Subject,
    WriterView, named,
};
use crate::check::Severity;
use crate::drift::Drift;
use crate::plan::{Plan, Verdict};

/// What GitHub takes as one comment, in characters.
pub(crate) const GITHUB_MAX: usize = 65_536;
/// The shortest limit that the counts and the notes fit into for certain.
pub(crate) const LEAST_MAX: usize = 8_192;

/// How many twins of a cluster are named.
const NAMED: usize = 8;
/// The longest value on a line.
const VALUE: usize = 400;
/// The longest value in a summary.
const SUMMARY: usize = 60;
/// The most lines of one value, and of one check's rows.
const LINES: usize = 40;
/// Up to how many clusters are all shown opened.
const OPENED: usize = 5;
/// Which share of the comment each part beside the clusters may take.
const SHARE: usize = 8;
/// After how many clusters that do not fit no more are tried.
const TRIED: usize = 20;
/// What is kept free for what is said about the cut.
const NOTE: usize = 400;

/// Writes a plan as a comment of at most so many characters, counted as UTF-16 does, which is no less than what any host counts.
///
/// It begins with a comment that is not shown, by which a program finds it again: `<!-- twinctl:FLEET@HUB -->`.
pub(crate) fn plan(plan: &Plan, most: usize) -> String {
    view(&PlanView::of(plan), most.max(LEAST_MAX))
}

/// Writes the drift in a plan as a comment of at most so many characters. Its first line differs from that of a plan.
pub(crate) fn drift(drift: &Drift, most: usize) -> String {
    view(&PlanView::of_drift(drift), most.max(LEAST_MAX))
}

fn view(view: &PlanView<'_>, most: usize) -> String {
    let share = most / SHARE;
    let mut tail = String::new();
    checks(&mut tail, view, share);
    writers(&mut tail, &view.writers, share);
    selections(&mut tail, &view.selections, share);
    cost(&mut tail, view.cost.as_ref());
    foot(&mut tail, view);
    let mut out = head(view);
    let mut left = most.saturating_sub(length(&out) + length(&tail) + NOTE);
    let opened = view.clusters.len() <= OPENED;
    let (mut cut, mut tried) = ((0, 0), 0);
    for cluster in &view.clusters {
        // A smaller one may still fit, but ten thousand need not be written to find that none does.
        let text = if tried < TRIED { self::cluster(cluster, opened || cluster.is_in_the_way(), left) } else { None };
        tried = if text.is_some() { 0 } else { tried + 1 };
        match text {
            Some(text) => {
                left -= length(&text);
                out.push_str(&text);
            }
            None => cut = (cut.0 + 1, cut.1 + cluster.ids.len()),
        }
    }
    if cut.0 > 0 {
        _ = writeln!(
            out,
            "**Not shown here, since a comment may have {} characters: {} of changes, of {}.** The counts above are of \
             all; `{}` shows the rest.\n",
            grouped(most),
            counted(cut.0, "group"),
            counted(cut.1, "twin"),
            view.subject.command()
        );
    }
    out + &tail
}

/// UTF-16 counts no less than characters, and no host counts more.
fn length(text: &str) -> usize {
    text.encode_utf16().count()
}

fn head(view: &PlanView<'_>) -> String {
    let counts = &view.counts;
    let drift = if view.subject == Subject::Drift { " drift" } else { "" };
    let mut out = format!("<!-- twinctl:{}@{}{drift} -->\n\n", view.fleet, view.hub);
    let (fleet, hub) = (code(view.fleet), code(view.hub));
    let (title, told) = &counts.headline;
    let comma = if view.clusters.is_empty() { "" } else { "," };
    _ = writeln!(out, "**{title} {told}{comma} in fleet {fleet} on {hub}** ({})\n", counts.read);
    for line in [counts.paths_line(), checks_line(view)] {
        if !line.is_empty() {
            _ = writeln!(out, "{line}\n");
        }
    }
    if let Some(ignored) = &view.ignored {
        _ = writeln!(out, "**Warning:** {ignored}\n");
    }
    for refusal in &view.refusals {
        let mut fence = Fence::new("text");
        fence.line(&value::cut(refusal, 2 * VALUE));
        _ = write!(out, "**Refused:**\n\n{}", fence.text());
    }
    for hint in &view.hints {
        _ = writeln!(out, "- {hint}");
    }
    for NoteView { text, who } in &view.notes {
        let who = if who.is_empty() { String::new() } else { format!(": {}", code(who)) };
        _ = writeln!(out, "- {text}{who}");
    }
    if !(view.hints.is_empty() && view.notes.is_empty()) {
        out.push('\n');
    }
    out
}

fn checks_line(view: &PlanView<'_>) -> String {
    if view.checks.is_empty() { String::new() } else { format!("Checks afterwards: {}", view.foreseen_line()) }
}

fn foot(out: &mut String, view: &PlanView<'_>) {
    let mut parts = Vec::new();
    if !view.revision.is_empty() {
        parts.push(format!("Revision {}", code(&value::cut(&view.revision, 64))));
    }
    parts.extend(view.digest().map(|digest| format!("Review digest {}", code(&digest))));
    if !parts.is_empty() {
        _ = writeln!(out, "{}", parts.join(" · "));
    }
}

/// Writes a code span whose content means nothing, backticks included.
fn code(text: &str) -> String {
    let ticks = "`".repeat(longest_run(text, '`') + 1);
    // A space at either end is taken away again when both have one.
    let pad = if text.starts_with(['`', ' ']) || text.ends_with(['`', ' ']) { " " } else { "" };
    format!("{ticks}{pad}{text}{pad}{ticks}")
}

fn longest_run(text: &str, wanted: char) -> usize {
    let mut longest = 0;
    let mut run = 0;
    for c in text.chars() {
        run = if c == wanted { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    longest
}

/// Writes a piece of code inside a line of HTML.
fn html_code(text: &str) -> String {
    let mut out = String::from("<code>");
    for (c, after_space) in text.chars().zip(std::iter::once(true).chain(text.chars().map(|c| c == ' '))) {
        match c {
            // HTML shows spaces in a row as one.
            ' ' if after_space => out.push_str("&nbsp;"),
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out + "</code>"
}

/// A fenced block whose lines cannot end it.
struct Fence {
    language: &'static str,
    lines: Vec<String>,
}

impl Fence {
    fn new(language: &'static str) -> Self {
        Self { language, lines: Vec::new() }
    }

    fn line(&mut self, line: &str) {
        self.lines.push(line.trim_end().to_owned());
    }

    fn text(&self) -> String {
        let longest = self.lines.iter().map(|line| longest_run(line, '`')).max().unwrap_or(0);
        let fence = "`".repeat(longest.max(2) + 1);
        let mut out = format!("{fence}{}\n", self.language);
        for line in &self.lines {
            _ = writeln!(out, "{line}");
        }
        out + &fence + "\n\n"
    }
}

/// Writes something that opens; the title is HTML on one line.
fn details(opened: bool, title: &str, fence: &Fence) -> String {
    let open = if opened { " open" } else { "" };
    let body = if fence.lines.is_empty() { String::new() } else { fence.text() };
    format!("<details{open}>\n<summary>{title}</summary>\n\n{body}</details>\n\n")
}

/// Writes a cluster, or nothing when it would take more than what is left.
fn cluster(cluster: &ClusterView, opened: bool, left: usize) -> Option<String> {
    let mut fence = Fence::new("diff");
    if cluster.ids.len() > 1 {
        fence.line(&format!("# {}", named(&cluster.ids, NAMED)));
    }
    let mut taken = 0;
    for row in &cluster.rows {
        self::row(&mut fence, row);
        // A row has as many characters as it has, however many bytes: this only ends early what is far too long.
        taken += fence.lines.last().map_or(0, |line| line.chars().count());
        if taken > left {
            return None;
        }
    }
    let text = details(opened, &summary(cluster), &fence);
    (length(&text) <= left).then_some(text)
}

/// `~ 9,987 devices desired.power_level 1 → 2 edit`
fn summary(cluster: &ClusterView) -> String {
    let ClusterView { sign, who, remark, rows, .. } = cluster;
    let mut title = format!("{} ", sign.text());
    title += &match cluster.ids.len() {
        1 => html_code(who),
        _ => format!("<b>{who}</b>"),
    };
    match rows.as_slice() {
        [row] if remark.is_empty() => {
            let value = row.value_within(SUMMARY);
            _ = write!(title, " {} {}", html_code(&row.path), html_code(&value));
            if let Some(verdict) = row.verdict() {
                _ = write!(title, " {verdict}");
            }
        }
        rows => {
            if !remark.is_empty() {
                _ = write!(title, " {remark}");
            }
            if !rows.is_empty() {
                let kinds: std::collections::BTreeSet<_> =
                    rows.iter().filter_map(RowView::verdict).map(Verdict::label).collect();
                let kinds = kinds.into_iter().collect::<Vec<_>>().join(", ");
                let colon = if kinds.is_empty() { "" } else { ": " };
                _ = write!(title, " · {}{colon}{kinds}", counted(rows.len(), "path"));
            }
        }
    }
    title
}

fn row(fence: &mut Fence, row: &RowView) {
    let verdict = row.verdict().map(|verdict| format!("  {verdict}")).unwrap_or_default();
    let origin = if row.origin.is_empty() { String::new() } else { format!("  {}", row.origin) };
    let Some((before, after)) = row.sides() else {
        let sign = match row.sign {
            ChangeSign::Add => "+",
            ChangeSign::Remove => "-",
            ChangeSign::Stop => "!",
            ChangeSign::Change | ChangeSign::Keep | ChangeSign::Pass => " ",
        };
        let value = row.value();
        let value = value::cut(&value, VALUE);
        return fence.line(&format!("{sign} {}  {value}{verdict}{origin}", row.path));
    };
    fence.line(&format!("  {}{verdict}{origin}", row.path));
    if before.pretty() == before.line() && after.pretty() == after.line() {
        let (before, after) = value::differences(before.line(), after.line(), VALUE, Palette::PLAIN);
        fence.line(&format!("- {before}"));
        return fence.line(&format!("+ {after}"));
    }
    let lines = value::line_differences(before.pretty(), after.pretty());
    for (mark, line) in lines.iter().take(LINES) {
        let sign = match mark {
            Mark::Same | Mark::Gap => " ",
            Mark::Removed => "-",
            Mark::Added => "+",
        };
        fence.line(&format!("{sign} {}", value::cut(line, VALUE)));
    }
    if lines.len() > LINES {
        fence.line(&format!("  … and {} more", counted(lines.len() - LINES, "line")));
    }
}

/// Fills a fence with items, whole ones, up to so many characters.
fn fill(items: impl ExactSizeIterator<Item = Vec<String>>, most: usize, noun: &str) -> Fence {
    let mut fence = Fence::new("diff");
    let mut left = most.saturating_sub(NOTE);
    let mut cut = 0;
    for item in items {
        let taken: usize = item.iter().map(|line| length(line) + 1).sum();
        if cut > 0 || taken > left {
            cut += 1;
            continue;
        }
        left -= taken;
        item.iter().for_each(|line| fence.line(line));
    }
    if cut > 0 {
        fence.line(&format!("# … and {} more", counted(cut, noun)));
    }
    fence
}

fn checks(out: &mut String, view: &PlanView<'_>, most: usize) {
    if view.checks.is_empty() {
        return;
    }
    // Those that somebody should look at come first: what is cut is the end.
    let mut checks: Vec<&CheckView> = view.checks.iter().collect();
    checks.sort_by_key(|check| check.foreseen);
    let fence = fill(checks.into_iter().map(check), most, "check");
    let failing = view.checks.iter().any(|check| check.foreseen == Foreseen::WillFail);
    *out += &details(failing, &format!("<b>Checks after this plan</b>: {}", view.foreseen_line()), &fence);
}

fn check(check: &CheckView) -> Vec<String> {
    let CheckView { foreseen, severity, name, query, said, details, devices } = check;
    let sign = match (foreseen, severity) {
        (Foreseen::WillHold, _) => "+",
        (Foreseen::WillFail, Severity::Error) => "-",
        _ => "!",
    };
    let only = if *foreseen == Foreseen::WillFail && *severity == Severity::Warn { " (a warning)" } else { "" };
    let colon = if said.is_empty() { "" } else { ": " };
    let cut = |text: &str| value::cut(text, VALUE).into_owned();
    let mut lines = vec![format!("{sign} {}  {}{only}{colon}{}", cut(name), foreseen.label(), cut(said))];
    lines.extend(details.iter().take(LINES).map(|detail| format!("    {}", cut(detail))));
    if details.len() > LINES {
        lines.push(format!("    … and {} more", counted(details.len() - LINES, "row")));
    }
    if !devices.is_empty() {
        lines.push(format!("    {}", named(devices, NAMED)));
    }
    if *foreseen != Foreseen::WillHold {
        lines.push(format!("    {}", cut(query)));
    }
    lines
}

fn writers(out: &mut String, writers: &[WriterView], most: usize) {
    if writers.is_empty() {
        return;
    }
    let items = writers.iter().map(|WriterView { fights, kind, name, said, paths, twins }| {
        let sign = if *fights { "!" } else { " " };
        let mut lines = vec![format!("{sign} {kind} {}  {}", value::cut(name, VALUE), value::cut(said, VALUE))];
        if !twins.is_empty() {
            lines.push(format!("    {}", named(twins, NAMED)));
        }
        lines.extend(paths.iter().take(LINES).map(|(path, said)| format!("    {path}  {}", value::cut(said, VALUE))));
        if paths.len() > LINES {
            lines.push(format!("    … and {} more", counted(paths.len() - LINES, "path")));
        }
        lines
    });
    let fights = writers.iter().filter(|writer| writer.fights).count();
    let others = if fights == 0 {
        "nobody to the same paths".to_owned()
    } else {
        format!("{} to the same paths", grouped(fights))
    };
    *out += &details(fights > 0, &format!("<b>Who else writes here</b>: {others}"), &fill(items, most, "writer"));
}

fn selections(out: &mut String, selections: &[SelectionView], most: usize) {
    if selections.is_empty() {
        return;
    }
    let items = selections.iter().map(|SelectionView { name, condition, ids, origin }| {
        let count = counted(ids.len(), "device");
        let mut lines =
            vec![format!("  {}  {count}  {}  {origin}", value::cut(name, VALUE), value::cut(condition, VALUE))];
        if !ids.is_empty() {
            lines.push(format!("    {}", named(ids, NAMED)));
        }
        lines
    });
    let title = format!("<b>Selected by query</b>: {}", counted(selections.len(), "selector"));
    *out += &details(false, &title, &fill(items, most, "selector"));
}

fn cost(out: &mut String, cost: Option<&CostView>) {
    let Some(CostView { tier, read, apply, notifications }) = cost else { return };
    let mut fence = Fence::new("text");
    fence.line(&format!("to read   {}", read.line()));
    if let Some(apply) = apply {
        fence.line(&format!("to apply  {}", apply.line()));
    }
    if let Some(notifications) = notifications {
        fence.line(notifications);
    }
    let time = apply.as_ref().map(|spent| format!(" {} to apply", spent.time)).unwrap_or_default();
    *out += &details(false, &format!("<b>Cost</b>:{time} under {}", html_code(&value::cut(tier, VALUE))), &fence);
}

#[cfg(test)]
mod tests;
