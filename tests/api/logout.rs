//! `POST /logout/`

use std::time::Duration;

use serde_json::json;

use super::Service;

#[tokio::test]
async fn logout_ends_the_session_and_no_other() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;
    let other = ada.second_session().await;

    let body = ada.log_out().await.expect(200);

    assert_eq!(body, json!({"message": "Logged out successfully"}));
    ada.expect_ended().await;
    other.expect_valid().await;
}

#[tokio::test]
async fn logout_takes_effect_at_another_server_at_once() {
    let service = Service::start().await;
    let second = service.second().await;
    let ada = service.signed_up("ada@example.org").await;
    ada.at(&second).expect_valid().await;

    ada.log_out().await.expect(200);

    ada.at(&second).expect_ended().await;
}

#[tokio::test]
async fn repeated_or_late_logout_is_no_error() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;

    ada.log_out().await.expect(200);
    ada.log_out().await.expect(200);
    service.advance(Duration::from_hours(48));
    ada.log_out().await.expect(200);
}

#[tokio::test]
async fn forged_token_ends_no_session() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;
    let before = service.store_calls();

    for token in [&ada.tokens.refresh[1..], &ada.tokens.access, "x"] {
        let response = service.post("/logout/", json!({"refresh": token})).send().await;
        response.expect_problem(401, "invalid_refresh_token");
    }

    assert_eq!(service.store_calls(), before);
    ada.expect_valid().await;
}

#[tokio::test]
async fn missing_or_blank_token_is_reported() {
    let service = Service::start().await;

    for (body, sentence) in
        [(json!({}), "This field is required."), (json!({"refresh": " "}), "This field may not be blank.")]
    {
        assert_eq!(service.post("/logout/", body).send().await.expect_field_errors("refresh"), [sentence]);
    }
}
