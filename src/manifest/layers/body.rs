//! What one twin should be, with as little of it held as can be.
//!
//! A hundred thousand devices that are written out have a hundred thousand entries of their own, and what is held of each decides how
//! much memory a fleet takes. So what many devices share is held once, under each device's own leaves, which are laid over it when
//! somebody looks.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use crate::manifest::entry::Written;
use crate::manifest::entry::template::TextEntry;
use crate::manifest::fields::policy::Sensitive;
use crate::manifest::layers::merge::merge;
use crate::manifest::leaf::{self, Leaf, Origin};
use iothub_model::twin::{Section, TwinPath};

/// Tags and desired properties, leaf by leaf, sorted by path. What is not here is not managed.
///
/// No leaf lies under another, and none is `tags.twinctl` or lies under it. The leaves are scalars, arrays, empty objects and declared
/// absences.
#[derive(Clone, Default)]
pub struct Body {
    /// What is shared with other twins.
    base: Arc<[Leaf]>,
    /// What the device's own entry lays over that.
    own: Option<Own>,
}

/// The leaves of a device's own entry.
pub(crate) type Own = Written<OwnLeaves>;

/// The leaves of an entry that was parsed.
#[derive(Clone, Debug)]
pub(crate) struct OwnLeaves {
    pub(crate) leaves: Arc<[Leaf]>,
    /// All devices of a range have them.
    pub(crate) of_range: bool,
}

impl Own {
    /// Returns the leaves, sorted.
    pub(crate) fn leaves(&self) -> Cow<'_, [Leaf]> {
        match self {
            Self::Parsed(own) => Cow::Borrowed(&own.leaves),
            Self::Text(entry) => Cow::Owned(entry.leaves()),
        }
    }

    /// Returns how many leaves there are.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Parsed(own) => own.leaves.len(),
            Self::Text(entry) => entry.len(),
        }
    }

    /// Returns the path of a leaf.
    pub(crate) fn path(&self, index: usize) -> &TwinPath {
        match self {
            Self::Parsed(own) => &own.leaves[index].path,
            Self::Text(entry) => entry.path(index),
        }
    }

    /// Returns where a leaf is written.
    pub(crate) fn origin(&self, index: usize) -> Origin {
        match self {
            Self::Parsed(own) => own.leaves[index].origin.clone(),
            Self::Text(entry) => entry.origin(index),
        }
    }

    /// Returns how many bytes a section has at most; nothing where that cannot be told without putting it together.
    fn most_bytes(&self, section: Section) -> Option<usize> {
        match self {
            Self::Parsed(own) => leaf::most_bytes(&own.leaves, section),
            Self::Text(entry) => entry.most_bytes(section),
        }
    }
}

impl Body {
    /// Makes it of leaves that are sorted, none under another.
    pub fn new(leaves: impl Into<Arc<[Leaf]>>) -> Self {
        Self { base: leaves.into(), own: None }
    }

    /// Lays a device's own leaves over what it shares with others: once where many devices have both, and else whenever somebody looks.
    pub(crate) fn over(base: &Arc<[Leaf]>, own: &Own) -> Self {
        match own {
            Own::Parsed(OwnLeaves { leaves, of_range: true }) => match base.is_empty() {
                true => Self::new(Arc::clone(leaves)),
                false => Self::new(merge(base, leaves)),
            },
            Own::Parsed(_) | Own::Text(_) => Self { base: Arc::clone(base), own: Some(own.clone()) },
        }
    }

    /// Returns the leaves: borrowed where they are held as they are, as those are that several twins share.
    pub fn leaves(&self) -> Cow<'_, [Leaf]> {
        match &self.own {
            None => Cow::Borrowed(&self.base),
            Some(own) if self.base.is_empty() => own.leaves(),
            Some(own) => Cow::Owned(merge(&self.base, &own.leaves())),
        }
    }

    /// Returns the leaves where all of them are in one entry's text.
    pub(crate) fn text_entry(&self) -> Option<&TextEntry> {
        match &self.own {
            Some(Own::Text(entry)) if self.base.is_empty() => Some(entry),
            _ => None,
        }
    }

    /// Returns how many bytes a section has at most; nothing where that cannot be told without putting it together.
    pub(crate) fn most_bytes(&self, section: Section) -> Option<usize> {
        let own = self.own.as_ref().map_or(Some(0), |own| own.most_bytes(section))?;
        Some(own + leaf::most_bytes(&self.base, section)?)
    }

    /// Returns the leaves to hold on to.
    pub(crate) fn shared(&self) -> Arc<[Leaf]> {
        match &self.own {
            None => Arc::clone(&self.base),
            Some(_) => self.leaves().into(),
        }
    }
}

impl From<Vec<Leaf>> for Body {
    fn from(leaves: Vec<Leaf>) -> Self {
        Self::new(leaves)
    }
}

impl PartialEq for Body {
    fn eq(&self, other: &Self) -> bool {
        self.leaves() == other.leaves()
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("leaves", &self.leaves()).finish()
    }
}

/// What one layer says.
#[derive(Clone, Copy)]
pub(crate) enum LayerView<'d> {
    Leaves(&'d [Leaf]),
    Own(&'d Own),
}

impl<'d> LayerView<'d> {
    pub(crate) fn len(self) -> usize {
        match self {
            Self::Leaves(leaves) => leaves.len(),
            Self::Own(own) => own.len(),
        }
    }

    pub(crate) fn path(self, index: usize) -> &'d TwinPath {
        match self {
            Self::Leaves(leaves) => &leaves[index].path,
            Self::Own(own) => own.path(index),
        }
    }

    pub(crate) fn origin(self, index: usize) -> Origin {
        match self {
            Self::Leaves(leaves) => leaves[index].origin.clone(),
            Self::Own(own) => own.origin(index),
        }
    }

    pub(crate) fn leaves(self) -> Cow<'d, [Leaf]> {
        match self {
            Self::Leaves(leaves) => Cow::Borrowed(leaves),
            Self::Own(own) => own.leaves(),
        }
    }

    /// Says whether a leaf lies where a path is sensitive.
    pub(crate) fn has_of(self, sensitive: &Sensitive) -> bool {
        (0..self.len()).any(|index| sensitive.covers(self.path(index)))
    }

    /// Returns the place of the first leaf that does not come before a path.
    pub(crate) fn from(self, path: &TwinPath) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            if self.path(middle) < path { low = middle + 1 } else { high = middle }
        }
        low
    }
}
