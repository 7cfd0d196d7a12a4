//! `render --against`: which commit a ref means, and that hints bring what is not here when they are followed to the letter.

use std::process::Command;

use crate::against::{git, run};
use crate::support::{Run, Sandbox, scrub};

fn fleet(power: u32, lamp: u32) -> String {
    // With lines between, so that both can be merged.
    let more = (0..9).map(|n| format!("  d-{n}: {{}}\n")).collect::<String>();
    format!(
        "fleet: demo\ndevices:\n  d1: {{ desired: {{ power: {power} }} }}\n{more}  lamp: {{ desired: {{ power: {lamp} }} }}\n"
    )
}

/// A repository whose `main` has moved on since the branch `more` left it.
fn repository(sandbox: &Sandbox) -> String {
    let commit = |power, lamp| {
        sandbox.write("server/fleet.yaml", &fleet(power, lamp));
        git(sandbox, "server", &["add", "."]);
        git(sandbox, "server", &["commit", "--quiet", "-m", "more"]);
    };
    sandbox.write("server/fleet.yaml", "");
    git(sandbox, "server", &["init", "--quiet"]);
    commit(0, 0);
    commit(1, 1);
    git(sandbox, "server", &["tag", "v1.0"]);
    git(sandbox, "server", &["checkout", "--quiet", "-b", "topic/more"]);
    commit(2, 1);
    git(sandbox, "server", &["checkout", "--quiet", "main"]);
    commit(1, 5);
    commit(1, 6);
    git(sandbox, "server", &["checkout", "--quiet", "topic/more"]);
    format!("file://{}", sandbox.path("server").display())
}

fn against(sandbox: &Sandbox, folder: &str, reference: &str) -> Run {
    run(sandbox, folder, &["render", "fleet.yaml", "--against", reference])
}

fn is_the_change(run: &Run) -> bool {
    run.code == 0 && run.stdout.contains("~ d1\n") && run.stdout.contains("1 → 2") && !run.stdout.contains("lamp")
}

/// Runs the first command that a hint names, and returns the ref that it names after that, if it does.
pub(crate) fn follow(sandbox: &Sandbox, folder: &str, run: &Run) -> Option<String> {
    let hint = run.stderr.lines().find(|line| line.starts_with("hint: ") && line.contains("`git ")).expect("a hint");
    follow_hint(sandbox, folder, hint)
}

fn follow_hint(sandbox: &Sandbox, folder: &str, hint: &str) -> Option<String> {
    let (_, rest) = hint.split_once("`git ").expect("a command");
    let (command, rest) = rest.split_once('`').expect("its end");
    let command = command.replace("[HOME]", sandbox.path("").to_str().expect("UTF-8"));
    let mut bash = Command::new("bash");
    scrub(&mut bash, &sandbox.path(""));
    let done =
        Run::of(bash.args(["-c", &format!("git {command}")]).current_dir(sandbox.path(folder)), &sandbox.path(""));
    assert_eq!(done.code, 0, "git {command}: {done}");
    let (_, reference) = rest.split_once("--against ")?;
    reference.split_whitespace().next().map(str::to_owned)
}

#[test]
fn a_branch_is_compared_with_its_merge_base() {
    let sandbox = Sandbox::new();
    repository(&sandbox);
    for reference in ["main", "main...HEAD", "main...", "main...topic/more", "v1.0", "HEAD~1", "HEAD^"] {
        let run = against(&sandbox, "server", reference);
        assert!(is_the_change(&run), "{reference}: {run}");
        let moved_on = reference.starts_with("main");
        assert_eq!(run.stdout.contains("(merge base "), moved_on, "{run}");
    }
    // Two dots compare with the branch itself, as `git diff` does.
    for reference in ["main..HEAD", "main.."] {
        let run = against(&sandbox, "server", reference);
        assert!(run.stdout.contains("6 → 1") && !run.stdout.contains("merge base"), "{run}");
    }
    let run = against(&sandbox, "server", "HEAD...main");
    assert_eq!(
        (run.code, run.stderr.lines().next()),
        (1, Some("error: `main` is not what is checked out here")),
        "{run}"
    );
    let json =
        self::run(&sandbox, "server", &["render", "fleet.yaml", "--against", "main", "--format", "json"]).success();
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_ne!(json["commit"], json["tip"], "{json}");

    git(&sandbox, "server", &["checkout", "--quiet", "--orphan", "unrelated"]);
    git(&sandbox, "server", &["commit", "--quiet", "-m", "unrelated"]);
    let run = against(&sandbox, "server", "main");
    assert!(run.code == 1 && run.stderr.contains("their histories are unrelated"), "{run}");
    _ = against(&sandbox, "server", "main..HEAD").success();
}

