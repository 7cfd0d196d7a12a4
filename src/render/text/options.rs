//! How a plan is shown as text.

use crate::render::style::Palette;

/// How a plan is shown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TextOptions {
    /// The colours.
    pub palette: Palette,
    /// How many characters a line has.
    pub width: usize,
    /// Name every twin and cut no value.
    pub full: bool,
}

impl TextOptions {
    /// How many names of several are shown.
    pub(super) fn named(self) -> usize {
        if self.full { usize::MAX } else { NAMED }
    }
}

/// How many twins of a cluster are named.
pub(super) const NAMED: usize = 3;
