//! Numbers that the service's JSON reader (Newtonsoft's) takes for others than `serde_json` does.
//!
//! `-0` is an integer there, and zero; `serde_json` reads the double that `-0.0` is. Once the text is read nobody can tell the two apart.

use std::borrow::Cow;

/// Returns the text with `0` in the place of each number that is written `-0`. What stands in strings stays, and so do all positions.
pub(crate) fn with_plain_zeros(text: &[u8]) -> Cow<'_, [u8]> {
    // Times in strings have a `-0` as well, so the characters around it decide whether the text is looked through.
    if !(0..text.len()).any(|at| text[at] == b'-' && is_zero(text, at)) {
        return Cow::Borrowed(text);
    }
    let mut plain = text.to_vec();
    let (mut in_string, mut escaped) = (false, false);
    for at in 0..text.len() {
        match text[at] {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'-' if !in_string && is_zero(text, at) => plain[at] = b' ',
            _ => {}
        }
    }
    Cow::Owned(plain)
}

/// Returns `true` if the `-` at this place begins a value that is `-0`, unless it stands in a string.
fn is_zero(text: &[u8], at: usize) -> bool {
    let before = text[..at].iter().rev().find(|byte| !byte.is_ascii_whitespace());
    let after = text.get(at + 2);
    text.get(at + 1) == Some(&b'0')
        && before.is_none_or(|byte| matches!(byte, b':' | b',' | b'['))
        && after.is_none_or(|byte| matches!(byte, b',' | b']' | b'}') || byte.is_ascii_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_integers_lose_their_sign() {
        for (text, expected) in [
            (r#"{"a":-0}"#, r#"{"a": 0}"#),
            ("-0", " 0"),
            ("[-0 ,\n-0]", "[ 0 ,\n 0]"),
            (
                r#"{"a":[-0,-0.0,-0e1,-01,-1,0],"b":"[-0]","c":"\\",":-0":"\":-0,"}"#,
                r#"{"a":[ 0,-0.0,-0e1,-01,-1,0],"b":"[-0]","c":"\\",":-0":"\":-0,"}"#,
            ),
            (r#"{"time":"2026-01-02T00:00:00-00:00","a":-0.0}"#, r#"{"time":"2026-01-02T00:00:00-00:00","a":-0.0}"#),
            ("-", "-"),
            ("", ""),
        ] {
            assert_eq!(with_plain_zeros(text.as_bytes()), expected.as_bytes(), "{text}");
        }
        assert!(matches!(with_plain_zeros(br#"{"a":"2026-01-02","b":-0.5}"#), Cow::Borrowed(_)));
    }
}
