//! Checks in version 1 of the plan file.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::PlanFileError;
use super::words::words;
use crate::check::{Bound, Check, Column, Comparison, Expectation, Severity};
use iothub_model::query::{BoundQuery, compile};
use iothub_model::twin::Object;

words!(SeverityV1 for Severity { Error = "error", Warn = "warn" });
words!(ComparisonV1 for Comparison {
    Equal = "=", NotEqual = "!=", Less = "<", AtMost = "<=", More = ">", AtLeast = ">=",
});

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct CheckV1 {
    name: String,
    query: String,
    expect: ExpectV1,
    /// Milliseconds.
    within_ms: u64,
    severity: SeverityV1,
    /// Left out where it is not so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    gate: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ExpectV1 {
    None,
    Some,
    Rows(Vec<Object>),
    Count(BoundV1),
    Devices(BTreeSet<String>),
    Columns(BTreeMap<String, ColumnV1>),
    #[serde(rename_all = "camelCase")]
    Share {
        bound: BoundV1,
        of: String,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BoundV1 {
    is: ComparisonV1,
    number: f64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ColumnV1 {
    Equals(Value),
    Range { min: Option<f64>, max: Option<f64> },
}

impl CheckV1 {
    pub(super) fn of(check: &Check) -> Self {
        let Check { name, query, expect, within, severity, gate } = check;
        let bound = |bound: &Bound| BoundV1 { is: bound.comparison.into(), number: bound.number };
        let expect = match expect {
            Expectation::None => ExpectV1::None,
            Expectation::Some => ExpectV1::Some,
            Expectation::Rows(rows) => ExpectV1::Rows(rows.clone()),
            Expectation::Count(count) => ExpectV1::Count(bound(count)),
            Expectation::Devices(ids) => ExpectV1::Devices(ids.clone()),
            Expectation::Columns(columns) => ExpectV1::Columns(
                columns
                    .iter()
                    .map(|(name, column)| {
                        let column = match column {
                            Column::Equals(value) => ColumnV1::Equals(value.clone()),
                            Column::Range { min, max } => ColumnV1::Range { min: *min, max: *max },
                        };
                        (name.clone(), column)
                    })
                    .collect(),
            ),
            Expectation::Share { bound: share, of } => {
                ExpectV1::Share { bound: bound(share), of: of.text().to_owned() }
            }
        };
        Self {
            name: name.clone(),
            query: query.text().to_owned(),
            expect,
            within_ms: u64::try_from(within.as_millis()).unwrap_or(u64::MAX),
            severity: (*severity).into(),
            gate: *gate,
        }
    }

    pub(super) fn into_check(self) -> Result<Check, PlanFileError> {
        let Self { name, query, expect, within_ms, severity, gate } = self;
        let compiled = |text: &str| -> Result<BoundQuery, PlanFileError> {
            compile(text).map_err(|errors| PlanFileError::Query {
                check: name.clone(),
                problem: errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
            })
        };
        let bound = |bound: BoundV1| Bound { comparison: bound.is.into(), number: bound.number };
        let expect = match expect {
            ExpectV1::None => Expectation::None,
            ExpectV1::Some => Expectation::Some,
            ExpectV1::Rows(rows) => Expectation::Rows(rows),
            ExpectV1::Count(count) => Expectation::Count(bound(count)),
            ExpectV1::Devices(ids) => Expectation::Devices(ids),
            ExpectV1::Columns(columns) => Expectation::Columns(
                columns
                    .into_iter()
                    .map(|(name, column)| {
                        let column = match column {
                            ColumnV1::Equals(value) => Column::Equals(value),
                            ColumnV1::Range { min, max } => Column::Range { min, max },
                        };
                        (name, column)
                    })
                    .collect(),
            ),
            ExpectV1::Share { bound: share, of } => {
                Expectation::Share { bound: bound(share), of: Box::new(compiled(&of)?) }
            }
        };
        let query = compiled(&query)?;
        Ok(Check { query, expect, within: Duration::from_millis(within_ms), severity: severity.into(), gate, name })
    }
}
