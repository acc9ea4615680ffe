//! `/verify/` and `POST /introspect/`, for other services. `expect_ended` checks everywhere that an ended session has
//! ended for them too.

use std::time::Duration;

use postern::{
    model::{AccountStatus, AdminReach, AuditOrigin, Epoch, EventKind, UserChange},
    store::{AdminTarget, AdminWrite, DeletionMode, UserDeletion},
};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::Service;
use crate::support::{API_KEY, Fault, PASSWORD, time};

#[tokio::test]
async fn proxy_gets_the_user_of_a_request() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;
    let other = ada.second_session().await;

    let (response, of_other) = (ada.verify().await, other.verify().await);

    assert_eq!((response.status, response.text("content-length")), (200, "0"));
    assert_eq!(response.text("x-user-id"), service.user("ada@example.org").await.id.to_string());
    assert_eq!(response.text("x-user-email"), "ada@example.org");
    assert_eq!(response.text("x-user-email-verified"), "false");
    assert_eq!(response.text("x-user-id"), of_other.text("x-user-id"));
    let introspected = ada.introspected().await.expect(200);
    assert_eq!(introspected["sid"], response.text("x-session-id"));
    assert_ne!(response.text("x-session-id"), of_other.text("x-session-id"));
}

#[tokio::test]
async fn verify_answers_any_method_and_subpath_alike() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;

    for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"] {
        for path in ["/verify", "/verify/", "/verify/orders/7/", "/verify//", "/verify/../x?q=1", "/verify/%2e%2e/%ff"]
        {
            let request = || service.request(method, path);
            let response = request().bearer(&ada.tokens.access).send().await;
            assert_eq!((response.status, response.text("x-user-email")), (200, "ada@example.org"), "{method} {path}");
            assert_eq!(request().send().await.status, 401, "{method} {path}");
        }
    }
    service.get("/verifyx").send().await.expect(404);
}

#[tokio::test]
async fn verify_does_not_wait_for_a_body() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;
    let mut stream = service.connection().await;

    let head = format!(
        "POST /verify/ HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Length: 1000000\r\n\r\n",
        ada.tokens.access
    );
    stream.write_all(head.as_bytes()).await.expect("the server takes it");

    let mut response = [0; b"HTTP/1.1 200 OK".len()];
    stream.read_exact(&mut response).await.expect("a response");
    assert_eq!(&response, b"HTTP/1.1 200 OK");
}

#[tokio::test]
async fn verify_ignores_user_headers_of_the_request() {
    let service = Service::start().await;
    let (ada, grace) = (service.signed_up("ada@example.org").await, service.signed_up("grace@example.org").await);
    let of_ada = ada.verify().await;

    let request = service.get("/verify/").bearer(&grace.tokens.access);
    let request = ["x-user-id", "x-user-email", "x-session-id"]
        .into_iter()
        .fold(request, |request, name| request.header(name, of_ada.text(name)));
    let response = request.header("x-user-email-verified", "true").send().await;

    assert_eq!(response.text("x-user-email"), "grace@example.org");
    assert_eq!(response.text("x-user-email-verified"), "false");
    assert_ne!(response.text("x-user-id"), of_ada.text("x-user-id"));
    assert_ne!(response.text("x-session-id"), of_ada.text("x-session-id"));
}

#[tokio::test]
async fn every_character_of_an_email_fits_into_a_header() {
    let service = Service::start().await;
    let email = "!#$%&'*+-/=?^_`{|}~.a@b\u{fc}cher.example";

    let response = service.signed_up(email).await.verify().await;

    assert_eq!(response.text("x-user-email"), "!#$%&'*+-/=?^_`{|}~.a@xn--bcher-kva.example");
}

#[tokio::test]
async fn verify_refuses_what_a_signed_in_endpoint_refuses() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;

    for authorization in [None, Some("Basic YWRhOng="), Some("Bearer")] {
        let request = service.get("/verify/");
        let request = authorization.into_iter().fold(request, |request, value| request.header("authorization", value));
        request.send().await.expect_problem(401, "not_authenticated");
    }
    for token in ["x", &ada.tokens.refresh, API_KEY] {
        service.get("/verify/").bearer(token).send().await.expect_problem(401, "invalid_token");
    }
    let twice = service.get("/verify/").bearer(&ada.tokens.access).bearer(&ada.tokens.access);
    twice.send().await.expect_problem(401, "invalid_token");
    service.advance(Duration::from_mins(5));
    ada.verify().await.expect_problem(401, "token_expired");
}

#[tokio::test]
async fn introspection_returns_the_claims_of_a_valid_token() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;

    let introspected = ada.introspected().await.expect(200);

    let (issued, expires) =
        (introspected["iat"].as_i64().expect("a number"), introspected["exp"].as_i64().expect("a number"));
    assert_eq!(expires - issued, 300);
    let expected = json!({
        "active": true,
        "sub": service.user("ada@example.org").await.id.to_string(),
        "sid": introspected["sid"],
        "iss": "postern",
        "aud": "postern",
        "iat": issued,
        "exp": expires,
        "token_type": "Bearer",
    });
    assert_eq!(introspected, expected);
}

#[tokio::test]
async fn introspection_accepts_a_form() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;
    let ask = async |body: String| {
        let request = service.request("POST", "/introspect/").bearer(API_KEY);
        request.body("application/x-www-form-urlencoded; charset=utf-8", body).send().await
    };

    let introspected = ask(format!("token={}&token_type_hint=access_token", ada.tokens.access)).await.expect(200);

    assert_eq!(introspected, ada.introspected().await.expect(200));
    assert_eq!(ask("token=%ff".to_owned()).await.expect(200), json!({"active": false}));
    ask("token=a&token=a".to_owned()).await.expect_problem(400, "malformed_json");
    assert_eq!(ask(String::new()).await.expect_field_errors("token"), ["This field is required."]);
    assert_eq!(ask("token=".to_owned()).await.expect_field_errors("token"), ["This field may not be blank."]);
    ask(format!("token={}", "x".repeat(16 * 1024))).await.expect_problem(413, "too_large");
}

