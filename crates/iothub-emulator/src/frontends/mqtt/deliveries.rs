//! Messages from the cloud on their way over one connection, by the numbers of their packets.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use tokio::sync::Notify;

use crate::core::messages::{CompleteMessage, TakeMessages};
use crate::frontends::mqtt::connection::Attached;
use crate::frontends::mqtt::outbox::Message;
use iothub_model::wire::topics::Subscription;

/// Messages that one connection remembers, at most: several times those that it may have in its hands at once.
const UNDER_WAY_MAX: usize = 64;

/// What a connection knows of its messages.
#[derive(Debug, Default)]
pub(crate) struct Deliveries {
    wanted: Notify,
    under_way: Mutex<UnderWay>,
}

/// Messages that were sent at QoS 1 and not acknowledged, by their packets' numbers, in the order in which they were sent.
///
/// A message that was purged or whose time is over stays here until it is acknowledged all the same, or until there are too
/// many; one that is still the connection's and is forgotten here is sent again under another number.
#[derive(Debug, Default)]
struct UnderWay {
    last: u16,
    messages: VecDeque<(u16, u64)>,
}

impl UnderWay {
    /// Returns the number for a message's packet, and whether it was sent under it before.
    fn number(&mut self, message: u64) -> (u16, bool) {
        if let Some((pkid, _)) = self.messages.iter().find(|(_, sent)| *sent == message) {
            return (*pkid, true);
        }
        if self.messages.len() >= UNDER_WAY_MAX {
            self.messages.pop_front();
        }
        loop {
            self.last = self.last.checked_add(1).unwrap_or(1);
            if self.messages.iter().all(|(pkid, _)| *pkid != self.last) {
                self.messages.push_back((self.last, message));
                return (self.last, false);
            }
        }
    }

    /// Returns the message that was sent under a number, and forgets it.
    fn remove(&mut self, pkid: u16) -> Option<u64> {
        let at = self.messages.iter().position(|(sent, _)| *sent == pkid)?;
        self.messages.remove(at).map(|(_, message)| message)
    }
}

impl Deliveries {
    /// Lets the connection look what waits for its client.
    pub(crate) fn look(&self) {
        self.wanted.notify_one();
    }

    fn under_way(&self) -> MutexGuard<'_, UnderWay> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends what waits for the client, whenever something may. Does not end but with the connection.
pub(crate) async fn deliver(attached: &Attached) {
    let link = &attached.link;
    // Those of an earlier session may have waited for this one.
    link.deliveries.look();
    loop {
        link.deliveries.wanted.notified().await;
        // Of several subscriptions that match, the highest QoS counts (MQTT 3.1.1, MQTT-3.3.5-1).
        let at_most_once = match Subscription::OF_MESSAGES {
            all if all.iter().any(|(one, _)| link.is_subscribed(*one)) => false,
            all if all.iter().any(|(_, other)| link.is_subscribed(*other)) => true,
            _ => continue,
        };
        let take = TakeMessages { id: link.id().clone(), connection: link.connection(), at_most_once };
        // Refused when the connection is no longer the client's, which then is about to end, or when the disk is full.
        let _ = attached.live.begin(take, |outcome| {
            let Ok(messages) = &outcome.reply else { return };
            for message in messages {
                let (pkid, again) = match at_most_once {
                    true => (None, false),
                    false => {
                        let (pkid, again) = link.deliveries.under_way().number(message.sequence);
                        (Some(pkid), again)
                    }
                };
                link.outbox.offer(Message::FromCloud { message: message.clone(), pkid, again }, outcome.seen);
            }
        });
    }
}

impl Attached {
    /// Takes the acknowledgement of a packet; one of a packet that is not under way says nothing. Returns nothing when the
    /// connection is to be closed.
    pub(crate) fn delivered(&self, pkid: u16) -> Option<()> {
        let Some(message) = self.link.deliveries.under_way().remove(pkid) else { return Some(()) };
        let (id, connection) = (self.link.id().clone(), self.link.connection());
        // Refused when it is no longer this connection's, which then is about to end, or when the disk is full: then the message
        // will come again.
        let complete = CompleteMessage { id, connection, message };
        self.live.begin(complete, |_| ()).ok()?;
        self.live.messages_changed.notify_one();
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_packets() {
        let mut under_way = UnderWay::default();
        assert_eq!(under_way.number(70), (1, false));
        assert_eq!(under_way.number(71), (2, false));
        assert_eq!(under_way.number(70), (1, true), "the same packet again");
        assert_eq!(under_way.remove(1), Some(70));
        assert_eq!(under_way.remove(1), None);
        assert_eq!(under_way.number(70), (3, false));
        under_way.last = u16::MAX;
        assert_eq!(under_way.number(72), (1, false), "0 is no packet's number");
        assert_eq!(under_way.number(73), (4, false), "2 and 3 are under way");
        for message in 100..200_000 {
            under_way.number(message);
        }
        assert_eq!(under_way.messages.len(), UNDER_WAY_MAX);
        assert!(!under_way.number(70).1, "it is forgotten");
    }
}
