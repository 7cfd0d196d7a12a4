//! What was asked of the hub and how it ended, for tests that must prove what a client sent. No secrets: no tokens, no bodies.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use super::HubStartError;

/// One request and its answer's status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestRecord {
    /// The method.
    pub method: String,
    /// The path as it came, its escapes untouched.
    pub path: String,
    /// The `api-version` that was asked for.
    pub api_version: Option<String>,
    /// The `If-Match` header as it came.
    pub if_match: Option<String>,
    /// The answer's HTTP status; 0 when the request was broken off before it was done.
    pub status: u16,
    /// The answer's error code.
    pub error_code: Option<String>,
    /// What the hub was asked to do to this request or its answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
}

/// Who is told of every request, before its answer leaves.
pub type RequestObserver = Arc<dyn Fn(&RequestRecord) + Send + Sync>;

/// Opens a file that gets a line of JSON for each request, after what it holds already.
pub(super) fn to_file(path: &Path) -> Result<RequestObserver, HubStartError> {
    let file = File::options().create(true).append(true).open(path);
    let file = Mutex::new(file.map_err(|source| HubStartError::File { path: path.to_owned(), source })?);
    Ok(Arc::new(move |record| {
        let mut line = serde_json::to_string(record).expect("text and numbers are JSON");
        line.push('\n');
        // A log that cannot be written must not take the hub down.
        let _ = file.lock().unwrap_or_else(PoisonError::into_inner).write_all(line.as_bytes());
    }))
}
