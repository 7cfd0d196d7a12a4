//! `render --against`: what a pull request changes, in a real repository and without a hub.

use std::fmt::Write;
use std::process::Command;

use crate::support::{Run, Sandbox, scrub, snapshot};

const BEFORE: &str = "\
fleet: demo
defaults: { desired: { interval: 60 } }
groups:
  oslo: { tags: { plant: oslo } }
devices:
  'press-{01..12}': { groups: [oslo] }
  lamp: { desired: { on: true } }
  old-1: {}
checks:
  - { name: all there, query: SELECT deviceId FROM devices, expect: { count: '>= 3' } }
";

const AFTER: &str = "\
fleet: demo
missing: register
defaults: { desired: { interval: 30 } }
groups:
  oslo: { tags: { plant: oslo, note: 'a|b `</details>` @team' } }
devices:
  'press-{01..12}': { groups: [oslo] }
  lamp: { desired: { on: null, interval: 60 } }
  new-1: { groups: [oslo] }
checks:
  - { name: all there, query: SELECT deviceId FROM devices, expect: { count: '>= 14' } }
  - { name: lamps, query: \"SELECT * FROM devices WHERE tags.lamp = true\", expect: none }
";

/// Runs Git in the sandbox, as somebody who has configured nothing.
pub(crate) fn git(sandbox: &Sandbox, folder: &str, args: &[&str]) {
    let mut command = Command::new("git");
    scrub(&mut command, &sandbox.path(""));
    let who = ["-c", "user.name=T", "-c", "user.email=t@example.com", "-c", "init.defaultBranch=main"];
    let output = command.arg("-C").arg(sandbox.path(folder)).args(who).args(args).output().expect("git");
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A repository with the manifests as they were in its one commit, and as they are in its work tree.
fn repository(sandbox: &Sandbox) {
    sandbox.write("repo/fleet/fleet.yaml", BEFORE);
    sandbox.write("repo/fleet/notes.txt", "not a manifest");
    git(sandbox, "repo", &["init", "--quiet"]);
    git(sandbox, "repo", &["add", "."]);
    git(sandbox, "repo", &["commit", "--quiet", "-m", "one"]);
    sandbox.write("repo/fleet/fleet.yaml", AFTER);
}

pub(crate) fn run(sandbox: &Sandbox, folder: &str, args: &[&str]) -> Run {
    Run::of(sandbox.command(args).current_dir(sandbox.path(folder)), &sandbox.path(""))
}

/// Commits have another name each time.
pub(crate) fn masked(text: &str) -> String {
    let mut out = String::new();
    for piece in text.split_inclusive(|c: char| !c.is_ascii_alphanumeric()) {
        let word = piece.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        let is_commit = word.len() == 12 && word.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        out.push_str(&if is_commit { piece.replace(word, "[COMMIT]") } else { piece.to_owned() });
    }
    out
}

#[test]
fn a_pull_request_against_its_base() {
    let sandbox = Sandbox::new();
    repository(&sandbox);
    let mut said = String::new();
    for (args, code) in [
        (vec!["render", "fleet", "--against", "main"], 0),
        (vec!["render", "fleet", "--against", "main", "--format", "markdown"], 0),
        (vec!["render", "fleet/fleet.yaml", "--against", "HEAD", "--format", "json", "--detailed-exitcode"], 2),
    ] {
        let run = run(&sandbox, "repo", &args);
        assert_eq!(run.code, code, "{run}");
        writeln!(said, "$ twinctl {}\n{run}\n", args.join(" ")).expect("text");
    }
    snapshot("against", masked(&said));
    git(&sandbox, "repo", &["commit", "--quiet", "-am", "two"]);
    let same = run(&sandbox, "repo/fleet", &["render", "--against", "HEAD", "--detailed-exitcode"]).success();
    assert!(same.contains("No differences: 14 twins declared as before"), "{same}");
    git(&sandbox, "repo", &["diff", "--quiet", "HEAD"]);
}

#[test]
fn what_cannot_be_compared() {
    let sandbox = Sandbox::new();
    repository(&sandbox);
    sandbox.write("elsewhere/fleet.yaml", "fleet: demo\n");
    sandbox.write("repo/added/more.yaml", "fleet: demo\ndevices: { d1: {} }\n");
    let mut said = String::new();
    let mut note = |what: &str, run: Run, code: i32| {
        assert_eq!(run.code, code, "{what}\n{run}");
        writeln!(said, "# {what}\n{run}\n").expect("text");
    };
    note("a ref that is not there", run(&sandbox, "repo", &["render", "fleet", "--against", "mian"]), 1);
    note("a ref like an option", run(&sandbox, "repo", &["render", "fleet", "--against=--output=/tmp/x"]), 1);
    note("no repository", run(&sandbox, "elsewhere", &["render", "--against", "main"]), 1);
    note(
        "a path outside of the repository",
        run(&sandbox, "repo", &["render", "added", "../elsewhere", "--against", "main"]),
        1,
    );
    note("a folder that was not there", run(&sandbox, "repo", &["render", "added", "--against", "main"]), 0);
    note("formats", run(&sandbox, "repo", &["render", "fleet", "--format", "markdown"]), 1);
    note("formats", run(&sandbox, "repo", &["render", "fleet", "--against", "main", "--format", "yaml"]), 1);
    let mut without_git = sandbox.command(["render", "fleet", "--against", "main"]);
    without_git.current_dir(sandbox.path("repo")).env("PATH", sandbox.path("empty"));
    note("no git", Run::of(&mut without_git, &sandbox.path("")), 1);

    sandbox.write("repo/fleet/fleet.yaml", "fleet: demo\ndevcies: {}\n");
    git(&sandbox, "repo", &["commit", "--quiet", "-am", "broken"]);
    sandbox.write("repo/fleet/fleet.yaml", AFTER);
    for format in ["text", "json", "markdown"] {
        let args = ["render", "fleet", "--against", "main", "--format", format];
        note("a base that is no manifest, which a pull request mends", run(&sandbox, "repo", &args), 0);
    }
    git(&sandbox, "repo", &["commit", "--quiet", "-am", "mended"]);
    let url = format!("file://{}", sandbox.path("repo").display());
    git(&sandbox, "", &["clone", "--quiet", "--depth=1", &url, "shallow"]);
    note("a shallow clone", run(&sandbox, "shallow", &["render", "fleet", "--against", "HEAD~1"]), 1);
    snapshot("against_refused", masked(&said));
}
