//! Messages from the cloud: who may send one, what becomes of it, and who hears of that.
//!
//! Queues and feedback last. What a connection or a receiver has taken is in memory alone: after a restart it waits again.

use std::sync::Arc;

use time::OffsetDateTime;

use crate::core::command::{Notice, Record, Refusal, Reply};
use crate::core::messages::{
    CloudMessage, Feedback, FeedbackStatus, MessageBody, MessageCommand, QUEUE_MAX, Settlement, millis,
};
use crate::core::state::Hub;
use iothub_model::twin::DeviceId;
use iothub_model::twin::TwinId;
use iothub_model::wire::ErrorCode;

/// Messages and outcomes that one sweep looks at.
const SWEEP: usize = 256;

impl Hub {
    pub(crate) fn message(
        &mut self,
        command: MessageCommand,
        now: OffsetDateTime,
        records: &mut Vec<Record>,
    ) -> Result<Reply, Refusal> {
        match command {
            MessageCommand::Send { to, message } => self.send(&to, *message, now, records),
            MessageCommand::Purge { device } => {
                self.device(&device)?;
                let gone: Vec<_> = self.queues.of(&device).cloned().collect();
                self.end(&gone, FeedbackStatus::Purged, now, records);
                Ok(Reply::Purged(gone.len()))
            }
            MessageCommand::Receive { device, proof, lock, lasts } => {
                self.prove(&device, &proof)?;
                self.show(&device.clone().into(), None, now);
                self.end_locks(now, records);
                let next = self.queues.lock_next(&device, lock, lasts, millis(now));
                Ok(Reply::Messages(next.into_iter().collect()))
            }
            MessageCommand::Settle { device, proof, lock, how } => {
                self.prove(&device, &proof)?;
                self.show(&device.clone().into(), None, now);
                self.end_locks(now, records);
                let Some(message) = self.queues.unlock(&device, &lock) else {
                    let text = "no message of this device has such a lock, or its time is over";
                    return Err(Refusal::new(ErrorCode::DeviceMessageLockLost, text));
                };
                match how {
                    Settlement::Complete => self.end(&[message], FeedbackStatus::Success, now, records),
                    Settlement::Reject => self.end(&[message], FeedbackStatus::Rejected, now, records),
                    Settlement::Abandon | Settlement::Release => self.abandon(&message, now, records),
                }
                Ok(Reply::Done)
            }
            MessageCommand::Telemetry { device, proof } => {
                self.prove(&device, &proof)?;
                self.show(&device.into(), None, now);
                Ok(Reply::Done)
            }
            MessageCommand::TakeFeedback { receiver } => Ok(Reply::Feedback(self.queues.take_feedback(receiver, now))),
            MessageCommand::SettleFeedback { receiver, outcomes, how } => {
                for sequence in outcomes {
                    if !self.queues.return_feedback(receiver, sequence) {
                        continue;
                    }
                    let left = match (how, self.queues.get_feedback(sequence)) {
                        (Settlement::Release, _) => continue,
                        (Settlement::Abandon, Some(feedback)) => feedback.abandoned(self.next_revision()),
                        (Settlement::Abandon, None) | (Settlement::Complete | Settlement::Reject, _) => None,
                    };
                    self.write(Record::Feedback(sequence, left.map(Arc::new)), records);
                }
                Ok(Reply::Done)
            }
            MessageCommand::Sweep => {
                let time = millis(now);
                let over = self.queues.over(time, SWEEP);
                self.end(&over, FeedbackStatus::Expired, now, records);
                for sequence in self.queues.feedback_over(time, SWEEP) {
                    self.write(Record::Feedback(sequence, None), records);
                }
                self.end_locks(now, records);
                for device in self.queues.release_overdue(time) {
                    self.call_for(device);
                }
                Ok(Reply::Swept { waiting: !self.queues.is_empty() })
            }
        }
    }

    fn send(
        &mut self,
        to: &TwinId,
        body: MessageBody,
        now: OffsetDateTime,
        records: &mut Vec<Record>,
    ) -> Result<Reply, Refusal> {
        let id = &to.device;
        self.device(id)?;
        if to.module.is_some() {
            let text = "the embedded hub takes messages to devices, and none to modules";
            return Err(Refusal::new(ErrorCode::InvalidOperation, text));
        }
        let time = millis(now);
        let message = CloudMessage::new(self.last_sequence + 1, self.next_revision(), id.clone(), body, now)?;
        // What is over and not swept yet takes nobody's place.
        let over: Vec<_> = self.queues.of(id).filter(|message| message.is_over(time)).cloned().collect();
        if self.queues.count(id) - over.len() >= QUEUE_MAX {
            let text = format!("{QUEUE_MAX} messages wait for the device '{id}', and no more may");
            return Err(Refusal::new(ErrorCode::DeviceMaximumQueueDepthExceeded, text));
        }
        self.write(Record::Message(message.sequence, Some(Arc::new(message))), records);
        if over.is_empty() {
            self.recount(id, records);
        } else {
            self.end(&over, FeedbackStatus::Expired, now, records);
        }
        self.call_for(id.clone());
        Ok(Reply::Done)
    }

    /// Lets wait again what devices took over HTTPS and said nothing of in time.
    fn end_locks(&mut self, now: OffsetDateTime, records: &mut Vec<Record>) {
        for message in self.queues.unlock_overdue(millis(now)) {
            self.abandon(&message, now, records);
        }
    }

    /// Lets a message wait again that was handed out in vain, unless that was the last time.
    fn abandon(&mut self, message: &CloudMessage, now: OffsetDateTime, records: &mut Vec<Record>) {
        match message.abandoned(self.next_revision()) {
            Some(again) => {
                self.write(Record::Message(message.sequence, Some(Arc::new(again))), records);
                self.call_for(message.device.clone());
            }
            None => self.end(&[Arc::new(message.clone())], FeedbackStatus::DeliveryCountExceeded, now, records),
        }
    }

    /// Hands a connection what waits for its client.
    pub(crate) fn take_messages(
        &mut self,
        id: &TwinId,
        connection: u64,
        at_most_once: bool,
        now: OffsetDateTime,
        records: &mut Vec<Record>,
    ) -> Result<Reply, Refusal> {
        self.check_connection(id, connection)?;
        let messages = self.queues.take(&id.device, connection, millis(now));
        if at_most_once {
            self.end(&messages, FeedbackStatus::Success, now, records);
            if !messages.is_empty() {
                self.call_for(id.device.clone());
            }
        }
        Ok(Reply::Messages(messages))
    }

    /// Does what it means that a client has a message. One that the connection has no longer is passed over.
    pub(crate) fn complete_message(
        &mut self,
        id: &TwinId,
        connection: u64,
        message: u64,
        now: OffsetDateTime,
        records: &mut Vec<Record>,
    ) -> Result<Reply, Refusal> {
        self.check_connection(id, connection)?;
        if self.queues.has(&id.device, connection, message)
            && let Some(message) = self.queues.get(message).cloned()
        {
            self.end(&[message], FeedbackStatus::Success, now, records);
            // There may be more than it was given at once.
            self.call_for(id.device.clone());
        }
        Ok(Reply::Done)
    }

    /// Ends messages, and lets those hear of it who asked.
    fn end(
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
    fn recount(&mut self, id: &DeviceId, records: &mut Vec<Record>) {
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

    fn call_for(&mut self, device: DeviceId) {
        let id = TwinId::from(device);
        if self.queues.count(&id.device) > 0 && self.connected.contains_key(&id) {
            self.notices.push(Notice::MessagesWait { id });
        }
    }
}
