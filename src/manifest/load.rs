//! The way from files to declarations: [`load`].

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use crate::digest::Digest;
use crate::manifest::fast::{self, WARNINGS_MAX};
use crate::manifest::fields::policy::Sensitive;
use crate::manifest::fields::{foreign, schema};
use crate::manifest::layers::declaration::Declarations;
use crate::manifest::layers::inventory::table::Format;
use crate::manifest::layers::inventory::{self, Sources};
use crate::manifest::layers::layering::Keep;
use crate::manifest::layers::resolve::{self, ReadFile};
use crate::manifest::references::env_access::{self, EnvAccess};
use crate::manifest::references::interpolate::Interpolation;
use crate::manifest::references::reference;
use crate::manifest::references::vars::{self, Overrides};
use crate::manifest::text::boundary::{Access, CommitCopy, is_stream};
use crate::manifest::text::node::{Kind, Node};
use crate::manifest::text::source::{self, File, Locate, Tables};
use crate::manifest::text::yaml;
use iothub_model::diagnostic::{Diagnostic, Span};

/// Errors of one run that are told; a file with more of them has one mistake many times.
const ERRORS_MAX: usize = 100;

/// Returns what keeps a variable from being opened to manifests, if anything does.
pub(crate) fn env_allow_problem(name: &str) -> Option<String> {
    if !reference::is_variable_name(name) {
        return Some("it is the name of one environment variable".to_owned());
    }
    env_access::problem_of_opened(name)
}

/// Looks up an environment variable.
pub(crate) type Environment = dyn Fn(&str) -> Option<String> + Send + Sync;

/// What to load, and from which environment.
#[derive(Clone)]
#[non_exhaustive]
pub(crate) struct LoadOptions {
    /// Files, and folders that are read recursively, in order. Several make one fleet.
    pub paths: Vec<PathBuf>,
    /// What `${env.NAME}` stands for.
    pub environment: Arc<Environment>,
    /// Files of values that go over `vars`, each a mapping of names to values; later ones go over earlier ones.
    pub var_files: Vec<PathBuf>,
    /// Single values that go over those. Never shown in a message.
    pub vars: Vec<(String, String)>,
    /// Manifests and links may lead to files outside of the Git repository, or of the named folders' common one without a repository.
    pub allow_outside: bool,
    /// Where the files are that stand for the repository, if they are a copy of a commit's.
    pub copy: Option<CommitCopy>,
    /// Passes over values for variables that the manifests do not declare. Without it they are mistakes.
    pub ignore_unknown_vars: bool,
    /// Where the tables are that inventories name, if not where the manifests say.
    pub locate: Option<Arc<Locate>>,
    /// Names of environment variables that references may read although they look like credentials.
    pub env_allow: Vec<String>,
    /// References to the environment that have a default stand for it, whatever the environment has.
    pub(crate) env_defaults: bool,
    /// Passes over submodules that are not checked out. Without it they are mistakes.
    pub ignore_absent_submodules: bool,
}

impl LoadOptions {
    /// Loads with the manifests' own variables, from within the repository.
    pub(crate) fn new(paths: Vec<PathBuf>, environment: Arc<Environment>) -> Self {
        Self {
            paths,
            environment,
            var_files: Vec::new(),
            vars: Vec::new(),
            allow_outside: false,
            copy: None,
            ignore_unknown_vars: false,
            locate: None,
            env_allow: Vec::new(),
            env_defaults: false,
            ignore_absent_submodules: false,
        }
    }

    pub(crate) fn access(&self) -> Access<'_> {
        Access {
            allow_outside: self.allow_outside,
            copy: self.copy.as_ref(),
            ignore_absent_submodules: self.ignore_absent_submodules,
        }
    }
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
pub(crate) fn load(options: &LoadOptions) -> Result<Loaded, Vec<Diagnostic>> {
    let mut found = Vec::new();
    let files = source::read(&options.paths, &options.var_files, options.access(), &mut found);
    let var_files = source::read_each(&options.var_files, options.access(), &mut found);
    resolve_files(&files, &Outside::of(options, &var_files), found)
}

/// Reads a fleet from texts, each under the name that messages give it: [`load`] without the files. Those whose names end as tables'
/// do (.csv, .json, .jsonl) are what inventories read.
///
/// # Errors
///
/// As for [`load`].
pub fn load_texts(texts: &[(&str, &str)], environment: &Environment) -> Result<Loaded, Vec<Diagnostic>> {
    resolve_texts(texts, &Outside::new(Tables::Texts(texts), environment))
}

/// Reads the texts of [`load_texts`] without taking any in pieces, to hold the one against the other.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn load_whole_texts(texts: &[(&str, &str)], environment: &Environment) -> Result<Loaded, Vec<Diagnostic>> {
    resolve_texts(texts, &Outside { in_pieces: false, ..Outside::new(Tables::Texts(texts), environment) })
}

