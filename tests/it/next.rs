//! What is printed as the next command is run as it is printed, by a shell.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Hub, Run, Sandbox, TWINCTL, scrub};

/// Manifests in a directory whose name a shell would take apart.
const FOLDER: &str = "my $HOME `x` 'fleet'";

/// The commands that a run prints: whole lines after `next:`, and what stands between backticks in a hint.
fn commands(run: &Run) -> Vec<String> {
    let mut found = Vec::new();
    for line in run.stderr.lines() {
        if let Some(command) = line.strip_prefix("next: ") {
            found.push(command.to_owned());
        } else if let Some(hint) = line.strip_prefix("hint: ")
            && let Some(at) = hint.find("`twinctl ")
        {
            let end = hint.rfind('`').expect("a backtick ends the command");
            found.push(hint[at + 1..end].to_owned());
        }
    }
    found
}

/// The sandbox itself, for which a run has `[HOME]`.
fn home(sandbox: &Sandbox) -> PathBuf {
    sandbox.path("any").parent().expect("a directory").to_owned()
}

/// Runs the one command that a run printed.
fn follow(sandbox: &Sandbox, hub: &Hub, run: &Run, environment: &[(&str, &str)]) -> Run {
    let commands = commands(run);
    let [command] = commands.as_slice() else { panic!("not one command: {commands:?}\n{run}") };
    let home = home(sandbox);
    let command = command.replace("[HOME]", home.to_str().expect("UTF-8"));
    let bin = sandbox.path("bin");
    if !bin.exists() {
        std::fs::create_dir(&bin).expect("a directory");
        std::os::unix::fs::symlink(TWINCTL, bin.join("twinctl")).expect("a link");
    }
    let mut shell = Command::new("sh");
    shell.args(["-c", &command]).current_dir(&home).stdin(std::process::Stdio::null());
    scrub(&mut shell, home.as_path());
    shell.env("PATH", format!("{}:/usr/bin:/bin", bin.display()));
    shell.env("IOTHUB_CONNECTION_STRING", hub.connection_string("iothubowner")).envs(environment.iter().copied());
    Run::of(&mut shell, home.as_path())
}

fn fleet(sandbox: &Sandbox, more: &str, power: i64) -> String {
    let name = format!("{FOLDER}/fleet.yaml");
    let text = format!(
        "fleet: demo\nmissing: register\nvars: {{ site: none, psk: none }}\n{more}\
         devices: {{ 'd{{1..3}}': {{ tags: {{ site: '${{var.site}}' }}, desired: {{ power: {power} }} }} }}\n"
    );
    sandbox.write(&name, &text);
    name
}

#[test]
fn a_plan_is_approved_and_applied_by_the_commands_that_are_printed() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    let name = fleet(&sandbox, "", 1);
    let vars =
        sandbox.write("my vars.yaml", "site: \"Oslo's $5\"\n").file_name().map(|_| "my vars.yaml").expect("a name");
    let plan = |more: &[&str]| sandbox.on(&hub, ["plan", &name, "--vars", vars].iter().chain(more));
    // Without a file the same arguments are applied.
    follow(&sandbox, &hub, &plan(&[]), &[]).success();
    assert_eq!(hub.twin("d1")["tags"]["site"], "Oslo's $5");

    // The approval is kept in the file, and the sensitive values are taken from the manifests again.
    let guarded =
        "sensitive: [desired.psk]\nlimits: { max_changed: 1 }\ndefaults: { desired: { psk: '${var.psk}' } }\n";
    fleet(&sandbox, guarded, 2);
    let secret = [("psk", "hunter two")];
    let refused = plan(&["--var", "psk=hunter two", "--out", "my plan.json"]);
    assert_eq!(refused.code, 3, "{refused}");
    assert!(!refused.to_string().contains("hunter two"), "{refused}");
    let approved = follow(&sandbox, &hub, &refused, &secret);
    assert_eq!(approved.code, 0, "{approved}");
    assert!(!sandbox.read("my plan.json").contains("hunter"), "no plan file holds it");
    let applied = follow(&sandbox, &hub, &approved, &secret);
    assert_eq!(applied.code, 0, "{applied}");
    assert_eq!(hub.twin("d2")["properties"]["desired"]["psk"], "hunter two");
    assert_eq!(hub.twin("d2")["tags"]["site"], "Oslo's $5");
}

