//! What a plan costs: reckoned from what was read and what is to be sent, under a tier's throttles.
//!
//! Times are those of the sustained rates; a hub serves the first minute's bursts faster. What checks ask afterwards is
//! not counted. Messages are the blocks of what a request carries (docs: Azure IoT Hub billing information: registry
//! operations are not charged).

use super::{Cost, Spent};
use crate::plan::{Action, TwinPlan};
use iothub_model::tiers::{Class, Limits, Operation, Usage};
use iothub_model::wire::twins::encode_patch;

/// About the length of the response to a read of a new twin, in bytes: ids, states, and two empty sections with their
/// times.
const NEW_TWIN_BYTES: usize = 640;

/// Estimates what planning has cost and what applying will cost.
pub(crate) fn cost(twins: &[TwinPlan], read: &Usage, limits: Limits) -> Cost {
    let sent: Vec<&TwinPlan> = twins.iter().filter(|twin| twin.is_sent()).collect();
    let notifications = sent.iter().filter(|twin| !twin.patch.desired.is_empty()).count() as u64;
    let apply = (!sent.is_empty()).then(|| spent(&writes(&sent), limits));
    Cost { tier: limits.to_string(), read: spent(read, limits), apply, notifications }
}

/// Converts requests to messages and time under the limits of a hub.
fn spent(usage: &Usage, limits: Limits) -> Spent {
    let mut spent = Spent { messages: usage.messages(limits.tier()), ..Spent::default() };
    for class in Class::ALL {
        let requests = usage.of(class).requests;
        spent.requests += requests;
        spent.seconds += requests as f64 / limits.rate(class);
    }
    // As the plan file has it, so that a saved plan is shown as it was.
    spent.seconds = to_millis(spent.seconds);
    spent
}

/// Rounds a time to what is written of it.
pub(crate) fn to_millis(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}

/// Returns the requests that applying sends.
fn writes(sent: &[&TwinPlan]) -> Usage {
    let mut usage = Usage::default();
    let mut add = |operation: Operation, request: usize, response: usize| {
        usage.send(operation);
        usage.bill(operation.class(), operation.charge(), request as u64, response as u64);
    };
    for twin in sent {
        // A new identity is created, and its twin is read before it is written.
        if twin.action == Action::Register {
            add(Operation::WriteIdentity, 0, 0);
            add(Operation::ReadTwin, 0, NEW_TWIN_BYTES);
        }
        if !twin.patch.is_empty() {
            add(Operation::UpdateTwin, encode_patch(&twin.patch).to_string().len(), 0);
        }
    }
    usage
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plan::tests::{body, context, declarations, id, twin};
    use crate::plan::{Plan, Planner, ReadBy};
    use iothub_model::tiers::Tier;
    use iothub_model::twin::Lookup;

    fn limits(tier: Tier) -> Limits {
        Limits::new(tier, 1).expect("limits")
    }

    /// Adds requests of one kind, each with a body and a response of this many bytes.
    fn add(usage: &mut Usage, operation: Operation, count: usize, bytes: u64) {
        for _ in 0..count {
            usage.send(operation);
            usage.bill(operation.class(), operation.charge(), bytes, bytes);
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
            planner.push(&match n {
                1000..1050 => Lookup::Absent(id.clone()),
                _ => Lookup::Found(Box::new(twin(id.device.as_str(), json!({})))),
            });
        }
        planner.finish(ReadBy::Query)
    }

    #[test]
    fn what_a_thousand_twins_cost() {
        let mut usage = Usage::default();
        add(&mut usage, Operation::Query, 2, 150 * 4096);
        add(&mut usage, Operation::ReadTwin, 60, 1500);
        add(&mut usage, Operation::ReadConfigurations, 1, 9999);
        let cost = cost(&plan().twins, &usage, limits(Tier::S1));
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
        let mut usage = Usage::default();
        add(&mut usage, Operation::ReadTwin, 1, 1500);
        let cost = cost(&plan.twins, &usage, limits(Tier::F1));
        assert_eq!((cost.read.messages, cost.apply, cost.notifications), (3, None, 0));
    }
}
