//! Rules for every path.

use std::time::Duration;

use postern::http::RequestLimits;
use serde_json::json;
use tokio::io::AsyncWriteExt as _;

use super::Service;
use crate::support::{Fault, LONG, Settings, send_head, until_end, within};

/// Every path of the public listener, with one of its methods.
const PATHS: &[(&str, &str)] = &[
    ("POST", "/create-user/"),
    ("POST", "/token/"),
    ("POST", "/refresh/"),
    ("POST", "/logout/"),
    ("GET", "/profile/"),
    ("PATCH", "/profile/"),
    ("DELETE", "/profile/"),
    ("POST", "/profile/export/"),
    ("POST", "/change-password/"),
    ("POST", "/reauthenticate/"),
    ("GET", "/sessions/"),
    ("DELETE", "/sessions/x/"),
    ("POST", "/logout-everywhere/"),
    ("POST", "/introspect/"),
    ("GET", "/healthz"),
    ("GET", "/openapi.json"),
    ("GET", "/.well-known/paserk.json"),
    #[cfg(feature = "jwt")]
    ("GET", "/.well-known/jwks.json"),
];

#[tokio::test]
async fn every_path_is_served_with_and_without_its_slash() {
    let service = Service::start().await;

    for (method, path) in PATHS.iter().copied() {
        let bare = path.trim_end_matches('/');
        let slashed = format!("{bare}/");
        let (with, without) =
            (service.request(method, &slashed).send().await, service.request(method, bare).send().await);
        assert_eq!((with.status, &with.body), (without.status, &without.body), "{path}");
        assert_ne!(with.status, 404, "{path}");
    }
}

#[tokio::test]
async fn unknown_path_is_not_found() {
    let service = Service::start().await;

    for path in
        ["/", "/nowhere", "/profile/x", "//profile", "/Profile/", "/profile//", "/%70rofile", "/token/../profile"]
    {
        let response = service.get(path).send().await;
        assert_eq!(response.text("content-type"), "application/json");
        assert_eq!(response.expect(404), json!({"error": "The endpoint was not found"}), "{path}");
    }
}

/// The headers for browsers in every response.
const FOR_BROWSERS: [(&str, &str); 5] = [
    ("x-content-type-options", "nosniff"),
    ("content-security-policy", "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
];

#[tokio::test]
async fn every_response_has_the_same_headers() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;
    let mut responses = vec![
        service.get("/healthz").send().await,
        service.request("HEAD", "/healthz").send().await,
        service.get("/nowhere").send().await,
        service.request("DELETE", "/token/").send().await,
        service.request("OPTIONS", "/token/").send().await,
        service.post("/token/", json!({})).send().await,
        service.operations("/livez").send().await,
        service.operations("/nowhere").send().await,
        ada.verify().await,
    ];
    for (method, path) in PATHS.iter().copied().filter(|(_, path)| !path.starts_with("/.") && *path != "/openapi.json")
    {
        responses.push(service.request(method, path).send().await);
    }
    service.counting.set_fault(Fault::Panic);
    responses.push(ada.profile().await);

    for response in responses {
        let headers = response.all_headers();
        assert_eq!(headers.get("cache-control"), Some(&"no-store"), "{response:?}");
        for (name, value) in FOR_BROWSERS {
            assert_eq!(headers.get(name), Some(&value), "{response:?}");
        }
        let is_json = headers.get("content-type") == Some(&"application/json");
        assert!(is_json || response.body.is_empty(), "{response:?}");
        assert!(uuid::Uuid::parse_str(headers["x-request-id"]).is_ok(), "{response:?}");
    }
}

#[tokio::test]
async fn no_response_names_the_software() {
    let service = Service::start().await;

    for path in ["/healthz", "/nowhere", "/openapi.json"] {
        let response = service.get(path).send().await;
        let headers = response.all_headers();
        for name in ["server", "x-powered-by", "via"] {
            assert!(!headers.contains_key(name), "{response:?}");
        }
    }
}

#[tokio::test]
async fn safe_request_id_is_returned_and_any_other_is_replaced() {
    let service = Service::start().await;
    let id_for = async |id: &str| {
        let response = service.get("/healthz").header("x-request-id", id).send().await;
        response.text("x-request-id").to_owned()
    };
    let longest = "x".repeat(128);

    for id in ["a", "Trace_1.2-3", longest.as_str()] {
        assert_eq!(id_for(id).await, id);
    }
    for id in ["", "a b", "a,b", "\"", "ü", &"x".repeat(129)] {
        assert!(uuid::Uuid::parse_str(&id_for(id).await).is_ok(), "{id:?}");
    }
}

