//! The rest of an answer: what to ask of a hub about the documents that are not at hand, to finish a run over those that are.

use serde_json::Value;

use super::ast::{
    Aggregate, Collection, Expr, ExprKind, Item, Literal, Membership, Name, Path, Query, Select, Selected,
};
use super::bound::BoundQuery;
use super::condition::{GroupColumn, Output};
use super::eval::Fold;
use super::names::BoundPath;
use super::parser::{MAX_CHARACTERS, parse};
use crate::diagnostic::Span;

/// A query whose rows a [`Fold`] of another query takes in place of documents.
#[derive(Clone, Debug)]
pub struct Remainder<'q> {
    text: String,
    rows: Rows<'q>,
}

/// What the rows are.
#[derive(Clone, Debug)]
enum Rows<'q> {
    /// One for each document that matches: which it is, and what the columns look at.
    Documents(Vec<&'q BoundPath>),
    /// One for each group, of so many paths and aggregates.
    Totals { by: usize, aggregates: usize },
}

/// Why a row is not one of a [`Remainder`]'s answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the row lacks {column}")]
pub struct RowError {
    column: &'static str,
}

/// The key of a path that is selected, by its place.
fn path_key(index: usize) -> String {
    format!("c{index}")
}

/// The key of an aggregate, by its place.
fn total_key(index: usize) -> String {
    format!("t{index}")
}

impl BoundQuery {
    /// Returns what to ask for one row of each document that matches. `TOP` is passed over.
    ///
    /// Nothing for queries over jobs and for a text that would be too long for a hub.
    pub fn remainder(&self) -> Option<Remainder<'_>> {
        let mut paths: Vec<&BoundPath> = Vec::new();
        let mut want = |path| {
            if !paths.contains(&path) {
                paths.push(path);
            }
        };
        match &self.output {
            Output::Documents => {}
            Output::Rows(columns) => columns.iter().for_each(|column| want(&column.path)),
            Output::Groups { by, columns } => {
                by.iter().for_each(&mut want);
                for column in columns {
                    if let GroupColumn::Aggregate { path: Some(path), .. } = column {
                        want(path);
                    }
                }
            }
        }
        let names: &[&str] = match self.collection() {
            Collection::Devices => &["deviceId"],
            Collection::Modules => &["deviceId", "moduleId"],
            Collection::Jobs => return None,
        };
        let mut items: Vec<Item> = names.iter().map(|name| item(Selected::Path(path_of([*name])), None)).collect();
        items.extend(paths.iter().enumerate().map(|(index, path)| item(selected(path), Some(path_key(index)))));
        let query = Query { top: None, select: Select::Items(items), group_by: Vec::new(), ..self.tree()? };
        Some(Remainder { text: within_length(&query)?, rows: Rows::Documents(paths) })
    }

    /// Returns what to ask for the totals of the documents of all devices but these: one row, or one for each group.
    ///
    /// Nothing where an answer cannot be put together out of such parts: for queries that are no aggregates, for averages, for
    /// modules and jobs, and for a text that would be too long for a hub.
    pub fn remainder_without(&self, devices: &[&str]) -> Option<Remainder<'_>> {
        let Output::Groups { by, columns } = &self.output else { return None };
        if self.collection() != Collection::Devices {
            return None;
        }
        let grouped = by.iter().enumerate().map(|(index, path)| item(selected(path), Some(path_key(index))));
        let mut items: Vec<Item> = grouped.collect();
        let mut aggregates = 0;
        for column in columns {
            let GroupColumn::Aggregate { aggregate, path, .. } = column else { continue };
            if *aggregate == Aggregate::Avg {
                return None;
            }
            let what = Selected::Aggregate(*aggregate, path.as_ref().map(bound_path));
            items.push(item(what, Some(total_key(aggregates))));
            aggregates += 1;
        }
        // Without an aggregate, whether a group has other documents at all would not be known of its row.
        if aggregates == 0 {
            items.push(item(Selected::Aggregate(Aggregate::Count, None), Some("n".to_owned())));
        }
        let query = self.tree()?;
        let others = (!devices.is_empty()).then(|| {
            let ids = devices.iter().map(|id| Literal::Text((*id).to_owned())).collect();
            expr(ExprKind::In(Box::new(expr(ExprKind::Path(path_of(["deviceId"])))), Membership::Nin, ids))
        });
        let condition = match (query.condition, others) {
            (Some(condition), Some(others)) => Some(expr(ExprKind::And(vec![condition, others]))),
            (one, other) => one.or(other),
        };
        let group_by = by.iter().map(bound_path).collect();
        let query = Query { top: None, select: Select::Items(items), condition, group_by, ..query };
        Some(Remainder { text: within_length(&query)?, rows: Rows::Totals { by: by.len(), aggregates } })
    }

    fn tree(&self) -> Option<Query> {
        // A condition that stands for a query has another text; nobody asks for its remainder.
        parse(self.text()).ok()
    }
}

