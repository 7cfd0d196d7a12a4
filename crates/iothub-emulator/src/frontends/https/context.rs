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
    /// Jobs that may wait or run at once.
    pub(super) active_jobs: usize,
    /// The limits, when there are any.
    pub(super) admission: Option<Arc<Admission>>,
    pub(super) faults: Arc<FaultInjector>,
}
