//! Migrations of a PostgreSQL that servers use: their steps, interruptions and locks.

use std::sync::{Arc, Mutex};

use postern::store::postgres::{MigrationProgress, PostgresUrl, SchemaError, check_schema, migrate};
use tokio::task::JoinHandle;
use tokio_postgres::Client;

use crate::support::{
    LONG, empty_database, empty_database_in, eventually, migrate_as_before, postgres_client, sql, variable, within,
};

/// The schema version before the first migration of several steps.
pub const BEFORE_STEPS: i32 = 5;

/// The key of the advisory lock of versions with refinery's runner: "postern" in ASCII.
const REFINERY_LOCK: &str = "x'00706f737465726e'::bigint";

/// A database of its own, because a concurrent index build waits for the transactions of the whole database.
pub struct Database {
    pub url: String,
    pub client: Client,
}

impl Database {
    pub async fn at_version(version: i32) -> Self {
        let url = empty_database().await;
        migrate_as_before(&url, version).await;
        let client = postgres_client(&url).await;
        Self { url, client }
    }

    pub async fn migrate(&self) -> Result<usize, SchemaError> {
        let url: PostgresUrl = self.url.parse().expect("a URL");
        within(LONG, "the migration ends", migrate(&url, &|_| {})).await
    }

    pub fn migrating(&self) -> JoinHandle<Result<usize, SchemaError>> {
        let url: PostgresUrl = self.url.parse().expect("a URL");
        tokio::spawn(async move { migrate(&url, &|_| {}).await })
    }

    pub async fn value(&self, query: &str) -> i64 {
        self.client.query_one(query, &[]).await.expect("a row").get(0)
    }

    /// Migrates all but the last seven steps: something has the name of the last index before the batches.
    pub async fn before_batches(&self) {
        sql(&self.url, "CREATE TABLE audit_events_by_address ()").await;
        let error = self.migrate().await.expect_err("the name is taken");
        assert!(matches!(error, SchemaError::NameTaken { .. }), "{error}");
        sql(&self.url, "DROP TABLE audit_events_by_address").await;
    }
}

const USER: &str = "INSERT INTO users (id, email, name, standing, epoch, created)
    SELECT gen_random_uuid(), i || '@example.org', 'Ada Lovelace ' || i, 'active', i, now() FROM generate_series(1, ";

/// Creates users as version 5 does.
pub async fn create_users(database: &Database, count: usize) {
    create_users_in(&database.url, count).await;
}

async fn create_users_in(url: &str, count: usize) {
    sql(url, &format!("{USER}{count}) AS i")).await;
}

const INVALID_INDEXES: &str = "SELECT count(*) FROM pg_index WHERE NOT indisvalid";

#[tokio::test]
async fn database_of_refinery_is_migrated_and_understood_by_refinery() {
    let database = Database::at_version(BEFORE_STEPS).await;
    create_users(&database, 3).await;

    assert_eq!(database.migrate().await.expect("a migration"), 1);

    // refinery compares the checksums, and finds nothing to apply.
    migrate_as_before(&database.url, i32::MAX).await;
    assert_eq!(database.value("SELECT count(*) FROM user_name_words").await, 9);
    assert_eq!(database.value("SELECT count(to_regclass('migration_progress'))").await, 0);
    let new = Database::at_version(0).await;
    new.migrate().await.expect("a migration");
    migrate_as_before(&new.url, i32::MAX).await;
}

#[tokio::test]
async fn schema_is_the_same_in_steps_and_at_once() {
    let (steps, new) = (Database::at_version(BEFORE_STEPS).await, Database::at_version(0).await);
    steps.migrate().await.expect("a migration");
    new.migrate().await.expect("a migration");

    let objects = "SELECT string_agg(text, E'\\n' ORDER BY text) FROM (
            SELECT indexdef AS text FROM pg_indexes WHERE schemaname = 'public'
            UNION ALL SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
            UNION ALL SELECT pg_get_functiondef(oid) || proacl::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace
        ) AS objects";
    let [steps, new] = [&steps, &new].map(|database| database.client.query_one(objects, &[]));
    let (steps, new) = (steps.await.expect("a row"), new.await.expect("a row"));

    assert_eq!(steps.get::<_, String>(0), new.get::<_, String>(0));
}

#[tokio::test]
async fn changed_migration_is_reported() {
    let database = Database::at_version(3).await;
    sql(&database.url, "UPDATE refinery_schema_history SET checksum = '1' WHERE version = 2").await;

    let error = database.migrate().await.expect_err("another text");

    assert!(matches!(error, SchemaError::Divergent { .. }), "{error}");
    assert!(error.to_string().contains("the applied migration V2__roles is different"), "{error}");
}

