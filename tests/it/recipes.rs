//! The recipes for pipelines, step by step as their hosts would run them: their own shell, a Git repository, a hub, a pull request.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::code_host::{CodeHost, Kind};
use crate::support::{Hub, Run, Sandbox, TWINCTL, scrub};

const FLEET: &str = "fleet: redmond\nmissing: register\ndevices:\n  d-1: { tags: { plant: Oslo }, desired: { power: 1 } }\n\
                     checks:\n  - { name: all there, query: SELECT deviceId FROM devices, expect: [d-1], within: 10s }\n";

fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn yaml(name: &str) -> Value {
    serde_yaml::from_str(&fs::read_to_string(source(name)).expect(name)).expect(name)
}

/// A repository with a fleet on its main branch, and a branch of a pull request that changes it.
struct Project {
    sandbox: Sandbox,
    hub: Hub,
    host: CodeHost,
}

impl Project {
    fn new(kind: Kind) -> Self {
        let sandbox = Sandbox::new();
        let hub = sandbox.hub();
        let host = CodeHost::start(kind, &["Looks good"]);
        sandbox.write("origin/fleet/fleet.yaml", FLEET);
        let project = Self { sandbox, hub, host };
        let git = |folder: &str, script: &str| {
            let run = project.shell(folder, script, &BTreeMap::new());
            assert_eq!(run.code, 0, "{run}");
        };
        git("origin", "git init -q -b main && git add . && git commit -qm 'A fleet'");
        git("", "git clone -q origin work && mkdir -p tool reports && ln -s \"$TWINCTL\" tool/twinctl");
        git(
            "work",
            "git checkout -qb more-power && sed -i 's/power: 1/power: 2/' fleet/fleet.yaml && git commit -qam 'More power'",
        );
        project
    }

    /// Runs a step's shell in a folder of the sandbox.
    fn shell(&self, folder: &str, script: &str, variables: &BTreeMap<String, String>) -> Run {
        let mut command = Command::new("bash");
        command
            .args(["-e", "-o", "pipefail", "-c", script])
            .stdin(Stdio::null())
            .current_dir(self.sandbox.path(folder));
        scrub(&mut command, &self.sandbox.path(""));
        let path = command.get_envs().find(|(name, _)| *name == "PATH").and_then(|(_, value)| value?.to_str());
        let path = format!("{}:{}", self.sandbox.path("tool").display(), path.expect("a path"));
        command.env("PATH", path).env("TWINCTL", TWINCTL);
        // The embedded hub's authority in the place of the system's.
        command.env("SSL_CERT_FILE", self.hub.ca_file());
        for (name, value) in
            [("GIT_AUTHOR_NAME", "Ada"), ("GIT_AUTHOR_EMAIL", "ada@example.com"), ("GIT_CONFIG_NOSYSTEM", "1")]
        {
            command.env(name, value).env(name.replace("AUTHOR", "COMMITTER"), value);
        }
        command.envs(variables);
        Run::of(&mut command, &self.sandbox.path(""))
    }

    fn variables(&self, more: &[(&str, &str)]) -> BTreeMap<String, String> {
        let own = self.host.environment().into_iter().map(|(name, value)| (name.to_owned(), value));
        own.chain(more.iter().map(|&(name, value)| (name.to_owned(), value.to_owned()))).collect()
    }

    fn secret(&self) -> &str {
        self.hub.connection_string("iothubowner")
    }

    /// What the comment on the pull request says, if there is one beside the other people's.
    fn comment(&self) -> Option<String> {
        let comments = self.host.comments();
        assert!(comments.len() <= 2 && comments[0] == "Looks good", "{comments:?}");
        comments.get(1).cloned()
    }

    fn power(&self) -> Value {
        self.hub.twin("d-1")["properties"]["desired"]["power"].clone()
    }
}

/// Replaces each `BEFORE name AFTER` by its value; an unknown name is a mistake in the recipe.
fn substitute(text: &str, [before, after]: [&str; 2], values: &BTreeMap<String, String>) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((head, tail)) = rest.split_once(before) {
        let (name, tail) = tail.split_once(after).expect("it is closed");
        out.push_str(head);
        out.push_str(values.get(name.trim()).unwrap_or_else(|| panic!("nobody gives {}", name.trim())));
        rest = tail;
    }
    out + rest
}

