//! What every store promises to [`postern::accounts`], races included.

use std::{net::IpAddr, sync::Arc, time::Duration};

use postern::{
    accounts::{
        Client, Email, Epoch, FIRST_HELD, FIRST_SUCCESSOR, KeyTag, NewSession, PasswordHash, Session, SessionId,
        Standing, User, UserId,
    },
    clock::{Clock as _, ManualClock, from_unix_ms, unix_ms},
    store::{
        CompareAndSet, Insert, LAST_USED_RESOLUTION, PasswordChange, Refresh, RefreshAttempt, StoreError, StoreTime,
    },
};

use super::Backend;
use crate::support::{Backend as _, Stores};

const DAY: Duration = Duration::from_hours(24);

/// A backend with stores on it, and the clock that both stores and test go by.
struct Kept {
    backend: Backend,
    stores: Stores,
    clock: Arc<ManualClock>,
}

impl Kept {
    async fn empty() -> Self {
        let (backend, clock) = (Backend::empty().await, Arc::new(ManualClock::default()));
        let stores = backend.open(Arc::clone(&clock)).await;
        Self { backend, stores, clock }
    }

    /// What a second server on the same backend has.
    async fn second(&self) -> Stores {
        self.backend.open(Arc::clone(&self.clock)).await
    }

    fn user(&self, email: &str) -> User {
        User {
            id: UserId::new(self.clock.now()),
            email: email.parse().expect("a valid address"),
            name: "Ada Lovelace".parse().expect("a valid name"),
            password: Some(hash("first")),
            standing: Standing::Active,
            epoch: Epoch::random(),
            kept_session: None,
            // A store keeps milliseconds at least.
            created: from_unix_ms(unix_ms(self.clock.now())).expect("a time within range"),
        }
    }

    async fn inserted(&self, email: &str) -> User {
        let user = self.user(email);
        assert_eq!(self.stores.users.insert(&user, &time()).await, Ok(Insert::Created));
        user
    }

    async fn by_id(&self, user: &User) -> User {
        self.stores.users.by_id(user.id, &time()).await.expect("an answer").expect("a user")
    }

    async fn opened(&self, user: &User) -> Session {
        self.stores.sessions.open(&new_session(user), &time()).await.expect("an answer")
    }

    async fn found(&self, session: &Session) -> Option<Session> {
        self.stores.sessions.find(session.user, session.id, &time()).await.expect("an answer")
    }

    async fn refreshed(&self, user: &User, session: &Session, counter: u64) -> Refresh {
        let attempt = RefreshAttempt { user: user.clone(), session: session.id, counter };
        self.stores.sessions.refresh(&attempt, &time()).await.expect("an answer")
    }

    async fn password_changed(&self, user: &User, text: &str, kept: SessionId) -> CompareAndSet {
        self.stores.users.change_password(user, &change(text, kept), &time()).await.expect("an answer")
    }
}

fn time() -> StoreTime {
    StoreTime::of(Duration::from_mins(1))
}

fn hash(text: &str) -> PasswordHash {
    PasswordHash::new(format!("$argon2id${text}"))
}

fn change(text: &str, kept_session: SessionId) -> PasswordChange {
    PasswordChange { hash: hash(text), epoch: Epoch::random(), kept_session }
}

fn new_session(user: &User) -> NewSession {
    NewSession {
        id: SessionId::random(),
        user: user.id,
        epoch: user.epoch,
        successor_key: KeyTag([0xff, 0, 1, 0x80]),
        lifetime: DAY,
        client: Client::new(IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1]), "curl/8 \"ë\"\n"),
    }
}

/// A time to the millisecond, as a store keeps it.
fn is_about(time: ::time::OffsetDateTime, expected: ::time::OffsetDateTime) -> bool {
    (time - expected).abs() < Duration::from_secs(30)
}

#[tokio::test]
async fn a_store_answers_a_ping() {
    let kept = Kept::empty().await;

    assert_eq!(kept.stores.users.ping(&time()).await, Ok(()));
    assert_eq!(kept.stores.sessions.ping(&time()).await, Ok(()));
}

