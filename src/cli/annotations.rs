//! Remarks for the CI system that a command runs in: collected while it runs, written when it ends.

use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::args::{AnnotationArgs, AnnotationHost, Command, ManifestArgs};
use super::context::Context;
use super::outcome::{CliError, CliResult};
use super::{file, git};
use crate::render::annotations::{Annotation, AnnotationFormat, write};

/// The file that GitLab's own examples name.
const GITLAB_FILE: &str = "gl-code-quality-report.json";

/// Writes what was collected, where the command was asked to.
pub(super) fn tell(context: &mut Context, command: &Command) -> CliResult<()> {
    let Some((args, manifest)) = asked(command) else { return Ok(()) };
    let Some(host) = host(context, args.annotations) else { return Ok(()) };
    let mut annotations = std::mem::take(&mut context.annotations);
    let mut places = Places::new(context, host, manifest);
    for Annotation { place, .. } in &mut annotations {
        if let Some((file, ..)) = place {
            *file = places.in_repository(file);
        }
    }
    // GitLab shows nothing that has no file.
    let is_placeless = |annotation: &Annotation| annotation.place.is_none();
    let needs_file = host == AnnotationFormat::GitLab && annotations.iter().any(is_placeless);
    let first = if needs_file { places.first_file() } else { String::new() };
    let text = write(&annotations, host, &first);
    let text = context.err.redact(&text);
    let path = match (&args.annotations_file, host) {
        (Some(path), _) => path.clone(),
        (None, AnnotationFormat::GitLab) => GITLAB_FILE.into(),
        (None, AnnotationFormat::GitHub | AnnotationFormat::Azure) => {
            context.err.write_all(text.as_bytes())?;
            return Ok(());
        }
    };
    file::write(&context.resolve(&path), text.as_bytes())
        .map_err(|error| CliError::doing(format!("writing annotations to {}", path.display()), error))
}

/// Returns what a command was asked for, and its manifests.
fn asked(command: &Command) -> Option<(&AnnotationArgs, &ManifestArgs)> {
    match command {
        Command::Plan(args) => Some((&args.annotations, &args.manifest)),
        Command::Drift(args) => Some((&args.annotations, &args.manifest)),
        Command::Check(args) => Some((&args.annotations, &args.manifest)),
        Command::Validate(args) => Some((&args.annotations, &args.manifest)),
        _ => None,
    }
}

/// Turns the names that messages give to files into paths from the repository's top folder, as the hosts want them.
struct Places<'c> {
    context: &'c Context,
    host: AnnotationFormat,
    manifest: &'c ManifestArgs,
    /// The top folders of the repositories that folders lie in, as far as Git was asked.
    roots: HashMap<PathBuf, Option<PathBuf>>,
}

impl<'c> Places<'c> {
    fn new(context: &'c Context, host: AnnotationFormat, manifest: &'c ManifestArgs) -> Self {
        Self { context, host, manifest, roots: HashMap::new() }
    }

    /// Returns a file's path in its repository, or its name if there is no such file, or no repository around it.
    fn in_repository(&mut self, name: &str) -> String {
        self.path_of(name).and_then(|path| self.relative(&path)).unwrap_or_else(|| name.to_owned())
    }

    /// Finds the file with a name: a relative path names it from the working folder, and an absolute one from the folder above it.
    fn path_of(&self, name: &str) -> Option<PathBuf> {
        let given = self.manifest.paths.iter().chain(&self.manifest.vars.var_files);
        let folders = given.map(|path| if path.is_absolute() { path.parent().unwrap_or(path) } else { Path::new("") });
        let mut paths = folders.map(|folder| self.context.resolve(folder).join(name));
        paths.find_map(|path| path.canonicalize().ok().filter(|path| path.is_file()))
    }

    fn relative(&mut self, path: &Path) -> Option<String> {
        let root = self.root(path)?;
        let parts: Vec<_> = path.strip_prefix(root).ok()?.iter().map(|part| part.to_string_lossy()).collect();
        Some(parts.join("/"))
    }

