//! `twinctl plan`

use std::io::Write;
use std::path::{Path, PathBuf};

use super::args::{HubArgs, PlanArgs, PlanFormat, PlanningArgs};
use super::command_line::{self, CommandLine};
use super::connect::{connect, read_concurrency};
use super::context::Context;
use super::outcome::{CliError, CliResult, Outcome};
use super::refused_plan::Ways;
use super::secrets::CommandSecrets;
use super::{file, manifest, narrow};
use crate::check::Severity;
use crate::client::HubClient;
use crate::manifest::{Declarations, LoadOptions, source_digests};
use crate::plan::{Forecast, Plan, PlanContext, Prediction, check_hub, guard};
use crate::refresh::{self, RefreshError, RefreshOptions};
use crate::render::view::PlanView;
use crate::render::{annotations, html, json, markdown, text};
use iothub_model::tiers::Limits;
use iothub_model::twin::TwinId;

/// Plans, shows the plan, and saves it when asked to.
pub(super) async fn plan(context: &mut Context, args: &PlanArgs) -> CliResult {
    let declarations = manifest::load(context, &args.manifest.paths, &args.manifest.vars)?;
    let connection = connect(context, &args.hub).await?;
    let files = manifest::options(context, &args.manifest.paths, &args.manifest.vars);
    let made = make(context, &declarations, &connection.client, &args.planning, &args.hub, &files);
    let mut plan = made.await?;
    connection.close().await;
    guard::keep_approval(&mut plan, args.approve.as_ref());
    if args.out.is_some() {
        plan.sources = source_digests(&files);
    }
    present(context, &plan, args.format, args.full, args.pages.max_length)?;
    save(context, args.out.as_deref(), || crate::plan::file::write(&plan, env!("CARGO_PKG_VERSION")))?;
    let shown = |text: String| context.out.redact(&text).into_owned();
    save(context, args.pages.markdown.as_deref(), || shown(markdown::plan(&plan, args.pages.max_length)))?;
    save(context, args.pages.html.as_deref(), || shown(html::plan(&plan)))?;
    context.annotations.extend(annotations::of_plan(&PlanView::of(&plan), &declarations));
    let secrets = CommandSecrets::of(&declarations, &args.manifest.vars);
    guard::check_approved(&plan, args.approve.as_ref()).map_err(|refusal| {
        let again = again(args, &secrets);
        CliError::refused_plan(&refusal, &Ways { plan: Some(again.clone()), again: Some(again) })
    })?;
    require_checks(&plan, &args.planning)?;
    if plan.is_empty() {
        return Ok(Outcome::Done);
    }
    if let Some(path) = args.out.as_deref().filter(|_| !plan.policy.sensitive.is_empty()) {
        context.say(format_args!("{} holds no sensitive values: apply reads them from the manifests", path.display()));
    }
    let next = next_apply(args, &plan, &secrets).flag_if(!context.input_is_terminal, "--yes");
    command_line::next(context, &next);
    Ok(if args.detailed_exitcode { Outcome::Changes } else { Outcome::Done })
}

/// Returns this command, without what it approves.
fn again(args: &PlanArgs, secrets: &CommandSecrets) -> CommandLine {
    CommandLine::new("plan")
        .manifests(&args.manifest, secrets)
        .path_option_if("--out", args.out.as_ref())
        .path_option_if("--markdown", args.pages.markdown.as_ref())
        .path_option_if("--html", args.pages.html.as_ref())
        .planning(&args.planning)
        .hub(&args.hub)
}

