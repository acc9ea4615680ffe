//! Clients that take their time.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::{
    client::{Answers, Connection, Flooded, get},
    server::Server,
};

/// The limit that the tests set, several times over: the machine may be busy.
const IN_TIME: Duration = Duration::from_secs(10);

/// Between two bytes: much less than the limit.
const PAUSE: Duration = Duration::from_millis(100);

/// The preface of HTTP/2, and an empty SETTINGS.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

async fn impatient() -> Server {
    Server::start_with(&[("POSTERN_REQUEST_TIMEOUT", "1s")]).await
}

/// What has come when the server has closed a connection of its own accord, and in time.
async fn cut(
    mut connection: Connection,
    name: &'static str,
    sent: Vec<u8>,
    dripped: Vec<u8>,
) -> (&'static str, Vec<u8>) {
    let begun = Instant::now();
    connection.send(sent).await;
    let heard = connection.drip(&dripped, PAUSE).await;
    assert!(begun.elapsed() < IN_TIME, "{name}: {:?}", begun.elapsed());
    (name, heard)
}

#[tokio::test]
async fn who_falls_silent_is_cut_off_in_time() {
    let server = impatient().await;
    let open_stream = [PREFACE, b"\0\0\x01\x01\x04\0\0\0\x01\x82"].concat();
    let no_end = [PREFACE, b"\0\0\x03\x01\x01\0\0\0\x01\x82\x84\x86"].concat();

    let mut cuts = JoinSet::new();
    for (name, sent) in [
        ("at once", &b""[..]),
        ("after a letter", b"G"),
        ("within the request line", b"GET /healthz HT"),
        ("within a header", b"GET /healthz HTTP/1.1\r\nHost: pos"),
        ("before the end of the head", b"GET /healthz HTTP/1.1\r\nHost: x\r\n"),
        ("after an empty line", b"\r\n"),
        ("within the next head", b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /"),
        ("before a body", b"POST /token/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n"),
        ("within a body", b"POST /token/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"),
        ("within a body nobody reads", b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{"),
        ("within a chunk", b"POST /token/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{"),
        ("within trailers", b"POST /token/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: "),
        ("though asked for a body", b"POST /token/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n"),
        ("within the preface", b"PRI * HTTP/2.0\r\n\r\nSM"),
        ("before SETTINGS", &PREFACE[..24]),
        ("before CONTINUATION", &open_stream[..open_stream.len() - 1]),
        ("within a block of headers", &no_end),
        ("within TLS", b"\x16\x03\x01\x02\0\x01"),
    ] {
        cuts.spawn(cut(server.connect().await, name, sent.to_vec(), Vec::new()));
    }
    let cuts = cuts.join_all().await;

    for (name, heard) in cuts {
        assert!(heard.len() < 1024, "{name}: {}", String::from_utf8_lossy(&heard));
    }
    server.survives().await;
}

#[tokio::test]
async fn who_sends_a_byte_at_a_time_is_cut_off_in_time() {
    let server = impatient().await;
    let post = b"POST /token/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
    let of_length = [&post[..], b"Content-Length: 1000\r\n\r\n"].concat();
    let chunked = [&post[..], b"Transfer-Encoding: chunked\r\n\r\n"].concat();
    let (trailers, extension) = ([&chunked[..], b"0\r\n"].concat(), [&chunked[..], b"1;"].concat());

    let mut cuts = JoinSet::new();
    for (name, sent, dripped) in [
        ("request line", &b""[..], [&b"GET /"[..], &[b'x'; 1000]].concat()),
        ("empty lines", b"", b"\r\n".repeat(500)),
        ("headers", b"GET /healthz HTTP/1.1\r\nHost: x\r\n", b"X: y\r\n".repeat(200)),
        ("the preface", b"PRI * HTTP/2.0\r\n", b"\r\nSM\r\n\r\n".to_vec()),
        ("a body", &of_length, vec![b' '; 1000]),
        ("chunks", &chunked, b"1\r\n \r\n".repeat(200)),
        ("trailers", &trailers, b"X: y\r\n".repeat(200)),
        ("an extension", &extension, vec![b'x'; 1000]),
        ("a frame", PREFACE, [&b"\0\x40\0\x01\x04\0\0\0\x01"[..], &[0x84; 1000]].concat()),
    ] {
        cuts.spawn(cut(server.connect().await, name, sent.to_vec(), dripped));
    }
    let cuts = cuts.join_all().await;

    for (name, heard) in cuts {
        assert!(heard.len() < 1024, "{name}: {}", String::from_utf8_lossy(&heard));
    }
    server.survives().await;
}

#[tokio::test]
async fn who_idles_or_only_seems_to_be_busy_is_cut_off_in_time() {
    let settings = [("POSTERN_REQUEST_TIMEOUT", "1s"), ("POSTERN_IDLE_TIMEOUT", "1s")];
    let server = Server::start_with(&settings).await;
    let get = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";

    let mut cuts = JoinSet::new();
    for (name, sent, dripped) in [
        ("after an answer", &get[..], Vec::new()),
        ("empty lines after an answer", get, b"\r\n".repeat(500)),
        ("after SETTINGS", PREFACE, Vec::new()),
        ("empty SETTINGS", PREFACE, b"\0\0\0\x04\0\0\0\0\0".repeat(200)),
        ("PING", PREFACE, b"\0\0\x08\x06\0\0\0\0\0abcdefgh".repeat(100)),
    ] {
        cuts.spawn(cut(server.connect().await, name, sent.to_vec(), dripped));
    }
    cuts.join_all().await;

    server.survives().await;
}

#[tokio::test]
async fn a_body_that_is_late_is_answered_once() {
    let server = impatient().await;
    let mut connection = server.connect().await;
    let head = "POST /token/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{";

    connection.send(head).await;
    let answer = connection.until_closed().await.only();

    assert_eq!(answer.status, 408, "{answer:?}");
    server.survives().await;
}

#[tokio::test]
async fn a_client_that_reads_no_answer_is_stopped_and_costs_no_memory() {
    let server = impatient().await;
    let before = server.memory();
    let mut connection = server.connect().await;
    let requests = get("/openapi.json", "x").replace("Connection: close\r\n", "").repeat(100);

    // The whole of them would be answered with some gigabytes.
    let flooded = connection.flood(requests.as_bytes(), 64 * 1024 * 1024).await;

    assert_ne!(flooded, Flooded::Taken, "the server takes no more requests than it can answer");
    assert!(server.memory().saturating_sub(before) < 32 * 1024 * 1024, "{} B, then {} B", before, server.memory());
    server.is_well().await;
    drop(connection);
    server.survives().await;
}

#[tokio::test]
async fn a_client_that_takes_its_time_between_requests_is_served() {
    let server = Server::start_with(&[("POSTERN_REQUEST_TIMEOUT", "10s")]).await;
    let mut connection = server.connect().await;
    let requests = get("/healthz", "first").replace("Connection: close\r\n", "") + &get("/healthz", "second");

    let heard = connection.drip(requests.as_bytes(), Duration::from_millis(2)).await;

    assert_eq!(Answers::of(&heard).ids(), ["first", "second"]);
    server.survives().await;
}
