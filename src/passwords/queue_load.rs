//! The durations of jobs on the hashing threads, and the time that the threads need for more of them.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use super::{
    imported_hash::{Work, WorkUnit},
    yielding::ForegroundYield,
};
use crate::metrics::{HashingMetrics, HashingQueueMetrics};

/// The least time that a policy check is expected to take, in microseconds: that of the longest ones (in `strength.rs`, 10 ms
/// for an estimate and a quarter of that for each end of a password). Clients choose the duration of a check, so recent ones
/// do not tell how long the next one takes.
const MIN_POLICY_CHECK_US: u64 = 15_000;

/// The least duration that changes the estimate of a unit of work, in microseconds: most of a shorter one is not work.
const MIN_MEASURED_WORK_US: u64 = 1_000;

/// The kinds of jobs, which differ in duration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobKind {
    /// A hash with the current parameters, or a comparison with one.
    Hash,
    /// A comparison with a hash of other parameters.
    OutdatedHash,
    /// A comparison with an imported hash, of this work.
    ImportedHash(Work),
    /// An estimate of a password's strength.
    PolicyCheck,
}

/// The work of the hashing threads. A job is expected to take as long as recent jobs of its kind: a policy check at least
/// [`MIN_POLICY_CHECK_US`], a comparison with an imported hash in proportion to its work.
#[derive(Debug)]
pub struct QueueLoad {
    threads: usize,
    /// Pauses one of the threads.
    pub foreground_yield: ForegroundYield,
    pub queue_metrics: HashingQueueMetrics,
    metrics: HashingMetrics,
    hash_us: AtomicU64,
    outdated_hash_us: AtomicU64,
    policy_check_us: AtomicU64,
    min_hash_us: AtomicU64,
    unit_ps: UnitDurations,
}

/// The measured durations of a unit of work, in picoseconds; 0 before the first measurement.
#[derive(Debug, Default)]
struct UnitDurations {
    pbkdf2_sha256: AtomicU64,
    pbkdf2_sha1: AtomicU64,
    argon2: AtomicU64,
    scrypt: AtomicU64,
    bcrypt: AtomicU64,
}

/// Returns the duration of a unit of work on a slow core, in picoseconds: each algorithm with Django's parameters takes 250 to
/// 800 ms.
fn slow_unit_ps(unit: WorkUnit) -> u64 {
    match unit {
        WorkUnit::Pbkdf2Sha256Round => 800_000,
        WorkUnit::Pbkdf2Sha1Round => 500_000,
        WorkUnit::Argon2Block => 1_500_000,
        WorkUnit::ScryptBlock => 400_000,
        WorkUnit::BcryptRound => 70_000_000,
    }
}

impl UnitDurations {
    fn of(&self, unit: WorkUnit) -> &AtomicU64 {
        match unit {
            WorkUnit::Pbkdf2Sha256Round => &self.pbkdf2_sha256,
            WorkUnit::Pbkdf2Sha1Round => &self.pbkdf2_sha1,
            WorkUnit::Argon2Block => &self.argon2,
            WorkUnit::ScryptBlock => &self.scrypt,
            WorkUnit::BcryptRound => &self.bcrypt,
        }
    }

    /// Returns the expected duration of this work, in microseconds.
    fn expected_us(&self, work: Work) -> u64 {
        let unit_ps = match self.of(work.unit).load(Ordering::Relaxed) {
            0 => slow_unit_ps(work.unit),
            measured => measured,
        };
        unit_ps.saturating_mul(work.amount) / 1_000_000
    }

    fn record(&self, work: Work, duration_us: u64) {
        if duration_us < MIN_MEASURED_WORK_US {
            return;
        }
        let (unit, measured_ps) = (self.of(work.unit), duration_us.saturating_mul(1_000_000) / work.amount.max(1));
        if unit.compare_exchange(0, measured_ps, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            smooth(unit, measured_ps);
        }
    }
}

