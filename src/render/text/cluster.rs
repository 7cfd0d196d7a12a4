//! Twins and their paths, aligned.

use std::fmt::Write;

use super::options::TextOptions;
use crate::plan::Verdict;
use crate::render::number::grouped;
use crate::render::style::{Painted, Palette};
use crate::render::value;
use crate::render::view::{ChangeSign, ClusterView, RedactedValue, RowView, named};

/// The longest twin's id, path and value that others are aligned to.
const ALIGNED: [usize; 3] = [32, 44, 40];
/// The least that is shown of a value, however narrow the terminal.
const LEAST: usize = 24;

/// Writes clusters, those of one path under each other.
pub(super) fn write(out: &mut String, blocks: &[Block<'_>], options: TextOptions) {
    let one_liners: Vec<&ClusterRow<'_>> =
        blocks.iter().filter(|block| block.on_one_line()).map(|block| &block.rows[0]).collect();
    let who = blocks.iter().filter(|block| block.on_one_line()).map(|block| value::width(&block.cluster.who));
    let who = who.filter(|&width| width <= ALIGNED[0]).max().unwrap_or(0);
    let mut shared = ColumnWidths::of(&one_liners);
    // Where every path says the same as its twin, once is enough.
    shared.signs = blocks.iter().any(|block| block.on_one_line() && block.rows[0].row.sign != block.cluster.sign);
    for block in blocks {
        block.write(out, who, shared, options);
    }
}

pub(super) fn paint(sign: ChangeSign, palette: Palette) -> Painted<&'static str> {
    let text = sign.text();
    match sign {
        ChangeSign::Add => palette.added(text),
        ChangeSign::Change => palette.changed(text),
        ChangeSign::Remove => palette.removed(text),
        ChangeSign::Keep | ChangeSign::Pass => palette.aside(text),
        ChangeSign::Stop => palette.error(text),
    }
}

/// One cluster on its way to text.
pub(super) struct Block<'v> {
    cluster: &'v ClusterView,
    rows: Vec<ClusterRow<'v>>,
    names: Option<String>,
}

/// One path of a cluster, with what it is and will be on one line; shown in two when there is no room.
struct ClusterRow<'v> {
    row: &'v RowView,
    value: String,
}

/// How wide the columns of some rows are.
#[derive(Clone, Copy)]
struct ColumnWidths {
    signs: bool,
    path: usize,
    value: usize,
    verdict: usize,
}

impl ColumnWidths {
    fn of(rows: &[&ClusterRow<'_>]) -> Self {
        let widest = |most: usize, width: &dyn Fn(&ClusterRow<'_>) -> usize| {
            rows.iter().map(|row| width(row)).filter(|&width| width <= most).max().unwrap_or(0)
        };
        Self {
            signs: true,
            path: widest(ALIGNED[1], &|row| value::width(&row.row.path)),
            value: widest(ALIGNED[2], &|row| value::width(&row.value)),
            verdict: widest(usize::MAX, &|row| row.row.verdict().map_or(0, |verdict| verdict.label().len())),
        }
    }
}

impl<'v> Block<'v> {
    pub(super) fn of(cluster: &'v ClusterView, options: TextOptions) -> Self {
        let rows = cluster.rows.iter().map(|row| ClusterRow { row, value: row.value() }).collect();
        // A single twin is named already.
        let names = (cluster.ids.len() > 1).then(|| named(&cluster.ids, options.named()));
        Self { cluster, rows, names }
    }

    /// One path is said beside the twins, several under them.
    fn on_one_line(&self) -> bool {
        self.rows.len() == 1 && self.cluster.remark.is_empty() && self.rows[0].row.verdict().is_some()
    }

    fn write(&self, out: &mut String, who: usize, shared: ColumnWidths, options: TextOptions) {
        let palette = options.palette;
        let ClusterView { sign, who: name, remark, .. } = self.cluster;
        let sign = paint(*sign, palette);
        if self.on_one_line() {
            let lead = format!("{sign} {}  ", palette.twin(format!("{name:<who$}")));
            self.rows[0].write(out, &lead, 4 + value::width(name).max(who), shared, options);
        } else {
            let mut line = format!("{sign} {}", palette.twin(name));
            if !remark.is_empty() {
                _ = write!(line, "  {remark}");
            }
            _ = writeln!(out, "{line}");
        }
        if let Some(names) = &self.names {
            _ = writeln!(out, "    {}", palette.aside(names));
        }
        if !self.on_one_line() {
            let columns = ColumnWidths::of(&self.rows.iter().collect::<Vec<_>>());
            for row in &self.rows {
                row.write(out, "    ", 4, columns, options);
            }
        }
    }
}

impl ClusterRow<'_> {
    /// Writes the row after `lead`, which is so many characters wide.
    fn write(&self, out: &mut String, lead: &str, lead_width: usize, columns: ColumnWidths, options: TextOptions) {
        let palette = options.palette;
        let Self { row, value } = self;
        let path = format!("{:<width$}", row.path, width = columns.path);
        let verdict = row.verdict().map_or("", Verdict::label);
        let after = 2 + columns.verdict.max(verdict.len()) + 2 + value::width(&row.origin);
        let sign = if columns.signs { format!("{} ", paint(row.sign, palette)) } else { String::new() };
        let before = lead_width + if columns.signs { 2 } else { 0 } + value::width(&path) + 2;
        let room = options.width.saturating_sub(before + after).max(LEAST);
        let fits = options.full || row.verdict().is_none() || value::width(value) <= room;
        // A value of two sides that does not fit is shown side under side.
        let (shown, below) = match row.sides() {
            Some(sides) if value::width(value) > room => (String::new(), Some(sides)),
            _ if fits => (value.clone(), None),
            _ => (shorten(value, room), None),
        };
        let shown = format!("{shown:<width$}", width = columns.value);
        let mut line = format!("{lead}{sign}{}  {shown}", palette.path(path));
        if !verdict.is_empty() {
            let word = format!("{verdict:<width$}", width = columns.verdict);
            let word = match row.verdict() {
                Some(Verdict::Drift | Verdict::EditOverDrift | Verdict::RemovedOverDrift | Verdict::Overwrite) => {
                    palette.drift(word).to_string()
                }
                _ => word,
            };
            _ = write!(line, "  {word}");
        }
        if !row.origin.is_empty() {
            _ = write!(line, "  {}", palette.origin(&row.origin));
        }
        out.push_str(line.trim_end());
        out.push('\n');
        if let Some((before, after)) = below {
            sides(out, before, after, options);
        }
    }
}

/// Writes both sides of a change, one under the other, with what differs between them painted.
fn sides(out: &mut String, before: &RedactedValue, after: &RedactedValue, options: TextOptions) {
    let palette = options.palette;
    let most = if options.full { usize::MAX } else { options.width.saturating_sub(10).max(LEAST) };
    let (before, after) = value::differences(before.line(), after.line(), most, palette);
    _ = writeln!(out, "        {} {before}\n        {} {after}", palette.removed("-"), palette.added("+"));
}

/// Cuts a value, and says how long it is.
fn shorten(text: &str, room: usize) -> String {
    let note = format!(" ({} characters)", grouped(value::width(text)));
    format!("{}{note}", value::cut(text, room.saturating_sub(note.len()).max(LEAST / 2)))
}
