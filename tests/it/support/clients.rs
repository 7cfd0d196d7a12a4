//! Which of Microsoft's SDKs the tests ran as clients of the hub. `.ci/run` prints the files that are written here.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Mutex;

/// Records that tests run programs on these packages of a language, each with its version.
pub(crate) fn client_runs(language: &'static str, packages: impl IntoIterator<Item = String>) {
    static RUN: Mutex<BTreeMap<&str, BTreeSet<String>>> = Mutex::new(BTreeMap::new());
    let mut run = RUN.lock().expect("no test panics while it records");
    let all = run.entry(language).or_default();
    all.extend(packages);
    record(language, &all.iter().map(String::as_str).collect::<Vec<_>>().join(", "));
}

/// Records that no test runs a client in this language because the machine lacks its tools, and prints why.
#[cfg(target_os = "linux")]
#[expect(clippy::print_stderr, reason = "a test that was not run says so")]
pub(crate) fn client_is_absent(language: &str, reason: &str) {
    eprintln!("not run: {reason}");
    record(language, &format!("not run, {reason}"));
}

fn record(language: &str, text: &str) {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients");
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(folder.join(language), format!("{language}: {text}\n")).expect("a file");
}
