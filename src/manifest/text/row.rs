//! One row of a table, and where it stands.

use std::ops::Range;
use std::sync::Arc;

use iothub_model::diagnostic::{Diagnostic, Source, Span};
use serde_json::Value;

/// Bytes of one row, at most: a device has less than 48 KB in its twin.
pub(crate) const ROW_MAX_BYTES: usize = 1024 * 1024;

/// One row, and where it stands.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) table: Arc<str>,
    /// The line of its first character, from 1.
    pub(crate) line: u32,
    /// As it is written, without what ends it.
    pub(crate) text: String,
    pub(crate) cells: Cells,
    /// Messages may show the row: it has one of the columns that the manifest asks for. Any other text may be that of another file, which a
    /// link leads to.
    pub(crate) is_quotable: bool,
}

#[derive(Debug)]
pub(crate) enum Cells {
    /// By the head's columns; what parts the cells.
    Csv { columns: Arc<[String]>, cells: csv::StringRecord, separator: u8 },
    /// Each with its place in the text.
    Json(Vec<(String, Value, Range<usize>)>),
}

/// What a row has in a column.
pub(crate) enum Cell<'r> {
    Text(&'r str),
    Json(&'r Value),
}

impl Row {
    /// Returns what is in a column.
    pub(crate) fn cell(&self, column: &str) -> Option<Cell<'_>> {
        match &self.cells {
            Cells::Csv { columns, cells, .. } => {
                let index = columns.iter().position(|name| name == column)?;
                cells.get(index).map(Cell::Text)
            }
            Cells::Json(members) => {
                members.iter().find(|(name, ..)| name == column).map(|(_, value, _)| Cell::Json(value))
            }
        }
    }

    /// Says whether its cells are texts, whatever they look like.
    pub(crate) fn is_csv(&self) -> bool {
        matches!(self.cells, Cells::Csv { .. })
    }

    /// Returns the names of the columns.
    pub(crate) fn columns(&self) -> Vec<&str> {
        match &self.cells {
            Cells::Csv { columns, .. } => columns.iter().map(String::as_str).collect(),
            Cells::Json(members) => members.iter().map(|(name, ..)| name.as_str()).collect(),
        }
    }

    /// Returns the cells that are texts, with their columns.
    pub(crate) fn texts(&self) -> Vec<(&str, &str)> {
        match &self.cells {
            Cells::Csv { columns, cells, .. } => columns.iter().map(String::as_str).zip(cells.iter()).collect(),
            Cells::Json(members) => {
                members.iter().filter_map(|(name, value, _)| Some((name.as_str(), value.as_str()?))).collect()
            }
        }
    }

    /// Lets messages show the row, if it has one of these columns.
    pub(crate) fn quotable_with(self, wanted: &[String]) -> Self {
        let is_quotable = self.columns().iter().any(|column| wanted.iter().any(|wanted| wanted == column));
        Self { is_quotable, ..self }
    }

    /// Points at what is in a column, or at the row where there is no such column.
    pub(crate) fn at(&self, diagnostic: Diagnostic, column: Option<&str>, label: impl Into<String>) -> Diagnostic {
        if !self.is_quotable {
            let indented = self.text.chars().take_while(|c| *c == ' ').count();
            return unquoted(&self.table, self.line as usize, indented + 1, diagnostic, label);
        }
        let source = Source::excerpt(&*self.table, self.text.as_str(), self.line as usize);
        let whole = || {
            let indented = self.text.len() - self.text.trim_start().len();
            let end = self.text[indented..].find(['\n', '\r']).map_or(self.text.len(), |end| indented + end);
            indented..end
        };
        let place = column.and_then(|column| self.place(column)).unwrap_or_else(whole);
        diagnostic.at(&source, Span::new(place.start, place.end), label)
    }

    fn place(&self, column: &str) -> Option<Range<usize>> {
        match &self.cells {
            Cells::Csv { columns, separator, .. } => {
                let index = columns.iter().position(|name| name == column)?;
                csv_places(&self.text, *separator).0.get(index).cloned()
            }
            Cells::Json(members) => members.iter().find(|(name, ..)| name == column).map(|(.., place)| place.clone()),
        }
    }
}

/// Columns of a place that is shown without its text, at most.
const COLUMN_MAX: usize = 1000;

/// Points at a place, without its text.
pub(crate) fn unquoted(
    name: &str,
    line: usize,
    column: usize,
    diagnostic: Diagnostic,
    label: impl Into<String>,
) -> Diagnostic {
    let column = column.clamp(1, COLUMN_MAX);
    let source = Source::excerpt(name, " ".repeat(column), line);
    diagnostic.at(&source, Span::new(column - 1, column - 1), label)
}

/// Finds the cells of a csv row in its text, and says whether the last quote is closed.
pub(crate) fn csv_places(text: &str, separator: u8) -> (Vec<Range<usize>>, bool) {
    let bytes = text.as_bytes();
    let (mut places, mut start, mut closed) = (Vec::new(), 0, true);
    loop {
        let mut at = start;
        if bytes.get(at) == Some(&b'"') {
            closed = false;
            at += 1;
            while at < bytes.len() {
                match (bytes[at], bytes.get(at + 1)) {
                    (b'"', Some(b'"')) => at += 2,
                    (b'"', _) => {
                        closed = true;
                        at += 1;
                        break;
                    }
                    _ => at += 1,
                }
            }
        }
        let end = bytes[at..].iter().position(|&byte| byte == separator).map(|separator| at + separator);
        places.push(start..end.unwrap_or(bytes.len()));
        match end {
            Some(end) => start = end + 1,
            None => return (places, closed),
        }
    }
}

/// Why there is no next row.
pub(crate) struct Bad {
    pub(crate) diagnostic: Diagnostic,
    /// Whether the rows after it can be read.
    pub(crate) recoverable: bool,
}

impl Bad {
    pub(crate) fn fatal(diagnostic: Diagnostic) -> Self {
        Self { diagnostic, recoverable: false }
    }
}
