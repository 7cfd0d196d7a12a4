//! `twinctl hub device`, `twinctl hub token` and `twinctl hub faults show`: what scripts read of them.

use crate::support::Sandbox;

fn host_of(string: &str) -> &str {
    string.split(';').next().and_then(|host| host.strip_prefix("HostName=")).expect("a connection string")
}

#[test]
fn devices_are_added_by_ranges_and_printed_with_and_without_the_port() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    let printed = sandbox.on(&hub, ["hub", "device", "add", "press-{08..10}", "other"]).success();
    let ids: Vec<_> = printed.lines().map(|line| line.split(';').nth(1).expect("a device")).collect();
    assert_eq!(ids, ["DeviceId=press-08", "DeviceId=press-09", "DeviceId=press-10", "DeviceId=other"]);
    assert!(printed.lines().all(|line| host_of(line).contains(':')), "{printed}");

    let bare = sandbox.on(&hub, ["hub", "device", "add", "bare", "--no-port"]).success();
    assert_eq!(host_of(&bare), host_of(&printed).split(':').next().expect("a name"));
    let shown = sandbox.on(&hub, ["hub", "device", "show", "bare", "--no-port"]).success();
    assert!(shown.contains(&format!("\"connectionString\": \"{}\"", bare.trim())), "{shown}");

    sandbox.twinctl(["hub", "device", "add", "a-{1..3}", "--data", "cold"]).success();
    let bare = sandbox.twinctl(["hub", "device", "add", "b", "--no-port", "--data", "cold"]).success();
    assert_eq!(host_of(&bare), "localhost");
    let long = format!("x{}", "y".repeat(60));
    sandbox.twinctl(["hub", "device", "add", &long, "--data", "cold"]).success();
    let listed = sandbox.twinctl(["hub", "device", "list", "--data", "cold"]).success();
    assert_eq!(listed.lines().count(), 6, "{listed}");
    assert!(listed.contains(&long), "{listed}");

    for (args, message) in [
        (&["c", "c"][..], "c is named twice"),
        (&["c-{1..2}", "c-2"], "c-2 is named twice"),
        (&["c-[1..2]"], "device id `c-[1..2]` holds '['"),
        (&["c-{1-2}"], "a range is written `{001..120}`"),
        (&["c-{1..2"], "a range without its `}`"),
    ] {
        let run = sandbox.twinctl([&["hub", "device", "add", "--data", "cold"], args].concat());
        assert_eq!(run.code, 1, "{args:?}: {run}");
        assert!(run.stderr.contains(message), "{args:?}: {run}");
    }
    let listed = sandbox.twinctl(["hub", "device", "list", "--data", "cold"]).success();
    assert_eq!(listed.lines().count(), 6, "nothing was added: {listed}");
}

#[test]
fn a_token_is_all_that_is_printed_and_opens_the_hub() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    hub.create("d1");
    let run = sandbox.on(&hub, ["hub", "token"]);
    assert_eq!(run.stderr, "", "{run}");
    let token = run.success();
    assert_eq!(token.lines().count(), 1);
    assert!(token.starts_with("SharedAccessSignature sr=") && token.trim().ends_with("&skn=iothubowner"), "{token}");
    assert_eq!(hub.status_with(token.trim(), "GET", "/twins/d1"), 200);

    let device = sandbox.on(&hub, ["hub", "token", "--device", "d1", "--expires", "10m"]).success();
    assert!(device.contains("%2Fdevices%2Fd1&") && !device.contains("skn="), "{device}");
    assert_eq!(hub.status_with(device.trim(), "GET", "/devices/d1/messages/deviceBound"), 204);
    assert_eq!(hub.status_with(device.trim(), "GET", "/twins/d1"), 401);
    let bare = sandbox.on(&hub, ["hub", "token", "--device", "d1", "--no-port"]).success();
    assert!(bare.starts_with("SharedAccessSignature sr=127.0.0.1%2Fdevices%2Fd1&"), "{bare}");

    let of_module = sandbox.on(&hub, ["hub", "token", "--device", "d1", "--module", "m", "--no-port"]).success();
    assert!(of_module.starts_with("SharedAccessSignature sr=127.0.0.1%2Fdevices%2Fd1%2Fmodules%2Fm&"), "{of_module}");
    let run = sandbox.on(&hub, ["hub", "token", "--device", "none"]);
    assert!(run.code == 1 && run.stderr.contains("has no device none"), "{run}");
    let string = sandbox.on(&hub, ["hub", "device", "show", "d1"]).success();
    let string = string.split('"').find(|part| part.starts_with("HostName=")).expect("a string").to_owned();
    let own = sandbox.twinctl(["hub", "token", "--connection-string", &string]).success();
    assert_eq!(hub.status_with(own.trim(), "GET", "/devices/d1/messages/deviceBound"), 204);
}

