//! The way back: live twins to a manifest that declares them as they are, with what is common said once. Pure.
//!
//! [`Importer`] takes twins as they come and keeps each distinct leaf and each distinct set of leaves once (`collect`). What is
//! common then goes to defaults and groups (`factor`), and neighbours that are declared alike become ranges (`ranges`). The
//! layers never contradict each other: a leaf is in a shared layer only if every device of it has just this leaf, so that nothing
//! is declared that is not live. Writing YAML is `render::manifest`'s. Read [`Factored`] first.

mod leaves;
mod factor;
mod ranges;
mod collect;

pub(crate) use collect::{Importer, Note, Reason, Whose};

use std::sync::Arc;

use serde_json::Value;

use crate::manifest::{FleetName, Ownership};
use iothub_model::twin::{ModuleId, TwinPath};

/// How a fleet is made of twins.
#[derive(Clone, Debug)]
pub(crate) struct ImportOptions {
    /// Its name. Records of other fleets keep what they own.
    pub fleet: FleetName,
    /// Whether the manifest is to record what it owns.
    pub ownership: Ownership,
    /// The tags whose values make groups; empty to take those that save most.
    pub by: Vec<TwinPath>,
}

/// A leaf that is declared. Leaves are shared.
pub(crate) type ImportedLeaf = Arc<(TwinPath, Value)>;

/// A manifest, before it is text.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Factored {
    /// What every device has.
    pub defaults: Vec<ImportedLeaf>,
    /// What devices with the same value of a tag have.
    pub groups: Vec<ImportedGroup>,
    /// The devices, in order of their ids; ranges where neighbours are alike.
    pub entries: Vec<ImportedEntry>,
    /// How many devices that is.
    pub devices: usize,
    /// How many modules.
    pub modules: usize,
}

/// A group.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ImportedGroup {
    /// Its name, made of the tag's value.
    pub name: String,
    /// Sorted by path.
    pub leaves: Vec<ImportedLeaf>,
}

/// A device, or a range of them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ImportedEntry {
    /// `thermostat-001`, or `press-{001..120}`.
    pub name: String,
    /// Indices into the groups.
    pub groups: Vec<usize>,
    /// Its own leaves, sorted by path.
    pub leaves: Vec<ImportedLeaf>,
    /// Its modules, each with all of its leaves.
    pub modules: Vec<(ModuleId, Vec<ImportedLeaf>)>,
}
