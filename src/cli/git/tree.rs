//! The files of a commit, by path, as they would lie in a work tree: with symbolic links followed and submodules entered.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::repository::{Failure, Repository, normalized, run};

/// How many symbolic links one path may lead through; Linux stops at as many.
const LINKS_MAX: usize = 40;

/// What a commit has at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
enum TreeEntry {
    File,
    /// A symbolic link, with the object that holds where it leads.
    Link(String),
    /// A submodule's commit.
    Module(String),
}

/// Where a path leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TreePlace {
    /// To a file of the commit, by its path without links.
    File(String),
    /// To a folder of the commit, by its path without links; the root's is empty.
    Folder(String),
    /// Out of the repository.
    Outside(PathBuf),
    /// Nowhere.
    Missing,
}

/// What one repository adds to the tree: the commit's own, or a submodule's.
struct TreePart {
    repository: Repository,
    /// The folder that it lies in, with a `/` at its end; empty for the commit's own.
    prefix: String,
    index: PathBuf,
}

/// A submodule's commit that is not here.
#[derive(Clone, Debug)]
pub(super) struct UnreadModule {
    pub(super) repository: Repository,
    pub(super) path: String,
    pub(super) commit: String,
}

/// The files of a commit.
pub(super) struct Tree {
    root: PathBuf,
    entries: BTreeMap<String, TreeEntry>,
    /// The innermost repository comes last.
    parts: Vec<TreePart>,
    /// A folder for Git's indexes.
    indexes: PathBuf,
    /// Submodules that are not checked out.
    pub(super) absent_modules: BTreeSet<String>,
    /// Submodules that were removed since, and of which nothing is left here.
    pub(super) gone_modules: BTreeSet<String>,
    /// The first submodule that is checked out, and whose commit of then is not here.
    pub(super) unread_module: Option<UnreadModule>,
}

impl Tree {
    /// Lists a commit.
    pub(super) fn of(repository: &Repository, commit: &str, indexes: &Path) -> Result<Self, Failure> {
        let mut tree = Self {
            root: repository.root.clone(),
            entries: BTreeMap::new(),
            parts: Vec::new(),
            indexes: indexes.to_owned(),
            absent_modules: BTreeSet::new(),
            gone_modules: BTreeSet::new(),
            unread_module: None,
        };
        tree.add(repository.clone(), commit, String::new())?;
        Ok(tree)
    }

    fn add(&mut self, repository: Repository, commit: &str, prefix: String) -> Result<(), Failure> {
        let listed = repository.run(["ls-tree", "-r", "-z", "--full-tree", commit])?;
        for line in listed.split(|&byte| byte == 0) {
            // Messages could not name a path that is no text.
            let line = std::str::from_utf8(line).unwrap_or_default();
            let Some((meta, path)) = line.split_once('\t') else { continue };
            let mut meta = meta.split(' ');
            let (mode, object) = (meta.next().unwrap_or_default(), meta.nth(1).unwrap_or_default().to_owned());
            let entry = match mode {
                "120000" => TreeEntry::Link(object),
                "160000" => TreeEntry::Module(object),
                _ => TreeEntry::File,
            };
            self.entries.insert(format!("{prefix}{path}"), entry);
        }
        let index = self.indexes.join(self.parts.len().to_string());
        run(repository.git_with_tree(&repository.root).args(["read-tree", commit]).env("GIT_INDEX_FILE", &index), b"")?;
        self.parts.push(TreePart { repository, prefix, index });
        Ok(())
    }

    fn part(&self, path: &str) -> Option<&TreePart> {
        self.parts.iter().rev().find(|part| path.starts_with(&part.prefix))
    }

