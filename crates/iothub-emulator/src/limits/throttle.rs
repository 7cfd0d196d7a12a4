//! The limits of a tier: throttles that first delay and then refuse, and a daily quota. Time is an argument; who is delayed
//! waits in `service` or in `mqtt`.
//!
//! Read [`Limits`] first, then `Throttle::admit`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use time::Date;
use time::OffsetDateTime;
use time::UtcOffset;

use crate::core::command::Refusal;
use crate::limits::operation::{Charge, Class, Operation};
use iothub_model::rate::TokenBucket;
use iothub_model::wire::ErrorCode;
use iothub_model::wire::configurations::CONFIGURATIONS_MAX;

/// How long a request waits for its turn at most (choice: the service has such a limit, and does not say which).
const BACKLOG: Duration = Duration::from_secs(30);
/// What a bucket holds: the throttles are applied in minute ranges, and what is above them for the first minute is served at
/// once (docs: IoT Hub quotas and throttling, "Traffic shaping").
const BURST_SECONDS: f64 = 60.0;
/// In which steps direct methods are counted, in bytes.
const METHOD_METER: u64 = 4096;

/// Tiers and sizes (docs: Choose the right IoT Hub tier and size for your solution).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// Free.
    F1,
    /// Basic, which has no twins.
    B1,
    /// Basic, which has no twins.
    B2,
    /// Basic, which has no twins.
    B3,
    /// Standard.
    S1,
    /// Standard.
    S2,
    /// Standard.
    S3,
}

impl Tier {
    /// All of them.
    pub const ALL: [Self; 7] = [Self::F1, Self::B1, Self::B2, Self::B3, Self::S1, Self::S2, Self::S3];

    /// Returns its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::F1 => "F1",
            Self::B1 => "B1",
            Self::B2 => "B2",
            Self::B3 => "B3",
            Self::S1 => "S1",
            Self::S2 => "S2",
            Self::S3 => "S3",
        }
    }

    /// Says whether it is one without twins, device management and messages to devices.
    pub fn is_basic(self) -> bool {
        matches!(self, Self::B1 | Self::B2 | Self::B3)
    }

    fn size(self) -> Size {
        match self {
            Self::F1 | Self::B1 | Self::S1 => Size::One,
            Self::B2 | Self::S2 => Size::Two,
            Self::B3 | Self::S3 => Size::Three,
        }
    }

    /// Units of one hub, at most.
    fn max_units(self) -> u32 {
        match self {
            Self::F1 => 1,
            Self::B1 | Self::B2 | Self::S1 | Self::S2 => 200,
            Self::B3 | Self::S3 => 10,
        }
    }
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Tier {
    type Err = LimitsError;

    fn from_str(text: &str) -> Result<Self, LimitsError> {
        let tier = Self::ALL.into_iter().find(|tier| tier.name().eq_ignore_ascii_case(text));
        tier.ok_or_else(|| LimitsError::Tier(text.to_owned()))
    }
}

/// The columns of the throttles' table.
#[derive(Clone, Copy)]
enum Size {
    One,
    Two,
    Three,
}

/// Why a tier with so many units is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitsError {
    /// No tier is called so.
    #[error("there is no tier `{}`; these are: {}", .0.escape_debug(), Tier::ALL.map(Tier::name).join(", "))]
    Tier(String),
    /// Too few or too many.
    #[error("a hub of the tier {tier} has {}, and not {units}", match tier.max_units() {
        1 => "1 unit".to_owned(),
        most => format!("1 to {most} units"),
    })]
    Units {
        /// The tier.
        tier: Tier,
        /// How many were asked for.
        units: u32,
    },
}

/// A tier and its units: what a hub allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    tier: Tier,
    units: u32,
}

impl Limits {
    /// Looks that a hub of this tier may have so many units.
    ///
    /// # Errors
    ///
    /// When it may not.
    pub fn new(tier: Tier, units: u32) -> Result<Self, LimitsError> {
        match (1..=tier.max_units()).contains(&units) {
            true => Ok(Self { tier, units }),
            false => Err(LimitsError::Units { tier, units }),
        }
    }

    /// Returns the tier.
    pub fn tier(self) -> Tier {
        self.tier
    }

