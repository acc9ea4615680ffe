//! Malformed HTTP/2 requests and frames, and requests that would be two in HTTP/1.

use crate::{
    http2::{
        CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, Http2, Outcome, PING, PRIORITY, PUSH_PROMISE,
        REFUSED_STREAM, RST_STREAM, SETTINGS, WHOLE, WINDOW_UPDATE, block, frame, get, post, request, settings, text,
    },
    server::Server,
};

type Field = (&'static str, &'static str);

const METHOD: Field = (":method", "GET");
const SCHEME: Field = (":scheme", "http");
const AUTHORITY: Field = (":authority", "postern.test");
const PATH: Field = (":path", "/healthz");

/// Malformed by RFC 9113, sections 8.2 and 8.3.
#[rustfmt::skip]
const MALFORMED: &[(&str, &[Field])] = &[
    ("no method", &[SCHEME, AUTHORITY, PATH]),
    ("no scheme", &[METHOD, AUTHORITY, PATH]),
    ("no path", &[METHOD, SCHEME, AUTHORITY]),
    ("an empty path", &[METHOD, SCHEME, AUTHORITY, (":path", "")]),
    ("two methods", &[METHOD, METHOD, SCHEME, AUTHORITY, PATH]),
    ("two paths", &[METHOD, SCHEME, AUTHORITY, PATH, PATH]),
    ("a status", &[METHOD, SCHEME, AUTHORITY, PATH, (":status", "200")]),
    ("an unknown pseudo-header", &[METHOD, SCHEME, AUTHORITY, PATH, (":x", "y")]),
    ("a pseudo-header after a header", &[METHOD, SCHEME, AUTHORITY, ("x", "y"), PATH]),
    ("extended CONNECT", &[(":method", "CONNECT"), SCHEME, AUTHORITY, PATH, (":protocol", "websocket")]),
    ("an invalid method", &[(":method", "GE T"), SCHEME, AUTHORITY, PATH]),
    ("a line end in a method", &[(":method", "GET / HTTP/1.1\r\nX: y"), SCHEME, AUTHORITY, PATH]),
    ("a line end in a path", &[METHOD, SCHEME, AUTHORITY, (":path", "/healthz HTTP/1.1\r\nX: y")]),
    ("a space in a path", &[METHOD, SCHEME, AUTHORITY, (":path", "/heal thz")]),
    ("a line end in an authority", &[METHOD, SCHEME, (":authority", "x\r\nX: y"), PATH]),
    ("a line end in a scheme", &[METHOD, (":scheme", "http\r\n"), AUTHORITY, PATH]),

    ("a capital in a name", &[METHOD, SCHEME, AUTHORITY, PATH, ("Foo", "y")]),
    ("an empty name", &[METHOD, SCHEME, AUTHORITY, PATH, ("", "y")]),
    ("a space in a name", &[METHOD, SCHEME, AUTHORITY, PATH, ("fo o", "y")]),
    ("a colon in a name", &[METHOD, SCHEME, AUTHORITY, PATH, ("foo:", "y")]),
    ("a line end in a name", &[METHOD, SCHEME, AUTHORITY, PATH, ("foo\r\nbar", "y")]),
    ("NUL in a value", &[METHOD, SCHEME, AUTHORITY, PATH, ("foo", "y\0z")]),
    ("CR in a value", &[METHOD, SCHEME, AUTHORITY, PATH, ("foo", "y\rz")]),
    ("LF in a value", &[METHOD, SCHEME, AUTHORITY, PATH, ("foo", "y\nz")]),
    ("a header in a value", &[METHOD, SCHEME, AUTHORITY, PATH, ("foo", "y\r\nTransfer-Encoding: chunked")]),
    ("a request in a value", &[METHOD, SCHEME, AUTHORITY, PATH, ("foo", "y\r\n\r\nGET / HTTP/1.1\r\n\r\n")]),

    ("connection", &[METHOD, SCHEME, AUTHORITY, PATH, ("connection", "close")]),
    ("keep-alive", &[METHOD, SCHEME, AUTHORITY, PATH, ("keep-alive", "1")]),
    ("proxy-connection", &[METHOD, SCHEME, AUTHORITY, PATH, ("proxy-connection", "close")]),
    ("transfer-encoding", &[METHOD, SCHEME, AUTHORITY, PATH, ("transfer-encoding", "chunked")]),
    ("upgrade", &[METHOD, SCHEME, AUTHORITY, PATH, ("upgrade", "h2c")]),
    ("te", &[METHOD, SCHEME, AUTHORITY, PATH, ("te", "gzip")]),
    ("another host", &[METHOD, SCHEME, AUTHORITY, PATH, ("host", "other.test")]),
    ("two hosts", &[METHOD, SCHEME, PATH, ("host", "x"), ("host", "x")]),
    ("no host at all", &[METHOD, SCHEME, PATH]),
    ("two lengths", &[METHOD, SCHEME, AUTHORITY, PATH, ("content-length", "0"), ("content-length", "5")]),
    ("a length with a plus", &[METHOD, SCHEME, AUTHORITY, PATH, ("content-length", "+0")]),
    ("a length without a body", &[METHOD, SCHEME, AUTHORITY, PATH, ("content-length", "5")]),
];

