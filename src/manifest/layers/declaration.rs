//! What a fleet should be, once the manifest's layers are resolved.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use crate::check::Check;
use crate::digest::{Digest, Hasher};
use crate::manifest::fields::policy::{Policy, Selection, Selector};
use crate::manifest::fleet::{FleetName, Missing, Ownership};
use crate::manifest::layers::body::Body;
use crate::manifest::layers::layering::Layered;
use crate::manifest::leaf::Origin;
use iothub_model::twin::{HubHost, TwinId, TwinPath};

/// A fleet, resolved.
#[derive(Clone, Debug)]
pub struct Declarations {
    /// Who owns it.
    pub fleet: FleetName,
    /// The only hub that it may be applied to, when the manifest says so.
    pub hub: Option<HubHost>,
    /// Whether ownership is recorded.
    pub ownership: Ownership,
    /// What to do about devices and modules that the hub lacks.
    pub missing: Missing,
    /// The assertions, in the order of the files.
    pub checks: Vec<Check>,
    /// The file and the line of each check's name, by that name.
    pub check_places: BTreeMap<String, (Arc<str>, u32)>,
    /// How they may be enforced.
    pub policy: Policy,
    /// The groups, those without members included.
    pub groups: BTreeMap<Arc<str>, Group>,
    /// The inventories whose tables have no rows, in the order of the files.
    pub empty_inventories: Vec<EmptyInventory>,
    /// Queries for devices that are declared by being found, in the order of the files.
    pub selectors: Vec<Selector>,
    /// What the selectors found, in their order; empty until they were asked.
    pub selections: Vec<Selection>,
    /// What each twin should be. With a module, its device is always among them.
    pub twins: BTreeMap<TwinId, Declaration>,
    /// Of all the above, by value: comments, order and layering do not matter.
    pub digest: Digest,
    /// The layers apart, where selectors may still come in between.
    pub(crate) layered: Option<Arc<Layered>>,
}

impl Declarations {
    /// Returns a fleet that declares nothing.
    pub fn empty(fleet: FleetName) -> Self {
        Self {
            fleet,
            hub: None,
            ownership: Ownership::default(),
            missing: Missing::default(),
            checks: Vec::new(),
            check_places: BTreeMap::new(),
            policy: Policy::default(),
            groups: BTreeMap::new(),
            empty_inventories: Vec::new(),
            selectors: Vec::new(),
            selections: Vec::new(),
            twins: BTreeMap::new(),
            digest: Hasher::new().finish(),
            layered: None,
        }
    }
}

/// Devices that are described together.
#[derive(Clone, Debug)]
pub struct Group {
    /// What it declares, by itself.
    pub body: Arc<Body>,
    /// How many devices are in it.
    pub members: usize,
    /// Where in the manifest.
    pub origin: Origin,
}

/// An inventory whose table has no rows: what it would give its devices, as far as that can be read without a row.
#[derive(Clone, Debug, PartialEq)]
pub struct EmptyInventory {
    /// The table, relative to the working directory.
    pub table: Arc<str>,
    /// The texts before and after what a row adds to an id.
    pub id: (String, String),
    /// The leaves; `None` for a value that comes from a row or a variable.
    pub leaves: Vec<(TwinPath, Option<Value>)>,
    /// Where in the manifest.
    pub origin: Origin,
}

impl Declarations {
    /// Returns `true` if no device is written down, so that every declared one was found by a selector.
    pub fn lists_no_device(&self) -> bool {
        !self.selectors.is_empty() && self.layered.as_ref().is_none_or(|layered| layered.of.is_empty())
    }
}

/// What one twin should be. Twins that should be the same share their body.
#[derive(Clone, Debug)]
pub struct Declaration {
    /// The leaves.
    pub body: Arc<Body>,
    /// Where the device or module itself is written.
    pub origin: Origin,
}
