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
    let mut cost = Cost {
        tier: throttles.name.clone(),
        read: throttles.read(read),
        apply: strategies(&sent, throttles),
        notifications,
    };
    // As the plan file has it, so that a saved plan is shown as it was.
    for spent in std::iter::once(&mut cost.read).chain(cost.apply.iter_mut().map(|strategy| &mut strategy.spent)) {
        spent.seconds = to_millis(spent.seconds);
    }
    cost
}

/// Rounds a time to what is written of it.
pub(crate) fn to_millis(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
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
    let strategy = |strategy, spent| StrategyCost { strategy, spent, remark: remark(strategy) };
    vec![
        strategy("patch", plus(registering(new), patched.len() as u64, messages, count / throttles.twin_updates)),
        strategy("bulk", plus(registering(new), patched.len().div_ceil(BULK) as u64, 0, count / throttles.registry)),
        strategy(
            "import",
            // One to begin it, one at least to see that it is over.
            plus(registering(new), 2, 0, 2.0 / throttles.jobs),
        ),
        strategy(
            "jobs",
            plus(
                registering(new),
                2 * patches.len() as u64,
                messages,
                count / throttles.job_devices + 2.0 * patches.len() as f64 / throttles.jobs,
            ),
        ),
    ]
}

/// The strategies, by what they are called.
pub(crate) const STRATEGIES: [&str; 4] = ["patch", "bulk", "import", "jobs"];

/// Returns what is to be known about a strategy.
pub(crate) fn remark(strategy: &str) -> Option<&'static str> {
    match strategy {
        "bulk" => Some("each twin counts as an operation on the registry, and the policy needs RegistryWrite"),
        "import" => Some("needs a storage container; how long the hub works on it no throttle says"),
        "jobs" => Some("no etag guard: a job writes whatever it finds"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plan::tests::{body, context, declarations, id, twin};
    use crate::plan::{Planner, ReadBy};
    use crate::twin::Lookup;

    fn s1() -> Throttles {
        Throttles {
            name: "S1, 1 unit".to_owned(),
            is_free: false,
            queries: 20.0 / 60.0,
            twin_reads: 100.0,
            twin_updates: 50.0,
            registry: 100.0 / 60.0,
            configurations: 20.0 / 60.0,
            jobs: 100.0 / 60.0,
            job_devices: 10.0,
        }
    }

    /// A thousand twins to patch, all alike, fifty to register, and ten whose tags alone change.
    fn plan() -> Plan {
        let ids: Vec<_> = (0..1060).map(|n| id(&format!("d-{n:04}"))).collect();
        let declared = |n: usize| if n < 1050 { json!({"desired": {"a": 1}}) } else { json!({"tags": {"a": 1}}) };
        let bodies = ids.iter().enumerate().map(|(n, id)| (id.clone(), body(declared(n))));
        let declarations = crate::manifest::Declarations {
            missing: crate::manifest::Missing::Register,
            ownership: crate::manifest::Ownership::None,
            ..declarations(bodies)
        };
        let mut planner = Planner::new(&declarations, context());
        for (n, id) in ids.iter().enumerate() {
            planner.push(match n {
                1000..1050 => Lookup::Absent(id.clone()),
                _ => Lookup::Found(Box::new(twin(id.device.as_str(), json!({})))),
            });
        }
        planner.finish(ReadBy::Query)
    }

    #[test]
    fn what_a_thousand_twins_cost() {
        let usage = Usage {
            queries: Meter { requests: 2, blocks: 300, free_blocks: 2400 },
            twin_reads: Meter { requests: 60, blocks: 60, free_blocks: 180 },
            configurations: Meter { requests: 1, ..Meter::default() },
            ..Usage::default()
        };
        let cost = cost(&plan(), &usage, &s1());
        let told: Vec<String> = std::iter::once(("read", cost.read))
            .chain(cost.apply.iter().map(|strategy| (strategy.strategy, strategy.spent)))
            .map(|(name, Spent { requests, messages, seconds })| format!("{name} {requests} {messages} {seconds:.1}"))
            .collect();
        assert_eq!(
            told,
            [
                // Two pages at 3 s, sixty reads, the configurations at 3 s.
                "read 63 360 9.6",
                // Fifty identities at 0.6 s are half a minute, and 1,060 writes at 50 a second.
                "patch 1160 1110 51.7",
                "bulk 111 50 666.5",
                "import 102 50 31.7",
                // Two different patches.
                "jobs 104 1110 138.9",
            ]
        );
        assert_eq!((cost.notifications, cost.tier.as_str()), (1050, "S1, 1 unit"));
        assert_eq!(cost.apply.iter().map(|it| it.strategy).collect::<Vec<_>>(), STRATEGIES);
    }

    #[test]
    fn nothing_to_do_costs_nothing() {
        let plan = Plan { twins: Vec::new(), ..plan() };
        let free = Throttles { is_free: true, ..s1() };
        let usage = Usage { twin_reads: Meter { requests: 1, blocks: 1, free_blocks: 3 }, ..Usage::default() };
        let cost = cost(&plan, &usage, &free);
        assert_eq!((cost.read.messages, cost.apply, cost.notifications), (3, Vec::new(), 0));
    }
}
