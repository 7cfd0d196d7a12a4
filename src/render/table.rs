//! The rows of a query: a table for people, JSON and CSV for programs.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt::Write;

use serde_json::Value;

use super::style::Palette;
use super::{escape, value};
use crate::legible;
use iothub_model::twin::{DeviceId, Object};

/// The longest cell of a table when there are several columns.
const CELL: usize = 40;

/// Writes pages of rows as a table, each page with the widths that it needs and the header where they change.
///
/// Columns are the listed ones, then what else the page has; a missing member is an empty cell.
pub(crate) struct RowTable {
    palette: Palette,
    width: usize,
    listed: Vec<String>,
    is_whole: bool,
    layout: Option<(Vec<String>, Vec<usize>)>,
}

impl RowTable {
    /// Starts a table for a terminal of so many columns.
    pub(crate) fn new(palette: Palette, width: usize) -> Self {
        Self { palette, width, listed: Vec::new(), is_whole: false, layout: None }
    }

    /// Puts these columns first, in this order, since JSON objects keep none.
    #[must_use]
    pub(crate) fn listing(mut self, columns: Option<&[&str]>) -> Self {
        self.listed = columns.unwrap_or_default().iter().map(|&column| column.to_owned()).collect();
        self
    }

    #[cfg(feature = "embedded")]
    /// Cuts no cell, however long its line becomes.
    #[must_use]
    pub(crate) fn whole(mut self) -> Self {
        self.is_whole = true;
        self
    }

    /// Writes one page.
    pub(crate) fn page(&mut self, rows: &[Value]) -> String {
        if rows.is_empty() {
            return String::new();
        }
        let columns = columns(rows, &self.listed);
        let longest = if columns.len() == 1 { self.width } else { CELL };
        let mut cells: Vec<Vec<String>> =
            rows.iter().map(|row| columns.iter().map(|column| cell(row, column)).collect()).collect();
        for column in 0..columns.len() {
            legible::tell_apart(cells.iter_mut().map(|row| &mut row[column]));
        }
        for cell in cells.iter_mut().flatten().filter(|_| !self.is_whole) {
            *cell = value::cut(cell, longest).into_owned();
        }
        let mut widths: Vec<usize> = columns.iter().map(|column| value::width(&heading(column))).collect();
        for row in &cells {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = value::width(cell).max(*width);
            }
        }
        let numeric: Vec<bool> = columns
            .iter()
            .map(|column| {
                rows.iter().all(|row| member(row, column).is_none_or(|cell| cell.is_number() || cell.is_null()))
            })
            .collect();
        // The next page keeps the layout when it fits in it, so that a long answer reads as one table.
        let mut out = String::new();
        let widths = match &self.layout {
            Some((known, known_widths))
                if *known == columns && known_widths.iter().zip(&widths).all(|(known, needed)| known >= needed) =>
            {
                known_widths.clone()
            }
            known => {
                if known.is_some() {
                    out.push('\n');
                }
                let names: Vec<_> = columns.iter().map(|column| heading(column).into_owned()).collect();
                _ = writeln!(out, "{}", self.palette.title(line(&names, &widths, &numeric)));
                self.layout = Some((columns, widths.clone()));
                widths
            }
        };
        for row in &cells {
            out.push_str(&line(row, &widths, &numeric));
            out.push('\n');
        }
        out
    }
}

fn heading(column: &str) -> Cow<'_, str> {
    if column.is_empty() { Cow::Borrowed("value") } else { escape::path(column) }
}

/// Columns of numbers stand to the right, so that their digits are under each other.
fn line(cells: &[String], widths: &[usize], numeric: &[bool]) -> String {
    let mut line = String::new();
    for (index, ((cell, &width), &numeric)) in cells.iter().zip(widths).zip(numeric).enumerate() {
        if index > 0 {
            line.push_str("  ");
        }
        _ = if numeric { write!(line, "{cell:>width$}") } else { write!(line, "{cell:<width$}") };
    }
    line.truncate(line.trim_end().len());
    line
}

