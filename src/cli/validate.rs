//! `twinctl validate`

use std::io::Write;

use super::args::ValidateArgs;
use super::context::Context;
use super::manifest;
use super::outcome::{CliResult, Outcome};
use crate::render::number::counted;

/// Finds mistakes.
pub(super) fn validate(context: &mut Context, args: &ValidateArgs) -> CliResult {
    let declarations = manifest::load(context, &args.manifest.paths)?;
    let (twins, checks) = (declarations.twins.len(), declarations.checks.len());
    let good = context.out.palette.good("Valid:");
    writeln!(
        context.out,
        "{good} fleet {}, {}, {}",
        declarations.fleet,
        counted(twins, "twin"),
        counted(checks, "check")
    )?;
    Ok(Outcome::Done)
}
