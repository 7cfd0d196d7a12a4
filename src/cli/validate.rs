//! `twinctl validate`, `twinctl render`

use std::io::Write;

use super::args::{RenderArgs, RenderFormat, ValidateArgs};
use super::context::Context;
use super::manifest;
use super::outcome::{CliResult, Outcome};
use crate::render::declarations;
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

/// Prints what the manifests come to.
pub(super) fn render(context: &mut Context, args: &RenderArgs) -> CliResult {
    let declarations = manifest::load(context, &args.manifest.paths)?;
    let text = match args.format {
        RenderFormat::Yaml => declarations::yaml(&declarations),
        RenderFormat::Json => declarations::json(&declarations),
    };
    context.out.write_all(text.as_bytes())?;
    context.out.flush()?;
    Ok(Outcome::Done)
}
