//! What is wrong with a PEM text, without its contents: the error of a parser repeats a line, which may be a whole private key.

use std::fmt;
use std::ops::Range;

/// What is wrong with a PEM text that a parser rejects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PemFault {
    /// A marker shares its line with other text.
    LineBreaks,
    /// A line begins like a marker and does not end like one.
    Marker,
    /// A section has no end.
    Unended,
    /// What stands between the markers is not base64.
    Base64,
}

impl PemFault {
    /// Returns what is wrong with a text that a parser rejects.
    pub fn of(text: &[u8]) -> Self {
        if has_lost_line_breaks(text) {
            return Self::LineBreaks;
        }
        let mut open: Option<&str> = None;
        let text = String::from_utf8_lossy(text);
        for line in lines(&text) {
            match marker(line) {
                Some(Marker { is_begin: true, label: Some(label), .. }) => open = Some(label),
                Some(Marker { is_begin: true, label: None, .. }) => return Self::Marker,
                Some(Marker { is_begin: false, label, .. }) => open = open.filter(|open| Some(*open) != label),
                None => {}
            }
        }
        if open.is_some() { Self::Unended } else { Self::Base64 }
    }

    /// Returns what the user can do about it.
    pub fn hint(self) -> &'static str {
        match self {
            Self::LineBreaks => {
                "write the file again with its line breaks: each -----BEGIN …----- and -----END …----- stands on a line of its own; \
                 a shell variable keeps them in double quotes alone"
            }
            Self::Marker | Self::Unended | Self::Base64 => {
                "take the file again from where it came; PEM is text between -----BEGIN …----- and -----END …-----"
            }
        }
    }
}

impl fmt::Display for PemFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LineBreaks => "its line breaks are lost",
            Self::Marker => "a -----BEGIN …----- line is damaged",
            Self::Unended => "a section has no -----END …----- line",
            Self::Base64 => "a section is not base64",
        })
    }
}

/// Returns `true` if a marker of a PEM text shares its line with other text.
pub fn has_lost_line_breaks(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text);
    lines(&text).any(|line| marker(line).is_some_and(|marker| !marker.is_alone))
}

/// Returns what the sections of a PEM text are called. A label is short and in capitals, so that nothing else passes for one.
pub fn labels(text: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(text);
    let begins = lines(&text).filter_map(marker).filter(|marker| marker.is_begin);
    begins.filter_map(|marker| marker.label.map(str::to_owned)).collect()
}

/// Returns where the contents of private keys stand in a text, line by line, however the lines are separated.
pub fn private_keys(text: &str) -> Vec<Range<usize>> {
    const END_OF_MARKER: &str = "PRIVATE KEY-----";
    let mut found = Vec::new();
    for (at, _) in text.match_indices(END_OF_MARKER) {
        let Some(begin) = text[..at].rfind(BEGIN) else { continue };
        if !text[begin + BEGIN.len()..at].chars().all(is_of_label) {
            continue;
        }
        let mut start = at + END_OF_MARKER.len();
        let mut is_first = true;
        loop {
            start += separators(&text[start..]);
            let is_digit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=');
            let digits = text[start..].find(|c| !is_digit(c)).unwrap_or(text.len() - start);
            // Words that follow a marker in a sentence are shorter.
            if digits == 0 || is_first && digits < FIRST_LINE_MIN {
                break;
            }
            found.push(start..start + digits);
            (start, is_first) = (start + digits, false);
        }
    }
    found
}

/// Counts the bytes at the start of a text that only separate lines: white space, and the escapes of line breaks.
fn separators(text: &str) -> usize {
    let mut rest = text;
    loop {
        let trimmed = rest.trim_start();
        let trimmed = ["\\n", "\\r"].iter().find_map(|escape| trimmed.strip_prefix(escape)).unwrap_or(trimmed);
        if trimmed.len() == rest.len() {
            return text.len() - rest.len();
        }
        rest = trimmed;
    }
}

fn is_of_label(c: char) -> bool {
    c.is_ascii_uppercase() || c.is_ascii_digit() || matches!(c, ' ' | '#' | '.')
}

const DASHES: &str = "-----";
const BEGIN: &str = "-----BEGIN ";
/// The length of the first line of a private key, at least, in digits of base64.
const FIRST_LINE_MIN: usize = 32;
/// The length of a label, at most, in bytes.
const LABEL_MAX: usize = 64;

