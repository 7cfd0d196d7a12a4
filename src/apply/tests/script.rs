//! One script a case.

use insta::assert_snapshot;
use serde_json::json;

use super::Answer::*;
use super::*;

pub(super) const PLAIN: Play = Play { concurrency: 2, stop_at: None, otherwise: None };

fn update(answers: &[Answer]) -> String {
    PLAIN.run(&[twin_plan("a", Action::Update)], &[("a", answers)])
}

fn register(answers: &[Answer]) -> String {
    PLAIN.run(&[twin_plan("a", Action::Register)], &[("a", answers)])
}

fn release(answers: &[Answer]) -> String {
    PLAIN.run(&[twin_plan("a", Action::Release)], &[("a", answers)])
}

pub(super) fn stop_at(millis: u64) -> Play {
    Play { concurrency: 2, stop_at: Some(ms(millis)), otherwise: None }
}

#[test]
fn so_many_at_once() {
    let twins = ["a", "b", "c"].map(|id| twin_plan(id, Action::Update));
    assert_snapshot!(PLAIN.run(&twins, &[("a", &[Done]), ("b", &[Done]), ("c", &[Done])]), @r#"
     0 started: 3
     0 a patch if e1: {"desired":{"power":2}}
     0 b patch if e1: {"desired":{"power":2}}
    10 a ← done
    10 a = written
    10 c patch if e1: {"desired":{"power":2}}
    10 b ← done
    10 b = written
    20 c ← done
    20 c = written
    20 finished
    "#);
}

#[test]
fn nothing_is_sent_for_what_needs_nothing() {
    let mut empty = twin_plan("a", Action::Update);
    empty.patch = Arc::default();
    let twins = [empty, twin_plan("b", Action::Skip), twin_plan("c", Action::Missing)];
    let options = ApplyOptions { concurrency: 2, backoff: Backoff::default() };
    let mut scheduler = Scheduler::new(&twins, options);
    assert_eq!(scheduler.next(ms(0)), Step::Tell(ApplyEvent::Started { twins: 0 }));
    assert_eq!(scheduler.next(ms(0)), Step::Tell(ApplyEvent::Finished));
    assert_eq!(scheduler.next(ms(0)), Step::End);
}

#[test]
fn moved_elsewhere_is_rebased() {
    assert_snapshot!(update(&[Moved, Found("e2", json!({"power": 1, "fan": true})), Done]), @r#"
     0 started: 1
     0 a patch if e1: {"desired":{"power":2}}
    10 a ← moved
    10 a read
    20 a ← found e2 {"fan":true,"power":1}
    20 a patch if e2: {"desired":{"power":2}}
    30 a ← done
    30 a = written, rebased
    30 finished
    "#);
}

#[test]
fn moved_to_what_was_planned_is_converged() {
    assert_snapshot!(update(&[Moved, Found("e2", json!({"power": 2}))]), @r#"
     0 started: 1
     0 a patch if e1: {"desired":{"power":2}}
    10 a ← moved
    10 a read
    20 a ← found e2 {"power":2}
    20 a = converged
    20 finished
    "#);
}

#[test]
fn moved_on_the_same_path_is_a_conflict() {
    assert_snapshot!(update(&[Moved, Found("e2", json!({"power": 9}))]), @r#"
     0 started: 1
     0 a patch if e1: {"desired":{"power":2}}
    10 a ← moved
    10 a read
    20 a ← found e2 {"power":9}
    20 a = conflict: desired.power: seen 1, found 9, planned 2
    20 finished
    "#);
}

#[test]
fn moved_again_and_again_is_given_up() {
    let mut answers = Vec::new();
    for etag in ["e2", "e3", "e4", "e5", "e6", "e7", "e8", "e9"] {
        answers.extend([Moved, Found(etag, json!({"power": 1}))]);
    }
    answers.push(Moved);
    let log = update(&answers);
    assert_snapshot!(log.lines().rev().take(3).collect::<Vec<_>>().join("\n"), @r"
    170 finished
    170 a = failed: somebody keeps writing this twin: 9 times it had changed between a read and the write
    170 a ← moved
    ");
}

#[test]
fn moved_and_gone() {
    assert_snapshot!(update(&[Moved, Absent]), @r#"
     0 started: 1
     0 a patch if e1: {"desired":{"power":2}}
    10 a ← moved
    10 a read
    20 a ← absent
    20 a = failed: the device is gone from the hub
    20 finished
    "#);
}

#[test]
fn a_plan_without_an_etag_is_read_first() {
    let mut twin = twin_plan("a", Action::Update);
    twin.etag = None;
    assert_snapshot!(PLAIN.run(&[twin], &[("a", &[Found("e5", json!({"power": 1})), Done])]), @r#"
     0 started: 1
     0 a read
    10 a ← found e5 {"power":1}
    10 a patch if e5: {"desired":{"power":2}}
    20 a ← done
    20 a = written
    20 finished
    "#);
}

#[test]
fn lost_and_written() {
    assert_snapshot!(update(&[Lost, Found("e2", json!({"power": 2}))]), @r#"
     0 started: 1
     0 a patch if e1: {"desired":{"power":2}}
    10 a ← lost
    10 a again in 0ns: the answer did not come, so it is read
    10 a read
    20 a ← found e2 {"power":2}
    20 a = written
    20 finished
    "#);
}

#[test]
fn lost_and_not_written() {
    assert_snapshot!(update(&[Lost, Found("e1", json!({"power": 1})), Done]), @r#"
      0 started: 1
      0 a patch if e1: {"desired":{"power":2}}
     10 a ← lost
     10 a again in 0ns: the answer did not come, so it is read
     10 a read
     20 a ← found e1 {"power":1}
    510 a patch if e1: {"desired":{"power":2}}
    520 a ← done
    520 a = written
    520 finished
    "#);
}

#[test]
fn lost_and_overtaken() {
    assert_snapshot!(update(&[Lost, Found("e3", json!({"power": 9}))]), @r#"
     0 started: 1
     0 a patch if e1: {"desired":{"power":2}}
    10 a ← lost
    10 a again in 0ns: the answer did not come, so it is read
    10 a read
    20 a ← found e3 {"power":9}
    20 a = conflict: desired.power: seen 1, found 9, planned 2
    20 finished
    "#);
}

#[test]
fn lost_and_late() {
    // The read came before the write that was thought lost.
    assert_snapshot!(update(&[Lost, Found("e1", json!({"power": 1})), Moved, Found("e2", json!({"power": 2}))]), @r#"
      0 started: 1
      0 a patch if e1: {"desired":{"power":2}}
     10 a ← lost
     10 a again in 0ns: the answer did not come, so it is read
     10 a read
     20 a ← found e1 {"power":1}
    510 a patch if e1: {"desired":{"power":2}}
    520 a ← moved
    520 a read
    530 a ← found e2 {"power":2}
    530 a = written
    530 finished
    "#);
}

#[test]
fn lost_and_nobody_to_ask() {
    assert_snapshot!(update(&[Lost, Unreachable]), @r#"
     0 started: 1
     0 a patch if e1: {"desired":{"power":2}}
    10 a ← lost
    10 a again in 0ns: the answer did not come, so it is read
    10 a read
    20 a ← unreachable
    20 a = failed: it is not known whether the write was done: PATCH https://h/…: the answer did not come: connection reset; and then: PATCH https://h/…: the hub cannot be reached: nothing listens there: connection refused
    20 finished
    "#);
}

#[test]
fn lost_each_time() {
    let mut answers = Vec::new();
    for _ in 0..6 {
        answers.extend([Lost, Found("e1", json!({"power": 1}))]);
    }
    assert_snapshot!(update(&answers), @r#"
        0 started: 1
        0 a patch if e1: {"desired":{"power":2}}
       10 a ← lost
       10 a again in 0ns: the answer did not come, so it is read
       10 a read
       20 a ← found e1 {"power":1}
      510 a patch if e1: {"desired":{"power":2}}
      520 a ← lost
      520 a again in 0ns: the answer did not come, so it is read
      520 a read
      530 a ← found e1 {"power":1}
     1520 a patch if e1: {"desired":{"power":2}}
     1530 a ← lost
     1530 a again in 0ns: the answer did not come, so it is read
     1530 a read
     1540 a ← found e1 {"power":1}
     3530 a patch if e1: {"desired":{"power":2}}
     3540 a ← lost
     3540 a again in 0ns: the answer did not come, so it is read
     3540 a read
     3550 a ← found e1 {"power":1}
     7540 a patch if e1: {"desired":{"power":2}}
     7550 a ← lost
     7550 a again in 0ns: the answer did not come, so it is read
     7550 a read
     7560 a ← found e1 {"power":1}
    15550 a patch if e1: {"desired":{"power":2}}
    15560 a ← lost
    15560 a again in 0ns: the answer did not come, so it is read
    15560 a read
    15570 a ← found e1 {"power":1}
    15570 a = failed: PATCH https://h/…: the answer did not come: connection reset; the time for trying again is over
    15570 finished
    "#);
}

#[test]
fn throttled_once() {
    assert_snapshot!(update(&[Throttled, Done]), @r#"
       0 started: 1
       0 a patch if e1: {"desired":{"power":2}}
      10 a ← throttled
      10 a again in 5s: too many requests
    5010 a patch if e1: {"desired":{"power":2}}
    5020 a ← done
    5020 a = written
    5020 finished
    "#);
}

#[test]
fn a_storm_outlasts_the_budget() {
    let log = update(&vec![Throttled; 12]);
    assert_snapshot!(log, @r#"
         0 started: 1
         0 a patch if e1: {"desired":{"power":2}}
        10 a ← throttled
        10 a again in 5s: too many requests
      5010 a patch if e1: {"desired":{"power":2}}
      5020 a ← throttled
      5020 a again in 10s: too many requests
     15020 a patch if e1: {"desired":{"power":2}}
     15030 a ← throttled
     15030 a again in 20s: too many requests
     35030 a patch if e1: {"desired":{"power":2}}
     35040 a ← throttled
     35040 a again in 30s: too many requests
     65040 a patch if e1: {"desired":{"power":2}}
     65050 a ← throttled
     65050 a again in 30s: too many requests
     95050 a patch if e1: {"desired":{"power":2}}
     95060 a ← throttled
     95060 a again in 30s: too many requests
    125060 a patch if e1: {"desired":{"power":2}}
    125070 a ← throttled
    125070 a again in 30s: too many requests
    155070 a patch if e1: {"desired":{"power":2}}
    155080 a ← throttled
    155080 a again in 30s: too many requests
    185080 a patch if e1: {"desired":{"power":2}}
    185090 a ← throttled
    185090 a again in 30s: too many requests
    215090 a patch if e1: {"desired":{"power":2}}
    215100 a ← throttled
    215100 a again in 30s: too many requests
    245100 a patch if e1: {"desired":{"power":2}}
    245110 a ← throttled
    245110 a again in 30s: too many requests
    275110 a patch if e1: {"desired":{"power":2}}
    275120 a ← throttled
    275120 a = failed: PATCH https://h/…: the hub answers that there are too many requests: ThrottlingException; the time for trying again is over
    275120 finished
    "#);
}

#[test]
fn a_storm_over_all_ends_the_run() {
    let twins: Vec<_> = (0..12).map(|n| twin_plan(&format!("d{n:02}"), Action::Update)).collect();
    let log = Play { concurrency: 1, stop_at: None, otherwise: Some(Throttled) }.run(&twins, &[]);
    let sent = log.lines().filter(|line| line.contains(" patch ")).count();
    let ends: Vec<_> = log.lines().filter(|line| line.contains(" = ") || line.contains("halted")).collect();
    assert_snapshot!(format!("{sent} patches\n{}", ends.join("\n")), @r"
    61 patches
    275120 d00 = failed: PATCH https://h/…: the hub answers that there are too many requests: ThrottlingException; the time for trying again is over
    277140 d01 = failed: PATCH https://h/…: the hub answers that there are too many requests: ThrottlingException; the time for trying again is over
    278150 d02 = failed: PATCH https://h/…: the hub answers that there are too many requests: ThrottlingException; the time for trying again is over
    280170 d03 = failed: PATCH https://h/…: the hub answers that there are too many requests: ThrottlingException; the time for trying again is over
    313220 halted: the hub takes no requests any more: PATCH https://h/…: the hub answers that there are too many requests: ThrottlingException
    313220 d04 = failed: PATCH https://h/…: the hub answers that there are too many requests: ThrottlingException
    313220 d05 = failed: PATCH https://h/…: the hub answers that there are too many requests: ThrottlingException
    313220 d06 = failed: PATCH https://h/…: the hub answers that there are too many requests: ThrottlingException
    313220 d07 = failed: PATCH https://h/…: the hub answers that there are too many requests: ThrottlingException
    313220 d08 = not attempted
    313220 d09 = not attempted
    313220 d10 = not attempted
    313220 d11 = not attempted
    ");
}

#[test]
fn patience_begins_anew_with_each_step_forward() {
    let mut answers = vec![Throttled; 6];
    answers.extend([Moved, Found("e2", json!({"power": 1}))]);
    answers.extend(vec![Throttled; 11]);
    answers.push(Done);
    let log = update(&answers);
    assert_snapshot!(log.lines().rev().take(2).collect::<Vec<_>>().join("\n"), @r"
    401180 finished
    401180 a = written, rebased
    ");
}

#[test]
fn a_hub_that_refuses_is_sent_less() {
    let twins: Vec<_> = (0..200).map(|n| twin_plan(&format!("d{n:03}"), Action::Update)).collect();
    let log = Play { concurrency: 4, stop_at: None, otherwise: Some(Done) }.run(&twins, &[("d100", &[Throttled])]);
    let sent = |from: u64, to: u64| {
        log.lines()
            .filter(|line| line.contains(" patch "))
            .filter(|line| {
                line.split_whitespace()
                    .next()
                    .and_then(|at| at.parse().ok())
                    .is_some_and(|at: u64| (from..to).contains(&at))
            })
            .count()
    };
    assert_eq!((sent(0, 200), sent(260, 460)), (80, 40), "{log}");
}

/// How long a play took, in milliseconds.
fn took(log: &str) -> u64 {
    let last = log.lines().last().expect("it ends");
    last.split_whitespace().next().and_then(|at| at.parse().ok()).expect("a time")
}

/// Twenty-four of so many patches meet a hub that sheds load, and a twin that waits has changed when its patch comes: each is
/// answered with a 412 first.
fn load_is_shed(twins: u64) -> String {
    let twins: Vec<_> = (0..twins).map(|n| twin_plan(&format!("d{n:03}"), Action::Update)).collect();
    let shed: Vec<_> = (0..24).map(|n| format!("d{n:03}")).collect();
    let answers = [Ill(503), Moved, Found("e2", json!({"power": 1})), Done];
    let answers: Vec<(&str, &[Answer])> = shed.iter().map(|id| (id.as_str(), answers.as_slice())).collect();
    Play { concurrency: 16, stop_at: None, otherwise: Some(Done) }.run(&twins, &answers)
}

#[test]
fn a_hub_that_shed_load_and_is_well_again_is_not_spared_for_long() {
    for twins in [40, 140] {
        let log = load_is_shed(twins);
        assert_eq!(log.matches(" = written").count() as u64, twins, "{log}");
        // Half of that is what a twin waits that was answered with 503 and not told for how long.
        assert!(took(&log) < 10_000, "{log}");
    }
}

#[test]
fn a_twin_is_read_when_its_patch_may_go() {
    let log = load_is_shed(40);
    let lines: Vec<(u64, &str)> = log
        .lines()
        .filter_map(|line| line.trim().split_once(' '))
        .map(|(at, rest)| (at.parse().expect("a time"), rest))
        .collect();
    for n in 0..24 {
        let at = |what: &str| lines.iter().rev().find(|(_, rest)| rest.starts_with(what)).expect("it is there").0;
        let (found, sent) = (at(&format!("d{n:03} ← found")), at(&format!("d{n:03} patch if e2")));
        assert_eq!(found, sent, "the patch of d{n:03} goes out under the etag of this moment");
    }
}

#[test]
fn a_conflict_of_etags_is_an_answer_and_restores_the_pace() {
    let twins: Vec<_> = (0..200).map(|n| twin_plan(&format!("d{n:03}"), Action::Update)).collect();
    let moved: Vec<_> = (17..200).map(|n| format!("d{n:03}")).collect();
    let answers = [Moved, Found("e2", json!({"power": 2}))];
    let mut answers: Vec<(&str, &[Answer])> = moved.iter().map(|id| (id.as_str(), answers.as_slice())).collect();
    answers.push(("d000", &[Throttled]));
    let log = Play { concurrency: 1, stop_at: None, otherwise: Some(Done) }.run(&twins, &answers);
    assert_eq!(log.matches(" = converged").count(), 183, "{log}");
    assert!(took(&log) < 20_000, "nothing but 412 for an answer: {}", took(&log));
}

#[test]
fn ill_and_well_again() {
    assert_snapshot!(update(&[Ill(500), Ill(503), Done]), @r#"
        0 started: 1
        0 a patch if e1: {"desired":{"power":2}}
       10 a ← 500
       10 a again in 500ms: the hub answers 500
      510 a patch if e1: {"desired":{"power":2}}
      520 a ← 503
      520 a again in 10s: the hub answers 503
    10520 a patch if e1: {"desired":{"power":2}}
    10530 a ← done
    10530 a = written
    10530 finished
    "#);
}

#[test]
fn ill_and_yet_written() {
    assert_snapshot!(update(&[Ill(504), Moved, Found("e2", json!({"power": 2}))]), @r#"
      0 started: 1
      0 a patch if e1: {"desired":{"power":2}}
     10 a ← 504
     10 a again in 500ms: the hub answers 504
    510 a patch if e1: {"desired":{"power":2}}
    520 a ← moved
    520 a read
    530 a ← found e2 {"power":2}
    530 a = written
    530 finished
    "#);
}

#[test]
fn ill_to_the_end_is_looked_at_once_more() {
    let mut answers = vec![Ill(500); 6];
    answers.push(Found("e1", json!({"power": 1})));
    assert_snapshot!(update(&answers), @r#"
        0 started: 1
        0 a patch if e1: {"desired":{"power":2}}
       10 a ← 500
       10 a again in 500ms: the hub answers 500
      510 a patch if e1: {"desired":{"power":2}}
      520 a ← 500
      520 a again in 1s: the hub answers 500
     1520 a patch if e1: {"desired":{"power":2}}
     1530 a ← 500
     1530 a again in 2s: the hub answers 500
     3530 a patch if e1: {"desired":{"power":2}}
     3540 a ← 500
     3540 a again in 4s: the hub answers 500
     7540 a patch if e1: {"desired":{"power":2}}
     7550 a ← 500
     7550 a again in 8s: the hub answers 500
    15550 a patch if e1: {"desired":{"power":2}}
    15560 a ← 500
    15560 a read
    15570 a ← found e1 {"power":1}
    15570 a = failed: PATCH https://h/…: the hub cannot answer now, it says 500: ServerError; the time for trying again is over
    15570 finished
    "#);
}

#[test]
fn gone() {
    assert_snapshot!(update(&[Gone]), @r#"
     0 started: 1
     0 a patch if e1: {"desired":{"power":2}}
    10 a ← gone
    10 a = failed: the device is gone from the hub: PATCH https://h/…: there is no such thing on the hub: DeviceNotFound
    10 finished
    "#);
}

#[test]
fn what_is_gone_needs_no_release() {
    assert_snapshot!(release(&[Gone]), @r#"
     0 started: 1
     0 a patch if e1: {"desired":{"power":2}}
    10 a ← gone
    10 a = converged
    10 finished
    "#);
    assert_snapshot!(release(&[Moved, Absent]), @r#"
     0 started: 1
     0 a patch if e1: {"desired":{"power":2}}
    10 a ← moved
    10 a read
    20 a ← absent
    20 a = converged
    20 finished
    "#);
}

#[test]
fn refused() {
    assert_snapshot!(update(&[Refused]), @r#"
     0 started: 1
     0 a patch if e1: {"desired":{"power":2}}
    10 a ← refused
    10 a = failed: PATCH https://h/…: the hub answers 400: ArgumentInvalid
    10 finished
    "#);
}

#[test]
fn taken_but_not_as_planned() {
    assert_snapshot!(update(&[Otherwise]), @r#"
     0 started: 1
     0 a patch if e1: {"desired":{"power":2}}
    10 a ← otherwise
    10 a = failed: the hub took the patch, but its answer does not hold what was planned
    10 finished
    "#);
}

#[test]
fn refused_credentials_end_the_run() {
    let twins = ["a", "b", "c", "d"].map(|id| twin_plan(id, Action::Update));
    assert_snapshot!(PLAIN.run(&twins, &[("a", &[Unauthorized]), ("b", &[Done])]), @r#"
     0 started: 4
     0 a patch if e1: {"desired":{"power":2}}
     0 b patch if e1: {"desired":{"power":2}}
    10 a ← unauthorized
    10 halted: PATCH https://h/…: the hub refuses the credentials: IotHubUnauthorizedAccess
    10 a = failed: PATCH https://h/…: the hub refuses the credentials: IotHubUnauthorizedAccess
    10 b ← done
    10 b = written
    10 c = not attempted
    10 d = not attempted
    10 finished
    "#);
}

#[test]
fn what_the_hub_denies_of_one_twin_is_that_twin_s() {
    let twins = ["a", "b", "c"].map(|id| twin_plan(id, Action::Update));
    for answer in [
        Coded(401, "SystemModuleModifyUnauthorizedAccess"),
        Coded(401, "SomethingNew"),
        Coded(401, ""),
        Coded(403, "DeviceModelMaxPropertiesExceeded"),
        Coded(403, "SomethingNew"),
        Coded(409, "SomethingNew"),
        Gone,
    ] {
        let answers: [(&str, &[Answer]); 3] = [("a", &[answer]), ("b", &[Done]), ("c", &[Done])];
        let log = PLAIN.run(&twins, &answers);
        assert!(log.contains("a = failed: ") && log.contains("b = written") && log.contains("c = written"), "{log}");
        assert!(!log.contains("halted"), "{log}");
    }
}

#[test]
fn what_the_hub_denies_of_all_ends_the_run() {
    let twins: Vec<_> = (0..40).map(|n| twin_plan(&format!("d{n:02}"), Action::Update)).collect();
    for answer in [Coded(401, "SomethingNew"), Coded(401, ""), Coded(403, "GenericForbidden")] {
        let play = Play { concurrency: 1, stop_at: None, otherwise: Some(answer) };
        let log = play.run(&twins, &[]);
        let of = |what: &str| log.lines().filter(|line| line.contains(what)).count();
        assert_eq!((of(" = failed"), of("halted: "), of(" = not attempted")), (10, 1, 30), "{log}");
        // One that passes shows that the others are not for the credentials' sake.
        let log = play.run(&twins, &[("d09", &[Done])]);
        assert_eq!((log.matches(" = failed").count(), log.matches(" = written").count()), (19, 1), "{log}");
    }
}

#[test]
fn credentials_that_were_good_and_are_refused_once_do_not_end_the_run() {
    let twins = ["a", "b", "c"].map(|id| twin_plan(id, Action::Update));
    let play = Play { concurrency: 1, stop_at: None, otherwise: Some(Done) };
    let log = play.run(&twins, &[("b", &[Unauthorized])]);
    assert!(log.contains("b = failed: ") && log.contains("c = written") && !log.contains("halted"), "{log}");
}

#[test]
fn whatever_befalls_all_ends_the_run() {
    for answer in [OutOfQuota, Coded(403, "IotHubSuspended"), Untrusted, Unauthorized] {
        let twins = ["a", "b"].map(|id| twin_plan(id, Action::Update));
        let log = Play { concurrency: 1, stop_at: None, otherwise: None }.run(&twins, &[("a", &[answer])]);
        assert!(log.contains("halted: ") && log.contains("b = not attempted"), "{log}");
    }
}

#[test]
fn registered() {
    assert_snapshot!(register(&[Done, Found("e1", json!({})), Done]), @r#"
     0 started: 1
     0 a register
    10 a ← done
    10 a read
    20 a ← found e1 {}
    20 a patch if e1: {"desired":{"power":2}}
    30 a ← done
    30 a = written, registered
    30 finished
    "#);
}

#[test]
fn registered_and_its_twin_comes_late() {
    assert_snapshot!(register(&[Done, Absent, Found("e1", json!({})), Done]), @r#"
       0 started: 1
       0 a register
      10 a ← done
      10 a read
      20 a ← absent
    1020 a read
    1030 a ← found e1 {}
    1030 a patch if e1: {"desired":{"power":2}}
    1040 a ← done
    1040 a = written, registered
    1040 finished
    "#);
}

#[test]
fn registered_by_somebody_else_and_empty() {
    assert_snapshot!(register(&[Exists, Found("e1", json!({})), Done]), @r#"
     0 started: 1
     0 a register
    10 a ← exists
    10 a read
    20 a ← found e1 {}
    20 a patch if e1: {"desired":{"power":2}}
    30 a ← done
    30 a = written, rebased
    30 finished
    "#);
}

#[test]
fn registered_by_somebody_else_as_declared() {
    assert_snapshot!(register(&[Exists, Found("e4", json!({"power": 2}))]), @r#"
     0 started: 1
     0 a register
    10 a ← exists
    10 a read
    20 a ← found e4 {"power":2}
    20 a = converged
    20 finished
    "#);
}

#[test]
fn registered_by_somebody_else_otherwise() {
    assert_snapshot!(register(&[Exists, Found("e4", json!({"power": 9}))]), @r#"
     0 started: 1
     0 a register
    10 a ← exists
    10 a read
    20 a ← found e4 {"power":9}
    20 a = conflict: desired.power: seen nothing, found 9, planned 2
    20 finished
    "#);
}

#[test]
fn a_lost_registration_that_was_done() {
    assert_snapshot!(register(&[Lost, Found("e1", json!({})), Done]), @r#"
     0 started: 1
     0 a register
    10 a ← lost
    10 a again in 0ns: the answer did not come, so it is read
    10 a read
    20 a ← found e1 {}
    20 a patch if e1: {"desired":{"power":2}}
    30 a ← done
    30 a = written, registered
    30 finished
    "#);
}

#[test]
fn a_lost_registration_that_was_not_done() {
    assert_snapshot!(register(&[Lost, Absent, Done, Found("e1", json!({})), Done]), @r#"
      0 started: 1
      0 a register
     10 a ← lost
     10 a again in 0ns: the answer did not come, so it is read
     10 a read
     20 a ← absent
    510 a register
    520 a ← done
    520 a read
    530 a ← found e1 {}
    530 a patch if e1: {"desired":{"power":2}}
    540 a ← done
    540 a = written, registered
    540 finished
    "#);
}

#[test]
fn a_lost_registration_that_was_done_late() {
    assert_snapshot!(register(&[Lost, Absent, Exists, Found("e1", json!({})), Done]), @r#"
      0 started: 1
      0 a register
     10 a ← lost
     10 a again in 0ns: the answer did not come, so it is read
     10 a read
     20 a ← absent
    510 a register
    520 a ← exists
    520 a read
    530 a ← found e1 {}
    530 a patch if e1: {"desired":{"power":2}}
    540 a ← done
    540 a = written, registered
    540 finished
    "#);
}

#[test]
fn registered_and_then_refused() {
    assert_snapshot!(register(&[Done, Found("e1", json!({})), Refused]), @r#"
     0 started: 1
     0 a register
    10 a ← done
    10 a read
    20 a ← found e1 {}
    20 a patch if e1: {"desired":{"power":2}}
    30 a ← refused
    30 a = failed: the device is registered, but PATCH https://h/…: the hub answers 400: ArgumentInvalid
    30 finished
    "#);
}

#[test]
fn stopped_with_some_under_way() {
    let twins = ["a", "b", "c"].map(|id| twin_plan(id, Action::Update));
    assert_snapshot!(stop_at(5).run(&twins, &[("a", &[Done]), ("b", &[Moved])]), @r#"
     0 started: 3
     0 a patch if e1: {"desired":{"power":2}}
     0 b patch if e1: {"desired":{"power":2}}
     5 interrupted
    10 a ← done
    10 a = written
    10 b ← moved
    10 b = not attempted
    10 c = not attempted
    10 finished
    "#);
}

#[test]
fn stopped_while_waiting() {
    let twins = ["a"].map(|id| twin_plan(id, Action::Update));
    assert_snapshot!(stop_at(50).run(&twins, &[("a", &[Throttled])]), @r#"
     0 started: 1
     0 a patch if e1: {"desired":{"power":2}}
    10 a ← throttled
    10 a again in 5s: too many requests
    50 interrupted
    50 a = not attempted
    50 finished
    "#);
}

#[test]
fn stopped_with_an_answer_lost() {
    let twins = ["a", "b"].map(|id| twin_plan(id, Action::Update));
    let answers: [(&str, &[Answer]); 2] =
        [("a", &[Lost, Found("e2", json!({"power": 2}))]), ("b", &[Lost, Found("e1", json!({"power": 1}))])];
    assert_snapshot!(stop_at(5).run(&twins, &answers), @r#"
     0 started: 2
     0 a patch if e1: {"desired":{"power":2}}
     0 b patch if e1: {"desired":{"power":2}}
     5 interrupted
    10 a ← lost
    10 a again in 0ns: the answer did not come, so it is read
    10 a read
    10 b ← lost
    10 b again in 0ns: the answer did not come, so it is read
    10 b read
    20 a ← found e2 {"power":2}
    20 a = written
    20 b ← found e1 {"power":1}
    20 b = failed: the run ended before it could be sent again: PATCH https://h/…: the answer did not come: connection reset
    20 finished
    "#);
}

#[test]
fn stopped_between_registering_and_writing() {
    let twins = ["a"].map(|id| twin_plan(id, Action::Register));
    assert_snapshot!(stop_at(5).run(&twins, &[("a", &[Done])]), @r"
     0 started: 1
     0 a register
     5 interrupted
    10 a ← done
    10 a = failed: the device is registered, but the run ended before its twin was written
    10 finished
    ");
}
