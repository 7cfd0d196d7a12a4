//! What was asked of a hub: the number of requests of each class, and the messages that they are billed as.

use super::{Charge, Class, Operation, Tier};

/// Requests to a hub by class, with their billed messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage([Meter; Class::ALL.len()]);

/// Requests of one class, and the messages that they are billed as. The tier need not be known while they are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Meter {
    /// The number of requests that were sent.
    pub requests: u64,
    paid_messages: u64,
    free_messages: u64,
}

impl Meter {
    /// Returns the number of messages that a hub of this tier bills.
    pub fn messages(self, tier: Tier) -> u64 {
        if tier == Tier::F1 { self.free_messages } else { self.paid_messages }
    }
}

impl Usage {
    /// Counts a request that was sent.
    pub fn send(&mut self, operation: Operation) {
        self.0[operation.class() as usize].requests += 1;
    }

    /// Counts the messages that a request of this class is billed as, by the bytes of its body and of its response's.
    pub fn bill(&mut self, class: Class, charge: Charge, request: u64, response: u64) {
        let meter = &mut self.0[class as usize];
        meter.paid_messages += charge.messages(Tier::S1, request, response);
        meter.free_messages += charge.messages(Tier::F1, request, response);
    }

    /// Returns what was asked of one class.
    pub fn of(&self, class: Class) -> Meter {
        self.0[class as usize]
    }

    /// Returns the number of messages that a hub of this tier bills for all of it.
    pub fn messages(&self, tier: Tier) -> u64 {
        self.0.iter().map(|meter| meter.messages(tier)).sum()
    }

    /// Returns what was asked since an earlier state.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut since = *self;
        for (now, then) in since.0.iter_mut().zip(earlier.0) {
            let Meter { requests, paid_messages, free_messages } = then;
            now.requests -= requests;
            now.paid_messages -= paid_messages;
            now.free_messages -= free_messages;
        }
        since
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_class() {
        let mut usage = Usage::default();
        let mut before = usage;
        for (method, path) in [
            ("POST", "/devices/query"),
            ("GET", "/twins/d"),
            ("GET", "/twins/d/modules/m"),
            ("PATCH", "/twins/d"),
            ("PUT", "/devices/d"),
            ("GET", "/devices/query"),
            ("GET", "/configurations"),
        ] {
            before = usage;
            let operation = Operation::of(method, path).expect("an operation");
            usage.send(operation);
            usage.bill(operation.class(), operation.charge_after(200, None), 513, 4097);
        }
        let counts = Class::ALL.map(|class| {
            let meter = usage.of(class);
            (meter.requests, meter.messages(Tier::S1), meter.messages(Tier::F1))
        });
        let none = (0, 0, 0);
        assert_eq!(counts, [(2, 0, 0), (1, 2, 9), (2, 4, 18), (1, 1, 2), none, (1, 0, 0), none, none, none]);
        assert_eq!((usage.messages(Tier::B3), usage.messages(Tier::F1)), (7, 29));
        let last = usage.since(&before);
        assert_eq!((last.of(Class::Configurations).requests, last.messages(Tier::F1)), (1, 0));
        assert_eq!(usage.since(&usage), Usage::default());
    }
}
