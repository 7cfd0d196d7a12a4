//! The `twinctl` binary: arguments in, exit code out.

use std::process::ExitCode;

use twinctl::cli::{Context, run};

fn main() -> ExitCode {
    ExitCode::from(run(std::env::args_os(), &mut Context::of_process()))
}
