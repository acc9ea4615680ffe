//! `GET /sessions/`, `DELETE /sessions/{id}/`, `POST /logout-everywhere/`, and the limits of sessions.

use std::time::Duration;

use serde_json::{Value, json};

use super::Service;
use crate::session_rollback::SessionRollback as _;
use crate::support::{Fault, PASSWORD, Settings, TestUser};

fn of(list: &Value) -> &[Value] {
    list["sessions"].as_array().expect("a list")
}

async fn logged_in_with(service: &Service, user_agent: &str) -> Value {
    let body = json!({"email": "ada@example.org", "password": PASSWORD});
    service.post("/token/", body).header("user-agent", user_agent).send().await.expect(200)
}

#[tokio::test]
async fn users_see_their_own_sessions_newest_first() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;
    service.signed_up("grace@example.org").await;
    service.advance(Duration::from_secs(5));
    logged_in_with(&service, &format!("curl/8 {}", "x".repeat(200))).await;

    let list = ada.sessions().await.expect(200);

    let [newest, oldest] = of(&list) else { panic!("{list}") };
    let fields: Vec<_> = newest.as_object().expect("an object").keys().map(String::as_str).collect();
    assert_eq!(fields, ["created", "current", "expires", "id", "ip", "last_used", "user_agent"]);
    assert_eq!((&newest["current"], &oldest["current"]), (&json!(false), &json!(true)));
    assert_eq!((&newest["ip"], &oldest["user_agent"]), (&json!("127.0.0.1"), &json!("")));
    assert_eq!(newest["user_agent"].as_str().map(str::len), Some(100));
    assert!(newest["created"].as_str() > oldest["created"].as_str(), "{list}");
}

#[tokio::test]
async fn user_agent_is_shown_without_control_characters() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;
    let hostile = "curl\u{9b}31m\u{202e}\u{2066}\u{200f}\tä";
    let expected = json!("curl\u{fffd}31m\u{fffd}\u{fffd}\u{fffd}\u{fffd}ä");

    logged_in_with(&service, hostile).await;

    let shown = async || {
        let list = ada.sessions().await.expect(200);
        of(&list).iter().map(|session| session["user_agent"].clone()).collect::<Vec<_>>()
    };
    assert!(shown().await.contains(&expected), "{:?}", shown().await);

    // As an earlier version stored it.
    let user = service.user(&ada.email).await.id;
    service.backend().store_user_agent(user, hostile).await;
    assert_eq!(shown().await, [expected.clone(), expected]);
}

#[tokio::test]
async fn only_valid_sessions_are_listed() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;
    let (left, ended) = (ada.second_session().await, ada.second_session().await);
    left.log_out().await.expect(200);
    let user = service.user(&ada.email).await.id;
    let saved = service.backend().save_sessions(user).await;
    ada.change_password(PASSWORD, "new_password").await.expect(200);

    service.backend().restore_sessions(&saved).await;

    ended.expect_ended().await;
    assert_eq!(of(&ada.sessions().await.expect(200)).len(), 1);
    service.advance(Duration::from_mins(6));
    let refreshed = ada.refresh().await.expect(200);
    let list = service.get("/sessions/").bearer(refreshed["access"].as_str().expect("a token")).send().await;
    assert_eq!(of(&list.expect(200)).len(), 1);
}

#[tokio::test]
async fn last_use_is_reported_to_the_minute() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;

    service.advance(Duration::from_mins(3));
    let list = ada.sessions().await.expect(200);

    let [session] = of(&list) else { panic!("{list}") };
    assert!(session["last_used"].as_str() > session["created"].as_str(), "{list}");
}

#[tokio::test]
async fn session_can_end_another_session() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;
    let (lost, third) = (ada.second_session().await, ada.second_session().await);

    let response = ada.end_session(&lost.session_id().await).await;

    assert_eq!(response.status, 204);
    lost.expect_ended().await;
    ada.expect_valid().await;
    third.expect_valid().await;
}

#[tokio::test]
async fn session_can_end_itself() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;

    assert_eq!(ada.end_session(&ada.session_id().await).await.status, 204);

    ada.expect_ended().await;
}

#[tokio::test]
async fn session_of_another_user_is_not_found() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;
    let grace = service.signed_up("grace@example.org").await;
    let (of_grace, gone) = (grace.session_id().await, ada.second_session().await);
    let ended = gone.session_id().await;
    gone.log_out().await.expect(200);
    let own = ada.session_id().await;

    let nowhere = uuid::Uuid::new_v4().to_string();
    for id in
        [&of_grace, &ended, &nowhere, "x", "%20", &own.replace('-', ""), &format!("{{{own}}}").replace('{', "%7B")]
    {
        ada.end_session(id).await.expect_problem(404, "session_not_found");
    }

    grace.expect_valid().await;
    ada.expect_valid().await;
}

#[tokio::test]
async fn logout_everywhere_ends_every_session() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;
    let other = ada.second_session().await;

    let body = ada.log_out_everywhere().await.expect(200);

    assert_eq!(body, json!({"message": "Logged out everywhere"}));
    for session in [&ada, &other] {
        session.expect_ended().await;
    }
    service.log_in(&ada.email, PASSWORD).await.expect(200);
    ada.log_out_everywhere().await.expect_problem(401, "invalid_token");
}

#[tokio::test]
async fn login_beyond_the_limit_ends_the_oldest_session() {
    let service = Service::start_with(Settings { max_sessions: 3, ..Settings::default() }).await;
    let mut sessions: Vec<TestUser> = vec![service.signed_up("ada@example.org").await];
    for _ in 0..4 {
        service.advance(Duration::from_secs(1));
        sessions.push(sessions[0].second_session().await);
    }

    for ended in &sessions[..2] {
        ended.expect_ended().await;
    }
    for session in &sessions[2..] {
        session.expect_valid().await;
    }
    let ended = service.metric(r#"postern_sessions_ended_total{reason="too_many"}"#).await;
    assert_eq!(ended, 2);
}

#[tokio::test]
async fn unused_session_ends_at_the_idle_limit() {
    let mut settings = Settings::default();
    settings.lifetimes.idle = Some(Duration::from_mins(30));
    settings.lifetimes.access = Duration::from_hours(1);
    let service = Service::start_with(settings).await;
    let ada = service.signed_up("ada@example.org").await;
    let (unused, refreshing) = (ada.second_session().await, ada.second_session().await);

    service.advance(Duration::from_mins(29));
    ada.profile().await.expect(200);
    refreshing.refresh().await.expect(200);
    service.advance(Duration::from_mins(29));

    ada.expect_valid().await;
    refreshing.expect_valid().await;
    unused.expect_ended().await;
}

#[tokio::test]
async fn number_of_sessions_does_not_change_the_cost_of_a_request() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;
    for _ in 0..20 {
        ada.second_session().await;
    }
    let before = service.counting.calls().len();

    ada.profile().await.expect(200);

    assert_eq!(service.counting.calls()[before..], ["users.by_id", "sessions.touch"]);
}

#[tokio::test]
async fn signed_in_request_asks_both_stores_in_parallel() {
    for (hanging, other) in [("users.by_id", "sessions.touch"), ("sessions.touch", "users.by_id")] {
        let service = Service::start().await;
        let ada = service.signed_up("ada@example.org").await;

        service.counting.set_fault(Fault::HangOn(hanging));
        tokio::select! {
            response = ada.profile() => panic!("{response:?}"),
            () = service.counting.called(other) => {}
        }
    }
}
