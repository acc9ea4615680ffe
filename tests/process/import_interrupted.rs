//! `postern import django`: what an interruption leaves, and how the next run completes it.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tokio::process::Child;

use super::import::{audit_details, expect_refused};
use crate::support::{DjangoUser, Ended, LONG, Postern, eventually, postgres_client, within, write_csv};

const IMPORT: [&str; 6] = ["import", "django", "--from", "users.csv", "--map", "map.csv"];

fn send(child: &Child, signal: Signal) {
    let pid = Pid::from_raw(child.id().expect("it runs").cast_signed()).expect("it runs");
    kill_process(pid, signal).expect("it can be signalled");
}

async fn count(client: &tokio_postgres::Client, query: &str) -> i64 {
    client.query_one(query, &[]).await.expect("a row").get(0)
}

#[tokio::test]
async fn killed_import_leaves_whole_batches_and_is_completed_by_the_next_run() {
    for signal in [Signal::KILL, Signal::INT, Signal::TERM] {
        let postern = Postern::on_migrated_servers().await;
        write_csv(&postern.path("users.csv"), &DjangoUser::many(25_000));
        let client = postgres_client(postern.database()).await;
        // The second batch waits for this sign-up, which has not ended.
        let sign_up = postgres_client(postern.database()).await;
        let insert = "BEGIN; INSERT INTO users (id, email, name, standing, epoch, created)
            VALUES (gen_random_uuid(), 'user15000@example.org', 'Somebody', 'active', 1, now())";
        sign_up.batch_execute(insert).await.expect("a row");
        let mut import = postern.command(&IMPORT).spawn().expect("it starts");
        let users = "SELECT count(*) FROM users";
        eventually(LONG, "the first batch is inserted", async || count(&client, users).await == 10_000).await;

        // Only one import at a time.
        expect_refused(postern.run(&IMPORT).await, "another import is running");
        send(&import, signal);
        let status = within(LONG, "it ends", import.wait()).await.expect("a status");
        assert!(!status.success());
        sign_up.batch_execute("ROLLBACK").await.expect("the end");
        assert!(!postern.path("map.csv").exists());
        let details = audit_details(&postern).await;
        assert_eq!(details[0], "started, from a CSV file");
        let end = "incomplete, from a CSV file: read 25000, imported 10000, already imported 0, refused 0";
        assert_eq!(details.get(1).map(String::as_str), (signal != Signal::KILL).then_some(end));
        let counted = "SELECT coalesce(sum(users), 0)::bigint FROM imported_hashes";
        // PostgreSQL may still end the batch that waited, as a whole.
        let is_whole = async || [10_000, 20_000].contains(&count(&client, users).await);
        assert!(is_whole().await);
        let locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = x'696d706f'::int
            AND objid = 'users'::regclass::oid";
        eventually(LONG, "PostgreSQL has ended the session", async || count(&client, locks).await == 0).await;
        let before = count(&client, users).await;
        assert_eq!(count(&client, counted).await, before);

        let json = [&IMPORT[..], &["--json"]].concat();
        let summary = postern.run(&json).await.expect_json();

        assert_eq!((&summary["imported"], &summary["already_imported"]), (&json!(25_000 - before), &json!(before)));
        assert_eq!((count(&client, users).await, count(&client, counted).await), (25_000, 25_000));
        assert_eq!(std::fs::read_to_string(postern.path("map.csv")).expect("a map").lines().count(), 25_001);
    }
}

#[tokio::test]
async fn email_that_is_taken_during_the_import_is_refused() {
    let postern = Postern::on_migrated_servers().await;
    write_csv(&postern.path("users.csv"), &DjangoUser::many(100));
    let sign_up = postgres_client(postern.database()).await;
    let insert = "BEGIN; INSERT INTO users (id, email, name, standing, epoch, created)
        VALUES (gen_random_uuid(), 'user50@example.org', 'Somebody', 'active', 1, now())";
    sign_up.batch_execute(insert).await.expect("a row");
    let import = postern.command(&[&IMPORT[..], &["--json"]].concat()).spawn().expect("it starts");
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '-- import.merge%'
        AND pg_blocking_pids(pid) = ARRAY[$1::integer]";
    let own = sign_up.query_one("SELECT pg_backend_pid()", &[]).await.expect("a row").get::<_, i32>(0);
    let client = postgres_client(postern.database()).await;
    let is_waiting = async || client.query_one(waits, &[&own]).await.expect("a row").get::<_, i64>(0) == 1;
    eventually(LONG, "the import waits", is_waiting).await;

    sign_up.batch_execute("COMMIT").await.expect("the end");

    let output = within(LONG, "it ends", import.wait_with_output()).await.expect("it started");
    let summary = Ended::of(&output).expect_json();
    assert_eq!((&summary["imported"], &summary["refused"]), (&json!(99), &json!(1)));
    let map = std::fs::read_to_string(postern.path("map.csv")).expect("a map");
    assert!(map.contains("\n49,") && !map.contains("\n50,"));
}