#[tokio::test]
async fn introspection_of_any_other_token_says_only_inactive() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;
    let of_another_service = Service::start().await.signed_up("ada@example.org").await;
    let tampered = format!("{}x", ada.tokens.access);

    for token in ["x", "v4.public.AAAA", &ada.tokens.refresh, &of_another_service.tokens.access, &tampered, API_KEY] {
        assert_eq!(service.introspect(token).await.expect(200), json!({"active": false}), "{token}");
    }
    assert_eq!(ada.introspected().await.expect(200)["active"], true);
    service.advance(Duration::from_mins(5));
    assert_eq!(ada.introspected().await.expect(200), json!({"active": false}));
}

#[tokio::test]
async fn introspection_without_a_token_is_invalid() {
    let service = Service::start().await;
    let ask = async |body| service.post("/introspect/", body).bearer(API_KEY).send().await;

    assert_eq!(ask(json!({})).await.expect_field_errors("token"), ["This field is required."]);
    assert_eq!(ask(json!({"token": null})).await.expect_field_errors("token"), ["This field may not be null."]);
    assert_eq!(ask(json!({"token": 7})).await.expect_field_errors("token"), ["Not a valid string."]);
    assert_eq!(ask(json!({"token": " "})).await.expect_field_errors("token"), ["This field may not be blank."]);
    ask(json!([])).await.expect_problem(400, "malformed_json");
    let request = service.request("POST", "/introspect/").bearer(API_KEY).body("text/plain", "token=x");
    request.send().await.expect_problem(415, "unsupported_media_type");
}

#[tokio::test]
async fn introspection_needs_an_api_key_before_the_body_is_read() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;
    let before = service.store_calls();
    let request = || service.request("POST", "/introspect/").body("text/plain", "x");

    request().send().await.expect_problem(401, "not_authenticated");
    request()
        .header("authorization", &format!("Basic {API_KEY}"))
        .send()
        .await
        .expect_problem(401, "not_authenticated");
    for key in [&ada.tokens.access, "billing", &API_KEY[..31], &API_KEY.to_uppercase()] {
        let response = request().bearer(key).send().await;
        assert_eq!(response.text("www-authenticate"), r#"Bearer realm="postern", error="invalid_token""#);
        response.expect_problem(401, "invalid_token");
    }

    assert_eq!(service.store_calls(), before);
}

#[tokio::test]
async fn check_costs_one_call_per_store_and_none_if_forged() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;
    let calls = async |request: crate::support::RequestBuilder| {
        let before = service.store_calls();
        request.send().await;
        service.store_calls() - before
    };
    let introspect = |token: &str| service.post("/introspect/", json!({"token": token})).bearer(API_KEY);

    assert_eq!(calls(service.get("/verify/").bearer(&ada.tokens.access)).await, 2);
    assert_eq!(calls(introspect(&ada.tokens.access)).await, 2);
    assert_eq!(calls(service.get("/verify/").bearer("x")).await, 0);
    assert_eq!(calls(introspect("x")).await, 0);
}

#[tokio::test]
async fn every_server_reports_an_ended_session_at_once() {
    let service = Service::start().await;
    let second = service.second().await;
    let [logged_out, changed, closed, deleted] =
        ["logout@example.org", "change@example.org", "close@example.org", "delete@example.org"];
    // The writes alone, without the removal of the sessions.
    let user_admin = service.user_admin();
    let of_command = |kind, id| user_admin.audit.event(kind, Some(id), AuditOrigin::command_line(1000));

    let ada = service.signed_up(logged_out).await;
    ada.at(&second).expect_valid().await;
    ada.log_out().await.expect(200);
    ada.at(&second).expect_ended().await;

    let ada = service.signed_up(changed).await;
    let elsewhere = ada.second_session().await;
    elsewhere.change_password(PASSWORD, "new_password").await.expect(200);
    ada.at(&second).expect_ended().await;
    elsewhere.at(&second).expect_valid().await;

    let ada = service.signed_up(closed).await;
    let id = service.user(closed).await.id;
    let change =
        UserChange { status: Some(AccountStatus::Inactive), epoch: Some(Epoch::random()), ..UserChange::default() };
    let target = AdminTarget { id, reach: AdminReach::AllUsers };
    let event = of_command(EventKind::AdminUserDeactivated, id);
    let changed = user_admin.changes.change(target, &change, &event, &time()).await.expect("a response");
    assert!(matches!(changed, AdminWrite::Done(_)), "{changed:?}");
    ada.expect_ended().await;
    ada.at(&second).expect_ended().await;

    let ada = service.signed_up(deleted).await;
    let id = service.user(deleted).await.id;
    let events = vec![of_command(EventKind::AdminUserDeleted, id)];
    let deletion = UserDeletion { events, reach: AdminReach::AllUsers, mode: DeletionMode::Real };
    let deleted = user_admin.changes.delete(&deletion, &time()).await.expect("a response");
    assert!(matches!(deleted, AdminWrite::Done(_)), "{deleted:?}");
    ada.expect_ended().await;
    ada.at(&second).expect_ended().await;
}

#[tokio::test]
async fn panic_is_no_approval() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;

    service.counting.set_fault(Fault::Panic);

    ada.verify().await.expect(500);
    ada.introspected().await.expect(500);
}
