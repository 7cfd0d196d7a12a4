//! Groups of documents, and what is counted and summed in each.

use std::cmp::Ordering;
use std::collections::HashMap;

use serde_json::Value;

use super::ast::Aggregate;
use super::condition::GroupColumn;
use super::names::BoundPath;
use super::value::json_number;
use crate::twin::{OrderedObject, OrderedValue};

/// The groups so far, in the order in which their first documents came.
#[derive(Debug)]
pub(super) struct Groups<'q> {
    by: &'q [BoundPath],
    columns: &'q [GroupColumn],
    places: HashMap<String, usize>,
    groups: Vec<Group>,
}

#[derive(Debug)]
struct Group {
    /// For each path grouped by, the key as the document spells it and the value, whose members are in the order of the first
    /// document; nothing where it is undefined.
    values: Vec<Option<(String, OrderedValue)>>,
    /// One for each aggregate among the columns.
    totals: Vec<Total>,
}

impl<'q> Groups<'q> {
    pub(super) fn new(by: &'q [BoundPath], columns: &'q [GroupColumn]) -> Self {
        let mut groups = Self { by, columns, places: HashMap::new(), groups: Vec::new() };
        if by.is_empty() {
            // Without GROUP BY there is one row, also over nothing.
            groups.open(String::new(), Vec::new());
        }
        groups
    }

    fn open(&mut self, identity: String, values: Vec<Option<(String, OrderedValue)>>) -> usize {
        let place = self.groups.len();
        let totals = self.aggregates().map(|(aggregate, _)| Total::new(aggregate)).collect();
        self.groups.push(Group { values, totals });
        self.places.insert(identity, place);
        place
    }

