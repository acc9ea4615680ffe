//! The contract of user stores.

use std::sync::Arc;

use postern::{
    clock::Clock as _,
    model::{AccountStatus, Email, Epoch, FIRST_NEXT, Role, SessionId, User, UserId},
    store::{CompareAndSet, Insert, OwnDeletion, PasswordChange},
};

use super::suite::{Fixture, change, hash, is_kept};
use crate::support::time;

#[tokio::test]
async fn user_is_found_as_inserted() {
    let fixture = Fixture::empty().await;
    let user = User { surviving_session: Some(SessionId::random()), ..fixture.user("ada@example.org") };

    assert_eq!(fixture.stores.users.insert(&user, &time()).await, Ok(Insert::Created));

    assert_eq!(fixture.by_id(&user).await, user);
    assert_eq!(fixture.stores.users.by_email(&user.email, &time()).await, Ok(Some(user)));
}

#[tokio::test]
async fn inactive_user_without_a_password_is_found_as_such() {
    let fixture = Fixture::empty().await;
    let user = User { status: AccountStatus::Inactive, password: None, ..fixture.user("ada@example.org") };

    assert_eq!(fixture.stores.users.insert(&user, &time()).await, Ok(Insert::Created));

    assert_eq!(fixture.by_id(&user).await, user);
}

#[tokio::test]
async fn epoch_may_be_any_64_bits() {
    let fixture = Fixture::empty().await;
    for (place, epoch) in [i64::MIN, -1, 0, 1, i64::MAX, (1 << 53) + 1].into_iter().enumerate() {
        let user = User { epoch: Epoch(epoch), ..fixture.user(&format!("ada{place}@example.org")) };
        assert_eq!(fixture.stores.users.insert(&user, &time()).await, Ok(Insert::Created));
        let session = fixture.opened(&user).await;

        assert_eq!(fixture.by_id(&user).await.epoch, Epoch(epoch));
        assert_eq!(fixture.resumed(&session).await.expect("a session").epoch, Epoch(epoch));
        assert!(is_kept(&fixture.refreshed(&user, &session, FIRST_NEXT).await));
    }
}

#[tokio::test]
async fn unknown_id_or_email_finds_no_user() {
    let fixture = Fixture::empty().await;
    let unknown: Email = "nobody@example.org".parse().expect("a valid address");

    assert_eq!(fixture.stores.users.by_email(&unknown, &time()).await, Ok(None));
    assert_eq!(fixture.stores.users.by_id(UserId::new(fixture.clock.now()), &time()).await, Ok(None));
}

#[tokio::test]
async fn second_user_with_the_same_email_is_not_inserted() {
    let fixture = Fixture::empty().await;
    let first = fixture.inserted("ada@example.org").await;
    let second = fixture.user("ada@example.org");

    assert_eq!(fixture.stores.users.insert(&second, &time()).await, Ok(Insert::EmailTaken));

    assert_eq!(fixture.stores.users.by_id(second.id, &time()).await, Ok(None));
    assert_eq!(fixture.by_id(&first).await, first);
}

#[tokio::test]
async fn repeated_insert_of_a_user_succeeds() {
    let fixture = Fixture::empty().await;
    let user = fixture.inserted("ada@example.org").await;

    assert_eq!(fixture.stores.users.insert(&user, &time()).await, Ok(Insert::Created));

    assert_eq!(fixture.by_id(&user).await, user);
}

#[tokio::test]
async fn one_of_16_users_with_one_email_is_inserted() {
    let fixture = Fixture::empty().await;
    let second = fixture.second().await;
    let mut racing = tokio::task::JoinSet::new();
    for place in 0..16 {
        let users = if place % 2 == 0 { &fixture.stores.users } else { &second.users };
        let (users, user) = (Arc::clone(users), fixture.user("ada@example.org"));
        racing.spawn(async move { users.insert(&user, &time()).await.expect("a response") });
    }

    let outcomes = racing.join_all().await;

    let created = outcomes.iter().filter(|outcome| **outcome == Insert::Created).count();
    assert_eq!(created, 1, "{outcomes:?}");
}

#[tokio::test]
async fn rehash_replaces_only_the_hash() {
    let fixture = Fixture::empty().await;
    let user = fixture.inserted("ada@example.org").await;

    let outcome = fixture.stores.users.rehash(&user, &hash("second"), &time()).await;

    assert_eq!(outcome, Ok(CompareAndSet::Written));
    assert_eq!(fixture.by_id(&user).await, User { password: Some(hash("second")), ..user });
}

#[tokio::test]
async fn rehash_of_a_replaced_hash_writes_nothing() {
    let fixture = Fixture::empty().await;
    let user = fixture.inserted("ada@example.org").await;
    let other_hash = User { password: Some(hash("other")), ..user.clone() };
    let other_epoch = User { epoch: Epoch::random(), ..user.clone() };
    let other_user = fixture.user("grace@example.org");

    for verified in [other_hash, other_epoch, other_user] {
        let outcome = fixture.stores.users.rehash(&verified, &hash("second"), &time()).await;
        assert_eq!(outcome, Ok(CompareAndSet::Stale));
    }
    assert_eq!(fixture.by_id(&user).await, user);
}

#[tokio::test]
async fn password_change_replaces_hash_epoch_and_surviving_session() {
    let fixture = Fixture::empty().await;
    let user = fixture.inserted("ada@example.org").await;
    let change = change("second", SessionId::random());

    let outcome = fixture.stores.users.change_password(&user, &change, &time()).await;

    assert_eq!(outcome, Ok(CompareAndSet::Written));
    let changed =
        User { password: Some(change.hash), epoch: change.epoch, surviving_session: change.surviving_session, ..user };
    assert_eq!(fixture.by_id(&changed).await, changed);
}

