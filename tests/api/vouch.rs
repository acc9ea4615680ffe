//! `/verify/` and `POST /introspect/`: what other services are told. What ends a session ends it for them, too:
//! `expect_ended` says so wherever it stands.

use std::time::Duration;

use postern::{
    model::{AccountStatus, Epoch},
    store::{TimeBudget, UserUpdate},
};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::Service;
use crate::{
    counting::Fault,
    service::{API_KEY, PASSWORD},
};

#[tokio::test]
async fn a_proxy_is_told_who_the_request_is_from() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;
    let other = ada.second_session().await;

    let (answer, of_other) = (ada.verify().await, other.verify().await);

    assert_eq!((answer.status, answer.text("content-length")), (200, "0"));
    assert_eq!(answer.text("x-user-id"), service.user("ada@example.org").await.id.to_string());
    assert_eq!(answer.text("x-user-email"), "ada@example.org");
    assert_eq!(answer.text("x-user-id"), of_other.text("x-user-id"));
    let told = ada.introspected().await.expect(200);
    assert_eq!(told["sid"], answer.text("x-session-id"));
    assert_ne!(answer.text("x-session-id"), of_other.text("x-session-id"));
}

#[tokio::test]
async fn any_method_and_any_path_below_are_answered_alike() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;

    for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"] {
        for path in ["/verify", "/verify/", "/verify/orders/7/", "/verify//", "/verify/../x?q=1", "/verify/%2e%2e/%ff"]
        {
            let asking = || service.asking(method, path);
            let answer = asking().bearer(&ada.tokens.access).send().await;
            assert_eq!((answer.status, answer.text("x-user-email")), (200, "ada@example.org"), "{method} {path}");
            assert_eq!(asking().send().await.status, 401, "{method} {path}");
        }
    }
    service.get("/verifyx").send().await.expect(404);
}

#[tokio::test]
async fn a_body_that_comes_along_is_not_waited_for() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;
    let mut stream = service.connection().await;

    let head = format!(
        "POST /verify/ HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Length: 1000000\r\n\r\n",
        ada.tokens.access
    );
    stream.write_all(head.as_bytes()).await.expect("the server takes it");

    let mut answer = [0; b"HTTP/1.1 200 OK".len()];
    stream.read_exact(&mut answer).await.expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 200 OK");
}

#[tokio::test]
async fn what_the_request_says_of_itself_counts_for_nothing() {
    let service = Service::start().await;
    let (ada, grace) = (service.signed_up("ada@example.org").await, service.signed_up("grace@example.org").await);
    let of_ada = ada.verify().await;

    let asking = service.get("/verify/").bearer(&grace.tokens.access);
    let asking = ["x-user-id", "x-user-email", "x-session-id"]
        .into_iter()
        .fold(asking, |asking, name| asking.header(name, of_ada.text(name)));
    let answer = asking.send().await;

    assert_eq!(answer.text("x-user-email"), "grace@example.org");
    assert_ne!(answer.text("x-user-id"), of_ada.text("x-user-id"));
    assert_ne!(answer.text("x-session-id"), of_ada.text("x-session-id"));
}

#[tokio::test]
async fn every_character_of_an_email_fits_into_a_header() {
    let service = Service::start().await;
    let email = "!#$%&'*+-/=?^_`{|}~.a@b\u{fc}cher.example";

    let answer = service.signed_up(email).await.verify().await;

    assert_eq!(answer.text("x-user-email"), "!#$%&'*+-/=?^_`{|}~.a@xn--bcher-kva.example");
}

#[tokio::test]
async fn a_proxy_is_told_to_refuse_what_a_signed_in_endpoint_refuses() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;

    for authorization in [None, Some("Basic YWRhOng="), Some("Bearer")] {
        let asking = service.get("/verify/");
        let asking = authorization.into_iter().fold(asking, |asking, value| asking.header("authorization", value));
        asking.send().await.expect_problem(401, "not_authenticated");
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
async fn an_operator_is_told_what_a_live_token_says() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;

    let told = ada.introspected().await.expect(200);

    let (issued, expires) = (told["iat"].as_i64().expect("a number"), told["exp"].as_i64().expect("a number"));
    assert_eq!(expires - issued, 300);
    let expected = json!({
        "active": true,
        "sub": service.user("ada@example.org").await.id.to_string(),
        "sid": told["sid"],
        "iss": "postern",
        "aud": "postern",
        "iat": issued,
        "exp": expires,
        "token_type": "Bearer",
    });
    assert_eq!(told, expected);
}

