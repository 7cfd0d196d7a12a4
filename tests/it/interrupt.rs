//! Runs that are stopped, and runs that meet: neither leaves a fleet that the next run cannot finish.

use std::io::Read;
use std::process::{Command, Stdio};

use crate::support::{Hub, Run, Sandbox};

const FLEET: &str =
    "fleet: demo\nmissing: register\ndefaults: { desired: { a: 1 } }\ndevices: { 'd{0001..1500}': {} }\n";

/// Waits until the hub has seen some writes, so that the run is in the middle.
fn wait_for_writes(hub: &Hub, count: usize) {
    while hub.requests().iter().filter(|request| request["method"] == "PATCH").count() < count {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_finishes_what_is_under_way_and_the_next_run_the_rest() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    sandbox.write("fleet.yaml", FLEET);
    let apply = sandbox
        .command_on(&hub, ["apply", "fleet.yaml", "--yes"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("apply starts");
    wait_for_writes(&hub, 50);
    let sent = Command::new("kill").args(["-INT", &apply.id().to_string()]).status().expect("kill");
    assert!(sent.success());
    let output = apply.wait_with_output().expect("apply ends");
    let run = Run::from_output(&output, &sandbox.path(""));
    assert_eq!(run.code, 130, "{run}");
    assert!(run.stdout.contains("Interrupted: ") && run.stdout.contains(" not attempted"), "{run}");
    let written =
        hub.requests().iter().filter(|request| request["method"] == "PATCH" && request["status"] == 200).count();
    assert!(
        run.stdout.contains(&format!("Interrupted: {} twins written", grouped(written))),
        "{written} on the hub\n{run}"
    );

    sandbox.on(&hub, ["apply", "fleet.yaml", "--yes"]).success();
    sandbox.on(&hub, ["plan", "fleet.yaml", "--detailed-exitcode"]).success();
    let written =
        hub.requests().iter().filter(|request| request["method"] == "PATCH" && request["status"] == 200).count();
    assert_eq!(written, 1500, "no twin was written twice");
}

fn grouped(number: usize) -> String {
    match number {
        0..1000 => number.to_string(),
        _ => format!("{},{:03}", number / 1000, number % 1000),
    }
}

#[cfg(target_os = "linux")]
fn send(signal: &str, pid: u32) {
    assert!(Command::new("kill").args([signal, &pid.to_string()]).status().expect("kill").success());
}

#[cfg(target_os = "linux")]
#[test]
fn a_terminal_that_closes_ends_apply_with_a_report() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    sandbox.write("fleet.yaml", FLEET);
    let mut apply = sandbox.command_on(&hub, ["apply", "fleet.yaml", "--yes"]);
    let apply = apply.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("apply starts");
    wait_for_writes(&hub, 50);
    // Once from the terminal, and once from its shell.
    send("-HUP", apply.id());
    send("-HUP", apply.id());
    let run = Run::from_output(&apply.wait_with_output().expect("apply ends"), &sandbox.path(""));
    assert_eq!(run.code, 130, "{run}");
    assert!(run.stdout.contains("Interrupted: ") && run.stdout.contains(" not attempted"), "{run}");
    sandbox.on(&hub, ["apply", "fleet.yaml", "--yes"]).success();
}

/// Nobody writes to the pipe, so that reading it ends never.
#[cfg(target_os = "linux")]
#[test]
fn a_command_that_waits_for_a_pipe_can_be_stopped() {
    let sandbox = Sandbox::new();
    sandbox.write("fleet.yaml", "fleet: demo\n");
    let pipe = sandbox.path("pipe.yaml");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    for args in [&["validate", "pipe.yaml"][..], &["render", "fleet.yaml", "--vars", "pipe.yaml"]] {
        for signal in ["-INT", "-TERM", "-HUP"] {
            let mut child = sandbox.command(args).stderr(Stdio::null()).stdout(Stdio::null()).spawn().expect("a child");
            let status = format!("/proc/{}/status", child.id());
            let is_caught = || {
                let status = std::fs::read_to_string(&status).unwrap_or_default();
                let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).map(str::trim).unwrap_or("0");
                u64::from_str_radix(mask, 16).is_ok_and(|mask| mask & (1 << 14) != 0)
            };
            while !is_caught() {
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            send(signal, child.id());
            assert_eq!(child.wait().expect("it ends").code(), Some(130), "{args:?} {signal}");
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn what_was_started_to_survive_its_terminal_does() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    sandbox.write("fleet.yaml", &FLEET.replace("1500", "0600"));
    let plain = sandbox.command_on(&hub, ["apply", "fleet.yaml", "--yes"]);
    // As nohup does it.
    let mut apply = Command::new("sh");
    apply.args(["-c", "trap '' HUP; exec \"$@\"", "sh"]).arg(plain.get_program()).args(plain.get_args());
    apply.env_clear().envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    apply.current_dir(sandbox.path("")).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let apply = apply.spawn().expect("apply starts");
    wait_for_writes(&hub, 50);
    send("-HUP", apply.id());
    let run = Run::from_output(&apply.wait_with_output().expect("apply ends"), &sandbox.path(""));
    assert!(run.success().contains("Applied: 600 twins written"));
}

#[cfg(target_os = "linux")]
#[test]
fn a_hub_stops_in_good_order_when_its_terminal_closes() {
    let sandbox = Sandbox::new();
    let ready = sandbox.path("ready.json");
    let mut hub = sandbox.command(["hub", "serve", "--https", "127.0.0.1:0", "--data", "hub", "--ready-file"]);
    let mut hub = hub.arg(&ready).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the hub starts");
    while !ready.exists() {
        assert!(hub.try_wait().expect("a child").is_none(), "the hub did not come up");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    send("-HUP", hub.id());
    assert_eq!(hub.wait().expect("it ends").code(), Some(0));
}

#[test]
fn two_runs_at_once_share_the_work() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    sandbox.write("fleet.yaml", &FLEET.replace("1500", "0300"));
    sandbox.on(&hub, ["apply", "fleet.yaml", "--yes"]).success();
    sandbox.write("fleet.yaml", &FLEET.replace("1500", "0300").replace("a: 1", "a: 2"));
    let runs: Vec<_> = (0..2)
        .map(|_| {
            sandbox
                .command_on(&hub, ["apply", "fleet.yaml", "--yes"])
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .expect("apply starts")
        })
        .collect();
    for mut run in runs {
        let mut text = String::new();
        run.stdout.take().expect("a pipe").read_to_string(&mut text).expect("UTF-8");
        assert!(run.wait().expect("apply ends").success(), "{text}");
    }
    sandbox.on(&hub, ["plan", "fleet.yaml", "--detailed-exitcode"]).success();
}

#[cfg(unix)]
#[test]
fn a_check_that_waits_says_that_it_was_interrupted() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    let check = "checks: [{ name: some, query: SELECT deviceId FROM devices, expect: some, within: 10m }]\n";
    sandbox.write("fleet.yaml", &format!("{FLEET}{check}"));
    let check = sandbox
        .command_on(&hub, ["check", "fleet.yaml"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("check starts");
    while !hub.requests().iter().any(|request| request["path"] == "/devices/query") {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let sent = Command::new("kill").args(["-TERM", &check.id().to_string()]).status().expect("kill");
    assert!(sent.success());
    let output = check.wait_with_output().expect("check ends");
    let run = Run::from_output(&output, &sandbox.path(""));
    assert_eq!((run.code, run.stderr.trim()), (130, "interrupted"), "{run}");
}
