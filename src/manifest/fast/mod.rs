//! Reads a file without the trees of all its devices: [`read`] is the only way in.
//!
//! A file of devices that are written out is read in pieces (`chunks`): each entry by itself, and not even parsed where others are written as
//! it is. Any other file is parsed whole, and each entry under `devices` is read as soon as it is there (`streaming`). What comes of it is the
//! same.

mod streaming;
mod chunks;

#[cfg(test)]
mod property_tests;

use crate::manifest::entry::TakenEntry;
use crate::manifest::fast::streaming::Early;
pub(crate) use crate::manifest::fast::streaming::WARNINGS_MAX;
use crate::manifest::text::node::Node;
use crate::manifest::text::source::File;
use crate::manifest::text::yaml::{self, EntryHook};
use iothub_model::diagnostic::Diagnostic;

/// A file's one document.
pub(crate) struct Document {
    /// The tree, without the entries that were taken out of it.
    pub(crate) root: Node,
    /// Those entries, in the order of the file.
    pub(crate) taken: Vec<TakenEntry>,
    /// What was found in them.
    pub(crate) found: Vec<Diagnostic>,
    /// Warnings that are not among that.
    pub(crate) more_warnings: usize,
}

/// Reads a file; nothing when it is empty, or has a syntax error. Whether it is read in pieces where it can be makes no difference.
pub(crate) fn read(file: &File, in_pieces: bool, found: &mut Vec<Diagnostic>) -> Option<Document> {
    let mut early = Early::new(file);
    let mut root = if in_pieces { chunks::parse(file, &mut early) } else { None };
    if root.is_none() {
        early = Early::new(file);
        let take = &mut |key: &_, node| early.device(key, node);
        root = yaml::parse_taking(file, found, EntryHook { under: "devices", take });
    }
    let Early { file: _, taken, found, more_warnings } = early;
    Some(Document { root: root?, taken, found, more_warnings })
}
