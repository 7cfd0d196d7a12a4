//! Reading of a document's text only what a query looks at.
//!
//! Most of a twin is what a query does not ask for: `$metadata` alone is often larger than the values. What is passed over is
//! scanned and not built.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::ast::{ComparisonOperator, Literal};
use super::condition::{Column, Condition, GroupColumn, Output};
use super::names::BoundPath;

/// The parts of a document that somebody looks at.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    /// All that is here, whatever it is.
    whole: bool,
    /// What lies below these keys.
    below: Vec<(WantedKey, Wanted)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct WantedKey {
    name: String,
    exact: bool,
}

impl WantedKey {
    fn is(&self, key: &str) -> bool {
        key == self.name || !self.exact && key.eq_ignore_ascii_case(&self.name)
    }
}

impl Wanted {
    /// Collects what a condition and the columns look at. Whole documents, where they are the rows, are not counted.
    pub(super) fn of(condition: Option<&Condition>, output: &Output) -> Self {
        let mut wanted = Self::default();
        if let Some(condition) = condition {
            wanted.add_condition(condition);
        }
        match output {
            Output::Documents => {}
            Output::Rows(columns) => columns.iter().for_each(|Column { path, alias: _ }| wanted.add(path)),
            Output::Groups { by, columns } => {
                by.iter().for_each(|path| wanted.add(path));
                for column in columns {
                    match column {
                        GroupColumn::Value { by: _, alias: _ } => {}
                        GroupColumn::Aggregate { aggregate: _, path, key: _ } => {
                            path.iter().for_each(|path| wanted.add(path));
                        }
                    }
                }
            }
        }
        wanted
    }

    fn add_condition(&mut self, condition: &Condition) {
        match condition {
            Condition::Constant(_) | Condition::Array => {}
            Condition::Path(path) | Condition::IsDefined(path) => self.add(path),
            Condition::Affix { at_end: _, text, affix } => {
                self.add_condition(text);
                self.add_condition(affix);
            }
            Condition::ArrayContains(array, member) => {
                self.add(array);
                self.add_condition(member);
            }
            Condition::Sign(_, operand) | Condition::Not(operand) => self.add_condition(operand),
            Condition::Arithmetic(first, rest) => {
                self.add_condition(first);
                rest.iter().for_each(|(_, operand)| self.add_condition(operand));
            }
            Condition::Compare(left, _, right) => {
                self.add_condition(left);
                self.add_condition(right);
            }
            Condition::In { needle, negated: _, members: _ } => self.add_condition(needle),
            Condition::And(operands) | Condition::Or(operands) => {
                operands.iter().for_each(|operand| self.add_condition(operand));
            }
        }
    }

    fn add(&mut self, path: &BoundPath) {
        let mut here = self;
        for (name, exact) in path.segments() {
            let key = WantedKey { name: name.to_owned(), exact };
            let at = match here.below.iter().position(|(known, _)| *known == key) {
                Some(at) => at,
                None => {
                    here.below.push((key, Self::default()));
                    here.below.len() - 1
                }
            };
            here = &mut here.below[at].1;
        }
        here.whole = true;
    }

    /// Says whether something is wanted at a place, over it or under it.
    pub(super) fn overlaps(&self, keys: &[&str]) -> bool {
        match keys.split_first() {
            _ if self.whole => true,
            None => !self.below.is_empty(),
            Some((key, rest)) => self.below.iter().any(|(name, below)| name.is(key) && below.overlaps(rest)),
        }
    }

    pub(super) fn is_nothing(&self) -> bool {
        !self.whole && self.below.is_empty()
    }

    /// Reads what is wanted of a JSON text. What is passed over is looked at only as far as it takes to find its end.
    pub(super) fn read(&self, text: &str) -> Result<Value, serde_json::Error> {
        if self.is_nothing() { Ok(Value::Null) } else { read(&[self], text) }
    }
}

