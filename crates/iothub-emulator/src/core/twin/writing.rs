//! A write to a section: what merges, what it stamps, what is refused by the limits.

use crate::core::command::{Refusal, TwinWrite};
use crate::core::twin::section::{LAST_UPDATED, LAST_UPDATED_VERSION};
use iothub_model::twin::OrderedObject;
use iothub_model::twin::OrderedValue;
use iothub_model::twin::Section;
use iothub_model::twin::limits::Rule;
use iothub_model::twin::limits::Violation;
use iothub_model::twin::limits::check_size;
use iothub_model::twin::limits::check_values;
use iothub_model::twin::limits::section_size;
use iothub_model::twin::patch;
use iothub_model::wire::ErrorCode;
use iothub_model::wire::twins::SectionBody;

/// Writes `new` to a section that holds no `$` keys, or refuses it by the limits.
pub(super) fn written(
    section: Section,
    how: TwinWrite,
    target: &mut OrderedObject,
    new: &SectionBody,
) -> Result<(), Refusal> {
    let root = match section {
        Section::Tags => "tags",
        Section::Desired => "properties.desired",
    };
    let SectionBody::Object(new) = new else {
        target.clear();
        return Ok(());
    };
    if let Some(violation) = check_values(new).first() {
        return Err(refuse(root, violation));
    }
    let before = section_size(target);
    if how == TwinWrite::Replace {
        // Null removes, and a replacement has nothing to remove (azure-iot-cli-extension#693).
        if let Some(keys) = null_in(new) {
            let text = "null, which a replacement cannot hold: it removes what it leaves out";
            return Err(Refusal::new(ErrorCode::ArgumentInvalid, format!("{}: {text}", place(root, &keys))));
        }
        target.clear();
    }
    patch::merge_ordered(target, new);
    // A section that is too large already may shrink, and may not grow.
    match check_size(section, target) {
        Some(violation) if section_size(target) > before => Err(refuse(root, &violation)),
        _ => Ok(()),
    }
}

/// Returns the keys that lead to a null, if there is one. Arrays hold none.
fn null_in(object: &OrderedObject) -> Option<Vec<String>> {
    object.iter().find_map(|(key, value)| {
        let mut keys = match value {
            OrderedValue::Null => Vec::new(),
            OrderedValue::Object(inner) => null_in(inner)?,
            _ => return None,
        };
        keys.insert(0, key.to_owned());
        Some(keys)
    })
}

pub(super) fn refuse(root: &str, violation: &Violation) -> Refusal {
    let code = match violation.rule {
        Rule::SectionSize { .. } => ErrorCode::DeviceModelMaxPropertiesExceeded,
        _ => ErrorCode::ArgumentInvalid,
    };
    Refusal::new(code, format!("{}: {}", place(root, &violation.keys), violation.rule))
}

fn place(root: &str, keys: &[String]) -> String {
    let path: String = keys.iter().flat_map(|key| [".", key]).collect();
    format!("{root}{path}").escape_debug().to_string()
}

/// Returns what a client is told of a merge: the keys of the patch in its order, equal values included (docs: Understand and use
/// device twins). A null for a key that is not there is no news.
pub(super) fn patch_of_merge(before: &OrderedObject, patch: &OrderedObject) -> OrderedObject {
    let mut told = OrderedObject::new();
    for (key, value) in patch.iter() {
        match (value, before.get(key)) {
            (OrderedValue::Null, None) => {}
            (OrderedValue::Object(patch), Some(OrderedValue::Object(before))) => {
                let inner = patch_of_merge(before, patch);
                if !inner.is_empty() {
                    told.insert(key, inner);
                }
            }
            (OrderedValue::Object(patch), _) => told.insert(key, without_nulls(patch)),
            (leaf, _) => told.insert(key, leaf.clone()),
        }
    }
    told
}

/// Returns what a client is told of a replacement: the new document in its order, and then null for each key that is gone.
pub(super) fn patch_of_replacement(before: &OrderedObject, after: &OrderedObject) -> OrderedObject {
    let mut told = OrderedObject::new();
    for (key, value) in after.iter() {
        match (value, before.get(key)) {
            (OrderedValue::Object(after), Some(OrderedValue::Object(before))) => {
                let inner = patch_of_replacement(before, after);
                if !inner.is_empty() {
                    told.insert(key, inner);
                }
            }
            (value, _) => told.insert(key, value.clone()),
        }
    }
    for (key, _) in before.iter().filter(|(key, _)| !after.contains_key(key)) {
        told.insert(key, OrderedValue::Null);
    }
    told
}

/// Returns an object as a merge puts it where no object was: its nulls remove nothing.
fn without_nulls(object: &OrderedObject) -> OrderedObject {
    let mut target = OrderedObject::new();
    patch::merge_ordered(&mut target, object);
    target
}

/// What a write leaves on every node of `$metadata` that it touches.
pub(super) struct Stamp<'a> {
    pub(super) now: &'a str,
    /// None for reported properties, whose metadata has times only.
    pub(super) version: Option<u64>,
}

impl Stamp<'_> {
    fn put(&self, metadata: &mut OrderedObject) {
        metadata.insert(LAST_UPDATED, self.now);
        if let Some(version) = self.version {
            metadata.insert(LAST_UPDATED_VERSION, version);
        }
    }

    /// Stamps an object's node and what the patch names below it. The hub goes by the keys that are sent and not by
    /// values, so an equal value is stamped as well.
    pub(super) fn merge(&self, metadata: &mut OrderedObject, patch: &OrderedObject) {
        self.put(metadata);
        let mut removes = false;
        for (key, value) in patch.iter() {
            match value {
                OrderedValue::Null => removes = true,
                OrderedValue::Object(inner) => {
                    // Over a scalar this makes an object, whose node had no children to keep.
                    let child = metadata.get_or_insert_with(key, || OrderedObject::new().into());
                    self.merge(child.as_object_mut().expect("every node of $metadata is an object"), inner);
                }
                leaf => metadata.insert(key, self.node(leaf)),
            }
        }
        if removes {
            metadata.retain(|key, _| !patch.get(key).is_some_and(OrderedValue::is_null));
        }
    }

    /// Returns the node of a value that has none yet. An array is a leaf: it is replaced whole.
    fn node(&self, value: &OrderedValue) -> OrderedObject {
        match value {
            OrderedValue::Object(object) => self.object_node(object),
            _ => self.object_node(&OrderedObject::new()),
        }
    }

    /// Returns the node of an object that has none yet.
    pub(super) fn object_node(&self, object: &OrderedObject) -> OrderedObject {
        let mut metadata = OrderedObject::new();
        self.put(&mut metadata);
        for (key, value) in object.iter() {
            metadata.insert(key, self.node(value));
        }
        metadata
    }
}
