//! `twinctl validate`, `twinctl schema`

use std::io::Write;

use super::args::ValidateArgs;
use super::context::Context;
use super::manifest;
use super::outcome::{CliError, CliResult, Outcome};
use crate::manifest::json_schema;
use crate::render::json;
use crate::render::number::counted;

/// Finds mistakes.
pub(super) fn validate(context: &mut Context, args: &ValidateArgs) -> CliResult {
    let (declarations, warnings) = manifest::load_warned(context, &args.manifest.paths, &args.manifest.vars)?;
    if args.strict && warnings > 0 {
        let message = format!("{}, and --strict takes warnings for errors", counted(warnings, "warning"));
        return Err(CliError::new(message));
    }
    let (twins, checks) = (declarations.twins.len(), declarations.checks.len());
    let good = context.out.palette.good("Valid:");
    let mut said = vec![counted(twins, "twin"), counted(checks, "check")];
    let optional = [(declarations.groups.len(), "group"), (declarations.selectors.len(), "selector")];
    said.extend(optional.into_iter().filter(|(many, _)| *many > 0).map(|(many, what)| counted(many, what)));
    writeln!(context.out, "{good} fleet {}, {}", declarations.fleet, said.join(", "))?;
    Ok(Outcome::Done)
}

/// Prints the JSON Schema of a manifest.
pub(super) fn schema(context: &mut Context) -> CliResult {
    let text = json::document(&json_schema());
    context.out.write_all(text.as_bytes())?;
    context.out.flush()?;
    Ok(Outcome::Done)
}
