//! The permissions of the user of Redis in docs/configuration.md: with all of them everything works, and each is needed.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures_util::future::join_all;
use postern::{
    clock::{Clock, ManualClock},
    model::{FIRST_CURRENT, FIRST_NEXT, KeyTag, NewSession, Rotation, User},
    store::{
        AttemptStore as _, Bucket, BucketKey, Device, LAST_USED_RESOLUTION, RefreshAttempt, SessionStore as _,
        StoreError, redis::RedisStore,
    },
};

use super::{
    redis_attempts::ACCOUNT,
    suite::{hash, new_session},
};
use crate::support::{PrivateRedis, documented_redis_user, time};

fn key() -> BucketKey {
    BucketKey(*uuid::Uuid::new_v4().as_bytes())
}

/// Makes every call of the stores over a new connection, and returns the errors.
async fn errors(url: &str) -> Vec<StoreError> {
    let clock = Arc::new(ManualClock::default());
    let store = RedisStore::new(&url.parse().expect("a URL"), Arc::clone(&clock) as Arc<dyn Clock>);
    let store = store.expect("an address").with_max_buckets(128);
    let mut outcomes = vec![store.ping(&time()).await.map(drop)];
    outcomes.extend(use_sessions(&store, &clock).await);
    outcomes.extend(use_attempts(&store).await);
    outcomes.into_iter().filter_map(Result::err).collect()
}

async fn use_sessions(store: &RedisStore, clock: &ManualClock) -> Vec<Result<(), StoreError>> {
    let (email, name) = ("ada@example.org".parse().expect("an address"), "Ada".parse().expect("a name"));
    let user = User::new(email, name, hash("first"), clock.now());
    let (one, two, three) = (
        NewSession { idle: Some(Duration::from_hours(1)), ..new_session(&user) },
        NewSession { max_sessions: 1, ..new_session(&user) },
        new_session(&user),
    );
    let mut outcomes = vec![store.open(&one, &time()).await.map(drop)];
    clock.advance(2 * LAST_USED_RESOLUTION);
    outcomes.push(store.touch(user.id, one.id, &time()).await.map(drop));
    outcomes.push(store.list(user.id, &time()).await.map(drop));
    for counter in [FIRST_NEXT, FIRST_CURRENT] {
        let attempt =
            RefreshAttempt { user: user.clone(), session: one.id, counter, rotation: Rotation::On(KeyTag([1; 4])) };
        outcomes.push(store.refresh(&attempt, &time()).await.map(drop));
    }
    for new in [&one, &two, &three] {
        outcomes.push(store.open(new, &time()).await.map(drop));
    }
    outcomes.push(store.end(user.id, two.id, &time()).await.map(drop));
    outcomes.push(store.remove_ended(&user, None, &time()).await.map(drop));
    outcomes
}

async fn use_attempts(store: &RedisStore) -> Vec<Result<(), StoreError>> {
    let bucket = Bucket { key: key(), limit: &ACCOUNT };
    let device = Device { account: key(), key: key() };
    // Each of 128 shards holds one bucket: in a full one, expired buckets are looked for.
    let mut outcomes: Vec<_> = join_all(
        (0..129).map(|_| async { store.reserve(&Bucket { key: key(), limit: &ACCOUNT }, &time()).await.map(drop) }),
    )
    .await;
    outcomes.push(store.reserve(&bucket, &time()).await.map(drop));
    outcomes.push(store.refund(&bucket, Duration::ZERO, &time()).await);
    outcomes.push(store.clear(&bucket, &time()).await);
    outcomes.push(store.remember(&device, &time()).await);
    outcomes.push(store.knows(&device, &time()).await.map(drop));
    outcomes
}

/// Returns the reason and the object of each denial since the last call.
async fn denials(redis: &PrivateRedis) -> Vec<(String, String)> {
    let entries: Vec<HashMap<String, String>> = redis.query(&["ACL", "LOG"]).await;
    redis.send(&["ACL", "LOG", "RESET"]).await;
    entries.iter().map(|entry| (entry["reason"].clone(), entry["object"].clone())).collect()
}

/// Creates the documented user without one word of its command. Scripts must be loaded again.
async fn create_user_without(redis: &PrivateRedis, removed: &str) {
    let words = documented_redis_user();
    let kept: Vec<_> = words.iter().map(String::as_str).filter(|word| *word != removed).collect();
    redis.send(&kept).await;
    redis.send(&["SCRIPT", "FLUSH"]).await;
}

#[tokio::test]
async fn documented_user_may_make_every_call() {
    let redis = PrivateRedis::start().await;
    let url = redis.create_documented_user().await;

    assert_eq!(errors(&url).await, []);
    assert_eq!(denials(&redis).await, []);
}

#[tokio::test]
async fn each_documented_command_is_needed_and_named_in_the_error() {
    let redis = PrivateRedis::start().await;
    let url = redis.create_documented_user().await;
    let words = documented_redis_user();
    let commands: Vec<_> = words.iter().filter_map(|word| word.strip_prefix('+')).collect();
    assert!(commands.len() > 20, "{commands:?}");

    for command in commands {
        create_user_without(&redis, &format!("+{command}")).await;

        let errors = errors(&url).await;

        let denied = denials(&redis).await;
        assert!(denied.contains(&("command".to_owned(), command.to_owned())), "{command}: {denied:?}");
        // Without INFO, the eviction policy is unknown, and nothing fails.
        let is_named = errors.iter().any(|error| {
            matches!(error, StoreError::Misconfigured { reason, .. } if reason.to_ascii_lowercase().contains(command))
        });
        assert!(is_named || command == "info", "{command}: {errors:?}");
        let others: Vec<_> = errors.iter().filter(|error| error.is_outage()).collect();
        assert!(others.is_empty(), "{command}: {others:?}");
    }
}

#[tokio::test]
async fn each_documented_key_pattern_is_needed() {
    let redis = PrivateRedis::start().await;
    let url = redis.create_documented_user().await;
    let words = documented_redis_user();
    let patterns: Vec<_> = words.iter().filter(|word| word.starts_with('~')).collect();
    assert!(!patterns.is_empty());

    for pattern in &patterns {
        create_user_without(&redis, pattern).await;

        let errors = errors(&url).await;

        let prefix = pattern.trim_matches(['~', '*']);
        let denied = denials(&redis).await;
        assert!(denied.iter().any(|(reason, key)| reason == "key" && key.starts_with(prefix)), "{pattern}: {denied:?}");
        // The error has all patterns.
        let all = patterns.iter().map(|pattern| pattern.as_str()).collect::<Vec<_>>().join(" ");
        let is_explained = errors
            .iter()
            .any(|error| matches!(error, StoreError::Misconfigured { reason, .. } if reason.contains(&all)));
        assert!(is_explained, "{pattern}: {errors:?}");
    }
}
