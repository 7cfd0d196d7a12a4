//! Whether rows are as expected, and what is different.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::redact::redact;
use super::{Bound, Check, Column, Comparison, Difference, Expectation};
use crate::legible;
use crate::plural::plural;
use iothub_model::query::BoundQuery;
use iothub_model::twin::value::{canonical, equal};
use iothub_model::twin::{Object, TwinPath};

/// How many rows are told in detail. The counts in the summary are of all.
const MOST: usize = 1000;
/// Up to how many rows on either side the ones that are most alike are put beside each other.
const MOST_ALIKE: usize = 50;

/// Compares a query's rows with what the check expects of them. `whole` are the rows of the other query, for a share.
///
/// A share of nothing does not hold, whatever the bound: a fleet that has vanished must not pass.
///
/// Where the check reads `secrets`, no more is told than that it does not hold, and of which devices.
pub(crate) fn evaluate(
    check: &Check,
    rows: &[Value],
    whole: Option<&[Value]>,
    secrets: &[TwinPath],
) -> Result<(), Difference> {
    compare(check, rows, whole).map_err(|found| redact(check, found, secrets))
}

fn compare(check: &Check, rows: &[Value], whole: Option<&[Value]>) -> Result<(), Difference> {
    match &check.expect {
        Expectation::None if rows.is_empty() => Ok(()),
        Expectation::None => Err(found_too_many("no row", rows)),
        Expectation::Some if !rows.is_empty() => Ok(()),
        Expectation::Some => Err(summary("expected at least one row, found none")),
        Expectation::Rows(expected) => compare_rows(expected, rows),
        Expectation::Count(bound) => compare_count(*bound, rows),
        Expectation::Devices(expected) => compare_devices(expected, rows),
        Expectation::Columns(expected) => compare_columns(expected, rows),
        Expectation::Share { bound, of } => {
            let whole = whole.map(|rows| amount(of, rows));
            compare_share(*bound, amount(&check.query, rows), whole)
        }
    }
}

fn summary(text: impl Into<String>) -> Difference {
    Difference { summary: text.into(), ..Difference::default() }
}

fn counted(count: usize, noun: &str) -> String {
    format!("{count} {}", plural(count, noun))
}

/// `no row`, or the count.
fn found(count: usize) -> String {
    if count == 0 { "none".to_owned() } else { count.to_string() }
}

fn device_id(row: &Value) -> Option<&str> {
    row.get("deviceId")?.as_str()
}

/// Returns the devices that rows name, each once, in order.
fn devices(rows: &[Value]) -> Vec<String> {
    rows.iter().filter_map(device_id).collect::<BTreeSet<_>>().into_iter().map(str::to_owned).collect()
}

/// Says whether the device's id tells all that needs to be told of a row: it is alone, or the row is a whole twin.
fn is_told_by_its_device(row: &Value) -> bool {
    device_id(row).is_some() && row.as_object().is_some_and(|row| row.len() == 1 || row.contains_key("properties"))
}

/// Cuts the lines to some, and says how many more there are.
fn cut(lines: impl ExactSizeIterator<Item = String>) -> Vec<String> {
    let more = lines.len().saturating_sub(MOST);
    let mut lines: Vec<_> = lines.take(MOST).collect();
    if more > 0 {
        lines.push(format!("and {} more", counted(more, "row")));
    }
    lines
}

fn found_too_many(expected: &str, rows: &[Value]) -> Difference {
    let told = rows.iter().filter(|row| !is_told_by_its_device(row));
    let mut told: Vec<String> = told.map(canonical).collect();
    legible::tell_apart(&mut told);
    Difference {
        summary: format!("expected {expected}, found {}", found(rows.len())),
        details: cut(told.into_iter().map(|row| format!("+ {row}"))),
        devices: devices(rows),
    }
}

fn compare_count(bound: Bound, rows: &[Value]) -> Result<(), Difference> {
    let count = rows.len();
    if bound.holds(count as f64) {
        return Ok(());
    }
    let noun = if bound.number == 1.0 { "row" } else { "rows" };
    let expected = format!("{} {noun}", bound.in_words());
    let too_many = matches!(bound.comparison, Comparison::Equal | Comparison::Less | Comparison::AtMost)
        && count as f64 >= bound.number;
    Err(if too_many {
        found_too_many(&expected, rows)
    } else {
        summary(format!("expected {expected}, found {}", found(count)))
    })
}

