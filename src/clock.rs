//! The time: the only place that asks the system for it, so that a test can move it.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime},
};

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Tells the time.
pub trait Clock: Send + Sync {
    /// How far this clock stands ahead of the system's; zero everywhere but in tests. A store that keeps its own
    /// time adds it, so that moving one clock moves every deadline.
    fn offset(&self) -> Duration;

    /// The current time, in UTC.
    fn now(&self) -> OffsetDateTime {
        #[expect(clippy::disallowed_methods, reason = "this is the one place that asks the time")]
        let system = SystemTime::now();
        OffsetDateTime::from(system) + self.offset()
    }
}

/// The machine's clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn offset(&self) -> Duration {
        Duration::ZERO
    }
}

/// The machine's clock, moved forward by hand: for tests.
#[derive(Debug, Default)]
pub struct ManualClock {
    ahead_ms: AtomicU64,
}

impl ManualClock {
    /// Moves the clock forward by whole milliseconds.
    pub fn advance(&self, by: Duration) {
        let by_ms = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.ahead_ms.fetch_add(by_ms, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn offset(&self) -> Duration {
        Duration::from_millis(self.ahead_ms.load(Ordering::SeqCst))
    }
}

/// The duration, give or take a tenth: what begins together does not end together.
#[must_use]
pub fn jittered(duration: Duration) -> Duration {
    let random = getrandom::u32().unwrap_or(u32::MAX / 2);
    duration.mul_f64(0.9 + 0.2 * f64::from(random) / f64::from(u32::MAX))
}

/// RFC 3339 in UTC with whole seconds, as every answer and every token writes a time: `2026-01-31T09:30:00Z`.
#[must_use]
pub fn rfc3339(time: OffsetDateTime) -> String {
    let seconds = whole_seconds(time);
    seconds.format(&Rfc3339).unwrap_or_else(|_| unreachable!("a year of four digits has an RFC 3339 text"))
}

/// The time without its fraction of a second.
#[must_use]
pub fn whole_seconds(time: OffsetDateTime) -> OffsetDateTime {
    time - Duration::from_nanos(u64::from(time.nanosecond()))
}

/// The time without what is less than a millisecond.
#[must_use]
pub fn whole_milliseconds(time: OffsetDateTime) -> OffsetDateTime {
    time - Duration::from_nanos(u64::from(time.nanosecond() % 1_000_000))
}

/// Milliseconds since 1970, as the stores keep times.
#[must_use]
pub fn unix_ms(time: OffsetDateTime) -> i64 {
    i64::try_from(time.unix_timestamp_nanos() / 1_000_000)
        .unwrap_or_else(|_| unreachable!("the range of years fits into 64 bits of milliseconds"))
}

/// The time that [`unix_ms`] wrote; `None` outside the years −9999 to 9999.
#[must_use]
pub fn from_unix_ms(milliseconds: i64) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(milliseconds) * 1_000_000).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_moved_by_hand_stands_ahead_of_the_system() {
        let clock = ManualClock::default();
        let before = clock.now();

        clock.advance(Duration::from_mins(6));

        assert!(clock.now() - before >= Duration::from_mins(6));
    }

    #[test]
    fn times_are_written_in_whole_seconds() {
        let time = from_unix_ms(1_000_000_000_999).expect("a time within range");

        assert_eq!(rfc3339(time), "2001-09-09T01:46:40Z");
        assert_eq!(unix_ms(time), 1_000_000_000_999);
    }
}
