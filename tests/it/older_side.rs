//! `render --against`: each side is read as of its own commit, whatever the manifests reach.

use std::process::Command;

use crate::against::{git, run};
use crate::support::{Run, Sandbox, scrub};

const FLEET: &str = "\
fleet: demo
vars: { power: 1 }
inventory:
  - from: ../tables/devices.csv
    id: ${row.id}
devices:
  lamp: { desired: { power: '${var.power}' } }
";

fn commit_all(sandbox: &Sandbox, folder: &str) {
    git(sandbox, folder, &["add", "--all"]);
    git(sandbox, folder, &["commit", "--quiet", "--allow-empty", "-m", "more"]);
}

fn repository(sandbox: &Sandbox) {
    sandbox.write("repo/fleet/fleet.yaml", FLEET);
    sandbox.write("repo/tables/devices.csv", "id\nd1\nd2\n");
    sandbox.write("repo/values/prod.yaml", "power: 2\n");
    git(sandbox, "repo", &["init", "--quiet"]);
    commit_all(sandbox, "repo");
}

fn against(sandbox: &Sandbox, folder: &str, args: &[&str]) -> Run {
    let mut all = vec!["render", "--detailed-exitcode"];
    all.extend(args);
    run(sandbox, folder, &all)
}

/// Asserts that nothing differs, and that nothing is said beside that.
#[track_caller]
fn same(run: Run) {
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{run}");
    assert!(run.stdout.contains("No differences: ") && !run.stdout.contains("! "), "{run}");
}

#[test]
fn a_clean_tree_has_no_differences_wherever_it_is_looked_at() {
    let sandbox = Sandbox::new();
    repository(&sandbox);
    let repo = sandbox.path("repo").display().to_string();
    let absolute = format!("{repo}/fleet");
    let vars = format!("{repo}/values/prod.yaml");
    for (folder, args) in [
        ("repo", vec!["fleet", "--against", "HEAD"]),
        ("repo", vec!["./fleet/", "--against", "main"]),
        ("repo", vec!["fleet/fleet.yaml", "--against", "HEAD", "--vars", "values/prod.yaml"]),
        ("repo/fleet", vec!["--against", "HEAD", "--vars", "../values/prod.yaml"]),
        ("repo/tables", vec!["../fleet", "--against", "main...HEAD"]),
        ("", vec![&absolute, "--against", "main..HEAD", "--vars", &vars]),
        ("", vec!["repo/tables/../fleet", "--against", "..."]),
    ] {
        same(against(&sandbox, folder, &args));
    }
    for (name, value) in [("GIT_DIR", format!("{repo}/.git")), ("GIT_INDEX_FILE", "nowhere".to_owned())] {
        let args = ["render", "fleet", "--against", "HEAD", "--detailed-exitcode"];
        let mut command = sandbox.command(args);
        command.current_dir(sandbox.path("repo")).env(name, value);
        same(Run::of(&mut command, &sandbox.path("")));
    }

    git(&sandbox, "repo", &["worktree", "add", "--quiet", "../linked", "-b", "linked"]);
    same(against(&sandbox, "linked/fleet", &["--against", "main"]));

    // A repository that lies elsewhere, as of configuration files in a home folder.
    git(&sandbox, "", &["clone", "--quiet", "--bare", "repo", "bare.git"]);
    sandbox.write("home/fleet/fleet.yaml", FLEET);
    sandbox.write("home/tables/devices.csv", "id\nd1\nd2\n");
    // Without `.git` above it the repository is not seen, so that the tables lie outside of what the command names.
    let args = ["render", "fleet", "--against", "HEAD", "--allow-outside", "--detailed-exitcode"];
    let mut command = sandbox.command(args);
    command.current_dir(sandbox.path("home")).env("GIT_DIR", "../bare.git").env("GIT_WORK_TREE", ".");
    same(Run::of(&mut command, &sandbox.path("")));

    git(&sandbox, "repo", &["sparse-checkout", "set", "fleet", "tables"]);
    same(against(&sandbox, "repo", &["fleet", "--against", "HEAD"]));
    assert!(!sandbox.path("repo/values").exists());
    git(&sandbox, "repo", &["sparse-checkout", "disable"]);
    sandbox.write("repo/fleet/oslo/more.yaml", "devices: { oslo-1: {} }\n");
    commit_all(&sandbox, "repo");
    git(&sandbox, "repo", &["sparse-checkout", "set", "--no-cone", "/*", "!/fleet/oslo/"]);
    let run = against(&sandbox, "repo", &["fleet", "--against", "HEAD"]);
    assert!(run.code == 0 && run.stdout.contains("! the sparse checkout lacks 1 manifest below `fleet`"), "{run}");
}

