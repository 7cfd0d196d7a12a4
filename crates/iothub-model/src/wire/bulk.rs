//! Many identities and twins in one request: `POST /devices`, and the lines of import and export blobs.

use serde::{Deserialize, Serialize, Serializer};

use super::error::ErrorCode;
use super::members;
use super::names::json_names;
use super::registry::{AuthenticationBody, Capabilities, DeviceStatus};
use crate::twin::OrderedValue;

/// Entries of one `POST /devices`, at most.
pub const BULK_MAX: usize = 100;

/// One device or module, and what is to happen to it. The names have a casing of their own: `id`, `eTag`, `twinETag`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BulkEntry {
    /// The device's id, which may be none.
    #[serde(default)]
    pub id: String,
    /// The module's id, for a module.
    pub module_id: Option<String>,
    /// The identity's etag, for modes that compare it.
    #[serde(rename = "eTag")]
    pub e_tag: Option<String>,
    /// What is to happen.
    pub import_mode: Option<ImportMode>,
    /// May the device connect.
    pub status: Option<DeviceStatus>,
    /// Why, in the operator's words.
    pub status_reason: Option<String>,
    /// How the device proves who it is.
    pub authentication: Option<AuthenticationBody>,
    /// The twin's etag, for the mode that compares it.
    #[serde(rename = "twinETag")]
    pub twin_etag: Option<String>,
    /// Tags, to be merged.
    pub tags: Option<OrderedValue>,
    /// `desired`, to be merged; `reported` is the device's own.
    pub properties: Option<OrderedValue>,
    /// What the device can be.
    pub capabilities: Option<Capabilities>,
    /// The scope of a device under an edge device.
    pub device_scope: Option<String>,
    /// The scopes above it.
    pub parent_scopes: Option<Vec<String>>,
}

/// What is to happen to a device or module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportMode {
    /// Made, where it is not there.
    Create,
    /// Replaced, where it is there.
    Update,
    /// Replaced, where its etag is the given one.
    UpdateIfMatchETag,
    /// Removed.
    Delete,
    /// Removed, where its etag is the given one.
    DeleteIfMatchETag,
    /// Its twin merged with what is given.
    UpdateTwin,
    /// The same, where the twin's etag is the given one.
    UpdateTwinIfMatchETag,
    /// Made or replaced. Blobs only.
    CreateOrUpdate,
    /// Made, or replaced where its etag is the given one. Blobs only.
    CreateOrUpdateIfMatchETag,
}

json_names! { ImportMode, "importMode", {
    "create" => Create,
    "update" => Update,
    "updateIfMatchETag" => UpdateIfMatchETag,
    "delete" => Delete,
    "deleteIfMatchETag" => DeleteIfMatchETag,
    "updateTwin" => UpdateTwin,
    "updateTwinIfMatchETag" => UpdateTwinIfMatchETag,
    "createOrUpdate" => CreateOrUpdate,
    "createOrUpdateIfMatchETag" => CreateOrUpdateIfMatchETag,
} }

/// What became of a `POST /devices`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BulkResult {
    /// Were there no errors.
    pub is_successful: bool,
    /// Entries that were not done.
    pub errors: Vec<BulkError>,
    /// Entries that were done in part.
    pub warnings: Vec<BulkWarning>,
}

/// An entry that was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BulkError {
    /// Its device, as it was named.
    pub device_id: String,
    /// Its module, as it was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub module_id: Option<String>,
    /// Its code, which is written as a number: Go's client reads nothing else.
    #[serde(serialize_with = "as_number")]
    pub error_code: ErrorCode,
    /// Why.
    pub error_status: String,
}

pub(super) fn as_number<S: Serializer>(code: &ErrorCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u32(code.number())
}

/// An entry that was done in part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BulkWarning {
    /// Its device.
    pub device_id: String,
    /// What was left out: `DeviceRegisteredWithoutTwin`.
    pub warning_code: &'static str,
    /// Why.
    pub warning_status: String,
}

/// Returns the ids of the device and of the module in a line that is no entry. The device's is empty where there is none.
pub fn ids_in(line: &[u8]) -> (String, Option<String>) {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct LineIds {
        id: Option<serde_json::Value>,
        module_id: Option<serde_json::Value>,
    }
    let text = |value: Option<serde_json::Value>| value?.as_str().map(str::to_owned);
    match members::read(line) {
        Ok(LineIds { id, module_id }) => (text(id).unwrap_or_default(), text(module_id)),
        Err(_) => (String::new(), None),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ids_of_lines_that_are_no_entries() {
        let of = |line: &str| {
            let (device, module) = ids_in(line.as_bytes());
            (device, module.unwrap_or_default())
        };
        for (line, device, module) in [
            (r#"{"ID":"d","status":"maybe"}"#, "d", ""),
            (r#"{"id":"d","moduleID":"m","importMode":7}"#, "d", "m"),
            (r#"{"id":7,"moduleId":"m"}"#, "", "m"),
            (r#"{"id":"d""#, "", ""),
            ("[]", "", ""),
        ] {
            assert_eq!(of(line), (device.to_owned(), module.to_owned()), "{line}");
        }
    }

    #[test]
    fn entries_with_their_casing() {
        let entry: BulkEntry = serde_json::from_value(json!({
            "id": "d", "moduleId": null, "eTag": "a", "importMode": "updateTwinIfMatchETag", "twinETag": "b",
            "status": "disabled", "authentication": null, "deviceScope": null, "tags": {"t": 1}, "future": 1,
        }))
        .expect("an entry");
        let expected = BulkEntry {
            id: "d".to_owned(),
            e_tag: Some("a".to_owned()),
            import_mode: Some(ImportMode::UpdateTwinIfMatchETag),
            twin_etag: Some("b".to_owned()),
            status: Some(DeviceStatus::Disabled),
            tags: Some(json!({"t": 1}).into()),
            ..BulkEntry::default()
        };
        assert_eq!(entry, expected);
    }
}
