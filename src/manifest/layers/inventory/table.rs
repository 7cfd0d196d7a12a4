//! Rows of a table, one at a time: csv with a head, a JSON array of objects, or one JSON object a line.
//!
//! A row keeps the text that it was read from, and nothing else of the file is kept, so that a mistake can be shown and memory does not
//! follow the table's length.

use std::io::{BufReader, Read};
use std::sync::Arc;

use crate::manifest::layers::inventory::json_rows::JsonRows;
use crate::manifest::text::odd;
use crate::manifest::text::row::{Bad, Cells, ROW_MAX_BYTES, Row, csv_places};
use crate::manifest::text::source::TableText;
use crate::plural::plural;
use iothub_model::diagnostic::Diagnostic;

/// Which kind of table a file's name promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Csv,
    Json,
    JsonLines,
}

impl Format {
    /// Tells by the end of a name.
    pub(crate) fn of(name: &str) -> Option<Self> {
        let extension = name.rsplit('/').next()?.rsplit_once('.')?.1.to_ascii_lowercase();
        match extension.as_str() {
            "csv" => Some(Self::Csv),
            "json" => Some(Self::Json),
            "jsonl" | "ndjson" => Some(Self::JsonLines),
            _ => None,
        }
    }
}

/// The rows of one table.
pub(crate) enum Rows {
    Csv(Box<CsvRows>),
    Json(JsonRows),
}

impl Rows {
    /// Starts reading; of csv, the head is read. `wanted` are the columns that the manifest asks for.
    pub(crate) fn start(format: Format, table: TableText, wanted: Vec<String>) -> Result<Self, Bad> {
        Ok(match format {
            Format::Csv => Self::Csv(Box::new(CsvRows::start(table, &wanted)?)),
            Format::Json => Self::Json(JsonRows::new(table, true, wanted)),
            Format::JsonLines => Self::Json(JsonRows::new(table, false, wanted)),
        })
    }

    pub(crate) fn next(&mut self) -> Option<Result<Row, Bad>> {
        match self {
            Self::Csv(rows) => rows.next(),
            Self::Json(rows) => rows.next(),
        }
    }

    /// Returns the head, where there is one.
    pub(crate) fn head(&self) -> Option<&Row> {
        match self {
            Self::Csv(rows) => Some(&rows.head),
            Self::Json(_) => None,
        }
    }
}

/// The rows of a csv file after its head.
pub(crate) struct CsvRows {
    name: Arc<str>,
    reader: csv::Reader<Kept>,
    head: Row,
    columns: Arc<[String]>,
    separator: u8,
    done: bool,
}

impl CsvRows {
    fn start(table: TableText, wanted: &[String]) -> Result<Self, Bad> {
        let TableText { name, reader } = table;
        let (separator, reader) = match separator(reader) {
            Ok(found) => found,
            Err(error) => return Err(Bad::fatal(Diagnostic::error(format!("cannot read `{name}`: {error}")))),
        };
        // Cells are counted here, for a better message.
        let mut builder = csv::ReaderBuilder::new();
        let reader = builder.has_headers(false).flexible(true).delimiter(separator).from_reader(reader);
        let no_columns: Arc<[String]> = Arc::new([]);
        let cells = |columns: &Arc<[String]>, cells| Cells::Csv { columns: Arc::clone(columns), cells, separator };
        let head = Row {
            table: Arc::clone(&name),
            line: 1,
            text: String::new(),
            cells: cells(&no_columns, csv::StringRecord::new()),
            is_quotable: false,
        };
        let mut rows = Self { name, reader, head, columns: no_columns, separator, done: false };
        let Some(head) = rows.read() else {
            let message = format!("the table `{}` is empty", rows.name);
            return Err(Bad::fatal(Diagnostic::error(message).help("its first row names the columns")));
        };
        let head = head.map_err(|bad| Bad { recoverable: false, ..bad })?;
        let Cells::Csv { cells: names, .. } = &head.cells else { unreachable!("a csv reader reads csv") };
        let columns: Arc<[String]> = names.iter().map(|name| odd::trim(name).to_owned()).collect();
        rows.head = Row { cells: cells(&columns, names.clone()), ..head }.quotable_with(wanted);
        for (index, column) in columns.iter().enumerate() {
            if !column.is_empty() && columns[..index].contains(column) {
                let message = match rows.head.is_quotable {
                    true => format!("the column `{}` is there twice", column.escape_debug()),
                    false => "two columns have the same name".to_owned(),
                };
                let bad = rows.head.at(Diagnostic::error(message), Some(column), "here, and once more");
                return Err(Bad::fatal(bad.help("rename one of them: `${row.COLUMN}` must mean one thing")));
            }
        }
        rows.columns = columns;
        Ok(rows)
    }

