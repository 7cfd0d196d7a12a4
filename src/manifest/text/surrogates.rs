//! Characters that JSON escapes in two halves, as in `"\ud83d\ude00"`: YAML has no such escapes, and JSON writers have no others.
//!
//! The parser is shown another text of the same length, in which each half is a placeholder, and the scalars are put right afterwards.

use std::borrow::Cow;
use std::ops::Range;

/// `\uXXXX`
const ESCAPE_BYTES: usize = 6;

/// A text for the parser, without halves.
pub(crate) struct Whole<'t> {
    pub(crate) text: Cow<'t, str>,
    /// Stands for each half; the text has it nowhere else. `None` if there are no halves.
    placeholder: Option<char>,
}

/// A half without its other one, by its place in the text that was given.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Lone(pub(crate) Range<usize>);

impl<'t> Whole<'t> {
    pub(crate) fn of(text: &'t str) -> Self {
        if halves(text).next().is_none() {
            return Self { text: Cow::Borrowed(text), placeholder: None };
        }
        let lower = text.to_ascii_lowercase();
        let is_free = |c: &char| !text.contains(*c) && !lower.contains(&format!("{:04x}", u32::from(*c)));
        let Some(placeholder) = ('\u{e000}'..='\u{f8ff}').find(is_free) else {
            return Self { text: Cow::Borrowed(text), placeholder: None };
        };
        let mut whole = text.to_owned();
        for (offset, _) in halves(text) {
            whole.replace_range(offset..offset + ESCAPE_BYTES, &escape(placeholder));
        }
        Self { text: Cow::Owned(whole), placeholder: Some(placeholder) }
    }

    /// Puts a scalar right that the parser made of the part `written` of the given text.
    pub(crate) fn restore<'v>(
        &self,
        value: Cow<'v, str>,
        written: &str,
        is_double_quoted: bool,
    ) -> Result<Cow<'v, str>, Lone> {
        let Some(placeholder) = self.placeholder else { return Ok(value) };
        let mut halves = halves(written).peekable();
        if halves.peek().is_none() {
            return Ok(value);
        }
        if !is_double_quoted {
            // There they are no escapes.
            let mut restored = value.into_owned();
            for (offset, _) in halves {
                restored = restored.replacen(&escape(placeholder), &written[offset..offset + ESCAPE_BYTES], 1);
            }
            return Ok(restored.into());
        }
        let mut restored = String::with_capacity(value.len());
        let mut before: Option<(usize, u16)> = None;
        let lone = |(offset, _): (usize, u16)| Lone(offset..offset + ESCAPE_BYTES);
        for c in value.chars() {
            let half = if c == placeholder { halves.next() } else { None };
            match (before.take(), half) {
                (None, None) => restored.push(c),
                (None, half @ Some((_, 0xd800..=0xdbff))) => before = half,
                (Some((_, high)), Some((_, low @ 0xdc00..=0xdfff))) => {
                    restored.extend(char::decode_utf16([high, low]).flatten());
                }
                (Some(half), _) | (None, Some(half)) => return Err(lone(half)),
            }
        }
        before.map_or(Ok(restored.into()), |half| Err(lone(half)))
    }
}

fn escape(c: char) -> String {
    format!("\\u{:04x}", u32::from(c))
}

/// Returns the offsets and values of the escapes of halves. A backslash that is escaped itself starts none.
fn halves(text: &str) -> impl Iterator<Item = (usize, u16)> {
    text.match_indices("\\u").filter_map(|(offset, _)| {
        let digits = text.get(offset + 2..offset + ESCAPE_BYTES)?;
        let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        let half = u16::from_str_radix(digits, 16).ok().filter(|half| is_hex && (0xd800..=0xdfff).contains(half))?;
        let backslashes = text[..offset].bytes().rev().take_while(|&byte| byte == b'\\').count();
        (backslashes % 2 == 0).then_some((offset, half))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_put_together_in_double_quotes_alone() {
        for (written, seen, restored) in [
            (r#""\ud83d\ude00""#, "P P", Ok("😀")),
            (r#""a\uD83D\uDE00b\ud83d\ude01""#, "aPPbPP", Ok("a😀b😁")),
            (r#""\ud83d""#, "P", Err(Lone(1..7))),
            (r#""\ude00\ud83d""#, "PP", Err(Lone(1..7))),
            (r#""\ud83d a""#, "P a", Err(Lone(1..7))),
            (r#""\ud83d\ud83d\ude00""#, "PPP", Err(Lone(1..7))),
            (r#""\\ud83d""#, r"\ud83d", Ok(r"\ud83d")),
        ] {
            let whole = Whole::of(written);
            assert_eq!(whole.text.len(), written.len());
            let placeholder = whole.placeholder.unwrap_or('P').to_string();
            let seen = seen.replace(' ', if seen == "P P" { "" } else { " " }).replace('P', &placeholder);
            assert_eq!(whole.restore(seen.into(), written, true).as_deref(), restored.as_ref().copied(), "{written}");
        }
        let written = r"'\ud83d \uD83D'";
        let whole = Whole::of(written);
        let seen = whole.text.trim_matches('\'').to_owned();
        assert_eq!(whole.restore(seen.into(), written, false).as_deref(), Ok(r"\ud83d \uD83D"));
    }

    #[test]
    fn the_placeholder_is_nowhere_else() {
        let whole = Whole::of("[\"\\ud83d\\ude00\", \"\\uE000\", \"\u{e001}\"]");
        assert_eq!(whole.placeholder, Some('\u{e002}'));
    }
}
