//! `twinctl render`

use std::io::Write;

use super::args::{RenderArgs, RenderFormat};
use super::context::Context;
use super::outcome::{CliError, CliResult, Outcome};
use super::{git, manifest};
use crate::diff::compare;
use crate::manifest::{Declarations, LoadOptions};
use crate::render::{declarations, diff, escape};
use iothub_model::diagnostic::Diagnostic;

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
    // What is not checked out is left out on both sides, and is named below.
    let mut now = manifest::options(context, &args.manifest.paths, &args.manifest.vars);
    now.ignore_absent_submodules = true;
    let after = manifest::load_by(context, &now)?.0;
    let older = git::Older::of(context, &now, reference)?;
    let before = declarations_at(context, &now, &older, reference);
    let notes = older.notes(context)?;
    let differences = compare(before.as_ref().ok().and_then(Option::as_ref), &after);
    let compared = diff::Compared {
        after: &after,
        reference,
        commit: &older.base.short,
        tip: older.base.tip.as_deref(),
        is_unreadable: before.is_err(),
        notes: &notes,
        differences: &differences,
    };
    if let Err(Unreadable(found)) = &before {
        manifest::tell(context, found.iter().filter(|problem| problem.is_error()));
        context.say(format_args!(
            "these mistakes are those of {}: nothing can be compared with it, and all is shown as new",
            escape::line(reference)
        ));
    }
    let text = match format {
        RenderFormat::Json => diff::json(&compared),
        RenderFormat::Markdown => diff::markdown(&compared),
        RenderFormat::Text | RenderFormat::Yaml => diff::text(&compared, args.full, context.out.palette),
    };
    context.out.write_all(text.as_bytes())?;
    context.out.flush()?;
    let changes = args.detailed_exitcode && !differences.is_empty();
    Ok(if changes { Outcome::Changes } else { Outcome::Done })
}

/// The manifests at a ref have mistakes.
struct Unreadable(Vec<Diagnostic>);

/// Loads the older side; `None` if there were no manifests then. Its warnings are no news, and its mistakes stop nobody who mends them.
fn declarations_at(
    context: &mut Context,
    now: &LoadOptions,
    older: &git::Older,
    reference: &str,
) -> Result<Option<Declarations>, Unreadable> {
    let Some(options) = older.options(now) else {
        context.say(format_args!("there were no manifests here at {}", escape::line(reference)));
        return Ok(None);
    };
    crate::manifest::load(&options).map(|loaded| Some(loaded.declarations)).map_err(Unreadable)
}
