//! What must hold before a plan may be applied, and the one way to an [`ApprovedPlan`].

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use super::change::PlannedChange;
use super::population::{EmptiedKind, Population};
use super::rebase::becomes_object;
use super::review::Reviewed;
use super::twin_plan::{Action, TwinPlan};
use super::{Divergence, Plan, Verdict};
use crate::digest::{Digest, DigestPrefix};
use crate::manifest::{Amount, Declarations, Origin};
use crate::plural::plural;
use iothub_model::twin::{HubHost, TwinId, TwinPath};

/// That somebody agreed to a plan. There is no value of this type for "no".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Consent {
    /// `--yes`.
    Flag,
    /// A yes on the terminal, to the plan as it was shown.
    Answer,
}

/// Why a plan may not be applied, or not even be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanRefusal {
    /// Some twins have conflicts.
    #[error("{twins} {} {conflicts} {}, and nothing is sent while there is any: {}",
        plural(*twins, "twin has"), plural(*conflicts, "conflict"), NamedTwins { ids: first, all: *twins })]
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
        kind(ids), NamedTwins { ids, all: ids.len() })]
    Missing {
        /// All of them, sorted.
        ids: Vec<TwinId>,
    },
    /// The manifest asks for a rollout, and nobody said that it is to be ignored.
    #[error("the manifest asks for a rollout ({}), and this version of twinctl does not carry it out: it would write all twins at once and run the \
        checks at the end", asked.join(", "))]
    Rollout {
        /// What it asks for, as in `rollout.waves`.
        asked: Vec<&'static str>,
    },
    /// The plan would alter what the manifest's own selectors find.
    #[error("the plan is refused: {}", DivergenceList(all))]
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
    /// Guards stand in the way, which somebody may approve for this one plan.
    #[error("{}", Listed(guards))]
    Guarded {
        /// Why, at least once.
        guards: Vec<Guard>,
        /// The plan's review digest, a prefix of which approves it.
        digest: Digest,
    },
    /// Another plan was approved.
    #[error("the approval is of a plan whose digest starts with {given}, and this plan has {digest}{}{}",
        if guards.is_empty() { "" } else { "; " }, Listed(guards))]
    OtherApproved {
        /// What was approved.
        given: DigestPrefix,
        /// The plan's review digest.
        digest: Digest,
        /// Why the plan needs approval; empty where it needs none.
        guards: Vec<Guard>,
    },
    /// Another plan was reviewed.
    #[error("the plan that was reviewed has a digest that starts with {given}, and this plan has {digest}")]
    OtherReviewed {
        /// What was reviewed.
        given: DigestPrefix,
        /// The plan's review digest.
        digest: Digest,
    },
    /// The plan that was reviewed or approved sends the same, and what is there has changed since.
    #[error("values changed since the review: the digest {given} is of the same patches over other values, and this plan has {}{}",
        digest.short(), OverwrittenPaths { paths: written, all: *all })]
    ChangedSince {
        /// What was reviewed.
        given: DigestPrefix,
        /// The plan's review digest.
        digest: Digest,
        /// The first few paths whose live value is not the one that this fleet applied last, as far as the records tell.
        written: Vec<(TwinId, TwinPath)>,
        /// How many such paths there are.
        all: usize,
    },
    /// The plan comes from a file, which holds no sensitive values, and they were not put in.
    #[error("the plan sets {path} of {id}, which is sensitive: its file holds the path alone")]
    Withheld {
        /// One of the twins.
        id: TwinId,
        /// One of the paths.
        path: TwinPath,
    },
}

