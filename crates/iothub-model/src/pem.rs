//! What is wrong with a PEM text, without its contents: the error of a parser repeats a line, which may be a whole private key.

use std::fmt;

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

const DASHES: &str = "-----";
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
    let is_capital = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || matches!(c, ' ' | '#' | '.');
    let (label, after) = match rest.split_once(DASHES) {
        Some((label, after)) if label.len() <= LABEL_MAX && label.chars().all(is_capital) => (Some(label), after),
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
