//! Ctrl-C, SIGTERM and SIGHUP.

use std::io;
use std::time::Duration;

use super::Outcome;

/// A signal by which somebody asks the process to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StopSignal {
    /// Ctrl-C or SIGTERM.
    Stop,
    /// SIGHUP: the terminal is closed.
    Hangup,
}

/// How long a command has that has nothing to finish.
const SOON: Duration = Duration::from_secs(2);

/// Listens for the signals by which the user, or whoever runs this, asks the process to stop. From its making on, no signal is
/// lost and none ends the process by itself.
pub(super) struct Interrupts {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    /// `None` if the process was started to survive its terminal, as `nohup` does: to listen would undo that.
    #[cfg(unix)]
    hangup: Option<tokio::signal::unix::Signal>,
}

impl Interrupts {
    /// Begins to listen. Inside a runtime only.
    pub(super) fn listen() -> io::Result<Self> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            let hangup = if ignores_hangup() { None } else { Some(signal(SignalKind::hangup())?) };
            let (interrupt, terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
            Ok(Self { interrupt, terminate, hangup })
        }
        #[cfg(not(unix))]
        Ok(Self {})
    }

    /// Waits for the next one.
    pub(super) async fn next(&mut self) -> StopSignal {
        #[cfg(unix)]
        {
            let hangup = async {
                match &mut self.hangup {
                    Some(hangup) => hangup.recv().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = self.interrupt.recv() => StopSignal::Stop,
                _ = self.terminate.recv() => StopSignal::Stop,
                _ = hangup => StopSignal::Hangup,
            }
        }
        #[cfg(not(unix))]
        match tokio::signal::ctrl_c().await {
            Ok(()) => StopSignal::Stop,
            Err(_) => std::future::pending().await,
        }
    }

    /// Waits for one that insists. A terminal that closes may send SIGHUP twice, once by way of its shell: only Ctrl-C and SIGTERM
    /// insist.
    pub(super) async fn insisting(&mut self) {
        while self.next().await == StopSignal::Hangup {}
    }

    /// Waits for a first one and calls `first`; a second one ends the process at once, with 130, and so does time: a command that
    /// reads a pipe to which nobody writes does not notice that it is to end.
    pub(super) async fn first_and_soon(mut self, first: impl FnOnce()) {
        self.next().await;
        first();
        _ = tokio::time::timeout(SOON, self.insisting()).await;
        std::process::exit(i32::from(Outcome::Interrupted.code()));
    }

    /// Waits for a first one and calls `first`; a second one ends the process at once, with 130.
    pub(super) async fn first_and_second(mut self, first: impl FnOnce()) {
        self.next().await;
        first();
        self.insisting().await;
        // The user asks for it a second time; what was sent is the hub's to finish.
        std::process::exit(i32::from(Outcome::Interrupted.code()));
    }
}

/// Returns `true` if SIGHUP was ignored when the process was started. Only Linux tells without unsafe code.
#[cfg(unix)]
fn ignores_hangup() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| has_hangup(&status))
}

/// Returns `true` if the ignored signals of a `/proc/PID/status` include SIGHUP, which is the first bit.
#[cfg(unix)]
fn has_hangup(status: &str) -> bool {
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_a_mask() {
        for (status, expected) in [
            ("Name:\tx\nSigIgn:\t0000000000001000\n", false),
            ("Name:\tx\nSigIgn:\t0000000000001001\n", true),
            ("SigBlk:\t0000000000000001\n", false),
            ("SigIgn:\tnonsense\n", false),
        ] {
            assert_eq!(has_hangup(status), expected, "{status}");
        }
    }
}