#[tokio::test]
async fn an_operator_may_ask_by_a_form() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;
    let ask = async |body: String| {
        let asking = service.asking("POST", "/introspect/").bearer(API_KEY);
        asking.body("application/x-www-form-urlencoded; charset=utf-8", body).send().await
    };

    let told = ask(format!("token={}&token_type_hint=access_token", ada.tokens.access)).await.expect(200);

    assert_eq!(told, ada.introspected().await.expect(200));
    assert_eq!(ask("token=%ff".to_owned()).await.expect(200), json!({"active": false}));
    ask("token=a&token=a".to_owned()).await.expect_problem(400, "malformed_json");
    assert_eq!(ask(String::new()).await.expect_objections("token"), ["This field is required."]);
    assert_eq!(ask("token=".to_owned()).await.expect_objections("token"), ["This field may not be blank."]);
    ask(format!("token={}", "x".repeat(16 * 1024))).await.expect_problem(413, "too_large");
}

#[tokio::test]
async fn whatever_is_no_live_access_token_is_not_active_and_no_more_is_told() {
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
async fn without_a_token_to_judge_a_question_is_a_mistake() {
    let service = Service::start().await;
    let ask = async |body| service.post("/introspect/", body).bearer(API_KEY).send().await;

    assert_eq!(ask(json!({})).await.expect_objections("token"), ["This field is required."]);
    assert_eq!(ask(json!({"token": null})).await.expect_objections("token"), ["This field may not be null."]);
    assert_eq!(ask(json!({"token": 7})).await.expect_objections("token"), ["Not a valid string."]);
    assert_eq!(ask(json!({"token": " "})).await.expect_objections("token"), ["This field may not be blank."]);
    ask(json!([])).await.expect_problem(400, "malformed_json");
    let asking = service.asking("POST", "/introspect/").bearer(API_KEY).body("text/plain", "token=x");
    asking.send().await.expect_problem(415, "unsupported_media_type");
}

#[tokio::test]
async fn nobody_but_an_operator_may_ask_and_others_are_not_even_listened_to() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;
    let before = service.store_calls();
    let asking = || service.asking("POST", "/introspect/").body("text/plain", "x");

    asking().send().await.expect_problem(401, "not_authenticated");
    asking().header("authorization", &format!("Basic {API_KEY}")).send().await.expect_problem(401, "not_authenticated");
    for key in [&ada.tokens.access, "billing", &API_KEY[..31], &API_KEY.to_uppercase()] {
        let answer = asking().bearer(key).send().await;
        assert_eq!(answer.text("www-authenticate"), r#"Bearer realm="postern", error="invalid_token""#);
        answer.expect_problem(401, "invalid_token");
    }

    assert_eq!(service.store_calls(), before);
}

#[tokio::test]
async fn either_question_costs_one_call_to_each_store_and_a_forged_token_none() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;
    let calls = async |asking: crate::asking::Asking| {
        let before = service.store_calls();
        asking.send().await;
        service.store_calls() - before
    };
    let introspect = |token: &str| service.post("/introspect/", json!({"token": token})).bearer(API_KEY);

    assert_eq!(calls(service.get("/verify/").bearer(&ada.tokens.access)).await, 2);
    assert_eq!(calls(introspect(&ada.tokens.access)).await, 2);
    assert_eq!(calls(service.get("/verify/").bearer("x")).await, 0);
    assert_eq!(calls(introspect("x")).await, 0);
}

#[tokio::test]
async fn others_are_told_of_whatever_ends_a_session_at_once_by_every_server() {
    let service = Service::start().await;
    let second = service.second().await;
    let time = TimeBudget::new(Duration::from_mins(1));
    let [logged_out, changed, closed, deleted] =
        ["logout@example.org", "change@example.org", "close@example.org", "delete@example.org"];

    let ada = service.signed_up(logged_out).await;
    ada.at(&second).expect_in_force().await;
    ada.log_out().await.expect(200);
    ada.at(&second).expect_ended().await;

    let ada = service.signed_up(changed).await;
    let elsewhere = ada.second_session().await;
    elsewhere.change_password(PASSWORD, "new_password").await.expect(200);
    ada.at(&second).expect_ended().await;
    elsewhere.at(&second).expect_in_force().await;

    let ada = service.signed_up(closed).await;
    let id = service.user(closed).await.id;
    let edit = UserUpdate::SetStatus(AccountStatus::Inactive, Epoch::random());
    service.counting.users.update(id, &edit, &time).await.expect("an answer");
    ada.expect_ended().await;
    ada.at(&second).expect_ended().await;

    let ada = service.signed_up(deleted).await;
    let id = service.user(deleted).await.id;
    service.counting.users.delete(id, &time).await.expect("an answer");
    ada.expect_ended().await;
    ada.at(&second).expect_ended().await;
}

#[tokio::test]
async fn a_panic_is_no_yes() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;

    service.counting.set_fault(Fault::Panic);

    ada.verify().await.expect(500);
    ada.introspected().await.expect(500);
}
