//! Durations as text: the one parser, and the two forms in which durations are printed.
//!
//! Flags, the manifest and fault rules accept the same texts ([`parse`]): numbers with units, larger units first, each
//! unit once, as in `1m30s`, `0.5s` or `250ms`. A bare number is an error. [`exact`] returns a text that [`parse`]
//! reads back; [`rounded`] is for people.

use std::time::Duration;

/// A day.
pub const DAY: Duration = Duration::from_secs(86_400);
/// An hour.
pub const HOUR: Duration = Duration::from_secs(3600);

/// The units, larger ones first, in milliseconds.
const UNITS: [(&[&str], u64); 4] = [(&["h"], 3_600_000), (&["m", "min"], 60_000), (&["s"], 1000), (&["ms"], 1)];

/// Why a text is not a duration that is allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// It is a number alone.
    #[error("a duration needs a unit")]
    NoUnit {
        /// The number, if it is allowed with seconds as its unit.
        number: Option<String>,
    },
    /// It is not made of numbers and units.
    #[error("not a duration")]
    Malformed,
    /// Its units are not in descending order, or one of them occurs twice.
    #[error("the units of a duration must descend")]
    Order,
    /// It is longer than what is allowed here.
    #[error("the longest duration here is {}", limit(*longest))]
    TooLong {
        /// What is allowed.
        longest: Duration,
    },
    /// It is zero, where that is not allowed.
    #[error("the duration must be greater than zero")]
    Zero,
}

/// The hint that does not depend on the text.
pub const HINT: &str = "write numbers with the units h, m, s or ms, as in 30s, 5m, 1m30s, 0.5s or 250ms";

impl DurationError {
    /// Returns what the user can write instead. It repeats a part of the text: for a secret text, use [`HINT`].
    pub fn hint(&self) -> String {
        match self {
            Self::NoUnit { number: Some(number) } => format!("write `{number}s`"),
            Self::Order => "write larger units first and each unit once, as in 1h30m or 1m30s".to_owned(),
            Self::TooLong { longest } => format!("write `{}` or less", limit(*longest)),
            Self::NoUnit { number: None } | Self::Malformed | Self::Zero => HINT.to_owned(),
        }
    }
}

/// Parses a duration of at most `longest`. Parts of a millisecond are rounded.
///
/// # Errors
///
/// If the text is not a duration, or a longer one.
///
/// ```
/// use std::time::Duration;
/// use iothub_model::duration::{DAY, DurationError, parse};
///
/// assert_eq!(parse("1m30s", DAY), Ok(Duration::from_secs(90)));
/// assert_eq!(parse("0.5s", DAY), Ok(Duration::from_millis(500)));
/// assert_eq!(parse("25h", DAY), Err(DurationError::TooLong { longest: DAY }));
/// assert_eq!(parse("30", DAY), Err(DurationError::NoUnit { number: Some("30".to_owned()) }));
/// ```
pub fn parse(text: &str, longest: Duration) -> Result<Duration, DurationError> {
    let text = text.trim();
    if text.parse::<f64>().is_ok_and(f64::is_finite) {
        return Err(without_unit(text, longest));
    }
    let mut rest = text;
    let mut smallest = None;
    let mut is_in_order = true;
    let mut duration = Duration::ZERO;
    while !rest.is_empty() || smallest.is_none() {
        let (number, unit, after) = part(rest).ok_or(DurationError::Malformed)?;
        is_in_order &= smallest.is_none_or(|smallest| smallest < unit);
        smallest = Some(unit);
        // More than can be represented is longer than anything that is allowed.
        duration = duration.saturating_add(number.times(UNITS[unit].1));
        rest = after;
    }
    match () {
        () if !is_in_order => Err(DurationError::Order),
        () if duration > longest => Err(DurationError::TooLong { longest }),
        () => Ok(duration),
    }
}

