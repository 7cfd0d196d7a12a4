//! `twinctl render`

use std::io::Write;

use super::args::{RenderArgs, RenderFormat};
use super::context::Context;
use super::outcome::{CliError, CliResult, Outcome};
use super::{git, manifest};
use crate::against::compare;
use crate::manifest::Declarations;
use crate::render::{against, declarations, escape};

/// Prints what the manifests come to, or what differs from what they were.
pub(super) fn render(context: &mut Context, args: &RenderArgs) -> CliResult {
    if let Some(reference) = &args.against {
        return differences(context, args, reference);
    }
    let text = match args.format.unwrap_or(RenderFormat::Yaml) {
        RenderFormat::Yaml => declarations::yaml(&manifest::load(context, &args.manifest.paths, &args.manifest.vars)?),
        RenderFormat::Json => declarations::json(&manifest::load(context, &args.manifest.paths, &args.manifest.vars)?),
        RenderFormat::Text | RenderFormat::Markdown => {
            return Err(CliError::new(
                "--format text and --format markdown show differences, and go with --against REF",
            ));
        }
    };
    context.out.write_all(text.as_bytes())?;
    context.out.flush()?;
    Ok(Outcome::Done)
}

fn differences(context: &mut Context, args: &RenderArgs, reference: &str) -> CliResult {
    let format = args.format.unwrap_or(RenderFormat::Text);
    if format == RenderFormat::Yaml {
        return Err(CliError::new("--against has the formats text, json and markdown"));
    }
    let after = manifest::load(context, &args.manifest.paths, &args.manifest.vars)?;
    let then = git::at(&context.folder, &args.manifest.paths, reference)?;
    let before = declarations_at(context, args, &then, reference);
    let differences = compare(before.as_ref().ok().and_then(Option::as_ref), &after);
    let compared = against::Compared {
        after: &after,
        reference,
        commit: &then.commit,
        is_unreadable: before.is_err(),
        differences: &differences,
    };
    let text = match format {
        RenderFormat::Json => against::json(&compared),
        RenderFormat::Markdown => against::markdown(&compared),
        RenderFormat::Text | RenderFormat::Yaml => against::text(&compared, args.full, context.out.palette),
    };
    context.out.write_all(text.as_bytes())?;
    context.out.flush()?;
    let changes = args.detailed_exitcode && !differences.is_empty();
    Ok(if changes { Outcome::Changes } else { Outcome::Done })
}

/// The manifests at a ref have mistakes.
struct Unreadable;

/// Loads what the manifests were; nothing when there were none. What is odd about them is no news; their mistakes are told, and stop
/// nobody who mends them.
fn declarations_at(
    context: &mut Context,
    args: &RenderArgs,
    then: &git::Snapshot,
    reference: &str,
) -> Result<Option<Declarations>, Unreadable> {
    let reference = escape::line(reference);
    if then.paths.is_empty() {
        context.say(format_args!("there were no manifests here at {reference}"));
        return Ok(None);
    }
    let mut options = manifest::options(context, &then.paths, &args.manifest.vars);
    options.root = Some(then.root());
    match crate::manifest::load(&options) {
        Ok(loaded) => Ok(Some(loaded.declarations)),
        Err(found) => {
            manifest::tell(context, found.iter().filter(|problem| problem.is_error()));
            context.say(format_args!(
                "these mistakes are those of {reference}: nothing can be compared with it, and all is shown as new"
            ));
            Err(Unreadable)
        }
    }
}
