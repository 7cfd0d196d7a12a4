//! A plan as people see it: twins whose changes are the same once, a sign and a word for each path, counts at the end.
//!
//! The sign says what happens to a path, the word how it came about; colour only repeats them. Equal plans give equal bytes.

use std::fmt::Write;

use super::number::{counted, grouped};
use super::style::{Painted, Palette};
use super::{escape, value};
use crate::plan::{Action, Change, Cluster, Conflict, Plan, ReadBy, Summary, Taken, Verdict};
use crate::twin::TwinId;

/// How a plan is shown.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The colours.
    pub palette: Palette,
    /// How many characters a line has.
    pub width: usize,
    /// Name every twin and cut no value.
    pub full: bool,
}

/// How many twins of a cluster are named.
const NAMED: usize = 3;
/// The longest twin's id, path and value that others are aligned to.
const ALIGNED: [usize; 3] = [32, 44, 40];
/// The least that is shown of a value, however narrow the terminal.
const LEAST: usize = 24;

/// Writes a plan.
pub fn plan(plan: &Plan, options: Options) -> String {
    let palette = options.palette;
    let mut out = String::new();
    let summary = plan.summary();
    let clusters = plan.clusters();
    _ = write!(out, "{} {} on {}", palette.title("Fleet"), palette.title(&plan.fleet), palette.title(&plan.hub));
    if !plan.revision.is_empty() {
        _ = write!(out, "  {}", palette.aside(format!("revision {}", escape::line(&plan.revision))));
    }
    out.push_str("\n\n");
    if clusters.is_empty() {
        let (count, read) = (summary.unchanged, read_by(plan.read));
        let are = if count == 1 { "is" } else { "are" };
        _ = writeln!(out, "{} {} {are} as declared ({read})", palette.good("No changes:"), counted(count, "twin"));
        return out;
    }
    write_clusters(&mut out, &clusters, options);
    out.push('\n');
    hints(&mut out, &clusters, palette);
    counts(&mut out, plan, &summary, palette);
    if !options.full && clusters.iter().any(|cluster| cluster.ids.len() > NAMED + 1) {
        _ = writeln!(out, "      {}", palette.aside("--full names every twin, --format json has every value"));
    }
    out
}

/// Writes clusters, aligned with each other.
pub(super) fn write_clusters(out: &mut String, clusters: &[Cluster<'_>], options: Options) {
    let blocks: Vec<Block> = clusters.iter().map(|cluster| Block::of(cluster, options)).collect();
    let one_liners: Vec<&Row> = blocks.iter().filter(|block| block.on_one_line()).map(|block| &block.rows[0]).collect();
    let who = blocks.iter().filter(|block| block.on_one_line()).map(|block| value::width(&block.who));
    let who = who.filter(|&width| width <= ALIGNED[0]).max().unwrap_or(0);
    let mut shared = Columns::of(&one_liners);
    // Where every path says the same as its twin, once is enough.
    shared.signs = blocks.iter().any(|block| block.on_one_line() && block.rows[0].sign != block.sign);
    for block in &blocks {
        block.write(out, who, shared, options);
    }
}

/// What happens, as a sign that reads without colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    Add,
    Change,
    Remove,
    Keep,
    Stop,
    Pass,
}

impl Sign {
    fn paint(self, palette: Palette) -> Painted<&'static str> {
        match self {
            Self::Add => palette.added("+"),
            Self::Change => palette.changed("~"),
            Self::Remove => palette.removed("-"),
            Self::Keep => palette.aside("="),
            Self::Stop => palette.error("!"),
            Self::Pass => palette.aside("."),
        }
    }

    fn of(change: &Change) -> Self {
        match (&change.before, &change.after) {
            _ if !change.verdict.touches_value() => Self::Keep,
            (None, _) => Self::Add,
            (Some(_), None) => Self::Remove,
            (Some(_), Some(_)) => Self::Change,
        }
    }
}

