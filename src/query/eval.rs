//! A bound query over documents, as a fold: rows leave as they come, aggregates at the end.

use serde_json::{Map, Value};

use super::aggregate::Groups;
use super::ast::ArithmeticOperator;
use super::bind::{BoundQuery, Condition, Output};
use super::value::{Operand, compare, equal};

/// A query in progress over a stream of documents.
///
/// Memory follows the groups of an aggregate and not the documents.
#[derive(Debug)]
pub struct Fold<'q> {
    query: &'q BoundQuery,
    /// How many rows may still leave.
    left: u64,
    groups: Option<Groups<'q>>,
}

impl<'q> Fold<'q> {
    pub(super) fn new(query: &'q BoundQuery) -> Self {
        let groups = match &query.output {
            Output::Groups { by, columns } => Some(Groups::new(by, columns)),
            Output::Documents | Output::Rows(_) => None,
        };
        Self { query, left: query.top.unwrap_or(u64::MAX), groups }
    }
}

impl Fold<'_> {
    /// Takes a document and returns its row: nothing where the condition does not hold, for aggregates, and after `TOP`.
    pub fn push(&mut self, document: &Value) -> Option<Value> {
        if self.is_full() || !self.query.matches(document) {
            return None;
        }
        let row = match &self.query.output {
            Output::Documents => document.clone(),
            Output::Rows(columns) => {
                let mut row = Map::new();
                for column in columns {
                    if let Some((key, value)) = column.path.find(document) {
                        let key = column.alias.as_deref().or(column.path.key).unwrap_or(key);
                        row.insert(key.to_owned(), value.clone());
                    }
                }
                Value::Object(row)
            }
            Output::Groups { .. } => {
                if let Some(groups) = &mut self.groups {
                    groups.push(document);
                }
                return None;
            }
        };
        self.left -= 1;
        Some(row)
    }

    /// Says whether `TOP` is reached, so that no further document can matter. Never true for aggregates, which look at all.
    pub fn is_full(&self) -> bool {
        self.left == 0 && self.groups.is_none()
    }

    /// Ends the run and returns the rows of aggregates; none for other queries, whose rows have left already.
    pub fn finish(self) -> Vec<Value> {
        let mut rows = self.groups.map(Groups::into_rows).unwrap_or_default();
        rows.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
        rows
    }
}

/// Says whether a condition is exactly true.
pub(super) fn holds(condition: &Condition, document: &Value) -> bool {
    evaluate(condition, document) == Operand::Bool(true)
}

fn evaluate<'a>(condition: &'a Condition, document: &'a Value) -> Operand<'a> {
    match condition {
        Condition::Constant(literal) => literal.into(),
        Condition::Array => Operand::Compound,
        Condition::Path(path) => path.get(document).into(),
        Condition::IsDefined(path) => Operand::Bool(path.get(document).is_some()),
        Condition::Affix { at_end, text, affix } => match (evaluate(text, document), evaluate(affix, document)) {
            (Operand::Text(text), Operand::Text(affix)) => {
                Operand::Bool(if *at_end { text.ends_with(affix) } else { text.starts_with(affix) })
            }
            _ => Operand::Undefined,
        },
        Condition::Sign(negative, operand) => match evaluate(operand, document).as_number() {
            Some(number) => Operand::Number(if *negative { -number } else { number }),
            None => Operand::Undefined,
        },
        Condition::Arithmetic(first, rest) => arithmetic(first, rest, document),
        Condition::Compare(left, operator, right) => {
            Operand::truth(compare(evaluate(left, document), *operator, evaluate(right, document)))
        }
        Condition::In { needle, negated, members } => {
            let needle = evaluate(needle, document);
            let found = any(members.iter().map(|member| equal(needle, member.into())));
            // With nothing to look for there is no answer, not even for an empty array.
            let found = if equal(needle, needle).is_none() { None } else { found };
            Operand::truth(found.map(|found| found != *negated))
        }
        Condition::Not(operand) => Operand::truth(evaluate(operand, document).as_bool().map(|value| !value)),
        Condition::And(operands) => {
            // All hold unless one denies: the same as none denies.
            let denied = any(operands.iter().map(|operand| evaluate(operand, document).as_bool().map(|value| !value)));
            Operand::truth(denied.map(|denied| !denied))
        }
        Condition::Or(operands) => {
            Operand::truth(any(operands.iter().map(|operand| evaluate(operand, document).as_bool())))
        }
    }
}

/// Three-valued OR: true as soon as one is, else unknown if one is, else false.
fn any(truths: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let mut result = Some(false);
    for truth in truths {
        match truth {
            Some(true) => return Some(true),
            Some(false) => {}
            None => result = None,
        }
    }
    result
}

fn arithmetic<'a>(
    first: &'a Condition,
    rest: &'a [(ArithmeticOperator, Condition)],
    document: &'a Value,
) -> Operand<'a> {
    let Some(mut result) = evaluate(first, document).as_number() else { return Operand::Undefined };
    for (operator, operand) in rest {
        let Some(operand) = evaluate(operand, document).as_number() else { return Operand::Undefined };
        result = match operator {
            ArithmeticOperator::Add => result + operand,
            ArithmeticOperator::Subtract => result - operand,
            ArithmeticOperator::Multiply => result * operand,
            ArithmeticOperator::Divide => result / operand,
            ArithmeticOperator::Remainder => result % operand,
        };
        // Division by zero has no number, and nothing that follows makes it one.
        if !result.is_finite() {
            return Operand::Undefined;
        }
    }
    Operand::Number(result)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::compile;

    fn devices(count: usize) -> Vec<serde_json::Value> {
        (0..count).map(|n| json!({ "deviceId": format!("d{n}"), "tags": { "n": n } })).collect()
    }

    #[test]
    fn a_fold_is_full_after_top() {
        let query = compile("SELECT TOP 2 deviceId FROM devices WHERE tags.n > 0").expect("a query");
        let mut fold = query.start();
        let pushed: Vec<_> = devices(5).iter().map(|device| (fold.is_full(), fold.push(device).is_some())).collect();
        assert_eq!(pushed, [(false, false), (false, true), (false, true), (true, false), (true, false)]);
        assert!(fold.finish().is_empty());
    }

    #[test]
    fn an_aggregate_is_never_full_and_top_cuts_its_rows() {
        let query = compile("SELECT TOP 1 tags.n, COUNT() AS c FROM devices GROUP BY tags.n").expect("a query");
        let mut fold = query.start();
        for device in devices(3) {
            assert_eq!(fold.push(&device), None);
            assert!(!fold.is_full());
        }
        assert_eq!(fold.finish(), [json!({ "n": 0, "c": 1 })]);
    }

    #[test]
    fn reading_stops_at_top() {
        let query = compile("SELECT TOP 1 * FROM devices").expect("a query");
        let devices = devices(3);
        let mut read = 0;
        let rows = query.rows(devices.iter().inspect(|_| read += 1));
        assert_eq!((rows.len(), read), (1, 2));
    }
}
