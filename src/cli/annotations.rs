//! Remarks for the CI system that a command runs in: collected while it runs, written when it ends.

use std::io::Write;

use super::args::{AnnotationArgs, AnnotationHost, Command};
use super::context::Context;
use super::file;
use super::outcome::{CliError, CliResult};
use crate::render::annotations::{Host, write};
use crate::wire::connection_string::without_keys;

/// The file that GitLab's own examples name.
const GITLAB_FILE: &str = "gl-code-quality-report.json";

/// Writes what was collected, where the command was asked to.
pub(super) fn tell(context: &mut Context, command: &Command) -> CliResult<()> {
    let Some((args, first)) = asked(command) else { return Ok(()) };
    let Some(host) = host(context, args.annotations) else { return Ok(()) };
    let text = write(&std::mem::take(&mut context.annotations), host, &first);
    let text = without_keys(&text);
    let path = match (&args.annotations_file, host) {
        (Some(path), _) => path.clone(),
        (None, Host::GitLab) => GITLAB_FILE.into(),
        (None, Host::GitHub | Host::Azure) => {
            context.err.write_all(text.as_bytes())?;
            return Ok(());
        }
    };
    file::write(&context.resolve(&path), text.as_bytes())
        .map_err(|error| CliError::doing(format!("writing annotations to {}", path.display()), error))
}

/// Returns what a command was asked for, and the first of its manifests.
fn asked(command: &Command) -> Option<(&AnnotationArgs, String)> {
    let (args, manifest) = match command {
        Command::Plan(args) => (&args.annotations, &args.manifest),
        Command::Drift(args) => (&args.annotations, &args.manifest),
        Command::Check(args) => (&args.annotations, &args.manifest),
        Command::Validate(args) => (&args.annotations, &args.manifest),
        _ => return None,
    };
    let first = manifest.paths.first().map(|path| path.display().to_string());
    Some((args, first.unwrap_or_else(|| ".".to_owned())))
}

fn host(context: &Context, asked: AnnotationHost) -> Option<Host> {
    let says = |name: &str| context.variable(name).is_some_and(|value| value.eq_ignore_ascii_case("true"));
    match asked {
        AnnotationHost::None => None,
        AnnotationHost::Github => Some(Host::GitHub),
        AnnotationHost::Azure => Some(Host::Azure),
        AnnotationHost::Gitlab => Some(Host::GitLab),
        AnnotationHost::Auto if says("GITHUB_ACTIONS") => Some(Host::GitHub),
        AnnotationHost::Auto if says("TF_BUILD") => Some(Host::Azure),
        AnnotationHost::Auto if says("GITLAB_CI") => Some(Host::GitLab),
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
            (&[("GITHUB_ACTIONS", "true")][..], Auto, Some(Host::GitHub)),
            (&[("TF_BUILD", "True")], Auto, Some(Host::Azure)),
            (&[("GITLAB_CI", "true")], Auto, Some(Host::GitLab)),
            (&[("GITLAB_CI", "false")], Auto, None),
            (&[("GITHUB_ACTIONS", "true")], Nobody, None),
            (&[("GITHUB_ACTIONS", "true")], Azure, Some(Host::Azure)),
        ] {
            let (context, _, _) = context(variables);
            assert_eq!(host(&context, asked), found, "{variables:?} {asked:?}");
        }
    }
}
