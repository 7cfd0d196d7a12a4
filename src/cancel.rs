//! The wish to cancel, from whoever has it to whoever is at work.

use std::sync::Arc;

use tokio::sync::watch;

/// A flag that is set once and can be awaited. Clones are the same flag.
#[derive(Clone, Debug)]
pub(crate) struct CancelFlag(Arc<watch::Sender<bool>>);

impl Default for CancelFlag {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }
}

impl CancelFlag {
    /// Returns a flag that is not set.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Sets the flag, for all clones and for good.
    pub(crate) fn request(&self) {
        self.0.send_replace(true);
    }

    /// Says whether it is set.
    pub(crate) fn is_requested(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it is set; returns at once when it is.
    pub(crate) async fn requested(&self) {
        let mut seen = self.0.subscribe();
        // An error would mean that the sender is gone, and `self` holds it.
        let _ = seen.wait_for(|&requested| requested).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_clone_wakes_who_waits() {
        let cancel = CancelFlag::new();
        let waiting = tokio::spawn({
            let cancel = cancel.clone();
            async move { cancel.requested().await }
        });
        tokio::task::yield_now().await;
        assert!(!cancel.is_requested() && !waiting.is_finished());
        cancel.request();
        waiting.await.expect("it ends");
        cancel.requested().await;
        assert!(cancel.is_requested());
    }
}
