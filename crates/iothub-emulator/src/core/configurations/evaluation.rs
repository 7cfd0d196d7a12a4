//! What makes configurations true: each twin in turn gets what the configurations that target it say.
//!
//! Works in slices, so that a large fleet holds nobody up: the set of configurations is the one of the beginning, without those
//! removed meanwhile. Of two that write one path, or one through the other's, the higher priority wins, and of equal ones the
//! younger. What a twin has already is not written again, so a fleet at rest changes nothing.

use std::sync::Arc;

use serde_json::Value;
use serde_json::json;
use time::OffsetDateTime;

use crate::core::command::TwinWrite;
use crate::core::configurations::check::{Checked, Target, WrittenPath, metric};
use crate::core::configurations::configuration::Configuration;
use crate::core::twin::TwinDocument;
use iothub_model::query::BoundQuery;
use iothub_model::query::Collection;
use iothub_model::twin::Object;
use iothub_model::twin::OrderedObject;
use iothub_model::twin::OrderedValue;
use iothub_model::twin::patch;
use iothub_model::wire::configurations::ContentKind;
use iothub_model::wire::configurations::ContentPath;
use iothub_model::wire::configurations::overlap;
use iothub_model::wire::twins::SectionBody;
use iothub_model::wire::twins::TwinBody;

/// An evaluation under way.
#[derive(Debug)]
pub(crate) struct Evaluation {
    /// The configurations, the winners first.
    pub(in crate::core) subjects: Vec<Candidate>,
    /// Which twins it is at.
    pub(in crate::core) collection: Collection,
    /// The last one seen, by its place in the order of creation.
    pub(in crate::core) after: u64,
}

/// One configuration, compiled, and what it has come to so far.
#[derive(Debug)]
pub(in crate::core) struct Candidate {
    pub(in crate::core) configuration: Arc<Configuration>,
    checked: Checked,
    pub(in crate::core) metrics: Vec<(String, BoundQuery, u64)>,
    pub(in crate::core) targeted: u64,
    pub(in crate::core) applied: u64,
}

impl Candidate {
    fn of(configuration: Arc<Configuration>) -> Option<Self> {
        let checked = Checked::of(&configuration.content, &configuration.target_condition).ok()?;
        let queries = &configuration.metrics.queries;
        let metrics = queries.iter().filter_map(|(name, query)| Some((name.clone(), metric(query).ok()?, 0))).collect();
        Some(Self { configuration, checked, metrics, targeted: 0, applied: 0 })
    }

    fn targets(&self, collection: Collection, twin: &Value) -> bool {
        if self.checked.collection() != collection {
            return false;
        }
        // A deployment is for edge devices and no others.
        if self.checked.kind == ContentKind::Edge && twin["capabilities"]["iotEdge"] != json!(true) {
            return false;
        }
        match &self.checked.target {
            Target::Nobody => false,
            Target::All => true,
            Target::Those(query) => query.matches(twin),
        }
    }
}

/// What a twin should have: the statuses of its configurations, and what to change in its desired properties.
#[derive(Debug, Default, PartialEq)]
pub(in crate::core) struct Wanted {
    statuses: Object,
    patch: OrderedObject,
}

impl Evaluation {
    pub(in crate::core) fn begin(configurations: Vec<Arc<Configuration>>) -> Self {
        let mut subjects: Vec<Candidate> = configurations.into_iter().filter_map(Candidate::of).collect();
        let rank = |subject: &Candidate| (subject.configuration.priority, subject.configuration.sequence);
        subjects.sort_by_key(|subject| std::cmp::Reverse(rank(subject)));
        Self { subjects, collection: Collection::Devices, after: 0 }
    }

    /// Says what one twin should have, and counts it.
    pub(in crate::core) fn look(&mut self, twin: &Value, is_there: impl Fn(u64) -> bool) -> Wanted {
        let mut wanted = Wanted::default();
        let mut taken: Vec<&ContentPath> = Vec::new();
        let collection = self.collection;
        let desired = twin["properties"]["desired"].as_object();
        for subject in &mut self.subjects {
            for (_, query, count) in &mut subject.metrics {
                let may = query.top().is_none_or(|top| *count < top);
                *count += u64::from(may && query.collection() == collection && query.matches(twin));
            }
            if !is_there(subject.configuration.sequence) || !subject.targets(collection, twin) {
                continue;
            }
            subject.targeted += 1;
            let mut status = "Applied";
            for WrittenPath { path, order } in &subject.checked.paths {
                if taken.iter().any(|other| overlap(&other.keys, &path.keys)) {
                    status = "Targeted";
                    continue;
                }
                taken.push(path);
                add(&mut wanted.patch, OrderedObject::from(change(desired, path)).in_order_of(order));
            }
            // Deployments are kept and counted, and nothing carries them out.
            if subject.checked.kind == ContentKind::Edge {
                status = "Targeted";
            }
            subject.applied += u64::from(status == "Applied");
            wanted.statuses.insert(subject.configuration.id.clone(), json!({ "status": status }));
        }
        wanted
    }
}

