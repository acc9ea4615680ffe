//! Counts attempts in a second store when the first one has no space.

use std::sync::Arc;

use crate::{
    metrics::RateLimitMetrics,
    store::{AttemptStore, Bucket, ReserveOutcome, StoreError, TimeBudget},
};

/// The stores of one attempt.
pub(super) struct Counters {
    /// Counts the attempt.
    pub store: Arc<dyn AttemptStore>,
    /// Counts it in the buckets that `store` has no space for. It must never fail or be full.
    pub overflow: Arc<dyn AttemptStore>,
    pub metrics: RateLimitMetrics,
}

impl Counters {
    /// Reserves an attempt in a bucket. Returns the outcome and the store that has the bucket.
    pub(super) async fn reserve(
        &self,
        bucket: &Bucket,
        time: &TimeBudget,
    ) -> Result<(ReserveOutcome, &Arc<dyn AttemptStore>), StoreError> {
        let outcome = self.store.reserve(bucket, time).await?;
        if outcome != ReserveOutcome::Full {
            return Ok((outcome, &self.store));
        }
        self.metrics.overflow.inc();
        Ok((self.overflow.reserve(bucket, time).await?, &self.overflow))
    }

    /// Removes a bucket from both stores: it may have been in the other one earlier.
    pub(super) async fn clear(&self, bucket: &Bucket, time: &TimeBudget) -> Result<(), StoreError> {
        let (cleared, also_cleared) = tokio::join!(self.store.clear(bucket, time), self.overflow.clear(bucket, time));
        cleared.and(also_cleared)
    }
}
