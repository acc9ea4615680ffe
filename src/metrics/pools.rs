//! Metrics of the connections to stores.

use parking_lot::Mutex;
use prometheus::{IntCounterVec, IntGaugeVec};

use super::families;
use super::instruments::Registrar;

/// The current use of a connection pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolStats {
    /// Idle connections.
    pub idle: usize,
    /// Connections in use.
    pub in_use: usize,
    /// The largest number of connections.
    pub max: usize,
    /// Calls that wait for a connection.
    pub waiting: usize,
    /// Retries of calls whose connection broke.
    pub retries: RetryCounts,
}

/// The number of retries requested since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RetryCounts {
    /// Retries within the budget.
    pub allowed: u64,
    /// Retries denied beyond the budget.
    pub denied: u64,
}

pub(super) struct Pools {
    connections: IntGaugeVec,
    max_connections: IntGaugeVec,
    waiting: IntGaugeVec,
    retries: IntCounterVec,
    watched: Mutex<Vec<WatchedPool>>,
}

type WatchedPool = (&'static str, Box<dyn Fn() -> PoolStats + Send + Sync>);

impl Pools {
    pub(super) fn new(make: &Registrar<'_>) -> Self {
        Self {
            connections: make.gauge(&families::POOL_CONNECTIONS),
            max_connections: make.gauge(&families::POOL_MAX_CONNECTIONS),
            waiting: make.gauge(&families::POOL_WAITING),
            retries: make.counter(&families::STORE_RETRIES),
            watched: Mutex::default(),
        }
    }

    pub(super) fn watch(&self, store: &'static str, read: impl Fn() -> PoolStats + Send + Sync + 'static) {
        self.watched.lock().push((store, Box::new(read)));
    }

    /// Updates the metrics of every watched pool.
    pub(super) fn update(&self) {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        for (store, read) in self.watched.lock().iter() {
            let PoolStats { idle, in_use, max, waiting, retries } = read();
            self.connections.with_label_values(&[store, "idle"]).set(number(idle));
            self.connections.with_label_values(&[store, "in_use"]).set(number(in_use));
            self.max_connections.with_label_values(&[store]).set(number(max));
            self.waiting.with_label_values(&[store]).set(number(waiting));
            for (outcome, count) in [("allowed", retries.allowed), ("denied", retries.denied)] {
                let counter = self.retries.with_label_values(&[store, outcome]);
                counter.inc_by(count.saturating_sub(counter.get()));
            }
        }
    }
}
