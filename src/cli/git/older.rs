//! What the manifests reach of a commit, written into a temporary folder: named files and folders at once, tables when they are read.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::base::{Base, base, default_remote};
use super::repository::{Failure, Repository, normalized, or_explain};
use super::tree::{LfsContent, Tree, TreePlace, is_manifest, is_visible};
use crate::cli::context::Context;
use crate::cli::outcome::{CliError, CliResult};
use crate::manifest::{CommitCopy, LoadOptions};
use crate::render::number::counted;

/// Files that say which others are no manifests.
const IGNORE_FILES: [&str; 3] = [".gitignore", ".ignore", ".twinctlignore"];

/// The older side of a comparison. Its folder goes when this does.
pub(in crate::cli) struct Older {
    pub(in crate::cli) base: Base,
    /// The manifests, in the order in which they were named, without those that were not there then.
    paths: Vec<PathBuf>,
    /// The files of variables, likewise.
    var_files: Vec<PathBuf>,
    files: Arc<Mutex<Files>>,
    _folder: tempfile::TempDir,
}

/// The files of the commit, as far as they are written.
struct Files {
    repository: Repository,
    tree: Tree,
    /// The ref, as the user gave it.
    reference: String,
    base: Base,
    /// The folder that stands for the work tree.
    into: PathBuf,
    /// Files that a sparse checkout leaves out of the work tree.
    sparse: BTreeSet<String>,
    linked: BTreeSet<String>,
    listed: BTreeSet<String>,
    written: BTreeSet<String>,
    notes: Vec<String>,
    failure: Option<Failure>,
}

impl Older {
    /// Finds what `options` name, and all that their folders hold, as they were at `reference`.
    ///
    /// # Errors
    ///
    /// No repository, a ref that is not known, or a manifest outside of the repository.
    pub(in crate::cli) fn of(context: &Context, options: &LoadOptions, reference: &str) -> CliResult<Self> {
        let folder = &context.folder;
        let first = options.paths.first().map_or_else(|| folder.clone(), |path| context.resolve(path));
        let inside = if first.is_dir() { first.as_path() } else { first.parent().unwrap_or(&first) };
        let repository = Repository::around(context, inside).map_err(|failure| {
            let error =
                CliError::new(format!("{} is in no Git repository that can be read", normalized(inside).display()));
            failure.explain(error.hint("--against compares with what Git knows of the manifests"))
        })?;
        let names = options.paths.iter().map(|path| name_in(&repository, &context.resolve(path)));
        let names = names.collect::<CliResult<Vec<_>>>()?;
        let base = base(&repository, reference)?;
        let temporary = tempfile::Builder::new().prefix("twinctl-ref-").tempdir();
        let temporary = temporary.map_err(|error| CliError::doing("making a temporary folder", error))?;
        let unreadable = || format!("the manifests at {reference} cannot be read");
        let mut files = or_explain(Files::of(repository, reference, &base, temporary.path()), unreadable)?;
        let mut paths = Vec::new();
        for name in &names {
            paths.extend(or_explain(files.manifests(name), unreadable)?);
        }
        let mut var_files = Vec::new();
        for path in &options.var_files {
            var_files.extend(or_explain(files.variables(path, &context.resolve(path)), unreadable)?);
        }
        Ok(Self { base, paths, var_files, files: Arc::new(Mutex::new(files)), _folder: temporary })
    }

    /// Returns what to load; `None` if there were no manifests then.
    pub(in crate::cli) fn options(&self, now: &LoadOptions) -> Option<LoadOptions> {
        let files = Arc::clone(&self.files);
        let mut options = now.clone();
        options.paths.clone_from(&self.paths);
        options.var_files.clone_from(&self.var_files);
        options.ignore_unknown_vars = true;
        options.copy = Some({
            let files = lock(&self.files);
            CommitCopy { tree: files.into.clone(), repository: files.repository.root.clone() }
        });
        options.locate = Some(Arc::new(move |path| lock(&files).table(path)));
        (!self.paths.is_empty()).then_some(options)
    }