#[test]
fn a_table_and_variables_are_those_of_the_commit() {
    let sandbox = Sandbox::new();
    repository(&sandbox);
    sandbox.write("repo/tables/devices.csv", "id\nd1\nd3\n");
    let run = against(&sandbox, "repo", &["fleet", "--against", "HEAD"]);
    assert_eq!(run.code, 2, "{run}");
    assert!(run.stdout.contains("1 twin added, 1 gone; 2 twins declared as before"), "{run}");

    commit_all(&sandbox, "repo");
    sandbox.write("repo/values/prod.yaml", "power: 3\n");
    let run = against(&sandbox, "repo", &["fleet", "--against", "HEAD", "--vars", "values/prod.yaml"]);
    assert!(run.code == 2 && run.stdout.contains("2 → 3"), "{run}");
    // What `--var` gives is the same on both sides.
    same(against(&sandbox, "repo", &["fleet", "--against", "HEAD", "--vars", "values/prod.yaml", "--var", "power=7"]));

    // A file of variables that the change brings; one that has no history; one that an earlier step made.
    sandbox.write("repo/values/new.yaml", "power: 4\n");
    let run = against(&sandbox, "repo", &["fleet", "--against", "HEAD", "--vars", "values/new.yaml"]);
    assert!(run.code == 2 && run.stdout.contains("1 → 4"), "{run}");
    assert!(run.stdout.contains("! there was no `values/new.yaml` at HEAD"), "{run}");
    sandbox.write("outside.yaml", "power: 5\n");
    sandbox.write("repo/.gitignore", "made.*\n");
    sandbox.write("repo/made.yaml", "power: 6\n");
    commit_all(&sandbox, "repo");
    for (file, note) in [
        ("../outside.yaml", "`../outside.yaml` lies outside of the repository, and has no older state"),
        ("made.yaml", "Git ignores `made.yaml`, and has no older state of it"),
    ] {
        for format in ["text", "markdown", "json"] {
            let run = against(&sandbox, "repo", &["fleet", "--against", "HEAD", "--vars", file, "--format", format]);
            let said = run.stdout.replace("&#96;", "`").replace("&#95;", "_");
            assert!(run.code == 0 && said.contains(note), "{run}");
        }
    }
}

#[test]
fn variables_that_only_the_later_side_declares_are_no_mistake_of_the_older() {
    let sandbox = Sandbox::new();
    repository(&sandbox);
    let more = FLEET
        .replace("{ power: 1 }", "{ power: 1, colour: red }")
        .replace("power: '$", "colour: '${var.colour}', power: '$");
    sandbox.write("repo/fleet/fleet.yaml", &more);
    sandbox.write("repo/values/prod.yaml", "power: 2\ncolour: blue\n");
    for args in [&["--vars", "values/prod.yaml"][..], &["--var", "colour=blue", "--var", "power=2"]] {
        let args: Vec<&str> = ["fleet", "--against", "HEAD"].iter().chain(args).copied().collect();
        let run = against(&sandbox, "repo", &args);
        assert_eq!((run.code, run.stderr.as_str()), (2, ""), "{run}");
        assert!(run.stdout.contains("1 twin changed; 2 twins declared as before"), "{run}");
        assert!(run.stdout.contains("+  desired.colour  \"blue\""), "{run}");
    }
}

