//! Attempts and known devices: each is one key, since they lie in different slots of a cluster. The calls of one request
//! go out side by side over the one connection, and so are pipelined.

use std::{fmt::Write as _, time::Duration};

use async_trait::async_trait;
use redis::{Script, ScriptInvocation};

use super::{connection::RedisStore, scripts::milliseconds};
use crate::store::{Attempts, Bucket, DEVICE_KNOWN_FOR, Reservation, StoreError, StoreTime, Tag};

impl RedisStore {
    /// A script about one key, with the first of its arguments.
    fn about<'script>(&self, script: &'script Script, key: String) -> ScriptInvocation<'script> {
        let mut invocation = script.prepare_invoke();
        invocation.key(key).arg(self.ahead_ms());
        invocation
    }
}

#[async_trait]
impl Attempts for RedisStore {
    async fn reserve(&self, bucket: &Bucket, time: &StoreTime) -> Result<Reservation, StoreError> {
        let limit = bucket.limit;
        let mut invocation = self.about(&self.attempt_scripts.reserve, bucket_key(bucket));
        invocation
            .arg(milliseconds(limit.tolerance))
            .arg(milliseconds(limit.kept_for))
            .arg(limit.kept_on_from)
            .arg(milliseconds(DEVICE_KNOWN_FOR));
        for charge in limit.charges {
            invocation.arg(milliseconds(*charge));
        }
        // Twice, it would count as two.
        let (wait, charge, count): (u64, u64, u32) = self.run_once(&invocation, time).await?;
        Ok(match wait {
            0 => Reservation::Made { charge: Duration::from_millis(charge), count },
            wait => Reservation::Refused { wait: Duration::from_millis(wait) },
        })
    }

    async fn give_back(&self, bucket: &Bucket, charge: Duration, time: &StoreTime) -> Result<(), StoreError> {
        let mut invocation = self.about(&self.attempt_scripts.give_back, bucket_key(bucket));
        invocation.arg(milliseconds(charge));
        self.run_once(&invocation, time).await
    }

    async fn clear(&self, bucket: &Bucket, time: &StoreTime) -> Result<(), StoreError> {
        self.run(&self.about(&self.attempt_scripts.clear, bucket_key(bucket)), time).await
    }

    async fn knows(&self, device: &Tag, time: &StoreTime) -> Result<bool, StoreError> {
        self.run(&self.about(&self.attempt_scripts.knows, device_key(device)), time).await
    }

    async fn remember(&self, device: &Tag, time: &StoreTime) -> Result<(), StoreError> {
        let mut invocation = self.about(&self.attempt_scripts.remember, device_key(device));
        invocation.arg(milliseconds(DEVICE_KNOWN_FOR));
        self.run(&invocation, time).await
    }
}

fn bucket_key(bucket: &Bucket) -> String {
    hexadecimal(format!("attempts:{}:", bucket.limit.name), &bucket.tag)
}

fn device_key(device: &Tag) -> String {
    hexadecimal("device:".to_owned(), device)
}

fn hexadecimal(prefix: String, tag: &Tag) -> String {
    tag.0.iter().fold(prefix, |mut key, byte| {
        write!(key, "{byte:02x}").unwrap_or_else(|_| unreachable!("a String takes whatever is written"));
        key
    })
}