#[tokio::test]
async fn session_of_a_killed_import_ends_amid_a_statement() {
    let postern = Postern::on_migrated_servers().await;
    write_csv(&postern.path("users.csv"), &DjangoUser::many(10));
    let client = postgres_client(postern.database()).await;
    // The decision waits for this lock, at most for a minute.
    let holder = postgres_client(postern.database()).await;
    holder.batch_execute("BEGIN; LOCK TABLE users IN ACCESS EXCLUSIVE MODE").await.expect("the lock");
    let mut import = postern.command(&IMPORT).spawn().expect("it starts");
    let waiting = "SELECT count(*) FROM pg_locks WHERE relation = 'users'::regclass AND NOT granted";
    eventually(LONG, "the import decides", async || count(&client, waiting).await == 1).await;

    send(&import, Signal::KILL);
    within(LONG, "it ends", import.wait()).await.expect("a status");

    let soon = Duration::from_secs(30);
    eventually(soon, "PostgreSQL has ended the session", async || count(&client, waiting).await == 0).await;
    holder.batch_execute("ROLLBACK").await.expect("the end");
    postern.run(&IMPORT).await.expect_done();
}

#[tokio::test]
async fn import_waits_a_moment_for_the_lock_of_a_killed_one() {
    let postern = Postern::on_migrated_servers().await;
    write_csv(&postern.path("users.csv"), &DjangoUser::many(1));
    let killed = postgres_client(postern.database()).await;
    let lock = "SELECT pg_advisory_lock(x'696d706f'::int, 'users'::regclass::oid::int)";
    killed.batch_execute(lock).await.expect("the lock");
    let import = postern.command(&IMPORT).spawn().expect("it starts");
    let tries = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND state = 'idle' AND query LIKE 'SELECT pg_try_advisory_lock%'";
    let client = postgres_client(postern.database()).await;
    eventually(LONG, "the import has tried", async || count(&client, tries).await > 0).await;

    killed.batch_execute("SELECT pg_advisory_unlock_all()").await.expect("the end");

    let output = within(LONG, "it ends", import.wait_with_output()).await.expect("it started");
    Ended::of(&output).expect_done();
}

#[tokio::test]
async fn killed_import_into_the_embedded_store_can_be_run_again() {
    let postern = Postern::new();
    write_csv(&postern.path("users.csv"), &DjangoUser::many(1));
    postern.run(&IMPORT).await.expect_done();
    std::fs::remove_file(postern.path("map.csv")).expect("a map");
    write_csv(&postern.path("users.csv"), &DjangoUser::many(3001));
    let file = rusqlite::Connection::open(postern.path("postern-data/postern.db")).expect("the store");
    file.busy_timeout(Duration::ZERO).expect("a setting");
    // The second batch stays in the middle of its transaction, while it counts for hours.
    let endless = "CREATE TRIGGER endless AFTER INSERT ON users WHEN NEW.email = 'user1500@example.org' BEGIN
        SELECT count(*) FROM users a, users b, users c, users d;
    END";
    file.execute_batch(endless).expect("a trigger");
    let mut import = postern.command(&IMPORT).spawn().expect("it starts");
    let counts = || {
        let counts = "SELECT (SELECT count(*) FROM users), (SELECT sum(users) FROM imported_hashes)";
        file.query_row(counts, [], |row| Ok((row.get(0)?, row.get(1)?))).expect("counts")
    };
    let is_amid_a_batch = async || {
        let is_locked = file.execute_batch("BEGIN IMMEDIATE; ROLLBACK").is_err();
        is_locked && counts() == (1001_i64, 1001_i64)
    };
    eventually(LONG, "the second batch has begun", is_amid_a_batch).await;

    send(&import, Signal::KILL);
    within(LONG, "it ends", import.wait()).await.expect("a status");

    assert_eq!(counts(), (1001, 1001));
    assert!(!postern.path("map.csv").exists());
    file.busy_timeout(LONG).expect("a setting");
    file.execute_batch("DROP TRIGGER endless").expect("no trigger");
    let summary = postern.run(&[&IMPORT[..], &["--json"]].concat()).await.expect_json();
    assert_eq!((&summary["imported"], &summary["already_imported"]), (&json!(2000), &json!(1001)));
    assert_eq!(counts(), (3001, 3001));
    let ends: Vec<_> = audit_details(&postern).await.iter().map(|detail| detail.starts_with("started")).collect();
    assert_eq!(ends, [true, false, true, true, false]);
}
