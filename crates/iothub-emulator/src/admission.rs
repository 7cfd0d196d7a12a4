//! The limits as both fronts share them: whose turn it is, and what was used up.

use std::sync::{Mutex, MutexGuard, PoisonError};

use time::OffsetDateTime;
use tokio::time::Instant;

use super::command::Refusal;
use super::operation::{Charge, Operation};
use super::throttle::{Limits, Throttle};

/// The limits of a hub, and the time since it was started.
#[derive(Debug)]
pub(super) struct Admission {
    throttle: Mutex<Throttle>,
    started: Instant,
}

impl Admission {
    pub(super) fn new(limits: Limits) -> Self {
        Self { throttle: Mutex::new(Throttle::new(limits)), started: Instant::now() }
    }

    /// Says when it is the turn of an operation whose request has so many bytes, or refuses it. Somebody who does not wait
    /// to the end has had the turn all the same.
    pub(super) fn turn(&self, operation: Operation, bytes: u64, now: OffsetDateTime) -> Result<Instant, Refusal> {
        let begin = self.throttle().admit(operation, bytes, self.started.elapsed(), now)?;
        Ok(self.started + begin)
    }

    /// Returns how many configurations the hub may have.
    pub(super) fn configurations(&self) -> usize {
        self.throttle().limits().configurations()
    }

    /// Charges what was done.
    pub(super) fn charge(&self, charge: Charge, request: u64, answer: u64, now: OffsetDateTime) {
        self.throttle().charge(charge, request, answer, now);
    }

    fn throttle(&self) -> MutexGuard<'_, Throttle> {
        self.throttle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
