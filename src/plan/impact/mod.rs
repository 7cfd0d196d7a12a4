//! The effects of a plan in addition to its changes: what the checks will say, who else writes there, and what it costs.
//!
//! All of it is found out in the plan's own pass: [`ImpactObserver`] is shown each live twin with what is planned for it, holds what
//! matches and never the fleet, and says in the end what else must be asked of the hub. Read [`Impact`] first. Pure: who
//! asks is `refresh`.

pub(crate) mod cost;
mod edge;
mod forecast;
mod writers;
mod observer;

pub(crate) use forecast::Question;
pub(crate) use observer::ImpactObserver;
pub(crate) use writers::ReadConfiguration;

use crate::check::{Difference, Severity};
use crate::manifest::{FleetName, Origin};
use iothub_model::twin::{TwinId, TwinPath};

/// What a plan will lead to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Impact {
    /// What each of the plan's checks will say, in their order. Empty where nothing was predicted.
    pub predictions: Vec<Prediction>,
    /// Who else writes what this plan writes.
    pub writers: Vec<Writer>,
    /// What could not be found out about others who write, and why: a line each.
    pub unread: Vec<String>,
    /// Selections that the plan itself would alter. While there is any, nothing is applied.
    pub diverging: Vec<Divergence>,
    /// What it costs; `None` where nobody reckoned.
    pub cost: Option<Cost>,
}

/// What a check will say once the plan is applied.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// The check's name.
    pub name: String,
    /// What is asked.
    pub query: String,
    /// What it means when it does not hold.
    pub severity: Severity,
    /// What it will say.
    pub forecast: Forecast,
}

/// Whether a check will hold.
#[derive(Clone, Debug, PartialEq)]
pub enum Forecast {
    /// It will, unless somebody else writes meanwhile.
    WillHold,
    /// It will not.
    WillFail(Difference),
    /// It reads what the devices or the hub decide.
    DependsOnDevices {
        /// What it reads, as in `properties.reported.connectivity`.
        reads: Vec<String>,
        /// What it would say if the devices stayed as they are; `None` when it would hold.
        as_it_is: Option<Difference>,
    },
    /// It could not be predicted, and why.
    Unknown(String),
}

/// A selector whose answer the plan itself would alter, so that planning again would plan something else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Divergence {
    /// The selector's name.
    pub selector: String,
    /// Where it stands in the manifest.
    pub origin: Origin,
    /// Where in the manifest the value is declared that alters it; nothing where a key is removed that is declared no more.
    pub altered_by: Option<Origin>,
    /// The path that alters it; nothing where a new device is altogether what it looks for.
    pub path: Option<TwinPath>,
    /// Devices that it finds and would find no more, sorted.
    pub leaving: Vec<TwinId>,
    /// Devices that it does not find and would find then, sorted.
    pub joining: Vec<TwinId>,
}

/// Somebody else who writes what this plan writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Writer {
    /// An automatic device configuration, which rewrites its paths every few minutes.
    Configuration {
        /// Its id.
        id: String,
        /// Higher ones win among configurations.
        priority: i64,
        /// Its target condition.
        condition: String,
        /// Where both write.
        paths: Vec<SharedPath>,
        /// The declared twins that it targets, sorted.
        twins: Vec<TwinId>,
    },
    /// Another fleet, whose record is in the same twins.
    Fleet {
        /// Which.
        fleet: FleetName,
        /// The revisions that it was applied at, sorted; an empty one is left out.
        revisions: Vec<String>,
        /// How many of this fleet's twins carry its record.
        twins: usize,
        /// Where both write, sorted: each of them is a conflict or is taken over. Empty where they only share twins.
        paths: Vec<TwinPath>,
    },
}

/// A path that this fleet and a configuration both write.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SharedPath {
    /// What this fleet declares.
    pub declared: TwinPath,
    /// What the configuration writes: the same, over it or under it.
    pub theirs: TwinPath,
    /// Whether both want the same value there, so that they do not fight.
    pub agree: bool,
}

/// What a plan has cost and will cost.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cost {
    /// The throttles that times are reckoned under, as in `S1, 2 units`.
    pub tier: String,
    /// What planning has read.
    pub read: Spent,
    /// What applying will send; `None` if there is nothing to send.
    pub apply: Option<Spent>,
    /// Desired-property notifications that connected devices get, each billed as a message of its own. Reckoned as if all of
    /// them were connected.
    pub notifications: u64,
}

/// Requests and what they are billed as.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spent {
    /// HTTP requests.
    pub requests: u64,
    /// Billed messages: blocks of 4 KB, or 0.5 KB on the free tier.
    pub messages: u64,
    /// How long the hub's throttles make it take, in seconds.
    pub seconds: f64,
}
