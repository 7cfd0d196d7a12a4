//! Reads manifests from disk: the one file of this folder that does.

use std::collections::HashSet;
use std::fs;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::layers::Paths;
use crate::diagnostic::{Diagnostic, Source, Span};

/// Bytes of one file, at most. A hundred thousand devices written out are some 40 MB.
pub(super) const FILE_MAX_BYTES: u64 = 256 * 1024 * 1024;

/// How deep folders are followed.
const FOLDER_MAX_DEPTH: usize = 64;

/// One manifest's text, with the means to say where something stands in it.
#[derive(Debug)]
pub(super) struct File {
    pub(super) source: Arc<Source>,
    /// The source's name once more, shared by all that is declared in the file.
    pub(super) name: Arc<str>,
    /// The line, from 1, that each stretch of [`STRETCH`] bytes starts in.
    lines: Vec<u32>,
    /// Of what is declared in it.
    pub(super) paths: Paths,
    /// Named by the user, and not found in a folder.
    pub(super) named: bool,
    /// The folder that it lies in, where it lies on disk.
    folder: Option<PathBuf>,
}

/// The text of a table, to be read once.
pub(super) struct TableText {
    /// What messages call it.
    pub(super) name: Arc<str>,
    pub(super) reader: Box<dyn Read>,
}

/// Where tables come from: beside the manifests on disk, or from texts under their names.
#[derive(Clone, Copy)]
pub(super) enum Tables<'a> {
    Disk(Option<&'a Locate>),
    Texts(&'a [(&'a str, &'a str)]),
}

/// Returns where a table is that a manifest names, by the path that it has beside the manifest.
pub type Locate = dyn Fn(&Path) -> PathBuf + Send + Sync;

impl Tables<'_> {
    /// Opens the table that a manifest names by a path relative to itself.
    ///
    /// # Errors
    ///
    /// What went wrong, to go on from "cannot read `NAME`: ".
    pub(super) fn open(self, manifest: &File, from: &str) -> Result<TableText, String> {
        let name: Arc<str> = table_name(&manifest.name, from).into();
        let reader: Box<dyn Read> = match (self, &manifest.folder) {
            (Self::Texts(texts), _) => {
                let text = texts.iter().find(|(known, _)| *known == &*name).ok_or("no such file")?;
                Box::new(io::Cursor::new(text.1.to_owned()))
            }
            (Self::Disk(locate), folder) => {
                let path = folder.as_deref().unwrap_or(Path::new("")).join(from);
                let path = locate.map_or_else(|| path.clone(), |locate| locate(&path));
                let file = open(&path).map_err(|error| reason(&error))?;
                match file.metadata() {
                    Ok(metadata) if metadata.is_dir() => return Err("it is a folder".to_owned()),
                    Ok(metadata) if metadata.len() > FILE_MAX_BYTES => {
                        return Err(format!("it has more than {} MiB", FILE_MAX_BYTES / (1024 * 1024)));
                    }
                    // A pipe says nothing of its length.
                    _ => Box::new(Limited { file, left: FILE_MAX_BYTES }),
                }
            }
        };
        Ok(TableText { name, reader })
    }
}

/// A file that fails, rather than ends, where it is too long.
struct Limited {
    file: fs::File,
    left: u64,
}

impl Read for Limited {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.left = self
            .left
            .checked_sub(read as u64)
            .ok_or_else(|| io::Error::other(format!("it has more than {} MiB", FILE_MAX_BYTES / (1024 * 1024))))?;
        Ok(read)
    }
}

/// What messages call a table: its path relative to what the manifest's is relative to.
pub(super) fn table_name(manifest: &str, from: &str) -> String {
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
    pub(super) fn new(name: &str, text: impl Into<String>, named: bool) -> Self {
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
        Self { name: name.into(), lines, paths: Paths::default(), named, source, folder: None }
    }

    /// Returns the line of an offset, from 1. ([`Source::position`] reads the text up to there; this is for each leaf.)
    pub(super) fn line(&self, offset: usize) -> u32 {
        let text = self.source.text().as_bytes();
        let offset = offset.min(text.len());
        let Some(stretch) = self.lines.len().checked_sub(1).map(|last| last.min(offset / STRETCH)) else { return 1 };
        self.lines[stretch] + breaks(&text[stretch * STRETCH..offset])
    }

    /// Returns where a line stands, from 1, without its indentation and without what ends it.
    pub(super) fn line_span(&self, line: u32) -> Span {
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
    pub(super) fn slice(&self, span: Span) -> &str {
        self.source.text().get(span.start..span.end).unwrap_or_default()
    }
}

/// Bytes between two places of which the line is known. A file of millions of lines is looked at for each leaf, and their offsets would be
/// half as large as what its devices come to.
const STRETCH: usize = 1024;

fn breaks(text: &[u8]) -> u32 {
    u32::try_from(text.iter().filter(|&&byte| byte == b'\n').count()).unwrap_or(u32::MAX)
}

/// Reads all manifests that `paths` name, files and folders, in order; a file that is reached twice is read once.
pub(super) fn read(paths: &[PathBuf], found: &mut Vec<Diagnostic>) -> Vec<File> {
    let mut reading = Reading { seen: HashSet::new(), files: Vec::new(), found };
    if paths.is_empty() {
        reading.found.push(Diagnostic::error("no manifest is named").help("name a file, or a folder of *.yaml files"));
    }
    for path in paths {
        reading.root(path);
    }
    reading.files
}

/// Reads files that are named one by one.
pub(super) fn read_each(paths: &[PathBuf], found: &mut Vec<Diagnostic>) -> Vec<File> {
    let mut files = Vec::new();
    for path in paths {
        let mut reading = Reading { seen: HashSet::new(), files: Vec::new(), found };
        reading.file(path, &name_of_root(path), true);
        files.append(&mut reading.files);
    }
    files
}

struct Reading<'a> {
    /// Canonical paths of what was read or entered: symbolic links may lead in circles.
    seen: HashSet<PathBuf>,
    files: Vec<File>,
    found: &'a mut Vec<Diagnostic>,
}