/// One cluster on its way to text.
struct Block {
    sign: Sign,
    who: String,
    /// What is to be said of all of them, beside the paths.
    remark: &'static str,
    rows: Vec<Row>,
    names: Option<String>,
}

/// One path of a cluster.
struct Row {
    sign: Sign,
    path: String,
    /// What it is and will be, on one line; shown in two when there is no room.
    value: String,
    /// Both sides, when there are both.
    sides: Option<(String, String)>,
    verdict: Option<Verdict>,
    origin: String,
}

/// How wide the columns of some rows are.
#[derive(Clone, Copy)]
struct Columns {
    signs: bool,
    path: usize,
    value: usize,
    verdict: usize,
}

impl Columns {
    fn of(rows: &[&Row]) -> Self {
        let widest = |most: usize, width: &dyn Fn(&Row) -> usize| {
            rows.iter().map(|row| width(row)).filter(|&width| width <= most).max().unwrap_or(0)
        };
        Self {
            signs: true,
            path: widest(ALIGNED[1], &|row| value::width(&row.path)),
            value: widest(ALIGNED[2], &|row| value::width(&row.value)),
            verdict: widest(usize::MAX, &|row| row.verdict.map_or(0, |verdict| verdict.label().len())),
        }
    }
}

impl Block {
    fn of(cluster: &Cluster<'_>, options: Options) -> Self {
        let mut rows: Vec<Row> = cluster.conflicts.iter().map(Row::of_conflict).collect();
        rows.extend(cluster.taken.iter().map(Row::of_taken));
        rows.extend(cluster.changes.iter().map(Row::of_change));
        let adopts = !rows.is_empty() && rows.iter().all(|row| row.sign == Sign::Keep);
        let (sign, remark) = match cluster.action {
            _ if !cluster.conflicts.is_empty() => (Sign::Stop, ""),
            Action::Update if rows.is_empty() => (Sign::Keep, "only the ownership record"),
            Action::Update if adopts => (Sign::Keep, ""),
            Action::Update => (Sign::Change, ""),
            Action::Register => (Sign::Add, "to be registered"),
            Action::Release => (Sign::Remove, "left the manifest; the identity stays"),
            Action::Missing => (Sign::Stop, "not on the hub"),
            Action::Skip => (Sign::Pass, "not on the hub, left out"),
        };
        Self { sign, who: who(&cluster.ids), remark, rows, names: names(&cluster.ids, options) }
    }

    /// One path is said beside the twins, several under them.
    fn on_one_line(&self) -> bool {
        self.rows.len() == 1 && self.remark.is_empty() && self.rows[0].verdict.is_some()
    }

    fn write(&self, out: &mut String, who: usize, shared: Columns, options: Options) {
        let palette = options.palette;
        if self.on_one_line() {
            let row = &self.rows[0];
            let lead = format!("{} {}  ", self.sign.paint(palette), palette.twin(format!("{:<who$}", self.who)));
            row.write(out, &lead, 4 + value::width(&self.who).max(who), shared, options);
        } else {
            let mut line = format!("{} {}", self.sign.paint(palette), palette.twin(&self.who));
            if !self.remark.is_empty() {
                _ = write!(line, "  {}", self.remark);
            }
            _ = writeln!(out, "{line}");
        }
        if let Some(names) = &self.names {
            _ = writeln!(out, "    {}", palette.aside(names));
        }
        if !self.on_one_line() {
            let columns = Columns::of(&self.rows.iter().collect::<Vec<_>>());
            for row in &self.rows {
                row.write(out, "    ", 4, columns, options);
            }
        }
    }
}

impl Row {
    fn of_change(change: &Change) -> Self {
        let sides = match (&change.before, &change.after) {
            (Some(before), Some(after)) if change.verdict.touches_value() => {
                Some((escape::json(before), escape::json(after)))
            }
            _ => None,
        };
        let value = match &sides {
            Some((before, after)) => format!("{before} → {after}"),
            None => value::inline(change.after.as_ref().or(change.before.as_ref())),
        };
        Self {
            sign: Sign::of(change),
            path: escape::line(change.path.as_str()).into_owned(),
            value,
            sides,
            verdict: Some(change.verdict),
            origin: origin(change.origin.as_ref()),
        }
    }