/// Runs the job of `recipes/github.yml` through `action.yml`; the code of the last step, all output, and the step's own outputs.
fn github(project: &Project, job: &str, secret: &str, fork: &str) -> (Run, BTreeMap<String, String>, String) {
    const EXPRESSION: [&str; 2] = ["${{", "}}"];
    let (workflow, action) = (yaml("recipes/github.yml"), yaml("action.yml"));
    let steps = workflow["jobs"][job]["steps"].as_array().expect("steps");
    let step =
        steps.iter().find(|step| step["uses"].as_str().is_some_and(|uses| uses.contains("/twinctl@"))).expect("ours");
    let values = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect()
    };
    let token = project.variables(&[])["GITHUB_TOKEN"].clone();
    let temp = project.sandbox.path("reports").display().to_string();
    let given = values(&[("secrets.IOTHUB_CONNECTION_STRING", secret), ("github.token", &token)]);
    let with = step["with"].as_object().expect("inputs");
    let declared = action["inputs"].as_object().expect("inputs");
    for name in with.keys() {
        assert!(declared.contains_key(name), "action.yml has no input {name}");
    }
    let mut expressions = values(&[("runner.temp", &temp), ("github.event.pull_request.head.repo.fork", fork)]);
    for (name, input) in declared {
        let text = with.get(name).unwrap_or(&input["default"]).as_str().expect("a text");
        expressions.insert(format!("inputs.{name}"), substitute(text, EXPRESSION, &given));
    }
    let files = ["output", "summary", "path"].map(|name| project.sandbox.write(&format!("github/{name}"), ""));
    let mut last = None;
    for step in action["runs"]["steps"].as_array().expect("steps") {
        let mut variables = project.variables(&[
            ("GITHUB_ACTION_PATH", source("").to_str().expect("UTF-8")),
            ("GITHUB_OUTPUT", files[0].to_str().expect("UTF-8")),
            ("GITHUB_STEP_SUMMARY", files[1].to_str().expect("UTF-8")),
            ("GITHUB_PATH", files[2].to_str().expect("UTF-8")),
            ("GITHUB_BASE_REF", "main"),
        ]);
        if job != "plan" {
            variables.insert("GITHUB_EVENT_NAME".to_owned(), "push".to_owned());
            variables.insert("GITHUB_REF".to_owned(), "refs/heads/main".to_owned());
        }
        for (name, value) in step["env"].as_object().expect("variables") {
            variables.insert(name.clone(), substitute(value.as_str().expect("a text"), EXPRESSION, &expressions));
        }
        let run = project.shell("work", step["run"].as_str().expect("a script"), &variables);
        let ended = run.code != 0;
        last = Some(run);
        if ended {
            break;
        }
    }
    let read = |path: &Path| fs::read_to_string(path).expect("a file");
    let outputs = read(&files[0]);
    let outputs = outputs.lines().filter_map(|line| line.split_once('=')).map(|(a, b)| (a.to_owned(), b.to_owned()));
    (last.expect("a step"), outputs.collect(), read(&files[1]))
}

#[test]
fn github_actions() {
    let project = Project::new(Kind::GitHub);
    let secret = project.secret().to_owned();

    let (run, outputs, summary) = github(&project, "plan", &secret, "false");
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(outputs["changes"], "true");
    let comment = project.comment().expect("a comment");
    assert!(comment.starts_with("<!-- twinctl:redmond@") && comment.contains("desired.power"), "{comment}");
    assert_eq!(comment, summary);
    for report in ["plan", "html"] {
        assert!(Path::new(&outputs[report]).exists(), "{outputs:?}");
    }

    let (run, ..) = github(&project, "apply", &secret, "");
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(project.power(), json!(2));

    let (run, outputs, _) = github(&project, "plan", &secret, "false");
    assert_eq!((run.code, outputs["changes"].as_str()), (0, "false"), "{run}");
    assert!(project.comment().expect("the same comment").contains("No changes"));

    let (run, ..) = github(&project, "drift", &secret, "");
    assert_eq!(run.code, 0, "{run}");
    project.hub.patch("d-1", json!({ "properties": { "desired": { "power": 9 } } }));
    let (run, ..) = github(&project, "drift", &secret, "");
    assert_eq!(run.code, 2, "{run}");
    assert!(run.stdout.contains("desired.power"), "{run}");

    let (run, ..) = github(&project, "plan", "", "false");
    assert_eq!(run.code, 1, "a pipeline that lost its secret fails: {run}");
}

