//! Keys, policies and names that do not open the hub.

use std::fmt::Write;

use crate::support::{Sandbox, snapshot};

#[test]
fn wrong_keys_and_policies() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    hub.create("d1");
    sandbox.write("fleet.yaml", "fleet: demo\ndevices: { d1: { tags: { a: 1 } } }\n");
    let owner = hub.connection_string("iothubowner");
    let (host, _) = owner.split_once(";").expect("a connection string");
    let wrong_key = format!("{host};SharedAccessKeyName=iothubowner;SharedAccessKey=d3Jvbmcga2V5");
    let no_policy = owner.replace("iothubowner", "nobody");
    let mut conversation = String::new();
    for (what, connection) in [
        ("a wrong key", wrong_key.as_str()),
        ("a policy that is not there", no_policy.as_str()),
        ("a policy without the right", hub.connection_string("registryReadWrite")),
        ("a device's policy", hub.connection_string("device")),
    ] {
        let mut command = sandbox.command(["plan", "fleet.yaml", "--ca-file", hub.ca_file()]);
        command.env("IOTHUB_CONNECTION_STRING", connection);
        let run = crate::support::Run::of(&mut command, &sandbox.path(""));
        assert_eq!(run.code, 1, "{what}\n{run}");
        let (_, key) = connection.rsplit_once("SharedAccessKey=").expect("a key");
        assert!(!run.to_string().contains(key.trim_end_matches('=')), "a key in the output: {run}");
        writeln!(conversation, "# {what}\n{run}\n").expect("text");
    }
    snapshot("bad_credentials", conversation);
}

#[test]
fn a_policy_that_may_not_register() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    sandbox.write("fleet.yaml", "fleet: demo\nmissing: register\ndevices: { d1: { tags: { a: 1 } } }\n");
    let mut command = sandbox.command(["apply", "fleet.yaml", "--yes", "--ca-file", hub.ca_file()]);
    command.env("IOTHUB_CONNECTION_STRING", hub.connection_string("service"));
    let run = crate::support::Run::of(&mut command, &sandbox.path(""));
    assert_eq!(run.code, 5, "{run}");
    snapshot("policy_may_not_register", run);
}

#[test]
fn an_authority_that_is_not_trusted_and_names_that_lead_nowhere() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    sandbox.write("fleet.yaml", "fleet: demo\ndevices: { d1: { tags: { a: 1 } } }\n");
    let mut conversation = String::new();
    let nowhere = "HostName=no-such-hub.invalid;SharedAccessKeyName=service;SharedAccessKey=d3Jvbmcga2V5";
    let closed = "HostName=127.0.0.1:1;SharedAccessKeyName=service;SharedAccessKey=d3Jvbmcga2V5";
    for (what, connection) in
        [("not trusted", hub.connection_string("service")), ("no such name", nowhere), ("nobody listens", closed)]
    {
        let mut command = sandbox.command(["plan", "fleet.yaml", "--retry-budget", "0s"]);
        command.env("IOTHUB_CONNECTION_STRING", connection);
        let run = crate::support::Run::of(&mut command, &sandbox.path(""));
        assert_eq!(run.code, 1, "{what}\n{run}");
        writeln!(conversation, "# {what}\n{run}\n").expect("text");
    }
    let mut command = sandbox.command(["plan", "fleet.yaml", "--ca-file", "nowhere.pem"]);
    command.env("IOTHUB_CONNECTION_STRING", hub.connection_string("service"));
    writeln!(
        conversation,
        "# a CA file that is not there\n{}\n",
        crate::support::Run::of(&mut command, &sandbox.path(""))
    )
    .expect("text");
    let mut command = sandbox.command(["plan", "fleet.yaml", "--ca-file", "fleet.yaml"]);
    command.env("IOTHUB_CONNECTION_STRING", hub.connection_string("service"));
    writeln!(conversation, "# a CA file that is none\n{}\n", crate::support::Run::of(&mut command, &sandbox.path("")))
        .expect("text");
    snapshot("unreachable", conversation);
}

