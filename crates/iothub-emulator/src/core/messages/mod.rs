//! Messages from the cloud to devices, and what became of them (docs: Understand cloud-to-device messaging from an IoT hub).
//!
//! Owns what a message and its feedback are, and where they wait (`queues`); `operations` and `delivery` decide what becomes of one. Both
//! last until they are done with; who has one in its hands at present is in memory alone. Read [`CloudMessage`] first.

// In reading order: a module uses those above it, and none below.
mod moments;
mod feedback;
mod message;
pub(crate) mod queues;
mod delivery;
mod operations;

pub(crate) use delivery::{CompleteMessage, ReceiveMessage, SettleMessage, TakeMessages, TakeTelemetry};
pub(crate) use feedback::{Feedback, FeedbackStatus, feedback_body};
pub(crate) use message::{CloudMessage, MessageBody};
pub(crate) use moments::millis;
pub(crate) use operations::{PurgeMessages, SendMessage, SettleFeedback, SweepMessages, Swept, TakeFeedback};

/// Messages that wait for a device, at most.
pub(crate) const QUEUE_MAX: usize = 50;
/// How long a message is kept that says nothing of it.
pub(crate) const TIME_TO_LIVE: time::Duration = time::Duration::HOUR;
/// How long whoever has taken something has to say what became of it.
pub(crate) const LOCK: time::Duration = time::Duration::MINUTE;
/// How often feedback, or a message over HTTPS, is handed out before it is given up.
pub(crate) const DELIVERIES_MAX: u32 = 10;
/// Outcomes in one feedback message, at most.
pub(crate) const BATCH_MAX: usize = 64;
/// From one feedback message to the next, unless that one is full.
pub(crate) const BATCH_EVERY: time::Duration = time::Duration::seconds(15);
/// Bytes of a message with all its properties, at most (docs: IoT Hub quotas and throttling).
pub(crate) const MESSAGE_MAX_BYTES: usize = 64 * 1024;

/// What a receiver says of what it took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settlement {
    /// It has it.
    Complete,
    /// It could not do anything with it now.
    Abandon,
    /// It will never do anything with it.
    Reject,
    /// It is gone and has said nothing.
    Release,
}
