//! Signals, and the end.

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};

use super::{LONG, Postern, unfinished_request};
use crate::{asking::Asking, support::database_url};

/// Everything until the server closes the connection.
async fn rest(mut stream: TcpStream) -> String {
    let mut answer = String::new();
    let reading = tokio::time::timeout(LONG, stream.read_to_string(&mut answer));
    reading.await.expect("in time").expect("an answer, and an end that is no reset");
    answer
}

#[tokio::test]
async fn term_and_int_end_it_once_it_has_drained() {
    for signal in [Signal::TERM, Signal::INT] {
        let postern = Postern::new();
        let serving = postern.serve().await;

        serving.signal(signal);

        assert_eq!(serving.ended().await.code, Some(0));
    }
}

#[tokio::test]
async fn it_serves_until_a_signal_whatever_it_logs() {
    for level in ["off", "error", "warn", "debug"] {
        let postern = Postern::new().with("POSTERN_LOG", level);
        let serving = postern.serve().await;
        serving.sign_up("ada@example.org").await;

        assert_eq!(serving.stopped().await.code, Some(0), "{level}");
    }
}

#[tokio::test]
async fn a_signal_that_comes_twice_at_once_is_one() {
    let postern = Postern::new();
    let serving = postern.serve().await;
    let unfinished = unfinished_request(serving.public, 10).await;

    serving.signal(Signal::TERM);
    serving.signal(Signal::TERM);
    while Asking::operations(serving.operations, "/readyz").send().await.status == 200 {}
    drop(unfinished);

    assert_eq!(serving.ended().await.code, Some(0));
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    let postern = Postern::new();
    let serving = postern.serve().await;
    let unfinished = unfinished_request(serving.public, 10).await;

    serving.signal(Signal::TERM);

    // At some time it is not the echo of the first one any more.
    assert_eq!(serving.ended_under(Signal::INT).await, Some(1));
    drop(unfinished);
}

#[tokio::test]
async fn what_does_not_end_within_the_grace_is_cut_off() {
    let postern = Postern::new().with("POSTERN_SHUTDOWN_GRACE", "100ms");
    let serving = postern.serve().await;
    let unfinished = unfinished_request(serving.public, 10).await;

    serving.signal(Signal::TERM);

    assert_eq!(serving.ended().await.code, Some(1));
    drop(unfinished);
}

#[tokio::test]
async fn it_is_not_ready_while_it_drains_and_still_serves() {
    let postern = Postern::new().with("POSTERN_DRAIN_DELAY", "60s");
    let mut serving = postern.serve().await;
    Asking::operations(serving.operations, "/readyz").send().await.expect(200);

    serving.signal(Signal::TERM);
    let mut line = String::new();
    BufReader::new(&mut serving.stderr).read_line(&mut line).await.expect("a line");
    while Asking::operations(serving.operations, "/readyz").send().await.status == 200 {}

    Asking::operations(serving.operations, "/readyz").send().await.expect(503);
    serving.sign_up("ada@example.org").await;
}

#[tokio::test]
async fn while_it_drains_connections_end_with_their_next_answer() {
    let postern = Postern::new().with("POSTERN_DRAIN_DELAY", "60s");
    let serving = postern.serve().await;
    let mut kept = TcpStream::connect(serving.public).await.expect("it accepts");
    let request = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    kept.write_all(request).await.expect("it takes the request");
    let mut answer = Vec::new();
    while !answer.ends_with(b"}") {
        answer.push(kept.read_u8().await.expect("an answer"));
    }
    assert!(!String::from_utf8_lossy(&answer).contains("connection: close"));

    serving.signal(Signal::TERM);
    while Asking::operations(serving.operations, "/readyz").send().await.status == 200 {}

    let mut new = TcpStream::connect(serving.public).await.expect("it accepts");
    for stream in [&mut kept, &mut new] {
        stream.write_all(request).await.expect("it takes the request");
    }
    for stream in [kept, new] {
        let answer = rest(stream).await;
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("\r\nconnection: close\r\n"), "{answer}");
    }
}

#[tokio::test]
async fn after_the_delay_no_connection_is_accepted_and_what_is_under_way_is_answered() {
    let postern = Postern::new().with("POSTERN_DRAIN_DELAY", "100ms");
    let serving = postern.serve().await;
    let body = r#"{"email":"ada@example.org","password":"wrong"}"#;
    let mut unfinished = unfinished_request(serving.public, body.len()).await;

    serving.signal(Signal::TERM);
    while TcpStream::connect(serving.public).await.is_ok() {}
    unfinished.write_all(body.as_bytes()).await.expect("it is open");

    let answer = rest(unfinished).await;
    assert!(answer.starts_with("HTTP/1.1 401 ") && answer.contains("\r\nconnection: close\r\n"), "{answer}");
    assert_eq!(serving.ended().await.code, Some(0));
}

#[tokio::test]
async fn probes_are_answered_until_the_last_request_is() {
    let postern = Postern::new();
    let serving = postern.serve().await;
    let unfinished = unfinished_request(serving.public, 10).await;

    serving.signal(Signal::TERM);
    while Asking::operations(serving.operations, "/readyz").send().await.status == 200 {}

    Asking::operations(serving.operations, "/readyz").send().await.expect(503);
    Asking::operations(serving.operations, "/livez").send().await.expect(200);
    drop(unfinished);
    assert_eq!(serving.ended().await.code, Some(0));
}

#[tokio::test]
async fn a_signal_that_comes_before_it_serves_ends_it_as_well() {
    let postern = Postern::on_servers().await;
    assert_eq!(postern.run(&["keys", "generate"]).await.code, Some(0));
    let (locker, connection) =
        tokio_postgres::connect(&database_url(), tokio_postgres::NoTls).await.expect("PostgreSQL answers");
    tokio::spawn(connection);
    // What one migration at a time has: "postern" in ASCII.
    locker.batch_execute("SELECT pg_advisory_lock(x'00706f737465726e'::bigint)").await.expect("the lock");
    let mut migrating = postern.command(&["serve", "--migrate"]).spawn().expect("it starts");
    let waits = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted";
    while locker.query(waits, &[]).await.expect("rows").is_empty() {}

    let pid = Pid::from_raw(migrating.id().expect("it runs").cast_signed()).expect("a process");
    kill_process(pid, Signal::TERM).expect("it can be signalled");

    let ended = tokio::time::timeout(LONG, migrating.wait()).await.expect("it ends");
    assert_eq!(ended.expect("a status").code(), Some(0));
}
