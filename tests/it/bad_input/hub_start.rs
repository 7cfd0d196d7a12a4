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
    let hub = Hub::serve(&sandbox, &[]);
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
    let hub = Hub::serve(&sandbox, &[]);
    assert_eq!(hub.twin("d1")["deviceId"], json!("d1"));
}

/// Every command that opens the directory refuses a damaged file by its name, says what to do, and leaves the file alone.
#[cfg(unix)]
#[test]
fn damaged_files() {
    use std::fmt::Write;
    use std::fs;

    let sandbox = Sandbox::new();
    sandbox.twinctl(["hub", "device", "add", "d1", "--data", "hub"]).success();
    sandbox.write("fleet.yaml", "fleet: demo\nmissing: register\ndevices: { d1: { tags: { a: 1 } } }\n");
    // The certificate authority is made by the first server.
    sandbox.twinctl(["plan", "fleet.yaml", "--hub", "embedded:hub"]).success();
    let whole = |name: &str| fs::read(sandbox.path("hub").join(name)).expect(name);
    let all = ["hub.redb", "hub.commits", "ca-key.pem", "ca.pem", "policies.json"].map(|name| (name, whole(name)));
    let store = whole("hub.redb");
    let mut flipped = store.clone();
    let at = flipped.windows(4).position(|bytes| bytes == b"\"d1\"").expect("the device's record");
    flipped[at + 1] ^= 1;
    let mut key = whole("ca-key.pem");
    key[60] = b'!';
    let mut certificate = whole("ca.pem");
    certificate[200] = if certificate[200] == b'A' { b'B' } else { b'A' };

    let serve = ["hub", "serve", "--https", "127.0.0.1:0", "--data", "hub"];
    let mut conversation = String::new();
    for (what, name, content) in [
        ("a bit of a value flipped", "hub.redb", Some(flipped)),
        ("half of it", "hub.redb", Some(store[..store.len() / 2].to_vec())),
        ("emptied", "hub.redb", Some(Vec::new())),
        ("zeros", "hub.redb", Some(vec![0; store.len()])),
        ("a file of another format", "hub.redb", Some(b"SQLite format 3\0".repeat(1000))),
        ("missing", "hub.redb", None),
        ("emptied", "hub.commits", Some(Vec::new())),
        ("damaged", "ca-key.pem", Some(key)),
        ("missing", "ca-key.pem", None),
        ("damaged", "ca.pem", Some(certificate)),
        ("binary", "policies.json", Some(vec![0xff; 9])),
    ] {
        let path = sandbox.path("hub").join(name);
        match &content {
            Some(content) => fs::write(&path, content).expect("written"),
            None => fs::remove_file(&path).expect("removed"),
        }
        let commands = [
            &serve[..],
            &["plan", "fleet.yaml", "--hub", "embedded:hub"],
            &["hub", "device", "list", "--data", "hub"],
            &["hub", "device", "add", "d2", "--data", "hub"],
        ];
        // Without a server, nobody needs the authority.
        let count = if name.starts_with("ca") { 2 } else { commands.len() };
        let runs: Vec<Run> = commands[..count].iter().map(|args| sandbox.twinctl(*args)).collect();
        for run in &runs {
            assert_eq!((run.code, run.stdout.as_str()), (1, ""), "{what}: {run}");
            assert_eq!(run.stderr, runs[0].stderr, "{what}");
        }
        assert_eq!(fs::read(&path).ok(), content, "{what}: it is left alone");
        writeln!(conversation, "{name}, {what}\n{}\n", runs[0]).expect("text");

        // What the hint says works as printed.
        let home = sandbox.path("");
        let (_, hint) = runs[0].stderr.split_once("hint: ").expect("a hint");
        let at = hint.find(": rm ").or(hint.find(": mv ")).expect("a command");
        let command = hint[at + 2..].trim().replace("[HOME]", home.to_str().expect("UTF-8"));
        let done = Command::new("sh").args(["-c", &command]).current_dir("/").status().expect("a shell");
        assert!(done.success(), "{command}");
        let _ = sandbox.twinctl(["plan", "fleet.yaml", "--hub", "embedded:hub"]).success();
        if command.starts_with("mv ") {
            fs::remove_dir_all(sandbox.path("hub")).expect("the new hub");
            fs::rename(sandbox.path("hub.damaged"), sandbox.path("hub")).expect("the damaged one");
        }
        for (name, content) in &all {
            fs::write(sandbox.path("hub").join(name), content).expect("written");
        }
    }
    snapshot("hub_damaged_files", conversation);
}

/// A disk that fills up while the hub serves costs no write that was acknowledged, and no panic.
#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_fills_up() {
    let sandbox = Sandbox::new();
    let mut command = Command::new("sh");
    // In blocks of 512 or 1,024 bytes: room for the store and for some growth.
    command.args(["-c", "ulimit -f 8192; trap '' XFSZ; exec \"$@\"", "sh", crate::support::TWINCTL]);
    command.args(["hub", "serve", "--https", "127.0.0.1:0"]).current_dir(sandbox.path(""));
    scrub(&mut command, &sandbox.path(""));
    let hub = Hub::serve_by(&sandbox, command, &[]);
    let mut kept = Vec::new();
    let text = "x".repeat(4000);
    let answer = loop {
        let id = format!("d{}", kept.len());
        let desired: serde_json::Map<_, _> = (0..7).map(|n| (format!("t{n}"), json!(text))).collect();
        let created = hub.send("PUT", &format!("/devices/{id}"), None, Some(json!({ "deviceId": id })));
        if created.status != 200 {
            break created;
        }
        let body = json!({ "properties": { "desired": desired } });
        let written = hub.send("PATCH", &format!("/twins/{id}"), None, Some(body));
        kept.push((id, written.status == 200));
        if written.status != 200 {
            break written;
        }
        assert!(kept.len() < 1000, "the limit is too high");
    };
    assert_eq!(answer.status, 503, "{}", answer.body);
    assert!(answer.body.to_string().contains("takes no more writes until it is started again"), "{}", answer.body);
    drop(hub);
    assert!(!sandbox.read("hub-data.log").contains("panicked"), "{}", sandbox.read("hub-data.log"));
    let hub = Hub::serve(&sandbox, &[]);
    assert!(kept.len() > 10, "{}", kept.len());
    for (id, whole) in kept.iter().filter(|(_, whole)| *whole) {
        assert_eq!(hub.twin(id)["properties"]["desired"]["t6"] == json!(text), *whole, "{id}");
    }
}

/// A first start that is killed leaves nothing that a second one takes for a lost store.
#[test]
fn a_first_start_that_is_killed() {
    let sandbox = Sandbox::new();
    let mut killed = 0;
    for moment in 0..12 {
        let data = format!("hub-{moment}");
        let mut hub = sandbox.command(["hub", "serve", "--https", "127.0.0.1:0", "--data", &data]);
        let silent = std::process::Stdio::null;
        let mut hub = hub.stdout(silent()).stderr(silent()).spawn().expect("it starts");
        // From before the directory is made to after the last file, on machines of any speed.
        for _ in 0..moment {
            let made = std::fs::read_dir(sandbox.path(&data)).map_or(0, Iterator::count);
            if made > moment / 2 {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(4));
        }
        hub.kill().expect("kill -9");
        hub.wait().expect("an ended child");
        killed += usize::from(!sandbox.path(&data).join("ca.pem").exists());
        let run = sandbox.twinctl(["hub", "device", "add", "d1", "--data", &data]);
        assert_eq!(run.code, 0, "{moment}: {run}");
    }
    assert!(killed > 0, "some end before all is made");
}