#[test]
fn the_approval_of_a_plan_file_is_of_this_plan() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    let name = fleet(&sandbox, "", 1);
    sandbox.on(&hub, ["apply", &name, "--yes"]).success();
    fleet(&sandbox, "limits: { max_changed: 0 }\n", 2);
    let refused = sandbox.on(&hub, ["plan", &name, "--out", "plan.json"]);
    sandbox.on(&hub, ["apply", "plan.json", "--yes"]).exits(3);
    let unapproved = sandbox.read("plan.json");
    follow(&sandbox, &hub, &refused, &[]).success();
    let saved: Value = serde_json::from_str(&sandbox.read("plan.json")).expect("JSON");
    assert_eq!(saved["approval"], saved["review"]);
    // Put into another plan, it is found.
    let line = format!("\"approval\": {},\n\"twins\": [", saved["approval"]);
    sandbox.write("plan.json", &unapproved.replace("\"twins\": [", &line));
    let run = sandbox.on(&hub, ["apply", "plan.json", "--yes"]);
    assert!(run.code == 1 && run.stderr.contains("altered after it was written"), "{run}");
}

#[test]
fn hints_of_refusals_lead_on() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    let name = fleet(&sandbox, "", 1);
    // Nobody is there to ask.
    let planned =
        follow(&sandbox, &hub, &sandbox.on(&hub, ["apply", &name, "--var", "site=Oslo Süd"]), &[("site", "Oslo Süd")]);
    assert_eq!(planned.code, 0, "{planned}");
    follow(&sandbox, &hub, &planned, &[]).success();
    assert_eq!(hub.twin("d1")["tags"]["site"], "Oslo Süd");
    // The plan is another one than was reviewed; its path has moved; it asks for a rollout; it is past a limit.
    fleet(&sandbox, "", 2);
    let run = sandbox.on(&hub, ["apply", &name, "--yes", "--expect", "01234567"]);
    assert_eq!(run.code, 3, "{run}");
    follow(&sandbox, &hub, &run, &[]).success();
    let json = sandbox.on(&hub, ["plan", &name, "--format", "json"]).success();
    let digest: Value = serde_json::from_str(&json).expect("JSON");
    hub.patch("d1", json!({"properties": {"desired": {"power": 9}}}));
    let expected = digest["digest"].as_str().expect("a digest");
    let run = sandbox.on(&hub, ["apply", &name, "--yes", "--only", "d{1..3}", "--expect", expected]);
    assert_eq!(run.code, 4, "{run}");
    follow(&sandbox, &hub, &run, &[]).success();
    fleet(&sandbox, "rollout: { waves: [1, 100%] }\n", 2);
    let run = sandbox.on(&hub, ["plan", &name, "--out", "plan.json"]);
    assert_eq!(run.code, 3, "{run}");
    let run = follow(&sandbox, &hub, &run, &[]);
    assert_eq!(run.code, 0, "{run}");
    follow(&sandbox, &hub, &run, &[]).success();
    fleet(&sandbox, "limits: { max_changed: 0 }\n", 3);
    let run = sandbox.on(&hub, ["apply", &name, "--yes", "--take-ownership", "--tier", "s2"]);
    assert_eq!(run.code, 3, "{run}");
    follow(&sandbox, &hub, &run, &[]).success();
    assert_eq!(hub.twin("d1")["properties"]["desired"]["power"], 3);
}

#[test]
fn an_import_is_planned_by_the_command_that_is_printed() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    let name = fleet(&sandbox, "", 1);
    sandbox.on(&hub, ["apply", &name, "--yes"]).success();
    let run = sandbox.on(&hub, ["import", "--fleet", "other", "--ownership", "none", "--out", "it's here.yaml"]);
    follow(&sandbox, &hub, &run, &[]).success();
}

#[test]
fn a_connection_string_stays_in_the_environment() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    let name = fleet(&sandbox, "", 1);
    let string = hub.connection_string("iothubowner").to_owned();
    let ca = hub.ca_file();
    let run = sandbox.twinctl(["plan", &name, "--connection-string", &string, "--ca-file", ca]);
    assert!(run.code == 0 && !run.stderr.contains("SharedAccessKey"), "{run}");
    follow(&sandbox, &hub, &run, &[]).success();
    // A hint says it as well.
    fleet(&sandbox, "limits: { max_changed: 0 }\n", 2);
    let refused = sandbox.twinctl(["plan", &name, "--connection-string", &string, "--ca-file", ca]);
    assert!(refused.stderr.contains("`, which takes the connection string from IOTHUB_CONNECTION_STRING"), "{refused}");
    follow(&sandbox, &hub, &refused, &[]).success();
}