fn compare_rows(expected: &[Object], rows: &[Value]) -> Result<(), Difference> {
    // Canonical texts are equal when values are, so that rows can be counted.
    let mut balance: BTreeMap<String, (isize, Value)> = BTreeMap::new();
    for row in expected {
        let row = Value::Object(row.clone());
        balance.entry(canonical(&row)).or_insert((0, row)).0 -= 1;
    }
    for row in rows {
        balance.entry(canonical(row)).or_insert_with(|| (0, row.clone())).0 += 1;
    }
    let mut missing = Vec::new();
    let mut surplus = Vec::new();
    for (count, row) in balance.into_values() {
        let side = if count < 0 { &mut missing } else { &mut surplus };
        side.extend(std::iter::repeat_n(row, count.unsigned_abs()));
    }
    if missing.is_empty() && surplus.is_empty() {
        return Ok(());
    }
    if let ([Value::Object(expected)], [Value::Object(found)]) = (&*missing, &*surplus)
        && rows.len() == 1
    {
        return Err(one_row(expected, found));
    }
    let mut concerned = missing.clone();
    concerned.extend_from_slice(&surplus);
    Err(Difference {
        summary: format!(
            "expected {}, found {}: {}",
            counted(expected.len(), "row"),
            found(rows.len()),
            tally(missing.len(), surplus.len())
        ),
        devices: devices(&concerned),
        details: side_by_side(missing, surplus),
    })
}

/// `1 is missing, 2 are too many`
fn tally(missing: usize, surplus: usize) -> String {
    let verb = |count| if count == 1 { "is" } else { "are" };
    let missing = (missing > 0).then(|| format!("{missing} {} missing", verb(missing)));
    let surplus = (surplus > 0).then(|| format!("{surplus} {} too many", verb(surplus)));
    missing.into_iter().chain(surplus).collect::<Vec<_>>().join(", ")
}

/// Lists rows that are missing behind `-` and those too many behind `+`, each missing one before the one most like it.
fn side_by_side(missing: Vec<Value>, mut surplus: Vec<Value>) -> Vec<String> {
    let few = missing.len().max(surplus.len()) <= MOST_ALIKE;
    let mut lines: Vec<(char, Value)> = Vec::new();
    for row in missing {
        lines.push(('-', row.clone()));
        let best =
            surplus.iter().enumerate().map(|(index, other)| (alike(&row, other), std::cmp::Reverse(index))).max();
        if let Some((alike, std::cmp::Reverse(index))) = best.filter(|_| few)
            && alike > 0
        {
            lines.push(('+', surplus.remove(index)));
        }
    }
    lines.extend(surplus.into_iter().map(|row| ('+', row)));
    let mut rows: Vec<String> = lines.iter().map(|(_, row)| canonical(row)).collect();
    legible::tell_apart(&mut rows);
    cut(lines.iter().zip(rows).map(|((sign, _), row)| format!("{sign} {row}")))
}

/// Counts the columns in which two rows are the same.
fn alike(a: &Value, b: &Value) -> usize {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            a.iter().filter(|(name, a)| b.get(*name).is_some_and(|b| equal(a, b))).count()
        }
        _ => 0,
    }
}

/// Tells one row from another column by column.
fn one_row(expected: &Object, found: &Object) -> Difference {
    let names: BTreeSet<_> = expected.keys().chain(found.keys()).collect();
    let details: Vec<_> = names
        .into_iter()
        .filter_map(|name| match (expected.get(name), found.get(name)) {
            (Some(expected), Some(found)) if equal(expected, found) => None,
            (Some(expected), found) => Some(column(name, &canonical(expected), found)),
            (None, found) => Some(column(name, "no such column", found)),
        })
        .collect();
    columns_differ(details, &Value::Object(found.clone()))
}