#[tokio::test]
async fn invalid_index_is_rebuilt() {
    let database = Database::at_version(BEFORE_STEPS).await;
    create_users(&database, 2).await;
    let build = "CREATE UNIQUE INDEX CONCURRENTLY users_administrators ON users (standing)";
    database.client.batch_execute(build).await.expect_err("two users are active");
    assert_eq!(database.value(INVALID_INDEXES).await, 1);

    assert_eq!(database.migrate().await.expect("a migration"), 1);

    assert_eq!(database.value(INVALID_INDEXES).await, 0);
    let definition =
        "SELECT count(*) FROM pg_indexes WHERE indexdef LIKE '%users_administrators ON public.users%(id)%'";
    assert_eq!(database.value(definition).await, 1);
}

#[tokio::test]
async fn interrupted_migration_continues_with_its_next_step() {
    let database = Database::at_version(BEFORE_STEPS).await;
    create_users(&database, 2).await;
    database.before_batches().await;
    assert_eq!(database.value("SELECT max(version)::bigint FROM refinery_schema_history").await, 5);
    assert_eq!(database.value("SELECT steps_done::bigint FROM migration_progress").await, 5);
    let url = database.url.parse().expect("a URL");
    let error = check_schema(&url).await.expect_err("the migration is not complete");
    assert!(matches!(error, SchemaError::TooOld { found: 5, .. }), "{error}");

    assert_eq!(database.migrate().await.expect("a migration"), 1);

    check_schema(&url).await.expect("it is up to date");
    assert_eq!(database.value("SELECT count(*) FROM user_name_words").await, 6);
}

#[tokio::test]
async fn interrupted_batches_continue_after_their_last_row() {
    let database = Database::at_version(BEFORE_STEPS).await;
    create_users(&database, 10).await;
    database.before_batches().await;
    // As after a batch of nine users.
    let interrupted = "UPDATE migration_progress SET steps_done = 6, rows = 9,
        position = (SELECT id FROM users ORDER BY id OFFSET 8 LIMIT 1)";
    sql(&database.url, interrupted).await;
    sql(&database.url, "CREATE INDEX audit_events_by_address ON audit_events (address, id)").await;

    database.migrate().await.expect("a migration");

    assert_eq!(database.value("SELECT count(DISTINCT user_id) FROM user_name_words").await, 1);
}

#[tokio::test]
async fn migration_begun_with_another_text_is_reported() {
    let database = Database::at_version(BEFORE_STEPS).await;
    database.before_batches().await;
    sql(&database.url, "UPDATE migration_progress SET checksum = '1'").await;

    let error = database.migrate().await.expect_err("another text");

    assert!(matches!(error, SchemaError::Divergent { .. }), "{error}");
}

#[tokio::test]
async fn parallel_migrations_in_steps_take_turns() {
    let database = Database::at_version(BEFORE_STEPS).await;
    create_users(&database, 10).await;
    let migrations: Vec<_> = (0..4).map(|_| database.migrating()).collect();

    let mut applied = 0;
    for migration in migrations {
        let ended = within(LONG, "the migration ends", migration).await.expect("no panic");
        applied += ended.expect("a migration");
    }

    assert_eq!(applied, 1);
}

/// An older version waits for its lock with a snapshot, for which a concurrent index build would wait.
#[tokio::test]
async fn older_version_that_waits_does_not_stop_index_builds() {
    let database = Database::at_version(BEFORE_STEPS - 1).await;
    let dump = postgres_client(&database.url).await;
    dump.batch_execute("BEGIN; SELECT count(*) FROM users").await.expect("a shared lock");
    let migration = database.migrating();
    let holds =
        "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = database AND datname = current_database()
        WHERE locktype = 'advisory' AND granted";
    eventually(LONG, "the migration holds both locks", async || database.value(holds).await == 2).await;
    let older = postgres_client(&database.url).await;
    let older =
        tokio::spawn(async move { older.batch_execute(&format!("SELECT pg_advisory_lock({REFINERY_LOCK})")).await });
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'advisory'";
    eventually(LONG, "the older version waits", async || database.value(waits).await == 1).await;

    dump.batch_execute("COMMIT").await.expect("the end of the dump");

    assert_eq!(within(LONG, "the migration ends", migration).await.expect("no panic").expect("a migration"), 2);
    within(LONG, "the older version gets its lock", older).await.expect("no panic").expect("the lock");
}

