//! The keys of sessions in Redis.

use std::{collections::BTreeSet, time::Duration};

use postern::{
    model::{FIRST_NEXT, KeyTag, NewSession, Rotation, User},
    store::LAST_USED_RESOLUTION,
};

use super::suite::{Fixture, is_kept, new_session};
use crate::support::{redis_connection, redis_url, time};

/// Returns the keys of a user, each with its time to live in milliseconds.
async fn keys_of(user: &User) -> Vec<(String, u64)> {
    let mut redis = redis_connection(&redis_url()).await;
    let pattern = format!("*{{{}}}*", user.id);
    let mut keys: Vec<String> = redis::cmd("KEYS").arg(pattern).query_async(&mut redis).await.expect("keys");
    keys.sort();
    let mut found = Vec::new();
    for key in keys {
        let left = redis::cmd("PTTL").arg(&key).query_async(&mut redis).await.expect("a key with a time to live");
        found.push((key, left));
    }
    found
}

#[tokio::test]
async fn ended_session_leaves_no_key() {
    let fixture = Fixture::empty().await;
    let rotation = Rotation::On(KeyTag([1; 4]));
    let user = fixture.inserted("ada@example.org").await;
    let (logged_out, stolen, oldest) =
        (fixture.opened(&user).await, fixture.opened(&user).await, fixture.opened(&user).await);

    fixture.stores.sessions.end(user.id, logged_out.id, &time()).await.expect("a response");
    fixture.presented(&user, &stolen, FIRST_NEXT, rotation).await;
    fixture.presented(&user, &stolen, FIRST_NEXT - 1, rotation).await;
    let last = fixture.opened_as(&NewSession { max_sessions: 1, ..new_session(&user) }).await;
    assert_eq!(fixture.resumed(&oldest).await, None);

    let keys: Vec<_> = keys_of(&user).await.into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, [format!("session:{{{}}}:{}", user.id, last.id), format!("sessions:{{{}}}", user.id)]);
    fixture.stores.sessions.remove_ended(&user, None, &time()).await.expect("a response");
    assert_eq!(keys_of(&user).await, []);
}

#[tokio::test]
async fn key_expires_with_its_session_and_each_use_extends_it() {
    let fixture = Fixture::empty().await;
    let user = fixture.inserted("ada@example.org").await;
    let idle = Duration::from_hours(1);
    let new = NewSession { idle: Some(idle), lifetime: 5 * idle / 2, ..new_session(&user) };
    let session = fixture.opened_as(&new).await;
    let left = async || keys_of(&user).await[0].1;
    let is_about = |left: u64, hours: Duration| hours.abs_diff(Duration::from_millis(left)) < LAST_USED_RESOLUTION;

    assert!(is_about(left().await, idle));
    // Redis uses the real clock, in which no time has passed: each use sets the time to live to an hour.
    fixture.clock.advance(idle * 9 / 10);
    fixture.resumed(&session).await.expect("a session");
    assert!(is_about(left().await, idle));

    // Nothing extends it beyond the absolute end.
    fixture.clock.advance(idle * 9 / 10);
    fixture.resumed(&session).await.expect("a session");
    assert!(is_about(left().await, idle * 7 / 10));
}

#[tokio::test]
async fn session_of_an_earlier_version_stays_valid() {
    let fixture = Fixture::empty().await;
    let user = fixture.inserted("ada@example.org").await;
    let session = fixture.opened(&user).await;
    let mut redis = redis_connection(&redis_url()).await;
    let key = format!("session:{{{}}}:{}", user.id, session.id);

    redis::cmd("HDEL").arg(&key).arg("idle").exec_async(&mut redis).await.expect("a key");

    assert_eq!(fixture.stored(&session).await, Some(session.clone()));
    assert!(is_kept(&fixture.refreshed(&user, &session, FIRST_NEXT).await));
}

#[tokio::test]
async fn index_lasts_as_long_as_the_longest_session() {
    let fixture = Fixture::empty().await;
    let user = fixture.inserted("ada@example.org").await;
    let short = |lifetime| NewSession { lifetime, ..new_session(&user) };
    let expired = fixture.opened_as(&short(Duration::from_mins(1))).await;
    let long = fixture.opened(&user).await;

    fixture.clock.advance(Duration::from_mins(2));
    let last = fixture.opened_as(&short(Duration::from_mins(1))).await;

    let index = format!("sessions:{{{}}}", user.id);
    let (_, left) = keys_of(&user).await.into_iter().find(|(key, _)| *key == index).expect("an index");
    assert!(left > 23 * 60 * 60 * 1000, "{left}");
    let mut redis = redis_connection(&redis_url()).await;
    let members: BTreeSet<String> =
        redis::cmd("ZRANGE").arg(&index).arg(0).arg(-1).query_async(&mut redis).await.expect("members");
    assert!(!members.contains(&expired.id.to_string()));
    assert_eq!(members, BTreeSet::from([long.id.to_string(), last.id.to_string()]));
}
