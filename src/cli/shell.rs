//! `twinctl completions`, `twinctl man`

use std::io::Write;

use clap::CommandFactory;

use super::args::{Arguments, CompletionsArgs, ManArgs};
use super::context::Context;
use super::outcome::{CliError, CliResult, Outcome};

/// Prints a completion script.
pub(super) fn completions(context: &mut Context, args: &CompletionsArgs) -> CliResult {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Arguments::command(), "twinctl", &mut script);
    context.out.write_all(&script)?;
    context.out.flush()?;
    Ok(Outcome::Done)
}

/// Prints the manual's first page, or writes all pages.
pub(super) fn man(context: &mut Context, args: &ManArgs) -> CliResult {
    match &args.out {
        None => {
            let mut page = Vec::new();
            // As the pages in a folder have it: `help` says nothing that they do not.
            clap_mangen::Man::new(Arguments::command().disable_help_subcommand(true)).render(&mut page)?;
            context.out.write_all(&page)?;
            context.out.flush()?;
        }
        Some(folder) => {
            let path = context.resolve(folder);
            let writing = |error| CliError::doing(format!("writing the manual to {}", folder.display()), error);
            std::fs::create_dir_all(&path).map_err(writing)?;
            clap_mangen::generate_to(Arguments::command(), &path).map_err(writing)?;
            context.say(format_args!("the manual is in {}", folder.display()));
        }
    }
    Ok(Outcome::Done)
}
