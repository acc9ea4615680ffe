//! Heads that are broken, odd, or too large.

use crate::{
    client::{Answers, get},
    server::Server,
};

/// A head that is no request, and the statuses that tell so; nothing after it on its connection is heard.
struct Broken(&'static str, &'static [u16], &'static str);

const BAD: &[u16] = &[400];
const TOO_LARGE: &[u16] = &[414, 431];

#[rustfmt::skip]
const BROKEN: &[Broken] = &[
    Broken("HTTP/0.9", BAD, "GET /healthz\r\n\r\n"),
    Broken("HTTP/1.2", &[400, 505], "GET /healthz HTTP/1.2\r\nHost: x\r\n\r\n"),
    Broken("HTTP/2.0 as text", &[400, 505], "GET /healthz HTTP/2.0\r\nHost: x\r\n\r\n"),
    Broken("HTTP/1.10", BAD, "GET /healthz HTTP/1.10\r\nHost: x\r\n\r\n"),
    Broken("HTTP/01.1", BAD, "GET /healthz HTTP/01.1\r\nHost: x\r\n\r\n"),
    Broken("a small http", BAD, "GET /healthz http/1.1\r\nHost: x\r\n\r\n"),
    Broken("a word after the version", BAD, "GET /healthz HTTP/1.1 HTTP/1.1\r\nHost: x\r\n\r\n"),
    Broken("the preface of HTTP/2, misspelt", BAD, "PRI * HTTP/2.0\r\n\r\nSN\r\n\r\n"),
    Broken("TLS", BAD, "\x16\x03\x01\0\u{5}\x01\0\0\x01\r\n\r\n"),

    Broken("no method", BAD, " /healthz HTTP/1.1\r\nHost: x\r\n\r\n"),
    Broken("NUL in a method", BAD, "GE\0T /healthz HTTP/1.1\r\nHost: x\r\n\r\n"),
    Broken("a parenthesis in a method", BAD, "G(T /healthz HTTP/1.1\r\nHost: x\r\n\r\n"),
    Broken("a colon in a method", BAD, "GET: /healthz HTTP/1.1\r\nHost: x\r\n\r\n"),
    Broken("two spaces", BAD, "GET  /healthz HTTP/1.1\r\nHost: x\r\n\r\n"),
    Broken("a tab for a space", BAD, "GET\t/healthz\tHTTP/1.1\r\nHost: x\r\n\r\n"),
    Broken("a space in a target", BAD, "GET /heal thz HTTP/1.1\r\nHost: x\r\n\r\n"),
    Broken("NUL in a target", BAD, "GET /healthz\0 HTTP/1.1\r\nHost: x\r\n\r\n"),
    Broken("DEL in a target", BAD, "GET /healthz\x7f HTTP/1.1\r\nHost: x\r\n\r\n"),
    Broken("CR in a target", BAD, "GET /healthz\rX: y HTTP/1.1\r\nHost: x\r\n\r\n"),
    Broken("no target", BAD, "GET HTTP/1.1\r\nHost: x\r\n\r\n"),
    Broken("a target without its slash", &[400, 404], "GET healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),

    Broken("no host", BAD, "GET /healthz HTTP/1.1\r\n\r\n"),
    Broken("two hosts", BAD, "GET /healthz HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n"),
    Broken("two different hosts", BAD, "GET /healthz HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n"),
    Broken("two hosts in HTTP/1.0", BAD, "GET /healthz HTTP/1.0\r\nHost: x\r\nHost: y\r\n\r\n"),
    Broken("a host list", BAD, "GET /healthz HTTP/1.1\r\nHost: x, y\r\n\r\n"),
    Broken("a host with a space", BAD, "GET /healthz HTTP/1.1\r\nHost: x y\r\n\r\n"),
    Broken("a host with a path", BAD, "GET /healthz HTTP/1.1\r\nHost: x/y\r\n\r\n"),
    Broken("a host with a user", BAD, "GET /healthz HTTP/1.1\r\nHost: u@x\r\n\r\n"),
    Broken("a host with a wrong port", BAD, "GET /healthz HTTP/1.1\r\nHost: x:y\r\n\r\n"),

    Broken("a header without its name", BAD, "GET /healthz HTTP/1.1\r\nHost: x\r\n: y\r\n\r\n"),
    Broken("a header without a colon", BAD, "GET /healthz HTTP/1.1\r\nHost: x\r\nfoo\r\n\r\n"),
    Broken("a space in a name", BAD, "GET /healthz HTTP/1.1\r\nHost: x\r\nfo o: y\r\n\r\n"),
    Broken("a space before a colon", BAD, "GET /healthz HTTP/1.1\r\nHost : x\r\n\r\n"),
    Broken("a space before the first name", BAD, "GET /healthz HTTP/1.1\r\n Host: x\r\n\r\n"),
    Broken("a folded value", BAD, "GET /healthz HTTP/1.1\r\nHost: x\r\nX: y\r\n z\r\n\r\n"),
    Broken("a parenthesis in a name", BAD, "GET /healthz HTTP/1.1\r\nHost: x\r\nfo(o: y\r\n\r\n"),
    Broken("a name in another script", BAD, "GET /healthz HTTP/1.1\r\nHost: x\r\nf\u{f6}: y\r\n\r\n"),
    Broken("NUL in a name", BAD, "GET /healthz HTTP/1.1\r\nHost: x\r\nf\0o: y\r\n\r\n"),
    Broken("NUL in a value", BAD, "GET /healthz HTTP/1.1\r\nHost: x\r\nfoo: y\0z\r\n\r\n"),
    Broken("a control character in a value", BAD, "GET /healthz HTTP/1.1\r\nHost: x\r\nfoo: y\x01z\r\n\r\n"),
    Broken("DEL in a value", BAD, "GET /healthz HTTP/1.1\r\nHost: x\r\nfoo: y\x7fz\r\n\r\n"),
    Broken("CR in a value", BAD, "GET /healthz HTTP/1.1\r\nHost: x\r\nfoo: y\rz\r\n\r\n"),
    Broken("CR for every line end", BAD, "GET /healthz HTTP/1.1\rHost: x\r\r\n\r\n"),
];

/// Sends a request, and a victim's right behind it.
async fn sent(server: &Server, request: &str) -> Answers {
    let mut connection = server.connect().await;
    connection.send(request.to_owned() + &get("/healthz", "victim")).await;
    connection.until_closed().await
}

#[tokio::test]
async fn a_broken_head_is_refused_once_and_ends_its_connection() {
    let server = Server::start().await;
    let mut faults = Vec::new();

    for Broken(name, allowed, head) in BROKEN {
        let answers = sent(&server, head).await;
        let is_refused = matches!(answers.statuses()[..], [status] if allowed.contains(&status));
        if !is_refused || answers.ids() == ["victim"] {
            faults.push(format!("{name}: {:?} for {:?}", answers.statuses(), answers.ids()));
        }
    }

    assert_eq!(faults, Vec::<String>::new(), "{faults:#?}");
    server.survives().await;
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused_once_and_ends_its_connection() {
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
        // With that of the host, one more than there may be.
        format!("{line}{}\r\n", "X: y\r\n".repeat(64)),
        format!("{line}{}\r\n", ":\r\n".repeat(10_000)),
    ] {
        let answers = sent(&server, &head).await;
        let is_refused = matches!(answers.statuses()[..], [status] if TOO_LARGE.contains(&status) || status == 400);
        assert!(is_refused && answers.ids() != ["victim"], "{}...: {answers:?}", &head[..60]);
    }

    let most = format!("{line}X-Request-Id: most\r\n{}\r\n", "X: y\r\n".repeat(62));
    assert_eq!(sent(&server, &most).await.ids(), ["most", "victim"]);
    server.survives().await;
}

#[tokio::test]
async fn an_odd_head_is_a_request_like_any_other() {
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
        let answers = sent(&server, &format!("{head}X-Request-Id: odd\r\n\r\n")).await;
        assert_eq!(answers.ids(), ["odd", "victim"], "{head}");
        assert_eq!(answers.statuses(), [status, 200], "{head}");
    }

    server.survives().await;
}

#[tokio::test]
async fn a_tunnel_is_never_opened() {
    let server = Server::start().await;

    for target in ["127.0.0.1:22", "/healthz", "http://127.0.0.1:22/"] {
        let answers = sent(&server, &format!("CONNECT {target} HTTP/1.1\r\nHost: x\r\n\r\n")).await;
        assert!(answers.statuses()[0] >= 400, "{target}: {answers:?}");
    }

    server.survives().await;
}

#[tokio::test]
async fn requests_sent_all_at_once_are_answered_once_each_and_in_their_order() {
    let server = Server::start().await;
    let ids: Vec<_> = (0..200).map(|number| format!("number-{number}")).collect();
    let paths = ["/healthz", "/nowhere", "/profile/", "/openapi.json"].iter().cycle();
    let requests = ids.iter().zip(paths).map(|(id, path)| get(path, id).replace("Connection: close\r\n", ""));

    let answers = sent(&server, &requests.collect::<String>()).await;

    assert_eq!(answers.ids()[..200], ids);
    assert_eq!(answers.ids()[200..], ["victim"]);
    assert_eq!(answers.statuses()[..4], [200, 404, 401, 200]);
    server.survives().await;
}

#[tokio::test]
async fn what_follows_a_body_and_is_no_request_ends_the_connection() {
    let server = Server::start().await;
    let head = "POST /token/ HTTP/1.1\r\nHost: x\r\nX-Request-Id: first\r\nContent-Type: application/json\r\n";

    let answers = sent(&server, &format!("{head}Content-Length: 2\r\n\r\n{{}}garbage\0\r\n\r\n")).await;

    assert_eq!(answers.statuses(), [400, 400]);
    assert_eq!(answers.ids()[0], "first");
    assert_ne!(answers.ids()[1], "victim");
    server.survives().await;
}

#[tokio::test]
async fn a_body_is_asked_for_where_its_client_waits_for_that() {
    let server = Server::start().await;
    let mut connection = server.connect().await;
    let head = "POST /token/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\
                Expect: 100-continue\r\nContent-Length: 2\r\nConnection: close\r\n\r\n";
    connection.send(head).await;

    let asked = connection.exactly(b"HTTP/1.1 100 Continue\r\n\r\n".len()).await;
    connection.send("{}").await;

    assert_eq!(asked, b"HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(connection.until_closed().await.only().status, 400);
    server.survives().await;
}
