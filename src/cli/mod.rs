//! Arguments, and one short file a command: parse, call, render, answer with an [`Outcome`].
//!
//! Owns the streams, the environment, the clock and the exit code; decides nothing about twins. Read [`run`] first, then
//! [`context::Context`].

mod context;
pub(crate) mod args;
mod outcome;
mod interrupt;
mod file;
mod git;
mod annotations;
mod narrow;
mod secrets;
mod command_line;
mod manifest;
mod refused_plan;
#[cfg(feature = "embedded")]
mod credentials;
#[cfg(feature = "embedded")]
mod refusals;
#[cfg(feature = "embedded")]
mod tls_files;
#[cfg(feature = "embedded")]
mod embedded;
#[cfg(not(feature = "embedded"))]
#[path = "embedded_absent.rs"]
mod embedded;
mod foreign;
mod connect;

mod plan;
mod check;
mod apply;
mod drift;
mod query;
mod validate;
mod render;
mod explain;
mod show;
mod import;
mod comment;
mod doctor;
mod device;
#[cfg(feature = "embedded")]
mod token;
#[cfg(feature = "embedded")]
mod ready;
#[cfg(feature = "embedded")]
mod hub;
mod shell;

#[cfg(test)]
mod secrecy;

use std::ffi::OsString;
use std::io::Write;

use clap::Parser;

use args::{Arguments, Command, SimulationCommand};
pub use context::Context;
use foreign::Unknown;
use interrupt::Interrupts;
use outcome::CliResult;
pub use outcome::{CliError, Outcome};

use iothub_model::wire::connection_string::is_meant_as_one;

/// Runs a command line, and returns its exit code.
pub fn run(arguments: impl IntoIterator<Item = OsString>, context: &mut Context) -> u8 {
    let typed: Vec<OsString> = arguments.into_iter().collect();
    context.learn_secrets(&typed);
    if let Some(number) = misplaced_connection_string(&typed) {
        let error = CliError::new(format!("argument {number} is a connection string, and none belongs there"));
        return error
            .hint("it goes into IOTHUB_CONNECTION_STRING in the environment, or after --connection-string")
            .report(context)
            .code();
    }
    if let Some(unknown) = foreign::single_dash(&typed) {
        return wrong_use(context, &unknown).code();
    }
    let outcome = match Arguments::try_parse_from(&typed) {
        Ok(arguments) => {
            context.set_colour(arguments.color);
            if answers_with_secrets(&arguments.command) {
                context.answer_with_secrets();
            }
            let result = execute(context, &arguments.command);
            let outcome = result.unwrap_or_else(|error| error.report(context));
            match annotations::tell(context, &arguments.command) {
                Ok(()) => outcome,
                Err(error) => error.report(context),
            }
        }
        Err(error) if error.use_stderr() => wrong_use(context, &Unknown::of(error, &typed)),
        Err(error) => usage(context, &error),
    };
    outcome.code()
}

/// Returns the number of the first argument that is a connection string where an id, a path or anything else belongs. It has a
/// key, so that it must not reach a command that would show or send it.
fn misplaced_connection_string(arguments: &[OsString]) -> Option<usize> {
    const OPTION: &str = "--connection-string";
    let is_misplaced = |number: &usize| {
        let argument = arguments[*number].to_string_lossy();
        let (option, value) = match argument.split_once('=') {
            Some((option, value)) if option.starts_with("--") => (option, value),
            _ => ("", &*argument),
        };
        let belongs = option == OPTION || number.checked_sub(1).is_some_and(|before| arguments[before] == OPTION);
        let value = value.strip_prefix("embedded:").unwrap_or(value);
        !belongs && is_meant_as_one(value)
    };
    (1..arguments.len()).find(is_misplaced)
}

/// Help and versions are answers.
fn usage(context: &mut Context, error: &clap::Error) -> Outcome {
    let text = error.render();
    let text = if context.out.palette.is_coloured() { text.ansi().to_string() } else { text.to_string() };
    match context.out.write_all(text.as_bytes()) {
        Ok(()) => Outcome::Done,
        Err(_) => Outcome::Failed,
    }
}

/// All else that clap says is an error.
fn wrong_use(context: &mut Context, unknown: &Unknown) -> Outcome {
    let palette = context.err.palette;
    let text = unknown.text(palette.is_coloured(), palette.hint("hint:"));
    // Where stderr cannot be written there is nobody left to tell.
    _ = context.err.write_all(text.as_bytes());
    Outcome::Failed
}

fn execute(context: &mut Context, command: &Command) -> CliResult {
    let runtime = runtime().map_err(|error| CliError::doing("starting the runtime", error))?;
    runtime.block_on(async {
        if handles_signals(command) {
            return dispatch(context, command).await;
        }
        let interrupts = Interrupts::listen();
        let interrupts = interrupts.map_err(|error| CliError::doing("listening for Ctrl-C", error))?;
        let (stop, stopped) = tokio::sync::oneshot::channel();
        tokio::spawn(interrupts.first_and_soon(move || _ = stop.send(())));
        let ended = tokio::select! {
            result = dispatch(context, command) => Some(result),
            // Dropping the command on the way out removes what is temporary.
            Ok(()) = stopped => None,
        };
        ended.unwrap_or_else(|| {
            context.say("interrupted");
            Ok(Outcome::Interrupted)
        })
    })
}

/// The stack of each thread but the first. A guess at what is enough is not left to the environment (`RUST_MIN_STACK`).
const STACK: usize = 4 << 20;
/// More threads than this have nothing to do.
const THREADS_MAX: usize = 64;

