//! Attempts and devices in Redis.
//!
//! The buckets are in [shards](AttemptShards), and the devices of an account in a sorted set by the end of the time for which
//! they are known. The concurrent calls of one request are pipelined
//! over the shared connection.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::try_join;
use redis::{Script, ScriptInvocation};

use super::{attempt_shards::AttemptShards, scripts::milliseconds, store::RedisStore};
use crate::store::{
    AttemptStore, Bucket, BucketKey, DEVICE_KNOWN_FOR, Device, MAX_DEVICES, ReserveOutcome, StoreError, TimeBudget,
};

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

    async fn knows(&self, device: &Device, time: &TimeBudget) -> Result<bool, StoreError> {
        let mut known = self.prepare(&self.attempt_scripts.knows, devices_key(device));
        known.arg(&device.key.0);
        let known_formerly = self.prepare(&self.attempt_scripts.knows_formerly, former_device_key(device));
        let (known, known_formerly): (bool, bool) =
            try_join(self.run_idempotent(&known, time), self.run_idempotent(&known_formerly, time)).await?;
        Ok(known || known_formerly)
    }

    async fn remember(&self, device: &Device, time: &TimeBudget) -> Result<(), StoreError> {
        let mut invocation = self.prepare(&self.attempt_scripts.remember, devices_key(device));
        invocation.arg(&device.key.0).arg(milliseconds(DEVICE_KNOWN_FOR)).arg(MAX_DEVICES);
        self.run_idempotent(&invocation, time).await
    }
}

fn devices_key(device: &Device) -> String {
    format!("devices:{}", hex(&device.account))
}

/// Returns the key in which versions before the release of 0.1.0 stored a device. It is read, so that an upgrade forgets no
/// device, but not written, because nothing bounds such keys. It can be removed 90 days ([`DEVICE_KNOWN_FOR`]) after that
/// release, with `device.knows_formerly.lua`.
fn former_device_key(device: &Device) -> String {
    format!("device:{}", hex(&device.key))
}

fn hex(key: &BucketKey) -> String {
    format!("{:032x}", u128::from_be_bytes(key.0))
}