    /// Adds the files of the submodule at `path`, and returns `true` if they are here. A submodule that is only listed must have something to
    /// declare before it is missed.
    fn enter(&mut self, path: &str, commit: &str, is_only_listed: bool) -> bool {
        self.entries.remove(path);
        let checked_out = Repository::at(&self.root.join(path));
        let is_here = checked_out.is_some();
        let Some(outer) = self.part(path) else { return false };
        let name = &path[outer.prefix.len()..];
        let now = outer.repository.ask(["--literal-pathspecs", "ls-files", "--stage", "--", name]);
        let is_expected = now.is_ok_and(|now| now.starts_with("160000"));
        // What is not checked out now must not be read of then either, unless it is gone.
        let kept = || if is_expected { None } else { outer.repository.kept_module(name) };
        let Some(repository) = checked_out.or_else(kept) else {
            let modules = if is_expected { &mut self.absent_modules } else { &mut self.gone_modules };
            modules.insert(path.to_owned());
            return false;
        };
        let is_known = repository.run(["cat-file", "-e", &format!("{commit}^{{commit}}")]).is_ok();
        if is_known && self.add(repository.clone(), commit, format!("{path}/")).is_ok() {
            return true;
        }
        if !is_here {
            self.gone_modules.insert(path.to_owned());
        } else if !(is_only_listed && declares_nothing(&repository)) && self.unread_module.is_none() {
            self.unread_module = Some(UnreadModule { repository, path: path.to_owned(), commit: commit.to_owned() });
        }
        false
    }

    /// Returns where a symbolic link leads, as it is written.
    fn target(&self, path: &str, object: &str) -> String {
        let text = self.part(path).and_then(|part| part.repository.run(["cat-file", "blob", object]).ok());
        String::from_utf8_lossy(&text.unwrap_or_default()).into_owned()
    }

    /// Follows a path from the root, and collects the symbolic links on its way.
    pub(super) fn walk(&mut self, path: &str, crossed: &mut Vec<String>) -> TreePlace {
        let mut rest: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
        let mut at: Vec<String> = Vec::new();
        let mut links = 0;
        while let Some(part) = rest.pop() {
            match &*part {
                "" | "." => continue,
                ".." if at.pop().is_some() => continue,
                ".." => {
                    rest.reverse();
                    let outside = normalized(&self.root.join("..").join(rest.join("/")));
                    match self.inside(&outside) {
                        Some(inside) => rest = inside,
                        None => return TreePlace::Outside(outside),
                    }
                    continue;
                }
                _ => at.push(part),
            }
            let here = at.join("/");
            match self.entries.get(&here).cloned() {
                Some(TreeEntry::Link(object)) => {
                    links += 1;
                    if links > LINKS_MAX {
                        return TreePlace::Missing;
                    }
                    let target = self.target(&here, &object);
                    crossed.push(here);
                    at.pop();
                    let absolute = Path::new(&target).is_absolute().then(|| normalized(Path::new(&target)));
                    match absolute.map(|absolute| self.inside(&absolute).ok_or(absolute)) {
                        Some(Ok(inside)) => {
                            at.clear();
                            rest.extend(inside);
                        }
                        Some(Err(outside)) => {
                            return TreePlace::Outside(rest.iter().rev().fold(outside, |path, part| path.join(part)));
                        }
                        None => rest.extend(target.split('/').rev().map(str::to_owned)),
                    }
                }
                Some(TreeEntry::Module(commit)) if !self.enter(&here, &commit, false) => return TreePlace::Missing,
                _ => {}
            }
        }
        let path = at.join("/");
        match self.entries.get(&path) {
            Some(TreeEntry::File) => TreePlace::File(path),
            _ if self.below(&path).next().is_some() => TreePlace::Folder(path),
            _ => TreePlace::Missing,
        }
    }

    /// Returns the parts of an absolute path below the root, the last one first; `None` if it lies elsewhere.
    fn inside(&self, path: &Path) -> Option<Vec<String>> {
        let real = path.canonicalize().ok();
        let inside = path.strip_prefix(&self.root).ok();
        let inside = inside.or_else(|| real.as_deref()?.strip_prefix(&self.root).ok())?;
        Some(inside.iter().rev().map(|part| part.to_string_lossy().into_owned()).collect())
    }

