//! The state of a hub's limits: throttles that first delay and then refuse, and a daily quota. Time is an argument; who
//! is delayed waits in `service` or in `mqtt`. The numbers are those of `iothub_model::tiers`.
//!
//! Read `Throttle::admit` first.

use std::time::Duration;

use time::Date;
use time::OffsetDateTime;
use time::UtcOffset;

use crate::core::command::Refusal;
use iothub_model::rate::TokenBucket;
use iothub_model::tiers::Charge;
use iothub_model::tiers::Class;
use iothub_model::tiers::Feature;
use iothub_model::tiers::Limits;
use iothub_model::tiers::Operation;
use iothub_model::wire::ErrorCode;

/// How long a request waits for its turn at most (choice: the service has such a limit, and does not say which).
const BACKLOG: Duration = Duration::from_secs(30);
/// What a bucket holds: the throttles are applied in minute ranges, and what is above them for the first minute is served at
/// once (docs: IoT Hub quotas and throttling, "Traffic shaping").
const BURST_SECONDS: f64 = 60.0;

/// The state of a hub's limits.
#[derive(Debug)]
pub(crate) struct Throttle {
    limits: Limits,
    buckets: [TokenBucket; Class::ALL.len()],
    /// Messages charged on `day`, in UTC.
    used: u64,
    day: Option<Date>,
}

impl Throttle {
    pub(crate) fn new(limits: Limits) -> Self {
        let bucket = |class| TokenBucket::new(limits.rate(class), limits.rate(class) * BURST_SECONDS);
        Self { limits, buckets: Class::ALL.map(bucket), used: 0, day: None }
    }

    pub(crate) fn limits(&self) -> Limits {
        self.limits
    }

    /// Says when a request may begin, or why it may not at all. `bytes` is the length of its body as far as it is known;
    /// `now` is a time since any start, `date` the time of day that the quota goes by.
    pub(crate) fn admit(
        &mut self,
        operation: Operation,
        bytes: u64,
        now: Duration,
        date: OffsetDateTime,
    ) -> Result<Duration, Refusal> {
        let class = operation.class();
        operation.feature().map_or(Ok(()), |feature| self.check(feature))?;
        self.turn_to(date);
        let quota = self.limits.messages_per_day();
        if operation.charge() != Charge::Nothing && self.used >= quota {
            let text = format!(
                "Total number of messages on IoT hub exceeded the allocated quota. Max allowed message count: {quota}"
            );
            return Err(Refusal::new(ErrorCode::IotHubQuotaExceeded, text));
        }
        let bucket = &mut self.buckets[class as usize];
        bucket.book(class.tokens(bytes), now, BACKLOG).map_err(|_| throttled(operation.type_name()))
    }

    /// Refuses what belongs to a feature that the tier does not have.
    pub(crate) fn check(&self, feature: Feature) -> Result<(), Refusal> {
        let tier = self.limits.tier();
        if tier.has(feature) {
            return Ok(());
        }
        let text = format!("the tier {tier} does not have this operation; Free and Standard have it");
        Err(Refusal::new(ErrorCode::OperationNotAvailableInCurrentTier, text))
    }

    /// Charges what was done: the bytes of its request and of its answer.
    pub(crate) fn charge(&mut self, charge: Charge, request: u64, answer: u64, date: OffsetDateTime) {
        self.turn_to(date);
        self.used += charge.messages(self.limits.tier(), request, answer);
    }

    /// Returns the number of messages that were charged on this day.
    pub(crate) fn used(&mut self, date: OffsetDateTime) -> u64 {
        self.turn_to(date);
        self.used
    }

    fn turn_to(&mut self, date: OffsetDateTime) {
        let today = date.to_offset(UtcOffset::UTC).date();
        if self.day != Some(today) {
            (self.day, self.used) = (Some(today), 0);
        }
    }
}

/// The service's own refusal of a request that waited too long, or would.
pub(crate) fn throttled(kind: &str) -> Refusal {
    let text = format!("The request has been throttled. Wait 10 seconds and try again. Operation type: {kind}");
    Refusal::new(ErrorCode::ThrottlingBacklogTimeout, text)
}

#[cfg(test)]
mod tests {
    use iothub_model::tiers::Tier;
    use time::macros::datetime;

    use super::*;

    const TODAY: OffsetDateTime = datetime!(2026-11-24 23:59:00 UTC);

    fn limits(tier: Tier, units: u32) -> Limits {
        Limits::new(tier, units).expect("units that may be")
    }

    fn operation(request: &str) -> Operation {
        let (method, path) = request.split_once(' ').expect("a method and a path");
        Operation::of(method, path).expect("an operation")
    }

