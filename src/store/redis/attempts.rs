//! Attempts and devices in Redis.
//!
//! Each bucket and each device is one key, in any slot of a cluster. The concurrent calls of one request are pipelined
//! over the shared connection.

use std::{fmt::Write as _, time::Duration};

use async_trait::async_trait;
use redis::{Script, ScriptInvocation};

use super::{connection::RedisStore, scripts::milliseconds};
use crate::store::{AttemptStore, Bucket, BucketKey, DEVICE_KNOWN_FOR, ReserveOutcome, StoreError, TimeBudget};

impl RedisStore {
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
        let mut invocation = self.prepare(&self.attempt_scripts.reserve, bucket_key(bucket));
        invocation
            .arg(milliseconds(limit.burst))
            .arg(milliseconds(limit.ttl))
            .arg(limit.long_ttl_from)
            .arg(milliseconds(DEVICE_KNOWN_FOR));
        for charge in limit.charges {
            invocation.arg(milliseconds(*charge));
        }
        // Run again, it would count as two attempts.
        let (wait, charge, count): (u64, u64, u32) = self.run_once(&invocation, time).await?;
        Ok(match wait {
            0 => ReserveOutcome::Allowed { charge: Duration::from_millis(charge), count },
            wait => ReserveOutcome::Denied { wait: Duration::from_millis(wait) },
        })
    }

    async fn refund(&self, bucket: &Bucket, charge: Duration, time: &TimeBudget) -> Result<(), StoreError> {
        let mut invocation = self.prepare(&self.attempt_scripts.refund, bucket_key(bucket));
        invocation.arg(milliseconds(charge));
        self.run_once(&invocation, time).await
    }

    async fn clear(&self, bucket: &Bucket, time: &TimeBudget) -> Result<(), StoreError> {
        self.run_idempotent(&self.prepare(&self.attempt_scripts.clear, bucket_key(bucket)), time).await
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

fn bucket_key(bucket: &Bucket) -> String {
    hexadecimal(format!("attempts:{}:", bucket.limit.name), &bucket.key)
}

fn device_key(device: &BucketKey) -> String {
    hexadecimal("device:".to_owned(), device)
}

fn hexadecimal(prefix: String, key: &BucketKey) -> String {
    key.0.iter().fold(prefix, |mut key, byte| {
        write!(key, "{byte:02x}").unwrap_or_else(|_| unreachable!("writing to a String does not fail"));
        key
    })
}
