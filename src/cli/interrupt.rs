//! Ctrl-C and SIGTERM.

use std::io;

use super::Outcome;

/// What the user, or whoever runs this, says to make it stop. From its making on, no signal is lost and none ends the process
/// by itself.
pub(super) struct Interrupts {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Interrupts {
    /// Begins to listen. Inside a runtime only.
    pub(super) fn listen() -> io::Result<Self> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
        }
        #[cfg(not(unix))]
        Ok(Self {})
    }

    /// Waits for the next one.
    pub(super) async fn next(&mut self) {
        #[cfg(unix)]
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
        #[cfg(not(unix))]
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
    }

    /// Waits for a first one and calls `first`; a second one ends the process at once, with 130.
    pub(super) async fn first_and_second(mut self, first: impl FnOnce()) {
        self.next().await;
        first();
        self.next().await;
        // The user asks for it a second time; what was sent is the hub's to finish.
        std::process::exit(i32::from(Outcome::Interrupted.code()));
    }
}