    /// A burst at once, a queue, an end to the queue, and room again as time goes by.
    #[test]
    fn shaped_and_then_refused() {
        let mut throttle = Throttle::new(limits(Tier::S1, 1));
        let query = operation("POST /devices/query");
        let mut at = |seconds| throttle.admit(query, 0, Duration::from_secs(seconds), TODAY);
        let begun: Vec<u64> = (0..30).map(|_| at(0).expect("room").as_millis().div_ceil(1000) as u64).collect();
        let expected: Vec<u64> = std::iter::repeat_n(0, 20).chain((1..=10).map(|nth| nth * 3)).collect();
        assert_eq!(begun, expected);
        let refusal = at(0).expect_err("the queue is full");
        assert_eq!(refusal.code, ErrorCode::ThrottlingBacklogTimeout);
        assert_eq!(
            refusal.text,
            "The request has been throttled. Wait 10 seconds and try again. Operation type: Query"
        );
        assert!(at(2).is_err());
        assert_eq!(at(4).map(|begin| begin.as_millis().div_ceil(1000)), Ok(33));
        assert!(at(4).is_err());
        // Another class has a bucket of its own.
        let read = operation("GET /twins/d");
        assert_eq!(throttle.admit(read, 0, Duration::from_secs(4), TODAY), Ok(Duration::from_secs(4)));
    }

    #[test]
    fn methods_are_counted_in_steps_of_4_kb() {
        let mut throttle = Throttle::new(limits(Tier::S1, 1));
        let method = operation("POST /twins/d/methods");
        // A minute of forty small ones a second, or of twenty that need two steps.
        for (bytes, count) in [(1, 1200), (5000, 600)] {
            for nth in 0..count {
                assert_eq!(throttle.admit(method, bytes, Duration::ZERO, TODAY), Ok(Duration::ZERO), "{bytes} {nth}");
            }
        }
        assert_eq!(throttle.admit(method, 1, Duration::ZERO, TODAY), Ok(Duration::from_millis(25)));
    }

    #[test]
    fn the_quota_is_over_for_the_day() {
        let mut throttle = Throttle::new(limits(Tier::F1, 1));
        let mut ask = |request: &str, bytes, date| {
            let operation = operation(request);
            let admitted = throttle.admit(operation, 0, Duration::ZERO, date).map_err(|refusal| refusal.code);
            if admitted.is_ok() {
                throttle.charge(operation.charge(), bytes, bytes, date);
            }
            admitted.map(|_| throttle.used)
        };
        assert_eq!(ask("GET /devices/d", 10_000, TODAY), Ok(0), "identities are free");
        assert_eq!(ask("PUT /twins/d", 513, TODAY), Ok(2));
        assert_eq!(ask("POST /twins/d/methods", 0, TODAY), Ok(4), "a method is charged twice");
        assert_eq!(ask("GET /twins/d", 7995 * 512, TODAY), Ok(7999));
        assert_eq!(ask("POST /devices/query", 2048, TODAY), Ok(8003), "the last one may go beyond");
        for request in ["GET /twins/d", "PATCH /twins/d", "POST /devices/query"] {
            assert_eq!(ask(request, 1, TODAY), Err(ErrorCode::IotHubQuotaExceeded));
        }
        assert_eq!(ask("PUT /devices/d", 1, TODAY), Ok(8003));
        // The day is UTC's, wherever the clock's owner is.
        let later = datetime!(2026-11-25 01:30:00 +02:00);
        assert_eq!(ask("GET /twins/d", 1, later), Err(ErrorCode::IotHubQuotaExceeded));
        assert_eq!(ask("GET /twins/d", 1, datetime!(2026-11-25 00:00:00 UTC)), Ok(1));
    }

    #[test]
    fn basic_has_no_twins() {
        let mut throttle = Throttle::new(limits(Tier::B1, 1));
        for (request, allowed) in [
            ("GET /twins/d", false),
            ("PATCH /twins/d", false),
            ("POST /twins/d/methods", false),
            ("PUT /jobs/v2/j", false),
            ("GET /configurations", false),
            ("POST /devices/query", true),
            ("PUT /devices/d", true),
            ("POST /jobs/create", true),
        ] {
            let admitted = throttle.admit(operation(request), 0, Duration::ZERO, TODAY);
            match allowed {
                true => assert!(admitted.is_ok(), "{request}"),
                false => {
                    let code = admitted.expect_err(request).code;
                    assert_eq!(code, ErrorCode::OperationNotAvailableInCurrentTier, "{request}");
                }
            }
        }
    }
}
