//! `POST /logout/`

use std::time::Duration;

use serde_json::json;

use super::Service;

#[tokio::test]
async fn a_logout_ends_the_session_and_no_other() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;
    let other = ada.second_session().await;

    let body = ada.log_out().await.expect(200);

    assert_eq!(body, json!({"message": "Logged out successfully"}));
    ada.expect_ended().await;
    other.expect_valid().await;
}

#[tokio::test]
async fn another_server_knows_of_a_logout_at_once() {
    let service = Service::start().await;
    let second = service.second().await;
    let ada = service.signed_up("ada@example.org").await;
    ada.at(&second).expect_valid().await;

    ada.log_out().await.expect(200);

    ada.at(&second).expect_ended().await;
}

#[tokio::test]
async fn logging_out_again_or_long_after_is_no_error() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;

    ada.log_out().await.expect(200);
    ada.log_out().await.expect(200);
    service.advance(Duration::from_hours(48));
    ada.log_out().await.expect(200);
}

#[tokio::test]
async fn a_forged_token_logs_nobody_out() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;
    let before = service.store_calls();

    for token in [&ada.tokens.refresh[1..], &ada.tokens.access, "x"] {
        let answer = service.post("/logout/", json!({"refresh": token})).send().await;
        answer.expect_problem(401, "invalid_refresh_token");
    }

    assert_eq!(service.store_calls(), before);
    ada.expect_valid().await;
}

#[tokio::test]
async fn a_missing_or_blank_token_is_reported() {
    let service = Service::start().await;

    for (body, sentence) in
        [(json!({}), "This field is required."), (json!({"refresh": " "}), "This field may not be blank.")]
    {
        assert_eq!(service.post("/logout/", body).send().await.expect_objections("refresh"), [sentence]);
    }
}