fn is_refused(outcome: Outcome) -> bool {
    !matches!(outcome, Outcome::Responded(status) if status != 400)
}

#[tokio::test]
async fn malformed_http2_request_is_refused() {
    let server = Server::start().await;
    let mut faults = Vec::new();

    for (name, fields) in MALFORMED {
        let mut http2 = Http2::open(&server).await;
        http2.send(frame(HEADERS, WHOLE, 1, &block(fields))).await;
        let outcome = http2.outcome(1).await;
        if !is_refused(outcome) {
            faults.push(format!("{name}: {outcome:?}"));
        }
    }

    assert_eq!(faults, Vec::<String>::new(), "{faults:#?}");
    server.expect_clean_stop().await;
}

#[tokio::test]
async fn body_that_differs_from_its_length_is_refused() {
    let server = Server::start().await;
    let mut faults = Vec::new();

    for (length, body, allowed) in [("2", "{}", true), ("1", "{}", false), ("3", "{}", false), ("0", "{}", false)] {
        let mut http2 = Http2::open(&server).await;
        let fields = [("content-type", "application/json"), ("content-length", length)];
        let head = block(&[&request("POST", "/token/")[..], &fields].concat());
        http2.send(frame(HEADERS, END_HEADERS, 1, &head)).await;
        http2.send(frame(DATA, END_STREAM, 1, body.as_bytes())).await;
        let outcome = http2.outcome(1).await;
        // The body of the right length lacks fields: 400 as well, but from the handler.
        if allowed != (outcome == Outcome::Responded(400)) {
            faults.push(format!("{length} B: {outcome:?}"));
        }
    }

    assert_eq!(faults, Vec::<String>::new(), "{faults:#?}");
    server.expect_clean_stop().await;
}

#[tokio::test]
async fn invalid_frames_close_the_connection() {
    let server = Server::start().await;
    let open = post(1, "/token/");
    let after_open = |bytes: Vec<u8>| [open.clone(), bytes].concat();
    let index_of_nothing = [0xff, 0xff, 0xff, 0x7f];
    let table_of_gigabytes = [0x3f, 0xe1, 0xff, 0xff, 0xff, 0x07];

    for (name, bytes) in [
        ("DATA on stream 0", frame(DATA, 0, 0, b"x")),
        ("HEADERS on stream 0", frame(HEADERS, WHOLE, 0, b"\x82")),
        ("RST_STREAM on stream 0", frame(RST_STREAM, 0, 0, b"\0\0\0\x08")),
        ("SETTINGS on stream 1", frame(SETTINGS, 0, 1, b"")),
        ("PING on stream 1", frame(PING, 0, 1, b"12345678")),
        ("GOAWAY on stream 1", frame(GOAWAY, 0, 1, &[0; 8])),
        ("an even stream", get(2, "/healthz")),
        ("a stream below the last", [get(5, "/healthz"), get(3, "/healthz")].concat()),
        ("DATA on an idle stream", frame(DATA, 0, 1, b"x")),
        ("RST_STREAM on an idle stream", frame(RST_STREAM, 0, 1, b"\0\0\0\x08")),
        ("WINDOW_UPDATE on an idle stream", frame(WINDOW_UPDATE, 0, 1, b"\0\0\0\x08")),
        ("PUSH_PROMISE", after_open(frame(PUSH_PROMISE, END_HEADERS, 1, b"\0\0\0\x02\x82"))),
        ("CONTINUATION after nothing", after_open(frame(CONTINUATION, END_HEADERS, 1, b"\x82"))),
        ("a request within a block", [frame(HEADERS, END_STREAM, 1, b"\x82"), get(3, "/healthz")].concat()),
        ("PING within a block", [frame(HEADERS, END_STREAM, 1, b"\x82"), frame(PING, 0, 0, b"12345678")].concat()),
        ("a frame that is too large", after_open(frame(DATA, 0, 1, &vec![0; 16 * 1024 + 1]))),
        ("a frame of 16 MiB", after_open(b"\xff\xff\xff\0\0\0\0\0\x01".repeat(10_000))),
        ("SETTINGS of odd length", frame(SETTINGS, 0, 0, b"12345")),
        ("SETTINGS with ACK and a payload", frame(SETTINGS, 1, 0, &settings(&[(1, 1)]))),
        ("a window of 2^31", frame(SETTINGS, 0, 0, &settings(&[(4, 1 << 31)]))),
        ("frames of a byte", frame(SETTINGS, 0, 0, &settings(&[(5, 1)]))),
        ("ENABLE_PUSH of 2", frame(SETTINGS, 0, 0, &settings(&[(2, 2)]))),
        ("PING of 7 bytes", frame(PING, 0, 0, b"1234567")),
        ("RST_STREAM of 3 bytes", after_open(frame(RST_STREAM, 0, 1, b"123"))),
        ("WINDOW_UPDATE of 3 bytes", frame(WINDOW_UPDATE, 0, 0, b"123")),
        ("WINDOW_UPDATE of nothing", frame(WINDOW_UPDATE, 0, 0, &[0; 4])),
        ("more padding than payload", after_open(frame(DATA, 8, 1, b"\xff"))),
        ("more padding than headers", frame(HEADERS, WHOLE | 8, 1, b"\xff\x82")),
        ("an index of nothing", frame(HEADERS, WHOLE, 1, &index_of_nothing)),
        ("a table of gigabytes", frame(HEADERS, WHOLE, 1, &table_of_gigabytes)),
        ("a name longer than its block", frame(HEADERS, WHOLE, 1, b"\0\x7e")),
    ] {
        let mut http2 = Http2::open(&server).await;
        http2.send(bytes).await;
        let frames = http2.until_closed().await;
        let has_goaway = frames.iter().any(|frame| frame.kind == GOAWAY && frame.payload[4..8] != [0; 4]);
        assert!(has_goaway, "{name}: {frames:?}");
    }

    server.expect_clean_stop().await;
}