#[test]
fn a_secret_that_the_shell_does_not_have_is_not_written() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    let secret = "sensitive: [desired.psk]\ndefaults: { desired: { psk: '${var.psk}' } }\n";
    let name = fleet(&sandbox, secret, 1);
    let run = sandbox.on(&hub, ["plan", &name, "--var", "psk=hunter two", "--out", "p 3.json"]);
    assert!(run.stderr.contains("the next command takes the value of --var psk from the shell variable psk"), "{run}");
    for environment in [&[][..], &[("psk", "")]] {
        let unset = follow(&sandbox, &hub, &run, environment);
        assert!(unset.code != 0 && unset.stderr.contains("psk"), "{unset}");
    }
    assert_eq!(hub.requests().iter().filter(|request| request["method"] == "PATCH").count(), 0);
    follow(&sandbox, &hub, &run, &[("psk", "hunter two")]).success();
    assert_eq!(hub.twin("d1")["properties"]["desired"]["psk"], "hunter two");
}

#[test]
fn a_stream_that_has_been_read_is_in_no_command() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    let name = fleet(&sandbox, "", 1);
    sandbox.write("vars.yaml", "site: Oslo\n");
    for (more, again) in
        [(&[][..], "what comes next is twinctl apply"), (&["--approve", "00000000"], "twinctl plan, with")]
    {
        let mut command = sandbox.command_on(&hub, ["plan", &name, "--vars", "/dev/stdin"].iter().chain(more));
        command.stdin(std::fs::File::open(sandbox.path("vars.yaml")).expect("a file"));
        let run = Run::of(&mut command, &home(&sandbox));
        assert!(run.stderr.contains(again) && run.stderr.contains("content of /dev/stdin given again"), "{run}");
        assert_eq!(commands(&run), [""; 0], "{run}");
    }
}

#[test]
fn what_differs_between_the_manifests_of_a_plan_file_is_named() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    let text = |power: i64| {
        format!(
            "fleet: demo\nmissing: register\nsensitive: [desired.psk]\nvars: {{ site: none }}\ndevices: {{ d1: {{ tags: {{ site: '${{var.site}}', \
             zone: '${{env.ZONE}}' }}, desired: {{ power: {power}, psk: '${{env.PSK}}' }} }} }}\n"
        )
    };
    sandbox.write("fleet.yaml", &text(1));
    let run = |args: &[&str], zone: &str| {
        let mut command = sandbox.command_on(&hub, args);
        command.env("ZONE", zone).env("PSK", "hunter2");
        Run::of(&mut command, &home(&sandbox))
    };
    run(&["plan", "fleet.yaml", "--var", "site=secret-site", "--out", "plan.json"], "secret-zone").success();
    let saved = sandbox.read("plan.json");
    assert!(!saved.contains("hunter2"), "{saved}");
    let apply = ["apply", "plan.json", "--yes", "--manifest", "fleet.yaml"];
    let refused = |more: &[&str], zone: &str, said: &str| {
        let run = run(&[&apply, more].concat(), zone);
        assert!(run.code == 3 && run.stderr.contains(said), "{said}: {run}");
        assert!(!run.stderr.contains("hunter2") && !run.stderr.contains("secret"), "{run}");
    };
    refused(&[], "secret-zone", "the variables of --vars and --var differ: none changes anything now");
    refused(&["--var", "site=other"], "secret-zone", "the variables of --vars and --var differ");
    refused(&["--var", "site=secret-site"], "other", "the environment differs");
    refused(
        &["--var", "site=secret-site"],
        "other",
        "hint: set the environment variables as they were when the plan was made: PSK, ZONE",
    );
    sandbox.write("fleet.yaml", &text(2));
    refused(&["--var", "site=secret-site"], "secret-zone", "the files differ");
    let all = "the files and the variables of --vars and --var differ: none changes anything now; the environment may differ as well";
    refused(&[], "other", all);
    // A default counts where the variable is not set.
    sandbox.write("fleet.yaml", &text(1).replace("${env.ZONE}", "${env.NONE:-x}"));
    let default = ["plan", "fleet.yaml", "--out", "default.json"];
    run(&default, "any").success();
    sandbox.write("fleet.yaml", &text(1).replace("${env.ZONE}", "${env.NONE:-y}"));
    let other = run(&["apply", "default.json", "--yes", "--manifest", "fleet.yaml"], "any");
    assert!(other.code == 3 && other.stderr.contains("the files differ"), "{other}");
    sandbox.write("fleet.yaml", &text(1));
    run(&[&apply[..], &["--var", "site=secret-site"]].concat(), "secret-zone").success();
}
