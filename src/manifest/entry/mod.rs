//! Entries under `devices`: parsed, or still the file's text.
//!
//! A hundred thousand devices that are written out are mostly written alike, and their text is the smallest form of what they say. So an
//! entry may stay text, and is read there whenever somebody looks ([`TextEntry`], of an [`EntryTemplate`](template::EntryTemplate)). Whoever works with entries, their
//! names or their leaves makes that distinction by one type, [`Written`].

pub(crate) mod parsed;
pub(crate) mod scalar;
pub(crate) mod template;

use crate::manifest::entry::parsed::ParsedEntry;
use crate::manifest::entry::template::TextEntry;
use crate::manifest::text::node::{Key, Node};

/// What a device's own entry says, or a part of that: parsed, or still text.
#[derive(Clone, Debug)]
pub(crate) enum Written<P> {
    /// It was parsed.
    Parsed(P),
    /// It is written as other entries are, and is read in the file's text.
    Text(TextEntry),
}

/// An entry under `devices`: one device, or a range of them.
pub(crate) type Entry = Written<Box<ParsedEntry>>;

impl Entry {
    /// Returns the name, or the range.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Parsed(parsed) => &parsed.name.value,
            Self::Text(text) => text.name().value,
        }
    }

    /// Returns the offset at which it ends.
    pub(crate) fn end(&self) -> usize {
        match self {
            Self::Parsed(parsed) => parsed.end,
            Self::Text(text) => text.end(),
        }
    }
}

/// An entry that was taken out of its file's tree as soon as it was there, so that the trees of all entries are never there at once.
#[derive(Clone, Debug)]
pub(crate) enum TakenEntry {
    /// It was read.
    Read(Entry),
    /// It has to wait for what references stand for.
    Waiting(Box<(Key, Node)>),
}

impl TakenEntry {
    /// Returns the name, or the range.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Read(entry) => entry.name(),
            Self::Waiting(entry) => &entry.0.name,
        }
    }

    /// Returns the offset at which it ends.
    pub(crate) fn end(&self) -> usize {
        match self {
            Self::Read(entry) => entry.end(),
            Self::Waiting(entry) => entry.1.span.end,
        }
    }
}
