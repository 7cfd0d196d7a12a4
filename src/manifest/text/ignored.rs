//! Which files of a directory are not taken for manifests: `.twinctlignore` and `.gitignore`, in Git's syntax.
//!
//! The rules come only from the files between the boundary and the file in question, never from the settings of the machine: the same
//! commit has the same manifests everywhere.

use std::io::Read;
use std::path::Path;

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use crate::manifest::text::boundary::{Boundary, Unread};
use iothub_model::diagnostic::{Diagnostic, Source, Span};

/// The name of the files that only twinctl reads.
pub(crate) const OWN: &str = ".twinctlignore";
const GIT: &str = ".gitignore";

/// Bytes of one file of rules, at most.
const RULES_MAX_BYTES: u64 = 1024 * 1024;

/// A directory that is never searched for manifests.
pub(crate) const DEPENDENCIES: &str = "node_modules";

/// The rules for one directory: its own and those of the directories above it.
#[derive(Default)]
pub(crate) struct Rules(Vec<Level>);

/// The rules that one directory adds.
struct Level {
    own: Option<Gitignore>,
    git: Option<Gitignore>,
    /// Git's rules of the directories above do not hold in another repository.
    is_repository: bool,
}

impl Rules {
    /// Adds the rules of the directories from the boundary down to, and without, `directory`.
    pub(crate) fn above(directory: &Path, boundary: &Boundary, found: &mut Vec<Diagnostic>) -> Self {
        let mut rules = Self::default();
        let Ok(below) = directory.strip_prefix(boundary.root()) else { return rules };
        let mut at = boundary.root().to_owned();
        for part in below.components() {
            rules.enter(&at, None, boundary, found);
            at.push(part);
        }
        rules
    }

    /// Adds the rules of a directory below. `shown` is its name in messages; above the named path there is none.
    pub(crate) fn enter(
        &mut self,
        directory: &Path,
        shown: Option<&str>,
        boundary: &Boundary,
        found: &mut Vec<Diagnostic>,
    ) {
        let mut rules = |name: &str| {
            let text = read(&directory.join(name), boundary);
            let shown = match shown {
                None | Some("") => name.to_owned(),
                Some(shown) => format!("{shown}/{name}"),
            };
            match text {
                Ok(text) => compile(directory, &shown, text?, found),
                // Git does not follow a link there either.
                Err(_) if name == GIT => None,
                Err(unread) => {
                    let diagnostic = Diagnostic::error(format!("cannot read `{shown}`: {}", unread.reason));
                    found.push(unread.help.into_iter().fold(diagnostic, Diagnostic::help));
                    None
                }
            }
        };
        let (own, git) = (rules(OWN), rules(GIT));
        let is_repository = directory.join(".git").symlink_metadata().is_ok();
        self.0.push(Level { own, git, is_repository });
    }

    /// Takes the rules of the last directory away.
    pub(crate) fn leave(&mut self) {
        self.0.pop();
    }

    /// Returns the name of the file whose rules leave out a path. The path starts as those of the directories do.
    ///
    /// `.twinctlignore` counts before `.gitignore`, and a directory's own rules before those above it.
    pub(crate) fn leave_out(&self, path: &Path, is_directory: bool) -> Option<&'static str> {
        let decide = |rules: &Gitignore| match rules.matched(path, is_directory) {
            Match::None => None,
            Match::Ignore(_) => Some(true),
            Match::Whitelist(_) => Some(false),
        };
        let own = self.0.iter().rev().filter_map(|level| level.own.as_ref()).find_map(decide);
        if let Some(is_out) = own {
            return is_out.then_some(OWN);
        }
        // Up to the first that is a repository of its own.
        let repository = self.0.iter().rposition(|level| level.is_repository).unwrap_or(0);
        let git = self.0[repository..].iter().rev().filter_map(|level| level.git.as_ref()).find_map(decide);
        git.unwrap_or(false).then_some(GIT)
    }
}

/// Reads a file of rules; `None` if there is none.
fn read(path: &Path, boundary: &Boundary) -> Result<Option<String>, Unread> {
    if path.symlink_metadata().is_err() {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    boundary.open(path)?.take(RULES_MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > RULES_MAX_BYTES {
        return Err(Unread::because(format!("it has more than {} MiB", RULES_MAX_BYTES / (1024 * 1024))));
    }
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

fn compile(directory: &Path, shown: &str, text: String, found: &mut Vec<Diagnostic>) -> Option<Gitignore> {
    let mut builder = GitignoreBuilder::new(directory);
    for (number, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        // Git passes over what is no pattern; whoever writes one for twinctl wants to know.
        if builder.add_line(None, line).is_err() && shown.ends_with(OWN) {
            let source = Source::excerpt(shown, "", number + 1);
            found.push(
                Diagnostic::error("this line is not a pattern of Git's ignore syntax")
                    .at(&source, Span::new(0, 0), "")
                    .help("write a path, as in `/deploy/`, or a pattern, as in `*.tmpl.yaml`"),
            );
        }
    }
    builder.build().ok()
}

/// Returns the pattern that matches just this path, which is relative to the directory of the rules.
pub(crate) fn pattern_of(path: &str) -> String {
    let mut pattern = String::from("/");
    for c in path.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '{' | '}' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    // A space at the end of a line is no part of it.
    match pattern.strip_suffix(' ') {
        Some(start) => format!("{start}\\ "),
        None => pattern,
    }
}