/// Why a plan is not applied unless somebody approves just this one.
#[derive(Clone, Debug, PartialEq)]
pub enum Guard {
    /// It changes more twins than the manifest's limits allow.
    MaxChanged {
        /// How many it changes or releases.
        changed: usize,
        /// Of how many that are on the hub, and are declared or carry the record.
        all: usize,
        /// The limit.
        limit: Amount,
    },
    /// It removes more keys than the manifest's limits allow.
    MaxRemovedKeys {
        /// How many, over all twins.
        removed: usize,
        /// The limit.
        limit: u64,
    },
    /// Fewer devices are declared than the manifest's limits ask for.
    MinPopulation {
        /// How many are.
        devices: usize,
        /// The limit.
        limit: u64,
    },
    /// No device is declared any more, and some are released.
    EmptyFleet {
        /// How many.
        released: usize,
    },
    /// No device is written down any more, and some that were are released, while selectors still find others.
    NoneListed {
        /// How many are released.
        released: usize,
        /// How many the selectors find.
        selected: usize,
    },
    /// No declared twin carries the fleet's record, and all that do are released.
    NoneStays {
        /// How many are released.
        released: usize,
        /// How many twins are declared.
        declared: usize,
    },
    /// A group has no device any more, and many twins lose what it gave them.
    EmptyGroup {
        /// Its name.
        group: Arc<str>,
        /// How many.
        twins: usize,
        /// Where in the manifest.
        origin: Origin,
    },
    /// The table of an inventory has no rows any more, and many twins leave the fleet.
    EmptyInventory {
        /// The table.
        table: Arc<str>,
        /// How many.
        twins: usize,
        /// Where in the manifest.
        origin: Origin,
    },
    /// A selector finds no device any more, and many twins leave the fleet.
    EmptySelector {
        /// Its name.
        selector: Arc<str>,
        /// How many.
        twins: usize,
        /// Where in the manifest.
        origin: Origin,
    },
}

/// There is no amount that is not a number.
impl Eq for Guard {}

impl Guard {
    /// Returns the word that names the guard in machine formats.
    pub fn name(&self) -> &'static str {
        match self {
            Self::MaxChanged { .. } => "max-changed",
            Self::MaxRemovedKeys { .. } => "max-removed-keys",
            Self::MinPopulation { .. } => "min-population",
            Self::EmptyFleet { .. } | Self::NoneListed { .. } | Self::NoneStays { .. } => "empty-fleet",
            Self::EmptyGroup { .. } => "empty-group",
            Self::EmptyInventory { .. } => "empty-inventory",
            Self::EmptySelector { .. } => "empty-selector",
        }
    }
}

impl fmt::Display for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MaxChanged { changed, all, limit } => {
                write!(f, "{changed} of {all} {} changed", plural(*all, "twin is"))?;
                match limit {
                    Amount::Count(most) => write!(f, ", and `max_changed` allows {most}"),
                    Amount::Percent(most) => {
                        let share = percent(*changed, *all);
                        // So that 20.4 is not shown as 20 % over a limit of 20 %.
                        let digits = if share.round() == most.round() { 1 } else { 0 };
                        write!(f, " ({share:.digits$}%), and `max_changed` allows {most}%")
                    }
                }
            }
            Self::MaxRemovedKeys { removed, limit } => {
                let keys = plural(*removed, "key is");
                write!(f, "{removed} {keys} removed, and `max_removed_keys` allows {limit}")
            }
            Self::MinPopulation { devices, limit } => {
                let devices_are = plural(*devices, "device is");
                write!(f, "{devices} {devices_are} declared, and `min_population` asks for {limit}")
            }
            Self::EmptyFleet { released } => {
                let twins = plural(*released, "twin");
                write!(
                    f,
                    "no device is declared any more, and {released} {twins} that this fleet owns would be released"
                )
            }
            Self::NoneListed { released, selected } => {
                let twins = plural(*released, "twin");
                write!(
                    f,
                    "no device is written down any more (selectors alone find {selected}), and {released} {twins} that this fleet \
                     owns would be released"
                )
            }
            Self::NoneStays { released, declared } => {
                let (owned, twins) = (plural(*released, "twin"), plural(*declared, "twin"));
                write!(
                    f,
                    "no twin that this fleet was applied to stays in it: {released} {owned} that it owns would be released, and the \
                     {declared} declared {twins} would be new"
                )
            }
            Self::EmptyGroup { group, twins, origin } => {
                write!(
                    f,
                    "the group {group} ({origin}) has no device any more, and {twins} twins lose what it gave them"
                )
            }
            Self::EmptyInventory { table, twins, origin } => {
                write!(f, "the inventory {table} ({origin}) has no rows, and {twins} twins leave the fleet")
            }
            Self::EmptySelector { selector, twins, origin } => {
                write!(f, "the selector {selector} ({origin}) finds no device, and {twins} twins leave the fleet")
            }
        }
    }
}

