//! Ctrl-C and SIGTERM.

use std::io;

/// Waits until the user, or whoever runs this, wants it to stop.
pub(super) async fn interrupted() -> io::Result<()> {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            result = tokio::signal::ctrl_c() => result,
            _ = terminate.recv() => Ok(()),
        }
    }
    #[cfg(not(unix))]
    tokio::signal::ctrl_c().await
}

/// Waits for a first signal and calls `first`; a second one ends the process at once, with 130.
pub(super) async fn first_and_second(first: impl FnOnce()) {
    if interrupted().await.is_err() {
        // Nothing listens then, and a signal ends the process as it always does.
        return std::future::pending().await;
    }
    first();
    if interrupted().await.is_ok() {
        #[expect(clippy::exit, reason = "the user asks for it a second time; what was sent is the hub's to finish")]
        std::process::exit(i32::from(super::Outcome::Interrupted.code()));
    }
    std::future::pending().await
}
