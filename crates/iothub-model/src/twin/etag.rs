//! Etags: how they are quoted in a header lives here and nowhere else.
//!
//! In a body an etag stands bare (`AAAAAAAAAAE=`), in `If-Match` between double quotes. An unquoted etag on a twin was
//! once ignored by the service, so that a stale write went through; nothing here can send one.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The version of a twin's tags and desired properties, as the hub gave it. Opaque: equal or not, nothing else.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ETag(String);

impl ETag {
    /// Takes an etag from a body, where it has no quotes, or from a header, where it has.
    pub fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        match text.strip_prefix('"').and_then(|inner| inner.strip_suffix('"')) {
            Some(bare) => Self(bare.to_owned()),
            None => Self(text),
        }
    }

    /// Returns the etag without quotes, as it stands in a body.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the etag between quotes, as `If-Match` and `ETag` headers have it.
    pub fn quoted(&self) -> String {
        format!("\"{}\"", self.0)
    }
}

impl fmt::Display for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for ETag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// What an `If-Match` header asks for, as a server reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IfMatch {
    /// No header, so no condition.
    Absent,
    /// `*`, with or without quotes: whatever is there.
    Any,
    /// A quoted etag.
    Quoted(ETag),
    /// An etag without quotes, which the resources of the service treat differently.
    Unquoted(ETag),
}

impl IfMatch {
    /// Reads the header's value.
    pub fn parse(header: Option<&str>) -> Self {
        let Some(text) = header.map(str::trim) else { return Self::Absent };
        if text == "*" || text == "\"*\"" {
            return Self::Any;
        }
        if text.len() >= 2 && text.starts_with('"') && text.ends_with('"') {
            return Self::Quoted(ETag::new(text));
        }
        Self::Unquoted(ETag::new(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_come_and_go_in_one_place() {
        for text in ["AAAAAAAAAAE=", "\"AAAAAAAAAAE=\""] {
            let etag = ETag::new(text);
            assert_eq!((etag.as_str(), etag.quoted().as_str()), ("AAAAAAAAAAE=", "\"AAAAAAAAAAE=\""));
        }
    }

    #[test]
    fn if_match_in_all_its_forms() {
        for (header, expected) in [
            (None, IfMatch::Absent),
            (Some("*"), IfMatch::Any),
            (Some("\"*\""), IfMatch::Any),
            (Some("\"AAE=\""), IfMatch::Quoted(ETag::new("AAE="))),
            (Some("AAE="), IfMatch::Unquoted(ETag::new("AAE="))),
            (Some("\""), IfMatch::Unquoted(ETag::new("\""))),
        ] {
            assert_eq!(IfMatch::parse(header), expected, "{header:?}");
        }
    }
}
