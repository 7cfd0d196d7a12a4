//! What a plan leads to and what its selectors found, as version 1 of the plan file has it; frozen. `--format json` writes the
//! same.
//!
//! Apply does nothing by it but to refuse what does not converge and what fails checks: it is there to be shown.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::checks_v1::SeverityV1;
use super::origin_v1::OriginV1;
use crate::check::Difference;
use crate::manifest::{FleetName, Selection};
use crate::plan::impact::cost::to_millis;
use crate::plan::{Cost, Divergence, Forecast, Impact, Prediction, SharedPath, Spent, Writer};
use iothub_model::twin::{TwinId, TwinPath};

/// What a selector found.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SelectionV1 {
    name: Arc<str>,
    condition: String,
    /// Sorted.
    ids: Vec<TwinId>,
    origin: OriginV1,
}

impl SelectionV1 {
    pub(crate) fn of(selection: &Selection) -> Self {
        let Selection { name, condition, ids, origin } = selection;
        Self { name: name.clone(), condition: condition.clone(), ids: ids.clone(), origin: OriginV1::of(origin) }
    }

    pub(super) fn into_selection(self) -> Selection {
        let Self { name, condition, ids, origin } = self;
        Selection { name, condition, ids, origin: origin.into_origin() }
    }
}

/// What the plan leads to. Lists that are empty are left out.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct OutlookV1 {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    predictions: Vec<PredictionV1>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    writers: Vec<WriterV1>,
    /// What could not be found out about others who write.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    unread: Vec<String>,
    /// Selections that the plan would alter.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    diverging: Vec<DivergenceV1>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cost: Option<CostV1>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PredictionV1 {
    name: String,
    query: String,
    severity: SeverityV1,
    forecast: ForecastV1,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", deny_unknown_fields, rename_all = "kebab-case")]
