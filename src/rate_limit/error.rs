//! The error of the limiter.

use std::time::Duration;

/// Too many attempts have failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many attempts by the limit `{limit}`")]
pub struct RateLimited {
    /// The name of the limit.
    pub limit: &'static str,
    /// How long it will be until another attempt may be made.
    pub wait: Duration,
}
