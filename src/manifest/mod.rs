//! YAML text to [`Declarations`], with diagnostics that point.
//!
//! Owns what a manifest may say, how its layers are laid over each other, and every place in it that a message may point at. Does
//! not know live twins, nor print. [`load`] is the whole way: files are read (`source`, the only one that reads), parsed into trees
//! whose nodes know their places (`yaml`), references are put in (`vars`, `interpolate`), each file is read by tables of
//! fields (`schema`, `checks`, `expect`), and all files together are resolved (`resolve`, `layers`, `range`). Read
//! [`Declarations`] first.
//!
//! A module is declared under its device, `devices.ID.modules.ID: { tags, desired }`, and each device of a range has the modules of
//! its entry. Defaults and groups describe devices' own twins: a module twin has its own entry as its only layer. Whoever declares a
//! module declares its device.

mod checks;
pub mod declaration;
mod expect;
mod fingerprint;
mod interpolate;
mod layers;
pub(crate) mod range;
mod reader;
mod resolve;
mod schema;
mod source;
mod syntax;
mod validate;
mod vars;
mod yaml;

#[cfg(test)]
mod laws;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

pub use declaration::{Body, Declaration, Declarations, FleetName, Layer, Leaf, Missing, Origin, Ownership};

use crate::diagnostic::{Diagnostic, Span};
use interpolate::Interpolation;
use source::File;

/// Errors of one run that are told; a file with more of them has one mistake many times.
const ERRORS_MAX: usize = 100;

/// Looks up an environment variable.
pub type Environment = dyn Fn(&str) -> Option<String> + Send + Sync;

/// What to load, and from which environment.
#[derive(Clone)]
pub struct LoadOptions {
    /// Files, and folders that are read recursively, in order. Several make one fleet.
    pub paths: Vec<PathBuf>,
    /// What `${env.NAME}` stands for.
    pub environment: Arc<Environment>,
}

/// A fleet, and what is odd about it.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The fleet.
    pub declarations: Declarations,
    /// What is allowed, and probably not meant.
    pub warnings: Vec<Diagnostic>,
}

/// Reads a fleet from files: all mistakes that can be told in one pass, in the order of the files, or the fleet.
///
/// Sources are named by their paths as given, with `/`; of an absolute path only by its last part. No value that comes from the
/// environment is shown in a message.
///
/// # Errors
///
/// At least one of the diagnostics is an error; warnings may be among them.
pub fn load(options: &LoadOptions) -> Result<Loaded, Vec<Diagnostic>> {
    let mut found = Vec::new();
    let files = source::read(&options.paths, &mut found);
    resolve_files(&files, &*options.environment, found)
}

/// Reads a fleet from texts, each under the name that messages give it: [`load`] without the files.
///
/// # Errors
///
/// As for [`load`].
pub fn load_texts(texts: &[(&str, &str)], environment: &Environment) -> Result<Loaded, Vec<Diagnostic>> {
    let files: Vec<File> = texts.iter().map(|(name, text)| File::new(name, *text, true)).collect();
    resolve_files(&files, environment, Vec::new())
}

fn resolve_files(
    files: &[File],
    environment: &dyn Fn(&str) -> Option<String>,
    mut found: Vec<Diagnostic>,
) -> Result<Loaded, Vec<Diagnostic>> {
    // What could not be read at all is missing from the fleet.
    let mut complete = found.is_empty();
    let mut documents = Vec::with_capacity(files.len());
    for file in files {
        let before = found.len();
        let mut early = Vec::new();
        match yaml::parse(file, &mut found, &mut |key, node| schema::device_early(file, key, node, &mut early)) {
            Some(document) => {
                // What is wrong after a syntax error is not told, nor is what is wrong before it.
                found.append(&mut early);
                documents.push((file, document));
            }
            None if found.len() == before => found.push(empty(file)),
            None => complete = false,
        }
    }
    let bytes = files.iter().map(|file| file.source.text().len()).sum();
    let vars = vars::collect(&mut documents, environment, &mut found);
    let mut interpolation = Interpolation::new(environment, Some(&vars), bytes);
    let mut manifests = Vec::with_capacity(documents.len());
    for (file, mut document) in documents {
        interpolation.resolve(file, &mut document, &mut found);
        manifests.push((file, schema::read(file, document, &mut found)));
    }
    let declarations = resolve::resolve(manifests, complete, &mut found);
    sort(files, &mut found);
    match declarations {
        Some(declarations) if !found.iter().any(Diagnostic::is_error) => Ok(Loaded { declarations, warnings: found }),
        _ => {
            limit(&mut found);
            Err(found)
        }
    }
}

/// An empty file is a mistake where it was named, and only odd where a folder has it.
fn empty(file: &File) -> Diagnostic {
    let message = format!("`{}` is empty", file.name);
    let diagnostic = if file.named { Diagnostic::error(message) } else { Diagnostic::warning(message) };
    diagnostic.at(&file.source, Span::new(0, 0), "").help("a manifest starts with `fleet: NAME`")
}

/// Puts what was found in the order of the files; what has no place comes first.
fn sort(files: &[File], found: &mut [Diagnostic]) {
    found.sort_by_cached_key(|diagnostic| {
        diagnostic.labels.iter().find_map(|label| {
            let file = files.iter().position(|file| *file.name == *label.source.name())?;
            Some((file, label.span.start))
        })
    });
}

fn limit(found: &mut Vec<Diagnostic>) {
    let errors = found.iter().filter(|diagnostic| diagnostic.is_error()).count();
    if errors <= ERRORS_MAX {
        return;
    }
    let mut kept = 0;
    found.retain(|diagnostic| {
        kept += usize::from(diagnostic.is_error());
        !diagnostic.is_error() || kept <= ERRORS_MAX
    });
    found.push(Diagnostic::error(format!("{} more errors are not shown", errors - ERRORS_MAX)));
}
