//! The contract of user stores for administration.

use std::time::Duration;

use postern::{
    clock::Clock as _,
    model::{Cursor, Epoch, Role, User, UserId, UserQuery},
    store::UserUpdate,
};

use super::suite::Fixture;
use crate::support::time;

fn all() -> UserQuery {
    UserQuery { search: None, after: None, limit: 100 }
}

async fn emails(fixture: &Fixture, query: &UserQuery) -> Vec<String> {
    let users = fixture.stores.users.list(query, &time()).await.expect("a response");
    users.iter().map(|user| user.email.as_str().to_owned()).collect()
}

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
async fn users_are_listed_newest_first() {
    let fixture = Fixture::empty().await;
    for email in ["ada@example.org", "grace@example.org", "joan@example.org"] {
        fixture.inserted(email).await;
        fixture.clock.advance(Duration::from_secs(1));
    }

    assert_eq!(emails(&fixture, &all()).await, ["joan@example.org", "grace@example.org", "ada@example.org"]);
}

#[tokio::test]
async fn pages_together_are_the_whole_list() {
    let fixture = Fixture::empty().await;
    let created = fixture.user("x@example.org").created;
    for number in 0..7 {
        let user = User { created, ..fixture.user(&format!("user{number}@example.org")) };
        fixture.stores.users.insert(&user, &time()).await.expect("a response");
    }
    let whole = emails(&fixture, &all()).await;

    let mut paged = Vec::new();
    let mut after = None;
    for _ in 0..10 {
        let page =
            fixture.stores.users.list(&UserQuery { after, limit: 3, ..all() }, &time()).await.expect("a response");
        let Some(last) = page.last() else { break };
        after = Some(Cursor::after(last));
        fixture.deleted(last).await;
        paged.extend(page.iter().map(|user| user.email.as_str().to_owned()));
    }

    assert_eq!(paged, whole);
}

#[tokio::test]
async fn search_finds_parts_of_email_and_name_in_any_case() {
    let fixture = Fixture::empty().await;
    for (email, name) in [("ada@example.org", "Ada Lovelace"), ("grace@example.com", "Grace 100%_Hopper")] {
        fixture.clock.advance(Duration::from_secs(1));
        let user = User { name: name.parse().expect("a name"), ..fixture.user(email) };
        fixture.stores.users.insert(&user, &time()).await.expect("a response");
    }
    for (text, found) in [
        ("LOVE", vec!["ada@example.org"]),
        ("Example.ORG", vec!["ada@example.org"]),
        ("example", vec!["grace@example.com", "ada@example.org"]),
        // These are characters, not patterns.
        ("0%_h", vec!["grace@example.com"]),
        ("a_a", vec![]),
        ("%", vec!["grace@example.com"]),
        ("'", vec![]),
    ] {
        let query = UserQuery { search: Some(text.to_owned()), ..all() };
        assert_eq!(emails(&fixture, &query).await, found, "{text}");
    }
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
