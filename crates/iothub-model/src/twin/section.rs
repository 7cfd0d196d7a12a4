//! The sections of a twin that a back end writes, and the object that each of them is.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A JSON object, keys in order.
pub type Object = serde_json::Map<String, Value>;

/// The two sections that a back end writes. `reported` is the device's own and has no variant here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Section {
    /// Tags: the back end's own notes, which devices never see.
    Tags,
    /// Desired properties: what the device should be.
    Desired,
}

impl Section {
    /// Both, in the order in which they are shown.
    pub const ALL: [Self; 2] = [Self::Tags, Self::Desired];

    /// Returns the section's name, as the first part of a [`super::TwinPath`].
    pub fn name(self) -> &'static str {
        match self {
            Self::Tags => "tags",
            Self::Desired => "desired",
        }
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
