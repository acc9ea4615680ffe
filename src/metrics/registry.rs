//! Every metric of a process.

use std::sync::Arc;

use prometheus::{Registry, TextEncoder, process_collector::ProcessCollector};

use super::families;
use super::{
    accounts::AccountMetrics,
    audit::AuditMetrics,
    hashing::HashingMetrics,
    http::HttpMetrics,
    instruments::{CallMetrics, Registrar},
    keys::KeyReload,
    pools::{PoolStats, Pools},
    rate_limit::RateLimitMetrics,
};

/// The type of [`Metrics::render`]'s text.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Every metric of a process.
pub struct Metrics {
    registry: Registry,
    /// Requests and connections.
    pub http: Arc<HttpMetrics>,
    /// The hashing threads and their queue.
    pub hashing: HashingMetrics,
    /// The use cases.
    pub accounts: AccountMetrics,
    /// Attempts that are limited.
    pub limiter: RateLimitMetrics,
    /// The audit trail.
    pub audit: AuditMetrics,
    /// Calls to the stores.
    pub store_calls: CallMetrics,
    pools: Pools,
    keys: KeyReload,
}

impl Metrics {
    /// Metrics that have counted nothing yet; `access_formats` are those that are built in.
    #[must_use]
    pub fn new(access_formats: &str) -> Self {
        let registry = Registry::new();
        let make = Registrar(&registry);
        let metrics = Self {
            http: Arc::new(HttpMetrics::new(&make)),
            hashing: HashingMetrics::new(&make),
            accounts: AccountMetrics::new(&make),
            limiter: RateLimitMetrics::new(&make),
            audit: AuditMetrics::new(&make),
            store_calls: CallMetrics {
                outcomes: make.counter(&families::STORE_CALLS),
                durations: make.histogram(&families::STORE_CALL_DURATION),
            },
            pools: Pools::new(&make),
            keys: KeyReload::new(&make),
            registry: registry.clone(),
        };
        make.gauge(&families::BUILD_INFO).with_label_values(&[env!("CARGO_PKG_VERSION"), access_formats]).set(1);
        registry
            .register(Box::new(ProcessCollector::for_self()))
            .unwrap_or_else(|error| unreachable!("no other collector has these names: {error}"));
        metrics
    }

    /// Has a pool's use shown; `read` is called each time that the metrics are fetched, and must not wait.
    pub fn watch_pool(&self, store: &'static str, read: impl Fn() -> PoolStats + Send + Sync + 'static) {
        let mut watched = self.pools.watched.lock();
        watched.push((store, Box::new(read)));
    }

    /// Has it shown whether the directory of the keys could be used when it was last read; `read` is called each time that
    /// the metrics are fetched, and must not wait.
    pub fn watch_keys(&self, read: impl Fn() -> bool + Send + Sync + 'static) {
        *self.keys.watched.lock() = Some(Box::new(read));
    }

    /// Everything, in the text format of Prometheus (version 0.0.4).
    #[must_use]
    pub fn render(&self) -> String {
        self.pools.read();
        self.keys.read();
        let families = self.registry.gather();
        TextEncoder::new()
            .encode_to_string(&families)
            .unwrap_or_else(|error| unreachable!("the names were checked when they were registered: {error}"))
    }
}
