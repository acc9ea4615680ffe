//! `/admin/api/users/`: one user, or several

use std::time::Duration;

use postern::model::{AuditEvent, EventKind};
use serde_json::{Value, json};

use super::Service;
use crate::support::{NEW_PASSWORD, PASSWORD, RequestBuilder, Response, TestUser, string_field, write_private};

/// The API key of a back office, with the scope `admin`.
pub const ADMIN_KEY: &str = "an-admin-key-that-has-32-characters";

/// The id of no user.
pub const NOBODY: &str = "0199c3a4-7b1e-7d20-8f3a-5f6e7d8c9b0a";

/// A caller of the admin API of a service.
pub struct Admin<'service> {
    service: &'service Service,
    token: String,
}

impl Service {
    /// Creates an administrator, and logs in.
    pub async fn admin_grace(&self) -> Admin<'_> {
        let grace = self.administrator("grace@example.org").await;
        Admin::of(self, &grace)
    }

    /// Returns a back office with an API key.
    pub fn back_office(&self) -> Admin<'_> {
        write_private(&self.keys_directory().join("api-keys"), &format!("shop {ADMIN_KEY} admin\n"));
        self.advance(Duration::from_secs(1));
        Admin { service: self, token: ADMIN_KEY.to_owned() }
    }

    pub async fn id(&self, email: &str) -> String {
        self.user(email).await.id.to_string()
    }
}

impl<'service> Admin<'service> {
    /// Returns the caller with the session of this user.
    pub fn of(service: &'service Service, user: &TestUser) -> Self {
        Self { service, token: user.tokens.access.clone() }
    }
}

impl Admin<'_> {
    pub fn request(&self, method: &str, path: &str) -> RequestBuilder {
        self.service.admin(method, path).bearer(&self.token)
    }

    pub async fn get(&self, path: &str) -> Response {
        self.request("GET", path).send().await
    }

    pub async fn delete(&self, path: &str) -> Response {
        self.request("DELETE", path).send().await
    }

    pub async fn send(&self, method: &str, path: &str, body: Value) -> Response {
        self.request(method, path).json(body).send().await
    }

    pub async fn edit(&self, id: &str, body: Value) -> Response {
        self.send("PATCH", &format!("users/{id}/"), body).await
    }

    /// Creates a member, and returns the id.
    pub async fn created(&self, email: &str, name: &str) -> String {
        let user = self.send("POST", "users/", json!({"name": name, "email": email})).await.expect(201);
        string_field(&user, "id").to_owned()
    }
}

/// Returns the ids of a list of users or sessions.
pub fn ids(users: &Value) -> Vec<&str> {
    users.as_array().expect("a list").iter().map(|user| string_field(user, "id")).collect()
}

#[tokio::test]
async fn created_user_can_log_in() {
    let service = Service::start().await;
    let admin = service.admin_grace().await;

    let body =
        json!({"name": " Ada ", "email": "Ada@Example.org", "password": PASSWORD, "email_verified": true, "x": 1});
    let user = admin.send("POST", "users/", body).await.expect(201);

    let id = string_field(&user, "id");
    assert_eq!(
        user,
        json!({
            "id": id, "email": "ada@example.org", "email_verified": true, "name": "Ada", "role": "member",
            "status": "active", "has_password": true, "created": user["created"], "last_login": null,
        })
    );
    assert_eq!(admin.get(&format!("users/{id}/")).await.expect(200), user);
    service.logged_in("ada@example.org", PASSWORD).await.expect_valid().await;
}

#[tokio::test]
async fn user_who_is_created_inactive_cannot_log_in() {
    let service = Service::start().await;
    let admin = service.admin_grace().await;

    let body = json!({"name": "Ada", "email": "ada@example.org", "password": PASSWORD, "status": "inactive"});
    let user = admin.send("POST", "users/", body).await.expect(201);

    assert_eq!(user["status"], "inactive");
    service.log_in("ada@example.org", PASSWORD).await.expect_problem(401, "invalid_credentials");
    admin.edit(string_field(&user, "id"), json!({"status": "active"})).await.expect(200);
    service.logged_in("ada@example.org", PASSWORD).await.expect_valid().await;
}

