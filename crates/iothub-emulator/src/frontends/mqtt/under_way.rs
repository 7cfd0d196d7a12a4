//! The messages that one connection has sent at QoS 1, by the numbers of their packets.

use std::collections::VecDeque;

/// Messages that one connection remembers, at most: several times those that it may have in its hands at once.
const UNDER_WAY_MAX: usize = 64;

/// Messages that were sent at QoS 1 and not acknowledged, by their packets' numbers, in the order in which they were sent.
///
/// A message that was purged or whose time is over stays here until it is acknowledged all the same, or until there are too
/// many; one that is still the connection's and is forgotten here is sent again under another number.
#[derive(Debug, Default)]
pub(crate) struct UnderWay {
    last: u16,
    messages: VecDeque<(u16, u64)>,
}

impl UnderWay {
    /// Returns the number for a message's packet, and whether it was sent under it before.
    pub(crate) fn number(&mut self, message: u64) -> (u16, bool) {
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
    pub(crate) fn remove(&mut self, pkid: u16) -> Option<u64> {
        let at = self.messages.iter().position(|(sent, _)| *sent == pkid)?;
        self.messages.remove(at).map(|(_, message)| message)
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
