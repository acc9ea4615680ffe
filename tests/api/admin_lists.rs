//! `GET /admin/api/users/`

use std::time::Duration;

use serde_json::{Value, json};

use super::{Service, admin_users::Admin};
use crate::support::{PASSWORD, string_field};

/// The most pages that a test reads.
const MAX_PAGES: usize = 100;

impl Admin<'_> {
    /// Returns the emails of all users that match, page by page.
    async fn emails(&self, query: &str) -> Vec<String> {
        let mut emails = Vec::new();
        let mut after = String::new();
        for _ in 0..MAX_PAGES {
            let page = self.get(&format!("users/?limit=2&{query}{after}")).await.expect(200);
            let users = page["users"].as_array().expect("users");
            assert!(users.len() <= 2, "{page}");
            emails.extend(users.iter().map(|user| string_field(user, "email").to_owned()));
            let Some(next) = page["next"].as_str() else { return emails };
            after = format!("&after={next}");
        }
        panic!("more than {MAX_PAGES} pages");
    }

    /// Creates these members, a second apart.
    async fn create_members(&self, service: &Service, members: &[(&str, &str)]) {
        for (email, name) in members {
            service.advance(Duration::from_secs(1));
            self.created(email, name).await;
        }
    }
}

const MEMBERS: [(&str, &str); 5] = [
    ("dora@example.org", "Dora Lovell"),
    ("ada@example.org", "Ada Lovelace"),
    ("carl@example.org", "Carl-Friedrich Gauß"),
    ("ben@example.org", "Ben 'OR' 1=1;--"),
    ("eve@other.example", "Zoë Ångström"),
];

