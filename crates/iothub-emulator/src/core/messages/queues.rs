//! Where messages and their feedback wait, and who has which in its hands.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::sync::Arc;

use time::OffsetDateTime;

use crate::core::messages::moments::{millis, millis_in};
use crate::core::messages::{BATCH_EVERY, BATCH_MAX, CloudMessage, Feedback, LOCK};
use iothub_model::twin::DeviceId;

/// Messages that one connection has in its hands at a time.
const IN_FLIGHT: usize = 16;

/// All messages and all feedback.
#[derive(Debug, Default)]
pub(crate) struct Queues {
    messages: BTreeMap<u64, Arc<CloudMessage>>,
    /// The messages of each device, by their sequence.
    of_device: HashMap<DeviceId, BTreeSet<u64>>,
    /// When which message is over.
    ends: BTreeSet<(i64, u64)>,
    /// What a device's connection has taken.
    taken: HashMap<DeviceId, Taken>,
    /// What devices have taken over HTTPS.
    locks: BTreeMap<u64, Lock>,
    feedback: BTreeMap<u64, Arc<Feedback>>,
    /// Whose an outcome is, and until when.
    lent: BTreeMap<u64, (u64, i64)>,
    /// When feedback was handed out last.
    last_batch: Option<OffsetDateTime>,
}

#[derive(Debug)]
struct Taken {
    connection: u64,
    /// Until when each message is the connection's.
    until: BTreeMap<u64, i64>,
}

#[derive(Debug)]
struct Lock {
    name: String,
    /// Until when the message is the device's.
    until: i64,
}

impl Queues {
    pub(crate) fn put(&mut self, message: Arc<CloudMessage>) {
        self.remove(message.sequence);
        self.of_device.entry(message.device.clone()).or_default().insert(message.sequence);
        self.ends.insert((message.expires, message.sequence));
        self.messages.insert(message.sequence, message);
    }

    pub(crate) fn remove(&mut self, sequence: u64) {
        let Some(message) = self.messages.remove(&sequence) else { return };
        self.ends.remove(&(message.expires, sequence));
        self.locks.remove(&sequence);
        if let Some(queue) = self.of_device.get_mut(&message.device) {
            queue.remove(&sequence);
            if queue.is_empty() {
                self.of_device.remove(&message.device);
            }
        }
        if let Some(taken) = self.taken.get_mut(&message.device) {
            taken.until.remove(&sequence);
            if taken.until.is_empty() {
                self.taken.remove(&message.device);
            }
        }
    }

    pub(crate) fn put_feedback(&mut self, feedback: Arc<Feedback>) {
        self.feedback.insert(feedback.sequence, feedback);
    }

    pub(crate) fn remove_feedback(&mut self, sequence: u64) {
        self.feedback.remove(&sequence);
        self.lent.remove(&sequence);
    }

    pub(crate) fn get(&self, sequence: u64) -> Option<&Arc<CloudMessage>> {
        self.messages.get(&sequence)
    }

    pub(crate) fn get_feedback(&self, sequence: u64) -> Option<&Arc<Feedback>> {
        self.feedback.get(&sequence)
    }

