//! A section's YAML as leaves.

use crate::manifest::leaf::{Layer, Leaf, Origin};
use crate::manifest::text::node::{Key, Kind, Node, to_json};
use crate::manifest::text::source::File;
use iothub_model::twin::Section;
use serde_json::Value;

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
