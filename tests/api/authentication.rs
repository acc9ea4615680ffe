//! Authentication, and `GET /profile/`

use std::time::Duration;

use postern::tokens::AccessFormat;

use super::Service;
use crate::support::Settings;

#[tokio::test]
async fn profile_is_name_email_and_creation_date() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;

    let profile = ada.profile().await.expect(200);

    assert_eq!(profile["name"], "Ada Lovelace");
    assert_eq!(profile["email"], "ada@example.org");
    let date = profile["creation_date"].as_str().expect("a text");
    let parsed = time::OffsetDateTime::parse(date, &time::format_description::well_known::Rfc3339);
    assert!(parsed.is_ok() && date.len() == "2026-01-31T09:30:00Z".len() && date.ends_with('Z'), "{date}");
    assert_eq!(profile.as_object().expect("an object").len(), 3);
}

#[tokio::test]
async fn request_without_a_token_is_not_authenticated() {
    let service = Service::start().await;

    for authorization in [None, Some("Basic YWRhOng="), Some("Bearer"), Some("Bearer ")] {
        let request = service.get("/profile/");
        let request = authorization.into_iter().fold(request, |request, value| request.header("authorization", value));
        let response = request.send().await;
        assert_eq!(response.text("www-authenticate"), r#"Bearer realm="postern""#);
        response.expect_problem(401, "not_authenticated");
    }
}

#[tokio::test]
async fn anything_but_our_access_token_is_invalid() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;
    let of_another_service = Service::start().await.signed_up("ada@example.org").await;
    let before = service.store_calls();

    let garbage = ["x", "v4.public.", "v4.local.AAAA", "eyJhbGciOiJub25lIn0.e30.", "v4.public.AAAA.AAAA"];
    let tampered = format!("{}x", ada.tokens.access);
    let others = [&ada.tokens.refresh, &of_another_service.tokens.access, &tampered];
    for token in garbage.into_iter().chain(others.into_iter().map(String::as_str)) {
        let response = service.get("/profile/").bearer(token).send().await;
        assert_eq!(response.text("www-authenticate"), r#"Bearer realm="postern", error="invalid_token""#);
        response.expect_problem(401, "invalid_token");
    }

    assert_eq!(service.store_calls(), before);
}

#[tokio::test]
async fn access_token_expires() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;

    service.advance(Duration::from_mins(4));
    ada.profile().await.expect(200);

    service.advance(Duration::from_mins(1));
    let response = ada.profile().await;
    assert_eq!(response.text("www-authenticate"), r#"Bearer realm="postern", error="invalid_token""#);
    response.expect_problem(401, "token_expired");
}

#[tokio::test]
async fn signed_in_request_costs_one_call_to_each_store() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;
    let before = service.store_calls();

    ada.profile().await.expect(200);

    assert_eq!(service.store_calls() - before, 2);
}

#[tokio::test]
async fn caller_is_authenticated_before_the_body_is_read() {
    let service = Service::start().await;

    let response = service.request("POST", "/change-password/").body("text/plain", "x").send().await;

    response.expect_problem(401, "not_authenticated");
}

#[tokio::test]
async fn change_of_the_token_format_invalidates_no_token() {
    let service = Service::start().await;

    for format in AccessFormat::ALL {
        let other = service.second_with(Settings { access_format: *format, ..Settings::default() }).await;
        let (before, after) = (
            service.signed_up(&format!("ada@{format}.example.org")).await,
            other.signed_up(&format!("grace@{format}.example.org")).await,
        );

        before.at(&other).expect_valid().await;
        after.at(&service).expect_valid().await;
    }
}
