//! Limits of connections in time and number, and the requests that are accepted from them.

use std::time::Duration;

use postern::server::ConnectionTimeouts;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use super::Service;
use crate::support::{
    ATTACKER, LONG, Settings, refuses_connections, send_head, until, until_closed, until_end, within,
};

/// A limit that a test exceeds.
pub const SHORT: Duration = Duration::from_millis(200);

/// A limit that a test keeps at first, and then exceeds.
pub const LATE: Duration = Duration::from_secs(2);

/// No limits in time.
pub const ENDLESS: ConnectionTimeouts = ConnectionTimeouts {
    first_byte: Duration::from_hours(1),
    head: Duration::from_hours(1),
    idle: Duration::from_hours(1),
    request: Duration::from_hours(1),
    closing_idle: Duration::from_hours(1),
    linger: Duration::from_hours(1),
};

pub const HEALTH: &str = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

pub async fn with_timeouts(timeouts: ConnectionTimeouts) -> Service {
    Service::start_with(Settings { timeouts: Some(timeouts), ..Settings::default() }).await
}

/// Starts a service with this many connection slots, and no limits in time.
async fn with_slots(connections: usize) -> Service {
    Service::start_with(Settings { timeouts: Some(ENDLESS), connections, ..Settings::default() }).await
}

pub async fn sent(service: &Service, bytes: impl AsRef<[u8]>) -> TcpStream {
    let mut stream = service.connection().await;
    stream.write_all(bytes.as_ref()).await.expect("the server takes it");
    stream
}

/// Reads a response of `GET /healthz`, and nothing of what follows.
pub async fn healthy(stream: &mut TcpStream) -> String {
    let response = until(stream, "{\"status\":\"ok\"}").await;
    assert!(response.starts_with("HTTP/1.1 200 "), "{response}");
    response
}

/// Opens a connection on which the server has read the head of a login, and waits for the body.
async fn with_login_in_flight(service: &Service, body: &str) -> TcpStream {
    let mut stream = service.connection().await;
    send_head(&mut stream, "/token/", "Connection: close\r\n", body.len()).await;
    stream
}

fn login() -> String {
    json!({"email": "ada@example.org", "password": "x"}).to_string()
}

/// There is one response: an error with this status and code.
#[track_caller]
fn expect_error(responses: &str, status: u16, code: &str) {
    assert!(responses.starts_with(&format!("HTTP/1.1 {status} ")), "{responses:?}");
    assert!(responses.contains(&format!("\"code\":\"{code}\"")), "{responses:?}");
    assert!(responses.contains("connection: close\r\n") && responses.contains("x-request-id: "), "{responses:?}");
    assert_eq!(responses.matches("HTTP/1.1 ").count(), 1, "{responses:?}");
}

/// The one response is an error of hyper's, without a body.
#[track_caller]
fn expect_bare_error(responses: &str, status: u16) {
    assert!(responses.starts_with(&format!("HTTP/1.1 {status} ")), "{responses:?}");
    assert!(responses.contains("connection: close\r\n") && responses.ends_with("\r\n\r\n"), "{responses:?}");
    assert_eq!(responses.matches("HTTP/1.1 ").count(), 1, "{responses:?}");
}

#[tokio::test]
async fn silent_connection_is_closed() {
    let service = with_timeouts(ConnectionTimeouts { first_byte: SHORT, ..ENDLESS }).await;

    let mut silent = service.connection().await;

    assert_eq!(until_closed(&mut silent).await, "");
}

#[tokio::test]
async fn slow_request_head_closes_the_connection() {
    let service = with_timeouts(ConnectionTimeouts { head: SHORT, ..ENDLESS }).await;
    for start in ["G", "GET / HTTP/1.1\r\nHost: x\r\n", "GET / HTTP/1.1\r\nHost: x\r\n\r"] {
        let mut slow = sent(&service, start).await;
        assert_eq!(until_closed(&mut slow).await, "", "{start:?}");
    }

    let mut slow = sent(&service, HEALTH).await;
    healthy(&mut slow).await;
    slow.write_all(b"GET /").await.expect("it is open");
    assert_eq!(until_closed(&mut slow).await, "");
}

#[tokio::test]
async fn idle_connection_has_another_deadline_than_a_request_head() {
    let service = with_timeouts(ConnectionTimeouts { first_byte: LATE, head: LATE, ..ENDLESS }).await;
    let mut idle = sent(&service, HEALTH).await;
    healthy(&mut idle).await;

    assert!(timeout(2 * LATE, idle.read_u8()).await.is_err(), "it is not closed");

    idle.write_all(HEALTH.as_bytes()).await.expect("it is open");
    healthy(&mut idle).await;
}

