//! `doctor`: what it finds, and that it tells no secret.

use std::fmt::Write;

use iothub_emulator::Tier;

use crate::support::{Hub, Run, Sandbox, snapshot};

fn examine(sandbox: &Sandbox, connection: Option<&str>, more: &[&str]) -> Run {
    let mut command = sandbox.command(["doctor"].iter().chain(more));
    if let Some(connection) = connection {
        command.env("IOTHUB_CONNECTION_STRING", connection);
    }
    Run::of(&mut command, &sandbox.path(""))
}

#[test]
fn what_ails() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    hub.create("d1");
    let elsewhere = Sandbox::new();
    let stranger = elsewhere.hub();
    let owner = hub.connection_string("iothubowner");
    let (host, _) = owner.split_once(';').expect("a connection string");
    let wrong_key = format!("{host};SharedAccessKeyName=iothubowner;SharedAccessKey=d3Jvbmcga2V5");
    let nowhere = "HostName=no-such-hub.invalid;SharedAccessKeyName=service;SharedAccessKey=d3Jvbmcga2V5";
    let closed = "HostName=127.0.0.1:1;SharedAccessKeyName=service;SharedAccessKey=d3Jvbmcga2V5";
    let mqtt = owner.replace(host, &format!("HostName={}", hub.ready()["mqtt"].as_str().expect("a door")));
    let ca = ["--ca-file", hub.ca_file()];
    let mut said = String::new();
    for (what, connection, more, code) in [
        ("nothing", Some(owner), &ca[..], 0),
        ("a policy that may only serve", Some(hub.connection_string("service")), &ca, 0),
        ("a policy for the registry", Some(hub.connection_string("registryReadWrite")), &ca, 1),
        ("a policy for devices", Some(hub.connection_string("device")), &ca, 1),
        ("a wrong key", Some(wrong_key.as_str()), &ca, 1),
        ("no trust", Some(owner), &[], 1),
        ("another hub's authority", Some(owner), &["--ca-file", stranger.ca_file()], 1),
        ("a CA file that is none", Some(owner), &["--ca-file", "nowhere.pem"], 1),
        ("a name that leads nowhere", Some(nowhere), &[], 1),
        ("nobody listens", Some(closed), &[], 1),
        ("no hub", None, &[], 1),
        ("half a connection string", Some("HostName=a;SharedAccessKey=d3Jvbmcga2V5"), &[], 1),
        ("a hub in this process", None, &["--hub", "embedded:inside"], 0),
    ] {
        let run = examine(&sandbox, connection, more);
        assert_eq!(run.code, code, "{what}\n{run}");
        if let Some((_, key)) = connection.and_then(|connection| connection.rsplit_once("SharedAccessKey=")) {
            assert!(!run.to_string().contains(key.trim_end_matches('=')), "a key in the output: {run}");
        }
        writeln!(said, "# {what}\n{run}\n").expect("text");
    }
    let run = examine(&sandbox, Some(&mqtt), &ca);
    assert!(run.code == 1 && run.stdout.contains("fail  service "), "devices' own port: {run}");
    let json =
        examine(&sandbox, Some(hub.connection_string("service")), &["--ca-file", hub.ca_file(), "--format", "json"]);
    writeln!(said, "# as JSON\n{json}").expect("text");
    // What the system's resolver says is its own.
    let said = said.replace(stranger.ca_file(), "[OTHER CA]");
    let said: String = said
        .lines()
        .map(|line| match line.split_once("no-such-hub.invalid leads nowhere: ") {
            Some((before, _)) => format!("{before}no-such-hub.invalid leads nowhere: [REASON]\n"),
            None => format!("{line}\n"),
        })
        .collect();
    snapshot("doctor", said);
    let writes = ["PATCH", "PUT", "POST"];
    let wrote = |request: &serde_json::Value| {
        writes.contains(&request["method"].as_str().unwrap_or_default()) && request["path"] != "/devices/query"
    };
    assert_eq!(hub.requests().iter().filter(|request| wrote(request)).count(), 0);
    assert_eq!(hub.twin("d1")["version"], 2);
}

#[test]
fn a_tier_without_twins() {
    let sandbox = Sandbox::new();
    let hub = Hub::start_with(&sandbox, |hub| hub.tier(Tier::B1, 1));
    let run = examine(&sandbox, Some(hub.connection_string("iothubowner")), &["--ca-file", hub.ca_file()]);
    snapshot("doctor_tier", run);
}
