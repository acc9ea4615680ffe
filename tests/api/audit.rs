//! The audit trail of requests.

use std::time::Duration;

use postern::{
    accounts::{NewUser, UserRef},
    audit,
    model::{AccountStatus, AuditEvent, AuditOrigin, Client, EventKind, Role, UserId},
    passwords::Password,
    store::DeletionMode,
};
use serde_json::json;

use super::{Backend, Service};
use crate::stalled_audit::StalledAudit;
use crate::support::{LONG, PASSWORD, Settings, admin_call, eventually, renamed, with_status};

async fn rotating() -> Service {
    Service::start_with(Settings { rotation_enabled: true, ..Settings::default() }).await
}

fn names(events: &[AuditEvent]) -> Vec<&'static str> {
    events.iter().map(|event| event.kind.name()).collect()
}

fn details(events: &[AuditEvent]) -> Vec<Option<&str>> {
    events.iter().map(|event| event.subject.detail.as_deref()).collect()
}

/// Returns the only event of a kind.
fn one(events: &[AuditEvent], kind: EventKind) -> &AuditEvent {
    let found: Vec<_> = events.iter().filter(|event| event.kind == kind).collect();
    let [event] = found[..] else { panic!("{kind}: {events:?}") };
    event
}

#[tokio::test]
async fn sign_up_and_login_are_recorded_with_user_address_and_request() {
    let service = Service::start().await;
    let body = json!({"name": "Ada", "email": "ada@example.org", "password": PASSWORD});
    let sign_up = service.post("/create-user/", body).header("user-agent", "curl/8").header("x-request-id", "first");
    sign_up.send().await.expect(201);

    let ada = service.logged_in("ada@example.org", PASSWORD).await;

    let events = service.audited(2).await;
    assert_eq!(names(&events), ["sign_up", "login"]);
    let user = service.user("ada@example.org").await.id;
    assert_eq!(events[0].origin, AuditOrigin::request(&Client::new([127, 0, 0, 1].into(), "curl/8"), "first"));
    assert!(events.iter().all(|event| event.subject.user == Some(user)), "{events:?}");
    assert_eq!(events[1].subject.session.map(|id| id.to_string()), Some(ada.session_id().await));
    assert_ne!(events[0].subject.session, events[1].subject.session);
    assert!((service.now() - events[1].at).abs() < Duration::from_mins(1), "{events:?}");
}

#[tokio::test]
async fn failed_login_is_recorded_with_account_and_without_email() {
    let service = Service::start().await;
    service.signed_up("ada@example.org").await;

    service.log_in("ada@example.org", "wrong_password").await.expect(401);
    service.log_in("nobody@example.org", PASSWORD).await.expect(401);
    service.log_in("no address", PASSWORD).await.expect(401);

    let events = service.audited(4).await;
    assert_eq!(names(&events[1..]), ["login_failed"; 3]);
    let users: Vec<_> = events[1..].iter().map(|event| event.subject.user).collect();
    assert_eq!(users, [Some(service.user("ada@example.org").await.id), None, None]);
    assert!(events.iter().all(|event| event.origin.request_id.is_some()), "{events:?}");
}

#[tokio::test]
async fn reused_refresh_token_is_recorded_as_reuse_or_as_theft() {
    let service = rotating().await;
    let mut ada = service.signed_up("ada@example.org").await;
    let first = ada.tokens.refresh.clone();
    ada.rotate().await;
    ada.with_refresh_token(&first).refresh().await.expect(200);
    service.advance(Duration::from_mins(1));
    let repeated = ada.with_refresh_token(&first).refresh().await.expect(200);
    ada = ada.with_refresh_token(repeated["refresh"].as_str().expect("a token"));
    ada.rotate().await;

    ada.with_refresh_token(&first).refresh().await.expect(401);

    let events = service.audited(4).await;
    assert_eq!(names(&events), ["sign_up", "refresh_token_reused", "refresh_token_reused", "refresh_token_theft"]);
    assert_eq!(details(&events), [None, Some("shared"), Some("lost_response"), Some("reused")]);
    assert!(events.iter().all(|event| event.subject.session == events[0].subject.session), "{events:?}");
}

