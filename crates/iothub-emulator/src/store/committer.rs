//! The thread that writes changes to the disk, and how far it has come.

use std::sync::mpsc;
use std::thread::JoinHandle;

use tokio::sync::watch;

use crate::core::record::Change;
use crate::store::Store;
use crate::store::failure::Failure;

/// Changes in one transaction, at most.
const BATCH: usize = 4096;

/// How far the store has come.
#[derive(Clone, Debug, Default)]
pub(crate) struct Durable {
    /// Every change up to this revision is on disk.
    pub(crate) through: u64,
    /// Why nothing more will be.
    pub(crate) failure: Option<Failure>,
}

/// The thread that writes, and the way to it.
pub(crate) struct Committer {
    queue: Option<mpsc::Sender<Change>>,
    durable: watch::Receiver<Durable>,
    thread: Option<JoinHandle<()>>,
}

impl Committer {
    /// Starts the thread, which owns the store until the committer is dropped.
    pub(crate) fn start(store: Store) -> std::io::Result<Self> {
        let (queue, changes) = mpsc::channel();
        let (progress, durable) = watch::channel(Durable::default());
        let thread = std::thread::Builder::new()
            .name("hub store".to_owned())
            // Not what `RUST_MIN_STACK` says.
            .stack_size(2 << 20)
            .spawn(move || commit_all(store, &changes, &progress))?;
        Ok(Self { queue: Some(queue), durable, thread: Some(thread) })
    }

    /// Makes one without a disk, for which everything is on disk at once, and the end at which its changes come out.
    pub(crate) fn without_disk() -> (Self, mpsc::Receiver<Change>) {
        let (queue, changes) = mpsc::channel();
        let (_, durable) = watch::channel(Durable { through: u64::MAX, failure: None });
        (Self { queue: Some(queue), durable, thread: None }, changes)
    }

    /// Hands a change over. Must be called in the order of revisions.
    pub(crate) fn submit(&self, change: Change) {
        // When the thread is gone, whoever waits for the change hears of it in `wait`.
        let _ = self.queue.as_ref().map(|queue| queue.send(change));
    }

    /// Returns why the store has stopped, when it has.
    pub(crate) fn failure(&self) -> Option<Failure> {
        self.durable.borrow().failure.clone()
    }

    /// Waits until a revision is on disk.
    pub(crate) async fn wait(&self, revision: u64) -> Result<(), Failure> {
        let mut durable = self.durable.clone();
        let outcome = durable.wait_for(|durable| durable.through >= revision || durable.failure.is_some()).await;
        match outcome {
            Ok(durable) if durable.through >= revision => Ok(()),
            Ok(durable) => Err(durable.failure.clone().unwrap_or_else(|| "the store has stopped".into())),
            Err(_) => Err("the store has stopped".into()),
        }
    }
}

/// Writes what is still queued, and lets go of the folder.
impl Drop for Committer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn commit_all(mut store: Store, changes: &mpsc::Receiver<Change>, progress: &watch::Sender<Durable>) {
    while let Ok(first) = changes.recv() {
        let mut batch = vec![first];
        batch.extend(changes.try_iter().take(BATCH - 1));
        let through = batch.last().map_or(0, |change| change.revision);
        match store.commit(&batch) {
            Ok(()) => progress.send_modify(|durable| durable.through = through),
            Err(failure) => {
                progress.send_modify(|durable| durable.failure = Some(failure));
                return;
            }
        }
    }
}