#[cfg(unix)]
#[test]
fn symbolic_links_are_followed_in_the_commit() {
    use std::os::unix::fs::symlink;
    let sandbox = Sandbox::new();
    repository(&sandbox);
    sandbox.write("repo/shared/more/more.yaml", "devices: { linked-1: { desired: { power: 1 } } }\n");
    sandbox.write("repo/shared/one.yaml", "devices: { linked-2: {} }\n");
    sandbox.write("repo/shared/rows.csv", "id\nd1\nd2\n");
    let link = |target: &str, name: &str| symlink(target, sandbox.path("repo").join(name)).expect("a link");
    link("../shared/more", "fleet/more");
    link("chain.yaml", "fleet/one.yaml");
    link("../shared/./one.yaml", "fleet/chain.yaml");
    std::fs::remove_file(sandbox.path("repo/tables/devices.csv")).expect("removed");
    link("../shared/rows.csv", "tables/devices.csv");
    symlink(sandbox.path("repo/fleet"), sandbox.path("repo/by-name")).expect("a link");
    link("nowhere", "fleet/broken");
    link(".", "fleet/loop");
    commit_all(&sandbox, "repo");
    for named in ["fleet", "by-name", "fleet/one.yaml", "fleet/more"] {
        let manifest = if named == "fleet/more" || named == "fleet/one.yaml" { Some("fleet/fleet.yaml") } else { None };
        let args: Vec<&str> = [named].into_iter().chain(manifest).chain(["--against", "HEAD"]).collect();
        same(against(&sandbox, "repo", &args));
    }
    sandbox.write("repo/shared/more/more.yaml", "devices: { linked-1: { desired: { power: 2 } } }\n");
    sandbox.write("repo/shared/rows.csv", "id\nd1\n");
    let run = against(&sandbox, "repo", &["fleet", "--against", "HEAD"]);
    assert!(run.stdout.contains("1 twin changed, 1 gone; 3 twins declared as before"), "{run}");
    assert!(run.stdout.contains("1 → 2"), "{run}");
}

#[test]
fn submodules_are_read_at_their_recorded_commit() {
    let sandbox = Sandbox::new();
    repository(&sandbox);
    sandbox.write("module/sub.yaml", "devices: { sub-1: { desired: { power: 1 } } }\n");
    git(&sandbox, "module", &["init", "--quiet"]);
    commit_all(&sandbox, "module");
    let url = format!("file://{}", sandbox.path("module").display());
    let add = ["-c", "protocol.file.allow=always", "submodule", "--quiet", "add", &url, "fleet/sub"];
    git(&sandbox, "repo", &add);
    commit_all(&sandbox, "repo");
    same(against(&sandbox, "repo", &["fleet", "--against", "HEAD"]));
    let before = against(&sandbox, "repo", &["fleet", "--against", "HEAD~1"]);
    assert!(before.stdout.contains("+ sub-1"), "{before}");

    sandbox.write("module/sub.yaml", "devices: { sub-1: { desired: { power: 2 } } }\n");
    commit_all(&sandbox, "module");
    git(&sandbox, "repo/fleet/sub", &["pull", "--quiet"]);
    let run = against(&sandbox, "repo", &["fleet", "--against", "HEAD"]);
    assert!(run.code == 2 && run.stdout.contains("1 → 2"), "{run}");
    commit_all(&sandbox, "repo");

    // Not checked out: left out on both sides.
    let url = format!("file://{}", sandbox.path("repo").display());
    git(&sandbox, "", &["clone", "--quiet", &url, "clone"]);
    let run = against(&sandbox, "clone", &["fleet", "--against", "HEAD~1"]);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{run}");
    let command = "git submodule update --init ':/fleet/sub'";
    assert!(
        run.stdout.contains(&format!(
            "! the submodule `fleet/sub` is not checked out, and is left out on both sides: `{command}`"
        )),
        "{run}"
    );
    // What would release its devices is refused, by a command that brings it from wherever it is run.
    for args in
        [&["validate", "../fleet"][..], &["plan", "../fleet"], &["render", "../fleet"], &["validate", "../fleet/sub"]]
    {
        let run = crate::against::run(&sandbox, "clone/tables", args);
        assert!(run.code == 1 && run.stderr.contains("the submodule `../fleet/sub` is not checked out"), "{run}");
        assert!(run.stderr.contains("`git submodule update --init :/fleet/sub`"), "{run}");
    }
    let outside = crate::against::run(&sandbox, "", &["validate", "clone/fleet"]);
    assert!(
        outside.stderr.contains("`git -C ") && outside.stderr.contains(" submodule update --init :/fleet/sub`"),
        "{outside}"
    );
    let words: Vec<&str> = command.split(' ').skip(1).map(|word| word.trim_matches('\'')).collect();
    let all: Vec<&str> = ["-c", "protocol.file.allow=always"].into_iter().chain(words).collect();
    git(&sandbox, "clone/tables", &all);
    let run = against(&sandbox, "clone", &["fleet", "--against", "HEAD~1"]);
    assert!(run.code == 2 && run.stdout.contains("1 → 2"), "{run}");

    // Put away again, with its objects kept: what is not here now must not seem to have gone.
    git(&sandbox, "clone", &["submodule", "--quiet", "deinit", "--force", "fleet/sub"]);
    let run = against(&sandbox, "clone", &["fleet", "--against", "HEAD~1"]);
    assert!(run.code == 0 && run.stdout.contains("is left out on both sides"), "{run}");
    // Removed for good: what it declared is known, unless its objects are gone, too.
    git(&sandbox, "clone", &["rm", "--quiet", "fleet/sub"]);
    let run = against(&sandbox, "clone", &["fleet", "--against", "HEAD"]);
    assert!(run.code == 2 && run.stdout.contains("- sub-1"), "{run}");
    std::fs::remove_dir_all(sandbox.path("clone/.git/modules")).expect("removed");
    let run = against(&sandbox, "clone", &["fleet", "--against", "HEAD"]);
    assert!(
        run.stdout.contains("! the submodule `fleet/sub` was removed since HEAD, and its files are not here"),
        "{run}"
    );

    // Checked out with less of its history than the older side needs.
    git(&sandbox, "", &["clone", "--quiet", &url, "short"]);
    git(
        &sandbox,
        "short",
        &["-c", "protocol.file.allow=always", "submodule", "--quiet", "update", "--init", "--depth=1"],
    );
    let run = against(&sandbox, "short", &["fleet", "--against", "HEAD~1"]);
    assert!(run.code == 1 && run.stderr.contains("the submodule `fleet/sub` was at commit "), "{run}");
    crate::merge_base::follow(&sandbox, "short", &run);
    let run = against(&sandbox, "short", &["fleet", "--against", "HEAD~1"]);
    assert!(run.code == 2 && run.stdout.contains("1 → 2"), "{run}");
}

