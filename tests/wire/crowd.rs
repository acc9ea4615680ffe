//! More connections than anybody needs.

use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::task::JoinSet;

use crate::{
    client::{Connection, get, post},
    server::Server,
};

const CROWD: usize = 2000;

/// Lets this process and its children have as many open files as a crowd takes.
fn allow_a_crowd() {
    let limit = getrlimit(Resource::Nofile);
    let needed = CROWD as u64 + 500;
    if limit.current.is_some_and(|current| current < needed) {
        let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(needed), ..limit });
        raised.unwrap_or_else(|error| panic!("{needed} open files ({error}): the limit is {:?}", limit.maximum));
    }
}

async fn crowd(server: &Server, size: usize, sent: &[u8]) -> Vec<Connection> {
    let mut crowd = Vec::with_capacity(size);
    for _ in 0..size {
        let mut connection = server.connect().await;
        connection.send(sent).await;
        crowd.push(connection);
    }
    crowd
}

#[tokio::test]
async fn two_thousand_silent_connections_keep_nobody_waiting_and_are_cut_off() {
    allow_a_crowd();
    let server = Server::start_with(&[("POSTERN_REQUEST_TIMEOUT", "4s")]).await;
    let before = server.memory();

    let mut cuts = JoinSet::new();
    for mut silent in crowd(&server, CROWD, b"").await {
        cuts.spawn(async move { silent.until_closed().await.0.len() });
    }

    for _ in 0..5 {
        server.is_well().await;
    }
    assert!(server.memory().saturating_sub(before) < 128 * 1024 * 1024, "{} B, then {} B", before, server.memory());
    let answers: usize = cuts.join_all().await.into_iter().sum();
    assert_eq!(answers, 0, "nobody is answered who has asked for nothing");
    server.survives().await;
}

#[tokio::test]
async fn a_full_house_lets_newcomers_in() {
    let beginnings = [
        &b""[..],
        b"GET /healthz HTTP/1.1\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
    ];

    for beginning in beginnings {
        // Time is of no help to the newcomers.
        let settings = [("POSTERN_MAX_CONNECTIONS", "50"), ("POSTERN_REQUEST_TIMEOUT", "60s")];
        let server = Server::start_with(&settings).await;
        let crowd = crowd(&server, 60, beginning).await;

        let well = tokio::time::timeout(Duration::from_secs(20), server.is_well()).await;

        well.unwrap_or_else(|_| panic!("nobody new is let in: {:?}", String::from_utf8_lossy(beginning)));
        drop(crowd);
    }
}

#[tokio::test]
async fn a_house_full_of_slow_requests_lets_newcomers_in_when_their_time_is_over() {
    let server = Server::start_with(&[("POSTERN_MAX_CONNECTIONS", "50"), ("POSTERN_REQUEST_TIMEOUT", "2s")]).await;
    let slow = post("/token/", "slow", "{}");

    let mut connections = crowd(&server, 60, &slow.as_bytes()[..slow.len() - 1]).await;
    let mut newcomer = server.connect().await;
    newcomer.send(get("/healthz", "new")).await;

    assert_eq!(newcomer.until_closed().await.only().status, 200);
    for connection in &mut connections {
        connection.until_closed().await;
    }
    server.survives().await;
}

#[tokio::test]
async fn a_full_operations_listener_lets_newcomers_in() {
    let settings = [("POSTERN_MAX_CONNECTIONS", "50"), ("POSTERN_REQUEST_TIMEOUT", "60s")];
    let server = Server::start_with(&settings).await;
    let mut crowd = Vec::new();
    for _ in 0..60 {
        crowd.push(server.connect_to_operations().await);
    }

    let well = tokio::time::timeout(Duration::from_secs(20), server.is_well()).await;

    well.expect("nobody new is let in");
}

#[tokio::test]
async fn connections_that_come_and_go_leave_nothing_behind() {
    let server = Server::start().await;
    for _ in 0..200 {
        drop(server.connect().await);
    }
    let before = server.memory();

    for _ in 0..20 {
        // Half of a request, and away.
        drop(crowd(&server, 100, &get("/healthz", "gone").as_bytes()[..40]).await);
    }

    assert!(server.memory().saturating_sub(before) < 16 * 1024 * 1024, "{} B, then {} B", before, server.memory());
    server.survives().await;
}
