//! How long to wait before trying again.

use std::time::Duration;

pub(super) use crate::client::retry::random_fraction as random;

/// The longest first wait.
const BASE: Duration = Duration::from_millis(500);
/// The longest wait of all.
const CAP: Duration = Duration::from_secs(30);

/// Returns how long to wait after so many failures before the last one. `random` is a number from 0 to 1: waits are of any
/// length up to a limit that doubles, so that many devices do not come back at once.
pub(super) fn pause(failures: u32, random: f64) -> Duration {
    BASE.saturating_mul(2_u32.saturating_pow(failures)).min(CAP).mul_f64(random.clamp(0.05, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_cap() {
        for (failures, random, millis) in [
            (0, 1.0, 500),
            (0, 0.5, 250),
            (0, 0.0, 25),
            (1, 1.0, 1000),
            (3, 0.5, 2000),
            (6, 1.0, 30_000),
            (u32::MAX, 1.0, 30_000),
        ] {
            assert_eq!(pause(failures, random), Duration::from_millis(millis), "{failures} {random}");
        }
    }
}
