//! `POST /token/`

use std::time::Duration;

use postern::{
    model::{AccountStatus, PasswordHash, User, UserId},
    passwords::{HashParameters, HasherSettings, Password, WorkPermit},
};
use serde_json::json;

use super::Service;
use crate::support::{CHEAP, PASSWORD, Settings};

#[tokio::test]
async fn login_returns_both_tokens_and_nothing_else() {
    let service = Service::start().await;
    service.signed_up("ada@example.org").await;

    let body = service.log_in("ada@example.org", PASSWORD).await.expect(200);

    let mut fields: Vec<_> = body.as_object().expect("an object").keys().collect();
    fields.sort();
    assert_eq!(fields, ["access", "refresh"]);
}

#[tokio::test]
async fn login_accepts_any_case_and_spelling_of_the_email() {
    let service = Service::start().await;
    service.signed_up("ada@bücher.example").await;

    for email in ["Ada@Bücher.Example", " ada@xn--bcher-kva.example "] {
        service.logged_in(email, PASSWORD).await.expect_valid().await;
    }
}

#[tokio::test]
async fn each_login_opens_a_new_session() {
    let service = Service::start().await;
    let first = service.signed_up("ada@example.org").await;
    let second = first.second_session().await;

    first.log_out().await.expect(200);

    first.expect_ended().await;
    second.expect_valid().await;
}

/// Every kind of refused login, by email and password: two of Ada's, then others.
async fn refused_logins(service: &Service) -> Vec<(&'static str, String)> {
    let ada = service.signed_up("ada@example.org").await;
    let stored = service.user(&ada.email).await;
    let like_ada = |email: &str| User {
        id: UserId::new(stored.created),
        email: email.parse().expect("a valid address"),
        ..stored.clone()
    };
    service.insert(&User { status: AccountStatus::Inactive, ..like_ada("inactive@example.org") }).await;
    service.insert(&User { password: None, ..like_ada("without@example.org") }).await;
    let unusable = Some(PasswordHash::new("!unusable".to_owned()));
    service.insert(&User { password: unusable, ..like_ada("unusable@example.org") }).await;
    let too_long = "a".repeat(257);
    let imported = service
        .accounts
        .hasher
        .hash(&WorkPermit::for_command_line(), &Password::new(&too_long))
        .await
        .expect("no queue");
    service.insert(&User { password: Some(imported), ..like_ada("imported@example.org") }).await;
    let refused = [
        ("ada@example.org", "wrong_password"),
        ("ada@example.org", &too_long),
        ("nobody@example.org", PASSWORD),
        ("nobody@example.org", &too_long),
        ("inactive@example.org", PASSWORD),
        ("inactive@example.org", "wrong_password"),
        ("without@example.org", PASSWORD),
        ("unusable@example.org", PASSWORD),
        ("imported@example.org", &too_long),
        ("not an address", PASSWORD),
    ];
    refused.map(|(email, password)| (email, password.to_owned())).to_vec()
}

#[tokio::test]
async fn every_wrong_login_gets_the_same_response() {
    let service = Service::start().await;
    let mut responses = Vec::new();
    for (email, password) in refused_logins(&service).await {
        let mut response = service.log_in(email, &password).await;
        for of_this_request in ["x-request-id", "date"] {
            response.headers.remove(of_this_request);
        }
        responses.push((response.status, response.headers, response.body));
    }

    responses.dedup();
    assert_eq!(responses.len(), 1, "{responses:#?}");
    let (status, _, body) = &responses[0];
    let sentence = r#"{"error":"No active account has this email and password","code":"invalid_credentials"}"#;
    assert_eq!((*status, &body[..]), (401, sentence.as_bytes()));
}

#[tokio::test]
async fn every_wrong_login_costs_one_hash_and_one_user_lookup() {
    let service = Service::start().await;
    for (email, password) in refused_logins(&service).await {
        let (hashes, calls) = (service.accounts.hasher.hashes(), service.store_calls());

        service.log_in(email, &password).await.expect_problem(401, "invalid_credentials");

        assert_eq!(service.accounts.hasher.hashes() - hashes, 1, "{email}");
        let asked = if email == "not an address" { "users.ping" } else { "users.by_email" };
        assert_eq!(service.counting.calls()[calls..], [asked], "{email}");
    }
}

#[tokio::test]
async fn wrong_password_for_reauthentication_costs_one_hash() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;
    let before = service.accounts.hasher.hashes();

    ada.change_password("wrong_password", "new_password").await.expect_problem(400, "wrong_password");
    assert_eq!(service.accounts.hasher.hashes() - before, 1);

    ada.delete_account(json!({"password": "wrong_password"})).await.expect_problem(400, "wrong_password");
    assert_eq!(service.accounts.hasher.hashes() - before, 2);
}

#[tokio::test]
async fn missing_or_blank_field_is_reported() {
    let service = Service::start().await;

    let problem = service.post("/token/", json!({"email": " "})).send().await.expect_problem(400, "validation_failed");

    assert_eq!(problem["fields"]["email"], json!(["This field may not be blank."]));
    assert_eq!(problem["fields"]["password"], json!(["This field is required."]));
}

#[tokio::test]
async fn login_applies_no_password_policy() {
    let service = Service::start().await;

    service.log_in("ada@example.org", "x").await.expect_problem(401, "invalid_credentials");
}

#[tokio::test]
async fn login_rehashes_old_parameters_and_ends_no_session() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;
    let parameters = HashParameters { passes: 2, ..CHEAP };
    let hashing = HasherSettings { parameters, threads: 1, max_wait: Duration::from_mins(1) };
    let dearer = service.second_with(Settings { hashing, ..Settings::default() }).await;
    assert_eq!(service.hash_parameters(&ada.email).await, "m=8,t=1,p=1");

    dearer.log_in(&ada.email, PASSWORD).await.expect(200);

    assert_eq!(service.hash_parameters(&ada.email).await, "m=8,t=2,p=1");
    ada.expect_valid().await;
    dearer.log_in(&ada.email, PASSWORD).await.expect(200);
}
