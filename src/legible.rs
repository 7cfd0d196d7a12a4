//! Which characters of a text a reader can see, and tell from others.
//!
//! The one place that decides it. A character that is not seen, or looks like another one, is shown by its number
//! wherever a text is shown: two values that differ never look alike. Ordinary text stays as it is in every script, as
//! long as its letters are composed (Unicode Normalization Form C). Joiners and selectors are not seen, so they are
//! shown by their number inside an emoji, too: many terminals draw the emoji alike with and without them.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use icu_properties::props::{DefaultIgnorableCodePoint, GeneralCategory};
use icu_properties::{CodePointMapData, CodePointSetData};
use unicode_normalization::is_nfc;
use unicode_security::skeleton;

/// Returns `true` if a character cannot be seen as what it is, whatever stands around it: a control character, a space
/// other than U+0020, a character that has no shape or no meaning yet, a character that reorders text, a dash that
/// looks like `-`.
#[cfg(test)]
pub(crate) fn is_unseen(c: char) -> bool {
    if c.is_ascii() { c.is_ascii_control() } else { is_unseen_as(c, category(c)) }
}

fn category(c: char) -> GeneralCategory {
    CodePointMapData::<GeneralCategory>::new().get(c)
}

fn is_unseen_as(c: char, category: GeneralCategory) -> bool {
    use GeneralCategory as Is;
    matches!(
        category,
        Is::Control
            | Is::Format
            | Is::LineSeparator
            | Is::ParagraphSeparator
            | Is::PrivateUse
            | Is::SpaceSeparator
            | Is::Surrogate
            | Is::Unassigned
    ) || CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c)
        || has_no_shape(c)
        || is_like_hyphen(c)
}

/// Letters and symbols that are drawn as nothing: the blank Braille pattern, the null note head.
fn has_no_shape(c: char) -> bool {
    matches!(c, '\u{2800}' | '\u{1d159}')
}

/// Hyphens, minus signs and the figure dash, which most fonts draw as `-`. The dashes of ordinary prose are not among
/// them.
fn is_like_hyphen(c: char) -> bool {
    matches!(c, '\u{2d7}' | '\u{2010}'..='\u{2012}' | '\u{2043}' | '\u{2212}' | '\u{fe58}' | '\u{fe63}' | '\u{ff0d}')
}

fn is_mark(category: GeneralCategory) -> bool {
    use GeneralCategory as Is;
    matches!(category, Is::NonspacingMark | Is::SpacingMark | Is::EnclosingMark)
}

/// Finds the characters of a text to be shown by their numbers, but for those to `keep`. Returns where each starts, in
/// bytes.
///
/// Beside the characters of `is_unseen` these are letters that another spelling composes (`e` and U+0301 for `é`),
/// and marks with no letter to stand on, which would stand on a quote or on whatever precedes the text.
pub(crate) fn unseen(text: &str, keep: impl Fn(char) -> bool) -> Vec<usize> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let byte = bytes[at];
        if byte.is_ascii() {
            if byte.is_ascii_control() && !keep(char::from(byte)) {
                found.push(at);
            }
            at += 1;
            continue;
        }
        let end = bytes[at..].iter().position(u8::is_ascii).map_or(bytes.len(), |length| at + length);
        // A mark may stand on the ASCII letter before it.
        let start = if at > 0 && bytes[at - 1].is_ascii_graphic() { at - 1 } else { at };
        stretch(&text[start..end], start, &keep, &mut found);
        at = end;
    }
    found
}

/// Looks at a stretch without ASCII but for its first character. It starts at the byte `offset` of the whole text.
fn stretch(text: &str, offset: usize, keep: impl Fn(char) -> bool, found: &mut Vec<usize>) {
    let respelled = respelled(text);
    let mut carries_marks = false;
    for (at, c) in text.char_indices() {
        if c.is_ascii() {
            carries_marks = c.is_ascii_alphanumeric();
            continue;
        }
        let category = category(c);
        let hidden = !keep(c)
            && (respelled.iter().any(|range| range.contains(&at))
                || is_unseen_as(c, category)
                || (is_mark(category) && !carries_marks));
        if hidden {
            found.push(offset + at);
        }
        carries_marks = !hidden;
    }
}

/// Finds the parts of a text that another spelling composes.
fn respelled(text: &str) -> Vec<Range<usize>> {
    if is_nfc(text) {
        return Vec::new();
    }
    let parts = clusters(text).filter(|(_, cluster)| !is_nfc(cluster));
    let mut found: Vec<_> = parts.map(|(start, cluster)| start..start + cluster.len()).collect();
    if found.is_empty() {
        found.push(0..text.len());
    }
    found
}

/// Splits a text before each character that cannot compose with the one before it.
fn clusters(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let composes = |c: char| is_mark(category(c)) || matches!(c, '\u{1160}'..='\u{11ff}');
    let mut starts: Vec<usize> =
        text.char_indices().filter(|&(at, c)| at == 0 || !composes(c)).map(|(at, _)| at).collect();
    starts.push(text.len());
    (1..starts.len()).map(move |index| (starts[index - 1], &text[starts[index - 1]..starts[index]]))
}

/// Writes a character by its number, as JSON and YAML do: `\u00a0`.
pub(crate) fn push_number(c: char, out: &mut String) {
    use std::fmt::Write;
    for unit in c.encode_utf16(&mut [0; 2]) {
        write!(out, "\\u{unit:04x}").expect("a string takes all that is written to it");
    }
}

