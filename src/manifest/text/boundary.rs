//! Decides which files may be read, and opens them: no other file of this directory opens one.
//!
//! A manifest may come from a pull request of a stranger, and messages and plans show what was read. Therefore a manifest, a directory or a
//! link leads only to files inside the Git repository of the path that the user named or, without a repository, inside the common directory
//! of the named paths. Links are resolved before the check. A file under `.git` is never read, nor one under `/proc`.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// A commit's files, written into a directory of their own.
#[derive(Clone, Debug)]
pub(crate) struct CommitCopy {
    /// The directory that stands for the top level of the repository.
    pub tree: PathBuf,
    /// The repository itself: what it has without a history is read where it is.
    pub repository: PathBuf,
}

/// What the user allows, and where the files are.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Access<'a> {
    /// Files outside of the boundary are read, too.
    pub(crate) allow_outside: bool,
    /// What is read in place of the repository, for files that were copied out of one.
    pub(crate) copy: Option<&'a CommitCopy>,
    /// Submodules that are not checked out are passed over.
    pub(crate) ignore_absent_submodules: bool,
}

/// Why a file is not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unread {
    /// Continues "cannot read `NAME`: ".
    pub(crate) reason: String,
    /// The next step, if there is one.
    pub(crate) help: Option<String>,
}

impl Unread {
    pub(crate) fn because(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), help: None }
    }

    fn outside(reason: String) -> Self {
        let help = "if the manifests may read files from outside, add --allow-outside".to_owned();
        Self { reason, help: Some(help) }
    }
}

impl From<io::Error> for Unread {
    fn from(error: io::Error) -> Self {
        Self::because(without_number(&error))
    }
}