#[tokio::test]
async fn idle_connection_is_closed_without_a_response() {
    let service = with_timeouts(ConnectionTimeouts { idle: LATE, ..ENDLESS }).await;
    let mut idle = sent(&service, HEALTH).await;
    healthy(&mut idle).await;

    assert_eq!(until_closed(&mut idle).await, "");
}

#[tokio::test]
async fn unread_body_ends_the_connection() {
    let service = with_timeouts(ConnectionTimeouts { linger: SHORT, ..ENDLESS }).await;

    for head in ["GET /healthz", "GET /nowhere", "GET /profile/", "PUT /token/"] {
        for length in ["Content-Length: 10\r\n\r\nx", "Transfer-Encoding: chunked\r\n\r\n1\r\n"] {
            let mut slow = sent(&service, format!("{head} HTTP/1.1\r\nHost: x\r\n{length}")).await;
            let response = until_closed(&mut slow).await;
            assert_eq!(response.matches("HTTP/1.1 ").count(), 1, "{head}: {response}");
        }
    }
}

#[tokio::test]
async fn response_is_complete_although_the_client_goes_on_sending() {
    let service = Service::start().await;
    let body = vec![b' '; 512 * 1024];
    let head = format!(
        "POST /token/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = sent(&service, head).await;

    // A client that reads nothing before it has sent everything. Without the linger, its second write would fail: the server
    // would have closed the connection with input unread, which resets it.
    let (first, second) = body.split_at(body.len() / 2);
    stream.write_all(first).await.expect("the server reads it");
    stream.readable().await.expect("a response");
    stream.write_all(second).await.expect("the server reads it");
    stream.shutdown().await.expect("the connection is open");

    expect_error(&until_end(&mut stream).await, 413, "too_large");
}

#[tokio::test]
async fn ambiguous_framing_closes_the_connection() {
    let service = Service::start().await;
    let sent = async |lengths: &str| {
        let head = format!("POST /token/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n{lengths}\r\n\r\n");
        service.raw(format!("{head}0\r\n\r\n{HEALTH}").as_bytes()).await
    };

    // hyper takes the chunked body, which is empty here, and closes the connection (RFC 9112, section 6.3).
    for lengths in
        ["Content-Length: 4\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nContent-Length: 4"]
    {
        expect_error(&sent(lengths).await, 400, "malformed_json");
    }
    for lengths in [
        "Content-Length: 4\r\nContent-Length: 5",
        "Content-Length: 4, 5",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: chunked, identity",
    ] {
        expect_bare_error(&sent(lengths).await, 400);
    }
    for lengths in ["Transfer-Encoding: gzip, chunked", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"] {
        expect_error(&sent(lengths).await, 400, "bad_request");
    }

    let refused = r#"postern_http_requests_total{method="POST",route="-",status="400"}"#;
    assert_eq!((service.metric(refused).await, service.store_calls()), (2, 0));
}

#[tokio::test]
async fn malformed_head_gets_a_bare_400_at_once() {
    let service = with_timeouts(ENDLESS).await;

    // Without the end of the head, which the server does not wait for.
    for start in [
        "GET /healthz\r\n",
        "GET /healthz HTTP/1.1\r\nHost: x\r\n folded\r\n",
        "GET /healthz HTTP/1.1\r\nHost : x\r\n",
        "GET /healthz HTTP/1.1\r\nX: \0\r\n",
        "GET /health\u{7f}z HTTP/1.1\r\n",
        "\u{16}\u{3}\u{1}",
    ] {
        let mut stream = sent(&service, start).await;
        expect_bare_error(&until_closed(&mut stream).await, 400);
    }
}

#[tokio::test]
async fn request_without_exactly_one_host_is_refused() {
    let service = with_timeouts(ENDLESS).await;

    for headers in ["", "Host: x\r\nHost: x\r\n", "Host: x/y\r\n"] {
        let mut stream = sent(&service, format!("GET /healthz HTTP/1.1\r\n{headers}\r\n{HEALTH}")).await;
        stream.shutdown().await.expect("the connection is open");
        expect_error(&until_closed(&mut stream).await, 400, "bad_request");
    }
}

#[tokio::test]
async fn large_head_gets_a_bare_431() {
    let service = with_timeouts(ENDLESS).await;
    let many = format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "X: y\r\n".repeat(100));
    let large = format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}", "y".repeat(32 * 1024));
    let long = format!("GET /{}", "x".repeat(32 * 1024));

    for head in [many, large, long] {
        let mut stream = sent(&service, head).await;
        stream.shutdown().await.expect("the connection is open");
        expect_bare_error(&until_closed(&mut stream).await, 431);
    }
}

#[tokio::test]
async fn request_before_a_malformed_head_is_served() {
    let service = with_timeouts(ConnectionTimeouts { linger: SHORT, ..ENDLESS }).await;

    let mut stream = sent(&service, format!("{HEALTH}GET / HTTP/1.2\r\n{HEALTH}")).await;

    healthy(&mut stream).await;
    expect_bare_error(&until_closed(&mut stream).await, 400);
}

