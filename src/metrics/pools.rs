//! Metrics of the connections to stores.

use parking_lot::Mutex;
use prometheus::{IntCounterVec, IntGaugeVec};

use super::families;
use super::instruments::Registrar;

/// How a pool of connections is used now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolStats {
    /// Connections that nobody uses.
    pub idle: usize,
    /// Connections that somebody uses.
    pub in_use: usize,
    /// The most connections that there may be.
    pub max: usize,
    /// Calls that wait for one.
    pub waiting: usize,
    /// Calls that were to be made once more.
    pub retries: RetryCounts,
}

/// How many retries have been asked for since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RetryCounts {
    /// Within the budget.
    pub made: u64,
    /// Beyond it.
    pub refused: u64,
}

pub struct Pools {
    connections: IntGaugeVec,
    max_connections: IntGaugeVec,
    waiting: IntGaugeVec,
    retries: IntCounterVec,
    pub(super) watched: Mutex<Vec<WatchedPool>>,
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

    pub(super) fn read(&self) {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        for (store, read) in self.watched.lock().iter() {
            let PoolStats { idle, in_use, max, waiting, retries } = read();
            self.connections.with_label_values(&[store, "idle"]).set(number(idle));
            self.connections.with_label_values(&[store, "in_use"]).set(number(in_use));
            self.max_connections.with_label_values(&[store]).set(number(max));
            self.waiting.with_label_values(&[store]).set(number(waiting));
            for (outcome, count) in [("allowed", retries.made), ("denied", retries.refused)] {
                let counter = self.retries.with_label_values(&[store, outcome]);
                counter.inc_by(count.saturating_sub(counter.get()));
            }
        }
    }
}
