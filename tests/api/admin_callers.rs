//! The callers of the admin API.

use std::time::Duration;

use postern::{
    accounts::{UserEdit, UserRef},
    http::{AdminAccess, AdminListener, Router, routes},
    model::{AccountStatus, Role},
};
use serde_json::{Value, json};

use super::Service;
use crate::support::{
    API_KEY, PASSWORD, RequestBuilder, Response, Settings, TestUser, admin_call, string_field, time, with_status,
    write_private,
};

const ADMIN_KEY: &str = "an-admin-key-that-has-32-characters";
const READER_KEY: &str = "a-reader-key-that-has-32-characters";

impl Service {
    /// Asks who the caller with this token is.
    async fn me(&self, token: &str) -> Response {
        self.admin("GET", "me/").bearer(token).send().await
    }

    /// Replaces the file of API keys, and lets the server read it.
    fn set_api_keys(&self, text: &str) {
        write_private(&self.keys_directory().join("api-keys"), text);
        self.advance(Duration::from_secs(1));
    }

    async fn edit(&self, user: &TestUser, edit: UserEdit) {
        let who = UserRef::Id(self.user(&user.email).await.id);
        self.user_admin().edit(&who, edit, &admin_call(&time())).await.expect("done");
    }
}

fn three_keys() -> String {
    format!("billing {API_KEY}\nshop {ADMIN_KEY} admin\nconsole {READER_KEY} admin:read,introspect\n")
}

/// Checks that the response requires the password.
#[track_caller]
fn expect_reauthentication(response: Response, max_age: u32) {
    let challenge = format!(r#"Bearer realm="postern", error="insufficient_user_authentication", max_age={max_age}"#);
    assert_eq!(response.text("www-authenticate"), challenge);
    response.expect_problem(401, "reauthentication_required");
}

#[tokio::test]
async fn administrator_and_api_client_see_who_they_are() {
    let service = Service::start().await;
    service.set_api_keys(&three_keys());
    let grace = service.administrator("grace@example.org").await;

    let me = service.me(&grace.tokens.access).await.expect(200);

    let id = service.user("grace@example.org").await.id.to_string();
    assert_eq!(me["user"], json!({"id": id, "name": "Grace Hopper", "email": "grace@example.org"}));
    let rights = |me: &Value| [me["may_write"] == true, me["may_change_administrators"] == true];
    assert_eq!((&me["api_key"], rights(&me)), (&Value::Null, [true, true]));
    assert!(string_field(&me, "authenticated_until").ends_with('Z'), "{me}");
    for (key, name, rights_of_key) in [(ADMIN_KEY, "shop", [true, false]), (READER_KEY, "console", [false, false])] {
        let me = service.me(key).await.expect(200);
        assert_eq!((&me["user"], &me["api_key"], rights(&me)), (&Value::Null, &json!(name), rights_of_key));
        assert_eq!(me["authenticated_until"], Value::Null);
    }
}

#[tokio::test]
async fn caller_without_a_valid_token_is_not_authenticated() {
    let service = Service::start().await;
    let grace = service.administrator("grace@example.org").await;
    let access = &grace.tokens.access;

    service.admin("GET", "me/").send().await.expect_problem(401, "not_authenticated");
    service
        .admin("GET", "me/")
        .header("authorization", "Basic YTpi")
        .send()
        .await
        .expect_problem(401, "not_authenticated");
    let two = service.admin("GET", "me/").bearer(access).bearer(access);
    two.send().await.expect_problem(401, "invalid_token");
    for token in ["x", "v4.public.x", &grace.tokens.refresh, &access[..access.len() - 1], &API_KEY.to_uppercase()] {
        service.me(token).await.expect_problem(401, "invalid_token");
    }
    service.advance(Duration::from_mins(6));
    service.me(access).await.expect_problem(401, "token_expired");
    let refreshed = grace.refresh().await.expect(200);
    grace.log_out().await.expect(200);
    service.me(string_field(&refreshed, "access")).await.expect_problem(401, "invalid_token");
}

#[tokio::test]
async fn member_is_denied_and_learns_no_scope() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;

    let denied = service.me(&ada.tokens.access).await;

    assert_eq!(denied.text("www-authenticate"), "");
    denied.expect_problem(403, "permission_denied");
    // Not even after the time: a member would learn nothing by confirming the password.
    service.advance(Duration::from_hours(2));
    let refreshed = ada.refresh().await.expect(200);
    service.me(string_field(&refreshed, "access")).await.expect_problem(403, "permission_denied");
}

