//! Times as messages have them, and how both messages and feedback stand on disk.

use serde::Serialize;
use time::OffsetDateTime;

use crate::core::identity::is_count;

/// Returns a time in milliseconds since 1970.
pub(crate) fn millis(at: OffsetDateTime) -> i64 {
    i64::try_from(at.unix_timestamp_nanos() / 1_000_000).expect("a time has a year of four digits")
}

pub(in crate::core) fn millis_in(duration: time::Duration) -> i64 {
    i64::try_from(duration.whole_milliseconds()).expect("the spans above are of days")
}

pub(in crate::core) fn at(millis: i64) -> OffsetDateTime {
    let nanos = i128::from(millis) * 1_000_000;
    OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// Says whether a number of milliseconds is a time that can be written.
pub(in crate::core) fn is_moment(millis: i64) -> bool {
    u64::try_from(millis).is_ok_and(is_count) && OffsetDateTime::from_unix_timestamp(millis / 1000 + 1_000_000).is_ok()
}

pub(in crate::core) fn record(record: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(record).expect("own types with text as keys are always JSON")
}

pub(in crate::core) fn not_ours(what: &str) -> serde_json::Error {
    serde::de::Error::custom(format_args!("{what} that this program does not write"))
}
