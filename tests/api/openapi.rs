//! `GET /openapi.json`

use super::Service;

const PAGE: &str = include_str!("../../src/http/handlers/openapi.json");

#[tokio::test]
async fn page_is_served_unchanged_without_asking_a_store() {
    let service = Service::start().await;

    let response = service.get("/openapi.json").send().await;

    assert_eq!((response.status, response.text("content-type")), (200, "application/json"));
    assert_eq!(response.body, PAGE);
    assert_eq!(service.store_calls(), 0);
}

#[tokio::test]
async fn page_is_cacheable() {
    let service = Service::start().await;

    for method in ["GET", "HEAD"] {
        let response = service.request(method, "/openapi.json").send().await;
        assert_eq!(response.text("cache-control"), "public, max-age=300");
    }
    let refused = service.request("POST", "/openapi.json").send().await;
    assert_eq!(refused.text("cache-control"), "no-store");
}

#[tokio::test]
async fn operations_with_security_refuse_anonymous_requests() {
    let service = Service::start().await;
    let page: serde_json::Value = serde_json::from_str(PAGE).expect("the page is JSON");

    for (path, item) in page["paths"].as_object().expect("paths") {
        for method in ["get", "post", "put", "patch", "delete"].into_iter().filter(|method| item.get(method).is_some())
        {
            let is_for_the_signed_in = item[method].get("security").is_some();
            let method = method.to_ascii_uppercase();
            let request = match path.strip_prefix("/admin/api/") {
                Some(path) => service.admin(&method, path),
                None => service.request(&method, path),
            };
            let response = request.send().await;
            let is_refused = !response.body.is_empty() && response.json()["code"] == "not_authenticated";
            assert_eq!(is_refused, is_for_the_signed_in, "{method} {path}");
        }
    }
}