impl QueueLoad {
    /// Creates the load of idle threads.
    pub fn new(threads: usize, metrics: HashingMetrics) -> Self {
        metrics.threads.set(i64::try_from(threads).unwrap_or(i64::MAX));
        let queue_metrics = metrics.queue.clone();
        Self::with_queue(threads, metrics, queue_metrics)
    }

    /// Creates the load of the idle thread for imported hashes.
    pub fn of_imported_hashes(metrics: HashingMetrics) -> Self {
        let queue_metrics = metrics.imported_queue.clone();
        Self::with_queue(1, metrics, queue_metrics)
    }

    fn with_queue(threads: usize, metrics: HashingMetrics, queue_metrics: HashingQueueMetrics) -> Self {
        Self {
            threads,
            foreground_yield: ForegroundYield::default(),
            queue_metrics,
            metrics,
            // The initial estimate is for a slow core: a hash with 19 MiB.
            hash_us: AtomicU64::new(40_000),
            outdated_hash_us: AtomicU64::new(40_000),
            policy_check_us: AtomicU64::new(MIN_POLICY_CHECK_US),
            min_hash_us: AtomicU64::new(u64::MAX),
            unit_ps: UnitDurations::default(),
        }
    }

    pub fn threads(&self) -> usize {
        self.threads
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
            JobKind::Hash => self.hash_us.load(Ordering::Relaxed),
            JobKind::OutdatedHash => self.outdated_hash_us.load(Ordering::Relaxed),
            JobKind::PolicyCheck => self.policy_check_us.load(Ordering::Relaxed).max(MIN_POLICY_CHECK_US),
            JobKind::ImportedHash(work) => self.unit_ps.expected_us(work),
        }
    }

    /// Returns whether a job waits for a thread.
    pub fn has_queue(&self) -> bool {
        self.queue_metrics.depth.get() > 0
    }

    /// Counts a rejected job.
    pub fn count_rejected(&self) {
        self.queue_metrics.rejections.inc();
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

    fn record_duration(&self, kind: JobKind, duration: Duration) {
        let duration_us = whole_us(duration);
        let durations = match kind {
            JobKind::Hash => {
                smooth(&self.hash_us, duration_us);
                &self.metrics.hashes
            }
            JobKind::OutdatedHash => {
                smooth(&self.outdated_hash_us, duration_us);
                &self.metrics.hashes
            }
            JobKind::PolicyCheck => {
                smooth(&self.policy_check_us, duration_us);
                &self.metrics.policy_checks
            }
            JobKind::ImportedHash(work) => {
                self.unit_ps.record(work, duration_us);
                &self.metrics.imported_hashes
            }
        };
        durations.observe(duration.as_secs_f64());
        if kind == JobKind::Hash && duration_us < self.min_hash_us.fetch_min(duration_us, Ordering::Relaxed) {
            self.metrics.min_hash_duration.set(duration.as_secs_f64());
        }
    }
}

/// Moves an estimate by an eighth towards a measured value (the smoothing of RFC 6298, section 2).
fn smooth(estimate: &AtomicU64, measured: u64) {
    let old = estimate.load(Ordering::Relaxed);
    estimate.store(old - old / 8 + measured / 8, Ordering::Relaxed);
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
    fn imported_hashes_are_expected_to_take_as_long_as_their_work() {
        let (load, unit) = (load(), WorkUnit::Pbkdf2Sha256Round);
        let expected_us = |unit, amount| load.expected_us(JobKind::ImportedHash(Work { unit, amount }));
        let bcrypt_us = expected_us(WorkUnit::BcryptRound, 4096);
        assert_eq!(expected_us(unit, 1_000_000), 800_000);

        for _ in 0..3 {
            load.record_duration(JobKind::ImportedHash(Work { unit, amount: 1_000_000 }), Duration::from_millis(300));
            load.record_duration(JobKind::ImportedHash(Work { unit, amount: 1 }), Duration::from_micros(50));
        }

        assert!((295_000..=301_000).contains(&expected_us(unit, 1_000_000)));
        assert!((590_000..=602_000).contains(&expected_us(unit, 2_000_000)));
        assert_eq!(expected_us(WorkUnit::BcryptRound, 4096), bcrypt_us);
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
