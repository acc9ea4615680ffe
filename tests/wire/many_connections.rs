//! Very many connections, and full connection slots.

use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::task::JoinSet;

use crate::{
    client::{Connection, get, post},
    server::Server,
    support::{ATTACKER, within},
};

pub const MANY: usize = 2000;

/// The limit of a wait for free slots, shorter than the request timeout in these tests.
const EVICTION_LIMIT: Duration = Duration::from_secs(20);

/// Raises the open-files limit of this process and its children for [`MANY`] connections.
pub fn raise_open_files_limit() {
    let limit = getrlimit(Resource::Nofile);
    let needed = MANY as u64 + 500;
    if limit.current.is_some_and(|current| current < needed) {
        let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(needed), ..limit });
        raised.unwrap_or_else(|error| panic!("{needed} open files ({error}): the limit is {:?}", limit.maximum));
    }
}

async fn connect_many(server: &Server, count: usize, sent: &[u8]) -> Vec<Connection> {
    let mut connections = Vec::with_capacity(count);
    for _ in 0..count {
        let mut connection = server.connect_from(ATTACKER).await;
        connection.send(sent).await;
        connections.push(connection);
    }
    connections
}

#[tokio::test]
async fn many_silent_connections_are_closed_and_delay_no_client() {
    raise_open_files_limit();
    let server = Server::start_with(&[("POSTERN_REQUEST_TIMEOUT", "4s")]).await;
    let before = server.memory();

    let mut closed = JoinSet::new();
    for mut silent in connect_many(&server, MANY, b"").await {
        closed.spawn(async move { silent.until_closed().await.0.len() });
    }

    for _ in 0..5 {
        server.expect_healthy().await;
    }
    assert!(server.memory().saturating_sub(before) < 128 * 1024 * 1024, "{} B, then {} B", before, server.memory());
    let responses: usize = closed.join_all().await.into_iter().sum();
    assert_eq!(responses, 0, "no request, no response");
    server.expect_clean_stop().await;
}

#[tokio::test]
async fn new_connections_evict_idle_ones_if_slots_are_full() {
    let beginnings = [
        &b""[..],
        b"GET /healthz HTTP/1.1\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
    ];

    for beginning in beginnings {
        // Deadlines do not free a slot in time.
        let settings = [("POSTERN_MAX_CONNECTIONS", "50"), ("POSTERN_REQUEST_TIMEOUT", "60s")];
        let server = Server::start_with(&settings).await;
        let connections = connect_many(&server, 60, beginning).await;

        let awaited = format!("new connections are served beside {:?}", String::from_utf8_lossy(beginning));
        within(EVICTION_LIMIT, &awaited, server.expect_healthy()).await;

        drop(connections);
    }
}

#[tokio::test]
async fn slots_full_of_slow_bodies_free_up_for_others() {
    let server = Server::start_with(&[("POSTERN_MAX_CONNECTIONS", "48"), ("POSTERN_REQUEST_TIMEOUT", "60s")]).await;
    let slow = post("/token/", "slow", "{}");
    let mut slow_clients = Vec::new();
    // When three quarters of the slots are in use, a client may have a quarter.
    for attacker in 2..6 {
        for _ in 0..12 {
            let mut connection = server.connect_from([127, 0, 0, attacker].into()).await;
            connection.send(&slow.as_bytes()[..slow.len() - 1]).await;
            slow_clients.push(connection);
        }
    }

    within(EVICTION_LIMIT, "a new client is served", server.expect_healthy()).await;

    assert!(server.ended_bodies().await > 0);
    drop(slow_clients);
}

#[tokio::test]
async fn one_client_cannot_take_all_slots() {
    let server = Server::start_with(&[("POSTERN_MAX_CONNECTIONS", "48"), ("POSTERN_REQUEST_TIMEOUT", "60s")]).await;
    let slow = post("/token/", "slow", "{}");

    let slow_clients = connect_many(&server, 60, &slow.as_bytes()[..slow.len() - 1]).await;

    server.expect_healthy().await;
    assert_eq!(server.ended_bodies().await, 0, "a slot was free");
    drop(slow_clients);
}

#[tokio::test]
async fn full_operations_listener_serves_new_connections() {
    let settings = [("POSTERN_MAX_CONNECTIONS", "50"), ("POSTERN_REQUEST_TIMEOUT", "60s")];
    let server = Server::start_with(&settings).await;
    let mut connections = Vec::new();
    for _ in 0..60 {
        connections.push(server.connect_to_operations().await);
    }

    within(EVICTION_LIMIT, "new connections are served", server.expect_healthy()).await;
}

#[tokio::test]
async fn closed_connections_leave_no_memory_behind() {
    let server = Server::start().await;
    for _ in 0..200 {
        drop(server.connect().await);
    }
    let before = server.memory();

    for _ in 0..20 {
        // Half of a request, then a close.
        drop(connect_many(&server, 100, &get("/healthz", "gone").as_bytes()[..40]).await);
    }

    assert!(server.memory().saturating_sub(before) < 16 * 1024 * 1024, "{} B, then {} B", before, server.memory());
    server.expect_clean_stop().await;
}