/// Returns the command that applies the plan: the one in the file, where there is one that can be read again.
fn next_apply(args: &PlanArgs, plan: &Plan, secrets: &CommandSecrets) -> CommandLine {
    let apply = CommandLine::new("apply");
    match args.out.as_deref().filter(|path| !path.starts_with("/dev")) {
        Some(path) => {
            let apply = apply.path(path);
            let apply = match plan.policy.sensitive.is_empty() {
                true => apply,
                false => {
                    let named = |line: CommandLine, path: &PathBuf| line.path_option("--manifest", path);
                    args.manifest.paths.iter().fold(apply, named).vars(&args.manifest.vars, secrets)
                }
            };
            apply.flag_if(args.planning.require_checks, "--require-checks").hub(&args.hub)
        }
        None => {
            let apply = apply.manifests(&args.manifest, secrets).planning(&args.planning).hub(&args.hub);
            apply.option_if("--approve", args.approve.as_ref())
        }
    }
}

/// Writes the plan to a file, when there is to be one.
pub(super) fn save(context: &Context, path: Option<&Path>, text: impl FnOnce() -> String) -> CliResult<()> {
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
    files: &LoadOptions,
) -> CliResult<Plan> {
    check_hub(declarations, client.host())?;
    let plan_context = PlanContext {
        hub: client.host().clone(),
        revision: manifest::revision(context, planning.revision.as_deref(), &files.paths),
        take_ownership: planning.take_ownership,
    };
    let only = narrow::narrow(context, declarations, &planning.only, files)?;
    let options = RefreshOptions {
        concurrency: read_concurrency(hub),
        limits: limits(planning)?,
        only,
        confirm_drift: planning.confirm_drift,
    };
    let included = |id: &&TwinId| options.only.as_ref().is_none_or(|part| part.includes(id));
    let total = declarations.twins.keys().filter(included).count();
    let mut progress = context.progress("twins read", Some(total));
    let made = refresh::plan(client, declarations, plan_context, &options, &mut |read| progress.done(read)).await;
    drop(progress);
    let mut plan = made.map_err(|error| match error {
        RefreshError::Hub(error) => CliError::from(error),
        RefreshError::Undeclared(id) => narrow::undeclared(declarations, &id.to_string(), &id.to_string()),
        RefreshError::Selection(diagnostics) => diagnostics.into(),
    })?;
    plan.ignores_rollout = planning.ignore_rollout;
    Ok(plan)
}

/// Returns the limits of the hub, as far as arguments name them.
fn limits(planning: &PlanningArgs) -> CliResult<Limits> {
    let (tier, units) = (planning.tier.unwrap_or(Limits::S1.tier()), planning.units.unwrap_or(1));
    Limits::new(tier, units).map_err(CliError::from_error)
}

/// Refuses a plan after which a check is known to fail, where that was asked for.
pub(super) fn require_checks(plan: &Plan, planning: &PlanningArgs) -> CliResult<()> {
    let fails = |prediction: &&Prediction| {
        prediction.severity == Severity::Error && matches!(prediction.forecast, Forecast::WillFail(_))
    };
    let failing: Vec<_> = plan.impact.predictions.iter().filter(fails).map(|it| format!("`{}`", it.name)).collect();
    if !planning.require_checks || failing.is_empty() {
        return Ok(());
    }
    let what = if failing.len() == 1 { "a check is" } else { "checks are" };
    Err(CliError::new(format!("{what} going to fail, and --require-checks is given: {}", failing.join(", ")))
        .checks_failed())
}

/// Writes a plan in the format that was asked for.
pub(super) fn present(
    context: &mut Context,
    plan: &Plan,
    format: PlanFormat,
    full: bool,
    max_length: usize,
) -> CliResult<()> {
    match format {
        PlanFormat::Text => show(context, plan, full)?,
        PlanFormat::Json => context.out.write_all(json::plan(plan).as_bytes())?,
        PlanFormat::Markdown => context.out.write_all(markdown::plan(plan, max_length).as_bytes())?,
        PlanFormat::Html => context.out.write_all(html::plan(plan).as_bytes())?,
    }
    context.out.flush()?;
    Ok(())
}

/// Writes a plan for people.
pub(super) fn show(context: &mut Context, plan: &Plan, full: bool) -> CliResult<()> {
    let options = text::TextOptions { palette: context.out.palette, width: context.out.width, full };
    context.out.write_all(text::plan(plan, options).as_bytes())?;
    Ok(())
}
