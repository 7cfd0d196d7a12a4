//! Sessions and links as far as they are counting: windows, credit, numbers of deliveries (AMQP 1.0, parts 2.5 and 2.6).

use std::collections::BTreeMap;
use std::collections::VecDeque;

use bytes::Bytes;
use bytes::BytesMut;
use fe2o3_amqp_types::performatives::Begin;
use fe2o3_amqp_types::performatives::Flow;
use fe2o3_amqp_types::performatives::Transfer;

use crate::frontends::amqp::nodes::Node;

/// Frames that a client may send before the hub says again how many it may.
const INCOMING_WINDOW: u32 = 2048;
/// Messages that a client may send over a link before the hub says again how many it may.
const CREDIT: u32 = 100;
/// Bytes of a message, at most, as the service tells its clients (azure-iot-sdk-c#2233).
pub(crate) const DELIVERY_MAX_BYTES: usize = 1 << 20;
/// Answers to tokens that wait for a client which does not take them.
const ANSWERS_MAX: usize = 8;

/// One session.
#[derive(Debug)]
pub(crate) struct AmqpSession {
    /// The number of the next frame with a part of a message from the client.
    next_incoming: u32,
    /// How many of these it may still send.
    incoming_window: u32,
    /// The number of the next such frame from the hub; deliveries are numbered alike.
    next_outgoing: u32,
    next_delivery: u32,
    /// How many of these the client takes.
    outgoing_window: u32,
    /// By the numbers that the client gives them, which are the hub's as well.
    pub(crate) links: BTreeMap<u32, Link>,
}

/// One link.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) node: Node,
    /// Was it refused or ended by the hub, and does the client's consent to that still miss.
    pub(crate) is_over: bool,
    /// Deliveries so far.
    count: u32,
    /// How many more there may be.
    credit: u32,
    /// The message that is coming.
    coming: Option<PartialMessage>,
    /// Answers that wait to be sent.
    pub(crate) answers: VecDeque<Bytes>,
    /// Who takes feedback here, and which of it each delivery has.
    pub(crate) receiver: u64,
    pub(crate) lent: BTreeMap<u32, Vec<u64>>,
}

/// A message of which a part has come.
#[derive(Debug)]
struct PartialMessage {
    delivery: u32,
    settled: bool,
    bytes: BytesMut,
}

/// A message that has come.
#[derive(Debug)]
pub(crate) struct Delivery {
    pub(crate) id: u32,
    /// Does its sender want to hear nothing of it.
    pub(crate) settled: bool,
    pub(crate) bytes: BytesMut,
}

/// What is wrong with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// More than was allowed.
    Window,
    /// Nothing that a client may do.
    Invalid,
    /// The message grows too large.
    TooLarge,
}

impl AmqpSession {
    pub(crate) fn new(theirs: &Begin) -> Self {
        Self {
            next_incoming: theirs.next_outgoing_id,
            incoming_window: INCOMING_WINDOW,
            next_outgoing: 0,
            next_delivery: 0,
            outgoing_window: theirs.incoming_window,
            links: BTreeMap::new(),
        }
    }

    /// Returns the hub's own beginning of it.
    pub(crate) fn begin(&self, channel: u16) -> Begin {
        Begin {
            remote_channel: Some(channel),
            next_outgoing_id: self.next_outgoing,
            incoming_window: self.incoming_window,
            outgoing_window: u32::MAX,
            handle_max: u32::MAX.into(),
            offered_capabilities: None,
            desired_capabilities: None,
            properties: None,
        }
    }

    /// Takes a part of a message, and returns the message when that was the last.
    pub(crate) fn take(&mut self, transfer: &Transfer, payload: &[u8]) -> Result<Option<Delivery>, Wrong> {
        self.next_incoming = self.next_incoming.wrapping_add(1);
        self.incoming_window = self.incoming_window.checked_sub(1).ok_or(Wrong::Window)?;
        let link = self.links.get_mut(&transfer.handle.0).ok_or(Wrong::Invalid)?;
        if link.is_over {
            return Ok(None);
        }
        if !matches!(link.node, Node::Tokens | Node::ToDevices) {
            return Err(Wrong::Invalid);
        }
        let mut coming = match link.coming.take() {
            Some(coming) if transfer.delivery_id.is_none_or(|id| id == coming.delivery) => coming,
            Some(_) => return Err(Wrong::Invalid),
            None => {
                link.credit = link.credit.checked_sub(1).ok_or(Wrong::Window)?;
                link.count = link.count.wrapping_add(1);
                let delivery = transfer.delivery_id.ok_or(Wrong::Invalid)?;
                PartialMessage { delivery, settled: false, bytes: BytesMut::new() }
            }
        };
        coming.settled |= transfer.settled.unwrap_or(false);
        if transfer.aborted {
            return Ok(None);
        }
        if coming.bytes.len() + payload.len() > DELIVERY_MAX_BYTES {
            return Err(Wrong::TooLarge);
        }
        coming.bytes.extend_from_slice(payload);
        if transfer.more {
            link.coming = Some(coming);
            return Ok(None);
        }
        let PartialMessage { delivery, settled, bytes } = coming;
        Ok(Some(Delivery { id: delivery, settled, bytes }))
    }