    /// Returns what has no older state or is left out, once everything is loaded.
    ///
    /// # Errors
    ///
    /// Something that was reached could not be read.
    pub(in crate::cli) fn notes(&self, context: &Context) -> CliResult<Vec<String>> {
        let mut files = lock(&self.files);
        let reference = files.reference.clone();
        if let Some(failure) = files.failure.take() {
            return Err(failure.explain(CliError::new(format!("the manifests at {reference} cannot be read"))));
        }
        if let Some(module) = &files.tree.unread_module {
            let short = module.commit.get(..12).unwrap_or(&module.commit);
            let error = CliError::new(format!(
                "the submodule `{}` was at commit {short} at {reference}, and that commit is not here",
                module.path
            ));
            let here = context.folder.canonicalize().unwrap_or_else(|_| context.folder.clone());
            let folder = module.repository.root.strip_prefix(here).unwrap_or(&module.repository.root);
            let fetch = default_remote(&module.repository).map(|remote| {
                let folder = folder.display();
                format!(
                    "`git -C '{folder}' fetch --depth=1 {remote} {}` brings it; then run the same command again",
                    module.commit
                )
            });
            return Err(error.hint_if(fetch));
        }
        let absent: Vec<String> = files.tree.absent_modules.iter().cloned().collect();
        for path in absent {
            files.note(format!(
                "the submodule `{path}` is not checked out, and is left out on both sides: \
                 `git submodule update --init ':/{path}'` brings it"
            ));
        }
        let gone: Vec<String> = files.tree.gone_modules.iter().cloned().collect();
        for path in gone {
            files.note(format!(
                "the submodule `{path}` was removed since {reference}, and its files are not here: what it declared is left out"
            ));
        }
        Ok(std::mem::take(&mut files.notes))
    }
}

fn lock(files: &Mutex<Files>) -> MutexGuard<'_, Files> {
    // What a panic left behind is still a set of files.
    files.lock().unwrap_or_else(PoisonError::into_inner)
}

fn name_in(repository: &Repository, path: &Path) -> CliResult<String> {
    repository.name_of(path).ok_or_else(|| {
        let path = normalized(path);
        CliError::new(format!("{} lies outside of the Git repository {}", path.display(), repository.root.display()))
            .hint("all manifests of one comparison lie in one repository")
    })
}

impl Files {
    fn of(repository: Repository, reference: &str, base: &Base, folder: &Path) -> Result<Self, Failure> {
        // Links to it must be what their resolution gives.
        let folder = folder.canonicalize().map_err(Failure::Start)?;
        let tree = Tree::of(&repository, &base.commit, &folder)?;
        let into = folder.join("tree");
        let sparse = not_checked_out(&repository)?;
        mark(&into.join(".git"), repository.file("info/exclude").as_deref()).map_err(Failure::Start)?;
        Ok(Self {
            repository,
            tree,
            reference: reference.to_owned(),
            base: base.clone(),
            into,
            sparse,
            linked: BTreeSet::new(),
            listed: BTreeSet::new(),
            written: BTreeSet::new(),
            notes: Vec::new(),
            failure: None,
        })
    }

    fn note(&mut self, note: String) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// Writes the manifests that a path names, and returns where they are.
    fn manifests(&mut self, name: &str) -> Result<Vec<PathBuf>, Failure> {
        if let Some(there) = self.manifests_at(name)? {
            return Ok(vec![there]);
        }
        if let Some(now) = self.without_history(name) {
            return Ok(vec![now]);
        }
        let mut all = Vec::new();
        for before in self.renamed(name) {
            if let Some(there) = self.manifests_at(&before)? {
                self.note(format!("`{name}` was `{before}` at {}", self.reference));
                all.push(there);
            }
        }
        Ok(all)
    }

    fn manifests_at(&mut self, name: &str) -> Result<Option<PathBuf>, Failure> {
        match self.fetch(name)? {
            TreePlace::File(_) => Ok(Some(self.into.join(name))),
            TreePlace::Folder(path) => Ok(self.folder(&path)?.then(|| self.into.join(name))),
            TreePlace::Outside(path) => Ok(Some(self.outside(path))),
            TreePlace::Missing => Ok(None),
        }
    }

