//! YAML's traps: plain values that are not what they look like, or not what another reader of the file takes them for.
//!
//! Only what is written without quotes is looked at: quotes say that a text is meant.

use crate::manifest::text::node::{Kind, Node, Text, TextOrigin};
use crate::manifest::text::source::File;
use iothub_model::diagnostic::Diagnostic;
use iothub_model::placeholder::Placeholder;

/// Warns of the values in a tree.
pub(crate) fn warn(file: &File, node: &Node, found: &mut Vec<Diagnostic>) {
    match &node.kind {
        Kind::List(items) => items.iter().for_each(|item| warn(file, item, found)),
        Kind::Mapping(entries) => entries.iter().for_each(|(_, value)| warn(file, value, found)),
        kind => {
            let written = file.slice(node.span);
            if let Some((message, help)) = trap(kind, written) {
                found.push(Diagnostic::warning(message).at(&file.source, node.span, "").help(help));
            }
        }
    }
}

/// Says what is odd about a value, and what to write.
pub(crate) fn trap(kind: &Kind, written: &str) -> Option<(String, String)> {
    let quoted = format!("\"{written}\"");
    match kind {
        Kind::Null if written == "~" => Some((
            "`~` is null, and so is declared absent".to_owned(),
            "write `null` for that, or \"~\" for the text".to_owned(),
        )),
        Kind::Number(number) => {
            let text = || format!("quote it where it should be a text: {quoted}");
            let digits = written.trim_start_matches(['-', '+']);
            let what = if digits.starts_with("0o") {
                "an octal number"
            } else if digits.starts_with("0x") {
                "a hexadecimal number"
            } else if digits.starts_with("0b") {
                "a binary number"
            } else if digits.contains(['e', 'E'])
                && digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
                // There is no other way to write it.
                && number.to_string() != written
            {
                "a number with an exponent"
            } else if number.as_f64() != Some(0.0) && (digits.starts_with('.') || digits.ends_with('.')) {
                return Some((format!("`{written}` is the number {number}"), format!("write {number}, or {}", text())));
            } else if !digits.contains(['e', 'E'])
                && digits.split_once('.').is_some_and(|(_, decimals)| decimals.len() > 1 && decimals.ends_with('0'))
            {
                return Some((format!("`{written}` is the number {number}, without the zero at its end"), text()));
            } else {
                return None;
            };
            Some((format!("`{written}` is {what}, {number}"), format!("write {number}, or {}", text())))
        }
        // What is quoted differs from its value by its quotes.
        Kind::Text(Text { value, written: TextOrigin::Verbatim(_) }) if value == written => {
            let elsewhere = |what: &str| {
                let message = format!("`{written}` is a text here, and {what} for some other readers of YAML");
                Some((message, format!("quote it, so that it is a text for all: {quoted}")))
            };
            match written.to_ascii_lowercase().as_str() {
                "on" | "yes" | "y" => {
                    let message = format!("`{written}` is a text, not a boolean");
                    return Some((message, format!("write true for that, or quote the text: {quoted}")));
                }
                "off" | "no" | "n" => {
                    let message = format!("`{written}` is a text, not a boolean");
                    return Some((message, format!("write false for that, or quote the text: {quoted}")));
                }
                _ => {}
            }
            if Placeholder::of_value(written).is_some_and(|placeholder| placeholder.text() == written) {
                let message = format!("`{written}` is a text, and nothing replaces it in a manifest");
                let help =
                    format!("write `${{env.NAME}}` for a variable of the environment, or quote the text: {quoted}");
                return Some((message, help));
            }
            let all = |text: &str, also: &str| {
                text.starts_with(|c: char| c.is_ascii_digit())
                    && text.chars().all(|c| c.is_ascii_digit() || also.contains(c))
            };
            let digits = written.strip_prefix(['-', '+']).unwrap_or(written);
            let is_date = || {
                let parts: Vec<_> = digits.get(..10).unwrap_or_default().split('-').map(str::len).collect();
                parts == [4, 2, 2] && all(&digits[..10], "-")
            };
            if all(digits, "_") && digits.contains('_') {
                let plain = written.replace('_', "");
                let message = format!("`{written}` is a text, not a number");
                Some((message, format!("write {plain} for the number, or quote the text: {quoted}")))
            } else if all(digits, "") && digits.starts_with('0') {
                elsewhere("an octal or a decimal number")
            } else if all(digits, ":")
                && digits.contains(':')
                && digits.split(':').all(|part| (1..=2).contains(&part.len()))
            {
                elsewhere("a number to the base of 60")
            } else if is_date() {
                elsewhere("a date")
            } else if digits.starts_with(|c: char| c.is_ascii_digit()) && digits.parse().is_ok_and(f64::is_infinite) {
                // As a short commit may look, 12e4567.
                elsewhere("an infinite number")
            } else {
                None
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::text::yaml;

    /// Returns the warnings for a value, and for the same in quotes.
    fn messages(value: &str) -> Vec<String> {
        let warnings = |text: String| {
            let file = File::new("f", text);
            let mut found = Vec::new();
            let node = yaml::parse(&file, &mut found).expect("YAML");
            warn(&file, &node, &mut found);
            found.into_iter().map(|diagnostic| diagnostic.message).collect::<Vec<_>>()
        };
        assert_eq!(warnings(format!("a: \"{value}\"\n")), [""; 0], "{value}");
        assert_eq!(warnings(format!("a: '{value}'\n")), [""; 0], "{value}");
        warnings(format!("a: [{value}]\n"))
    }

    #[test]
    fn plain_values_that_are_not_what_they_look_like() {
        for (value, message) in [
            ("1.10", "`1.10` is the number 1.1, without the zero at its end"),
            ("-2.500", "`-2.500` is the number -2.5, without the zero at its end"),
            ("on", "`on` is a text, not a boolean"),
            ("No", "`No` is a text, not a boolean"),
            ("0755", "`0755` is a text here, and an octal or a decimal number for some other readers of YAML"),
            ("0o755", "`0o755` is an octal number, 493"),
            ("0x1F", "`0x1F` is a hexadecimal number, 31"),
            ("1_000", "`1_000` is a text, not a number"),
            (".5", "`.5` is the number 0.5"),
            ("1e3", "`1e3` is a number with an exponent, 1000.0"),
            ("12:30", "`12:30` is a text here, and a number to the base of 60 for some other readers of YAML"),
            ("2026-11-24", "`2026-11-24` is a text here, and a date for some other readers of YAML"),
            ("12e4567", "`12e4567` is a text here, and an infinite number for some other readers of YAML"),
            ("~", "`~` is null, and so is declared absent"),
            ("$(HUB)", "`$(HUB)` is a text, and nothing replaces it in a manifest"),
            ("$HUB", "`$HUB` is a text, and nothing replaces it in a manifest"),
        ] {
            assert_eq!(messages(value), [message]);
        }
    }

    #[test]
    fn plain_values_that_are_what_they_look_like() {
        for value in [
            "1", "0", "-1", "1.5", "1.0", "0.25", "true", "null", "text", "1.2.3", "10:ab", "a_1", "12:345", "fe80",
            "once", "1e", "v1.10", "10-11", "2026",
        ] {
            assert_eq!(messages(value), [""; 0], "{value}");
        }
    }
}
