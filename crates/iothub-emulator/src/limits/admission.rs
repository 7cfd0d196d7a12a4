//! The limits as both fronts share them: whose turn it is, and what was used up.

use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use time::OffsetDateTime;
use tokio::time::Instant;

use crate::core::command::Refusal;
use crate::limits::throttle::Throttle;
use iothub_model::tiers::Charge;
use iothub_model::tiers::Feature;
use iothub_model::tiers::Limits;
use iothub_model::tiers::Operation;
use iothub_model::wire::configurations::CONFIGURATIONS_MAX;

/// The limits of a hub, if it has any, and the time since it was started.
#[derive(Debug)]
pub(crate) struct Admission {
    throttle: Mutex<Option<Throttle>>,
    /// Whether there are limits; what a hub without them pays is this.
    limited: AtomicBool,
    started: Instant,
}

impl Admission {
    pub(crate) fn new(limits: Option<Limits>) -> Self {
        let throttle = Mutex::new(limits.map(Throttle::new));
        Self { throttle, limited: AtomicBool::new(limits.is_some()), started: Instant::now() }
    }

    /// Puts limits in the place of those that were there.
    pub(crate) fn set(&self, limits: Option<Limits>) {
        let mut throttle = self.throttle();
        *throttle = limits.map(Throttle::new);
        self.limited.store(limits.is_some(), Ordering::Relaxed);
    }

    /// Says whether there are limits.
    pub(crate) fn is_limited(&self) -> bool {
        self.limited.load(Ordering::Relaxed)
    }

    /// Says when it is the turn of an operation whose request has so many bytes, or refuses it. Somebody who does not wait
    /// to the end has had the turn all the same.
    pub(crate) fn turn(&self, operation: Operation, bytes: u64, now: OffsetDateTime) -> Result<Instant, Refusal> {
        if !self.is_limited() {
            return Ok(Instant::now());
        }
        let begin = match &mut *self.throttle() {
            None => return Ok(Instant::now()),
            Some(throttle) => throttle.admit(operation, bytes, self.started.elapsed(), now)?,
        };
        Ok(self.started + begin)
    }

    /// Refuses what belongs to a feature that the hub's tier does not have.
    pub(crate) fn check(&self, feature: Feature) -> Result<(), Refusal> {
        if !self.is_limited() {
            return Ok(());
        }
        self.throttle().as_ref().map_or(Ok(()), |throttle| throttle.check(feature))
    }

    /// Returns how many configurations the hub may have.
    pub(crate) fn configurations(&self) -> usize {
        self.limits().map_or(CONFIGURATIONS_MAX, Limits::configurations)
    }

    /// Returns how many scheduled jobs may be active at once.
    pub(crate) fn active_jobs(&self) -> usize {
        self.limits().map_or(1, Limits::active_jobs)
    }

    /// Charges what was done.
    pub(crate) fn charge(&self, charge: Charge, request: u64, answer: u64, now: OffsetDateTime) {
        if let Some(throttle) = &mut *self.throttle() {
            throttle.charge(charge, request, answer, now);
        }
    }

    fn limits(&self) -> Option<Limits> {
        self.throttle().as_ref().map(Throttle::limits)
    }

    /// Returns the number of messages that were charged on this day; `None` without limits.
    pub(crate) fn used(&self, now: OffsetDateTime) -> Option<u64> {
        self.throttle().as_mut().map(|throttle| throttle.used(now))
    }

    fn throttle(&self) -> MutexGuard<'_, Option<Throttle>> {
        self.throttle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
