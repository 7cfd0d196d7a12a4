//! Finds submodules that are not checked out: a folder of manifests that is empty for this reason alone.
//!
//! Reads `.gitmodules` as a text, and asks no program. What a sparse checkout leaves out is not found.

use std::io::Read;
use std::path::Path;

use crate::manifest::text::boundary::Boundary;
use crate::shell::quoted;
use iothub_model::diagnostic::Diagnostic;

/// The file in which a repository names its submodules.
const LIST: &str = ".gitmodules";

/// Bytes of the list, at most.
const LIST_MAX_BYTES: u64 = 1024 * 1024;

/// Returns what is to be said of an empty directory, if it is a submodule that is not checked out. `name` is what messages call it.
pub(crate) fn absent(canonical: &Path, name: &str, boundary: &Boundary) -> Option<Diagnostic> {
    let above = canonical.parent()?;
    let repository = above.ancestors().find(|ancestor| ancestor.join(".git").symlink_metadata().is_ok())?;
    let mut list = Vec::new();
    boundary.open(&repository.join(LIST)).ok()?.take(LIST_MAX_BYTES).read_to_end(&mut list).ok()?;
    let parts = canonical.strip_prefix(repository).ok()?.iter().map(|part| part.to_str());
    let path = parts.collect::<Option<Vec<_>>>()?.join("/");
    if !paths(&String::from_utf8_lossy(&list)).any(|listed| listed == path) {
        return None;
    }
    let here = std::env::current_dir().and_then(|here| here.canonicalize()).ok();
    let is_here = here.is_some_and(|here| {
        here.ancestors().find(|ancestor| ancestor.join(".git").symlink_metadata().is_ok()) == Some(repository)
    });
    let folder = match is_here {
        true => String::new(),
        false => format!(" -C {}", quoted(&repository.to_string_lossy())),
    };
    let command = format!("git{folder} submodule update --init {}", quoted(&format!(":/{path}")));
    Some(
        Diagnostic::error(format!("the submodule `{name}` is not checked out"))
            .help(format!("`{command}` brings its files; in a pipeline, set `submodules: true` of `actions/checkout` or of Azure's `checkout` step")),
    )
}

/// Returns the paths that a list of submodules names.
fn paths(list: &str) -> impl Iterator<Item = String> {
    let mut is_submodule = false;
    list.lines().filter_map(move |line| {
        let line = line.trim();
        if let Some(section) = line.strip_prefix('[') {
            is_submodule = section.trim_start().get(..9).is_some_and(|kind| kind.eq_ignore_ascii_case("submodule"));
        }
        let (key, value) = line.split_once('=').filter(|_| is_submodule)?;
        key.trim().eq_ignore_ascii_case("path").then(|| unquoted(value.trim()).trim_end_matches('/').to_owned())
    })
}

/// Returns a value without quotes, escapes and comment.
fn unquoted(value: &str) -> String {
    let (mut text, mut is_quoted, mut chars) = (String::new(), false, value.chars());
    while let Some(c) = chars.next() {
        match c {
            '"' => is_quoted = !is_quoted,
            '\\' => text.extend(chars.next()),
            '#' | ';' if !is_quoted => return text.trim_end().to_owned(),
            c => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_names_paths() {
        let list = "# path = no\n[core]\n\tpath = no\n[submodule \"a\"]\n\tpath = fleet/a\n\turl = ../a\n[Submodule \"b\"]\nPath=\"b # c/\" ; note\n";
        assert_eq!(paths(list).collect::<Vec<_>>(), ["fleet/a", "b # c"]);
    }
}
