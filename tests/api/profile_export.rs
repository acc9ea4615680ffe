//! `POST /profile/export/`

use std::{ops::RangeInclusive, time::Duration};

use postern::{
    accounts::{AccountError, UserRef},
    clock::whole_milliseconds,
    model::{AuditEvent, AuditOrigin, AuditSubject, EventId, EventKind, UserId},
    passwords::Password,
};
use serde_json::{Value, json};
use uuid::{NoContext, Timestamp, Uuid};

use super::{
    Service,
    rate_limit::{ELSEWHERE, HOME, WRONG, behind_proxy, retry_after},
};
use crate::support::{PASSWORD, Response, TestUser, admin_call, call, renamed, time};

fn confirmed() -> Value {
    json!({"password": PASSWORD})
}

/// Returns the names of the exported events, oldest first.
fn names(document: &Value) -> Vec<&str> {
    let events = document["events"].as_array().expect("events");
    events.iter().rev().map(|event| event["event"].as_str().expect("a name")).collect()
}

impl Service {
    async fn export_from(&self, address: &str, user: &TestUser, body: Value) -> Response {
        let request = self.post("/profile/export/", body).header("x-forwarded-for", address);
        request.bearer(&user.tokens.access).send().await
    }
}

#[tokio::test]
async fn export_has_all_that_is_kept_of_the_user() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;
    let other = ada.second_session().await;
    let grace = service.signed_up("grace@example.org").await;
    service.audited(3).await;

    let response = ada.export(confirmed()).await;

    assert_eq!(response.text("content-disposition"), "attachment; filename=\"profile-export.json\"");
    assert_eq!((response.text("content-type"), response.text("cache-control")), ("application/json", "no-store"));
    let document = response.expect(200);
    let user = service.user(&ada.email).await;
    let profile = ada.profile().await.expect(200);
    let expected = json!({
        "id": user.id.to_string(), "name": "Ada Lovelace", "email": "ada@example.org", "email_verified": false,
        "role": "member", "status": "active", "creation_date": profile["creation_date"],
    });
    assert_eq!(document["profile"], expected);
    assert_eq!(document["sessions"], ada.sessions().await.expect(200)["sessions"]);
    assert_eq!(document["sessions"].as_array().map(Vec::len), Some(2));
    assert_eq!(names(&document)[..2], ["sign_up", "login"]);
    let login = document["events"].as_array().expect("events").iter().find(|event| event["event"] == "login");
    let login = login.expect("the login");
    assert_eq!((&login["ip"], &login["session"]), (&json!("127.0.0.1"), &json!(other.session_id().await)));
    assert!(login["request_id"].is_string() && login.get("actor").is_none(), "{login}");
    assert_eq!(document["more_events"], false);
    let text = document.to_string();
    assert!(!text.contains("argon2") && !text.contains("grace") && !text.contains(&grace.session_id().await), "{text}");
}

#[tokio::test]
async fn event_of_somebody_else_names_nobody() {
    let service = behind_proxy().await;
    let ada = service.signed_up("ada@example.org").await;
    let intruder = service.post("/token/", json!({"email": ada.email, "password": WRONG}));
    let intruder = intruder.header("x-forwarded-for", ELSEWHERE).header("user-agent", "intruder/1");
    intruder.header("x-request-id", "of-the-intruder").send().await.expect(401);
    let who = UserRef::Id(service.user(&ada.email).await.id);
    service.user_admin().edit(&who, renamed("Ada King"), &admin_call(&time())).await.expect("done");
    service.audited(3).await;

    let document = service.export_from(HOME, &ada, confirmed()).await.expect(200);

    assert_eq!(names(&document)[..3], ["sign_up", "login_failed", "admin_user_renamed"]);
    for event in document["events"].as_array().expect("events").iter().rev().skip(1).take(2) {
        let fields: Vec<_> = event.as_object().expect("an event").keys().collect();
        assert_eq!(fields, ["at", "event", "id"], "{event}");
    }
    let text = document.to_string();
    for hidden in [ELSEWHERE, "intruder", "command line", "uid"] {
        assert!(!text.contains(hidden), "{hidden}: {text}");
    }
}

#[tokio::test]
async fn wrong_password_exports_nothing() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;

    for password in [WRONG, "x", &"a".repeat(300)] {
        let problem = ada.export(json!({"password": password})).await.expect_problem(400, "wrong_password");
        assert_eq!(problem["fields"], json!({"password": ["The password is wrong."]}));
    }
    for body in [json!({}), json!({"password": null}), json!({"password": ""})] {
        assert_eq!(ada.export(body).await.expect_field_errors("password").len(), 1);
    }
    service.post("/profile/export/", confirmed()).send().await.expect_problem(401, "not_authenticated");

    let events = service.audited_of(EventKind::PasswordConfirmationFailed).await;
    assert!(events.iter().all(|event| event.subject.session.is_some()), "{events:?}");
}