    fn of_taken(taken: &Taken) -> Self {
        Self::said(Sign::Keep, taken.path.as_str(), format!("taken over from fleet {}", taken.fleet), None)
    }

    fn of_conflict(conflict: &Conflict) -> Self {
        match conflict {
            Conflict::OwnedByOther { path, owned, fleet, revision, origin } => {
                let at = if revision.is_empty() { String::new() } else { format!(" (revision {revision})") };
                let under = if owned == path { String::new() } else { format!(" as {owned}") };
                Self::said(Sign::Stop, path.as_str(), format!("owned by fleet {fleet}{under}{at}"), origin.as_ref())
            }
            Conflict::WouldDestroy { path, leaves, origin } => {
                let named: Vec<_> = leaves.iter().take(NAMED).map(ToString::to_string).collect();
                let more = and_more(leaves.len() - named.len());
                let said = format!("would remove {}{more}, not owned by this fleet", named.join(", "));
                Self::said(Sign::Stop, path.as_str(), said, origin.as_ref())
            }
            Conflict::Record { problem } => Self::said(Sign::Stop, "tags.twinctl", problem.clone(), None),
            Conflict::Limit { problem } => Self::said(Sign::Stop, "limit", problem.clone(), None),
        }
    }

    fn said(sign: Sign, path: &str, value: String, from: Option<&crate::manifest::Origin>) -> Self {
        Self {
            sign,
            path: escape::line(path).into_owned(),
            value: escape::line(&value).into_owned(),
            sides: None,
            verdict: None,
            origin: origin(from),
        }
    }

    /// Writes the row after `lead`, which is so many characters wide.
    fn write(&self, out: &mut String, lead: &str, lead_width: usize, columns: Columns, options: Options) {
        let palette = options.palette;
        let path = format!("{:<width$}", self.path, width = columns.path);
        let verdict = self.verdict.map_or("", Verdict::label);
        let after = 2 + columns.verdict.max(verdict.len()) + 2 + value::width(&self.origin);
        let sign = if columns.signs { format!("{} ", self.sign.paint(palette)) } else { String::new() };
        let before = lead_width + if columns.signs { 2 } else { 0 } + value::width(&path) + 2;
        let room = options.width.saturating_sub(before + after).max(LEAST);
        let fits = options.full || self.verdict.is_none() || value::width(&self.value) <= room;
        // A value of two sides that does not fit is shown side under side.
        let (shown, below) = match &self.sides {
            Some(sides) if value::width(&self.value) > room => (String::new(), Some(sides)),
            _ if fits => (self.value.clone(), None),
            _ => (shorten(&self.value, room), None),
        };
        let shown = format!("{shown:<width$}", width = columns.value);
        let mut line = format!("{lead}{sign}{}  {shown}", palette.path(path));
        if !verdict.is_empty() {
            let word = format!("{verdict:<width$}", width = columns.verdict);
            let word = match self.verdict {
                Some(Verdict::Drift | Verdict::EditOverDrift | Verdict::RemovedOverDrift | Verdict::Overwrite) => {
                    palette.drift(word).to_string()
                }
                _ => word,
            };
            _ = write!(line, "  {word}");
        }
        if !self.origin.is_empty() {
            _ = write!(line, "  {}", palette.origin(&self.origin));
        }
        out.push_str(line.trim_end());
        out.push('\n');
        if let Some((before, after)) = below {
            let most = if options.full { usize::MAX } else { options.width.saturating_sub(10).max(LEAST) };
            let (before, after) = value::differences(before, after, most, palette);
            _ = writeln!(out, "        {} {before}\n        {} {after}", palette.removed("-"), palette.added("+"));
        }
    }
}