#[test]
fn a_pull_request_of_a_fork_gets_what_needs_no_secret() {
    let project = Project::new(Kind::GitHub);
    let (run, outputs, summary) = github(&project, "plan", "", "true");
    assert_eq!(run.code, 0, "{run}");
    assert!(outputs.is_empty() && project.comment().is_none());
    assert!(summary.contains("desired.power"), "{summary}");

    let broken = FLEET.replace("desired: { power: 1 }", "desierd: { power: 1 }");
    project.sandbox.write("work/fleet/fleet.yaml", &broken);
    let (run, ..) = github(&project, "plan", "", "true");
    assert_eq!(run.code, 1, "{run}");
    assert!(run.to_string().contains("::error file=fleet/fleet.yaml,line=4"), "{run}");
}

/// Runs `recipes/github` itself, as a step with other inputs would.
fn script(project: &Project, inputs: &[(&str, &str)]) -> (Run, String) {
    let files = ["output", "summary"].map(|name| project.sandbox.write(&format!("github/{name}"), ""));
    let reports = project.sandbox.path("reports").display().to_string();
    let mut variables = project.variables(&[
        ("IOTHUB_CONNECTION_STRING", project.secret()),
        ("GITHUB_OUTPUT", files[0].to_str().expect("UTF-8")),
        ("GITHUB_STEP_SUMMARY", files[1].to_str().expect("UTF-8")),
        ("REPORTS", &reports),
        ("PATHS", "fleet"),
    ]);
    variables.extend(inputs.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())));
    let run = project.shell("work", source("recipes/github").to_str().expect("UTF-8"), &variables);
    (run, fs::read_to_string(&files[1]).expect("a summary"))
}

#[test]
fn no_input_of_the_action_is_dropped() {
    let project = Project::new(Kind::GitHub);
    project.sandbox.write("work/more.yaml", "devices:\n  d-2: { tags: { plant: Oslo } }\n");
    let (run, _) = script(&project, &[("COMMAND", "plan"), ("PATHS", "fleet\n  more.yaml\n"), ("ARGUMENTS", " \n")]);
    assert_eq!(run.code, 0, "{run}");
    assert!(run.stdout.contains("d-2"), "a path on a line of its own: {run}");

    let (run, _) = script(&project, &[("COMMAND", "apply"), ("ARGUMENTS", "--only 'd-2")]);
    assert_eq!(run.code, 1, "{run}");
    assert!(!run.stdout.contains("Applied"), "a quote that does not end would have let all of it through: {run}");
}

/// A fleet in a folder with a space in its name, whose values are in another one.
fn with_variables(project: &Project) {
    let sandbox = &project.sandbox;
    let fleet = FLEET
        .replace("power: 1", "power: '${var.power}'")
        .replace("missing:", "vars: { power: 1, site: oslo }\nmissing:");
    let fleet = fleet.replace("plant: Oslo", "plant: '${var.site}'");
    sandbox.write("work/north sea/fleet.yaml", &fleet);
    sandbox.write("work/values/my values.yaml", "power: 7\n");
    let commit = "git add . && git commit -qm 'North sea' && git branch -qf main && git checkout -qb values && \
                  git -C ../origin config receive.denyCurrentBranch ignore && git push -q origin main";
    let run = project.shell("work", commit, &BTreeMap::new());
    assert_eq!(run.code, 0, "{run}");
    sandbox.write("work/values/my values.yaml", "power: 8\n");
    _ = project.shell("work", "git commit -qam 'More power'", &BTreeMap::new()).success();
}

