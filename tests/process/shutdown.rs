//! Signals and the shutdown.

use rustix::process::{Pid, Signal, kill_process};
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use crate::support::{
    LONG, Postern, empty_database, eventually, postgres_client, redis_url, refuses_connections, until, until_end,
    within,
};

#[tokio::test]
async fn term_and_int_drain_the_server_and_end_it() {
    for signal in [Signal::TERM, Signal::INT] {
        let postern = Postern::new();
        let serving = postern.serve().await;

        serving.signal(signal);

        assert_eq!(serving.ended().await.code, Some(0));
    }
}

#[tokio::test]
async fn server_runs_until_a_signal_at_any_log_level() {
    for level in ["off", "error", "warn", "debug"] {
        let postern = Postern::new().with("POSTERN_LOG", level);
        let serving = postern.serve().await;
        serving.signed_up("ada@example.org").await;

        assert_eq!(serving.stopped().await.code, Some(0), "{level}");
    }
}

#[tokio::test]
async fn repeated_signal_at_once_counts_once() {
    let postern = Postern::new();
    let serving = postern.serve().await;
    let unfinished = serving.unfinished_login(10).await;

    serving.signal(Signal::TERM);
    serving.signal(Signal::TERM);
    serving.unready().await;
    drop(unfinished);

    assert_eq!(serving.ended().await.code, Some(0));
}

#[tokio::test]
async fn second_signal_ends_the_server_at_once() {
    let postern = Postern::new();
    let serving = postern.serve().await;
    let unfinished = serving.unfinished_login(10).await;

    serving.signal(Signal::TERM);

    // After some time, it no longer counts as a repetition of the first one.
    assert_eq!(serving.ended_under(Signal::INT).await, Some(1));
    drop(unfinished);
}

#[tokio::test]
async fn requests_beyond_the_grace_are_cut_off() {
    let postern = Postern::new().with("POSTERN_SHUTDOWN_GRACE", "100ms");
    let serving = postern.serve().await;
    let unfinished = serving.unfinished_login(10).await;

    serving.signal(Signal::TERM);

    assert_eq!(serving.ended().await.code, Some(1));
    drop(unfinished);
}

#[tokio::test]
async fn draining_server_is_not_ready_and_still_serves() {
    let postern = Postern::new().with("POSTERN_DRAIN_DELAY", "60s");
    let mut serving = postern.serve().await;
    serving.probe("/readyz").send().await.expect(200);

    serving.signal(Signal::TERM);
    serving.logged("").await;
    serving.unready().await;

    serving.probe("/readyz").send().await.expect(503);
    serving.signed_up("ada@example.org").await;
}

#[tokio::test]
async fn connections_close_after_their_next_response_while_draining() {
    let postern = Postern::new().with("POSTERN_DRAIN_DELAY", "60s");
    let serving = postern.serve().await;
    let mut kept = TcpStream::connect(serving.public).await.expect("it accepts");
    let request = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    kept.write_all(request).await.expect("it takes the request");
    assert!(!until(&mut kept, "}").await.contains("connection: close"));

    serving.signal(Signal::TERM);
    serving.unready().await;

    let mut new = TcpStream::connect(serving.public).await.expect("it accepts");
    for stream in [&mut kept, &mut new] {
        stream.write_all(request).await.expect("it takes the request");
    }
    for mut stream in [kept, new] {
        let response = until_end(&mut stream).await;
        assert!(response.starts_with("HTTP/1.1 200 ") && response.contains("\r\nconnection: close\r\n"), "{response}");
    }
}

#[tokio::test]
async fn after_the_drain_delay_only_requests_in_flight_are_answered() {
    let postern = Postern::new().with("POSTERN_DRAIN_DELAY", "100ms");
    let serving = postern.serve().await;
    let body = r#"{"email":"ada@example.org","password":"wrong"}"#;
    let mut unfinished = serving.unfinished_login(body.len()).await;

    serving.signal(Signal::TERM);
    refuses_connections(serving.public).await;
    unfinished.write_all(body.as_bytes()).await.expect("it is open");

    let response = until_end(&mut unfinished).await;
    assert!(response.starts_with("HTTP/1.1 401 ") && response.contains("\r\nconnection: close\r\n"), "{response}");
    assert_eq!(serving.ended().await.code, Some(0));
}

#[tokio::test]
async fn probes_are_answered_until_the_last_request_is() {
    let postern = Postern::new();
    let serving = postern.serve().await;
    let unfinished = serving.unfinished_login(10).await;

    serving.signal(Signal::TERM);
    serving.unready().await;

    serving.probe("/readyz").send().await.expect(503);
    serving.probe("/livez").send().await.expect(200);
    drop(unfinished);
    assert_eq!(serving.ended().await.code, Some(0));
}

#[tokio::test]
async fn signal_before_serving_ends_the_process() {
    // Other tests migrate too, and advisory locks belong to a database.
    let database = empty_database().await;
    let postern = Postern::on(&database, redis_url()).with_keys().await;
    let locker = postgres_client(&database).await;
    // The lock of a migration: "postern" in ASCII.
    locker.batch_execute("SELECT pg_advisory_lock(x'00706f737465726e'::bigint)").await.expect("the lock");
    let mut migrating = postern.command(&["serve", "--migrate"]).spawn().expect("it starts");
    let waits = "SELECT FROM pg_stat_activity WHERE datname = current_database()
        AND query LIKE '%pg_try_advisory_lock%' AND pid <> pg_backend_pid()";
    let is_waiting = async || !locker.query(waits, &[]).await.expect("rows").is_empty();
    eventually(LONG, "the migration waits for the lock", is_waiting).await;

    let pid = Pid::from_raw(migrating.id().expect("it runs").cast_signed()).expect("a process");
    kill_process(pid, Signal::TERM).expect("it can be signalled");

    let ended = within(LONG, "the server ends", migrating.wait()).await;
    assert_eq!(ended.expect("a status").code(), Some(0));
}