#[tokio::test]
async fn a_store_without_time_is_unavailable() {
    let kept = Kept::empty().await;
    let user = kept.inserted("ada@example.org").await;
    let none = StoreTime::of(Duration::ZERO);

    assert!(matches!(kept.stores.users.by_id(user.id, &none).await, Err(StoreError::Unavailable { .. })));
    let found = kept.stores.sessions.find(user.id, SessionId::random(), &none).await;
    assert!(matches!(found, Err(StoreError::Unavailable { .. })));

    // And the next call gets its answer.
    assert_eq!(kept.by_id(&user).await, user);
    assert_eq!(kept.stores.sessions.ping(&time()).await, Ok(()));
}

#[tokio::test]
async fn a_user_is_found_as_it_was_inserted() {
    let kept = Kept::empty().await;
    let user = User { kept_session: Some(SessionId::random()), ..kept.user("ada@example.org") };

    assert_eq!(kept.stores.users.insert(&user, &time()).await, Ok(Insert::Created));

    assert_eq!(kept.by_id(&user).await, user);
    assert_eq!(kept.stores.users.by_email(&user.email, &time()).await, Ok(Some(user)));
}

#[tokio::test]
async fn an_inactive_user_without_a_password_is_found_as_such() {
    let kept = Kept::empty().await;
    let user = User { standing: Standing::Inactive, password: None, ..kept.user("ada@example.org") };

    assert_eq!(kept.stores.users.insert(&user, &time()).await, Ok(Insert::Created));

    assert_eq!(kept.by_id(&user).await, user);
}

#[tokio::test]
async fn an_epoch_may_be_any_64_bits() {
    let kept = Kept::empty().await;
    for (place, epoch) in [i64::MIN, -1, 0, 1, i64::MAX, (1 << 53) + 1].into_iter().enumerate() {
        let user = User { epoch: Epoch(epoch), ..kept.user(&format!("ada{place}@example.org")) };
        assert_eq!(kept.stores.users.insert(&user, &time()).await, Ok(Insert::Created));
        let session = kept.opened(&user).await;

        assert_eq!(kept.by_id(&user).await.epoch, Epoch(epoch));
        assert_eq!(kept.found(&session).await.expect("a session").epoch, Epoch(epoch));
        assert!(matches!(kept.refreshed(&user, &session, FIRST_SUCCESSOR).await, Refresh::Granted(_)));
    }
}

#[tokio::test]
async fn nobody_is_found_under_an_unknown_id_or_email() {
    let kept = Kept::empty().await;
    let unknown: Email = "nobody@example.org".parse().expect("a valid address");

    assert_eq!(kept.stores.users.by_email(&unknown, &time()).await, Ok(None));
    assert_eq!(kept.stores.users.by_id(UserId::new(kept.clock.now()), &time()).await, Ok(None));
}

#[tokio::test]
async fn a_second_user_with_the_same_email_is_not_inserted() {
    let kept = Kept::empty().await;
    let first = kept.inserted("ada@example.org").await;
    let second = kept.user("ada@example.org");

    assert_eq!(kept.stores.users.insert(&second, &time()).await, Ok(Insert::EmailTaken));

    assert_eq!(kept.stores.users.by_id(second.id, &time()).await, Ok(None));
    assert_eq!(kept.by_id(&first).await, first);
}

#[tokio::test]
async fn an_insert_that_is_repeated_meets_itself() {
    let kept = Kept::empty().await;
    let user = kept.inserted("ada@example.org").await;

    assert_eq!(kept.stores.users.insert(&user, &time()).await, Ok(Insert::Created));

    assert_eq!(kept.by_id(&user).await, user);
}

#[tokio::test]
async fn of_32_users_with_one_email_exactly_one_is_inserted() {
    let kept = Kept::empty().await;
    let second = kept.second().await;
    let mut racing = tokio::task::JoinSet::new();
    for place in 0..32 {
        let users = if place % 2 == 0 { &kept.stores.users } else { &second.users };
        let (users, user) = (Arc::clone(users), kept.user("ada@example.org"));
        racing.spawn(async move { users.insert(&user, &time()).await.expect("an answer") });
    }

    let outcomes = racing.join_all().await;

    let created = outcomes.iter().filter(|outcome| **outcome == Insert::Created).count();
    assert_eq!(created, 1, "{outcomes:?}");
}

