//! `twinctl drift`

use std::io::Write;

use super::args::{DriftArgs, PlanningArgs, ReportFormat};
use super::command_line::{CommandLine, Secrets};
use super::connect::connect;
use super::context::Context;
use super::outcome::{CliError, CliResult, Outcome};
use super::{manifest, plan};
use crate::drift::Drift;
use crate::manifest::Ownership;
use crate::render::{drift as words, text};

/// Plans, and shows the drift alone.
pub(super) async fn drift(context: &mut Context, args: &DriftArgs) -> CliResult {
    let declarations = manifest::load(context, &args.manifest.paths, &args.manifest.vars)?;
    if declarations.ownership == Ownership::None {
        let fleet = &declarations.fleet;
        let plan = CommandLine::new("plan")
            .manifests(&args.manifest, &Secrets::of(&declarations, &args.manifest.vars))
            .hub(&args.hub);
        return Err(CliError::new(format!(
            "fleet {fleet} keeps no record of what it applied, so drift cannot be told from edits"
        ))
        .hint(format!("`{plan}` shows what differs; `ownership: record` in the manifest keeps records")));
    }
    let connection = connect(context, &args.hub).await?;
    // Nothing is written, so the revision does not matter.
    let planning = PlanningArgs { revision: Some(String::new()), ..PlanningArgs::default() };
    let files = manifest::options(context, &args.manifest.paths, &args.manifest.vars);
    let made = plan::make(context, &declarations, &connection.client, &planning, &args.hub, &files);
    let drift = Drift::of(&made.await?);
    connection.close().await;
    let options = text::Options { palette: context.out.palette, width: context.out.width, full: args.full };
    let text = match args.format {
        ReportFormat::Text => words::text(&drift, options),
        ReportFormat::Json => words::json(&drift),
    };
    context.out.write_all(text.as_bytes())?;
    context.out.flush()?;
    Ok(if args.detailed_exitcode && !drift.is_empty() { Outcome::Changes } else { Outcome::Done })
}
