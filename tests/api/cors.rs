//! CORS.

use super::Service;
use crate::support::{Response, Settings};

const APP: &str = "https://app.example.org";

async fn for_the_app() -> Service {
    let origins = [APP, "http://localhost:3000"].map(|origin| origin.parse().expect("an origin"));
    Service::start_with(Settings { origins: origins.into_iter().collect(), ..Settings::default() }).await
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
    let (methods, headers) = ("GET, HEAD, PATCH, DELETE, OPTIONS", "authorization, content-type, x-request-id");
    assert_eq!(cors_headers(&response), ["http://localhost:3000", methods, headers, "", "600"]);
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
