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

/// What `If-Match` asks for, as a server reads it (RFC 9110, section 13.1.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IfMatch {
    /// No header, so no condition.
    Absent,
    /// `*`, with or without quotes: whatever is there.
    Any,
    /// Etags between quotes, of which one must be the current one. A weak etag (`W/"…"`) is never the current one, and is left out;
    /// so is a `*` or an etag without quotes among others.
    Quoted(Vec<ETag>),
    /// One etag without quotes, which the resources of the service treat differently.
    Unquoted(ETag),
}

impl IfMatch {
    /// Reads the values of all headers of this name, which are one list.
    pub fn parse<'h>(headers: impl IntoIterator<Item = &'h str>) -> Self {
        let headers: Vec<&str> = headers.into_iter().map(str::trim).collect();
        match headers.as_slice() {
            [] => return Self::Absent,
            ["*" | "\"*\""] => return Self::Any,
            _ => {}
        }
        let items: Vec<&str> = headers.iter().flat_map(|header| list(header)).collect();
        match items.as_slice() {
            [item] if quoted(item).is_none() && !is_weak(item) => Self::Unquoted(ETag::new(*item)),
            // An empty header has been sent for want of an etag.
            [] if headers.iter().all(|header| header.is_empty()) => Self::Unquoted(ETag::new("")),
            items => Self::Quoted(items.iter().filter_map(|item| quoted(item)).map(ETag::new).collect()),
        }
    }

    /// Reads the etag of a body. It may have quotes, and so may the `*`; an empty one is none.
    pub fn of_body(etag: Option<&str>) -> Self {
        match etag {
            None | Some("" | "\"\"") => Self::Absent,
            Some("*" | "\"*\"") => Self::Any,
            Some(etag) => Self::exactly(ETag::new(etag)),
        }
    }

    /// Creates the condition that the current etag is this one.
    pub fn exactly(etag: ETag) -> Self {
        Self::Quoted(vec![etag])
    }

    /// Returns `true` if a resource with this etag may be written. Quotes make no difference.
    pub fn holds_for(&self, current: &ETag) -> bool {
        match self {
            Self::Absent | Self::Any => true,
            Self::Quoted(etags) => etags.contains(current),
            Self::Unquoted(etag) => etag == current,
        }
    }
}

/// The condition as a sentence about the header has it: "the etag x".
impl fmt::Display for IfMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |etags: &[ETag]| etags.iter().map(|etag| etag.0.escape_debug().to_string()).collect::<Vec<_>>();
        match self {
            Self::Absent => f.write_str("no etag"),
            Self::Any => f.write_str("any etag"),
            Self::Unquoted(etag) => write!(f, "the etag {}", etag.0.escape_debug()),
            Self::Quoted(etags) => match names(etags).as_slice() {
                [] => f.write_str("no strong etag"),
                [etag] => write!(f, "the etag {etag}"),
                etags => write!(f, "the etags {}", etags.join(", ")),
            },
        }
    }
}

/// Returns the items of a list: commas inside of quotes are a part of an etag.
fn list(header: &str) -> impl Iterator<Item = &str> {
    let mut in_quotes = false;
    let items = header.split(move |c| {
        in_quotes ^= c == '"';
        c == ',' && !in_quotes
    });
    items.map(str::trim).filter(|item| !item.is_empty())
}

/// Returns what stands between the quotes of an etag.
fn quoted(item: &str) -> Option<&str> {
    item.strip_prefix('"')?.strip_suffix('"')
}

fn is_weak(item: &str) -> bool {
    item.strip_prefix(['W', 'w']).is_some_and(|rest| rest.starts_with("/\""))
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
        let quoted = |etags: &[&str]| IfMatch::Quoted(etags.iter().copied().map(ETag::new).collect());
        let unquoted = |etag: &str| IfMatch::Unquoted(ETag::new(etag));
        for (headers, expected) in [
            (&[][..], IfMatch::Absent),
            (&["*"], IfMatch::Any),
            (&[" \"*\" "], IfMatch::Any),
            (&["\"AAE=\""], quoted(&["AAE="])),
            (&["AAE="], unquoted("AAE=")),
            (&["\""], unquoted("\"")),
            (&[""], unquoted("")),
            (&["\"\""], quoted(&[""])),
            (&["\"a\", \"b\""], quoted(&["a", "b"])),
            (&["\"a\",,\"b,c\" ,"], quoted(&["a", "b,c"])),
            (&["\"a\"", "\"b\""], quoted(&["a", "b"])),
            (&["W/\"a\""], quoted(&[])),
            (&["w/\"a\""], quoted(&[])),
            (&["W/\"a\", \"b\""], quoted(&["b"])),
            (&["\"a\", *"], quoted(&["a"])),
            (&["\"a\"", "*"], quoted(&["a"])),
            (&["*, *"], quoted(&[])),
            (&["a, b"], quoted(&[])),
            (&["a", "b"], quoted(&[])),
            (&[","], quoted(&[])),
        ] {
            assert_eq!(IfMatch::parse(headers.iter().copied()), expected, "{headers:?}");
        }
    }

    #[test]
    fn etags_of_bodies() {
        for (etag, expected) in [
            (None, IfMatch::Absent),
            (Some(""), IfMatch::Absent),
            (Some("\"\""), IfMatch::Absent),
            (Some("*"), IfMatch::Any),
            (Some("\"*\""), IfMatch::Any),
            (Some("AAE="), IfMatch::exactly(ETag::new("AAE="))),
            (Some("\"AAE=\""), IfMatch::exactly(ETag::new("AAE="))),
        ] {
            assert_eq!(IfMatch::of_body(etag), expected, "{etag:?}");
        }
    }

    #[test]
    fn one_of_several_etags_is_enough() {
        let current = ETag::new("b");
        for (header, holds, named) in [
            (None, true, "no etag"),
            (Some("*"), true, "any etag"),
            (Some("\"b\""), true, "the etag b"),
            (Some("\"a\", \"b\""), true, "the etags a, b"),
            (Some("b"), true, "the etag b"),
            (Some("\"a\", \"c\""), false, "the etags a, c"),
            (Some("W/\"b\""), false, "no strong etag"),
            (Some("\"a\", *"), false, "the etag a"),
        ] {
            let if_match = IfMatch::parse(header);
            assert_eq!((if_match.holds_for(&current), if_match.to_string().as_str()), (holds, named), "{header:?}");
        }
    }
}
