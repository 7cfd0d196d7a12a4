//! One declared leaf of a twin, and where it is written.

use std::fmt;
use std::sync::Arc;

use iothub_model::twin::{Section, TwinPath};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One declared leaf.
#[derive(Clone, Debug, PartialEq)]
pub struct Leaf {
    /// Where in the twin.
    pub path: TwinPath,
    /// What must be there; `None` when the path must be absent. Never `Value::Null`, never an object with something in it.
    pub value: Option<Value>,
    /// Where in the manifest.
    pub origin: Origin,
}

/// A place in the manifest, for "why has it this value?".
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Origin {
    /// The file, as the user gave it.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: u32,
    /// The layer.
    pub layer: Layer,
}

/// `file:line`
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} ({})", self.layer)
    }
}

/// Which layer of the manifest a leaf comes from, weakest first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layer {
    /// `defaults`
    Defaults,
    /// `selectors`, by its name.
    Selector(Arc<str>),
    /// `groups.<name>`
    Group(Arc<str>),
    /// A row of an inventory.
    Inventory,
    /// The device's own entry.
    Device,
    /// The module's own entry under its device: the only layer of a module twin.
    Module,
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Defaults => f.write_str("defaults"),
            Self::Selector(name) => write!(f, "selector {name}"),
            Self::Group(name) => write!(f, "group {name}"),
            Self::Inventory => f.write_str("inventory"),
            Self::Device => f.write_str("device"),
            Self::Module => f.write_str("module"),
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
