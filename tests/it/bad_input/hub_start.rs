//! The embedded hub where it cannot start, or not go on.

use std::process::Command;

use serde_json::json;

use crate::support::{Hub, Run, Sandbox, scrub, snapshot};

#[test]
fn a_port_that_is_taken() {
    let sandbox = Sandbox::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let run = sandbox.twinctl(["hub", "serve", "--data", "data", "--https", &address]);
    assert_eq!(run.code, 1, "{run}");
    snapshot("hub_port_taken", run);
}

#[test]
fn a_folder_in_use_by_another_server() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    let data = hub.data().to_str().expect("UTF-8");
    let pid = hub.pid().to_string();
    for (name, args) in [
        ("hub_folder_in_use", vec!["hub", "serve", "--https", "127.0.0.1:0", "--data", data]),
        ("hub_folder_in_use_offline", vec!["hub", "device", "list", "--data", data]),
    ] {
        let run = sandbox.twinctl(&args);
        assert_eq!(run.code, 1, "{run}");
        assert!(run.stderr.contains(&pid), "it names the process: {run}");
        snapshot(name, run.to_string().replace(&pid, "[PID]"));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_cannot_be_written() {
    let sandbox = Sandbox::new();
    // Where even root may not make a folder.
    let run = sandbox.twinctl(["hub", "serve", "--https", "127.0.0.1:0", "--data", "/sys/twinctl"]);
    assert_eq!(run.code, 1, "{run}");
    snapshot("hub_folder_read_only", run);
    sandbox.write("file", "");
    let run = sandbox.twinctl(["hub", "serve", "--https", "127.0.0.1:0", "--data", "file"]);
    assert_eq!(run.code, 1, "{run}");
    snapshot("hub_folder_is_a_file", run);
}

/// A limit on the size of files stands for the full disk: writes fail in the same way.
#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_is_full() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    hub.create("d1");
    drop(hub);
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -f 0; trap '' XFSZ; exec \"$@\"", "sh", crate::support::TWINCTL]);
    command.args(["hub", "serve", "--https", "127.0.0.1:0", "--data", "hub-data"]).current_dir(sandbox.path(""));
    scrub(&mut command, &sandbox.path(""));
    let run = Run::of(&mut command, &sandbox.path(""));
    assert_eq!(run.code, 1, "{run}");
    snapshot("hub_disk_full_at_start", run);
    // And nothing is lost by it.
    let hub = Hub::start(&sandbox, &[]);
    assert_eq!(hub.twin("d1")["deviceId"], json!("d1"));
}
