//! The hub's protocols as data: connection strings, signatures, paths, headers, bodies, error codes, topics.
//!
//! Client and embedded hub both encode and decode here and know nothing of each other. No sockets, no clock. A shared codec
//! cannot catch its own mistake: exchanges transcribed from the public reference, and Microsoft's SDKs as clients of the
//! embedded hub, hold it to the real service.

// In reading order: a module uses those above it, and none below.
pub mod error;
pub mod faults;
pub mod json_fault;
mod lenient;
pub mod configurations;
pub mod members;
pub mod messages;
pub mod names;
pub mod numbers;
pub mod query;
pub mod raw_json;
pub mod jobs;
pub mod raw_twin;
pub mod redact;
pub mod secret;
pub mod registry;
pub mod bulk;
pub mod configuration_lines;
pub mod keys;
pub mod modules;
pub mod sas;
pub mod connection_string;
pub mod topics;
pub mod transfers;
pub mod twins;
pub mod methods;
pub mod versions;

pub use connection_string::ConnectionString;
pub use error::{ErrorCode, HubError};
pub use secret::Secret;
pub use versions::{API_VERSION, SERVED_API_VERSIONS};

/// The media type of every body.
pub const JSON: &str = "application/json; charset=utf-8";

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// What stands in a path segment without being escaped: RFC 3986's unreserved characters.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Escapes an id for one segment of a path.
pub fn encode_segment(id: &str) -> String {
    utf8_percent_encode(id, SEGMENT).to_string()
}

/// Undoes [`encode_segment`] and what other clients do instead: each escape once, and `+` is a plus. Nothing when the
/// bytes are not UTF-8.
pub fn decode_segment(segment: &str) -> Option<String> {
    percent_decode_str(segment).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_escape_all_that_ids_may_hold() {
        let id = "a-:.+%_#*?!(),=@;$'9";
        assert_eq!(encode_segment(id), "a-%3A.%2B%25_%23%2A%3F%21%28%29%2C%3D%40%3B%24%279");
        assert_eq!(decode_segment(&encode_segment(id)).as_deref(), Some(id));
        assert_eq!(decode_segment("a+b!'()*").as_deref(), Some("a+b!'()*"), "as Node's encodeURIComponent leaves them");
        assert_eq!(decode_segment("%25%32%35").as_deref(), Some("%25"), "once");
        assert_eq!(decode_segment("%ff"), None);
    }
}
