//! Metrics for Prometheus.
//!
//! `families.rs` is the table of all metrics; `docs/metrics.md` shows the same table, and a test compares them.

mod accounts;
mod audit;
mod families;
mod family;
mod hashing;
mod http;
mod instruments;
mod log;
mod operations;
mod outcomes;
mod pools;
mod rate_limit;
mod registry;
mod reloads;
mod request_memory;

pub use self::{
    accounts::AccountMetrics,
    audit::AuditMetrics,
    families::FAMILIES,
    family::{Family, Label, LabelValues, MetricKind},
    hashing::{HashingMetrics, HashingQueueMetrics},
    http::{HttpMetrics, InFlightRequest, OpenConnection, RouteMetrics},
    log::DroppedLines,
    operations::OPERATIONS,
    outcomes::{CallMetrics, Operation, Outcomes},
    pools::{PoolStats, RetryCounts},
    rate_limit::RateLimitMetrics,
    registry::{CONTENT_TYPE, Metrics},
    reloads::ReloadedFile,
    request_memory::{MemoryUse, RequestMemoryMetrics},
};