/// Reads what several look at, in one go.
pub(super) fn read(wishes: &[&Wanted], text: &str) -> Result<Value, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = Excerpt(wishes).deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

/// Texts that a document has somewhere in it if the condition holds for it: one of each clause.
///
/// To look for them takes a fraction of the time that it takes to read the document, and a fleet is asked for few of its twins most
/// of the time.
#[derive(Clone, Debug, Default)]
pub(super) struct Needles(Vec<Vec<String>>);

impl Needles {
    pub(super) fn of(condition: Option<&Condition>) -> Self {
        let mut needles = Self::default();
        if let Some(condition) = condition {
            needles.add(condition);
        }
        needles
    }

    fn add(&mut self, condition: &Condition) {
        match condition {
            Condition::And(operands) => operands.iter().for_each(|operand| self.add(operand)),
            Condition::Compare(left, ComparisonOperator::Equal, right) => match (&**left, &**right) {
                (Condition::Path(_), Condition::Constant(Literal::Text(text)))
                | (Condition::Constant(Literal::Text(text)), Condition::Path(_)) => self.0.push(vec![written(text)]),
                _ => {}
            },
            Condition::In { needle, negated: false, members } if matches!(**needle, Condition::Path(_)) => {
                let texts = members.iter().map(|member| match member {
                    Literal::Text(text) => Some(written(text)),
                    _ => None,
                });
                self.0.extend(texts.collect::<Option<Vec<_>>>());
            }
            _ => {}
        }
    }

    pub(super) fn are_in(&self, text: &str) -> bool {
        self.0.iter().all(|clause| clause.iter().any(|needle| text.contains(needle.as_str())))
    }
}

fn written(text: &str) -> String {
    Value::from(text).to_string()
}

