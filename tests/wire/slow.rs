//! Slow and silent clients.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::{
    client::{Connection, Flooded, Responses, get},
    server::Server,
};

/// Several times the timeouts that the tests set, for a busy machine.
const IN_TIME: Duration = Duration::from_secs(10);

/// The pause between two bytes, much shorter than the timeouts.
const PAUSE: Duration = Duration::from_millis(100);

/// The preface of HTTP/2 and an empty SETTINGS frame.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

async fn with_short_timeouts() -> Server {
    Server::start_with(&[("POSTERN_REQUEST_TIMEOUT", "1s")]).await
}

/// Sends bytes, then drips others, until the server closes the connection in time. Returns what the server has sent.
async fn closed_in_time(
    mut connection: Connection,
    name: &'static str,
    sent: Vec<u8>,
    dripped: Vec<u8>,
) -> (&'static str, Vec<u8>) {
    let begun = Instant::now();
    connection.send(sent).await;
    let received = connection.drip(&dripped, PAUSE).await;
    assert!(begun.elapsed() < IN_TIME, "{name}: {:?}", begun.elapsed());
    (name, received)
}

#[tokio::test]
async fn silent_client_is_disconnected_in_time() {
    let server = with_short_timeouts().await;
    let open_stream = [PREFACE, b"\0\0\x01\x01\x04\0\0\0\x01\x82"].concat();
    let no_end = [PREFACE, b"\0\0\x03\x01\x01\0\0\0\x01\x82\x84\x86"].concat();

    let mut closed = JoinSet::new();
    for (name, sent) in [
        ("at once", &b""[..]),
        ("after a letter", b"G"),
        ("within the request line", b"GET /healthz HT"),
        ("within a header", b"GET /healthz HTTP/1.1\r\nHost: pos"),
        ("before the end of the head", b"GET /healthz HTTP/1.1\r\nHost: x\r\n"),
        ("after an empty line", b"\r\n"),
        ("before a body", b"POST /token/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n"),
        ("within a body", b"POST /token/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"),
        ("within an unread body", b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{"),
        ("within a chunk", b"POST /token/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{"),
        ("within trailers", b"POST /token/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: "),
        ("after 100 Continue", b"POST /token/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n"),
        ("within the preface", b"PRI * HTTP/2.0\r\n\r\nSM"),
        ("before SETTINGS", &PREFACE[..24]),
        ("before CONTINUATION", &open_stream[..open_stream.len() - 1]),
        ("within a block of headers", &no_end),
        ("within TLS", b"\x16\x03\x01\x02\0\x01"),
    ] {
        closed.spawn(closed_in_time(server.connect().await, name, sent.to_vec(), Vec::new()));
    }
    let closed = closed.join_all().await;

    for (name, received) in closed {
        assert!(received.len() < 1024, "{name}: {}", String::from_utf8_lossy(&received));
    }
    server.expect_clean_stop().await;
}

#[tokio::test]
async fn slow_sender_is_disconnected_in_time() {
    let server = with_short_timeouts().await;
    let post = b"POST /token/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
    let get = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    let of_length = [&post[..], b"Content-Length: 1000\r\n\r\n"].concat();
    let chunked = [&post[..], b"Transfer-Encoding: chunked\r\n\r\n"].concat();
    let (trailers, extension) = ([&chunked[..], b"0\r\n"].concat(), [&chunked[..], b"1;"].concat());

    let mut closed = JoinSet::new();
    for (name, sent, dripped) in [
        ("request line", &b""[..], [&b"GET /"[..], &[b'x'; 1000]].concat()),
        ("empty lines", b"", b"\r\n".repeat(500)),
        ("headers", b"GET /healthz HTTP/1.1\r\nHost: x\r\n", b"X: y\r\n".repeat(200)),
        ("the next request line", get, [&b"GET /"[..], &[b'x'; 1000]].concat()),
        ("empty lines after a response", get, b"\r\n".repeat(500)),
        ("the preface", b"PRI * HTTP/2.0\r\n", b"\r\nSM\r\n\r\n".to_vec()),
        ("a body", &of_length, vec![b' '; 1000]),
        ("chunks", &chunked, b"1\r\n \r\n".repeat(200)),
        ("trailers", &trailers, b"X: y\r\n".repeat(200)),
        ("an extension", &extension, vec![b'x'; 1000]),
        ("a frame", PREFACE, [&b"\0\x40\0\x01\x04\0\0\0\x01"[..], &[0x84; 1000]].concat()),
    ] {
        closed.spawn(closed_in_time(server.connect().await, name, sent.to_vec(), dripped));
    }
    let closed = closed.join_all().await;

    for (name, received) in closed {
        assert!(received.len() < 1024, "{name}: {}", String::from_utf8_lossy(&received));
    }
    server.expect_clean_stop().await;
}

#[tokio::test]
async fn idle_client_is_disconnected_in_time() {
    let settings = [("POSTERN_REQUEST_TIMEOUT", "1s"), ("POSTERN_IDLE_TIMEOUT", "1s")];
    let server = Server::start_with(&settings).await;
    let get = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";

    let mut closed = JoinSet::new();
    for (name, sent, dripped) in [
        ("after a response", &get[..], Vec::new()),
        ("within the next head", b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /", Vec::new()),
        ("after SETTINGS", PREFACE, Vec::new()),
        ("empty SETTINGS", PREFACE, b"\0\0\0\x04\0\0\0\0\0".repeat(200)),
        ("PING", PREFACE, b"\0\0\x08\x06\0\0\0\0\0abcdefgh".repeat(100)),
    ] {
        closed.spawn(closed_in_time(server.connect().await, name, sent.to_vec(), dripped));
    }
    closed.join_all().await;

    server.expect_clean_stop().await;
}

#[tokio::test]
async fn late_body_gets_one_408_response() {
    let server = with_short_timeouts().await;
    let mut connection = server.connect().await;
    let head = "POST /token/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{";

    connection.send(head).await;
    let response = connection.until_closed().await.only();

    assert_eq!(response.status, 408, "{response:?}");
    server.expect_clean_stop().await;
}

#[tokio::test]
async fn client_that_reads_no_response_is_stopped() {
    let server = with_short_timeouts().await;
    let before = server.memory();
    let mut connection = server.connect().await;
    let requests = get("/openapi.json", "x").replace("Connection: close\r\n", "").repeat(100);

    // The responses to all requests would be some gigabytes.
    let flooded = connection.flood(requests.as_bytes(), 64 * 1024 * 1024).await;

    assert_ne!(flooded, Flooded::Taken, "the server reads no requests while responses are not read");
    assert!(server.memory().saturating_sub(before) < 32 * 1024 * 1024, "{} B, then {} B", before, server.memory());
    server.expect_healthy().await;
    drop(connection);
    server.expect_clean_stop().await;
}

#[tokio::test]
async fn slow_client_within_the_timeouts_is_served() {
    let server = Server::start_with(&[("POSTERN_REQUEST_TIMEOUT", "10s")]).await;
    let mut connection = server.connect().await;
    let requests = get("/healthz", "first").replace("Connection: close\r\n", "") + &get("/healthz", "second");

    let received = connection.drip(requests.as_bytes(), Duration::from_millis(2)).await;

    assert_eq!(Responses::of(&String::from_utf8_lossy(&received)).ids(), ["first", "second"]);
    server.expect_clean_stop().await;
}