fn resolve_texts(texts: &[(&str, &str)], outside: &Outside<'_>) -> Result<Loaded, Vec<Diagnostic>> {
    let manifests = texts.iter().filter(|(name, _)| Format::of(name).is_none());
    let files: Vec<File> = manifests.map(|(name, text)| File::new(name, *text)).collect();
    resolve_files(&files, outside, Vec::new())
}

/// What the digest of a fleet comes from. Each is the digest of the declarations that result, so that no sensitive value is in it;
/// `None` if nothing can be declared without what is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceDigests {
    /// The files alone: without what goes over their variables, and with the default of every reference to the environment, or else the
    /// same text.
    pub files: Option<Digest>,
    /// The files with what goes over their variables, and as much of the environment.
    pub variables: Option<Digest>,
}

/// Takes apart where the digest of a fleet comes from. Nothing is known where it comes from a stream, which has been read.
pub(crate) fn source_digests(options: &LoadOptions) -> SourceDigests {
    if options.paths.iter().chain(&options.var_files).any(|path| is_stream(path)) {
        return SourceDigests::default();
    }
    // A number is a text, too; what must be a boolean is neither.
    let digest = |options: &LoadOptions| {
        let of = |text: &'static str| {
            let environment = Arc::new(move |_: &str| Some(text.to_owned()));
            let options = LoadOptions { environment, env_defaults: true, ..options.clone() };
            load(&options).ok().map(|loaded| loaded.declarations.digest)
        };
        of("1").or_else(|| of("true"))
    };
    let variables = digest(options);
    let files = match options.vars.is_empty() && options.var_files.is_empty() {
        true => variables.clone(),
        false => digest(&LoadOptions { var_files: Vec::new(), vars: Vec::new(), ..options.clone() }),
    };
    SourceDigests { files, variables }
}

/// Returns the names of the environment variables that the manifests read, sorted.
pub(crate) fn environment_names(options: &LoadOptions) -> BTreeSet<String> {
    let names: Arc<Mutex<BTreeSet<String>>> = Arc::default();
    let (asked, environment) = (Arc::clone(&names), Arc::clone(&options.environment));
    let environment = Arc::new(move |name: &str| {
        asked.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned());
        environment(name)
    });
    // Whether it can be declared does not matter.
    _ = load(&LoadOptions { environment, ..options.clone() });
    names.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Reads from files what is sensitive, as far as that can be told, whatever else may be wrong with them.
pub(crate) fn sensitive(options: &LoadOptions) -> Sensitive {
    let mut found = Vec::new();
    let files = source::read(&options.paths, &options.var_files, options.access(), &mut found);
    let var_files = source::read_each(&options.var_files, options.access(), &mut found);
    let FileParts { manifests, .. } = read_parts(&files, &Outside::of(options, &var_files), &mut found);
    let paths = manifests.into_iter().flat_map(|read| read.manifest.policy.sensitive);
    Sensitive::new(paths.map(|path| path.value).collect())
}

/// What a fleet takes from elsewhere than its manifests.
pub(crate) struct Outside<'a> {
    pub(crate) tables: Tables<'a>,
    pub(crate) environment: EnvAccess<'a>,
    pub(crate) var_files: &'a [File],
    pub(crate) vars: &'a [(String, String)],
    pub(crate) ignore_unknown_vars: bool,
    /// Whether files are read in pieces where they can be: it must make no difference.
    pub(crate) in_pieces: bool,
}

impl<'a> Outside<'a> {
    pub(crate) fn new(tables: Tables<'a>, environment: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self {
            tables,
            environment: EnvAccess::new(environment, &[]),
            var_files: &[],
            vars: &[],
            ignore_unknown_vars: false,
            in_pieces: true,
        }
    }

    /// What the options say, with their files of variables read.
    pub(crate) fn of(options: &'a LoadOptions, var_files: &'a [File]) -> Self {
        let LoadOptions {
            paths: _,
            environment,
            var_files: _,
            vars,
            allow_outside: _,
            copy: _,
            ignore_unknown_vars,
            locate,
            env_allow,
            env_defaults,
            ignore_absent_submodules: _,
        } = options;
        let tables = Tables::Disk(locate.as_deref());
        Self {
            var_files,
            vars,
            environment: EnvAccess::new(&**environment, env_allow).with_defaults_first(*env_defaults),
            ignore_unknown_vars: *ignore_unknown_vars,
            ..Self::new(tables, &**environment)
        }
    }
}

pub(crate) fn resolve_files(
    files: &[File],
    outside: &Outside<'_>,
    found: Vec<Diagnostic>,
) -> Result<Loaded, Vec<Diagnostic>> {
    resolve_keeping(Keep::ForSelectors, files, outside, found)
}

