//! (declarations, live twins) to [`Plan`]. Pure.

pub mod change;
pub mod twin_plan;

pub use change::{Change, Conflict, Verdict};
pub use twin_plan::{Action, TwinPlan};

use crate::check::Check;
use crate::digest::Digest;
use crate::manifest::FleetName;
use crate::twin::HubHost;

/// What would be done to a hub, decided whole: apply has nothing left to choose.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Which hub it was made for.
    pub hub: HubHost,
    /// Whose it is.
    pub fleet: FleetName,
    /// The declarations that it was made from.
    pub manifest: Digest,
    /// The Git revision that goes into the records; may be empty.
    pub revision: String,
    /// How the live twins were read.
    pub read: ReadBy,
    /// The twins that something is to be done or said about, sorted by id.
    pub twins: Vec<TwinPlan>,
    /// How many more were looked at and are as declared.
    pub unchanged: usize,
    /// What must hold afterwards.
    pub checks: Vec<Check>,
}

/// How live twins were read, which says how fresh they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReadBy {
    /// One GET a twin: current.
    Get,
    /// Pages of queries: may lag by seconds, at worst by many minutes.
    Query,
}