impl Reading<'_> {
    fn root(&mut self, path: &Path) {
        let name = name_of_root(path);
        match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let shown = shown(path);
                self.found.push(
                    Diagnostic::error(format!("there is no file or folder `{shown}`"))
                        .help("name a manifest, or a folder of *.yaml files"),
                );
            }
            Err(error) => self.unreadable(&name, &error),
            Ok(metadata) if metadata.is_dir() => {
                let before = (self.files.len(), self.found.len(), self.seen.len());
                self.folder(path, &name, 0);
                // Nothing new was seen when the folder was named before: that is no mistake.
                let (files, problems, seen) = before;
                if self.files.len() == files && self.found.len() == problems && self.seen.len() > seen {
                    let shown = if name.is_empty() { "." } else { &name };
                    self.found.push(
                        Diagnostic::error(format!("the folder `{shown}` holds no manifest"))
                            .help("a manifest is a file whose name ends in .yaml or .yml; hidden files and folders are passed over"),
                    );
                }
            }
            Ok(_) => self.file(path, &name, true),
        }
    }

    fn folder(&mut self, path: &Path, name: &str, depth: usize) {
        if !self.is_new(path) {
            return;
        }
        if depth > FOLDER_MAX_DEPTH {
            self.found
                .push(Diagnostic::error(format!("the folder `{name}` lies more than {FOLDER_MAX_DEPTH} folders deep")));
            return;
        }
        let entries = fs::read_dir(path).and_then(|entries| entries.collect::<io::Result<Vec<_>>>());
        let mut entries = match entries {
            Ok(entries) => entries,
            Err(error) => return self.unreadable(name, &error),
        };
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let file_name = entry.file_name();
            let file_name = file_name.to_string_lossy();
            if file_name.starts_with('.') {
                continue;
            }
            let path = entry.path();
            let name = if name.is_empty() { file_name.to_string() } else { format!("{name}/{file_name}") };
            let is_manifest = matches!(path.extension().and_then(|extension| extension.to_str()), Some("yaml" | "yml"));
            match fs::metadata(&path) {
                Ok(metadata) if metadata.is_dir() => self.folder(&path, &name, depth + 1),
                Ok(metadata) if is_manifest && metadata.is_file() => self.file(&path, &name, false),
                Ok(_) => {}
                Err(error) if is_manifest => self.unreadable(&name, &error),
                Err(_) => {}
            }
        }
    }

    fn file(&mut self, path: &Path, name: &str, named: bool) {
        if !self.is_new(path) {
            return;
        }
        let mut bytes = Vec::new();
        // Read up to the ceiling and not by the size that the file says it has: a pipe or a device says none.
        let read = open(path).and_then(|file| file.take(FILE_MAX_BYTES + 1).read_to_end(&mut bytes));
        if let Err(error) = read {
            return self.unreadable(name, &error);
        }
        if bytes.len() as u64 > FILE_MAX_BYTES {
            let limit = FILE_MAX_BYTES / (1024 * 1024);
            self.found.push(
                Diagnostic::error(format!("`{name}` is larger than the {limit} MiB that a manifest may have"))
                    .help("split it into several files in one folder; they make one fleet"),
            );
            return;
        }
        match decode(name, bytes) {
            Ok(text) => {
                let folder = path.parent().map(Path::to_path_buf);
                self.files.push(File { folder, ..File::new(name, text, named) });
            }
            Err(diagnostic) => self.found.push(*diagnostic),
        }
    }

    /// Remembers what `path` leads to, and says whether it was not seen before.
    fn is_new(&mut self, path: &Path) -> bool {
        // What cannot be resolved will be refused when it is read.
        fs::canonicalize(path).map_or(true, |canonical| self.seen.insert(canonical))
    }

    fn unreadable(&mut self, name: &str, error: &io::Error) {
        self.found.push(Diagnostic::error(format!("cannot read `{name}`: {}", reason(error))));
    }
}

/// Opens a file, but none that shows the environment or the arguments of a process, where secrets stand: a link in a pull request may
/// lead there, and messages show lines of what was read.
fn open(path: &Path) -> io::Result<fs::File> {
    let shows_secrets = |path: &Path| {
        let name = path.file_name().and_then(|name| name.to_str());
        path.starts_with("/proc") && matches!(name, Some("environ" | "cmdline"))
    };
    if fs::canonicalize(path).is_ok_and(|path| shows_secrets(&path)) {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "it shows what processes keep to themselves"));
    }
    fs::File::open(path)
}

/// What went wrong, without the number that the operating system gives it.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
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
        let files = read(&paths, &mut found);
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
        assert_eq!(messages, ["`large.yaml` is larger than the 256 MiB that a manifest may have"]);
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
        assert_eq!(messages, ["cannot read `a.yaml`: it shows what processes keep to themselves"]);
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
        let file = File::new("a.yaml", "\u{feff}a\nb\n\nc", true);
        assert_eq!([0, 1, 2, 3, 4, 5, 99].map(|offset| file.line(offset)), [1, 1, 2, 2, 3, 4, 4]);
    }
}
