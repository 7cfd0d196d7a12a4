//! JSON values on a line: cut where a line ends, and what is different between two of them made plain.

use std::borrow::Cow;

use serde_json::Value;
use similar::{ChangeTag, TextDiff};

use super::escape;
use super::style::Palette;
use crate::digest::Hasher;

/// Up to how many bytes two texts are compared word by word, which takes longer than they are long.
const WORD_BY_WORD: usize = 4000;
/// How much of what is the same stays beside what differs, at least.
const CONTEXT: usize = 12;

/// Writes a value, or `absent` for nothing.
pub(crate) fn inline(value: Option<&Value>) -> String {
    value.map_or_else(|| "absent".to_owned(), escape::json)
}

/// Counts the characters that a text takes on a line.
pub(crate) fn width(text: &str) -> usize {
    text.chars().count()
}

/// Cuts a text to so many characters. It then ends in `…#` and the first digits of its digest, so that two texts that
/// begin alike still look different; where there is no room for that, in `…`.
pub(crate) fn cut(text: &str, most: usize) -> Cow<'_, str> {
    if width(text) <= most {
        return Cow::Borrowed(text);
    }
    let mark = if most >= LEAST { mark(text) } else { "…".to_owned() };
    let kept: String = text.chars().take(most.saturating_sub(width(&mark))).collect();
    Cow::Owned(kept + &mark)
}

/// The digits of a digest that stand for what was cut.
const DIGITS: usize = 6;
/// The least characters into which a text is cut with its digest.
const LEAST: usize = DIGITS + 4;

fn mark(text: &str) -> String {
    let mut hasher = Hasher::new();
    hasher.piece(text);
    format!("…#{}", &hasher.finish().short()[..DIGITS])
}

/// Cuts words about values, which end in `…`.
pub(crate) fn ellipsis(text: &str, most: usize) -> Cow<'_, str> {
    if width(text) <= most {
        return Cow::Borrowed(text);
    }
    let kept: String = text.chars().take(most.saturating_sub(1)).collect();
    Cow::Owned(kept + "…")
}

/// Writes what a value was and will be on one line of so many characters: `1 → 2`. What is left out is not what
/// differs.
pub(crate) fn both(before: &str, after: &str, most: usize) -> String {
    const ARROW: &str = " → ";
    let room = most.saturating_sub(width(ARROW));
    if width(before) + width(after) <= room {
        return format!("{before}{ARROW}{after}");
    }
    let (before, after) = differences(before, after, room / 2, Palette::PLAIN);
    format!("{before}{ARROW}{after}")
}