#[tokio::test]
async fn password_change_may_leave_no_surviving_session() {
    let fixture = Fixture::empty().await;
    let user = fixture.inserted("ada@example.org").await;
    assert_eq!(fixture.password_changed(&user, "second", SessionId::random()).await, CompareAndSet::Written);
    let user = fixture.by_id(&user).await;
    let change = PasswordChange { surviving_session: None, ..change("third", SessionId::random()) };

    let outcome = fixture.stores.users.change_password(&user, &change, &time()).await;

    assert_eq!(outcome, Ok(CompareAndSet::Written));
    let changed = fixture.by_id(&user).await;
    assert_eq!((changed.surviving_session, changed.epoch), (None, change.epoch));
}

#[tokio::test]
async fn password_change_of_a_changed_user_writes_nothing() {
    let fixture = Fixture::empty().await;
    let user = fixture.inserted("ada@example.org").await;
    let other_hash = User { password: Some(hash("other")), ..user.clone() };
    let other_epoch = User { epoch: Epoch::random(), ..user.clone() };
    let no_hash = User { password: None, ..user.clone() };

    for verified in [other_hash, other_epoch, no_hash] {
        assert_eq!(fixture.password_changed(&verified, "second", SessionId::random()).await, CompareAndSet::Stale);
    }
    assert_eq!(fixture.by_id(&user).await, user);
}

#[tokio::test]
async fn inactive_user_is_not_written() {
    let fixture = Fixture::empty().await;
    let user = User { status: AccountStatus::Inactive, ..fixture.user("ada@example.org") };
    assert_eq!(fixture.stores.users.insert(&user, &time()).await, Ok(Insert::Created));

    assert_eq!(fixture.stores.users.rehash(&user, &hash("second"), &time()).await, Ok(CompareAndSet::Stale));
    assert_eq!(fixture.password_changed(&user, "second", SessionId::random()).await, CompareAndSet::Stale);

    assert_eq!(fixture.by_id(&user).await, user);
}

#[tokio::test]
async fn one_of_two_password_changes_wins() {
    let fixture = Fixture::empty().await;
    let second = fixture.second().await;
    for round in 0..8 {
        let user = fixture.inserted(&format!("ada{round}@example.org")).await;
        let (left, right) = (change("left", SessionId::random()), change("right", SessionId::random()));
        let (time_left, time_right) = (time(), time());

        let outcomes = tokio::join!(
            fixture.stores.users.change_password(&user, &left, &time_left),
            second.users.change_password(&user, &right, &time_right),
        );

        let winner = match outcomes {
            (Ok(CompareAndSet::Written), Ok(CompareAndSet::Stale)) => left,
            (Ok(CompareAndSet::Stale), Ok(CompareAndSet::Written)) => right,
            other => panic!("{other:?}"),
        };
        let changed = fixture.by_id(&user).await;
        assert_eq!((changed.password, changed.epoch), (Some(winner.hash), winner.epoch));
    }
}

#[tokio::test]
async fn rehash_racing_a_password_change_keeps_the_new_password() {
    let fixture = Fixture::empty().await;
    let second = fixture.second().await;
    for round in 0..8 {
        let user = fixture.inserted(&format!("ada{round}@example.org")).await;
        let change = change("changed", SessionId::random());
        let (renewed, time_left, time_right) = (hash("first renewed"), time(), time());

        let (changed, rehashed) = tokio::join!(
            fixture.stores.users.change_password(&user, &change, &time_left),
            second.users.rehash(&user, &renewed, &time_right),
        );

        let now = fixture.by_id(&user).await;
        match (changed, rehashed) {
            (Ok(CompareAndSet::Written), Ok(CompareAndSet::Stale)) => assert_eq!(now.password, Some(change.hash)),
            (Ok(CompareAndSet::Stale), Ok(CompareAndSet::Written)) => assert_eq!(now.epoch, user.epoch),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn user_is_deleted_only_as_verified() {
    let fixture = Fixture::empty().await;
    let user = fixture.inserted("ada@example.org").await;
    let session = fixture.opened(&user).await;
    let users = &fixture.stores.users;
    let others = [
        User { epoch: Epoch::random(), ..user.clone() },
        User { password: Some(hash("second")), ..user.clone() },
        User { password: None, ..user.clone() },
        User { id: UserId::new(user.created), ..user.clone() },
        User { role: Role::Administrator, ..user.clone() },
    ];
    for other in others {
        assert_eq!(users.delete_verified(&other, &time()).await, Ok(OwnDeletion::Stale));
    }
    assert_eq!(fixture.by_id(&user).await, user);

    assert_eq!(users.delete_verified(&user, &time()).await, Ok(OwnDeletion::Deleted));

    assert_eq!(users.by_id(user.id, &time()).await, Ok(None));
    assert_eq!(users.delete_verified(&user, &time()).await, Ok(OwnDeletion::Stale));
    assert!(fixture.resumed(&session).await.is_some());
}

#[tokio::test]
async fn inactive_user_cannot_delete_the_account() {
    let fixture = Fixture::empty().await;
    let user = User { status: AccountStatus::Inactive, ..fixture.user("ada@example.org") };
    fixture.stores.users.insert(&user, &time()).await.expect("a response");

    assert_eq!(fixture.stores.users.delete_verified(&user, &time()).await, Ok(OwnDeletion::Stale));
}
