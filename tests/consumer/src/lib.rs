//! What a team might test: where a device is, by its twin.

/// Returns the building of a twin.
pub fn building(twin: &serde_json::Value) -> Option<&str> {
    twin["tags"]["building"].as_str()
}