/// Returns the smallest patch that puts a value at its path.
pub(crate) fn change(desired: Option<&Object>, path: &ContentPath) -> Object {
    let mut there = desired.map(|desired| Value::Object(plain(desired)));
    for key in &path.keys {
        there = there.and_then(|value| match value {
            Value::Object(mut object) => object.remove(key),
            _ => None,
        });
    }
    let value = match (there, &path.value) {
        (Some(Value::Object(old)), Value::Object(new)) => {
            let patch = patch::diff(&old, new);
            // A patch of nothing still names the object, and would count as a write.
            if patch.is_empty() {
                return Object::new();
            }
            Value::Object(patch)
        }
        (Some(old), new) if iothub_model::twin::value::equal(&old, new) => return Object::new(),
        (_, new) => new.clone(),
    };
    ContentPath { keys: path.keys.clone(), value }.object()
}

/// Puts two patches of different paths together. Not a merge: a null is a removal to come.
pub(crate) fn add(patch: &mut OrderedObject, more: OrderedObject) {
    for (key, value) in more {
        match (patch.get_mut(&key), value) {
            (Some(OrderedValue::Object(there)), OrderedValue::Object(value)) => add(there, value),
            (_, value) => patch.insert(key, value),
        }
    }
}

fn plain(section: &Object) -> Object {
    section.iter().filter(|(key, _)| !key.starts_with('$')).map(|(key, value)| (key.clone(), value.clone())).collect()
}

pub(in crate::core) fn value_of(twin: &str) -> Value {
    serde_json::from_str(twin).expect("a kept document is JSON")
}

/// Returns the twin with what it should have; nothing when it has it already.
pub(in crate::core) fn applied(
    value: &Value,
    twin: impl FnOnce() -> TwinDocument,
    mut wanted: Wanted,
    now: OffsetDateTime,
) -> Option<TwinDocument> {
    let statuses = value.get("configurations").and_then(Value::as_object);
    if wanted.patch.is_empty() && statuses.map_or(wanted.statuses.is_empty(), |had| *had == wanted.statuses) {
        return None;
    }
    let mut twin = twin();
    if !wanted.patch.is_empty() {
        let desired = Some(SectionBody::Object(std::mem::take(&mut wanted.patch)));
        let body = TwinBody { tags: None, desired };
        let before = twin.clone();
        // A twin that would become too large stays as it is, and says that it is targeted and no more.
        if twin.write(TwinWrite::Merge, body, now).is_err() {
            twin = before;
            for status in wanted.statuses.values_mut() {
                *status = json!({ "status": "Targeted" });
            }
        }
    }
    let changed = twin.set_configurations(wanted.statuses.into());
    (changed || twin.etag.as_str() != value["etag"]).then_some(twin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_the_smallest() {
        for (desired, keys, value, expected) in [
            (json!({}), "a", json!(1), json!({"a": 1})),
            (json!({"a": 1}), "a", json!(1.0), json!({})),
            (json!({"a": 2}), "a", json!(1), json!({"a": 1})),
            (json!({"a": {"b": 1, "c": 2}}), "a.b", json!(1), json!({})),
            (json!({"a": {"b": 1, "c": 2}}), "a.b", json!(2), json!({"a": {"b": 2}})),
            (json!({"a": {"b": 1, "c": 2}}), "a", json!({"b": 1}), json!({"a": {"c": null}})),
            (json!({"a": {}}), "a", json!({}), json!({})),
            (json!({}), "a", json!({}), json!({"a": {}})),
            (json!({"a": 1}), "a.b", json!(1), json!({"a": {"b": 1}})),
            (json!({"a": 1, "$version": 7}), "", json!({"b": 1}), json!({"a": null, "b": 1})),
            (json!({"a": [1]}), "a", json!([1, 2]), json!({"a": [1, 2]})),
        ] {
            let keys: Vec<String> = keys.split_terminator('.').map(str::to_owned).collect();
            let path = ContentPath { keys, value };
            assert_eq!(Value::Object(change(desired.as_object(), &path)), expected, "{desired} {path:?}");
        }
    }
}