/// Writes two texts, each on a line of so many characters, with what differs painted and long stretches of what does not
/// left out.
pub(crate) fn differences(before: &str, after: &str, most: usize, palette: Palette) -> (String, String) {
    let shorten = width(before).max(width(after)) > most;
    let stretches = if shorten { peeled(stretches(before, after)) } else { stretches(before, after) };
    let side = |wanted: ChangeTag, whole: &str, palette: Palette| {
        let context = context(&stretches, wanted, most);
        let last = stretches.len().saturating_sub(1);
        let here = stretches.iter().enumerate().filter(|(_, (tag, _))| *tag == ChangeTag::Equal || *tag == wanted);
        let parts: Vec<(ChangeTag, Cow<'_, str>)> = here
            .map(|(index, (tag, text))| match *tag {
                ChangeTag::Equal if shorten => (*tag, shorten_equal(text, context, index == 0, index == last)),
                tag => (tag, Cow::Borrowed(text.as_str())),
            })
            .collect();
        paint(&parts, whole, most, palette)
    };
    // Texts that repeat themselves may have what differs just where both are cut.
    if shorten && side(ChangeTag::Delete, before, Palette::PLAIN) == side(ChangeTag::Insert, after, Palette::PLAIN) {
        return (cut(before, most).into_owned(), cut(after, most).into_owned());
    }
    (side(ChangeTag::Delete, before, palette), side(ChangeTag::Insert, after, palette))
}

/// Writes the parts of one side in so many characters; where there are more, as [`cut`] cuts the whole.
fn paint(parts: &[(ChangeTag, Cow<'_, str>)], whole: &str, most: usize, palette: Palette) -> String {
    let fits = parts.iter().map(|(_, text)| width(text)).sum::<usize>() <= most;
    let end = match fits {
        true => String::new(),
        false if most >= LEAST => mark(whole),
        false => "…".to_owned(),
    };
    let mut left = most.saturating_sub(width(&end));
    let mut line = String::new();
    for (tag, text) in parts {
        let text: String = text.chars().take(left).collect();
        left -= width(&text);
        match *tag {
            _ if text.is_empty() => {}
            ChangeTag::Equal => line.push_str(&text),
            ChangeTag::Delete => line.push_str(&palette.removed_part(text).to_string()),
            ChangeTag::Insert => line.push_str(&palette.added_part(text).to_string()),
        }
    }
    line.extend(end.chars().take(most));
    line
}

/// Takes what two differing stretches begin and end with alike out of them, where they are long: a word may be longer
/// than a line.
fn peeled(stretches: Vec<(ChangeTag, String)>) -> Vec<(ChangeTag, String)> {
    let mut out: Vec<(ChangeTag, String)> = Vec::with_capacity(stretches.len());
    let mut push = |tag: ChangeTag, text: String| match out.last_mut() {
        Some((last, known)) if *last == tag => known.push_str(&text),
        _ => out.push((tag, text)),
    };
    let mut stretches = stretches.into_iter().peekable();
    while let Some((tag, text)) = stretches.next() {
        let is_long = |other: &str| width(&text).max(width(other)) > 2 * CONTEXT;
        let is_pair = |next: ChangeTag| (tag, next) == (ChangeTag::Delete, ChangeTag::Insert);
        match stretches.next_if(|(next, other)| is_pair(*next) && is_long(other)) {
            Some((_, inserted)) => ends(&text, &inserted).into_iter().for_each(|(tag, text)| push(tag, text)),
            None => push(tag, text),
        }
    }
    out
}

/// Splits two texts into stretches that are on one side or on both.
fn stretches(before: &str, after: &str) -> Vec<(ChangeTag, String)> {
    if before.len() + after.len() > WORD_BY_WORD {
        return ends(before, after);
    }
    let diff = TextDiff::from_unicode_words(before, after);
    let mut stretches: Vec<(ChangeTag, String)> = Vec::new();
    for change in diff.iter_all_changes() {
        match stretches.last_mut() {
            Some((tag, text)) if *tag == change.tag() => text.push_str(change.value()),
            _ => stretches.push((change.tag(), change.value().to_owned())),
        }
    }
    stretches
}

/// Finds what two long texts begin and end with alike; all between differs.
fn ends(before: &str, after: &str) -> Vec<(ChangeTag, String)> {
    let alike = |(a, b): &(char, char)| a == b;
    let head: usize = before.chars().zip(after.chars()).take_while(alike).map(|(c, _)| c.len_utf8()).sum();
    let (same, before, after) = (&before[..head], &before[head..], &after[head..]);
    let tail: usize = before.chars().rev().zip(after.chars().rev()).take_while(alike).map(|(c, _)| c.len_utf8()).sum();
    let (before, end) = before.split_at(before.len() - tail);
    let after = &after[..after.len() - tail];
    let parts =
        [(ChangeTag::Equal, same), (ChangeTag::Delete, before), (ChangeTag::Insert, after), (ChangeTag::Equal, end)];
    parts.into_iter().filter(|(_, text)| !text.is_empty()).map(|(tag, text)| (tag, text.to_owned())).collect()
}

/// Parts of a text, and whether each differs from the other side.
pub(crate) type Words = Vec<(String, bool)>;

/// Splits two texts, whole, into what differs and what does not. Where they have little in common, nothing is told to differ.
pub(crate) fn words(before: &str, after: &str) -> (Words, Words) {
    let stretches = stretches(before, after);
    let common: usize = stretches.iter().filter(|(tag, _)| *tag == ChangeTag::Equal).map(|(_, text)| text.len()).sum();
    if common * 3 < before.len().max(after.len()) {
        return (vec![(before.to_owned(), false)], vec![(after.to_owned(), false)]);
    }
    let side = |wanted: ChangeTag| {
        let here = stretches.iter().filter(|(tag, _)| *tag == ChangeTag::Equal || *tag == wanted);
        here.map(|(tag, text)| (text.clone(), *tag != ChangeTag::Equal)).collect()
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

/// What a line of a difference is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// It is on both sides.
    Same,
    /// It goes.
    Removed,
    /// It comes to be.
    Added,
    /// Lines that are the same were left out.
    Gap,
}

/// How many lines that are the same stand around those that differ.
const AROUND: usize = 2;

/// Compares two texts line by line; of what is the same, a few lines around what differs are left.
pub(crate) fn line_differences(before: &str, after: &str) -> Vec<(Mark, String)> {
    let diff = TextDiff::from_lines(before, after);
    let mut lines = Vec::new();
    let (mut old_end, old_all) = (0, diff.old_len());
    for group in diff.grouped_ops(AROUND) {
        let start = group.first().map_or(old_end, |op| op.old_range().start);
        if start > old_end {
            lines.push((Mark::Gap, "…".to_owned()));
        }
        for op in &group {
            for change in diff.iter_changes(op) {
                let mark = match change.tag() {
                    ChangeTag::Equal => Mark::Same,
                    ChangeTag::Delete => Mark::Removed,
                    ChangeTag::Insert => Mark::Added,
                };
                lines.push((mark, change.value().trim_end_matches('\n').to_owned()));
            }
            old_end = op.old_range().end;
        }
    }
    if !lines.is_empty() && old_end < old_all {
        lines.push((Mark::Gap, "…".to_owned()));
    }
    lines
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
        let long = |end: &str| format!("{}{end}", "x".repeat(50));
        assert_eq!(cut(&long("a"), 12), "xxxx…#76744a");
        assert_ne!(cut(&long("a"), 12), cut(&long("b"), 12));
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
        // One word, longer than a line.
        let word = |end: &str| format!("\"{}{end}\"", "x".repeat(100));
        assert_eq!(both(&word("a"), &word("b"), 40), "…xxxxxxxxxxxxa\" → …xxxxxxxxxxxxb\"");
    }

    #[test]
    fn lines_around_a_difference_stay() {
        let pretty = |url: &str| {
            let keys: serde_json::Map<_, _> = ('a'..='i').map(|key| (key.to_string(), json!(1))).collect();
            let mut value = Value::Object(keys);
            value["e"] = json!(url);
            serde_json::to_string_pretty(&value).expect("JSON")
        };
        let lines: Vec<_> = line_differences(&pretty("old"), &pretty("new"))
            .into_iter()
            .map(|(mark, line)| {
                let sign = match mark {
                    Mark::Same | Mark::Gap => ' ',
                    Mark::Removed => '-',
                    Mark::Added => '+',
                };
                format!("{sign}{}", line.trim())
            })
            .collect();
        assert_eq!(
            lines,
            [
                " …",
                " \"c\": 1,",
                " \"d\": 1,",
                "-\"e\": \"old\",",
                "+\"e\": \"new\",",
                " \"f\": 1,",
                " \"g\": 1,",
                " …"
            ]
        );
        assert!(line_differences("a\n", "a\n").is_empty());
    }

    #[test]
    fn long_texts_are_compared_from_both_ends() {
        let (head, tail) = ("é".repeat(2000), "漢".repeat(900));
        let (before, after) = words(&format!("{head}one{tail}"), &format!("{head}two{tail}"));
        assert_eq!(before.iter().map(|(text, _)| text.as_str()).collect::<Vec<_>>(), [&head, "one", &tail]);
        assert_eq!(after[1], ("two".to_owned(), true), "they share no more than both ends have");
        assert_eq!(words(&head, &head).0, [(head.clone(), false)]);
    }

    proptest::proptest! {
        #[test]
        fn the_words_are_the_text(before in "[a-b ]{0,30}", after in "[a-b ]{0,30}", times in 1usize..200) {
            let (before, after) = (before.repeat(times), after.repeat(times));
            let (left, right) = words(&before, &after);
            let text = |words: Words| words.into_iter().map(|(text, _)| text).collect::<String>();
            proptest::prop_assert_eq!((text(left), text(right)), (before, after));
        }

        #[test]
        fn lines_are_never_longer_than_allowed(before in "[a-c ]{0,80}", after in "[a-c ]{0,80}", most in 1usize..60) {
            let (before, after) = differences(&before, &after, most, Palette::PLAIN);
            proptest::prop_assert!(width(&before) <= most && width(&after) <= most);
        }

        #[test]
        fn what_differs_is_never_cut_away(
            before in "[ab ]{0,9}|[a-c ]{0,90}",
            after in "[ab ]{0,9}|[a-c ]{0,90}",
            times in 1usize..40,
            most in 24usize..60,
        ) {
            proptest::prop_assume!(before != after);
            let head = "ab a".repeat(times);
            for (before, after) in [
                (before.repeat(times), after.repeat(times)),
                (format!("{head}{before}"), format!("{head}{after}")),
                (format!("{before}{head}"), format!("{after}{head}")),
                (format!("{head}{before}{head}"), format!("{head}{after}{head}")),
            ] {
                if before != after {
                    let (left, right) = differences(&before, &after, most, Palette::PLAIN);
                    proptest::prop_assert_ne!(left, right, "{} {}", before, after);
                    proptest::prop_assert_ne!(cut(&before, most), cut(&after, most));
                }
            }
        }
    }
}