/// The listed columns, then the members of all rows that are not listed, a twin's `deviceId` and `moduleId` before the others.
/// A row that is no object has the one column without a name. The service spells a system property's name its own way.
fn columns(rows: &[Value], listed: &[String]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    for row in rows {
        match row {
            Value::Object(object) => seen.extend(object.keys().map(String::as_str)),
            _ => {
                seen.insert("");
            }
        }
    }
    let mut columns: Vec<String> = Vec::new();
    for name in listed {
        let spelled =
            seen.iter().find(|seen| **seen == name).or(seen.iter().find(|seen| seen.eq_ignore_ascii_case(name)));
        let name = spelled.map_or(name.as_str(), |spelled| spelled);
        if !columns.iter().any(|known| known == name) {
            columns.push(name.to_owned());
        }
    }
    let mut others: Vec<&str> = seen.into_iter().filter(|name| !columns.iter().any(|known| known == name)).collect();
    others.sort_by_key(|&name| (name != "deviceId", name != "moduleId"));
    columns.extend(others.into_iter().map(str::to_owned));
    columns
}

fn member<'r>(row: &'r Value, column: &str) -> Option<&'r Value> {
    match row {
        Value::Object(object) => object.get(column),
        other => column.is_empty().then_some(other),
    }
}

/// A text stands without quotes where nothing else looks like it, anything else as JSON. A member that is not there is
/// empty.
fn cell(row: &Value, column: &str) -> String {
    match member(row, column) {
        None => String::new(),
        // An id is a text, even one of digits.
        Some(Value::String(id)) if is_of_ids(column) && id.parse::<DeviceId>().is_ok() => escape::line(id).into_owned(),
        Some(Value::String(text)) if is_plain(text) => text.clone(),
        Some(other) => escape::json(other),
    }
}

fn is_of_ids(column: &str) -> bool {
    ["deviceId", "moduleId"].iter().any(|name| column.eq_ignore_ascii_case(name))
}

/// Returns `true` if a text can be read as nothing but itself: it is no JSON, all of it is seen, and its spaces are not
/// those between columns.
fn is_plain(text: &str) -> bool {
    !text.is_empty()
        && text.trim() == text
        && !text.contains("  ")
        && !text.contains('\\')
        && !text.starts_with(['"', '[', '{'])
        && matches!(escape::line(text), Cow::Borrowed(_))
        && serde_json::from_str::<Value>(text).is_err()
}

/// Returns the row that a table shows of a whole twin: what fits on a line. JSON and CSV have all of it.
pub(crate) fn twin_row(twin: &Value) -> Value {
    let mut row = Object::new();
    for (column, pointer) in [
        ("deviceId", "/deviceId"),
        ("moduleId", "/moduleId"),
        ("status", "/status"),
        ("connection", "/connectionState"),
        ("tags", "/tags"),
        ("desired", "/properties/desired"),
        ("reported", "/properties/reported"),
    ] {
        let Some(mut value) = twin.pointer(pointer).cloned() else { continue };
        if let Some(section) = value.as_object_mut() {
            section.retain(|key, _| !key.starts_with('$'));
        }
        row.insert(column.to_owned(), value);
    }
    Value::Object(row)
}

/// Writes rows as CSV (RFC 4180), with a header from the first page's columns.
///
/// Members that only later pages have cannot be added to a header that has left; [`Csv::page`] answers with their names.
#[derive(Default)]
pub(crate) struct Csv {
    listed: Vec<String>,
    is_safe: bool,
    columns: Option<Vec<String>>,
}

impl Csv {
    /// Puts these columns first, in this order, whether or not the first page has them.
    #[must_use]
    pub(crate) fn listing(mut self, columns: Option<&[&str]>) -> Self {
        self.listed = columns.unwrap_or_default().iter().map(|&column| column.to_owned()).collect();
        self
    }