pub(crate) fn resolve_keeping(
    keep: Keep<'_>,
    files: &[File],
    outside: &Outside<'_>,
    mut found: Vec<Diagnostic>,
) -> Result<Loaded, Vec<Diagnostic>> {
    let FileParts { manifests, vars, complete, more_warnings } = read_parts(files, outside, &mut found);
    let sources = Sources { environment: outside.environment, vars: &vars, tables: outside.tables };
    let declarations = resolve::resolve(manifests, &sources, keep, complete, &mut found);
    sort(files, &mut found);
    for diagnostic in &mut found {
        files.iter().chain(outside.var_files).for_each(|file| file.unquote(diagnostic));
    }
    match declarations {
        Some(declarations) if !found.iter().any(Diagnostic::is_error) => {
            limit_warnings(&mut found, more_warnings);
            Ok(Loaded { declarations, warnings: found })
        }
        _ => {
            limit(&mut found, more_warnings);
            Err(found)
        }
    }
}

/// What the files say, each by itself.
struct FileParts<'f> {
    manifests: Vec<ReadFile<'f>>,
    vars: BTreeMap<String, Node>,
    /// Whether all of them could be read.
    complete: bool,
    /// Warnings that are not told, beside those that were found.
    more_warnings: usize,
}

/// Reads what each file says by itself.
fn read_parts<'f>(files: &'f [File], outside: &Outside<'f>, found: &mut Vec<Diagnostic>) -> FileParts<'f> {
    let &Outside { tables: _, environment, var_files, vars, ignore_unknown_vars, in_pieces } = outside;
    // What could not be read at all is missing from the fleet.
    let mut complete = found.is_empty();
    let mut more_warnings = 0;
    let (mut documents, mut taken) = (Vec::with_capacity(files.len()), Vec::with_capacity(files.len()));
    for file in files {
        let before = found.len();
        let document = fast::read(file, in_pieces, found);
        if document.is_none() && found.len() > before {
            foreign::hush(file, found, before);
            foreign::explain_unparsed(file, found);
        }
        let document = document.filter(|document| !matches!(document.root.kind, Kind::Null) || found.len() > before);
        match document {
            Some(document) if let Some(foreign) = foreign::refuse(file, &document.root) => {
                found.truncate(before);
                found.push(foreign);
                complete = false;
            }
            Some(mut document) => {
                // What is wrong after a syntax error is not told, nor is what is wrong before it.
                found.append(&mut document.found);
                more_warnings += document.more_warnings;
                documents.push((file, document.root));
                taken.push(document.taken);
            }
            None if found.len() == before => found.push(empty(file)),
            None => complete = false,
        }
    }
    let bytes = files.iter().map(|file| file.source.text().len()).sum();
    let mut overrides = Overrides { files: Vec::new(), given: vars, ignore_unknown: ignore_unknown_vars };
    for file in var_files {
        let before = found.len();
        let node = yaml::parse(file, found);
        foreign::hush(file, found, before);
        overrides.files.extend(node.map(|node| (file, node)));
    }
    let vars = vars::collect(&mut documents, overrides, environment, found);
    let mut interpolation = Interpolation::new(environment, Some(&vars), bytes);
    let mut manifests = Vec::with_capacity(documents.len());
    for ((file, mut document), mut taken) in documents.into_iter().zip(taken) {
        let inventory = inventory::take(&mut document);
        interpolation.document(file, &mut document, &mut taken, found);
        let manifest = schema::read(file, document, taken, found);
        let inventory = inventory.map(|(key, node)| inventory::read(file, &key, node, &mut interpolation, found));
        manifests.push(ReadFile { file, manifest, inventory: inventory.unwrap_or_default() });
    }
    FileParts { manifests, vars, complete, more_warnings }
}

/// An empty file is a mistake where it was named, and only odd where a folder has it.
fn empty(file: &File) -> Diagnostic {
    let message = format!("`{}` is empty", file.name);
    let diagnostic = if file.leave_out.is_none() { Diagnostic::error(message) } else { Diagnostic::warning(message) };
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

fn limit_warnings(found: &mut Vec<Diagnostic>, more: usize) {
    let warnings = more + found.iter().filter(|diagnostic| !diagnostic.is_error()).count();
    let mut kept = 0;
    found.retain(|diagnostic| {
        kept += usize::from(!diagnostic.is_error());
        diagnostic.is_error() || kept <= WARNINGS_MAX
    });
    if let Some(more @ 1..) = warnings.checked_sub(WARNINGS_MAX) {
        found.push(Diagnostic::warning(format!("{more} more warnings are not shown")));
    }
}

fn limit(found: &mut Vec<Diagnostic>, more_warnings: usize) {
    limit_warnings(found, more_warnings);
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
