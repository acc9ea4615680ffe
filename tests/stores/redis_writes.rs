//! The commands that a Redis server gets, and what happens when it takes no writes because it is full or a replica, or
//! misses its own replicas.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use postern::{
    clock::{Clock, ManualClock},
    model::{FIRST_NEXT, KeyTag, NewSession, Rotation},
    store::{LAST_USED_RESOLUTION, RefreshAttempt, SessionStore as _, StoreError, redis::RedisStore},
};

use super::suite::{Fixture, is_kept, new_session};
use crate::support::{PrivateRedis, time};

impl PrivateRedis {
    pub fn sessions(&self, clock: Arc<ManualClock>) -> RedisStore {
        RedisStore::new(&self.socket_url().parse().expect("a URL"), clock as Arc<dyn Clock>).expect("an address")
    }

    /// Returns how often each command was called.
    async fn commands(&self) -> BTreeMap<String, usize> {
        let text: String = self.query(&["INFO", "commandstats"]).await;
        let calls = |line: &str| {
            let (name, figures) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
            Some((name.to_owned(), figures.split(',').next()?.parse().ok()?))
        };
        text.lines().filter_map(calls).collect()
    }
}

#[tokio::test]
async fn full_redis_still_finds_sessions() {
    let (redis, clock) = (PrivateRedis::start().await, Arc::new(ManualClock::default()));
    let sessions = redis.sessions(Arc::clone(&clock));
    let user = Fixture::empty().await.user("ada@example.org");
    let idle = NewSession { idle: Some(Duration::from_hours(1)), ..new_session(&user) };
    let session = sessions.open(&new_session(&user), &time()).await.expect("a response").session;
    let idle = sessions.open(&idle, &time()).await.expect("a response").session;
    clock.advance(2 * LAST_USED_RESOLUTION);

    redis.send(&["CONFIG", "SET", "maxmemory", "1"]).await;

    let found = sessions.touch(user.id, session.id, &time()).await.expect("a response").expect("a session");
    assert_eq!(found.id, session.id);
    let attempt = |rotation| RefreshAttempt { user: user.clone(), session: session.id, counter: FIRST_NEXT, rotation };
    assert!(is_kept(&sessions.refresh(&attempt(Rotation::Off), &time()).await.expect("a response")));
    // Operations that need a write fail: a rotation, and the use of a session with an idle limit.
    let rotated = sessions.refresh(&attempt(Rotation::On(KeyTag([1; 4]))), &time()).await;
    assert!(matches!(rotated, Err(StoreError::Unavailable { .. })), "{rotated:?}");
    let of_idle = sessions.touch(user.id, idle.id, &time()).await;
    assert!(matches!(of_idle, Err(StoreError::Unavailable { .. })), "{of_idle:?}");
}

#[tokio::test]
async fn replica_or_primary_without_replicas_is_unavailable() {
    // It has become a replica, or lacks replicas.
    for command in [&["REPLICAOF", "127.0.0.1", "1"][..], &["CONFIG", "SET", "min-replicas-to-write", "1"]] {
        let redis = PrivateRedis::start().await;
        let sessions = redis.sessions(Arc::default());
        let user = Fixture::empty().await.user("ada@example.org");
        let session = sessions.open(&new_session(&user), &time()).await.expect("a response").session;

        redis.send(command).await;

        // A server that is full as well reports only that to a plain write.
        for is_full in [false, true] {
            if is_full {
                redis.send(&["CONFIG", "SET", "maxmemory", "1"]).await;
            }
            // No call has to write: the use of the session was recorded less than a minute ago.
            let resumed = sessions.touch(user.id, session.id, &time()).await;
            assert!(matches!(resumed, Err(StoreError::Unavailable { .. })), "{command:?}: {resumed:?}");
            let listed = sessions.list(user.id, &time()).await;
            assert!(matches!(listed, Err(StoreError::Unavailable { .. })), "{command:?}: {listed:?}");
        }
    }
}

#[tokio::test]
async fn sessions_are_found_by_plain_reads_that_a_check_follows() {
    let redis = PrivateRedis::start().await;
    let sessions = redis.sessions(Arc::default());
    let user = Fixture::empty().await.user("ada@example.org");
    let session = sessions.open(&new_session(&user), &time()).await.expect("a response").session;
    let before = redis.commands().await;

    sessions.touch(user.id, session.id, &time()).await.expect("a response");

    let calls = |(name, calls): (String, usize)| {
        let more = calls - before.get(&name).copied().unwrap_or_default();
        (more > 0 && name != "info").then_some((name, more))
    };
    let made: Vec<_> = redis.commands().await.into_iter().filter_map(calls).collect();
    assert_eq!(made, [("hmget".to_owned(), 1), ("setrange".to_owned(), 1), ("time".to_owned(), 1)]);
}
