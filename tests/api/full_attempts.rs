//! Failed logins for invented emails, which fill the store of attempts, and the devices in it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use postern::{
    clock::{Clock, ManualClock},
    keys::{self, KeyTimes, Purpose},
    rate_limit::AttemptStores,
    store::redis::RedisStore,
};
use serde_json::json;
use tokio::task::JoinSet;

use crate::support::{
    Backend, LONG, PASSWORD, PostgresRedis, PrivateRedis, Response, Service, Settings, Stores, eventually_some,
};

/// The address of users, that of an attacker, and one that nobody has used before (RFC 5737).
const HOME: &str = "192.0.2.1";
const ELSEWHERE: &str = "198.51.100.1";
const ABROAD: &str = "203.0.113.1";

/// The number of buckets that the store may hold.
const MAX_BUCKETS: usize = 256;

/// A Redis of its own that holds few buckets.
struct SmallRedis {
    stores: PostgresRedis,
    server: PrivateRedis,
}

impl Backend for SmallRedis {
    async fn empty() -> Self {
        let server = PrivateRedis::start().await;
        let stores = PostgresRedis { redis: server.url(""), ..PostgresRedis::migrated().await };
        Self { stores, server }
    }

    async fn open(&self, clock: Arc<ManualClock>) -> Stores {
        let url = self.stores.redis.parse().expect("a URL");
        let redis = RedisStore::new(&url, Arc::clone(&clock) as Arc<dyn Clock>).expect("an address");
        let redis = redis.with_max_buckets(u32::try_from(MAX_BUCKETS).expect("a small number"));
        let stores = self.stores.open(clock).await;
        Stores { attempts: AttemptStores { shared: Some(Arc::new(redis)), ..stores.attempts }, ..stores }
    }
}

impl SmallRedis {
    /// Returns the lengths of the field and the value of every bucket, in order.
    async fn buckets(&self) -> Vec<(usize, usize)> {
        let mut buckets = Vec::new();
        for shard in self.server.query::<Vec<String>>(&["KEYS", "attempts:*"]).await {
            let fields: BTreeMap<Vec<u8>, Vec<u8>> = self.server.query(&["HGETALL", &shard]).await;
            buckets.extend(fields.iter().map(|(field, value)| (field.len(), value.len())));
        }
        buckets.sort_unstable();
        buckets
    }

    /// Returns the memory of all buckets, in bytes.
    async fn bucket_memory(&self) -> usize {
        let mut bytes = 0;
        for shard in self.server.query::<Vec<String>>(&["KEYS", "attempts:*"]).await {
            bytes += self.server.query::<usize>(&["MEMORY", "USAGE", &shard]).await;
        }
        bytes
    }

    /// Returns how often the commands of a reservation have run, whatever its place in a shard.
    async fn commands(&self) -> Vec<u64> {
        let text: String = self.server.query(&["INFO", "commandstats"]).await;
        let calls = |command: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
            line.and_then(|line| line.split(',').next()?.parse().ok()).unwrap_or_default()
        };
        ["evalsha", "get", "hget", "hset", "zadd", "zscore"].map(calls).to_vec()
    }
}

async fn behind_proxy() -> Service<SmallRedis> {
    Service::start_with(Settings { trusted_proxies: "127.0.0.1", ..Settings::default() }).await
}

async fn log_in(service: &Service<SmallRedis>, address: &str, email: &str, password: &str) -> Response {
    let body = json!({"email": email, "password": password});
    service.post("/token/", body).header("x-forwarded-for", address).send().await
}

async fn sign_up(service: &Service<SmallRedis>, email: &str) -> Response {
    let body = json!({"name": "Ada Lovelace", "email": email, "password": PASSWORD});
    service.post("/create-user/", body).header("x-forwarded-for", HOME).send().await
}

/// Fails from one address until an attempt has to wait for 16 minutes.
async fn fail_until_the_longest_delay(service: &Service<SmallRedis>, email: &str) {
    let delayed = eventually_some(LONG, "the longest delay", async || {
        let response = log_in(service, ELSEWHERE, email, "wrong_password").await;
        if response.status == 401 {
            return None;
        }
        let wait = Duration::from_secs(response.text("retry-after").parse().expect("whole seconds"));
        if wait > Duration::from_mins(10) {
            return Some(());
        }
        service.advance(wait);
        None
    });
    delayed.await;
}