/// Makes the runtime, with a thread for each processor, whatever the environment says (`TOKIO_WORKER_THREADS`).
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(processors.min(THREADS_MAX))
        .thread_stack_size(STACK)
        .enable_all()
        .build()
}

/// Commands that have something to finish when the user wants them to stop.
fn handles_signals(command: &Command) -> bool {
    match command {
        Command::Apply(_) | Command::Device(_) => true,
        #[cfg(feature = "embedded")]
        Command::Hub(args::HubCommand::Serve(_)) => true,
        _ => false,
    }
}

/// Commands whose answer is a connection string or a token.
fn answers_with_secrets(command: &Command) -> bool {
    match command {
        #[cfg(feature = "embedded")]
        Command::Hub(args::HubCommand::Serve(_) | args::HubCommand::Device(_) | args::HubCommand::Token(_)) => true,
        _ => false,
    }
}

async fn dispatch(context: &mut Context, command: &Command) -> CliResult {
    match command {
        Command::Plan(args) => plan::plan(context, args).await,
        Command::Apply(args) => apply::apply(context, args).await,
        Command::Check(args) => check::check(context, args).await,
        Command::Validate(args) => validate::validate(context, args),
        Command::Schema => validate::schema(context),
        Command::Render(args) => render::render(context, args),
        Command::Show(args) => show::show(context, args).await,
        Command::Explain(args) => explain::explain(context, args),
        Command::Drift(args) => drift::drift(context, args).await,
        Command::Import(args) => import::import(context, args).await,
        Command::Doctor(args) => doctor::doctor(context, args).await,
        Command::Completions(args) => shell::completions(context, args),
        Command::Man(args) => shell::man(context, args),
        Command::Query(args) => query::query(context, args).await,
        Command::Comment(args) => comment::comment(context, args).await,
        #[cfg(feature = "embedded")]
        Command::Hub(command) => hub::hub(context, command).await,
        Command::Device(SimulationCommand::Run(args)) => device::run(context, args).await,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::context::tests::context;
    use super::*;

    /// Runs a command line in buffers; the exit code, stdout and stderr.
    fn twinctl(folder: &Path, arguments: &[&str]) -> (u8, String, String) {
        let (mut context, out, err) = context(&[]);
        context.folder = folder.to_owned();
        // Tokens must be good at the time of the hub, which is the context's.
        let all = ["twinctl"].iter().chain(arguments).map(OsString::from);
        let code = run(all, &mut context);
        (code, out.text(), err.text())
    }

    #[cfg(feature = "embedded")]
    #[test]
    fn plan_apply_plan() {
        let folder = tempfile::tempdir().expect("a folder");
        let manifest = folder.path().join("fleet.yaml");
        let text = "fleet: redmond\nmissing: register\ndevices:\n  d-1: { tags: { plant: Oslo }, desired: { power: 1 } }\n\
                    checks:\n  - { name: all there, query: SELECT deviceId FROM devices, expect: [d-1] }\n";
        std::fs::write(&manifest, text).expect("written");
        let manifest = manifest.to_str().expect("UTF-8");
        let run = |arguments: &[&str]| twinctl(folder.path(), arguments);

        let (code, out, err) =
            run(&["plan", manifest, "--hub", "embedded:hub", "--detailed-exitcode", "--out", "plan.json"]);
        assert_eq!(code, 2, "{out}{err}");
        assert!(out.contains("+ d-1  to be registered\n"), "{out}");

        let (code, out, err) = run(&["apply", manifest, "--hub", "embedded:hub"]);
        assert_eq!((code, out.as_str()), (1, ""), "nobody agreed");
        assert!(err.contains("--yes"), "{err}");

        let (code, out, err) = run(&["apply", "plan.json", "--hub", "embedded:hub", "--yes"]);
        assert_eq!(code, 0, "{out}{err}");
        assert!(
            out.contains("Applied: 1 twin written (1 registered first)") && out.contains("1 check: 1 held"),
            "{out}"
        );

        let (code, out, err) = run(&["plan", manifest, "--hub", "embedded:hub", "--detailed-exitcode"]);
        assert_eq!((code, err.as_str()), (0, ""), "{out}");
        assert!(out.ends_with("No changes: 1 twin is as declared (read by GET)\n"), "{out}");

        let (code, out, err) = run(&["check", manifest, "--hub", "embedded:empty", "--no-wait"]);
        assert_eq!(code, 6, "{out}{err}");

        let (code, _, err) = run(&["apply", "plan.json", "--hub", "embedded:empty", "--yes"]);
        assert_eq!(code, 3, "{err}");
        assert!(err.contains("was made for the hub hub.embedded, and this is empty.embedded"), "{err}");
    }

    #[test]
    fn wrong_use_is_exit_1_and_help_is_an_answer() {
        let here = Path::new(".");
        for (arguments, code, said) in [
            (&["plan", "--fromat", "json"][..], 1, "unexpected argument '--fromat'"),
            (&["paln"], 1, "unrecognized subcommand 'paln'"),
            (&[], 1, "Usage: twinctl"),
            (&["query", "SELECT"], 1, "error: "),
            (&["plan", "no/such/folder", "--hub", "embedded"], 1, "no/such/folder"),
            #[cfg(feature = "embedded")]
            (&["hub", "device", "add", "a/b", "--data", "hub"], 1, "device id `a/b` holds '/'"),
        ] {
            let (found, out, err) = twinctl(here, arguments);
            assert_eq!((found, out.as_str()), (code, ""), "{arguments:?}: {err}");
            assert!(err.contains(said), "{err}");
        }
        let (code, out, err) = twinctl(here, &["--version"]);
        assert_eq!((code, out, err.as_str()), (0, format!("twinctl {}\n", env!("CARGO_PKG_VERSION")), ""));
    }
}
