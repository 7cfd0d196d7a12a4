//! How something is asked of the hub: a type for each thing that can be asked, with the type of its reply.

use time::OffsetDateTime;

use crate::core::command::{Notice, Refusal};
use crate::core::record::{Change, Record};
use crate::core::state::Hub;
use iothub_model::twin::TwinId;

/// One thing asked of the hub. What is random about it comes with it, so that the reply follows from state and request.
pub(crate) trait Ask {
    /// What the hub replies when it does not refuse.
    type Reply;

    /// `true` if it may change something that lasts.
    const WRITES: bool;

    /// Returns `true` if it may change something that lasts, as it is asked.
    fn writes(&self) -> bool {
        Self::WRITES
    }

    /// Returns what it is about.
    fn subject(&self) -> Subject;

    /// Does it as a part of the revision to come, and adds what changed to `records`.
    fn perform(self, hub: &mut Hub, now: OffsetDateTime, records: &mut Vec<Record>) -> Result<Self::Reply, Refusal>;

    /// Returns the revision of the latest change that a reply shows, if the reply itself tells; else the subject does.
    fn shown(_reply: &Self::Reply, _hub: &Hub) -> Option<u64> {
        None
    }
}

/// What a request is about: what its reply shows, when the reply itself does not tell.
#[derive(Clone, Debug)]
pub(crate) enum Subject {
    /// One device or module.
    Twin(TwinId),
    /// Configurations, and which there are.
    Configurations,
    /// Jobs, and which there are.
    Jobs,
    /// Import and export jobs, and which there are.
    Transfers,
    /// Nothing at all.
    Nothing,
    /// More than can be told.
    Many,
}

impl Subject {
    /// Returns the revision of the latest change to it.
    fn latest(&self, hub: &Hub) -> u64 {
        match self {
            Self::Configurations => hub.configurations.latest,
            Self::Jobs => hub.jobs.latest,
            Self::Transfers => hub.transfers.latest,
            Self::Twin(id) => {
                let device = hub.find(&id.device).map_or(hub.removal, |device| device.revision);
                let module = id.module.as_ref().map(|_| hub.modules.twin(id).map_or(hub.removal, |it| it.revision));
                device.max(module.unwrap_or(0))
            }
            Self::Nothing => 0,
            Self::Many => hub.revision,
        }
    }
}

/// The outcome of a request.
#[derive(Clone, Debug)]
pub(crate) struct Outcome<R> {
    /// The reply.
    pub(crate) reply: Result<R, Refusal>,
    /// What changed, for the store.
    pub(crate) change: Option<Change>,
    /// The [`Change::revision`] of the latest change that the reply shows. The reply is sent when that change is on disk:
    /// otherwise a crash could take back an etag that a client has.
    pub(crate) seen: u64,
    /// What connected devices are to hear of.
    pub(crate) notices: Vec<Notice>,
}

impl Hub {
    /// Does what is asked.
    pub(crate) fn handle<A: Ask>(&mut self, ask: A, now: OffsetDateTime) -> Outcome<A::Reply> {
        self.now = Some(now);
        if let Some(lag) = &mut self.lag {
            lag.settle(now);
        }
        if let Some(lag) = &mut self.module_lag {
            lag.settle(now);
        }
        let subject = ask.subject();
        let mut records = Vec::new();
        let reply = ask.perform(self, now, &mut records);
        let notices = std::mem::take(&mut self.notices);
        if records.is_empty() {
            let shown = reply.as_ref().ok().and_then(|reply| A::shown(reply, self));
            let seen = shown.unwrap_or_else(|| subject.latest(self));
            return Outcome { reply, change: None, seen, notices };
        }
        self.revision += 1;
        let revision = self.revision;
        Outcome { reply, change: Some(Change { revision, records }), seen: revision, notices }
    }
}