    fn next(&mut self) -> Option<Result<Row, Bad>> {
        let row = match self.read()? {
            Ok(row) => row,
            Err(bad) => return Some(Err(bad)),
        };
        let Cells::Csv { cells, .. } = &row.cells else { unreachable!("a csv reader reads csv") };
        // Spreadsheets write empty cells after the last one that is used, or leave out those at the end.
        let named = self.columns.iter().rposition(|name| !name.is_empty()).map_or(0, |last| last + 1);
        let is_surplus = cells.iter().skip(self.columns.len()).any(|cell| !cell.trim().is_empty());
        if cells.len() < named || is_surplus {
            let (cells, columns) = (cells.len(), self.columns.len());
            let cells = format!("{cells} {}", plural(cells, "cell"));
            let message = format!("a row of {cells}, and the head names {columns}");
            let diagnostic = row.at(Diagnostic::error(message), None, "this row");
            let diagnostic = diagnostic.help(match self.separator {
                b',' => "an empty cell has its comma, too; quote a text that has a comma in it",
                _ => "an empty cell has its separator, too; quote a text that has one in it",
            });
            return Some(Err(Bad { diagnostic, recoverable: true }));
        }
        Some(Ok(row))
    }

    /// Reads the next row in which something is written: spreadsheets leave rows of commas where there was something once.
    fn read(&mut self) -> Option<Result<Row, Bad>> {
        loop {
            let row = self.read_any()?;
            let is_blank = |row: &Row| match &row.cells {
                Cells::Csv { cells, .. } => cells.iter().all(|cell| cell.trim().is_empty()),
                Cells::Json(_) => false,
            };
            if !row.as_ref().is_ok_and(is_blank) {
                return Some(row);
            }
        }
    }

    fn read_any(&mut self) -> Option<Result<Row, Bad>> {
        if self.done {
            return None;
        }
        let mut record = csv::ByteRecord::new();
        let from = self.reader.position().byte();
        match self.reader.read_byte_record(&mut record) {
            Ok(true) => {}
            Ok(false) => return None,
            Err(error) => {
                self.done = true;
                let message = format!("cannot read `{}`: {error}", self.name);
                return Some(Err(Bad::fatal(Diagnostic::error(message))));
            }
        }
        let to = self.reader.position().byte();
        let (line, text) = self.reader.get_mut().take(from, to);
        let utf16 = line == 1 && (text.starts_with(&[0xff, 0xfe]) || text.starts_with(&[0xfe, 0xff]));
        let (text, is_text) = match String::from_utf8(text) {
            Ok(text) => (text, true),
            Err(error) => (String::from_utf8_lossy(error.as_bytes()).into_owned(), false),
        };
        let text = text.trim_start_matches('\u{feff}').to_owned();
        let cells = with_line_feeds(csv::StringRecord::from_byte_record_lossy(record));
        let row = Row {
            table: Arc::clone(&self.name),
            line,
            text,
            cells: Cells::Csv { columns: Arc::clone(&self.columns), cells, separator: self.separator },
            is_quotable: self.head.is_quotable,
        };
        if !is_text {
            self.done = true;
            let what = if utf16 { "UTF-16" } else { "not UTF-8" };
            let diagnostic = row.at(Diagnostic::error(format!("`{}` is {what}", self.name)), None, "this row");
            return Some(Err(Bad::fatal(diagnostic.help("save the file as UTF-8"))));
        }
        if row.text.contains('"') && !csv_places(&row.text, self.separator).1 {
            self.done = true;
            let diagnostic = row.at(Diagnostic::error("a quoted cell does not end"), None, "starts in this row");
            return Some(Err(Bad::fatal(
                diagnostic.help("close the quote, or double a quote that is part of the text"),
            )));
        }
        Some(Ok(row))
    }
}

