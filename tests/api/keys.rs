//! `GET /.well-known/paserk.json` and `GET /.well-known/jwks.json`

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::Service;
use crate::support::Fault;

#[tokio::test]
async fn signing_key_is_published_under_the_id_in_tokens() {
    let service = Service::start().await;

    let set = service.get("/.well-known/paserk.json").send().await.expect(200);

    let [key] = &set["keys"].as_array().expect("keys")[..] else { panic!("one key: {set}") };
    assert_eq!(key["state"], "active");
    let ada = service.signed_up("ada@example.org").await;
    let footer = ada.tokens.access.rsplit('.').next().expect("a footer");
    assert_eq!(decoded(footer), json!({"kid": key["kid"]}));
}

fn decoded(part: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64url")).expect("JSON")
}

#[tokio::test]
async fn published_keys_are_cacheable_and_ask_no_store() {
    let service = Service::start().await;

    for method in ["GET", "HEAD"] {
        let response = service.request(method, "/.well-known/paserk.json").send().await;
        assert_eq!((response.status, response.text("cache-control")), (200, "public, max-age=300"));
    }
    service.request("POST", "/.well-known/paserk.json").send().await.expect_problem(405, "method_not_allowed");

    assert_eq!(service.store_calls(), 0);
}

#[tokio::test]
async fn keys_are_published_while_the_stores_are_down() {
    let service = Service::start().await;
    service.counting.set_fault(Fault::Hang);

    service.get("/.well-known/paserk.json").send().await.expect(200);
}

#[cfg(feature = "jwt")]
#[tokio::test]
async fn same_keys_are_published_as_a_jwk_set() {
    let service = Service::start().await;

    let response = service.get("/.well-known/jwks.json").send().await;

    assert_eq!(response.text("cache-control"), "public, max-age=300");
    let (jwks, paserk) = (response.expect(200), service.get("/.well-known/paserk.json").send().await.expect(200));
    let [jwk] = &jwks["keys"].as_array().expect("keys")[..] else { panic!("one key: {jwks}") };
    assert_eq!(jwk["kid"], paserk["keys"][0]["kid"]);
    assert_eq!(paserk["keys"][0]["paserk"], format!("k4.public.{}", jwk["x"].as_str().expect("a text")));
    assert_eq!(service.store_calls(), 0);
}

#[cfg(not(feature = "jwt"))]
#[tokio::test]
async fn without_jwt_there_is_no_jwk_set() {
    let service = Service::start().await;

    let response = service.get("/.well-known/jwks.json").send().await;

    assert_eq!(response.expect(404), json!({"error": "The endpoint was not found"}));
}
