//! Messages from the cloud to devices, and what became of them (docs: Understand cloud-to-device messaging from an IoT hub).
//!
//! Owns what a message and its feedback are, and where they wait (`queues`). Both last until they are settled; who has taken one at
//! present is in memory alone. `core::requests` decides what happens to them. Read [`CloudMessage`] first.

// In reading order: a module uses those above it, and none below.
pub(in crate::core) mod moments;
pub(in crate::core) mod feedback;
pub(in crate::core) mod message;
pub(crate) mod queues;

pub(crate) use feedback::{Feedback, FeedbackStatus, feedback_body};
pub(crate) use message::{CloudMessage, MessageBody};
pub(crate) use moments::millis;

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
