//! Reads manifests from disk: the one file of this folder that does.

use std::collections::HashSet;
use std::fs;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

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
    /// The offsets at which lines start.
    line_starts: Vec<usize>,
    /// Named by the user, and not found in a folder.
    pub(super) named: bool,
}

impl File {
    pub(super) fn new(name: &str, text: impl Into<String>, named: bool) -> Self {
        let text = text.into();
        // A byte-order mark is no part of the text, and would shift the columns of its first line.
        let text = text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text);
        let source = Source::new(name, text);
        let newlines = source.text().bytes().enumerate().filter(|&(_, byte)| byte == b'\n');
        let line_starts = std::iter::once(0).chain(newlines.map(|(offset, _)| offset + 1)).collect();
        Self { name: name.into(), line_starts, named, source }
    }

    /// Returns the line of an offset, from 1. ([`Source::position`] reads the text up to there; this is for each leaf.)
    pub(super) fn line(&self, offset: usize) -> u32 {
        let line = self.line_starts.partition_point(|&start| start <= offset);
        u32::try_from(line).unwrap_or(u32::MAX)
    }

    /// Returns what is written at `span`.
    pub(super) fn slice(&self, span: Span) -> &str {
        self.source.text().get(span.start..span.end).unwrap_or_default()
    }
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
        let read = fs::File::open(path).and_then(|file| file.take(FILE_MAX_BYTES + 1).read_to_end(&mut bytes));
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
            Ok(text) => self.files.push(File::new(name, text, named)),
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
