//! A bound query over documents, as a fold: rows leave as they come, aggregates at the end.

use serde_json::{Map, Value};

use super::aggregate::Groups;
use super::ast::ArithmeticOperator;
use super::condition::{Condition, Output};
use super::value::{Operand, compare, equal};
use crate::twin::OrderedObject;

/// A query in progress over a stream of documents.
///
/// Memory follows the groups of an aggregate and not the documents.
#[derive(Debug)]
pub struct Fold<'q> {
    output: &'q Output,
    condition: Option<&'q Condition>,
    /// How many rows may still leave.
    left: u64,
    groups: Option<Groups<'q>>,
}

impl<'q> Fold<'q> {
    pub(super) fn new(output: &'q Output, condition: Option<&'q Condition>, top: Option<u64>) -> Self {
        let groups = match output {
            Output::Groups { by, columns } => Some(Groups::new(by, columns)),
            Output::Documents | Output::Rows(_) => None,
        };
        Self { output, condition, left: top.unwrap_or(u64::MAX), groups }
    }
}

impl Fold<'_> {
    /// Takes a document and returns its row: nothing where the condition does not hold, for aggregates, and after `TOP`.
    pub fn push(&mut self, document: &Value) -> Option<Value> {
        if self.is_full() || !self.matches(document) { None } else { self.push_matching(document, None) }
    }

    /// Does the same with a document, or an excerpt of one, whose text is there: values that are grouped by keep the order of their members.
    pub fn push_with_text(&mut self, document: &Value, text: &str) -> Option<Value> {
        if self.is_full() || !self.matches(document) { None } else { self.push_matching(document, Some(text)) }
    }

    fn matches(&self, document: &Value) -> bool {
        self.condition.is_none_or(|condition| holds(condition, document))
    }

    /// Takes a document for which the condition is known to hold, though the document may lack what the condition reads.
    pub(super) fn push_matching(&mut self, document: &Value, text: Option<&str>) -> Option<Value> {
        let row = match self.output {
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
                    groups.push(document, text);
                }
                return None;
            }
        };
        self.left -= 1;
        Some(row)
    }

    /// Takes what an aggregate of the same paths comes to over other documents, a row a group.
    pub(super) fn push_totals(&mut self, values: &[Option<&Value>], totals: &[Option<&Value>]) {
        if let Some(groups) = &mut self.groups {
            groups.push_totals(values, totals);
        }
    }

    /// Says whether `TOP` is reached, so that no further document can matter. Never true for aggregates, which look at all.
    pub fn is_full(&self) -> bool {
        self.left == 0 && self.groups.is_none()
    }

    /// Ends the run and returns the rows of aggregates; none for other queries, whose rows have left already.
    pub fn finish(self) -> Vec<Value> {
        self.finish_in_order().iter().map(|row| Value::Object(row.into())).collect()
    }

    /// The same, with the columns in the order of the list.
    pub fn finish_in_order(self) -> Vec<OrderedObject> {
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
        Condition::ArrayContains(array, member) => match array.get(document).and_then(Value::as_array) {
            Some(members) => {
                let member = evaluate(member, document);
                Operand::Bool(members.iter().any(|found| equal(Some(found).into(), member) == Some(true)))
            }
            None => Operand::Undefined,
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

    use super::super::{Collection, compile, compile_condition};

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
        assert_eq!((rows.len(), read), (1, 1));
    }

    /// Evaluates a condition that reads `tags.t`, `tags.f`, `tags.n` (null), `tags.o` (an object) and `tags.u` (missing).
    fn truth(text: &str) -> Option<bool> {
        let document = json!({ "deviceId": "d", "tags": { "t": true, "f": false, "n": null, "o": {}, "one": 1, "s": "x", "list": ["x", 1] } });
        let holds = |text: &str| {
            let query =
                compile_condition(text, Collection::Devices).unwrap_or_else(|errors| panic!("{text}: {errors:?}"));
            query.matches(&document)
        };
        match (holds(text), holds(&format!("NOT ({text})"))) {
            (true, false) => Some(true),
            (false, true) => Some(false),
            (false, false) => None,
            (true, true) => panic!("{text} is true and false"),
        }
    }

    #[test]
    fn three_valued_logic() {
        const T: Option<bool> = Some(true);
        const F: Option<bool> = Some(false);
        const U: Option<bool> = None;
        let operands = [("tags.t", T), ("tags.f", F), ("tags.u", U)];
        let and = [[T, F, U], [F, F, F], [U, F, U]];
        let or = [[T, T, T], [T, F, U], [T, U, U]];
        for (row, (left, value)) in operands.iter().enumerate() {
            assert_eq!(truth(left), *value);
            assert_eq!(truth(&format!("NOT {left}")), value.map(|value| !value));
            for (column, (right, _)) in operands.iter().enumerate() {
                assert_eq!(truth(&format!("{left} AND {right}")), and[row][column], "{left} AND {right}");
                assert_eq!(truth(&format!("{left} OR {right}")), or[row][column], "{left} OR {right}");
            }
        }
    }

    #[test]
    fn truths() {
        let check = |text: &str, expected: Option<bool>| assert_eq!(truth(text), expected, "{text}");
        // What is no boolean counts as undefined in logic.
        for other in ["tags.n", "tags.o", "tags.one", "tags.s", "null", "undefined", "1", "'true'", "[true]"] {
            check(other, None);
            check(&format!("{other} OR true"), Some(true));
            check(&format!("{other} AND false"), Some(false));
            check(&format!("{other} OR false"), None);
        }
        check("1 = 1.0", Some(true));
        check("1 = '1'", Some(false));
        check("1 != '1'", Some(true));
        check("1 < '2'", None);
        check("true = true", Some(true));
        check("true = 1", Some(false));
        check("false < true", Some(true));
        check("null = null", Some(true));
        check("null != null", Some(false));
        check("null = false", Some(false));
        check("null < 1", None);
        check("tags.n = null", Some(true));
        check("tags.u = null", None);
        check("tags.u != null", None);
        check("tags.u = tags.u", None);
        check("undefined = undefined", None);
        check("tags.o = tags.o", None);
        check("tags.o != 'x'", None);
        check("[1] = [1]", None);
        check("is_defined(tags.n)", Some(true));
        check("is_defined(tags.o)", Some(true));
        check("is_defined(tags.u)", Some(false));
        check("is_defined(tags.s.t)", Some(false));
        check("tags.s IN ['x', 1]", Some(true));
        check("tags.s IN ['y', 1]", Some(false));
        check("tags.s IN ['y', undefined]", None);
        check("tags.s IN ['x', undefined]", Some(true));
        check("tags.s NIN ['x']", Some(false));
        check("tags.s NIN ['y']", Some(true));
        check("tags.s NOT IN ['y']", Some(true));
        check("tags.s IN []", Some(false));
        check("tags.u IN ['x']", None);
        check("tags.u NIN ['x']", None);
        check("tags.u NIN []", None);
        check("tags.o NIN ['x']", None);
        check("tags.n IN [null]", Some(true));
        check("STARTSWITH(tags.s, 'x')", Some(true));
        check("STARTSWITH(tags.s, 'X')", Some(false));
        check("ENDSWITH(tags.s, 'xx')", Some(false));
        check("STARTSWITH(tags.one, '1')", None);
        check("STARTSWITH(tags.s, 1)", None);
        check("STARTSWITH(tags.u, '')", None);
        check("ARRAY_CONTAINS(tags.list, 'x')", Some(true));
        check("array_contains(tags.list, 1)", Some(true));
        check("ARRAY_CONTAINS(tags.list, 'X')", Some(false));
        check("ARRAY_CONTAINS(tags.list, '1')", Some(false));
        check("ARRAY_CONTAINS(tags.list, tags.u)", Some(false));
        check("NOT ARRAY_CONTAINS(tags.list, 'y')", Some(true));
        check("ARRAY_CONTAINS(tags.s, 'x')", None);
        check("ARRAY_CONTAINS(tags.u, 'x')", None);
        check("1 + 2 * 3 = 7", Some(true));
        check("7 % 4 = 3 AND -7 % 4 = -3", Some(true));
        check("8 / 4 / 2 = 1", Some(true));
        check("-(1 - 3) = 2", Some(true));
        check("1 - -1 = 2", Some(true));
        check("1 / 0 = 1 / 0", None);
        check("0 / 0 = 0", None);
        check("1 % 0 = 0", None);
        check("'a' + 'b' = 'ab'", None);
        check("-'a' = 0", None);
        check("-tags.n = 0", None);
        check("true + 1 = 2", None);
        check("0x10 = 16", Some(true));
        check("9007199254740993 = 9007199254740992", Some(true));
    }
}
