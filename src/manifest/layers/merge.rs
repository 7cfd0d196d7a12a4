//! Layers: defaults < the groups in the order listed < the device. A module twin has no layers but its own entry under its device.
//!
//! A layer is a list of leaves, sorted by path and none under another. Laid over a weaker one, a leaf takes the place of what
//! stood at its path, over it or under it: so objects merge key by key, scalars and arrays replace, an object replaces a scalar and a
//! scalar an object, and a null over an object is one absence. `{}` is a leaf only where nothing is under it, and over an object
//! it changes nothing.

use std::cmp::Ordering;

use crate::manifest::leaf::Leaf;
use iothub_model::twin::{Object, Section};
use serde_json::Value;

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
