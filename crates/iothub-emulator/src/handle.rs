//! The hub that many ask at once: the machine behind a lock, its changes on their way to the disk, its answers held back
//! until the disk has what they show.

use std::sync::Mutex;
use std::sync::PoisonError;

use tokio::sync::Notify;

use crate::clock::Clock;
use crate::connections::Links;
use crate::core::ask::{Ask, Outcome};
use crate::core::command::{Entropy, Refusal};
use crate::core::state::Hub;
use crate::store::{Committer, Failure};
use iothub_model::wire::ErrorCode;

/// A hub with its store.
pub(crate) struct HubHandle {
    hub: Mutex<Hub>,
    committer: Committer,
    clock: Clock,
    /// Told of every change to a configuration that somebody asked for.
    pub(crate) configurations_changed: Notify,
    /// Told of every new job.
    pub(crate) jobs_changed: Notify,
    /// Told of every new import or export job.
    pub(crate) transfers_changed: Notify,
    /// Told of every new message from the cloud.
    pub(crate) messages_changed: Notify,
    links: Links,
}

impl HubHandle {
    pub(crate) fn new(hub: Hub, committer: Committer, clock: Clock) -> Self {
        Self {
            hub: Mutex::new(hub),
            committer,
            clock,
            links: Links::default(),
            configurations_changed: Notify::new(),
            jobs_changed: Notify::new(),
            transfers_changed: Notify::new(),
            messages_changed: Notify::new(),
        }
    }

    /// Returns the hub, and lets go of its store.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn into_hub(self) -> Hub {
        self.hub.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns what time it is for the hub.
    pub(crate) fn now(&self) -> time::OffsetDateTime {
        (self.clock)()
    }

    /// Returns who is connected.
    pub(crate) fn links(&self) -> &Links {
        &self.links
    }

    /// Does what is asked, and replies when what the reply shows is on disk.
    pub(crate) async fn handle<A: Ask>(&self, ask: A) -> Result<A::Reply, Refusal> {
        let outcome = self.begin(ask, |_| ())?;
        self.durable(outcome.seen).await?;
        outcome.reply
    }

    /// Does what is asked, and lets `then` see the outcome before anything else happens to the hub: what `then` puts
    /// into outboxes is in the order in which things happened. It may be shown only after [`HubHandle::durable`] returns.
    pub(crate) fn begin<A: Ask>(
        &self,
        ask: A,
        then: impl FnOnce(&Outcome<A::Reply>),
    ) -> Result<Outcome<A::Reply>, Refusal> {
        if ask.writes()
            && let Some(failure) = self.committer.failure()
        {
            return Err(stopped(&failure));
        }
        let now = self.now();
        // A panic inside `handle` comes before anything is changed, so what is behind the lock is whole.
        let mut hub = self.hub.lock().unwrap_or_else(PoisonError::into_inner);
        let mut outcome = hub.handle(ask, now);
        if let Some(change) = &outcome.change {
            // Under the lock, so that changes are queued in the order in which they were made; so are notices.
            self.committer.submit(change.clone());
        }
        self.links.deliver(std::mem::take(&mut outcome.notices), outcome.seen);
        then(&outcome);
        Ok(outcome)
    }

    /// Waits until what an outcome shows is on disk.
    pub(crate) async fn durable(&self, seen: u64) -> Result<(), Refusal> {
        match seen {
            0 => Ok(()),
            seen => self.committer.wait(seen).await.map_err(|failure| stopped(&failure)),
        }
    }
}

fn stopped(failure: &Failure) -> Refusal {
    Refusal::new(
        ErrorCode::ServiceUnavailable,
        format!(
            "the hub could not write to its data folder and takes no more writes until it is started again: {failure}"
        ),
    )
}

/// Returns fresh random bytes for a request.
pub(crate) fn entropy() -> Result<Entropy, Refusal> {
    let mut bytes = [0; 80];
    getrandom::fill(&mut bytes)
        .map_err(|_| Refusal::new(ErrorCode::ServerError, "the system gives no random numbers"))?;
    Ok(Entropy(bytes))
}
