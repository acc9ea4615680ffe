//! `GET /admin/api/audit-events/`

use std::time::Duration;

use postern::clock::rfc3339;
use serde_json::{Value, json};

use super::{Service, admin_users::Admin};
use crate::support::{PASSWORD, string_field};

/// The most pages that a test reads.
const MAX_PAGES: usize = 100;

impl Admin<'_> {
    /// Returns all events that match, page by page.
    async fn events(&self, query: &str) -> Vec<Value> {
        let mut events = Vec::new();
        let mut after = String::new();
        for _ in 0..MAX_PAGES {
            let page = self.get(&format!("audit-events/?limit=2&{query}{after}")).await.expect(200);
            let listed = page["events"].as_array().expect("events");
            assert!(listed.len() <= 2, "{page}");
            events.extend(listed.iter().cloned());
            let Some(next) = page["next"].as_str() else { return events };
            after = format!("&after={next}");
        }
        panic!("more than {MAX_PAGES} pages");
    }

    async fn kinds(&self, query: &str) -> Vec<String> {
        let events = self.events(query).await;
        events.iter().map(|event| string_field(event, "event").to_owned()).collect()
    }
}

#[tokio::test]
async fn events_are_filtered_by_user_kind_time_and_address() {
    let service = Service::start().await;
    let admin = service.admin_grace().await;
    service.signed_up("ada@example.org").await;
    service.advance(Duration::from_mins(1));
    let between = rfc3339(service.now());
    service.advance(Duration::from_mins(1));
    service.log_in("ada@example.org", "wrong").await.expect(401);
    service.log_in("ada@example.org", PASSWORD).await.expect(200);
    let ada = service.id("ada@example.org").await;
    // The login of the administrator, the sign-up, and two logins of which one failed.
    service.audited(4).await;

    assert_eq!(admin.kinds(&format!("user={ada}")).await, ["login", "login_failed", "sign_up"]);
    assert_eq!(admin.kinds("kind=login_failed").await, ["login_failed"]);
    assert_eq!(admin.kinds(&format!("kind=login&user={ada}&address=127.0.0.1")).await, ["login"]);
    assert_eq!(admin.kinds(&format!("user={ada}&from={between}")).await, ["login", "login_failed"]);
    assert_eq!(admin.kinds(&format!("user={ada}&until={between}")).await, ["sign_up"]);
    assert_eq!(admin.kinds("address=::ffff:127.0.0.1").await.len(), 4);
    assert_eq!(admin.kinds("address=192.0.2.1").await, Vec::<String>::new());
    assert_eq!(admin.kinds("kind=logout").await, Vec::<String>::new());
    assert_eq!(admin.kinds("").await.len(), 4);
}

#[tokio::test]
async fn event_shows_actor_detail_and_origin() {
    let service = Service::start().await;
    let admin = service.admin_grace().await;
    let ada = admin.created("ada@example.org", "Ada").await;
    admin.edit(&ada, json!({"name": "Ada King", "email_verified": true})).await.expect(200);
    let grace = service.id("grace@example.org").await;

    let events = admin.events("kind=admin_user_changed").await;

    let event = &events[0];
    assert_eq!(
        *event,
        json!({
            "id": event["id"], "at": event["at"], "event": "admin_user_changed", "user": ada, "session": null,
            "address": "127.0.0.1", "user_agent": null, "request_id": event["request_id"],
            "actor": format!("user {grace}"), "detail": "changed: name, email_verified",
        })
    );
    assert_eq!(events.len(), 1);
}

#[tokio::test]
async fn events_of_a_deleted_user_stay() {
    let service = Service::start().await;
    let admin = service.admin_grace().await;
    let ada = admin.created("ada@example.org", "Ada").await;

    assert_eq!(admin.delete(&format!("users/{ada}/")).await.status, 204);

    assert_eq!(admin.kinds(&format!("user={ada}")).await, ["admin_user_deleted", "admin_user_created"]);
}

#[tokio::test]
async fn invalid_query_of_events_is_rejected() {
    let service = Service::start().await;
    let admin = service.admin_grace().await;

    for (query, field) in [
        ("user=ada@example.org", "user"),
        ("user=%27", "user"),
        ("kind=LOGIN", "kind"),
        ("kind=login%27%20OR%20%271%27=%271", "kind"),
        ("address=127.0.0.1/8", "address"),
        ("address=127.1", "address"),
        ("from=2027-01-01", "from"),
        ("until=9999-12-31T23:59:59-23:59", "until"),
        ("after=x", "after"),
        ("limit=1e2", "limit"),
        ("since=1h", "query"),
    ] {
        let response = admin.get(&format!("audit-events/?{query}")).await;
        assert_eq!(response.expect_field_errors(field).len(), 1, "{query}");
    }
    let page = admin.get("audit-events/?from=9999-12-31T23:59:59Z&until=0000-01-01T00:00:00Z").await.expect(200);
    assert_eq!(page["events"], json!([]));
}