    /// Returns how many operations a second a class may have; KB a second for direct methods.
    pub fn rate(self, class: Class) -> f64 {
        let units = f64::from(self.units);
        let minute = |per_unit: f64| per_unit / 60.0 * units;
        let higher = |least: f64, per_unit: f64| least.max(per_unit * units);
        match (class, self.tier.size()) {
            (Class::IdentityRegistry | Class::Jobs, Size::One | Size::Two) => minute(100.0),
            (Class::IdentityRegistry | Class::Jobs, Size::Three) => minute(5000.0),
            (Class::Queries, Size::One | Size::Two) => minute(20.0),
            (Class::Queries, Size::Three) => minute(1000.0),
            (Class::TwinReads, Size::One) => 100.0,
            (Class::TwinReads, Size::Two) => higher(100.0, 10.0),
            (Class::TwinReads, Size::Three) => 500.0 * units,
            (Class::TwinUpdates, Size::One) => 50.0,
            (Class::TwinUpdates, Size::Two) => higher(50.0, 5.0),
            (Class::TwinUpdates, Size::Three) => 250.0 * units,
            (Class::Configurations, _) => minute(20.0),
            (Class::DirectMethods, Size::One) => 160.0 * units,
            (Class::DirectMethods, Size::Two) => 480.0 * units,
            (Class::DirectMethods, Size::Three) => 24.0 * 1024.0 * units,
            (Class::DeviceConnections | Class::Telemetry, Size::One) => higher(100.0, 12.0),
            (Class::DeviceConnections | Class::Telemetry, Size::Two) => 120.0 * units,
            (Class::DeviceConnections | Class::Telemetry, Size::Three) => 6000.0 * units,
        }
    }

    /// Returns how many scheduled jobs may be active at once.
    pub fn active_jobs(self) -> usize {
        match self.tier.size() {
            Size::One => 1,
            Size::Two => 5,
            Size::Three => 10,
        }
    }

    /// Returns how many automatic device configurations there may be (docs: IoT Hub quotas and throttling, "Other limits").
    pub fn configurations(self) -> usize {
        if self.tier == Tier::F1 { 10 } else { CONFIGURATIONS_MAX }
    }

    /// Returns how many messages a day all units have together (docs: Azure IoT Hub pricing).
    pub fn messages_per_day(self) -> u64 {
        let per_unit = match (self.tier, self.tier.size()) {
            (Tier::F1, _) => 8_000,
            (_, Size::One) => 400_000,
            (_, Size::Two) => 6_000_000,
            (_, Size::Three) => 300_000_000,
        };
        per_unit * u64::from(self.units)
    }

