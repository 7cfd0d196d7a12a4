//! `twinctl plan`

use std::io::Write;
use std::path::{Path, PathBuf};

use super::args::{HubArgs, PlanArgs, PlanFormat, PlanningArgs};
use super::connect::{connect, read_concurrency};
use super::context::Context;
use super::outcome::{CliError, CliResult, Outcome};
use super::{file, manifest};
use crate::client::HubClient;
use crate::manifest::Declarations;
use crate::plan::{Plan, PlanContext, Planner, check_hub, guard};
use crate::render::view::PlanView;
use crate::render::{annotations, html, json, markdown, text};
use crate::survey::survey;

/// Plans, shows the plan, and saves it when asked to.
pub(super) async fn plan(context: &mut Context, args: &PlanArgs) -> CliResult {
    let declarations = manifest::load(context, &args.manifest.paths)?;
    let connection = connect(context, &args.hub).await?;
    let made = make(context, &declarations, &connection.client, &args.planning, &args.hub, &args.manifest.paths);
    let plan = made.await?;
    connection.close().await;
    match args.format {
        PlanFormat::Text => show(context, &plan, args.full)?,
        PlanFormat::Json => context.out.write_all(json::plan(&plan).as_bytes())?,
        PlanFormat::Markdown => context.out.write_all(markdown::plan(&plan, args.max_length).as_bytes())?,
        PlanFormat::Html => context.out.write_all(html::plan(&plan).as_bytes())?,
    }
    context.out.flush()?;
    save(context, args.out.as_deref(), || crate::plan::file::write(&plan, env!("CARGO_PKG_VERSION")))?;
    save(context, args.markdown.as_deref(), || markdown::plan(&plan, args.max_length))?;
    save(context, args.html.as_deref(), || html::plan(&plan))?;
    context.annotations.extend(annotations::of_plan(&PlanView::of(&plan)));
    guard::check(&plan)?;
    if plan.is_empty() {
        return Ok(Outcome::Done);
    }
    let hint = context.err.palette.hint("next:");
    match &args.out {
        Some(path) => context.say(format_args!("{hint} twinctl apply {} applies just this", path.display())),
        None => {
            context.say(format_args!("{hint} twinctl apply, with the same arguments; --out FILE saves just this plan"))
        }
    }
    Ok(if args.detailed_exitcode { Outcome::Changes } else { Outcome::Done })
}

/// Writes the plan to a file, when there is to be one.
fn save(context: &Context, path: Option<&Path>, text: impl FnOnce() -> String) -> CliResult<()> {
    let Some(path) = path else { return Ok(()) };
    file::write(&context.resolve(path), text().as_bytes())
        .map_err(|error| CliError::doing(format!("writing the plan to {}", path.display()), error))
}

/// Reads the live twins and plans. Writes nothing to the hub.
pub(super) async fn make(
    context: &mut Context,
    declarations: &Declarations,
    client: &HubClient,
    planning: &PlanningArgs,
    hub: &HubArgs,
    paths: &[PathBuf],
) -> CliResult<Plan> {
    check_hub(declarations, client.host())?;
    let plan_context = PlanContext {
        hub: client.host().clone(),
        revision: manifest::revision(context, planning.revision.as_deref(), paths),
        take_ownership: planning.take_ownership,
    };
    let mut planner = Planner::new(declarations, plan_context);
    let mut progress = context.progress("twins read", Some(declarations.twins.len()));
    let read = survey(client, &mut planner, declarations, read_concurrency(hub), &mut |read| progress.done(read)).await;
    drop(progress);
    Ok(planner.finish(read?))
}

/// Writes a plan for people.
pub(super) fn show(context: &mut Context, plan: &Plan, full: bool) -> CliResult<()> {
    let options = text::Options { palette: context.out.palette, width: context.out.width, full };
    context.out.write_all(text::plan(plan, options).as_bytes())?;
    Ok(())
}
