//! `twinctl apply`

use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::args::{ApplyArgs, ApplyFormat};
use super::command_line::{self, CommandLine};
use super::connect::{Connection, connect, write_concurrency};
use super::context::Context;
use super::interrupt::Interrupts;
use super::outcome::{CliError, CliResult, Outcome};
use super::refused_plan::Ways;
use super::{check, manifest, plan};
use crate::apply::{ApplyEvent, ApplyOptions, ApplyReport, TwinOutcome};
use crate::cancel::CancelFlag;
use crate::check::CheckResult;
use crate::client::{Backoff, HubClient};
use crate::digest::Digest;
use crate::manifest::{Declarations, SourceDigests, environment_names, source_digests};
use crate::plan::{ApprovedPlan, Consent, Plan, PlanRefusal, approve, guard};
use crate::render::{applied, escape, report, text, view};

/// Plans or reads a plan, shows it, asks, applies it, and runs the checks.
pub(super) async fn apply(context: &mut Context, args: &ApplyArgs) -> CliResult {
    if !args.yes && !context.input_is_terminal {
        let ways = ways(context, args);
        let hint = match (plan_file(context, args)?, ways) {
            (None, Ways { plan: Some(plan), .. }) => {
                let plan = plan.in_hint("--out plan.json");
                format!("--yes applies without asking, once the plan has been reviewed: {plan}")
            }
            (_, Ways { again: Some(again), .. }) => format!("--yes applies without asking: {}", again.in_hint("")),
            (_, Ways { again: None, .. }) => "--yes applies without asking".to_owned(),
        };
        return Err(CliError::new(
            "there is nobody to ask whether to apply, since the input is no terminal; nothing was done",
        )
        .hint(hint));
    }
    let (plan, connection) = match plan_file(context, args)? {
        Some(path) => from_file(context, args, &path).await?,
        None => from_manifests(context, args).await?,
    };
    show(context, &plan, args)?;
    if let Some(reviewed) = &args.expect {
        guard::check_reviewed(&plan, reviewed)
            .map_err(|refusal| CliError::refused_plan(&refusal, &ways(context, args)))?;
    }
    guard::check_approved(&plan, args.approve.as_ref())
        .map_err(|refusal| CliError::refused_plan(&refusal, &ways(context, args)))?;
    plan::require_checks(&plan, &args.planning)?;
    let (hub, fleet) = (plan.hub.to_string(), plan.fleet.to_string());
    let digest = plan.review_digest().as_str().to_owned();
    let ignored_rollout = view::ignored_rollout(&plan);
    let mut results = Results::default();
    let outcome = if plan.is_empty() {
        let stop = listen()?;
        verify(context, &connection.client, &plan, args.format, &stop, &mut results).await?
    } else {
        let consent = if args.yes { Consent::Flag } else { ask(context)? };
        let plan = approve(plan, consent, args.approve.as_ref())?;
        let stop = listen()?;
        let report = send(context, &connection.client, &plan, args, &stop).await?;
        let applied = outcome_of(&report.0);
        if let Some(next) = next(context, args, &report.0)? {
            command_line::next(context, &next);
        }
        let is_cut_short = report.0.interrupted || report.0.halted.is_some();
        results.report = Some(report);
        if is_cut_short {
            if !plan.checks.is_empty() {
                context.say("the checks were not run");
            }
            applied
        } else {
            let verified = verify(context, &connection.client, &plan, args.format, &stop, &mut results).await?;
            Outcome::most_telling([applied, verified])
        }
    };
    connection.close().await;
    if args.format == ApplyFormat::Json {
        let (outcome, exit_code) = (word(outcome), outcome.code());
        let run = applied::Run {
            hub: &hub,
            fleet: &fleet,
            digest: &digest,
            ignored_rollout: ignored_rollout.as_deref(),
            outcome,
            exit_code,
        };
        let report = results.report.as_ref().map(|(report, took)| (report, *took));
        let text = applied::json(run, report, results.checks.as_deref());
        context.out.write_all(text.as_bytes())?;
        context.out.flush()?;
    }
    Ok(outcome)
}

/// Returns the commands that lead on: this one, and the one that plans, where the manifests are known.
fn ways(context: &Context, args: &ApplyArgs) -> Ways {
    let is_file = plan_file(context, args).is_ok_and(|file| file.is_some());
    let manifests = if is_file { &args.manifest } else { &args.paths };
    let secrets = manifest::secrets(context, manifests, &args.vars);
    let again = CommandLine::new("apply").paths(&args.paths);
    let again = args.manifest.iter().fold(again, |line, path| line.path_option("--manifest", path));
    let again = again.vars(&args.vars, &secrets).planning(&args.planning).hub(&args.hub);
    let plan = CommandLine::new("plan").paths(manifests).vars(&args.vars, &secrets);
    let plan = plan.planning(&args.planning).hub(&args.hub);
    Ways {
        again: Some(again.flag_if(args.yes || !context.input_is_terminal, "--yes")),
        plan: (!manifests.is_empty()).then_some(plan),
    }
}

