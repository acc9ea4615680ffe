//! Metrics of the memory that connections and requests hold.

use prometheus::{IntCounter, IntCounterVec, IntGauge};

use super::families;
use super::instruments::Registrar;

/// What memory is charged for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryUse {
    /// A connection.
    Connection,
    /// A request.
    Request,
}

/// Metrics of the budget of request memory.
#[derive(Debug, Clone)]
pub struct RequestMemoryMetrics {
    /// The bytes that are held.
    pub held: IntGauge,
    /// The limit in bytes.
    pub limit: IntGauge,
    /// Incomplete bodies that were ended.
    pub ended_bodies: IntCounter,
    rejections: IntCounterVec,
}

impl RequestMemoryMetrics {
    pub(super) fn new(make: &Registrar<'_>) -> Self {
        Self {
            held: make.gauge(&families::REQUEST_MEMORY).with_label_values::<&str>(&[]),
            limit: make.gauge(&families::REQUEST_MEMORY_LIMIT).with_label_values::<&str>(&[]),
            ended_bodies: make.counter(&families::ENDED_BODIES).with_label_values::<&str>(&[]),
            rejections: make.counter(&families::REQUEST_MEMORY_REJECTIONS),
        }
    }

    /// Counts a connection or a request that got no memory.
    pub fn count_rejection(&self, memory_use: MemoryUse) {
        let label = match memory_use {
            MemoryUse::Connection => "connection",
            MemoryUse::Request => "request",
        };
        self.rejections.with_label_values(&[label]).inc();
    }
}