    /// Returns the folder that the host's paths start from: the one that its variable names, or the top folder of the file's repository.
    fn root(&mut self, path: &Path) -> Option<PathBuf> {
        let variable = match self.host {
            AnnotationFormat::GitHub => "GITHUB_WORKSPACE",
            AnnotationFormat::Azure => "BUILD_SOURCESDIRECTORY",
            AnnotationFormat::GitLab => "CI_PROJECT_DIR",
        };
        let named = self.context.variable(variable).and_then(|folder| fs::canonicalize(folder).ok());
        if let Some(folder) = named.filter(|folder| path.starts_with(folder)) {
            return Some(folder);
        }
        let context = self.context;
        let folder = path.parent()?.to_owned();
        let of = |folder: &PathBuf| git::Repository::around(context, folder).ok().map(|repository| repository.root);
        self.roots.entry(folder).or_insert_with_key(of).clone()
    }

    /// Returns the first file of the manifests for what belongs to no line, and without one the pipeline's own.
    fn first_file(&mut self) -> String {
        let file = self.manifest.paths.iter().find_map(|path| first_file(&self.context.resolve(path)));
        let file = file.and_then(|file| self.relative(&file.canonicalize().ok()?));
        file.or_else(|| self.context.variable("CI_CONFIG_PATH")).unwrap_or_else(|| ".gitlab-ci.yml".to_owned())
    }
}

/// Returns the path itself if it is a file, and else the first manifest below it.
fn first_file(path: &Path) -> Option<PathBuf> {
    if !path.is_dir() {
        return path.is_file().then(|| path.to_owned());
    }
    let mut entries: Vec<_> = fs::read_dir(path).ok()?.filter_map(Result::ok).collect();
    entries.sort_by_key(fs::DirEntry::file_name);
    let is_read = |entry: &&fs::DirEntry| !entry.file_name().to_string_lossy().starts_with('.');
    // Links may lead in circles; a file that is found without them will do.
    let is_link = |entry: &&fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_symlink());
    let is_manifest = |path: &Path| {
        let extension = path.extension().and_then(|extension| extension.to_str());
        path.is_dir() || matches!(extension, Some("yaml" | "yml"))
    };
    let paths = entries.iter().filter(is_read).filter(|entry| !is_link(entry)).map(fs::DirEntry::path);
    paths.filter(|path| is_manifest(path)).find_map(|path| first_file(&path))
}

fn host(context: &Context, asked: AnnotationHost) -> Option<AnnotationFormat> {
    let says = |name: &str| context.variable(name).is_some_and(|value| value.eq_ignore_ascii_case("true"));
    match asked {
        AnnotationHost::None => None,
        AnnotationHost::Github => Some(AnnotationFormat::GitHub),
        AnnotationHost::Azure => Some(AnnotationFormat::Azure),
        AnnotationHost::Gitlab => Some(AnnotationFormat::GitLab),
        AnnotationHost::Auto if says("GITHUB_ACTIONS") => Some(AnnotationFormat::GitHub),
        AnnotationHost::Auto if says("TF_BUILD") => Some(AnnotationFormat::Azure),
        AnnotationHost::Auto if says("GITLAB_CI") => Some(AnnotationFormat::GitLab),
        AnnotationHost::Auto => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::context::tests::context;

    #[test]
    fn hosts() {
        use AnnotationHost::{Auto, Azure, None as Nobody};
        for (variables, asked, found) in [
            (&[("GITHUB_ACTIONS", "true")][..], Auto, Some(AnnotationFormat::GitHub)),
            (&[("TF_BUILD", "True")], Auto, Some(AnnotationFormat::Azure)),
            (&[("GITLAB_CI", "true")], Auto, Some(AnnotationFormat::GitLab)),
            (&[("GITLAB_CI", "false")], Auto, None),
            (&[("GITHUB_ACTIONS", "true")], Nobody, None),
            (&[("GITHUB_ACTIONS", "true")], Azure, Some(AnnotationFormat::Azure)),
        ] {
            let (context, _, _) = context(variables);
            assert_eq!(host(&context, asked), found, "{variables:?} {asked:?}");
        }
    }
}
