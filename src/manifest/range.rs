//! Device names with ranges in them: `press-{001..120}` stands for 120 devices.

use std::ops::Range;

use iothub_model::twin::limits::ID_MAX_CHARS;

/// Devices and modules of a fleet together, at most: what one hub holds.
pub(crate) const IDENTITIES_MAX: u64 = 1_000_000;

/// A name that stands for one device or for many. Several ranges in it multiply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    parts: Vec<PatternPart>,
    count: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum PatternPart {
    Literal(String),
    /// Both included, padded with zeros to so many digits.
    Numbers {
        first: u64,
        last: u64,
        width: usize,
    },
}

/// What is wrong with a range, and where in the name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RangeError {
    pub(crate) at: Range<usize>,
    pub(crate) message: String,
    pub(crate) help: String,
}

impl Pattern {
    pub(crate) fn parse(name: &str) -> Result<Self, RangeError> {
        let mut parts = Vec::new();
        let mut count: u64 = 1;
        let mut position = 0;
        let example = || "a range is written `{001..120}`".to_owned();
        while let Some(open) = name[position..].find(['{', '}']).map(|offset| position + offset) {
            if name[open..].starts_with('}') {
                let message = "a `}` without its `{`".to_owned();
                return Err(RangeError { at: open..open + 1, message, help: example() });
            }
            let Some(close) = name[open..].find('}').map(|offset| open + offset) else {
                let message = "a range without its `}`".to_owned();
                return Err(RangeError { at: open..name.len(), message, help: example() });
            };
            if open > position {
                parts.push(PatternPart::Literal(name[position..open].to_owned()));
            }
            let (part, many) = numbers(&name[open + 1..close]).map_err(|(message, help)| RangeError {
                at: open..close + 1,
                message,
                help,
            })?;
            count = count.saturating_mul(many);
            parts.push(part);
            position = close + 1;
        }
        if position < name.len() || parts.is_empty() {
            parts.push(PatternPart::Literal(name[position..].to_owned()));
        }
        if count > IDENTITIES_MAX {
            let message = format!("more than the {IDENTITIES_MAX} devices that a hub holds");
            return Err(RangeError {
                at: 0..name.len(),
                message,
                help: "several ranges in one name multiply".to_owned(),
            });
        }
        // A device that is written out has one part, and there may be a hundred thousand.
        parts.shrink_to_fit();
        Ok(Self { parts, count })
    }

    /// Returns how many devices it stands for.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Says whether it has a range in it.
    pub(crate) fn is_range(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, PatternPart::Numbers { .. }))
    }

    /// Returns the name of each device, in order.
    pub(crate) fn names(&self) -> impl Iterator<Item = String> {
        (0..self.count).map(|index| self.name(index))
    }

    fn name(&self, index: u64) -> String {
        use std::fmt::Write;
        // The last range counts fastest, as the digits of a number do.
        let mut weight = self.count;
        let mut name = String::with_capacity(ID_MAX_CHARS.min(32));
        for part in &self.parts {
            match part {
                PatternPart::Literal(literal) => name.push_str(literal),
                PatternPart::Numbers { first, last, width } => {
                    let many = last - first + 1;
                    weight /= many;
                    let number = first + index / weight % many;
                    write!(name, "{number:0width$}").expect("a string takes all that is written to it");
                }
            }
        }
        name
    }
}

fn numbers(range: &str) -> Result<(PatternPart, u64), (String, String)> {
    let error = |message: &str, help: String| Err((message.to_owned(), help));
    let Some((first, last)) = range.split_once("..") else {
        return error("braces that hold no range", "a range is written `{001..120}`".to_owned());
    };
    let digits = |text: &str| (1..=18).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(first) || !digits(last) {
        return error("a range runs from one number to another", "as in `{001..120}`".to_owned());
    }
    let (Ok(start), Ok(end)) = (first.parse::<u64>(), last.parse::<u64>()) else {
        return error("numbers too large for a range", "as in `{001..120}`".to_owned());
    };
    if start > end {
        return error("a range that runs backwards", format!("write `{{{last}..{first}}}`"));
    }
    let padded = |text: &str| text.len() > 1 && text.starts_with('0');
    let width = if padded(first) || padded(last) { last.len() } else { 0 };
    if width > 0 && first.len() != last.len() {
        let (first, last) = (format!("{start:0width$}"), format!("{end:0width$}"));
        return error(
            "the two ends of a padded range differ in length",
            format!("write `{{{first}..{last}}}`, or leave the zeros out"),
        );
    }
    Ok((PatternPart::Numbers { first: start, last: end, width }, end - start + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        Pattern::parse(text).expect(text).names().collect()
    }

    #[test]
    fn ranges_expand_and_multiply() {
        for (text, expected) in [
            ("thermostat-001", &["thermostat-001"][..]),
            ("p{8..11}", &["p8", "p9", "p10", "p11"]),
            ("p{08..11}-x", &["p08-x", "p09-x", "p10-x", "p11-x"]),
            ("l{1..2}-p{01..03}", &["l1-p01", "l1-p02", "l1-p03", "l2-p01", "l2-p02", "l2-p03"]),
            ("p{0..0}", &["p0"]),
            ("p{000..002}", &["p000", "p001", "p002"]),
        ] {
            assert_eq!(names(text), expected, "{text}");
        }
        assert_eq!(Pattern::parse("{1..1000}{1..1000}").expect("a million").count(), 1_000_000);
    }

    #[test]
    fn mistakes_in_ranges() {
        for (text, at, message, help) in [
            ("p{3..1}", 1..7, "a range that runs backwards", "write `{1..3}`"),
            ("p{1..", 1..5, "a range without its `}`", "a range is written `{001..120}`"),
            ("p}", 1..2, "a `}` without its `{`", "a range is written `{001..120}`"),
            ("p{1-3}", 1..6, "braces that hold no range", "a range is written `{001..120}`"),
            ("p{}", 1..3, "braces that hold no range", "a range is written `{001..120}`"),
            ("p{a..c}", 1..7, "a range runs from one number to another", "as in `{001..120}`"),
            ("p{1..-3}", 1..8, "a range runs from one number to another", "as in `{001..120}`"),
            (
                "p{01..100}",
                1..10,
                "the two ends of a padded range differ in length",
                "write `{001..100}`, or leave the zeros out",
            ),
            (
                "{1..1001}{1..1000}",
                0..18,
                "more than the 1000000 devices that a hub holds",
                "several ranges in one name multiply",
            ),
            (
                "{0..999999999999999999}{0..999999999999999999}",
                0..46,
                "more than the 1000000 devices that a hub holds",
                "several ranges in one name multiply",
            ),
        ] {
            let expected = RangeError { at, message: message.to_owned(), help: help.to_owned() };
            assert_eq!(Pattern::parse(text), Err(expected), "{text}");
        }
    }
}
