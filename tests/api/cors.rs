//! CORS.

use postern::http::{AllowedHeaders, CorsPolicy};

use super::Service;
use crate::support::{Response, Settings};

const APP: &str = "https://app.example.org";

/// The request headers that Postern reads, and those that tracing libraries add to every request.
const ALWAYS_ALLOWED: &str = "authorization, content-type, x-request-id, traceparent, tracestate, baggage, sentry-trace, \
    x-datadog-trace-id, x-datadog-parent-id, x-datadog-origin, x-datadog-sampling-priority, x-datadog-sampled";

async fn for_the_app() -> Service {
    with_headers(AllowedHeaders::default()).await
}

async fn with_headers(headers: AllowedHeaders) -> Service {
    let origins = format!("{APP},http://localhost:3000,capacitor://localhost").parse().expect("origins");
    Service::start_with(Settings { cors: CorsPolicy { origins, headers }, ..Settings::default() }).await
}

/// The CORS headers of a response.
fn cors_headers(response: &Response) -> [&str; 5] {
    [
        response.text("access-control-allow-origin"),
        response.text("access-control-allow-methods"),
        response.text("access-control-allow-headers"),
        response.text("access-control-expose-headers"),
        response.text("access-control-max-age"),
    ]
}

#[tokio::test]
async fn no_cors_headers_without_allowed_origins() {
    let service = Service::start().await;

    let response = service.get("/healthz").header("origin", APP).send().await;

    assert_eq!((cors_headers(&response), response.text("vary")), ([""; 5], ""));
}

#[tokio::test]
async fn allowed_origin_may_read_every_response() {
    let service = for_the_app().await;
    let exposed = "x-request-id, retry-after, www-authenticate";

    for (method, path) in [("GET", "/healthz"), ("GET", "/profile/"), ("GET", "/nowhere"), ("PUT", "/token/")] {
        let response = service.request(method, path).header("origin", APP).send().await;
        assert_eq!(cors_headers(&response), [APP, "", "", exposed, ""], "{path}");
        assert_eq!(response.text("vary"), "origin", "{path}");
        assert_eq!(response.text("access-control-allow-credentials"), "");
    }
}

#[tokio::test]
async fn other_origin_gets_only_vary() {
    let service = for_the_app().await;

    for origin in ["https://evil.example.org", "https://app.example.org:8443", "http://app.example.org", "null", ""] {
        for method in ["GET", "OPTIONS"] {
            let request = service.request(method, "/healthz").header("origin", origin);
            let response = request.header("access-control-request-method", "GET").send().await;
            assert_eq!((cors_headers(&response), response.text("vary")), ([""; 5], "origin"), "{origin}");
        }
    }
    let without = service.get("/healthz").send().await;
    assert_eq!((cors_headers(&without), without.text("vary")), ([""; 5], "origin"));
}

#[tokio::test]
async fn preflight_lists_methods_and_headers() {
    let service = for_the_app().await;

    let request = service.request("OPTIONS", "/profile/").header("origin", "http://localhost:3000");
    let response = request.header("access-control-request-method", "PATCH").send().await;

    assert_eq!((response.status, response.text("vary")), (204, "origin"));
    let methods = "GET, HEAD, PATCH, DELETE, OPTIONS";
    assert_eq!(cors_headers(&response), ["http://localhost:3000", methods, ALWAYS_ALLOWED, "", "600"]);
}

#[tokio::test]
async fn origin_of_a_web_view_may_be_allowed() {
    let service = for_the_app().await;

    for (origin, allowed) in [
        ("capacitor://localhost", "capacitor://localhost"),
        ("capacitor://LOCALHOST", ""),
        ("capacitor://localhost:80", ""),
        ("ionic://localhost", ""),
    ] {
        let response = service.get("/healthz").header("origin", origin).send().await;
        assert_eq!(response.text("access-control-allow-origin"), allowed, "{origin}");
    }
}

#[tokio::test]
async fn further_request_headers_may_be_allowed() {
    let service = with_headers("X-Tenant, b3".parse().expect("names")).await;

    let request = service.request("OPTIONS", "/token/").header("origin", APP);
    let request = request.header("access-control-request-headers", "traceparent,x-tenant");
    let response = request.header("access-control-request-method", "POST").send().await;

    assert_eq!(response.text("access-control-allow-headers"), format!("{ALWAYS_ALLOWED}, x-tenant, b3"));
}

#[tokio::test]
async fn preflight_through_a_proxy_is_not_authenticated() {
    let service = for_the_app().await;

    let request = service.request("OPTIONS", "/verify/").header("origin", APP);
    let response = request.header("access-control-request-method", "GET").send().await;

    assert_eq!(response.text("access-control-allow-methods"), "");
    response.expect_problem(401, "not_authenticated");
}

#[tokio::test]
async fn operations_listener_sends_no_cors_headers() {
    let service = for_the_app().await;

    let response = service.operations("/livez").header("origin", APP).send().await;

    assert_eq!(cors_headers(&response), [""; 5]);
}
