//! Metrics of the audit trail.

use prometheus::{IntCounter, IntGauge};

use super::families;
use super::instruments::Registrar;

/// Metrics of the audit trail.
#[derive(Debug, Clone)]
pub struct AuditMetrics {
    /// Events not yet written to the table.
    pub pending: IntGauge,
    /// Events dropped because the queue was full.
    pub dropped_from_full_queue: IntCounter,
    /// Events dropped because they exceeded the rate of events that anonymous clients can cause.
    pub dropped_in_flood: IntCounter,
    /// Events that the table rejected.
    pub dropped_as_rejected: IntCounter,
    /// 1 while an operator must act before the table accepts events.
    pub table_misconfigured: IntGauge,
}

impl AuditMetrics {
    pub(super) fn new(make: &Registrar<'_>) -> Self {
        let dropped = make.counter(&families::AUDIT_DROPPED);
        Self {
            pending: make.gauge(&families::AUDIT_PENDING).with_label_values::<&str>(&[]),
            dropped_from_full_queue: dropped.with_label_values(&["queue_full"]),
            dropped_in_flood: dropped.with_label_values(&["flood"]),
            dropped_as_rejected: dropped.with_label_values(&["rejected"]),
            table_misconfigured: make.gauge(&families::AUDIT_TABLE_MISCONFIGURED).with_label_values::<&str>(&[]),
        }
    }
}
