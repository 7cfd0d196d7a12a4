//! A query that is ready to run.

use std::cell::LazyCell;

use serde_json::Value;

use super::ast::{Collection, ComparisonOperator, Literal};
use super::condition::{Condition, Output};
use super::error::QueryError;
use super::eval::{self, Fold};
use super::projection::{self, Needles, Wanted};
use crate::twin::{Section, TwinPath};

/// A query whose names and types have been checked: it can be run over any number of documents, and cannot fail.
#[derive(Clone, Debug)]
pub struct BoundQuery {
    pub(super) text: String,
    pub(super) collection: Collection,
    pub(super) top: Option<u64>,
    pub(super) output: Output,
    pub(super) condition: Option<Condition>,
    /// What nobody can know beforehand of what it reads, each once.
    pub(super) live: Vec<String>,
    pub(super) wanted: Wanted,
    /// What the condition alone looks at.
    pub(super) conditional: Wanted,
    pub(super) needles: Needles,
    pub(super) warnings: Vec<QueryError>,
}

/// Two queries are equal when they are written the same and read the same; all else follows from that.
impl PartialEq for BoundQuery {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.collection == other.collection
    }
}

impl BoundQuery {
    /// Returns the query, or the condition alone, as it was given.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns what the query reads.
    pub fn collection(&self) -> Collection {
        self.collection
    }

    /// Says whether the rows are whole documents, `SELECT *`.
    pub fn selects_documents(&self) -> bool {
        matches!(self.output, Output::Documents)
    }

    /// Returns the keys of the rows in the order of `SELECT`, which a JSON object does not keep; `None` for `SELECT *`.
    ///
    /// A key stands twice if two columns have it. A row lacks the keys of what is undefined, and has a system property's
    /// name as the document spells it, which may differ in case.
    pub fn columns(&self) -> Option<Vec<&str>> {
        self.output.keys()
    }

    /// Says whether rows come only at the end, from all documents together.
    pub fn is_aggregate(&self) -> bool {
        matches!(self.output, Output::Groups { .. })
    }

    /// Says whether a path of the query leads to what nobody can know beforehand: `properties.reported` (or `properties` as
    /// a whole), `connectionState`, `lastActivityTime`, `cloudToDeviceMessageCount`, `configurations`, and what the hub writes
    /// itself with each update: `etag`, `version`, `$version`, `$metadata`. Everything about jobs counts.
    ///
    /// `SELECT *` alone does not: which documents match is known, though not all that is in them.
    pub fn reads_reported(&self) -> bool {
        !self.live.is_empty() || self.collection == Collection::Jobs
    }

    /// Returns the paths because of which [`BoundQuery::reads_reported`] is so, in the order of the text and each once.
    pub fn live_paths(&self) -> &[String] {
        &self.live
    }

    /// Says whether the condition or a column looks at a path of a twin, over it or under it.
    pub fn looks_at(&self, path: &TwinPath) -> bool {
        let section: &[&str] = match path.section() {
            Section::Tags => &["tags"],
            Section::Desired => &["properties", "desired"],
        };
        self.looks_below(section, path)
    }

    /// Says the same of what a device reports under the keys of a path of `desired`.
    pub fn looks_at_reported(&self, path: &TwinPath) -> bool {
        path.section() == Section::Desired && self.looks_below(&["properties", "reported"], path)
    }

    fn looks_below(&self, section: &[&str], path: &TwinPath) -> bool {
        self.wanted.overlaps(&section.iter().copied().chain(path.keys()).collect::<Vec<_>>())
    }

    /// Returns what is allowed and probably not meant, in the order of the text.
    pub fn warnings(&self) -> &[QueryError] {
        &self.warnings
    }

    /// Returns the only ids of devices for which the condition can hold, in the order of the text and each once; `None` when
    /// it does not say.
    pub fn device_ids(&self) -> Option<Vec<&str>> {
        device_ids(self.condition.as_ref()?)
    }

    /// Returns how many rows the whole answer has at most, as `TOP` says. Whoever cuts the answer into pages must count.
    pub fn top(&self) -> Option<u64> {
        self.top
    }

