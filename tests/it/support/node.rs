//! Packages of Node's, which the tests install themselves, and what becomes of a test that a machine cannot run.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Says that a test is not run, and why. Where all are to be run (`TWINCTL_REQUIRE_SDKS`), that is a failure.
#[expect(clippy::disallowed_methods, reason = "whoever runs the tests says so by the environment")]
#[expect(clippy::print_stderr, reason = "a test that was not run says so")]
pub(crate) fn not_run(reason: &str) {
    assert!(std::env::var_os("TWINCTL_REQUIRE_SDKS").is_none(), "this test is to be run: {reason}");
    eprintln!("not run: {reason}");
}

/// Returns a folder of packages that has what the lock file in `folder` says, installed below the target folder under `name`;
/// none where there is no Node with npm.
pub(crate) fn packages_of(folder: &Path, name: &str) -> Option<PathBuf> {
    let npm = Command::new("npm").arg("--version").output();
    if !npm.is_ok_and(|output| output.status.success()) {
        not_run("there is no Node with npm");
        return None;
    }
    let lock = fs::read_to_string(folder.join("package-lock.json")).expect("the lock file");
    let installed = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let (stamp, packages) = (installed.join("installed.json"), installed.join("node_modules"));
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == lock) {
        return Some(packages);
    }
    fs::create_dir_all(&installed).expect("a folder");
    for file in ["package.json", "package-lock.json"] {
        fs::copy(folder.join(file), installed.join(file)).expect(file);
    }
    let mut command = Command::new("npm");
    command.args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]).current_dir(&installed);
    let output = command.output().expect("npm starts");
    assert!(output.status.success(), "npm ci:\n{}", String::from_utf8_lossy(&output.stderr));
    fs::write(&stamp, lock).expect("the stamp");
    Some(packages)
}
