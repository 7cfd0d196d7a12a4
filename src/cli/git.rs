//! Manifests as they were at a Git ref, by running `git`.
//!
//! The files are checked out into a temporary folder by way of an index of its own, so that neither the work tree nor the
//! repository is touched. With them comes what an inventory may be read from; nothing else does.

use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};

use super::outcome::{CliError, CliResult};

/// What manifests and inventories are called.
const SUFFIXES: [&str; 6] = [".yaml", ".yml", ".csv", ".json", ".jsonl", ".ndjson"];

/// Manifests at a ref. The folder goes when this does.
pub(super) struct Snapshot {
    /// The commit, shortened as Git does it.
    pub(super) commit: String,
    /// Where the manifests are, in the order in which they were named; those that were not there then are left out.
    pub(super) paths: Vec<PathBuf>,
    folder: tempfile::TempDir,
}

impl Snapshot {
    /// Returns the directory that stands for the repository.
    pub(super) fn root(&self) -> PathBuf {
        self.folder.path().join(TREE)
    }
}

/// Where the files lie in the temporary folder.
const TREE: &str = "tree";

/// Files that say what of a folder is no manifest.
const RULES: [&str; 2] = [".gitignore", ".twinctlignore"];

/// Fetches what `paths` were at `reference`. Paths are seen from `folder`.
pub(super) fn at(folder: &Path, paths: &[PathBuf], reference: &str) -> CliResult<Snapshot> {
    let paths: Vec<PathBuf> = paths.iter().map(|path| folder.join(path)).collect();
    let canonical: Vec<PathBuf> = paths
        .iter()
        .map(|path| path.canonicalize().map_err(|error| CliError::doing(format!("finding {}", path.display()), error)))
        .collect::<CliResult<_>>()?;
    let first = canonical.first().map_or(folder, PathBuf::as_path);
    let inside = if first.is_dir() { first } else { first.parent().unwrap_or(first) };
    let root = PathBuf::from(ask(inside, &["rev-parse", "--show-toplevel"]).map_err(|failure| {
        let error = CliError::new(format!("{} is in no Git repository that can be read", inside.display()));
        failure.explain(error).hint("--against compares with what Git knows of the manifests")
    })?);
    let root = root.canonicalize().map_err(|error| CliError::doing(format!("finding {}", root.display()), error))?;
    let names = canonical.iter().map(|path| name_in(&root, path)).collect::<CliResult<Vec<_>>>()?;
    let commit = commit_of(&root, reference)?;
    let temporary = tempfile::Builder::new().prefix("twinctl-ref-").tempdir();
    let temporary = temporary.map_err(|error| CliError::doing("making a temporary folder", error))?;
    let there = check_out(&root, &commit, &names, temporary.path())
        .map_err(|failure| failure.explain(CliError::new(format!("the manifests at {reference} cannot be read"))))?;
    let paths = there.iter().map(|name| temporary.path().join(TREE).join(name)).collect();
    let short = ask(&root, &["rev-parse", "--short=12", &commit]).unwrap_or_else(|_| commit.clone());
    Ok(Snapshot { commit: short, paths, folder: temporary })
}

fn name_in(root: &Path, path: &Path) -> CliResult<String> {
    let outside = || {
        CliError::new(format!("{} lies outside of the Git repository {}", path.display(), root.display()))
            .hint("all manifests of one comparison lie in one repository")
    };
    let relative = path.strip_prefix(root).map_err(|_| outside())?;
    // Git separates with `/` on every system.
    let parts: Vec<_> = relative
        .components()
        .filter_map(|part| match part {
            Component::Normal(part) => Some(part.to_string_lossy()),
            _ => None,
        })
        .collect();
    Ok(parts.join("/"))
}

fn commit_of(root: &Path, reference: &str) -> CliResult<String> {
    let asked = format!("{reference}^{{commit}}");
    // Without its end, a ref that begins with a hyphen would be an option.
    if let Ok(commit) = ask(root, &["rev-parse", "--verify", "--quiet", "--end-of-options", &asked]) {
        // Some versions answer with the end of the options, too.
        return Ok(commit.lines().last().unwrap_or_default().to_owned());
    }
    let shallow = ask(root, &["rev-parse", "--is-shallow-repository"]).is_ok_and(|answer| answer == "true");
    let error = CliError::new(format!("Git knows no commit `{reference}`"));
    Err(if shallow {
        error.hint(format!(
            "this clone is shallow: fetch the ref first, as in `git fetch --depth=1 origin {reference}` and --against FETCH_HEAD, \
             or clone with the whole history (`fetch-depth: 0` of actions/checkout)"
        ))
    } else {
        error.hint("a branch that is only on the server is written origin/BRANCH, after `git fetch`")
    })
}