#[tokio::test]
async fn a_rehash_replaces_the_hash_alone() {
    let kept = Kept::empty().await;
    let user = kept.inserted("ada@example.org").await;

    let outcome = kept.stores.users.rehash(&user, &hash("second"), &time()).await;

    assert_eq!(outcome, Ok(CompareAndSet::Written));
    assert_eq!(kept.by_id(&user).await, User { password: Some(hash("second")), ..user });
}

#[tokio::test]
async fn a_rehash_of_a_hash_that_is_no_more_writes_nothing() {
    let kept = Kept::empty().await;
    let user = kept.inserted("ada@example.org").await;
    let other_hash = User { password: Some(hash("other")), ..user.clone() };
    let other_epoch = User { epoch: Epoch::random(), ..user.clone() };
    let other_user = kept.user("grace@example.org");

    for verified in [other_hash, other_epoch, other_user] {
        let outcome = kept.stores.users.rehash(&verified, &hash("second"), &time()).await;
        assert_eq!(outcome, Ok(CompareAndSet::Stale));
    }
    assert_eq!(kept.by_id(&user).await, user);
}

#[tokio::test]
async fn a_password_change_replaces_hash_epoch_and_kept_session() {
    let kept = Kept::empty().await;
    let user = kept.inserted("ada@example.org").await;
    let change = change("second", SessionId::random());

    let outcome = kept.stores.users.change_password(&user, &change, &time()).await;

    assert_eq!(outcome, Ok(CompareAndSet::Written));
    let changed =
        User { password: Some(change.hash), epoch: change.epoch, kept_session: Some(change.kept_session), ..user };
    assert_eq!(kept.by_id(&changed).await, changed);
}

#[tokio::test]
async fn a_password_change_of_a_user_that_is_another_by_now_writes_nothing() {
    let kept = Kept::empty().await;
    let user = kept.inserted("ada@example.org").await;
    let other_hash = User { password: Some(hash("other")), ..user.clone() };
    let other_epoch = User { epoch: Epoch::random(), ..user.clone() };
    let no_hash = User { password: None, ..user.clone() };

    for verified in [other_hash, other_epoch, no_hash] {
        assert_eq!(kept.password_changed(&verified, "second", SessionId::random()).await, CompareAndSet::Stale);
    }
    assert_eq!(kept.by_id(&user).await, user);
}

#[tokio::test]
async fn nothing_is_written_for_an_inactive_user() {
    let kept = Kept::empty().await;
    let user = User { standing: Standing::Inactive, ..kept.user("ada@example.org") };
    assert_eq!(kept.stores.users.insert(&user, &time()).await, Ok(Insert::Created));

    assert_eq!(kept.stores.users.rehash(&user, &hash("second"), &time()).await, Ok(CompareAndSet::Stale));
    assert_eq!(kept.password_changed(&user, "second", SessionId::random()).await, CompareAndSet::Stale);

    assert_eq!(kept.by_id(&user).await, user);
}

#[tokio::test]
async fn of_two_password_changes_exactly_one_wins() {
    let kept = Kept::empty().await;
    let second = kept.second().await;
    for round in 0..8 {
        let user = kept.inserted(&format!("ada{round}@example.org")).await;
        let (left, right) = (change("left", SessionId::random()), change("right", SessionId::random()));
        let (time_left, time_right) = (time(), time());

        let outcomes = tokio::join!(
            kept.stores.users.change_password(&user, &left, &time_left),
            second.users.change_password(&user, &right, &time_right),
        );

        let winner = match outcomes {
            (Ok(CompareAndSet::Written), Ok(CompareAndSet::Stale)) => left,
            (Ok(CompareAndSet::Stale), Ok(CompareAndSet::Written)) => right,
            other => panic!("{other:?}"),
        };
        let changed = kept.by_id(&user).await;
        assert_eq!((changed.password, changed.epoch), (Some(winner.hash), winner.epoch));
    }
}