#[tokio::test]
async fn session_store_that_lost_writes_is_recorded() {
    let service = rotating().await;
    let ada = service.signed_up("ada@example.org").await;
    let tokens = &service.accounts.refresh_tokens;
    let mut claims = tokens.verify(&ada.tokens.refresh).await.expect("a token");
    claims.counter += 5;
    let ahead = tokens.issue(claims, tokens.active_key());

    ada.with_refresh_token(&ahead).refresh().await.expect(200);

    one(&service.audited(2).await, EventKind::SessionStoreRollback);
}

#[tokio::test]
async fn ordinary_refresh_is_not_recorded() {
    let service = rotating().await;
    let mut ada = service.signed_up("ada@example.org").await;

    for _ in 0..3 {
        ada.rotate().await;
    }
    for _ in 0..2 {
        ada.log_out().await.expect(200);
    }

    assert_eq!(names(&service.audited(3).await), ["sign_up", "logout", "logout_repeated"]);
}

#[tokio::test]
async fn each_way_to_end_sessions_is_recorded() {
    let service = Service::start_with(Settings { max_sessions: 2, ..Settings::default() }).await;
    let ada = service.signed_up("ada@example.org").await;
    let first = ada.session_id().await;
    let second = ada.second_session().await;
    second.end_session(&first).await;
    second.log_out().await.expect(200);
    for _ in 0..2 {
        ada.second_session().await;
    }
    let last = ada.second_session().await;
    let id = last.session_id().await;

    last.log_out_everywhere().await.expect(200);

    let events = service.audited(9).await;
    assert_eq!(
        names(&events),
        [
            "sign_up",
            "login",
            "session_ended",
            "logout",
            "login",
            "login",
            "sessions_displaced",
            "login",
            "logout_everywhere"
        ]
    );
    let ended = one(&events, EventKind::SessionEnded);
    assert_eq!(ended.subject.session.map(|id| id.to_string()), Some(first));
    assert_eq!(ended.subject.detail, events[1].subject.session.map(|by| format!("by session {by}")));
    assert_eq!(one(&events, EventKind::Logout).subject.session, events[1].subject.session);
    assert_eq!(one(&events, EventKind::SessionsDisplaced).subject.detail.as_deref(), Some("sessions ended: 1"));
    assert_eq!(one(&events, EventKind::LogoutEverywhere).subject.session.map(|id| id.to_string()), Some(id));
}

#[tokio::test]
async fn changes_of_an_account_are_recorded_and_outlive_it() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;
    let (user, session) = (service.user(&ada.email).await.id, ada.session_id().await);
    ada.rename(json!({"name": "Countess"})).await.expect(200);
    ada.change_password("wrong_password", "new_password").await.expect(400);
    ada.change_password(PASSWORD, "new_password").await.expect(200);
    ada.delete_account(json!({"password": PASSWORD})).await.expect(400);

    assert_eq!(ada.delete_account(json!({"password": "new_password"})).await.status, 204);

    let events = service.audited(6).await;
    assert_eq!(
        names(&events),
        [
            "sign_up",
            "profile_changed",
            "password_confirmation_failed",
            "password_changed",
            "password_confirmation_failed",
            "account_deleted"
        ]
    );
    for event in events {
        assert_eq!(event.subject.user, Some(user), "{event:?}");
        assert_eq!(event.subject.session.map(|id| id.to_string()), Some(session.clone()), "{event:?}");
    }
}