enum ForecastV1 {
    // With braces, so that what it has beside its kind is refused.
    WillHold {},
    WillFail {
        difference: DifferenceV1,
    },
    #[serde(rename_all = "camelCase")]
    DependsOnDevices {
        reads: Vec<String>,
        /// Left out when it would hold if the devices stayed as they are.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        as_it_is: Option<DifferenceV1>,
    },
    Unknown {
        reason: String,
    },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DifferenceV1 {
    summary: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    details: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    devices: Vec<String>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", deny_unknown_fields, rename_all = "kebab-case")]
enum WriterV1 {
    Configuration { id: String, priority: i64, condition: String, paths: Vec<SharedPathV1>, twins: Vec<TwinId> },
    Fleet { fleet: FleetName, revisions: Vec<String>, twins: u64, paths: Vec<TwinPath> },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SharedPathV1 {
    declared: TwinPath,
    theirs: TwinPath,
    agree: bool,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct DivergenceV1 {
    selector: String,
    origin: OriginV1,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path: Option<TwinPath>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    altered_by: Option<OriginV1>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    leaving: Vec<TwinId>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    joining: Vec<TwinId>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CostV1 {
    tier: String,
    read: SpentV1,
    apply: Vec<StrategyV1>,
    notifications: u64,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SpentV1 {
    requests: u64,
    messages: u64,
    /// To a tenth.
    seconds: f64,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StrategyV1 {
    strategy: String,
    spent: SpentV1,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    remark: Option<String>,
}

impl DifferenceV1 {
    fn of(difference: &Difference) -> Self {
        let Difference { summary, details, devices } = difference.clone();
        Self { summary, details, devices }
    }

    fn into_difference(self) -> Difference {
        let Self { summary, details, devices } = self;
        Difference { summary, details, devices }
    }
}

impl SpentV1 {
    fn of(spent: &Spent) -> Self {
        let Spent { requests, messages, seconds } = *spent;
        Self { requests, messages, seconds: to_millis(seconds) }
    }

    fn into_spent(self) -> Spent {
        let Self { requests, messages, seconds } = self;
        Spent { requests, messages, seconds }
    }
}

impl OutlookV1 {
    pub(crate) fn of(impact: &Impact) -> Self {
        let Impact { predictions, writers, unread, diverging, cost } = impact;
        Self {
            predictions: predictions.iter().map(PredictionV1::of).collect(),
            writers: writers.iter().map(WriterV1::of).collect(),
            unread: unread.clone(),
            diverging: diverging.iter().map(DivergenceV1::of).collect(),
            cost: cost.as_ref().map(CostV1::of),
        }
    }

    pub(super) fn into_impact(self) -> Impact {
        let Self { predictions, writers, unread, diverging, cost } = self;
        Impact {
            predictions: predictions.into_iter().map(PredictionV1::into_prediction).collect(),
            writers: writers.into_iter().map(WriterV1::into_writer).collect(),
            unread,
            diverging: diverging.into_iter().map(DivergenceV1::into_divergence).collect(),
            cost: cost.map(CostV1::into_cost),
        }
    }
}

impl PredictionV1 {
    fn of(prediction: &Prediction) -> Self {
        let Prediction { name, query, severity, forecast } = prediction;
        let forecast = match forecast {
            Forecast::WillHold => ForecastV1::WillHold {},
            Forecast::WillFail(difference) => ForecastV1::WillFail { difference: DifferenceV1::of(difference) },
            Forecast::DependsOnDevices { reads, as_it_is } => {
                ForecastV1::DependsOnDevices { reads: reads.clone(), as_it_is: as_it_is.as_ref().map(DifferenceV1::of) }
            }
            Forecast::Unknown(reason) => ForecastV1::Unknown { reason: reason.clone() },
        };
        Self { name: name.clone(), query: query.clone(), severity: (*severity).into(), forecast }
    }

    fn into_prediction(self) -> Prediction {
        let Self { name, query, severity, forecast } = self;
        let forecast = match forecast {
            ForecastV1::WillHold {} => Forecast::WillHold,
            ForecastV1::WillFail { difference } => Forecast::WillFail(difference.into_difference()),
            ForecastV1::DependsOnDevices { reads, as_it_is } => {
                Forecast::DependsOnDevices { reads, as_it_is: as_it_is.map(DifferenceV1::into_difference) }
            }
            ForecastV1::Unknown { reason } => Forecast::Unknown(reason),
        };
        Prediction { name, query, severity: severity.into(), forecast }
    }
}

impl WriterV1 {
    fn of(writer: &Writer) -> Self {
        match writer.clone() {
            Writer::Configuration { id, priority, condition, paths, twins } => {
                let shared = |SharedPath { declared, theirs, agree }| SharedPathV1 { declared, theirs, agree };
                Self::Configuration { id, priority, condition, paths: paths.into_iter().map(shared).collect(), twins }
            }
            Writer::Fleet { fleet, revisions, twins, paths } => {
                Self::Fleet { fleet, revisions, twins: twins as u64, paths }
            }
        }
    }

    fn into_writer(self) -> Writer {
        match self {
            Self::Configuration { id, priority, condition, paths, twins } => {
                let shared = |SharedPathV1 { declared, theirs, agree }| SharedPath { declared, theirs, agree };
                Writer::Configuration { id, priority, condition, paths: paths.into_iter().map(shared).collect(), twins }
            }
            Self::Fleet { fleet, revisions, twins, paths } => {
                Writer::Fleet { fleet, revisions, twins: usize::try_from(twins).unwrap_or(usize::MAX), paths }
            }
        }
    }
}

impl DivergenceV1 {
    fn of(divergence: &Divergence) -> Self {
        let Divergence { selector, origin, altered_by, path, leaving, joining } = divergence;
        Self {
            selector: selector.clone(),
            origin: OriginV1::of(origin),
            path: path.clone(),
            altered_by: altered_by.as_ref().map(OriginV1::of),
            leaving: leaving.clone(),
            joining: joining.clone(),
        }
    }

    fn into_divergence(self) -> Divergence {
        let Self { selector, origin, path, altered_by, leaving, joining } = self;
        let (origin, altered_by) = (origin.into_origin(), altered_by.map(OriginV1::into_origin));
        Divergence { selector, origin, altered_by, path, leaving, joining }
    }
}

impl CostV1 {
    fn of(cost: &Cost) -> Self {
        let Cost { tier, read, apply, notifications } = cost;
        let patch = |spent: &Spent| StrategyV1 { strategy: PATCH.to_owned(), spent: SpentV1::of(spent), remark: None };
        Self {
            tier: tier.clone(),
            read: SpentV1::of(read),
            apply: apply.iter().map(patch).collect(),
            notifications: *notifications,
        }
    }

    fn into_cost(self) -> Cost {
        let Self { tier, read, apply, notifications } = self;
        // Earlier releases wrote what it would cost in ways that cannot be chosen.
        let patch = apply.into_iter().find(|way| way.strategy == PATCH);
        Cost { tier, read: read.into_spent(), apply: patch.map(|way| way.spent.into_spent()), notifications }
    }
}

/// How a plan is applied: a patch for each twin.
const PATCH: &str = "patch";