fn within_length(query: &Query) -> Option<String> {
    let text = query.to_string();
    (text.chars().count() <= MAX_CHARACTERS).then_some(text)
}

fn expr(kind: ExprKind) -> Expr {
    Expr { kind, span: Span::default() }
}

fn name(text: &str) -> Name {
    Name { text: text.to_owned(), span: Span::default() }
}

fn path_of<'n>(names: impl IntoIterator<Item = &'n str>) -> Path {
    Path { segments: names.into_iter().map(name).collect() }
}

fn bound_path(path: &BoundPath) -> Path {
    path_of(path.segments().map(|(name, _)| name))
}

fn selected(path: &BoundPath) -> Selected {
    Selected::Path(bound_path(path))
}

fn item(what: Selected, alias: Option<String>) -> Item {
    Item { what, alias: alias.as_deref().map(name), span: Span::default() }
}

impl Remainder<'_> {
    /// Returns the query's text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns which document a row is of, device and module; nothing where rows are totals.
    ///
    /// # Errors
    ///
    /// When the row does not say.
    pub fn names<'r>(&self, row: &'r Value) -> Result<Option<(&'r str, Option<&'r str>)>, RowError> {
        if matches!(self.rows, Rows::Totals { .. }) {
            return Ok(None);
        }
        let device = row.get("deviceId").and_then(Value::as_str).ok_or(RowError { column: "deviceId" })?;
        Ok(Some((device, row.get("moduleId").and_then(Value::as_str))))
    }
}

impl Fold<'_> {
    /// Takes a row of a remainder's answer for the documents behind it, and returns the row that comes of it, as
    /// [`Fold::push`] does. Whole documents are known by their ids alone.
    pub fn push_row(&mut self, remainder: &Remainder<'_>, row: &Value) -> Option<Value> {
        match &remainder.rows {
            Rows::Documents(paths) => {
                if self.is_full() {
                    return None;
                }
                let mut document = Value::Object(Default::default());
                for name in ["deviceId", "moduleId"] {
                    if let Some(id) = row.get(name) {
                        document[name] = id.clone();
                    }
                }
                for (index, path) in paths.iter().enumerate() {
                    if let Some(value) = row.get(path_key(index)) {
                        put(&mut document, path, value.clone());
                    }
                }
                self.push_matching(&document, None)
            }
            Rows::Totals { by, aggregates } => {
                let values: Vec<_> = (0..*by).map(|index| row.get(path_key(index))).collect();
                let totals: Vec<_> = (0..*aggregates).map(|index| row.get(total_key(index))).collect();
                self.push_totals(&values, &totals);
                None
            }
        }
    }
}