#[tokio::test]
async fn http_1_0_client_is_answered() {
    let service = Service::start().await;

    let mut stream = sent(&service, "GET /healthz HTTP/1.0\r\n\r\n").await;

    let response = until_closed(&mut stream).await;
    assert!(response.starts_with("HTTP/1.0 200 "), "{response}");
}

#[tokio::test]
async fn chunked_body_ends_where_the_next_request_begins() {
    let service = Service::start().await;
    let body = login();
    let (first, second) = body.split_at(7);
    let request = format!(
        "\r\nPOST /token/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: Chunked\r\n\r\n\
         {:x};name=\"value\"\r\n{first}\r\n{:X}\r\n{second}\r\n0\r\nTrailer: x\r\n\r\n{HEALTH}",
        first.len(),
        second.len()
    );

    let mut stream = service.connection().await;
    stream.set_nodelay(true).expect("a socket");
    for byte in request.as_bytes() {
        stream.write_all(&[*byte]).await.expect("the server takes it");
    }

    let refused = until(&mut stream, "}").await;
    assert!(refused.starts_with("HTTP/1.1 401 ") && refused.contains("invalid_credentials"), "{refused}");
    healthy(&mut stream).await;
}

#[tokio::test]
async fn malformed_chunked_body_is_refused_and_ends_the_connection() {
    let service = Service::start().await;

    for body in
        ["1\n{\n0\n\n", "2 2\r\n{}\r\n0\r\n\r\n", "2\r\n{}0\r\n\r\n", "-2\r\n{}\r\n0\r\n\r\n", "2\r\n{}\r\n0\n\r\n"]
    {
        let head = "POST /token/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked";
        let responses = service.raw(format!("{head}\r\n\r\n{body}{HEALTH}").as_bytes()).await;
        assert!(responses.starts_with("HTTP/1.1 400 "), "{body:?}: {responses:?}");
        assert_eq!(responses.matches("HTTP/1.1 ").count(), 1, "{body:?}: {responses:?}");
    }
}

#[tokio::test]
async fn new_connection_evicts_the_longest_idle_one() {
    let service = with_slots(2).await;
    let (mut first, mut second) = (sent(&service, HEALTH).await, sent(&service, HEALTH).await);
    healthy(&mut second).await;
    healthy(&mut first).await;
    first.write_all(HEALTH.as_bytes()).await.expect("it is open");
    healthy(&mut first).await;

    let mut third = sent(&service, HEALTH).await;

    healthy(&mut third).await;
    assert_eq!(until_closed(&mut second).await, "", "it has idled longest");
    first.write_all(HEALTH.as_bytes()).await.expect("it is open");
    healthy(&mut first).await;
}

#[tokio::test]
async fn silent_connections_give_way_to_a_new_one() {
    let service = with_slots(10).await;
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(service.connection_from(ATTACKER).await);
    }

    within(LONG, "a response", service.get("/healthz").send()).await.expect(200);
}

#[tokio::test]
async fn slow_request_heads_give_way_to_a_new_connection() {
    let service = with_slots(10).await;
    let mut slow = Vec::new();
    for _ in 0..50 {
        let mut stream = service.connection_from(ATTACKER).await;
        // A client with a quarter of the slots is not accepted.
        let _ = stream.write_all(b"GET /healthz HTTP/1.1\r\n").await;
        slow.push(stream);
    }

    within(LONG, "a response", service.get("/healthz").send()).await.expect(200);
}

#[tokio::test]
async fn request_in_flight_keeps_its_slot() {
    let service = with_slots(1).await;
    let body = login();
    let mut busy = with_login_in_flight(&service, &body).await;

    let mut waiting = sent(&service, HEALTH).await;

    assert!(timeout(5 * SHORT, waiting.read_u8()).await.is_err(), "there is no free slot");
    service.operations("/livez").send().await.expect(200);
    busy.write_all(body.as_bytes()).await.expect("it is open");
    assert!(until_closed(&mut busy).await.starts_with("HTTP/1.1 401 "));
    healthy(&mut waiting).await;
}

#[tokio::test]
async fn request_that_arrives_during_the_stop_is_answered() {
    let service = Service::start().await;
    let mut stream = sent(&service, HEALTH).await;
    healthy(&mut stream).await;
    let (start, end) = HEALTH.split_at(20);
    stream.write_all(start.as_bytes()).await.expect("it is open");
    // When another request has been answered, this one has arrived.
    service.get("/healthz").send().await.expect(200);

    service.stop();
    refuses_connections(stream.peer_addr().expect("an address")).await;
    stream.write_all(end.as_bytes()).await.expect("it is open");

    healthy(&mut stream).await;
    assert_eq!(until_closed(&mut stream).await, "");
}
