//! What of a manifest's policy goes with a plan, in version 1 of the plan file: what apply must still know. What is exact, moved
//! or released has been decided by then.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::origin_v1::OriginV1;
use super::words::words;
use crate::manifest::{Amount, Limits, OnFailure, Policy, Rollout, Sensitive};
use crate::plan::population::{Emptied, EmptiedKind, Population};
use iothub_model::twin::TwinPath;

#[derive(Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct PolicyV1 {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    sensitive: Vec<TwinPath>,
    #[serde(default, skip_serializing_if = "LimitsV1::is_empty")]
    limits: LimitsV1,
    #[serde(default, skip_serializing_if = "RolloutV1::is_default")]
    rollout: RolloutV1,
}

#[derive(Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct LimitsV1 {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_changed: Option<AmountV1>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_removed_keys: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    min_population: Option<u64>,
}

#[derive(Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct RolloutV1 {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    waves: Vec<AmountV1>,
    /// Milliseconds.
    #[serde(default)]
    pause_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_failed: Option<u64>,
    #[serde(default)]
    on_failure: OnFailureV1,
}

/// `{ "count": 20 }` or `{ "percent": 2.5 }`.
#[derive(Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum AmountV1 {
    Count(u64),
    Percent(f64),
}

words!(OnFailureV1 for OnFailure { Stop = "stop", Rollback = "rollback" });

impl Default for OnFailureV1 {
    fn default() -> Self {
        OnFailure::default().into()
    }
}

impl PolicyV1 {
    pub(super) fn of(policy: &Policy) -> Self {
        let Policy { exact: _, sensitive, limits, moved: _, released: _, rollout } = policy;
        let Limits { max_changed, max_removed_keys, min_population } = limits;
        let Rollout { waves, pause, max_failed, on_failure } = rollout;
        Self {
            sensitive: sensitive.paths().to_vec(),
            limits: LimitsV1 {
                max_changed: max_changed.map(AmountV1::of),
                max_removed_keys: *max_removed_keys,
                min_population: *min_population,
            },
            rollout: RolloutV1 {
                waves: waves.iter().copied().map(AmountV1::of).collect(),
                pause_ms: u64::try_from(pause.as_millis()).unwrap_or(u64::MAX),
                max_failed: *max_failed,
                on_failure: (*on_failure).into(),
            },
        }
    }

    pub(super) fn sensitive(&self) -> Sensitive {
        Sensitive::new(self.sensitive.clone())
    }

    pub(super) fn into_policy(self) -> Policy {
        let Self { sensitive, limits, rollout } = self;
        let LimitsV1 { max_changed, max_removed_keys, min_population } = limits;
        let RolloutV1 { waves, pause_ms, max_failed, on_failure } = rollout;
        Policy {
            sensitive: Sensitive::new(sensitive),
            limits: Limits { max_changed: max_changed.map(AmountV1::into_amount), max_removed_keys, min_population },
            rollout: Rollout {
                waves: waves.into_iter().map(AmountV1::into_amount).collect(),
                pause: Duration::from_millis(pause_ms),
                max_failed,
                on_failure: on_failure.into(),
            },
            ..Policy::default()
        }
    }
}

impl LimitsV1 {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl RolloutV1 {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl AmountV1 {
    fn of(amount: Amount) -> Self {
        match amount {
            Amount::Count(count) => Self::Count(count),
            Amount::Percent(percent) => Self::Percent(percent),
        }
    }

    fn into_amount(self) -> Amount {
        match self {
            Self::Count(count) => Amount::Count(count),
            Self::Percent(percent) => Amount::Percent(percent),
        }
    }
}

#[derive(PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PopulationV1 {
    devices: u64,
    twins: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    unlisted: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    uprooted: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    emptied: Vec<EmptiedV1>,
}

#[derive(PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EmptiedV1 {
    kind: EmptiedKindV1,
    name: Arc<str>,
    twins: u64,
    origin: OriginV1,
}

words!(EmptiedKindV1 for EmptiedKind { Group = "group", Inventory = "inventory", Selector = "selector" });

impl PopulationV1 {
    pub(super) fn of(population: &Population) -> Self {
        let Population { devices, twins, unlisted, uprooted, emptied } = population;
        let emptied = emptied.iter().map(|Emptied { kind, name, twins, origin }| EmptiedV1 {
            kind: (*kind).into(),
            name: name.clone(),
            twins: *twins as u64,
            origin: OriginV1::of(origin),
        });
        Self {
            devices: *devices as u64,
            twins: *twins as u64,
            unlisted: *unlisted as u64,
            uprooted: *uprooted as u64,
            emptied: emptied.collect(),
        }
    }

    pub(super) fn into_population(self) -> Population {
        let Self { devices, twins, unlisted, uprooted, emptied } = self;
        let emptied = emptied.into_iter().map(|EmptiedV1 { kind, name, twins, origin }| Emptied {
            kind: kind.into(),
            name,
            twins: whole(twins),
            origin: origin.into_origin(),
        });
        Population {
            devices: whole(devices),
            twins: whole(twins),
            unlisted: whole(unlisted),
            uprooted: whole(uprooted),
            emptied: emptied.collect(),
        }
    }
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

fn whole(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}
