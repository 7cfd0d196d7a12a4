//! Modules among what is written: one script a case.

use insta::assert_snapshot;
use serde_json::json;

use super::Answer::*;
use super::script::{PLAIN, stop_at};
use super::*;

#[test]
fn a_module_is_registered_after_its_device() {
    let twins = [
        twin_plan("a", Action::Register),
        twin_plan("a/m", Action::Register),
        twin_plan("a/n", Action::Register),
        twin_plan("b", Action::Update),
        twin_plan("b/m", Action::Register),
    ];
    let made = || [Done, Found("e2", json!({})), Done];
    let answers: [(&str, &[Answer]); 5] =
        [("a", &made()), ("a/m", &made()), ("a/n", &made()), ("b", &[Done]), ("b/m", &made())];
    assert_snapshot!(PLAIN.run(&twins, &answers), @r#"
     0 started: 5
     0 a register
     0 b patch if e1: {"desired":{"power":2}}
    10 a ← done
    10 a read
    10 b ← done
    10 b = written
    10 b/m register
    20 a ← found e2 {}
    20 a patch if e2: {"desired":{"power":2}}
    20 b/m ← done
    20 b/m read
    30 a ← done
    30 a = written, registered
    30 a/m register
    30 b/m ← found e2 {}
    30 b/m patch if e2: {"desired":{"power":2}}
    40 a/m ← done
    40 a/m read
    40 b/m ← done
    40 b/m = written, registered
    40 a/n register
    50 a/m ← found e2 {}
    50 a/m patch if e2: {"desired":{"power":2}}
    50 a/n ← done
    50 a/n read
    60 a/m ← done
    60 a/m = written, registered
    60 a/n ← found e2 {}
    60 a/n patch if e2: {"desired":{"power":2}}
    70 a/n ← done
    70 a/n = written, registered
    70 finished
    "#);
}

#[test]
fn the_order_of_the_plan_does_not_matter_to_modules() {
    let twins = [twin_plan("a/m", Action::Register), twin_plan("a", Action::Register)];
    let made = || [Done, Found("e2", json!({})), Done];
    assert_snapshot!(PLAIN.run(&twins, &[("a", &made()), ("a/m", &made())]), @r#"
     0 started: 2
     0 a register
    10 a ← done
    10 a read
    20 a ← found e2 {}
    20 a patch if e2: {"desired":{"power":2}}
    30 a ← done
    30 a = written, registered
    30 a/m register
    40 a/m ← done
    40 a/m read
    50 a/m ← found e2 {}
    50 a/m patch if e2: {"desired":{"power":2}}
    60 a/m ← done
    60 a/m = written, registered
    60 finished
    "#);
}

#[test]
fn a_module_fails_with_its_device() {
    let twins = ["a", "a/m", "a/n", "a/o", "b"].map(|id| twin_plan(id, Action::Register));
    // Where one request at a time is sent, some modules have not had their turn when the device fails.
    for concurrency in [1, 4] {
        let play = Play { concurrency, stop_at: None, otherwise: None };
        let log = play.run(&twins, &[("a", &[Refused]), ("b", &[Done, Found("e2", json!({})), Done])]);
        for module in ["a/m", "a/n", "a/o"] {
            assert!(log.contains(&format!("{module} = failed: its device could not be registered")), "{log}");
        }
        assert!(log.contains("b = written, registered"), "{log}");
    }
}

#[test]
fn a_module_goes_on_when_its_device_is_there_but_not_as_planned() {
    let twins = ["a", "a/m"].map(|id| twin_plan(id, Action::Register));
    let log = PLAIN.run(
        &twins,
        &[("a", &[Exists, Found("e9", json!({"power": 9}))]), ("a/m", &[Done, Found("e2", json!({})), Done])],
    );
    assert!(log.contains("a = conflict") && log.contains("a/m = written, registered"), "{log}");
}

#[test]
fn a_disabled_device_is_no_reason_to_halt() {
    // The service answers a module's creation with 401 where its device is missing or disabled.
    let twins = [twin_plan("a/m", Action::Register), twin_plan("b", Action::Update), twin_plan("c", Action::Register)];
    let log =
        PLAIN.run(&twins, &[("a/m", &[Unauthorized]), ("b", &[Done]), ("c", &[Done, Found("e2", json!({})), Done])]);
    assert_snapshot!(log, @r#"
     0 started: 3
     0 a/m register
     0 b patch if e1: {"desired":{"power":2}}
    10 a/m ← unauthorized
    10 a/m = failed: PATCH https://h/…: the hub refuses the credentials: IotHubUnauthorizedAccess; of a module it says so too where its device is missing or disabled
    10 c register
    10 b ← done
    10 b = written
    20 c ← done
    20 c read
    30 c ← found e2 {}
    30 c patch if e2: {"desired":{"power":2}}
    40 c ← done
    40 c = written, registered
    40 finished
    "#);
}

#[test]
fn a_module_whose_device_is_awaited_is_not_attempted_once_the_run_ends() {
    let twins = ["a", "a/m", "b"].map(|id| twin_plan(id, Action::Register));
    let play = Play { concurrency: 1, ..stop_at(5) };
    assert_snapshot!(play.run(&twins, &[("a", &[Done])]), @r"
     0 started: 3
     0 a register
     5 interrupted
    10 a ← done
    10 a = failed: the device is registered, but the run ended before its twin was written
    10 a/m = not attempted
    10 b = not attempted
    10 finished
    ");
    let halted = PLAIN.run(&twins[..2], &[("a", &[Unauthorized])]);
    assert_snapshot!(halted, @r"
     0 started: 2
     0 a register
    10 a ← unauthorized
    10 halted: PATCH https://h/…: the hub refuses the credentials: IotHubUnauthorizedAccess
    10 a = failed: PATCH https://h/…: the hub refuses the credentials: IotHubUnauthorizedAccess
    10 a/m = not attempted
    10 finished
    ");
}

#[test]
fn a_module_that_is_gone() {
    assert_snapshot!(PLAIN.run(&[twin_plan("a/m", Action::Update)], &[("a/m", &[Moved, Absent])]), @r#"
     0 started: 1
     0 a/m patch if e1: {"desired":{"power":2}}
    10 a/m ← moved
    10 a/m read
    20 a/m ← absent
    20 a/m = failed: the module is gone from the hub
    20 finished
    "#);
}
