//! What statements of administrators decide in PostgreSQL when a row changes after their snapshot, while they wait for its lock.

use std::time::Duration;

use postern::{
    model::{AdminReach, Epoch, EventKind, Role, User, UserChange},
    store::{AdminTarget, AdminWrite, ChangedUser, OwnDeletion},
};
use tokio_postgres::Client;

use super::{
    directory::{START, login},
    suite::Fixture,
    user_admin::{changed_at, demotion, new_email, new_name},
};
use crate::support::{LONG, eventually, postgres_client, sql, time, within};

/// A transaction of another client.
struct Transaction {
    client: Client,
    watcher: Client,
}

impl Transaction {
    /// Begins a transaction with these statements, which hold their locks until it ends.
    async fn begun(fixture: &Fixture, statements: &str) -> Self {
        let url = &fixture.backend.database;
        let (client, watcher) = (postgres_client(url).await, postgres_client(url).await);
        client.batch_execute(&format!("BEGIN; {statements}")).await.expect("valid SQL");
        Self { client, watcher }
    }

    /// Runs a write until it waits for this transaction, then commits, and returns the outcome of the write.
    async fn committed_while<T>(self, write: impl Future<Output = T>) -> T {
        let Self { client, watcher } = self;
        let pid: i32 = client.query_one("SELECT pg_backend_pid()", &[]).await.expect("a row").get(0);
        let blocked = "SELECT FROM pg_stat_activity WHERE $1 = ANY(pg_blocking_pids(pid))";
        let is_waited_for = async || !watcher.query(blocked, &[&pid]).await.expect("rows").is_empty();
        let commit = async {
            eventually(LONG, "the write waits for the lock", is_waited_for).await;
            client.batch_execute("COMMIT").await.expect("a commit");
        };
        let (outcome, ()) = within(LONG, "the write ends", async { tokio::join!(write, commit) }).await;
        outcome
    }
}

/// Returns SQL that updates a user.
fn update(user: &User, assignment: &str) -> String {
    format!("UPDATE users SET {assignment} WHERE id = '{}'", user.id)
}

#[tokio::test]
async fn demotion_counts_administrators_that_were_removed_meanwhile() {
    for assignment in ["role = 'member'", "standing = 'inactive'", "password = NULL"] {
        let fixture = Fixture::empty().await;
        let (ada, grace) =
            (fixture.administrator("ada@example.org").await, fixture.administrator("grace@example.org").await);
        let other = Transaction::begun(&fixture, &update(&grace, assignment)).await;

        let outcome = other.committed_while(fixture.changed(&ada, demotion())).await;

        assert_eq!(outcome, AdminWrite::LastAdministrator, "{assignment}");
        assert_eq!(fixture.by_id(&ada).await, ada);
        assert_eq!(fixture.stored_events().await, []);
    }
}

#[tokio::test]
async fn change_returns_and_keeps_what_was_committed_meanwhile() {
    let fixture = Fixture::empty().await;
    let ada = fixture.inserted("ada@example.org").await;
    let other = Transaction::begun(&fixture, &update(&ada, "name = 'Ada King', epoch = 7")).await;

    let change = UserChange { email_verified: Some(true), ..UserChange::default() };
    let outcome = other.committed_while(fixture.changed(&ada, change)).await;

    let former = User { name: "Ada King".parse().expect("a name"), epoch: Epoch(7), ..ada };
    let user = User { email_verified: true, ..former.clone() };
    assert_eq!(fixture.by_id(&user).await, user);
    assert_eq!(outcome, AdminWrite::Done(ChangedUser { former, user, last_login: None }));
}

#[tokio::test]
async fn limited_caller_cannot_change_a_user_who_was_promoted_meanwhile() {
    let fixture = Fixture::empty().await;
    let ada = fixture.inserted("ada@example.org").await;
    let (change, target) = (new_name("Mallory"), AdminTarget { id: ada.id, reach: AdminReach::MembersOnly });
    let (event, time_left) = (fixture.event_about(EventKind::AdminUserRenamed, ada.id), time());
    let other = Transaction::begun(&fixture, &update(&ada, "role = 'administrator'")).await;

    let write = fixture.stores.user_admin.change(target, &change, &event, &time_left);
    let outcome = other.committed_while(write).await;

    assert_eq!(outcome, Ok(AdminWrite::MembersOnly));
    assert_eq!(fixture.by_id(&ada).await, User { role: Role::Administrator, ..ada });
}

#[tokio::test]
async fn own_deletion_is_stale_if_the_role_changed_meanwhile() {
    let fixture = Fixture::empty().await;
    let (ada, time_left) = (fixture.inserted("ada@example.org").await, time());
    let other = Transaction::begun(&fixture, &update(&ada, "role = 'administrator'")).await;

    let outcome = other.committed_while(fixture.stores.users.delete_verified(&ada, &time_left)).await;

    assert_eq!(outcome, Ok(OwnDeletion::Stale));
    let promoted = fixture.by_id(&ada).await;
    assert_eq!(fixture.stores.users.delete_verified(&promoted, &time()).await, Ok(OwnDeletion::LastAdministrator));
}

#[tokio::test]
async fn deletion_skips_a_user_who_was_deleted_meanwhile() {
    let fixture = Fixture::empty().await;
    let (ada, grace) = (fixture.inserted("ada@example.org").await, fixture.inserted("grace@example.org").await);
    let other = Transaction::begun(&fixture, &format!("DELETE FROM users WHERE id = '{}'", ada.id)).await;
    let (deletion, time_left) = (fixture.deletion(&[&ada, &grace]), time());

    let outcome = other.committed_while(fixture.stores.user_admin.delete(&deletion, &time_left)).await;

    assert_eq!(outcome, Ok(AdminWrite::Done(vec![grace.clone()])));
    let subjects: Vec<_> = fixture.stored_events().await.into_iter().map(|event| event.subject.user).collect();
    assert_eq!(subjects, [Some(grace.id)]);
}

