//! `POST /change-password/`

use postern::{
    accounts::{EndedSessions, RequestedChange},
    passwords::{Password, WorkPermit},
};
use serde_json::json;

use super::Service;
use crate::support::{PASSWORD, call};

const NEW: &str = "new_password";

#[tokio::test]
async fn password_change_changes_the_password() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;

    let body = ada.change_password(PASSWORD, NEW).await.expect(200);

    assert_eq!(body, json!({"message": "Password changed successfully"}));
    service.log_in(&ada.email, PASSWORD).await.expect_problem(401, "invalid_credentials");
    service.log_in(&ada.email, NEW).await.expect(200);
}

#[tokio::test]
async fn password_change_keeps_its_session_and_ends_all_others() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;
    let other = ada.second_session().await;
    let grace = service.signed_up("grace@example.org").await;

    ada.change_password(PASSWORD, NEW).await.expect(200);

    ada.expect_valid().await;
    other.expect_ended().await;
    grace.expect_valid().await;
}

#[tokio::test]
async fn password_change_takes_effect_at_another_server_at_once() {
    let service = Service::start().await;
    let second = service.second().await;
    let ada = service.signed_up("ada@example.org").await;
    let other = ada.second_session().await;

    ada.change_password(PASSWORD, NEW).await.expect(200);

    other.at(&second).expect_ended().await;
    ada.at(&second).expect_valid().await;
    second.log_in(&ada.email, PASSWORD).await.expect_problem(401, "invalid_credentials");
}

#[tokio::test]
async fn second_change_ends_the_session_that_made_the_first() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;
    ada.change_password(PASSWORD, NEW).await.expect(200);
    let later = service.logged_in(&ada.email, NEW).await;

    later.change_password(NEW, "a third passphrase").await.expect(200);

    ada.expect_ended().await;
    later.expect_valid().await;
}

#[tokio::test]
async fn surviving_session_may_change_the_password_again() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;

    ada.change_password(PASSWORD, NEW).await.expect(200);
    ada.change_password(NEW, "a third passphrase").await.expect(200);

    ada.expect_valid().await;
}

#[tokio::test]
async fn wrong_old_password_changes_nothing() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;

    for old in ["wrong_password", &"a".repeat(300), "x"] {
        let problem = ada.change_password(old, NEW).await.expect_problem(400, "wrong_password");
        assert_eq!(problem["fields"]["old_password"].as_array().map(Vec::len), Some(1), "{problem}");
    }

    service.log_in(&ada.email, PASSWORD).await.expect(200);
}

#[tokio::test]
async fn weak_new_password_is_refused_before_any_hash() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;
    let before = service.accounts.hasher.hashes();

    let sentences = ada.change_password(PASSWORD, "lovelace1").await.expect_field_errors("new_password");

    assert!(sentences.contains(&"This password is too similar to the name.".to_owned()), "{sentences:?}");
    assert_eq!(service.accounts.hasher.hashes(), before);
}

#[tokio::test]
async fn new_password_must_differ_from_the_old_one() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;

    let sentences = ada.change_password(PASSWORD, PASSWORD).await.expect_field_errors("new_password");

    assert_eq!(sentences, ["The new password must differ from the old one."]);
}

#[tokio::test]
async fn missing_fields_are_reported_together() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;

    let request = service.post("/change-password/", json!({})).bearer(&ada.tokens.access);
    let problem = request.send().await.expect_problem(400, "validation_failed");

    assert_eq!(problem["fields"].as_object().map(serde_json::Map::len), Some(2), "{problem}");
}

#[tokio::test]
async fn one_of_two_changes_by_two_sessions_wins() {
    let service = Service::start().await;
    for round in 0..4 {
        let ada = service.signed_up(&format!("ada{round}@example.org")).await;
        let other = ada.second_session().await;

        let (left, right) = tokio::join!(
            ada.change_password(PASSWORD, "left passphrase"),
            other.change_password(PASSWORD, "right passphrase")
        );

        let (winner, loser, error) = match (left.status, right.status) {
            (200, _) => (&ada, &other, right),
            (_, 200) => (&other, &ada, left),
            other => panic!("{other:?}"),
        };
        error.expect_problem(401, "invalid_token");
        winner.expect_valid().await;
        loser.expect_ended().await;
    }
}

#[tokio::test]
async fn one_of_two_changes_by_one_session_wins() {
    let service = Service::start().await;
    for round in 0..4 {
        let ada = service.signed_up(&format!("ada{round}@example.org")).await;

        let (left, right) = tokio::join!(
            ada.change_password(PASSWORD, "left passphrase"),
            ada.change_password(PASSWORD, "right passphrase")
        );

        let error = match (left.status, right.status) {
            (200, _) => right,
            (_, 200) => left,
            other => panic!("{other:?}"),
        };
        error.expect_problem(400, "wrong_password");
        ada.expect_valid().await;
    }
}

#[tokio::test]
async fn login_racing_a_password_change_leaves_no_valid_session() {
    let service = Service::start().await;
    for round in 0..4 {
        let ada = service.signed_up(&format!("ada{round}@example.org")).await;

        let (changed, login) = tokio::join!(ada.change_password(PASSWORD, NEW), service.log_in(&ada.email, PASSWORD));

        changed.expect(200);
        if login.status == 200 {
            let body = login.json();
            let access = body["access"].as_str().expect("a token");
            service.get("/profile/").bearer(access).send().await.expect_problem(401, "invalid_token");
            let refresh = json!({"refresh": body["refresh"]});
            service.post("/refresh/", refresh).send().await.expect_problem(401, "invalid_refresh_token");
        }
    }
}

#[tokio::test]
async fn rehash_during_a_change_keeps_the_password_right() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;
    let (accounts, call) = (&service.accounts, call());
    let current = accounts.authenticate(&ada.tokens.access, &call).await.expect("a valid session");
    let new = accounts.policy.check(Password::new(NEW), None, None);
    let change = RequestedChange { old: Password::new(PASSWORD), new, ended: EndedSessions::Others };

    let renewed = accounts.hasher.hash(&WorkPermit::for_command_line(), &change.old).await.expect("no queue");
    accounts.users.rehash(&current.user, &renewed, &call.time).await.expect("a response");
    accounts.change_password(&current, change, &call).await.expect("the password is right");

    service.log_in(&ada.email, NEW).await.expect(200);
}