    /// Writes a file of variables, and returns where it is; `None` if there was none then.
    fn variables(&mut self, given: &Path, path: &Path) -> Result<Option<PathBuf>, Failure> {
        let Some(name) = self.repository.name_of(path) else {
            self.note(outside_note(given));
            return Ok(Some(path.to_owned()));
        };
        let mut place = self.fetch(&name)?;
        if place == TreePlace::Missing {
            if let Some(now) = self.without_history(&name) {
                return Ok(Some(now));
            }
            if let [before] = &self.renamed(&name)[..] {
                place = self.fetch(before)?;
            }
        }
        match place {
            TreePlace::File(path) | TreePlace::Folder(path) => Ok(Some(self.into.join(path))),
            TreePlace::Outside(path) => Ok(Some(self.outside(path))),
            TreePlace::Missing => {
                self.note(format!(
                    "there was no `{name}` at {}: the older side has the values of the manifests' own `vars`",
                    self.reference
                ));
                Ok(None)
            }
        }
    }

    /// Returns where to read a table that a manifest names.
    fn table(&mut self, path: &Path) -> PathBuf {
        let name = match path.strip_prefix(&self.into) {
            Ok(inside) => Some(inside.to_string_lossy().into_owned()),
            Err(_) => self.tree.name_of(path),
        };
        let Some(name) = name else { return self.outside(path.to_owned()) };
        match self.fetch(&name) {
            Ok(TreePlace::File(path) | TreePlace::Folder(path)) => self.into.join(path),
            Ok(TreePlace::Outside(path)) => self.outside(path),
            Ok(TreePlace::Missing) => self.without_history(&name).unwrap_or_else(|| self.into.join(name)),
            Err(failure) => {
                self.failure.get_or_insert(failure);
                self.into.join(name)
            }
        }
    }

    fn outside(&mut self, path: PathBuf) -> PathBuf {
        self.note(outside_note(&path));
        path
    }

    /// Returns where a file is now that Git ignores, and so never had a state: one that an earlier step made.
    fn without_history(&mut self, name: &str) -> Option<PathBuf> {
        let now = self.repository.root.join(name);
        let is_ignored = now.exists() && self.repository.run(["check-ignore", "--quiet", "--", name]).is_ok();
        if !is_ignored {
            return None;
        }
        self.note(format!("Git ignores `{name}`, and has no older state of it: both sides read it as it is now"));
        Some(now)
    }

    /// Follows a path, and writes the file that it leads to and the symbolic links on its way.
    fn fetch(&mut self, name: &str) -> Result<TreePlace, Failure> {
        let mut crossed = Vec::new();
        let place = self.tree.walk(name, &mut crossed);
        for link in crossed {
            self.link(&link)?;
        }
        match &place {
            TreePlace::File(path) => self.write(std::slice::from_ref(path))?,
            TreePlace::Folder(path) => fs::create_dir_all(self.into.join(path)).map_err(Failure::Start)?,
            TreePlace::Outside(_) | TreePlace::Missing => {}
        }
        Ok(place)
    }

    /// Writes a symbolic link, which leads straight to its end.
    fn link(&mut self, path: &str) -> Result<TreePlace, Failure> {
        let mut crossed = Vec::new();
        let place = self.tree.walk(path, &mut crossed);
        let target = match &place {
            TreePlace::File(target) | TreePlace::Folder(target) => self.into.join(target),
            TreePlace::Outside(target) => target.clone(),
            TreePlace::Missing => return Ok(place),
        };
        if self.linked.insert(path.to_owned()) {
            let link = self.into.join(path);
            fs::create_dir_all(link.parent().unwrap_or(&self.into)).map_err(Failure::Start)?;
            symlink(&target, &link).map_err(Failure::Start)?;
        }
        Ok(place)
    }