#[tokio::test]
async fn actions_of_an_administrator_are_recorded_with_their_origin() {
    let service = Service::start().await;
    let (user_admin, time) = (service.user_admin(), crate::support::call().time);
    let new = NewUser {
        email: "ada@example.org".parse().expect("an address"),
        name: "Ada".parse().expect("a name"),
        email_verified: false,
        role: Role::Member,
        status: AccountStatus::Active,
        password: Some(Password::new(PASSWORD)),
    };
    let user = user_admin.create(new, &admin_call(&time)).await.expect("a user").id;
    let who = UserRef::Id(user);
    user_admin.edit(&who, renamed("Countess"), &admin_call(&time)).await.expect("done");
    user_admin.set_password(&who, Password::new("new_password"), &admin_call(&time)).await.expect("done");
    user_admin.edit(&who, with_status(AccountStatus::Inactive), &admin_call(&time)).await.expect("done");
    user_admin.edit(&who, with_status(AccountStatus::Active), &admin_call(&time)).await.expect("done");
    user_admin.end_sessions(&who, &admin_call(&time)).await.expect("done");
    user_admin.end_all_sessions(&admin_call(&time)).await.expect("done");
    user_admin.find(&who, &time).await.expect("a user");
    user_admin.delete(vec![user], DeletionMode::Real, &admin_call(&time)).await.expect("done");

    let again = user_admin.delete(vec![user], DeletionMode::Real, &admin_call(&time)).await.expect("a response");
    assert_eq!(again.not_found, [user]);
    user_admin
        .set_password(&UserRef::Id(UserId::new(service.now())), Password::new(PASSWORD), &admin_call(&time))
        .await
        .expect_err("nobody");

    let events = service.audited(8).await;
    assert_eq!(
        names(&events),
        [
            "admin_user_created",
            "admin_user_renamed",
            "admin_password_set",
            "admin_user_deactivated",
            "admin_user_activated",
            "admin_sessions_ended",
            "admin_all_sessions_ended",
            "admin_user_deleted"
        ]
    );
    assert!(events.iter().all(|event| event.origin == AuditOrigin::command_line(1000)), "{events:?}");
    let about: Vec<_> = events.iter().filter(|event| event.subject.user == Some(user)).collect();
    assert_eq!(about.len(), 7);
}

#[tokio::test]
async fn no_event_holds_an_email_a_name_a_password_or_a_token() {
    let service = rotating().await;
    let mut ada = service.signed_up("ada@example.org").await;
    let first = ada.tokens.clone();
    ada.rotate().await;
    ada.rotate().await;
    ada.rename(json!({"name": "Countess"})).await.expect(200);
    ada.change_password("wrong_password", "new_password").await.expect(400);
    ada.change_password(PASSWORD, "new_password").await.expect(200);
    service.log_in("ada@example.org", "wrong_password").await.expect(401);
    service.log_in("nobody@example.org", "wrong_password").await.expect(401);
    ada.with_refresh_token(&first.refresh).refresh().await.expect(401);

    let events = format!("{:?}", service.audited(7).await);

    assert!(events.contains("RefreshTokenTheft"), "{events}");
    for secret in [
        "@",
        "example.org",
        "Ada",
        "Countess",
        PASSWORD,
        "wrong_password",
        "new_password",
        "argon2",
        "v4.public",
        &first.access,
        &first.refresh,
        &ada.tokens.access,
        &ada.tokens.refresh,
    ] {
        assert!(!events.contains(secret), "{secret}: {events}");
    }
}

#[tokio::test]
async fn full_queue_drops_and_counts_events_without_delaying_requests() {
    let audit = audit::Settings { retention: None, capacity: 3, linger: Duration::ZERO };
    let service =
        crate::support::Service::<StalledAudit<Backend>>::start_with(Settings { audit, ..Settings::default() }).await;
    let ada = service.signed_up("ada@example.org").await;
    service.audited(1).await;
    service.backend().stall();

    // The first event is taken out of the queue, and its write hangs.
    ada.log_out().await.expect(200);
    eventually(LONG, "one event waits", async || service.metric("postern_audit_events_pending").await == 1).await;
    for _ in 0..10 {
        service.log_in("ada@example.org", PASSWORD).await.expect(200);
    }

    let dropped = "postern_audit_events_dropped_total{reason=\"queue_full\"}";
    let (pending, dropped) = (service.metric("postern_audit_events_pending").await, service.metric(dropped).await);
    // The first event may or may not have left the queue before the others came.
    assert!((3..=4).contains(&pending), "{pending} wait");
    assert_eq!(pending + dropped, 11);
    assert_eq!(names(&service.audited(1).await), ["sign_up"]);

    service.backend().touch();
    let written = usize::try_from(pending).expect("few") + 1;
    let events = service.audited(written).await;
    assert_eq!(names(&events)[..2], ["sign_up", "logout"]);
    assert_eq!(events.len(), written);
    eventually(LONG, "no event waits", async || service.metric("postern_audit_events_pending").await == 0).await;
    ada.second_session().await;
    assert_eq!(service.audited(written + 1).await.len(), written + 1);
}
