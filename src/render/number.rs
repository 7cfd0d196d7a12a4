//! Numbers for people: thousands apart, nouns in the right number, durations in two units at most.

use std::time::Duration;

/// Writes a number with its thousands apart: `9,987`.
pub(crate) fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Writes a number with its noun: `1 device`, `9,987 devices`, `2 queries`.
pub(crate) fn counted(number: usize, noun: &str) -> String {
    format!("{} {}", grouped(number), plural(number, noun))
}

/// Returns the noun in the number's form.
pub(crate) fn plural(number: usize, noun: &str) -> String {
    match noun.strip_suffix('y') {
        _ if number == 1 => noun.to_owned(),
        None if noun.ends_with("ch") => format!("{noun}es"),
        Some(stem) => format!("{stem}ies"),
        None => format!("{noun}s"),
    }
}

/// Writes a duration: `340 ms`, `2.4 s`, `59 s`, `3 min 12 s`, `2 h 5 min`.
pub(crate) fn duration(duration: Duration) -> String {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567"), (100_000, "100,000")]
        {
            assert_eq!(grouped(number), text);
        }
        assert_eq!(counted(1, "device"), "1 device");
        assert_eq!(counted(0, "query"), "0 queries");
        assert_eq!(counted(9987, "device"), "9,987 devices");
        assert_eq!(counted(2, "patch"), "2 patches");
    }

    #[test]
    fn durations() {
        for (millis, text) in [
            (0, "0 ms"),
            (340, "340 ms"),
            (2460, "2.4 s"),
            (9999, "9.9 s"),
            (59_999, "59 s"),
            (192_000, "3 min 12 s"),
            (7_500_000, "2 h 5 min"),
        ] {
            assert_eq!(duration(Duration::from_millis(millis)), text);
        }
    }
}
