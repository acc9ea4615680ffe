//! Bodies with a `Content-Encoding`.

use serde_json::json;

use super::Service;
use crate::support::API_KEY;

#[tokio::test]
async fn compressed_body_is_refused_by_every_route_with_a_body() {
    let service = Service::start().await;
    let ada = service.administrator("ada@example.org").await;
    let id = service.user(&ada.email).await.id.to_string();
    let page = service.get("/openapi.json").send().await.expect(200);
    let mut routes = 0;
    for (path, item) in page["paths"].as_object().expect("paths") {
        let operations = item.as_object().expect("operations").iter();
        for (method, operation) in operations.filter(|(_, operation)| operation.get("requestBody").is_some()) {
            let token = if path == "/introspect/" { API_KEY } else { ada.tokens.access.as_str() };
            let body = &operation["requestBody"];
            let body =
                body["$ref"].as_str().and_then(|place| page.pointer(place.trim_start_matches('#'))).unwrap_or(body);
            for content_type in body["content"].as_object().expect("types").keys() {
                let method = method.to_ascii_uppercase();
                let request = match path.strip_prefix("/admin/api/") {
                    Some(path) => service.admin(&method, &path.replace("{id}", &id)),
                    None => service.request(&method, path),
                };
                let request =
                    request.bearer(token).header("content-encoding", "gzip").body(content_type, &b"\x1f\x8b\x08"[..]);

                let response = request.send().await;

                assert_eq!(response.text("accept-encoding"), "identity", "{method} {path}");
                response.expect_problem(415, "unsupported_media_type");
                routes += 1;
            }
        }
    }
    assert!(routes >= 8, "{routes}");
}

#[tokio::test]
async fn identity_is_no_content_coding() {
    let service = Service::start().await;
    let refresh = || service.post("/refresh/", json!({"refresh": "x"}));

    for coding in ["identity", "Identity", ""] {
        let response = refresh().header("content-encoding", coding).send().await;
        response.expect_problem(401, "invalid_refresh_token");
    }
    for coding in ["br", "gzip, identity", "deflate", "zstd", "x-unknown"] {
        let response = refresh().header("content-encoding", coding).send().await;
        response.expect_problem(415, "unsupported_media_type");
    }
    // A proxy sends the headers of the original request, without its body.
    let ada = service.signed_up("ada@example.org").await;
    let verify = service.request("POST", "/verify/").bearer(&ada.tokens.access);
    assert_eq!(verify.header("content-encoding", "gzip").send().await.status, 200);
}
