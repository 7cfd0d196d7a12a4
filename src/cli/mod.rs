//! Arguments, and one short file a command: parse, call, render, answer with an [`Outcome`].
//!
//! Owns the streams, the environment, the clock and the exit code; decides nothing about twins. Read [`run`] first, then
//! [`context::Context`].

mod apply;
pub mod args;
mod check;
pub mod connect;
pub mod context;
mod file;
mod hub;
mod interrupt;
mod manifest;
pub mod outcome;
mod plan;
mod query;
mod validate;

use std::ffi::OsString;
use std::io::Write;
use std::sync::Arc;

use clap::Parser;

use args::{Arguments, Command, HubCommand};
pub use context::Context;
use outcome::CliResult;
pub use outcome::{CliError, Outcome};

/// Runs a command line, and returns its exit code.
pub fn run(arguments: impl IntoIterator<Item = OsString>, context: &mut Context) -> u8 {
    let outcome = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => {
            context.set_colour(arguments.color);
            let result = execute(context, &arguments.command);
            result.unwrap_or_else(|error| error.report(context))
        }
        Err(error) => usage(context, &error),
    };
    outcome.code()
}

/// Help and versions are answers; all else that clap says is an error.
fn usage(context: &mut Context, error: &clap::Error) -> Outcome {
    let (output, outcome) = match error.use_stderr() {
        true => (&mut context.err, Outcome::Failed),
        false => (&mut context.out, Outcome::Done),
    };
    let text = error.render();
    let text = if output.palette.is_coloured() { text.ansi().to_string() } else { text.to_string() };
    match output.write_all(text.as_bytes()) {
        Ok(()) => outcome,
        Err(_) => Outcome::Failed,
    }
}

fn execute(context: &mut Context, command: &Command) -> CliResult {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| CliError::doing("starting the runtime", error))?;
    runtime.block_on(async {
        if handles_signals(command) {
            return dispatch(context, command).await;
        }
        tokio::select! {
            result = dispatch(context, command) => result,
            // Dropping the command on the way out removes what is temporary.
            Ok(()) = interrupt::interrupted() => Ok(Outcome::Interrupted),
        }
    })
}

/// Commands that have something to finish when the user wants them to stop.
fn handles_signals(command: &Command) -> bool {
    matches!(command, Command::Apply(_) | Command::Hub(HubCommand::Serve(_)))
}

async fn dispatch(context: &mut Context, command: &Command) -> CliResult {
    match command {
        Command::Plan(args) => plan::plan(context, args).await,
        Command::Apply(args) => apply::apply(context, args).await,
        Command::Check(args) => check::check(context, args).await,
        Command::Validate(args) => validate::validate(context, args),
        Command::Render(args) => validate::render(context, args),
        Command::Query(args) => query::query(context, args).await,
        Command::Hub(command) => hub::hub(context, command).await,
    }
}

/// The clock as the embedded hub reads it.
fn hub_clock(context: &Context) -> crate::hub::Clock {
    let clock = context.clock.clone();
    Arc::new(move || time::OffsetDateTime::from(clock()))
}
