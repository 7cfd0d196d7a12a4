//! SHA-256 over canonical text: what makes a plan or a manifest the one that was reviewed.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// A digest, `sha256:` and 64 hexadecimal digits.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Digest(String);

impl Digest {
    /// Returns the whole text, prefix and all.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the first twelve hexadecimal digits, for people.
    pub fn short(&self) -> &str {
        let hex = self.0.strip_prefix(PREFIX).unwrap_or(&self.0);
        &hex[..hex.len().min(12)]
    }

    /// Returns a digest of which every third digit is of `other` and the rest of this one, so that a prefix names both.
    pub fn woven_with(&self, other: &Digest) -> Digest {
        let digits = self.0.char_indices().zip(other.0.chars());
        Digest(digits.map(|((at, own), other)| if is_of_other(at) { other } else { own }).collect())
    }
}

/// What a digest begins with.
const PREFIX: &str = "sha256:";

/// Returns `true` if the character at `at`, counted with the prefix, is one that [`Digest::woven_with`] takes of the other digest.
fn is_of_other(at: usize) -> bool {
    at.checked_sub(PREFIX.len()).is_some_and(|digit| digit % 3 == 2)
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The first digits of a digest, enough of them to mean just that one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DigestPrefix(String);

/// Why a text does not name a digest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a digest is named by 8 to 64 hexadecimal digits, as in 9f3c1a2b or sha256:9f3c1a2b…")]
pub struct DigestPrefixError;

impl DigestPrefix {
    /// Says whether a digest starts like this.
    pub fn names(&self, digest: &Digest) -> bool {
        digest.as_str().strip_prefix(PREFIX).is_some_and(|digits| digits.starts_with(&self.0))
    }

    /// Returns `true` if a digest that starts like this can be one that [`Digest::woven_with`] made with `other`.
    pub fn names_woven(&self, other: &Digest) -> bool {
        let digits = other.as_str().strip_prefix(PREFIX).unwrap_or_default();
        self.0
            .bytes()
            .zip(digits.bytes())
            .enumerate()
            .all(|(at, (own, other))| own == other || !is_of_other(at + PREFIX.len()))
    }
}

impl FromStr for DigestPrefix {
    type Err = DigestPrefixError;

    /// Reads 8 digits or more, with or without `sha256:` before them.
    fn from_str(text: &str) -> Result<Self, DigestPrefixError> {
        let digits = text.trim().strip_prefix(PREFIX).unwrap_or(text.trim()).to_ascii_lowercase();
        let well_formed = (8..=64).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        if well_formed { Ok(Self(digits)) } else { Err(DigestPrefixError) }
    }
}

impl fmt::Display for DigestPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A digest in the making: fed piece by piece, so that nothing need be held whole.
#[derive(Default)]
pub(crate) struct Hasher(Sha256);

impl Hasher {
    /// Starts a digest.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Adds one piece. Pieces are kept apart: `ab`, `c` differs from `a`, `bc`.
    pub(crate) fn piece(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        self.0.update((bytes.len() as u64).to_be_bytes());
        self.0.update(bytes);
    }

    /// Adds a part of one text as it is, so that the digest is that of the parts written one after the other.
    pub(crate) fn part(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.update(bytes);
    }

    /// Returns the digest of all that was added.
    pub(crate) fn finish(self) -> Digest {
        use fmt::Write;
        let mut text = String::from(PREFIX);
        for byte in self.0.finalize() {
            write!(text, "{byte:02x}").expect("a string takes all that is written to it");
        }
        Digest(text)
    }
}

/// Returns the first 16 bits of SHA-256 over a text.
pub(crate) fn short_hash(text: &str) -> u16 {
    let hash = Sha256::digest(text.as_bytes());
    u16::from_be_bytes([hash[0], hash[1]])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_kept_apart() {
        let digest = |pieces: &[&str]| {
            let mut hasher = Hasher::new();
            pieces.iter().for_each(|piece| hasher.piece(piece));
            hasher.finish()
        };
        assert_eq!(digest(&["ab", "c"]), digest(&["ab", "c"]));
        assert_ne!(digest(&["ab", "c"]), digest(&["a", "bc"]));
        let (mut parts, mut whole) = (Hasher::new(), Hasher::new());
        ["a", "bc"].iter().for_each(|part| parts.part(part));
        whole.part("abc");
        assert_eq!(parts.finish(), whole.finish());
        assert_eq!(digest(&[]).short(), "e3b0c44298fc", "SHA-256 of nothing");
    }

    #[test]
    fn woven_digests_name_both() {
        let digest = |text: &str| {
            let mut hasher = Hasher::new();
            hasher.part(text);
            hasher.finish()
        };
        let (whole, part, other) = (digest("whole"), digest("part"), digest("other"));
        let woven = whole.woven_with(&part);
        assert_eq!(woven.as_str().len(), whole.as_str().len());
        for length in [8, 12, 64] {
            let prefix: DigestPrefix = woven.as_str()[..PREFIX.len() + length].parse().expect("a prefix");
            assert!(prefix.names(&woven) && prefix.names_woven(&part));
            assert!(!prefix.names(&other.woven_with(&part)) && prefix.names_woven(&part));
            assert!(!prefix.names(&whole.woven_with(&other)) && !prefix.names_woven(&other));
        }
    }

    #[test]
    fn prefixes_name_digests() {
        let digest = Hasher::new().finish();
        for (text, names) in [
            ("e3b0c442", Some(true)),
            ("sha256:E3B0C44298FC", Some(true)),
            (digest.as_str(), Some(true)),
            ("e3b0c443", Some(false)),
            ("e3b0c44", None),
            ("", None),
            ("sha256:", None),
            ("e3b0c44g", None),
            (&"0".repeat(65), None),
        ] {
            assert_eq!(text.parse::<DigestPrefix>().ok().map(|prefix| prefix.names(&digest)), names, "{text}");
        }
    }
}
