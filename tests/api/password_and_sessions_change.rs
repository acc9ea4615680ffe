//! `POST /change-password/` with `end_all_sessions`.

use std::{future::pending, time::Duration};

use postern::{
    accounts::{AccountError, CallContext, EndedSessions, RequestedChange},
    model::{EventKind, Session},
    passwords::{Password, WorkPermit},
    store::{StoreError, TimeBudget},
};
use serde_json::{Value, json};

use super::Service;
use crate::support::{Fault, LONG, PASSWORD, Settings, TestUser, call, eventually, time};

const NEW: &str = "new_password";

/// Returns the stored sessions of a user, valid or not.
async fn stored(service: &Service, user: &TestUser) -> Vec<Session> {
    let id = service.user(&user.email).await.id;
    service.counting.sessions.list(id, &time()).await.expect("a response")
}

#[tokio::test]
async fn every_session_ends_and_the_response_has_a_new_one() {
    for rotation_enabled in [false, true] {
        let service = Service::start_with(Settings { rotation_enabled, ..Settings::default() }).await;
        let second = service.second_with(Settings { rotation_enabled, ..Settings::default() }).await;
        let ada = service.signed_up("ada@example.org").await;
        let (thief, other) = (ada.clone(), ada.second_session().await);
        let grace = service.signed_up("grace@example.org").await;

        let body = ada.change_password_and_sessions(PASSWORD, NEW).await.expect(200);

        assert_eq!(body["message"], "Password changed successfully");
        for server in [&service, &second] {
            thief.at(server).expect_ended().await;
            other.at(server).expect_ended().await;
        }
        let renewed = ada.with_tokens_of(&body);
        renewed.at(&second).expect_valid().await;
        grace.expect_valid().await;
        assert_eq!(stored(&service, &ada).await.len(), 1);
        service.log_in(&ada.email, PASSWORD).await.expect_problem(401, "invalid_credentials");
        service.log_in(&ada.email, NEW).await.expect(200);
    }
}

#[tokio::test]
async fn false_is_the_same_as_no_field() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;

    let body = json!({"old_password": PASSWORD, "new_password": NEW, "end_all_sessions": false});
    let body = service.post("/change-password/", body).bearer(&ada.tokens.access).send().await.expect(200);

    assert_eq!(body, json!({"message": "Password changed successfully"}));
    ada.expect_valid().await;
}

#[tokio::test]
async fn value_that_is_no_boolean_is_refused() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;
    let no_boolean = "Must be a valid boolean.";
    for (value, sentence) in [
        (json!("true"), no_boolean),
        (json!(1), no_boolean),
        (json!([true]), no_boolean),
        (json!({}), no_boolean),
        (Value::Null, "This field may not be null."),
    ] {
        let body = json!({"old_password": PASSWORD, "new_password": NEW, "end_all_sessions": value});
        let request = service.post("/change-password/", body).bearer(&ada.tokens.access);

        assert_eq!(request.send().await.expect_field_errors("end_all_sessions"), [sentence], "{value}");
    }
    ada.expect_valid().await;
    service.log_in(&ada.email, PASSWORD).await.expect(200);
}

#[tokio::test]
async fn wrong_old_password_opens_no_session() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;

    ada.change_password_and_sessions("wrong_password", NEW).await.expect_problem(400, "wrong_password");

    assert_eq!(stored(&service, &ada).await.len(), 1);
    ada.expect_valid().await;
}

#[tokio::test]
async fn new_session_is_that_of_the_request() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;

    let body = json!({"old_password": PASSWORD, "new_password": NEW, "end_all_sessions": true});
    let request = service.post("/change-password/", body).bearer(&ada.tokens.access);
    let body = request.header("user-agent", "curl/8").send().await.expect(200);

    let list = ada.with_tokens_of(&body).sessions().await.expect(200);
    let [session] = list["sessions"].as_array().map(Vec::as_slice).expect("a list") else { panic!("{list}") };
    assert_eq!((&session["user_agent"], &session["current"]), (&json!("curl/8"), &json!(true)));
}

