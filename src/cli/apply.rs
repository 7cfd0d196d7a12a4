//! `twinctl apply`

use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::args::{ApplyArgs, ApplyFormat};
use super::connect::{Connection, connect, write_concurrency};
use super::context::Context;
use super::interrupt::Interrupts;
use super::outcome::{CliError, CliResult, Outcome};
use super::{check, manifest, plan};
use crate::apply::{ApplyEvent, ApplyOptions, ApplyReport, Stop, TwinOutcome};
use crate::check::CheckResult;
use crate::client::{Backoff, HubClient};
use crate::plan::{ApprovedPlan, Consent, Plan, Refusal, approve, guard};
use crate::render::{applied, escape, report, text};

/// Plans or reads a plan, shows it, asks, applies it, and runs the checks.
pub(super) async fn apply(context: &mut Context, args: &ApplyArgs) -> CliResult {
    if !args.yes && !context.input_is_terminal {
        return Err(CliError::new("there is nobody to ask whether to apply, since the input is no terminal; nothing was done")
            .hint("--yes applies without asking, once the plan has been reviewed: `twinctl plan --out plan.json`, then `twinctl apply plan.json --yes`"));
    }
    let (plan, connection) = match plan_file(context, args)? {
        Some(path) => from_file(context, args, &path).await?,
        None => from_manifests(context, args).await?,
    };
    plan::warn_of_rollout(context, &plan);
    show(context, &plan, args)?;
    if let Some(reviewed) = &args.expect {
        guard::check_reviewed(&plan, reviewed)?;
    }
    guard::check_approved(&plan, args.approve.as_ref())?;
    plan::require_checks(&plan, &args.planning)?;
    let (hub, fleet) = (plan.hub.to_string(), plan.fleet.to_string());
    let digest = plan.review_digest().as_str().to_owned();
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
        let run = applied::Run { hub: &hub, fleet: &fleet, digest: &digest, outcome, exit_code };
        let report = results.report.as_ref().map(|(report, took)| (report, *took));
        let text = applied::json(run, report, results.checks.as_deref());
        context.out.write_all(text.as_bytes())?;
        context.out.flush()?;
    }
    Ok(outcome)
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
            let options = text::Options { palette: context.err.palette, width: context.err.width, full: args.full };
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
    if let Some((option, _)) = given.iter().find(|(_, given)| *given) {
        return Err(CliError::new(format!("{option} is decided when a plan is made, and {} is one", path.display())));
    }
    let reading = || format!("reading the plan {}", path.display());
    let text = std::fs::read_to_string(context.resolve(path)).map_err(|error| CliError::doing(reading(), error))?;
    let mut plan = crate::plan::file::read(&text).map_err(|error| CliError::doing(reading(), error))?;
    if !args.manifest.is_empty() {
        let declarations = manifest::load(context, &args.manifest, &args.vars)?;
        if declarations.digest != plan.manifest {
            return Err(CliError::new(format!(
                "the plan {} was made from other manifests: theirs have the digest {}, these {}",
                path.display(),
                plan.manifest.short(),
                declarations.digest.short()
            ))
            .refused()
            .hint("make the plan again from these manifests"));
        }
        if plan.first_withheld().is_some() {
            // Selectors are asked when a plan is made, and what they found then is in it.
            let declarations = declarations.select(plan.selections.clone())?;
            plan.restore(&declarations).map_err(|error| CliError::doing(reading(), error))?;
        }
    } else if let Some((id, path)) = plan.first_withheld() {
        // Better said before anything is asked than when all the rest is done.
        return Err(Refusal::Withheld { id, path }.into());
    }
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
fn listen() -> CliResult<Stop> {
    let stop = Stop::new();
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
    stop: &Stop,
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
        context.out.flush()?;
    }
    Ok((report, took))
}

async fn verify(
    context: &mut Context,
    client: &HubClient,
    plan: &Plan,
    format: ApplyFormat,
    stop: &Stop,
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
    use crate::apply::Halt;

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
