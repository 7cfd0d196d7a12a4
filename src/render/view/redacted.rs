//! Values on their way out, and the one place where those that are nobody's business are taken away.

use std::borrow::Cow;

use serde_json::Value;

use crate::legible;
use crate::manifest::Sensitive;
use crate::plan::Side;
use crate::render::{escape, number};
use iothub_model::twin::{MergePatch, Object, Section, TwinId, TwinPath};

/// What stands where a value must not.
pub(crate) const MASK: &str = "(sensitive)";
/// Values longer than this are written over several lines where there is room.
const LONG: usize = 60;

/// A value as it may be shown: one that is sensitive has left nothing here but the word for it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RedactedValue {
    line: String,
    pretty: Option<String>,
    hidden: bool,
}

impl RedactedValue {
    /// Makes it of a value at a path.
    pub(crate) fn at(path: &TwinPath, value: &Value, sensitive: &Sensitive) -> Self {
        Self::of(value, sensitive.covers(path))
    }

    /// Makes it of a value, or of one that is sensitive.
    pub(crate) fn of(value: &Value, sensitive: bool) -> Self {
        if sensitive {
            return Self::mask();
        }
        let line = escape::json(value);
        let long = line.len() > LONG && (value.is_object() || value.is_array());
        let pretty = long.then(|| {
            let text = serde_json::to_string_pretty(value).expect("a JSON value is written");
            escape::json_text(&text).into_owned()
        });
        Self { line, pretty, hidden: false }
    }

    fn mask() -> Self {
        Self { line: MASK.to_owned(), pretty: None, hidden: true }
    }

    /// Makes it of a side of a change, as it may be shown; `None` where there is no value.
    pub(crate) fn of_side(side: &Side) -> Option<Self> {
        match side {
            Side::Absent => None,
            Side::Known(value) => Some(Self::of(value, false)),
            Side::Redacted => Some(Self::mask()),
        }
    }

    /// Makes both sides of a change, as [`PlannedChange::shown`](crate::plan::PlannedChange::shown) returns them, which do not look alike unless they are the same.
    pub(crate) fn sides(before: &Side, after: &Side) -> (Option<Self>, Option<Self>) {
        let (mut before, mut after) = (Self::of_side(before), Self::of_side(after));
        if let (Some(before), Some(after)) = (&mut before, &mut after)
            && legible::look_alike(&before.line, &after.line)
        {
            for side in [before, after] {
                side.line = legible::ascii(&side.line);
                side.pretty = side.pretty.as_deref().map(legible::ascii);
            }
        }
        (before, after)
    }

    /// Returns it on one line, as JSON.
    pub(crate) fn line(&self) -> &str {
        &self.line
    }

    /// Returns it as JSON over several lines, where it is long and has parts.
    pub(crate) fn pretty(&self) -> &str {
        self.pretty.as_deref().unwrap_or(&self.line)
    }

    /// Says whether the value itself is kept back.
    pub(crate) fn is_hidden(&self) -> bool {
        self.hidden
    }
}

/// Returns a value for a document, or the word that stands for one that is sensitive.
pub(crate) fn value<'v>(path: &TwinPath, value: &'v Value, sensitive: &Sensitive) -> Cow<'v, Value> {
    if sensitive.covers(path) { Cow::Owned(Value::from(MASK)) } else { Cow::Borrowed(value) }
}

/// Puts the word for what is sensitive in the place of whatever a device reports at a sensitive path. A path of `desired` names the same
/// keys of `reported`.
pub(crate) fn reported<'o>(object: &'o Object, sensitive: &Sensitive) -> Cow<'o, Object> {
    if sensitive.is_empty() {
        return Cow::Borrowed(object);
    }
    Cow::Owned(masked(&TwinPath::section_root(Section::Desired), object, sensitive))
}

fn masked(at: &TwinPath, object: &Object, sensitive: &Sensitive) -> Object {
    let member = |(key, value): (&String, &Value)| {
        let path = at.child(key);
        let shown = match value {
            Value::Object(inner) if !inner.is_empty() => Value::Object(masked(&path, inner, sensitive)),
            other => self::value(&path, other, sensitive).into_owned(),
        };
        (key.clone(), shown)
    };
    object.iter().map(member).collect()
}