/// Returns the command that goes on with what a run has left. A plan file is good for what was not tried or failed, and not for what
/// changed since: that is to be planned anew.
fn next(context: &Context, args: &ApplyArgs, report: &ApplyReport) -> CliResult<Option<CommandLine>> {
    let Ways { again, plan } = ways(context, args);
    let is_left = report.has_failures() || !report.not_attempted.is_empty();
    Ok(match plan_file(context, args)? {
        Some(_) if is_left && !report.has_conflicts() => again,
        _ if is_left || report.has_conflicts() => plan,
        _ => None,
    })
}

/// What is known when the command ends.
#[derive(Default)]
struct Results {
    report: Option<(ApplyReport, Duration)>,
    checks: Option<Vec<CheckResult>>,
}

/// Shows the plan. With JSON, stdout is the document's alone, and whoever is asked must see what for.
fn show(context: &mut Context, plan: &Plan, args: &ApplyArgs) -> CliResult<()> {
    match args.format {
        ApplyFormat::Text => {
            plan::show(context, plan, args.full)?;
            context.out.flush()?;
        }
        ApplyFormat::Json if args.yes => {}
        ApplyFormat::Json => {
            let options = text::TextOptions { palette: context.err.palette, width: context.err.width, full: args.full };
            context.err.write_all(text::plan(plan, options).as_bytes())?;
        }
    }
    Ok(())
}

/// Returns what the JSON document calls an outcome.
fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Done | Outcome::Changes => "done",
        Outcome::Conflicts => "conflicts",
        Outcome::TwinsFailed => "twins-failed",
        Outcome::ChecksFailed => "checks-failed",
        Outcome::Interrupted => "interrupted",
        Outcome::Failed | Outcome::Refused => "failed",
    }
}

/// Returns the one path when it is a plan file: JSON, where manifests are YAML.
fn plan_file(context: &Context, args: &ApplyArgs) -> CliResult<Option<PathBuf>> {
    let is_plan = |path: &Path| {
        path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"))
            && !context.resolve(path).is_dir()
    };
    match args.paths.as_slice() {
        [path] if is_plan(path) => Ok(Some(path.clone())),
        paths => match paths.iter().find(|path| is_plan(path)) {
            Some(path) => Err(CliError::new(format!("{} is a plan file, which is applied alone", path.display()))
                .hint("give the manifests that it must have been made from with --manifest PATH")),
            None if !args.manifest.is_empty() => {
                Err(CliError::new("--manifest is for applying a plan file, and none is given"))
            }
            None => Ok(None),
        },
    }
}

async fn from_manifests(context: &mut Context, args: &ApplyArgs) -> CliResult<(Plan, Connection)> {
    let declarations = manifest::load(context, &args.paths, &args.vars)?;
    let connection = connect(context, &args.hub).await?;
    let files = manifest::options(context, &args.paths, &args.vars);
    let made = plan::make(context, &declarations, &connection.client, &args.planning, &args.hub, &files);
    Ok((made.await?, connection))
}

async fn from_file(context: &mut Context, args: &ApplyArgs, path: &Path) -> CliResult<(Plan, Connection)> {
    let given = [
        ("--take-ownership", args.planning.take_ownership),
        ("--revision", args.planning.revision.is_some()),
        ("--tier", args.planning.tier.is_some()),
        ("--units", args.planning.units.is_some()),
        ("--only", !args.planning.only.is_empty()),
    ];
    let is_given = !args.vars.vars.is_empty() || !args.vars.var_files.is_empty();
    if args.manifest.is_empty() && is_given {
        return Err(CliError::new(format!("--var and --vars are for manifests, and {} is a plan", path.display()))
            .hint("--manifest PATH names the manifests that the plan must have been made from"));
    }
    if let Some((option, _)) = given.iter().find(|(_, given)| *given) {
        return Err(CliError::new(format!("{option} is decided when a plan is made, and {} is one", path.display())));
    }
    let reading = || format!("reading the plan {}", path.display());
    let text = std::fs::read_to_string(context.resolve(path)).map_err(|error| CliError::doing(reading(), error))?;
    context.err.learn(&text);
    let mut plan = crate::plan::file::read(&text).map_err(|error| CliError::doing(reading(), error))?;
    if !args.manifest.is_empty() {
        let declarations = manifest::load(context, &args.manifest, &args.vars)?;
        if declarations.digest != plan.manifest {
            return Err(made_otherwise(context, args, path, &plan, &declarations));
        }
        if plan.first_redacted().is_some() {
            // Selectors are asked when a plan is made, and what they found then is in it.
            let declarations = declarations.select(plan.selections.clone())?;
            plan.restore(&declarations).map_err(|error| CliError::doing(reading(), error))?;
        }
    } else if let Some((id, path)) = plan.first_redacted() {
        // Better said before anything is asked than when all the rest is done.
        return Err(PlanRefusal::Withheld { id, path }.into());
    }
    plan.ignores_rollout |= args.planning.ignore_rollout;
    let connection = connect(context, &args.hub).await?;
    let host = connection.client.host();
    if *host != plan.hub {
        return Err(CliError::new(format!(
            "the plan {} was made for the hub {}, and this is {host}; nothing was asked of it",
            path.display(),
            plan.hub
        ))
        .refused());
    }
    Ok((plan, connection))
}

