//! Metrics for Prometheus.
//!
//! `families.rs` is the table of all metrics; `docs/metrics.md` shows the same table, and a test compares them.

mod accounts;
mod audit;
mod families;
mod hashing;
mod http;
mod instruments;
mod keys;
mod pools;
mod rate_limit;
mod registry;

pub use self::{
    accounts::AccountMetrics,
    audit::AuditMetrics,
    families::{FAMILIES, Family, Kind, Label, OPERATIONS, Values},
    hashing::HashingMetrics,
    http::{HttpMetrics, OpenConnection, RequestUnderWay},
    instruments::{Calls, Endings},
    pools::{PoolUse, RetryCounts},
    rate_limit::ThrottleMetrics,
    registry::{CONTENT_TYPE, Metrics},
};
