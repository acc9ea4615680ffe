//! Metrics of the limiter.

use prometheus::{IntCounter, IntCounterVec};

use super::families;
use super::instruments::Maker;

/// Attempts that are limited.
#[derive(Debug, Clone)]
pub struct ThrottleMetrics {
    throttled: IntCounterVec,
    /// Attempts that a server counted by itself.
    pub counted_alone: IntCounter,
}

impl ThrottleMetrics {
    pub(super) fn new(make: &Maker<'_>) -> Self {
        Self {
            throttled: make.counter(&families::THROTTLED),
            counted_alone: make.counter(&families::COUNTED_ALONE).with_label_values::<&str>(&[]),
        }
    }

    /// An attempt has been refused by this limit.
    pub fn refused(&self, limit: &'static str) {
        self.throttled.with_label_values(&[limit]).inc();
    }
}