#[tokio::test]
async fn email_that_was_taken_meanwhile_is_no_error() {
    let fixture = Fixture::empty().await;
    let ada = fixture.inserted("ada@example.org").await;
    let insert = "INSERT INTO users (id, email, name, standing, epoch, created) \
                  VALUES (gen_random_uuid(), 'new@example.org', 'New', 'active', 1, now())";
    let event = fixture.event_about(EventKind::AdminUserChanged, ada.id);
    let other = Transaction::begun(&fixture, insert).await;

    let change = new_email("new@example.org");
    let outcome = other.committed_while(changed_at(&fixture.stores, ada.id, &change, &event)).await;

    assert_eq!(outcome, AdminWrite::EmailTaken);
    assert_eq!((fixture.by_id(&ada).await, fixture.stored_events().await), (ada, vec![]));
}

#[tokio::test]
async fn changes_of_members_do_not_wait_for_administrators() {
    let fixture = Fixture::empty().await;
    let (ada, grace) = (fixture.administrator("ada@example.org").await, fixture.inserted("grace@example.org").await);
    let other = Transaction::begun(&fixture, &update(&ada, "name = 'Ada King'")).await;

    let soon = Duration::from_secs(30);
    let renamed = within(soon, "a change waits", fixture.changed(&grace, new_name("Grace"))).await;
    assert!(matches!(renamed, AdminWrite::Done(_)));
    let now = fixture.by_id(&grace).await;
    let deleted = within(soon, "a deletion waits", fixture.stores.users.delete_verified(&now, &time())).await;
    assert_eq!(deleted, Ok(OwnDeletion::Deleted));
    drop(other);
}

async fn stored_summaries(fixture: &Fixture) -> i64 {
    let client = postgres_client(&fixture.backend.database).await;
    client.query_one("SELECT count(*) FROM user_summaries", &[]).await.expect("a row").get(0)
}

#[tokio::test]
async fn deleted_user_leaves_no_summary() {
    let fixture = Fixture::empty().await;
    let ada = fixture.inserted("ada@example.org").await;
    fixture.logged_in(&[login(&ada, START)]).await;
    assert_eq!(stored_summaries(&fixture).await, 1);

    fixture.deleted(ada.id).await;
    // The event of a login may be written after the deletion.
    fixture.logged_in(&[login(&ada, START + Duration::from_hours(1))]).await;

    assert_eq!(stored_summaries(&fixture).await, 0);
}

#[tokio::test]
async fn deletion_while_a_login_is_recorded_leaves_no_summary() {
    let fixture = Fixture::empty().await;
    let ada = fixture.inserted("ada@example.org").await;
    let insertion =
        "INSERT INTO audit_events (id, at, event, user_id) SELECT gen_random_uuid(), now(), 'login', id FROM users";
    let (deletion, time_left) = (fixture.deletion(&[&ada]), time());
    let other = Transaction::begun(&fixture, insertion).await;

    let outcome = other.committed_while(fixture.stores.user_admin.delete(&deletion, &time_left)).await;

    assert_eq!(outcome, Ok(AdminWrite::Done(vec![ada])));
    assert_eq!(stored_summaries(&fixture).await, 0);
}

#[tokio::test]
async fn login_that_is_recorded_during_a_deletion_leaves_no_summary() {
    let fixture = Fixture::empty().await;
    let (ada, grace) = (fixture.inserted("ada@example.org").await, fixture.inserted("grace@example.org").await);
    let (events, time_left) = ([&ada, &grace].map(|user| fixture.event_about(EventKind::Login, user.id)), time());
    let other = Transaction::begun(&fixture, &format!("DELETE FROM users WHERE id = '{}'", ada.id)).await;

    let outcome = other.committed_while(fixture.stores.audit.append(&events, &time_left)).await;

    assert_eq!(outcome, Ok(()));
    assert_eq!(stored_summaries(&fixture).await, 1);
}

#[tokio::test]
async fn logins_are_recorded_while_a_change_of_a_user_is_open() {
    let fixture = Fixture::empty().await;
    let (ada, grace) = (fixture.inserted("ada@example.org").await, fixture.inserted("grace@example.org").await);
    let other = Transaction::begun(&fixture, &update(&ada, "name = 'Ada King'")).await;

    let logins = [login(&ada, START), login(&grace, START)];
    within(Duration::from_secs(30), "the events wait", fixture.logged_in(&logins)).await;

    drop(other);
    let summary = fixture.stores.directory.summary(grace.id, &time()).await.expect("a response");
    assert_eq!(summary.expect("a user").last_login, Some(START));
}

#[tokio::test]
async fn truncated_users_leave_no_summary() {
    let fixture = Fixture::empty().await;
    fixture.inserted("ada@example.org").await;

    sql(&fixture.backend.database, "TRUNCATE users").await;

    assert_eq!(stored_summaries(&fixture).await, 0);
}

#[tokio::test]
async fn epoch_of_a_user_does_not_wait_for_a_login_that_is_recorded() {
    let fixture = Fixture::empty().await;
    let ada = fixture.inserted("ada@example.org").await;
    let insertion =
        "INSERT INTO audit_events (id, at, event, user_id) SELECT gen_random_uuid(), now(), 'login', id FROM users";
    let other = Transaction::begun(&fixture, insertion).await;

    let change = UserChange { epoch: Some(Epoch::random()), ..UserChange::default() };
    let changed = within(Duration::from_secs(30), "a change waits", fixture.changed(&ada, change)).await;

    assert!(matches!(changed, AdminWrite::Done(_)));
    drop(other);
}
