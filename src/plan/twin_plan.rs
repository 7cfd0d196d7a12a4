//! The plan for one twin.

use std::sync::Arc;

use crate::plan::change::{Change, Conflict};
use crate::twin::{ETag, MergePatch, TwinId};

/// What is to be done about one twin.
#[derive(Clone, Debug, PartialEq)]
pub struct TwinPlan {
    /// Which.
    pub id: TwinId,
    /// What kind of thing is to be done.
    pub action: Action,
    /// The etag that the plan was computed from; `None` for a device that is yet to be registered.
    pub etag: Option<ETag>,
    /// The paths, sorted. Twins whose changes are the same share them.
    pub changes: Arc<[Change]>,
    /// The one request's body: values and record together. Holds exactly what differs.
    pub patch: MergePatch,
    /// What would take it back.
    pub inverse: MergePatch,
    /// What stands in the way; nothing is sent while there is any.
    pub conflicts: Vec<Conflict>,
}

/// What kind of thing is to be done about a twin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It is there and differs.
    Update,
    /// The hub lacks the device, and the manifest says to create it first.
    Register,
    /// The device left the manifest: what was owned and the record go. Its identity stays.
    Release,
    /// The hub lacks the device, and the manifest says that this is an error.
    Missing,
    /// The hub lacks the device, and the manifest says to leave it out.
    Skip,
}
