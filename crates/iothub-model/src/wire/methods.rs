//! Direct methods as JSON: `/twins/{id}/methods`.

use serde::{Deserialize, Serialize};

use super::lenient;
use super::raw_json::RawJson;
use super::twins::twin_path;
use crate::twin::TwinId;

/// Returns the path where a device's or a module's methods are called.
pub fn methods_path(id: &TwinId) -> String {
    format!("{}/methods", twin_path(id))
}

/// A call as the service reads it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MethodBody {
    /// Which method.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method_name: Option<String>,
    /// What it is given: any JSON, as the caller wrote it; `None` if the member is left out, which `null` is not.
    #[serde(default, deserialize_with = "RawJson::present", skip_serializing_if = "Option::is_none")]
    pub payload: Option<RawJson>,
    /// How long the answer may take, in seconds.
    #[serde(default, deserialize_with = "lenient::option", skip_serializing_if = "Option::is_none")]
    pub response_timeout_in_seconds: Option<u64>,
    /// How long the device may take to connect, in seconds.
    #[serde(default, deserialize_with = "lenient::option", skip_serializing_if = "Option::is_none")]
    pub connect_timeout_in_seconds: Option<u64>,
}

/// Writes the service's answer: the device's own status and payload, the payload's bytes as they came.
///
/// The service does not read the payload. Whatever a device sends that is not JSON leaves the answer without being JSON either:
/// a zero byte at the end (azure-iot-sdk-c#1641), quotes of another kind (azure-iot-sdk-node#736). No bytes are `null`.
pub fn encode_result(status: i32, payload: &[u8]) -> Vec<u8> {
    let payload = if payload.is_empty() { b"null" } else { payload };
    [format!("{{\"status\":{status},\"payload\":").as_bytes(), payload, b"}"].concat()
}

/// Writes the same as JSON, for a job's outcome on a device: a payload that is not JSON becomes a text.
pub fn encode_outcome(status: i32, payload: &[u8]) -> RawJson {
    RawJson::parse(&encode_result(status, payload)).unwrap_or_else(|| {
        let text = RawJson::of(&String::from_utf8_lossy(payload));
        RawJson::parse(&encode_result(status, text.as_str().as_bytes())).expect("the payload is JSON")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_of_calls() {
        for (body, payload) in [
            (r#"{"methodName":"m"}"#, None),
            (r#"{"methodName":"m","payload":null}"#, Some("null")),
            (r#"{"methodName":"m","payload": {"z": 1.50, "a": 1e2} }"#, Some(r#"{"z": 1.50, "a": 1e2}"#)),
            (r#"{"methodName":"m","payload":"é"}"#, Some("\"é\"")),
        ] {
            let read: MethodBody = serde_json::from_str(body).expect(body);
            assert_eq!(read.payload.as_ref().map(RawJson::as_str), payload, "{body}");
        }
    }

    #[test]
    fn what_devices_answer() {
        for (payload, result, outcome) in [
            (&b""[..], &br#"{"status":-5,"payload":null}"#[..], r#"{"status":-5,"payload":null}"#),
            (
                br#"{"b": 1.50, "a":0}"#,
                br#"{"status":-5,"payload":{"b": 1.50, "a":0}}"#,
                r#"{"status":-5,"payload":{"b": 1.50, "a":0}}"#,
            ),
            (b"{}\0", b"{\"status\":-5,\"payload\":{}\0}", r#"{"status":-5,"payload":"{}\u0000"}"#),
            (b"{'a': 1}", b"{\"status\":-5,\"payload\":{'a': 1}}", r#"{"status":-5,"payload":"{'a': 1}"}"#),
            (b"\"\xff\"", b"{\"status\":-5,\"payload\":\"\xff\"}", "{\"status\":-5,\"payload\":\"\\\"\u{fffd}\\\"\"}"),
        ] {
            assert_eq!(encode_result(-5, payload), result);
            assert_eq!(encode_outcome(-5, payload).as_str(), outcome);
        }
    }
}
