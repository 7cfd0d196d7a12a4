//! Entries under `devices` that are read as soon as they are parsed, so that the trees of a hundred thousand are never all there at once.

use crate::manifest::entry::parsed::ParsedEntry;
use crate::manifest::entry::{Entry, TakenEntry};
use crate::manifest::fields::reader::Reader;
use crate::manifest::fields::schema::device;
use crate::manifest::text::node::{Key, Kind, Node};
use crate::manifest::text::source::File;
use iothub_model::diagnostic::{Diagnostic, Span};

/// Warnings of one run that are told.
pub(crate) const WARNINGS_MAX: usize = 100;

/// Reads entries under `devices` while the rest of the file is not parsed yet, unless they have to wait for what references stand for.
pub(crate) struct Early<'f> {
    pub(super) file: &'f File,
    /// The entries that were taken.
    pub(super) taken: Vec<TakenEntry>,
    pub(crate) found: Vec<Diagnostic>,
    /// Warnings that are not among them: no more than some are told, and a hundred thousand devices may all have the same.
    pub(crate) more_warnings: usize,
}

impl<'f> Early<'f> {
    pub(crate) fn new(file: &'f File) -> Self {
        Self { file, taken: Vec::new(), found: Vec::new(), more_warnings: 0 }
    }

    /// Takes an entry out of the tree, and reads it.
    pub(crate) fn device(&mut self, key: &Key, node: Node) -> Node {
        if waits(key, &node) {
            return node;
        }
        let span = node.span;
        let (read, found) = self.read(key, node);
        self.add(found);
        let place = read.is_some().then_some(self.taken.len());
        self.taken.extend(read.map(|read| TakenEntry::Read(Entry::Parsed(read))));
        Node { span, kind: Kind::Taken(place) }
    }

    /// Reads an entry of a file that is read in pieces; nothing when it is wrong. What was found is the caller's to [`Self::add`].
    pub(crate) fn part(&self, key: Key, node: Node) -> (Option<TakenEntry>, Vec<Diagnostic>) {
        if waits(&key, &node) {
            return (Some(TakenEntry::Waiting(Box::new((key, node)))), Vec::new());
        }
        let (read, found) = self.read(&key, node);
        let part = read.map(|mut read| {
            read.name.value = key.name;
            TakenEntry::Read(Entry::Parsed(read))
        });
        (part, found)
    }

    /// Reads an entry but for its name.
    fn read(&self, key: &Key, node: Node) -> (Option<Box<ParsedEntry>>, Vec<Diagnostic>) {
        let mut found = Vec::new();
        let read = device(&mut Reader { file: self.file, found: &mut found }, key, node);
        (read.map(Box::new), found)
    }

    /// Adds what was found in one entry. Entries come in the order of the file, so that the warnings which are told are among those that are
    /// kept.
    pub(crate) fn add(&mut self, found: Vec<Diagnostic>) {
        let is_full = self.is_full();
        for diagnostic in found {
            match diagnostic.is_error() || !is_full {
                true => self.found.push(diagnostic),
                false => self.more_warnings += 1,
            }
        }
    }

    /// Adds warnings at these places.
    pub(crate) fn warn(&mut self, places: &[Span], warning: impl Fn(Span) -> Option<Diagnostic>) {
        match self.is_full() {
            true => self.more_warnings += places.len(),
            false => self.found.extend(places.iter().filter_map(|&place| warning(place))),
        }
    }

    fn is_full(&self) -> bool {
        // Each of them was kept, unless there are many errors.
        self.found.len() >= WARNINGS_MAX && self.found.iter().filter(|found| !found.is_error()).count() >= WARNINGS_MAX
    }
}

/// Says whether an entry has to wait for what references stand for.
fn waits(key: &Key, node: &Node) -> bool {
    key.name.contains("${") || node.has_references()
}