#[test]
fn what_was_called_otherwise_is_found() {
    let sandbox = Sandbox::new();
    repository(&sandbox);
    git(&sandbox, "repo", &["mv", "fleet", "twins"]);
    git(&sandbox, "repo", &["mv", "values/prod.yaml", "values/production.yaml"]);
    let args = ["twins", "--vars", "values/production.yaml", "--against", "HEAD"];
    let run = against(&sandbox, "repo", &args);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{run}");
    assert!(run.stdout.contains("! `twins` was `fleet` at HEAD"), "{run}");
    git(&sandbox, "repo", &["mv", "twins/fleet.yaml", "twins/all.yaml"]);
    let run = against(&sandbox, "repo", &["twins/all.yaml", "--against", "HEAD"]);
    assert!(run.code == 0 && run.stdout.contains("! `twins/all.yaml` was `fleet/fleet.yaml` at HEAD"), "{run}");
}

#[test]
fn files_that_nothing_reaches_stay_where_they_are() {
    let sandbox = Sandbox::new();
    repository(&sandbox);
    sandbox.write("repo/data/large.csv", &"x\n".repeat(1 << 20));
    commit_all(&sandbox, "repo");
    // With the object of the large file gone, whoever read it would fail.
    let mut git = Command::new("git");
    scrub(&mut git, &sandbox.path(""));
    git.args(["rev-parse", "HEAD:data/large.csv"]).current_dir(sandbox.path("repo"));
    let object = Run::of(&mut git, &sandbox.path("")).success();
    let (folder, file) = object.trim().split_at(2);
    std::fs::remove_file(sandbox.path(&format!("repo/.git/objects/{folder}/{file}"))).expect("a loose object");
    same(against(&sandbox, "repo", &["fleet", "--against", "HEAD"]));
}
