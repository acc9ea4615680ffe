//! Imports of users.

use postern::{
    model::{AccountStatus, Role, User},
    store::{
        DecidedUser,
        ImportDecision::{self, Insert, Refused, RepeatedEmail, RepeatedId},
        StagedUser, UserImport,
    },
};

use super::{Backend, suite::Fixture};
use crate::{OpenImport as _, Sql as _, support::time};

fn staged(row: u64, user: &User) -> StagedUser {
    let recipe = Some("pbkdf2_sha256$1000".to_owned());
    StagedUser { row, old_id: format!("old {row}"), user: user.clone(), recipe, decision: Insert, remark: None }
}

/// Imports users, and returns the decisions after the merges.
async fn imported(backend: &Backend, users: Vec<StagedUser>) -> Vec<DecidedUser> {
    let mut import = backend.open_import().await;
    import.stage(users).await.expect("staged");
    import.decide().await.expect("decided");
    merge_all(&mut *import).await;
    import.finish().await.expect("finished");
    all_decided(&mut *import).await
}

async fn merge_all(import: &mut dyn UserImport) -> u64 {
    let mut inserted = 0;
    for _ in 0..100 {
        match import.merge().await.expect("merged") {
            Some(batch) => inserted += batch.inserted,
            None => return inserted,
        }
    }
    panic!("the merges do not end");
}

async fn all_decided(import: &mut dyn UserImport) -> Vec<DecidedUser> {
    import.decided(0, 1000).await.expect("a response")
}

fn decisions(decided: &[DecidedUser]) -> Vec<ImportDecision> {
    decided.iter().map(|user| user.decision).collect()
}

#[tokio::test]
async fn imported_user_is_stored_in_every_field() {
    let fixture = Fixture::empty().await;
    let user = User {
        email_verified: true,
        status: AccountStatus::Inactive,
        role: Role::Administrator,
        ..fixture.user("ada@example.org")
    };
    let without_password = User { password: None, ..fixture.user("grace@example.org") };

    let decided = imported(&fixture.backend, vec![staged(1, &user), staged(2, &without_password)]).await;

    assert_eq!(fixture.by_id(&user).await, user);
    assert_eq!(fixture.by_id(&without_password).await, without_password);
    assert_eq!(decided.iter().map(|user| user.has_password).collect::<Vec<_>>(), [true, false]);
    assert_eq!((decided[0].id, decided[0].old_id.as_str()), (user.id, "old 1"));
}

#[tokio::test]
async fn existing_account_is_never_changed_by_an_import() {
    let fixture = Fixture::empty().await;
    let [by_id, renamed, by_email] = [
        fixture.inserted("ada@example.org").await,
        fixture.inserted("grace@example.org").await,
        fixture.inserted("zuse@example.org").await,
    ];
    let other = |user: &User| User { name: "Other".parse().expect("a name"), ..user.clone() };
    let other_email = User { email: "other@example.org".parse().expect("an address"), ..other(&renamed) };
    let other_id = User { id: fixture.user("x@example.org").id, ..other(&by_email) };

    let decided =
        imported(&fixture.backend, vec![staged(1, &other(&by_id)), staged(2, &other_email), staged(3, &other_id)])
            .await;

    let expected = [ImportDecision::AlreadyImported, ImportDecision::IdTaken, ImportDecision::EmailTaken];
    assert_eq!(decisions(&decided), expected);
    for user in [by_id, renamed, by_email] {
        assert_eq!(fixture.by_id(&user).await, user);
    }
}

#[tokio::test]
async fn user_is_recognised_although_the_time_in_the_id_differs() {
    let fixture = Fixture::empty().await;
    let user = fixture.inserted("ada@example.org").await;
    let mut bytes = *user.id.0.as_bytes();
    bytes[0] ^= 1;
    let other_time = User { id: postern::model::UserId(uuid::Uuid::from_bytes(bytes)), ..user.clone() };
    bytes[15] ^= 1;
    let other = User { id: postern::model::UserId(uuid::Uuid::from_bytes(bytes)), ..user.clone() };

    let first = imported(&fixture.backend, vec![staged(1, &other_time)]).await;
    let second = imported(&fixture.backend, vec![staged(1, &other)]).await;

    assert_eq!((first[0].decision, first[0].id), (ImportDecision::AlreadyImported, user.id));
    assert_eq!(second[0].decision, ImportDecision::EmailTaken);
}

