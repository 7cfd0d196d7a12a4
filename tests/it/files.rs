//! Which files are read: never one outside of the repository, and of a folder only what is a manifest.

use std::path::Path;
#[cfg(unix)]
use std::{fs, os::unix::fs::symlink, time::Duration};

use crate::against::git;
use crate::support::{Run, Sandbox};

/// Is in files that no message may show.
const SECRET: &str = "AUTHORIZATION: basic c2VjcmV0";

const FLEET: &str = "fleet: demo\ninventory: [{ from: t.csv, id: '${row.serial}' }]\n";

fn run(sandbox: &Sandbox, folder: &str, args: &[&str]) -> Run {
    Run::of(sandbox.command(args).current_dir(sandbox.path(folder)), &sandbox.path(""))
}

/// A repository with a secret in its `.git/config`, one beside it, and one that is in its work tree.
fn repository() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("repo/.git/config", &format!("[http]\n\textraheader = {SECRET}\n"));
    sandbox.write("outside/t.csv", &format!("serial,{SECRET}\nd1,1\n"));
    sandbox.write("outside/other.yaml", &format!("devices:\n  d1: {{ tags: {{ a: '{SECRET}' }} }}\n"));
    sandbox.write("repo/.env", &format!("TOKEN={SECRET}\n"));
    sandbox.write("repo/config.json", &format!("{{\"auths\": {{\"registry\": {{\"auth\": \"{SECRET}\"}}}}}}\n"));
    sandbox.write("repo/fleet/fleet.yaml", FLEET);
    sandbox
}

#[cfg(unix)]
fn link(sandbox: &Sandbox, to: impl AsRef<Path>, at: &str) {
    let at = sandbox.path(at);
    fs::create_dir_all(at.parent().expect("a parent")).expect("a folder");
    symlink(to, at).expect("a link");
}

#[track_caller]
fn refused(run: &Run, why: &str) {
    let text = run.to_string();
    assert_eq!(run.code, 1, "{text}");
    assert!(text.contains(why), "{why}\n{text}");
    assert!(!text.contains("c2VjcmV0"), "{text}");
}

#[cfg(unix)]
#[test]
fn a_table_is_not_read_from_outside_the_repository() {
    let secrets = ["../.git/config", "../../outside/t.csv", "/proc/self/environ", "/dev/zero", "t.csv"];
    let reasons = [
        "files under `.git` are never read",
        "it is outside the Git repository",
        "files of the operating system are never read",
        "it is outside the Git repository",
        "too many levels of symbolic links",
    ];
    for (to, reason) in secrets.into_iter().zip(reasons) {
        let sandbox = repository();
        link(&sandbox, to, "repo/fleet/t.csv");
        for args in [&["validate"][..], &["validate", "fleet"], &["validate", "fleet/fleet.yaml"], &["render", "fleet"]]
        {
            refused(&run(&sandbox, "repo", args), &format!("cannot read `fleet/t.csv`: {reason}"));
        }
    }
}

#[cfg(unix)]
#[test]
fn links_to_directories_and_steps_up_do_not_lead_out() {
    let sandbox = repository();
    link(&sandbox, "../../outside", "repo/fleet/tables");
    sandbox.write("repo/fleet/fleet.yaml", &FLEET.replace("t.csv", "tables/t.csv"));
    let run_here = |args: &[&str]| run(&sandbox, "repo", args);
    refused(
        &run_here(&["validate", "fleet/fleet.yaml"]),
        "cannot read `fleet/tables/t.csv`: it is outside the Git repository",
    );
    // The link is a folder of manifests, too.
    let refusal = run_here(&["validate", "fleet"]);
    refused(&refusal, "cannot read `fleet/tables`: it is outside the Git repository");
    sandbox.write("repo/fleet/fleet.yaml", &FLEET.replace("t.csv", "../../outside/t.csv"));
    refused(&run_here(&["validate", "fleet/fleet.yaml"]), "it is outside the Git repository");
    // The hint works as it is printed.
    let allowed = run_here(&["render", "fleet/fleet.yaml", "--allow-outside"]);
    assert!(allowed.success().contains("d1"));
    // `.git` stays out of reach, whatever it is called by.
    for name in [".git/config", ".GIT/config"] {
        sandbox.write(&format!("repo/{name}"), SECRET);
        fs::remove_file(sandbox.path("repo/fleet/tables")).expect("the link");
        link(&sandbox, Path::new("..").join(name), "repo/fleet/tables");
        sandbox.write("repo/fleet/fleet.yaml", &FLEET.replace("t.csv", &format!("../{name}.csv")));
        sandbox.write(&format!("repo/{name}.csv"), SECRET);
        refused(&run_here(&["validate", "fleet/fleet.yaml", "--allow-outside"]), "files under `.git` are never read");
        sandbox.write("repo/fleet/fleet.yaml", FLEET);
    }
}