/// Returns the reason of an I/O error without the operating system's number for it.
pub(crate) fn without_number(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

/// The directory that all files of a manifest must lie in.
#[derive(Debug)]
pub(crate) struct Boundary {
    /// Canonical.
    root: PathBuf,
    /// The repository that the root is a copy of, canonical.
    repository: Option<PathBuf>,
    kind: BoundaryKind,
    allow_outside: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BoundaryKind {
    Repository,
    /// Files of a commit, outside of their repository.
    Copy,
    /// The common directory of the named paths.
    Directory,
}

/// A path that the user named.
#[derive(Debug)]
pub(crate) struct NamedPath {
    /// Without links; of a stream, such as `/dev/stdin`, the path as it was named.
    pub(crate) canonical: PathBuf,
    /// A link in a repository is part of the path: the path is then not only the user's word.
    pub(crate) through_link: bool,
    pub(crate) boundary: Arc<Boundary>,
}

/// Returns each path with its boundary, or why the path is not read.
pub(crate) fn named(paths: &[PathBuf], access: Access<'_>) -> Vec<Result<NamedPath, Unread>> {
    let canonical = |path: &PathBuf| fs::canonicalize(path).ok();
    let copy = access.copy.and_then(|copy| canonical(&copy.tree));
    let repository_of_copy = access.copy.and_then(|copy| canonical(&copy.repository));
    let resolved: Vec<_> =
        paths.iter().map(|path| resolve_named(path, copy.as_deref(), access.allow_outside)).collect();
    let outside = resolved.iter().flatten().filter(|(path, _, repository)| repository.is_none() && !is_stream(path));
    let common = common_directory(outside.map(|(canonical, ..)| directory_of(canonical)));
    let with_boundary = |(canonical, through_link, repository): (PathBuf, bool, Option<PathBuf>)| {
        let (root, kind) = match (copy.clone(), repository) {
            (Some(copy), _) => (copy, BoundaryKind::Copy),
            (None, Some(repository)) => (repository, BoundaryKind::Repository),
            (None, None) => (common.clone().unwrap_or_else(|| directory_of(&canonical)), BoundaryKind::Directory),
        };
        let repository = repository_of_copy.clone();
        let boundary = Arc::new(Boundary { root, repository, kind, allow_outside: access.allow_outside });
        NamedPath { canonical, through_link, boundary }
    };
    resolved.into_iter().map(|resolved| resolved.map(with_boundary)).collect()
}

/// Returns the canonical path, whether it leads through a link of a repository, and the repository that contains it. A copy of a
/// commit's files counts as a repository.
fn resolve_named(
    path: &Path,
    copy: Option<&Path>,
    allow_outside: bool,
) -> Result<(PathBuf, bool, Option<PathBuf>), Unread> {
    if is_stream(path) {
        return Ok((path.to_owned(), false, None));
    }
    let canonical = fs::canonicalize(path)?;
    refuse_always(&canonical)?;
    let repository = |directory: &Path| match copy {
        Some(copy) if directory.starts_with(copy) => Some(copy.to_owned()),
        _ => repository_of(directory),
    };
    let links = links_in_repositories(path, repository)?;
    if let Some(link) = links.iter().find(|link| !canonical.starts_with(&link.repository)).filter(|_| !allow_outside) {
        let name = link.name.to_string_lossy();
        return Err(Unread::outside(format!("the link `{name}` leads out of its Git repository")));
    }
    let repository = repository(&directory_of(&canonical));
    Ok((canonical, !links.is_empty(), repository))
}

/// Opens a file that the user named. Pipes and devices are the user's choice.
pub(crate) fn open_named(named: &NamedPath) -> Result<File, Unread> {
    if fs::metadata(&named.canonical)?.is_dir() {
        return Err(Unread::because("it is a directory"));
    }
    Ok(File::open(&named.canonical)?)
}

impl Boundary {
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Returns `true` if the files are a copy of a commit's.
    pub(crate) fn is_copy(&self) -> bool {
        self.kind == BoundaryKind::Copy
    }

    /// Returns the canonical path of what a manifest, a directory or a link leads to, if it may be read.
    pub(crate) fn resolve(&self, path: &Path) -> Result<PathBuf, Unread> {
        let canonical = fs::canonicalize(path)?;
        refuse_always(&canonical)?;
        let is_inside = |directory: &PathBuf| canonical.starts_with(directory);
        if is_inside(&self.root) || self.repository.as_ref().is_some_and(is_inside) || self.allow_outside {
            return Ok(canonical);
        }
        let what = match self.kind {
            BoundaryKind::Repository | BoundaryKind::Copy => "the Git repository",
            BoundaryKind::Directory => "the directory that the command names",
        };
        Err(Unread::outside(format!("it is outside {what}")))
    }

    /// Opens a regular file that a manifest, a directory or a link leads to.
    pub(crate) fn open(&self, path: &Path) -> Result<File, Unread> {
        // What is opened is what was checked: no link is left in the path.
        let canonical = self.resolve(path)?;
        // Asked before it is opened: to open a pipe waits for its other end.
        refuse_irregular(&fs::metadata(&canonical)?)?;
        let file = File::open(&canonical)?;
        refuse_irregular(&file.metadata()?)?;
        Ok(file)
    }
}

fn refuse_irregular(metadata: &fs::Metadata) -> Result<(), Unread> {
    match metadata {
        _ if metadata.is_dir() => Err(Unread::because("it is a directory")),
        _ if !metadata.is_file() => Err(Unread::because("it is not a regular file")),
        _ => Ok(()),
    }
}

/// Refuses what nobody may have read: repositories hold credentials, and `/proc` shows the environments of processes.
fn refuse_always(canonical: &Path) -> Result<(), Unread> {
    if canonical.components().any(|component| matches!(component, Component::Normal(name) if is_git(name))) {
        return Err(Unread::because("files under `.git` are never read"));
    }
    if ["/proc", "/sys"].iter().any(|system| canonical.starts_with(system)) {
        return Err(Unread::because("files of the operating system are never read"));
    }
    Ok(())
}

/// Returns `true` if a file system may take this name for `.git`: some ignore case, trailing dots and spaces or invisible characters, and
/// Windows has the short name `git~1`.
fn is_git(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    let is_ignored = |c: &char| matches!(c, '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}');
    let visible: String = name.chars().filter(|c| !is_ignored(c)).collect();
    let base = visible.split(':').next().unwrap_or_default().trim_end_matches(['.', ' ']);
    base.eq_ignore_ascii_case(".git") || base.eq_ignore_ascii_case("git~1")
}

/// Returns `true` for what this process was given open, such as `/dev/stdin` or a shell's `<(command)`.
pub(crate) fn is_stream(path: &Path) -> bool {
    let parts: Vec<_> = path.components().map(Component::as_os_str).collect();
    let part = |index: usize| parts.get(index).and_then(|part| part.to_str()).unwrap_or_default();
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match (part(0), part(1), part(2)) {
        ("/", "dev", "stdin") => parts.len() == 3,
        ("/", "dev", "fd") => parts.len() == 4 && is_number(part(3)),
        ("/", "proc", "self") => parts.len() == 5 && part(3) == "fd" && is_number(part(4)),
        _ => false,
    }
}

/// Returns the top level of the Git repository that contains a directory: its nearest ancestor with `.git`, a directory or a file.
fn repository_of(directory: &Path) -> Option<PathBuf> {
    directory.ancestors().find(|ancestor| ancestor.join(".git").symlink_metadata().is_ok()).map(Path::to_path_buf)
}

fn directory_of(canonical: &Path) -> PathBuf {
    match fs::metadata(canonical) {
        Ok(metadata) if metadata.is_dir() => canonical.to_owned(),
        _ => canonical.parent().unwrap_or(canonical).to_owned(),
    }
}

/// Returns the deepest directory that contains all of these. Those that share only the root of the file system have none.
fn common_directory(directories: impl Iterator<Item = PathBuf>) -> Option<PathBuf> {
    let common = directories.reduce(|common, directory| {
        common.components().zip(directory.components()).take_while(|(a, b)| a == b).map(|(part, _)| part).collect()
    })?;
    common.parent().is_some().then_some(common)
}

/// A link that lies in a repository.
struct RepositoryLink {
    name: OsString,
    repository: PathBuf,
}

/// Links that one path may lead through.
const LINKS_MAX: usize = 40;

/// Follows a path step by step and returns the links in it that lie in repositories.
fn links_in_repositories(
    path: &Path,
    repository: impl Fn(&Path) -> Option<PathBuf>,
) -> io::Result<Vec<RepositoryLink>> {
    let absolute = std::path::absolute(path)?;
    let mut ahead: VecDeque<PathBuf> = absolute.components().map(|part| PathBuf::from(part.as_os_str())).collect();
    let (mut at, mut links, mut followed) = (PathBuf::new(), Vec::new(), 0);
    while let Some(part) = ahead.pop_front() {
        match part.components().next() {
            Some(Component::ParentDir) => {
                at.pop();
            }
            Some(Component::Normal(name)) => {
                let next = at.join(name);
                if !next.symlink_metadata()?.is_symlink() {
                    at = next;
                    continue;
                }
                followed += 1;
                if followed > LINKS_MAX {
                    return Err(io::Error::other("too many levels of symbolic links"));
                }
                if let Some(repository) = repository(&at) {
                    links.push(RepositoryLink { name: name.to_owned(), repository });
                }
                for part in fs::read_link(&next)?.components().rev() {
                    ahead.push_front(PathBuf::from(part.as_os_str()));
                }
            }
            // The start of an absolute path takes the place of what came before.
            _ => at.push(part),
        }
    }
    Ok(links)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_may_be_git() {
        for name in [".git", ".GIT", ".Git.", ".git ", "git~1", "GIT~1", ".g\u{200c}it", ".git::$INDEX_ALLOCATION"] {
            assert!(is_git(OsStr::new(name)), "{name:?}");
        }
        for name in [".gitignore", ".github", "git", "fleet.git", ".gitmodules", "git~2"] {
            assert!(!is_git(OsStr::new(name)), "{name:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn streams_are_what_the_process_was_given() {
        for path in ["/dev/stdin", "/dev/fd/63", "/proc/self/fd/0"] {
            assert!(is_stream(Path::new(path)), "{path}");
        }
        for path in ["/dev/zero", "/dev/fd/../sda", "/proc/self/environ", "/proc/self/fd/0/x", "dev/stdin"] {
            assert!(!is_stream(Path::new(path)), "{path}");
        }
    }

    #[test]
    fn directories_have_a_common_one_below_the_root() {
        for (directories, common) in [
            (&["/a/b", "/a/c"][..], Some("/a")),
            (&["/a/b", "/a/b/c"], Some("/a/b")),
            (&["/a/b"], Some("/a/b")),
            (&["/ab", "/ac"], None),
            (&[], None),
        ] {
            let found = common_directory(directories.iter().map(PathBuf::from));
            assert_eq!(found.as_deref(), common.map(Path::new), "{directories:?}");
        }
    }
}
