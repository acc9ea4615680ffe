//! Request heads that are malformed, unusual or too large.

use crate::{
    client::{Responses, get},
    server::Server,
};

/// Name, allowed statuses and bytes of a malformed head. The connection closes after the response.
struct Malformed(&'static str, &'static [u16], &'static str);

const BAD: &[u16] = &[400];
const TOO_LARGE: &[u16] = &[414, 431];

#[rustfmt::skip]
const MALFORMED: &[Malformed] = &[
    Malformed("HTTP/0.9", BAD, "GET /healthz\r\n\r\n"),
    Malformed("HTTP/1.2", &[400, 505], "GET /healthz HTTP/1.2\r\nHost: x\r\n\r\n"),
    Malformed("HTTP/2.0 as text", &[400, 505], "GET /healthz HTTP/2.0\r\nHost: x\r\n\r\n"),
    Malformed("HTTP/1.10", BAD, "GET /healthz HTTP/1.10\r\nHost: x\r\n\r\n"),
    Malformed("HTTP/01.1", BAD, "GET /healthz HTTP/01.1\r\nHost: x\r\n\r\n"),
    Malformed("a small http", BAD, "GET /healthz http/1.1\r\nHost: x\r\n\r\n"),
    Malformed("a word after the version", BAD, "GET /healthz HTTP/1.1 HTTP/1.1\r\nHost: x\r\n\r\n"),
    Malformed("a misspelt HTTP/2 preface", BAD, "PRI * HTTP/2.0\r\n\r\nSN\r\n\r\n"),
    Malformed("TLS", BAD, "\x16\x03\x01\0\u{5}\x01\0\0\x01\r\n\r\n"),

    Malformed("no method", BAD, " /healthz HTTP/1.1\r\nHost: x\r\n\r\n"),
    Malformed("NUL in a method", BAD, "GE\0T /healthz HTTP/1.1\r\nHost: x\r\n\r\n"),
    Malformed("a parenthesis in a method", BAD, "G(T /healthz HTTP/1.1\r\nHost: x\r\n\r\n"),
    Malformed("a colon in a method", BAD, "GET: /healthz HTTP/1.1\r\nHost: x\r\n\r\n"),
    Malformed("two spaces", BAD, "GET  /healthz HTTP/1.1\r\nHost: x\r\n\r\n"),
    Malformed("a tab for a space", BAD, "GET\t/healthz\tHTTP/1.1\r\nHost: x\r\n\r\n"),
    Malformed("a space in a target", BAD, "GET /heal thz HTTP/1.1\r\nHost: x\r\n\r\n"),
    Malformed("NUL in a target", BAD, "GET /healthz\0 HTTP/1.1\r\nHost: x\r\n\r\n"),
    Malformed("DEL in a target", BAD, "GET /healthz\x7f HTTP/1.1\r\nHost: x\r\n\r\n"),
    Malformed("CR in a target", BAD, "GET /healthz\rX: y HTTP/1.1\r\nHost: x\r\n\r\n"),
    Malformed("no target", BAD, "GET HTTP/1.1\r\nHost: x\r\n\r\n"),
    Malformed("a target without its slash", &[400, 404], "GET healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),

    Malformed("no host", BAD, "GET /healthz HTTP/1.1\r\n\r\n"),
    Malformed("two hosts", BAD, "GET /healthz HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n"),
    Malformed("two different hosts", BAD, "GET /healthz HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n"),
    Malformed("two hosts in HTTP/1.0", BAD, "GET /healthz HTTP/1.0\r\nHost: x\r\nHost: y\r\n\r\n"),
    Malformed("a host list", BAD, "GET /healthz HTTP/1.1\r\nHost: x, y\r\n\r\n"),
    Malformed("a host with a space", BAD, "GET /healthz HTTP/1.1\r\nHost: x y\r\n\r\n"),
    Malformed("a host with a path", BAD, "GET /healthz HTTP/1.1\r\nHost: x/y\r\n\r\n"),
    Malformed("a host with a user", BAD, "GET /healthz HTTP/1.1\r\nHost: u@x\r\n\r\n"),
    Malformed("a host with a wrong port", BAD, "GET /healthz HTTP/1.1\r\nHost: x:y\r\n\r\n"),

    Malformed("a header without its name", BAD, "GET /healthz HTTP/1.1\r\nHost: x\r\n: y\r\n\r\n"),
    Malformed("a header without a colon", BAD, "GET /healthz HTTP/1.1\r\nHost: x\r\nfoo\r\n\r\n"),
    Malformed("a space in a name", BAD, "GET /healthz HTTP/1.1\r\nHost: x\r\nfo o: y\r\n\r\n"),
    Malformed("a space before a colon", BAD, "GET /healthz HTTP/1.1\r\nHost : x\r\n\r\n"),
    Malformed("a space before the first name", BAD, "GET /healthz HTTP/1.1\r\n Host: x\r\n\r\n"),
    Malformed("a folded value", BAD, "GET /healthz HTTP/1.1\r\nHost: x\r\nX: y\r\n z\r\n\r\n"),
    Malformed("a parenthesis in a name", BAD, "GET /healthz HTTP/1.1\r\nHost: x\r\nfo(o: y\r\n\r\n"),
    Malformed("a name in another script", BAD, "GET /healthz HTTP/1.1\r\nHost: x\r\nf\u{f6}: y\r\n\r\n"),
    Malformed("NUL in a name", BAD, "GET /healthz HTTP/1.1\r\nHost: x\r\nf\0o: y\r\n\r\n"),
    Malformed("NUL in a value", BAD, "GET /healthz HTTP/1.1\r\nHost: x\r\nfoo: y\0z\r\n\r\n"),
    Malformed("a control character in a value", BAD, "GET /healthz HTTP/1.1\r\nHost: x\r\nfoo: y\x01z\r\n\r\n"),
    Malformed("DEL in a value", BAD, "GET /healthz HTTP/1.1\r\nHost: x\r\nfoo: y\x7fz\r\n\r\n"),
    Malformed("CR in a value", BAD, "GET /healthz HTTP/1.1\r\nHost: x\r\nfoo: y\rz\r\n\r\n"),
    Malformed("CR for every line end", BAD, "GET /healthz HTTP/1.1\rHost: x\r\r\n\r\n"),
];

/// Sends a request with a victim's request right behind it.
async fn sent(server: &Server, request: &str) -> Responses {
    let mut connection = server.connect().await;
    connection.send(request.to_owned() + &get("/healthz", "victim")).await;
    connection.until_closed().await
}

#[tokio::test]
async fn malformed_head_is_refused_and_closes_the_connection() {
    let server = Server::start().await;
    let mut faults = Vec::new();

    for Malformed(name, allowed, head) in MALFORMED {
        let responses = sent(&server, head).await;
        let is_refused = matches!(responses.statuses()[..], [status] if allowed.contains(&status));
        if !is_refused || responses.ids() == ["victim"] {
            faults.push(format!("{name}: {:?} for {:?}", responses.statuses(), responses.ids()));
        }
    }

    assert_eq!(faults, Vec::<String>::new(), "{faults:#?}");
    server.expect_clean_stop().await;
}

#[tokio::test]
async fn large_head_is_refused_and_closes_the_connection() {
    let server = Server::start().await;
    let line = "GET /healthz HTTP/1.1\r\nHost: x\r\n";
    let large = "x".repeat(33 * 1024);

    for head in [
        format!("GET /{large} HTTP/1.1\r\nHost: x\r\n\r\n"),
        format!("GET /healthz?{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(70_000)),
        format!("{large} /healthz HTTP/1.1\r\nHost: x\r\n\r\n"),
        format!("{line}X: {large}\r\n\r\n"),
        format!("{line}{large}: x\r\n\r\n"),
        format!("{line}{}\r\n", format!("X: {}\r\n", "x".repeat(1000)).repeat(33)),
        // One header over the limit, `Host` included.
        format!("{line}{}\r\n", "X: y\r\n".repeat(64)),
        format!("{line}{}\r\n", ":\r\n".repeat(10_000)),
    ] {
        let responses = sent(&server, &head).await;
        let is_refused = matches!(responses.statuses()[..], [status] if TOO_LARGE.contains(&status) || status == 400);
        assert!(is_refused && responses.ids() != ["victim"], "{}...: {responses:?}", &head[..60]);
    }

    let most = format!("{line}X-Request-Id: most\r\n{}\r\n", "X: y\r\n".repeat(62));
    assert_eq!(sent(&server, &most).await.ids(), ["most", "victim"]);
    server.expect_clean_stop().await;
}

#[tokio::test]
async fn unusual_head_is_served() {
    let server = Server::start().await;

    for (status, head) in [
        (200, "GET http://postern.test/healthz HTTP/1.1\r\nHost: postern.test\r\n"),
        (200, "GET HTTP://other.test:80/healthz HTTP/1.1\r\nHost: postern.test\r\n"),
        (200, "\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n"),
        (200, "GET /healthz HTTP/1.1\r\nHost:\r\n"),
        (200, "GET /healthz HTTP/1.1\r\nHost: [::1]:8000\r\n"),
        (200, "GET /healthz HTTP/1.1\r\nHost: x\r\nX: \t y\u{f6}\t \r\n"),
        (200, "GET /healthz HTTP/1.1\r\nHost: x\r\nExpect: 200-ok\r\n"),
        (200, "GET /healthz HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"),
        (
            200,
            "GET /healthz HTTP/1.1\r\nHost: x\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk\r\n",
        ),
        (405, "get /healthz HTTP/1.1\r\nHost: x\r\n"),
        (405, "PURGE /healthz HTTP/1.1\r\nHost: x\r\n"),
        (405, "TRACE /healthz HTTP/1.1\r\nHost: x\r\n"),
        (404, "OPTIONS * HTTP/1.1\r\nHost: x\r\n"),
        (404, "GET /healthz%00 HTTP/1.1\r\nHost: x\r\n"),
        (404, "GET /../healthz HTTP/1.1\r\nHost: x\r\n"),
        (404, "GET //healthz HTTP/1.1\r\nHost: x\r\n"),
    ] {
        let responses = sent(&server, &format!("{head}X-Request-Id: odd\r\n\r\n")).await;
        assert_eq!(responses.ids(), ["odd", "victim"], "{head}");
        assert_eq!(responses.statuses(), [status, 200], "{head}");
    }

    server.expect_clean_stop().await;
}

#[tokio::test]
async fn connect_opens_no_tunnel() {
    let server = Server::start().await;

    for target in ["127.0.0.1:22", "/healthz", "/verify/", "http://127.0.0.1:22/"] {
        let responses = sent(&server, &format!("CONNECT {target} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
        assert_eq!(responses.statuses()[0], 400, "{target}: {responses:?}");
    }

    server.expect_clean_stop().await;
}

#[tokio::test]
async fn pipelined_requests_get_one_response_each_in_order() {
    let server = Server::start().await;
    let ids: Vec<_> = (0..200).map(|number| format!("number-{number}")).collect();
    let paths = ["/healthz", "/nowhere", "/profile/", "/openapi.json"].iter().cycle();
    let requests = ids.iter().zip(paths).map(|(id, path)| get(path, id).replace("Connection: close\r\n", ""));

    let responses = sent(&server, &requests.collect::<String>()).await;

    assert_eq!(responses.ids()[..200], ids);
    assert_eq!(responses.ids()[200..], ["victim"]);
    assert_eq!(responses.statuses()[..4], [200, 404, 401, 200]);
    server.expect_clean_stop().await;
}

#[tokio::test]
async fn garbage_after_a_body_closes_the_connection() {
    let server = Server::start().await;
    let head = "POST /token/ HTTP/1.1\r\nHost: x\r\nX-Request-Id: first\r\nContent-Type: application/json\r\n";

    let responses = sent(&server, &format!("{head}Content-Length: 2\r\n\r\n{{}}garbage\0\r\n\r\n")).await;

    assert_eq!(responses.statuses(), [400, 400]);
    assert_eq!(responses.ids()[0], "first");
    assert_ne!(responses.ids()[1], "victim");
    server.expect_clean_stop().await;
}

#[tokio::test]
async fn client_that_expects_100_continue_gets_it() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    let head = "POST /token/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
                Expect: 100-continue\r\nContent-Length: 2\r\nConnection: close\r\n\r\n";
    connection.send(head).await;

    let interim = connection.exactly(b"HTTP/1.1 100 Continue\r\n\r\n".len()).await;
    connection.send("{}").await;

    assert_eq!(interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(connection.until_closed().await.only().status, 400);
    server.expect_clean_stop().await;
}
