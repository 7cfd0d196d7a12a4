//! A send rate that follows the other side's answers: additive increase, multiplicative decrease.

use std::time::Duration;

/// The slowest that a pace ever gets, in requests a second: below the tightest throttle of any hub, 100 registrations a
/// minute (docs: IoT Hub quotas and throttling).
const SLOWEST: f64 = 1.0;
/// How long it takes, sending steadily, to win back what a refusal halved.
const RECOVERY_SECONDS: f64 = 10.0;
/// The least that a second of sending steadily adds, in requests a second, so that a pace finds its way back from the floor.
const LEAST_GROWTH: f64 = 5.0;
/// The most that one answer adds, in requests a second: a pace doubles in a second of sending steadily, and no faster.
const MOST_GROWTH: f64 = 1.0;
/// How long a cut needs to show its effect. What is refused of the requests that begin meanwhile is the same trouble still.
const SETTLING: Duration = Duration::from_secs(1);
/// How far a pace may catch up on slots that were missed, since timers are coarser than the gaps of a fast pace.
const CATCH_UP: Duration = Duration::from_millis(10);
/// Over how long the actual rate is measured.
const MEASURED: Duration = Duration::from_secs(1);
/// What is less than this says nothing about a rate.
const SHORTEST_MEASURED: Duration = Duration::from_millis(100);

/// When the next request may begin.
///
/// Starts without any limit. The first refusal sets the rate to half of what was being sent; each later one halves it
/// again, but for refusals of requests that had begun before the last cut or shortly after it, which are the same sign. Each
/// answer that is no refusal adds a little.
#[derive(Clone, Debug, Default)]
pub struct Pace {
    limit: Option<Limit>,
    measured: Measured,
}

#[derive(Clone, Debug)]
struct Limit {
    /// Requests a second.
    rate: f64,
    /// What a second of sending at the full rate adds to it.
    growth: f64,
    /// When the last cut was.
    cut: Duration,
    /// When the next request may begin.
    next: Duration,
}

/// Counts what began in this second and in the one before it.
#[derive(Clone, Debug, Default)]
struct Measured {
    since: Duration,
    count: u32,
    before: u32,
}

impl Measured {
    fn turn(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.since);
        if passed >= 2 * MEASURED {
            (self.since, self.count, self.before) = (now, 0, 0);
        } else if passed >= MEASURED {
            (self.since, self.before, self.count) = (self.since + MEASURED, self.count, 0);
        }
    }

    fn per_second(&self, now: Duration) -> f64 {
        let passed = now.saturating_sub(self.since).clamp(SHORTEST_MEASURED, MEASURED);
        (f64::from(self.count) / passed.as_secs_f64()).max(f64::from(self.before) / MEASURED.as_secs_f64())
    }
}

impl Pace {
    /// Returns the rate in requests a second; nothing while there is no limit.
    pub fn rate(&self) -> Option<f64> {
        self.limit.as_ref().map(|limit| limit.rate)
    }

    /// Returns when the next request may begin; a time that is past means at once.
    pub fn ready_at(&self) -> Duration {
        self.limit.as_ref().map_or(Duration::ZERO, |limit| limit.next)
    }

    /// Notes that a request begins now.
    pub fn begin(&mut self, now: Duration) {
        self.measured.turn(now);
        self.measured.count += 1;
        if let Some(limit) = &mut self.limit {
            limit.next = limit.next.max(now.saturating_sub(CATCH_UP)) + limit.gap();
        }
    }

    /// Notes that the other side refused a request, which had begun at `begun`, since there were too many.
    pub fn refused(&mut self, begun: Duration, now: Duration) {
        self.measured.turn(now);
        if self.limit.as_ref().is_some_and(|limit| begun < limit.cut + SETTLING) {
            return;
        }
        // What is sent may be less than what is allowed; to halve the latter would then change nothing.
        let sent = self.measured.per_second(now);
        let rate = self.limit.as_ref().map_or(sent, |limit| limit.rate.min(sent.max(1.0)));
        let rate = (rate / 2.0).max(SLOWEST);
        let next = now + Duration::from_secs_f64(1.0 / rate);
        self.limit = Some(Limit { rate, growth: (rate / RECOVERY_SECONDS).max(LEAST_GROWTH), cut: now, next });
    }

    /// Notes that the other side answered a request, and not that there were too many.
    pub fn taken(&mut self) {
        if let Some(limit) = &mut self.limit {
            limit.rate += (limit.growth / limit.rate).min(MOST_GROWTH);
        }
    }
}

