//! Rows of JSON: an array of objects, or an object a line.

use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{Error, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::manifest::text::row::{Bad, Cells, ROW_MAX_BYTES, Row, unquoted};
use crate::manifest::text::source::TableText;
use iothub_model::diagnostic::Diagnostic;

const KEY_TWICE: &str = "a key of a row is there twice";

/// How far a row that starts inside a line is moved to its column in what is shown of it.
const INDENT_MAX: usize = 200;

pub(crate) struct JsonRows {
    name: Arc<str>,
    reader: BufReader<Box<dyn Read>>,
    /// Where the next byte stands, from 1; columns in characters.
    line: u32,
    column: usize,
    state: State,
    /// The columns that the manifest asks for.
    wanted: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Lines,
    ArrayStart,
    FirstItem,
    NextItem,
    Done,
}

/// Why a row cannot be cut out of the file.
struct Cut {
    message: String,
    help: &'static str,
}

impl JsonRows {
    pub(crate) fn new(table: TableText, array: bool, wanted: Vec<String>) -> Self {
        let TableText { name, reader } = table;
        let state = if array { State::ArrayStart } else { State::Lines };
        Self { name, reader: BufReader::new(reader), line: 1, column: 1, state, wanted }
    }

    pub(crate) fn next(&mut self) -> Option<Result<Row, Bad>> {
        match self.cut() {
            Ok(None) => {
                self.state = State::Done;
                None
            }
            Ok(Some((line, column, bytes))) => Some(self.row(line, column, bytes)),
            Err(Cut { message, help }) => {
                self.state = State::Done;
                let diagnostic =
                    unquoted(&self.name, self.line as usize, self.column, Diagnostic::error(message), "here");
                Some(Err(Bad::fatal(if help.is_empty() { diagnostic } else { diagnostic.help(help) })))
            }
        }
    }

    /// Cuts the text of the next row out of the file: its line, its column, its bytes.
    fn cut(&mut self) -> Result<Option<(u32, usize, Vec<u8>)>, Cut> {
        let error = |message: &str, help| Cut { message: message.to_owned(), help };
        loop {
            if self.state == State::Done {
                return Ok(None);
            }
            let first = self.skip_space()?;
            let start = (self.line, self.column);
            match (self.state, first) {
                (State::Lines, None) => return Ok(None),
                (State::Lines, Some(_)) => return Ok(Some((start.0, start.1, self.rest_of_line()?))),
                (State::ArrayStart, Some(b'[')) => {
                    self.take();
                    self.state = State::FirstItem;
                }
                (State::ArrayStart, Some(b'{')) => {
                    return Err(error(
                        "a JSON table is a list of objects",
                        "write `[{ … }, { … }]`, or name a file with one object a line .jsonl",
                    ));
                }
                (State::ArrayStart, _) => return Err(error("a JSON table is a list of objects", "it starts with `[`")),
                (State::FirstItem | State::NextItem, Some(b']')) => {
                    self.take();
                    self.state = State::Done;
                    if self.skip_space()?.is_some() {
                        return Err(error("something follows the list", ""));
                    }
                    return Ok(None);
                }
                (State::NextItem, Some(b',')) => {
                    self.take();
                    let next = self.skip_space()?;
                    if matches!(next, Some(b']' | b',') | None) {
                        return Err(error("a row was expected after the comma", ""));
                    }
                    let start = (self.line, self.column);
                    return Ok(Some((start.0, start.1, self.item()?)));
                }
                (State::NextItem, Some(_)) => return Err(error("`,` or `]` was expected after a row", "")),
                (State::FirstItem, Some(_)) => {
                    self.state = State::NextItem;
                    return Ok(Some((start.0, start.1, self.item()?)));
                }
                (State::FirstItem | State::NextItem, None) => {
                    return Err(error("the list does not end", "close it with `]`"));
                }
                (State::Done, _) => return Ok(None),
            }
        }
    }

    fn peek(&mut self) -> Result<Option<u8>, Cut> {
        match self.reader.fill_buf() {
            Ok(bytes) => Ok(bytes.first().copied()),
            Err(error) => Err(Cut { message: format!("cannot read `{}`: {error}", self.name), help: "" }),
        }
    }

    /// Passes over the byte that was peeked at.
    fn take(&mut self) {
        match self.reader.buffer().first() {
            Some(b'\n') => {
                self.line = self.line.saturating_add(1);
                self.column = 1;
            }
            // What continues a character is no column.
            Some(0x80..=0xbf) | None => {}
            Some(_) => self.column += 1,
        }
        self.reader.consume(1);
    }

    fn skip_space(&mut self) -> Result<Option<u8>, Cut> {
        while let Some(byte) = self.peek()? {
            // A byte-order mark stands at the start alone; elsewhere it is no JSON, and is told as such by the row's own reading.
            let mark = self.line == 1 && self.column <= 2 && matches!(byte, 0xef | 0xbb | 0xbf);
            if !byte.is_ascii_whitespace() && !mark {
                return Ok(Some(byte));
            }
            self.take();
            if mark {
                self.column = 1;
            }
        }
        Ok(None)
    }

    fn push(&mut self, bytes: &mut Vec<u8>, byte: u8) -> Result<(), Cut> {
        if bytes.len() >= ROW_MAX_BYTES {
            return Err(Cut { message: format!("a row of more than {ROW_MAX_BYTES} bytes"), help: "" });
        }
        bytes.push(byte);
        self.take();
        Ok(())
    }

    fn rest_of_line(&mut self) -> Result<Vec<u8>, Cut> {
        let mut bytes = Vec::new();
        while let Some(byte) = self.peek()?.filter(|&byte| byte != b'\n') {
            self.push(&mut bytes, byte)?;
        }
        bytes.truncate(bytes.trim_ascii_end().len());
        Ok(bytes)
    }

    /// Reads one value of an array, by its brackets alone.
    fn item(&mut self) -> Result<Vec<u8>, Cut> {
        let (mut bytes, mut depth, mut in_text, mut escaped) = (Vec::new(), 0_usize, false, false);
        while let Some(byte) = self.peek()? {
            if !in_text && depth == 0 && matches!(byte, b',' | b']') {
                break;
            }
            self.push(&mut bytes, byte)?;
            match byte {
                _ if escaped => escaped = false,
                b'\\' if in_text => escaped = true,
                b'"' => in_text = !in_text,
                b'{' | b'[' if !in_text => depth += 1,
                b'}' | b']' if !in_text => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        break;
                    }
                }
                _ => {}
            }
        }
        bytes.truncate(bytes.trim_ascii_end().len());
        Ok(bytes)
    }

    fn row(&mut self, line: u32, column: usize, bytes: Vec<u8>) -> Result<Row, Bad> {
        let indent = if column <= INDENT_MAX { column - 1 } else { 0 };
        let (text, is_text) = match String::from_utf8(bytes) {
            Ok(text) => (text, true),
            Err(error) => (String::from_utf8_lossy(error.as_bytes()).into_owned(), false),
        };
        let text = format!("{}{text}", " ".repeat(indent));
        let cells = Cells::Json(Vec::new());
        let row = Row { table: Arc::clone(&self.name), line, text, cells, is_quotable: false };
        if !is_text {
            self.state = State::Done;
            let diagnostic = row.at(Diagnostic::error(format!("`{}` is not UTF-8", self.name)), None, "this row");
            return Err(Bad::fatal(diagnostic.help("save the file as UTF-8")));
        }
        match members(&row.text) {
            Ok(members) => Ok(Row { cells: Cells::Json(members), ..row }.quotable_with(&self.wanted)),
            Err(error) => {
                let is_object = row.text.trim_start().starts_with('{');
                let said = error.to_string();
                let said = said.split(" at line ").next().unwrap_or_default();
                let message = match is_object {
                    // The key may be a word of another file.
                    true if said.starts_with(KEY_TWICE) => KEY_TWICE.to_owned(),
                    true => format!("a row is not JSON: {said}"),
                    false => "a row must be an object".to_owned(),
                };
                let (line, column) = match is_object {
                    // Columns of the first line are those of the row with its indentation, and count bytes.
                    true => {
                        let below = error.line().saturating_sub(1);
                        let written = row.text.split('\n').nth(below).unwrap_or_default();
                        let before = written.char_indices().take_while(|(offset, _)| *offset < error.column()).count();
                        (line as usize + below, before)
                    }
                    false => (line as usize, column),
                };
                // What is no row may be the text of another file.
                let diagnostic = unquoted(&self.name, line, column, Diagnostic::error(message), "here");
                let diagnostic = match said.contains("surrogate") || said.contains("hex escape") {
                    true => diagnostic.help("write both halves, as in `\\ud83d\\ude00`, or the character itself"),
                    false => diagnostic,
                };
                Err(Bad { diagnostic, recoverable: true })
            }
        }
    }
}

type Member = (String, Value, std::ops::Range<usize>);

/// Reads an object's members in order, each with its place.
fn members(text: &str) -> Result<Vec<Member>, serde_json::Error> {
    let RowMembers(members) = serde_json::from_str(text)?;
    let place = |(name, raw): (String, &RawValue)| {
        // The value is a part of the text.
        let start = (raw.get().as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
        Ok((name, serde_json::from_str(raw.get())?, start..start + raw.get().len()))
    };
    members.into_iter().map(place).collect()
}

struct RowMembers<'t>(Vec<(String, &'t RawValue)>);

impl<'de: 't, 't> Deserialize<'de> for RowMembers<'t> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members: Vec<(String, &RawValue)> = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, &RawValue>()? {
                    if members.iter().any(|(known, _)| *known == name) {
                        return Err(A::Error::custom(KEY_TWICE));
                    }
                    members.push((name, value));
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(InOrder).map(Self)
    }
}
