//! One run of the binary: both streams and the exit code, with what changes from run to run taken out.

use std::fmt;
use std::path::Path;
use std::process::Command;

/// Look at it, or say `.success()`.
#[must_use]
pub(crate) struct Run {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) code: i32,
}

impl Run {
    pub(crate) fn of(command: &mut Command, home: &Path) -> Self {
        let output = command.output().expect("the binary starts");
        Self::from_output(&output, home)
    }

    pub(crate) fn from_output(output: &std::process::Output, home: &Path) -> Self {
        let home = home.to_str().expect("a folder named in UTF-8");
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8").replace(home, "[HOME]");
        Self { stdout: text(&output.stdout), stderr: text(&output.stderr), code: output.status.code().unwrap_or(-1) }
    }

    /// Asserts that it ended with 0, and hands out what it printed.
    pub(crate) fn success(self) -> String {
        self.exits(0)
    }

    /// Asserts how it ended, and hands out what it printed.
    pub(crate) fn exits(self, code: i32) -> String {
        assert_eq!(self.code, code, "{self}");
        self.stdout
    }
}

impl Run {
    /// What it said beside its answer, and how it ended.
    pub(crate) fn stderr_and_code(&self) -> String {
        format!("{}[exit {}]", self.stderr, self.code)
    }
}

/// stdout, then stderr, then the exit code: one snapshot holds all three.
impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.stdout)?;
        if !self.stderr.is_empty() {
            write!(f, "── stderr\n{}", self.stderr)?;
        }
        write!(f, "[exit {}]", self.code)
    }
}

/// Takes a snapshot of a run, or of several, into the top-level folder; ports, etags, times and tracking ids are masked.
pub(crate) fn snapshot(name: &str, value: impl fmt::Display) {
    insta::with_settings!({
        snapshot_path => "../../../snapshots",
        prepend_module_to_snapshot => false,
        omit_expression => true,
        filters => vec![
            (r"127\.0\.0\.1:\d+", "127.0.0.1:[PORT]"),
            (r"localhost:\d+", "localhost:[PORT]"),
            (r"AAAA[A-Za-z0-9+/]{7}=", "[ETAG]"),
            (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "[TIME]"),
            (r"tracking id [^)\n]+", "tracking id [ID]"),
            (r"\bin \d[\d.,]* (ms|s|min)\b", "in [DURATION]"),
            (r"asked \d+ times over [\d.]+ (ms|s)", "asked [N] times over [DURATION]"),
            (r#""attempts": \d+"#, "\"attempts\": [N]"),
            (r#""waitedMs": \d+"#, "\"waitedMs\": [N]"),
            (r#"time="[\d.]+""#, "time=\"[DURATION]\""),
            (r"\.tmp\w+", ".tmp[NAME]"),
            (r"\b(says|has) [0-9a-f]{12}\b", "$1 [DIGEST]"),
            (r"sha256:[0-9a-f]{64}", "sha256:[DIGEST]"),
        ],
    }, {
        insta::assert_snapshot!(name, value.to_string());
    });
}
