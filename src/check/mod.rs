//! Query assertions: what a check expects of a query's rows, whether they are so, and what is different.
//!
//! Pure: running the query is `verify`'s, reading YAML is `manifest`'s. Read [`Check`] first, then [`Expectation`].

pub(crate) mod bound;
mod redact;
pub(crate) mod evaluate;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

pub(crate) use evaluate::evaluate;

use iothub_model::query::BoundQuery;
use iothub_model::twin::Object;

/// One assertion about the fleet.
#[derive(Clone, Debug)]
pub struct Check {
    /// Its name, unique in the fleet.
    pub name: String,
    /// What is asked.
    pub query: BoundQuery,
    /// What the answer must be.
    pub expect: Expectation,
    /// How long it may take to become so: query results lag behind writes.
    pub within: Duration,
    /// What it means when it does not hold.
    pub severity: Severity,
    /// Whether it must hold between waves, and not only at the end.
    pub gate: bool,
}

/// What a check that does not hold means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The command fails, with exit code 6.
    #[default]
    Error,
    /// It is reported, and that is all.
    Warn,
}

/// What the rows must be. Numbers are equal by value; the order of rows does not matter, since the hub promises none.
#[derive(Clone, Debug, PartialEq)]
pub enum Expectation {
    /// No row: `none`.
    None,
    /// At least one row: `some`.
    Some,
    /// Just these rows, in any order. A single row is written without the list.
    Rows(Vec<Object>),
    /// So many rows: `count: ">= 3"`.
    Count(Bound),
    /// One row a device, of just these devices: `[thermostat-001, thermostat-002]`.
    Devices(BTreeSet<String>),
    /// One row, in which each of these columns is so: `n: { min: 3, max: 9 }`. Other columns do not matter.
    Columns(BTreeMap<String, Column>),
    /// The number of rows as a share of another query's: `share: ">= 95%"`, `of: SELECT …`.
    ///
    /// Where either query is an aggregate of one row with one number, that number counts in place of its rows.
    Share {
        /// In percent.
        bound: Bound,
        /// The query that is the whole.
        of: Box<BoundQuery>,
    },
}

impl Expectation {
    /// Returns the query that is the whole, for a share.
    pub fn whole(&self) -> Option<&BoundQuery> {
        match self {
            Self::Share { of, .. } => Some(of),
            _ => None,
        }
    }
}

/// What one column of the one row must be.
#[derive(Clone, Debug, PartialEq)]
pub enum Column {
    /// Equal.
    Equals(Value),
    /// A number within bounds, both included.
    Range {
        /// At least.
        min: Option<f64>,
        /// At most.
        max: Option<f64>,
    },
}

/// A comparison with a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bound {
    /// How.
    pub comparison: Comparison,
    /// With what.
    pub number: f64,
}

/// How numbers are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `=`, or no sign at all.
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    More,
    /// `>=`
    AtLeast,
}

/// What a check came to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CheckResult {
    /// The check's name.
    pub name: String,
    /// What was asked.
    pub query: String,
    /// What it means when it does not hold.
    pub severity: Severity,
    /// Whether it holds.
    pub status: CheckStatus,
    /// How many times it was asked.
    pub attempts: u32,
    /// How long it took until it held, or was given up.
    pub waited: Duration,
}

/// Whether a check holds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum CheckStatus {
    /// It does.
    Held,
    /// It does not.
    Failed(Difference),
    /// It could not be asked: an error and its causes, a line.
    Errored(String),
}

/// What is different from what was expected, for people. [`evaluate()`] makes it, and leaves out what is sensitive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// In a line, as in `expected no row, found 3`.
    pub summary: String,
    /// Row by row, a line each.
    pub details: Vec<String>,
    /// The devices concerned, where the rows name them.
    pub devices: Vec<String>,
}
