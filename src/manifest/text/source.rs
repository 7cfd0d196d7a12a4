//! Reads manifests, variables and tables from disk.
//!
//! `boundary` decides what may be read and opens it; `ignored` decides what of a directory is no manifest.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use crate::manifest::text::boundary::{Access, Boundary, NamedPath, Unread};
use crate::manifest::text::ignored::Rules;
use crate::manifest::text::paths::Paths;
use crate::manifest::text::{boundary, ignored, submodule};
use crate::shell::quoted;
use iothub_model::diagnostic::{Diagnostic, Label, Source, Span};

/// Bytes of one file, at most. A hundred thousand devices written out are some 40 MB.
pub(crate) const FILE_MAX_BYTES: u64 = 256 * 1024 * 1024;

/// How deep folders are followed.
const FOLDER_MAX_DEPTH: usize = 64;

/// One manifest's text, with the means to say where something stands in it.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) source: Arc<Source>,
    /// The source's name once more, shared by all that is declared in the file.
    pub(crate) name: Arc<str>,
    /// The line, from 1, that each stretch of [`STRETCH`] bytes starts in.
    lines: Vec<u32>,
    /// Of what is declared in it.
    pub(crate) paths: Paths,
    /// The command that leaves the file out; `None` for a file that the user named, which is not found in a directory.
    pub(crate) leave_out: Option<String>,
    /// Messages may show lines of it: no link led to it.
    is_quotable: bool,
    /// Where it is on disk, if it is there.
    place: Option<DiskPlace>,
}

/// The place of a file on disk.
#[derive(Debug)]
struct DiskPlace {
    directory: PathBuf,
    boundary: Arc<Boundary>,
}

/// The text of a table, to be read once.
pub(crate) struct TableText {
    /// What messages call it.
    pub(crate) name: Arc<str>,
    pub(crate) reader: Box<dyn Read>,
}

/// Where tables come from: beside the manifests on disk, or from texts under their names.
#[derive(Clone, Copy)]
pub(crate) enum Tables<'a> {
    Disk(Option<&'a Locate>),
    Texts(&'a [(&'a str, &'a str)]),
}

/// Returns where a table is that a manifest names, by the path that it has beside the manifest.
pub(crate) type Locate = dyn Fn(&Path) -> PathBuf + Send + Sync;

impl Tables<'_> {
    /// Opens the table that a manifest names by a path relative to itself.
    pub(crate) fn open(self, manifest: &File, from: &str) -> Result<TableText, Unread> {
        let name: Arc<str> = table_name(&manifest.name, from).into();
        let (mut reader, boundary): (Box<dyn Read>, _) = match (self, &manifest.place) {
            (Self::Texts(texts), _) => {
                let text = texts.iter().find(|(known, _)| *known == &*name).ok_or(Unread::because("no such file"))?;
                (Box::new(io::Cursor::new(text.1.to_owned())), None)
            }
            (Self::Disk(_), None) => return Err(Unread::because("no such file")),
            (Self::Disk(locate), Some(place)) => {
                let path = place.directory.join(from);
                let path = locate.map_or_else(|| path.clone(), |locate| locate(&path));
                let file = place.boundary.open(&path)?;
                if file.metadata()?.len() > FILE_MAX_BYTES {
                    return Err(Unread::because(too_large()));
                }
                (Box::new(Limited { file, left: FILE_MAX_BYTES }), Some(&place.boundary))
            }
        };
        let mut start = Vec::new();
        reader.by_ref().take(LFS_POINTER.len() as u64).read_to_end(&mut start)?;
        if start == LFS_POINTER {
            return Err(lfs_pointer(boundary));
        }
        Ok(TableText { name, reader: Box::new(io::Cursor::new(start).chain(reader)) })
    }
}

fn too_large() -> String {
    format!("it has more than {} MiB", FILE_MAX_BYTES / (1024 * 1024))
}

