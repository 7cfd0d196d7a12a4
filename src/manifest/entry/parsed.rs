//! An entry under `devices` that was parsed.

use crate::manifest::leaf::Leaf;
use crate::manifest::range::Pattern;
use crate::manifest::text::node::{Spanned, Text};
use iothub_model::diagnostic::Span;
use iothub_model::twin::ModuleId;

/// What was read of an entry under `devices`.
#[derive(Clone, Debug)]
pub(crate) struct ParsedEntry {
    pub(crate) name: Spanned<String>,
    pub(crate) pattern: Pattern,
    pub(crate) groups: Vec<Spanned<Text>>,
    pub(crate) leaves: Vec<Leaf>,
    /// Each device of the entry has these.
    pub(crate) modules: Vec<Module>,
    /// The offset at which it ends.
    pub(crate) end: usize,
}

/// An entry under a device's `modules`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Module {
    pub(crate) id: ModuleId,
    pub(crate) span: Span,
    pub(crate) leaves: Vec<Leaf>,
}