/// Guards one after the other.
struct Listed<'g>(&'g [Guard]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, guard) in self.0.iter().enumerate() {
            write!(f, "{}{guard}", if index > 0 { "; " } else { "" })?;
        }
        Ok(())
    }
}

fn percent(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { 100.0 * part as f64 / whole as f64 }
}

impl PlanRefusal {
    /// Returns the word that names it in machine formats; of guards, each has its own.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Conflicts { .. } => "conflicts",
            Self::Missing { .. } => "missing",
            Self::Rollout { .. } => "rollout",
            Self::Diverges { .. } => "diverges",
            Self::OtherHub { .. } => "other-hub",
            Self::Guarded { .. } => "guarded",
            Self::OtherApproved { .. } => "other-approved",
            Self::OtherReviewed { .. } => "other-reviewed",
            Self::ChangedSince { .. } => "changed-since-review",
            Self::Withheld { .. } => "withheld",
        }
    }
}

struct DivergenceList<'d>(&'d [Divergence]);

impl fmt::Display for DivergenceList<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Divergence { selector, origin, altered_by, path, leaving, joining }) in self.0.iter().enumerate() {
            write!(f, "{}the selector {selector} ({origin})", if index > 0 { "; " } else { "" })?;
            let mut some = false;
            for (verb, ids) in [("would lose", leaving), ("would gain", joining)] {
                if !ids.is_empty() {
                    write!(f, "{} {verb} {}", if some { " and" } else { "" }, NamedTwins { ids, all: ids.len() })?;
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

struct NamedTwins<'i> {
    ids: &'i [TwinId],
    all: usize,
}

impl fmt::Display for NamedTwins<'_> {
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

/// Paths whose value is not the one that this fleet applied last.
struct OverwrittenPaths<'p> {
    paths: &'p [(TwinId, TwinPath)],
    all: usize,
}

impl fmt::Display for OverwrittenPaths<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.paths.is_empty() {
            return Ok(());
        }
        f.write_str("; the live value is not the one that this fleet applied last at ")?;
        for (index, (id, path)) in self.paths.iter().enumerate() {
            write!(f, "{}{path} of {id}", if index > 0 { ", " } else { "" })?;
        }
        if let more @ 1.. = self.all.saturating_sub(self.paths.len()) {
            write!(f, " and {more} more")?;
        }
        f.write_str("; what changed is there or at other paths of the plan")
    }
}

fn kind(ids: &[TwinId]) -> String {
    match TwinId::kind_of_all(ids) {
        "module" => plural(ids.len(), "module"),
        "device" => plural(ids.len(), "device"),
        _ => "twins".to_owned(),
    }
}

/// Refuses a hub that is not the one that the manifest names. To be asked before anything is read from it.
pub(crate) fn check_hub(declarations: &Declarations, hub: &HubHost) -> Result<(), PlanRefusal> {
    match &declarations.hub {
        Some(declared) if declared != hub => {
            Err(PlanRefusal::OtherHub { declared: declared.clone(), given: hub.clone() })
        }
        _ => Ok(()),
    }
}

/// Returns all that stands in a plan's way: missing devices, conflicts, and what may be approved.
pub(crate) fn refusals(plan: &Plan) -> Vec<PlanRefusal> {
    let missing = plan.twins.iter().filter(|twin| twin.action == Action::Missing);
    let ids: Vec<TwinId> = missing.map(|twin| twin.id.clone()).collect();
    let mut found = Vec::new();
    let asked = plan.not_carried_out();
    if !asked.is_empty() && !plan.ignores_rollout {
        found.push(PlanRefusal::Rollout { asked });
    }
    if !ids.is_empty() {
        found.push(PlanRefusal::Missing { ids });
    }
    if !plan.impact.diverging.is_empty() {
        found.push(PlanRefusal::Diverges { all: plan.impact.diverging.clone() });
    }
    let conflicting: Vec<_> = plan.twins.iter().filter(|twin| !twin.conflicts.is_empty()).collect();
    if !conflicting.is_empty() {
        found.push(PlanRefusal::Conflicts {
            twins: conflicting.len(),
            conflicts: conflicting.iter().map(|twin| twin.conflicts.len()).sum(),
            first: conflicting.iter().take(NAMED).map(|twin| twin.id.clone()).collect(),
        });
    }
    let guards = guards(plan);
    if !guards.is_empty() {
        found.push(PlanRefusal::Guarded { guards, digest: plan.review_digest() });
    }
    found
}