/// Ends the lines inside of cells as YAML ends those inside of texts, so that a checkout with CRLF says the same as one without.
fn with_line_feeds(cells: csv::StringRecord) -> csv::StringRecord {
    if !cells.iter().any(|cell| cell.contains('\r')) {
        return cells;
    }
    cells.iter().map(|cell| cell.replace("\r\n", "\n").replace('\r', "\n")).collect()
}

/// Bytes of a first line that may say what parts cells, at most.
const SEPARATOR_LINE_MAX: u64 = 64;

/// Reads a first line as `sep=;`, which spreadsheets write and understand. Without one, a comma parts cells.
fn separator(mut reader: Box<dyn Read>) -> std::io::Result<(u8, Kept)> {
    let mut start = Vec::new();
    (&mut reader).take(SEPARATOR_LINE_MAX).read_to_end(&mut start)?;
    let line_end = start.iter().position(|&byte| byte == b'\n').map_or(start.len(), |end| end + 1);
    let line = start[..line_end].strip_prefix(b"\xef\xbb\xbf").unwrap_or(&start[..line_end]);
    let line = line.trim_ascii_end();
    // Some programs quote each cell.
    let line = line.strip_prefix(b"\"").and_then(|line| line.strip_suffix(b"\"")).unwrap_or(line);
    let named = line.get(..4).filter(|word| word.eq_ignore_ascii_case(b"sep=")).and_then(|_| match line[4..] {
        // A tab is white space at the end of a line.
        [] if start[..line_end].contains(&b'\t') => Some(b'\t'),
        // With empty cells after it, when the file was saved once more.
        [separator, ref rest @ ..] if separator.is_ascii() && rest.iter().all(|byte| b",;".contains(byte)) => {
            Some(separator)
        }
        _ => None,
    });
    let named = named.filter(|separator| !separator.is_ascii_alphanumeric() && !b"\"' ".contains(separator));
    let (separator, rest, line) = match named {
        Some(separator) => (separator, start.split_off(line_end), 2),
        None => (b',', start, 1),
    };
    Ok((separator, Kept::new(Box::new(std::io::Cursor::new(rest).chain(reader)), line)))
}

/// A reader that keeps what was read since it was last asked.
pub(crate) struct Kept {
    inner: BufReader<Box<dyn Read>>,
    kept: Vec<u8>,
    /// How much of `kept` was given out.
    given: usize,
    /// The offset in the file of the first byte not given out.
    base: u64,
    /// The line of that byte, from 1.
    line: u32,
}

impl Kept {
    /// Starts at a line, counted from 1.
    fn new(inner: Box<dyn Read>, line: u32) -> Self {
        Self { inner: BufReader::new(inner), kept: Vec::new(), given: 0, base: 0, line }
    }

    /// Takes a row out: what stands from one offset to another, without line ends around it, and its line.
    fn take(&mut self, from: u64, to: u64) -> (u32, Vec<u8>) {
        let length = |offset: u64, base: u64| usize::try_from(offset.saturating_sub(base)).unwrap_or(usize::MAX);
        let start = (self.given + length(from, self.base)).min(self.kept.len());
        let end = (self.given + length(to, self.base)).clamp(start, self.kept.len());
        let newlines =
            |bytes: &[u8]| u32::try_from(bytes.iter().filter(|&&byte| byte == b'\n').count()).unwrap_or(u32::MAX);
        let is_end = |byte: &u8| matches!(byte, b'\n' | b'\r');
        let before = self.kept[start..end].iter().take_while(|byte| is_end(byte)).count();
        let row = &self.kept[start + before..end];
        let after = row.iter().rev().take_while(|byte| is_end(byte)).count();
        let line = self.line.saturating_add(newlines(&self.kept[self.given..start + before]));
        let text = row[..row.len() - after].to_vec();
        self.line = self.line.saturating_add(newlines(&self.kept[self.given..end]));
        self.given = end;
        self.base = to;
        if self.given > 64 * 1024 {
            self.kept.drain(..self.given);
            self.given = 0;
        }
        (line, text)
    }
}

impl Read for Kept {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.kept.len() - self.given > ROW_MAX_BYTES {
            let message =
                format!("the row at line {} has more than {ROW_MAX_BYTES} bytes; is a quote not closed?", self.line);
            return Err(std::io::Error::other(message));
        }
        let read = self.inner.read(buffer)?;
        self.kept.extend_from_slice(&buffer[..read]);
        Ok(read)
    }
}
