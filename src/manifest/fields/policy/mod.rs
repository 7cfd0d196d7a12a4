//! What a manifest says about how its declarations may be enforced.
//!
//! `read` takes it out of one file; `layers::merge_policies` makes one policy of all files' and holds it against what is declared.

pub(crate) mod read;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::manifest::leaf::Origin;
use iothub_model::duration;
use iothub_model::query::BoundQuery;
use iothub_model::twin::{TwinId, TwinPath};

/// How the declarations may be enforced.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Policy {
    /// Under these paths, whatever is not declared is removed. Sorted by path; none lies under another.
    pub exact: Vec<PolicyPath>,
    /// What is never printed.
    pub sensitive: Sensitive,
    /// How much one plan may change.
    pub limits: Limits,
    /// Renames, in the order of the files.
    pub moved: Vec<Moved>,
    /// What is no longer owned, and not deleted. Sorted by path; none lies under another.
    pub released: Vec<PolicyPath>,
    /// How a plan is carried out.
    pub rollout: Rollout,
}

impl Policy {
    /// Returns what is said, in the manifest's own words: each field by its path there, as in `limits.max_changed`; null where nothing is.
    pub fn settings(&self) -> [(&'static str, Value); 11] {
        let Self { exact, sensitive, limits, moved, released, rollout } = self;
        let Limits { max_changed, max_removed_keys, min_population } = limits;
        let Rollout { waves, pause, max_failed, on_failure } = rollout;
        let some = |values: Vec<Value>| if values.is_empty() { Value::Null } else { Value::Array(values) };
        let paths = |paths: &[PolicyPath]| some(paths.iter().map(|path| json!(path.path)).collect());
        let amount = |amount: &Amount| match amount {
            Amount::Count(count) => json!(count),
            Amount::Percent(percent) => json!(format!("{percent}%")),
        };
        [
            ("exact", paths(exact)),
            ("sensitive", some(sensitive.paths().iter().map(|path| json!(path)).collect())),
            ("limits.max_changed", json!(max_changed.as_ref().map(amount))),
            ("limits.max_removed_keys", json!(max_removed_keys)),
            ("limits.min_population", json!(min_population)),
            (
                "moved",
                some(moved.iter().map(|Moved { from, to, origin: _ }| json!({ "from": from, "to": to })).collect()),
            ),
            ("released", paths(released)),
            ("rollout.waves", some(waves.iter().map(amount).collect())),
            ("rollout.pause", if pause.is_zero() { Value::Null } else { duration::exact(*pause).into() }),
            ("rollout.max_failed", json!(max_failed)),
            ("rollout.on_failure", if *on_failure == OnFailure::Rollback { json!("rollback") } else { Value::Null }),
        ]
    }

    /// Returns the settings that are made and that this version of twinctl does not carry out, as in `rollout.waves`.
    pub fn not_carried_out(&self) -> Vec<&'static str> {
        let settings = self.settings().into_iter();
        settings
            .filter(|(name, value)| name.starts_with("rollout.") && !value.is_null())
            .map(|(name, _)| name)
            .collect()
    }
}

/// A path that a policy names, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyPath {
    /// Where in the twin.
    pub path: TwinPath,
    /// Where in the manifest.
    pub origin: Origin,
}

/// The paths whose values are never printed, in any output, log or plan file. Copies share them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sensitive(Arc<[TwinPath]>);

impl Sensitive {
    /// Makes it of paths, in any order.
    pub fn new(mut paths: Vec<TwinPath>) -> Self {
        paths.sort_unstable();
        paths.dedup();
        Self(paths.into())
    }

    /// Returns the paths, sorted.
    pub fn paths(&self) -> &[TwinPath] {
        &self.0
    }

    /// Returns what is sensitive in either.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        Self::new(self.0.iter().chain(&*other.0).cloned().collect())
    }

    /// Says whether nothing is sensitive.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Says whether the value at a path must not be shown: the path, one over it or one under it is sensitive. One under it
    /// counts because the value there holds the secret.
    pub fn covers(&self, path: &TwinPath) -> bool {
        self.0.iter().any(|sensitive| sensitive.overlaps(path))
    }
}

/// How much one plan may change; what is not said is not limited.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Limits {
    /// Twins that a plan may change, register or release: of those that are declared or carry the record.
    pub max_changed: Option<Amount>,
    /// Keys that a plan may remove, over all twins.
    pub max_removed_keys: Option<u64>,
    /// Declared devices that there must be.
    pub min_population: Option<u64>,
}

/// A number of twins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Amount {
    /// So many.
    Count(u64),
    /// A share of all, in percent: above 0 and up to 100.
    Percent(f64),
}

/// A rename: `from` goes and `to` comes in one patch, with the old value checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// Where it was.
    pub from: TwinPath,
    /// Where it is declared now; in the same section.
    pub to: TwinPath,
    /// Where in the manifest.
    pub origin: Origin,
}

/// How a plan is carried out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rollout {
    /// How many twins are done by the end of each wave, rising; empty for all at once.
    pub waves: Vec<Amount>,
    /// How long to wait between waves.
    pub pause: Duration,
    /// Twins that may fail before the rest is left alone; not limited when not said.
    pub max_failed: Option<u64>,
    /// What to do then.
    pub on_failure: OnFailure,
}

/// What to do about a run that failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// Leave the rest alone.
    #[default]
    Stop,
    /// Take back what this run wrote.
    Rollback,
}

/// Devices found by a query when the plan is made, and what they are declared to be.
#[derive(Clone, Debug)]
pub struct Selector {
    /// Its name, unique in the fleet.
    pub name: Arc<str>,
    /// Which device twins: `SELECT * FROM devices WHERE …`.
    pub condition: BoundQuery,
    /// Where in the manifest.
    pub origin: Origin,
}

/// What a selector found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// The selector's name.
    pub name: Arc<str>,
    /// Its condition, as written.
    pub condition: String,
    /// The devices, sorted.
    pub ids: Vec<TwinId>,
    /// Where in the manifest.
    pub origin: Origin,
}
