//! Import and export jobs as JSON: `/jobs/create` and `/jobs/{id}`.

use serde::{Deserialize, Serialize};

use super::names::json_names;
use super::{encode_segment, lenient};

/// Where import and export jobs are made.
pub const CREATE_PATH: &str = "/jobs/create";
/// Where they are listed.
pub const LIST_PATH: &str = "/jobs";
/// The blob of devices and modules where nobody names another.
pub const DEVICES_BLOB: &str = "devices.txt";
/// The blob of configurations where nobody names another.
pub const CONFIGURATIONS_BLOB: &str = "configurations.txt";
/// The blob with what an import could not do, in the output container.
pub const ERRORS_BLOB: &str = "importErrors.log";

/// Returns the path of an import or export job.
pub fn transfer_path(id: &str) -> String {
    format!("{LIST_PATH}/{}", encode_segment(id))
}

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransferType {
    /// From a blob into the registry.
    Import,
    /// From the registry into a blob.
    Export,
}

json_names! { TransferType, "job type", {
    "import" => Import,
    "export" => Export,
} }

/// How far an import or export is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TransferStatus {
    /// It waits for its turn.
    #[default]
    Enqueued,
    /// It is at work.
    Running,
    /// It has done what it could; an import's failed lines are in its log.
    Completed,
    /// It could not go on.
    Failed,
    /// Somebody cancelled it.
    Cancelled,
}

json_names! { TransferStatus, "job status", {
    "enqueued" => Enqueued,
    "running" => Running,
    "completed" => Completed,
    "failed" => Failed,
    "cancelled" => Cancelled,
} }

/// How the storage account is to be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorageAuthentication {
    /// By the signature in the container's URI.
    KeyBased,
    /// By the hub's own identity.
    IdentityBased,
}

json_names! { StorageAuthentication, "storage authentication type", {
    "keyBased" => KeyBased,
    "identityBased" => IdentityBased,
} }

/// An import or export, as it is asked for and as it is answered.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TransferProperties {
    /// The id, which the service gives.
    #[serde(default)]
    pub job_id: String,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time_utc: Option<String>,
    /// When it was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_time_utc: Option<String>,
    /// Which way.
    #[serde(rename = "type")]
    pub kind: TransferType,
    /// How far it is.
    #[serde(default)]
    pub status: TransferStatus,
    /// The same in percent.
    #[serde(default)]
    pub progress: u64,
    /// The container to read from, with a signature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_blob_container_uri: Option<String>,
    /// The blob to read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_blob_name: Option<String>,
    /// The container to write to, with a signature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_blob_container_uri: Option<String>,
    /// The blob to write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_blob_name: Option<String>,
    /// Leave the devices' keys out.
    #[serde(default, deserialize_with = "lenient::option", skip_serializing_if = "Option::is_none")]
    pub exclude_keys_in_export: Option<bool>,
    /// How the storage account is to be opened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_authentication_type: Option<StorageAuthentication>,
    /// Configurations as well.
    #[serde(default, deserialize_with = "lenient::option", skip_serializing_if = "Option::is_none")]
    pub include_configurations: Option<bool>,
    /// The blob of configurations to read or to write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configurations_blob_name: Option<String>,
    /// Why it could not go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_reason: Option<String>,
}

impl TransferProperties {
    /// Returns the blob of devices that an import reads.
    pub fn input_blob(&self) -> &str {
        named(&self.input_blob_name, DEVICES_BLOB)
    }

    /// Returns the blob of devices that an export writes.
    pub fn output_blob(&self) -> &str {
        named(&self.output_blob_name, DEVICES_BLOB)
    }

    /// Returns the blob of configurations; none if the job leaves them alone.
    pub fn configurations_blob(&self) -> Option<&str> {
        (self.include_configurations == Some(true)).then(|| named(&self.configurations_blob_name, CONFIGURATIONS_BLOB))
    }
}

fn named<'a>(name: &'a Option<String>, default: &'a str) -> &'a str {
    name.as_deref().filter(|name| !name.is_empty()).unwrap_or(default)
}

/// Shows no container's URI: its signature opens the container.
impl std::fmt::Debug for TransferProperties {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TransferProperties")
            .field("job_id", &self.job_id)
            .field("kind", &self.kind)
            .field("status", &self.status)
            .field("progress", &self.progress)
            .field("failure_reason", &self.failure_reason)
            .finish_non_exhaustive()
    }
}

/// Puts a blob's name into its container's URI, before the signature.
pub fn blob_uri(container: &str, blob: &str) -> String {
    let (path, query) = container.split_once('?').map_or((container, None), |(path, query)| (path, Some(query)));
    // A name may have folders in it.
    let blob: Vec<String> = blob.split('/').map(encode_segment).collect();
    let uri = format!("{}/{}", path.trim_end_matches('/'), blob.join("/"));
    match query {
        Some(query) => format!("{uri}?{query}"),
        None => uri,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blobs_stand_before_the_signature() {
        for (container, blob, expected) in [
            (
                "https://a.blob.core.windows.net/c?sv=1&sig=x%2F",
                "devices.txt",
                "https://a.blob.core.windows.net/c/devices.txt?sv=1&sig=x%2F",
            ),
            ("http://127.0.0.1:10000/acct/c/", "a b/c#.txt", "http://127.0.0.1:10000/acct/c/a%20b/c%23.txt"),
        ] {
            assert_eq!(blob_uri(container, blob), expected);
        }
    }

    #[test]
    fn signatures_are_not_shown() {
        let text = r#"{"type": "export", "outputBlobContainerUri": "https://a/c?sig=secret"}"#;
        let properties: TransferProperties = serde_json::from_str(text).expect("properties");
        assert!(!format!("{properties:?}").contains("secret"));
    }
}
