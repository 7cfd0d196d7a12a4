//! The comment under a pull request that shows a plan: found again by its first line, and written over in place.
//!
//! Owns what the hosts of code call such a comment, where it is and how it is written; [`host`] has that as data. Knows nothing of
//! plans: any text whose first line is a [`Marker`] can be a comment. Read [`CommentTarget`] first.

pub(crate) mod host;
mod send;

use std::fmt;

pub(crate) use host::{CommentTarget, Host, TargetError};
pub(crate) use send::{CommentError, Posted, post};

/// The first line of a comment, by which it is found again: `<!-- twinctl:FLEET@HUB -->`, which no reader sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Marker(String);

impl Marker {
    /// Returns the marker that a comment begins with.
    pub(crate) fn of(body: &str) -> Option<Self> {
        let line = body.lines().next()?.trim_end();
        let inner = line.strip_prefix("<!-- twinctl:")?.strip_suffix(" -->")?;
        let well_formed = !inner.is_empty() && !inner.contains("--");
        well_formed.then(|| Self(line.to_owned()))
    }

    /// Says whether a comment is the marked one. It must begin with the marker: one that only quotes it is somebody else's.
    pub(crate) fn marks(&self, body: &str) -> bool {
        body.strip_prefix(self.0.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with(['\n', '\r', ' ']))
    }
}

impl fmt::Display for Marker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markers() {
        let marker = Marker::of("<!-- twinctl:redmond@hub.azure-devices.net -->\n\ntext").expect("a marker");
        for (body, marked) in [
            ("<!-- twinctl:redmond@hub.azure-devices.net -->", true),
            ("<!-- twinctl:redmond@hub.azure-devices.net -->\r\nother", true),
            ("<!-- twinctl:redmond@hub.azure-devices.net -->x", false),
            ("> <!-- twinctl:redmond@hub.azure-devices.net -->", false),
            ("<!-- twinctl:oslo@hub.azure-devices.net -->", false),
        ] {
            assert_eq!(marker.marks(body), marked, "{body}");
        }
        for text in ["", "text", "<!-- other -->", "<!-- twinctl: -->", "<!-- twinctl:a --> -->", " <!-- twinctl:a -->"]
        {
            assert_eq!(Marker::of(text), None, "{text}");
        }
    }
}