#[tokio::test]
async fn index_build_waits_for_a_dump_and_says_so() {
    let database = Database::at_version(BEFORE_STEPS).await;
    let dump = postgres_client(&database.url).await;
    dump.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SET application_name = dump; SELECT FROM audit_events")
        .await
        .expect("a snapshot");
    // Shorter than the migration takes to say so.
    let name = database.url.rsplit('/').next().expect("a database");
    for timeout in ["lock_timeout", "statement_timeout"] {
        sql(&database.url, &format!("ALTER DATABASE {name} SET {timeout} = '2s'")).await;
    }
    let progress = Arc::new(Mutex::new(Vec::new()));
    let (url, reported) = (database.url.parse::<PostgresUrl>().expect("a URL"), Arc::clone(&progress));
    let migration = tokio::spawn(async move {
        let report = |progress: &MigrationProgress| reported.lock().expect("no panic").push(progress.to_string());
        migrate(&url, &report).await
    });
    let says_so = async || {
        let progress = progress.lock().expect("no panic");
        progress.iter().any(|line| line.contains("waiting for old snapshots (the transaction of session"))
    };
    eventually(LONG, "the migration says that it waits", says_so).await;

    // Writes go on meanwhile.
    create_users(&database, 1).await;
    dump.batch_execute("COMMIT").await.expect("the end of the dump");

    assert_eq!(within(LONG, "the migration ends", migration).await.expect("no panic").expect("a migration"), 1);
}

/// For example after the creation of a schema with the name of the role, which the default `search_path` begins with.
#[tokio::test]
async fn schema_that_precedes_the_tables_is_reported() {
    let database = Database::at_version(BEFORE_STEPS).await;
    sql(&database.url, "CREATE SCHEMA app").await;
    let url: PostgresUrl = format!("{}?options=-csearch_path%3Dapp,public", database.url).parse().expect("a URL");

    let error = migrate(&url, &|_| {}).await.expect_err("two schemas");

    assert!(matches!(error, SchemaError::OtherSchema { .. }), "{error}");
    assert!(error.to_string().contains("in schema public, but new ones would be created in schema app"), "{error}");
    assert_eq!(database.value("SELECT count(*) FROM pg_class WHERE relnamespace = 'app'::regnamespace").await, 0);
    assert_eq!(database.migrate().await.expect("a migration"), 1);
}

#[tokio::test]
async fn another_postern_in_the_search_path_does_not_matter() {
    let database = Database::at_version(0).await;
    database.migrate().await.expect("a migration");
    sql(&database.url, "CREATE SCHEMA \"My App\"").await;
    let alone = format!("{}?options=-csearch_path%3D%22My%5C%20App%22", database.url);
    migrate_as_before(&alone, BEFORE_STEPS).await;
    let build = "CREATE UNIQUE INDEX CONCURRENTLY users_administrators ON users (standing)";
    create_users_in(&alone, 2).await;
    postgres_client(&alone).await.batch_execute(build).await.expect_err("two users are active");
    let url: PostgresUrl = format!("{alone},public").parse().expect("a URL");

    let applied = within(LONG, "the migration ends", migrate(&url, &|_| {})).await.expect("a migration");

    assert_eq!(applied, 1);
    assert_eq!(database.value(INVALID_INDEXES).await, 0);
    let indexes = "SELECT count(*) FROM pg_indexes WHERE indexname = 'users_administrators'";
    assert_eq!(database.value(indexes).await, 2);
}

#[tokio::test]
async fn words_are_cut_between_characters_without_an_encoding() {
    let url = empty_database_in("SQL_ASCII").await;
    migrate(&url.parse().expect("a URL"), &|_| {}).await.expect("a migration");
    let client = postgres_client(&url).await;

    let insert = "INSERT INTO users (id, email, name, standing, epoch, created)
        VALUES (gen_random_uuid(), 'ada@example.org', $1, 'active', 1, now())";
    client.execute(insert, &[&format!("a{} {}", "é".repeat(40), "b".repeat(70))]).await.expect("an insertion");

    let words = client.query("SELECT word FROM user_name_words ORDER BY word", &[]).await.expect("valid UTF-8");
    let words: Vec<String> = words.iter().map(|row| row.get(0)).collect();
    assert_eq!(words, [format!("a{}", "é".repeat(31)), "b".repeat(64)]);
}

#[tokio::test]
async fn role_that_may_not_create_tables_is_reported() {
    let database = Database::at_version(BEFORE_STEPS).await;
    let role = database.url.rsplit('/').next().expect("a database");
    sql(&database.url, &format!("CREATE ROLE {role} LOGIN PASSWORD 'secret'")).await;
    sql(&database.url, &format!("GRANT SELECT ON refinery_schema_history TO {role}")).await;
    let url = variable("POSTERN_TEST_DATABASE_URL");
    let (_, server) = url.rsplit_once('@').expect("a URL");
    let server = server.rsplit_once('/').expect("a URL with a database").0;
    let url: PostgresUrl = format!("postgres://{role}:secret@{server}/{role}").parse().expect("a URL");

    let error = migrate(&url, &|_| {}).await.expect_err("no privilege").to_string();
    assert!(error.contains(&format!("expected GRANT USAGE, CREATE ON SCHEMA public TO {role}")), "{error}");

    sql(&database.url, &format!("GRANT CREATE ON SCHEMA public TO {role}")).await;
    let error = migrate(&url, &|_| {}).await.expect_err("tables of another role").to_string();
    assert!(error.contains("expected the owner of table"), "{error}");
}
