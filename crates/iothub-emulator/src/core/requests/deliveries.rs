//! What devices ask about messages from the cloud that are theirs, over HTTPS and through a connection.

use std::sync::Arc;

use time::OffsetDateTime;

use crate::core::ask::{Ask, Subject};
use crate::core::command::Refusal;
use crate::core::messages::{CloudMessage, FeedbackStatus, Settlement, millis};
use crate::core::record::Record;
use crate::core::session::Proof;
use crate::core::state::Hub;
use iothub_model::twin::DeviceId;
use iothub_model::twin::TwinId;
use iothub_model::wire::ErrorCode;

/// Hands a device its next message over HTTPS. It is the device's for a while, under a lock that names it.
#[derive(Clone, Debug)]
pub(crate) struct ReceiveMessage {
    /// Whose.
    pub(crate) device: DeviceId,
    /// How it proves who it is.
    pub(crate) proof: Proof,
    /// The lock's name, which no other has.
    pub(crate) lock: String,
    /// For how long.
    pub(crate) lasts: time::Duration,
}

impl Ask for ReceiveMessage {
    type Reply = Option<Arc<CloudMessage>>;
    // A lock that is over counts as a delivery.
    const WRITES: bool = true;

    fn subject(&self) -> Subject {
        Subject::Twin(self.device.clone().into())
    }

    fn perform(self, hub: &mut Hub, now: OffsetDateTime, records: &mut Vec<Record>) -> Result<Self::Reply, Refusal> {
        let Self { device, proof, lock, lasts } = self;
        hub.prove(&device, &proof)?;
        hub.show(&device.clone().into(), None, now);
        hub.end_locks(now, records);
        Ok(hub.queues.lock_next(&device, lock, lasts, millis(now)))
    }

    fn shown(message: &Self::Reply, _: &Hub) -> Option<u64> {
        Some(message.as_ref().map_or(0, |message| message.revision))
    }
}

/// Says what becomes of a message that a device has under a lock.
#[derive(Clone, Debug)]
pub(crate) struct SettleMessage {
    /// Whose.
    pub(crate) device: DeviceId,
    /// How it proves who it is.
    pub(crate) proof: Proof,
    /// The lock's name.
    pub(crate) lock: String,
    /// What.
    pub(crate) how: Settlement,
}

impl Ask for SettleMessage {
    type Reply = ();
    // As above.
    const WRITES: bool = true;

    fn subject(&self) -> Subject {
        Subject::Twin(self.device.clone().into())
    }

    fn perform(self, hub: &mut Hub, now: OffsetDateTime, records: &mut Vec<Record>) -> Result<Self::Reply, Refusal> {
        let Self { device, proof, lock, how } = self;
        hub.prove(&device, &proof)?;
        hub.show(&device.clone().into(), None, now);
        hub.end_locks(now, records);
        let Some(message) = hub.queues.unlock(&device, &lock) else {
            let text = "no message of this device has such a lock, or its time is over";
            return Err(Refusal::new(ErrorCode::DeviceMessageLockLost, text));
        };
        match how {
            Settlement::Complete => hub.end(&[message], FeedbackStatus::Success, now, records),
            Settlement::Reject => hub.end(&[message], FeedbackStatus::Rejected, now, records),
            Settlement::Abandon | Settlement::Release => hub.abandon(&message, now, records),
        }
        Ok(())
    }
}

/// Takes a message of a device over HTTPS. It goes nowhere.
#[derive(Clone, Debug)]
pub(crate) struct TakeTelemetry {
    /// Whose.
    pub(crate) device: DeviceId,
    /// How it proves who it is.
    pub(crate) proof: Proof,
}

impl Ask for TakeTelemetry {
    type Reply = ();
    const WRITES: bool = false;

    fn subject(&self) -> Subject {
        Subject::Nothing
    }

    fn perform(self, hub: &mut Hub, now: OffsetDateTime, _: &mut Vec<Record>) -> Result<Self::Reply, Refusal> {
        hub.prove(&self.device, &self.proof)?;
        hub.show(&self.device.into(), None, now);
        Ok(())
    }
}

/// Takes messages from the cloud that wait. They are the connection's until it completes them, or for a minute.
#[derive(Clone, Debug)]
pub(crate) struct TakeMessages {
    /// Whose.
    pub(crate) id: TwinId,
    /// The connection's number.
    pub(crate) connection: u64,
    /// Do they count as completed with that.
    pub(crate) at_most_once: bool,
}

impl Ask for TakeMessages {
    type Reply = Vec<Arc<CloudMessage>>;
    const WRITES: bool = true;

    fn writes(&self) -> bool {
        self.at_most_once
    }

    fn subject(&self) -> Subject {
        Subject::Twin(self.id.clone())
    }

    fn perform(self, hub: &mut Hub, now: OffsetDateTime, records: &mut Vec<Record>) -> Result<Self::Reply, Refusal> {
        let Self { id, connection, at_most_once } = self;
        hub.check_connection(&id, connection)?;
        let messages = hub.queues.take(&id.device, connection, millis(now));
        if at_most_once {
            hub.end(&messages, FeedbackStatus::Success, now, records);
            if !messages.is_empty() {
                hub.call_for(id.device);
            }
        }
        Ok(messages)
    }

    fn shown(messages: &Self::Reply, _: &Hub) -> Option<u64> {
        Some(messages.iter().map(|message| message.revision).max().unwrap_or(0))
    }
}

/// Says that a client has a message that it took. One that the connection has no longer is passed over.
#[derive(Clone, Debug)]
pub(crate) struct CompleteMessage {
    /// Whose.
    pub(crate) id: TwinId,
    /// The connection's number.
    pub(crate) connection: u64,
    /// Which, by its [`CloudMessage::sequence`].
    pub(crate) message: u64,
}

impl Ask for CompleteMessage {
    type Reply = ();
    const WRITES: bool = true;

    fn subject(&self) -> Subject {
        Subject::Twin(self.id.clone())
    }

    fn perform(self, hub: &mut Hub, now: OffsetDateTime, records: &mut Vec<Record>) -> Result<Self::Reply, Refusal> {
        let Self { id, connection, message } = self;
        hub.check_connection(&id, connection)?;
        if hub.queues.has(&id.device, connection, message)
            && let Some(message) = hub.queues.get(message).cloned()
        {
            hub.end(&[message], FeedbackStatus::Success, now, records);
            // There may be more than it was given at once.
            hub.call_for(id.device);
        }
        Ok(())
    }
}
