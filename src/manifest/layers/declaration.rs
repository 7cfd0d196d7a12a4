//! What a fleet should be, once the manifest's layers are resolved.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::check::Check;
use crate::digest::{Digest, Hasher};
use crate::manifest::fields::policy::{Policy, Selection, Selector};
use crate::manifest::layers::body::Body;
use crate::manifest::layers::layering::Layered;
use iothub_model::twin::{HubHost, TwinId, TwinPath};

/// The name of a fleet, under which it owns what it wrote: `[a-z0-9][a-z0-9-]{0,62}`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FleetName(Arc<str>);

/// Why a text is not a fleet's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{}` is not a fleet's name: one has 1 to 63 lower-case letters, digits and hyphens, and starts with no hyphen",
    text.escape_debug()
)]
pub struct FleetNameError {
    text: String,
}

impl FleetName {
    /// Returns the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for FleetName {
    type Err = FleetNameError;

    fn from_str(text: &str) -> Result<Self, FleetNameError> {
        let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let well_formed = text.len() <= 63
            && text.bytes().next().is_some_and(letter)
            && text.bytes().all(|byte| letter(byte) || byte == b'-');
        if well_formed { Ok(Self(text.into())) } else { Err(FleetNameError { text: text.to_owned() }) }
    }
}

impl TryFrom<String> for FleetName {
    type Error = FleetNameError;

    fn try_from(text: String) -> Result<Self, FleetNameError> {
        text.parse()
    }
}

impl From<FleetName> for String {
    fn from(name: FleetName) -> Self {
        name.0.as_ref().to_owned()
    }
}

impl fmt::Display for FleetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for FleetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// What to do about a declared device or module that the hub lacks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Missing {
    /// Refuse the plan.
    #[default]
    Fail,
    /// Say so, and leave it out.
    Skip,
    /// Create its identity; the hub makes the keys.
    Register,
}

/// Whether a record of what the fleet owns travels with each twin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ownership {
    /// In `tags.twinctl.<fleet>`: what leaves the manifest is removed from the twin.
    #[default]
    Record,
    /// Nowhere: only what is declared is enforced.
    None,
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fleet_names() {
        let longest = "a".repeat(63);
        for good in ["redmond", "a", "0-1", longest.as_str()] {
            assert_eq!(good.parse::<FleetName>().expect(good).as_str(), good);
        }
        let too_long = "a".repeat(64);
        for bad in ["", "-a", "A", "a_b", "a.b", "é", too_long.as_str()] {
            assert!(bad.parse::<FleetName>().is_err(), "{bad}");
        }
    }
}
