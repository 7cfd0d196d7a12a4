//! Layers: defaults < the groups in the order listed < the device. A module twin has no layers but its own entry under its device.
//!
//! A layer is a list of leaves, sorted by path and none under another. Laid over a weaker one, a leaf takes the place of what
//! stood at its path, over it or under it: so objects merge key by key, scalars and arrays replace, an object replaces a scalar and a
//! scalar an object, and a null over an object is one absence. `{}` is a leaf only where nothing is under it, and over an object
//! it changes nothing.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use crate::manifest::layers::declaration::{Layer, Leaf, Origin};
use crate::manifest::text::source::File;
use crate::manifest::text::yaml::{Key, Kind, Node};
use iothub_model::twin::{Object, Section, TwinPath};

/// Lays `over` on `base`.
pub(crate) fn merge(base: &[Leaf], over: &[Leaf]) -> Vec<Leaf> {
    let mut merged = Vec::with_capacity(base.len() + over.len());
    let (mut base, mut over) = (base.iter().peekable(), over.iter().peekable());
    // What stands under one path stands together right after it, so neighbours tell what overlaps.
    loop {
        let (below, above) = match (base.peek(), over.peek()) {
            (None, None) => return merged,
            (Some(_), None) => {
                merged.extend(base.by_ref().cloned());
                continue;
            }
            (None, Some(_)) => {
                merged.extend(over.by_ref().cloned());
                continue;
            }
            (Some(&below), Some(&above)) => (below, above),
        };
        if above.path.covers(&below.path) {
            if is_empty_object(above) && below.path != above.path {
                // `{}` over an object that has something in it.
                while base.peek().is_some_and(|below| above.path.covers(&below.path)) {
                    merged.extend(base.next().cloned());
                }
                over.next();
            } else {
                base.next();
            }
        } else if below.path.covers(&above.path) {
            base.next();
        } else if below.path.cmp(&above.path) == Ordering::Less {
            merged.extend(base.next().cloned());
        } else {
            merged.extend(over.next().cloned());
        }
    }
}

fn is_empty_object(leaf: &Leaf) -> bool {
    leaf.value.as_ref().and_then(Value::as_object).is_some_and(Object::is_empty)
}

/// Takes a section of one layer apart into leaves, sorted. The value must be a mapping whose keys the hub takes.
pub(crate) fn leaves(file: &File, section: Section, layer: &Layer, node: Node) -> Vec<Leaf> {
    let mut collecting = Collecting { file, layer, path: section.name().to_owned(), leaves: Vec::new() };
    if let Kind::Mapping(entries) = node.kind {
        collecting.members(entries);
    }
    let mut leaves = collecting.leaves;
    leaves.sort_by(|a, b| a.path.cmp(&b.path));
    leaves.shrink_to_fit();
    leaves
}

struct Collecting<'a> {
    file: &'a File,
    layer: &'a Layer,
    /// Where it is, as a path's text.
    path: String,
    leaves: Vec<Leaf>,
}

impl Collecting<'_> {
    fn members(&mut self, entries: Vec<(Key, Node)>) {
        let length = self.path.len();
        for (key, value) in entries {
            self.path.push('.');
            self.path.push_str(&key.name);
            self.value(&key, value);
            self.path.truncate(length);
        }
    }

    fn value(&mut self, key: &Key, node: Node) {
        let value = match node.kind {
            Kind::Mapping(entries) if !entries.is_empty() => return self.members(entries),
            Kind::Nothing | Kind::Null => None,
            Kind::Text(text) => Some(Value::String(text.value)),
            kind => Some(to_json(&kind)),
        };
        let origin =
            Origin { file: self.file.name.clone(), line: self.file.line(key.span.start), layer: self.layer.clone() };
        self.leaves.push(Leaf { path: self.file.paths.shared(&self.path), value, origin });
    }
}

/// The paths of a file: ten thousand devices that are written out mostly have the same.
#[derive(Debug, Default)]
pub(crate) struct Paths(Mutex<HashMap<Box<str>, TwinPath>>);

impl Paths {
    /// Returns the path of a text, which starts with a section.
    fn shared(&self, text: &str) -> TwinPath {
        let mut paths = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(path) = paths.get(text) {
            return path.clone();
        }
        let path: TwinPath = text.parse().expect("it starts with a section's name");
        paths.insert(text.into(), path.clone());
        path
    }
}

/// Turns a value into JSON.
pub(crate) fn to_json(kind: &Kind) -> Value {
    match kind {
        Kind::Nothing | Kind::Null => Value::Null,
        Kind::Bool(boolean) => Value::Bool(*boolean),
        Kind::Number(number) => Value::Number(number.clone()),
        Kind::Text(text) => Value::String(text.value.clone()),
        Kind::List(items) => Value::Array(items.iter().map(|item| to_json(&item.kind)).collect()),
        Kind::Device(_) | Kind::Devices(_) => unreachable!("a device stands under `devices` alone, and is no value"),
        Kind::Mapping(entries) => {
            Value::Object(entries.iter().map(|(key, value)| (key.name.clone(), to_json(&value.kind))).collect())
        }
    }
}

/// What the hub counts for a number, which is more than for a boolean.
pub(crate) const NUMBER_BYTES: usize = 8;

/// Returns how many bytes a section has at most, if each leaf had all of its path's keys for itself; nothing where that cannot be told.
pub(crate) fn most_bytes(leaves: &[Leaf], section: Section) -> Option<usize> {
    let of_section = leaves.iter().filter(|leaf| leaf.path.section() == section);
    of_section.map(|leaf| Some(NUMBER_BYTES + leaf.path.as_str().len() + text_bytes(leaf.value.as_ref())?)).sum()
}

/// Returns how many bytes a value has that is a text; nothing for what is no scalar.
pub(crate) fn text_bytes(value: Option<&Value>) -> Option<usize> {
    match value {
        None | Some(Value::Null | Value::Bool(_) | Value::Number(_)) => Some(0),
        Some(Value::String(text)) => Some(text.len()),
        Some(Value::Array(_) | Value::Object(_)) => None,
    }
}

/// Puts the leaves of one section together again, without what is to be absent: the section as the hub will count it, at least.
pub(crate) fn section_of(leaves: &[Leaf], section: Section) -> Object {
    let mut root = Object::new();
    for leaf in leaves.iter().filter(|leaf| leaf.path.section() == section) {
        let Some(value) = &leaf.value else { continue };
        let mut keys: Vec<_> = leaf.path.keys().collect();
        let Some(last) = keys.pop() else { continue };
        let mut object = &mut root;
        for key in keys {
            let inner = object.entry(key).or_insert_with(|| Value::Object(Object::new()));
            let Value::Object(inner) = inner else { unreachable!("no leaf lies under another") };
            object = inner;
        }
        object.insert(last.to_owned(), value.clone());
    }
    root
}