/// What a file starts with that Git LFS keeps elsewhere.
const LFS_POINTER: &[u8] = b"version https://git-lfs.github.com/spec/v1";

fn lfs_pointer(boundary: Option<&Arc<Boundary>>) -> Unread {
    let help = match boundary.is_some_and(|boundary| boundary.is_copy()) {
        true => "the commit holds only the pointer, and what Git LFS stores elsewhere is not fetched for a comparison",
        false => {
            "run `git lfs pull` to fetch it (Git LFS must be installed); in a pipeline, set `lfs: true` of `actions/checkout` or of \
             Azure's `checkout` step"
        }
    };
    Unread { reason: "it is a pointer of Git LFS, and not the file itself".to_owned(), help: Some(help.to_owned()) }
}

/// A file that fails, rather than ends, where it is too long.
struct Limited {
    file: fs::File,
    left: u64,
}

impl Read for Limited {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| io::Error::other(too_large()))?;
        Ok(read)
    }
}

/// What messages call a table: its path relative to what the manifest's is relative to.
pub(crate) fn table_name(manifest: &str, from: &str) -> String {
    let folder = manifest.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut parts: Vec<&str> = Vec::new();
    for part in folder.split('/').chain(from.split('/')) {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

impl File {
    /// Makes a file of a text, as if the user had named it.
    pub(crate) fn new(name: &str, text: impl Into<String>) -> Self {
        let text = text.into();
        // A byte-order mark is no part of the text, and would shift the columns of its first line.
        let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
        let source = Source::new(name, text);
        let lines = source.text().as_bytes().chunks(STRETCH).scan(1, |line, stretch| {
            let first = *line;
            *line += breaks(stretch);
            Some(first)
        });
        let lines = lines.collect();
        let name = name.into();
        Self { name, lines, paths: Paths::default(), leave_out: None, is_quotable: true, source, place: None }
    }

    /// Takes the file's text out of a diagnostic, unless messages may show it. The places stay.
    pub(crate) fn unquote(&self, diagnostic: &mut Diagnostic) {
        let shows = |label: &&mut Label| !self.is_quotable && Arc::ptr_eq(&label.source, &self.source);
        diagnostic.labels.iter_mut().filter(shows).for_each(unquote);
    }

    /// Returns `true` if messages may hold words of the file.
    pub(crate) fn is_quotable(&self) -> bool {
        self.is_quotable
    }

    /// Returns the line of an offset, from 1. ([`Source::position`] reads the text up to there; this is for each leaf.)
    pub(crate) fn line(&self, offset: usize) -> u32 {
        let text = self.source.text().as_bytes();
        let offset = offset.min(text.len());
        let Some(stretch) = self.lines.len().checked_sub(1).map(|last| last.min(offset / STRETCH)) else { return 1 };
        self.lines[stretch] + breaks(&text[stretch * STRETCH..offset])
    }

    /// Returns where a line stands, from 1, without its indentation and without what ends it.
    pub(crate) fn line_span(&self, line: u32) -> Span {
        // The last stretch that starts before the line does.
        let stretch = self.lines.partition_point(|&first| first < line.max(1)).saturating_sub(1);
        let Some(&first) = self.lines.get(stretch) else { return Span::default() };
        let all = self.source.text();
        let mut ends = all.as_bytes()[stretch * STRETCH..].iter().enumerate().filter(|&(_, &byte)| byte == b'\n');
        let mut next = || ends.next().map(|(offset, _)| stretch * STRETCH + offset + 1);
        let start = match line.max(1) - first {
            0 => 0,
            before => match (1..before).try_fold((), |(), _| next().map(drop)).and_then(|()| next()) {
                Some(start) => start,
                None => return Span::default(),
            },
        };
        let end = next().unwrap_or(all.len());
        let text = &all[start..end];
        let written = text.trim();
        let start = start + (text.len() - text.trim_start().len());
        Span::new(start, start + written.len())
    }

    /// Returns what is written at `span`.
    pub(crate) fn slice(&self, span: Span) -> &str {
        self.source.text().get(span.start..span.end).unwrap_or_default()
    }
}

/// The file's text with stars in place of what stands at `span`.
pub(crate) fn blanked(file: &File, span: Span) -> Arc<Source> {
    let text = file.source.text();
    let stars: String = text[span.start..span.end].chars().map(|c| if c == '\n' { c } else { '*' }).collect();
    // Stars are shorter than what they stand for where that is not ASCII.
    let padding = "*".repeat(span.end - span.start - stars.len());
    Source::new(file.source.name(), [&text[..span.start], &stars, &padding, &text[span.end..]].concat())
}

/// Bytes between two places of which the line is known. A file of millions of lines is looked at for each leaf, and their offsets would be
/// half as large as what its devices come to.
const STRETCH: usize = 1024;

fn breaks(text: &[u8]) -> u32 {
    u32::try_from(text.iter().filter(|&&byte| byte == b'\n').count()).unwrap_or(u32::MAX)
}

/// Columns of a place that is shown without its text, at most.
const UNQUOTED_COLUMN_MAX: usize = 1000;

/// Replaces the text that a label points into by spaces.
fn unquote(label: &mut Label) {
    let position = label.source.position(label.span.start);
    let column = position.column.min(UNQUOTED_COLUMN_MAX);
    label.source = Source::excerpt(label.source.name(), " ".repeat(column), position.line);
    label.span = Span::new(column - 1, column - 1);
}

/// Reads all manifests that `paths` name, files and folders, in order; a file that is reached twice is read once.
pub(crate) fn read(
    paths: &[PathBuf],
    var_files: &[PathBuf],
    access: Access<'_>,
    found: &mut Vec<Diagnostic>,
) -> Vec<File> {
    if paths.is_empty() {
        found.push(Diagnostic::error("no manifest is named").help("name a file, or a folder of *.yaml files"));
    }
    let named = boundary::named(paths, access);
    let files: HashSet<PathBuf> = named.iter().flatten().map(|named| named.canonical.clone()).collect();
    // A file of variables that lies among the manifests is none of them.
    let var_files = var_files.iter().filter_map(|path| fs::canonicalize(path).ok());
    let seen = var_files.filter(|path| !files.contains(path)).collect();
    let mut reading = Reading {
        found,
        files: Vec::new(),
        named: files,
        seen,
        directories: HashMap::new(),
        ignore_absent_submodules: access.ignore_absent_submodules,
    };
    for (path, named) in paths.iter().zip(named) {
        reading.named(path, named);
    }
    reading.files
}

/// Reads files that are named one by one.
pub(crate) fn read_each(paths: &[PathBuf], access: Access<'_>, found: &mut Vec<Diagnostic>) -> Vec<File> {
    let mut files = Vec::new();
    for (path, named) in paths.iter().zip(boundary::named(paths, access)) {
        let name = name_of_root(path);
        let text = named.and_then(|named| Ok((bytes(boundary::open_named(&named)?)?, named)));
        match text {
            Ok((bytes, named)) => files.extend(file(&name, path, bytes, named.through_link, &named.boundary, found)),
            Err(unread) => found.push(unreadable(&name, unread)),
        }
    }
    files
}

struct Reading<'a> {
    found: &'a mut Vec<Diagnostic>,
    files: Vec<File>,
    /// Canonical paths of what the user named.
    named: HashSet<PathBuf>,
    /// Canonical paths of the files that were read.
    seen: HashSet<PathBuf>,
    /// How many manifests each directory led to, by its canonical path: links may lead in circles.
    directories: HashMap<PathBuf, usize>,
    ignore_absent_submodules: bool,
}

/// A directory that the user named, while it is searched.
struct Search {
    path: PathBuf,
    boundary: Arc<Boundary>,
    rules: Rules,
    /// Files of rules that left something out.
    left_out: BTreeSet<&'static str>,
}

/// A directory in a search.
struct Directory {
    path: PathBuf,
    /// The path of the search without links, then the names that led here: what rules are held against.
    logical: PathBuf,
    /// What messages call it.
    name: String,
    /// Its path from where the search began.
    relative: String,
    depth: usize,
    is_linked: bool,
}

impl Reading<'_> {
    fn named(&mut self, path: &Path, named: Result<NamedPath, Unread>) {
        let name = name_of_root(path);
        match (fs::metadata(path), named) {
            (Err(error), _) if error.kind() == io::ErrorKind::NotFound => {
                let shown = shown(path);
                self.found.push(
                    Diagnostic::error(format!("there is no file or folder `{shown}`"))
                        .help("name a manifest, or a folder of *.yaml files"),
                );
            }
            (Err(error), _) => self.unreadable(&name, error.into()),
            (_, Err(unread)) => self.unreadable(&name, unread),
            (Ok(metadata), Ok(named)) if metadata.is_dir() => self.search(path, name, named),
            (Ok(_), Ok(named)) => {
                if self.seen.insert(named.canonical.clone()) {
                    match boundary::open_named(&named).and_then(bytes) {
                        Ok(bytes) => {
                            self.files.extend(file(&name, path, bytes, named.through_link, &named.boundary, self.found))
                        }
                        Err(unread) => self.unreadable(&name, unread),
                    }
                }
            }
        }
    }

    fn search(&mut self, path: &Path, name: String, named: NamedPath) {
        let NamedPath { canonical, through_link, boundary } = named;
        let before = self.found.len();
        let mut search = Search {
            rules: Rules::above(&canonical, &boundary, self.found),
            path: path.to_owned(),
            boundary,
            left_out: BTreeSet::new(),
        };
        let shown = if name.is_empty() { ".".to_owned() } else { name.clone() };
        let directory = Directory {
            path: path.to_owned(),
            logical: canonical.clone(),
            name,
            relative: String::new(),
            depth: 0,
            is_linked: through_link,
        };
        let manifests = self.directory(&mut search, &directory, canonical);
        if manifests > 0 || self.found.len() > before {
            return;
        }
        let message = format!("the folder `{shown}` holds no manifest");
        self.found.push(match search.left_out.into_iter().collect::<Vec<_>>().join(" and ") {
            none if none.is_empty() => Diagnostic::error(message).help(
                "a manifest is a file whose name ends in .yaml or .yml; hidden files and folders and `node_modules` are passed over",
            ),
            rules => Diagnostic::error(format!("{message} but what {rules} leaves out"))
                .help(format!("a line `!PATH` in {} takes a file in again", ignored::OWN)),
        });
    }

    /// Reads the manifests of a directory and below, and returns how many it led to.
    fn directory(&mut self, search: &mut Search, at: &Directory, canonical: PathBuf) -> usize {
        if let Some(&manifests) = self.directories.get(&canonical) {
            return manifests;
        }
        self.directories.insert(canonical.clone(), 0);
        if at.depth > FOLDER_MAX_DEPTH {
            let message = format!("the folder `{}` lies more than {FOLDER_MAX_DEPTH} folders deep", at.name);
            self.found.push(Diagnostic::error(message));
            return 0;
        }
        let entries = fs::read_dir(&at.path).and_then(|entries| entries.collect::<io::Result<Vec<_>>>());
        let mut entries = match entries {
            Ok(entries) => entries,
            Err(error) => {
                self.unreadable(&at.name, error.into());
                return 0;
            }
        };
        if entries.is_empty() && !self.ignore_absent_submodules {
            self.found.extend(submodule::absent(&canonical, &at.name, &search.boundary));
        }
        entries.sort_by_key(fs::DirEntry::file_name);
        search.rules.enter(&at.logical, Some(&at.name), &search.boundary, self.found);
        let manifests = entries.iter().map(|entry| self.entry(search, at, entry)).sum();
        search.rules.leave();
        self.directories.insert(canonical, manifests);
        manifests
    }

    fn entry(&mut self, search: &mut Search, at: &Directory, entry: &fs::DirEntry) -> usize {
        let file_name = entry.file_name();
        let logical = at.logical.join(&file_name);
        let file_name = file_name.to_string_lossy();
        let path = entry.path();
        let is_manifest = matches!(path.extension().and_then(|extension| extension.to_str()), Some("yaml" | "yml"));
        let metadata = fs::metadata(&path);
        let is_directory = metadata.as_ref().is_ok_and(fs::Metadata::is_dir);
        if file_name.starts_with('.')
            || !(is_manifest || is_directory)
            || (is_directory && file_name == ignored::DEPENDENCIES)
        {
            return 0;
        }
        let below =
            |parent: &str| if parent.is_empty() { file_name.to_string() } else { format!("{parent}/{file_name}") };
        let name = below(&at.name);
        let resolved = search.boundary.resolve(&path);
        let is_named = resolved.as_ref().is_ok_and(|canonical| self.named.contains(canonical));
        if !is_named && let Some(rules) = search.rules.leave_out(&logical, is_directory) {
            search.left_out.insert(rules);
            return 0;
        }
        let canonical = match (metadata, resolved) {
            (Err(error), _) => {
                self.unreadable(&name, error.into());
                return 0;
            }
            (Ok(metadata), _) if !(metadata.is_dir() || metadata.is_file()) => return 0,
            (Ok(_), Err(unread)) => {
                let leave_out = leave_out(&search.path, &below(&at.relative));
                self.found.push(unreadable(&name, unread).help(format!("to leave it out: {leave_out}")));
                return 0;
            }
            (Ok(_), Ok(canonical)) => canonical,
        };
        let is_linked = at.is_linked || entry.file_type().is_ok_and(|kind| kind.is_symlink());
        let relative = below(&at.relative);
        if is_directory {
            let below = Directory { path, logical, name, relative, depth: at.depth + 1, is_linked };
            return self.directory(search, &below, canonical);
        }
        if self.seen.insert(canonical) {
            match search.boundary.open(&path).and_then(bytes) {
                Ok(bytes) => {
                    let leave_out = (!is_named).then(|| leave_out(&search.path, &relative));
                    let file = file(&name, &path, bytes, is_linked, &search.boundary, self.found);
                    self.files.extend(file.map(|file| File { leave_out, ..file }));
                }
                Err(unread) => self.unreadable(&name, unread),
            }
        }
        1
    }

    fn unreadable(&mut self, name: &str, unread: Unread) {
        self.found.push(unreadable(name, unread));
    }
}

