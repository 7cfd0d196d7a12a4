//! What an expression comes to, and how two such values compare.

use std::cmp::Ordering;

use serde_json::Value;

use super::ast::{ComparisonOperator, Literal};

/// A value during evaluation: borrowed from the document or the query, never copied.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Operand<'a> {
    /// Nothing is there, or the expression means nothing.
    Undefined,
    Null,
    Bool(bool),
    Number(f64),
    Text(&'a str),
    /// An object or array: there, and equal to nothing.
    Compound,
}

impl<'a> From<Option<&'a Value>> for Operand<'a> {
    fn from(value: Option<&'a Value>) -> Self {
        match value {
            None => Self::Undefined,
            Some(Value::Null) => Self::Null,
            Some(Value::Bool(value)) => Self::Bool(*value),
            Some(Value::Number(number)) => number.as_f64().map_or(Self::Undefined, Self::Number),
            Some(Value::String(text)) => Self::Text(text),
            Some(Value::Array(_) | Value::Object(_)) => Self::Compound,
        }
    }
}

impl<'a> From<&'a Literal> for Operand<'a> {
    fn from(literal: &'a Literal) -> Self {
        match literal {
            Literal::Undefined => Self::Undefined,
            Literal::Null => Self::Null,
            Literal::Bool(value) => Self::Bool(*value),
            Literal::Number(value) => Self::Number(*value),
            Literal::Text(text) => Self::Text(text),
        }
    }
}

impl Operand<'_> {
    /// Makes a three-valued truth an operand.
    pub(super) fn truth(truth: Option<bool>) -> Self {
        truth.map_or(Self::Undefined, Self::Bool)
    }

    pub(super) fn as_bool(self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(value),
            _ => None,
        }
    }

    pub(super) fn as_number(self) -> Option<f64> {
        match self {
            Self::Number(value) => Some(value),
            _ => None,
        }
    }
}

/// Says whether two values are equal: undefined unless both are primitives, false between types.
pub(super) fn equal(left: Operand<'_>, right: Operand<'_>) -> Option<bool> {
    use Operand::{Compound, Undefined};
    match (left, right) {
        (Undefined | Compound, _) | (_, Undefined | Compound) => None,
        _ => Some(left == right),
    }
}

/// Orders two values of one type. Texts go by code point, which is the order of their bytes in UTF-8.
fn order(left: Operand<'_>, right: Operand<'_>) -> Option<Ordering> {
    match (left, right) {
        (Operand::Null, Operand::Null) => Some(Ordering::Equal),
        (Operand::Bool(left), Operand::Bool(right)) => Some(left.cmp(&right)),
        (Operand::Number(left), Operand::Number(right)) => left.partial_cmp(&right),
        (Operand::Text(left), Operand::Text(right)) => Some(left.cmp(right)),
        _ => None,
    }
}

pub(super) fn compare(left: Operand<'_>, operator: ComparisonOperator, right: Operand<'_>) -> Option<bool> {
    match operator {
        ComparisonOperator::Equal => equal(left, right),
        ComparisonOperator::NotEqual => equal(left, right).map(|equal| !equal),
        ComparisonOperator::Less => order(left, right).map(Ordering::is_lt),
        ComparisonOperator::Greater => order(left, right).map(Ordering::is_gt),
        ComparisonOperator::LessOrEqual => order(left, right).map(Ordering::is_le),
        ComparisonOperator::GreaterOrEqual => order(left, right).map(Ordering::is_ge),
    }
}

/// Makes a number JSON: an integer where it is one that a float holds exactly.
pub(super) fn json_number(number: f64) -> Value {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() <= EXACT { Value::from(number as i64) } else { Value::from(number) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ComparisonOperator::{Equal, Greater, Less, LessOrEqual, NotEqual};
    use Operand::{Bool, Compound, Null, Number, Text, Undefined};

    #[test]
    fn comparisons_by_type() {
        let check = |left, operator, right, expected| {
            assert_eq!(compare(left, operator, right), expected, "{left:?} {operator} {right:?}");
        };
        check(Number(1.0), Equal, Number(1.0), Some(true));
        check(Number(0.0), Equal, Number(-0.0), Some(true));
        check(Text("a"), Less, Text("b"), Some(true));
        check(Text("Z"), Less, Text("a"), Some(true));
        check(Text("\u{ff5e}"), Less, Text("\u{1f600}"), Some(true));
        check(Bool(false), Less, Bool(true), Some(true));
        check(Null, Equal, Null, Some(true));
        check(Null, LessOrEqual, Null, Some(true));
        check(Number(1.0), Equal, Text("1"), Some(false));
        check(Number(1.0), NotEqual, Text("1"), Some(true));
        check(Number(1.0), Less, Text("1"), None);
        check(Bool(true), Greater, Number(0.0), None);
        check(Null, Equal, Bool(false), Some(false));
        for operator in [Equal, NotEqual, Less] {
            check(Undefined, operator, Undefined, None);
            check(Undefined, operator, Text("a"), None);
            check(Text("a"), operator, Undefined, None);
            check(Compound, operator, Compound, None);
            check(Compound, operator, Text("a"), None);
            check(Null, operator, Compound, None);
        }
    }

    #[test]
    fn numbers_come_out_as_people_write_them() {
        let check = |number: f64, expected: &str| assert_eq!(json_number(number).to_string(), expected);
        check(3.0, "3");
        check(-0.0, "0");
        check(2.5, "2.5");
        check(9_007_199_254_740_992.0, "9007199254740992");
        check(1e300, "1e+300");
    }
}
