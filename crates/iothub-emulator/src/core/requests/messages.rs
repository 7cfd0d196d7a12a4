//! Messages from the cloud: who may send one, what becomes of it, and who hears of that.
//!
//! Queues and feedback last. What a connection or a receiver has taken is in memory alone: after a restart it waits again.

use std::sync::Arc;

use time::OffsetDateTime;

use crate::core::ask::{Ask, Subject};
use crate::core::command::{Notice, Refusal};
use crate::core::messages::{CloudMessage, Feedback, FeedbackStatus, MessageBody, QUEUE_MAX, Settlement, millis};
use crate::core::record::Record;
use crate::core::state::Hub;
use iothub_model::twin::DeviceId;
use iothub_model::twin::TwinId;
use iothub_model::wire::ErrorCode;

/// Messages and outcomes that one sweep looks at.
const SWEEP: usize = 256;

/// Puts a message into a device's queue.
#[derive(Clone, Debug)]
pub(crate) struct SendMessage {
    /// Whose.
    pub(crate) to: TwinId,
    /// What.
    pub(crate) message: Box<MessageBody>,
}

impl Ask for SendMessage {
    type Reply = ();
    const WRITES: bool = true;

    fn subject(&self) -> Subject {
        Subject::Twin(self.to.clone())
    }

    fn perform(self, hub: &mut Hub, now: OffsetDateTime, records: &mut Vec<Record>) -> Result<Self::Reply, Refusal> {
        let Self { to, message } = self;
        let id = &to.device;
        hub.device(id)?;
        if to.module.is_some() {
            let text = "the embedded hub takes messages to devices, and none to modules";
            return Err(Refusal::new(ErrorCode::InvalidOperation, text));
        }
        let time = millis(now);
        let message = CloudMessage::new(hub.last_sequence + 1, hub.next_revision(), id.clone(), *message, now)?;
        // An expired message that is not swept yet does not count.
        let over: Vec<_> = hub.queues.of(id).filter(|message| message.is_over(time)).cloned().collect();
        if hub.queues.count(id) - over.len() >= QUEUE_MAX {
            let text = format!("{QUEUE_MAX} messages wait for the device '{id}', and no more may");
            return Err(Refusal::new(ErrorCode::DeviceMaximumQueueDepthExceeded, text));
        }
        hub.write(Record::Message(message.sequence, Some(Arc::new(message))), records);
        if over.is_empty() {
            hub.recount(id, records);
        } else {
            hub.end(&over, FeedbackStatus::Expired, now, records);
        }
        hub.call_for(id.clone());
        Ok(())
    }
}

/// Empties a device's queue. Replies with how many messages are gone.
#[derive(Clone, Debug)]
pub(crate) struct PurgeMessages {
    /// Whose.
    pub(crate) device: DeviceId,
}

impl Ask for PurgeMessages {
    type Reply = usize;
    const WRITES: bool = true;

    fn subject(&self) -> Subject {
        Subject::Twin(self.device.clone().into())
    }

    fn perform(self, hub: &mut Hub, now: OffsetDateTime, records: &mut Vec<Record>) -> Result<Self::Reply, Refusal> {
        hub.device(&self.device)?;
        let gone: Vec<_> = hub.queues.of(&self.device).cloned().collect();
        hub.end(&gone, FeedbackStatus::Purged, now, records);
        Ok(gone.len())
    }
}

/// Takes outcomes, if it is time for a feedback message. They are the receiver's until it settles them, or for a minute.
#[derive(Clone, Debug)]
pub(crate) struct TakeFeedback {
    /// The receiver's number, which no other has.
    pub(crate) receiver: u64,
}

impl Ask for TakeFeedback {
    type Reply = Vec<Arc<Feedback>>;
    const WRITES: bool = false;

    fn subject(&self) -> Subject {
        // It shows nothing but what it replies with.
        Subject::Nothing
    }

    fn perform(self, hub: &mut Hub, now: OffsetDateTime, _: &mut Vec<Record>) -> Result<Self::Reply, Refusal> {
        Ok(hub.queues.take_feedback(self.receiver, now))
    }

    fn shown(batch: &Self::Reply, _: &Hub) -> Option<u64> {
        Some(batch.iter().map(|feedback| feedback.revision).max().unwrap_or(0))
    }
}

/// Says what becomes of outcomes that were taken.
#[derive(Clone, Debug)]
pub(crate) struct SettleFeedback {
    /// The receiver's number.
    pub(crate) receiver: u64,
    /// Which, by their [`Feedback::sequence`].
    pub(crate) outcomes: Vec<u64>,
    /// What.
    pub(crate) how: Settlement,
}

impl Ask for SettleFeedback {
    type Reply = ();
    const WRITES: bool = true;

    fn subject(&self) -> Subject {
        Subject::Nothing
    }

