//! The limits as both fronts share them: whose turn it is, and what was used up.

use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use time::OffsetDateTime;
use tokio::time::Instant;

use crate::core::command::Refusal;
use crate::limits::throttle::Throttle;
use iothub_model::tiers::Charge;
use iothub_model::tiers::Limits;
use iothub_model::tiers::Operation;

/// The limits of a hub, and the time since it was started.
#[derive(Debug)]
pub(crate) struct Admission {
    throttle: Mutex<Throttle>,
    started: Instant,
}

impl Admission {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { throttle: Mutex::new(Throttle::new(limits)), started: Instant::now() }
    }

    /// Says when it is the turn of an operation whose request has so many bytes, or refuses it. Somebody who does not wait
    /// to the end has had the turn all the same.
    pub(crate) fn turn(&self, operation: Operation, bytes: u64, now: OffsetDateTime) -> Result<Instant, Refusal> {
        let begin = self.throttle().admit(operation, bytes, self.started.elapsed(), now)?;
        Ok(self.started + begin)
    }

    /// Returns how many configurations the hub may have.
    pub(crate) fn configurations(&self) -> usize {
        self.throttle().limits().configurations()
    }

    /// Charges what was done.
    pub(crate) fn charge(&self, charge: Charge, request: u64, answer: u64, now: OffsetDateTime) {
        self.throttle().charge(charge, request, answer, now);
    }

    /// Returns the number of messages that were charged on this day.
    pub(crate) fn used(&self, now: OffsetDateTime) -> u64 {
        self.throttle().used(now)
    }

    fn throttle(&self) -> MutexGuard<'_, Throttle> {
        self.throttle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
