//! Floods of HTTP/2 frames that are cheap to send and may be expensive to process.

use std::time::Duration;

use tokio::{task::JoinSet, time::timeout};

use crate::{
    client::Flooded,
    http2::{
        CANCEL, CONTINUATION, DATA, END_STREAM, ENHANCE_YOUR_CALM, HEADERS, Http2, Outcome, PING, PRIORITY, RST_STREAM,
        SETTINGS, WHOLE, WINDOW_UPDATE, block, frame, get, post, request, settings,
    },
    server::Server,
    support::{LONG, eventually},
};

const MIB: u64 = 1024 * 1024;

/// The most memory, in bytes, by which a flood may raise the server's.
const MAX_GROWTH: u64 = 32 * MIB;

/// Many times the timeouts that the tests set, for a busy machine.
const IN_TIME: Duration = Duration::from_secs(15);

/// Returns the frames of one stream.
type Probe = fn(u32) -> Vec<u8>;

/// Returns the first `count` stream ids of a client.
fn streams(count: u32) -> impl Iterator<Item = u32> {
    (0..count).map(|number| 2 * number + 1)
}

fn reset(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &CANCEL.to_be_bytes())
}

fn update(stream: u32, by: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &by.to_be_bytes())
}

#[track_caller]
fn expect_little_growth(server: &Server, before: u64) {
    let after = server.memory();
    assert!(after.saturating_sub(before) < MAX_GROWTH, "{before} B, then {after} B");
}

#[tokio::test]
async fn rapid_reset_closes_the_connection() {
    let server = Server::start().await;
    let before = server.memory();

    for head in [get, post] as [fn(u32, &str) -> Vec<u8>; 2] {
        let flood = streams(20_000).flat_map(|stream| [head(stream, "/token/"), reset(stream)].concat());
        let flood = flood.collect::<Vec<_>>();
        let http2 = Http2::open(&server).await;
        let (code, ()) = tokio::join!(http2.exchange(&flood), server.expect_healthy());
        assert_eq!(code, Some(ENHANCE_YOUR_CALM));
    }

    expect_little_growth(&server, before);
    server.expect_clean_stop().await;
}

#[tokio::test]
async fn resets_of_accepted_requests_close_the_connection() {
    let server = Server::start().await;
    let mut http2 = Http2::open(&server).await;

    let mut reset_requests = 0;
    for batch in streams(2000).collect::<Vec<_>>().chunks(50) {
        if !http2.round_trip(&batch.iter().flat_map(|stream| post(*stream, "/token/")).collect::<Vec<_>>()).await {
            break;
        }
        // h2 limits only the resets of requests that hyper has not accepted yet.
        eventually(LONG, "the requests are in flight", async || server.in_flight().await >= 50).await;
        if !http2.round_trip(&batch.iter().flat_map(|stream| reset(*stream)).collect::<Vec<_>>()).await {
            break;
        }
        eventually(LONG, "the requests are dropped", async || server.in_flight().await == 0).await;
        reset_requests += batch.len();
    }

    assert!(reset_requests < 200, "{reset_requests} requests were reset");
    server.expect_healthy().await;
    server.expect_clean_stop().await;
}

#[tokio::test]
async fn provoked_resets_close_the_connection() {
    let server = Server::start().await;
    let before = server.memory();
    let provocations: [(&str, Probe); 4] = [
        ("a WINDOW_UPDATE of 0", |stream| [post(stream, "/token/"), update(stream, 0)].concat()),
        ("a window too large", |stream| [post(stream, "/token/"), update(stream, u32::MAX >> 1)].concat()),
        ("DATA after the end", |stream| [get(stream, "/healthz"), frame(DATA, 0, stream, b"x")].concat()),
        ("a malformed request", |stream| {
            frame(HEADERS, 5, stream, &block(&[&request("GET", "/")[..], &[("connection", "x")]].concat()))
        }),
    ];

    for (name, probe) in provocations {
        let flood = streams(5000).flat_map(probe).collect::<Vec<_>>();
        let http2 = Http2::open(&server).await;
        let (code, ()) = tokio::join!(http2.exchange(&flood), server.expect_healthy());
        assert!(code.is_some_and(|code| code != 0), "{name}: {code:?}");
    }

    expect_little_growth(&server, before);
    server.expect_clean_stop().await;
}

