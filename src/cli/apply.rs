//! `twinctl apply`

use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::args::{ApplyArgs, HubArgs};
use super::connect::{Connection, connect, write_concurrency};
use super::context::Context;
use super::interrupt::Interrupts;
use super::outcome::{CliError, CliResult, Outcome};
use super::{check, manifest, plan};
use crate::apply::{ApplyEvent, ApplyOptions, ApplyReport, Stop, TwinOutcome};
use crate::client::{Backoff, HubClient};
use crate::plan::{ApprovedPlan, Consent, Plan, Refusal, approve, guard};
use crate::render::{escape, report};

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
    plan::show(context, &plan, args.full)?;
    context.out.flush()?;
    if let Some(reviewed) = &args.expect {
        guard::check_reviewed(&plan, reviewed)?;
    }
    guard::check_approved(&plan, args.approve.as_ref())?;
    plan::require_checks(&plan, &args.planning)?;
    let outcome = if plan.is_empty() {
        let stop = listen()?;
        verify(context, &connection.client, &plan, &stop).await?
    } else {
        let consent = if args.yes { Consent::Flag } else { ask(context)? };
        let plan = approve(plan, consent, args.approve.as_ref())?;
        let stop = listen()?;
        let report = send(context, &connection.client, &plan, &args.hub, &stop).await?;
        let applied = outcome_of(&report);
        if report.interrupted || report.halted.is_some() {
            if !plan.checks.is_empty() {
                context.say("the checks were not run");
            }
            applied
        } else {
            Outcome::most_telling([applied, verify(context, &connection.client, &plan, &stop).await?])
        }
    };
    connection.close().await;
    Ok(outcome)
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
    context.err.learn(&text);
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
    hub: &HubArgs,
    stop: &Stop,
) -> CliResult<ApplyReport> {
    let options = ApplyOptions {
        concurrency: write_concurrency(hub),
        backoff: Backoff { budget: hub.retry_budget, ..Backoff::default() },
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
        ApplyEvent::Halted { reason } => say(&format!("stopping: {reason}")),
        ApplyEvent::Started { .. } | ApplyEvent::Finished => {}
    };
    let report = crate::apply::apply(plan, client, &options, stop.clone(), &mut told).await;
    drop(progress);
    let text = report::text(&report, begun.elapsed(), context.out.palette);
    write!(context.out, "\n{text}")?;
    context.out.flush()?;
    Ok(report)
}

async fn verify(context: &mut Context, client: &HubClient, plan: &Plan, stop: &Stop) -> CliResult {
    if plan.checks.is_empty() {
        return Ok(Outcome::Done);
    }
    let results = check::ask(context, client, &plan.checks, &plan.policy.sensitive, true, stop.requested()).await;
    let text = crate::render::checks::text(&results, context.out.palette);
    write!(context.out, "\n{text}")?;
    context.out.flush()?;
    let interrupted = if stop.is_requested() { Outcome::Interrupted } else { Outcome::Done };
    Ok(Outcome::most_telling([interrupted, check::outcome_of(&results)]))
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

    #[test]
    fn reports_have_exit_codes() {
        let conflicts = vec![("d".parse().expect("an id"), Vec::new())];
        let failed = vec![("d".parse().expect("an id"), "no".to_owned())];
        let clean = ApplyReport { written: 3, converged: 1, ..ApplyReport::default() };
        let conflicting = ApplyReport { conflicts, ..clean.clone() };
        let failing = ApplyReport { failed, ..conflicting.clone() };
        let halted = ApplyReport { halted: Some("no".to_owned()), ..clean.clone() };
        let interrupted = ApplyReport { interrupted: true, ..failing.clone() };
        assert_eq!(
            [&clean, &conflicting, &failing, &halted, &interrupted].map(|report| outcome_of(report).code()),
            [0, 4, 5, 5, 130]
        );
    }
}