#[tokio::test]
async fn wrong_method_is_refused_with_the_allowed_ones() {
    let service = Service::start().await;

    for (method, path) in PATHS.iter().copied() {
        let response = service.request("PUT", path).send().await;
        let allow = match (method, path) {
            (_, "/profile/") => "GET, HEAD, PATCH, DELETE, OPTIONS",
            ("GET", _) => "GET, HEAD, OPTIONS",
            ("DELETE", _) => "DELETE, OPTIONS",
            _ => "POST, OPTIONS",
        };
        assert_eq!(response.text("allow"), allow, "{path}");
        response.expect_problem(405, "method_not_allowed");
    }
}

#[tokio::test]
async fn options_response_has_no_body() {
    let service = Service::start().await;

    let response = service.request("OPTIONS", "/healthz").send().await;

    assert_eq!((response.status, response.text("allow")), (204, "GET, HEAD, OPTIONS"));
    assert!(response.body.is_empty());
    service.request("OPTIONS", "/nowhere").send().await.expect(404);
}

#[tokio::test]
async fn head_is_answered_like_get_without_the_body() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;

    let get = ada.profile().await;
    let head = service.request("HEAD", "/profile/").bearer(&ada.tokens.access).send().await;

    assert_eq!((head.status, head.text("content-type")), (200, "application/json"));
    assert_eq!(head.text("content-length"), get.body.len().to_string());
    assert!(head.body.is_empty());
}

#[tokio::test]
async fn body_of_another_type_is_refused() {
    let service = Service::start().await;
    let body = json!({"refresh": "x"}).to_string();

    for content_type in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""] {
        let response = service.request("POST", "/refresh/").body(content_type, body.clone()).send().await;
        assert!(!response.headers.contains_key("accept-encoding"), "{response:?}");
        response.expect_problem(415, "unsupported_media_type");
    }
    for content_type in ["application/json; charset=utf-8", "APPLICATION/JSON"] {
        let response = service.request("POST", "/refresh/").body(content_type, body.clone()).send().await;
        response.expect_problem(401, "invalid_refresh_token");
    }
}

#[tokio::test]
async fn body_must_be_an_object_with_unique_fields() {
    let service = Service::start().await;

    let deep = "[".repeat(8_000);
    for body in [
        "",
        "{",
        "[]",
        "null",
        "\"x\"",
        "7",
        "{\"refresh\":\"x\"} x",
        "{\"refresh\":\"x\",\"refresh\":\"x\"}",
        "{\"other\":1,\"other\":2}",
        "{\"refresh\":\"x\",\"other\":}",
        "{'refresh':'x'}",
        "\u{feff}{}",
        "{\"refresh\":\"\\ud800\"}",
        deep.as_str(),
    ] {
        let response = service.request("POST", "/refresh/").body("application/json", body.to_owned()).send().await;
        response.expect_problem(400, "malformed_json");
    }
    for latin_1 in [&b"{\"refresh\":\"\xe4\"}"[..], b"{\"refresh\":\"x\",\"other\":[\"\xe4\"]}"] {
        let request = service.request("POST", "/refresh/").body("application/json", latin_1.to_vec());
        request.send().await.expect_problem(400, "malformed_json");
    }
}

