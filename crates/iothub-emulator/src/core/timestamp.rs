//! How the hub writes times.

use std::fmt::Write;

use time::OffsetDateTime;
use time::UtcOffset;

/// The time of something that never happened (docs: Understand Azure IoT Edge module twins; samples of new twins).
pub(crate) const NEVER: &str = "0001-01-01T00:00:00Z";
/// As hubs of earlier versions of this program wrote it.
const NEVER_WITHOUT_Z: &str = "0001-01-01T00:00:00";

/// Brings a time that an earlier version of this program wrote to its present form. Returns `true` if that changed it.
pub(crate) fn renew(time: &mut String) -> bool {
    let is_old = time == NEVER_WITHOUT_Z;
    if is_old {
        NEVER.clone_into(time);
    }
    is_old
}

/// Writes a time in UTC with seven fractional digits, as `$lastUpdated` has it.
pub(crate) fn timestamp(at: OffsetDateTime) -> String {
    let at = at.to_offset(UtcOffset::UTC);
    let mut text = String::with_capacity("2026-11-24T10:00:00.0000000Z".len());
    write!(
        text,
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:07}Z",
        at.year(),
        u8::from(at.month()),
        at.day(),
        at.hour(),
        at.minute(),
        at.second(),
        at.nanosecond() / 100
    )
    .expect("a text takes every text");
    text
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn seven_digits_and_utc() {
        for (at, text) in [
            (datetime!(2026-11-24 10:00:00 UTC), "2026-11-24T10:00:00.0000000Z"),
            (datetime!(2026-01-02 03:04:05.123456789 +01:00), "2026-01-02T02:04:05.1234567Z"),
        ] {
            assert_eq!(timestamp(at), text);
        }
    }
}
