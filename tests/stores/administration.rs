//! The contract of user stores for administration.

use postern::{
    clock::Clock as _,
    model::{AccountStatus, Epoch, FIRST_NEXT, Role, SessionId, User, UserId},
    store::{CompareAndSet, Refresh, UserUpdate},
};

use super::suite::{Fixture, hash};
use crate::support::time;

async fn edited(fixture: &Fixture, user: &User, update: UserUpdate) -> User {
    fixture.stores.users.update(user.id, &update, &time()).await.expect("a response").expect("a user")
}

#[tokio::test]
async fn administrator_is_found_as_such() {
    let fixture = Fixture::empty().await;
    let user = User { role: Role::Administrator, ..fixture.user("ada@example.org") };
    fixture.stores.users.insert(&user, &time()).await.expect("a response");

    assert_eq!(fixture.by_id(&user).await, user);
}

#[tokio::test]
async fn new_name_changes_nothing_else() {
    let fixture = Fixture::empty().await;
    let user = fixture.inserted("ada@example.org").await;

    let renamed = edited(&fixture, &user, UserUpdate::Rename("Ada King".parse().expect("a name"))).await;

    assert_eq!(renamed, User { name: "Ada King".parse().expect("a name"), ..user.clone() });
    assert_eq!(fixture.by_id(&user).await, renamed);
}

#[tokio::test]
async fn edits_of_an_administrator_end_every_session() {
    for update in [
        UserUpdate::SetPassword(hash("set"), Epoch::random()),
        UserUpdate::SetStatus(AccountStatus::Active, Epoch::random()),
        UserUpdate::EndSessions(Epoch::random()),
    ] {
        let fixture = Fixture::empty().await;
        let user = User { surviving_session: Some(SessionId::random()), ..fixture.user("ada@example.org") };
        fixture.stores.users.insert(&user, &time()).await.expect("a response");
        let session = fixture.opened(&user).await;

        let after = edited(&fixture, &user, update).await;

        assert_eq!(after.surviving_session, None);
        assert_eq!(fixture.refreshed(&fixture.by_id(&user).await, &session, FIRST_NEXT).await, Refresh::NotValid);
        assert_eq!(fixture.by_id(&user).await, after);
    }
}

#[tokio::test]
async fn account_is_deactivated_and_activated_again() {
    let fixture = Fixture::empty().await;
    let user = fixture.inserted("ada@example.org").await;

    let closed = edited(&fixture, &user, UserUpdate::SetStatus(AccountStatus::Inactive, Epoch(1))).await;
    assert_eq!(closed, User { status: AccountStatus::Inactive, epoch: Epoch(1), ..user.clone() });

    let open = edited(&fixture, &user, UserUpdate::SetStatus(AccountStatus::Active, Epoch(2))).await;
    assert_eq!(open, User { epoch: Epoch(2), ..user });
}

#[tokio::test]
async fn deleted_user_is_gone_and_the_email_is_free() {
    let fixture = Fixture::empty().await;
    let user = fixture.inserted("ada@example.org").await;

    assert_eq!(fixture.stores.users.delete(user.id, &time()).await, Ok(Some(user.clone())));

    assert_eq!(fixture.stores.users.by_id(user.id, &time()).await, Ok(None));
    assert_eq!(fixture.stores.users.delete(user.id, &time()).await, Ok(None));
    fixture.inserted("ada@example.org").await;
}

#[tokio::test]
async fn edit_of_an_unknown_user_finds_none() {
    let fixture = Fixture::empty().await;
    let nobody = UserId::new(fixture.clock.now());

    assert_eq!(fixture.stores.users.update(nobody, &UserUpdate::EndSessions(Epoch::random()), &time()).await, Ok(None));
}

#[tokio::test]
async fn all_sessions_of_all_users_end_at_once() {
    let fixture = Fixture::empty().await;
    let mut opened = Vec::new();
    for email in ["ada@example.org", "grace@example.org"] {
        let user = fixture.inserted(email).await;
        let session = fixture.opened(&user).await;
        assert_eq!(fixture.password_changed(&user, "second", session.id).await, CompareAndSet::Written);
        opened.push(session);
    }

    assert_eq!(fixture.stores.users.end_all_sessions(Epoch::random(), &time()).await, Ok(2));

    for session in opened {
        let user = fixture.stores.users.by_id(session.user, &time()).await.expect("a response").expect("a user");
        assert_eq!(fixture.refreshed(&user, &session, FIRST_NEXT).await, Refresh::NotValid);
    }
}
