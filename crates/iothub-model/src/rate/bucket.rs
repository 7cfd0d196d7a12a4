//! So many at once, and so many a second after that.

use std::time::Duration;

/// What floating-point arithmetic may lack of a whole token.
const ROUNDING: f64 = 1e-9;

/// A bucket of tokens that fills at a steady rate up to its size. It is full at first.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenBucket {
    /// Tokens a second.
    rate: f64,
    size: f64,
    /// Less than nothing while tokens are owed to those who booked ahead.
    level: f64,
    at: Duration,
}

impl TokenBucket {
    /// Makes a full bucket; both numbers are positive.
    pub fn new(rate: f64, size: f64) -> Self {
        debug_assert!(rate > 0.0 && size > 0.0, "a bucket fills and holds something");
        Self { rate, size, level: size, at: Duration::ZERO }
    }

    /// Takes tokens that are there, or says when they will be. More than the size is never there.
    ///
    /// # Errors
    ///
    /// The time at which the same call would do, if nobody else takes any meanwhile.
    pub fn try_take(&mut self, tokens: f64, now: Duration) -> Result<(), Duration> {
        self.book(tokens, now, Duration::ZERO).map(|_| ())
    }

    /// Takes tokens that are there or will be within `patience`, and says when they are: who booked waits until then.
    ///
    /// Bookings are served in the order in which they were made.
    ///
    /// # Errors
    ///
    /// The time at which the same call would do, if nobody else books meanwhile; nothing is taken.
    pub fn book(&mut self, tokens: f64, now: Duration, patience: Duration) -> Result<Duration, Duration> {
        // A clock that stands still or goes back fills nothing.
        let passed = now.saturating_sub(self.at).as_secs_f64();
        self.at = self.at.max(now);
        self.level = (self.level + passed * self.rate).min(self.size);
        let left = self.level - tokens;
        let wait = match left >= -ROUNDING {
            true => Duration::ZERO,
            false => Duration::from_secs_f64(-left / self.rate),
        };
        match wait.checked_sub(patience) {
            Some(beyond) if !beyond.is_zero() => Err(now + beyond),
            _ => {
                self.level = left;
                Ok(now + wait)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// Four a second, two at once; each row is when, how many, with how much patience, and what comes of it.
    #[test]
    fn bookings() {
        let mut bucket = TokenBucket::new(4.0, 2.0);
        for (now, tokens, patience, expected) in [
            (0, 1.0, 0, Ok(0)),
            (0, 1.0, 0, Ok(0)),
            (0, 1.0, 0, Err(250)),
            (0, 1.0, 249, Err(1)),
            (0, 1.0, 250, Ok(250)),
            (0, 1.0, 500, Ok(500)),
            (100, 1.0, 600, Err(150)),
            (100, 1.0, 650, Ok(750)),
            (750, 1.0, 0, Err(1000)),
            (1000, 1.0, 0, Ok(1000)),
            // A clock that goes back.
            (500, 1.0, 0, Err(750)),
            // No more than its size after a long rest.
            (60_000, 2.0, 0, Ok(60_000)),
            (60_000, 1.0, 0, Err(60_250)),
            (60_250, 3.0, 500, Ok(60_750)),
        ] {
            let outcome = bucket.book(tokens, ms(now), ms(patience));
            assert_eq!(outcome, expected.map(ms).map_err(ms), "{tokens} at {now} with {patience}");
        }
    }

    #[test]
    fn thirds_add_up() {
        let mut bucket = TokenBucket::new(20.0 / 60.0, 20.0);
        (0..20).for_each(|_| bucket.try_take(1.0, Duration::ZERO).expect("a full bucket"));
        let mut now = Duration::ZERO;
        for nth in 1..=100 {
            now = bucket.try_take(1.0, now).expect_err("an empty bucket");
            bucket.try_take(1.0, now).expect("it said so");
            assert!(now.abs_diff(Duration::from_secs(3 * nth)) < ms(1), "{now:?}");
        }
    }

    proptest! {
        /// A bucket's promise: in any stretch, no more begin than its size and its rate allow, and nobody waits longer than
        /// they have patience.
        #[test]
        fn never_more_than_allowed(
            rate in 0.1f64..100.0,
            size in 1.0f64..50.0,
            calls in proptest::collection::vec((0u64..500, 0u64..3000), 1..200),
        ) {
            let mut bucket = TokenBucket::new(rate, size);
            let (mut now, mut begun) = (Duration::ZERO, Vec::new());
            for (passed, patience) in calls {
                now += ms(passed);
                match bucket.book(1.0, now, ms(patience)) {
                    Ok(at) => {
                        prop_assert!(at >= now && at <= now + ms(patience));
                        prop_assert!(begun.last().is_none_or(|last| *last <= at), "out of turn");
                        begun.push(at);
                    }
                    Err(at) => {
                        prop_assert!(at > now);
                        prop_assert!(bucket.clone().book(1.0, at, ms(patience + 1)).is_ok());
                    }
                }
            }
            for (first, from) in begun.iter().enumerate() {
                for (last, to) in begun.iter().enumerate().skip(first) {
                    let allowed = size + rate * (*to - *from).as_secs_f64();
                    prop_assert!((last - first + 1) as f64 <= allowed + 0.001);
                }
            }
        }
    }
}
