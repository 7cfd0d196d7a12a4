//! Merge patches: that null deletes, that arrays are replaced whole, and that only what differs is sent, lives here.
//!
//! The rules are those of RFC 7386, which the hub's PATCH follows on tags and desired properties (docs: Understand and use
//! device twins). The hub notifies a device of every key in a patch, changed or not, so a patch holds what differs and no
//! more.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::value::equal;
use super::{Object, OrderedObject, OrderedValue, Section, Twin, TwinPath};

/// What one request changes in one twin: tags and desired together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MergePatch {
    /// The part that is merged into the tags.
    #[serde(default, skip_serializing_if = "Object::is_empty")]
    pub tags: Object,
    /// The part that is merged into the desired properties.
    #[serde(default, skip_serializing_if = "Object::is_empty")]
    pub desired: Object,
}

impl MergePatch {
    /// Returns the patch that makes `from` into `to`.
    pub fn diff(from: &Twin, to: &Twin) -> Self {
        Self { tags: diff(&from.tags.0, &to.tags.0), desired: diff(&from.desired.0, &to.desired.0) }
    }

    /// Says whether it changes nothing, so that nothing need be sent.
    pub fn is_empty(&self) -> bool {
        self.tags.is_empty() && self.desired.is_empty()
    }

    /// Returns the part for one section.
    pub fn section(&self, section: Section) -> &Object {
        match section {
            Section::Tags => &self.tags,
            Section::Desired => &self.desired,
        }
    }

    fn section_mut(&mut self, section: Section) -> &mut Object {
        match section {
            Section::Tags => &mut self.tags,
            Section::Desired => &mut self.desired,
        }
    }

    /// Adds "this path becomes `value`", where `Value::Null` means that it goes. Replaces what the patch said about the
    /// path or of anything on the way to it that was not an object.
    pub fn set(&mut self, path: &TwinPath, value: Value) {
        path.put(self.section_mut(path.section()), value);
    }

    /// Returns the twin's tags and desired as they are after this patch; everything else as it was.
    #[must_use]
    pub fn apply(&self, twin: &Twin) -> Twin {
        let mut after = twin.clone();
        merge(&mut after.tags.0, &self.tags);
        merge(&mut after.desired.0, &self.desired);
        after
    }

    /// Returns the patch that takes this one back, for a twin that is as `before` was when this one is applied to it.
    #[must_use]
    pub fn invert(&self, before: &Twin) -> Self {
        Self::diff(&self.apply(before), before)
    }

    /// Visits what the patch says: each path that it sets or (with null) removes. Objects are walked into, but for empty
    /// ones, which stand for themselves.
    pub fn paths(&self, mut visit: impl FnMut(TwinPath, &Value)) {
        for section in Section::ALL {
            super::path::leaves(section, self.section(section), &mut visit);
        }
    }
}

/// Merges `patch` into `target` by the rules of RFC 7386.
pub fn merge(target: &mut Object, patch: &Object) {
    let mut value = Value::Object(std::mem::take(target));
    json_patch::merge(&mut value, &Value::Object(patch.clone()));
    if let Value::Object(merged) = value {
        *target = merged;
    }
}

/// Merges `patch` into `target` by the same rules. A member keeps its place, and a new one goes to the end.
pub fn merge_ordered(target: &mut OrderedObject, patch: &OrderedObject) {
    let mut removes = false;
    for (key, value) in patch.iter() {
        match value {
            OrderedValue::Null => removes = true,
            OrderedValue::Object(inner) => {
                let empty = || OrderedObject::new().into();
                let there = target.get_or_insert_with(key, empty);
                if there.as_object().is_none() {
                    *there = empty();
                }
                if let Some(there) = there.as_object_mut() {
                    merge_ordered(there, inner);
                }
            }
            leaf => target.insert(key, leaf.clone()),
        }
    }
    if removes {
        // All at once: each removal by itself would move what comes after it.
        target.retain(|key, _| !patch.get(key).is_some_and(OrderedValue::is_null));
    }
}