#[test]
fn a_review_of_a_fork_shows_what_the_plan_would_set() {
    let project = Project::new(Kind::GitHub);
    with_variables(&project);
    let arguments =
        "--require-checks --vars 'values/my values.yaml'\r\n --var=\"site=B\u{f8}mlo 2\" --take-ownership\r\n";
    for paths in ["north sea", "\n  north sea  \r\n\r\n", "  ./north sea/fleet.yaml"] {
        let inputs = [("COMMAND", "plan"), ("PATHS", paths), ("ARGUMENTS", arguments)];
        let (plan, _) = script(&project, &inputs);
        assert!(plan.code == 0 && plan.stdout.contains("8") && plan.stdout.contains("B\u{f8}mlo 2"), "{plan}");
        let of_fork = [("FROM_FORK", "true"), ("IOTHUB_CONNECTION_STRING", ""), ("GITHUB_BASE_REF", "main")];
        let (review, summary) = script(&project, &[&inputs[..], &of_fork].concat());
        assert_eq!(review.code, 0, "{review}");
        assert!(summary.contains("| ~ | `desired.power` | `7` | `8` |"), "{review}{summary}");
        assert!(!summary.contains("site") && !summary.contains("oslo"), "{summary}");
    }
    // As `actions/checkout` does it by itself: one commit, and no other branch.
    let clone =
        "git clone -q --bare work hosted.git && git clone -q --depth=1 -b values file://$PWD/hosted.git shallow";
    _ = project.shell("", &format!("{clone} && rm -rf work && mv shallow work"), &BTreeMap::new()).success();
    let inputs = [("COMMAND", "plan"), ("PATHS", "north sea"), ("ARGUMENTS", arguments), ("GITHUB_BASE_REF", "main")];
    let of_fork = [("FROM_FORK", "true"), ("IOTHUB_CONNECTION_STRING", "")];
    let (review, summary) = script(&project, &[&inputs[..], &of_fork].concat());
    assert_eq!(review.code, 0, "{review}");
    assert!(summary.contains("| ~ | `desired.power` | `7` | `8` |"), "{review}{summary}");

    let (run, _) = script(&project, &[("COMMAND", "plan"), ("PATHS", " \n")]);
    assert!(run.code == 1 && run.stdout.contains("`paths` names no manifest"), "{run}");
}

#[test]
fn the_other_recipes_read_the_manifests_alike_in_every_step() {
    let project = Project::new(Kind::GitLab);
    with_variables(&project);
    let pipeline = yaml("recipes/gitlab-ci.yml");
    let words = "fleet --vars 'values/north sea.yaml'";
    let azure = fs::read_to_string(source("recipes/azure-pipelines.yml")).expect("a recipe");
    let gitlab = fs::read_to_string(source("recipes/gitlab-ci.yml")).expect("a recipe");
    assert!(azure.contains(words) && gitlab.contains(&format!("set -- {words}")), "both show how");
    let commands = |text: &str| text.lines().filter(|line| line.contains("twinctl ") && !line.contains('#')).count();
    let all = ["validate", "render", "plan", "apply", "drift"].len();
    assert_eq!(azure.matches("$(manifests)").count(), all);
    assert_eq!(gitlab.matches("\"$@\"").count(), all);
    assert!(commands(&azure) >= all && commands(&gitlab) >= all);
    let mut lines = vec!["set -- 'north sea' --vars 'values/my values.yaml'"];
    lines.extend(pipeline["validate"]["script"].as_array().expect("lines").iter().filter_map(Value::as_str));
    let variables = project.variables(&[("CI_MERGE_REQUEST_TARGET_BRANCH_NAME", "main")]);
    let said = project.shell("work", &lines.join("\n"), &variables).success();
    assert!(said.contains("7 → 8"), "{said}");
}

#[test]
fn a_merge_request_that_is_behind_its_target_takes_nothing_back() {
    let project = Project::new(Kind::GitLab);
    let moved_on = FLEET.replace("plant: Oslo", "plant: Bergen");
    project.sandbox.write("origin/fleet/fleet.yaml", &moved_on);
    _ = project.shell("origin", "git commit -qam Bergen", &BTreeMap::new()).success();
    let pipeline = yaml("recipes/gitlab-ci.yml");
    let scripts = [&pipeline["default"]["before_script"], &pipeline["validate"]["script"]];
    let lines = scripts.iter().flat_map(|script| script.as_array().expect("lines"));
    let lines: Vec<&str> = lines.filter_map(Value::as_str).collect();
    let variables = project.variables(&[("CI_MERGE_REQUEST_TARGET_BRANCH_NAME", "main")]);
    let said = project.shell("work", &lines.join("\n"), &variables).success();
    assert!(said.contains("desired.power  1 → 2") && !said.contains("Bergen"), "{said}");
}

#[test]
fn the_workflow_names_commits_and_leaves_no_token_behind() {
    let workflow = yaml("recipes/github.yml");
    for (name, job) in workflow["jobs"].as_object().expect("jobs") {
        for step in job["steps"].as_array().expect("steps") {
            let Some(uses) = step["uses"].as_str() else { continue };
            let (action, commit) = uses.split_once('@').expect("a version");
            assert!(commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit()), "{name}: {uses}");
            if action == "actions/checkout" {
                assert_eq!(step["with"]["persist-credentials"], json!(false), "{name}");
            }
        }
    }
}

