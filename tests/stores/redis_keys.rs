//! The keys of sessions in Redis.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use postern::{
    clock::ManualClock,
    model::{Client, FIRST_NEXT, KeyTag, NewSession, Rotation, Session, User},
    store::{LAST_USED_RESOLUTION, SessionStore as _},
};

use super::suite::{Fixture, is_kept, new_session};
use crate::support::{PrivateRedis, redis_connection, redis_url, time};

/// The fields of a session that the previous version reads and writes.
const FORMER_FIELDS: [&str; 11] = [
    "epoch",
    "held",
    "successor",
    "successor_key",
    "rotated",
    "created",
    "expires",
    "last_used",
    "idle",
    "address",
    "user_agent",
];

const CHROME: &str =
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36";

/// Returns a session to open from a browser.
fn from(user_agent: &str, user: &User) -> NewSession {
    let address = "2001:db8:1234:5678:9abc:def0:1234:5678".parse().expect("an address");
    NewSession { client: Client::new(address, user_agent), next_key: KeyTag([0xff; 4]), ..new_session(user) }
}

fn session_key(session: &Session) -> String {
    format!("session:{{{}}}:{}", session.user, session.id)
}

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
async fn recorded_authentication_keeps_the_time_to_live() {
    let fixture = Fixture::empty().await;
    let user = fixture.inserted("ada@example.org").await;
    let session = fixture.opened_as(&from(CHROME, &user)).await;
    let before = keys_of(&user).await;
    let (mut redis, key) = (redis_connection(&redis_url()).await, session_key(&session));
    let fields = redis::cmd("HEXISTS").arg(&key).arg("authenticated").query_async(&mut redis).await;
    assert_eq!(fields, Ok(0), "a session that is not authenticated again takes no more memory");

    let recorded = fixture.stores.sessions.record_authentication(user.id, session.id, &time()).await;

    assert!(recorded.is_ok_and(|recorded| recorded.is_some()));
    for ((key, left), (same, left_before)) in keys_of(&user).await.iter().zip(&before) {
        assert_eq!(key, same);
        assert!(left <= left_before && left_before - left < 60_000, "{left} {left_before}");
    }
    let encoding = redis::cmd("OBJECT").arg("ENCODING").arg(&key).query_async::<String>(&mut redis).await;
    assert!(encoding.is_ok_and(|encoding| ["listpack", "ziplist"].contains(&encoding.as_str())));
}

#[tokio::test]
async fn session_of_the_previous_version_is_read() {
    let fixture = Fixture::empty().await;
    let user = fixture.inserted("ada@example.org").await;
    let session = fixture.opened_as(&from(CHROME, &user)).await;
    let (mut redis, key) = (redis_connection(&redis_url()).await, session_key(&session));
    let values: Vec<String> =
        redis::cmd("HMGET").arg(&key).arg(&FORMER_FIELDS).query_async(&mut redis).await.expect("all fields");

    // As the previous version writes it: its fields only, and the user agent in one of them.
    redis::cmd("DEL").arg(&key).exec_async(&mut redis).await.expect("a key");
    let mut written = redis::cmd("HSET");
    written.arg(&key);
    for (field, value) in FORMER_FIELDS.iter().zip(&values) {
        written.arg(field).arg(if *field == "user_agent" { session.client.user_agent.as_str() } else { value });
    }
    written.exec_async(&mut redis).await.expect("a response");

    assert_eq!(fixture.listed(&user).await, std::slice::from_ref(&session));
    assert_eq!(fixture.stored(&session).await, Some(session.clone()));
    assert!(is_kept(&fixture.refreshed(&user, &session, FIRST_NEXT).await));
}

#[tokio::test]
async fn previous_version_reads_a_session_with_a_shorter_user_agent() {
    let fixture = Fixture::empty().await;
    let user = fixture.inserted("ada@example.org").await;
    let mut redis = redis_connection(&redis_url()).await;

    for (agent, shown) in [
        (CHROME, "\u{fffd}Windows NT 10.0\u{fffd}\u{fffd}Chrome/131\u{fffd}Sa".to_owned()),
        (&"\u{eb}".repeat(50), "\u{eb}".repeat(32)),
    ] {
        let session = fixture.opened_as(&from(agent, &user)).await;
        let read = redis::cmd("HMGET").arg(session_key(&session)).arg(&FORMER_FIELDS).query_async(&mut redis).await;

        let values: Vec<String> = read.expect("all fields");
        let expires = session.expires.unix_timestamp_nanos() / 1_000_000;
        assert_eq!((&values[0], &values[6]), (&session.epoch.0.to_string(), &expires.to_string()));
        assert_eq!(Client::new(session.client.address, &values[10]).user_agent.as_str(), shown);
    }
}

#[tokio::test]
async fn session_is_small_and_stays_compact() {
    let fixture = Fixture::empty().await;
    let user = fixture.inserted("ada@example.org").await;
    let mut redis = redis_connection(&redis_url()).await;

    for (agent, max_bytes) in [(CHROME, 400), (&"\u{eb}".repeat(50), 550)] {
        let session = fixture.opened_as(&from(agent, &user)).await;
        fixture.presented(&user, &session, FIRST_NEXT, Rotation::On(KeyTag([0xff; 4]))).await;
        fixture.clock.advance(2 * LAST_USED_RESOLUTION);
        let session = fixture.stored(&session).await.expect("a session");

        assert_eq!(session.client, from(agent, &user).client);
        let encoding = redis::cmd("OBJECT").arg("ENCODING").arg(session_key(&session)).query_async(&mut redis).await;
        let encoding: String = encoding.expect("a key");
        assert!(["listpack", "ziplist"].contains(&encoding.as_str()), "{encoding}");
        let usage = redis::cmd("MEMORY").arg("USAGE").arg(session_key(&session)).query_async(&mut redis).await;
        let bytes: u64 = usage.expect("a key");
        assert!(bytes <= max_bytes, "{agent}: {bytes}");
    }
}

#[tokio::test]
async fn recorded_use_neither_goes_back_nor_creates_a_session() {
    let (redis, clock) = (PrivateRedis::start().await, Arc::new(ManualClock::default()));
    // The times of the stores are two minutes apart.
    let (early, late) = (redis.sessions(Arc::default()), redis.sessions(Arc::clone(&clock)));
    let user = Fixture::empty().await.user("ada@example.org");
    // With an idle limit, a use has been recorded when the call returns.
    let new = || NewSession { idle: Some(Duration::from_hours(1)), ..new_session(&user) };
    let session = early.open(&new(), &time()).await.expect("a response").session;
    let last_used = async || redis.query::<Option<u64>>(&["HGET", &session_key(&session), "last_used"]).await;
    let first = last_used().await.expect("a session");
    clock.advance(2 * LAST_USED_RESOLUTION);

    for store in [&late, &early] {
        let found = store.touch(user.id, session.id, &time()).await;
        assert!(found.is_ok_and(|found| found.is_some()));
        let recorded = last_used().await.expect("a session");
        assert!(recorded >= first + 120_000, "{recorded}");
    }

    for _ in 0..20 {
        let session = early.open(&new(), &time()).await.expect("a response").session;
        let (of_use, of_end) = (time(), time());
        let (touched, ended) =
            tokio::join!(late.touch(user.id, session.id, &of_use), early.end(user.id, session.id, &of_end));
        assert!(touched.is_ok() && ended == Ok(1), "{touched:?} {ended:?}");
        assert_eq!(redis.query::<u64>(&["EXISTS", &session_key(&session)]).await, 0);
    }
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