fn column(name: &str, expected: &str, found: Option<&Value>) -> String {
    let mut sides = [expected.to_owned(), found.map_or_else(|| "no such column".to_owned(), canonical)];
    legible::tell_apart(&mut sides);
    let [expected, found] = sides;
    format!("{name}: expected {expected}, found {found}")
}

/// One column stands in the summary, several under it.
fn columns_differ(mut details: Vec<String>, row: &Value) -> Difference {
    let devices = devices(std::slice::from_ref(row));
    if details.len() == 1 {
        return Difference { summary: details.remove(0), details, devices };
    }
    Difference { summary: format!("{} differ", counted(details.len(), "column")), details, devices }
}

fn compare_columns(expected: &BTreeMap<String, Column>, rows: &[Value]) -> Result<(), Difference> {
    let [row] = rows else {
        return Err(if rows.is_empty() {
            summary("expected one row, found none")
        } else {
            found_too_many("one row", rows)
        });
    };
    let details: Vec<_> =
        expected.iter().filter_map(|(name, expected)| compare_column(name, expected, row.get(name))).collect();
    if details.is_empty() { Ok(()) } else { Err(columns_differ(details, row)) }
}

fn compare_column(name: &str, expected: &Column, found: Option<&Value>) -> Option<String> {
    let (holds, expected) = match expected {
        Column::Equals(expected) => (found.is_some_and(|found| equal(expected, found)), canonical(expected)),
        Column::Range { min, max } => {
            let within = |number: f64| min.is_none_or(|min| number >= min) && max.is_none_or(|max| number <= max);
            let text = match (min, max) {
                (Some(min), Some(max)) => format!("{min} to {max}"),
                (Some(min), None) => format!("at least {min}"),
                (None, Some(max)) => format!("at most {max}"),
                (None, None) => "a number".to_owned(),
            };
            (found.and_then(Value::as_f64).is_some_and(within), text)
        }
    };
    (!holds).then(|| column(name, &expected, found))
}

fn compare_devices(expected: &BTreeSet<String>, rows: &[Value]) -> Result<(), Difference> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut nameless = 0;
    for row in rows {
        match device_id(row) {
            Some(id) => *counts.entry(id).or_default() += 1,
            None => nameless += 1,
        }
    }
    let missing: Vec<_> = expected.iter().map(String::as_str).filter(|id| !counts.contains_key(id)).collect();
    let surplus: Vec<_> = counts.keys().copied().filter(|id| !expected.contains(*id)).collect();
    let repeated: Vec<_> =
        counts.iter().filter(|&(id, &count)| count > 1 && expected.contains(*id)).map(|(&id, &n)| (id, n)).collect();
    if missing.is_empty() && surplus.is_empty() && repeated.is_empty() && nameless == 0 {
        return Ok(());
    }
    let mut parts = Vec::new();
    let of_ids = tally(missing.len(), surplus.len());
    if !of_ids.is_empty() {
        parts.push(of_ids);
    }
    if !repeated.is_empty() {
        let verb = if repeated.len() == 1 { "is" } else { "are" };
        parts.push(format!("{} {verb} there more than once", repeated.len()));
    }
    if nameless > 0 {
        let verb = if nameless == 1 { "has" } else { "have" };
        parts.push(format!("{} {verb} no deviceId", counted(nameless, "row")));
    }
    let lines: Vec<_> = (missing.iter().map(|id| format!("- {id}")))
        .chain(surplus.iter().map(|id| format!("+ {id}")))
        .chain(repeated.iter().map(|(id, count)| format!("+ {id} ({count} rows)")))
        .collect();
    let concerned: BTreeSet<_> =
        missing.into_iter().chain(surplus).chain(repeated.into_iter().map(|(id, _)| id)).collect();
    Err(Difference {
        summary: format!(
            "expected {}, found {}: {}",
            counted(expected.len(), "device"),
            found(counts.len()),
            parts.join(", ")
        ),
        details: cut(lines.into_iter()),
        devices: concerned.into_iter().map(str::to_owned).collect(),
    })
}