/// Fails at invented emails, each from another address.
async fn flood(service: &Service<SmallRedis>, emails: usize) {
    let mut logins = JoinSet::new();
    for number in 0..emails {
        let body = json!({"email": format!("nobody{number}@example.org"), "password": "wrong_password"});
        let address = format!("10.0.{}.{}", number / 250, number % 250);
        logins.spawn(service.post("/token/", body).header("x-forwarded-for", &address).send());
        if logins.len() >= 50 {
            logins.join_next().await.expect("a login").expect("no panic").expect_problem(401, "invalid_credentials");
        }
    }
    for response in logins.join_all().await {
        response.expect_problem(401, "invalid_credentials");
    }
}

#[tokio::test]
async fn invented_emails_neither_fill_redis_nor_reject_correct_logins() {
    let service = behind_proxy().await;
    sign_up(&service, "ada@example.org").await.expect(201);
    sign_up(&service, "bob@example.org").await.expect(201);
    fail_until_the_longest_delay(&service, "ada@example.org").await;

    flood(&service, 2000).await;

    let backend = service.backend();
    let (buckets, bytes) = (backend.buckets().await.len(), backend.bucket_memory().await);
    assert!(buckets <= MAX_BUCKETS && bytes < 56 * MAX_BUCKETS, "{buckets} buckets of {bytes} bytes");
    assert!(service.metric("postern_rate_limit_overflow_total").await > 3000);
    log_in(&service, ELSEWHERE, "ada@example.org", PASSWORD).await.expect_problem(429, "too_many_attempts");
    log_in(&service, HOME, "ada@example.org", PASSWORD).await.expect(200);
    log_in(&service, ABROAD, "bob@example.org", PASSWORD).await.expect(200);
    sign_up(&service, "eve@example.org").await.expect(201);
}

#[tokio::test]
async fn accounts_without_a_bucket_in_a_full_redis_are_limited_too() {
    let service = behind_proxy().await;
    sign_up(&service, "ada@example.org").await.expect(201);
    flood(&service, 300).await;

    fail_until_the_longest_delay(&service, "ada@example.org").await;

    log_in(&service, ABROAD, "ada@example.org", PASSWORD).await.expect_problem(429, "too_many_attempts");
    log_in(&service, HOME, "ada@example.org", PASSWORD).await.expect(200);
}

#[tokio::test]
async fn full_redis_counts_again_when_invented_emails_expire() {
    let service = behind_proxy().await;
    flood(&service, 300).await;

    service.advance(Duration::from_mins(16));
    let before = service.metric("postern_rate_limit_overflow_total").await;
    log_in(&service, ELSEWHERE, "nobody@example.org", "wrong_password")
        .await
        .expect_problem(401, "invalid_credentials");

    assert_eq!(service.metric("postern_rate_limit_overflow_total").await, before);
}

#[tokio::test]
async fn known_and_invented_emails_leave_the_same_traces() {
    let service = behind_proxy().await;
    sign_up(&service, "ada@example.org").await.expect(201);
    // The first attempt loads the scripts.
    log_in(&service, ELSEWHERE, "eve@example.org", "wrong_password").await.expect_problem(401, "invalid_credentials");
    let mut failures = Vec::new();
    for email in ["ada@example.org", "bob@example.org"] {
        service.backend().server.send(&["FLUSHALL"]).await;
        let before = service.backend().commands().await;

        log_in(&service, ELSEWHERE, email, "wrong_password").await.expect_problem(401, "invalid_credentials");

        let after = service.backend().commands().await;
        let commands: Vec<_> = after.iter().zip(before).map(|(after, before)| after - before).collect();
        failures.push((commands, service.backend().buckets().await));
    }

    assert_eq!(failures[0].1.len(), 3);
    assert_eq!(failures[0], failures[1]);
}

#[tokio::test]
async fn device_stays_known_when_the_limiter_key_is_rotated() {
    let service = behind_proxy().await;
    sign_up(&service, "ada@example.org").await.expect(201);
    let accounts = async || service.backend().server.query::<Vec<String>>(&["KEYS", "devices:*"]).await.len();
    assert_eq!(accounts().await, 1);
    let minutes = Duration::from_mins(5);
    let times = KeyTimes { max_age: minutes, access: minutes, refresh: Duration::from_hours(24) };

    // The first rotation adds a key, and the second activates it.
    for _ in 0..2 {
        service.advance(Duration::from_hours(1));
        keys::rotate(service.keys_directory(), &[Purpose::Limiter], &times, service.now()).expect("a rotation");
        service.keys.reload().await;
    }
    fail_until_the_longest_delay(&service, "ada@example.org").await;

    log_in(&service, ABROAD, "ada@example.org", PASSWORD).await.expect_problem(429, "too_many_attempts");
    log_in(&service, HOME, "ada@example.org", PASSWORD).await.expect(200);
    assert_eq!(accounts().await, 2, "its device is known by the new key as well");
}
