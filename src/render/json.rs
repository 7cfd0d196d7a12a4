//! The one way in which JSON documents leave.

use serde::Serialize;

use super::escape;

/// Writes a document, indented, keys in the order of its type, a line feed at the end, nothing in it that could steer a
/// terminal.
pub fn document(document: &impl Serialize) -> String {
    let text = serde_json::to_string_pretty(document).expect("our own types have string keys and finite numbers");
    escape::json_text(&text).into_owned() + "\n"
}