/// Says what differs between the manifests that a plan was made from and those that are given, and no value of theirs.
fn made_otherwise(
    context: &Context,
    args: &ApplyArgs,
    path: &Path,
    plan: &Plan,
    declarations: &Declarations,
) -> CliError {
    let options = manifest::options(context, &args.manifest, &args.vars);
    let (then, now) = (&plan.sources, source_digests(&options));
    let same = |one: &Option<Digest>, two: &Option<Digest>| Some(one.as_ref()? == two.as_ref()?);
    // Whether variables change anything.
    let set = |sources: &SourceDigests| same(&sources.files, &sources.variables).map(|same| !same);
    let names: Vec<String> = environment_names(&options).into_iter().collect();
    // Each is the same, differs, or cannot be told: the digests are of what results, files first.
    let files = same(&then.files, &now.files);
    let variables = match (files, set(then), set(&now)) {
        (Some(true), ..) => same(&then.variables, &now.variables),
        (_, Some(false), Some(false)) => Some(true),
        (_, Some(one), Some(two)) if one != two => Some(false),
        _ => None,
    };
    let environment = match (files, variables) {
        (Some(true), Some(true)) => Some(false),
        _ if names.is_empty() => Some(true),
        _ => None,
    };
    let when = match (set(then), set(&now)) {
        _ if variables != Some(false) => "",
        (Some(false), Some(true)) => ": none changed anything when the plan was made",
        (Some(true), Some(false)) => ": none changes anything now",
        _ => "",
    };
    let parts = [
        ("the files", files, "give the files that the plan was made from: --manifest PATH".to_owned()),
        (
            "the variables of --vars and --var",
            variables,
            "give the variables that the plan was made with: --vars FILE, --var NAME=VALUE".to_owned(),
        ),
        (
            "the environment",
            environment,
            format!("set the environment variables as they were when the plan was made: {}", names.join(", ")),
        ),
    ];
    let named = |wanted: Option<bool>| {
        let named: Vec<&str> = parts.iter().filter(|(_, is, _)| *is == wanted).map(|(name, ..)| *name).collect();
        named.join(" and ")
    };
    let (differing, untold) = (named(Some(false)), named(None));
    let what = match (differing.as_str(), untold.as_str()) {
        ("the environment", _) => "files and variables are the same, and the environment differs".to_owned(),
        ("", untold) => format!("of these something differs: {untold}"),
        (differing, "") => format!("{differing} differ{when}"),
        (differing, untold) => format!("{differing} differ{when}; {untold} may differ as well"),
    };
    let error = CliError::new(format!(
        "the plan {} was made from other manifests, with the digest {} and not {}: {what}",
        path.display(),
        plan.manifest.short(),
        declarations.digest.short()
    ));
    // No command is printed here: values of variables are in it.
    let ways = parts.into_iter().filter(|(_, is, _)| *is != Some(true)).map(|(.., way)| way);
    ways.fold(error.refused(), CliError::hint).hint("or make the plan again from these manifests")
}

fn ask(context: &mut Context) -> CliResult<Consent> {
    let question = context.err.palette.title("Apply these changes?").to_string();
    _ = write!(context.err, "\n{question} [y/N] ");
    _ = context.err.flush();
    let mut answer = String::new();
    context.input.read_line(&mut answer).map_err(|error| CliError::doing("reading the answer", error))?;
    match answer.trim().to_lowercase().as_str() {
        "y" | "yes" => Ok(Consent::Answer),
        _ => Err(CliError::new("not approved; nothing was changed")),
    }
}

