//! Values that come from outside of the manifest: variables, the environment, what a pipeline did not replace.

use crate::support::{Run, Sandbox};

const FLEET: &str = "\
fleet: demo
vars: { plant: oslo, interval: 60, on: true }
missing: register
sensitive: [desired.psk]
devices:
  d1: { tags: { plant: '${var.plant}' }, desired: { psk: '${env.WIFI_PASSWORD}', interval: '${var.interval}', on: '${var.on}' } }
";

fn run(sandbox: &Sandbox, args: &[&str], variables: &[(&str, &str)]) -> Run {
    Run::of(sandbox.command(args).envs(variables.iter().copied()), &sandbox.path(""))
}

#[test]
fn a_credential_is_read_when_the_caller_says_so() {
    let sandbox = Sandbox::new();
    sandbox.write("fleet.yaml", FLEET);
    let variables = &[("WIFI_PASSWORD", "hunter2")];
    let commands: &[&[&str]] = &[
        &["validate", "fleet.yaml"],
        &["render", "fleet.yaml"],
        &["explain", "d1", "fleet.yaml"],
        &["plan", "fleet.yaml", "--hub", "embedded:hub", "--out", "plan.json"],
        &["apply", "plan.json", "--manifest", "fleet.yaml", "--hub", "embedded:hub", "--yes"],
        &["apply", "fleet.yaml", "--hub", "embedded:hub", "--yes"],
        &["check", "fleet.yaml", "--hub", "embedded:hub"],
        &["drift", "fleet.yaml", "--hub", "embedded:hub"],
        &["show", "d1", "fleet.yaml", "--hub", "embedded:hub"],
    ];
    for args in commands {
        let refused = run(&sandbox, args, variables);
        assert_eq!(refused.code, 1, "{refused}");
        assert!(refused.stderr.contains("`WIFI_PASSWORD` has the name of a credential"), "{refused}");
        assert!(refused.stderr.contains("--env-allow WIFI_PASSWORD"), "{refused}");
        let open = run(&sandbox, &[*args, &["--env-allow", "WIFI_PASSWORD"]].concat(), variables);
        assert_eq!(open.code, 0, "{open}");
        assert!(!format!("{refused}{open}").contains("hunter2"), "{refused}\n{open}");
    }
    for name in ["IOTHUB_CONNECTION_STRING", "GITHUB_TOKEN", "https_proxy"] {
        let own = run(&sandbox, &["validate", "fleet.yaml", "--env-allow", name], variables);
        assert_eq!(own.code, 1, "{own}");
        assert!(own.stderr.contains(&format!("`{name}` is what twinctl itself works with")), "{own}");
    }
    sandbox.write("fleet.yaml", &FLEET.replace("env.WIFI", "env.TWINCTL_VAR_WIFI"));
    run(&sandbox, &["validate", "fleet.yaml"], &[("TWINCTL_VAR_WIFI_PASSWORD", "hunter2")]).success();
    // Under any name, what has a key in it is known by that.
    for value in ["HostName=h;SharedAccessKeyName=p;SharedAccessKey=hunter2", "http://user:hunter2@proxy:3128"] {
        sandbox.write("fleet.yaml", &FLEET.replace("env.WIFI_PASSWORD", "env.PLAIN"));
        let refused = run(&sandbox, &["validate", "fleet.yaml"], &[("PLAIN", value)]);
        assert!(refused.code == 1 && refused.stderr.contains("`PLAIN` holds"), "{refused}");
        assert!(!refused.to_string().contains("hunter2"), "{refused}");
    }
}

#[test]
fn what_a_pipeline_did_not_replace_is_named() {
    let sandbox = Sandbox::new();
    sandbox.write("fleet.yaml", &FLEET.replace("env.WIFI_PASSWORD", "env.PLAIN:-x"));
    sandbox.write("prod.yaml", "plant: $(PLANT)\n");
    type Case<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], &'a str);
    let cases: &[Case<'_>] = &[
        (
            &["validate", "fleet.yaml", "--var", "plant=$(PLANT)"],
            &[],
            "the value that `--var` gives `plant` is `$(PLANT)`, which",
        ),
        (&["validate", "fleet.yaml", "--var", "interval=%N%"], &[], "gives `interval` is `%N%`, which"),
        (&["validate", "fleet.yaml", "--var", "plant=${{ vars.PLANT }}"], &[], "is `${{ vars.PLANT }}`, which"),
        (&["validate", "fleet.yaml", "--vars", "prod.yaml"], &[], "the value of `plant` is `$(PLANT)`, which"),
        (&["validate", "fleet.yaml"], &[("PLAIN", "$(PSK)")], "the environment variable `PLAIN` is `$(PSK)`, which"),
        (&["plan", "fleet.yaml", "--hub", "$(HUB)"], &[], "it has `$(HUB)`, which Azure Pipelines did not replace"),
        (&["plan", "fleet.yaml", "--hub", "$(HUB).azure-devices.net"], &[], "it has `$(HUB)`, which"),
        (&["plan", "fleet.yaml", "--connection-string", "$(CS)"], &[], "the connection string has `$(CS)`, which"),
        (&["plan", "fleet.yaml"], &[("IOTHUB_CONNECTION_STRING", "$(CS)")], "the connection string has `$(CS)`, which"),
        (
            &["plan", "fleet.yaml"],
            &[("IOTHUB_CONNECTION_STRING", "HostName=$(HUB);SharedAccessKeyName=p;SharedAccessKey=AAEC")],
            "the connection string has `$(HUB)`, which Azure Pipelines did not replace",
        ),
    ];
    for (args, variables, said) in cases {
        let run = run(&sandbox, args, variables);
        assert_eq!(run.code, 1, "{run}");
        assert!(run.stderr.contains(said), "{args:?}\n{run}");
        if said.contains("$(") {
            assert!(run.stderr.contains("leaves `$(") && run.stderr.contains("set it, or link its variable"), "{run}");
        }
        assert!(!run.stderr.contains("AAEC"), "{run}");
    }
}

