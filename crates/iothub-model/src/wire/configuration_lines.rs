//! Lines of the blob of configurations, which exports write and imports read.
//!
//! An export writes the service's own names in capitals (`TargetCondition`), as a live hub does (mwalser/terraform-provider-iothub);
//! an import reads them in any case, since Microsoft's C# client writes `targetCondition`.

use serde::Deserialize;
use serde::de::Error;

use super::bulk::ImportMode;
use super::configurations::ConfigurationBody;
use super::members;
use super::numbers::as_the_service_reads;
use crate::twin::{OrderedObject, OrderedValue};

/// A configuration that an import makes or updates.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfigurationEntry {
    /// The configuration, its id included.
    pub body: ConfigurationBody,
    /// The etag that is compared with that of a configuration that is there.
    pub etag: Option<String>,
    /// What happens to one that is there.
    pub import_mode: Option<ImportMode>,
}

/// What a line has beside the configuration.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LineCondition {
    etag: Option<String>,
    import_mode: Option<ImportMode>,
}

/// Writes the line of a configuration from its JSON.
pub fn encode_line(configuration: OrderedObject) -> String {
    let capitals = |object: OrderedObject| -> OrderedObject {
        object.into_iter().map(|(name, value)| (capital(&name), value)).collect()
    };
    let below = |(name, value): (String, OrderedValue)| match (name.as_str(), value) {
        ("content" | "metrics" | "systemMetrics", OrderedValue::Object(members)) => (name, capitals(members).into()),
        (_, value) => (name, value),
    };
    capitals(configuration.into_iter().map(below).collect()).to_string()
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
    let line = &as_the_service_reads(line).map_err(serde_json::Error::custom)?;
    let LineCondition { etag, import_mode } = members::read(line)?;
    Ok(ConfigurationEntry { body: members::read(line)?, etag, import_mode })
}

/// Returns the id in a line that is no configuration; empty where there is none.
pub fn id_in(line: &[u8]) -> String {
    #[derive(Deserialize)]
    struct LineId {
        id: Option<serde_json::Value>,
    }
    let named: Option<LineId> = members::read(line).ok();
    named.and_then(|named| named.id?.as_str().map(str::to_owned)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

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
        let line = encode_line(configuration.into());
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
        // Whoever checks a content reads the names in it in any case.
        assert_eq!(content, json!({"DeviceContent": {"properties.desired.x": {"y": 1}}}));

        let ordered = r#"{"Id":"c","Content":{"DeviceContent":{"properties.desired.x":{"z":1,"a":2}}}}"#;
        let lower = r#"{"id":"c","content":{"deviceContent":{"properties.desired.x":{"z":1,"a":2}}}}"#;
        assert_eq!(encode_line(serde_json::from_str(lower).expect("JSON")), ordered);
        let read = decode_line(ordered.as_bytes()).expect("a line").body.content.expect("a content");
        assert_eq!(read.to_string(), r#"{"DeviceContent":{"properties.desired.x":{"z":1,"a":2}}}"#);

        let small = br#"{"id":"c","etag":null,"importMode":"createOrUpdateIfMatchETag","labels":null,"content":{}}"#;
        let read = decode_line(small).expect("a line");
        assert_eq!((read.import_mode, read.etag), (Some(ImportMode::CreateOrUpdateIfMatchETag), None));
        assert!(decode_line(b"[]").is_err());
        for (line, id) in
            [(&br#"{"ID":"c","priority":"x"}"#[..], "c"), (b"{\"id\":1}", ""), (b"{\"id\":", ""), (b"[]", "")]
        {
            assert_eq!(id_in(line), id);
        }
    }
}
