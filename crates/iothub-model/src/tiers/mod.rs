//! The tiers of IoT Hub: throttles, daily quotas, what a request counts as and how many messages it is billed as.
//!
//! Owns the arithmetic alone. The client's usage, the plan's cost and the emulator's quota all call it, so that they
//! agree. What the limits do to a request (delays, rejections) is the emulator's.
//!
//! Read [`Limits`] first, then [`Operation`].

mod tier;
mod operation;
mod usage;

use std::fmt;

pub use operation::{Charge, Class, Operation};
pub use tier::{Feature, LimitsError, Tier};
pub use usage::{Meter, Usage};

use crate::wire::configurations::CONFIGURATIONS_MAX;
use tier::Size;

/// A tier and its units, which decide what a hub allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    tier: Tier,
    units: u32,
}

impl Limits {
    /// A standard hub of one unit, the smallest that a fleet in production has. It is assumed where no tier is given.
    pub const S1: Self = Self { tier: Tier::S1, units: 1 };

    /// Creates the limits of a hub of this tier with this number of units.
    ///
    /// # Errors
    ///
    /// If the tier does not allow this number of units.
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

    /// Returns the number of operations per second that a class is allowed; KB per second for direct methods.
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

    /// Returns the number of scheduled jobs that can be active at once.
    pub fn active_jobs(self) -> usize {
        match self.tier.size() {
            Size::One => 1,
            Size::Two => 5,
            Size::Three => 10,
        }
    }

    /// Returns the number of automatic device configurations that a hub can have (docs: IoT Hub quotas and throttling,
    /// "Other limits").
    pub fn configurations(self) -> usize {
        if self.tier == Tier::F1 { 10 } else { CONFIGURATIONS_MAX }
    }

    /// Returns the daily quota of messages of all units together (docs: Azure IoT Hub pricing).
    pub fn messages_per_day(self) -> u64 {
        let per_unit = match (self.tier, self.tier.size()) {
            (Tier::F1, _) => 8_000,
            (_, Size::One) => 400_000,
            (_, Size::Two) => 6_000_000,
            (_, Size::Three) => 300_000_000,
        };
        per_unit * u64::from(self.units)
    }
}

impl fmt::Display for Limits {
    /// Writes the tier and its units, as in `S1, 2 units`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tier, units } = self;
        write!(f, "{tier}, {units} unit{}", if *units == 1 { "" } else { "s" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(tier: Tier, units: u32) -> Limits {
        Limits::new(tier, units).expect("units that may be")
    }

    /// The public table; each row for one unit and for twenty, by the minute (direct methods in KB by the second;
    /// connections and messages of devices by the second).
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
        assert_eq!(
            (limits(Tier::F1, 1).to_string(), limits(Tier::S2, 3).to_string()),
            ("F1, 1 unit".into(), "S2, 3 units".into())
        );
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
}
