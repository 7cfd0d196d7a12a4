//! What happened while a plan was applied, as data; what is said about it is a renderer's.

use std::time::Duration;

use crate::plan::Action;
pub use crate::plan::MovedPath;
use crate::twin::TwinId;

/// Something that happened, in the past tense.
#[derive(Clone, Debug, PartialEq)]
pub enum ApplyEvent {
    /// Applying began.
    Started {
        /// How many twins there are to write.
        twins: usize,
    },
    /// The hub asked for patience, or did not answer; the request is sent again.
    Retrying {
        /// Whose.
        id: TwinId,
        /// Why, in a few words.
        reason: String,
        /// After how long.
        after: Duration,
    },
    /// A twin is done with, one way or another.
    TwinDone {
        /// Which.
        id: TwinId,
        /// What was to be done.
        action: Action,
        /// What came of it.
        outcome: TwinOutcome,
    },
    /// The user asked to stop: what is under way finishes, nothing new begins.
    Interrupted,
    /// Applying ended.
    Finished,
}

/// What came of one twin.
#[derive(Clone, Debug, PartialEq)]
pub enum TwinOutcome {
    /// Written, and the hub's answer equals the target.
    Written {
        /// The twin had moved, elsewhere than on the patch's paths; it was sent again under the new etag.
        rebased: bool,
        /// The identity was created first.
        registered: bool,
    },
    /// Somebody else had already made it as declared; nothing was sent.
    Converged,
    /// A path of the patch had moved to something else; the twin was left alone.
    Conflict(Vec<MovedPath>),
    /// It could not be done.
    Failed {
        /// Why: an error and its causes, a line.
        reason: String,
    },
    /// The run was stopped before its turn.
    NotAttempted,
}

/// The whole run: a fold of its events.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ApplyReport {
    /// Twins written, the next three included.
    pub written: usize,
    /// Of these, sent again under a new etag.
    pub rebased: usize,
    /// Of these, registered first.
    pub registered: usize,
    /// Twins that needed nothing any more.
    pub converged: usize,
    /// Twins left alone since they had moved.
    pub conflicts: Vec<(TwinId, Vec<MovedPath>)>,
    /// Twins that failed, and why.
    pub failed: Vec<(TwinId, String)>,
    /// Twins that were not tried.
    pub not_attempted: Vec<TwinId>,
    /// How many requests had to be sent again.
    pub retries: usize,
    /// The user stopped it.
    pub interrupted: bool,
}