/// Writes what is not seen by its number.
fn numbered(text: &str) -> Cow<'_, str> {
    let unseen = unseen(text, |_| false);
    if unseen.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut unseen = unseen.into_iter().peekable();
    let mut out = String::with_capacity(text.len() * 2);
    for (at, c) in text.char_indices() {
        if unseen.next_if_eq(&at).is_some() { push_number(c, &mut out) } else { out.push(c) }
    }
    Cow::Owned(out)
}

/// Returns what a text looks like when it is shown; texts that look the same to a reader have this in common.
fn look(text: &str) -> String {
    skeleton(&numbered(text)).collect()
}

/// Writes everything but ASCII by its number.
pub(crate) fn ascii(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    for c in text.chars() {
        if c.is_ascii() { out.push(c) } else { push_number(c, &mut out) }
    }
    out
}

/// Returns `true` if two texts differ, and look the same to a reader as they are: `paypal` with Latin and with Cyrillic
/// letters (Unicode Technical Standard 39, "Confusable Detection").
pub(crate) fn look_alike(a: &str, b: &str) -> bool {
    a != b && !(a.is_ascii() && b.is_ascii()) && skeleton(a).eq(skeleton(b))
}

/// Tells texts apart that stand beside each other: of those that differ and look the same, everything but ASCII is
/// written by its number.
pub(crate) fn tell_apart<'t>(texts: impl IntoIterator<Item = &'t mut String>) {
    let mut texts: Vec<&mut String> = texts.into_iter().collect();
    if texts.iter().all(|text| text.is_ascii()) {
        return;
    }
    let mut looks: HashMap<String, Vec<usize>> = HashMap::new();
    for (index, text) in texts.iter().enumerate() {
        looks.entry(look(text)).or_default().push(index);
    }
    for alike in looks.into_values() {
        if alike.iter().any(|&index| *texts[index] != *texts[alike[0]]) {
            for index in alike {
                *texts[index] = ascii(texts[index]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        numbered(text).into_owned()
    }

    #[test]
    fn ordinary_text_stays() {
        for text in [
            "caf\u{e9} Zürich Übergröße naïve",
            "日本語 かな カナ 한국어 中文",
            "العربية עברית فارسی",
            "हिन्दी ไทย བོད་ Tiếng Việt",
            "Привет Ελληνικά",
            "🦀 👍🏽 🇩🇪 ❤ ☃",
            "10–20 °C — “quoted” … ½ × 3 €",
        ] {
            assert_eq!(shown(text), text);
        }
    }

    #[test]
    fn what_is_not_seen_has_a_number() {
        for (text, numbers) in [
            ("a\u{a0}b\u{2003}c\u{202f}d\u{3000}e", "a\\u00a0b\\u2003c\\u202fd\\u3000e"),
            ("a\u{2011}b\u{2010}c\u{2212}d", "a\\u2011b\\u2010c\\u2212d"),
            ("cafe\u{301} cafés", "cafe\\u0301 cafés"),
            ("Z\u{fc}rich Zu\u{308}rich", "Zürich Zu\\u0308rich"),
            ("\u{212b}ngstrom \u{2126}", "\\u212bngstrom \\u2126"),
            ("\u{1112}\u{1161}\u{11ab} 한", "\\u1112\\u1161\\u11ab 한"),
            ("a\u{323}\u{307} a\u{307}\u{323}", "a\\u0323\\u0307 a\\u0307\\u0323"),
            ("\u{301}a -\u{301} x\u{302}", "\\u0301a -\\u0301 x\u{302}"),
            ("a\u{200b}\u{301}", "a\\u200b\\u0301"),
            ("👨\u{200d}👩 ❤\u{fe0f}", "👨\\u200d👩 ❤\\ufe0f"),
            ("\u{e000}\u{378}\u{fffe}\u{ffff}\u{10ffff}", "\\ue000\\u0378\\ufffe\\uffff\\udbff\\udfff"),
            ("\u{2800}\u{3164}\u{ad}\u{85}\u{e0041}", "\\u2800\\u3164\\u00ad\\u0085\\udb40\\udc41"),
            ("\u{f900} \u{8c48}", "\\uf900 豈"),
        ] {
            assert_eq!(shown(text), numbers);
        }
    }

    #[test]
    fn look_alikes_are_told_apart() {
        for (a, b, alike) in [
            ("paypal", "p\u{430}ypal", true),
            ("10-20", "10–20", true),
            ("it's", "it’s", true),
            ("Zürich", "Zurich", false),
            ("Москва", "Moscow", false),
            ("10", "lO", false),
            ("é", "é", false),
            ("cafe\\u0301", "café", false),
        ] {
            assert_eq!(look_alike(a, b), alike, "{a} {b}");
        }
        let mut texts = ["paypal", "p\u{430}ypal", "Zürich"].map(str::to_owned);
        tell_apart(&mut texts);
        assert_eq!(texts, ["paypal", "p\\u0430ypal", "Zürich"]);
    }

    proptest::proptest! {
        #[test]
        fn canonically_equal_texts_differ(text in "[a-zé\u{300}-\u{345}가-각\u{1100}-\u{1112}\u{1161}-\u{1175}]{0,8}") {
            use unicode_normalization::UnicodeNormalization;
            let (composed, decomposed): (String, String) = (text.nfc().collect(), text.nfd().collect());
            // What is left after the numbers is the same in every spelling, so that equal looks mean equal texts.
            for text in [&text, &composed, &decomposed] {
                let shown = shown(text);
                proptest::prop_assert!(is_nfc(&shown), "{}", shown);
            }
        }
    }
}