/// Takes sensitive values out of a patch, and what ownership records say of them beside their paths.
pub(crate) fn patch<'p>(patch: &'p MergePatch, sensitive: impl Fn(&TwinPath) -> bool) -> Cow<'p, MergePatch> {
    let mut shown = patch.clone();
    let mut changed = false;
    for (section, object) in [(Section::Tags, &mut shown.tags), (Section::Desired, &mut shown.desired)] {
        changed |= prune(&TwinPath::section_root(section), object, &sensitive);
    }
    if changed { Cow::Owned(shown) } else { Cow::Borrowed(patch) }
}

fn prune(at: &TwinPath, object: &mut serde_json::Map<String, Value>, sensitive: &impl Fn(&TwinPath) -> bool) -> bool {
    let before = object.len();
    let mut changed = false;
    object.retain(|key, value| {
        let path = at.child(key);
        match value {
            Value::Object(inner) if !inner.is_empty() => {
                changed |= prune(&path, inner, sensitive);
                !inner.is_empty()
            }
            Value::Array(entries) if path.as_str().starts_with("tags.twinctl.") => {
                for entry in entries {
                    let Value::String(text) = entry else { continue };
                    let Some((owned, _)) = text.rsplit_once('=') else { continue };
                    if owned.parse().is_ok_and(|owned| sensitive(&owned)) {
                        *text = owned.to_owned();
                        changed = true;
                    }
                }
                true
            }
            // That something is deleted says nothing of what it was.
            Value::Null => true,
            _ => !sensitive(&path),
        }
    });
    changed || object.len() != before
}

/// The first few of some names, and how many more.
pub(crate) fn named<T: std::fmt::Display>(names: &[T], most: usize) -> String {
    // One more than a few is not worth the words "and 1 more".
    let shown = if names.len() <= most.saturating_add(1) { names.len() } else { most };
    let listed: Vec<_> = names[..shown].iter().map(ToString::to_string).collect();
    listed.join(", ") + &and_more(names.len() - shown)
}

pub(super) fn and_more(count: usize) -> String {
    if count == 0 { String::new() } else { format!(" and {} more", number::grouped(count)) }
}

/// Returns twins' ids as they may be shown.
pub(super) fn named_ids(ids: &[&TwinId]) -> Vec<String> {
    ids.iter().map(|id| escape::id(id)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sensitive(path: &str) -> Sensitive {
        Sensitive::new(vec![path.parse().expect("a path")])
    }

    #[test]
    fn what_is_reported_at_a_sensitive_path_is_kept_back() {
        let whole = json!({ "wifi": { "psk": { "hex": "00ff" }, "ssid": "plant" }, "token": 5, "n": [1] });
        let secret =
            Sensitive::new(["desired.wifi.psk", "desired.token.x"].map(|path| path.parse().expect("a path")).into());
        let shown = reported(whole.as_object().expect("an object"), &secret);
        let expected = json!({ "wifi": { "psk": { "hex": MASK }, "ssid": "plant" }, "token": MASK, "n": [1] });
        assert_eq!(Value::Object(shown.into_owned()), expected);
    }

    #[test]
    fn patches_keep_the_paths_alone() {
        let whole = MergePatch {
            tags: json!({ "a": 1, "twinctl": { "redmond": { "v": 1, "owns": ["desired.wifi.psk=01bc", "tags.a=9999"] } } })
                .as_object()
                .expect("an object")
                .clone(),
            desired: json!({ "wifi": { "psk": "hunter2", "ssid": "plant" }, "x": { "psk": null } })
                .as_object()
                .expect("an object")
                .clone(),
        };
        let secret = sensitive("desired.wifi.psk");
        let shown = patch(&whole, |path| secret.covers(path));
        assert_eq!(
            serde_json::to_value(&*shown).expect("JSON"),
            json!({
                "tags": { "a": 1, "twinctl": { "redmond": { "v": 1, "owns": ["desired.wifi.psk", "tags.a=9999"] } } },
                "desired": { "wifi": { "ssid": "plant" }, "x": { "psk": null } },
            })
        );
        assert!(matches!(patch(&whole, |_| false), Cow::Borrowed(_)));
    }

    #[test]
    fn names_are_few() {
        assert_eq!(named(&["a", "b", "c", "d"], 3), "a, b, c, d");
        assert_eq!(named(&["a", "b", "c", "d", "e"], 3), "a, b, c and 2 more");
        assert_eq!(named(&["a", "b"], usize::MAX), "a, b");
    }
}
