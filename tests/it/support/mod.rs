//! What tests of the binary stand on: a folder of their own, a scrubbed environment, a hub of their own.

mod clients;
pub(crate) mod code_host;
pub(crate) mod device;
pub(crate) mod hub;
mod node;
mod run;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

#[cfg(target_os = "linux")]
pub(crate) use clients::client_is_absent;
pub(crate) use clients::client_runs;
pub(crate) use hub::Hub;
pub(crate) use node::{not_run, packages_of};
pub(crate) use run::{Run, snapshot};

/// The binary under test.
pub(crate) const TWINCTL: &str = env!("CARGO_BIN_EXE_twinctl");

/// A folder that goes when the test ends, and what runs in it.
pub(crate) struct Sandbox {
    root: TempDir,
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        Self { root: tempfile::Builder::new().prefix("twinctl-it-").tempdir().expect("a temporary folder") }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Writes a file, folders and all.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().expect("a file has a folder")).expect("a folder");
        fs::write(&path, text).expect("a file");
        path
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect(name)
    }

    /// The binary, to be run in the folder with nothing of this process's environment but what programs need to start.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(TWINCTL);
        command.args(args).current_dir(self.root.path()).stdin(Stdio::null());
        scrub(&mut command, self.root.path());
        command
    }

    /// Runs the binary without a hub.
    pub(crate) fn twinctl<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Run {
        Run::of(&mut self.command(args), self.root.path())
    }

    /// Runs the binary against a hub, as the policy `iothubowner`.
    pub(crate) fn on<S: AsRef<OsStr>>(&self, hub: &Hub, args: impl IntoIterator<Item = S>) -> Run {
        Run::of(&mut self.command_on(hub, args), self.root.path())
    }

    pub(crate) fn command_on<S: AsRef<OsStr>>(&self, hub: &Hub, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = self.command(args);
        command.env("IOTHUB_CONNECTION_STRING", hub.connection_string("iothubowner"));
        command.arg("--ca-file").arg(hub.ca_file());
        command
    }

    /// Starts a hub in this process whose data lies in this folder.
    pub(crate) fn hub(&self) -> Hub {
        Hub::start(self)
    }
}

/// Leaves a command only what programs need to start, so that no variable of the developer's changes a result.
#[expect(clippy::disallowed_methods, reason = "what is passed on has to be read once")]
pub(crate) fn scrub(command: &mut Command, home: &Path) {
    command.env_clear().env("HOME", home).env("TMPDIR", home).env("NO_COLOR", "1").env("COLUMNS", "120");
    for name in ["PATH", "LD_LIBRARY_PATH", "SYSTEMROOT"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
}
