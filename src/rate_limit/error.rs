//! The error of the limiter.

use std::time::Duration;

/// A limit rejects an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many attempts by the limit `{limit}`")]
pub struct RateLimited {
    /// The name of the limit.
    pub limit: &'static str,
    /// The time until the limit allows another attempt.
    pub wait: Duration,
}
