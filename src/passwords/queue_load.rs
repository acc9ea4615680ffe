//! What the hashing queue holds, in time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::yielding::ForegroundYield;
use crate::metrics::HashingMetrics;

/// What a thread is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobKind {
    /// A hash with the current parameters, or a comparison with one.
    Hash,
    /// A comparison with a hash of other parameters.
    OutdatedHash,
    /// An estimate of a password's strength.
    PolicyCheck,
}

/// What the queue holds, in time: each job counts with what jobs of its kind took lately.
#[derive(Debug)]
pub struct QueueLoad {
    threads: u64,
    /// What one of the threads may leave to others.
    pub foreground_yield: ForegroundYield,
    pending_us: AtomicU64,
    hash_us: AtomicU64,
    least_hash_us: AtomicU64,
    judgement_us: AtomicU64,
    metrics: HashingMetrics,
}

impl QueueLoad {
    /// No load yet, for this many threads.
    pub fn new(threads: usize, metrics: HashingMetrics) -> Self {
        metrics.threads.set(i64::try_from(threads).unwrap_or(i64::MAX));
        Self {
            threads: u64::try_from(threads).unwrap_or(u64::MAX),
            foreground_yield: ForegroundYield::default(),
            pending_us: AtomicU64::new(0),
            // Where to start from: a hash of 19 MiB and an estimate of a common password on a slow core.
            hash_us: AtomicU64::new(40_000),
            judgement_us: AtomicU64::new(2_000),
            least_hash_us: AtomicU64::new(u64::MAX),
            metrics,
        }
    }

    /// How long a new job would wait.
    pub fn wait(&self) -> Duration {
        self.wait_behind(0)
    }

    /// How long a new job would wait behind so many hashes that are not in the queue yet.
    pub fn wait_behind(&self, hashes: usize) -> Duration {
        let hashes_us = self.hash_us.load(Ordering::Relaxed).saturating_mul(u64::try_from(hashes).unwrap_or(u64::MAX));
        let pending_us = self.pending_us.load(Ordering::Relaxed).saturating_add(hashes_us);
        let working = self.threads.saturating_sub(u64::from(self.foreground_yield.is_resting())).max(1);
        Duration::from_micros(pending_us / working)
    }

    /// Whether a job waits for a thread.
    pub fn has_queue(&self) -> bool {
        self.metrics.queue_depth.get() > 0
    }

    /// Adds a job.
    pub fn enter(self: &Arc<Self>, kind: JobKind) -> Ticket {
        let cost_us = match kind {
            JobKind::Hash | JobKind::OutdatedHash => self.hash_us.load(Ordering::Relaxed),
            JobKind::PolicyCheck => self.judgement_us.load(Ordering::Relaxed),
        };
        self.pending_us.fetch_add(cost_us, Ordering::Relaxed);
        self.metrics.queue_depth.inc();
        Ticket { load: Arc::clone(self), kind, cost_us, entered: Instant::now() }
    }

    /// Counts a job that was refused.
    pub fn refuse(&self) {
        self.metrics.refusals.inc();
    }

    /// How many hashes were computed since the start.
    pub fn hashes(&self) -> u64 {
        self.metrics.hashes.get_sample_count()
    }

    /// Moves the estimate for a kind by an eighth towards what a job took (the smoothing of RFC 6298, section 2).
    fn learn(&self, kind: JobKind, took: Duration) {
        let (estimate, durations) = match kind {
            JobKind::Hash | JobKind::OutdatedHash => (&self.hash_us, &self.metrics.hashes),
            JobKind::PolicyCheck => (&self.judgement_us, &self.metrics.policy_checks),
        };
        let took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let old_us = estimate.load(Ordering::Relaxed);
        estimate.store(old_us - old_us / 8 + took_us / 8, Ordering::Relaxed);
        durations.observe(took.as_secs_f64());
        if kind == JobKind::Hash && took_us < self.least_hash_us.fetch_min(took_us, Ordering::Relaxed) {
            self.metrics.min_hash_duration.set(took.as_secs_f64());
        }
    }
}

/// A job's share of the load, given back when the job is done or dropped.
pub struct Ticket {
    load: Arc<QueueLoad>,
    kind: JobKind,
    cost_us: u64,
    entered: Instant,
}

impl Ticket {
    /// The job has left the queue; returns how long it has waited.
    pub fn leave_queue(&self) -> Duration {
        let wait = self.entered.elapsed();
        self.load.metrics.queue_wait.observe(wait.as_secs_f64());
        self.load.metrics.queue_depth.dec();
        wait
    }

    /// Does the work, and lets the load know how long it took.
    pub fn measured<T>(&self, work: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let outcome = work();
        self.load.learn(self.kind, started.elapsed());
        outcome
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.load.pending_us.fetch_sub(self.cost_us, Ordering::Relaxed);
    }
}
