//! What a device wants its reported properties to be, and what it has to send for that.

use serde_json::Value;

use iothub_model::twin::Object;
use iothub_model::twin::value::equal;

/// Lays `top` over `base`, key by key. Nulls stay: in what becomes a patch they remove.
pub(super) fn overlay(base: &mut Object, top: &Object) {
    for (key, new) in top {
        match (base.get_mut(key), new) {
            (Some(Value::Object(old)), Value::Object(new)) => overlay(old, new),
            (Some(old), new) => *old = new.clone(),
            (None, new) => {
                base.insert(key.clone(), new.clone());
            }
        }
    }
}

/// Lays what the user wants reported over what the back end desires. Where that is no object, an acknowledgement would leave nothing of
/// what `reported` has there, so all of it goes but what the user wants.
pub(super) fn overlay_report(goal: &mut Object, report: &Object, reported: &Object) {
    let nothing = Object::new();
    for (key, new) in report {
        let there = reported.get(key).and_then(Value::as_object).unwrap_or(&nothing);
        match (goal.get_mut(key), new) {
            (Some(Value::Object(old)), Value::Object(new)) => overlay_report(old, new, there),
            (Some(old), Value::Object(new)) => {
                let mut rest: Object = there.keys().map(|key| (key.clone(), Value::Null)).collect();
                overlay(&mut rest, new);
                *old = rest.into();
            }
            (Some(old), new) => *old = new.clone(),
            (None, new) => {
                goal.insert(key.clone(), new.clone());
            }
        }
    }
}

/// Returns what a patch removes, and nothing else of it.
pub(super) fn removals(patch: &Object) -> Object {
    let mut removed = Object::new();
    for (key, value) in patch {
        match value {
            Value::Null => {
                removed.insert(key.clone(), Value::Null);
            }
            Value::Object(inner) => {
                let inner = removals(inner);
                if !inner.is_empty() {
                    removed.insert(key.clone(), inner.into());
                }
            }
            _ => {}
        }
    }
    removed
}

/// Returns the part of `goal` that `reported` has not yet. What the goal does not name may be as it is.
pub(super) fn missing(goal: &Object, reported: &Object) -> Object {
    let mut patch = Object::new();
    for (key, want) in goal {
        let part = match (want, reported.get(key)) {
            (Value::Null, None) => continue,
            (Value::Object(want), Some(Value::Object(have))) => match missing(want, have) {
                nothing if nothing.is_empty() => continue,
                part => part.into(),
            },
            // Nothing is there that could be removed.
            (Value::Object(want), None) if !want.is_empty() && removes_only(want) => continue,
            (want, Some(have)) if equal(want, have) => continue,
            (want, _) => want.clone(),
        };
        patch.insert(key.clone(), part);
    }
    patch
}

fn removes_only(patch: &Object) -> bool {
    patch.values().all(|value| match value {
        Value::Null => true,
        Value::Object(inner) => !inner.is_empty() && removes_only(inner),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use iothub_model::twin::patch::merge;

    fn object(value: Value) -> Object {
        value.as_object().expect("an object").clone()
    }

    #[test]
    fn overlays() {
        for (base, top, expected) in [
            (json!({"a": 1}), json!({"b": 2}), json!({"a": 1, "b": 2})),
            (json!({"a": {"b": 1, "c": null}}), json!({"a": {"b": null}}), json!({"a": {"b": null, "c": null}})),
            (json!({"a": {"b": 1}}), json!({"a": 5}), json!({"a": 5})),
            (json!({"a": 5}), json!({"a": {"b": null}}), json!({"a": {"b": null}})),
        ] {
            let mut all = object(base);
            overlay(&mut all, &object(top));
            assert_eq!(Value::Object(all), expected);
        }
    }

    #[test]
    fn what_went_from_desired_goes_under_a_report_as_well() {
        for (goal, reported, expected) in [
            (json!({"a": null}), json!({"a": {"b": 1, "y": 2}}), json!({"b": 1, "y": null})),
            (json!({"a": 5}), json!({"a": {"b": 1, "y": 2}}), json!({"b": 1, "y": null})),
            (json!({"a": {"y": null}}), json!({"a": {"b": 1, "y": 2}}), json!({"b": 1, "y": null})),
            (json!({"a": {"c": 3}}), json!({"a": {"own": 4}}), json!({"b": 1, "c": 3})),
            (json!({"a": null}), json!({}), json!({"b": 1})),
            (json!({}), json!({"a": {"own": 4}}), json!({"b": 1})),
        ] {
            let mut all = object(goal.clone());
            overlay_report(&mut all, &object(json!({"a": {"b": 1}})), &object(reported));
            assert_eq!(all["a"], expected, "{goal}");
        }
    }

    #[test]
    fn removals_of_a_patch() {
        let patch = json!({"a": null, "b": 1, "c": {"d": null, "e": 1}, "f": {"g": 1}, "h": {}});
        assert_eq!(Value::Object(removals(&object(patch))), json!({"a": null, "c": {"d": null}}));
    }

    #[test]
    fn only_what_is_missing_is_sent() {
        for (goal, reported, patch) in [
            (json!({"a": 1}), json!({}), json!({"a": 1})),
            (json!({"a": 1}), json!({"a": 1.0, "own": true}), json!({})),
            (json!({"a": {"b": 1, "c": 2}}), json!({"a": {"b": 1, "own": 3}}), json!({"a": {"c": 2}})),
            (json!({"a": {"b": 1}}), json!({"a": 5}), json!({"a": {"b": 1}})),
            (json!({"a": 5}), json!({"a": {"b": 1}}), json!({"a": 5})),
            (json!({"a": [1, 2]}), json!({"a": [1]}), json!({"a": [1, 2]})),
            (json!({"a": {}}), json!({}), json!({"a": {}})),
            (json!({"a": {}}), json!({"a": {"own": 1}}), json!({})),
            (json!({"a": null, "b": {"c": null}}), json!({}), json!({})),
            (
                json!({"a": null, "b": {"c": null}}),
                json!({"a": 1, "b": {"c": 2}}),
                json!({"a": null, "b": {"c": null}}),
            ),
        ] {
            let patch_found = missing(&object(goal.clone()), &object(reported.clone()));
            assert_eq!(Value::Object(patch_found.clone()), patch, "{goal} {reported}");
            // Once it is sent, nothing is missing.
            let mut after = object(reported);
            merge(&mut after, &patch_found);
            assert_eq!(missing(&object(goal), &after), Object::new());
        }
    }
}