    /// Returns how many messages so many bytes are charged as. No bytes are one message too.
    pub fn messages(self, bytes: u64) -> u64 {
        let block = if self.tier == Tier::F1 { 512 } else { 4096 };
        bytes.div_ceil(block).max(1)
    }
}

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
        let Operation { kind, class, charge, actions: _, standard_only } = operation;
        if standard_only && self.limits.tier.is_basic() {
            let text = format!("the tier {} does not have this operation; Free and Standard have it", self.limits.tier);
            return Err(Refusal::new(ErrorCode::OperationNotAvailableInCurrentTier, text));
        }
        self.turn_to(date);
        let quota = self.limits.messages_per_day();
        if charge != Charge::Nothing && self.used >= quota {
            let text = format!(
                "Total number of messages on IoT hub exceeded the allocated quota. Max allowed message count: {quota}"
            );
            return Err(Refusal::new(ErrorCode::IotHubQuotaExceeded, text));
        }
        let tokens = match class {
            Class::DirectMethods => (bytes.div_ceil(METHOD_METER).max(1) * METHOD_METER / 1024) as f64,
            _ => 1.0,
        };
        self.buckets[class as usize].book(tokens, now, BACKLOG).map_err(|_| throttled(kind))
    }

    /// Charges what was done: the bytes of its request and of its answer.
    pub(crate) fn charge(&mut self, charge: Charge, request: u64, answer: u64, date: OffsetDateTime) {
        self.turn_to(date);
        let messages = |bytes| self.limits.messages(bytes);
        self.used += match charge {
            Charge::Nothing => 0,
            Charge::Request => messages(request),
            Charge::Answer => messages(answer),
            Charge::Both => messages(request) + messages(answer),
        };
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
    use http::Method;
    use time::macros::datetime;

    use super::*;
    use crate::limits::operation;

    const TODAY: OffsetDateTime = datetime!(2026-11-24 23:59:00 UTC);

    fn limits(tier: Tier, units: u32) -> Limits {
        Limits::new(tier, units).expect("units that may be")
    }

    fn operation(request: &str) -> Operation {
        let (method, path) = request.split_once(' ').expect("a method and a path");
        operation::of(&Method::from_bytes(method.as_bytes()).expect("a method"), path).expect("an operation")
    }

    /// The public table; each row for one unit and for twenty, by the minute (direct methods in KB by the second; connections
    /// and messages of devices by the second).
    #[test]
    fn rates() {
        use Class::*;
        use Tier::*;
        for (tier, registry, queries, reads, updates, jobs, configurations, methods, devices) in [
            (F1, [100; 2], [20; 2], [6000; 2], [3000; 2], [100; 2], [20; 2], [160; 2], [100; 2]),
            (B1, [100, 2000], [20, 400], [6000; 2], [3000; 2], [100, 2000], [20, 400], [160, 3200], [100, 240]),
            (S1, [100, 2000], [20, 400], [6000; 2], [3000; 2], [100, 2000], [20, 400], [160, 3200], [100, 240]),
            (
                S2,
                [100, 2000],
                [20, 400],
                [6000, 12_000],
                [3000, 6000],
                [100, 2000],
                [20, 400],
                [480, 9600],
                [120, 2400],
            ),
            (
                S3,
                [5000, 50_000],
                [1000, 10_000],
                [30_000, 300_000],
                [15_000, 150_000],
                [5000, 50_000],
                [20, 200],
                [24_576, 245_760],
                [6000, 60_000],
            ),
        ] {
            for (at, units) in [1, 20.min(tier.max_units())].into_iter().enumerate() {
                let limits = limits(tier, units);
                for (class, expected) in [
                    (IdentityRegistry, registry),
                    (Queries, queries),
                    (TwinReads, reads),
                    (TwinUpdates, updates),
                    (Jobs, jobs),
                    (Configurations, configurations),
                    (DirectMethods, methods.map(|per_second| per_second * 60)),
                    (DeviceConnections, devices.map(|per_second| per_second * 60)),
                    (Telemetry, devices.map(|per_second| per_second * 60)),
                ] {
                    let rate = (limits.rate(class) * 60.0).round();
                    assert_eq!(rate, f64::from(expected[at]), "{tier} {units} {class:?}");
                }
            }
        }
    }

    #[test]
    fn other_numbers() {
        for (tier, units, messages, jobs, configurations) in [
            (Tier::F1, 1, 8_000, 1, 10),
            (Tier::S1, 2, 800_000, 1, 100),
            (Tier::B1, 1, 400_000, 1, 100),
            (Tier::S2, 1, 6_000_000, 5, 100),
            (Tier::S2, 20, 120_000_000, 5, 100),
            (Tier::S3, 2, 600_000_000, 10, 100),
        ] {
            let limits = limits(tier, units);
            let found = (limits.messages_per_day(), limits.active_jobs());
            assert_eq!(found, (messages, jobs), "{tier} {units}");
            assert_eq!(limits.configurations(), configurations, "{tier}");
        }
        for (tier, bytes, messages) in [
            (Tier::S1, 0, 1),
            (Tier::S1, 4096, 1),
            (Tier::S1, 4097, 2),
            (Tier::S1, 12 * 1024, 3),
            (Tier::F1, 512, 1),
            (Tier::F1, 513, 2),
            (Tier::F1, 4096, 8),
        ] {
            assert_eq!(limits(tier, 1).messages(bytes), messages, "{tier} {bytes}");
        }
    }

    #[test]
    fn tiers_and_units_that_are_none() {
        assert_eq!("s1".parse(), Ok(Tier::S1));
        let error = "S4".parse::<Tier>().expect_err("no tier");
        assert_eq!(error.to_string(), "there is no tier `S4`; these are: F1, B1, B2, B3, S1, S2, S3");
        for (tier, units) in [(Tier::F1, 2), (Tier::S1, 0), (Tier::S1, 201), (Tier::S3, 11)] {
            assert_eq!(Limits::new(tier, units), Err(LimitsError::Units { tier, units }));
        }
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
                throttle.charge(operation.charge, bytes, bytes, date);
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