#[test]
fn tokens_are_made_of_a_folder_s_keys_too() {
    let sandbox = Sandbox::new();
    sandbox.twinctl(["hub", "device", "add", "d1", "--data", "hub"]).success();
    for (args, end) in
        [(&[][..], "&skn=iothubowner"), (&["--policy", "registryRead"], "&skn=registryRead"), (&["--device", "d1"], "")]
    {
        let token = sandbox.twinctl([&["hub", "token", "--data", "hub"], args].concat()).success();
        assert!(token.starts_with("SharedAccessSignature sr=localhost") && token.trim().ends_with(end), "{token}");
    }
    for (args, message) in [
        (&["--data", "hub", "--policy", "root"][..], "no shared access policy root"),
        (&["--data", "hub", "--device", "d2"], "reading d2"),
        (&["--hub", "embedded:hub"], "hub token --data hub"),
        (&["--hub", "embedded:hub", "--device", "d1"], "hub token --data hub --device d1"),
        (&["--expires", "0", "--data", "hub"], "a duration needs a unit"),
        (&["--expires", "0s", "--data", "hub"], "the duration must be greater than zero"),
        (&["--policy", "service"], "--data"),
        (&[], "no connection string is given"),
    ] {
        let run = sandbox.twinctl([&["hub", "token"], args].concat());
        assert_eq!(run.code, 1, "{args:?}: {run}");
        assert!(run.stderr.contains(message), "{args:?}: {run}");
    }
}

/// What scripts take as it is, of a hub that runs and of a folder.
#[test]
fn a_device_s_connection_string_alone() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    let added = sandbox.on(&hub, ["hub", "device", "add", "d1", "--no-port"]).success();
    let run = sandbox.on(&hub, ["hub", "device", "connection-string", "d1", "--no-port"]);
    assert_eq!((run.stdout.as_str(), run.stderr.as_str(), run.code), (added.as_str(), "", 0));
    let with_port = sandbox.on(&hub, ["hub", "device", "connection-string", "d1"]).success();
    assert!(host_of(&with_port).contains(':'), "{with_port}");
    let run = sandbox.on(&hub, ["hub", "device", "connection-string", "none"]);
    assert!(run.code == 1 && run.stderr.contains("has no device none"), "{run}");
    hub.put_device(
        "x",
        serde_json::json!({
            "deviceId": "x",
            "authentication": { "type": "selfSigned", "x509Thumbprint": { "primaryThumbprint": "A".repeat(40) } }
        }),
    );
    let run = sandbox.on(&hub, ["hub", "device", "connection-string", "x"]);
    assert!(run.code == 1 && run.stderr.contains("x has no shared access key"), "{run}");

    let added = sandbox.twinctl(["hub", "device", "add", "d2", "--data", "cold"]).success();
    let printed = sandbox.twinctl(["hub", "device", "connection-string", "d2", "--data", "cold"]).success();
    assert_eq!(printed, added);
    let run = sandbox.twinctl(["hub", "device", "connection-string", "none", "--data", "cold"]);
    assert!(run.code == 1 && run.stderr.contains("reading none"), "{run}");
}

#[test]
fn edge_devices_are_added_and_devices_removed() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    sandbox.twinctl(["hub", "device", "add", "gateway", "--edge", "--data", "cold"]).success();
    sandbox.on(&hub, ["hub", "device", "add", "gateway", "--edge"]).success();
    sandbox.on(&hub, ["hub", "device", "add", "d-{1..3}"]).success();
    for shown in [
        sandbox.on(&hub, ["hub", "device", "show", "gateway"]).success(),
        sandbox.twinctl(["hub", "device", "show", "gateway", "--data", "cold"]).success(),
    ] {
        assert!(shown.contains("\"iotEdge\": true"), "{shown}");
    }
    let run = sandbox.on(&hub, ["hub", "device", "remove", "d-{1..2}", "gateway"]);
    assert!(run.code == 0 && run.stderr.contains("3 devices removed"), "{run}");
    let listed = sandbox.on(&hub, ["hub", "device", "list"]).success();
    assert!(listed.contains("d-3") && listed.lines().count() == 2, "{listed}");
    let run = sandbox.on(&hub, ["hub", "device", "remove", "d-1"]);
    assert!(run.code == 1 && run.stderr.contains("DeviceNotFound"), "{run}");
    sandbox.twinctl(["hub", "device", "remove", "gateway", "--data", "cold"]).success();
    let run = sandbox.twinctl(["hub", "device", "remove", "gateway", "--data", "cold"]);
    assert!(run.code == 1 && run.stderr.contains("removing gateway: "), "{run}");
    let run = sandbox.twinctl(["hub", "device", "remove", "a", "a", "--data", "cold"]);
    assert!(run.code == 1 && run.stderr.contains("a is named twice, and can be removed once"), "{run}");
}

/// What is said fits the right that is missing.
#[test]
fn faults_are_for_one_policy() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    let mut command = sandbox.command(["hub", "faults", "show", "--ca-file", hub.ca_file()]);
    command.env("IOTHUB_CONNECTION_STRING", hub.connection_string("service"));
    let run = crate::support::Run::of(&mut command, &sandbox.path(""));
    assert_eq!(run.code, 1, "{run}");
    assert!(run.stderr.contains("; iothubowner has it"), "{run}");
    assert_eq!(run.stderr.matches("hint: ").count(), 1, "{run}");
    assert!(run.stderr.contains("hint: faults are for the policy `iothubowner` alone"), "{run}");
    let run = sandbox.on(&hub, ["hub", "faults", "set", ""]);
    assert!(run.code == 1 && run.stderr.contains("the text of the rules is empty"), "{run}");
}

#[test]
fn long_rules_are_shown_whole() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    let rule = format!("GET,PUT,PATCH,DELETE /twins/{}-*/modules/* slow 20ms..2s first 1000000", "press".repeat(12));
    sandbox.on(&hub, ["hub", "faults", "set", &rule]).success();
    assert_eq!(
        sandbox.on(&hub, ["hub", "faults", "show"]).success(),
        format!("requests  due  rule\n       0    0  {rule}\n")
    );
}