/// Parses a duration that is longer than zero and at most `longest`.
///
/// # Errors
///
/// As [`parse`], and if the duration is zero.
pub fn parse_nonzero(text: &str, longest: Duration) -> Result<Duration, DurationError> {
    match parse(text, longest) {
        Ok(Duration::ZERO) => Err(DurationError::Zero),
        // Zero with a unit is not allowed either.
        Err(DurationError::NoUnit { number: Some(number) })
            if parse_nonzero(&format!("{number}s"), longest).is_err() =>
        {
            Err(DurationError::NoUnit { number: None })
        }
        parsed => parsed,
    }
}

/// Returns the error for a number alone, as it was written.
pub fn without_unit(number: &str, longest: Duration) -> DurationError {
    let is_allowed = parse(&format!("{number}s"), longest).is_ok();
    DurationError::NoUnit { number: is_allowed.then(|| number.to_owned()) }
}

/// A number as it is written: its whole part, and the digits after the point.
struct Number<'a> {
    whole: &'a str,
    fraction: &'a str,
}

impl Number<'_> {
    /// Returns this number of units, rounded to milliseconds; the longest duration if there are more than can be
    /// counted.
    fn times(&self, unit: u64) -> Duration {
        let whole = self.whole.parse::<u64>().ok().and_then(|whole| whole.checked_mul(unit));
        let Some(whole) = whole else { return Duration::MAX };
        // Digits after the ninth are less than a hundredth of a millisecond, of hours as well.
        let digits = &self.fraction[..self.fraction.len().min(9)];
        let scale = 10_u64.pow(digits.len() as u32);
        let fraction = digits.parse::<u64>().unwrap_or(0);
        Duration::from_millis(whole.saturating_add((fraction * unit + scale / 2) / scale))
    }
}

/// Splits the first number and its unit from a text. Returns the unit by its place in [`UNITS`].
fn part(text: &str) -> Option<(Number<'_>, usize, &str)> {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let (whole, rest) = text.split_at(digits(text));
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(rest) => rest.split_at(digits(rest)),
        None => ("", rest),
    };
    let has_point = rest.len() + whole.len() < text.len();
    let (letters, rest) = rest.split_at(rest.bytes().take_while(u8::is_ascii_alphabetic).count());
    let unit = UNITS.iter().position(|(names, _)| names.contains(&letters))?;
    let is_number = !whole.is_empty() && (!has_point || !fraction.is_empty());
    is_number.then_some((Number { whole, fraction }, unit, rest))
}

/// Returns a duration as a text that [`parse`] reads back, to the millisecond: `90s`, `1500ms`.
pub fn exact(duration: Duration) -> String {
    match duration.subsec_millis() {
        0 => format!("{}s", duration.as_secs()),
        _ => format!("{}ms", duration.as_millis()),
    }
}

