//! Migrations of PostgreSQL.

use std::time::Duration;

use postern::{
    model::Role,
    store::{
        StoreError, UserStore as _,
        postgres::{PostgresStore, PostgresUrl, SchemaError, check_schema, migrate},
    },
};

use crate::support::{LONG, empty_schema, eventually, migrate_as_before, postgres_client, sql, time};

#[tokio::test]
async fn empty_schema_is_too_old_and_the_error_names_the_command() {
    let url: PostgresUrl = empty_schema().await.parse().expect("a URL");

    let error = check_schema(&url).await.expect_err("nothing is there");

    assert!(matches!(error, SchemaError::TooOld { found: 0, .. }));
    assert!(error.to_string().contains("run `postern migrate`"), "{error}");
}

#[tokio::test]
async fn second_migration_changes_nothing() {
    let url: PostgresUrl = empty_schema().await.parse().expect("a URL");

    assert!(migrate(&url, &|_| {}).await.expect("an empty schema can be migrated") > 0);

    assert_eq!(migrate(&url, &|_| {}).await.expect("it is up to date"), 0);
    check_schema(&url).await.expect("it is up to date");
}

#[tokio::test]
async fn parallel_migrations_take_turns() {
    let url: PostgresUrl = empty_schema().await.parse().expect("a URL");
    let mut replicas = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let url = url.clone();
        replicas.spawn(async move { migrate(&url, &|_| {}).await.expect("a migration") });
    }

    let applied = replicas.join_all().await;

    let by_whom = applied.iter().filter(|count| **count > 0).count();
    assert_eq!(by_whom, 1, "{applied:?}");
    check_schema(&url).await.expect("it is up to date");
}

#[tokio::test]
async fn read_only_server_is_not_used() {
    let url = empty_schema().await;
    let primary: PostgresUrl = url.parse().expect("a URL");
    migrate(&primary, &|_| {}).await.expect("an empty schema can be migrated");
    let standby = format!("{url}%20-cdefault_transaction_read_only%3Don").parse().expect("a URL");

    let users = PostgresStore::new(&standby, Duration::from_mins(1)).expect("a pool");

    let outcome = users.ping(&time()).await;
    assert!(matches!(outcome, Err(StoreError::Unavailable { .. })), "{outcome:?}");
}

#[tokio::test]
async fn error_contains_the_reason_of_postgres() {
    let url = empty_schema().await.replace("postern:", "nobody:");

    let error = check_schema(&url.parse().expect("a URL")).await.expect_err("nobody has no role");

    assert!(error.to_string().contains("nobody"), "{error}");
}

#[tokio::test]
async fn previous_version_serves_after_a_migration() {
    let database = empty_schema().await;
    let url: PostgresUrl = database.parse().expect("a URL");
    migrate(&url, &|_| {}).await.expect("an empty schema can be migrated");

    // As the first version writes, without roles.
    let insert = "INSERT INTO users (id, email, name, password, standing, epoch, kept_session, created)
        VALUES (gen_random_uuid(), 'ada@example.org', 'Ada', NULL, 'active', 1, NULL, now())
        ON CONFLICT (email) DO UPDATE SET email = excluded.email WHERE users.id = excluded.id RETURNING id";
    sql(&database, insert).await;

    let users = PostgresStore::new(&url, Duration::from_mins(1)).expect("a pool");
    let email = "ada@example.org".parse().expect("an address");
    let user = users.by_email(&email, &time()).await.expect("a response").expect("a user");
    assert_eq!(user.role, Role::Member);
}

#[tokio::test]
async fn migration_yields_to_a_locked_table_and_retries() {
    let database = empty_schema().await;
    let url: PostgresUrl = database.parse().expect("a URL");
    migrate_as_before(&database, 1).await;
    let dump = postgres_client(&database).await;
    dump.batch_execute("BEGIN; SELECT count(*) FROM users").await.expect("a shared lock");

    let migration = tokio::spawn(async move { migrate(&url, &|_| {}).await });
    let schema = database.rsplit("search_path%3D").next().expect("a schema");
    let waits = format!("SELECT FROM pg_locks WHERE NOT granted AND relation = '{schema}.users'::regclass");
    let watcher = postgres_client(&database).await;
    let is_waiting = async || !watcher.query(&waits, &[]).await.expect("rows").is_empty();
    for (expected, awaited) in
        [(true, "the migration waits"), (false, "the migration gives way"), (true, "the migration waits again")]
    {
        eventually(LONG, awaited, async || is_waiting().await == expected).await;
    }
    dump.batch_execute("COMMIT").await.expect("the end of the dump");

    assert_eq!(migration.await.expect("no panic").expect("a migration"), 5);
}
