//! `twinctl plan`

use std::io::Write;
use std::path::Path;

use super::args::{HubArgs, PlanArgs, PlanFormat, PlanningArgs};
use super::connect::{connect, read_concurrency};
use super::context::Context;
use super::outcome::{CliError, CliResult, Outcome};
use super::{file, manifest, narrow};
use crate::check::Severity;
use crate::client::HubClient;
use crate::hub::{Class, Limits, Tier};
use crate::manifest::{Declarations, LoadOptions};
use crate::plan::outlook::cost::Throttles;
use crate::plan::{Forecast, Plan, PlanContext, Prediction, check_hub, guard};
use crate::planning::{self, Options, PlanningError};
use crate::render::view::PlanView;
use crate::render::{annotations, html, json, markdown, text};
use crate::twin::TwinId;

/// Plans, shows the plan, and saves it when asked to.
pub(super) async fn plan(context: &mut Context, args: &PlanArgs) -> CliResult {
    let declarations = manifest::load(context, &args.manifest.paths, &args.manifest.vars)?;
    let connection = connect(context, &args.hub).await?;
    let files = manifest::options(context, &args.manifest.paths, &args.manifest.vars);
    let made = make(context, &declarations, &connection.client, &args.planning, &args.hub, &files);
    let plan = made.await?;
    connection.close().await;
    warn_of_rollout(context, &plan);
    present(context, &plan, args.format, args.full, args.max_length)?;
    save(context, args.out.as_deref(), || crate::plan::file::write(&plan, env!("CARGO_PKG_VERSION")))?;
    save(context, args.markdown.as_deref(), || markdown::plan(&plan, args.max_length))?;
    save(context, args.html.as_deref(), || html::plan(&plan))?;
    context.annotations.extend(annotations::of_plan(&PlanView::of(&plan)));
    guard::check_approved(&plan, args.approve.as_ref())?;
    require_checks(&plan, &args.planning)?;
    if plan.is_empty() {
        return Ok(Outcome::Done);
    }
    let hint = context.err.palette.hint("next:");
    match &args.out {
        Some(path) if !plan.policy.sensitive.is_empty() => {
            let manifests = args.manifest.paths.iter().map(|path| format!(" --manifest {}", path.display()));
            let manifests = manifests.collect::<String>();
            context.say(format_args!(
                "{hint} twinctl apply {}{manifests} applies just this; sensitive values are not in the file",
                path.display()
            ));
        }
        Some(path) => context.say(format_args!("{hint} twinctl apply {} applies just this", path.display())),
        None => {
            context.say(format_args!("{hint} twinctl apply, with the same arguments; --out FILE saves just this plan"))
        }
    }
    Ok(if args.detailed_exitcode { Outcome::Changes } else { Outcome::Done })
}

/// Says that all twins are written at once, where the manifest asks for something else: whoever trusts in waves must know it.
pub(super) fn warn_of_rollout(context: &mut Context, plan: &Plan) {
    let settings = plan.policy.settings();
    let rollout = settings.iter().filter(|(name, value)| name.starts_with("rollout.") && !value.is_null());
    let mut asked: Vec<String> = rollout.map(|(name, _)| format!("`{name}`")).collect();
    if plan.checks.iter().any(|check| check.gate) {
        asked.push("`gate` of checks".to_owned());
    }
    if asked.is_empty() || plan.is_empty() {
        return;
    }
    let warning = context.err.palette.warning("warning:");
    context.say(format_args!(
        "{warning} not carried out yet: {}; `apply` writes all twins at once and runs the checks at the end",
        asked.join(", ")
    ));
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
    let options = Options {
        concurrency: read_concurrency(hub),
        throttles: throttles(planning)?,
        only,
        confirm_drift: planning.confirm_drift,
    };
    let included = |id: &&TwinId| options.only.as_ref().is_none_or(|part| part.includes(id));
    let total = declarations.twins.keys().filter(included).count();
    let mut progress = context.progress("twins read", Some(total));
    let made = planning::make(client, declarations, plan_context, &options, &mut |read| progress.done(read)).await;
    drop(progress);
    made.map_err(|error| match error {
        PlanningError::Hub(error) => error.into(),
        PlanningError::Selection(diagnostics) => diagnostics.into(),
    })
}

/// Returns what the hub allows, as far as anybody says.
fn throttles(planning: &PlanningArgs) -> CliResult<Throttles> {
    let (tier, units) = (planning.tier.unwrap_or(Tier::S1), planning.units.unwrap_or(1));
    let limits = Limits::new(tier, units).map_err(CliError::from_error)?;
    let plural = if units == 1 { "" } else { "s" };
    Ok(Throttles {
        name: format!("{tier}, {units} unit{plural}"),
        is_free: tier == Tier::F1,
        queries: limits.rate(Class::Queries),
        twin_reads: limits.rate(Class::TwinReads),
        twin_updates: limits.rate(Class::TwinUpdates),
        registry: limits.rate(Class::IdentityRegistry),
        configurations: limits.rate(Class::Configurations),
        jobs: limits.rate(Class::Jobs),
        job_devices: limits.job_devices_per_second(),
    })
}

/// Refuses a plan after which a check is known to fail, where that was asked for.
pub(super) fn require_checks(plan: &Plan, planning: &PlanningArgs) -> CliResult<()> {
    let fails = |prediction: &&Prediction| {
        prediction.severity == Severity::Error && matches!(prediction.forecast, Forecast::WillFail(_))
    };
    let failing: Vec<_> = plan.outlook.predictions.iter().filter(fails).map(|it| format!("`{}`", it.name)).collect();
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
    let options = text::Options { palette: context.out.palette, width: context.out.width, full };
    context.out.write_all(text::plan(plan, options).as_bytes())?;
    Ok(())
}
