//! Hostile input neither breaks nor appears in the lines of the log.

use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::support::{PASSWORD, Postern, Serving, exchange_half_closed};

/// Is part of every hostile text, and of nothing else.
const FORGED: &str = "forged";

/// Texts that end lines, control terminals, or end JSON strings.
const HOSTILE: [&str; 9] = [
    "forged\nforged",
    "a forged\r\n2026-01-01T00:00:00.000000Z  INFO request id=\"forged\"",
    "\u{1b}[2J\u{1b}]0;forged\u{7}",
    "\u{9b}31mforged\u{85}forged",
    "forged\u{2028}forged\u{2029}",
    "forged\",\"status\":200,\"x\":\"",
    "\u{202e}forged\u{feff}\u{0}",
    "{\"level\":\"ERROR\",\"message\":\"forged\"}",
    "forged%0a%0d%1b[2J\\n\\u000a${jndi:ldap://forged}",
];

/// A hostile user agent.
const USER_AGENT: &str = "forged\u{2028}\u{9b}2J";

/// Returns that user agent as the audit trail records it.
fn shown_user_agent() -> String {
    USER_AGENT.replace(['\u{2028}', '\u{9b}'], "\u{fffd}")
}

impl Serving {
    /// Sends a request as it stands, and returns the status of the response, if there is one.
    async fn sent(&self, request: &[u8]) -> Option<u16> {
        let stream = TcpStream::connect(self.public).await.expect("it accepts");
        let response = exchange_half_closed(stream, request).await;
        response.split(' ').nth(1).and_then(|status| status.parse().ok())
    }
}

/// Returns requests with these bytes in each part of the head.
fn requests_with(hostile: &[u8]) -> Vec<Vec<u8>> {
    let places = [
        ("GET /", " HTTP/1.1\r\n"),
        ("GET /healthz?", " HTTP/1.1\r\n"),
        ("GET /sessions/", "/ HTTP/1.1\r\n"),
        ("GET http://", "/healthz HTTP/1.1\r\n"),
        ("", " /healthz HTTP/1.1\r\n"),
        ("GET /healthz ", "\r\n"),
        ("GET /healthz HTTP/1.1\r\nUser-Agent: ", "\r\n"),
        ("GET /healthz HTTP/1.1\r\nX-Request-Id: ", "\r\n"),
        ("GET /profile/ HTTP/1.1\r\nAuthorization: Bearer ", "\r\n"),
        ("GET /profile/ HTTP/1.1\r\nAuthorization: ", "\r\n"),
        ("GET /healthz HTTP/1.1\r\nX-Forwarded-For: ", "\r\n"),
        ("POST /token/ HTTP/1.1\r\nContent-Type: ", "\r\n"),
        ("GET /healthz HTTP/1.1\r\nX-", ": x\r\n"),
    ];
    let request = |(before, after): (&str, &str)| {
        let rest = "Host: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
        [before.as_bytes(), hostile, after.as_bytes(), rest.as_bytes()].concat()
    };
    places.map(request).to_vec()
}

/// Returns encodings of a text: unchanged, without line ends of a head, and as Latin-1, which is invalid UTF-8.
fn spellings(hostile: &str) -> [Vec<u8>; 3] {
    let in_one_line = hostile.replace(['\r', '\n', '\0', ' '], "\t");
    let latin_1 = in_one_line.chars().map(|character| u8::try_from(u32::from(character)).unwrap_or(0xff)).collect();
    [hostile.as_bytes().to_vec(), in_one_line.into_bytes(), latin_1]
}

/// Sends a hostile text in every place; returns the number of requests that were not answered 400.
async fn attack(serving: &Serving, hostile: &str) -> usize {
    let mut answered = 0;
    for request in spellings(hostile).iter().flat_map(|bytes| requests_with(bytes)) {
        // A 400 is no request for the log.
        answered += usize::from(serving.sent(&request).await.is_some_and(|status| status != 400));
    }
    for body in [
        json!({"name": hostile, "email": "ada@example.org", "password": PASSWORD}),
        json!({"name": "Ada", "email": format!("{hostile}@example.org"), "password": PASSWORD}),
        json!({"name": "Ada", "email": "ada@example.org", "password": hostile, "refresh": hostile}),
        json!({hostile: hostile}),
    ] {
        for path in ["/create-user/", "/token/", "/refresh/"] {
            let request = serving.api().post(path, body.clone()).header("user-agent", USER_AGENT);
            request.send().await;
            answered += 1;
        }
    }
    answered
}

/// Returns the log of a server that gets a hostile text, and the number of its requests.
async fn log_of(hostile: &str, format: &str) -> (Vec<String>, usize) {
    let postern = Postern::new().with("POSTERN_LOG", "trace").with("POSTERN_LOG_FORMAT", format);
    let serving = postern.serve().await;
    let answered = attack(&serving, hostile).await;
    let log = serving.stopped().await.stderr;
    let lines: Vec<_> = log.split_terminator('\n').map(str::to_owned).collect();
    // The audit trail records the user agent, and nothing else that was sent.
    let reported = lines.iter().map(|line| line.replace(&shown_user_agent(), ""));
    assert!(!reported.collect::<String>().contains(FORGED), "{log}");
    (lines, answered)
}

#[tokio::test]
async fn every_event_is_one_line_without_anything_that_was_sent() {
    let mut all = 0;
    for (format, hostile) in HOSTILE.iter().flat_map(|hostile| [("text", hostile), ("json", hostile)]) {
        let (lines, answered) = log_of(hostile, format).await;

        for line in &lines {
            let is_event = match format {
                "json" => serde_json::from_str::<Value>(line).is_ok_and(|event| event["timestamp"].is_string()),
                _ => line.get(4..5) == Some("-") && line.get(26..28) == Some("Z "),
            };
            let is_harmful = |character: char| character.is_control() || "\u{2028}\u{2029}".contains(character);
            assert!(is_event && !line.contains(is_harmful), "{line:?}");
        }
        let is_request = |line: &&String| line.contains("duration_ms") && !line.contains("bad_request");
        let requests = lines.iter().filter(is_request).count();
        assert_eq!(requests, answered, "{lines:#?}");
        all += answered;
    }
    assert!(all > 300, "{all} of the hostile requests were answered");
}