#[test]
fn hints_in_shallow_clones_work_as_printed() {
    let sandbox = Sandbox::new();
    let url = repository(&sandbox);
    let sha = |reference: &str| {
        let mut git = Command::new("git");
        scrub(&mut git, &sandbox.path(""));
        let run = Run::of(git.args(["rev-parse", reference]).current_dir(sandbox.path("server")), &sandbox.path(""));
        run.success().trim().to_owned()
    };
    let (base, main) = (sha("v1.0"), sha("main"));
    for (at, (remote, reference)) in [
        ("origin", "main"),
        ("origin", "origin/main"),
        ("origin", "refs/remotes/origin/main"),
        ("my/fork", "my/fork/main"),
        ("upstream", "origin/main"),
        ("origin", "v1.0"),
        ("origin", "HEAD~1"),
        ("origin", "HEAD^"),
        ("origin", "origin/main~2"),
        ("origin", &*base),
        ("origin", &base[..10]),
        ("origin", &*main),
        ("origin", "main...HEAD"),
    ]
    .into_iter()
    .enumerate()
    {
        for detached in [false, true] {
            let folder = format!("clone-{at}-{detached}");
            let args = ["clone", "--quiet", "--depth=1", "--origin", remote, "--branch", "topic/more", &url, &folder];
            git(&sandbox, "", &args);
            if detached {
                git(&sandbox, &folder, &["checkout", "--quiet", "--detach"]);
            }
            let refused = against(&sandbox, &folder, reference);
            assert_eq!(refused.code, 1, "{reference}: {refused}");
            let then = follow(&sandbox, &folder, &refused);
            let found = against(&sandbox, &folder, then.as_deref().unwrap_or(reference));
            assert!(is_the_change(&found), "{reference}: {refused}\n{found}");
            // The other hint, for whoever has no use for the history.
            let Some(other) = refused.stderr.lines().find(|line| line.contains("--depth=1")) else { continue };
            let folder = format!("{folder}-tip");
            git(
                &sandbox,
                "",
                &["clone", "--quiet", "--depth=1", "--origin", remote, "--branch", "topic/more", &url, &folder],
            );
            let then = follow_hint(&sandbox, &folder, other).expect("a ref");
            let found = against(&sandbox, &folder, &then);
            assert!(found.code == 0 && found.stdout.contains("1 → 2"), "{reference}: {refused}\n{found}");
        }
    }
}

#[test]
fn a_clone_without_history_has_no_merge_base() {
    let sandbox = Sandbox::new();
    let url = repository(&sandbox);
    let clone = |folder: &str| {
        git(
            &sandbox,
            "",
            &["clone", "--quiet", "--depth=1", "--no-single-branch", "--branch", "topic/more", &url, folder],
        );
    };
    clone("shallow");
    let run = against(&sandbox, "shallow", "origin/main");
    assert_eq!(run.code, 1, "{run}");
    assert!(
        run.stderr.starts_with("error: no merge base of `origin/main` and HEAD is known: this clone is shallow\n"),
        "{run}"
    );
    assert_eq!(follow(&sandbox, "shallow", &run), None);
    let run = against(&sandbox, "shallow", "origin/main");
    assert!(is_the_change(&run), "{run}");

    clone("fetched");
    git(&sandbox, "fetched", &["fetch", "--quiet", "--depth=1", "origin", "main"]);
    let run = against(&sandbox, "fetched", "FETCH_HEAD");
    assert_eq!(run.code, 1, "{run}");
    let then = follow(&sandbox, "fetched", &run).expect("the commit, since the next fetch writes over FETCH_HEAD");
    let run = against(&sandbox, "fetched", &then);
    assert!(is_the_change(&run), "{run}");

    // The commit that a code host makes of a pull request: its parents are not here, but it names them.
    git(&sandbox, "server", &["checkout", "--quiet", "-b", "merged", "main"]);
    git(&sandbox, "server", &["merge", "--quiet", "--no-edit", "topic/more"]);
    git(&sandbox, "", &["clone", "--quiet", "--depth=1", "--branch", "merged", &url, "pull"]);
    git(&sandbox, "pull", &["fetch", "--quiet", "--depth=1", "origin", "main"]);
    let run = against(&sandbox, "pull", "FETCH_HEAD");
    assert!(is_the_change(&run), "{run}");
}

#[test]
fn hints_of_whole_clones_name_what_there_is() {
    let sandbox = Sandbox::new();
    let url = repository(&sandbox);
    git(&sandbox, "", &["clone", "--quiet", "--single-branch", "--branch", "topic/more", &url, "clone"]);
    let run = against(&sandbox, "clone", "origin/main");
    let then = follow(&sandbox, "clone", &run).expect("a ref");
    assert!(is_the_change(&against(&sandbox, "clone", &then)), "{run}");
    git(&sandbox, "", &["clone", "--quiet", "--branch", "topic/more", &url, "all"]);
    for (reference, hint) in [
        ("main", "hint: did you mean --against origin/main?"),
        ("HEAD~9", "hint: with its ancestors, `HEAD` has 3 commits in a line"),
        ("$(touch x)", "hint: `git branch --all` and `git tag` list what there is"),
        ("", "hint: `git branch --all` and `git tag` list what there is"),
    ] {
        let run = against(&sandbox, "all", reference);
        assert_eq!((run.code, run.stderr.lines().last()), (1, Some(hint)), "{run}");
    }
    sandbox.write("unborn/fleet.yaml", &fleet(1, 1));
    git(&sandbox, "unborn", &["init", "--quiet"]);
    let run = against(&sandbox, "unborn", "HEAD");
    assert!(run.stderr.contains("hint: this repository has no commit yet"), "{run}");
}

#[test]
fn a_repository_of_another_user_is_named_with_the_command_that_git_advises() {
    let sandbox = Sandbox::new();
    repository(&sandbox);
    let mut command = sandbox.command(["render", "fleet.yaml", "--against", "main"]);
    command.current_dir(sandbox.path("server")).env("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1");
    let run = Run::of(&mut command, &sandbox.path(""));
    assert_eq!(run.code, 1, "{run}");
    assert!(run.stderr.starts_with("error: git does not read this repository, because another user owns it: detected dubious ownership in repository at "), "{run}");
    let (_, advised) = run.stderr.split_once("run `git ").expect("the command");
    let (advised, _) = advised.split_once('`').expect("its end");
    let words: Vec<String> =
        advised.split(' ').map(|word| word.replace("[HOME]", sandbox.path("").to_str().expect("UTF-8"))).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    git(&sandbox, "", &words);
    let mut command = sandbox.command(["render", "fleet.yaml", "--against", "main"]);
    command.current_dir(sandbox.path("server")).env("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1");
    assert!(is_the_change(&Run::of(&mut command, &sandbox.path(""))));
}
