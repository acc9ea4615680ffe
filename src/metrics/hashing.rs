//! Metrics of the hashing threads.

use prometheus::{Gauge, Histogram, IntCounter, IntGauge};

use super::families;
use super::instruments::Registrar;

/// The hashing threads and their queue.
#[derive(Debug, Clone)]
pub struct HashingMetrics {
    /// How many threads there are.
    pub threads: IntGauge,
    /// How many jobs wait.
    pub queue_depth: IntGauge,
    /// How long jobs have waited, in seconds.
    pub queue_wait: Histogram,
    /// How long hashes and comparisons have taken, in seconds.
    pub hashes: Histogram,
    /// The least time that a hash with the current parameters has taken, in seconds.
    pub min_hash_duration: Gauge,
    /// How long judgements have taken, in seconds.
    pub policy_checks: Histogram,
    /// How many jobs were refused.
    pub refusals: IntCounter,
}

impl HashingMetrics {
    pub(super) fn new(make: &Registrar<'_>) -> Self {
        let durations = make.histogram(&families::HASHING_DURATION);
        Self {
            threads: make.gauge(&families::HASHING_THREADS).with_label_values::<&str>(&[]),
            queue_depth: make.gauge(&families::HASHING_QUEUE_DEPTH).with_label_values::<&str>(&[]),
            queue_wait: make.histogram(&families::HASHING_QUEUE_WAIT).with_label_values::<&str>(&[]),
            hashes: durations.with_label_values(&["hash"]),
            min_hash_duration: make.fraction(&families::HASH_MIN_DURATION).with_label_values::<&str>(&[]),
            policy_checks: durations.with_label_values(&["policy_check"]),
            refusals: make.counter(&families::HASHING_REFUSALS).with_label_values::<&str>(&[]),
        }
    }
}