fn unreadable(name: &str, unread: Unread) -> Diagnostic {
    let diagnostic = Diagnostic::error(format!("cannot read `{name}`: {}", unread.reason));
    unread.help.into_iter().fold(diagnostic, Diagnostic::help)
}

/// Returns the command that leaves out a file of a directory that the user named.
fn leave_out(directory: &Path, relative: &str) -> String {
    let rules = directory.join(ignored::OWN);
    // From the working directory, if it is there.
    let here = std::path::absolute(".").ok();
    let rules = shown(here.and_then(|here| rules.strip_prefix(here).ok()).unwrap_or(&rules));
    let rules = rules.strip_prefix("./").unwrap_or(&rules);
    let pattern = ignored::pattern_of(relative);
    // Some shells' `echo` takes backslashes for escapes.
    let command = if pattern.contains('\\') { "printf '%s\\n'" } else { "echo" };
    format!("{command} {} >> {}", quoted(&pattern), quoted(rules))
}

/// Reads up to the limit, and not by the size that the file claims to have: a pipe or a device claims none.
fn bytes(file: fs::File) -> Result<Vec<u8>, Unread> {
    let mut bytes = Vec::new();
    file.take(FILE_MAX_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Makes a file of what was read.
fn file(
    name: &str,
    path: &Path,
    bytes: Vec<u8>,
    is_linked: bool,
    boundary: &Arc<Boundary>,
    found: &mut Vec<Diagnostic>,
) -> Option<File> {
    if bytes.len() as u64 > FILE_MAX_BYTES {
        let limit = FILE_MAX_BYTES / (1024 * 1024);
        found.push(
            Diagnostic::error(format!("`{name}` is larger than the {limit} MiB that a file may have"))
                .help("split it into several files in one folder; they make one fleet"),
        );
        return None;
    }
    if bytes.starts_with(LFS_POINTER) {
        found.push(unreadable(name, lfs_pointer(Some(boundary))));
        return None;
    }
    match decode(name, bytes) {
        Ok(text) => {
            let directory = path.parent().map(Path::to_path_buf).unwrap_or_default();
            let place = Some(DiskPlace { directory, boundary: Arc::clone(boundary) });
            Some(File { is_quotable: !is_linked, place, ..File::new(name, text) })
        }
        Err(mut diagnostic) => {
            if is_linked {
                diagnostic.labels.iter_mut().for_each(unquote);
            }
            found.push(*diagnostic);
            None
        }
    }
}

fn decode(name: &str, bytes: Vec<u8>) -> Result<String, Box<Diagnostic>> {
    let error = match String::from_utf8(bytes) {
        Ok(text) => return Ok(text),
        Err(error) => error,
    };
    let good = error.utf8_error().valid_up_to();
    let bytes = error.as_bytes();
    let utf16 = matches!(bytes, [0xff, 0xfe, ..] | [0xfe, 0xff, ..]);
    if utf16 {
        return Err(Box::new(Diagnostic::error(format!("`{name}` is UTF-16")).help("save the file as UTF-8")));
    }
    // What stands around the place, for the reader: the bytes that are no text become replacement characters.
    let source = Source::new(name, String::from_utf8_lossy(&bytes[..bytes.len().min(good + 200)]));
    Err(Box::new(
        Diagnostic::error(format!("`{name}` is not UTF-8"))
            .at(&source, Span::new(good, good), format!("the byte 0x{:02x} is no part of a UTF-8 text", bytes[good]))
            .help("save the file as UTF-8"),
    ))
}

/// The path as the user gave it, with forward slashes.
fn shown(path: &Path) -> String {
    path.to_string_lossy().replace('\\', "/")
}

/// What messages and plans call a file or folder that the user named: its relative path as given, without a leading `./`. Of an
/// absolute path only the last part, since a plan must not depend on where the fleet is checked out.
fn name_of_root(path: &Path) -> String {
    if path.is_absolute() {
        return path.file_name().map_or_else(|| "/".to_owned(), |name| name.to_string_lossy().into_owned());
    }
    let parts: Vec<_> = path
        .components()
        .filter_map(|component| match component {
            Component::CurDir => None,
            other => Some(other.as_os_str().to_string_lossy()),
        })
        .collect();
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads paths below a fresh folder, and answers the names of the files and the messages.
    fn names(make: impl FnOnce(&Path), paths: &[&str]) -> (Vec<String>, Vec<String>) {
        let folder = tempfile::tempdir().expect("a folder");
        make(folder.path());
        let paths: Vec<_> = paths.iter().map(|path| folder.path().join(path)).collect();
        let mut found = Vec::new();
        let files = read(&paths, &[], Access::default(), &mut found);
        let root = folder.path().to_str().expect("a UTF-8 path");
        let messages = found.iter().map(|diagnostic| diagnostic.message.replace(root, "ROOT"));
        (files.iter().map(|file| file.name.to_string()).collect(), messages.collect())
    }

    fn write(root: &Path, path: &str) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, "fleet: f\n").expect("a file");
    }

    #[test]
    fn folders_are_read_recursively_and_sorted() {
        let make = |root: &Path| {
            for path in
                ["f/b.yaml", "f/a/z.yml", "f/a.yaml", "f/.x/c.yaml", "f/.y.yaml", "f/n.json", "f/yaml", "g.yaml"]
            {
                write(root, path);
            }
        };
        let (files, messages) = names(make, &["g.yaml", "f"]);
        assert_eq!(files, ["g.yaml", "f/a/z.yml", "f/a.yaml", "f/b.yaml"]);
        assert_eq!(messages, [""; 0]);
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_once() {
        use std::os::unix::fs::symlink;
        let make = |root: &Path| {
            write(root, "f/a.yaml");
            write(root, "other/b.yaml");
            fs::create_dir(root.join(".git")).expect("a folder");
            symlink(root.join("f"), root.join("f/loop")).expect("a link");
            symlink(root.join("other"), root.join("f/other")).expect("a link");
            symlink(root.join("f/a.yaml"), root.join("f/again.yaml")).expect("a link");
            symlink(root.join("nowhere"), root.join("f/broken.yaml")).expect("a link");
            symlink(root.join("nowhere"), root.join("f/broken")).expect("a link");
        };
        let (files, messages) = names(make, &["f", "f", "f/a.yaml"]);
        assert_eq!(files, ["f/a.yaml", "f/other/b.yaml"]);
        assert_eq!(messages, ["cannot read `f/broken.yaml`: no such file or directory"]);
    }

    #[test]
    fn what_cannot_be_read() {
        let (_, messages) = names(|_| {}, &["nowhere.yaml"]);
        assert_eq!(messages, ["there is no file or folder `ROOT/nowhere.yaml`"]);
        let (_, messages) = names(|root| fs::create_dir_all(root.join("f/g")).expect("folders"), &["f"]);
        assert_eq!(messages, ["the folder `f` holds no manifest"]);
        let (_, messages) = names(|_| {}, &[]);
        assert_eq!(messages, ["no manifest is named"]);
        let large = |root: &Path| {
            // A hole: it takes no room on the disk, and a read stops at the ceiling.
            let file = fs::File::create(root.join("large.yaml")).expect("a file");
            file.set_len(FILE_MAX_BYTES + 1).expect("a hole");
        };
        let (files, messages) = names(large, &["large.yaml"]);
        assert_eq!(files, [""; 0]);
        assert_eq!(messages, ["`large.yaml` is larger than the 256 MiB that a file may have"]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn links_to_a_process_s_environment_are_not_read() {
        let make = |root: &Path| {
            std::os::unix::fs::symlink("/proc/self/environ", root.join("a.yaml")).expect("a link");
            write(root, "b.yaml");
        };
        let (files, messages) = names(make, &["a.yaml", "b.yaml"]);
        assert_eq!(files, ["b.yaml"]);
        assert_eq!(messages, ["cannot read `a.yaml`: files of the operating system are never read"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_path_through_a_file_is_refused() {
        let (_, messages) = names(|root| write(root, "a.yaml"), &["a.yaml/b.yaml"]);
        assert_eq!(messages, ["cannot read `b.yaml`: not a directory"]);
    }

    #[test]
    fn names_are_as_given_and_never_absolute() {
        for (path, name) in [
            ("fleet.yaml", "fleet.yaml"),
            ("./fleet", "fleet"),
            (".", ""),
            ("../fleet/a.yaml", "../fleet/a.yaml"),
            ("a/./b", "a/b"),
            ("/home/somebody/fleet", "fleet"),
        ] {
            assert_eq!(name_of_root(Path::new(path)), name, "{path}");
        }
    }

    #[test]
    fn lines_count_from_one() {
        let file = File::new("a.yaml", "\u{feff}a\nb\n\nc");
        assert_eq!([0, 1, 2, 3, 4, 5, 99].map(|offset| file.line(offset)), [1, 1, 2, 2, 3, 4, 4]);
    }
}