/// Puts a value where the path finds it. A path that leads through another one's value finds it there already.
fn put(document: &mut Value, path: &BoundPath, value: Value) {
    let mut place = document;
    let mut segments = path.segments().peekable();
    while let Some((name, _)) = segments.next() {
        let Value::Object(object) = place else { return };
        if segments.peek().is_none() {
            object.insert(name.to_owned(), value);
            return;
        }
        place = object.entry(name).or_insert_with(|| Value::Object(Default::default()));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::compile;
    use super::*;

    #[test]
    fn texts() {
        let check = |text: &str, rows: Option<&str>, totals: Option<&str>| {
            let query = compile(text).expect(text);
            assert_eq!(query.remainder().as_ref().map(Remainder::text), rows, "{text}");
            let totals_found = query.remainder_without(&["a", "b'c"]);
            assert_eq!(totals_found.as_ref().map(Remainder::text), totals, "{text}");
        };
        check("SELECT * FROM devices", Some("SELECT deviceId FROM devices"), None);
        check(
            "SELECT TOP 3 Tags.x AS y, DEVICEID FROM devices WHERE tags.a = 1 OR tags.b = 2",
            Some("SELECT deviceId, tags.x AS c0, deviceId AS c1 FROM devices WHERE tags.a = 1 OR tags.b = 2"),
            None,
        );
        check(
            "SELECT COUNT() AS n FROM devices WHERE tags.a = 1 OR tags.b = 2",
            Some("SELECT deviceId FROM devices WHERE tags.a = 1 OR tags.b = 2"),
            Some("SELECT COUNT() AS t0 FROM devices WHERE (tags.a = 1 OR tags.b = 2) AND deviceId NIN ['a', 'b\\'c']"),
        );
        check(
            "SELECT tags.[[group]], MAX(tags.n) AS m, SUM(tags.n) AS s FROM devices GROUP BY tags.[[group]]",
            Some("SELECT deviceId, tags.[[group]] AS c0, tags.n AS c1 FROM devices"),
            Some(
                "SELECT tags.[[group]] AS c0, MAX(tags.n) AS t0, SUM(tags.n) AS t1 FROM devices WHERE deviceId NIN ['a', 'b\\'c'] GROUP BY tags.[[group]]",
            ),
        );
        check("SELECT AVG(tags.n) AS m FROM devices", Some("SELECT deviceId, tags.n AS c0 FROM devices"), None);
        check("SELECT COUNT() AS n FROM devices.modules", Some("SELECT deviceId, moduleId FROM devices.modules"), None);
        check("SELECT * FROM devices.jobs", None, None);
    }

    #[test]
    fn a_fold_over_some_documents_and_a_remainder_is_one_over_all() {
        let document = |id: &str, tags: Value| json!({ "deviceId": id, "tags": tags, "properties": { "desired": {}, "reported": { "r": id } } });
        let documents = [
            document("a", json!({ "g": "x", "n": 1, "o": { "p": 1, "q": 2 } })),
            document("b", json!({ "g": "x", "n": 2.5 })),
            document("c", json!({ "g": "y", "n": "text" })),
            document("d", json!({ "n": 4 })),
            document("e", json!({ "g": "x", "n": -1 })),
        ];
        for text in [
            "SELECT * FROM devices WHERE tags.n > 0",
            "SELECT DeviceId, tags.o, tags.o.p AS p, Properties.Reported.r FROM devices WHERE is_defined(tags.n)",
            "SELECT COUNT() AS n, AVG(tags.n) AS a FROM devices",
            "SELECT COUNT() AS n, SUM(tags.n) AS s, MIN(tags.n) AS i, MAX(tags.n) AS m FROM devices WHERE tags.n != 4",
            "SELECT tags.g, COUNT() AS n, MAX(tags.n) AS m FROM devices GROUP BY tags.g",
            "SELECT tags.g FROM devices GROUP BY tags.g",
            "SELECT SUM(tags.n) AS s FROM devices WHERE tags.g = 'nowhere'",
        ] {
            let query = compile(text).expect(text);
            let mut expected: Vec<String> = query.rows(&documents).iter().map(|row| told(&query, row)).collect();
            expected.sort();
            let (ours, others) = documents.split_at(2);
            for remainder in [query.remainder(), query.remainder_without(&["a", "b"])].into_iter().flatten() {
                let asked = compile(remainder.text()).expect("a query");
                let mut fold = query.start();
                let mut rows: Vec<Value> = ours.iter().filter_map(|document| fold.push(document)).collect();
                for row in asked.rows(&documents) {
                    let is_ours = remainder.names(&row).expect("a row").is_some_and(|(id, _)| ["a", "b"].contains(&id));
                    if !is_ours {
                        rows.extend(fold.push_row(&remainder, &row));
                    }
                }
                assert_eq!(others.len(), 3);
                rows.extend(fold.finish());
                let mut found: Vec<String> = rows.iter().map(|row| told(&query, row)).collect();
                found.sort();
                assert_eq!(found, expected, "{text}: {}", remainder.text());
            }
        }
    }

    /// Whole documents are known by their ids.
    fn told(query: &BoundQuery, row: &Value) -> String {
        if query.selects_documents() { row["deviceId"].to_string() } else { row.to_string() }
    }
}
