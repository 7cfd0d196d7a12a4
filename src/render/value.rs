//! JSON values on a line: cut where a line ends, and what is different between two of them made plain.

use std::borrow::Cow;

use serde_json::Value;
use similar::{ChangeTag, TextDiff};

use super::escape;
use super::style::Palette;

/// How much of what is the same stays beside what differs, at least.
const CONTEXT: usize = 12;

/// Writes a value, or `absent` for nothing.
pub fn inline(value: Option<&Value>) -> String {
    value.map_or_else(|| "absent".to_owned(), escape::json)
}

/// Counts the characters that a text takes on a line.
pub fn width(text: &str) -> usize {
    text.chars().count()
}

/// Cuts a text to so many characters, the last of them `…`.
pub fn cut(text: &str, most: usize) -> Cow<'_, str> {
    if width(text) <= most {
        return Cow::Borrowed(text);
    }
    let kept: String = text.chars().take(most.saturating_sub(1)).collect();
    Cow::Owned(kept + "…")
}

/// Writes two texts, each on a line of so many characters, with what differs painted and long stretches of what does not
/// left out.
pub fn differences(before: &str, after: &str, most: usize, palette: Palette) -> (String, String) {
    let diff = TextDiff::from_unicode_words(before, after);
    let mut stretches: Vec<(ChangeTag, String)> = Vec::new();
    for change in diff.iter_all_changes() {
        match stretches.last_mut() {
            Some((tag, text)) if *tag == change.tag() => text.push_str(change.value()),
            _ => stretches.push((change.tag(), change.value().to_owned())),
        }
    }
    let shorten = width(before).max(width(after)) > most;
    let side = |wanted: ChangeTag| {
        let context = context(&stretches, wanted, most);
        let mut line = String::new();
        let mut left = most;
        let last = stretches.len().saturating_sub(1);
        for (index, (tag, text)) in stretches.iter().enumerate() {
            let text: Cow<'_, str> = match *tag {
                ChangeTag::Equal if shorten => shorten_equal(text, context, index == 0, index == last),
                ChangeTag::Equal => Cow::Borrowed(text),
                tag if tag == wanted => Cow::Borrowed(text),
                _ => continue,
            };
            let shown = cut(&text, left);
            left -= width(&shown);
            match *tag {
                ChangeTag::Equal => line.push_str(&shown),
                ChangeTag::Delete => line.push_str(&palette.removed_part(shown).to_string()),
                ChangeTag::Insert => line.push_str(&palette.added_part(shown).to_string()),
            }
            if left == 0 {
                break;
            }
        }
        line
    };
    (side(ChangeTag::Delete), side(ChangeTag::Insert))
}

/// How much may stand on either side of a difference, when the rest of the line is shared evenly.
fn context(stretches: &[(ChangeTag, String)], wanted: ChangeTag, most: usize) -> usize {
    let of = |tag: ChangeTag| stretches.iter().filter(move |stretch| stretch.0 == tag);
    let differing: usize = of(wanted).map(|(_, text)| width(text)).sum();
    // An ellipsis each, and two sides but for the first and the last.
    let equal = of(ChangeTag::Equal).count().max(1);
    (most.saturating_sub(differing + equal) / (2 * equal)).max(CONTEXT)
}

/// Leaves of a stretch that is the same on both sides what stands next to a difference.
fn shorten_equal(text: &str, context: usize, first: bool, last: bool) -> Cow<'_, str> {
    let length = width(text);
    let head = if first { 0 } else { context };
    let tail = if last { 0 } else { context };
    if length <= head + tail + 1 {
        return Cow::Borrowed(text);
    }
    let mut short: String = text.chars().take(head).collect();
    short.push('…');
    short.extend(text.chars().skip(length - tail));
    Cow::Owned(short)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values() {
        assert_eq!(inline(None), "absent");
        assert_eq!(inline(Some(&json!("\u{1b}x"))), "\"\\u001bx\"");
        assert_eq!(cut("abcdef", 6), "abcdef");
        assert_eq!(cut("abcdefg", 6), "abcde…");
    }

    #[test]
    fn differences_keep_what_differs() {
        let url = |host: &str, end: &str| format!("\"https://{host}/a/very/long/path/that/goes/on/and/on/{end}\"");
        let (before, after) =
            differences(&url("old.example.com", "x?token=1"), &url("new.example.com", "x?token=2"), 60, Palette::PLAIN);
        assert_eq!(before, "\"https://old.example.com/a/very/long…/on/x?token=1\"");
        assert_eq!(after, "\"https://new.example.com/a/very/long…/on/x?token=2\"");
        let (before, after) = differences("short", "shirt", 60, Palette::PLAIN);
        assert_eq!((before.as_str(), after.as_str()), ("short", "shirt"));
        let long = "word ".repeat(50);
        let (before, after) = differences("nothing", &long, 20, Palette::PLAIN);
        assert_eq!((before.as_str(), width(&after)), ("nothing", 20));
    }

    proptest::proptest! {
        #[test]
        fn lines_are_never_longer_than_allowed(before in "[a-c ]{0,80}", after in "[a-c ]{0,80}", most in 1usize..60) {
            let (before, after) = differences(&before, &after, most, Palette::PLAIN);
            proptest::prop_assert!(width(&before) <= most && width(&after) <= most);
        }
    }
}