/// Finds what of a plan is more, or less, than the manifest's limits and good sense allow.
fn guards(plan: &Plan) -> Vec<Guard> {
    let mut found = Vec::new();
    let sent = || plan.twins.iter().filter(|twin| twin.is_sent());
    let limits = &plan.policy.limits;
    let count = |actions: &[Action]| plan.twins.iter().filter(|twin| actions.contains(&twin.action)).count();
    let absent = count(&[Action::Register, Action::Missing, Action::Skip]);
    let changed = sent().filter(|twin| is_changed(twin)).count();
    let all = (plan.population.twins + count(&[Action::Release])).saturating_sub(absent);
    if let Some(limit) = limits.max_changed {
        let is_within = match limit {
            Amount::Count(most) => changed as u64 <= most,
            Amount::Percent(most) => percent(changed, all) <= most,
        };
        if !is_within {
            found.push(Guard::MaxChanged { changed, all, limit });
        }
    }
    let removed = sent().map(removed_keys).sum();
    if let Some(limit) = limits.max_removed_keys.filter(|&most| removed as u64 > most) {
        found.push(Guard::MaxRemovedKeys { removed, limit });
    }
    let devices = plan.population.devices;
    if let Some(limit) = limits.min_population.filter(|&least| (devices as u64) < least) {
        found.push(Guard::MinPopulation { devices, limit });
    }
    let Population { twins: declared, unlisted, uprooted, .. } = plan.population;
    let released = sent().filter(|twin| twin.action == Action::Release).count();
    if devices == 0 && released > 0 {
        found.push(Guard::EmptyFleet { released });
    } else if unlisted > 0 {
        found.push(Guard::NoneListed { released: unlisted, selected: devices });
    } else if uprooted > 0 {
        found.push(Guard::NoneStays { released: uprooted, declared });
    }
    found.extend(plan.population.emptied.iter().cloned().map(|emptied| {
        let (name, twins, origin) = (emptied.name, emptied.twins, emptied.origin);
        match emptied.kind {
            EmptiedKind::Group => Guard::EmptyGroup { group: name, twins, origin },
            EmptiedKind::Inventory => Guard::EmptyInventory { table: name, twins, origin },
            EmptiedKind::Selector => Guard::EmptySelector { selector: name, twins, origin },
        }
    }));
    found
}

/// Returns `true` if a twin on the hub loses a value, gets one or gets another: a new record alone changes nothing for anybody else.
fn is_changed(twin: &TwinPlan) -> bool {
    match twin.action {
        Action::Release => true,
        Action::Update => twin.changes.iter().any(|change| change.verdict.touches_value()),
        Action::Register | Action::Missing | Action::Skip => false,
    }
}

/// Counts the keys that go from a twin. A rename takes none away, nor does a scalar that gives way to an object of its name.
fn removed_keys(twin: &TwinPlan) -> usize {
    let goes = |change: &&PlannedChange| {
        change.before.has_value()
            && !change.after.has_value()
            && change.verdict != Verdict::Moved
            && !becomes_object(&twin.changes, change)
    };
    twin.changes.iter().filter(goes).count()
}

/// Says why a plan may not be applied as it is: what comes first of [`refusals`].
pub(crate) fn check(plan: &Plan) -> Result<(), PlanRefusal> {
    refusals(plan).into_iter().next().map_or(Ok(()), Err)
}

