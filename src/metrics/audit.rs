//! Metrics of the audit trail.

use prometheus::{IntCounter, IntGauge};

use super::families;
use super::instruments::Registrar;

/// The audit trail.
#[derive(Debug, Clone)]
pub struct AuditMetrics {
    /// Events that wait for the table.
    pub pending: IntGauge,
    /// Events that the queue had no room for.
    pub dropped_from_full_queue: IntCounter,
    /// Events of a flood that costs nothing to cause.
    pub dropped_in_flood: IntCounter,
}

impl AuditMetrics {
    pub(super) fn new(make: &Registrar<'_>) -> Self {
        let dropped = make.counter(&families::AUDIT_DROPPED);
        Self {
            pending: make.gauge(&families::AUDIT_PENDING).with_label_values::<&str>(&[]),
            dropped_from_full_queue: dropped.with_label_values(&["queue_full"]),
            dropped_in_flood: dropped.with_label_values(&["flood"]),
        }
    }
}
