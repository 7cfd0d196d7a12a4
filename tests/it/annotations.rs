//! Annotations name files as the hosts know them, from the repository's top folder, and each has a line.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::against::git;
use crate::support::{Hub, Run, Sandbox};

const FLEET: &str = "\
fleet: redmond
missing: register
devices:
  d-1: { desired: { power: 1, mode: eco } }
  d-2: { desired: { power: 1 } }
checks:
  - name: nobody at full power
    query: SELECT deviceId FROM devices WHERE properties.desired.power > 0
    expect: none
    within: 0s
  - { name: 'so 100%', query: SELECT deviceId FROM devices, expect: { count: '> 9' }, within: 0s, severity: warn }
";

/// Runs a command against the hub in a folder, in a pipeline that has these variables.
fn on(sandbox: &Sandbox, hub: &Hub, folder: &str, args: &[&str], variables: &[(&str, &str)]) -> Run {
    let mut command = sandbox.command_on(hub, args);
    command.current_dir(sandbox.path(folder));
    for (name, value) in variables {
        command.env(name, sandbox.path("").join(value));
    }
    Run::of(&mut command, &sandbox.path(""))
}

#[test]
fn files_are_named_from_the_top_folder_of_the_repository() {
    let sandbox = Sandbox::new();
    sandbox.write("repo/fleet/oslo/broken.yaml", "fleet: f\ndevcies: {}\n");
    sandbox.write("repo/fleet/oslo/rows.yaml", "inventory: [{ from: ../../tables/rows.csv, id: '${row.id}' }]\n");
    sandbox.write("repo/tables/rows.csv", "id\na b\n");
    sandbox.write("repo/values.yaml", "colour: red\n");
    git(&sandbox, "repo", &["init", "--quiet"]);
    let absolute = sandbox.path("repo/fleet").display().to_string();
    let linked = sandbox.path("linked");
    std::os::unix::fs::symlink(sandbox.path("repo"), &linked).expect("a link");
    let all = ["file=fleet/oslo/broken.yaml,line=2,", "file=values.yaml,line=1,", "file=tables/rows.csv,line=2,"];
    let named = |host: &str, variable: &str, root: &str| {
        for (folder, args) in [
            ("repo", vec!["fleet", "--vars", "values.yaml"]),
            ("repo/fleet", vec![".", "--vars", "../values.yaml"]),
            ("repo/fleet/oslo", vec!["--vars", "../../values.yaml"]),
            ("repo/tables", vec!["../fleet", "--vars", "./../values.yaml"]),
            ("", vec![&absolute, "--vars", "repo/values.yaml"]),
            ("", vec!["linked/fleet", "--vars", "linked/values.yaml"]),
        ] {
            let args: Vec<&str> = ["validate", "--annotations", host].into_iter().chain(args).collect();
            let mut command = sandbox.command(&args);
            command.current_dir(sandbox.path(folder)).env(variable, sandbox.path(root));
            let run = Run::of(&mut command, &sandbox.path(""));
            assert_eq!(run.code, 1, "{run}");
            for place in all {
                let place = match host {
                    "azure" => {
                        place.replace("file=", "sourcepath=").replace(",line=", ";linenumber=").replace(',', ";")
                    }
                    _ => place.to_owned(),
                };
                assert!(run.stderr.contains(&place), "{folder} {args:?} {place}: {run}");
            }
        }
    };
    named("github", "GITHUB_WORKSPACE", "repo");
    named("github", "GITHUB_WORKSPACE", "linked");
    named("azure", "BUILD_SOURCESDIRECTORY", "repo");
    // Of a variable that names another folder, or none, Git knows more.
    named("github", "GITHUB_WORKSPACE", "elsewhere");
    named("azure", "OTHER", "");
}

/// Reads a Code Quality report, and holds it against what GitLab requires of one.
fn report(sandbox: &Sandbox, root: &str, folder: &str, name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(sandbox.path(folder).join(name)).expect("a report");
    let report: Vec<Value> = serde_json::from_str(&text).expect("a list");
    let mut fingerprints = HashSet::new();
    for issue in &report {
        let path = issue["location"]["path"].as_str().expect("a path");
        let file = sandbox.path(root).join(path);
        assert!(file.is_file() && !path.starts_with("./"), "{issue}");
        let line = issue["location"]["lines"]["begin"].as_u64().expect("a line");
        let lines = std::fs::read_to_string(file).expect("text").lines().count() as u64;
        assert!((1..=lines.max(1)).contains(&line), "{issue}");
        assert!(fingerprints.insert(issue["fingerprint"].to_string()), "{issue}");
        assert!(["description", "check_name", "fingerprint"].iter().all(|key| issue[key].is_string()), "{issue}");
        assert!(
            ["info", "minor", "major", "critical", "blocker"].contains(&issue["severity"].as_str().expect("a word"))
        );
    }
    report
}