#[tokio::test]
async fn user_without_a_password_cannot_log_in_until_one_is_set() {
    let service = Service::start().await;
    let admin = service.admin_grace().await;
    let body = json!({"name": "Ada", "email": "ada@example.org", "password": null, "role": "administrator"});

    let user = admin.send("POST", "users/", body).await.expect(201);

    assert_eq!((&user["has_password"], &user["role"]), (&json!(false), &json!("administrator")));
    service.log_in("ada@example.org", PASSWORD).await.expect_problem(401, "invalid_credentials");
    let path = format!("users/{}/password/", string_field(&user, "id"));
    let user = admin.send("PUT", &path, json!({"password": PASSWORD})).await.expect(200);
    assert_eq!(user["has_password"], true);
    service.logged_in("ada@example.org", PASSWORD).await;
}

#[tokio::test]
async fn invalid_user_is_not_created() {
    let service = Service::start().await;
    let admin = service.admin_grace().await;
    let valid = json!({"name": "Ada", "email": "ada@example.org"});
    for (field, value) in [
        ("name", Value::Null),
        ("name", json!("a\nb")),
        ("name", json!(["Ada"])),
        ("email", json!("ada")),
        ("email", json!("ada@example.org\r\nBcc: x@example.org")),
        ("role", json!("Administrator")),
        ("role", json!(["member"])),
        ("role", Value::Null),
        ("status", json!("Inactive")),
        ("status", Value::Null),
        ("email_verified", json!("true")),
        ("email_verified", Value::Null),
        ("password", json!("")),
        ("password", json!("12345678")),
        ("password", json!(12_345_678)),
    ] {
        let mut body = valid.clone();
        body[field] = value;
        let response = admin.send("POST", "users/", body.clone()).await;
        assert!(!response.expect_field_errors(field).is_empty(), "{body}");
    }

    admin.send("POST", "users/?role=administrator", valid.clone()).await.expect_field_errors("query");
    admin.send("POST", "users/", json!([valid])).await.expect_problem(400, "malformed_json");
    admin
        .send("POST", "users/", json!({"name": "Ada", "email": "grace@example.org"}))
        .await
        .expect_problem(409, "email_taken");
    assert_eq!(admin.get("users/").await.expect(200)["users"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn each_field_can_be_changed() {
    let service = Service::start().await;
    let admin = service.admin_grace().await;
    let ada = service.signed_up("ada@example.org").await;
    let id = service.id("ada@example.org").await;
    // The sign-up, which is the last login.
    service.audited_of(EventKind::SignUp).await;

    let user = admin.edit(&id, json!({"name": "Ada King", "email_verified": true})).await.expect(200);
    assert_eq!((&user["name"], &user["email_verified"]), (&json!("Ada King"), &json!(true)));
    let user = admin.edit(&id, json!({"email": "King@example.org", "role": "administrator"})).await.expect(200);
    assert_eq!((&user["email"], &user["email_verified"]), (&json!("king@example.org"), &json!(false)));
    assert_eq!(user["role"], "administrator");
    ada.profile().await.expect(200);
    let user = admin.edit(&id, json!({"status": "inactive"})).await.expect(200);

    assert_eq!(user["status"], "inactive");
    assert!(user["last_login"].is_string(), "{user}");
    ada.expect_ended().await;
    assert_eq!(admin.get(&format!("users/{id}/")).await.expect(200), user);
    assert_eq!(admin.edit(&id, json!({"status": "active"})).await.expect(200)["status"], "active");
    ada.expect_ended().await;
    service.logged_in("king@example.org", PASSWORD).await;
}

#[tokio::test]
async fn empty_or_invalid_change_is_rejected() {
    let service = Service::start().await;
    let admin = service.admin_grace().await;
    let id = admin.created("ada@example.org", "Ada").await;

    for body in [json!({}), json!({"id": NOBODY, "created": "2027-01-01T00:00:00Z", "password": "x", "Name": "Eve"})] {
        assert_eq!(admin.edit(&id, body.clone()).await.expect_field_errors("body").len(), 1, "{body}");
    }
    for (field, value) in [
        ("name", json!(null)),
        ("email", json!("")),
        ("status", json!("deleted")),
        ("role", json!(1)),
        ("email_verified", json!(0)),
    ] {
        let mut body = json!({"name": "Eve"});
        body[field] = value;
        assert_eq!(admin.edit(&id, body.clone()).await.expect_field_errors(field).len(), 1, "{body}");
    }
    admin.edit(&id, json!({"email": "grace@example.org"})).await.expect_problem(409, "email_taken");
    admin
        .request("PATCH", &format!("users/{id}/"))
        .body("application/json", "{\"name\":\"a\",\"name\":\"b\"}")
        .send()
        .await
        .expect_problem(400, "malformed_json");

    assert_eq!(admin.get(&format!("users/{id}/")).await.expect(200)["name"], "Ada");
}

#[tokio::test]
async fn password_can_be_set_and_disabled() {
    let service = Service::start().await;
    let admin = service.admin_grace().await;
    let ada = service.signed_up("ada@example.org").await;
    let path = format!("users/{}/password/", service.id("ada@example.org").await);

    for password in ["", "1234", "ada@example.org"] {
        admin.send("PUT", &path, json!({"password": password})).await.expect_field_errors("password");
    }
    ada.expect_valid().await;
    let user = admin.send("PUT", &path, json!({"password": NEW_PASSWORD})).await.expect(200);
    assert!(user.get("password").is_none() && !user.to_string().contains("argon2"), "{user}");
    ada.expect_ended().await;
    let ada = service.logged_in("ada@example.org", NEW_PASSWORD).await;
    let user = admin.delete(&path).await.expect(200);

    assert_eq!(user["has_password"], false);
    ada.expect_ended().await;
    service.log_in("ada@example.org", NEW_PASSWORD).await.expect_problem(401, "invalid_credentials");
}

#[tokio::test]
async fn sessions_are_listed_and_ended() {
    let service = Service::start().await;
    let admin = service.admin_grace().await;
    let ada = service.signed_up("ada@example.org").await;
    let (second, third) = (ada.second_session().await, ada.second_session().await);
    let path = format!("users/{}/sessions/", service.id("ada@example.org").await);

    let list = admin.get(&path).await.expect(200);
    assert_eq!(list["sessions"].as_array().map(Vec::len), Some(3));
    let session = &list["sessions"][0];
    assert_eq!((&session["ip"], session["authenticated"].is_string()), (&json!("127.0.0.1"), true), "{session}");
    let own = second.session_id().await;
    assert!(ids(&list["sessions"]).contains(&own.as_str()), "{list}");

    let other = format!("users/{}/sessions/{own}/", service.id("grace@example.org").await);
    admin.delete(&other).await.expect_problem(404, "session_not_found");
    second.expect_valid().await;
    assert_eq!(admin.delete(&format!("{path}{own}/")).await.status, 204);
    second.expect_ended().await;
    admin.delete(&format!("{path}{own}/")).await.expect_problem(404, "session_not_found");
    third.expect_valid().await;

    assert_eq!(admin.delete(&path).await.status, 204);
    for user in [&ada, &third] {
        user.expect_ended().await;
    }
    assert_eq!(admin.get(&path).await.expect(200), json!({"sessions": []}));
}

#[tokio::test]
async fn unknown_and_malformed_ids_are_not_found() {
    let service = Service::start().await;
    let admin = service.admin_grace().await;
    let grace = service.id("grace@example.org").await;
    let compact = grace.replace('-', "");

    for id in
        [NOBODY, "x", "1", "%27", "..%2f..%2fme", "%00", "%ff", &compact, "1%27%20OR%201=1;--", "%0d%0aX-Evil:%201"]
    {
        let problem = admin.get(&format!("users/{id}/")).await;
        assert!(!String::from_utf8_lossy(&problem.body).contains(id), "{id}");
        problem.expect_problem(404, "user_not_found");
        for (method, path, body) in [
            ("PATCH", "", Some(json!({"name": "Eve"}))),
            ("DELETE", "", None),
            ("DELETE", "?dry_run=true", None),
            ("PUT", "password/", Some(json!({"password": NEW_PASSWORD}))),
            ("DELETE", "password/", None),
            ("GET", "sessions/", None),
            ("DELETE", "sessions/", None),
            ("DELETE", "sessions/x/", None),
        ] {
            let request = admin.request(method, &format!("users/{id}/{path}"));
            let request = if let Some(body) = body { request.json(body) } else { request };
            let response = request.send().await;
            let code = if path == "sessions/x/" && id == NOBODY { "session_not_found" } else { "user_not_found" };
            assert_eq!((response.status, response.json()["code"].as_str()), (404, Some(code)), "{method} {id} {path}");
        }
    }
    admin.delete(&format!("users/{grace}/sessions/x/")).await.expect_problem(404, "session_not_found");
    admin.delete(&format!("users/{NOBODY}/sessions/{NOBODY}/")).await.expect_problem(404, "user_not_found");
}

#[tokio::test]
async fn back_office_changes_members_only() {
    let service = Service::start().await;
    service.administrator("grace@example.org").await;
    let shop = service.back_office();
    let grace = service.id("grace@example.org").await;
    let ada = shop.created("ada@example.org", "Ada").await;

    let administrator =
        json!({"name": "Eve", "email": "eve@example.org", "password": PASSWORD, "role": "administrator"});
    shop.send("POST", "users/", administrator).await.expect_problem(403, "permission_denied");
    shop.edit(&ada, json!({"role": "administrator"})).await.expect_problem(403, "permission_denied");
    shop.edit(&grace, json!({"email": "eve@example.org"})).await.expect_problem(403, "permission_denied");
    shop.send("PUT", &format!("users/{grace}/password/"), json!({"password": NEW_PASSWORD}))
        .await
        .expect_problem(403, "permission_denied");
    for path in ["", "?dry_run=true", "password/", "sessions/"] {
        let response = shop.delete(&format!("users/{grace}/{path}")).await;
        assert_eq!((response.status, &response.json()["code"]), (403, &json!("permission_denied")), "{path}");
    }
    let sessions = shop.get(&format!("users/{grace}/sessions/")).await.expect(200);
    let session = string_field(&sessions["sessions"][0], "id");
    shop.delete(&format!("users/{grace}/sessions/{session}/")).await.expect_problem(403, "permission_denied");
    shop.delete_several(&[&ada, &grace], false).await.expect_problem(403, "permission_denied");

    assert_eq!(shop.edit(&ada, json!({"name": "Ada King"})).await.expect(200)["name"], "Ada King");
    assert_eq!(shop.delete(&format!("users/{ada}/")).await.status, 204);
    assert_eq!(shop.get(&format!("users/{grace}/")).await.expect(200)["name"], "Grace Hopper");
}

#[tokio::test]
async fn change_is_audited_with_its_actor_and_fields() {
    let service = Service::start().await;
    let admin = service.admin_grace().await;
    let ada: TestUser = service.signed_up("ada@example.org").await;
    let (id, grace) = (service.id("ada@example.org").await, service.id("grace@example.org").await);
    let session = ada.session_id().await;

    admin.edit(&id, json!({"name": "Secret Name", "email": "secret@example.org"})).await.expect(200);
    admin.edit(&id, json!({"name": "Secret Name"})).await.expect(200);
    admin.delete(&format!("users/{id}/sessions/{session}/")).await;
    admin.delete(&format!("users/{id}/")).await;

    let of_ada = |event: &AuditEvent| event.subject.user.is_some_and(|user| user.to_string() == id);
    let events: Vec<_> = service.audited_of(EventKind::AdminSessionEnded).await;
    assert_eq!(events.iter().filter(|event| of_ada(event)).count(), 1);
    let changes = service.audited_of(EventKind::AdminUserChanged).await;
    assert_eq!(changes.len(), 1, "an edit without a change writes nothing: {changes:?}");
    let (subject, origin) = (&changes[0].subject, &changes[0].origin);
    assert_eq!(subject.detail.as_deref(), Some("changed: name, email"));
    assert_eq!(origin.actor, Some(format!("user {grace}")));
    assert!(origin.address.is_some() && origin.request_id.is_some(), "{origin:?}");
    let deletions = service.audited_of(EventKind::AdminUserDeleted).await;
    assert!(deletions.iter().all(of_ada) && deletions.len() == 1, "{deletions:?}");
    assert!(!format!("{changes:?}{deletions:?}").to_lowercase().contains("secret"));
}
