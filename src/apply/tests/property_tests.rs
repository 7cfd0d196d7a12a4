//! What holds whatever the hub answers.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

fn answers() -> impl Strategy<Value = Answer> {
    prop_oneof![
        4 => Just(Answer::Done),
        1 => Just(Answer::Otherwise),
        2 => Just(Answer::Found("e1", json!({"power": 1}))),
        2 => Just(Answer::Found("e2", json!({"power": 1}))),
        1 => Just(Answer::Found("e2", json!({"power": 2}))),
        1 => Just(Answer::Found("e3", json!({"power": 9}))),
        2 => Just(Answer::Found("e4", json!({}))),
        1 => Just(Answer::Absent),
        3 => Just(Answer::Moved),
        2 => Just(Answer::Throttled),
        1 => Just(Answer::Ill(500)),
        1 => Just(Answer::Ill(503)),
        2 => Just(Answer::Lost),
        1 => Just(Answer::Unreachable),
        1 => Just(Answer::Gone),
        1 => Just(Answer::Exists),
        1 => Just(Answer::Refused),
    ]
}

/// Makes an answer one that the request can have.
fn fitting(request: &TwinRequest, answer: Answer) -> Answer {
    let reading = !request.is_write();
    let registering = *request == TwinRequest::Register;
    match answer {
        Answer::Done | Answer::Otherwise if reading => Answer::Found("e2", json!({"power": 1})),
        Answer::Otherwise if registering => Answer::Done,
        Answer::Found(..) | Answer::Absent if !reading => Answer::Moved,
        other => other,
    }
}

fn name_of(n: usize) -> String {
    let device = n - n % 3;
    if n == device { format!("d{device}") } else { format!("d{device}/m{n}") }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn every_twin_ends_once_whatever_comes(
        actions in proptest::collection::vec(
            prop_oneof![3 => Just(Action::Update), 2 => Just(Action::Register), 1 => Just(Action::Release)],
            0..30,
        ),
        script in proptest::collection::vec((answers(), 1u64..200, 0.0f64..=1.0), 1..60),
        concurrency in 1usize..6,
        stop_after in proptest::option::of(0usize..80),
        fatal_after in proptest::option::of(0usize..200),
    ) {
        let twins: Vec<_> =
            // Of three twins the first is a device, and the others are modules of it.
            actions.iter().enumerate().map(|(n, &action)| twin_plan(&name_of(n), action)).collect();
        let registered_here = |id: &TwinId| twins.iter().any(|twin| twin.id == *id && twin.action == Action::Register);
        let mut scheduler = Scheduler::new(&twins, ApplyOptions { concurrency, backoff: Backoff::default() });
        let mut script = script.iter().cycle().cloned();
        let mut under_way: Vec<(Duration, Ticket, &TwinId, TwinRequest)> = Vec::new();
        let (mut now, mut answered, mut stopped, mut ending) = (Duration::ZERO, 0usize, false, false);
        let (mut done, mut finished, mut steps) = (BTreeSet::new(), 0, 0);
        loop {
            steps += 1;
            prop_assert!(steps < 100_000, "it does not end");
            match scheduler.next(now) {
                Step::Tell(ApplyEvent::TwinDone { id, .. }) => {
                    let is_idle = under_way.iter().all(|(_, _, busy, _)| id != **busy);
                    prop_assert!(is_idle, "{id} is done with a request under way");
                    prop_assert!(done.insert(id.clone()), "{id} ended twice");
                }
                Step::Tell(ApplyEvent::Finished) => finished += 1,
                Step::Tell(ApplyEvent::Halted(_)) => ending = true,
                Step::Tell(_) => {}
                Step::Send(ticket, id, request) => {
                    prop_assert!(!ending || !request.is_write(), "written after the end: {request:?}");
                    prop_assert!(under_way.iter().all(|(_, busy, ..)| *busy != ticket), "two requests for one twin");
                    if let (TwinRequest::Register, TwinId { device, module: Some(_) }) = (&request, id) {
                        let device = TwinId::device(device.clone());
                        prop_assert!(done.contains(&device) || !registered_here(&device), "{id} comes before its device");
                    }
                    let (_, latency, _) = script.next().expect("it goes round");
                    under_way.push((now + ms(latency), ticket, id, request));
                    prop_assert!(under_way.len() <= concurrency);
                }
                Step::Wait(until) => {
                    under_way.sort_by_key(|(at, ..)| *at);
                    let first = under_way.first().map(|(at, ..)| *at);
                    let next = [until, first].into_iter().flatten().min();
                    prop_assert!(next.is_some(), "waits for nothing");
                    now = now.max(next.expect("just checked"));
                    if first.is_some_and(|at| at <= now) {
                        let (_, ticket, id, request) = under_way.remove(0);
                        answered += 1;
                        let (answer, _, random) = script.next().expect("it goes round");
                        let answer = if fatal_after.is_some_and(|after| answered > after) {
                            Answer::Unauthorized
                        } else {
                            fitting(&request, answer)
                        };
                        scheduler.told(ticket, outcome(id, &request, &answer), now, random);
                    } else {
                        prop_assert!(until == Some(now), "woken early");
                    }
                    if !stopped && stop_after.is_some_and(|after| answered >= after) {
                        (stopped, ending) = (true, true);
                        scheduler.stop();
                    }
                }
                Step::End => break,
            }
        }
        prop_assert_eq!(done.len(), twins.len());
        prop_assert_eq!(finished, 1);
        prop_assert!(under_way.is_empty());
    }
}