impl Limit {
    fn gap(&self) -> Duration {
        Duration::from_secs_f64(1.0 / self.rate)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// Sends as fast as allowed from `from` for a second, all of it taken, and returns how much that was.
    fn second(pace: &mut Pace, from: Duration) -> u32 {
        let (mut now, mut sent) = (from, 0);
        loop {
            now = now.max(pace.ready_at());
            if now >= from + MEASURED {
                return sent;
            }
            pace.begin(now);
            pace.taken();
            sent += 1;
        }
    }

    #[test]
    fn no_limit_until_the_first_refusal() {
        let mut pace = Pace::default();
        for n in 0..100 {
            assert_eq!((pace.ready_at(), pace.rate()), (Duration::ZERO, None));
            pace.begin(ms(n * 10));
            pace.taken();
        }
        pace.refused(ms(990), ms(1000));
        assert_eq!(pace.rate(), Some(50.0), "half of the hundred of the last second");
        assert_eq!(pace.ready_at(), ms(1020));
    }

    #[test]
    fn one_cut_for_all_that_was_under_way() {
        let mut pace = Pace::default();
        (0..64).for_each(|n| pace.begin(ms(n)));
        for n in 0..16 {
            pace.refused(ms(n), ms(100 + n));
        }
        assert_eq!(pace.rate(), Some(320.0), "half of 64 in a tenth of a second");
        pace.begin(ms(131));
        pace.refused(ms(131), ms(131));
        assert_eq!(pace.rate(), Some(320.0), "this one began after the cut, which had no time to show");
        (0..400).for_each(|n| pace.begin(ms(1101 + n)));
        pace.refused(ms(1101), ms(1501));
        assert_eq!(pace.rate(), Some(160.0), "and this one long after it");
    }

    #[test]
    fn what_was_halved_is_won_back_in_some_ten_seconds() {
        let mut pace = Pace::default();
        (0..100).for_each(|n| pace.begin(ms(n * 10)));
        pace.refused(ms(990), ms(1000));
        let sent: Vec<u32> = (1..=12).map(|n| second(&mut pace, ms(n * 1000))).collect();
        assert!(sent.is_sorted() && (48..=52).contains(&sent[0]) && (95..=110).contains(&sent[10]), "{sent:?}");
    }

    #[test]
    fn a_storm_ends_at_the_floor_and_not_at_nothing() {
        let mut pace = Pace::default();
        let mut now = Duration::ZERO;
        for _ in 0..50 {
            now = now.max(pace.ready_at());
            pace.begin(now);
            now += ms(50);
            pace.refused(now - ms(50), now);
        }
        assert_eq!(pace.rate(), Some(SLOWEST));
        assert!(pace.ready_at() <= now + Duration::from_secs(1));
        let sent: Vec<u32> = (0..7).map(|n| second(&mut pace, now + Duration::from_secs(n))).collect();
        assert!(sent.iter().sum::<u32>() >= 40 && sent[3] < 16, "and comes back in seconds, not at once: {sent:?}");
    }

    /// A hub that takes so many a second, has room for a second's worth, and refuses the rest; every answer takes 20 ms. Returns
    /// how many of so many seconds' requests it took and how many it refused.
    fn against(allowed: f64, seconds: u64) -> (u32, u32) {
        let mut hub = crate::rate::TokenBucket::new(allowed, allowed.max(1.0));
        let mut pace = Pace::default();
        let mut answers = std::collections::VecDeque::new();
        let (mut now, mut taken, mut refused) = (Duration::ZERO, 0, 0);
        while now < Duration::from_secs(seconds) {
            while let Some(&(begun, at, is_taken)) = answers.front().filter(|(_, at, _)| *at <= now) {
                answers.pop_front();
                if is_taken {
                    pace.taken();
                    taken += 1;
                } else {
                    pace.refused(begun, at);
                    refused += 1;
                }
            }
            if pace.ready_at() <= now && answers.len() < 16 {
                pace.begin(now);
                answers.push_back((now, now + ms(20), hub.try_take(1.0, now).is_ok()));
            } else {
                now += ms(1);
            }
        }
        (taken, refused)
    }

    #[test]
    fn a_throttle_is_found_and_kept_to() {
        for (allowed, share_refused) in [(100.0 / 60.0, 0.4), (50.0, 0.1), (250.0, 0.1)] {
            let (taken, refused) = against(allowed, 120);
            assert!(f64::from(taken) > 0.8 * allowed * 120.0, "{allowed} a second: {taken} taken, {refused} refused");
            let all = f64::from(taken + refused);
            assert!(f64::from(refused) < share_refused * all + 80.0, "{allowed}: {taken} taken, {refused} refused");
        }
    }

    proptest! {
        /// Whatever happens, a pace stays finite and positive, and a slot is never further away than the slowest gap.
        #[test]
        fn always_goes_on(script in proptest::collection::vec((0u64..3000, 0u8..3), 0..200)) {
            let mut pace = Pace::default();
            let (mut now, mut begun) = (Duration::ZERO, Duration::ZERO);
            for (passed, what) in script {
                now += ms(passed);
                match what {
                    0 => {
                        now = now.max(pace.ready_at());
                        begun = now;
                        pace.begin(now);
                    }
                    1 => {
                        let before = pace.rate();
                        pace.refused(begun, now);
                        prop_assert!(before.is_none_or(|before| pace.rate() <= Some(before.max(SLOWEST))));
                    }
                    _ => {
                        let before = pace.rate();
                        pace.taken();
                        prop_assert!(pace.rate() >= before);
                    }
                }
                prop_assert!(pace.rate().is_none_or(|rate| rate.is_finite() && rate >= SLOWEST));
                prop_assert!(pace.ready_at() <= now + Duration::from_secs_f64(1.0 / SLOWEST));
            }
        }

        /// A pace's promise: in any stretch, no more begins than the rate allows.
        #[test]
        fn never_faster_than_the_rate(sent in 2u32..500, eager in proptest::collection::vec(0u64..40, 1..300)) {
            let mut pace = Pace::default();
            (0..sent).for_each(|_| pace.begin(ms(500)));
            pace.refused(ms(500), ms(900));
            let rate = pace.rate().expect("just cut");
            let (mut now, mut begun) = (ms(900), 0u32);
            for wait in eager {
                now = (now + ms(wait)).max(pace.ready_at());
                pace.begin(now);
                begun += 1;
                let seconds = (now - ms(900)).as_secs_f64();
                prop_assert!(f64::from(begun) <= rate * (seconds + 0.011) + 1.0);
            }
        }
    }
}
