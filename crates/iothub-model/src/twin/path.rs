//! Paths into the sections that a back end writes: `tags.location.plant`, `desired.telemetry.intervalSeconds`.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde_json::Value;

use super::{Object, Section};

/// A path from a section's name down to a key.
///
/// The hub allows no dot in a key, so the dotted text is the path and there is nothing to escape. Ordered key by key, so
/// that what stands under one object stands together.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TwinPath(Arc<str>);

/// Why a text is not a path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a path into a twin: one starts with `tags` or `desired`, as in `desired.telemetry.interval`", text.escape_debug())]
pub struct PathError {
    text: String,
}

impl TwinPath {
    /// Names a whole section.
    pub fn section_root(section: Section) -> Self {
        Self(section.name().into())
    }

    /// Names `key` under `self`.
    #[must_use]
    pub fn child(&self, key: &str) -> Self {
        Self(format!("{}.{key}", self.0).into())
    }

    /// Returns the section that it leads into.
    pub fn section(&self) -> Section {
        if self.0.split('.').next() == Some("tags") { Section::Tags } else { Section::Desired }
    }

    /// Returns the keys below the section, outermost first; none for a section itself.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.split('.').skip(1)
    }

    /// Returns the path that this one is a child of, or nothing for a section.
    pub fn parent(&self) -> Option<Self> {
        self.0.rsplit_once('.').map(|(parent, _)| Self(parent.into()))
    }

    /// Returns the whole text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Says whether `other` is this path or lies under it.
    pub fn covers(&self, other: &Self) -> bool {
        other.0.strip_prefix(&*self.0).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }

    /// Returns this path with `to` in the place of `from`; nothing where `from` does not cover it.
    pub fn renamed(&self, from: &Self, to: &Self) -> Option<Self> {
        let rest = self.0.strip_prefix(&*from.0)?;
        (rest.is_empty() || rest.starts_with('.')).then(|| Self(format!("{}{rest}", to.0).into()))
    }

    /// Says whether writing one of the two can touch the other: they are equal, or one lies under the other.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.covers(other) || other.covers(self)
    }

    /// Looks the path up below its section's root.
    pub fn find<'v>(&self, root: &'v Object) -> Option<&'v Value> {
        let mut keys = self.keys();
        let mut value = root.get(keys.next()?)?;
        for key in keys {
            value = value.as_object()?.get(key)?;
        }
        Some(value)
    }

    /// Puts a value at the path below its section's root, and objects in the place of whatever else is on the way. For a
    /// section itself nothing is done.
    pub fn put(&self, root: &mut Object, value: Value) {
        let mut object = root;
        let mut keys = self.keys().peekable();
        while let Some(key) = keys.next() {
            if keys.peek().is_none() {
                object.insert(key.to_owned(), value);
                return;
            }
            let slot = object.entry(key).or_insert_with(|| Object::new().into());
            if !slot.is_object() {
                *slot = Object::new().into();
            }
            object = slot.as_object_mut().expect("made an object on the line above");
        }
    }
}

impl FromStr for TwinPath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        match text.split('.').next() {
            Some("tags" | "desired") => Ok(Self(text.into())),
            _ => Err(PathError { text: text.to_owned() }),
        }
    }
}

impl Ord for TwinPath {
    fn cmp(&self, other: &Self) -> Ordering {
        // Tags come before desired, though the alphabet has it otherwise.
        /// A point ends a key, and so comes before whatever would go on with it.
        fn rank(byte: u8) -> u16 {
            if byte == b'.' { 0 } else { u16::from(byte) + 1 }
        }
        let (a, b) = (self.0.as_bytes(), other.0.as_bytes());
        self.section().cmp(&other.section()).then_with(|| match a.iter().zip(b).find(|(a, b)| a != b) {
            Some((&a, &b)) => rank(a).cmp(&rank(b)),
            None => a.len().cmp(&b.len()),
        })
    }
}

