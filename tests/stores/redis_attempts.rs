//! The keys of attempts and devices in Redis, and their memory.

use std::{sync::Arc, time::Duration};

use postern::{
    clock::{Clock, ManualClock},
    store::{
        AttemptStore as _, Bucket, BucketKey, DEVICE_KNOWN_FOR, Device, Limit, MAX_DEVICES, ReserveOutcome, StoreError,
        redis::RedisStore,
    },
};

use crate::support::{PrivateRedis, time};

/// As the limit of an account: kept for 16 minutes after one failure.
pub static ACCOUNT: Limit = Limit {
    name: "account",
    charges: &[Duration::ZERO],
    burst: Duration::ZERO,
    ttl_per_attempt: Duration::from_mins(16),
    long_ttl_from: 100,
};

/// The maximum memory of a bucket, in bytes, if shards are full, and if each is alone in its shard.
const DENSE_BYTES: usize = 56;
const SPARSE_BYTES: usize = 200;

/// The maximum memory of the devices of an account, in bytes.
const DEVICES_BYTES: usize = 850;

impl PrivateRedis {
    fn attempts(&self, max_buckets: u32) -> (RedisStore, Arc<ManualClock>) {
        let (url, clock) = (self.socket_url().parse().expect("a URL"), Arc::new(ManualClock::default()));
        let store = RedisStore::new(&url, Arc::clone(&clock) as Arc<dyn Clock>).expect("an address");
        (store.with_max_buckets(max_buckets), clock)
    }

    /// Returns the shards.
    async fn shards(&self) -> Vec<String> {
        self.query(&["KEYS", "*"]).await
    }

    /// Returns the sum of a command's replies about each shard.
    async fn sum(&self, command: &[&str]) -> usize {
        let mut sum = 0;
        for shard in self.shards().await {
            sum += self.query::<usize>(&[command, &[shard.as_str()]].concat()).await;
        }
        sum
    }
}

async fn reserve_new(attempts: &RedisStore) -> ReserveOutcome {
    let bucket = Bucket { key: BucketKey(*uuid::Uuid::new_v4().as_bytes()), limit: &ACCOUNT };
    attempts.reserve(&bucket, &time()).await.expect("a response")
}

#[tokio::test]
async fn bucket_of_one_failure_is_small_and_gone_after_16_minutes() {
    let redis = PrivateRedis::start().await;
    let (attempts, _) = redis.attempts(1 << 20);

    for _ in 0..100 {
        reserve_new(&attempts).await;
    }

    let shards = redis.shards().await;
    assert!(redis.sum(&["MEMORY", "USAGE"]).await < 100 * SPARSE_BYTES);
    for shard in shards {
        let left: u64 = redis.query(&["PTTL", &shard]).await;
        assert!(left > 0 && left <= 16 * 60 * 1000, "{left}");
    }
}

#[tokio::test]
async fn full_store_is_bounded_in_buckets_and_memory() {
    let redis = PrivateRedis::start().await;
    let (attempts, _) = redis.attempts(256);

    let mut full = 0;
    for _ in 0..1000 {
        full += usize::from(reserve_new(&attempts).await == ReserveOutcome::Full);
    }

    assert_eq!((redis.shards().await.len(), redis.sum(&["HLEN"]).await, full), (2, 256, 1000 - 256));
    let bytes = redis.sum(&["MEMORY", "USAGE"]).await;
    assert!(bytes < 256 * DENSE_BYTES, "{bytes}");
}

#[tokio::test]
async fn expired_buckets_do_not_accumulate() {
    let redis = PrivateRedis::start().await;
    let (attempts, clock) = redis.attempts(128);

    for _ in 0..500 {
        reserve_new(&attempts).await;
        clock.advance(Duration::from_mins(8));
    }

    let buckets = redis.sum(&["HLEN"]).await;
    assert!(buckets <= 2 + 16, "{buckets}");
}

#[tokio::test]
async fn logins_from_many_networks_leave_one_small_key() {
    let redis = PrivateRedis::start().await;
    let (attempts, clock) = redis.attempts(128);
    let account = BucketKey([1; 16]);

    for _ in 0..500 {
        let device = Device { account, key: BucketKey(*uuid::Uuid::new_v4().as_bytes()) };
        attempts.remember(&device, &time()).await.expect("a response");
        clock.advance(Duration::from_secs(1));
    }

    let key = format!("devices:{}", "01".repeat(16));
    assert_eq!(redis.query::<Vec<String>>(&["KEYS", "*"]).await, [key.as_str()]);
    assert_eq!(redis.query::<usize>(&["ZCARD", &key]).await, MAX_DEVICES);
    assert_eq!(redis.query::<String>(&["OBJECT", "ENCODING", &key]).await, "listpack");
    let bytes: usize = redis.query(&["MEMORY", "USAGE", &key]).await;
    assert!(bytes < DEVICES_BYTES, "{bytes}");
    let (left, most): (u128, _) = (redis.query::<u64>(&["PTTL", &key]).await.into(), DEVICE_KNOWN_FOR.as_millis());
    assert!(left <= most && left + 60_000 > most, "{left}");
}

#[tokio::test]
async fn device_in_the_key_of_a_previous_version_is_known() {
    let redis = PrivateRedis::start().await;
    let (attempts, clock) = redis.attempts(128);
    let known_until = clock.now() + DEVICE_KNOWN_FOR - Duration::from_mins(1);
    let known_until_ms = postern::clock::unix_ms(known_until).to_string();
    let (key, account) = (BucketKey([0x0a; 16]), BucketKey([1; 16]));
    redis.send(&["SET", &format!("device:{}", "0a".repeat(16)), &known_until_ms]).await;

    let knows = async |key| attempts.knows(&Device { account, key }, &time()).await.expect("a response");
    assert!(knows(key).await);
    assert!(!knows(BucketKey([0x0b; 16])).await);
    clock.advance(DEVICE_KNOWN_FOR);
    assert!(!knows(key).await);
}

#[tokio::test]
async fn server_without_memory_creates_no_bucket() {
    let redis = PrivateRedis::start().await;
    let (attempts, _) = redis.attempts(128);
    redis.send(&["CONFIG", "SET", "maxmemory", "1"]).await;

    let bucket = Bucket { key: BucketKey([1; 16]), limit: &ACCOUNT };
    let outcome = attempts.reserve(&bucket, &time()).await;

    assert!(matches!(outcome, Err(StoreError::Unavailable { .. })), "{outcome:?}");
}
