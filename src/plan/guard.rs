//! What must hold before a plan may be applied, and the one way to an [`ApprovedPlan`].

use std::fmt;
use std::ops::Deref;

use super::twin_plan::Action;
use super::{Divergence, Plan};
use crate::manifest::Declarations;
use crate::twin::{HubHost, TwinId};

/// That somebody agreed to a plan. There is no value of this type for "no".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consent {
    /// `--yes`.
    Flag,
    /// A yes on the terminal, to the plan as it was shown.
    Answer,
}

/// Why a plan may not be applied, or not even be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Some twins have conflicts.
    #[error("{twins} {} {conflicts} {}, and nothing is sent while there is any: {}",
        plural(*twins, "twin has", "twins have"), plural(*conflicts, "conflict", "conflicts"), Named { ids: first, all: *twins })]
    Conflicts {
        /// How many twins.
        twins: usize,
        /// How many conflicts in all.
        conflicts: usize,
        /// The first few of these twins.
        first: Vec<TwinId>,
    },
    /// The hub lacks devices or modules that must be there.
    #[error("the hub has no {} {}; `missing: register` in the manifest creates what is missing, `missing: skip` leaves it out",
        kind(ids), Named { ids, all: ids.len() })]
    Missing {
        /// All of them, sorted.
        ids: Vec<TwinId>,
    },
    /// The plan would alter what the manifest's own selectors find.
    #[error("the plan is refused: {}", Diverging(all))]
    Diverges {
        /// All such cases.
        all: Vec<Divergence>,
    },
    /// The manifest is for another hub.
    #[error("the manifest is for the hub {declared}, and this is {given}")]
    OtherHub {
        /// What the manifest says.
        declared: HubHost,
        /// What was given.
        given: HubHost,
    },
}

struct Diverging<'d>(&'d [Divergence]);

impl fmt::Display for Diverging<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Divergence { selector, origin, altered_by, path, leaving, joining }) in self.0.iter().enumerate() {
            write!(f, "{}the selector {selector} ({origin})", if index > 0 { "; " } else { "" })?;
            let mut some = false;
            for (verb, ids) in [("would lose", leaving), ("would gain", joining)] {
                if !ids.is_empty() {
                    write!(f, "{} {verb} {}", if some { " and" } else { "" }, Named { ids, all: ids.len() })?;
                    some = true;
                }
            }
            match (path, altered_by) {
                (Some(path), Some(place)) => write!(f, " by {path} ({place})")?,
                (Some(path), None) => write!(f, " as {path} is removed")?,
                (None, _) => {}
            }
        }
        Ok(())
    }
}

/// How many twins a refusal names.
const NAMED: usize = 5;

struct Named<'i> {
    ids: &'i [TwinId],
    all: usize,
}

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, id) in self.ids.iter().take(NAMED).enumerate() {
            write!(f, "{}{id}", if index > 0 { ", " } else { "" })?;
        }
        match self.all.saturating_sub(NAMED) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

fn kind(ids: &[TwinId]) -> &'static str {
    match TwinId::kind_of_all(ids) {
        "module" => plural(ids.len(), "module", "modules"),
        "device" => plural(ids.len(), "device", "devices"),
        _ => "twins",
    }
}

fn plural(count: usize, one: &'static str, many: &'static str) -> &'static str {
    if count == 1 { one } else { many }
}

/// Refuses a hub that is not the one that the manifest names. To be asked before anything is read from it.
pub fn check_hub(declarations: &Declarations, hub: &HubHost) -> Result<(), Refusal> {
    match &declarations.hub {
        Some(declared) if declared != hub => Err(Refusal::OtherHub { declared: declared.clone(), given: hub.clone() }),
        _ => Ok(()),
    }
}

/// Says why a plan may not be applied, before anybody is asked for consent.
pub fn check(plan: &Plan) -> Result<(), Refusal> {
    let missing = plan.twins.iter().filter(|twin| twin.action == Action::Missing);
    let ids: Vec<TwinId> = missing.map(|twin| twin.id.clone()).collect();
    if !ids.is_empty() {
        return Err(Refusal::Missing { ids });
    }
    if !plan.outlook.diverging.is_empty() {
        return Err(Refusal::Diverges { all: plan.outlook.diverging.clone() });
    }
    let conflicting: Vec<_> = plan.twins.iter().filter(|twin| !twin.conflicts.is_empty()).collect();
    if !conflicting.is_empty() {
        return Err(Refusal::Conflicts {
            twins: conflicting.len(),
            conflicts: conflicting.iter().map(|twin| twin.conflicts.len()).sum(),
            first: conflicting.iter().take(NAMED).map(|twin| twin.id.clone()).collect(),
        });
    }
    Ok(())
}

/// A plan that passed the guards and that somebody agreed to. Made by [`approve`] alone.
#[derive(Clone, Debug)]
pub struct ApprovedPlan {
    plan: Plan,
    consent: Consent,
}

/// Lets a plan pass, or says why not.
pub fn approve(plan: Plan, consent: Consent) -> Result<ApprovedPlan, Refusal> {
    check(&plan)?;
    Ok(ApprovedPlan { plan, consent })
}

impl ApprovedPlan {
    /// Returns how consent was given.
    pub fn consent(&self) -> Consent {
        self.consent
    }
}

impl Deref for ApprovedPlan {
    type Target = Plan;

    fn deref(&self) -> &Plan {
        &self.plan
    }
}
