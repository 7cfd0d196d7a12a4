//! The id of a request, in the form of a UUID.

/// Returns a random id in the form of a UUID.
pub(crate) fn request_id() -> String {
    let mut bytes = [0; 16];
    // Without randomness the id is all zeros, which is a poor name and no reason to fail.
    let _ = getrandom::fill(&mut bytes);
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}