#[test]
fn a_variable_keeps_its_type_and_a_file_is_for_several_fleets() {
    let sandbox = Sandbox::new();
    sandbox.write("fleet.yaml", &FLEET.replace("env.WIFI_PASSWORD", "env.PLAIN:-x"));
    sandbox.write("all.yaml", "interval: 30\nother_fleet: 1\nplnt: bergen\n");
    for (args, code, said) in [
        (&["--var", "interval=007"][..], 1, "the variable `interval` is a number, and `--var` gives a text"),
        (&["--var", "on=yes"], 1, "the variable `on` is a boolean, and `--var` gives a text"),
        (&["--var", "on=TRUE", "--var", "interval=0x1F"], 0, ""),
        (&["--var", "plnt=x"], 1, "there is no variable `plnt`, which `--var` sets"),
        (&["--vars", "all.yaml"], 0, "warning: there is no variable `other_fleet`, which this file sets"),
        (&["--vars", "all.yaml"], 0, "did you mean `plant`?"),
        (&["--vars", "all.yaml", "--strict"], 1, "2 warnings, and --strict takes warnings for errors"),
    ] {
        let run = sandbox.twinctl(["validate", "fleet.yaml"].iter().chain(args));
        assert_eq!(run.code, code, "{run}");
        assert!(run.stderr.contains(said), "{said}\n{run}");
    }
}

#[test]
fn what_nobody_declares_is_said() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    hub.create("d1");
    sandbox.write(
        "fleet.yaml",
        "fleet: demo\nselectors: [{ name: s, where: tags.x = 1, desired: { a: 1 } }]\ngroups: { oslo: {} }\n\
         devices: { d1: { groups: [oslo], modules: { vision: {} } } }\n",
    );
    for (args, code, said) in [
        (&["explain", "d2"][..], 1, "error: no manifest declares the device d2\nhint: did you mean d1?"),
        (
            &["explain", "d2"],
            1,
            "1 selector may find it, which only the hub knows: --selected explains what it would get",
        ),
        (
            &["explain", "d1/visoin"],
            1,
            "error: no manifest declares the module d1/visoin\nhint: did you mean d1/vision?",
        ),
        (
            &["explain", "d1", "desired.b"],
            1,
            "error: no manifest declares desired.b for d1\nhint: did you mean desired.a?",
        ),
    ] {
        let run = sandbox.twinctl(args);
        assert_eq!((run.code, run.stdout.as_str()), (code, ""), "{run}");
        assert!(run.stderr.contains(said), "{said}\n{run}");
    }
    let explained = sandbox.twinctl(["explain", "d2", "--selected"]).success();
    assert!(explained.starts_with("d2  declared only if a selector finds it"), "{explained}");
    for (args, said) in [
        (&["show", "d2"][..], "has no device d2\nhint: did you mean d1?"),
        (&["plan", "fleet.yaml", "--only", "d2"], "--only d2: no manifest declares it\nhint: did you mean d1?"),
        (&["plan", "fleet.yaml", "--only", "d1/visoin"], "--only d1/visoin: no manifest declares it"),
        (&["plan", "fleet.yaml", "--only", "group:osl"], "there is no such group\nhint: did you mean group:oslo?"),
    ] {
        let run = sandbox.on(&hub, args);
        assert_eq!(run.code, 1, "{run}");
        assert!(run.stderr.contains(said), "{said}\n{run}");
    }
}

#[test]
fn system_modules_are_not_declared() {
    let sandbox = Sandbox::new();
    for module in ["$edgeAgent", "$edgeHub", "$EDGEHUB"] {
        sandbox.write("fleet.yaml", &format!("fleet: demo\ndevices:\n  gw:\n    modules:\n      {module}: {{}}\n"));
        let run = sandbox.twinctl(["validate", "fleet.yaml"]);
        assert_eq!(run.code, 1, "{run}");
        let said = format!("`{module}` is a module of the IoT Edge runtime, and cannot be declared");
        assert!(run.stderr.contains(&said) && run.stderr.contains("fleet.yaml:5:7"), "{run}");
        assert!(run.stderr.contains("SystemModuleModifyUnauthorizedAccess"), "{run}");
    }
    sandbox.write("t.csv", "id\ngw\n");
    sandbox.write(
        "fleet.yaml",
        "fleet: demo\ninventory: [{ from: t.csv, id: '${row.id}', modules: { $edgeAgent: {} } }]\n",
    );
    let run = sandbox.twinctl(["validate", "fleet.yaml"]);
    assert!(run.code == 1 && run.stderr.contains("is a module of the IoT Edge runtime"), "{run}");
}

#[test]
fn csv_of_a_query_is_made_safe_for_spreadsheets_when_asked() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    hub.create("d1");
    hub.patch("d1", serde_json::json!({ "tags": { "note": "=HYPERLINK(1)", "shift": -5 } }));
    let query = "SELECT tags.note AS note, tags.shift AS shift FROM devices";
    for (args, row) in [(&[][..], "=HYPERLINK(1),-5"), (&["--csv-safe"], "'=HYPERLINK(1),-5")] {
        let run = sandbox.on(&hub, ["query", query, "--format", "csv"].iter().chain(args)).success();
        assert_eq!(run, format!("note,shift\r\n{row}\r\n"));
    }
    let run = sandbox.on(&hub, ["query", query, "--csv-safe"]);
    assert!(run.code == 1 && run.stderr.contains("--csv-safe is about the cells of --format csv"), "{run}");
}