#[cfg(unix)]
#[test]
fn a_pipe_is_not_waited_for() {
    let sandbox = repository();
    let pipe = sandbox.path("repo/fleet/t.csv");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    let mut child = sandbox
        .command(["validate", "repo/fleet"])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("the program starts");
    for _ in 0..300 {
        if child.try_wait().expect("a child").is_some() {
            let output = child.wait_with_output().expect("its output");
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(text.contains("it is not a regular file"), "{text}");
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    child.kill().expect("it runs");
    panic!("it waits for the pipe");
}

#[cfg(unix)]
#[test]
fn a_named_link_does_not_lead_out_of_the_repository() {
    let sandbox = repository();
    sandbox.write("repo/fleet/t.csv", "serial\nd1\n");
    link(&sandbox, "../../outside/other.yaml", "repo/fleet/vars.yaml");
    link(&sandbox, "../outside", "repo/more");
    let run_here = |args: &[&str]| run(&sandbox, "repo", args);
    for args in [
        &["validate", "fleet/fleet.yaml", "--vars", "fleet/vars.yaml"][..],
        &["validate", "fleet/vars.yaml"],
        &["validate", "more/other.yaml"],
        &["validate", "more"],
        &["explain", "d1", "more"],
        &["render", "more"],
    ] {
        refused(&run_here(args), "leads out of its Git repository");
    }
    refused(&run_here(&["validate", "fleet/fleet.yaml", "--vars", ".git/config"]), "files under `.git` are never read");
    // What the user names may be anywhere, a link outside of every repository, too.
    link(&sandbox, "outside/other.yaml", "vars-link.yaml");
    sandbox.write("outside/vars.yaml", "a: 2\n");
    sandbox.write("repo/fleet/fleet.yaml", "fleet: demo\nvars: { a: 1 }\n");
    run_here(&["validate", "fleet/fleet.yaml", "--vars", "../outside/vars.yaml"]).success();
    run_here(&["validate", "fleet/fleet.yaml", "../vars-link.yaml"]).success();
    run_here(&["validate", "fleet/fleet.yaml", "--vars", "/dev/null"]).success();
}

#[cfg(unix)]
#[test]
fn text_of_a_file_that_a_link_leads_to_is_not_quoted() {
    for (table, to) in [
        ("t.csv", "../.env"),
        ("t.json", "../.env"),
        ("t.jsonl", "../.env"),
        ("t.json", "../config.json"),
        ("t.jsonl", "../config.json"),
    ] {
        let sandbox = repository();
        link(&sandbox, to, &format!("repo/fleet/{table}"));
        for id in ["${row.serial}", "${row.serial:-bad id}", "${row.serial:-a}-${var.none}"] {
            sandbox.write("repo/fleet/fleet.yaml", &FLEET.replace("t.csv", table).replace("${row.serial}", id));
            refused(&run(&sandbox, "repo", &["validate", "fleet"]), "fleet.yaml");
        }
    }
    for (to, text) in [
        ("../.env", format!("TOKEN={SECRET}\n")),
        ("../secrets.yaml", format!("password: {SECRET}\nother: [1\n")),
        ("../secrets.yaml", format!("password: '{SECRET}'\nuser: me\n")),
        ("../secrets.yaml", format!("devices: '{SECRET}'\nuser: me\n")),
        ("../secrets.yaml", "c2VjcmV0: *c2VjcmV0\n".to_owned()),
        ("../secrets.yaml", "- c2VjcmV0\n".to_owned()),
    ] {
        let sandbox = repository();
        sandbox.write(&format!("repo/{}", &to[3..]), &text);
        sandbox.write("repo/fleet/fleet.yaml", "fleet: demo\nvars: { a: 1 }\n");
        link(&sandbox, to, "repo/fleet/vars.yaml");
        refused(&run(&sandbox, "repo", &["validate", "fleet"]), "vars.yaml");
        let run = run(&sandbox, "repo", &["validate", "fleet/fleet.yaml", "--vars", "fleet/vars.yaml"]).to_string();
        for word in ["c2VjcmV0", "TOKEN", "password"] {
            assert!(!run.contains(word), "{word}: {run}");
        }
    }
}

#[test]
fn without_a_repository_the_named_folder_is_the_boundary() {
    let sandbox = Sandbox::new();
    sandbox.write("tables/t.csv", "serial\nd1\n");
    sandbox.write("fleet/fleet.yaml", &FLEET.replace("t.csv", "../tables/t.csv"));
    let refusal = sandbox.twinctl(["validate", "fleet"]);
    refused(&refusal, "cannot read `tables/t.csv`: it is outside the directory that the command names");
    assert!(refusal.to_string().contains("add --allow-outside"), "{refusal}");
    sandbox.twinctl(["validate"]).success();
    sandbox.write("tables/more.yaml", "devices: { d2: {} }\n");
    sandbox.twinctl(["validate", "fleet", "tables/more.yaml"]).success();
    sandbox.twinctl(["validate", "fleet", "--allow-outside"]).success();
    // The repository is the boundary, where there is one.
    sandbox.write(".git", "gitdir: elsewhere\n");
    sandbox.twinctl(["validate", "fleet"]).success();
}

#[test]
fn the_older_side_of_a_comparison_is_read_by_the_same_rules() {
    let sandbox = Sandbox::new();
    sandbox.write("repo/fleet/fleet.yaml", FLEET);
    sandbox.write("repo/fleet/t.csv", "serial\nd1\n");
    sandbox.write("repo/fleet/deploy/compose.yaml", "services: {}\nvolumes: {}\n");
    sandbox.write("repo/.twinctlignore", "deploy/\n");
    git(&sandbox, "repo", &["init", "--quiet"]);
    git(&sandbox, "repo", &["add", "."]);
    git(&sandbox, "repo", &["commit", "--quiet", "-m", "one"]);
    let run = run(&sandbox, "repo", &["render", "fleet", "--against", "HEAD", "--detailed-exitcode"]);
    assert!(run.success().contains("No differences"));
}

#[test]
fn a_file_that_is_named_twice_is_read_once() {
    let sandbox = Sandbox::new();
    sandbox.write("a.yaml", "fleet: demo\ndevices: { d1: {} }\n");
    for paths in [&["a.yaml", "."][..], &[".", "a.yaml"], &["a.yaml", "./a.yaml"], &[".", "."], &["./", "../NAME"]] {
        let name = sandbox.path("").file_name().expect("a name").to_string_lossy().into_owned();
        let paths = paths.iter().map(|path| path.replace("NAME", &name));
        let args: Vec<String> = ["validate".to_owned(), "--strict".to_owned()].into_iter().chain(paths).collect();
        assert!(sandbox.twinctl(&args).success().contains("1 twin"), "{args:?}");
    }
    #[cfg(unix)]
    {
        symlink("a.yaml", sandbox.path("b.yaml")).expect("a link");
        sandbox.twinctl(["validate", "--strict", "b.yaml", "a.yaml", "."]).success();
    }
}

#[test]
fn files_of_other_tools_are_named_with_what_leaves_them_out() {
    let sandbox = Sandbox::new();
    sandbox.write("fleet.yaml", "fleet: demo\ndevices: { d1: {} }\n");
    sandbox.write("node_modules/a/.github/x.yaml", "- no\n");
    sandbox.write("node_modules/a/package.yml", "name: a\n");
    sandbox.write(".github/workflows/ci.yaml", "on: push\n");
    sandbox.twinctl(["validate"]).success();
    sandbox.write("compose.yaml", "version: '3'\nservices: { a: { image: b } }\nvolumes: {}\nnetworks: {}\n");
    sandbox.write("deploy/it's [a] chart.yaml", "metadata:\n  name: {{ .Release.Name }}\n");
    sandbox.write("deploy/list.yml", "- hosts: all\n");
    sandbox.write("deploy/pods.yaml", "kind: Pod\n---\nkind: Pod\n");
    sandbox.write("ci/workflow.yaml", "name: ci\non: push\ndefaults: { run: { shell: bash } }\njobs: {}\n");
    let run = sandbox.twinctl(["validate"]);
    let text = run.to_string();
    assert_eq!(run.code, 1, "{text}");
    assert!(
        text.contains(
            "`compose.yaml` is not a manifest: `version`, `services`, `volumes` and 1 more are not fields of one"
        ),
        "{text}"
    );
    assert!(text.contains("`deploy/list.yml` is not a manifest: it is a list"), "{text}");
    assert_eq!(text.matches("error: ").count(), 5, "{text}");
    // Each hint works as it is printed.
    let commands: Vec<&str> = text.split("leave it out: ").skip(1).filter_map(|rest| rest.lines().next()).collect();
    assert_eq!(commands.len(), 5, "{text}");
    #[cfg(unix)]
    {
        for command in commands {
            let status = std::process::Command::new("sh").args(["-c", command]).current_dir(sandbox.path("")).status();
            assert!(status.expect("sh").success(), "{command}");
        }
        sandbox.twinctl(["validate"]).success();
        // A file that is named is read, whatever the rules say.
        assert_eq!(sandbox.twinctl(["validate", "fleet.yaml", "compose.yaml"]).code, 1);
    }
}

#[test]
fn rules_leave_out_files_of_folders() {
    let sandbox = Sandbox::new();
    let fleet = "fleet: demo\ndevices: { d1: {} }\n";
    sandbox.write("repo/.git/HEAD", "");
    sandbox.write("repo/fleet/fleet.yaml", fleet);
    sandbox.write("repo/fleet/built/fleet.yaml", fleet);
    sandbox.write("repo/fleet/built/deep/fleet.yaml", fleet);
    sandbox.write("repo/fleet/x.tmpl.yaml", fleet);
    sandbox.write("repo/.gitignore", "built/\n[\n");
    sandbox.write("repo/fleet/.twinctlignore", "# templates\n*.tmpl.yaml\n");
    // Rules of the machine do not count.
    sandbox.write(".config/git/ignore", "*.yaml\n");
    sandbox.write(".gitignore", "*.yaml\n");
    sandbox.write("repo/.git/info/exclude", "*.yaml\n");
    let run_here = |args: &[&str]| run(&sandbox, "repo", args);
    run_here(&["validate"]).success();
    run_here(&["validate", "fleet"]).success();
    run_here(&["validate", "fleet/built/fleet.yaml"]).success();
    run_here(&["validate", "fleet/built/deep"]).success();
    // Files that were left out stay so when something else is named.
    sandbox.write("repo/fleet/.twinctlignore", "*.yaml\n");
    let refusal = run_here(&["validate", "fleet"]);
    refused(&refusal, "the folder `fleet` holds no manifest but what .gitignore and .twinctlignore leaves out");
    sandbox.write("repo/fleet/.twinctlignore", "*.yaml\n!fleet.yaml\n");
    run_here(&["validate", "fleet"]).success();
    // A table is named, and no rule leaves it out.
    sandbox.write("repo/fleet/fleet.yaml", FLEET);
    sandbox.write("repo/fleet/t.csv", "serial\nd1\n");
    sandbox.write("repo/fleet/.twinctlignore", "*.tmpl.yaml\n*.csv\n");
    run_here(&["validate", "fleet"]).success();
    sandbox.write("repo/fleet/.twinctlignore", "{a\n");
    refused(&run_here(&["validate", "fleet"]), "this line is not a pattern");
}

#[test]
fn pointers_of_git_lfs_are_named() {
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n";
    let sandbox = Sandbox::new();
    for table in ["t.csv", "t.json", "t.jsonl"] {
        sandbox.write("fleet.yaml", &FLEET.replace("t.csv", table));
        sandbox.write(table, pointer);
        let run = sandbox.twinctl(["validate", "fleet.yaml"]);
        refused(&run, &format!("cannot read `{table}`: it is a pointer of Git LFS, and not the file itself"));
        assert!(run.to_string().contains("`git lfs pull`"), "{run}");
    }
    sandbox.write("fleet.yaml", "fleet: demo\n");
    sandbox.write("p.yaml", pointer);
    for args in [&["validate", "p.yaml"][..], &["validate", "."], &["validate", "fleet.yaml", "--vars", "p.yaml"]] {
        refused(&sandbox.twinctl(args), "cannot read `p.yaml`: it is a pointer of Git LFS");
    }
}
