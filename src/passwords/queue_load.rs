//! The durations of jobs on the hashing threads, and the time that the threads need for more of them.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use super::yielding::ForegroundYield;
use crate::metrics::HashingMetrics;

/// The least time that a policy check is expected to take, in microseconds: that of the longest ones (in `strength.rs`, 10 ms
/// for an estimate and a quarter of that for each end of a password). Clients choose the duration of a check, so recent ones
/// do not tell how long the next one takes.
const MIN_POLICY_CHECK_US: u64 = 15_000;

/// The kinds of jobs, which differ in duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobKind {
    /// A hash with the current parameters, or a comparison with one.
    Hash,
    /// A comparison with a hash of other parameters.
    OutdatedHash,
    /// An estimate of a password's strength.
    PolicyCheck,
}

/// The work of the hashing threads. A job is expected to take as long as recent jobs of its kind, a policy check at least
/// [`MIN_POLICY_CHECK_US`].
#[derive(Debug)]
pub struct QueueLoad {
    threads: usize,
    /// Pauses one of the threads.
    pub foreground_yield: ForegroundYield,
    pub metrics: HashingMetrics,
    hash_us: AtomicU64,
    outdated_hash_us: AtomicU64,
    policy_check_us: AtomicU64,
    min_hash_us: AtomicU64,
}

impl QueueLoad {
    /// Creates the load of idle threads.
    pub fn new(threads: usize, metrics: HashingMetrics) -> Self {
        metrics.threads.set(i64::try_from(threads).unwrap_or(i64::MAX));
        Self {
            threads,
            foreground_yield: ForegroundYield::default(),
            metrics,
            // The initial estimate is for a slow core: a hash with 19 MiB.
            hash_us: AtomicU64::new(40_000),
            outdated_hash_us: AtomicU64::new(40_000),
            policy_check_us: AtomicU64::new(MIN_POLICY_CHECK_US),
            min_hash_us: AtomicU64::new(u64::MAX),
        }
    }

    /// Returns the time in which the threads do this work, in microseconds of one thread.
    pub fn time_for(&self, work_us: u64) -> Duration {
        let threads = f64::from(u32::try_from(self.threads).unwrap_or(u32::MAX)).max(1.0);
        let paused = if self.threads > 1 { self.foreground_yield.paused_share() } else { 0.0 };
        Duration::from_micros(work_us).div_f64(threads - paused)
    }

    /// Returns the expected duration of a job, in microseconds.
    pub fn expected_us(&self, kind: JobKind) -> u64 {
        let recent_us = self.recent_us(kind).load(Ordering::Relaxed);
        if kind == JobKind::PolicyCheck { recent_us.max(MIN_POLICY_CHECK_US) } else { recent_us }
    }

    fn recent_us(&self, kind: JobKind) -> &AtomicU64 {
        match kind {
            JobKind::Hash => &self.hash_us,
            JobKind::OutdatedHash => &self.outdated_hash_us,
            JobKind::PolicyCheck => &self.policy_check_us,
        }
    }

    /// Returns whether a job waits for a thread.
    pub fn has_queue(&self) -> bool {
        self.metrics.queue_depth.get() > 0
    }

    /// Counts a rejected job.
    pub fn count_rejected(&self) {
        self.metrics.rejections.inc();
    }

    /// Returns the number of hashes since the start.
    pub fn hashes(&self) -> u64 {
        self.metrics.hashes.get_sample_count()
    }

    /// Does the work of a job and records its duration.
    pub fn run_timed<T>(&self, kind: JobKind, work: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let outcome = work();
        self.record_duration(kind, started.elapsed());
        outcome
    }

    /// Moves the estimate for a kind by an eighth towards the duration of a job (the smoothing of RFC 6298, section 2).
    fn record_duration(&self, kind: JobKind, duration: Duration) {
        let durations = match kind {
            JobKind::Hash | JobKind::OutdatedHash => &self.metrics.hashes,
            JobKind::PolicyCheck => &self.metrics.policy_checks,
        };
        let (estimate, duration_us) = (self.recent_us(kind), whole_us(duration));
        let old_us = estimate.load(Ordering::Relaxed);
        estimate.store(old_us - old_us / 8 + duration_us / 8, Ordering::Relaxed);
        durations.observe(duration.as_secs_f64());
        if kind == JobKind::Hash && duration_us < self.min_hash_us.fetch_min(duration_us, Ordering::Relaxed) {
            self.metrics.min_hash_duration.set(duration.as_secs_f64());
        }
    }
}

/// Returns a duration in microseconds.
pub fn whole_us(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    fn load() -> QueueLoad {
        QueueLoad::new(1, Metrics::new("").hashing)
    }

    #[test]
    fn short_policy_checks_do_not_make_the_next_seem_short() {
        let load = load();

        for _ in 0..100 {
            load.record_duration(JobKind::PolicyCheck, Duration::from_micros(1));
        }

        assert_eq!(load.expected_us(JobKind::PolicyCheck), MIN_POLICY_CHECK_US);
        for _ in 0..100 {
            load.record_duration(JobKind::PolicyCheck, Duration::from_millis(40));
        }
        assert!((39_000..=40_000).contains(&load.expected_us(JobKind::PolicyCheck)));
    }

    #[test]
    fn outdated_hashes_change_only_their_own_estimate() {
        let load = load();
        let hash_us = load.expected_us(JobKind::Hash);

        for _ in 0..100 {
            load.record_duration(JobKind::OutdatedHash, Duration::from_millis(500));
        }

        assert_eq!(load.expected_us(JobKind::Hash), hash_us);
        assert!(load.expected_us(JobKind::OutdatedHash) > 400_000);
    }
}