/// From here on Ctrl-C is a wish, not an end.
fn listen() -> CliResult<CancelFlag> {
    let stop = CancelFlag::new();
    let wish = stop.clone();
    let interrupts = Interrupts::listen().map_err(|error| CliError::doing("listening for Ctrl-C", error))?;
    tokio::spawn(interrupts.first_and_second(move || wish.request()));
    Ok(stop)
}

async fn send(
    context: &mut Context,
    client: &HubClient,
    plan: &ApprovedPlan,
    args: &ApplyArgs,
    stop: &CancelFlag,
) -> CliResult<(ApplyReport, Duration)> {
    let options = ApplyOptions {
        concurrency: write_concurrency(&args.hub),
        backoff: Backoff { budget: args.hub.retry_budget, ..Backoff::default() },
    };
    let begun = Instant::now();
    let total = plan.twins.iter().filter(|twin| twin.is_sent()).count();
    let mut progress = context.progress("twins done", Some(total));
    let mut err = context.err.clone();
    let mut say = move |text: &str| _ = writeln!(err, "{}", escape::line(text));
    let mut amiss = 0;
    let mut told = |event| match event {
        ApplyEvent::TwinDone { outcome, .. } => {
            if matches!(outcome, TwinOutcome::Failed { .. } | TwinOutcome::Conflict(_)) {
                amiss += 1;
                progress.note(&format!("{amiss} of them failed or in conflict"));
            }
            // Those that nothing is tried for any more would race through the bar.
            if outcome != TwinOutcome::NotAttempted {
                progress.step();
            }
        }
        ApplyEvent::Retrying { reason, .. } => progress.note(&reason),
        ApplyEvent::Interrupted => say("stopping: what is under way finishes; Ctrl-C again ends at once"),
        ApplyEvent::Halted(halt) => say(&format!("stopping: {}", halt.reason)),
        ApplyEvent::Started { .. } | ApplyEvent::Finished => {}
    };
    let report = crate::apply::apply(plan, client, &options, stop.clone(), &mut told).await;
    drop(progress);
    let took = begun.elapsed();
    if args.format == ApplyFormat::Text {
        let text = report::text(&report, took, args.full, context.out.palette);
        write!(context.out, "\n{text}")?;
        if let Some(ignored) = view::ignored_rollout(plan) {
            let warning = context.out.palette.warning("warning:");
            writeln!(context.out, "{warning} {ignored}")?;
        }
        context.out.flush()?;
    }
    Ok((report, took))
}

async fn verify(
    context: &mut Context,
    client: &HubClient,
    plan: &Plan,
    format: ApplyFormat,
    stop: &CancelFlag,
    found: &mut Results,
) -> CliResult {
    if plan.checks.is_empty() {
        return Ok(Outcome::Done);
    }
    let results = check::ask(context, client, &plan.checks, &plan.policy.sensitive, true, stop.requested()).await;
    if format == ApplyFormat::Text {
        let text = crate::render::checks::text(&results, context.out.palette);
        write!(context.out, "\n{text}")?;
        context.out.flush()?;
    }
    let interrupted = if stop.is_requested() { Outcome::Interrupted } else { Outcome::Done };
    let outcome = Outcome::most_telling([interrupted, check::outcome_of(&results)]);
    found.checks = Some(results);
    Ok(outcome)
}

fn outcome_of(report: &ApplyReport) -> Outcome {
    let mut all = Vec::new();
    if report.interrupted {
        all.push(Outcome::Interrupted);
    }
    if report.has_failures() {
        all.push(Outcome::TwinsFailed);
    }
    if report.has_conflicts() {
        all.push(Outcome::Conflicts);
    }
    Outcome::most_telling(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apply::event::Halt;

    #[test]
    fn reports_have_exit_codes() {
        let conflicts = vec![("d".parse().expect("an id"), Vec::new())];
        let failed = vec![("d".parse().expect("an id"), "no".to_owned())];
        let clean = ApplyReport { written: 3, converged: 1, ..ApplyReport::default() };
        let conflicting = ApplyReport { conflicts, ..clean.clone() };
        let failing = ApplyReport { failed, ..conflicting.clone() };
        let halted = ApplyReport { halted: Some(Halt { reason: "no".to_owned(), advice: None }), ..clean.clone() };
        let interrupted = ApplyReport { interrupted: true, ..failing.clone() };
        assert_eq!(
            [&clean, &conflicting, &failing, &halted, &interrupted].map(|report| outcome_of(report).code()),
            [0, 4, 5, 5, 130]
        );
    }
}
