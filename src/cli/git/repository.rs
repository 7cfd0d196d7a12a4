//! One repository, and how `git` is run in it.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::cli::context::Context;
use crate::cli::outcome::{CliError, CliResult};

/// A repository with its work tree.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Repository {
    git_dir: PathBuf,
    /// The top folder of the work tree, without symbolic links.
    pub(in crate::cli) root: PathBuf,
}

/// The variables by which a hook names its own repository. A repository that is found from a folder does not need them.
const OF_HOOKS: [&str; 5] = ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR"];

/// Settings of the user that would run a program, write into the repository or leave files out.
const SETTINGS: [&str; 6] = [
    "core.quotePath=false",
    "core.sparseCheckout=false",
    "core.splitIndex=false",
    "core.fsmonitor=false",
    "core.untrackedCache=false",
    "core.hooksPath=/dev/null",
];

impl Repository {
    /// Finds the repository that a folder lies in, or, if there is none, the one that `GIT_DIR` names.
    ///
    /// # Errors
    ///
    /// The failure of Git's own search from the folder.
    pub(in crate::cli) fn around(context: &Context, folder: &Path) -> Result<Self, Failure> {
        let found = Self::found_by(command().arg("-C").arg(folder));
        let Some(git_dir) = context.variable("GIT_DIR").filter(|_| found.is_err()) else { return found };
        let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
        let mut git = command();
        git.current_dir(&context.folder).arg("--git-dir").arg(git_dir);
        if let Some(work_tree) = context.variable("GIT_WORK_TREE") {
            git.arg("--work-tree").arg(work_tree);
        }
        match Self::found_by(&mut git) {
            Ok(named) if folder.starts_with(&named.root) => Ok(named),
            _ => found,
        }
    }

    /// Returns the repository whose work tree's top folder is `folder`.
    pub(super) fn at(folder: &Path) -> Option<Self> {
        let folder = folder.canonicalize().ok()?;
        let found = Self::found_by(command().arg("-C").arg(&folder)).ok()?;
        (found.root == folder).then_some(found)
    }

    /// Returns the repository that this one keeps for a submodule that is not checked out.
    pub(super) fn kept_module(&self, path: &str) -> Option<Self> {
        let common = self.ask(["rev-parse", "--git-common-dir"]).ok()?;
        let git_dir = self.root.join(common).join("modules").join(path);
        git_dir.join("HEAD").exists().then(|| Self { git_dir, root: self.root.join(path) })
    }

    fn found_by(git: &mut Command) -> Result<Self, Failure> {
        let answer = run(git.args(["rev-parse", "--show-toplevel", "--absolute-git-dir"]), b"")?;
        let answer = String::from_utf8_lossy(&answer);
        let mut lines = answer.lines();
        let (Some(root), Some(git_dir)) = (lines.next(), lines.next()) else {
            return Err(Failure::Said(String::new()));
        };
        let root = Path::new(root).canonicalize().map_err(Failure::Start)?;
        Ok(Self { git_dir: git_dir.into(), root })
    }

    /// Returns `git` with this repository and another work tree.
    pub(super) fn git_with_tree(&self, work_tree: &Path) -> Command {
        let mut git = command();
        let folder = if self.root.is_dir() { &self.root } else { &self.git_dir };
        git.current_dir(folder).arg("--git-dir").arg(&self.git_dir).arg("--work-tree").arg(work_tree);
        git
    }

