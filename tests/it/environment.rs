//! Whatever the environment holds that is not meant for twinctl: it neither panics nor answers otherwise.

use std::process::{Command, Stdio};

use crate::support::{Run, Sandbox};

const FLEET: &str = "fleet: demo\nmissing: register\ndevices: { 'd-{1..3}': { desired: { a: 1 } } }\n";

const VARIABLES: [(&str, &str); 20] = [
    ("TOKIO_WORKER_THREADS", "0"),
    ("TOKIO_WORKER_THREADS", "abc"),
    ("TOKIO_WORKER_THREADS", "1000000"),
    ("RUST_MIN_STACK", "1"),
    ("RUST_MIN_STACK", "abc"),
    ("RUST_LOG", "trace"),
    ("RUST_BACKTRACE", "full"),
    ("RAYON_NUM_THREADS", "0"),
    ("TERM", ""),
    ("TERM", "nonsense"),
    ("COLUMNS", "0"),
    ("COLUMNS", "1"),
    ("COLUMNS", "-1"),
    ("COLUMNS", "18446744073709551615"),
    ("LC_ALL", "xx_YY"),
    ("TZ", "nowhere"),
    ("HOME", ""),
    ("CLICOLOR", "x"),
    ("SSL_CERT_FILE", "/nowhere"),
    ("SSL_CERT_DIR", "/nowhere"),
];

#[test]
fn variables_that_are_not_ours_change_nothing() {
    let sandbox = Sandbox::new();
    sandbox.write("fleet.yaml", FLEET);
    let validate = ["validate", "fleet.yaml"];
    let plain = sandbox.twinctl(validate).success();
    for (name, value) in VARIABLES {
        let run = Run::of(sandbox.command(validate).env(name, value), &sandbox.path(""));
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{name}={value}: {run}");
        assert_eq!(run.stdout, plain, "{name}={value}");
    }
    let run = Run::of(sandbox.command(validate).env_remove("HOME").env_remove("PATH"), &sandbox.path(""));
    assert_eq!(run.success(), plain);
}

#[test]
fn threads_are_ours() {
    let sandbox = Sandbox::new();
    sandbox.write("fleet.yaml", FLEET);
    let apply = ["apply", "fleet.yaml", "--hub", "embedded", "--yes"];
    for (name, value) in [("TOKIO_WORKER_THREADS", "0"), ("RUST_MIN_STACK", "1"), ("SSL_CERT_FILE", "/nowhere")] {
        let run = Run::of(sandbox.command(apply).env(name, value), &sandbox.path(""));
        assert_eq!(run.code, 0, "{name}={value}: {run}");
        assert!(run.stdout.contains("Applied: 3 twins written"), "{name}={value}: {run}");
    }
}

#[test]
fn a_folder_for_temporary_files_that_is_not_there_is_named() {
    let sandbox = Sandbox::new();
    sandbox.write("fleet.yaml", FLEET);
    let plan = ["plan", "fleet.yaml", "--hub", "embedded"];
    let run = Run::of(sandbox.command(plan).env("TMPDIR", "/nowhere"), &sandbox.path(""));
    assert_eq!(run.code, 1, "{run}");
    assert!(run.stderr.contains("/nowhere") && !run.stderr.contains("panicked"), "{run}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_small_stack_of_the_first_thread_is_enough() {
    let sandbox = Sandbox::new();
    sandbox.write("fleet.yaml", FLEET);
    let plain = sandbox.command(["apply", "fleet.yaml", "--hub", "embedded", "--yes"]);
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -s 128; exec \"$@\"", "sh"]).arg(plain.get_program()).args(plain.get_args());
    let run = Run::of(shell.current_dir(sandbox.path("")).stdin(Stdio::null()), &sandbox.path(""));
    assert!(run.success().contains("Applied: 3 twins written"));
}

#[cfg(unix)]
#[test]
fn streams_may_be_closed() {
    let sandbox = Sandbox::new();
    sandbox.write("fleet.yaml", FLEET);
    for closed in ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"] {
        let plain = sandbox.command(["validate", "fleet.yaml"]);
        let mut shell = Command::new("sh");
        shell.args(["-c", &format!("exec \"$@\" {closed}"), "sh"]).arg(plain.get_program()).args(plain.get_args());
        let run = Run::of(shell.current_dir(sandbox.path("")).stdin(Stdio::null()), &sandbox.path(""));
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{closed}: {run}");
    }
}