    /// Returns how many bytes of messages have come that are not whole.
    pub(crate) fn held_bytes(&self) -> usize {
        self.links.values().filter_map(|link| link.coming.as_ref()).map(|coming| coming.bytes.len()).sum()
    }

    /// Takes over what a client says of windows and credit. Says whether it wants to hear the hub's own.
    pub(crate) fn flow(&mut self, theirs: &Flow) -> bool {
        // It counts from what it has seen of the hub's frames.
        let seen = theirs.next_incoming_id.unwrap_or(0);
        self.outgoing_window = seen.wrapping_add(theirs.incoming_window).wrapping_sub(self.next_outgoing);
        if let Some(handle) = &theirs.handle
            && let Some(link) = self.links.get_mut(&handle.0)
            && matches!(link.node, Node::TokenAnswers | Node::Feedback)
        {
            let seen = theirs.delivery_count.unwrap_or(0);
            link.credit = seen.wrapping_add(theirs.link_credit.unwrap_or(0)).wrapping_sub(link.count);
            if theirs.drain {
                link.count = link.count.wrapping_add(link.credit);
                link.credit = 0;
                return true;
            }
        }
        theirs.echo
    }

    /// Returns what the hub has to say of windows, and of a link's credit.
    pub(crate) fn state(&mut self, handle: Option<u32>) -> Flow {
        self.incoming_window = INCOMING_WINDOW;
        let mut flow = Flow {
            next_incoming_id: Some(self.next_incoming),
            incoming_window: self.incoming_window,
            next_outgoing_id: self.next_outgoing,
            outgoing_window: u32::MAX,
            handle: None,
            delivery_count: None,
            link_credit: None,
            available: None,
            drain: false,
            echo: false,
            properties: None,
        };
        if let Some(handle) = handle
            && let Some(link) = self.links.get_mut(&handle).filter(|link| !link.is_over)
        {
            if matches!(link.node, Node::Tokens | Node::ToDevices) {
                link.credit = CREDIT;
            }
            flow.handle = Some(handle.into());
            flow.delivery_count = Some(link.count);
            flow.link_credit = Some(link.credit);
        }
        flow
    }

    /// Says whether a client has used up so much of what it may send that it is time to allow more.
    pub(crate) fn wants_more(&self, handle: u32) -> bool {
        let little = |link: &Link| link.credit <= CREDIT / 2 && !link.is_over;
        self.incoming_window <= INCOMING_WINDOW / 2 || self.links.get(&handle).is_some_and(little)
    }

    /// Returns the number of a delivery of so many frames that the hub may make over a link now; none when it may not.
    pub(crate) fn number(&mut self, handle: u32, frames: u32) -> Option<u32> {
        let link = self.links.get_mut(&handle).filter(|link| link.credit > 0 && !link.is_over)?;
        self.outgoing_window = self.outgoing_window.checked_sub(frames)?;
        link.credit -= 1;
        link.count = link.count.wrapping_add(1);
        self.next_outgoing = self.next_outgoing.wrapping_add(frames);
        let number = self.next_delivery;
        self.next_delivery = self.next_delivery.wrapping_add(1);
        Some(number)
    }
}

impl Link {
    pub(crate) fn new(node: Node, receiver: u64) -> Self {
        Self {
            node,
            is_over: false,
            count: 0,
            credit: 0,
            coming: None,
            answers: VecDeque::new(),
            receiver,
            lent: BTreeMap::new(),
        }
    }

    /// Takes over where a client begins to count its deliveries.
    pub(crate) fn counts_from(mut self, count: u32) -> Self {
        self.count = count;
        self
    }

    /// Says whether the hub may send over it.
    pub(crate) fn has_credit(&self) -> bool {
        self.credit > 0 && !self.is_over
    }

    /// Lets an answer wait, unless too many do.
    pub(crate) fn answer(&mut self, answer: Bytes) {
        if self.answers.len() < ANSWERS_MAX {
            self.answers.push_back(answer);
        }
    }

    /// Takes the next answer, if it may be sent.
    pub(crate) fn next_answer(&mut self) -> Option<Bytes> {
        if self.has_credit() { self.answers.pop_front() } else { None }
    }
}
