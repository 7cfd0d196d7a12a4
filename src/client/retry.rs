//! When a request is sent again: a pure decision, which reads and apply share.

use std::time::Duration;

use super::error::{Error, Trouble};

/// How patient to be. Waits are of random length up to a limit that doubles, so that many clients do not come back at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Backoff {
    /// How long to try in all, from the first attempt on.
    pub budget: Duration,
    /// The longest first wait when the hub is busy: its own text asks for ten seconds.
    pub busy_base: Duration,
    /// The longest wait of all.
    pub cap: Duration,
    /// The longest first wait for other trouble.
    pub passing_base: Duration,
    /// How many times to try again after other trouble.
    pub passing_attempts: u32,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            budget: Duration::from_secs(300),
            busy_base: Duration::from_secs(10),
            cap: Duration::from_secs(60),
            passing_base: Duration::from_secs(1),
            passing_attempts: 5,
        }
    }
}

/// How much later than `Retry-After` says an attempt may come, so that those who were told the same do not come together.
const SPREAD: Duration = Duration::from_secs(2);

impl Backoff {
    /// Returns how long to wait before trying again after `error`, or nothing when it is of no use or time to give up; the
    /// rest is as in [`Self::wait`].
    pub(crate) fn delay(&self, error: &Error, failures: u32, elapsed: Duration, random: f64) -> Option<Duration> {
        self.wait(error.trouble()?, failures, elapsed, random)
    }

    /// Returns how long to wait before trying again, or nothing when it is time to give up.
    ///
    /// `failures` counts the attempts before the one that has just failed, `elapsed` is the time since the first began, and
    /// `random` is a number from 0 to 1. A wait that would end beyond the budget is not begun.
    pub(crate) fn wait(&self, trouble: Trouble, failures: u32, elapsed: Duration, random: f64) -> Option<Duration> {
        let doubled = |base: Duration| base.saturating_mul(2_u32.saturating_pow(failures)).min(self.cap);
        let wait = match trouble {
            Trouble::Busy { retry_after: Some(asked) } => {
                asked.saturating_add(SPREAD.min(self.busy_base).mul_f64(random))
            }
            Trouble::Busy { retry_after: None } => doubled(self.busy_base).mul_f64(random),
            Trouble::Passing if failures >= self.passing_attempts => return None,
            Trouble::Passing => doubled(self.passing_base).mul_f64(random),
        };
        (elapsed.saturating_add(wait) <= self.budget).then_some(wait)
    }
}

/// Returns a random number from 0 to 1, for [`Backoff::wait`].
pub(crate) fn random_fraction() -> f64 {
    // Without randomness the waits are merely all alike.
    getrandom::u32().map_or(0.5, |random| f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits() {
        const BUSY: Trouble = Trouble::Busy { retry_after: None };
        let asked = |seconds| Trouble::Busy { retry_after: Some(Duration::from_secs(seconds)) };
        let seconds = Duration::from_secs_f64;
        for (trouble, failures, elapsed, random, expected) in [
            (BUSY, 0, 0.0, 1.0, Some(10.0)),
            (BUSY, 0, 0.0, 0.5, Some(5.0)),
            (BUSY, 1, 0.0, 1.0, Some(20.0)),
            (BUSY, 2, 0.0, 1.0, Some(40.0)),
            (BUSY, 3, 0.0, 1.0, Some(60.0)),
            (BUSY, 40, 0.0, 1.0, Some(60.0)),
            // Busy is bounded by time alone.
            (BUSY, 40, 240.0, 1.0, Some(60.0)),
            (BUSY, 40, 240.1, 1.0, None),
            (asked(7), 5, 0.0, 0.0, Some(7.0)),
            (asked(7), 5, 0.0, 1.0, Some(9.0)),
            (asked(301), 0, 0.0, 0.0, None),
            (asked(u64::MAX), 0, 0.0, 1.0, None),
            (Trouble::Passing, 0, 0.0, 1.0, Some(1.0)),
            (Trouble::Passing, 1, 0.0, 1.0, Some(2.0)),
            (Trouble::Passing, 4, 0.0, 1.0, Some(16.0)),
            (Trouble::Passing, 5, 0.0, 1.0, None),
            (Trouble::Passing, 0, 300.0, 1.0, None),
            (Trouble::Passing, u32::MAX, 0.0, 0.0, None),
        ] {
            assert_eq!(
                Backoff::default().wait(trouble, failures, seconds(elapsed), random),
                expected.map(seconds),
                "{trouble:?} {failures} {elapsed} {random}"
            );
        }
    }

    #[test]
    fn random_numbers_are_fractions() {
        for _ in 0..100 {
            assert!((0.0..=1.0).contains(&random_fraction()));
        }
    }
}
