//! `completions` and `man`, as the programs that read them take them.

use std::process::{Command, Stdio};

use crate::support::Sandbox;

/// Whether a program is there to be asked.
fn there(program: &str) -> bool {
    let started = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    started.is_ok()
}

#[test]
fn completions_are_scripts_of_their_shells() {
    let sandbox = Sandbox::new();
    for (shell, has) in [
        ("bash", "complete -F _twinctl"),
        ("zsh", "#compdef twinctl"),
        ("fish", "complete -c twinctl"),
        ("powershell", "Register-ArgumentCompleter"),
        ("elvish", "edit:completion:arg-completer[twinctl]"),
    ] {
        let script = sandbox.twinctl(["completions", shell]).success();
        assert!(script.contains(has) && script.contains("detailed-exitcode"), "{shell}: {script}");
        let file = sandbox.write(&format!("twinctl.{shell}"), &script);
        // Each reads the script without running it.
        if !["bash", "zsh", "fish"].contains(&shell) {
            continue;
        }
        // Not every machine has every shell.
        if !there(shell) {
            continue;
        }
        let output = Command::new(shell).arg("-n").arg(&file).output().expect("the shell starts");
        assert!(output.status.success(), "{shell}: {}", String::from_utf8_lossy(&output.stderr));
    }
    // What a bash user gets after `twinctl ren` and a tab.
    if there("bash") {
        let asks = format!(
            "source {}; COMP_WORDS=(twinctl ren); COMP_CWORD=1; _twinctl twinctl ren twinctl; echo \"${{COMPREPLY[*]}}\"",
            sandbox.path("twinctl.bash").display()
        );
        let output = Command::new("bash").args(["--norc", "-c", &asks]).output().expect("bash starts");
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "render", "{output:?}");
    }
    assert_eq!(sandbox.twinctl(["completions", "tcsh"]).code, 1);
}

#[test]
fn every_command_has_a_manual_page() {
    let sandbox = Sandbox::new();
    let first = sandbox.twinctl(["man"]).success();
    assert!(first.contains(".TH twinctl 1") && first.contains(".SH SYNOPSIS"), "{first}");
    sandbox.twinctl(["man", "--out", "man"]).success();
    let pages = std::fs::read_dir(sandbox.path("man")).expect("a folder");
    let mut pages: Vec<String> =
        pages.map(|page| page.expect("a page").file_name().into_string().expect("UTF-8")).collect();
    pages.sort();
    for page in ["twinctl.1", "twinctl-plan.1", "twinctl-import.1", "twinctl-hub-serve.1", "twinctl-device-run.1"] {
        assert!(pages.iter().any(|known| known == page), "{page} in {pages:?}");
    }
    assert_eq!(sandbox.read("man/twinctl.1"), first);
    for page in &pages {
        let text = sandbox.read(&format!("man/{page}"));
        // Every line is text, or a request that the man macros and roff itself have.
        for line in text.lines().filter(|line| line.starts_with('.')) {
            let request = line[1..].split(' ').next().unwrap_or_default();
            let known = ["ie", "el", "TH", "SH", "TP", "PP", "RS", "RE", "br", "IP"];
            assert!(known.contains(&request), "{page}: {line}");
        }
        if there("mandoc") {
            let output =
                Command::new("mandoc").args(["-T", "lint", "-W", "error"]).arg(sandbox.path("man").join(page)).output();
            let output = output.expect("mandoc starts");
            assert!(output.status.success(), "{page}: {}", String::from_utf8_lossy(&output.stdout));
        }
    }
}
