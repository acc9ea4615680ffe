//! Metrics of the rate limits.

use prometheus::{IntCounter, IntCounterVec};

use super::families;
use super::instruments::Registrar;

/// Metrics of the rate limits.
#[derive(Debug, Clone)]
pub struct RateLimitMetrics {
    rate_limited: IntCounterVec,
    /// Attempts counted by this server alone because Redis was unavailable.
    pub local_fallback: IntCounter,
    /// Buckets of attempts counted by this server alone because Redis holds as many as it may.
    pub overflow: IntCounter,
}

impl RateLimitMetrics {
    pub(super) fn new(make: &Registrar<'_>) -> Self {
        Self {
            rate_limited: make.counter(&families::RATE_LIMITED),
            overflow: make.counter(&families::RATE_LIMIT_OVERFLOW).with_label_values::<&str>(&[]),
            local_fallback: make.counter(&families::LOCAL_FALLBACK).with_label_values::<&str>(&[]),
        }
    }

    /// Counts an attempt rejected by this limit.
    pub fn count_rejected(&self, limit: &'static str) {
        self.rate_limited.with_label_values(&[limit]).inc();
    }
}
