//! An approved plan to effects: one guarded patch a twin, until each is written, or it is known why not.
//!
//! What is done and in which order is decided in two pure machines: [`scheduler`] says who goes when (so many at once, no
//! faster than the hub takes, nothing new once the run is to end), and `twin_task` what one twin needs next (the plan's patch
//! again on a fresher twin, a look when an answer was lost). `drive` is the loop that does it, the one part that touches
//! the network. Nothing here prints, asks, or decides what a twin should be: that is the plan's. Read [`apply()`] first, then
//! [`TwinOutcome`].

pub(crate) mod event;
mod request;
mod error_class;
mod twin_task;
mod options;
pub(crate) mod scheduler;
mod drive;
#[cfg(test)]
mod tests;

pub(crate) use event::{ApplyEvent, ApplyReport, MovedPath, TwinOutcome};
pub(crate) use options::ApplyOptions;

use crate::cancel::CancelFlag;
use crate::client::HubClient;
use crate::plan::ApprovedPlan;
use scheduler::Scheduler;

/// Writes what the plan says to the hub that `client` talks to, which must be the plan's.
///
/// Each twin gets one patch with everything in it, under the etag that the plan saw; when the twin has moved since, only if
/// nobody touched the patch's paths. Tells each event as it happens, and returns their fold. Returns early, with what is
/// under way finished, when `stop` is requested or when the other twins would fail as well.
pub(crate) async fn apply(
    plan: &ApprovedPlan,
    client: &HubClient,
    options: &ApplyOptions,
    stop: CancelFlag,
    events: &mut (dyn FnMut(ApplyEvent) + Send),
) -> ApplyReport {
    let mut report = ApplyReport::default();
    let mut record = |event: ApplyEvent| {
        report.record(&event);
        events(event);
    };
    drive::drive(Scheduler::new(&plan.twins, *options), client, &stop, &mut record).await;
    report
}