    /// Puts a `'` before each text that a spreadsheet would run. Numbers stay numbers, those that are texts among them.
    #[must_use]
    pub(crate) fn safe(self, is_safe: bool) -> Self {
        Self { is_safe, ..self }
    }

    /// Writes one page, or names the first column that the header lacks.
    pub(crate) fn page(&mut self, rows: &[Value]) -> Result<String, String> {
        if rows.is_empty() {
            return Ok(String::new());
        }
        let mut out = String::new();
        let here = columns(rows, &self.listed);
        let is_safe = self.is_safe;
        let quoted = |cell: &str| if is_safe && is_formula(cell) { quoted(&format!("'{cell}")) } else { quoted(cell) };
        let columns = match &self.columns {
            Some(columns) => columns,
            None => {
                let header: Vec<_> = here.iter().map(|column| quoted(&heading(column))).collect();
                out = header.join(",") + "\r\n";
                self.columns.insert(here.clone())
            }
        };
        if let Some(unknown) = here.iter().find(|column| !columns.contains(column)) {
            return Err(unknown.clone());
        }
        for row in rows {
            let cells: Vec<_> = columns
                .iter()
                .map(|column| match member(row, column) {
                    None => String::new(),
                    Some(Value::String(text)) => quoted(&escape::bare(text, |c| c == '\n' || c == '\t')),
                    Some(other) => quoted(&escape::json(other)),
                })
                .collect();
            out.push_str(&cells.join(","));
            out.push_str("\r\n");
        }
        Ok(out)
    }
}

/// Says whether a spreadsheet would run a cell: after one of these signs, their wide forms included, stands a formula.
fn is_formula(cell: &str) -> bool {
    let is_number = !cell.contains(['i', 'I', 'n', 'N']) && cell.parse::<f64>().is_ok();
    let begins = |c: char| matches!(c, '=' | '+' | '-' | '@' | '\t' | '\r' | '\n' | '＝' | '＋' | '－' | '＠');
    // White space before it is passed over by some.
    (cell.starts_with(begins) || cell.trim_start().starts_with(begins)) && !is_number
}

fn quoted(cell: &str) -> String {
    if cell.contains(['"', ',', '\n', '\r']) || cell.starts_with(' ') || cell.ends_with(' ') {
        format!("\"{}\"", cell.replace('"', "\"\""))
    } else {
        cell.to_owned()
    }
}

/// Writes rows as one JSON array, page after page, a row a line.
#[derive(Default)]
pub(crate) struct Json {
    begun: bool,
}

impl Json {
    /// Writes one page.
    pub(crate) fn page(&mut self, rows: &[Value]) -> String {
        let mut out = String::new();
        for row in rows {
            out.push_str(if self.begun { ",\n" } else { "[\n" });
            self.begun = true;
            out.push_str(&escape::json(row));
        }
        out
    }

    /// Ends the array.
    pub(crate) fn finish(&self) -> &'static str {
        if self.begun { "\n]\n" } else { "[]\n" }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::render::samples::snapshot;

    fn rows() -> Vec<Value> {
        vec![
            json!({"deviceId": "thermostat-001", "n": 3, "tags": {"plant": "Redmond43"}}),
            json!({"deviceId": "press-1", "n": 12345.5, "note": "a \"quoted\", \u{1b}[31mred\nline"}),
            json!({"n": null, "tags": {"plant": "x".repeat(60)}}),
        ]
    }

