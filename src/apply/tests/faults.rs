//! The law of the program against a hub that misbehaves: plan and apply until it is done, and nothing is left to do.

use serde_json::{Value, json};

use super::real::{Field, assert_guarded, carry_out, declare};
use crate::manifest::{Declarations, Missing};
use crate::plan::{Plan, PlanContext, ReadBy, plan};
use iothub_model::twin::{Lookup, TwinId};
use iothub_model::wire::faults::FaultsReport;

/// A fifth of all requests meets something, of every kind.
const FAULTS: &str = "
    *  *  429           3%
    *  *  500           3%
    *  *  503           3%
    *  *  504           2%
    *  *  reset-before  3%
    *  *  reset-after   3%
    *  *  half          3%
    *  *  garbage       2%
    *  *  slow 1ms..20ms 10%
";

/// So often at most may it take to try the whole again.
const ROUNDS: usize = 12;

/// Reads a twin, however often it takes: what a read gives up on, a person asks for again.
async fn read(field: &Field, id: &TwinId) -> Lookup {
    let mut last = None;
    for _ in 0..20 {
        match field.owner.get_twin(id).await {
            Ok(lookup) => return lookup,
            Err(error) => last = Some(error),
        }
    }
    panic!("twenty times nothing for {id}: {last:?}")
}

async fn plan_anew(field: &Field, declarations: &Declarations) -> Plan {
    let mut lookups = Vec::new();
    for id in declarations.twins.keys() {
        lookups.push(read(field, id).await);
    }
    let context = PlanContext { hub: field.owner.host().clone(), revision: "4f2a".to_owned(), take_ownership: false };
    plan(declarations, context, lookups, ReadBy::Get)
}

fn declarations(ids: &[String]) -> Declarations {
    let leaves = json!({"desired.power": 2, "desired.old": null, "tags.plant": "Redmond43"});
    declare(Missing::Register, ids.iter().map(|id| (id.clone(), leaves.clone())).collect::<Value>())
}

async fn converges(seed: u64) {
    let ids: Vec<String> = (0..8).map(|n| format!("d{n}")).collect();
    let there: Vec<&str> = ids[..5].iter().map(String::as_str).collect();
    let field = Field::new(&there).await;
    for id in &there[..2] {
        field.write(id, "desired.old", json!("x")).await;
        field.write(id, "desired.fan", json!(true)).await;
    }
    field.writes();
    let wanted = declarations(&ids);
    field.hub.set_faults(&format!("{FAULTS}\nseed {seed}")).expect("rules");

    let mut rounds = 0;
    loop {
        let todo = plan_anew(&field, &wanted).await;
        if todo.twins.is_empty() {
            break;
        }
        rounds += 1;
        assert!(rounds <= ROUNDS, "seed {seed}: after {ROUNDS} rounds there is still {:?}", todo.twins);
        let (report, events) = carry_out(todo, &field.owner, 4).await;
        assert_eq!(report.conflicts, [], "seed {seed}: nobody else writes here: {events:?}");
    }

    let met: u64 = field.owner.faults().await.expect("a report").rules.iter().map(|rule| rule.fired).sum();
    assert!(met > 0, "seed {seed}: nothing happened");
    let cleared = field.owner.clear_faults().await.expect("the hub listens to its owner");
    assert_eq!(cleared, FaultsReport::default());
    assert_guarded(&field.writes());
    let left = plan_anew(&field, &wanted).await;
    assert!(left.twins.is_empty(), "seed {seed}: {:?}", left.twins);
    for id in &ids {
        let twin = field.twin(id).await;
        let fan = there[..2].contains(&id.as_str());
        let desired = if fan { json!({"fan": true, "power": 2}) } else { json!({"power": 2}) };
        assert_eq!(Value::Object(twin.desired.0), desired, "seed {seed}: {id}");
        assert_eq!(twin.tags.0.get("plant"), Some(&json!("Redmond43")), "seed {seed}: {id}");
    }
    field.hub.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn converges_whatever_a_fifth_of_all_requests_meets() {
    let mut all = tokio::task::JoinSet::new();
    for seed in 1..=20 {
        all.spawn(converges(seed));
    }
    while let Some(done) = all.join_next().await {
        done.expect("each seed converges");
    }
}