#[tokio::test]
async fn endless_headers_close_the_connection() {
    let server = Server::start().await;
    let before = server.memory();
    let begun = frame(HEADERS, END_STREAM, 1, &block(&request("GET", "/healthz")));

    for more in [block(&[("x", &"y".repeat(16_000))]), b"\0\x01x\x01y".to_vec(), Vec::new()] {
        let mut http2 = Http2::open(&server).await;
        http2.send(&begun).await;
        let flooded = http2.flood(&frame(CONTINUATION, 0, 1, &more).repeat(100), usize::MAX).await;
        assert_eq!(flooded, Flooded::Closed, "{} B in a frame", more.len());
    }

    expect_little_growth(&server, before);
    server.expect_clean_stop().await;
}

#[tokio::test]
async fn client_that_reads_nothing_is_stopped() {
    let server = Server::start().await;
    let before = server.memory();

    for (name, bytes) in [
        ("PING", frame(PING, 0, 0, b"12345678")),
        ("SETTINGS", frame(SETTINGS, 0, 0, b"")),
        ("SETTINGS of windows", frame(SETTINGS, 0, 0, &settings(&[(4, 0), (4, 65_535), (3, 0)]))),
        ("malformed requests", frame(HEADERS, 5, 1, &block(&[("x", "y")]))),
    ] {
        let mut http2 = Http2::open(&server).await;
        let flood = async { http2.flood(&bytes.repeat(100), usize::MAX).await };
        let (flooded, ()) = tokio::join!(flood, server.expect_healthy());
        assert_ne!(flooded, Flooded::Taken, "{name}");
        expect_little_growth(&server, before);
    }

    server.expect_clean_stop().await;
}

#[tokio::test]
async fn useless_frames_use_little_memory_and_delay_no_client() {
    let server = Server::start().await;
    let before = server.memory();
    let one_mib = 1024 * 1024;

    for (name, bytes) in [
        ("empty DATA", frame(DATA, 0, 1, b"")),
        ("padded DATA", frame(DATA, 8, 1, b"\0")),
        ("PRIORITY", frame(PRIORITY, 0, 3, &[0, 0, 0, 0, 1])),
        ("WINDOW_UPDATE", update(0, 1)),
        ("an unknown frame", frame(0xfe, 0, 0, b"")),
    ] {
        let mut http2 = Http2::open(&server).await;
        http2.send(post(1, "/token/")).await;
        let flood = async { http2.flood(&bytes.repeat(100), 4 * one_mib).await };
        let (flooded, ()) = tokio::join!(flood, server.expect_healthy());
        assert_ne!(flooded, Flooded::Stuck, "{name}");
        expect_little_growth(&server, before);
    }

    server.expect_clean_stop().await;
}

#[tokio::test]
async fn client_with_a_zero_window_is_disconnected() {
    let settings = [("POSTERN_REQUEST_TIMEOUT", "1s"), ("POSTERN_MAX_CONNECTION_AGE", "1s")];
    let server = Server::start_with(&settings).await;
    let before = server.memory();

    let mut stalled = Vec::new();
    for _ in 0..20 {
        let mut http2 = Http2::open_with(&server, &[(4, 0)]).await;
        http2.send(streams(100).flat_map(|stream| get(stream, "/openapi.json")).collect::<Vec<_>>()).await;
        stalled.push(http2);
    }

    server.expect_healthy().await;
    expect_little_growth(&server, before);
    for http2 in &mut stalled {
        let frames = http2.until_closed().await;
        assert!(frames.iter().all(|frame| frame.kind != DATA || frame.payload.is_empty()), "no DATA in a window of 0");
    }
    server.expect_clean_stop().await;
}

#[tokio::test]
async fn http2_client_silent_within_a_frame_is_disconnected() {
    let server = Server::start_with(&[("POSTERN_REQUEST_TIMEOUT", "1s"), ("POSTERN_IDLE_TIMEOUT", "1s")]).await;
    let head = block(&request("GET", "/healthz"));

    let mut closed = JoinSet::new();
    for (name, sent) in [
        ("within a block of headers", frame(HEADERS, END_STREAM, 3, &head)),
        ("within a frame", frame(HEADERS, WHOLE, 3, &head)[..20].to_vec()),
        ("within the length of a frame", vec![0]),
    ] {
        let mut http2 = Http2::open(&server).await;
        http2.send(get(1, "/healthz")).await;
        assert_eq!(http2.outcome(1).await, Outcome::Responded(200));
        closed.spawn(async move {
            http2.send(sent).await;
            (name, timeout(IN_TIME, http2.until_closed()).await.is_ok())
        });
    }
    let closed = closed.join_all().await;

    let open: Vec<_> = closed.iter().filter(|(_, is_closed)| !is_closed).map(|(name, _)| name).collect();
    assert!(open.is_empty(), "{open:?}");
    server.expect_clean_stop().await;
}
