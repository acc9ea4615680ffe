//! Metrics of the hashing threads.

use prometheus::{Gauge, Histogram, IntCounter, IntGauge};

use super::families;
use super::instruments::Registrar;

/// Metrics of the hashing threads and their queue.
#[derive(Debug, Clone)]
pub struct HashingMetrics {
    /// The number of threads.
    pub threads: IntGauge,
    /// The queue of these threads.
    pub queue: HashingQueueMetrics,
    /// The queue of the thread for imported hashes.
    pub imported_queue: HashingQueueMetrics,
    /// Durations of hashes and verifications, in seconds.
    pub hashes: Histogram,
    /// Durations of comparisons with imported hashes, in seconds.
    pub imported_hashes: Histogram,
    /// The shortest duration of a hash with the current parameters, in seconds.
    pub min_hash_duration: Gauge,
    /// Durations of password policy checks, in seconds.
    pub policy_checks: Histogram,
    /// The users whose password is still hashed as another program hashed it.
    pub users_with_imported_hash: IntGauge,
    /// Their share of all users, 0 to 1.
    pub imported_hash_share: Gauge,
}

/// Metrics of a queue of hashing threads.
#[derive(Debug, Clone)]
pub struct HashingQueueMetrics {
    /// The number of queued jobs.
    pub depth: IntGauge,
    /// Waits of jobs in the queue, in seconds.
    pub wait: Histogram,
    /// Rejected jobs.
    pub rejections: IntCounter,
}

impl HashingMetrics {
    pub(super) fn new(make: &Registrar<'_>) -> Self {
        let durations = make.histogram(&families::HASHING_DURATION);
        Self {
            threads: make.gauge(&families::HASHING_THREADS).with_label_values::<&str>(&[]),
            queue: HashingQueueMetrics {
                depth: make.gauge(&families::HASHING_QUEUE_DEPTH).with_label_values::<&str>(&[]),
                wait: make.histogram(&families::HASHING_QUEUE_WAIT).with_label_values::<&str>(&[]),
                rejections: make.counter(&families::HASHING_REFUSALS).with_label_values::<&str>(&[]),
            },
            imported_queue: HashingQueueMetrics {
                depth: make.gauge(&families::IMPORTED_HASHING_QUEUE_DEPTH).with_label_values::<&str>(&[]),
                wait: make.histogram(&families::IMPORTED_HASHING_QUEUE_WAIT).with_label_values::<&str>(&[]),
                rejections: make.counter(&families::IMPORTED_HASHING_REFUSALS).with_label_values::<&str>(&[]),
            },
            hashes: durations.with_label_values(&["hash"]),
            imported_hashes: make.histogram(&families::IMPORTED_HASHING_DURATION).with_label_values::<&str>(&[]),
            min_hash_duration: make.float_gauge(&families::HASH_MIN_DURATION).with_label_values::<&str>(&[]),
            policy_checks: durations.with_label_values(&["policy_check"]),
            users_with_imported_hash: make.gauge(&families::IMPORTED_HASH_USERS).with_label_values::<&str>(&[]),
            imported_hash_share: make.float_gauge(&families::IMPORTED_HASH_SHARE).with_label_values::<&str>(&[]),
        }
    }
}
