//! What makes a file a plan that may be applied, and why one is none.

use crate::digest::Digest;
use iothub_model::twin::TwinId;

/// What says that a JSON file is a plan.
pub(crate) const FORMAT: &str = "twinctl-plan";
/// The version that is written, and the latest that is read.
pub(crate) const VERSION: u64 = 1;

/// Why a file is not a plan that may be applied.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlanFileError {
    /// Not JSON at all, or cut short.
    #[error("the plan file is not JSON; was it cut short? plan again, with --out")]
    NotJson(#[source] serde_json::Error),
    /// Some other JSON.
    #[error(
        "the file is JSON, but no plan of twinctl: those are written by `plan` with --out and have \"format\": \"{FORMAT}\""
    )]
    NotAPlan,
    /// Written by a later version.
    #[error(
        "the plan file has version {found}, and this twinctl reads version {VERSION}: use the twinctl that wrote it, or plan again"
    )]
    Newer {
        /// The version.
        found: String,
    },
    /// Not as plans are written.
    #[error("the plan file is not as twinctl writes plans; plan again")]
    Malformed(#[source] serde_json::Error),
    /// The digest is of something else.
    #[error("the plan file was altered after it was written: it says {}, and its content has {}; plan again", said.short(), found.short())]
    Altered {
        /// What the file says.
        said: Digest,
        /// What its content has.
        found: Digest,
    },
    /// A query of a check does not compile.
    #[error("the plan file's check `{check}` has a query that does not parse: {problem}")]
    Query {
        /// The check's name.
        check: String,
        /// What is wrong with the query.
        problem: String,
    },
    /// It says one thing and would do another.
    #[error("the plan file contradicts itself{}: {problem}; it must not be applied, plan again", Of(twin.as_ref()))]
    Contradiction {
        /// At which twin, if at one.
        twin: Option<TwinId>,
        /// What is wrong.
        problem: String,
    },
}

struct Of<'i>(Option<&'i TwinId>);

impl std::fmt::Display for Of<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.map_or(Ok(()), |id| write!(f, " at the twin of {id}"))
    }
}