fn origin(origin: Option<&crate::manifest::Origin>) -> String {
    origin.map(|origin| escape::line(&origin.to_string()).into_owned()).unwrap_or_default()
}

/// Says in a line what stands in the way of a twin.
pub(super) fn conflict_line(conflict: &Conflict) -> String {
    let row = Row::of_conflict(conflict);
    format!("{}  {}  {}", row.path, row.value, row.origin).trim_end().to_owned()
}

/// Cuts a value, and says how long it is.
fn shorten(text: &str, room: usize) -> String {
    let note = format!(" ({} characters)", grouped(value::width(text)));
    format!("{}{note}", value::cut(text, room.saturating_sub(note.len()).max(LEAST / 2)))
}

/// `thermostat-001`, or `9,987 devices`.
fn who(ids: &[&TwinId]) -> String {
    match ids {
        [one] => one.to_string(),
        _ => counted(ids.len(), TwinId::kind_of_all(ids.iter().copied())),
    }
}

/// A few names and how many more; all of them when asked for. Nothing for a single twin, which is named already.
fn names(ids: &[&TwinId], options: Options) -> Option<String> {
    if ids.len() == 1 {
        return None;
    }
    // One more than a few is not worth the words "and 1 more".
    let named = if options.full || ids.len() <= NAMED + 1 { ids.len() } else { NAMED };
    let listed: Vec<_> = ids[..named].iter().map(ToString::to_string).collect();
    Some(listed.join(", ") + &and_more(ids.len() - named))
}

fn and_more(count: usize) -> String {
    if count == 0 { String::new() } else { format!(" and {} more", grouped(count)) }
}

