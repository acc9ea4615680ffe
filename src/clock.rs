//! The clock: the only code that reads the system time, so that tests can move it.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime},
};

use time::{OffsetDateTime, UtcOffset, format_description::well_known::Rfc3339};

/// A source of the current time.
pub trait Clock: Send + Sync {
    /// Returns how far this clock is ahead of the system clock; zero outside tests. A store that uses its server's time adds
    /// it, so that moving one clock moves every deadline.
    fn offset(&self) -> Duration;

    /// Returns the current time in UTC.
    fn now(&self) -> OffsetDateTime {
        #[expect(clippy::disallowed_methods, reason = "the only code that reads the system time")]
        let system = SystemTime::now();
        OffsetDateTime::from(system) + self.offset()
    }
}

/// The system clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn offset(&self) -> Duration {
        Duration::ZERO
    }
}

/// The system clock plus an offset, for tests.
#[derive(Debug, Default)]
pub struct ManualClock {
    offset_ms: AtomicU64,
}

impl ManualClock {
    /// Moves the clock forward, in whole milliseconds.
    pub fn advance(&self, by: Duration) {
        let by_ms = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.offset_ms.fetch_add(by_ms, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn offset(&self) -> Duration {
        Duration::from_millis(self.offset_ms.load(Ordering::SeqCst))
    }
}

/// Returns the duration ±10 %, so that timers that start together do not expire together.
#[must_use]
pub fn jittered(duration: Duration) -> Duration {
    let random = getrandom::u32().unwrap_or(u32::MAX / 2);
    duration.mul_f64(0.9 + 0.2 * f64::from(random) / f64::from(u32::MAX))
}

/// Returns the time in RFC 3339 with whole seconds, as in responses and tokens: `2026-01-31T09:30:00Z`.
#[must_use]
pub fn rfc3339(time: OffsetDateTime) -> String {
    let seconds = whole_seconds(time);
    seconds.format(&Rfc3339).unwrap_or_else(|_| unreachable!("a year of four digits has an RFC 3339 text"))
}

/// Parses a time in the form of RFC 3339, and returns it in UTC. Returns `None` for any other text, and for a time that has no
/// year of four digits in UTC.
#[must_use]
pub fn parse_rfc3339(text: &str) -> Option<OffsetDateTime> {
    let time = OffsetDateTime::parse(text, &Rfc3339).ok()?.checked_to_offset(UtcOffset::UTC)?;
    (0..=9999).contains(&time.year()).then_some(time)
}

/// Returns the time truncated to seconds.
#[must_use]
pub fn whole_seconds(time: OffsetDateTime) -> OffsetDateTime {
    time - Duration::from_nanos(u64::from(time.nanosecond()))
}

/// Returns the time truncated to milliseconds.
#[must_use]
pub fn whole_milliseconds(time: OffsetDateTime) -> OffsetDateTime {
    time - Duration::from_nanos(u64::from(time.nanosecond() % 1_000_000))
}

/// Returns the time rounded up to a multiple of a number of nanoseconds, which divides a second; the last one of the year 9999
/// stays.
#[must_use]
pub fn round_up(time: OffsetDateTime, nanoseconds: u32) -> OffsetDateTime {
    let rest = time.nanosecond() % nanoseconds;
    let missing = Duration::from_nanos(u64::from(if rest == 0 { 0 } else { nanoseconds - rest }));
    time.checked_add(missing.try_into().unwrap_or_default()).unwrap_or(time)
}

/// Returns the milliseconds since 1970, as stores keep times.
#[must_use]
pub fn unix_ms(time: OffsetDateTime) -> i64 {
    i64::try_from(time.unix_timestamp_nanos() / 1_000_000)
        .unwrap_or_else(|_| unreachable!("the milliseconds of all years in range fit into 64 bits"))
}

/// Returns the time of milliseconds since 1970; `None` outside the years −9999 to 9999.
#[must_use]
pub fn from_unix_ms(milliseconds: i64) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(milliseconds) * 1_000_000).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manual_clock_is_ahead_of_the_system_clock() {
        let clock = ManualClock::default();
        let before = clock.now();

        clock.advance(Duration::from_mins(6));

        assert!(clock.now() - before >= Duration::from_mins(6));
    }

    #[test]
    fn rfc3339_truncates_to_whole_seconds() {
        let time = from_unix_ms(1_000_000_000_999).expect("a time within range");

        assert_eq!(rfc3339(time), "2001-09-09T01:46:40Z");
        assert_eq!(unix_ms(time), 1_000_000_000_999);
    }
}