    /// Writes the manifests of a folder, and returns `true` if there are some.
    fn folder(&mut self, folder: &str) -> Result<bool, Failure> {
        if !self.listed.insert(folder.to_owned()) {
            return Ok(false);
        }
        fs::create_dir_all(self.into.join(folder)).map_err(Failure::Start)?;
        let (files, links) = self.tree.list(folder);
        let is_read = |path: &str| is_visible(path[folder.len()..].trim_start_matches('/'));
        let mut wanted: Vec<String> = files.iter().filter(|path| is_manifest(path) && is_read(path)).cloned().collect();
        let mut is_elsewhere = false;
        for link in links.iter().filter(|path| is_read(path)) {
            match self.link(link)? {
                TreePlace::File(path) if is_manifest(link) => wanted.push(path),
                TreePlace::Folder(path) => is_elsewhere |= self.folder(&path)?,
                TreePlace::Outside(path) if path.is_dir() || (is_manifest(link) && path.exists()) => {
                    self.outside(path);
                    is_elsewhere = true;
                }
                _ => {}
            }
        }
        let all = wanted.len();
        wanted.retain(|path| !self.sparse.contains(path));
        if all > wanted.len() {
            let files = counted(all - wanted.len(), "manifest");
            let shown = if folder.is_empty() { "." } else { folder };
            self.note(format!("the sparse checkout lacks {files} below `{shown}`, left out on both sides"));
        }
        let has_manifests = is_elsewhere || !wanted.is_empty();
        let is_ignore_file = |path: &&String| IGNORE_FILES.iter().any(|name| path.rsplit('/').next() == Some(name));
        wanted.extend(files.iter().filter(is_ignore_file).cloned());
        let mut above = Some(folder);
        while let Some(at) = above {
            let all = IGNORE_FILES.map(|name| if at.is_empty() { name.to_owned() } else { format!("{at}/{name}") });
            wanted.extend(all.into_iter().filter(|path| self.tree.has_file(path)));
            above = if at.is_empty() { None } else { Some(at.rsplit_once('/').map_or("", |(above, _)| above)) };
        }
        self.write(&wanted)?;
        Ok(has_manifests)
    }

    fn write(&mut self, paths: &[String]) -> Result<(), Failure> {
        let new: Vec<String> = paths.iter().filter(|path| self.written.insert((*path).clone())).cloned().collect();
        if self.tree.check_out(&new, &self.into)? == LfsContent::WithoutLfs {
            self.note(
                "Git LFS could not bring what its pointers stand for: the older side has the pointers".to_owned(),
            );
        }
        Ok(())
    }

    /// Returns what a path that was not there was called then.
    fn renamed(&self, name: &str) -> Vec<String> {
        let args =
            ["diff", "--no-ext-diff", "--name-status", "--find-renames", "--diff-filter=R", "-z", &self.base.commit];
        let listed = self.repository.ask(args).unwrap_or_default();
        let mut fields = listed.split('\0');
        let below = format!("{name}/");
        let (mut folder, mut files) = (None, Vec::new());
        while let (Some(_), Some(before), Some(after)) = (fields.next(), fields.next(), fields.next()) {
            if after == name {
                return vec![before.to_owned()];
            }
            let Some(rest) = after.strip_prefix(&below) else { continue };
            folder = folder.or_else(|| before.strip_suffix(rest)?.strip_suffix('/').map(str::to_owned));
            files.push(before.to_owned());
        }
        // Where some files stayed, the others moved one by one.
        let is_gone = |folder: &String| {
            let listed = self.repository.ask(["--literal-pathspecs", "ls-files", "--", folder]);
            listed.is_ok_and(|listed| listed.is_empty())
        };
        match folder.filter(is_gone) {
            Some(folder) => vec![folder],
            None => files.into_iter().filter(|path| is_manifest(path)).collect(),
        }
    }
}

/// Lists the files of the index that are not in the work tree because of a sparse checkout.
fn not_checked_out(repository: &Repository) -> Result<BTreeSet<String>, Failure> {
    let listed = repository.run(["ls-files", "-t", "-z"])?;
    let listed = String::from_utf8_lossy(&listed);
    let skipped = listed.split('\0').filter_map(|line| line.strip_prefix("S "));
    Ok(skipped.filter(|path| !repository.root.join(path).exists()).map(str::to_owned).collect())
}

fn outside_note(path: &Path) -> String {
    format!(
        "`{}` lies outside of the repository, and has no older state: both sides read it as it is now",
        path.display()
    )
}

/// Makes an empty repository, so that the folder above it is seen as a work tree's top folder, with the same files left out.
fn mark(git_dir: &Path, exclude: Option<&Path>) -> io::Result<()> {
    for folder in ["objects", "refs", "info"] {
        fs::create_dir_all(git_dir.join(folder))?;
    }
    fs::write(git_dir.join("HEAD"), "ref: refs/heads/main\n")?;
    if let Some(exclude) = exclude.filter(|path| path.is_file()) {
        fs::copy(exclude, git_dir.join("info/exclude"))?;
    }
    Ok(())
}

#[cfg(unix)]
fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

#[cfg(windows)]
fn symlink(target: &Path, link: &Path) -> io::Result<()> {
    if target.is_dir() {
        std::os::windows::fs::symlink_dir(target, link)
    } else {
        std::os::windows::fs::symlink_file(target, link)
    }
}
