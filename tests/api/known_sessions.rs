//! Logins that come with a refresh token of the account: its owner cannot be locked out by failures elsewhere.

use std::time::Duration;

use postern::model::EventKind;
use serde_json::{Value, json};

use super::{
    Service,
    rate_limit::{ELSEWHERE, HOME, WRONG, behind_proxy},
};
use crate::support::{PASSWORD, Response};

const EMAIL: &str = "ada@example.org";

/// A network from which nobody has logged in.
const MOBILE: &str = "203.0.113.1";

/// The time between two looks at a limit: a part of its longest delay of 16 minutes.
const MINUTES: u64 = 4;

impl Service {
    async fn log_in_with(&self, address: &str, email: &str, password: &str, refresh: &Value) -> Response {
        let body = json!({"email": email, "password": password, "refresh": refresh});
        self.post("/token/", body).header("x-forwarded-for", address).send().await
    }

    /// Makes every unknown device wait for the longest time.
    async fn lock_out_unknown_devices(&self) {
        self.fail_from(ELSEWHERE, EMAIL, 20).await;
        self.log_in_from(MOBILE, EMAIL, PASSWORD).await.expect_problem(429, "too_many_attempts");
    }
}

#[tokio::test]
async fn login_with_an_own_refresh_token_is_not_locked_out() {
    let service = behind_proxy().await;
    let ada = service.signed_up(EMAIL).await;
    service.lock_out_unknown_devices().await;

    service.log_in_with(MOBILE, EMAIL, PASSWORD, &json!(ada.tokens.refresh)).await.expect(200);
}

#[tokio::test]
async fn refresh_token_of_an_ended_session_shows_the_device() {
    let service = behind_proxy().await;
    let ada = service.signed_up(EMAIL).await;
    ada.log_out().await.expect(200);
    service.lock_out_unknown_devices().await;

    service.log_in_with(MOBILE, EMAIL, PASSWORD, &json!(ada.tokens.refresh)).await.expect(200);
}

#[tokio::test]
async fn refresh_token_with_a_login_ends_and_rotates_nothing() {
    let service = behind_proxy().await;
    let ada = service.signed_up(EMAIL).await;

    service.log_in_with(MOBILE, EMAIL, PASSWORD, &json!(ada.tokens.refresh)).await.expect(200);
    service.log_in_with(MOBILE, EMAIL, WRONG, &json!(ada.tokens.refresh)).await.expect(401);

    ada.profile().await.expect(200);
    ada.refresh().await.expect(200);
}

#[tokio::test]
async fn other_values_of_refresh_are_ignored() {
    let service = behind_proxy().await;
    let ada = service.signed_up(EMAIL).await;
    let eve = service.signed_up("eve@example.org").await;
    let mut forged = ada.tokens.refresh.clone();
    forged.replace_range(0..1, "B");
    let values = [
        json!(eve.tokens.refresh),
        json!(forged),
        json!(ada.tokens.access),
        json!(""),
        json!(5),
        Value::Null,
        json!([]),
    ];

    for refresh in &values {
        service.log_in_with(HOME, EMAIL, PASSWORD, refresh).await.expect(200);
    }
    service.lock_out_unknown_devices().await;

    for refresh in &values {
        let response = service.log_in_with(MOBILE, EMAIL, PASSWORD, refresh).await;
        response.expect_problem(429, "too_many_attempts");
    }
}

#[tokio::test]
async fn token_of_another_account_causes_the_store_calls_of_none() {
    let service = behind_proxy().await;
    let eve = service.signed_up("eve@example.org").await;
    service.signed_up(EMAIL).await;
    for email in [EMAIL, "nobody@example.org"] {
        let before = service.store_calls();
        service.log_in_from(MOBILE, email, WRONG).await.expect(401);
        let without = service.store_calls() - before;

        let before = service.store_calls();
        service.log_in_with(MOBILE, email, WRONG, &json!(eve.tokens.refresh)).await.expect(401);
        assert_eq!(service.store_calls() - before, without, "{email}");
    }
}

#[tokio::test]
async fn one_token_adds_at_most_110_guesses_a_day() {
    let service = behind_proxy().await;
    let ada = service.signed_up(EMAIL).await;
    let refresh = json!(ada.tokens.refresh);
    service.lock_out_unknown_devices().await;

    let mut guesses = 0;
    for number in 0..24 * 60 / MINUTES {
        let address = format!("10.{}.{}.1", number / 250, number % 250);
        // Another attacker uses up what unknown devices may guess, so the token's guesses are counted alone.
        while service.log_in_from(&address, EMAIL, WRONG).await.status == 401 {}
        while service.log_in_with(&address, EMAIL, WRONG, &refresh).await.status == 401 {
            guesses += 1;
            assert!(guesses <= 110, "guess {guesses} within a day");
        }
        service.advance(Duration::from_mins(MINUTES));
    }

    assert!(guesses > 80, "{guesses}");
}

#[tokio::test]
async fn token_of_another_account_looks_up_ten_users_at_most() {
    let service = behind_proxy().await;
    let eve = service.signed_up("eve@example.org").await;
    service.signed_up(EMAIL).await;
    service.lock_out_unknown_devices().await;

    let before = service.store_calls();
    for _ in 0..20 {
        let response = service.log_in_with(MOBILE, EMAIL, PASSWORD, &json!(eve.tokens.refresh)).await;
        response.expect_problem(429, "too_many_attempts");
    }

    assert_eq!(service.store_calls() - before, 10);
}

#[tokio::test]
async fn hundred_failures_of_a_known_device_are_recorded() {
    let service = behind_proxy().await;
    service.signed_up(EMAIL).await;
    service.log_in_from(HOME, EMAIL, PASSWORD).await.expect(200);

    service.fail_from(HOME, EMAIL, 100).await;

    assert_eq!(service.audited_of(EventKind::PasswordFailures).await.len(), 1);
}
