//! What a plan changes, path by path, and what stands in its way.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::manifest::{FleetName, Origin};
use iothub_model::twin::TwinPath;
use iothub_model::twin::value::equal;

/// How a change came about: the rows of the ownership table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Declared, and neither recorded nor live: set.
    New,
    /// Declared and live as declared, but not recorded: only the record is written.
    Adopt,
    /// Declared, live otherwise, not recorded: set.
    Overwrite,
    /// The manifest changed, the twin did not: set.
    Edit,
    /// The twin changed, the manifest did not: set back.
    Drift,
    /// Both changed, to different values: set.
    EditOverDrift,
    /// No longer declared, live as it was applied: deleted.
    Removed,
    /// No longer declared, and changed since it was applied: deleted.
    RemovedOverDrift,
    /// Renamed by the manifest's `moved`, and live as it was applied: the old path is deleted and the new one set.
    Moved,
    /// Neither declared nor recorded, under a path that is `exact`: deleted.
    Undeclared,
    /// No longer owned, by the manifest's `released`: only the record changes, the value stays.
    Released,
}

impl Verdict {
    /// Returns the words that people read.
    pub fn label(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Adopt => "adopt",
            Self::Overwrite => "overwrite",
            Self::Edit => "edit",
            Self::Drift => "drift",
            Self::EditOverDrift => "edit over drift",
            Self::Removed => "removed",
            Self::RemovedOverDrift => "removed over drift",
            Self::Moved => "moved",
            Self::Undeclared => "undeclared",
            Self::Released => "released",
        }
    }

    /// Returns `true` if the record proves that the manifest alone makes the difference: the twin is as this fleet applied it
    /// last, or already as declared.
    pub fn is_explained(self) -> bool {
        match self {
            Self::Edit | Self::Removed | Self::Moved | Self::Released | Self::Adopt => true,
            Self::Drift | Self::EditOverDrift | Self::RemovedOverDrift => false,
            // No record has the path, so nothing is known of what was applied there.
            Self::New | Self::Overwrite | Self::Undeclared => false,
        }
    }

    /// Says whether the value itself changes, and not only the record of who owns it.
    pub fn touches_value(self) -> bool {
        !matches!(self, Self::Adopt | Self::Released)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.label())
    }
}

/// One side of a planned change.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The path has no value.
    Absent,
    /// The path has this value.
    Known(Value),
    /// The path has a sensitive value that this plan does not contain, since the plan was read from a file.
    Redacted,
}

impl Side {
    /// Returns `true` if the path has a value, be it known or not.
    pub fn has_value(&self) -> bool {
        *self != Self::Absent
    }

    /// Returns the value, if there is one and the plan contains it.
    pub fn known(&self) -> Option<&Value> {
        match self {
            Self::Known(value) => Some(value),
            Self::Absent | Self::Redacted => None,
        }
    }

    /// Returns the value to be changed in place, if there is one and the plan contains it.
    pub(super) fn known_mut(&mut self) -> Option<&mut Value> {
        match self {
            Self::Known(value) => Some(value),
            Self::Absent | Self::Redacted => None,
        }
    }

    /// Returns `true` if this side is known to be what was found. The hub's rules for equal values apply.
    pub fn is_same(&self, found: Option<&Value>) -> bool {
        match (self, found) {
            (Self::Absent, None) => true,
            (Self::Known(value), Some(found)) => equal(value, found),
            (Self::Absent | Self::Known(_) | Self::Redacted, _) => false,
        }
    }

    /// Returns this side without its value.
    pub fn redacted(&self) -> &Self {
        if self.has_value() { &Self::Redacted } else { &Self::Absent }
    }
}

impl From<Option<Value>> for Side {
    fn from(value: Option<Value>) -> Self {
        value.map_or(Self::Absent, Self::Known)
    }
}

/// One path of one twin: what it is and what it will be.
///
/// A rename is two of them, both [`Verdict::Moved`]: the old path goes, and the new one comes and names the old.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PlannedChange {
    /// Where.
    pub path: TwinPath,
    /// How it came about.
    pub verdict: Verdict,
    /// What is there.
    pub before: Side,
    /// What will be there.
    pub after: Side,
    /// Of a rename's new path, the old one.
    pub moved_from: Option<TwinPath>,
    /// The manifest's line: of the declaration, or of the policy that makes the change; `None` for what is no longer declared.
    pub origin: Option<Origin>,
    /// Whether the values are never shown.
    pub sensitive: bool,
}

impl PlannedChange {
    /// Says whether a leaf goes for no other reason than that it is not declared. Whatever took its place meanwhile stays.
    pub fn is_removal(&self) -> bool {
        use Verdict::{Moved, Removed, RemovedOverDrift, Undeclared};
        !self.after.has_value() && matches!(self.verdict, Removed | RemovedOverDrift | Undeclared | Moved)
    }

    /// Says whether it is the old path of a rename, which the new path's change tells as well.
    pub fn is_moved_away(&self) -> bool {
        self.verdict == Verdict::Moved && !self.after.has_value()
    }

    /// Says whether a value that will be there is not known, so that the change cannot be made.
    pub fn lacks_value(&self) -> bool {
        self.after == Side::Redacted && self.verdict != Verdict::Released
    }

    /// Returns what is there and what will be there, as both may be shown: without sensitive values.
    pub fn shown(&self) -> (&Side, &Side) {
        let shown = |side| if self.sensitive { Side::redacted(side) } else { side };
        (shown(&self.before), shown(&self.after))
    }
}

/// Without sensitive values.
impl fmt::Debug for PlannedChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, verdict, before, after, moved_from, origin, sensitive } = self;
        let mut shown = f.debug_struct("PlannedChange");
        shown.field("path", path).field("verdict", verdict);
        if *sensitive {
            shown.field("sensitive", &(before.has_value(), after.has_value()));
        } else {
            shown.field("before", before).field("after", after);
        }
        shown.field("moved_from", moved_from).field("origin", origin).finish()
    }
}

/// An entry of another fleet's record that this fleet takes over.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Taken {
    /// Whose it was.
    pub fleet: FleetName,
    /// What that fleet owned: a declared path, or one over or under it.
    pub path: TwinPath,
}

/// Why a twin must not be changed as declared. Nothing is sent to such a twin.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Conflict {
    /// Another fleet's record owns the path, or one over or under it.
    OwnedByOther {
        /// What this fleet declares.
        path: TwinPath,
        /// What the other one owns.
        owned: TwinPath,
        /// Who that is.
        fleet: FleetName,
        /// The Git revision that it was applied at; may be empty.
        revision: String,
        /// The manifest's line.
        origin: Option<Origin>,
    },
    /// A scalar or an absence is declared where the hub has an object with leaves that nobody here owns.
    WouldDestroy {
        /// What is declared.
        path: TwinPath,
        /// The leaves that would go.
        leaves: Vec<TwinPath>,
        /// The manifest's line.
        origin: Option<Origin>,
    },
    /// This fleet's record in the twin cannot be read, or a newer twinctl wrote it.
    Record {
        /// Why.
        problem: String,
    },
    /// The twin would outgrow the hub's limits, the record included.
    Limit {
        /// What would, as a sentence.
        problem: String,
    },
}