    /// Returns the path below the root of an absolute one; `None` if it lies elsewhere.
    pub(super) fn name_of(&self, path: &Path) -> Option<String> {
        let mut parts = self.inside(&normalized(path))?;
        parts.reverse();
        Some(parts.join("/"))
    }

    fn below<'t>(&'t self, folder: &str) -> impl Iterator<Item = (&'t String, &'t TreeEntry)> + use<'t> {
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let from = self.entries.range(prefix.clone()..);
        from.take_while(move |(path, _)| path.starts_with(&prefix))
    }

    /// Returns `true` if the commit has a file at this very path.
    pub(super) fn has_file(&self, path: &str) -> bool {
        self.entries.get(path) == Some(&TreeEntry::File)
    }

    /// Lists the files and the symbolic links below a folder, with the submodules in it.
    pub(super) fn list(&mut self, folder: &str) -> (Vec<String>, Vec<String>) {
        loop {
            let module = self.below(folder).find_map(|(path, entry)| match entry {
                TreeEntry::Module(commit) => Some((path.clone(), commit.clone())),
                _ => None,
            });
            let Some((path, commit)) = module else { break };
            self.enter(&path, &commit, true);
        }
        let of = |wanted: fn(&TreeEntry) -> bool| -> Vec<String> {
            self.below(folder).filter(|(_, entry)| wanted(entry)).map(|(path, _)| path.clone()).collect()
        };
        (of(|entry| *entry == TreeEntry::File), of(|entry| matches!(entry, TreeEntry::Link(_))))
    }

    /// Writes files of the commit below `into`, converted as a checkout would.
    pub(super) fn check_out(&self, paths: &[String], into: &Path) -> Result<LfsContent, Failure> {
        let mut written = LfsContent::Whole;
        for part in &self.parts {
            let mut names = Vec::new();
            for path in paths.iter().filter(|path| self.part(path).is_some_and(|of| std::ptr::eq(of, part))) {
                names.extend_from_slice(&path.as_bytes()[part.prefix.len()..]);
                names.push(0);
            }
            if names.is_empty() {
                continue;
            }
            let folder = into.join(&part.prefix);
            std::fs::create_dir_all(&folder).map_err(Failure::Start)?;
            let check_out = |settings: &[&str]| {
                let mut git = part.repository.git_with_tree(&folder);
                for setting in settings {
                    git.args(["-c", setting]);
                }
                git.args(["checkout-index", "--force", "-z", "--stdin"]).current_dir(&folder);
                run(git.env("GIT_INDEX_FILE", &part.index), &names)
            };
            // Of what Git LFS cannot fetch, the pointer remains.
            if let Err(failure) = check_out(&[]) {
                let without = ["filter.lfs.process=", "filter.lfs.smudge=", "filter.lfs.required=false"];
                check_out(&without).map_err(|_| failure)?;
                written = LfsContent::WithoutLfs;
            }
        }
        Ok(written)
    }
}

/// How files were written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LfsContent {
    Whole,
    /// Files of Git LFS are pointers.
    WithoutLfs,
}

/// Returns `true` if what is checked out of a repository has no manifest.
fn declares_nothing(repository: &Repository) -> bool {
    let listed = repository.ask(["ls-tree", "-r", "--name-only", "--full-tree", "HEAD"]).unwrap_or_default();
    !listed.lines().any(|path| is_manifest(path) && is_visible(path))
}

/// Returns `true` for the names that manifests have.
pub(super) fn is_manifest(path: &str) -> bool {
    path.ends_with(".yaml") || path.ends_with(".yml")
}

/// Returns `true` unless the file or a folder that it lies in is hidden.
pub(super) fn is_visible(path: &str) -> bool {
    !path.split('/').any(|part| part.starts_with('.'))
}
