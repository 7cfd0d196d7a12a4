//! The `twinctl` binary: arguments in, exit code out.

use std::process::ExitCode;
use std::thread::Builder;

use twinctl::cli::{Context, run};

/// The stack of the thread that does everything. The first thread's is what the shell gives it (`ulimit -s`).
const STACK: usize = 8 << 20;
/// How a process ends that panicked.
const PANICKED: u8 = 101;

fn main() -> ExitCode {
    let code = match Builder::new().name("main".to_owned()).stack_size(STACK).spawn(twinctl) {
        Ok(thread) => thread.join().unwrap_or(PANICKED),
        // Where there is no room for a second thread, the first has to do.
        Err(_) => twinctl(),
    };
    ExitCode::from(code)
}

fn twinctl() -> u8 {
    run(std::env::args_os(), &mut Context::of_process())
}