/// Writes what there was under `names` below `into`, and returns those of the names that had manifests.
fn check_out<'n>(root: &Path, commit: &str, names: &'n [String], into: &Path) -> Result<Vec<&'n String>, Failure> {
    let listed = run(git(root).args(["ls-tree", "-r", "-z", "--full-tree", commit]), b"")?;
    let mut wanted = Vec::new();
    let mut there = vec![false; names.len()];
    for entry in listed.split(|&byte| byte == 0) {
        let Some(tab) = entry.iter().position(|&byte| byte == b'\t') else { continue };
        let (meta, path) = (&entry[..tab], &entry[tab + 1..]);
        let text = String::from_utf8_lossy(path);
        let under = |name: &String| {
            // Beside a file that is named may lie what it refers to.
            let folder = match names_file(name) {
                true => name.rsplit_once('/').map_or("", |(folder, _)| folder),
                false => name,
            };
            folder.is_empty() || text.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
        };
        let is_manifest = text.ends_with(".yaml") || text.ends_with(".yml");
        for (name, there) in names.iter().zip(&mut there) {
            let in_folder =
                name.is_empty() || text.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with('/'));
            *there |= *name == text || (is_manifest && in_folder);
        }
        let is_link = meta.starts_with(b"120000");
        let is_file = meta.starts_with(b"100") && SUFFIXES.iter().any(|suffix| text.ends_with(suffix));
        let is_rules = meta.starts_with(b"100") && RULES.contains(&text.rsplit('/').next().unwrap_or_default());
        if is_rules || (is_link || is_file || names.iter().any(|name| *name == text)) && names.iter().any(under) {
            wanted.extend_from_slice(path);
            wanted.push(0);
        }
    }
    let index = into.join("index");
    let with_index = |command: &mut Command| {
        command.env("GIT_INDEX_FILE", &index);
    };
    let mut read_tree = git(root);
    with_index(read_tree.args(["read-tree", commit]));
    run(&mut read_tree, b"")?;
    let mut prefix = into.join(TREE).into_os_string();
    prefix.push("/");
    let mut option = OsStr::new("--prefix=").to_owned();
    option.push(prefix);
    let mut check_out = git(root);
    with_index(check_out.args(["checkout-index", "--force", "-z", "--stdin"]).arg(option));
    run(&mut check_out, &wanted)?;
    Ok(names.iter().zip(there).filter_map(|(name, there)| there.then_some(name)).collect())
}

fn names_file(name: &str) -> bool {
    SUFFIXES.iter().any(|suffix| name.ends_with(suffix))
}

/// Why `git` gave no answer.
enum Failure {
    /// It could not be started.
    Start(io::Error),
    /// It said no, in these words.
    Said(String),
}

impl Failure {
    fn explain(self, error: CliError) -> CliError {
        match self {
            Self::Start(source) if source.kind() == io::ErrorKind::NotFound => {
                CliError::new("--against needs `git`, and there is none on the PATH").hint("install Git")
            }
            Self::Start(source) => CliError::doing("running git", source),
            Self::Said(words) if words.is_empty() => error,
            Self::Said(words) => error.hint(format!("git says: {words}")),
        }
    }
}

/// Git in a folder, with nothing that the user's settings could change about what is read.
fn git(folder: &Path) -> Command {
    let mut command = Command::new("git");
    command.arg("-C").arg(folder);
    for setting in
        ["core.sparseCheckout=false", "core.quotePath=false", "filter.lfs.smudge=", "filter.lfs.required=false"]
    {
        command.args(["-c", setting]);
    }
    // A hook has these for its own repository, as seen from its own folder.
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX"] {
        command.env_remove(name);
    }
    command.env("GIT_OPTIONAL_LOCKS", "0").env("LC_ALL", "C");
    command
}

/// Returns the one line that Git answers.
fn ask(folder: &Path, args: &[&str]) -> Result<String, Failure> {
    let answer = run(git(folder).args(args), b"")?;
    Ok(String::from_utf8_lossy(&answer).trim_end().to_owned())
}

fn run(command: &mut Command, input: &[u8]) -> Result<Vec<u8>, Failure> {
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
    let words = String::from_utf8_lossy(&output.stderr);
    let words = words.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    Err(Failure::Said(words.to_owned()))
}