#[tokio::test]
async fn wrong_preface_closes_the_connection() {
    let server = Server::start().await;

    for rest in [&b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"[..], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nGET / HTTP/1.1\r\n\r\n"] {
        let mut connection = server.connect().await;
        connection.send(rest).await;
        let received = connection.drip(b"", std::time::Duration::from_millis(100)).await;
        assert!(received.len() < 1024, "{received:?}");
    }

    server.expect_clean_stop().await;
}

#[tokio::test]
async fn connection_has_at_most_100_requests_in_flight() {
    let server = Server::start().await;
    let mut http2 = Http2::open(&server).await;
    let streams = (0..101).map(|number| 2 * number + 1);

    http2.send(streams.flat_map(|stream| post(stream, "/token/")).collect::<Vec<_>>()).await;

    assert_eq!(http2.outcome(201).await, Outcome::Reset(REFUSED_STREAM));
    drop(http2);
    server.expect_clean_stop().await;
}

#[tokio::test]
async fn header_list_over_its_limit_is_refused() {
    let server = Server::start().await;
    let before = server.memory();
    // One large header in the dynamic table, then many references to it.
    let indexed = [&[0x40][..], &text("x"), &text("y".repeat(4000))].concat();
    let bomb = [block(&request("GET", "/healthz")), indexed.clone(), vec![0xbe; 10_000]].concat();
    let literal = [block(&request("GET", "/healthz")), block(&[("x", &"y".repeat(15 * 1024))])].concat();
    let more = block(&[("x", &"y".repeat(15 * 1024))]);
    let continued = [frame(CONTINUATION, 0, 1, &more), frame(CONTINUATION, 0, 1, &more)].concat();
    // 38 KiB, where each field counts 32 bytes besides its text. `0xa0` is the static entry `cookie` without a value.
    let cookies = [block(&request("GET", "/healthz")), vec![0xa0; 1400]].concat();

    for frames in [
        frame(HEADERS, WHOLE, 1, &bomb),
        frame(HEADERS, WHOLE, 1, &cookies),
        [frame(HEADERS, END_STREAM, 1, &literal), continued, frame(CONTINUATION, END_HEADERS, 1, &more)].concat(),
    ] {
        for _ in 0..50 {
            let mut http2 = Http2::open(&server).await;
            http2.send(&frames).await;
            let outcome = http2.outcome(1).await;
            let is_refused = outcome == Outcome::Responded(431) || !matches!(outcome, Outcome::Responded(_));
            assert!(is_refused, "{outcome:?}");
        }
    }

    assert!(server.memory().saturating_sub(before) < 32 * 1024 * 1024, "{} B, then {} B", before, server.memory());
    let small = [block(&request("GET", "/healthz")), indexed, vec![0xbe; 2]].concat();
    let mut http2 = Http2::open(&server).await;
    http2.send(frame(HEADERS, WHOLE, 1, &small)).await;
    assert_eq!(http2.outcome(1).await, Outcome::Responded(200));
    drop(http2);
    server.expect_clean_stop().await;
}

#[tokio::test]
async fn unknown_frames_and_settings_are_ignored() {
    let server = Server::start().await;
    let mut http2 = Http2::open_with(&server, &[(0xff, 7)]).await;

    http2.send(frame(0xfe, 0xff, 7, b"anything")).await;
    http2.send(frame(PRIORITY, 0, 9, &[0, 0, 0, 0, 1])).await;
    http2.send(get(11, "/healthz")).await;

    assert_eq!(http2.outcome(11).await, Outcome::Responded(200));
    drop(http2);
    server.expect_clean_stop().await;
}
