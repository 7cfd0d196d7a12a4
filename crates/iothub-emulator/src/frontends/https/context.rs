//! What the resources work with.

use std::sync::Arc;

use crate::access::Access;
use crate::faults::injection::FaultInjector;
use crate::handle::HubHandle;
use crate::limits::admission::Admission;

/// The hub and its rules, as the resources use them.
pub(crate) struct Context {
    pub(super) live: Arc<HubHandle>,
    pub(super) access: Arc<Access>,
    /// The number of jobs that may wait or run at once, whatever the tier allows.
    pub(super) active_jobs: Option<usize>,
    pub(super) admission: Arc<Admission>,
    pub(super) faults: Arc<FaultInjector>,
}