#[tokio::test]
async fn users_are_listed_page_by_page_in_each_order() {
    let service = Service::start().await;
    let admin = service.admin_grace().await;
    admin.create_members(&service, &MEMBERS).await;
    let created: Vec<_> = ["grace@example.org"].into_iter().chain(MEMBERS.map(|(email, _)| email)).collect();
    let mut by_email = created.clone();
    by_email.sort_unstable();
    let reversed = |emails: &[&'static str]| emails.iter().rev().copied().collect::<Vec<_>>();

    assert_eq!(admin.emails("order=created").await, created);
    assert_eq!(admin.emails("order=-created").await, reversed(&created));
    assert_eq!(admin.emails("").await, reversed(&created));
    assert_eq!(admin.emails("order=email").await, by_email);
    assert_eq!(admin.emails("order=-email").await, reversed(&by_email));
}

#[tokio::test]
async fn users_are_ordered_by_their_last_login() {
    let service = Service::start().await;
    let admin = service.admin_grace().await;
    admin.create_members(&service, &MEMBERS[..1]).await;
    for email in ["ada@example.org", "ben@example.org"] {
        service.advance(Duration::from_mins(2));
        service.sign_up(email).await.expect(201);
    }
    service.advance(Duration::from_mins(2));
    service.log_in("ada@example.org", PASSWORD).await.expect(200);
    // The login of the administrator, two sign-ups and a login.
    service.audited(4).await;
    let admin = Admin::of(&service, &service.logged_in("grace@example.org", PASSWORD).await);
    service.audited(5).await;

    assert_eq!(
        admin.emails("order=-last_login&role=member").await,
        ["ada@example.org", "ben@example.org", "dora@example.org"]
    );
    assert_eq!(
        admin.emails("order=last_login&role=member").await,
        ["ben@example.org", "ada@example.org", "dora@example.org"]
    );
    let page = admin.get("users/?email=dora@example.org").await.expect(200);
    assert_eq!(page["users"][0]["last_login"], Value::Null);
    let page = admin.get("users/?email=ADA%40example.org").await.expect(200);
    assert!(page["users"][0]["last_login"].is_string(), "{page}");
}

#[tokio::test]
async fn users_are_found_by_email_and_by_word() {
    let service = Service::start().await;
    let admin = service.admin_grace().await;
    admin.create_members(&service, &MEMBERS).await;

    for (query, expected) in [
        ("email=Ada@EXAMPLE.org", vec!["ada@example.org"]),
        ("email=nobody@example.org", vec![]),
        ("email_prefix=A", vec!["ada@example.org"]),
        ("email_prefix=eve@o", vec!["eve@other.example"]),
        ("email_prefix=%25", vec![]),
        ("email_prefix=_da", vec![]),
        ("email_prefix=%27", vec![]),
        ("name_word=LOVE", vec!["ada@example.org", "dora@example.org"]),
        ("name_word=fried", vec!["carl@example.org"]),
        ("name_word=gau%C3%9F", vec!["carl@example.org"]),
        ("name_word=%C3%85ng", vec!["eve@other.example"]),
        ("name_word=ace", vec![]),
        ("name_word=%25", vec![]),
        ("name_word=%27or%27", vec!["ben@example.org"]),
        ("name_word=1%3D1%3B", vec!["ben@example.org"]),
        ("name_word=1%3D1%3B%25", vec![]),
    ] {
        assert_eq!(admin.emails(query).await, expected, "{query}");
    }
}

#[tokio::test]
async fn filters_are_combined() {
    let service = Service::start().await;
    let admin = service.admin_grace().await;
    admin.create_members(&service, &MEMBERS).await;
    let ada = service.id("ada@example.org").await;
    admin.edit(&ada, json!({"status": "inactive"})).await.expect(200);
    let created = string_field(&admin.get(&format!("users/{ada}/")).await.expect(200), "created").to_owned();

    assert_eq!(admin.emails("status=inactive").await, ["ada@example.org"]);
    assert_eq!(admin.emails("status=active&name_word=love").await, ["dora@example.org"]);
    assert_eq!(admin.emails("role=administrator").await, ["grace@example.org"]);
    assert_eq!(admin.emails("role=administrator&status=inactive").await, Vec::<String>::new());
    assert_eq!(
        admin.emails(&format!("order=created&role=member&created_before={created}")).await,
        ["dora@example.org"]
    );
    let from = format!("order=created&created_from={created}&status=active");
    assert_eq!(admin.emails(&from).await, ["carl@example.org", "ben@example.org", "eve@other.example"]);
}

#[tokio::test]
async fn cursor_stays_valid_after_its_user_is_gone() {
    let service = Service::start().await;
    let admin = service.admin_grace().await;
    admin.create_members(&service, &MEMBERS).await;

    let page = admin.get("users/?order=email&limit=2").await.expect(200);
    let ids: Vec<_> = page["users"].as_array().expect("users").iter().map(|user| string_field(user, "id")).collect();
    admin.delete_several(&ids, false).await.expect(200);

    let next = string_field(&page, "next");
    let page = admin.get(&format!("users/?order=email&limit=1&after={next}")).await.expect(200);
    assert_eq!(page["users"][0]["email"], "carl@example.org");
}

#[tokio::test]
async fn invalid_query_is_rejected() {
    let service = Service::start().await;
    let admin = service.admin_grace().await;
    let page = admin.get("users/?limit=1&order=email").await.expect(200);
    assert_eq!(page["next"], Value::Null);
    admin.create_members(&service, &MEMBERS).await;
    let page = admin.get("users/?limit=1&order=email").await.expect(200);
    let other = format!("order=created&after={}", string_field(&page, "next"));
    let long = format!("email_prefix={}", "a".repeat(30_000));
    let many = "a=1&".repeat(7_000);

    for (query, field) in [
        (other.as_str(), "after"),
        ("after=%27%20OR%201=1;--", "after"),
        ("order=email;DROP%20TABLE%20users", "order"),
        ("order=email,id", "order"),
        ("email_prefix=%00", "email_prefix"),
        ("email_prefix=a%0d%0aSet-Cookie:%20a=b", "email_prefix"),
        ("name_word=%ff%fe", "name_word"),
        ("name_word=%E2%80%AE", "name_word"),
        ("name_word=", "name_word"),
        ("limit=0", "limit"),
        ("limit=-1", "limit"),
        ("limit=201", "limit"),
        ("limit=2&limit=3", "limit"),
        ("offset=10", "query"),
        ("page=2", "query"),
        ("%6Crder=email", "query"),
        ("created_from=now", "created_from"),
        ("created_before=2027-02-30T00:00:00Z", "created_before"),
        ("email=a@example.org&email_prefix=a", "email_prefix"),
        (&long, "email_prefix"),
        (&many, "query"),
    ] {
        let response = admin.get(&format!("users/?{query}")).await;
        assert_eq!(response.text("content-type"), "application/json");
        let body = String::from_utf8_lossy(&response.body).into_owned();
        assert!(response.body.len() < 1000, "{body}");
        assert!(!body.contains("DROP") && !body.contains("Set-Cookie"), "{body}");
        assert!(!response.expect_field_errors(field).is_empty(), "{query}: {body}");
    }
}

#[tokio::test]
async fn names_are_data_in_every_response() {
    let service = Service::start().await;
    let admin = service.admin_grace().await;
    let name = "<script>alert(\"1\")</script>\\ 💥 %0d%0aX: y";

    let id = admin.created("ada@example.org", name).await;

    let response = admin.get("users/?email=ada@example.org").await;
    assert_eq!(
        (response.text("content-type"), response.text("x-content-type-options")),
        ("application/json", "nosniff")
    );
    assert_eq!(response.text("cache-control"), "no-store");
    assert_eq!(response.expect(200)["users"][0]["name"], name);
    assert_eq!(admin.get(&format!("users/{id}/")).await.expect(200)["name"], name);
    let deletion = admin.delete(&format!("users/{id}/?dry_run=true")).await.expect(200);
    assert_eq!(deletion["deleted"][0]["name"], name);
}

#[tokio::test]
async fn largest_page_has_200_users() {
    let service = Service::start().await;
    let admin = service.admin_grace().await;
    let template = service.user("grace@example.org").await;
    for number in 0..210 {
        let id = postern::model::UserId::new(service.now());
        let email = format!("{}{number:03}@{}.example", "a".repeat(61), "b".repeat(63)).parse().expect("an address");
        let name = "𝔄".repeat(255).parse().expect("a name");
        service.insert(&postern::model::User { id, email, name, ..template.clone() }).await;
    }

    let response = admin.get("users/?limit=200").await;

    assert!(response.body.len() < 200 * 2048, "{}", response.body.len());
    let page = response.expect(200);
    assert_eq!((page["users"].as_array().map(Vec::len), page["next"].is_string()), (Some(200), true));
}
