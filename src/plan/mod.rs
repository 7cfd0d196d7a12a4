//! (declarations, live twins) to [`Plan`]. Pure: nothing here waits, reads or writes.
//!
//! [`plan`] is the whole folder in a line; [`Planner`] is the same as a fold, for twins that arrive in a stream. One twin is
//! decided about in `decide`, by the table in [`ownership`]; what comes of it is a [`TwinPlan`], which also knows how to carry
//! itself over to a fresher twin ([`TwinPlan::rebase`]). What a review of a plan is bound to is decided in `review`. A plan may be applied once [`approve`] has let it pass. [`mod@file`] writes
//! plans down and reads them back.
//!
//! The unit of everything here is the leaf: a scalar, an array, an empty object, or a declared absence. An object with
//! something in it is only the sum of its leaves, so that a leaf is *absent* where such an object stands. Read [`Plan`] first,
//! then [`PlannedChange`].

pub(crate) mod change;
pub(crate) mod records;
pub(crate) mod ownership;
mod redact;
mod rules;
mod target;
mod differences;
mod decide;
pub(crate) mod twin_plan;
mod intern;
pub(crate) mod cluster;
mod rebase;
mod unchanged;
pub(crate) mod population;
mod seen;
pub(crate) mod impact;
pub(crate) mod fleet_plan;
mod restore;
mod planner;
mod review;
pub(crate) mod guard;
pub(crate) mod file;

pub use change::Verdict;
pub(crate) use change::{Conflict, PlannedChange, Side, Taken};
pub(crate) use cluster::Cluster;
pub(crate) use fleet_plan::PlanSummary;
pub use fleet_plan::{Plan, ReadBy};
pub(crate) use guard::{ApprovedPlan, Consent, Guard, PlanRefusal, approve, check_hub};
pub use impact::{Cost, Forecast, Impact, Prediction, SharedPath, Spent, Writer};
pub(crate) use impact::{Divergence, ImpactObserver};
pub use planner::PlanContext;
pub(crate) use planner::Planner;
pub(crate) use population::Population;
pub(crate) use rebase::{MovedPath, Rebase};
pub(crate) use records::{FleetRecords, RecordLoss};
pub(crate) use seen::SeenTwin;
pub(crate) use twin_plan::{Action, TwinPlan};
pub(crate) use unchanged::Unchanged;

use crate::manifest::Declarations;
use iothub_model::twin::Lookup;

/// Plans what makes these twins as declared. For twins that arrive in a stream see [`Planner`].
pub fn plan(
    declarations: &Declarations,
    context: PlanContext,
    lookups: impl IntoIterator<Item = Lookup>,
    read: ReadBy,
) -> Plan {
    let mut planner = Planner::new(declarations, context);
    for lookup in lookups {
        planner.push(&lookup);
    }
    planner.finish(read)
}

#[cfg(test)]
mod tests;
