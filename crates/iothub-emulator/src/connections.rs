//! Who is connected, and how to reach them: one link for each identity.
//!
//! A link is what the rest of the hub sees of a connection: an outbox, what the client is subscribed to, the direct methods
//! that wait for it. Nothing here waits for a client. What is put into an outbox is written by the connection itself.

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::sync::watch;

use crate::core::command::Notice;
use crate::core::outbox::{CutReason, Outbox};
use iothub_model::twin::TwinId;
use iothub_model::wire::topics::Subscription;

/// All links of a hub.
pub(crate) struct Links {
    by_id: Mutex<HashMap<TwinId, Arc<ClientLink>>>,
    last_connection: AtomicU64,
    /// Counts what may bring a client within reach: connections and subscriptions.
    arrivals: watch::Sender<u64>,
}

impl Default for Links {
    fn default() -> Self {
        Self { by_id: Mutex::default(), last_connection: AtomicU64::new(0), arrivals: watch::channel(0).0 }
    }
}

/// A connected client.
pub(crate) struct ClientLink {
    id: TwinId,
    connection: u64,
    outbox: Arc<dyn Outbox>,
    subscriptions: Mutex<BTreeSet<Subscription>>,
    calls: Mutex<Calls>,
}

/// The direct methods that wait for an answer.
#[derive(Default)]
struct Calls {
    last: u64,
    waiting: HashMap<String, oneshot::Sender<MethodResult>>,
}

/// What a device answers a direct method with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MethodResult {
    pub(crate) status: i32,
    pub(crate) payload: Bytes,
}

impl Links {
    /// Returns a number that no connection had.
    pub(crate) fn next_connection(&self) -> u64 {
        self.last_connection.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Makes a link the one of its identity, and cuts the one that was.
    pub(crate) fn register(&self, link: &Arc<ClientLink>) {
        // The new one stands before the old one falls, so that its end is not taken for the client's.
        if let Some(old) = self.lock().insert(link.id.clone(), link.clone()) {
            old.outbox.cut(CutReason::TakenOver);
        }
        self.announce();
    }

    /// Takes a link out, unless another one has taken its place.
    pub(crate) fn remove(&self, link: &ClientLink) {
        if let Entry::Occupied(entry) = self.lock().entry(link.id.clone())
            && entry.get().connection == link.connection
        {
            entry.remove();
        }
    }

    /// Says that a client may have come within reach.
    pub(crate) fn announce(&self) {
        self.arrivals.send_modify(|arrivals| *arrivals += 1);
    }

    /// Returns what changes whenever a client may have come within reach.
    pub(crate) fn arrivals(&self) -> watch::Receiver<u64> {
        self.arrivals.subscribe()
    }

    pub(crate) fn find(&self, id: &TwinId) -> Option<Arc<ClientLink>> {
        self.lock().get(id).cloned()
    }

    /// Returns how many devices are connected, their modules not counted.
    pub(crate) fn devices(&self) -> usize {
        self.lock().keys().filter(|id| id.module.is_none()).count()
    }

    /// Hands notices to those whom they are for. They show what is on disk once the revision `seen` is.
    pub(crate) fn deliver(&self, notices: Vec<Notice>, seen: u64) {
        for notice in notices {
            match notice {
                Notice::DesiredPatch { id, patch } => {
                    if let Some(link) = self.find(&id)
                        && link.is_subscribed(Subscription::DesiredPatches)
                    {
                        link.outbox.desired_patch(patch, seen);
                    }
                }
                Notice::MessagesWait { id } => {
                    if let Some(link) = self.find(&id) {
                        link.outbox.messages_wait();
                    }
                }
                Notice::Cut { id, reason } => {
                    if let Some(link) = self.find(&id) {
                        link.outbox.cut(reason);
                    }
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TwinId, Arc<ClientLink>>> {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientLink {
    pub(crate) fn new(id: TwinId, connection: u64, outbox: Arc<dyn Outbox>) -> Self {
        Self { id, connection, outbox, subscriptions: Mutex::default(), calls: Mutex::default() }
    }

    pub(crate) fn id(&self) -> &TwinId {
        &self.id
    }

    pub(crate) fn connection(&self) -> u64 {
        self.connection
    }

    pub(crate) fn subscriptions(&self) -> MutexGuard<'_, BTreeSet<Subscription>> {
        self.subscriptions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn is_subscribed(&self, to: Subscription) -> bool {
        self.subscriptions().contains(&to)
    }

    /// Sends a direct method's call on its way, and returns where its answer arrives; when the connection ends before, the
    /// sender is dropped.
    pub(crate) fn call(&self, name: String, payload: Bytes) -> PendingCall<'_> {
        let (answer, result) = oneshot::channel();
        let rid = {
            let mut calls = self.calls();
            calls.last += 1;
            let rid = format!("{:x}", calls.last);
            calls.waiting.insert(rid.clone(), answer);
            rid
        };
        self.outbox.method_call(name, rid.clone(), payload);
        PendingCall { link: self, rid, result }
    }

    /// Takes a device's answer to a direct method. One that nobody waits for is passed over.
    pub(crate) fn answer(&self, rid: &str, result: MethodResult) {
        if let Some(waiting) = self.calls().waiting.remove(rid) {
            let _ = waiting.send(result);
        }
    }

    /// Lets go of all who wait for an answer: none will come.
    pub(crate) fn abandon_calls(&self) {
        self.calls().waiting.clear();
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call under way. Dropped, nobody waits for it any more.
pub(crate) struct PendingCall<'a> {
    link: &'a ClientLink,
    rid: String,
    result: oneshot::Receiver<MethodResult>,
}

impl PendingCall<'_> {
    /// Waits for the answer; none when the connection ended.
    pub(crate) async fn result(&mut self) -> Option<MethodResult> {
        (&mut self.result).await.ok()
    }
}

impl Drop for PendingCall<'_> {
    fn drop(&mut self) {
        self.link.calls().waiting.remove(&self.rid);
    }
}
