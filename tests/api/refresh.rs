//! `POST /refresh/`

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;

use super::Service;

#[tokio::test]
async fn refresh_returns_a_new_access_token_and_nothing_else() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;

    let body = ada.refresh().await.expect(200);

    assert_eq!(body.as_object().expect("an object").len(), 1);
    let access = body["access"].as_str().expect("a token");
    assert_ne!(access, ada.tokens.access);
    service.get("/profile/").bearer(access).send().await.expect(200);
}

#[tokio::test]
async fn refresh_token_is_reusable_until_the_session_expires() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;

    for _ in 0..23 {
        service.advance(Duration::from_hours(1));
        ada.refresh().await.expect(200);
    }
    service.advance(Duration::from_hours(1));

    ada.refresh().await.expect_problem(401, "invalid_refresh_token");
}

#[tokio::test]
async fn access_token_never_outlives_its_session() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;
    service.advance(Duration::from_mins(24 * 60 - 2));

    let body = ada.refresh().await.expect(200);

    let token = body["access"].as_str().expect("a token");
    service.get("/profile/").bearer(token).send().await.expect(200);
    service.advance(Duration::from_mins(2));
    service.get("/profile/").bearer(token).send().await.expect_problem(401, "token_expired");
}

#[tokio::test]
async fn forged_token_is_refused_without_asking_a_store() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;
    let of_another_service = Service::start().await.signed_up("ada@example.org").await.tokens.refresh;
    let genuine = URL_SAFE_NO_PAD.decode(&ada.tokens.refresh).expect("base64url");
    let before = service.store_calls();

    let mut forged = vec![of_another_service, ada.tokens.access.clone(), "x".to_owned(), "ü".repeat(52)];
    for byte in 0..genuine.len() {
        let mut bytes = genuine.clone();
        bytes[byte] ^= 1;
        forged.push(URL_SAFE_NO_PAD.encode(bytes));
    }
    for token in [format!(" {}", ada.tokens.refresh), format!("{}=", ada.tokens.refresh)] {
        forged.push(token);
    }
    for token in forged {
        let response = service.post("/refresh/", json!({"refresh": token})).send().await;
        response.expect_problem(401, "invalid_refresh_token");
    }

    assert_eq!(service.store_calls(), before);
}

#[tokio::test]
async fn refresh_token_has_at_most_128_url_safe_characters() {
    let service = Service::start().await;

    let token = service.signed_up("ada@example.org").await.tokens.refresh;

    assert!(token.len() <= 128, "{}", token.len());
    assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{token}");
}

#[tokio::test]
async fn missing_or_blank_token_is_reported() {
    let service = Service::start().await;

    for (body, sentence) in
        [(json!({}), "This field is required."), (json!({"refresh": " "}), "This field may not be blank.")]
    {
        assert_eq!(service.post("/refresh/", body).send().await.expect_field_errors("refresh"), [sentence]);
    }
}
