//! Migrations of a PostgreSQL whose users change meanwhile.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crate::support::{LONG, eventually, postgres_client, within};

use super::migration::{BEFORE_STEPS, Database, create_users};

/// The words that are missing and those of former names, and the summaries that are missing or outdated.
const WRONG_ROWS: &str = "WITH words AS (SELECT id, word FROM users, name_words(name) AS word),
    shown AS (
        SELECT id, email, name, password IS NOT NULL AS has_password, standing, role, created, email_verified FROM users
    ),
    summaries AS (
        SELECT user_id, email, name, has_password, standing, role, created, email_verified FROM user_summaries
    )
    SELECT (
        SELECT count(*) FROM (
            (SELECT * FROM words EXCEPT SELECT user_id, word FROM user_name_words)
            UNION ALL (SELECT user_id, word FROM user_name_words EXCEPT SELECT * FROM words)
        ) AS wrong
    ) + (
        SELECT count(*) FROM (
            (SELECT * FROM shown EXCEPT SELECT * FROM summaries)
            UNION ALL (SELECT * FROM summaries EXCEPT SELECT * FROM shown)
        ) AS wrong
    )";

/// A transaction of a writer that changes a user while the batch with this user runs.
async fn words_after(change: &str, words: i64) {
    let database = Database::at_version(BEFORE_STEPS).await;
    create_users(&database, 20).await;
    database.before_batches().await;
    let writer = postgres_client(&database.url).await;
    writer.batch_execute(&format!("BEGIN; {change}")).await.expect("valid SQL");

    let migration = database.migrating();
    let waits = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND cardinality(pg_blocking_pids(pid)) > 0 AND query LIKE '%FOR SHARE%'";
    let is_waiting = async || migration.is_finished() || database.value(waits).await > 0;
    eventually(LONG, "the batch waits for the writer", is_waiting).await;
    writer.batch_execute("COMMIT").await.expect("a commit");

    let ended = within(LONG, "the migration ends", migration).await.expect("no panic");
    assert_eq!(ended.expect("a migration"), 1);
    assert_eq!(database.value(WRONG_ROWS).await, 0, "after {change}");
    assert_eq!(database.value("SELECT count(*) FROM user_name_words").await, words);
}

#[tokio::test]
async fn user_who_is_renamed_during_a_batch_has_the_words_of_the_new_name() {
    words_after("UPDATE users SET name = 'Grace' WHERE email = '7@example.org'", 58).await;
}

#[tokio::test]
async fn user_who_is_deleted_during_a_batch_leaves_no_words() {
    words_after("DELETE FROM users WHERE email = '7@example.org'", 57).await;
}

#[tokio::test]
async fn writers_that_never_pause_leave_correct_rows() {
    const CHANGES: [&str; 3] = [
        "UPDATE users SET name = 'Renamed ' || epoch || '-' || md5(random()::text), standing = 'inactive', role = 'administrator',
            password = CASE WHEN password IS NULL THEN 'x' END, email = 'renamed-' || email, email_verified = NOT email_verified
            WHERE id = (SELECT id FROM users WHERE id >= gen_random_uuid() ORDER BY id LIMIT 1)",
        "DELETE FROM users WHERE id = (SELECT id FROM users WHERE id >= gen_random_uuid() ORDER BY id LIMIT 1)",
        "INSERT INTO users (id, email, name, standing, epoch, created)
            VALUES (gen_random_uuid(), gen_random_uuid() || '@example.org', 'New ' || random(), 'active', 1, now())",
    ];
    let database = Database::at_version(BEFORE_STEPS).await;
    create_users(&database, 20_000).await;
    let is_over = Arc::new(AtomicBool::new(false));
    let mut writers = tokio::task::JoinSet::new();
    for change in CHANGES {
        let (client, is_over) = (postgres_client(&database.url).await, Arc::clone(&is_over));
        writers.spawn(async move {
            let mut changes = 0;
            while !is_over.load(Ordering::Relaxed) {
                client.execute(change, &[]).await.expect("a change");
                changes += 1;
            }
            changes
        });
    }

    assert_eq!(database.migrate().await.expect("a migration"), 1);

    is_over.store(true, Ordering::Relaxed);
    let changes = within(LONG, "the writers end", writers.join_all()).await;
    assert!(changes.iter().all(|count| *count > 0), "{changes:?}");
    assert_eq!(database.value(WRONG_ROWS).await, 0);
}
