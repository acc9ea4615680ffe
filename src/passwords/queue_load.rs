//! The durations of jobs on the hashing threads, and the time that the threads need for more of them.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use super::yielding::ForegroundYield;
use crate::metrics::HashingMetrics;

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

/// The work of the hashing threads. A job is expected to take as long as recent jobs of its kind.
#[derive(Debug)]
pub struct QueueLoad {
    threads: usize,
    /// Pauses one of the threads.
    pub foreground_yield: ForegroundYield,
    pub metrics: HashingMetrics,
    hash_us: AtomicU64,
    min_hash_us: AtomicU64,
    policy_check_us: AtomicU64,
}

impl QueueLoad {
    /// Creates the load of idle threads.
    pub fn new(threads: usize, metrics: HashingMetrics) -> Self {
        metrics.threads.set(i64::try_from(threads).unwrap_or(i64::MAX));
        Self {
            threads,
            foreground_yield: ForegroundYield::default(),
            metrics,
            // Initial estimates, for a slow core: a hash with 19 MiB, and the check of a common password.
            hash_us: AtomicU64::new(40_000),
            policy_check_us: AtomicU64::new(2_000),
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
        match kind {
            JobKind::Hash | JobKind::OutdatedHash => self.hash_us.load(Ordering::Relaxed),
            JobKind::PolicyCheck => self.policy_check_us.load(Ordering::Relaxed),
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
        let (estimate, durations) = match kind {
            JobKind::Hash | JobKind::OutdatedHash => (&self.hash_us, &self.metrics.hashes),
            JobKind::PolicyCheck => (&self.policy_check_us, &self.metrics.policy_checks),
        };
        let duration_us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let old_us = estimate.load(Ordering::Relaxed);
        estimate.store(old_us - old_us / 8 + duration_us / 8, Ordering::Relaxed);
        durations.observe(duration.as_secs_f64());
        if kind == JobKind::Hash && duration_us < self.min_hash_us.fetch_min(duration_us, Ordering::Relaxed) {
            self.metrics.min_hash_duration.set(duration.as_secs_f64());
        }
    }
}