#[test]
fn a_plan_that_failed_posts_no_other_plan() {
    let project = Project::new(Kind::GitHub);
    let (run, summary) = script(&project, &[("COMMAND", "plan")]);
    assert!(run.code == 0 && !summary.is_empty(), "{run}");
    project.sandbox.write("work/fleet/fleet.yaml", "fleet: [");
    let (run, summary) = script(&project, &[("COMMAND", "plan")]);
    assert_eq!((run.code, summary.as_str()), (1, ""), "{run}");
}

#[test]
fn azure_pipelines() {
    let project = Project::new(Kind::Azure);
    let pipeline = yaml("recipes/azure-pipelines.yml");
    let reports = project.sandbox.path("reports").display().to_string();
    let token = project.variables(&[])["SYSTEM_ACCESSTOKEN"].clone();
    let macros: BTreeMap<String, String> = [
        ("IOTHUB_CONNECTION_STRING", project.secret()),
        ("System.AccessToken", &token),
        ("Build.ArtifactStagingDirectory", &reports),
        ("manifests", pipeline["variables"]["manifests"].as_str().expect("a text")),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    let run_all = |steps: &Value| {
        let mut all = Vec::new();
        for step in steps.as_array().expect("steps").iter().filter(|step| !step["bash"].is_null()) {
            let mut variables = project.variables(&[("SYSTEM_PULLREQUEST_TARGETBRANCH", "refs/heads/main")]);
            // A secret is in no variable but those that a step names.
            variables.remove("SYSTEM_ACCESSTOKEN");
            for (name, value) in step["env"].as_object().into_iter().flatten() {
                variables.insert(name.clone(), substitute(value.as_str().expect("a text"), ["$(", ")"], &macros));
            }
            let script = substitute(step["bash"].as_str().expect("a script"), ["$(", ")"], &macros);
            let run = project.shell("work", &script, &variables);
            assert_eq!(run.code, 0, "{run}");
            all.push(run);
        }
        all
    };
    let review = &pipeline["stages"][0]["jobs"][0]["steps"];
    let runs = run_all(review);
    assert!(runs[1].stdout.contains("desired.power"), "{}", runs[1]);
    assert!(project.comment().expect("a comment").contains("desired.power"));
    assert!(project.sandbox.path("reports/plan.html").exists());
    run_all(&pipeline["stages"][1]["jobs"][0]["strategy"]["runOnce"]["deploy"]["steps"]);
    assert_eq!(project.power(), json!(2));
    run_all(review);
    assert!(project.comment().expect("the same comment").contains("No changes"));
    _ = run_all(&pipeline["stages"][2]["jobs"][0]["steps"]);
    // A stage after one that was skipped is skipped, too.
    for stage in &pipeline["stages"].as_array().expect("stages")[1..] {
        assert_eq!(stage["dependsOn"], json!([]), "{}", stage["stage"]);
    }
    assert!(pipeline["stages"][1]["condition"].as_str().expect("a condition").contains("'refs/heads/main'"));
}

#[test]
fn gitlab_ci() {
    let project = Project::new(Kind::GitLab);
    let pipeline = yaml("recipes/gitlab-ci.yml");
    let secret = project.secret().to_owned();
    let job = |name: &str, code: i32| {
        let more = [("CI_MERGE_REQUEST_TARGET_BRANCH_NAME", "main"), ("IOTHUB_CONNECTION_STRING", secret.as_str())];
        // As GitLab's runner does: the lines of both scripts, one after another, in one shell.
        let scripts = [&pipeline["default"]["before_script"], &pipeline[name]["script"]];
        let lines = scripts.iter().flat_map(|script| script.as_array().expect("lines"));
        let lines: Vec<&str> = lines.filter_map(Value::as_str).collect();
        project.shell("work", &lines.join("\n"), &project.variables(&more)).exits(code)
    };
    assert!(job("validate", 0).contains("desired.power"));
    _ = job("plan", 0);
    assert!(project.comment().expect("a note").contains("desired.power"));
    let quality: Value = serde_json::from_str(&project.sandbox.read("work/code-quality.json")).expect("JSON");
    assert!(quality.is_array());
    _ = job("apply", 0);
    assert_eq!(project.power(), json!(2));
    _ = job("drift", 0);
    project.hub.patch("d-1", json!({ "properties": { "desired": { "power": 9 } } }));
    _ = job("drift", 2);
}
