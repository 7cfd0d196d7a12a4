//! What a command answers to a plan that is refused: why, and the commands that lead on.

use super::command_line::CommandLine;
use super::outcome::CliError;
use crate::digest::{Digest, DigestPrefix};
use crate::plan::{Guard, PlanRefusal};
use crate::render::number::counted;
use iothub_model::twin::TwinId;

/// Commands that lead on from a refused plan, where they are known.
#[derive(Default)]
pub(super) struct Ways {
    /// The command that was refused, without what it expects or approves.
    pub(super) again: Option<CommandLine>,
    /// The one that plans.
    pub(super) plan: Option<CommandLine>,
}

impl From<PlanRefusal> for CliError {
    fn from(refusal: PlanRefusal) -> Self {
        Self::refused_plan(&refusal, &Ways::default())
    }
}

impl CliError {
    /// Says why a plan is refused, and how to go on. In short: the plan, which says all of it, has just been shown.
    pub(super) fn refused_plan(refusal: &PlanRefusal, ways: &Ways) -> Self {
        let again = |option: &str| match &ways.again {
            Some(command) => format!(": {}", command.in_hint(option)),
            None => format!(": {option}"),
        };
        let plan = || ways.plan.as_ref().map(|command| format!(": {}", command.in_hint(""))).unwrap_or_default();
        let error = match refusal {
            PlanRefusal::Conflicts { twins, .. } => {
                Self::new(format!("the plan is refused: {} in conflict", counted(*twins, "twin")))
            }
            PlanRefusal::Missing { ids } => {
                let declared = format!("declared {}", TwinId::kind_of_all(ids));
                Self::new(format!("the plan is refused: the hub lacks {}", counted(ids.len(), &declared)))
            }
            PlanRefusal::Rollout { .. } => Self::new(format!("the plan is refused: {refusal}"))
                .hint(format!("to write all twins at once{}", again("--ignore-rollout"))),
            PlanRefusal::Diverges { .. } => Self::new(refusal.to_string())
                .hint("a selector has to ask for what the manifest does not write: let one of the two places go"),
            PlanRefusal::Guarded { guards, digest } => {
                let approve = format!("--approve {}", digest.short());
                Self::new(format!("the plan is refused:{}", list(guards)))
                    .hint(format!("if this is what is wanted, let just this plan pass{}", again(&approve)))
            }
            PlanRefusal::OtherApproved { given, digest, guards } if guards.is_empty() => {
                Self::other_plan("--approve", "approved", given, digest).hint(review(&plan()))
            }
            PlanRefusal::OtherApproved { given, digest, guards } => {
                let approve = format!("--approve {}", digest.short());
                Self::new(format!("the plan is refused:{}", list(guards))).hint(format!(
                    "--approve {given} is of another plan; once this one has been reviewed{}",
                    again(&approve)
                ))
            }
            PlanRefusal::OtherReviewed { given, digest } => {
                Self::other_plan("--expect", "reviewed", given, digest).hint(review(&plan()))
            }
            // As when a saved plan is applied.
            PlanRefusal::ChangedSince { .. } => {
                return Self::new(format!("conflict: {refusal}; nothing was changed"))
                    .conflicts()
                    .hint(format!("review the plan over what is there now{}", plan()));
            }
            PlanRefusal::OtherHub { .. } => {
                Self::new(refusal.to_string()).hint("the manifest's `hub` guards against the wrong hub: look at both")
            }
            // Not for the plan, but for how it was given.
            PlanRefusal::Withheld { .. } => {
                return Self::new(refusal.to_string()).hint(
                    "give the manifests that the plan was made from, and what they take from the environment: --manifest PATH",
                );
            }
        };
        error.refused()
    }

    /// Says that an option names another plan.
    fn other_plan(option: &str, done: &str, given: &DigestPrefix, digest: &Digest) -> Self {
        let digest = digest.short();
        Self::new(format!(
            "the plan is refused: it is {digest}, and {option} says that {given} was {done}; nothing was changed"
        ))
    }
}

/// Says what to do about a plan that is not the one that was reviewed.
fn review(plan: &str) -> String {
    format!("twins or manifests changed since the review; review the plan of now{plan}")
}

/// Guards on a line each, where there are several.
fn list(guards: &[Guard]) -> String {
    match guards {
        [guard] => format!(" {guard}"),
        guards => guards.iter().map(|guard| format!("\n  {guard}")).collect(),
    }
}
