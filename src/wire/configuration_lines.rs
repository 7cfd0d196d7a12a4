//! Lines of the blob of configurations, which exports write and imports read.
//!
//! An export writes the service's own names in capitals (`TargetCondition`), as a live hub does (mwalser/terraform-provider-iothub);
//! an import reads them in any case, since Microsoft's C# client writes `targetCondition`.

use serde::Deserialize;
use serde_json::Value;

use super::bulk::ImportMode;
use super::configurations::ConfigurationBody;
use crate::twin::Object;

/// The names of a line.
const LINE: [&str; 9] =
    ["id", "schemaVersion", "labels", "content", "targetCondition", "priority", "metrics", "etag", "importMode"];
/// The names below those of a line; all else below is the user's.
const BELOW: [(&str, &[&str]); 2] =
    [("content", &["deviceContent", "moduleContent", "modulesContent"]), ("metrics", &["queries", "results"])];

/// A configuration that an import makes or updates.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigurationEntry {
    /// The configuration, its id included.
    #[serde(flatten)]
    pub body: ConfigurationBody,
    /// The etag that is compared with that of a configuration that is there.
    pub etag: Option<String>,
    /// What happens to one that is there.
    pub import_mode: Option<ImportMode>,
}

/// Writes the line of a configuration from its JSON.
pub fn encode_line(configuration: Object) -> String {
    let capitals =
        |object: Object| -> Object { object.into_iter().map(|(name, value)| (capital(&name), value)).collect() };
    let below = |(name, value): (String, Value)| match (name.as_str(), value) {
        ("content" | "metrics" | "systemMetrics", Value::Object(members)) => (name, Value::Object(capitals(members))),
        (_, value) => (name, value),
    };
    Value::Object(capitals(configuration.into_iter().map(below).collect())).to_string()
}

fn capital(name: &str) -> String {
    match name.chars().next() {
        _ if name == "etag" => "ETag".to_owned(),
        Some(first) => first.to_uppercase().chain(name.chars().skip(1)).collect(),
        None => String::new(),
    }
}

/// Reads a line.
///
/// # Errors
///
/// When it is not the JSON of a configuration.
pub fn decode_line(line: &[u8]) -> Result<ConfigurationEntry, serde_json::Error> {
    let mut line = spelled(serde_json::from_slice(line)?, &LINE);
    for (name, names) in BELOW {
        if let Some(Value::Object(members)) = line.get_mut(name) {
            *members = spelled(std::mem::take(members), names);
        }
    }
    serde_json::from_value(Value::Object(line))
}

/// Spells the known names of an object as this program does.
fn spelled(object: Object, names: &[&str]) -> Object {
    let known =
        |name: &str| names.iter().find(|known| known.eq_ignore_ascii_case(name)).map(|known| (*known).to_owned());
    object.into_iter().map(|(name, value)| (known(&name).unwrap_or(name), value)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_is_written_in_capitals_and_read_in_any_case() {
        let Value::Object(configuration) = json!({
            "id": "c-1", "schemaVersion": "1.0", "labels": {"team": "a"}, "targetCondition": "tags.x = 1", "priority": 3,
            "content": {"deviceContent": {"properties.desired.x": {"y": 1}}}, "etag": "MQ==",
            "metrics": {"results": {"m": 2}, "queries": {"m": "SELECT deviceId FROM devices"}},
            "systemMetrics": {"results": {}, "queries": {}}, "createdTimeUtc": "2026-01-01T00:00:00Z",
        }) else {
            unreachable!("an object")
        };
        let line = encode_line(configuration);
        let expected = json!({
            "Id": "c-1", "SchemaVersion": "1.0", "Labels": {"team": "a"}, "TargetCondition": "tags.x = 1", "Priority": 3,
            "Content": {"DeviceContent": {"properties.desired.x": {"y": 1}}}, "ETag": "MQ==",
            "Metrics": {"Results": {"m": 2}, "Queries": {"m": "SELECT deviceId FROM devices"}},
            "SystemMetrics": {"Results": {}, "Queries": {}}, "CreatedTimeUtc": "2026-01-01T00:00:00Z",
        });
        assert_eq!(serde_json::from_str::<Value>(&line).expect("JSON"), expected);

        let read = decode_line(line.as_bytes()).expect("a line");
        assert_eq!(
            (read.body.id.as_deref(), read.etag.as_deref(), read.import_mode),
            (Some("c-1"), Some("MQ=="), None)
        );
        assert_eq!(read.body.target_condition.as_deref(), Some("tags.x = 1"));
        assert_eq!(read.body.metrics.and_then(|it| it.queries).expect("queries")["m"], "SELECT deviceId FROM devices");
        let content = serde_json::to_value(read.body.content).expect("JSON");
        assert_eq!(content, json!({"deviceContent": {"properties.desired.x": {"y": 1}}}));

        let small = br#"{"id":"c","etag":null,"importMode":"createOrUpdateIfMatchETag","labels":null,"content":{}}"#;
        let read = decode_line(small).expect("a line");
        assert_eq!((read.import_mode, read.etag), (Some(ImportMode::CreateOrUpdateIfMatchETag), None));
        assert!(decode_line(b"[]").is_err());
    }
}
