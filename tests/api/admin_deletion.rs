//! `DELETE /admin/api/users/{id}/` and `POST /admin/api/users/delete/`

use serde_json::{Value, json};

use super::{
    Service,
    admin_users::{Admin, NOBODY, ids},
};
use crate::support::{PASSWORD, Response};

impl Admin<'_> {
    pub async fn delete_several(&self, users: &[&str], dry_run: bool) -> Response {
        self.send("POST", "users/delete/", json!({"users": users, "dry_run": dry_run})).await
    }
}

#[tokio::test]
async fn dry_run_says_what_would_go_and_deletes_nothing() {
    let service = Service::start().await;
    let admin = service.admin_grace().await;
    let ada = service.signed_up("ada@example.org").await;
    let id = service.id("ada@example.org").await;
    let deleted = json!([{"id": id, "email": "ada@example.org", "name": "Ada Lovelace", "role": "member"}]);

    let one = admin.delete(&format!("users/{id}/?dry_run=true")).await.expect(200);
    assert_eq!(one, json!({"dry_run": true, "deleted": deleted, "not_found": []}));
    let several = admin.delete_several(&[&id, NOBODY, &id], true).await.expect(200);
    assert_eq!(several, json!({"dry_run": true, "deleted": deleted, "not_found": [NOBODY]}));

    ada.expect_valid().await;
    for query in ["dry_run=yes", "dryrun=true", "dry_run=true&dry_run=false", "dry_run="] {
        let response = admin.delete(&format!("users/{id}/?{query}")).await;
        response.expect_problem(400, "validation_failed");
    }
    // `dry_run` is in the body only where several users are deleted.
    for path in ["", "password/", "sessions/", &format!("sessions/{id}/")] {
        let response = admin.send("DELETE", &format!("users/{id}/{path}"), json!({"dry_run": true})).await;
        response.expect_field_errors("body");
    }
    ada.expect_valid().await;
}

#[tokio::test]
async fn deletion_ends_the_account_and_its_sessions() {
    let service = Service::start().await;
    let admin = service.admin_grace().await;
    let (ada, eve) = (service.signed_up("ada@example.org").await, service.signed_up("eve@example.org").await);
    let (of_ada, of_eve) = (service.id("ada@example.org").await, service.id("eve@example.org").await);

    assert_eq!(admin.delete(&format!("users/{of_ada}/")).await.status, 204);
    let several = admin.delete_several(&[&of_ada, &of_eve], false).await.expect(200);

    assert_eq!((&several["dry_run"], &several["not_found"]), (&json!(false), &json!([of_ada])));
    assert_eq!(ids(&several["deleted"]), [&of_eve]);
    for user in [ada, eve] {
        user.expect_ended().await;
    }
    admin.get(&format!("users/{of_eve}/")).await.expect_problem(404, "user_not_found");
    service.log_in("eve@example.org", PASSWORD).await.expect_problem(401, "invalid_credentials");
}

#[tokio::test]
async fn invalid_list_of_users_deletes_nothing() {
    let service = Service::start().await;
    let admin = service.admin_grace().await;
    let ada = service.signed_up("ada@example.org").await;
    let id = service.id("ada@example.org").await;

    for users in [
        json!([]),
        json!(id),
        Value::Null,
        json!({"0": id}),
        json!([id, 7]),
        json!([id, "x"]),
        json!([id, null]),
        json!([[id]]),
        json!([id, id.replace('-', "")]),
        json!([id, "1' OR '1'='1"]),
        json!(vec![&id; 201]),
        json!(vec![0; 5000]),
    ] {
        let response = admin.send("POST", "users/delete/", json!({"users": users, "dry_run": false})).await;
        assert_eq!(response.expect_field_errors("users").len(), 1, "{users}");
    }
    for body in
        [json!({"users": [id]}), json!({"users": [id], "dry_run": null}), json!({"users": [id], "dryRun": false})]
    {
        assert_eq!(admin.send("POST", "users/delete/", body).await.expect_field_errors("dry_run").len(), 1);
    }
    let body = json!({"users": [id], "dry_run": false});
    admin.send("POST", "users/delete/?dry_run=true", body.clone()).await.expect_field_errors("query");
    let body = format!("{{\"users\":[\"\\ud800\"],\"dry_run\":false,\"x\":{body}}}");
    let request = admin.request("POST", "users/delete/").body("application/json", body);
    request.send().await.expect_field_errors("users");

    ada.expect_valid().await;
    assert_eq!(admin.delete_several(&vec![id.as_str(); 200], false).await.expect(200)["deleted"][0]["id"], json!(id));
}

#[tokio::test]
async fn last_administrator_stays() {
    let service = Service::start().await;
    let admin = service.admin_grace().await;
    let ada = admin.created("ada@example.org", "Ada").await;
    let (grace, path) =
        (service.id("grace@example.org").await, format!("users/{}/", service.id("grace@example.org").await));

    admin.delete(&path).await.expect_problem(409, "last_administrator");
    admin.delete(&format!("{path}?dry_run=true")).await.expect_problem(409, "last_administrator");
    admin.delete(&format!("{path}password/")).await.expect_problem(409, "last_administrator");
    admin.delete_several(&[&ada, &grace], false).await.expect_problem(409, "last_administrator");
    for body in [json!({"role": "member"}), json!({"status": "inactive"}), json!({"name": "G", "role": "member"})] {
        admin.edit(&grace, body).await.expect_problem(409, "last_administrator");
    }

    assert_eq!(admin.get(&format!("users/{ada}/")).await.status, 200);
    let user = admin.edit(&grace, json!({"name": "Grace H."})).await.expect(200);
    assert_eq!((&user["role"], &user["name"]), (&json!("administrator"), &json!("Grace H.")));
}
