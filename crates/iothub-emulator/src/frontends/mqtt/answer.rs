//! The way of an answer to its client, and the fault that was injected into it.

use bytes::BytesMut;

use crate::frontends::mqtt::admission::Ending;
use crate::frontends::mqtt::outbox::{ClientOutbox, Message};

/// The way of an answer.
#[derive(Clone, Copy)]
pub(crate) struct Answer<'a> {
    outbox: &'a ClientOutbox,
    ending: Ending,
}

impl<'a> Answer<'a> {
    pub(crate) fn new(outbox: &'a ClientOutbox, ending: Ending) -> Self {
        Self { outbox, ending }
    }

    /// Puts the answer into the outbox, unless it is not to come.
    pub(crate) fn offer(self, message: Message, seen: u64) {
        match self.ending {
            Ending::Answered(None) => self.outbox.offer(message, seen),
            Ending::Answered(Some(fault)) => self.outbox.offer(Message::Faulty(Box::new(message), fault), seen),
            Ending::Unanswered | Ending::Broken => {}
        }
    }

    /// The way of what only says that a request has come: it comes to no harm, unless nothing comes at all.
    pub(super) fn of_packets(self) -> Self {
        let ending = if self.ending == Ending::Broken { Ending::Broken } else { Ending::Answered(None) };
        Self { ending, ..self }
    }

    pub(super) fn say(self, write: impl Fn(&mut BytesMut) -> Result<usize, mqttbytes::Error>, seen: u64) {
        let mut buffer = BytesMut::new();
        if write(&mut buffer).is_ok() {
            self.offer(Message::Packet(buffer.freeze()), seen);
        }
    }
}