    pub(super) fn run(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<Vec<u8>, Failure> {
        run(self.git_with_tree(&self.root).args(args), b"")
    }

    /// Returns the text that Git prints, without the line break at its end.
    pub(super) fn ask(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<String, Failure> {
        let answer = self.run(args)?;
        Ok(String::from_utf8_lossy(&answer).trim_end().to_owned())
    }

    /// Returns the file of the repository in which Git keeps what `name` stands for, as in `info/exclude`.
    pub(super) fn file(&self, name: &str) -> Option<PathBuf> {
        Some(self.root.join(self.ask(["rev-parse", "--git-path", name]).ok()?))
    }

    /// Returns the path of a file or folder relative to the root, with `/`; `None` if it lies elsewhere.
    pub(super) fn name_of(&self, path: &Path) -> Option<String> {
        let normal = normalized(path);
        let real = canonical(&normal);
        let inside = match normal.strip_prefix(&self.root) {
            // The name as given, unless a `..` after a symbolic link has made it another file.
            Ok(inside) if path.canonicalize().map_or(true, |path| path == real) => inside.to_owned(),
            _ => canonical(path).strip_prefix(&self.root).ok()?.to_owned(),
        };
        let parts: Vec<_> = inside.iter().map(|part| part.to_string_lossy().into_owned()).collect();
        Some(parts.join("/"))
    }
}

/// Resolves `.` and `..` without a look at the disk.
pub(super) fn normalized(path: &Path) -> PathBuf {
    use std::path::Component;
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => _ = out.pop(),
            part => out.push(part),
        }
    }
    out
}

/// Resolves the symbolic links of the part of a path that exists.
fn canonical(path: &Path) -> PathBuf {
    match (path.canonicalize(), path.parent(), path.file_name()) {
        (Ok(path), ..) => path,
        (Err(_), Some(parent), Some(name)) => canonical(parent).join(name),
        _ => path.to_owned(),
    }
}

/// Returns `git` with nothing that the user's settings could change about the result.
fn command() -> Command {
    let mut command = Command::new("git");
    for setting in SETTINGS {
        command.args(["-c", setting]);
    }
    for name in OF_HOOKS {
        command.env_remove(name);
    }
    // Objects that a partial clone lacks are fetched, but nobody is asked for a password.
    command.env("GIT_OPTIONAL_LOCKS", "0").env("GIT_TERMINAL_PROMPT", "0").env("LC_ALL", "C");
    command
}

/// Why `git` gave no answer.
#[derive(Debug)]
pub(in crate::cli) enum Failure {
    /// It could not be started.
    Start(io::Error),
    /// It ended with an error, and printed this.
    Said(String),
}

impl Failure {
    /// Turns it into an error, whose message is `error`'s unless `git` could not run at all or refuses the repository.
    pub(in crate::cli) fn explain(self, error: CliError) -> CliError {
        match self {
            Self::Start(source) if source.kind() == io::ErrorKind::NotFound => {
                CliError::new("--against needs `git`, and there is none on the PATH").hint("install Git")
            }
            Self::Start(source) => CliError::doing("running git", source),
            Self::Said(words) => match refused(&words) {
                Some(refused) => refused,
                None if words.is_empty() => error,
                None => error.hint(format!("git says: {}", first_line(&words))),
            },
        }
    }
}

fn first_line(words: &str) -> &str {
    words.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default()
}

/// Recognizes that Git does not read a repository of another user, and passes on the command that it advises.
fn refused(words: &str) -> Option<CliError> {
    if !words.contains("safe.directory") {
        return None;
    }
    let cause = first_line(words).trim_start_matches("fatal: ");
    let advised = words.lines().map(str::trim).find(|line| line.starts_with("git config "))?;
    Some(
        CliError::new(format!("git does not read this repository, because another user owns it: {cause}"))
            .hint(format!("if you trust it, run `{advised}` and the same command again")),
    )
}

pub(super) fn run(command: &mut Command, input: &[u8]) -> Result<Vec<u8>, Failure> {
    let started = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = started.map_err(Failure::Start)?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that does not read its input says why by itself. Its output is nothing while it reads.
        _ = stdin.write_all(input);
    }
    let output = child.wait_with_output().map_err(Failure::Start)?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(Failure::Said(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}

/// Turns a failure of a command whose only cause is the repository's state into an error.
pub(super) fn or_explain<T>(result: Result<T, Failure>, message: impl FnOnce() -> String) -> CliResult<T> {
    result.map_err(|failure| failure.explain(CliError::new(message())))
}
