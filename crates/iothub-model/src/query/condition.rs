//! What a bound query is made of: the condition, and what makes the rows.

use super::ast::{Aggregate, ArithmeticOperator, ComparisonOperator, Literal};
use super::names::BoundPath;

/// What the rows are made of.
#[derive(Clone, Debug)]
pub(super) enum Output {
    Documents,
    Rows(Vec<Column>),
    /// One row for each value of the paths; one row in all when there are none.
    Groups {
        by: Vec<BoundPath>,
        columns: Vec<GroupColumn>,
    },
}

impl Output {
    /// The keys of a row in the order of the list; nothing for whole documents.
    pub(super) fn keys(&self) -> Option<Vec<&str>> {
        Some(match self {
            Self::Documents => return None,
            Self::Rows(columns) => {
                columns.iter().map(|column| column.alias.as_deref().unwrap_or(column.path.last())).collect()
            }
            Self::Groups { by, columns } => columns
                .iter()
                .map(|column| match column {
                    GroupColumn::Value { by: at, alias } => alias.as_deref().unwrap_or(by[*at].last()),
                    GroupColumn::Aggregate { key, .. } => key,
                })
                .collect(),
        })
    }
}

#[derive(Clone, Debug)]
pub(super) struct Column {
    pub(super) path: BoundPath,
    pub(super) alias: Option<String>,
}

#[derive(Clone, Debug)]
pub(super) enum GroupColumn {
    /// The value of a path that is grouped by, by its place in `GROUP BY`.
    Value {
        by: usize,
        alias: Option<String>,
    },
    Aggregate {
        aggregate: Aggregate,
        path: Option<BoundPath>,
        key: String,
    },
}

/// An expression that is ready to be evaluated.
#[derive(Clone, Debug)]
pub(super) enum Condition {
    Constant(Literal),
    /// An array, which is equal to nothing; what is in it does not matter.
    Array,
    Path(BoundPath),
    IsDefined(BoundPath),
    /// `STARTSWITH`, or `ENDSWITH` when `at_end`.
    Affix {
        at_end: bool,
        text: Box<Condition>,
        affix: Box<Condition>,
    },
    /// `ARRAY_CONTAINS`.
    ArrayContains(BoundPath, Box<Condition>),
    Sign(bool, Box<Condition>),
    Arithmetic(Box<Condition>, Vec<(ArithmeticOperator, Condition)>),
    Compare(Box<Condition>, ComparisonOperator, Box<Condition>),
    In {
        needle: Box<Condition>,
        negated: bool,
        members: Vec<Literal>,
    },
    Not(Box<Condition>),
    And(Vec<Condition>),
    Or(Vec<Condition>),
}