#[tokio::test]
async fn number_is_no_string_and_allowed_in_unknown_fields() {
    let service = Service::start().await;
    let refresh = |body: &str| service.request("POST", "/refresh/").body("application/json", body.to_owned()).send();

    refresh(r#"{"refresh":"x","other":1e999}"#).await.expect_problem(401, "invalid_refresh_token");
    let sentences = refresh(r#"{"refresh":1e999}"#).await.expect_field_errors("refresh");
    assert_eq!(sentences, ["Not a valid string."]);
}

#[tokio::test]
async fn connection_is_asked_to_close_at_its_age_limit() {
    let settings = Settings { connection_age: Duration::from_secs(2), ..Settings::default() };
    let service = Service::start_with(settings).await;
    let (mut sender, connection) = hyper::client::conn::http2::handshake(
        hyper_util::rt::TokioExecutor::new(),
        hyper_util::rt::TokioIo::new(service.connection().await),
    )
    .await
    .expect("a connection");
    let connection = tokio::spawn(connection);
    let request = hyper::Request::get("http://postern.test/healthz");
    let request = request.body(http_body_util::Full::<hyper::body::Bytes>::default()).expect("a request");
    assert_eq!(sender.send_request(request).await.expect("a response").status().as_u16(), 200);

    let _ = within(LONG, "the server ends a connection whose client would keep it for ever", connection).await;
}

#[tokio::test]
async fn client_that_reads_no_responses_gives_up_its_slot() {
    let limits = RequestLimits { request: Duration::from_secs(2), store: Duration::from_secs(30) };
    let connection_age = Duration::from_millis(200);
    let service = Service::start_with(Settings { limits, connection_age, connections: 1, ..Settings::default() }).await;
    let mut greedy = service.connection().await;
    let request = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n".repeat(1000);
    let stuck = Duration::from_millis(100);
    let flooding = async { while let Ok(Ok(())) = tokio::time::timeout(stuck, greedy.write_all(&request)).await {} };
    within(LONG, "the server reads no more", flooding).await;

    service.get("/healthz").send().await.expect(200);
}

#[tokio::test]
async fn body_over_16_kib_is_refused() {
    let service = Service::start().await;
    let with_length = |length: usize| {
        let padding = " ".repeat(length - r#"{"refresh":"x"}"#.len());
        service.request("POST", "/refresh/").body("application/json", format!(r#"{{"refresh":"x"}}{padding}"#))
    };

    with_length(16 * 1024).send().await.expect_problem(401, "invalid_refresh_token");
    with_length(16 * 1024 + 1).send().await.expect_problem(413, "too_large");

    let chunk = format!("4000\r\n{}\r\n", " ".repeat(0x4000));
    let chunked = format!(
        "POST /refresh/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}{chunk}0\r\n\r\n"
    );
    let response = service.raw(chunked.as_bytes()).await;
    assert!(response.starts_with("HTTP/1.1 413 "), "{response}");
}

#[tokio::test]
async fn body_is_ignored_if_the_route_takes_none() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;

    let request = service.get("/profile/").bearer(&ada.tokens.access).body("text/plain", "not JSON");

    request.send().await.expect(200);
}

#[tokio::test]
async fn late_body_gets_a_408_response() {
    let limits = RequestLimits { request: Duration::from_millis(200), store: Duration::from_secs(30) };
    let service = Service::start_with(Settings { limits, ..Settings::default() }).await;

    let head = "POST /token/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{";
    let response = service.raw(head.as_bytes()).await;

    assert!(response.starts_with("HTTP/1.1 408 "), "{response}");
    assert!(response.contains("request_timeout"), "{response}");
}

#[tokio::test]
async fn late_request_head_gets_a_408_response() {
    let limits = RequestLimits { request: Duration::from_millis(200), store: Duration::from_secs(30) };
    let service = Service::start_with(Settings { limits, ..Settings::default() }).await;

    for head in ["", "P", "PRI * HTTP/2.0\r\n", "GET /healthz HTTP/1.1\r\nHost: x\r\n"] {
        assert_eq!(service.raw(head.as_bytes()).await, "", "{head:?}");
    }
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let service = Service::start().await;
    let requests = "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Request-Id: first\r\n\r\n\
                    GET /nowhere HTTP/1.1\r\nHost: x\r\nX-Request-Id: second\r\nConnection: close\r\n\r\n";

    let responses = service.raw(requests.as_bytes()).await;

    let (first, second) = (responses.find("x-request-id: first"), responses.find("x-request-id: second"));
    assert!(first.is_some() && first < second, "{responses}");
}

#[tokio::test]
async fn stopping_server_answers_requests_in_flight_and_closes() {
    let service = Service::start().await;
    let mut stream = service.connection().await;
    let body = json!({"email": "ada@example.org", "password": "x"}).to_string();
    send_head(&mut stream, "/token/", "", body.len()).await;

    service.stop();
    stream.write_all(body.as_bytes()).await.expect("the server takes it");

    let response = until_end(&mut stream).await;
    assert!(response.starts_with("HTTP/1.1 401 "), "{response}");
}

#[tokio::test]
async fn http_2_is_served_on_the_same_port() {
    let service = Service::start().await;
    let stream = service.connection().await;
    let (mut sender, connection) = hyper::client::conn::http2::handshake(
        hyper_util::rt::TokioExecutor::new(),
        hyper_util::rt::TokioIo::new(stream),
    )
    .await
    .expect("a connection");
    tokio::spawn(connection);

    for (method, length) in [("GET", 15), ("HEAD", 0)] {
        let request = hyper::Request::builder().method(method).uri("http://postern.test/healthz");
        let request = request.body(http_body_util::Full::<hyper::body::Bytes>::default()).expect("a request");
        let response = sender.send_request(request).await.expect("a response");
        assert_eq!((response.status().as_u16(), response.version()), (200, hyper::Version::HTTP_2));
        assert_eq!(response.headers()["content-length"], "15");
        let body = http_body_util::BodyExt::collect(response.into_body()).await.expect("a body").to_bytes();
        assert_eq!(body.len(), length);
    }
}
