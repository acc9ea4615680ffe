//! `PATCH /profile/` and `DELETE /profile/`

use postern::{
    accounts::{AccountError, UserRef},
    model::{EventKind, Name, Role, User, UserId},
    passwords::{Password, WorkPermit},
};
use serde_json::json;

use super::Service;
use crate::support::{PASSWORD, admin_call, call, time, with_role};

#[tokio::test]
async fn name_can_be_changed() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;

    let body = ada.rename(json!({"name": " Ada King ", "email": "other@example.org"})).await.expect(200);

    assert_eq!((&body["name"], &body["email"]), (&json!("Ada King"), &json!("ada@example.org")));
    assert_eq!(ada.profile().await.expect(200), body);
    ada.expect_valid().await;
}

#[tokio::test]
async fn missing_or_invalid_name_changes_nothing() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;

    for body in [json!({}), json!({"name": null}), json!({"name": " "}), json!({"name": 7}), json!({"name": "a\nb"})] {
        assert_eq!(ada.rename(body.clone()).await.expect_field_errors("name").len(), 1, "{body}");
    }

    assert_eq!(ada.profile().await.expect(200)["name"], "Ada Lovelace");
}

#[tokio::test]
async fn name_that_misleads_readers_is_refused() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;

    for (name, sentence) in [
        ("\u{200b}", "This field may not be blank."),
        ("\u{2060}\u{3164}\u{2800}", "This field may not be blank."),
        ("Ada\u{202e}adA", "Bidirectional formatting characters are not allowed."),
        ("\u{2067}Ada\u{2069}", "Bidirectional formatting characters are not allowed."),
        ("Ada\u{2028}Lovelace", "Control characters are not allowed."),
    ] {
        let errors = ada.rename(json!({"name": name})).await.expect_field_errors("name");
        assert_eq!(errors, [sentence], "{}", name.escape_unicode());
    }

    let body = ada.rename(json!({"name": "\u{200f}نامه\u{200c}ای\u{200e} 👩\u{200d}💻\u{200d}"})).await.expect(200);
    assert_eq!(body["name"], "نامه\u{200c}ای 👩\u{200d}💻");
}

#[tokio::test]
async fn stored_name_is_not_validated_again() {
    let service = Service::start().await;
    let stored = "\u{202e}\u{200b}";
    let ada = service.signed_up("ada@example.org").await;
    let user = service.user(&ada.email).await;
    service
        .insert(&User {
            id: UserId::new(service.now()),
            email: "grace@example.org".parse().expect("an address"),
            name: Name::from_store(stored.to_owned()),
            ..user
        })
        .await;

    let grace = service.logged_in("grace@example.org", PASSWORD).await;

    assert_eq!(grace.profile().await.expect(200)["name"], stored);
    grace.change_password(PASSWORD, "new_password").await.expect(200);
}

#[tokio::test]
async fn right_password_deletes_the_account_and_its_sessions() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;
    let other = ada.second_session().await;
    let grace = service.signed_up("grace@example.org").await;

    let response = ada.delete_account(json!({"password": PASSWORD})).await;

    assert_eq!((response.status, response.body.len()), (204, 0));
    ada.expect_ended().await;
    other.expect_ended().await;
    grace.expect_valid().await;
    service.log_in(&ada.email, PASSWORD).await.expect_problem(401, "invalid_credentials");
    ada.log_out().await.expect(200);
    service.sign_up(&ada.email).await.expect(201);
}

#[tokio::test]
async fn wrong_password_deletes_nothing() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;

    for password in ["wrong_password", "x", &"a".repeat(300)] {
        let problem = ada.delete_account(json!({"password": password})).await.expect_problem(400, "wrong_password");
        assert_eq!(problem["fields"], json!({"password": ["The password is wrong."]}));
    }
    for body in [json!({}), json!({"password": null}), json!({"password": ""})] {
        assert_eq!(ada.delete_account(body).await.expect_field_errors("password").len(), 1);
    }

    ada.expect_valid().await;
}

#[tokio::test]
async fn session_that_ends_during_verification_deletes_nothing() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;
    let other = ada.second_session().await;
    let (accounts, call) = (&service.accounts, call());
    let current = accounts.authenticate(&ada.tokens.access, &call).await.expect("a valid session");

    other.change_password(PASSWORD, "new_password").await.expect(200);
    let outcome = accounts.delete_account(&current, &Password::new(PASSWORD), &call).await;

    assert!(matches!(outcome, Err(AccountError::InvalidAccessToken)), "{outcome:?}");
    other.expect_valid().await;
}

#[tokio::test]
async fn rehash_during_a_deletion_does_not_keep_the_account() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;
    let (accounts, call) = (&service.accounts, call());
    let current = accounts.authenticate(&ada.tokens.access, &call).await.expect("a valid session");
    let password = Password::new(PASSWORD);

    let renewed = accounts.hasher.hash(&WorkPermit::for_command_line(), &password).await.expect("no queue");
    accounts.users.rehash(&current.user, &renewed, &call.time).await.expect("a response");
    accounts.delete_account(&current, &password, &call).await.expect("the password is right");

    ada.expect_ended().await;
}

#[tokio::test]
async fn last_administrator_cannot_delete_the_account() {
    let service = Service::start().await;
    let (ada, grace) = (service.signed_up("ada@example.org").await, service.signed_up("grace@example.org").await);
    let (elsewhere, user_admin) = (ada.second_session().await, service.user_admin());
    let promote = async |email: &str| {
        let who = UserRef::Email(email.parse().expect("an address"));
        user_admin.edit(&who, with_role(Role::Administrator), &admin_call(&time())).await.expect("done");
    };
    promote(&ada.email).await;

    for _ in 0..3 {
        let problem = ada.delete_account(json!({"password": PASSWORD})).await;
        problem.expect_problem(409, "last_administrator");
    }
    ada.delete_account(json!({"password": "wrong_password"})).await.expect_problem(400, "wrong_password");
    ada.expect_valid().await;
    elsewhere.expect_valid().await;
    assert!(service.audited(3).await.iter().all(|event| event.kind != EventKind::AccountDeleted));

    promote(&grace.email).await;
    assert_eq!(ada.delete_account(json!({"password": PASSWORD})).await.status, 204);
    ada.expect_ended().await;
}

#[tokio::test]
async fn promotion_during_a_deletion_protects_the_last_administrator() {
    let service = Service::start().await;
    let (ada, user_admin) = (service.signed_up("ada@example.org").await, service.user_admin());
    let (accounts, call) = (&service.accounts, call());
    let current = accounts.authenticate(&ada.tokens.access, &call).await.expect("a valid session");

    let who = UserRef::Id(current.user.id);
    user_admin.edit(&who, with_role(Role::Administrator), &admin_call(&time())).await.expect("done");
    let outcome = accounts.delete_account(&current, &Password::new(PASSWORD), &call).await;

    assert!(matches!(outcome, Err(AccountError::LastAdministrator)), "{outcome:?}");
    ada.expect_valid().await;
}
