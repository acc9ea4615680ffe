//! Metrics of the limiter.

use prometheus::{IntCounter, IntCounterVec};

use super::families;
use super::instruments::Registrar;

/// Attempts that are limited.
#[derive(Debug, Clone)]
pub struct RateLimitMetrics {
    throttled: IntCounterVec,
    /// Attempts that a server counted by itself.
    pub local_fallback: IntCounter,
}

impl RateLimitMetrics {
    pub(super) fn new(make: &Registrar<'_>) -> Self {
        Self {
            throttled: make.counter(&families::RATE_LIMITED),
            local_fallback: make.counter(&families::LOCAL_FALLBACK).with_label_values::<&str>(&[]),
        }
    }

    /// An attempt has been refused by this limit.
    pub fn refused(&self, limit: &'static str) {
        self.throttled.with_label_values(&[limit]).inc();
    }
}
