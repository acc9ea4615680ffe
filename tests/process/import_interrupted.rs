//! `postern import django`: what an interruption leaves, and how the next run completes it.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tokio::process::Child;

use super::import::{expect_refused, stored};
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
    for signal in [Signal::KILL, Signal::INT] {
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
async fn killed_import_into_the_embedded_store_can_be_run_again() {
    let postern = Postern::new();
    write_csv(&postern.path("users.csv"), &DjangoUser::many(1));
    postern.run(&IMPORT).await.expect_done();
    write_csv(&postern.path("users.csv"), &DjangoUser::many(3000));
    // The import waits for this writer.
    let file = rusqlite::Connection::open(postern.path("postern-data/postern.db")).expect("the store");
    file.execute_batch("BEGIN IMMEDIATE").expect("the lock");
    let mut import = postern.command(&IMPORT).spawn().expect("it starts");
    let is_ready = async || std::fs::metadata(postern.path("map.csv.new")).is_ok();
    eventually(LONG, "the import has begun", is_ready).await;

    send(&import, Signal::KILL);
    within(LONG, "it ends", import.wait()).await.expect("a status");
    file.execute_batch("ROLLBACK").expect("the end");
    let users: i64 = file.query_row("SELECT count(*) FROM users", [], |row| row.get(0)).expect("a count");
    assert_eq!(users, 1);

    postern.run(&IMPORT).await.expect_done();
    assert_eq!(stored(&postern).await.len(), 1000);
    let counts = "SELECT (SELECT count(*) FROM users), (SELECT sum(users) FROM imported_hashes)";
    let counts: (i64, i64) = file.query_row(counts, [], |row| Ok((row.get(0)?, row.get(1)?))).expect("counts");
    assert_eq!(counts, (3000, 3000));
}