/// Returns what a query's rows amount to: the one number of an aggregate's one row, or else how many rows there are.
fn amount(query: &BoundQuery, rows: &[Value]) -> f64 {
    if query.is_aggregate()
        && let [Value::Object(row)] = rows
        && row.len() == 1
        && let Some(number) = row.values().next().and_then(Value::as_f64)
    {
        return number;
    }
    rows.len() as f64
}

fn compare_share(bound: Bound, part: f64, whole: Option<f64>) -> Result<(), Difference> {
    let expected = format!("expected a share of {}%", bound.in_words().replace("fewer", "less"));
    let Some(whole) = whole else { return Err(summary(format!("{expected}, of a whole that was not asked for"))) };
    if whole == 0.0 {
        return Err(summary(format!("{expected}, and there is nothing to have a share of: the whole is 0")));
    }
    // The bound as a number of things, so that 95% of 20 is 19 without a rounding error of a division.
    let as_amount = Bound { comparison: bound.comparison, number: bound.number * whole };
    if as_amount.holds(part * 100.0) {
        return Ok(());
    }
    // With so many digits that what is shown does not hold either.
    let share = (1..9)
        .map(|digits| format!("{:.digits$}", part / whole * 100.0))
        .find(|text| !text.parse().is_ok_and(|shown| bound.holds(shown)))
        .unwrap_or_else(|| (part / whole * 100.0).to_string());
    let share = share.strip_suffix(".0").unwrap_or(&share);
    Err(summary(format!("{expected}, found {share}% ({part} of {whole})")))
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::check::Severity;
    use iothub_model::query::compile;

    fn holds(expect: Expectation, query: &str, rows: Value, whole: Option<Value>) -> Result<(), Difference> {
        let check = Check {
            name: "a check".to_owned(),
            query: compile(query).expect("a query"),
            expect,
            within: Duration::ZERO,
            severity: Severity::Error,
            gate: false,
        };
        let rows = rows.as_array().expect("rows").clone();
        let whole = whole.map(|whole| whole.as_array().expect("rows").clone());
        evaluate(&check, &rows, whole.as_deref(), &[])
    }

    fn rows(rows: Value) -> Expectation {
        let rows = rows.as_array().expect("rows").iter();
        Expectation::Rows(rows.map(|row| row.as_object().expect("an object").clone()).collect())
    }

    fn count(text: &str) -> Expectation {
        Expectation::Count(text.parse().expect(text))
    }

    fn of_devices(ids: &[&str]) -> Expectation {
        Expectation::Devices(ids.iter().map(|&id| id.to_owned()).collect())
    }

    fn column(name: &str, column: Column) -> Expectation {
        Expectation::Columns([(name.to_owned(), column)].into())
    }

    fn range(min: Option<f64>, max: Option<f64>) -> Column {
        Column::Range { min, max }
    }

    fn share(bound: &str, of: &str) -> Expectation {
        Expectation::Share {
            bound: Bound::parse_percent(bound).expect(bound),
            of: Box::new(compile(of).expect("a query")),
        }
    }

    const ALL: &str = "SELECT deviceId FROM devices";
    const COUNT: &str = "SELECT COUNT() AS n FROM devices";

    #[test]
    fn what_holds() {
        for (expect, found) in [
            (Expectation::None, json!([])),
            (Expectation::Some, json!([{}])),
            (rows(json!([])), json!([])),
            (rows(json!([{"n": 1}])), json!([{"n": 1.0}])),
            (rows(json!([{"a": 1}, {"a": 2}, {"a": 1}])), json!([{"a": 1}, {"a": 1}, {"a": 2}])),
            (count("3"), json!([{}, {}, {}])),
            (count("<= 0"), json!([])),
            (of_devices(&["a", "b"]), json!([{"deviceId": "b"}, {"deviceId": "a", "more": 1}])),
            (of_devices(&[]), json!([])),
            (column("n", Column::Equals(json!(3))), json!([{"n": 3.0, "m": 1}])),
            (column("n", range(Some(3.0), Some(9.0))), json!([{"n": 3}])),
            (column("n", range(Some(3.0), Some(9.0))), json!([{"n": 9}])),
            (column("n", range(None, Some(9.0))), json!([{"n": -1}])),
        ] {
            assert_eq!(holds(expect.clone(), ALL, found, None), Ok(()), "{expect:?}");
        }
    }

    #[test]
    fn what_does_not_hold_reads_well() {
        let many: Vec<_> = (0..1003).map(|n| json!({"n": n})).collect();
        let twin = json!({"deviceId": "a", "etag": "AAE=", "properties": {}});
        let mut text = String::new();
        for (name, expect, found) in [
            ("none", Expectation::None, json!([{"deviceId": "b"}, {"deviceId": "a"}])),
            ("none, whole twins", Expectation::None, json!([twin])),
            ("none, other columns", Expectation::None, json!([{"deviceId": "a", "fw": "1.2"}, {"fw": "1.3"}])),
            ("some", Expectation::Some, json!([])),
            ("count, too few", count(">= 3"), json!([{"deviceId": "a"}])),
            ("count, too many", count("< 2"), json!([{"deviceId": "a"}, {"deviceId": "b"}])),
            ("count, one", count("1"), json!([])),
            ("count, not", count("!= 0"), json!([])),
            ("one row, one column", rows(json!([{"n": 122}])), json!([{"n": 119}])),
            ("one row, some columns", rows(json!([{"n": 1, "m": 2, "k": 0}])), json!([{"n": 2, "l": "x", "k": 0.0}])),
            ("one row, none there", rows(json!([{"n": 122}])), json!([])),
            (
                "rows, the most alike beside each other",
                rows(json!([{"fw": "1.2", "n": 7}, {"fw": "1.4", "n": 1}])),
                json!([{"fw": "0.9", "n": 3}, {"fw": "1.3", "n": 7}, {"fw": "1.4", "n": 2}]),
            ),
            (
                "rows, one of two the same",
                rows(json!([{"deviceId": "a"}, {"deviceId": "a"}])),
                json!([{"deviceId": "a"}]),
            ),
            ("devices", of_devices(&["a", "b", "c"]), json!([{"deviceId": "b"}, {"deviceId": "d"}])),
            ("devices, twice", of_devices(&["a"]), json!([{"deviceId": "a"}, {"deviceId": "a"}, {"x": 1}])),
            ("column", column("n", range(Some(3.0), Some(9.0))), json!([{"n": 10}])),
            ("column, no number", column("n", range(Some(3.0), None)), json!([{"n": "4"}])),
            ("column, not there", column("n", range(None, Some(3.0))), json!([{"m": 1}])),
            ("column, no row", column("n", Column::Equals(json!(1))), json!([])),
            ("column, two rows", column("n", Column::Equals(json!(1))), json!([{"n": 1}, {"n": 1}])),
        ] {
            write(&mut text, name, &holds(expect, ALL, found, None).expect_err(name));
        }
        insta::assert_snapshot!(text, @r#"
        none: expected no row, found 2
          devices: a, b
        none, whole twins: expected no row, found 1
          devices: a
        none, other columns: expected no row, found 2
          + {"deviceId":"a","fw":"1.2"}
          + {"fw":"1.3"}
          devices: a
        some: expected at least one row, found none
        count, too few: expected at least 3 rows, found 1
        count, too many: expected fewer than 2 rows, found 2
          devices: a, b
        count, one: expected 1 row, found none
        count, not: expected other than 0 rows, found none
        one row, one column: n: expected 122, found 119
        one row, some columns: 3 columns differ
          l: expected no such column, found "x"
          m: expected 2, found no such column
          n: expected 1, found 2
        one row, none there: expected 1 row, found none: 1 is missing
          - {"n":122}
        rows, the most alike beside each other: expected 2 rows, found 3: 2 are missing, 3 are too many
          - {"fw":"1.2","n":7}
          + {"fw":"1.3","n":7}
          - {"fw":"1.4","n":1}
          + {"fw":"1.4","n":2}
          + {"fw":"0.9","n":3}
        rows, one of two the same: expected 2 rows, found 1: 1 is missing
          - {"deviceId":"a"}
          devices: a
        devices: expected 3 devices, found 2: 2 are missing, 1 is too many
          - a
          - c
          + d
          devices: a, c, d
        devices, twice: expected 1 device, found 1: 1 is there more than once, 1 row has no deviceId
          + a (2 rows)
          devices: a
        column: n: expected 3 to 9, found 10
        column, no number: n: expected at least 3, found "4"
        column, not there: n: expected at most 3, found no such column
        column, no row: expected one row, found none
        column, two rows: expected one row, found 2
          + {"n":1}
          + {"n":1}
        "#);
        let difference = holds(Expectation::None, ALL, many.into(), None).expect_err("many");
        assert_eq!((difference.details.len(), difference.details[1000].as_str()), (1001, "and 3 rows more"));
    }

    #[test]
    fn shares() {
        let mut text = String::new();
        for (bound, query, part, of, whole) in [
            (">= 95%", ALL, json!([{}, {}, {}]), ALL, json!([{}, {}, {}, {}])),
            (">= 75%", ALL, json!([{}, {}, {}]), ALL, json!([{}, {}, {}, {}])),
            (">= 95%", COUNT, json!([{"n": 19}]), COUNT, json!([{"n": 20}])),
            (">= 95%", COUNT, json!([{"n": 94_996}]), COUNT, json!([{"n": 100_000}])),
            ("= 0%", ALL, json!([]), COUNT, json!([{"n": 20}])),
            ("= 0%", COUNT, json!([{"n": 1}]), COUNT, json!([{"n": 3}])),
            ("<= 100%", COUNT, json!([{"n": 0}]), COUNT, json!([{"n": 0}])),
            ("<= 100%", COUNT, json!([]), COUNT, json!([])),
            // Groups are rows, and not numbers.
            (
                "<= 50%",
                "SELECT COUNT() AS n, tags.a FROM devices GROUP BY tags.a",
                json!([{"n": 9, "a": 1}]),
                COUNT,
                json!([{"n": 2}]),
            ),
        ] {
            let result = holds(share(bound, of), query, part.clone(), Some(whole.clone()));
            let result = result.map_or_else(|difference| difference.summary, |()| "holds".to_owned());
            writeln!(text, "{bound} {part} {whole}: {result}").expect("written");
        }
        insta::assert_snapshot!(text, @r#"
        >= 95% [{},{},{}] [{},{},{},{}]: expected a share of at least 95%, found 75% (3 of 4)
        >= 75% [{},{},{}] [{},{},{},{}]: holds
        >= 95% [{"n":19}] [{"n":20}]: holds
        >= 95% [{"n":94996}] [{"n":100000}]: expected a share of at least 95%, found 94.996% (94996 of 100000)
        = 0% [] [{"n":20}]: holds
        = 0% [{"n":1}] [{"n":3}]: expected a share of 0%, found 33.3% (1 of 3)
        <= 100% [{"n":0}] [{"n":0}]: expected a share of at most 100%, and there is nothing to have a share of: the whole is 0
        <= 100% [] []: expected a share of at most 100%, and there is nothing to have a share of: the whole is 0
        <= 50% [{"a":1,"n":9}] [{"n":2}]: holds
        "#);
        assert!(holds(share("<= 100%", ALL), ALL, json!([]), None).is_err());
    }

    fn write(text: &mut String, name: &str, difference: &Difference) {
        writeln!(text, "{name}: {}", difference.summary).expect("written");
        for detail in &difference.details {
            writeln!(text, "  {detail}").expect("written");
        }
        if !difference.devices.is_empty() {
            writeln!(text, "  devices: {}", difference.devices.join(", ")).expect("written");
        }
    }

    proptest::proptest! {
        #[test]
        fn rows_are_a_multiset(mut values in proptest::collection::vec(0..4, 0..8), extra in 0..4) {
            let as_rows = |values: &[i32]| values.iter().map(|value| json!({"v": value})).collect::<Vec<_>>();
            let expected = rows(as_rows(&values).into());
            values.reverse();
            proptest::prop_assert_eq!(holds(expected.clone(), ALL, as_rows(&values).into(), None), Ok(()));
            values.push(extra);
            proptest::prop_assert!(holds(expected, ALL, as_rows(&values).into(), None).is_err());
        }
    }
}
