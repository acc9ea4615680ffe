//! One request over HTTP/1.1 and HTTP/2: both respond alike, up to the limits of a request and with unusual targets.

use serde_json::json;

use crate::{
    client::{Connection, Responses, get},
    http2::{DATA, END_HEADERS, END_STREAM, Http2, Outcome, WHOLE, block, frame, headers, text},
    server::{EMAIL, Server},
    support::PASSWORD,
};

const KIB: usize = 1024;

/// The most bytes of a head, over HTTP/1.1.
const MAX_HEAD_BYTES: usize = 32 * KIB;

/// The listener that a request is sent to.
#[derive(Debug, Clone, Copy)]
enum Listener {
    Public,
    Operations,
}

impl Listener {
    async fn connect(self, server: &Server) -> Connection {
        match self {
            Self::Public => server.connect().await,
            Self::Operations => server.connect_to_operations().await,
        }
    }
}

/// A request without a body.
struct Request {
    method: &'static str,
    target: String,
    headers: Vec<(String, String)>,
    /// One header over HTTP/1.1, and one header each over HTTP/2.
    cookies: Vec<String>,
}

impl Request {
    fn to(target: impl Into<String>) -> Self {
        Self { method: "GET", target: target.into(), headers: Vec::new(), cookies: Vec::new() }
    }

