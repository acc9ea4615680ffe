//! `POST /reauthenticate/`

use std::time::Duration;

use postern::{accounts::AccountError, model::EventKind, passwords::Password};
use serde_json::json;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    Service,
    rate_limit::{ELSEWHERE, WRONG, behind_proxy, retry_after},
};
use crate::support::{NEW_PASSWORD, PASSWORD, Settings, TestUser, call, string_field};

impl Service {
    /// Returns when the session was authenticated, as a signed-in request finds it.
    async fn authenticated(&self, user: &TestUser) -> OffsetDateTime {
        let current = self.accounts.authenticate(&user.tokens.access, &call()).await.expect("a valid session");
        current.session.authenticated
    }
}

#[tokio::test]
async fn login_and_password_authenticate_a_session() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;
    let opened = service.authenticated(&ada).await;
    assert!((service.now() - opened).abs() < Duration::from_mins(1), "{opened}");

    service.advance(Duration::from_mins(3));
    let body = ada.reauthenticate(PASSWORD).await.expect(200);

    let renewed = service.authenticated(&ada).await;
    assert!(renewed - opened >= Duration::from_mins(3), "{renewed}");
    let shown = OffsetDateTime::parse(string_field(&body, "authenticated_at"), &Rfc3339).expect("a time");
    assert_eq!(shown, renewed.replace_nanosecond(0).expect("a time"));
    assert_eq!(body.as_object().map(serde_json::Map::len), Some(1));
    let events = service.audited_of(EventKind::Reauthenticated).await;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].subject.session.map(|id| id.to_string()), Some(ada.session_id().await));
}

#[tokio::test]
async fn other_session_of_the_user_is_not_authenticated() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;
    let other = ada.second_session().await;
    let before = service.authenticated(&other).await;

    service.advance(Duration::from_mins(3));
    ada.reauthenticate(PASSWORD).await.expect(200);

    assert_eq!(service.authenticated(&other).await, before);
}

#[tokio::test]
async fn refresh_and_use_do_not_authenticate_a_session() {
    for rotation_enabled in [false, true] {
        let service = Service::start_with(Settings { rotation_enabled, ..Settings::default() }).await;
        let mut ada = service.signed_up("ada@example.org").await;
        let opened = service.authenticated(&ada).await;
        service.advance(Duration::from_mins(3));

        let body = ada.refresh().await.expect(200);
        string_field(&body, "access").clone_into(&mut ada.tokens.access);
        ada.profile().await.expect(200);

        assert_eq!(service.authenticated(&ada).await, opened, "{rotation_enabled}");
    }
}

#[tokio::test]
async fn wrong_password_does_not_authenticate_a_session() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;
    let opened = service.authenticated(&ada).await;
    service.advance(Duration::from_mins(3));

    let problem = ada.reauthenticate(WRONG).await.expect_problem(400, "wrong_password");

    assert_eq!(problem["fields"], json!({"password": ["The password is wrong."]}));
    assert_eq!(ada.reauthenticate("").await.expect_field_errors("password").len(), 1);
    service
        .post("/reauthenticate/", json!({"password": PASSWORD}))
        .send()
        .await
        .expect_problem(401, "not_authenticated");
    assert_eq!(service.authenticated(&ada).await, opened);
    let events = service.audited_of(EventKind::PasswordConfirmationFailed).await;
    assert!(events.iter().all(|event| event.subject.session.is_some()), "{events:?}");
}

#[tokio::test]
async fn session_that_ends_during_verification_is_not_authenticated() {
    let service = Service::start().await;
    for ends_by_epoch in [false, true] {
        let ada = service.signed_up(&format!("ada.{ends_by_epoch}@example.org")).await;
        let other = ada.second_session().await;
        let current = service.accounts.authenticate(&ada.tokens.access, &call()).await.expect("a valid session");

        if ends_by_epoch {
            other.change_password_and_sessions(PASSWORD, NEW_PASSWORD).await.expect(200);
        } else {
            ada.log_out().await.expect(200);
        }
        let password = Password::new(if ends_by_epoch { NEW_PASSWORD } else { PASSWORD });
        let outcome = service.accounts.renew_authentication(&current, &password, &call()).await;

        assert!(matches!(outcome, Err(AccountError::InvalidAccessToken | AccountError::WrongPassword)), "{outcome:?}");
        ada.expect_ended().await;
    }
    assert!(service.audited(1).await.iter().all(|event| event.kind != EventKind::Reauthenticated));
}

#[tokio::test]
async fn guesses_count_against_the_limit_of_the_account() {
    let service = behind_proxy().await;
    let ada = service.signed_up("ada@example.org").await;
    let guess = async |address: &str, password: &str| {
        let request = service.post("/reauthenticate/", json!({"password": password})).bearer(&ada.tokens.access);
        request.header("x-forwarded-for", address).send().await
    };

    for _ in 0..10 {
        guess(ELSEWHERE, WRONG).await.expect_problem(400, "wrong_password");
    }

    assert!(retry_after(guess(ELSEWHERE, PASSWORD).await) > Duration::ZERO);
}