/// Returns a duration for people, in two units at most: `340 ms`, `2.4 s`, `59 s`, `3 min 12 s`, `2 h 5 min`.
pub fn rounded(duration: Duration) -> String {
    let millis = duration.as_millis();
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{millis} ms"),
        1..10 => format!("{:.1} s", (duration.as_secs_f64() * 10.0).floor() / 10.0),
        10..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// Returns what is allowed at most, in hours if these are whole.
fn limit(longest: Duration) -> String {
    match longest.as_secs() {
        seconds @ 3600.. if seconds % 3600 == 0 && longest.subsec_nanos() == 0 => format!("{}h", seconds / 3600),
        _ => exact(longest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_their_durations() {
        let table = include_str!("../../../tests/data/durations.txt");
        let rows = table.lines().filter(|line| !line.starts_with('#'));
        for (row, (text, expected)) in rows.map(|row| (row, row.split_once(" -> ").expect("a row"))) {
            let found = match parse(text, DAY) {
                Ok(duration) => duration.as_millis().to_string(),
                Err(DurationError::NoUnit { .. }) => "no-unit".to_owned(),
                Err(DurationError::Malformed) => "malformed".to_owned(),
                Err(DurationError::Order) => "order".to_owned(),
                Err(DurationError::TooLong { .. }) => "too-long".to_owned(),
                Err(DurationError::Zero) => "zero".to_owned(),
            };
            assert_eq!(found, expected, "{row}");
            if let Ok(duration) = parse(text, DAY) {
                assert_eq!(parse(&exact(duration), DAY), Ok(duration), "{row}");
                assert_eq!(parse(&format!(" \t{text}\n"), DAY), Ok(duration), "{row}");
            }
        }
    }

    #[test]
    fn texts_that_no_table_can_hold() {
        for text in ["", " ", "1..5s", "\t\n", "1h 30m", "30 s", "3\u{0}0s"] {
            assert_eq!(parse(text, DAY), Err(DurationError::Malformed), "{text:?}");
        }
        let long = format!("{}1s", "0".repeat(100_000));
        assert_eq!(parse(&long, DAY), Ok(Duration::from_secs(1)));
        assert_eq!(parse(&format!("0.{}1s", "0".repeat(100_000)), DAY), Ok(Duration::ZERO));
        assert!(parse(&"1h".repeat(100_000), DAY).is_err());
        assert_eq!(parse("18446744073709551615ms1ms", Duration::MAX), Err(DurationError::Order));
        assert_eq!(parse("18446744073709551615h", Duration::MAX), Ok(Duration::MAX));
    }

    /// Each hint is followed literally where it quotes a duration.
    #[test]
    fn errors_and_hints() {
        for (text, longest, message, hint) in [
            ("30", DAY, "a duration needs a unit", "write `30s`"),
            ("0", DAY, "a duration needs a unit", "write `0s`"),
            ("1.5", DAY, "a duration needs a unit", "write `1.5s`"),
            ("86401", DAY, "a duration needs a unit", HINT),
            ("-5", DAY, "a duration needs a unit", HINT),
            ("1e3", DAY, "a duration needs a unit", HINT),
            ("soon", DAY, "not a duration", HINT),
            (
                "1s1m",
                DAY,
                "the units of a duration must descend",
                "write larger units first and each unit once, as in 1h30m or 1m30s",
            ),
            ("25h", DAY, "the longest duration here is 24h", "write `24h` or less"),
            ("61m", HOUR, "the longest duration here is 1h", "write `1h` or less"),
            ("2m", Duration::from_secs(90), "the longest duration here is 90s", "write `90s` or less"),
        ] {
            let error = parse(text, longest).expect_err(text);
            assert_eq!((error.to_string().as_str(), error.hint().as_str()), (message, hint), "{text}");
            if let Some(quoted) = error.hint().split('`').nth(1) {
                assert!(parse(quoted, longest).is_ok(), "{quoted}");
            }
        }
        assert_eq!(parse_nonzero("0s", DAY), Err(DurationError::Zero));
        assert_eq!(parse_nonzero("0.0001s", DAY), Err(DurationError::Zero));
        assert_eq!(parse_nonzero("1ms", DAY), Ok(Duration::from_millis(1)));
        assert_eq!(parse_nonzero("0", DAY).map_err(|error| error.hint()), Err(HINT.to_owned()));
        assert_eq!(parse_nonzero("7", DAY).map_err(|error| error.hint()), Err("write `7s`".to_owned()));
        assert_eq!(DurationError::Zero.to_string(), "the duration must be greater than zero");
    }

    #[test]
    fn durations_and_their_texts() {
        for (millis, exactly, about) in [
            (0, "0s", "0 ms"),
            (340, "340ms", "340 ms"),
            (1500, "1500ms", "1.5 s"),
            (2460, "2460ms", "2.4 s"),
            (9999, "9999ms", "9.9 s"),
            (59_000, "59s", "59 s"),
            (59_999, "59999ms", "59 s"),
            (192_000, "192s", "3 min 12 s"),
            (7_500_000, "7500s", "2 h 5 min"),
        ] {
            let duration = Duration::from_millis(millis);
            assert_eq!((exact(duration).as_str(), rounded(duration).as_str()), (exactly, about));
        }
    }
}