/// A variable of a pipeline that is not quoted loses its line breaks; one in JSON has `\n` for them.
#[test]
fn a_ca_file_without_its_line_breaks_is_named_and_not_shown() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    hub.create("d1");
    sandbox.write("fleet.yaml", "fleet: demo\ndevices: { d1: { tags: { a: 1 } } }\n");
    let pem = std::fs::read_to_string(hub.ca_file()).expect("the authority");
    let key = pem.replace("CERTIFICATE", "PRIVATE KEY");
    let mut conversation = String::new();
    for (args, text) in [
        (&["plan", "fleet.yaml"][..], pem.replace('\n', " ")),
        (&["plan", "fleet.yaml"], pem.replace('\n', "")),
        (&["apply", "fleet.yaml", "--yes"], pem.replace('\n', "\\n")),
        (&["query", "SELECT * FROM devices"], key.replace('\n', " ")),
        (&["doctor"], format!("\"{}\"", pem.replace('\n', "\\n"))),
        (&["device", "run", "--id", "d1", "--once"], pem.replace("-----END CERTIFICATE-----", "")),
        (&["hub", "device", "show", "d1"], pem.replacen("\nMII", "\n!II", 1)),
    ] {
        sandbox.write("ca.pem", &text);
        let mut command = sandbox.command(args);
        command.args(["--ca-file", "ca.pem"]).env("IOTHUB_CONNECTION_STRING", hub.connection_string("iothubowner"));
        let run = crate::support::Run::of(&mut command, &sandbox.path(""));
        assert_ne!(run.code, 0, "{args:?}\n{run}");
        let shown = run.to_string();
        let line = pem.lines().nth(1).expect("a line of base64");
        assert!(!shown.contains(&line[..12]) && !shown.contains("[80") && !shown.contains("[67"), "{args:?}: {shown}");
        writeln!(conversation, "# {}\n{run}\n", args.join(" ")).expect("text");
    }
    snapshot("ca_file_without_line_breaks", conversation);
}

/// A private key in the place of another file is quoted line by line, and its contents are taken out.
#[test]
fn a_private_key_in_place_of_another_file_is_not_shown() {
    let sandbox = Sandbox::new();
    let line = |seed: usize| -> String {
        let digit =
            |at: usize| char::from(b"AbC9dEfGhIjK1LmN+oPqRsTuVwXyZ/2345678"[(at * 7 + seed * 11 + at / 5) % 37]);
        (0..64).map(digit).collect()
    };
    let lines = [line(1), line(2), line(3)[..20].to_owned()];
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"));
    let serve = ["hub", "serve", "--https", "127.0.0.1:0", "--data", "hub"];
    for joint in ["\n", " ", "\\n"] {
        sandbox.write("key.pem", &pem.replace('\n', joint));
        for args in [
            &["validate", "key.pem"][..],
            &["plan", "key.pem"],
            &[&serve[..], &["--faults", "key.pem"]].concat(),
            &[&serve[..], &["--entra-issuer", "key.pem"]].concat(),
        ] {
            let mut command = sandbox.command(args);
            let run = crate::support::Run::of(&mut command, &sandbox.path(""));
            assert_eq!(run.code, 1, "{args:?}\n{run}");
            for line in &lines {
                assert!(!run.to_string().contains(&line[..16]), "{args:?}\n{run}");
            }
        }
    }
}

#[test]
fn a_key_in_the_wrong_place_is_not_repeated_in_part() {
    let key = "q8Zr1Xv7Lk3Tn5Wb9Yc2Hd4Jf6Ms0Pg+Ru/Ei8Ao3Bk=";
    let string = format!("HostName=my-hub.azure-devices.net;SharedAccessKeyName=iothubowner;SharedAccessKey={key}");
    let sandbox = Sandbox::new();
    let manifest = format!("fleet: demo\ndevices:\n  d: {{ desired: {{ a: \"{string}\\q\" }} }}\n");
    sandbox.write("key.yaml", &manifest);
    sandbox.write("fleet.yaml", "fleet: demo\ndevices: { d: {} }\n");
    let mut conversation = String::new();
    for args in [
        &["query", &string][..],
        &["query", &format!("SELECT * FROM devices WHERE tags.a = '{string}")],
        &["show", &string],
        &["explain", &string],
        &["explain", &format!("d/{string}")],
        &["validate", "key.yaml", "--annotations", "github"],
        &["plan", "--only", &string],
        &["render", "fleet.yaml", "--var", &string],
    ] {
        let run = sandbox.twinctl(args);
        assert_eq!(run.code, 1, "{run}");
        for window in key.as_bytes().windows(8) {
            let window = std::str::from_utf8(window).expect("ASCII");
            assert!(!run.to_string().to_lowercase().contains(&window.to_lowercase()), "{window}: {run}");
        }
        writeln!(conversation, "$ twinctl {}\n{run}\n", args.join(" ").replace(key, "[KEY]")).expect("text");
    }
    snapshot("key_in_the_wrong_place", conversation);
}