/// Returns the smallest patch that makes `from` into `to`, neither of which holds a null.
pub fn diff(from: &Object, to: &Object) -> Object {
    let mut patch = Object::new();
    for (key, old) in from {
        match to.get(key) {
            None => {
                patch.insert(key.clone(), Value::Null);
            }
            Some(new) => match (old, new) {
                (Value::Object(old), Value::Object(new)) => {
                    let inner = diff(old, new);
                    if !inner.is_empty() {
                        patch.insert(key.clone(), inner.into());
                    }
                }
                _ if equal(old, new) => {}
                _ => {
                    patch.insert(key.clone(), new.clone());
                }
            },
        }
    }
    for (key, new) in to {
        if !from.contains_key(key) {
            patch.insert(key.clone(), new.clone());
        }
    }
    patch
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::twin::{Desired, ETag, Reported, Tags};

    fn object(value: Value) -> Object {
        match value {
            Value::Object(object) => object,
            other => panic!("not an object: {other}"),
        }
    }

    fn twin(tags: Object, desired: Object) -> Twin {
        Twin {
            id: "d".parse().expect("an id"),
            etag: ETag::new("AAAAAAAAAAE="),
            tags: Tags(tags),
            desired: Desired(desired),
            desired_version: 1,
            desired_metadata: Object::new(),
            reported: Reported::default(),
            rest: Object::new(),
        }
    }

    #[test]
    fn merge_rules_of_the_hub() {
        for (before, patch, after) in [
            (json!({"a": 1}), json!({"b": 2}), json!({"a": 1, "b": 2})),
            (json!({"a": {"b": 1, "c": 2}}), json!({"a": {"b": null}}), json!({"a": {"c": 2}})),
            (json!({"a": {"b": 1}}), json!({"a": {"b": null}}), json!({"a": {}})),
            (json!({"a": [1, 2, 3]}), json!({"a": [4]}), json!({"a": [4]})),
            (json!({"a": 1}), json!({"a": {}}), json!({"a": {}})),
            (json!({"a": {"b": 1}}), json!({"a": {}}), json!({"a": {"b": 1}})),
            (json!({"a": {"b": 1}}), json!({"a": 5}), json!({"a": 5})),
            (json!({"a": 1}), json!({"z": null}), json!({"a": 1})),
        ] {
            let mut target = object(before);
            merge(&mut target, &object(patch.clone()));
            assert_eq!(Value::Object(target), after, "{patch}");
        }
    }

    #[test]
    fn a_merge_keeps_the_order() {
        for (before, patch, after) in [
            (r#"{"z":1,"a":2}"#, r#"{"a":3,"z":4}"#, r#"{"z":4,"a":3}"#),
            (r#"{"z":1}"#, r#"{"m":{"y":1,"b":2},"a":3}"#, r#"{"z":1,"m":{"y":1,"b":2},"a":3}"#),
            (r#"{"m":{"y":1,"b":2}}"#, r#"{"m":{"b":3,"a":4}}"#, r#"{"m":{"y":1,"b":3,"a":4}}"#),
            (r#"{"z":1,"m":2,"a":3}"#, r#"{"m":null}"#, r#"{"z":1,"a":3}"#),
            (r#"{"z":1,"a":3}"#, r#"{"m":2}"#, r#"{"z":1,"a":3,"m":2}"#),
            (r#"{"z":1,"a":3}"#, r#"{"z":{"c":1,"b":null}}"#, r#"{"z":{"c":1},"a":3}"#),
            (r#"{"z":{"c":1},"a":3}"#, r#"{"z":[2,1]}"#, r#"{"z":[2,1],"a":3}"#),
        ] {
            let read = |text: &str| serde_json::from_str::<OrderedObject>(text).expect(text);
            let mut target = read(before);
            merge_ordered(&mut target, &read(patch));
            assert_eq!(target.to_string(), after, "{before} {patch}");
        }
    }

    #[test]
    fn diff_says_only_what_differs() {
        for (from, to, patch) in [
            (json!({"a": 1}), json!({"a": 1.0}), json!({})),
            (json!({"a": {"b": 1, "c": 2}}), json!({"a": {"b": 1, "c": 3}}), json!({"a": {"c": 3}})),
            (json!({"a": {"b": 1}}), json!({"a": {}}), json!({"a": {"b": null}})),
            (json!({"a": {"b": 1}}), json!({}), json!({"a": null})),
            (json!({}), json!({"a": {}}), json!({"a": {}})),
            (json!({"a": [1]}), json!({"a": [1, 2]}), json!({"a": [1, 2]})),
        ] {
            assert_eq!(Value::Object(diff(&object(from), &object(to))), patch);
        }
    }

    #[test]
    fn set_builds_the_nesting() {
        let mut patch = MergePatch::default();
        for (path, value) in [("desired.a.b", json!(1)), ("desired.a.c", Value::Null), ("tags.x", json!("y"))] {
            patch.set(&path.parse().expect(path), value);
        }
        assert_eq!(
            serde_json::to_value(&patch).expect("JSON"),
            json!({"tags": {"x": "y"}, "desired": {"a": {"b": 1, "c": null}}})
        );
        let mut paths = Vec::new();
        patch.paths(|path, value| paths.push(format!("{path}={value}")));
        assert_eq!(paths, ["tags.x=\"y\"", "desired.a.b=1", "desired.a.c=null"]);
    }

    /// Objects as twins hold them: no null anywhere.
    fn arbitrary_object() -> impl Strategy<Value = Object> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            (-3i64..3).prop_map(Value::from),
            (-2i32..2).prop_map(|n| json!(f64::from(n) / 2.0)),
            "[ab]{0,2}".prop_map(Value::from),
            Just(json!([1, {"a": 2}])),
            Just(json!({})),
        ];
        let value = leaf.prop_recursive(4, 24, 3, |inner| {
            proptest::collection::btree_map("[abc]", inner, 0..3)
                .prop_map(|map| Value::Object(map.into_iter().collect()))
        });
        proptest::collection::btree_map("[abc]", value, 0..4).prop_map(|map| map.into_iter().collect())
    }

    /// Patches as anybody may send them: like objects, with nulls at any depth.
    fn arbitrary_patch() -> impl Strategy<Value = Object> {
        let leaf = prop_oneof![Just(Value::Null), (-3i64..3).prop_map(Value::from), Just(json!({})), Just(json!([1]))];
        let value = leaf.prop_recursive(4, 24, 3, |inner| {
            proptest::collection::btree_map("[abc]", inner, 0..3)
                .prop_map(|map| Value::Object(map.into_iter().collect()))
        });
        proptest::collection::btree_map("[abc]", value, 0..4).prop_map(|map| map.into_iter().collect())
    }

    proptest! {
        #[test]
        fn diff_then_merge_arrives(from in arbitrary_object(), to in arbitrary_object()) {
            let mut target = from.clone();
            merge(&mut target, &diff(&from, &to));
            prop_assert!(equal(&target.into(), &to.into()));
        }

        #[test]
        fn diff_of_equals_is_empty(object in arbitrary_object()) {
            prop_assert!(diff(&object, &object).is_empty());
        }

        #[test]
        fn patch_then_inverse_is_identity(
            tags in arbitrary_object(), desired in arbitrary_object(), p in arbitrary_patch(), q in arbitrary_patch()
        ) {
            let before = twin(tags, desired);
            let patch = MergePatch { tags: p, desired: q };
            let back = patch.invert(&before).apply(&patch.apply(&before));
            prop_assert!(equal(&back.tags.0.into(), &before.tags.0.clone().into()));
            prop_assert!(equal(&back.desired.0.into(), &before.desired.0.clone().into()));
        }

        #[test]
        fn order_changes_nothing_about_a_merge(target in arbitrary_object(), patch in arbitrary_patch()) {
            let mut ordered = OrderedObject::from(target.clone());
            merge_ordered(&mut ordered, &patch.clone().into());
            let mut sorted = target;
            merge(&mut sorted, &patch);
            prop_assert_eq!(Object::from(&ordered), sorted);
        }

        #[test]
        fn merging_twice_is_merging_once(target in arbitrary_object(), patch in arbitrary_patch()) {
            let mut once = target;
            merge(&mut once, &patch);
            let mut twice = once.clone();
            merge(&mut twice, &patch);
            prop_assert_eq!(once, twice);
        }
    }
}