impl PartialOrd for TwinPath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for TwinPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for TwinPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl serde::Serialize for TwinPath {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for TwinPath {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Visits the leaves under `root`: scalars, arrays (one value each) and empty objects, with their paths, in order.
///
/// This is the unit of ownership and of change: an object that has something in it is only the sum of its leaves.
pub fn leaves<'v>(section: Section, root: &'v Object, mut visit: impl FnMut(TwinPath, &'v Value)) {
    fn walk<'v>(path: &TwinPath, value: &'v Value, visit: &mut impl FnMut(TwinPath, &'v Value)) {
        match value.as_object() {
            Some(object) if !object.is_empty() => {
                for (key, value) in object {
                    walk(&path.child(key), value, visit);
                }
            }
            _ => visit(path.clone(), value),
        }
    }
    let path = TwinPath::section_root(section);
    for (key, value) in root {
        walk(&path.child(key), value, &mut visit);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn path(text: &str) -> TwinPath {
        text.parse().expect(text)
    }

    #[test]
    fn paths_lead_into_sections() {
        let interval = path("desired.telemetry.interval");
        assert_eq!(interval.section(), Section::Desired);
        assert_eq!(interval.keys().collect::<Vec<_>>(), ["telemetry", "interval"]);
        assert_eq!(interval.parent(), Some(path("desired.telemetry")));
        assert_eq!(path("tags").parent(), None);
        for bad in ["", "reported.x", "tag.x", "desiredx", ".tags"] {
            assert!(bad.parse::<TwinPath>().is_err(), "{bad}");
        }
    }

    #[test]
    fn order_keeps_what_is_under_one_object_together() {
        let mut paths = ["desired.a-b", "desired.a.c", "tags.z", "desired.a", "desired.b"].map(path);
        paths.sort();
        assert_eq!(
            paths.map(|path| path.to_string()),
            ["tags.z", "desired.a", "desired.a.c", "desired.a-b", "desired.b"]
        );
    }

    #[test]
    fn order_is_that_of_the_keys() {
        let texts = ["", "a", ".a", "a.", "a.b", "a-b", "a.-", "ab", "b", "é", "a\u{1}", "a..b", "A"];
        for (a, b) in texts.iter().flat_map(|a| texts.map(|b| (format!("tags.{a}"), format!("tags.{b}")))) {
            assert_eq!(path(&a).cmp(&path(&b)), a.split('.').cmp(b.split('.')), "{a:?} {b:?}");
        }
    }

    #[test]
    fn covering_is_by_whole_keys() {
        for (outer, inner, covers) in [
            ("tags.a", "tags.a", true),
            ("tags.a", "tags.a.b", true),
            ("tags.a", "tags.ab", false),
            ("tags.a.b", "tags.a", false),
        ] {
            assert_eq!(path(outer).covers(&path(inner)), covers, "{outer} {inner}");
        }
        assert!(path("tags.a.b").overlaps(&path("tags.a")));
        let renamed = |at: &str| path(at).renamed(&path("tags.a"), &path("tags.b.c")).map(|path| path.to_string());
        assert_eq!(renamed("tags.a.x").as_deref(), Some("tags.b.c.x"));
        assert_eq!(renamed("tags.a").as_deref(), Some("tags.b.c"));
        assert_eq!(renamed("tags.ab"), None);
    }

    #[test]
    fn leaves_are_scalars_arrays_and_empty_objects() {
        let root = json!({"a": {"b": 1, "c": {}}, "d": [{"e": 1}], "": true});
        let mut found = Vec::new();
        leaves(Section::Tags, root.as_object().expect("an object"), |path, value| {
            assert_eq!(path.find(root.as_object().expect("an object")), Some(value));
            found.push(format!("{path}={value}"));
        });
        assert_eq!(found, ["tags.=true", "tags.a.b=1", "tags.a.c={}", "tags.d=[{\"e\":1}]"]);
    }
}
