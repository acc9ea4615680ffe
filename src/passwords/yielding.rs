//! Pauses one hashing thread while requests arrive that need no hash.
//!
//! A lower thread priority is not enough if the stores run on the same processors. A kernel that groups processes, by
//! session or by cgroup, schedules groups before threads, so Redis and PostgreSQL wait behind the hashing threads. The pause
//! after each request is short: a client that sends few requests costs few hashes, and a steady stream of requests keeps the
//! thread paused. docs/benchmarks.md has the measurements (`scripts/with-stores cargo bench --bench flood`).

use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// The time from the last request to the end of a pause: ten times the interval of 200 requests per second, and a twentieth
/// of that of one.
const PAUSE: Duration = Duration::from_millis(50);

/// The time over which the share of pauses is averaged.
const AVERAGE: Duration = Duration::from_secs(1);

/// Tracks requests that need no hash, and pauses a thread while they arrive.
#[derive(Debug)]
pub struct ForegroundYield {
    is_enabled: AtomicBool,
    start: Instant,
    /// The time of the last request, in microseconds since `start`; 0 before the first.
    last_request_us: AtomicU64,
    /// The share of the time before the last request that lay in pauses, as the bits of an `f64`.
    paused_share: AtomicU64,
}

impl Default for ForegroundYield {
    fn default() -> Self {
        Self {
            is_enabled: AtomicBool::new(false),
            start: Instant::now(),
            last_request_us: AtomicU64::new(0),
            paused_share: AtomicU64::new(0),
        }
    }
}

impl ForegroundYield {
    /// Enables pauses, which are disabled at first.
    pub fn enable(&self) {
        self.is_enabled.store(true, Ordering::Relaxed);
    }

    /// Records the arrival of a request that needs no hash.
    pub fn notice_request(&self) {
        self.notice_request_at(self.start.elapsed());
    }

    /// Returns the time until the end of a pause; `None` if the thread need not pause.
    pub fn remaining_pause(&self) -> Option<Duration> {
        self.remaining_pause_at(self.start.elapsed())
    }

    /// Returns the share of the time that the thread pauses, 0 to 1, on average over about a second.
    pub fn paused_share(&self) -> f64 {
        if self.is_enabled.load(Ordering::Relaxed) { self.paused_share_at(self.start.elapsed()) } else { 0.0 }
    }

    fn notice_request_at(&self, now: Duration) {
        // Two requests at once may count as one: the share is an estimate.
        self.paused_share.store(self.paused_share_at(now).to_bits(), Ordering::Relaxed);
        let now_us = u64::try_from(now.as_micros()).unwrap_or(u64::MAX);
        self.last_request_us.store(now_us.max(1), Ordering::Relaxed);
    }

    fn remaining_pause_at(&self, now: Duration) -> Option<Duration> {
        let since = self.since_last_request(now).filter(|_| self.is_enabled.load(Ordering::Relaxed))?;
        PAUSE.checked_sub(since).filter(|remaining| !remaining.is_zero())
    }

    fn paused_share_at(&self, now: Duration) -> f64 {
        let Some(since) = self.since_last_request(now) else { return 0.0 };
        let before = f64::from_bits(self.paused_share.load(Ordering::Relaxed));
        let [average, paused, since] = [AVERAGE, since.min(PAUSE), since].map(|time| time.as_secs_f64());
        (before * average + paused) / (average + since)
    }

    fn since_last_request(&self, now: Duration) -> Option<Duration> {
        let last_request_us = self.last_request_us.load(Ordering::Relaxed);
        (last_request_us > 0).then(|| now.saturating_sub(Duration::from_micros(last_request_us)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Requests for ten seconds at this rate, the last of them at the returned time.
    fn after_requests(per_second: u32) -> (ForegroundYield, Duration) {
        let foreground_yield = ForegroundYield::default();
        foreground_yield.enable();
        let interval = Duration::from_secs(1) / per_second;
        for number in 1..=10 * per_second {
            foreground_yield.notice_request_at(interval * number);
        }
        (foreground_yield, interval * 10 * per_second)
    }

    #[test]
    fn one_request_per_second_pauses_a_twentieth_of_the_time() {
        let (foreground_yield, last) = after_requests(1);

        let share = foreground_yield.paused_share_at(last);

        assert!((0.03..=0.06).contains(&share), "{share}");
        assert_eq!(foreground_yield.remaining_pause_at(last + PAUSE), None);
    }

    #[test]
    fn stream_of_requests_pauses_all_the_time() {
        let (foreground_yield, last) = after_requests(200);

        let share = foreground_yield.paused_share_at(last);

        assert!((0.95..=1.0).contains(&share), "{share}");
        assert!(foreground_yield.remaining_pause_at(last + PAUSE / 2).is_some());
        let later = foreground_yield.paused_share_at(last + Duration::from_secs(5));
        assert!(later < 0.2, "{later}");
    }

    #[test]
    fn thread_does_not_pause_unless_pauses_are_enabled() {
        let foreground_yield = ForegroundYield::default();

        foreground_yield.notice_request();

        assert_eq!(foreground_yield.remaining_pause(), None);
        assert!(foreground_yield.paused_share() < f64::EPSILON);
    }
}