#[tokio::test]
async fn new_session_is_audited_and_counted() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;
    let former = ada.session_id().await;

    let body = ada.change_password_and_sessions(PASSWORD, NEW).await.expect(200);

    let opened = ada.with_tokens_of(&body).session_id().await;
    let events = service.audited_of(EventKind::PasswordChanged).await;
    let [event] = &events[..] else { panic!("{events:?}") };
    assert_eq!(event.subject.session.map(|session| session.to_string()), Some(former));
    assert_eq!(event.subject.detail, Some(format!("every session ended; new session {opened}")));
    let metric = async |name| service.metric(name).await;
    assert_eq!(metric(r#"postern_sessions_opened_total{reason="password_change"}"#).await, 1);
    assert_eq!(metric(r#"postern_sessions_ended_total{reason="password_change"}"#).await, 1);
}

#[tokio::test]
async fn only_one_of_concurrent_changes_leaves_a_session() {
    let service = Service::start().await;
    for round in 0..4 {
        let ada = service.signed_up(&format!("ada{round}@example.org")).await;
        let other = ada.second_session().await;

        let (left, right) = tokio::join!(
            ada.change_password_and_sessions(PASSWORD, "left passphrase"),
            other.change_password_and_sessions(PASSWORD, "right passphrase")
        );

        let (winner, loser) = if left.status == 200 { (left, right) } else { (right, left) };
        loser.expect_problem(401, "invalid_token");
        ada.with_tokens_of(&winner.expect(200)).expect_valid().await;
        ada.expect_ended().await;
        other.expect_ended().await;
        // The session that the loser opened is removed.
        assert_eq!(stored(&service, &ada).await.len(), 1);
    }
}

#[tokio::test]
async fn change_that_loses_to_one_of_the_same_session_is_refused() {
    let service = Service::start().await;
    for round in 0..4 {
        let ada = service.signed_up(&format!("ada{round}@example.org")).await;

        let (keeping, ending) = tokio::join!(
            ada.change_password(PASSWORD, "left passphrase"),
            ada.change_password_and_sessions(PASSWORD, "right passphrase")
        );

        if keeping.status == 200 {
            ending.expect_problem(400, "wrong_password");
            ada.expect_valid().await;
        } else {
            keeping.expect_problem(401, "invalid_token");
            ada.expect_ended().await;
            ada.with_tokens_of(&ending.expect(200)).expect_valid().await;
        }
        assert_eq!(stored(&service, &ada).await.len(), 1);
    }
}

#[tokio::test]
async fn rehash_during_the_change_leaves_one_new_session() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;
    let (accounts, call) = (&service.accounts, call());
    let current = accounts.authenticate(&ada.tokens.access, &call).await.expect("a valid session");
    let new = accounts.policy.check(Password::new(NEW), None, None);
    let change = RequestedChange { old: Password::new(PASSWORD), new, ended: EndedSessions::All };

    let renewed = accounts.hasher.hash(&WorkPermit::for_command_line(), &change.old).await.expect("no queue");
    accounts.users.rehash(&current.user, &renewed, &call.time).await.expect("a response");
    let tokens = accounts.change_password(&current, change, &call).await.expect("the password is right");

    let tokens = tokens.expect("a new session");
    ada.with_tokens_of(&json!({"access": tokens.access, "refresh": tokens.refresh})).expect_valid().await;
    assert_eq!(stored(&service, &ada).await.len(), 1);
}

#[tokio::test]
async fn limit_of_sessions_ends_none_before_the_change() {
    let service = Service::start_with(Settings { max_sessions: 2, ..Settings::default() }).await;
    let ada = service.signed_up("ada@example.org").await;
    let other = ada.second_session().await;
    service.counting.set_fault(Fault::FailOn("users.change_password"));

    ada.change_password_and_sessions(PASSWORD, NEW).await.expect_problem(503, "unavailable");

    service.counting.set_fault(Fault::None);
    ada.expect_valid().await;
    other.expect_valid().await;
    assert_eq!(stored(&service, &ada).await.len(), 2);
    let body = ada.change_password_and_sessions(PASSWORD, NEW).await.expect(200);
    ada.with_tokens_of(&body).expect_valid().await;
    assert_eq!(stored(&service, &ada).await.len(), 1);
}

#[tokio::test]
async fn login_during_the_change_does_not_end_the_new_session() {
    let one = || Settings { max_sessions: 1, ..Settings::default() };
    let service = Service::start_with(one()).await;
    let second = service.second_with(one()).await;
    let ada = service.signed_up("ada@example.org").await;
    service.counting.set_fault(Fault::HangOn("users.change_password"));

    let (changed, ()) = tokio::join!(ada.change_password_and_sessions(PASSWORD, NEW), async {
        service.counting.called("users.change_password").await;
        second.log_in(&ada.email, PASSWORD).await.expect(200);
        service.counting.set_fault(Fault::None);
    });

    ada.with_tokens_of(&changed.expect(200)).expect_valid().await;
}

#[tokio::test]
async fn login_with_the_old_password_does_not_end_the_new_session() {
    let one = || Settings { max_sessions: 1, ..Settings::default() };
    let service = Service::start_with(one()).await;
    let second = service.second_with(one()).await;
    let ada = service.signed_up("ada@example.org").await;
    second.counting.set_fault(Fault::HangOn("sessions.open"));

    let (logged_in, renewed) = tokio::join!(second.log_in(&ada.email, PASSWORD), async {
        // The login has verified the old password.
        second.counting.called("sessions.open").await;
        let body = ada.change_password_and_sessions(PASSWORD, NEW).await.expect(200);
        second.counting.set_fault(Fault::None);
        ada.with_tokens_of(&body)
    });

    renewed.expect_valid().await;
    ada.with_tokens_of(&logged_in.expect(200)).expect_ended().await;
}

#[tokio::test]
async fn new_session_is_removed_if_the_change_has_used_up_its_time() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;
    let accounts = &service.accounts;
    let current = accounts.authenticate(&ada.tokens.access, &call()).await.expect("a valid session");
    let call = CallContext { time: TimeBudget::new(Duration::from_secs(3)), ..call() };
    let new = accounts.policy.check(Password::new(NEW), None, None);
    let change = RequestedChange { old: Password::new(PASSWORD), new, ended: EndedSessions::All };
    service.counting.set_fault(Fault::HangOn("users.change_password"));

    let (changed, ()) = tokio::join!(accounts.change_password(&current, change, &call), async {
        service.counting.called("users.change_password").await;
        assert_eq!(stored(&service, &ada).await.len(), 2);
        call.time.limit("store", pending::<Result<(), _>>()).await.expect_err("the time is used up");
        service.counting.set_fault(Fault::None);
    });

    assert!(matches!(changed, Err(AccountError::Store(StoreError::Unavailable { .. }))), "{changed:?}");
    eventually(LONG, "the session is removed", async || stored(&service, &ada).await.len() == 1).await;
    ada.expect_valid().await;
}

#[tokio::test]
async fn without_a_session_store_nothing_changes() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;
    service.counting.set_fault(Fault::FailOn("sessions.open"));

    ada.change_password_and_sessions(PASSWORD, NEW).await.expect_problem(503, "unavailable");

    service.counting.set_fault(Fault::None);
    ada.expect_valid().await;
    service.log_in(&ada.email, PASSWORD).await.expect(200);
}

#[tokio::test]
async fn request_abandoned_before_its_deciding_write_changes_nothing() {
    let service = Service::start().await;
    let second = service.second().await;
    let ada = service.signed_up("ada@example.org").await;
    service.counting.set_fault(Fault::HangOn("users.change_password"));

    tokio::select! {
        response = ada.change_password_and_sessions(PASSWORD, NEW) => panic!("{response:?} although a write hangs"),
        () = service.counting.called("users.change_password") => {}
    }

    let ada = ada.at(&second);
    ada.expect_valid().await;
    let list = ada.sessions().await.expect(200);
    assert_eq!(
        list["sessions"].as_array().map(Vec::len),
        Some(1),
        "the session of the next epoch is not valid: {list}"
    );
    second.log_in(&ada.email, PASSWORD).await.expect(200);
}