    fn aggregates(&self) -> impl Iterator<Item = (Aggregate, Option<&'q BoundPath>)> + use<'q> {
        self.columns.iter().filter_map(|column| match column {
            GroupColumn::Aggregate { aggregate, path, .. } => Some((*aggregate, path.as_ref())),
            GroupColumn::Value { .. } => None,
        })
    }

    /// Returns the place of the group with these values, each with its key. `text` is the document's, for the order of members.
    fn place(&mut self, found: &[Option<(&str, &Value)>], text: Option<&str>) -> usize {
        let mut identity = String::new();
        for value in found {
            identify(value.map(|(_, value)| value), &mut identity);
        }
        match self.places.get(&identity) {
            Some(place) => *place,
            None => {
                let values = self.by.iter().zip(found).map(|(path, found)| {
                    let (key, value) = (*found)?;
                    let value = OrderedValue::from(plain(value));
                    let written = text.and_then(|text| path.text_in(text));
                    let written = written.and_then(|(_, text)| serde_json::from_str::<OrderedValue>(text).ok());
                    let value = match &written {
                        Some(written) => value.in_order_of(written),
                        None => value,
                    };
                    Some((key.to_owned(), value))
                });
                let values = values.collect();
                self.open(identity, values)
            }
        }
    }

    /// Takes what the aggregates come to over other documents of one group.
    pub(super) fn push_totals(&mut self, values: &[Option<&Value>], totals: &[Option<&Value>]) {
        let found: Vec<_> =
            self.by.iter().zip(values).map(|(path, value)| value.map(|value| (path.last(), value))).collect();
        let place = self.place(&found, None);
        for (total, value) in self.groups[place].totals.iter_mut().zip(totals) {
            match (total, value) {
                (Total::Count(count), Some(value)) => *count += value.as_f64().map_or(0, |more| more as u64),
                (total, value) => total.push(*value),
            }
        }
    }

    pub(super) fn push(&mut self, document: &Value, text: Option<&str>) {
        let found: Vec<_> = self.by.iter().map(|path| path.find(document)).collect();
        let place = self.place(&found, text);
        let aggregates = self.aggregates();
        for (total, (_, path)) in self.groups[place].totals.iter_mut().zip(aggregates) {
            total.push(path.and_then(|path| path.get(document)));
        }
    }

    pub(super) fn into_rows(self) -> Vec<OrderedObject> {
        let columns = self.columns;
        self.groups.into_iter().map(|group| row(columns, group)).collect()
    }
}

fn row(columns: &[GroupColumn], Group { values, totals }: Group) -> OrderedObject {
    let mut totals = totals.into_iter();
    let mut row = OrderedObject::new();
    for column in columns {
        match column {
            GroupColumn::Value { by, alias } => {
                if let Some((key, value)) = &values[*by] {
                    row.insert(alias.as_ref().unwrap_or(key), value.clone());
                }
            }
            GroupColumn::Aggregate { key, .. } => {
                if let Some(value) = totals.next().and_then(Total::into_value) {
                    row.insert(key, value);
                }
            }
        }
    }
    row
}

/// Writes a text that is the same for equal values only: 1 and 1.0 are one group, 1 and "1" are two.
fn identify(value: Option<&Value>, into: &mut String) {
    match value {
        None => into.push('-'),
        Some(value) => into.push_str(&plain(value).to_string()),
    }
    into.push('\n');
}

/// A value with its numbers in one spelling, so that it does not matter which document of a group came first.
fn plain(value: &Value) -> Value {
    match value {
        Value::Number(number) => number.as_f64().map_or_else(|| value.clone(), json_number),
        Value::Array(elements) => elements.iter().map(plain).collect(),
        Value::Object(members) => members.iter().map(|(key, value)| (key.clone(), plain(value))).collect(),
        Value::Null | Value::Bool(_) | Value::String(_) => value.clone(),
    }
}

/// One aggregate in one group.
#[derive(Debug)]
enum Total {
    Count(u64),
    Sum(Option<f64>),
    Avg {
        sum: f64,
        count: u64,
    },
    /// The value so far, and which order makes another one better.
    Extreme(Option<Value>, Ordering),
}

impl Total {
    fn new(aggregate: Aggregate) -> Self {
        match aggregate {
            Aggregate::Count => Self::Count(0),
            Aggregate::Sum => Self::Sum(None),
            Aggregate::Avg => Self::Avg { sum: 0.0, count: 0 },
            Aggregate::Min => Self::Extreme(None, Ordering::Less),
            Aggregate::Max => Self::Extreme(None, Ordering::Greater),
        }
    }

    fn push(&mut self, value: Option<&Value>) {
        let number = value.and_then(Value::as_f64);
        match self {
            Self::Count(count) => *count += 1,
            Self::Sum(sum) => {
                if let Some(number) = number {
                    *sum = Some(sum.unwrap_or(0.0) + number);
                }
            }
            Self::Avg { sum, count } => {
                if let Some(number) = number {
                    *sum += number;
                    *count += 1;
                }
            }
            Self::Extreme(so_far, better) => {
                let Some(value) = value.filter(|value| value.is_number() || value.is_string()) else { return };
                let replaces = so_far.as_ref().is_none_or(|so_far| order(value, so_far) == *better);
                if replaces {
                    *so_far = Some(plain(value));
                }
            }
        }
    }

    /// Returns the result; nothing where no value counted, or where the sum is beyond what JSON can hold.
    fn into_value(self) -> Option<Value> {
        let finite = |number: f64| number.is_finite().then(|| json_number(number));
        match self {
            Self::Count(count) => Some(Value::from(count)),
            Self::Sum(sum) => sum.and_then(finite),
            Self::Avg { count: 0, .. } => None,
            Self::Avg { sum, count } => finite(sum / count as f64),
            Self::Extreme(value, _) => value,
        }
    }
}

/// Numbers before texts.
fn order(left: &Value, right: &Value) -> Ordering {
    match (left.as_f64(), right.as_f64()) {
        (Some(left), Some(right)) => left.total_cmp(&right),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => left.as_str().cmp(&right.as_str()),
    }
}