/// What to do about what stands in the way, once for each kind.
fn hints(out: &mut String, clusters: &[Cluster<'_>], palette: Palette) {
    let conflicts = || clusters.iter().flat_map(|cluster| cluster.conflicts);
    let mut said = false;
    for (applies, hint) in [
        (
            conflicts().any(|conflict| matches!(conflict, Conflict::OwnedByOther { .. })),
            "remove the path from one of the two manifests, or take it over with --take-ownership",
        ),
        (
            conflicts().any(|conflict| matches!(conflict, Conflict::WouldDestroy { .. })),
            "declare what stands under the path (null for what is to go), or do not declare the path",
        ),
        (
            conflicts().any(|conflict| matches!(conflict, Conflict::Record { .. })),
            "a record that a newer twinctl wrote needs that version; a damaged one is removed by hand, and then everything \
             is adopted anew",
        ),
        (
            clusters.iter().any(|cluster| cluster.action == Action::Missing),
            "register what is missing, or let the manifest say `missing: register` or `missing: skip`",
        ),
    ] {
        if applies {
            _ = writeln!(out, "{} {hint}", palette.hint("hint:"));
            said = true;
        }
    }
    if said {
        out.push('\n');
    }
}

fn counts(out: &mut String, plan: &Plan, summary: &Summary, palette: Palette) {
    let mut parts = Vec::new();
    for (action, words) in [
        (Action::Update, "to change"),
        (Action::Register, "to register"),
        (Action::Release, "to release"),
        (Action::Missing, "missing"),
        (Action::Skip, "left out"),
    ] {
        if let Some(&count) = summary.twins.get(&action) {
            parts.push((count, words));
        }
    }
    if summary.conflicting_twins > 0 {
        parts.push((summary.conflicting_twins, "in conflict"));
    }
    let parts: Vec<_> = parts
        .into_iter()
        .enumerate()
        .map(|(index, (count, words))| match index {
            0 => format!("{} {words}", counted(count, "twin")),
            _ => format!("{} {words}", grouped(count)),
        })
        .collect();
    let unchanged = match summary.unchanged {
        0 => "none as declared yet".to_owned(),
        count => format!("{} as declared", grouped(count)),
    };
    _ = writeln!(out, "{} {}; {unchanged} ({})", palette.title("Plan:"), parts.join(", "), read_by(plan.read));
    let changes: Vec<_> =
        summary.changes.iter().map(|(verdict, &count)| format!("{} {verdict}", grouped(count))).collect();
    if !changes.is_empty() {
        let all = summary.changes.values().sum();
        let checks = match plan.checks.len() {
            0 => String::new(),
            checks => format!("; then {}", counted(checks, "check")),
        };
        _ = writeln!(out, "      {}: {}{checks}", counted(all, "path"), changes.join(", "));
    }
}

/// How fresh what is shown is.
pub(super) fn read_by(read: ReadBy) -> &'static str {
    match read {
        ReadBy::Get => "read by GET",
        ReadBy::Query => "read by query, which may lag by minutes",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::render::samples::{self, change, snapshot};

    fn shown(twins: Vec<crate::plan::TwinPlan>) -> String {
        text(&samples::plan(twins), 100)
    }

    fn text(of: &Plan, width: usize) -> String {
        plan(of, Options { palette: Palette::PLAIN, width, full: false })
    }

    #[test]
    fn one_device() {
        let edit = change("desired.power_level", Verdict::Edit, Some(json!(1)), Some(json!(2)));
        snapshot("plan-one", &shown(vec![samples::update("thermostat-001", vec![edit])]));
    }

    #[test]
    fn three_devices_with_different_changes() {
        let twins = vec![
            samples::update(
                "gateway-01",
                vec![
                    change("tags.location.plant", Verdict::New, None, Some(json!("Redmond43"))),
                    change("desired.telemetry.intervalSeconds", Verdict::Overwrite, Some(json!(30)), Some(json!(60))),
                    change("desired.fan", Verdict::Removed, Some(json!(true)), None),
                ],
            ),
            samples::update(
                "thermostat-001",
                vec![change("desired.power_level", Verdict::Drift, Some(json!(3)), Some(json!(1)))],
            ),
            samples::update(
                "thermostat-002",
                vec![change("desired.power_level", Verdict::Edit, Some(json!(1)), Some(json!(3)))],
            ),
        ];
        snapshot("plan-three", &shown(twins));
    }

    #[test]
    fn ten_thousand_and_a_few() {
        snapshot("plan-many", &shown(samples::fleet()));
    }

    #[test]
    fn everything_that_can_stand_in_a_plan() {
        snapshot("plan-all", &shown(samples::everything()));
        let all = Options { palette: Palette::PLAIN, width: 100, full: true };
        snapshot("plan-all-full", &plan(&samples::plan(samples::everything()), all));
        let coloured = Options { palette: Palette::new(true), width: 100, full: false };
        let painted = plan(&samples::plan(samples::everything()), coloured);
        assert_eq!(
            anstream::adapter::strip_str(&painted).to_string(),
            shown(samples::everything()),
            "colour adds nothing"
        );
    }

    #[test]
    fn nothing_to_do() {
        let mut nothing = samples::plan(Vec::new());
        assert_eq!(
            text(&nothing, 100),
            "Fleet redmond on hub.azure-devices.net  revision 3f2a91c04d11\n\n\
             No changes: 12 twins are as declared (read by GET)\n"
        );
        (nothing.unchanged, nothing.read) = (1, ReadBy::Query);
        assert!(text(&nothing, 100).ends_with("1 twin is as declared (read by query, which may lag by minutes)\n"));
    }

    #[test]
    fn lines_are_no_wider_than_the_terminal_where_values_are_cut() {
        let long = "x".repeat(4000);
        let twins = vec![
            samples::update("a", vec![change("desired.note", Verdict::New, None, Some(json!(long)))]),
            samples::update("b", vec![change("desired.note", Verdict::Edit, Some(json!("y")), Some(json!(long)))]),
        ];
        for width in [80, 100, 200] {
            for line in text(&samples::plan(twins.clone()), width).lines() {
                assert!(value::width(line) <= width, "{width}: {line}");
            }
        }
        // However narrow, there is something to see.
        assert!(text(&samples::plan(twins), 10).contains("\"xxxx"));
    }
}
