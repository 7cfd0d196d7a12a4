//! The command line itself.

use std::fmt::Write;

use crate::support::{Sandbox, snapshot};

const FLEET: &str = "fleet: demo\nmissing: register\ndevices: { d1: { desired: { a: 1 } } }\n";

#[test]
fn no_hub_is_an_error_that_names_the_ways() {
    let sandbox = Sandbox::new();
    sandbox.write("fleet.yaml", FLEET);
    let mut conversation = String::new();
    for args in [
        vec!["plan", "fleet.yaml"],
        vec!["apply", "fleet.yaml", "--yes"],
        vec!["plan", "fleet.yaml", "--hub", "my-hub.azure-devices.net"],
        vec!["plan", "fleet.yaml", "--connection-string", "HostName=a;SharedAccessKey=c2VjcmV0"],
        vec![
            "plan",
            "fleet.yaml",
            "--hub",
            "embedded",
            "--connection-string",
            "HostName=a;SharedAccessKeyName=b;SharedAccessKey=c2VjcmV0",
        ],
    ] {
        let run = sandbox.twinctl(&args);
        assert_eq!(run.code, 1, "{run}");
        assert!(!run.to_string().contains("c2VjcmV0"), "a key in the output: {run}");
        writeln!(conversation, "$ twinctl {}\n{run}\n", args.join(" ").replace("c2VjcmV0", "[KEY]")).expect("text");
    }
    snapshot("no_hub", conversation);
}

#[test]
fn a_connection_string_in_the_wrong_place_is_not_repeated() {
    const STRING: &str = "HostName=a;SharedAccessKeyName=b;SharedAccessKey=c2VjcmV0";
    let sandbox = Sandbox::new();
    sandbox.write("fleet.yaml", FLEET);
    let option = format!("--only={STRING}");
    for args in [
        &["plan", "fleet.yaml", "--hub", STRING][..],
        &["plan", STRING],
        &["plan", "fleet.yaml", "--concurrency", STRING],
        &["plan", "fleet.yaml", "--only", STRING],
        &["plan", "fleet.yaml", &option],
        &[STRING],
        &["apply", STRING, "--yes", "--color", "always"],
        &["query", STRING],
        &["show", STRING],
        &["explain", STRING],
        &["hub", "device", "add", "--data", "hub", "d1", STRING],
        &["hub", "device", "add", "--data", "hub", "--", STRING],
        &["hub", "device", "show", "--data", "hub", STRING],
        &["hub", "device", "list", "--data", STRING],
        &["hub", "faults", "set", STRING],
        &["hub", "token", "--data", "hub", "--policy", STRING],
        &["hub", "token", "--device", STRING],
        &["hub", "serve", "--data", STRING],
        &["device", "run", "--id", STRING],
        &["import", "--out", STRING],
    ] {
        let run = sandbox.twinctl(args);
        assert_eq!(run.code, 1, "{args:?}: {run}");
        assert!(!run.to_string().contains("c2VjcmV0"), "a key in the output: {run}");
        assert!(run.stderr.contains("is a connection string, and none belongs there"), "{args:?}: {run}");
        assert!(run.stderr.contains("goes into IOTHUB_CONNECTION_STRING"), "{run}");
    }
    let made: Vec<_> = std::fs::read_dir(sandbox.path("")).expect("a folder").collect();
    assert_eq!(made.len(), 1, "nothing but the manifest: {made:?}");
    // A failed step shows its error beside the pull request, too.
    let mut command = sandbox.command(["validate", STRING, "--annotations", "github"]);
    let output = command.output().expect("the binary starts");
    assert!(!String::from_utf8_lossy(&output.stderr).contains("c2VjcmV0"), "{output:?}");
}

#[test]
fn apply_without_a_terminal_needs_yes() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    sandbox.write("fleet.yaml", FLEET);
    let run = sandbox.on(&hub, ["apply", "fleet.yaml"]);
    assert_eq!(run.code, 1, "{run}");
    snapshot("apply_needs_yes", run);
    assert!(hub.requests().iter().all(|request| request["method"] == "GET" || request["path"] == "/devices/query"));
}

#[test]
fn a_manifest_for_another_hub_is_refused() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    sandbox.write("fleet.yaml", &format!("hub: production.azure-devices.net\n{FLEET}"));
    let run = sandbox.on(&hub, ["apply", "fleet.yaml", "--yes"]);
    assert_eq!(run.code, 3, "{run}");
    snapshot("hub_guard", run);
    assert_eq!(hub.requests().len(), 0);
}

#[test]
fn mistyped_commands() {
    let sandbox = Sandbox::new();
    let mut conversation = String::new();
    for args in [vec!["plna"], vec!["plan", "--formt", "json"], vec!["plan", "--format", "yaml"], vec!["query"]] {
        let run = sandbox.twinctl(&args);
        assert_eq!(run.code, 1, "{run}");
        writeln!(conversation, "$ twinctl {}\n{run}\n", args.join(" ")).expect("text");
    }
    snapshot("bad_usage", conversation);
}

#[test]
fn a_failed_check_exits_6() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    let check = "checks:\n  - name: five of them\n    query: SELECT deviceId FROM devices\n    expect: { count: '>= 5' }\n    within: 1s\n";
    sandbox.write("fleet.yaml", &format!("{FLEET}{check}"));
    let run = sandbox.on(&hub, ["apply", "fleet.yaml", "--yes"]);
    assert_eq!(run.code, 6, "{run}");
    snapshot("check_failed_in_apply", run);
    let mut conversation = String::new();
    for format in ["text", "json", "junit"] {
        let run = sandbox.on(&hub, ["check", "fleet.yaml", "--format", format]);
        assert_eq!(run.code, 6, "{run}");
        writeln!(conversation, "$ twinctl check fleet.yaml --format {format}\n{run}\n").expect("text");
    }
    snapshot("check_failed", conversation);
}
