//! All metrics of a process.

use std::sync::Arc;

use prometheus::{Registry, TextEncoder, process_collector::ProcessCollector};

use super::families;
use super::{
    accounts::AccountMetrics,
    audit::AuditMetrics,
    hashing::HashingMetrics,
    http::HttpMetrics,
    instruments::Registrar,
    log::{DroppedLines, LogDrops},
    outcomes::CallMetrics,
    pools::{PoolStats, Pools},
    rate_limit::RateLimitMetrics,
    reloads::{ReloadedFile, Reloads},
    request_memory::RequestMemoryMetrics,
};

/// The media type of the text that [`Metrics::render`] returns.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All metrics of a process.
pub struct Metrics {
    registry: Registry,
    /// Requests and connections.
    pub http: Arc<HttpMetrics>,
    /// The memory that connections and requests hold.
    pub request_memory: RequestMemoryMetrics,
    /// The hashing threads and their queue.
    pub hashing: HashingMetrics,
    /// The use cases.
    pub accounts: AccountMetrics,
    /// The rate limits.
    pub limiter: RateLimitMetrics,
    /// The audit trail.
    pub audit: AuditMetrics,
    /// Store calls.
    pub store_calls: CallMetrics,
    pools: Pools,
    log: LogDrops,
    reloads: Reloads,
}

impl Metrics {
    /// Creates the metrics, all zero. `access_formats` lists the access formats of the build.
    #[must_use]
    pub fn new(access_formats: &str) -> Self {
        let registry = Registry::new();
        let make = Registrar(&registry);
        let metrics = Self {
            http: Arc::new(HttpMetrics::new(&make)),
            request_memory: RequestMemoryMetrics::new(&make),
            hashing: HashingMetrics::new(&make),
            accounts: AccountMetrics::new(&make),
            limiter: RateLimitMetrics::new(&make),
            audit: AuditMetrics::new(&make),
            store_calls: CallMetrics::new(&make),
            pools: Pools::new(&make),
            log: LogDrops::new(&make),
            reloads: Reloads::new(&make),
            registry: registry.clone(),
        };
        make.gauge(&families::BUILD_INFO).with_label_values(&[env!("CARGO_PKG_VERSION"), access_formats]).set(1);
        registry
            .register(Box::new(ProcessCollector::for_self()))
            .unwrap_or_else(|error| unreachable!("no other collector has these names: {error}"));
        metrics
    }

    /// Adds a pool to the metrics. Each [`render`](Self::render) calls `read`, which must not block.
    pub fn watch_pool(&self, store: &'static str, read: impl Fn() -> PoolStats + Send + Sync + 'static) {
        self.pools.watch(store, read);
    }

    /// Adds the outcome of the last reload of a file to the metrics. Each [`render`](Self::render) calls `read`, which must not
    /// block.
    pub fn watch_file(&self, file: ReloadedFile, read: impl Fn() -> bool + Send + Sync + 'static) {
        self.reloads.watch(file, read);
    }

    /// Adds the dropped lines of the log to the metrics. Each [`render`](Self::render) calls `read`, which must not block.
    pub fn watch_log(&self, read: fn() -> DroppedLines) {
        self.log.watch(read);
    }

    /// Returns all metrics in the text format of Prometheus (version 0.0.4).
    #[must_use]
    pub fn render(&self) -> String {
        self.pools.update();
        self.log.update();
        self.reloads.update();
        let families = self.registry.gather();
        TextEncoder::new()
            .encode_to_string(&families)
            .unwrap_or_else(|error| unreachable!("names were checked at registration: {error}"))
    }
}
