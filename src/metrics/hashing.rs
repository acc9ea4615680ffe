//! Metrics of the hashing threads.

use prometheus::{Gauge, Histogram, IntCounter, IntGauge};

use super::families;
use super::instruments::Registrar;

/// Metrics of the hashing threads and their queue.
#[derive(Debug, Clone)]
pub struct HashingMetrics {
    /// The number of threads.
    pub threads: IntGauge,
    /// The number of queued jobs.
    pub queue_depth: IntGauge,
    /// Waits of jobs in the queue, in seconds.
    pub queue_wait: Histogram,
    /// Durations of hashes and verifications, in seconds.
    pub hashes: Histogram,
    /// The shortest duration of a hash with the current parameters, in seconds.
    pub min_hash_duration: Gauge,
    /// Durations of password policy checks, in seconds.
    pub policy_checks: Histogram,
    /// Rejected jobs.
    pub rejections: IntCounter,
}

impl HashingMetrics {
    pub(super) fn new(make: &Registrar<'_>) -> Self {
        let durations = make.histogram(&families::HASHING_DURATION);
        Self {
            threads: make.gauge(&families::HASHING_THREADS).with_label_values::<&str>(&[]),
            queue_depth: make.gauge(&families::HASHING_QUEUE_DEPTH).with_label_values::<&str>(&[]),
            queue_wait: make.histogram(&families::HASHING_QUEUE_WAIT).with_label_values::<&str>(&[]),
            hashes: durations.with_label_values(&["hash"]),
            min_hash_duration: make.float_gauge(&families::HASH_MIN_DURATION).with_label_values::<&str>(&[]),
            policy_checks: durations.with_label_values(&["policy_check"]),
            rejections: make.counter(&families::HASHING_REFUSALS).with_label_values::<&str>(&[]),
        }
    }
}