#[tokio::test]
async fn a_rehash_that_races_a_password_change_never_brings_the_old_password_back() {
    let kept = Kept::empty().await;
    let second = kept.second().await;
    for round in 0..8 {
        let user = kept.inserted(&format!("ada{round}@example.org")).await;
        let change = change("changed", SessionId::random());
        let (renewed, time_left, time_right) = (hash("first renewed"), time(), time());

        let (changed, rehashed) = tokio::join!(
            kept.stores.users.change_password(&user, &change, &time_left),
            second.users.rehash(&user, &renewed, &time_right),
        );

        let now = kept.by_id(&user).await;
        match (changed, rehashed) {
            (Ok(CompareAndSet::Written), Ok(CompareAndSet::Stale)) => assert_eq!(now.password, Some(change.hash)),
            (Ok(CompareAndSet::Stale), Ok(CompareAndSet::Written)) => assert_eq!(now.epoch, user.epoch),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn what_one_server_writes_the_other_reads_at_once() {
    let kept = Kept::empty().await;
    let second = kept.second().await;
    let user = kept.inserted("ada@example.org").await;
    let session = kept.opened(&user).await;

    assert_eq!(second.users.by_id(user.id, &time()).await, Ok(Some(user.clone())));
    assert_eq!(second.sessions.find(user.id, session.id, &time()).await, Ok(Some(session.clone())));

    second.sessions.end(user.id, session.id, &time()).await.expect("an answer");
    assert_eq!(kept.found(&session).await, None);
}

#[tokio::test]
async fn a_session_is_found_as_it_was_opened() {
    let kept = Kept::empty().await;
    let user = kept.inserted("ada@example.org").await;
    let new = new_session(&user);

    let session = kept.stores.sessions.open(&new, &time()).await.expect("an answer");

    assert_eq!((session.id, session.user, session.epoch), (new.id, new.user, new.epoch));
    assert_eq!((session.held, session.successor), (FIRST_HELD, FIRST_SUCCESSOR));
    assert_eq!((session.successor_key, session.client.clone()), (new.successor_key, new.client));
    assert_eq!(kept.found(&session).await, Some(session));
}

#[tokio::test]
async fn the_store_sets_the_times_of_a_session() {
    let kept = Kept::empty().await;
    let user = kept.inserted("ada@example.org").await;

    let session = kept.opened(&user).await;

    assert!(is_about(session.created, kept.clock.now()), "{}", session.created);
    assert_eq!(session.expires - session.created, ::time::Duration::DAY);
    assert_eq!((session.rotated, session.last_used), (session.created, session.created));
}

#[tokio::test]
async fn a_session_is_found_under_its_own_user_only() {
    let kept = Kept::empty().await;
    let (ada, grace) = (kept.inserted("ada@example.org").await, kept.inserted("grace@example.org").await);
    let session = kept.opened(&ada).await;

    assert_eq!(kept.stores.sessions.find(grace.id, session.id, &time()).await, Ok(None));
    assert_eq!(kept.stores.sessions.find(ada.id, SessionId::random(), &time()).await, Ok(None));
}

#[tokio::test]
async fn a_session_ends_when_it_expires() {
    let kept = Kept::empty().await;
    let user = kept.inserted("ada@example.org").await;
    let session = kept.opened(&user).await;

    kept.clock.advance(Duration::from_mins(24 * 60 - 1));
    assert_eq!(kept.found(&session).await.as_ref(), Some(&session));
    assert!(matches!(kept.refreshed(&user, &session, FIRST_SUCCESSOR).await, Refresh::Granted(_)));

    kept.clock.advance(Duration::from_mins(1));
    assert_eq!(kept.found(&session).await, None);
    assert_eq!(kept.refreshed(&user, &session, FIRST_SUCCESSOR).await, Refresh::NotInForce);
}

#[tokio::test]
async fn nothing_lengthens_a_session() {
    let kept = Kept::empty().await;
    let user = kept.inserted("ada@example.org").await;
    let session = kept.opened(&user).await;

    for _ in 0..23 {
        kept.clock.advance(Duration::from_hours(1));
        let Refresh::Granted(refreshed) = kept.refreshed(&user, &session, FIRST_SUCCESSOR).await else {
            panic!("the session is in force")
        };
        assert_eq!(refreshed.expires, session.expires);
    }
    kept.clock.advance(Duration::from_hours(1));

    assert_eq!(kept.found(&session).await, None);
}

#[tokio::test]
async fn an_ended_session_is_gone_and_ending_it_again_is_no_error() {
    let kept = Kept::empty().await;
    let user = kept.inserted("ada@example.org").await;
    let (session, other) = (kept.opened(&user).await, kept.opened(&user).await);

    for _ in 0..2 {
        assert_eq!(kept.stores.sessions.end(user.id, session.id, &time()).await, Ok(()));
        assert_eq!(kept.found(&session).await, None);
    }
    assert_eq!(kept.found(&other).await, Some(other));
}

#[tokio::test]
async fn a_late_refresh_does_not_revive_an_ended_session() {
    let kept = Kept::empty().await;
    let user = kept.inserted("ada@example.org").await;
    let session = kept.opened(&user).await;
    kept.clock.advance(2 * LAST_USED_RESOLUTION);
    kept.stores.sessions.end(user.id, session.id, &time()).await.expect("an answer");

    assert_eq!(kept.refreshed(&user, &session, FIRST_SUCCESSOR).await, Refresh::NotInForce);

    assert_eq!(kept.found(&session).await, None);
}

#[tokio::test]
async fn a_refresh_that_races_a_logout_leaves_no_session() {
    let kept = Kept::empty().await;
    let second = kept.second().await;
    let user = kept.inserted("ada@example.org").await;
    for _ in 0..8 {
        let session = kept.opened(&user).await;
        kept.clock.advance(2 * LAST_USED_RESOLUTION);
        let (end_time, sessions) = (time(), &second.sessions);

        let (_, ended) = tokio::join!(
            kept.refreshed(&user, &session, FIRST_SUCCESSOR),
            sessions.end(user.id, session.id, &end_time),
        );

        assert_eq!(ended, Ok(()));
        assert_eq!(kept.found(&session).await, None);
    }
}

#[tokio::test]
async fn all_sessions_but_one_can_be_ended() {
    let kept = Kept::empty().await;
    let (ada, grace) = (kept.inserted("ada@example.org").await, kept.inserted("grace@example.org").await);
    let survivor = kept.opened(&ada).await;
    let others = [kept.opened(&ada).await, kept.opened(&ada).await];
    let of_grace = kept.opened(&grace).await;

    assert_eq!(kept.stores.sessions.end_others(ada.id, survivor.id, &time()).await, Ok(()));

    for session in others {
        assert_eq!(kept.found(&session).await, None);
    }
    assert_eq!(kept.found(&survivor).await, Some(survivor));
    assert_eq!(kept.found(&of_grace).await, Some(of_grace));
}

#[tokio::test]
async fn a_session_of_an_earlier_epoch_is_refused_and_kept() {
    let kept = Kept::empty().await;
    let user = kept.inserted("ada@example.org").await;
    let session = kept.opened(&user).await;
    let later = User { epoch: Epoch::random(), ..user.clone() };

    assert_eq!(kept.refreshed(&later, &session, FIRST_SUCCESSOR).await, Refresh::NotInForce);

    // The user may have been read stale: whoever reads the right epoch still finds the session.
    assert!(matches!(kept.refreshed(&user, &session, FIRST_SUCCESSOR).await, Refresh::Granted(_)));
}

#[tokio::test]
async fn the_kept_session_outlives_its_epoch_and_no_other_does() {
    let kept = Kept::empty().await;
    let user = kept.inserted("ada@example.org").await;
    let (session, other) = (kept.opened(&user).await, kept.opened(&user).await);
    let later = User { epoch: Epoch::random(), kept_session: Some(session.id), ..user };

    assert!(matches!(kept.refreshed(&later, &session, FIRST_SUCCESSOR).await, Refresh::Granted(_)));
    assert_eq!(kept.refreshed(&later, &other, FIRST_SUCCESSOR).await, Refresh::NotInForce);
}

#[tokio::test]
async fn no_session_of_an_inactive_user_is_refreshed() {
    let kept = Kept::empty().await;
    let user = kept.inserted("ada@example.org").await;
    let session = kept.opened(&user).await;
    let inactive = User { standing: Standing::Inactive, kept_session: Some(session.id), ..user };

    assert_eq!(kept.refreshed(&inactive, &session, FIRST_SUCCESSOR).await, Refresh::NotInForce);
}

#[tokio::test]
async fn without_rotation_the_held_counter_and_the_successor_are_granted_and_nothing_rotates() {
    let kept = Kept::empty().await;
    let user = kept.inserted("ada@example.org").await;
    let session = kept.opened(&user).await;

    for counter in [FIRST_HELD, FIRST_SUCCESSOR, FIRST_SUCCESSOR, FIRST_SUCCESSOR + 5] {
        let Refresh::Granted(granted) = kept.refreshed(&user, &session, counter).await else {
            panic!("counter {counter} is granted")
        };
        assert_eq!((granted.held, granted.successor), (FIRST_HELD, FIRST_SUCCESSOR));
    }
}

#[tokio::test]
async fn the_last_use_is_noted_to_the_minute() {
    let kept = Kept::empty().await;
    let user = kept.inserted("ada@example.org").await;
    let session = kept.opened(&user).await;

    kept.clock.advance(LAST_USED_RESOLUTION / 4);
    kept.refreshed(&user, &session, FIRST_SUCCESSOR).await;
    assert_eq!(kept.found(&session).await.expect("a session").last_used, session.last_used);

    kept.clock.advance(LAST_USED_RESOLUTION);
    kept.refreshed(&user, &session, FIRST_SUCCESSOR).await;
    let noted = kept.found(&session).await.expect("a session").last_used;
    assert!(is_about(noted, kept.clock.now()), "{noted}");
    assert!(noted - session.last_used >= LAST_USED_RESOLUTION);
}

#[tokio::test]
async fn a_login_that_races_a_password_change_leaves_no_session_in_force() {
    let kept = Kept::empty().await;
    let second = kept.second().await;
    for round in 0..8 {
        let user = kept.inserted(&format!("ada{round}@example.org")).await;
        let kept_session = kept.opened(&user).await;
        let (change, new, change_time, open_time) =
            (change("second", kept_session.id), new_session(&user), time(), time());

        // The login has verified the old password, and opens its session in the epoch that it read with it.
        let (changed, opened) = tokio::join!(
            kept.stores.users.change_password(&user, &change, &change_time),
            second.sessions.open(&new, &open_time),
        );

        assert_eq!(changed, Ok(CompareAndSet::Written));
        let (user, session) = (kept.by_id(&user).await, opened.expect("an answer"));
        assert!(!user.keeps_in_force(session.id, session.epoch));
        assert_eq!(kept.refreshed(&user, &session, FIRST_SUCCESSOR).await, Refresh::NotInForce);
        assert!(user.keeps_in_force(kept_session.id, kept_session.epoch));
    }
}

#[tokio::test]
async fn a_dropped_call_leaves_the_store_usable() {
    let kept = Kept::empty().await;
    let user = kept.inserted("ada@example.org").await;
    for _ in 0..40 {
        let (users, sessions) = (&kept.stores.users, &kept.stores.sessions);
        let (dropped_time, new) = (time(), new_session(&user));
        tokio::select! {
            biased;
            _ = users.by_id(user.id, &dropped_time) => {}
            _ = sessions.open(&new, &dropped_time) => {}
            () = tokio::task::yield_now() => {}
        }
    }

    assert_eq!(kept.by_id(&user).await, user);
    let session = kept.opened(&user).await;
    assert_eq!(kept.found(&session).await, Some(session));
}
