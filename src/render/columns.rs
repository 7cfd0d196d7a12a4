//! Rows of cells under each other: as wide as they need to be, painted without the paint counting.

use std::fmt::{Display, Write};

use super::value;

/// Rows that are aligned when they are written.
#[derive(Default)]
pub(super) struct Columns {
    rows: Vec<Vec<AlignedCell>>,
}

/// A text and how wide it is without its paint.
pub(super) struct AlignedCell {
    shown: String,
    width: usize,
}

impl AlignedCell {
    /// A text as it is; `painted` is the same with its colours.
    pub(super) fn new(plain: &str, painted: impl Display) -> Self {
        Self { shown: painted.to_string(), width: value::width(plain) }
    }

    /// A text without colour.
    pub(super) fn plain(text: impl Into<String>) -> Self {
        let shown = text.into();
        Self { width: value::width(&shown), shown }
    }
}

/// Wider cells than this do not push what stands beside them in other rows.
const ALIGNED: usize = 48;

impl Columns {
    /// Adds a row.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = AlignedCell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Writes all rows, each behind `indent`. A column in which no row has anything is left out.
    pub(super) fn write(&self, out: &mut String, indent: &str) {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<Option<usize>> = (0..columns)
            .map(|column| {
                let all = || self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.width);
                let widest = all().filter(|&width| width <= ALIGNED).max().unwrap_or(0);
                all().any(|width| width > 0).then_some(widest)
            })
            .collect();
        for row in &self.rows {
            let mut line = indent.to_owned();
            for (cell, width) in row.iter().zip(&widths) {
                let Some(width) = width else { continue };
                _ = write!(line, "{}{}  ", cell.shown, " ".repeat(width.saturating_sub(cell.width)));
            }
            out.push_str(line.trim_end());
            out.push('\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::style::Palette;

    #[test]
    fn cells_stand_under_each_other_whatever_their_paint() {
        let mut columns = Columns::default();
        let paint = Palette::new(true);
        columns.row([AlignedCell::plain("a"), AlignedCell::plain(""), AlignedCell::plain("x")]);
        columns.row([AlignedCell::new("bcd", paint.path("bcd")), AlignedCell::plain(""), AlignedCell::plain("y")]);
        columns.row([AlignedCell::plain("e".repeat(60)), AlignedCell::plain(""), AlignedCell::plain("")]);
        let mut out = String::new();
        columns.write(&mut out, "> ");
        assert_eq!(out, format!("> a    x\n> \u{1b}[1mbcd\u{1b}[0m  y\n> {}\n", "e".repeat(60)));
    }
}
