//! Rows as texts out of the texts of documents, for whoever hands rows on: their columns are in the order of the list, and their values as the
//! document spells them.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::bound::BoundQuery;
use super::condition::{Column, Output};
use super::names::BoundPath;

impl BoundQuery {
    /// Returns the row of a document for which the condition holds; `None` for `SELECT *`, whose rows are the documents, and for aggregates.
    pub fn row_text(&self, document: &str) -> Option<String> {
        let Output::Rows(columns) = &self.output else { return None };
        let mut row: Vec<(String, &str)> = Vec::with_capacity(columns.len());
        for Column { path, alias } in columns {
            let Some((key, value)) = path.text_in(document) else { continue };
            let key = alias.as_deref().or(path.key).map_or(key, str::to_owned);
            // Of two columns with one key the last one counts.
            match row.iter_mut().find(|(other, _)| *other == key) {
                Some((_, earlier)) => *earlier = value,
                None => row.push((key, value)),
            }
        }
        let members = row.iter().map(|(key, value)| format!("{}:{value}", serde_json::Value::from(key.as_str())));
        Some(format!("{{{}}}", members.collect::<Vec<_>>().join(",")))
    }
}

impl BoundPath {
    /// Returns the text of the value at the path, and the last key as the document spells it.
    pub(super) fn text_in<'d>(&self, document: &'d str) -> Option<(String, &'d str)> {
        let mut found = (String::new(), document);
        for (name, exact) in self.segments() {
            let mut member = None;
            let mut deserializer = serde_json::Deserializer::from_str(found.1);
            // An error is the end of the reading where the member is found, and the end of the path where there is no object.
            let _ = deserializer.deserialize_map(Member { name, exact, found: &mut member });
            found = member?;
        }
        Some(found)
    }
}

/// Reads an object as far as one of its members.
struct Member<'n, 'd> {
    name: &'n str,
    exact: bool,
    found: &'n mut Option<(String, &'d str)>,
}

impl<'de> Visitor<'de> for Member<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let Self { name, exact, found } = self;
        while let Some(key) = members.next_key_seed(KeySeed { name, exact })? {
            match key {
                // The exact name counts before any other spelling.
                Some(key) if key == name => {
                    *found = Some((key, members.next_value::<&'de RawValue>()?.get()));
                    return Err(A::Error::custom("found"));
                }
                Some(key) if found.is_none() => {
                    *found = Some((key, members.next_value::<&'de RawValue>()?.get()));
                }
                _ => {
                    members.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// Reads a key if it is a member's.
struct KeySeed<'n> {
    name: &'n str,
    exact: bool,
}

impl<'de> DeserializeSeed<'de> for KeySeed<'_> {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<String>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeySeed<'_> {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Option<String>, E> {
        let Self { name, exact } = self;
        Ok((key == name || !exact && key.eq_ignore_ascii_case(name)).then(|| key.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::compile;

    const DOCUMENT: &str = r#"{"deviceId":"d","tags":{"z":1.50,"a":{"y":1,"b":[2,{"d":3,"c":4}]},"q\"":"\u00e9"},
        "properties":{"desired":{"$metadata":{},"$version":2},"reported":{}}}"#;

    fn check(query: &str, expected: &str) {
        let bound = compile(query).unwrap_or_else(|errors| panic!("{query}: {errors:?}"));
        let row = bound.row_text(DOCUMENT).expect("a row");
        assert_eq!(row, expected, "{query}");
        // Two readers of one language.
        let document: Value = serde_json::from_str(DOCUMENT).expect("JSON");
        let folded = bound.start().push(&document).expect("a row");
        assert_eq!(serde_json::from_str::<Value>(&row).expect("JSON"), folded, "{query}");
    }

    #[test]
    fn rows_are_in_the_order_of_the_list_and_spelt_as_the_document() {
        check("SELECT tags.z, deviceId FROM devices", r#"{"z":1.50,"deviceId":"d"}"#);
        check("SELECT tags.a, tags.z AS b FROM devices", r#"{"a":{"y":1,"b":[2,{"d":3,"c":4}]},"b":1.50}"#);
        check("SELECT DEVICEID, ID FROM devices", r#"{"deviceId":"d","id":"d"}"#);
        check("SELECT properties.desired.$version FROM devices", r#"{"$version":2}"#);
        check("SELECT tags.none, tags.z.y, tags.a.b.d, deviceId FROM devices", r#"{"deviceId":"d"}"#);
        check("SELECT tags.z AS n, deviceId, tags.a.y AS n FROM devices", r#"{"n":1,"deviceId":"d"}"#);
        check("SELECT tags.none FROM devices", "{}");
    }

    #[test]
    fn whole_documents_and_aggregates_have_no_rows_of_this_kind() {
        for query in ["SELECT * FROM devices", "SELECT COUNT() AS n FROM devices"] {
            assert_eq!(compile(query).expect(query).row_text(DOCUMENT), None, "{query}");
        }
    }
}