    #[test]
    fn tables() {
        let mut table = RowTable::new(Palette::PLAIN, 100);
        let mut text = table.page(&rows());
        text.push_str("--- a page that fits\n");
        text.push_str(&table.page(&rows()[..2].iter().cloned().chain([json!({"tags": 1})]).collect::<Vec<_>>()));
        text.push_str("--- other columns\n");
        text.push_str(&table.page(&[json!({"COUNT": 3})]));
        text.push_str("--- listed columns\n");
        let mut listed = RowTable::new(Palette::PLAIN, 100).listing(Some(&["z", "DEVICEID", "a"]));
        text.push_str(&listed.page(&[json!({"a": 1, "b": 2, "deviceId": "d", "z": "z"}), json!({"a": 22})]));
        text.push_str("--- values\n");
        text.push_str(&table.page(&[json!("bare"), json!(2)]));
        snapshot("query-table", &text);
        assert_eq!(table.page(&[]), "");
    }

    #[test]
    fn whole_twins_are_cut_down() {
        let twin = json!({
            "deviceId": "d", "etag": "AAAAAAAAAAE=", "status": "enabled", "tags": {"plant": "Oslo"}, "version": 3,
            "properties": {"desired": {"power": 1, "$version": 2, "$metadata": {}}, "reported": {"$version": 1}},
        });
        assert_eq!(
            twin_row(&twin),
            json!({"deviceId": "d", "status": "enabled", "tags": {"plant": "Oslo"}, "desired": {"power": 1}, "reported": {}})
        );
    }

    #[test]
    fn csv() {
        let mut csv = Csv::default();
        assert_eq!(
            csv.page(&rows()[..2]).expect("a page"),
            "deviceId,n,note,tags\r\n\
             thermostat-001,3,,\"{\"\"plant\"\":\"\"Redmond43\"\"}\"\r\n\
             press-1,12345.5,\"a \"\"quoted\"\", \\u001b[31mred\nline\",\r\n"
        );
        assert_eq!(csv.page(&[json!({"n": 1})]).expect("a page"), ",1,,\r\n");
        assert_eq!(csv.page(&[json!({"other": 1})]), Err("other".to_owned()));
        let mut listed = Csv::default().listing(Some(&["b", "a"]));
        assert_eq!(listed.page(&[json!({"a": 1})]).expect("a page"), "b,a\r\n,1\r\n");
        assert_eq!(listed.page(&[json!({"b": 1})]).expect("a page"), "1,\r\n");
    }

    #[test]
    fn cells_are_no_formulas_where_that_is_asked_for() {
        let row = json!({
            "a": "=1+1", "b": "+1 800", "c": "-x", "d": "@SUM(1)", "e": "-5", "f": -5, "g": "  =1", "h": "a=1", "i": "+4.5e3",
            "j": "=cmd|'/c'!A0,x", "k": "\u{ff1d}1", "l": "-", "m": "-inf", "=n": 1, "o": [-1], "p": "\t=1",
        });
        let text = |csv: Csv| csv.listing(None).page(std::slice::from_ref(&row));
        assert_eq!(
            text(Csv::default().safe(true)).expect("a page"),
            "'=n,a,b,c,d,e,f,g,h,i,j,k,l,m,o,p\r\n\
             1,'=1+1,'+1 800,'-x,'@SUM(1),-5,-5,'  =1,a=1,+4.5e3,\"'=cmd|'/c'!A0,x\",'\u{ff1d}1,'-,'-inf,[-1],'\t=1\r\n"
        );
        let raw = text(Csv::default()).expect("a page");
        assert!(raw.contains("=1+1,+1 800,-x,@SUM(1),-5,-5,\"  =1\""), "{raw}");
    }

    #[test]
    fn json_is_one_array_whatever_the_pages() {
        for pages in [vec![], vec![vec![]], vec![rows()], vec![rows()[..1].to_vec(), vec![], rows()[1..].to_vec()]] {
            let mut json = Json::default();
            let mut text: String = pages.iter().map(|page| json.page(page)).collect();
            text.push_str(json.finish());
            assert!(!text.contains('\u{1b}'));
            assert_eq!(serde_json::from_str::<Vec<Value>>(&text).expect("JSON"), pages.concat());
        }
    }
}
