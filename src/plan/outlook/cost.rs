//! What a plan costs: reckoned from what was read and what is to be sent, under a tier's throttles.
//!
//! Times are those of the sustained rates; a hub serves the first minute's bursts faster. What checks ask afterwards is not
//! counted. Messages are the blocks of what a request carries, the larger ones of import jobs none (docs: Azure IoT Hub billing
//! information: registry operations are not charged).

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Cost, Spent, StrategyCost};
use crate::plan::{Action, Plan, TwinPlan};
use crate::wire::twins::encode_patch;
use crate::wire::usage::{BLOCK, FREE_BLOCK, Meter, Usage};

/// Twins of one bulk request, at most.
const BULK: usize = 100;

/// What a hub allows, in operations a second (docs: IoT Hub quotas and throttling).
#[derive(Clone, Debug, PartialEq)]
pub struct Throttles {
    /// How it is called, as in `S1, 2 units`.
    pub name: String,
    /// Whether messages are billed in the free tier's small blocks.
    pub is_free: bool,
    /// Queries.
    pub queries: f64,
    /// Reads of one twin.
    pub twin_reads: f64,
    /// Writes of one twin.
    pub twin_updates: f64,
    /// Operations on identities.
    pub registry: f64,
    /// Operations on configurations.
    pub configurations: f64,
    /// Operations on jobs.
    pub jobs: f64,
    /// Devices that jobs work on.
    pub job_devices: f64,
}

impl Throttles {
    fn messages(&self, bytes: usize) -> u64 {
        let block = if self.is_free { FREE_BLOCK } else { BLOCK };
        (bytes as u64).div_ceil(block).max(1)
    }

    /// Reckons what has been read.
    fn read(&self, usage: &Usage) -> Spent {
        let Usage { queries, twin_reads, twin_updates, registry, configurations } = usage;
        let mut spent = Spent::default();
        for (Meter { requests, blocks, free_blocks }, rate) in [
            (queries, self.queries),
            (twin_reads, self.twin_reads),
            (twin_updates, self.twin_updates),
            (registry, self.registry),
            (configurations, self.configurations),
        ] {
            spent.requests += requests;
            spent.messages += if self.is_free { free_blocks } else { blocks };
            spent.seconds += *requests as f64 / rate;
        }
        spent
    }
}

/// Reckons what planning has cost and what applying will.
pub fn cost(plan: &Plan, read: &Usage, throttles: &Throttles) -> Cost {
    let sent: Vec<&TwinPlan> = plan.twins.iter().filter(|twin| twin.is_sent()).collect();
    let notifications = sent.iter().filter(|twin| !twin.patch.desired.is_empty()).count() as u64;
    Cost {
        tier: throttles.name.clone(),
        read: throttles.read(read),
        apply: strategies(&sent, throttles),
        notifications,
    }
}

fn strategies(sent: &[&TwinPlan], throttles: &Throttles) -> Vec<StrategyCost> {
    if sent.is_empty() {
        return Vec::new();
    }
    let new = sent.iter().filter(|twin| twin.action == Action::Register).count() as f64;
    let patched: Vec<&&TwinPlan> = sent.iter().filter(|twin| !twin.patch.is_empty()).collect();
    let bytes = |twin: &TwinPlan| encode_patch(&twin.patch).to_string().len();
    let messages: u64 = patched.iter().map(|twin| throttles.messages(bytes(twin))).sum();
    // A new identity is created and its twin read, whichever way its twin is written.
    let registering = |answers: f64| Spent {
        requests: (new + answers) as u64,
        messages: answers as u64,
        seconds: new / throttles.registry + answers / throttles.twin_reads,
    };
    let count = patched.len() as f64;
    let patches: BTreeSet<usize> = patched.iter().map(|twin| Arc::as_ptr(&twin.patch).addr()).collect();
    let plus = |base: Spent, requests: u64, messages: u64, seconds: f64| Spent {
        requests: base.requests + requests,
        messages: base.messages + messages,
        seconds: base.seconds + seconds,
    };
    let strategy = |strategy, spent, remark| StrategyCost { strategy, spent, remark };
    vec![
        strategy("patch", plus(registering(new), patched.len() as u64, messages, count / throttles.twin_updates), None),
        strategy(
            "bulk",
            plus(registering(new), patched.len().div_ceil(BULK) as u64, 0, count / throttles.registry),
            Some("each twin counts as an operation on the registry, and the policy needs RegistryWrite"),
        ),
        strategy(
            "import",
            // One to begin it, one at least to see that it is over.
            plus(registering(new), 2, 0, 2.0 / throttles.jobs),
            Some("needs a storage container; how long the hub works on it no throttle says"),
        ),
        strategy(
            "jobs",
            plus(
                registering(new),
                2 * patches.len() as u64,
                messages,
                count / throttles.job_devices + 2.0 * patches.len() as f64 / throttles.jobs,
            ),
            Some("no etag guard: a job writes whatever it finds"),
        ),
    ]
}