#[tokio::test]
async fn session_that_ends_during_verification_exports_nothing() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;
    let other = ada.second_session().await;
    let (accounts, call) = (&service.accounts, call());

    let current = accounts.authenticate(&ada.tokens.access, &call).await.expect("a valid session");
    ada.log_out().await.expect(200);
    let outcome = accounts.export_profile(&current, &Password::new(PASSWORD), &call).await;
    assert!(matches!(outcome, Err(AccountError::InvalidAccessToken)), "{outcome:?}");

    let current = accounts.authenticate(&other.tokens.access, &call).await.expect("a valid session");
    // It changes the epoch of the user and leaves the session in its store.
    let who = UserRef::Id(current.user.id);
    service.user_admin().end_sessions(&who, &admin_call(&time())).await.expect("done");
    let outcome = accounts.export_profile(&current, &Password::new(PASSWORD), &call).await;
    assert!(matches!(outcome, Err(AccountError::InvalidAccessToken)), "{outcome:?}");
    let invalid = "postern_profile_exports_total{outcome=\"invalid_token\"}";
    assert_eq!(service.metric(invalid).await, 2);
}

#[tokio::test]
async fn export_is_recorded_and_counted() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;

    ada.export(confirmed()).await.expect(200);

    let events = service.audited_of(EventKind::ProfileExported).await;
    let [event] = &events[..] else { panic!("{events:?}") };
    assert_eq!(event.subject.session.map(|id| id.to_string()), Some(ada.session_id().await));
    assert!(event.origin.address.is_some());
    assert_eq!(service.metric("postern_profile_exports_total{outcome=\"succeeded\"}").await, 1);
}

#[tokio::test]
async fn exports_are_limited_to_five_and_one_an_hour() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;
    let grace = service.signed_up("grace@example.org").await;
    for _ in 0..5 {
        // A wrong password does not use the limit up.
        ada.export(json!({"password": WRONG})).await.expect(400);
        ada.export(confirmed()).await.expect(200);
    }

    let wait = retry_after(ada.export(confirmed()).await);

    assert!(wait <= Duration::from_hours(1) && wait > Duration::from_mins(50), "{wait:?}");
    assert_eq!(service.metric("postern_rate_limited_total{limit=\"export\"}").await, 1);
    let throttled = service.audited_of(EventKind::Throttled).await;
    assert_eq!(throttled[0].subject.detail.as_deref(), Some("export"));
    grace.export(confirmed()).await.expect(200);
    // It is no failed login, nor is the access token valid for an hour.
    service.advance(wait);
    let ada = service.logged_in(&ada.email, PASSWORD).await;
    ada.export(confirmed()).await.expect(200);
    retry_after(ada.export(confirmed()).await);
}

#[tokio::test]
async fn failed_confirmations_are_limited_like_failed_logins() {
    let service = behind_proxy().await;
    let ada = service.signed_up("ada@example.org").await;
    for _ in 0..10 {
        service.export_from(ELSEWHERE, &ada, json!({"password": WRONG})).await.expect(400);
    }

    retry_after(service.export_from(ELSEWHERE, &ada, confirmed()).await);
    assert!(service.log_in_from(ELSEWHERE, &ada.email, PASSWORD).await.status == 429);
}

/// Returns events about a user, each this many seconds before the time of the service.
fn events_of_age(service: &Service, user: UserId, ages: RangeInclusive<u32>) -> Vec<AuditEvent> {
    let event = |age: u32| {
        let at = whole_milliseconds(service.now() - Duration::from_secs(age.into()));
        let seconds = u64::try_from(at.unix_timestamp()).expect("a time after 1970");
        let id = EventId(Uuid::new_v7(Timestamp::from_unix(NoContext, seconds, at.nanosecond())));
        AuditEvent {
            id,
            at,
            kind: EventKind::Login,
            subject: AuditSubject::from(Some(user)),
            origin: AuditOrigin::default(),
        }
    };
    ages.map(event).collect()
}

#[tokio::test]
async fn export_has_the_newest_10000_events_and_says_that_there_are_more() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;
    let grace = service.signed_up("grace@example.org").await;
    let user = service.user(&ada.email).await.id;
    service.audited(2).await;
    let append = async |ages| {
        let events = events_of_age(&service, user, ages);
        service.audit.append(&events, &time()).await.expect("a response");
    };

    append(1..=9_998).await;
    let all = ada.export(confirmed()).await.expect(200);
    append(9_999..=10_001).await;
    let newest = ada.export(confirmed()).await.expect(200);

    // With the sign-up, and with the event of the export itself if that is in the table already.
    let count = |document: &Value| document["events"].as_array().map_or(0, Vec::len);
    assert!((9_999..=10_000).contains(&count(&all)) && all["more_events"] == false, "{}", count(&all));
    assert_eq!((count(&newest), &newest["more_events"]), (10_000, &json!(true)));
    for document in [all, newest] {
        let events = document["events"].as_array().expect("events");
        let ids: Vec<_> = events.iter().map(|event| event["id"].as_str().expect("an id")).collect();
        assert!(ids.windows(2).all(|two| two[0] > two[1]), "newest first, each once");
    }
    assert_eq!(grace.export(confirmed()).await.expect(200)["events"][0]["event"], "sign_up");
}