/// A value of which several wishes may want parts: two paths can spell one key in two ways.
struct Excerpt<'w>(&'w [&'w Wanted]);

impl<'de> DeserializeSeed<'de> for Excerpt<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        if self.0.iter().any(|wanted| wanted.whole) {
            return serde::Deserialize::deserialize(deserializer);
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Excerpt<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = entries.next_key::<Cow<'de, str>>()? {
            let below = self.0.iter().flat_map(|wanted| &wanted.below);
            let wishes: Vec<&Wanted> = below.filter(|(name, _)| name.is(&key)).map(|(_, wanted)| wanted).collect();
            if wishes.is_empty() {
                entries.next_value::<IgnoredAny>()?;
            } else {
                let value = entries.next_value_seed(Excerpt(&wishes))?;
                object.insert(key.into_owned(), value);
            }
        }
        Ok(Value::Object(object))
    }

    /// No path leads into an array.
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Array(Vec::new()))
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::compile;
    use crate::query::excerpt;

    #[test]
    fn an_excerpt_has_what_the_query_looks_at() {
        let document = json!({
            "deviceId": "d",
            "tags": { "a": { "b": 1, "c": [1, { "d": 2 }] }, "A": 2, "n": null, "t": true, "x": -1.5 },
            "properties": { "desired": { "i": 1, "$metadata": {} }, "reported": { "i": 2 } },
        });
        let check = |text: &str, expected: Value| {
            let query = compile(text).unwrap_or_else(|errors| panic!("{text}: {errors:?}"));
            assert_eq!(query.excerpt(&document.to_string()).expect("JSON"), expected, "{text}");
        };
        check("SELECT * FROM devices", Value::Null);
        check("SELECT COUNT() AS n FROM devices", Value::Null);
        check("SELECT * FROM devices WHERE DEVICEID = 'd'", json!({ "deviceId": "d" }));
        check("SELECT * FROM devices WHERE tags.a.b = 1", json!({ "tags": { "a": { "b": 1 } } }));
        check("SELECT tags.a FROM devices WHERE tags.a.b = 1", json!({ "tags": { "a": document["tags"]["a"] } }));
        check("SELECT tags.A FROM devices", json!({ "tags": { "A": 2 } }));
        check(
            "SELECT tags.a.c.d, tags.t.u, tags.x.y, tags.n.m FROM devices",
            json!({ "tags": { "a": { "c": [] }, "t": true, "x": -1.5, "n": null } }),
        );
        check(
            "SELECT properties.reported.i, SUM(properties.desired.i) AS s FROM devices WHERE is_defined(tags.n) \
             GROUP BY properties.reported.i",
            json!({ "tags": { "n": null }, "properties": { "desired": { "i": 1 }, "reported": { "i": 2 } } }),
        );
        check(
            "SELECT * FROM devices WHERE NOT (-tags.x + tags.t > 1 AND STARTSWITH(tags.n, 'a')) OR tags.a.b IN [1]",
            json!({ "tags": { "a": { "b": 1 }, "n": null, "t": true, "x": -1.5 } }),
        );
    }

    #[test]
    fn one_excerpt_serves_several_queries() {
        let document = json!({
            "deviceId": "d",
            "tags": { "a": { "b": 1, "c": 2 }, "A": "x" },
            "properties": { "reported": { "i": "y", "j": 3 } },
        });
        let check = |texts: &[&str], document: &str, expected: Value| {
            let queries: Vec<_> = texts.iter().map(|text| compile(text).expect(text)).collect();
            assert_eq!(excerpt(&queries, document).expect("JSON"), expected, "{texts:?}");
        };
        let [all, b, a, y, z] = [
            "SELECT * FROM devices",
            "SELECT * FROM devices WHERE tags.a.b = 1",
            "SELECT tags.a.c FROM devices WHERE tags.A = 'x'",
            "SELECT deviceId FROM devices WHERE properties.reported.i = 'y'",
            "SELECT deviceId FROM devices WHERE properties.reported.j = 'z'",
        ];
        let plain = document.to_string();
        check(&[], &plain, Value::Null);
        check(&[all, z], &plain, Value::Null);
        check(&[all, b], &plain, json!({ "tags": { "a": { "b": 1 } } }));
        check(&[b, a, z], &plain, json!({ "tags": document["tags"] }));
        check(
            &[y, b],
            &plain,
            json!({ "deviceId": "d", "tags": { "a": { "b": 1 } }, "properties": { "reported": { "i": "y" } } }),
        );
        // A text that is spelt in another way says no less.
        let escaped = plain.replace(r#""y""#, r#""\u0079""#);
        check(&[y], &escaped, json!({ "deviceId": "d", "properties": { "reported": { "i": "y" } } }));
        check(&[z], &escaped, json!({ "deviceId": "d", "properties": { "reported": { "j": 3 } } }));
    }

    #[test]
    fn a_document_without_the_texts_cannot_match() {
        let document = json!({ "deviceId": "d", "tags": { "a": "x\"y", "n": 1 } }).to_string();
        let check = |condition: &str, expected: bool| {
            let query = compile(&format!("SELECT * FROM devices WHERE {condition}")).expect(condition);
            assert_eq!(query.may_match(&document), expected, "{condition}");
        };
        check("tags.a = 'x\"y'", true);
        check("tags.a = 'x'", false);
        check("'z' = tags.a AND tags.n = 1", false);
        check("tags.n = 1 AND tags.n = 2", true);
        check("tags.a = 'z' OR tags.n = 1", true);
        check("NOT tags.a = 'z'", true);
        check("tags.a != 'z'", true);
        check("tags.a IN ['z', 'x\"y']", true);
        check("tags.a IN ['z', 'zz']", false);
        check("tags.a IN ['z', 1]", true);
        check("tags.a IN []", false);
        check("tags.a NIN ['z']", true);
        check("'z' IN ['z']", true);
    }

    #[test]
    fn what_is_no_json_is_no_excerpt() {
        let query = compile("SELECT * FROM devices WHERE tags.a = 1").expect("a query");
        for text in ["", "{", "{\"tags\":", "{\"x\":}", "{} {}"] {
            query.excerpt(text).expect_err(text);
        }
    }
}
