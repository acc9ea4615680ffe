//! The contract of user stores for administration.

use postern::{
    clock::Clock as _,
    model::{Epoch, Role, User, UserId},
    store::UserUpdate,
};

use super::suite::Fixture;
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
async fn edit_of_an_unknown_user_finds_none() {
    let fixture = Fixture::empty().await;
    let nobody = UserId::new(fixture.clock.now());

    assert_eq!(fixture.stores.users.update(nobody, &UserUpdate::EndSessions(Epoch::random()), &time()).await, Ok(None));
}
