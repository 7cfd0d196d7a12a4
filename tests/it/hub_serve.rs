//! `twinctl hub serve` as whoever starts it meets it: the ready file from start to end, and how it is stopped.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Hub, Run, Sandbox};

/// Nothing here takes so long when all is well.
const PATIENCE: Duration = Duration::from_secs(60);

fn serve(sandbox: &Sandbox, data: &str, https: &str) -> Command {
    let mut command = sandbox.command(["hub", "serve", "--ready-file", "ready.json", "--data", data, "--https", https]);
    command.args(["--mqtt", "127.0.0.1:0", "--amqp", "127.0.0.1:0"]);
    command
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "never so: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn send(signal: &str, child: &Child) {
    assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().expect("kill").success());
}

#[test]
fn no_ready_file_outlives_its_hub() {
    let sandbox = Sandbox::new();
    let ready = sandbox.path("ready.json");
    // One that an earlier hub left, which was killed.
    sandbox.write("ready.json", "{\"hostName\": \"old\"}\n");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let run = Run::of(&mut serve(&sandbox, "hub", &address), &sandbox.path(""));
    assert!(run.code == 1 && run.stderr.contains("which another process has"), "{run}");
    assert!(!ready.exists(), "the start failed");

    sandbox.write("ready.json", "{\"hostName\": \"old\"}\n");
    let mut first =
        serve(&sandbox, "hub", "127.0.0.1:0").stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it");
    wait_until("ready", || std::fs::read_to_string(&ready).is_ok_and(|text| text.contains("connectionStrings")));
    // A second one on the same folder leaves the first one's file.
    let text = sandbox.read("ready.json");
    let run = Run::of(&mut serve(&sandbox, "hub", "127.0.0.1:0"), &sandbox.path(""));
    assert!(run.code == 1 && run.stderr.contains("in use"), "{run}");
    assert_eq!(sandbox.read("ready.json"), text);
    send("-TERM", &first);
    assert_eq!(first.wait().expect("it ends").code(), Some(0));
    assert!(!ready.exists(), "it stopped in good order");
}

/// Requests under way have their time, and a second Ctrl-C ends that.
#[test]
fn a_second_ctrl_c_stops_at_once() {
    let sandbox = Sandbox::new();
    let hub = Hub::serve(&sandbox, &[]);
    hub.create("d");
    sandbox.on(&hub, ["hub", "faults", "set", "GET /twins/* slow 60s"]).success();
    let log = || std::fs::read_to_string(hub.data().with_extension("log")).expect("what the hub prints");
    let mut show = sandbox.command_on(&hub, ["hub", "device", "show", "d"]);
    let mut show = show.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    wait_until("asked", || sandbox.on(&hub, ["hub", "faults", "show"]).success().contains("1    1  GET /twins/*"));
    let kill = |signal: &str| {
        assert!(Command::new("kill").args([signal, &hub.pid().to_string()]).status().expect("kill").success());
    };
    kill("-INT");
    wait_until("told", || log().contains("stopping: requests under way have up to 10 s; Ctrl-C again stops at once"));
    let begun = Instant::now();
    kill("-INT");
    let exit = hub.exit_code();
    assert_eq!(exit, Some(130));
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    show.wait().expect("it ends");
}

/// Without anything under way there is nothing to wait for.
#[test]
fn an_idle_hub_stops_soon() {
    let sandbox = Sandbox::new();
    let hub: Hub = Hub::serve(&sandbox, &[]);
    hub.create("d");
    let begun = Instant::now();
    assert!(Command::new("kill").args(["-INT", &hub.pid().to_string()]).status().expect("kill").success());
    assert_eq!(hub.exit_code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
}