/// Says why a plan may not be applied, before anybody is asked for consent. What guards refuse may have been approved, by the
/// first digits of this one plan's review digest; what is missing or in conflict cannot be. An approval is of one plan, so any other
/// plan is refused, whether it needs approval or not; one with nothing to do is let pass, as by [`check_reviewed`].
pub(crate) fn check_approved(plan: &Plan, approved: Option<&DigestPrefix>) -> Result<(), PlanRefusal> {
    let guards = match check(plan) {
        Ok(()) => Vec::new(),
        Err(PlanRefusal::Guarded { guards, .. }) => guards,
        Err(refusal) => return Err(refusal),
    };
    let Some(given) = approved else {
        let digest = (!guards.is_empty()).then(|| plan.review_digest());
        return match digest {
            Some(digest) if plan.approval.as_ref() != Some(&digest) => Err(PlanRefusal::Guarded { guards, digest }),
            _ => Ok(()),
        };
    };
    if plan.is_empty() {
        return Ok(());
    }
    match plan.compared_with(given) {
        Reviewed::Same => Ok(()),
        Reviewed::Moved => Err(changed_since(plan, given, plan.review_digest())),
        Reviewed::Other => {
            Err(PlanRefusal::OtherApproved { given: given.clone(), digest: plan.review_digest(), guards })
        }
    }
}

/// Keeps in the plan that it was approved, if `approved` is of this plan and guards stand in its way: whoever applies it from a file
/// need not approve it again.
pub(crate) fn keep_approval(plan: &mut Plan, approved: Option<&DigestPrefix>) {
    let is_guarded = matches!(check(plan), Err(PlanRefusal::Guarded { .. }));
    plan.approval = match approved {
        Some(approved) if is_guarded && plan.compared_with(approved) == Reviewed::Same => Some(plan.review_digest()),
        _ => None,
    };
}

/// Refuses a plan that is not the one that was reviewed. One with nothing to do is let pass: somebody has applied it.
pub(crate) fn check_reviewed(plan: &Plan, reviewed: &DigestPrefix) -> Result<(), PlanRefusal> {
    if plan.is_empty() {
        return Ok(());
    }
    match plan.compared_with(reviewed) {
        Reviewed::Same => Ok(()),
        Reviewed::Moved => Err(changed_since(plan, reviewed, plan.review_digest())),
        Reviewed::Other => Err(PlanRefusal::OtherReviewed { given: reviewed.clone(), digest: plan.review_digest() }),
    }
}

/// Names the paths whose value is not the one that this fleet applied last. Whether these changed since the review, or others did, is
/// not known: a digest does not tell.
fn changed_since(plan: &Plan, given: &DigestPrefix, digest: Digest) -> PlanRefusal {
    use Verdict::{Drift, EditOverDrift, Overwrite, RemovedOverDrift, Undeclared};
    let is_written = |change: &&PlannedChange| {
        matches!(change.verdict, Drift | EditOverDrift | RemovedOverDrift | Overwrite | Undeclared)
    };
    let sent = || plan.twins.iter().filter(|twin| twin.is_sent());
    let written =
        || sent().flat_map(|twin| twin.changes.iter().filter(is_written).map(|change| (&twin.id, &change.path)));
    PlanRefusal::ChangedSince {
        given: given.clone(),
        digest,
        written: written().take(NAMED).map(|(id, path)| (id.clone(), path.clone())).collect(),
        all: written().count(),
    }
}

/// A plan that passed the guards and that somebody agreed to. Made by [`approve`] alone.
#[derive(Clone, Debug)]
pub(crate) struct ApprovedPlan {
    plan: Plan,
}

/// Lets a plan pass to which somebody agreed, or says why not. For `approved` see [`check_approved`].
pub(crate) fn approve(plan: Plan, _: Consent, approved: Option<&DigestPrefix>) -> Result<ApprovedPlan, PlanRefusal> {
    check_approved(&plan, approved)?;
    if let Some((id, path)) = plan.first_redacted() {
        return Err(PlanRefusal::Withheld { id, path });
    }
    Ok(ApprovedPlan { plan })
}

impl Deref for ApprovedPlan {
    type Target = Plan;

    fn deref(&self) -> &Plan {
        &self.plan
    }
}
