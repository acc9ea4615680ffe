//! The length of the hashing queue, in time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
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

/// The unfinished jobs of the hashing threads. Each counts as the recent duration of jobs of its kind.
#[derive(Debug)]
pub struct QueueLoad {
    threads: u64,
    /// Pauses one of the threads.
    pub foreground_yield: ForegroundYield,
    pending_us: AtomicU64,
    hash_us: AtomicU64,
    min_hash_us: AtomicU64,
    policy_check_us: AtomicU64,
    metrics: HashingMetrics,
}

impl QueueLoad {
    /// Creates the load of idle threads.
    pub fn new(threads: usize, metrics: HashingMetrics) -> Self {
        metrics.threads.set(i64::try_from(threads).unwrap_or(i64::MAX));
        Self {
            threads: u64::try_from(threads).unwrap_or(u64::MAX),
            foreground_yield: ForegroundYield::default(),
            pending_us: AtomicU64::new(0),
            // Initial estimates, for a slow core: a hash with 19 MiB, and the check of a common password.
            hash_us: AtomicU64::new(40_000),
            policy_check_us: AtomicU64::new(2_000),
            min_hash_us: AtomicU64::new(u64::MAX),
            metrics,
        }
    }

    /// Returns the wait of a job that is queued now.
    pub fn wait(&self) -> Duration {
        self.wait_behind(0)
    }

    /// Returns the wait of a job that is queued after this number of further hashes.
    pub fn wait_behind(&self, hashes: usize) -> Duration {
        let hashes_us = self.hash_us.load(Ordering::Relaxed).saturating_mul(u64::try_from(hashes).unwrap_or(u64::MAX));
        let pending_us = self.pending_us.load(Ordering::Relaxed).saturating_add(hashes_us);
        let working = self.threads.saturating_sub(u64::from(self.foreground_yield.is_paused())).max(1);
        Duration::from_micros(pending_us / working)
    }

    /// Returns whether a job waits for a thread.
    pub fn has_queue(&self) -> bool {
        self.metrics.queue_depth.get() > 0
    }

    /// Adds a job to the queue.
    pub fn enqueue(self: &Arc<Self>, kind: JobKind) -> Ticket {
        let cost_us = match kind {
            JobKind::Hash | JobKind::OutdatedHash => self.hash_us.load(Ordering::Relaxed),
            JobKind::PolicyCheck => self.policy_check_us.load(Ordering::Relaxed),
        };
        self.pending_us.fetch_add(cost_us, Ordering::Relaxed);
        self.metrics.queue_depth.inc();
        Ticket { load: Arc::clone(self), kind, cost_us, queued: Instant::now() }
    }

    /// Counts a rejected job.
    pub fn count_rejected(&self) {
        self.metrics.rejections.inc();
    }

    /// Returns the number of hashes since the start.
    pub fn hashes(&self) -> u64 {
        self.metrics.hashes.get_sample_count()
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

/// A job's share of the load, which ends when the ticket is dropped.
pub struct Ticket {
    load: Arc<QueueLoad>,
    kind: JobKind,
    cost_us: u64,
    queued: Instant,
}

impl Ticket {
    /// Removes the job from the queue and returns how long it has waited.
    pub fn dequeue(&self) -> Duration {
        let wait = self.queued.elapsed();
        self.load.metrics.queue_wait.observe(wait.as_secs_f64());
        self.load.metrics.queue_depth.dec();
        wait
    }

    /// Does the work and records its duration.
    pub fn run_timed<T>(&self, work: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let outcome = work();
        self.load.record_duration(self.kind, started.elapsed());
        outcome
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.load.pending_us.fetch_sub(self.cost_us, Ordering::Relaxed);
    }
}