#[tokio::test]
async fn repeated_emails_and_ids_of_a_source_are_not_inserted() {
    let fixture = Fixture::empty().await;
    let user = |row, email: &str| staged(row, &fixture.user(email));
    let same_id = |row, email: &str| StagedUser { old_id: "same".to_owned(), ..user(row, email) };
    let refused = StagedUser { decision: Refused, remark: Some("a reason".to_owned()), ..user(5, "zuse@example.org") };
    let users = vec![
        user(1, "ada@example.org"),
        user(2, "ada@example.org"),
        same_id(3, "three@example.org"),
        same_id(4, "four@example.org"),
        refused,
        user(6, "zuse@example.org"),
        user(7, "seven@example.org"),
    ];

    let decided = imported(&fixture.backend, users).await;

    let expected = [RepeatedEmail, RepeatedEmail, RepeatedId, RepeatedId, Refused, RepeatedEmail, Insert];
    assert_eq!(decisions(&decided), expected);
    assert_eq!(decided[4].remark.as_deref(), Some("a reason"));
}

#[tokio::test]
async fn two_written_forms_of_an_id_are_a_repeated_id() {
    let fixture = Fixture::empty().await;
    let ada = fixture.user("ada@example.org");
    let with_id = |email: &str, id| User { id: postern::model::UserId(id), ..fixture.user(email) };
    let mut of_another_time = *ada.id.0.as_bytes();
    of_another_time[0] ^= 1;
    let users = vec![
        staged(1, &ada),
        staged(2, &with_id("grace@example.org", ada.id.0)),
        staged(3, &with_id("zuse@example.org", uuid::Uuid::from_bytes(of_another_time))),
        staged(4, &fixture.user("turing@example.org")),
    ];

    let decided = imported(&fixture.backend, users).await;

    assert_eq!(decisions(&decided), [RepeatedId, RepeatedId, RepeatedId, Insert]);
}

#[tokio::test]
async fn id_taken_after_the_decision_is_not_inserted() {
    let fixture = Fixture::empty().await;
    let user = fixture.user("ada@example.org");
    let mut import = fixture.backend.open_import().await;
    import.stage(vec![staged(1, &user)]).await.expect("staged");
    assert_eq!(import.decide().await, Ok(1));
    let account = User { id: user.id, ..fixture.user("other@example.org") };
    fixture.stores.users.insert(&account, &time()).await.expect("a response");

    assert_eq!(merge_all(&mut *import).await, 0);

    assert_eq!(decisions(&all_decided(&mut *import).await), [ImportDecision::IdTaken]);
}

#[tokio::test]
async fn email_taken_after_the_decision_is_not_inserted() {
    let fixture = Fixture::empty().await;
    let (ada, grace) = (fixture.user("ada@example.org"), fixture.user("grace@example.org"));
    let mut import = fixture.backend.open_import().await;
    import.stage(vec![staged(1, &ada), staged(2, &grace)]).await.expect("staged");
    assert_eq!(import.decide().await, Ok(2));
    let account = fixture.inserted("ada@example.org").await;

    assert_eq!(merge_all(&mut *import).await, 1);

    assert_eq!(decisions(&all_decided(&mut *import).await), [ImportDecision::EmailTaken, ImportDecision::Insert]);
    assert_eq!(fixture.by_id(&account).await, account);
    // Only the inserted user counts.
    let counted = "INSERT INTO imported_hashes (recipe, users) SELECT 'pbkdf2_sha256$1000', 0 WHERE NOT EXISTS (
        SELECT 1 FROM imported_hashes WHERE recipe = 'pbkdf2_sha256$1000' AND users = 1)";
    fixture.backend.sql(counted).await.expect("the recipe is counted once");
}

#[tokio::test]
async fn merges_insert_all_users_in_batches() {
    let fixture = Fixture::empty().await;
    let users: Vec<_> = (1..=2500).map(|row| staged(row, &fixture.user(&format!("user{row}@example.org")))).collect();
    let mut import = fixture.backend.open_import().await;
    for part in users.chunks(999) {
        import.stage(part.to_vec()).await.expect("staged");
    }

    assert_eq!(import.decide().await, Ok(2500));
    assert_eq!(merge_all(&mut *import).await, 2500);

    for user in [&users[0], &users[999], &users[2499]] {
        assert_eq!(fixture.by_id(&user.user).await, user.user);
    }
    let last = import.decided(2499, 10).await.expect("a response");
    assert_eq!(last.iter().map(|user| user.row).collect::<Vec<_>>(), [2500]);
}

#[tokio::test]
async fn staging_table_disappears_with_its_import() {
    let fixture = Fixture::empty().await;
    let user = fixture.user("ada@example.org");
    let mut import = fixture.backend.open_import().await;
    import.stage(vec![staged(1, &user)]).await.expect("staged");
    import.decide().await.expect("decided");
    drop(import);

    let mut import = fixture.backend.open_import().await;

    assert_eq!(import.decide().await, Ok(0));
    assert_eq!(fixture.stores.users.by_id(user.id, &time()).await, Ok(None));
}
