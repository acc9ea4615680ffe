//! `/healthz` on the public listener, `/livez` and `/readyz` on the operations listener

use serde_json::json;

use super::Service;

#[tokio::test]
async fn public_health_asks_no_store() {
    let service = Service::start().await;

    let body = service.get("/healthz").send().await.expect(200);

    assert_eq!(body, json!({"status": "ok"}));
    assert_eq!(service.store_calls(), 0);
}

#[tokio::test]
async fn liveness_asks_no_store() {
    let service = Service::start().await;

    service.operations("/livez").send().await.expect(200);

    assert_eq!(service.store_calls(), 0);
}

#[tokio::test]
async fn service_is_ready_once_its_stores_have_answered() {
    let service = Service::start().await;

    let body = service.operations("/readyz").send().await.expect(200);

    assert_eq!(body, json!({"status": "ready", "users": "up", "sessions": "up"}));
}

#[tokio::test]
async fn draining_service_is_not_ready() {
    let service = Service::start().await;
    service.operations("/readyz").send().await.expect(200);

    service.readiness.drain();

    let body = service.operations("/readyz").send().await.expect(503);
    assert_eq!(body["status"], "draining");
    service.operations("/livez").send().await.expect(200);
}

#[tokio::test]
async fn probes_and_the_public_api_are_on_separate_listeners() {
    let service = Service::start().await;

    service.get("/readyz").send().await.expect(404);
    service.get("/livez").send().await.expect(404);
    service.operations("/profile/").send().await.expect(404);
}