    fn with(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    fn with_headers(self, count: usize) -> Self {
        (0..count).fold(self, |request, number| request.with(format!("x-{number}"), "y"))
    }

    fn with_cookies(mut self, count: usize, value: &str) -> Self {
        self.cookies.extend((0..count).map(|number| format!("c{number}={value}")));
        self
    }

    fn http1(&self) -> String {
        let mut lines = vec![format!("{} {} HTTP/1.1", self.method, self.target), "host: postern.test".to_owned()];
        lines.extend(self.headers.iter().map(|(name, value)| format!("{name}: {value}")));
        if !self.cookies.is_empty() {
            lines.push(format!("cookie: {}", self.cookies.join("; ")));
        }
        lines.join("\r\n") + "\r\n\r\n"
    }

    fn http2(&self) -> Vec<u8> {
        let pseudo = [
            (":method", self.method),
            (":scheme", "http"),
            (":authority", "postern.test"),
            (":path", self.target.as_str()),
        ];
        let headers = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let cookies = self.cookies.iter().map(|cookie| ("cookie", cookie.as_str()));
        block(&pseudo.into_iter().chain(headers).chain(cookies).collect::<Vec<_>>())
    }

    /// Returns the statuses over HTTP/1.1 and over HTTP/2.
    async fn statuses(&self, server: &Server, listener: Listener) -> (u16, Outcome) {
        let mut http1 = listener.connect(server).await;
        // The next request ends the connection, unless this one has.
        http1.send(self.http1() + &get("/healthz", "next")).await;
        let status = http1.until_closed().await.statuses()[0];
        let mut http2 = Http2::on(listener.connect(server).await, &[]).await;
        http2.send(headers(WHOLE, 1, &self.http2())).await;
        (status, http2.outcome(1).await)
    }
}

/// Sends each request to the public listener by both protocols, and asserts that both respond with its status.
async fn expect_alike(cases: Vec<(&str, u16, Request)>) {
    let server = Server::start().await;
    let mut faults = Vec::new();
    for (name, status, request) in cases {
        let statuses = request.statuses(&server, Listener::Public).await;
        if statuses != (status, Outcome::Responded(status)) {
            faults.push(format!("{name}: {statuses:?} instead of {status}"));
        }
    }
    assert_eq!(faults, Vec::<String>::new(), "{faults:#?}");
    server.expect_clean_stop().await;
}

#[tokio::test]
async fn cookies_count_as_one_header_over_both_protocols() {
    let verify = || Request::to("/verify/");
    expect_alike(vec![
        ("80 short cookies", 401, verify().with_cookies(80, "v")),
        ("180 cookies, as many as a browser keeps", 401, verify().with_cookies(180, &"v".repeat(100))),
        ("400 short cookies", 401, verify().with_cookies(400, "v")),
        ("a long cookie", 401, verify().with_cookies(1, &"v".repeat(30 * KIB))),
        ("two long cookies", 401, verify().with_cookies(2, &"v".repeat(15 * KIB))),
        ("too long a cookie", 431, verify().with_cookies(1, &"v".repeat(32 * KIB))),
        ("cookies that are too long together", 431, verify().with_cookies(180, &"v".repeat(200))),
        ("cookies and the most headers", 401, verify().with_headers(62).with_cookies(80, "v")),
        ("cookies and one header more", 431, verify().with_headers(63).with_cookies(80, "v")),
        ("one cookie and one header more", 431, verify().with_headers(63).with_cookies(1, "v")),
    ])
    .await;
}

#[tokio::test]
async fn limits_of_a_head_are_the_same_over_both_protocols() {
    let verify = || Request::to("/verify/");
    let long = |bytes: usize| "x".repeat(bytes);
    expect_alike(vec![
        ("the most headers", 401, verify().with_headers(63)),
        ("one header more", 431, verify().with_headers(64)),
        ("many more headers", 431, verify().with_headers(90)),
        ("a long target", 401, Request::to(format!("/verify/{}", long(30 * KIB)))),
        ("a long query", 401, Request::to(format!("/verify/?{}", long(30 * KIB)))),
        ("too long a target", 431, Request::to(format!("/verify/{}", long(32 * KIB)))),
        ("a long target elsewhere", 404, Request::to(format!("/{}", long(30 * KIB)))),
        ("a long value", 401, verify().with("x", long(30 * KIB))),
        ("too long a value", 431, verify().with("x", long(32 * KIB))),
        ("a long name", 401, verify().with(long(30 * KIB), "x")),
        ("too long a name", 431, verify().with(long(32 * KIB), "x")),
        ("values that are too long together", 431, (0..40).fold(verify(), |all, _| all.with("x", long(KIB)))),
    ])
    .await;
}

#[tokio::test]
async fn largest_head_has_32_kib_over_both_protocols() {
    // As many headers and cookies as fit, so that the overhead of HTTP/2 is the largest.
    let head =
        |padding: usize| Request::to("/verify/").with_headers(61).with_cookies(110, "v").with("x", "y".repeat(padding));
    let padding = MAX_HEAD_BYTES - head(0).http1().len();
    assert_eq!(head(padding).http1().len(), MAX_HEAD_BYTES);

    expect_alike(vec![("32 KiB", 401, head(padding)), ("a byte more", 431, head(padding + 1))]).await;
}

#[tokio::test]
async fn repeated_cookie_lines_of_http1_count_as_one_header() {
    let server = Server::start().await;
    let with_lines =
        |count: usize| format!("GET /verify/ HTTP/1.1\r\nHost: x\r\n{}\r\n", "Cookie: a=b\r\n".repeat(count));

    for (count, status) in [(90, 401), (100, 431)] {
        let mut connection = server.connect().await;
        connection.send(with_lines(count) + &get("/healthz", "next")).await;
        assert_eq!(connection.until_closed().await.statuses()[0], status, "{count} lines");
    }

    server.expect_clean_stop().await;
}

#[tokio::test]
async fn error_of_a_large_head_names_the_limits_and_closes() {
    let server = Server::start().await;
    let mut connection = server.connect().await;

    connection.send(Request::to("/verify/").with_headers(64).http1() + &get("/healthz", "next")).await;

    let response = connection.until_closed().await.only();
    assert_eq!(response.status, 431);
    assert!(response.body.contains("head_too_large") && response.body.contains("64 headers"), "{response:?}");
    assert!(!response.id.is_empty());
    server.expect_clean_stop().await;
}

/// Targets that browsers or proxies send below `/verify/`. Browsers encode the others (WHATWG URL, sections 1.3 and 4.4).
const ACCEPTED: &[&str] = &[
    "/verify/caf\u{e9}",
    "/verify/\u{e9}/b",
    "/verify/a?q=\u{e9}",
    "/verify/\u{1f600}?\u{1f600}=\u{1f600}",
    "/verify/a|b\"c{d}e^f[g]h\\i",
    "/verify/a?q=|{}^`[]\\'",
    "/verify/!$&'()*+,;=:@-._~",
    "/verify/%C3%A9%2F%00",
    "/verify/%zz",
    "/verify/%",
    "/verify/a?%zz&%",
    "/verify//a///b",
    "/verify/./a/../b/..",
    "/verify/a;b=c,d;e",
    "/verify/?",
    "/verify?q",
    "/verify/a?b?c",
    "/verify/http://x/y",
    "/verify/a#b",
];

#[tokio::test]
async fn targets_of_browsers_and_proxies_are_accepted_below_verify() {
    expect_alike(ACCEPTED.iter().map(|target| (*target, 401, Request::to(*target))).collect()).await;
}

#[tokio::test]
async fn other_targets_get_the_same_response_over_both_protocols() {
    let server = Server::start().await;
    let options = Request { method: "OPTIONS", ..Request::to("*") };
    let mut faults = Vec::new();

    for (listener, status, request) in [
        (Listener::Public, 404, Request::to("/caf\u{e9}")),
        (Listener::Public, 404, Request::to("//verify/a")),
        (Listener::Public, 404, Request::to("/../verify/")),
        (Listener::Public, 404, Request::to("/%76erify/")),
        (Listener::Public, 200, Request::to("/healthz?q=\u{e9}|\\")),
        (Listener::Public, 404, Request::to("*")),
        (Listener::Public, 404, options),
        (Listener::Public, 400, Request::to("?q")),
        (Listener::Operations, 200, Request::to("/livez?q=\u{e9}|\\")),
        (Listener::Operations, 404, Request::to("/caf\u{e9}")),
        (Listener::Operations, 404, Request::to("//livez")),
        (Listener::Operations, 400, Request::to("?q")),
        (Listener::Operations, 431, Request::to("/livez").with_headers(64)),
        (Listener::Operations, 200, Request::to("/livez").with_cookies(180, &"v".repeat(100))),
    ] {
        let statuses = request.statuses(&server, listener).await;
        if statuses != (status, Outcome::Responded(status)) {
            faults.push(format!("{listener:?} {}: {statuses:?} instead of {status}", request.target));
        }
    }

    assert_eq!(faults, Vec::<String>::new(), "{faults:#?}");
    server.expect_clean_stop().await;
}

#[tokio::test]
async fn targets_that_no_browser_sends_are_malformed_over_both_protocols() {
    let server = Server::start().await;
    let mut faults = Vec::new();

    for target in ["a`b", "a<b", "a>b", "a?q=\"", "a?q=<", "a?q=>", "a b", "a\u{7f}"] {
        let (status, outcome) = Request::to(format!("/verify/{target}")).statuses(&server, Listener::Public).await;
        // PROTOCOL_ERROR: h2 has no other response to a malformed request (RFC 9113, section 8.1.1).
        if (status, outcome) != (400, Outcome::Reset(1)) {
            faults.push(format!("{target}: {status}, {outcome:?}"));
        }
    }

    assert_eq!(faults, Vec::<String>::new(), "{faults:#?}");
    server.expect_clean_stop().await;
}

#[tokio::test]
async fn target_that_is_not_utf_8_is_malformed_over_both_protocols() {
    let server = Server::start().await;
    let latin1 = b"/verify/caf\xe9";

    let mut http1 = server.connect().await;
    http1.send([b"GET ", &latin1[..], b" HTTP/1.1\r\nHost: x\r\n\r\n"].concat()).await;
    assert_eq!(http1.until_closed().await.statuses(), [400]);
    let mut http2 = Http2::open(&server).await;
    let pseudo = block(&[(":method", "GET"), (":scheme", "http"), (":authority", "x")]);
    http2.send(headers(WHOLE, 1, &[pseudo, vec![0], text(":path"), text(latin1)].concat())).await;
    assert_eq!(http2.outcome(1).await, Outcome::GoneAway(1));

    server.expect_clean_stop().await;
}

/// Returns the statuses of a login with these trailers over HTTP/1.1 and over HTTP/2.
async fn login_with_trailers(server: &Server, trailers: &[(String, String)]) -> (u16, Outcome) {
    let body = json!({"email": EMAIL, "password": PASSWORD}).to_string();
    let head = "POST /token/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\n\
                Transfer-Encoding: chunked\r\n";
    let mut lines = vec![head.to_owned(), format!("{:x}", body.len()), body.clone(), "0".to_owned()];
    lines.extend(trailers.iter().map(|(name, value)| format!("{name}: {value}")));
    let mut http1 = server.connect().await;
    http1.send(lines.join("\r\n") + "\r\n\r\n").await;
    let Responses(responses) = http1.until_closed().await;
    let mut http2 = Http2::open(server).await;
    let json = ("content-type", "application/json");
    let head = [(":method", "POST"), (":scheme", "http"), (":authority", "x"), (":path", "/token/"), json];
    http2.send(headers(END_HEADERS, 1, &block(&head))).await;
    http2.send(frame(DATA, 0, 1, body.as_bytes())).await;
    let trailers: Vec<_> = trailers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    http2.send(headers(END_HEADERS | END_STREAM, 1, &block(&trailers))).await;
    (responses[0].status, http2.outcome(1).await)
}

#[tokio::test]
async fn limits_of_trailers_are_the_same_over_both_protocols() {
    let server = Server::start().await;
    let trailers = |count: usize, bytes: usize| -> Vec<_> {
        (0..count).map(|number| (format!("x-{number}"), "y".repeat(bytes))).collect()
    };

    for (name, status, trailers) in [
        ("one", 200, trailers(1, 1)),
        ("the most", 200, trailers(64, 1)),
        ("one more", 400, trailers(65, 1)),
        ("long", 200, trailers(1, 15 * KIB)),
        ("too long", 400, trailers(1, 17 * KIB)),
    ] {
        let statuses = login_with_trailers(&server, &trailers).await;
        assert_eq!(statuses, (status, Outcome::Responded(status)), "{name}");
    }

    server.expect_clean_stop().await;
}
