//! Numbers that the service's JSON reader (Newtonsoft's) takes for others than `serde_json` does.
//!
//! `-0` is an integer there, and zero; `serde_json` reads the double that `-0.0` is. An integer of any length stays one, and the service
//! refuses it as too large; `serde_json` reads a double where it has no room in 64 bits. Once the text is read nobody can tell these apart.

use std::borrow::Cow;
use std::ops::Range;

use crate::twin::limits::{INTEGER_MAX, INTEGER_MIN};

/// From so many digits on an integer is too large, and `serde_json` may not read it as one.
const TOO_MANY_DIGITS: usize = 19;

/// An integer that the hub does not take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the integer {0} is outside the hub's range for integers, {INTEGER_MIN} to {INTEGER_MAX} (52 bits)")]
pub struct TooLarge(String);

/// Returns the text with `0` in the place of each number that is written `-0`. What stands in strings stays, and so do all positions.
///
/// # Errors
///
/// When an integer in it has too many digits.
pub fn as_the_service_reads(text: &[u8]) -> Result<Cow<'_, [u8]>, TooLarge> {
    // Times in strings have a `-0` as well, so the characters around it decide whether the text is looked through.
    let has_zero = (0..text.len()).any(|at| text[at] == b'-' && is_zero(text, at));
    // So many digits in a row have one at such a place.
    let has_integer = || (0..text.len()).step_by(TOO_MANY_DIGITS).any(|at| !digits_around(text, at).is_empty());
    if !has_zero && !has_integer() {
        return Ok(Cow::Borrowed(text));
    }
    let mut plain = text.to_vec();
    let (mut in_string, mut escaped) = (false, false);
    for at in 0..text.len() {
        match text[at] {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'-' if is_zero(text, at) => plain[at] = b' ',
            b'0'..=b'9' if begins_value(text, at) => {
                let digits = digits_around(text, at);
                let sign = usize::from(at > 0 && text[at - 1] == b'-');
                if !digits.is_empty() && !matches!(text.get(digits.end), Some(b'.' | b'e' | b'E')) {
                    let digits = String::from_utf8_lossy(&text[at - sign..digits.end]).into_owned();
                    return Err(TooLarge(digits));
                }
            }
            _ => {}
        }
    }
    Ok(Cow::Owned(plain))
}

/// Returns where the digits in a row begin and end of which one is at this place; nothing unless they are too many.
fn digits_around(text: &[u8], at: usize) -> Range<usize> {
    let is_digit = |byte: &u8| byte.is_ascii_digit();
    let before = text[..at].iter().rev().take_while(|byte| is_digit(byte)).count();
    let after = text[at..].iter().take_while(|byte| is_digit(byte)).count();
    if after == 0 || before + after < TOO_MANY_DIGITS { 0..0 } else { at - before..at + after }
}

/// Returns `true` if a digit at this place is the first one of a number.
fn begins_value(text: &[u8], at: usize) -> bool {
    let Some(before) = at.checked_sub(1) else { return true };
    let sign = before.checked_sub(1).is_some_and(|place| matches!(text[place], b'e' | b'E'));
    match text[before] {
        b'-' => !sign,
        byte => !byte.is_ascii_digit() && !matches!(byte, b'.' | b'+' | b'e' | b'E'),
    }
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
            assert_eq!(as_the_service_reads(text.as_bytes()).as_deref(), Ok(expected.as_bytes()), "{text}");
        }
        assert!(matches!(as_the_service_reads(br#"{"a":"2026-01-02","b":-0.5}"#), Ok(Cow::Borrowed(_))));
    }

    #[test]
    fn integers_of_too_many_digits_are_none() {
        let long = "1".repeat(TOO_MANY_DIGITS);
        for (text, is_taken) in [
            (format!("[{long}]"), false),
            (format!("{{\"a\":-{long}}}"), false),
            (long.clone(), false),
            (format!("[1, {long}00]"), false),
            (format!("[{long}.0, {long}e1, {long}E-1, 0.{long}, 1e{long}, 1e-{long}, 1e+{long}]"), true),
            (format!("\"{long}\""), true),
            (format!("{{\"\\\"{long}\":1}}"), true),
            (format!("[{}]", &long[1..]), true),
        ] {
            assert_eq!(as_the_service_reads(text.as_bytes()).is_ok(), is_taken, "{text}");
        }
    }
}