    fn perform(self, hub: &mut Hub, _: OffsetDateTime, records: &mut Vec<Record>) -> Result<Self::Reply, Refusal> {
        let Self { receiver, outcomes, how } = self;
        for sequence in outcomes {
            if !hub.queues.return_feedback(receiver, sequence) {
                continue;
            }
            let left = match (how, hub.queues.get_feedback(sequence)) {
                (Settlement::Release, _) => continue,
                (Settlement::Abandon, Some(feedback)) => feedback.abandoned(hub.next_revision()),
                (Settlement::Abandon, None) | (Settlement::Complete | Settlement::Reject, _) => None,
            };
            hub.write(Record::Feedback(sequence, left.map(Arc::new)), records);
        }
        Ok(())
    }
}

/// Removes expired messages and feedback, and lets those wait again whose lock ended unsettled.
#[derive(Clone, Debug)]
pub(crate) struct SweepMessages;

/// What time brought about is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Swept {
    /// Is there anything left that time may change.
    pub(crate) waiting: bool,
}

impl Ask for SweepMessages {
    type Reply = Swept;
    const WRITES: bool = true;

    fn subject(&self) -> Subject {
        Subject::Nothing
    }

    fn perform(self, hub: &mut Hub, now: OffsetDateTime, records: &mut Vec<Record>) -> Result<Self::Reply, Refusal> {
        let time = millis(now);
        let over = hub.queues.over(time, SWEEP);
        hub.end(&over, FeedbackStatus::Expired, now, records);
        for sequence in hub.queues.feedback_over(time, SWEEP) {
            hub.write(Record::Feedback(sequence, None), records);
        }
        hub.end_locks(now, records);
        for device in hub.queues.release_overdue(time) {
            hub.call_for(device);
        }
        Ok(Swept { waiting: !hub.queues.is_empty() })
    }
}

impl Hub {
    /// Lets wait again what devices took over HTTPS and said nothing of in time.
    pub(in crate::core) fn end_locks(&mut self, now: OffsetDateTime, records: &mut Vec<Record>) {
        for message in self.queues.unlock_overdue(millis(now)) {
            self.abandon(&message, now, records);
        }
    }

    /// Lets a message wait again that was handed out in vain, unless that was the last time.
    pub(in crate::core) fn abandon(&mut self, message: &CloudMessage, now: OffsetDateTime, records: &mut Vec<Record>) {
        match message.abandoned(self.next_revision()) {
            Some(again) => {
                self.write(Record::Message(message.sequence, Some(Arc::new(again))), records);
                self.call_for(message.device.clone());
            }
            None => self.end(&[Arc::new(message.clone())], FeedbackStatus::DeliveryCountExceeded, now, records),
        }
    }

    /// Ends messages, and lets those hear of it who asked.
    pub(in crate::core) fn end(
        &mut self,
        messages: &[Arc<CloudMessage>],
        status: FeedbackStatus,
        now: OffsetDateTime,
        records: &mut Vec<Record>,
    ) {
        for message in messages {
            self.write(Record::Message(message.sequence, None), records);
            if let Some(body) = message.feedback(status, millis(now))
                && let Some(device) = self.find(&message.device)
            {
                let (id, generation) = (device.id.clone(), device.identity().generation().to_owned());
                let sequence = self.last_sequence + 1;
                let feedback = Feedback::new(sequence, self.next_revision(), id, generation, body);
                self.write(Record::Feedback(sequence, Some(Arc::new(feedback))), records);
            }
        }
        let mut devices: Vec<_> = messages.iter().map(|message| &message.device).collect();
        devices.sort_unstable();
        devices.dedup();
        for device in devices {
            self.recount(device, records);
        }
    }

    /// Lets a device show how many messages wait for it.
    pub(in crate::core) fn recount(&mut self, id: &DeviceId, records: &mut Vec<Record>) {
        let count = self.queues.count(id);
        if let Some(device) = self.find(id) {
            let device = device.with_messages(self.next_revision(), count);
            self.write(Record::Device(device.sequence, Some(device.into())), records);
        }
    }

    /// Forgets the messages of a device that is about to go, and what became of others.
    pub(crate) fn forget_messages(&mut self, id: &DeviceId, records: &mut Vec<Record>) {
        let messages: Vec<_> = self.queues.of(id).map(|message| message.sequence).collect();
        for sequence in messages {
            self.write(Record::Message(sequence, None), records);
        }
        for sequence in self.queues.feedback_of(id) {
            self.write(Record::Feedback(sequence, None), records);
        }
    }

    pub(in crate::core) fn call_for(&mut self, device: DeviceId) {
        let id = TwinId::from(device);
        if self.queues.count(&id.device) > 0 && self.connected.contains_key(&id) {
            self.notices.push(Notice::MessagesWait { id });
        }
    }
}
