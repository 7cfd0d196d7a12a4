//! Numbers for people: thousands apart, nouns in the right number.

use crate::plural::plural;

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
}
