//! `twinctl check`

use std::io::Write;

use super::args::{CheckArgs, CheckFormat};
use super::connect::connect;
use super::context::Context;
use super::manifest;
use super::outcome::{CliResult, Outcome};
use crate::check::{Check, CheckResult, CheckStatus, Severity};
use crate::client::HubClient;
use crate::manifest::Sensitive;
use crate::plan::check_hub;
use crate::render::{annotations, checks, junit};
use crate::verify::{VerifyEvent, VerifyOptions, run_checks};

/// Runs the manifest's checks and shows what they come to.
pub(super) async fn check(context: &mut Context, args: &CheckArgs) -> CliResult {
    let declarations = manifest::load(context, &args.manifest.paths, &args.manifest.vars)?;
    let connection = connect(context, &args.hub).await?;
    check_hub(&declarations, connection.client.host())?;
    let forever = std::future::pending();
    let sensitive = &declarations.policy.sensitive;
    let results = ask(context, &connection.client, &declarations.checks, sensitive, !args.no_wait, forever).await;
    context.annotations.extend(annotations::of_checks(&results, &declarations));
    let outcome = outcome_of(&results);
    let fleet = declarations.fleet.as_str();
    let text = match args.format {
        CheckFormat::Text if results.is_empty() => "the manifest has no checks\n".to_owned(),
        CheckFormat::Text => checks::text(&results, context.out.palette),
        CheckFormat::Json => checks::json(&results, fleet, connection.client.host().as_str(), outcome == Outcome::Done),
        CheckFormat::Junit => junit::xml(&results, fleet),
    };
    connection.close().await;
    context.out.write_all(text.as_bytes())?;
    context.out.flush()?;
    Ok(outcome)
}

/// Asks checks until they hold or `stop` is done, and says meanwhile what is waited for.
pub(super) async fn ask(
    context: &Context,
    client: &HubClient,
    checks: &[Check],
    sensitive: &Sensitive,
    wait: bool,
    stop: impl Future<Output = ()>,
) -> Vec<CheckResult> {
    let options = VerifyOptions { wait, ..VerifyOptions::default() };
    let mut progress = context.progress("checks", Some(checks.len()));
    let mut told = |event| match event {
        VerifyEvent::NotYet { check, difference, .. } => {
            progress.note(&format!("waiting for `{check}`: {}", difference.summary));
        }
        VerifyEvent::Done(_) => progress.step(),
    };
    run_checks(client, checks, sensitive, options, stop, &mut told).await
}

/// A check that cannot be asked does not hold, whatever its severity: nobody knows.
pub(super) fn outcome_of(results: &[CheckResult]) -> Outcome {
    let failed = results.iter().any(|result| match &result.status {
        CheckStatus::Held => false,
        CheckStatus::Failed(_) => result.severity == Severity::Error,
        CheckStatus::Errored(_) => true,
    });
    if failed { Outcome::ChecksFailed } else { Outcome::Done }
}
