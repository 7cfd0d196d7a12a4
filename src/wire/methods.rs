//! Direct methods as JSON: `/twins/{id}/methods`.

use serde::Deserialize;
use serde_json::{Value, json};

use super::twins::twin_path;
use crate::twin::TwinId;

/// Returns the path where a device's or a module's methods are called.
pub fn methods_path(id: &TwinId) -> String {
    format!("{}/methods", twin_path(id))
}

/// A call as the service reads it.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MethodBody {
    /// Which method.
    pub method_name: Option<String>,
    /// What it is given: any JSON, null like none.
    #[serde(default)]
    pub payload: Option<Value>,
    /// How long the answer may take, in seconds.
    pub response_timeout_in_seconds: Option<u64>,
    /// How long the device may take to connect, in seconds.
    pub connect_timeout_in_seconds: Option<u64>,
}

/// Writes what the service answers: the device's own status and payload.
pub fn encode_result(status: i32, payload: &Value) -> Value {
    json!({ "status": status, "payload": payload })
}