    /// Begins a run over documents.
    pub fn start(&self) -> Fold<'_> {
        Fold::new(&self.output, self.condition.as_ref(), self.top)
    }

    /// Begins a run over documents as if there were no `TOP`: for whoever has to know what it leaves out.
    pub fn start_without_top(&self) -> Fold<'_> {
        Fold::new(&self.output, self.condition.as_ref(), None)
    }

    /// Says whether the `WHERE` keeps a document.
    pub fn matches(&self, document: &Value) -> bool {
        self.condition.as_ref().is_none_or(|condition| eval::holds(condition, document))
    }

    /// Says whether the condition can hold for a document, by its text alone and much faster than [`BoundQuery::matches`]: `false`
    /// is certain. The text must be as serde_json writes it.
    pub fn may_match(&self, document: &str) -> bool {
        self.needles.are_in(document)
    }

    /// Returns `true` if the `WHERE` keeps a document, by its text, which must be as serde_json writes it.
    ///
    /// # Errors
    ///
    /// When the text is not JSON, as far as it had to be read.
    pub fn matches_text(&self, document: &str) -> Result<bool, serde_json::Error> {
        Ok(self.may_match(document) && self.matches(&self.conditional.read(document)?))
    }

    /// Reads of a document's text what the condition and the columns look at, which is faster than to read all of it. The
    /// query matches the excerpt as it does the document, and has the same row of it; only the rows of `SELECT *` are the
    /// documents themselves.
    ///
    /// # Errors
    ///
    /// When the text is not JSON, as far as it had to be read.
    pub fn excerpt(&self, document: &str) -> Result<Value, serde_json::Error> {
        self.wanted.read(document)
    }

    /// Returns the rows over `documents`, in their order, without reading on once `TOP` is reached.
    pub fn rows<'d>(&self, documents: impl IntoIterator<Item = &'d Value>) -> Vec<Value> {
        let mut fold = self.start();
        let mut rows = Vec::new();
        for document in documents {
            rows.extend(fold.push(document));
            if fold.is_full() {
                break;
            }
        }
        rows.extend(fold.finish());
        rows
    }
}

fn device_ids(condition: &Condition) -> Option<Vec<&str>> {
    let ids = match condition {
        Condition::Compare(left, ComparisonOperator::Equal, right) => match (&**left, &**right) {
            (Condition::Path(path), Condition::Constant(constant))
            | (Condition::Constant(constant), Condition::Path(path))
                if path.is_device_id() =>
            {
                text(constant).into_iter().collect()
            }
            _ => return None,
        },
        Condition::In { needle, negated: false, members } => match &**needle {
            Condition::Path(path) if path.is_device_id() => members.iter().filter_map(text).collect(),
            _ => return None,
        },
        Condition::And(operands) => operands.iter().filter_map(device_ids).reduce(|mut ids, others| {
            ids.retain(|id| others.contains(id));
            ids
        })?,
        Condition::Or(operands) => operands.iter().map(device_ids).collect::<Option<Vec<_>>>()?.concat(),
        _ => return None,
    };
    let mut seen = std::collections::HashSet::new();
    Some(ids.into_iter().filter(|id| seen.insert(*id)).collect())
}

fn text(literal: &Literal) -> Option<&str> {
    match literal {
        Literal::Text(text) => Some(text),
        _ => None,
    }
}

/// Reads of a document's text what several queries look at, in one go. Each of them matches the excerpt as it does the
/// document, and has the same row of it; only the rows of `SELECT *` are the documents themselves.
///
/// Any JSON text will do, however it is spelt.
///
/// # Errors
///
/// When the text is not JSON, as far as it had to be read.
pub fn excerpt<'q>(
    queries: impl IntoIterator<Item = &'q BoundQuery>,
    document: &str,
) -> Result<Value, serde_json::Error> {
    // Where nothing is escaped a text has one spelling, which is serde_json's too.
    let is_plain = LazyCell::new(|| !document.contains('\\'));
    let may_match = |query: &BoundQuery| query.may_match(document) || !*is_plain;
    // One that cannot match does not match what the others want either: a value that it compares is the document's or is missing.
    let queries = queries.into_iter().filter(|query| !query.wanted.is_nothing() && may_match(query));
    let wishes: Vec<&Wanted> = queries.map(|query| &query.wanted).collect();
    if wishes.is_empty() { Ok(Value::Null) } else { projection::read(&wishes, document) }
}
