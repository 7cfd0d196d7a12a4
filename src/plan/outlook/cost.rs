//! What a plan costs: reckoned from what was read and what is to be sent, under a tier's throttles.
//!
//! Times are those of the sustained rates; a hub serves the first minute's bursts faster. What checks ask afterwards is not
//! counted. Messages are the blocks of what a request carries (docs: Azure IoT Hub billing information: registry operations are not
//! charged).

use super::{Cost, Spent};
use crate::plan::{Action, Plan, TwinPlan};
use iothub_model::wire::twins::encode_patch;
use iothub_model::wire::usage::{BLOCK, FREE_BLOCK, Meter, Usage};

/// What a hub allows, in operations a second (docs: IoT Hub quotas and throttling).
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Throttles {
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
pub(crate) fn cost(plan: &Plan, read: &Usage, throttles: &Throttles) -> Cost {
    let sent: Vec<&TwinPlan> = plan.twins.iter().filter(|twin| twin.is_sent()).collect();
    let notifications = sent.iter().filter(|twin| !twin.patch.desired.is_empty()).count() as u64;
    let mut cost = Cost {
        tier: throttles.name.clone(),
        read: throttles.read(read),
        apply: apply(&sent, throttles),
        notifications,
    };
    // As the plan file has it, so that a saved plan is shown as it was.
    for spent in std::iter::once(&mut cost.read).chain(&mut cost.apply) {
        spent.seconds = to_millis(spent.seconds);
    }
    cost
}

/// Rounds a time to what is written of it.
pub(crate) fn to_millis(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}

fn apply(sent: &[&TwinPlan], throttles: &Throttles) -> Option<Spent> {
    if sent.is_empty() {
        return None;
    }
    let new = sent.iter().filter(|twin| twin.action == Action::Register).count();
    let patched: Vec<&&TwinPlan> = sent.iter().filter(|twin| !twin.patch.is_empty()).collect();
    let bytes = |twin: &TwinPlan| encode_patch(&twin.patch).to_string().len();
    let messages: u64 = patched.iter().map(|twin| throttles.messages(bytes(twin))).sum();
    let seconds = |count: usize, rate: f64| count as f64 / rate;
    Some(Spent {
        // A new identity is created, and its twin is read before it is written.
        requests: (2 * new + patched.len()) as u64,
        messages: new as u64 + messages,
        seconds: seconds(new, throttles.registry)
            + seconds(new, throttles.twin_reads)
            + seconds(patched.len(), throttles.twin_updates),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plan::tests::{body, context, declarations, id, twin};
    use crate::plan::{Planner, ReadBy};
    use iothub_model::twin::Lookup;

    fn s1() -> Throttles {
        Throttles {
            name: "S1, 1 unit".to_owned(),
            is_free: false,
            queries: 20.0 / 60.0,
            twin_reads: 100.0,
            twin_updates: 50.0,
            registry: 100.0 / 60.0,
            configurations: 20.0 / 60.0,
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
            .chain(cost.apply.map(|spent| ("apply", spent)))
            .map(|(name, Spent { requests, messages, seconds })| format!("{name} {requests} {messages} {seconds:.1}"))
            .collect();
        assert_eq!(
            told,
            [
                // Two pages at 3 s, sixty reads, the configurations at 3 s.
                "read 63 360 9.6",
                // Fifty identities at 0.6 s are half a minute, and 1,060 writes at 50 a second.
                "apply 1160 1110 51.7",
            ]
        );
        assert_eq!((cost.notifications, cost.tier.as_str()), (1050, "S1, 1 unit"));
    }

    #[test]
    fn nothing_to_do_costs_nothing() {
        let plan = Plan { twins: Vec::new(), ..plan() };
        let free = Throttles { is_free: true, ..s1() };
        let usage = Usage { twin_reads: Meter { requests: 1, blocks: 1, free_blocks: 3 }, ..Usage::default() };
        let cost = cost(&plan, &usage, &free);
        assert_eq!((cost.read.messages, cost.apply, cost.notifications), (3, None, 0));
    }
}