#[tokio::test]
async fn key_without_the_scope_is_denied_with_the_scope() {
    let service = Service::start().await;
    service.set_api_keys(&three_keys());
    let introspect = async |key: &str| service.post("/introspect/", json!({"token": "x"})).bearer(key).send().await;
    let challenge = |scope: &str| format!(r#"Bearer realm="postern", error="insufficient_scope", scope="{scope}""#);

    let denied = service.me(API_KEY).await;
    assert_eq!(denied.text("www-authenticate"), challenge("admin:read"));
    denied.expect_problem(403, "permission_denied");
    let denied = introspect(ADMIN_KEY).await;
    assert_eq!(denied.text("www-authenticate"), challenge("introspect"));
    denied.expect_problem(403, "permission_denied");

    for key in [API_KEY, READER_KEY] {
        introspect(key).await.expect(200);
    }
}

#[tokio::test]
async fn removed_scope_and_removed_key_count_after_the_reload() {
    let service = Service::start().await;
    service.set_api_keys(&three_keys());
    service.me(ADMIN_KEY).await.expect(200);
    service.me(READER_KEY).await.expect(200);

    service.set_api_keys(&format!("shop {ADMIN_KEY}\n"));

    service.me(ADMIN_KEY).await.expect_problem(403, "permission_denied");
    service.me(READER_KEY).await.expect_problem(401, "invalid_token");
}

#[tokio::test]
async fn password_is_required_again_after_an_hour() {
    let service = Service::start().await;
    let grace = service.administrator("grace@example.org").await;
    // An access token lives for 5 minutes, so each request takes a new one: a refresh is no authentication.
    let me = async || {
        let refreshed = grace.refresh().await.expect(200);
        service.me(string_field(&refreshed, "access")).await
    };

    service.advance(Duration::from_mins(58));
    me().await.expect(200);
    service.advance(Duration::from_mins(4));
    expect_reauthentication(me().await, 3600);

    let access = grace.refresh().await.expect(200);
    let access = string_field(&access, "access");
    let confirm = service.post("/reauthenticate/", json!({"password": PASSWORD})).bearer(access);
    confirm.send().await.expect(200);

    service.me(access).await.expect(200);
    service.advance(Duration::from_mins(62));
    expect_reauthentication(me().await, 3600);
}

#[tokio::test]
async fn age_of_the_authentication_is_a_setting() {
    let admin_access = AdminAccess { max_authentication_age: Duration::from_mins(2), ..AdminAccess::default() };
    let service = Service::start_with(Settings { admin_access, ..Settings::default() }).await;
    let grace = service.administrator("grace@example.org").await;
    service.me(&grace.tokens.access).await.expect(200);

    service.advance(Duration::from_mins(3));

    expect_reauthentication(service.me(&grace.tokens.access).await, 120);
    let other = grace.second_session().await;
    service.me(&other.tokens.access).await.expect(200);
    expect_reauthentication(service.me(&grace.tokens.access).await, 120);
}

#[tokio::test]
async fn demotion_and_deactivation_count_at_the_next_request() {
    let service = Service::start().await;
    // The last administrator can neither be demoted nor deactivated.
    service.administrator("ada@example.org").await;
    let grace = service.administrator("grace@example.org").await;
    let edith = service.administrator("edith@example.org").await;
    for user in [&grace, &edith] {
        service.me(&user.tokens.access).await.expect(200);
    }

    service.edit(&grace, UserEdit { role: Some(Role::Member), ..UserEdit::default() }).await;
    service.edit(&edith, with_status(AccountStatus::Inactive)).await;

    service.me(&grace.tokens.access).await.expect_problem(403, "permission_denied");
    grace.profile().await.expect(200);
    service.me(&edith.tokens.access).await.expect_problem(401, "invalid_token");
}

#[tokio::test]
async fn request_looks_up_user_and_session_once() {
    let service = Service::start().await;
    let grace = service.administrator("grace@example.org").await;
    let before = service.store_calls();

    service.me(&grace.tokens.access).await.expect(200);

    let calls = service.counting.calls();
    let mut calls: Vec<_> = calls[before..].iter().map(ToString::to_string).collect();
    calls.sort_unstable();
    assert_eq!(calls, ["sessions.touch", "users.by_id"]);
}

#[tokio::test]
async fn no_route_ignores_a_parameter_of_the_query() {
    let service = Service::start().await;
    let grace = service.administrator("grace@example.org").await;
    let id = service.user("grace@example.org").await.id.to_string();
    let router = Router::new("admin", routes::admin());

    for (method, path) in router.routes() {
        let path = path.trim_start_matches(routes::ADMIN_API).replace("{id}", &id).replace("{session}", &id);
        let request = service.admin(&method.to_string(), &format!("{path}?x=1"));
        let response = request.bearer(&grace.tokens.access).send().await;
        assert_eq!(response.status, 400, "{method} {path}");
        response.expect_field_errors("query");
    }
}

/// Returns the same request to both listeners, the public one first.
fn to_both(service: &Service, method: &str) -> [RequestBuilder; 2] {
    let public = service.request(method, "/admin/api/me/").unchecked();
    [public, service.admin(method, "me/")]
}

#[tokio::test]
async fn one_listener_serves_the_admin_api_or_none() {
    for (listener, is_served) in [
        (AdminListener::Public, [true, false]),
        (AdminListener::Operations, [false, true]),
        (AdminListener::Off, [false, false]),
    ] {
        let service = Service::start_with(Settings { admin_listener: listener, ..Settings::default() }).await;
        let grace = service.administrator("grace@example.org").await;

        for (request, is_served) in to_both(&service, "GET").into_iter().zip(is_served) {
            let response = request.bearer(&grace.tokens.access).send().await;
            assert_eq!(response.status, if is_served { 200 } else { 404 }, "{listener:?}");
        }
    }
}

#[tokio::test]
async fn client_outside_the_networks_gets_the_response_of_an_unknown_path() {
    let of_unknown_path = |response: &Response, unknown: &Response| {
        assert_eq!((response.status, &response.body), (404, &unknown.body));
        let names = |response: &Response| response.headers.keys().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(names(response), names(unknown));
    };
    for listener in [AdminListener::Public, AdminListener::Operations] {
        let networks = Some("192.0.2.0/24,2001:db8::/64".parse().expect("networks"));
        let admin_access = AdminAccess { networks, ..AdminAccess::default() };
        let settings = Settings { admin_listener: listener, admin_access, ..Settings::default() };
        let service = Service::start_with(settings).await;
        let grace = service.administrator("grace@example.org").await;
        let at_listener = |method: &str, path: &str| match listener {
            AdminListener::Public => service.request(method, &format!("/admin/api/{path}")).unchecked(),
            _ => service.admin(method, path).unchecked(),
        };

        for method in ["GET", "HEAD", "POST", "OPTIONS", "BREW"] {
            let unknown = at_listener(method, "nothing/").send().await;
            let with_token = at_listener(method, "me/").bearer(&grace.tokens.access).send().await;
            let anonymous = at_listener(method, "me").send().await;
            of_unknown_path(&with_token, &unknown);
            of_unknown_path(&anonymous, &unknown);
        }
        let metrics = service.metrics().await;
        let mut counted = metrics.lines().filter(|line| line.starts_with("postern_http_requests_total"));
        assert!(counted.all(|line| !line.contains("/admin/api/")), "{metrics}");
    }
}

#[tokio::test]
async fn client_is_in_the_networks_by_its_address_behind_the_proxy() {
    let networks = Some("192.0.2.0/24".parse().expect("networks"));
    let admin_access = AdminAccess { networks, ..AdminAccess::default() };
    let settings = Settings {
        admin_listener: AdminListener::Public,
        admin_access,
        trusted_proxies: "127.0.0.1",
        ..Settings::default()
    };
    let service = Service::start_with(settings).await;
    let grace = service.administrator("grace@example.org").await;
    let status_from = async |address: &str| {
        let request = service.get("/admin/api/me/").unchecked().header("x-forwarded-for", address);
        request.bearer(&grace.tokens.access).send().await.status
    };

    for address in ["192.0.2.7", "::ffff:192.0.2.7", "198.51.100.9, 192.0.2.7"] {
        assert_eq!(status_from(address).await, 200, "{address}");
    }
    for address in ["198.51.100.9", "192.0.2.7, 198.51.100.9", "unknown"] {
        assert_eq!(status_from(address).await, 404, "{address}");
    }
}

#[tokio::test]
async fn client_that_a_proxy_may_hide_is_outside_the_networks() {
    // The peer of all requests is in the networks.
    for (trusted_proxies, headers, expected) in [
        ("none", &[][..], 200),
        ("none", &[("x-forwarded-for", "127.0.0.1")], 404),
        ("none", &[("forwarded", "for=127.0.0.1")], 404),
        ("none", &[("x-real-ip", "127.0.0.1")], 404),
        ("127.0.0.1", &[], 404),
        ("127.0.0.1", &[("x-real-ip", "127.0.0.1")], 404),
        ("127.0.0.1", &[("forwarded", "for=127.0.0.1")], 404),
        ("127.0.0.1", &[("x-forwarded-for", "unknown")], 404),
        ("127.0.0.1", &[("x-forwarded-for", "127.0.0.2")], 200),
    ] {
        let networks = Some("127.0.0.0/8".parse().expect("networks"));
        let admin_access = AdminAccess { networks, ..AdminAccess::default() };
        let admin_listener = AdminListener::Public;
        let settings = Settings { admin_listener, admin_access, trusted_proxies, ..Settings::default() };
        let service = Service::start_with(settings).await;
        let grace = service.administrator("grace@example.org").await;

        let request = service.get("/admin/api/me/").unchecked().bearer(&grace.tokens.access);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(name, value));

        assert_eq!(request.send().await.status, expected, "{trusted_proxies} {headers:?}");
    }
}

#[tokio::test]
async fn operations_listener_believes_no_forwarding_header() {
    let networks = Some("192.0.2.0/24".parse().expect("networks"));
    let admin_access = AdminAccess { networks, ..AdminAccess::default() };
    let settings = Settings { admin_access, trusted_proxies: "127.0.0.1", ..Settings::default() };
    let service = Service::start_with(settings).await;
    let grace = service.administrator("grace@example.org").await;

    let request = service.admin("GET", "me/").header("x-forwarded-for", "192.0.2.7");

    assert_eq!(request.bearer(&grace.tokens.access).send().await.status, 404);
}