    /// Says whether there is anything that time may change.
    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty() && self.feedback.is_empty()
    }

    /// Returns the messages of a device, oldest first.
    pub(crate) fn of(&self, device: &DeviceId) -> impl Iterator<Item = &Arc<CloudMessage>> {
        self.of_device.get(device).into_iter().flatten().filter_map(|sequence| self.messages.get(sequence))
    }

    /// Returns how many messages a device has.
    pub(crate) fn count(&self, device: &DeviceId) -> usize {
        self.of_device.get(device).map_or(0, BTreeSet::len)
    }

    /// Returns the feedback about messages to a device.
    pub(crate) fn feedback_of(&self, device: &DeviceId) -> Vec<u64> {
        self.feedback.values().filter(|feedback| feedback.device() == device).map(|it| it.sequence).collect()
    }

    /// Returns messages that are over, oldest end first, so many at most.
    pub(crate) fn over(&self, now: i64, limit: usize) -> Vec<Arc<CloudMessage>> {
        let over = self.ends.iter().take_while(|(end, _)| *end <= now).take(limit);
        over.filter_map(|(_, sequence)| self.messages.get(sequence).cloned()).collect()
    }

    /// Returns feedback that is over, so many at most. It ends in the order in which it came.
    pub(crate) fn feedback_over(&self, now: i64, limit: usize) -> Vec<u64> {
        self.feedback.values().take_while(|it| it.expires() <= now).take(limit).map(|it| it.sequence).collect()
    }

    /// Hands a connection the next messages of its device. They are its own for a while, or until there is another connection.
    pub(crate) fn take(&mut self, device: &DeviceId, connection: u64, now: i64) -> Vec<Arc<CloudMessage>> {
        let Some(queue) = self.of_device.get(device) else { return Vec::new() };
        let fresh = || Taken { connection, until: BTreeMap::new() };
        let taken = self.taken.entry(device.clone()).or_insert_with(fresh);
        if taken.connection != connection {
            *taken = fresh();
        }
        let mut given = Vec::new();
        for sequence in queue {
            if taken.until.len() >= IN_FLIGHT {
                break;
            }
            let Some(message) = self.messages.get(sequence) else { continue };
            if taken.until.contains_key(sequence) || self.locks.contains_key(sequence) || message.is_over(now) {
                continue;
            }
            taken.until.insert(*sequence, now + millis_in(LOCK));
            given.push(message.clone());
        }
        if taken.until.is_empty() {
            self.taken.remove(device);
        }
        given
    }

    /// Hands a device its next message over HTTPS, under a lock.
    pub(crate) fn lock_next(
        &mut self,
        device: &DeviceId,
        name: String,
        lasts: time::Duration,
        now: i64,
    ) -> Option<Arc<CloudMessage>> {
        let taken = self.taken.get(device);
        let waits = |message: &&Arc<CloudMessage>| {
            let sequence = &message.sequence;
            let is_taken = taken.is_some_and(|taken| taken.until.contains_key(sequence));
            !is_taken && !self.locks.contains_key(sequence) && !message.is_over(now)
        };
        let message = self.of(device).find(waits)?.clone();
        self.locks.insert(message.sequence, Lock { name, until: now + millis_in(lasts) });
        Some(message)
    }

    /// Takes a lock off a device's message and returns the message; `None` if it has no such lock.
    pub(crate) fn unlock(&mut self, device: &DeviceId, name: &str) -> Option<Arc<CloudMessage>> {
        let of_lock =
            |message: &&Arc<CloudMessage>| self.locks.get(&message.sequence).is_some_and(|lock| lock.name == name);
        let message = self.of(device).find(of_lock)?.clone();
        self.locks.remove(&message.sequence);
        Some(message)
    }

    /// Takes off the locks that are over, and returns their messages.
    pub(crate) fn unlock_overdue(&mut self, now: i64) -> Vec<Arc<CloudMessage>> {
        let mut over = Vec::new();
        self.locks.retain(|sequence, lock| {
            let holds = lock.until > now;
            if !holds {
                over.extend(self.messages.get(sequence).cloned());
            }
            holds
        });
        over
    }

    /// Says whether a connection has a message in its hands.
    pub(crate) fn has(&self, device: &DeviceId, connection: u64, sequence: u64) -> bool {
        let taken = self.taken.get(device).filter(|taken| taken.connection == connection);
        taken.is_some_and(|taken| taken.until.contains_key(&sequence))
    }

    /// Lets wait again what a connection has in its hands.
    pub(crate) fn release(&mut self, device: &DeviceId) {
        self.taken.remove(device);
    }

    /// Lets wait again what was taken too long ago. Returns the devices that have such messages.
    pub(crate) fn release_overdue(&mut self, now: i64) -> Vec<DeviceId> {
        self.lent.retain(|_, (_, until)| *until > now);
        let mut again = Vec::new();
        self.taken.retain(|device, taken| {
            let before = taken.until.len();
            taken.until.retain(|_, until| *until > now);
            if taken.until.len() < before {
                again.push(device.clone());
            }
            !taken.until.is_empty()
        });
        again
    }

    /// Hands a receiver the outcomes of one feedback message, if it is time for one.
    pub(crate) fn take_feedback(&mut self, receiver: u64, now: OffsetDateTime) -> Vec<Arc<Feedback>> {
        let time = millis(now);
        let waits = |it: &&Arc<Feedback>| !self.lent.contains_key(&it.sequence) && it.expires() > time;
        let batch: Vec<_> = self.feedback.values().filter(waits).take(BATCH_MAX).cloned().collect();
        let is_due = self.last_batch.is_none_or(|last| now - last >= BATCH_EVERY || now < last);
        if batch.is_empty() || (batch.len() < BATCH_MAX && !is_due) {
            return Vec::new();
        }
        self.last_batch = Some(now);
        self.lent.extend(batch.iter().map(|it| (it.sequence, (receiver, time + millis_in(LOCK)))));
        batch
    }

    /// Takes an outcome back from a receiver. Says whether it had it.
    pub(crate) fn return_feedback(&mut self, receiver: u64, sequence: u64) -> bool {
        match self.lent.get(&sequence) {
            Some((holder, _)) if *holder == receiver => self.lent.remove(&sequence).is_some(),
            Some(_) | None => false,
        }
    }
}
