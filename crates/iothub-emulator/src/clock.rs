//! What time it is for a hub, and how a test moves it.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use time::OffsetDateTime;
use time::macros::datetime;
use tokio::sync::watch;

/// Where the machine has its time from.
pub(crate) type Clock = Arc<dyn Fn() -> time::OffsetDateTime + Send + Sync>;

/// The clock of an emulator. Its clones show the same time and move together.
///
/// The hub goes by it for the expiry of tokens, for the times of jobs, for the expiry of messages to devices, for `$lastUpdated` and every
/// other time that it writes, for the query lag and for the day of the daily quota. Jobs and messages that are due at the new time are
/// looked at as soon as the clock is moved.
///
/// A time before the year 1000 or after the year 9000 counts as the first or the last one between them.
///
/// These go by real time, and do not move with it: throttles, latency and faults that delay, timeouts of connections and of direct methods,
/// the minute after which an unacknowledged message is sent again, how often configurations are evaluated, and the end of a connection over
/// MQTT or AMQP whose token ends while it lasts.
///
/// ```
/// use std::time::{Duration, SystemTime};
///
/// use iothub_emulator::EmulatorClock;
///
/// let noon = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
/// let clock = EmulatorClock::fixed(noon);
/// clock.advance(Duration::from_secs(60));
/// assert_eq!(clock.now(), noon + Duration::from_secs(60));
/// ```
#[derive(Clone)]
pub struct EmulatorClock(Arc<Inner>);

struct Inner {
    source: Box<dyn Fn() -> SystemTime + Send + Sync>,
    moved_by: Mutex<Offset>,
    moved: watch::Sender<()>,
}

/// How far a clock is from its source.
#[derive(Clone, Copy, Default)]
struct Offset {
    ahead: Duration,
    behind: Duration,
}

impl EmulatorClock {
    /// Returns a clock that goes with the system's.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where an emulator has its time from, unless it is given another"
    )]
    pub fn system() -> Self {
        Self::from_fn(SystemTime::now)
    }

    /// Returns a clock that stands still at a time until it is moved.
    ///
    /// Tokens that clients sign end by the client's clock: at a fixed time far from today's, SDKs are refused.
    pub fn fixed(now: SystemTime) -> Self {
        Self::from_fn(move || now)
    }

    /// Returns a clock that shows what a function says, and by how much it was moved.
    pub fn from_fn(source: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        Self(Arc::new(Inner { source: Box::new(source), moved_by: Mutex::default(), moved: watch::channel(()).0 }))
    }

    /// Returns what time it is.
    pub fn now(&self) -> SystemTime {
        let Offset { ahead, behind } = *self.moved_by();
        let source = (self.0.source)();
        source.checked_add(ahead).and_then(|time| time.checked_sub(behind)).unwrap_or(source)
    }

    /// Moves the clock forward. If the system has no such time, the clock shows the time of its source, until it is [set](Self::set).
    pub fn advance(&self, by: Duration) {
        {
            let mut moved_by = self.moved_by();
            moved_by.ahead = moved_by.ahead.saturating_add(by);
        }
        self.0.moved.send_replace(());
    }

    /// Moves the clock to a time, in the future or in the past. From there it goes on as it went before.
    pub fn set(&self, now: SystemTime) {
        let source = (self.0.source)();
        *self.moved_by() = match now.duration_since(source) {
            Ok(ahead) => Offset { ahead, behind: Duration::ZERO },
            Err(past) => Offset { ahead: Duration::ZERO, behind: past.duration() },
        };
        self.0.moved.send_replace(());
    }

    /// Returns what changes whenever the clock is moved. Several hubs can have one clock.
    pub(crate) fn moves(&self) -> watch::Receiver<()> {
        self.0.moved.subscribe()
    }

    /// Returns the clock as the machine reads it.
    pub(crate) fn of_machine(&self) -> Clock {
        let clock = self.clone();
        Arc::new(move || machine_time(clock.now()))
    }

    fn moved_by(&self) -> MutexGuard<'_, Offset> {
        self.0.moved_by.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns a time as the machine has it, which is between the years 1000 and 9000: there is room before and after it to count.
fn machine_time(time: SystemTime) -> OffsetDateTime {
    let (first, last) = (datetime!(1000-01-01 00:00 UTC), datetime!(9000-01-01 00:00 UTC));
    match time {
        time if time < SystemTime::from(first) => first,
        time if time > SystemTime::from(last) => last,
        time => time.into(),
    }
}

impl Default for EmulatorClock {
    fn default() -> Self {
        Self::system()
    }
}

impl fmt::Debug for EmulatorClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EmulatorClock").field(&self.now()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clones_move_together_in_both_directions() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let clock = EmulatorClock::fixed(at(1000));
        let other = clock.clone();
        clock.advance(Duration::from_secs(5));
        assert_eq!(other.now(), at(1005));
        other.set(at(400));
        assert_eq!(clock.now(), at(400));
        clock.advance(Duration::from_secs(1));
        assert_eq!(clock.now(), at(401));
        clock.set(at(2000));
        assert_eq!(clock.now(), at(2000));
    }

    #[test]
    fn the_machine_has_room_around_its_time() {
        let at = |years: u64| SystemTime::UNIX_EPOCH + Duration::from_secs(years * 366 * 24 * 3600);
        for (time, year) in
            [(at(100_000), 9000), (at(0), 1970), (SystemTime::UNIX_EPOCH - Duration::from_secs(1 << 37), 1000)]
        {
            assert_eq!(machine_time(time).year(), year);
        }
    }

    #[test]
    fn a_time_that_cannot_be_is_passed_over() {
        let clock = EmulatorClock::fixed(SystemTime::UNIX_EPOCH);
        clock.advance(Duration::MAX);
        clock.advance(Duration::MAX);
        assert_eq!(clock.now(), SystemTime::UNIX_EPOCH);
    }
}