#[test]
fn checks_and_removed_paths_have_their_lines() {
    let sandbox = Sandbox::new();
    let hub = sandbox.hub();
    sandbox.write("repo/fleet/a.yaml", "fleet: redmond\n");
    sandbox.write("repo/fleet/main.yaml", FLEET);
    git(&sandbox, "repo", &["init", "--quiet"]);
    let workspace = [("GITHUB_WORKSPACE", "repo")];
    _ = on(&sandbox, &hub, "repo/fleet", &["apply", "--yes"], &[]);

    let run = on(&sandbox, &hub, "repo/fleet", &["check", "--annotations", "github"], &workspace);
    assert_eq!(run.code, 6, "{run}");
    assert!(run.stderr.contains("::error file=fleet/main.yaml,line=7,title=check::nobody at full power: "), "{run}");
    assert!(run.stderr.contains("::warning file=fleet/main.yaml,line=11,title=check::so 100%25: "), "{run}");

    // Another value for one path, a change under a path that the manifest drops, and a twin that left it.
    hub.patch("d-1", json!({ "properties": { "desired": { "mode": "turbo" } } }));
    hub.patch("d-2", json!({ "properties": { "desired": { "power": 3 } } }));
    let changed =
        FLEET.replace("{ power: 1, mode: eco }", "{ power: 2 }").replace("  d-2: { desired: { power: 1 } }\n", "");
    sandbox.write("repo/fleet/main.yaml", &changed);
    let run = on(&sandbox, &hub, "repo/fleet", &["plan", "--annotations", "github"], &workspace);
    assert_eq!(run.code, 0, "{run}");
    let drift = "::warning file=fleet/main.yaml,line=4,title=drift::d-1: desired.mode was changed on the hub (removed over drift)";
    assert!(run.stderr.contains(drift), "{run}");
    assert!(
        run.stderr.contains("::error file=fleet/main.yaml,line=6,title=predicted check::nobody at full power"),
        "{run}"
    );

    for (folder, paths) in [("repo", "fleet"), ("repo/fleet", "."), ("", "repo/fleet/main.yaml")] {
        let args = ["plan", paths, "--annotations", "gitlab", "--annotations-file", "report.json"];
        let run = on(&sandbox, &hub, folder, &args, &[("CI_PROJECT_DIR", "repo")]);
        assert_eq!(run.code, 0, "{run}");
        let report = report(&sandbox, "repo", folder, "report.json");
        let place = |said: &str| {
            let issue = report.iter().find(|issue| issue["description"].as_str().expect("text").contains(said));
            let location = &issue.unwrap_or_else(|| panic!("{said}: {report:?}"))["location"];
            (
                location["path"].as_str().expect("a path").to_owned(),
                location["lines"]["begin"].as_u64().expect("a line"),
            )
        };
        assert_eq!(place("d-1: desired.mode was changed"), ("fleet/main.yaml".to_owned(), 4));
        assert_eq!(place("nobody at full power"), ("fleet/main.yaml".to_owned(), 6));
        assert!(place("d-2: desired.power was changed").0.starts_with("fleet/"), "{report:?}");
    }
    // What belongs to no line at all.
    let args = ["plan", "fleet", "--annotations", "gitlab", "--hub", "nowhere.invalid"];
    let run = on(&sandbox, &hub, "repo", &args, &[("CI_PROJECT_DIR", "repo")]);
    assert_eq!(run.code, 1, "{run}");
    assert_eq!(report(&sandbox, "repo", "repo", "gl-code-quality-report.json").len(), 1);
    sandbox.write("empty/fleet/notes.txt", "");
    sandbox.write("empty/.gitlab-ci.yml", "x: 1\n");
    let run =
        on(&sandbox, &hub, "empty", &["plan", "fleet", "--annotations", "gitlab"], &[("CI_PROJECT_DIR", "empty")]);
    assert_eq!(run.code, 1, "{run}");
    assert_eq!(report(&sandbox, "empty", "empty", "gl-code-quality-report.json").len(), 1);
}
