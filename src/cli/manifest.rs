//! Manifests from paths, and what is odd about them told.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::args::VarArgs;
use super::command_line::CommandLine;
use super::context::Context;
use super::outcome::{CliError, CliResult};
use super::secrets::CommandSecrets;
use crate::manifest::{Declarations, LoadOptions, is_stream, load as load_files};
use crate::render::{annotations, diagnostic};
use iothub_model::diagnostic::Diagnostic;

/// Loads a fleet. Warnings go to the user at once.
pub(super) fn load(context: &mut Context, paths: &[PathBuf], vars: &VarArgs) -> CliResult<Declarations> {
    load_warned(context, paths, vars).map(|(declarations, _)| declarations)
}

/// Loads a fleet, and counts the warnings that went to the user.
pub(super) fn load_warned(
    context: &mut Context,
    paths: &[PathBuf],
    vars: &VarArgs,
) -> CliResult<(Declarations, usize)> {
    load_by(context, &options(context, paths, vars))
}

/// Loads what these options say, and counts the warnings that went to the user.
pub(super) fn load_by(context: &mut Context, options: &LoadOptions) -> CliResult<(Declarations, usize)> {
    let loaded = load_files(options).map_err(|found| match plan_among(context, &options.paths) {
        Some(plan) => refused_plan(plan),
        None => CliError::from(found),
    })?;
    tell(context, &loaded.warnings);
    context.annotations.extend(annotations::of_diagnostics(&loaded.warnings));
    Ok((loaded.declarations, loaded.warnings.len()))
}

/// Returns the first of these files that is a plan.
fn plan_among<'p>(context: &Context, paths: &'p [PathBuf]) -> Option<&'p Path> {
    let is_plan = |path: &Path| {
        let mut start = String::new();
        let file = File::open(context.resolve(path)).ok().filter(|_| path.extension().is_some_and(|it| it == "json"));
        file.is_some_and(|file| file.take(PLAN_START).read_to_string(&mut start).is_ok())
            && start.contains(&format!("\"{}\"", crate::plan::file::FORMAT))
    };
    paths.iter().map(PathBuf::as_path).find(|path| is_plan(path))
}

/// In so many bytes a plan file has named its format.
const PLAN_START: u64 = 200;

fn refused_plan(plan: &Path) -> CliError {
    let [show, apply] = ["show", "apply"].map(|name| CommandLine::new(name).path(plan));
    CliError::new(format!("{} is a plan file and no manifest", plan.display())).hint(format!(
        "{} shows it, and {} applies it",
        show.in_hint(""),
        apply.in_hint("")
    ))
}

/// Draws what is odd or wrong about manifests.
pub(super) fn tell<'d>(context: &mut Context, found: impl IntoIterator<Item = &'d Diagnostic>) {
    for diagnostic in found {
        context.learn_sources([diagnostic]);
        let text = diagnostic::diagnostic(diagnostic, context.err.palette, context.err.width);
        context.say(format_args!("{text}\n"));
    }
}

/// What to load: these paths, with the context's environment and what goes over the variables.
pub(super) fn options(context: &Context, paths: &[PathBuf], vars: &VarArgs) -> LoadOptions {
    let mut options = LoadOptions::new(paths.to_vec(), context.environment.clone());
    options.vars.clone_from(&vars.vars);
    options.var_files.clone_from(&vars.var_files);
    options.allow_outside = vars.allow_outside;
    options.env_allow.clone_from(&vars.env_allow);
    options
}

/// Loads the manifests for their sensitive values, if variables are given at all. If they cannot be loaded, every value may be a secret.
pub(super) fn secrets(context: &Context, paths: &[PathBuf], vars: &VarArgs) -> CommandSecrets {
    if vars.vars.is_empty() {
        return CommandSecrets::none();
    }
    if paths.iter().chain(&vars.var_files).any(|path| is_stream(path)) {
        // It has been read.
        return CommandSecrets::default();
    }
    let loaded = load_files(&options(context, paths, vars));
    loaded.map(|loaded| CommandSecrets::of(&loaded.declarations, vars)).unwrap_or_default()
}

/// How many digits of a commit name it.
const REVISION: usize = 12;

/// Returns the Git revision for the records: as given, from the CI's variable, from git, or empty.
pub(super) fn revision(context: &Context, given: Option<&str>, paths: &[PathBuf]) -> String {
    if let Some(given) = given {
        return given.to_owned();
    }
    let from_ci = ["GITHUB_SHA", "BUILD_SOURCEVERSION", "CI_COMMIT_SHA"].iter().find_map(|name| context.variable(name));
    let revision = from_ci.or_else(|| from_git(context, paths.first()?)).unwrap_or_default();
    // Whatever the variable holds, what goes into the twins is a commit's name or nothing.
    let well_formed = !revision.is_empty() && revision.bytes().all(|byte| byte.is_ascii_hexdigit());
    if well_formed { revision[..revision.len().min(REVISION)].to_lowercase() } else { String::new() }
}

fn from_git(context: &Context, path: &Path) -> Option<String> {
    let path = context.resolve(path);
    let folder = if path.is_dir() { path.as_path() } else { path.parent()? };
    let git = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(["rev-parse", &format!("--short={REVISION}"), "HEAD"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    git.status.success().then(|| String::from_utf8_lossy(&git.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::context::tests::context;

    #[test]
    fn revisions() {
        const SHA: &str = "3F2A91C04D1188f1d3a0c0ffee00000000000000";
        let nowhere = [PathBuf::from("/")];
        for (given, variables, revision) in [
            (Some("v1.2"), &[("GITHUB_SHA", SHA)][..], "v1.2"),
            (None, &[("GITHUB_SHA", SHA)], "3f2a91c04d11"),
            (None, &[("GITHUB_SHA", ""), ("CI_COMMIT_SHA", "abc")], "abc"),
            (None, &[("BUILD_SOURCEVERSION", "not a commit")], ""),
            (None, &[], ""),
        ] {
            let (context, _, _) = context(variables);
            assert_eq!(super::revision(&context, given, &nowhere), revision, "{given:?} {variables:?}");
        }
    }
}
