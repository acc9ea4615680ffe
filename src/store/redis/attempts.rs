//! Attempts and devices in Redis.
//!
//! The buckets are in [shards](AttemptShards), and each device is one key. The concurrent calls of one request are pipelined
//! over the shared connection.

use std::{fmt::Write as _, time::Duration};

use async_trait::async_trait;
use redis::{Script, ScriptInvocation};

use super::{attempt_shards::AttemptShards, connection::RedisStore, scripts::milliseconds};
use crate::store::{AttemptStore, Bucket, BucketKey, DEVICE_KNOWN_FOR, ReserveOutcome, StoreError, TimeBudget};

impl RedisStore {
    /// Sets the maximum number of buckets (default 1,048,576) to a multiple of 128, at least 128.
    #[must_use]
    pub fn with_max_buckets(mut self, max_buckets: u32) -> Self {
        self.attempt_shards = AttemptShards::holding(max_buckets);
        self
    }

    /// Prepares a script about a bucket: its shard, the clock offset and its field.
    fn prepare_bucket<'script>(&self, script: &'script Script, bucket: &Bucket) -> ScriptInvocation<'script> {
        let mut invocation = self.prepare(script, self.attempt_shards.key(bucket));
        invocation.arg(AttemptShards::field(bucket));
        invocation
    }

    /// Prepares a script with its one key and the clock offset, its first argument.
    fn prepare<'script>(&self, script: &'script Script, key: String) -> ScriptInvocation<'script> {
        let mut invocation = script.prepare_invoke();
        invocation.key(key).arg(self.offset_ms());
        invocation
    }
}

#[async_trait]
impl AttemptStore for RedisStore {
    async fn reserve(&self, bucket: &Bucket, time: &TimeBudget) -> Result<ReserveOutcome, StoreError> {
        let limit = bucket.limit;
        let mut invocation = self.prepare_bucket(&self.attempt_scripts.reserve, bucket);
        invocation
            .arg(AttemptShards::MAX_BUCKETS)
            .arg(milliseconds(limit.burst))
            .arg(milliseconds(limit.ttl_per_attempt))
            .arg(limit.long_ttl_from)
            .arg(milliseconds(DEVICE_KNOWN_FOR));
        for charge in limit.charges {
            invocation.arg(milliseconds(*charge));
        }
        // Run again, it would count as two attempts.
        let (wait, charge, count): (i64, u64, u32) = self.run_once(&invocation, time).await?;
        Ok(match u64::try_from(wait) {
            Ok(0) => ReserveOutcome::Allowed { charge: Duration::from_millis(charge), count },
            Ok(wait) => ReserveOutcome::Denied { wait: Duration::from_millis(wait) },
            Err(_) => ReserveOutcome::Full,
        })
    }

    async fn refund(&self, bucket: &Bucket, charge: Duration, time: &TimeBudget) -> Result<(), StoreError> {
        let mut invocation = self.prepare_bucket(&self.attempt_scripts.refund, bucket);
        invocation.arg(milliseconds(charge));
        self.run_once(&invocation, time).await
    }

    async fn clear(&self, bucket: &Bucket, time: &TimeBudget) -> Result<(), StoreError> {
        self.run_idempotent(&self.prepare_bucket(&self.attempt_scripts.clear, bucket), time).await
    }

    async fn knows(&self, device: &BucketKey, time: &TimeBudget) -> Result<bool, StoreError> {
        self.run_idempotent(&self.prepare(&self.attempt_scripts.knows, device_key(device)), time).await
    }

    async fn remember(&self, device: &BucketKey, time: &TimeBudget) -> Result<(), StoreError> {
        let mut invocation = self.prepare(&self.attempt_scripts.remember, device_key(device));
        invocation.arg(milliseconds(DEVICE_KNOWN_FOR));
        self.run_idempotent(&invocation, time).await
    }
}

fn device_key(device: &BucketKey) -> String {
    device.0.iter().fold("device:".to_owned(), |mut key, byte| {
        write!(key, "{byte:02x}").unwrap_or_else(|_| unreachable!("writing to a String does not fail"));
        key
    })
}
