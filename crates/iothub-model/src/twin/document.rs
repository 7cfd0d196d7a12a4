//! A twin as a back-end app sees it.

use serde::{Deserialize, Serialize};

use super::{ETag, Object, Section, TwinId};

macro_rules! section_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Object);
    };
}

section_type! {
    /// A twin's tags.
    Tags
}
section_type! {
    /// A twin's desired properties, without `$metadata` and `$version`.
    Desired
}
section_type! {
    /// A twin's reported properties, without `$metadata` and `$version`. Nothing here can patch them.
    Reported
}

/// A twin as it was read: what twinctl looks at, out of what the hub sends.
#[derive(Clone, Debug, PartialEq)]
pub struct Twin {
    /// Whose it is.
    pub id: TwinId,
    /// Changes with each write to tags or desired.
    pub etag: ETag,
    /// The back end's notes.
    pub tags: Tags,
    /// What the device should be.
    pub desired: Desired,
    /// Counts the writes to `desired`.
    pub desired_version: u64,
    /// `$metadata` of `desired`: when each property was last written. Empty when the answer had none.
    pub desired_metadata: Object,
    /// What the device says it is.
    pub reported: Reported,
    /// The whole answer's other members (`status`, `connectionState`, …), for display and for queries; unknown ones are kept.
    pub rest: Object,
}

impl Twin {
    /// Returns one of the sections that a back end writes.
    pub fn section(&self, section: Section) -> &Object {
        match section {
            Section::Tags => &self.tags.0,
            Section::Desired => &self.desired.0,
        }
    }
}

/// What a read found. Absence is an answer of the hub; not to have got one is an error elsewhere.
#[derive(Clone, Debug, PartialEq)]
pub enum Lookup {
    /// The twin.
    Found(Box<Twin>),
    /// The hub said that there is none.
    Absent(TwinId),
}

impl Lookup {
    /// Returns which twin was looked for.
    pub fn id(&self) -> &TwinId {
        match self {
            Self::Found(twin) => &twin.id,
            Self::Absent(id) => id,
        }
    }
}