/// The first marker of a line.
struct Marker<'a> {
    is_begin: bool,
    label: Option<&'a str>,
    /// Is there nothing else on the line.
    is_alone: bool,
}

/// Returns the lines of a text, whichever way they end. A mark at the beginning of the file is none of its text.
fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.trim_start_matches('\u{feff}').split(['\n', '\r'])
}

fn marker(line: &str) -> Option<Marker<'_>> {
    let found = ["BEGIN ", "END "].into_iter().filter_map(|word| {
        let at = line.find(&format!("{DASHES}{word}"))?;
        Some((at, word))
    });
    let (at, word) = found.min()?;
    let (before, rest) = (&line[..at], &line[at + DASHES.len() + word.len()..]);
    let (label, after) = match rest.split_once(DASHES) {
        Some((label, after)) if label.len() <= LABEL_MAX && label.chars().all(is_of_label) => (Some(label), after),
        _ => (None, ""),
    };
    let is_alone = before.trim().is_empty() && after.trim().is_empty();
    Some(Marker { is_begin: word == "BEGIN ", label, is_alone })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADAN\nBgkqhkiG9w0B\n-----END PRIVATE KEY-----\n";

    #[test]
    fn what_is_wrong_with_a_pem() {
        use PemFault::{Base64, LineBreaks, Marker, Unended};
        for (text, fault) in [
            (KEY.replace('\n', " "), LineBreaks),
            (KEY.replace('\n', "\\n"), LineBreaks),
            (KEY.replace('\n', ""), LineBreaks),
            (format!("\"{}\"", KEY.replace('\n', "\\n")), LineBreaks),
            (format!("KEY={KEY}"), LineBreaks),
            (KEY.replace("B\n-----END", "B-----END"), LineBreaks),
            (KEY.replace("KEY-----\nMII", "KEY-----MII"), LineBreaks),
            (KEY.replace("-----END PRIVATE KEY-----\n", ""), Unended),
            (KEY.replace("END PRIVATE", "END PUBLIC"), Unended),
            (KEY.replace("BEGIN PRIVATE KEY-----", "BEGIN PRIVATE KEY"), Marker),
            (KEY.replace("MII", "M!I"), Base64),
            (KEY.replace('\n', "\r"), Base64),
            (KEY.replace('\n', "\r\n"), Base64),
            (format!("\u{feff}{KEY}"), Base64),
            (String::new(), Base64),
        ] {
            assert_eq!(PemFault::of(text.as_bytes()), fault, "{text}");
            assert_eq!(has_lost_line_breaks(text.as_bytes()), fault == LineBreaks, "{text}");
        }
    }

    #[test]
    fn contents_of_private_keys() {
        let found = |text: &str| private_keys(text).into_iter().map(|range| text[range].to_owned()).collect::<Vec<_>>();
        let lines = ["MIIEvQIBADANBgkqhkiG9w0BAQEFAASC", "BKcwggSj+/AgEAAoIBAQCbZzVF31w9Wb", "w9A="];
        for label in ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"] {
            for joint in ["\n", "\r\n  ", " ", "\\n", "\\r\\n"] {
                let key = format!("-----BEGIN {label}-----{joint}{}{joint}-----END {label}-----", lines.join(joint));
                assert_eq!(found(&key), lines, "{key}");
                assert_eq!(found(&format!("a: \"{key}\" # {key}")), [lines, lines].concat(), "{key}");
            }
        }
        for text in [
            "give the file that has -----BEGIN PRIVATE KEY----- in it",
            "-----BEGIN CERTIFICATE-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n-----END CERTIFICATE-----",
            "-----END PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC",
            "-----BEGIN PRIVATE KEY-----",
        ] {
            assert_eq!(found(text), [""; 0], "{text}");
        }
    }

    #[test]
    fn labels_are_no_contents() {
        let labels = |text: &str| super::labels(text.as_bytes());
        assert_eq!(labels(&format!("{KEY}{}", KEY.replace("PRIVATE KEY", "X509 CRL"))), ["PRIVATE KEY", "X509 CRL"]);
        for joined in [KEY.replace('\n', " "), KEY.replace('\n', ""), KEY.replace('\n', "\\n")] {
            assert_eq!(labels(&joined), ["PRIVATE KEY"], "{joined}");
        }
        assert_eq!(labels(&KEY.replace("KEY-----", "KEY").replace('\n', " ")), [""; 0]);
        assert_eq!(labels("-----BEGIN MIIEvQ==-----"), [""; 0]);
    }
}
