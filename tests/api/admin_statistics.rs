//! `GET /admin/api/statistics/`

use std::time::Duration;

use postern::clock::rfc3339;
use serde_json::{Value, json};

use super::Service;
use crate::support::{PASSWORD, string_field};

fn total(statistics: &Value, name: &str) -> u64 {
    statistics["hours"].as_array().expect("hours").iter().map(|hour| hour[name].as_u64().expect("a number")).sum()
}

#[tokio::test]
async fn events_are_counted_by_the_hour() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;
    service.log_in("ada@example.org", "wrong").await.expect(401);
    ada.log_out().await.expect(200);
    service.advance(Duration::from_hours(3));
    service.log_in("ada@example.org", PASSWORD).await.expect(200);
    let admin = service.admin_grace().await;
    service.audited(5).await;

    let statistics = admin.get("statistics/").await.expect(200);

    let hours = statistics["hours"].as_array().expect("hours");
    assert_eq!(hours.len(), 24);
    let names = ["sign_ups", "logins", "login_failures", "sessions_opened", "sessions_ended"];
    assert_eq!(names.map(|name| total(&statistics, name)), [1, 2, 1, 3, 1]);
    let of_now = hours.last().expect("an hour");
    assert_eq!(string_field(of_now, "hour")[..13], rfc3339(service.now())[..13]);
    assert_eq!((&of_now["sign_ups"], &of_now["logins"]), (&json!(0), &json!(2)));
    assert!(statistics["estimated_users"].is_null() || statistics["estimated_users"].is_u64(), "{statistics}");
}

#[tokio::test]
async fn period_can_be_chosen() {
    let service = Service::start().await;
    let admin = service.admin_grace().await;

    let period = "from=2027-01-15T10:30:00Z&until=2027-01-15T12:00:00Z";
    let statistics = admin.get(&format!("statistics/?{period}")).await.expect(200);
    let zeros = |hour| json!({"hour": hour, "sign_ups": 0, "logins": 0, "login_failures": 0, "sessions_opened": 0, "sessions_ended": 0});
    assert_eq!(statistics["hours"], json!([zeros("2027-01-15T10:00:00Z"), zeros("2027-01-15T11:00:00Z")]));
    let month = admin.get("statistics/?from=2027-01-01T00:00:00Z&until=2027-02-01T00:00:00Z").await.expect(200);
    assert_eq!(month["hours"].as_array().map(Vec::len), Some(744));

    for (query, field) in [
        ("from=2027-01-01T00:00:00Z&until=2027-02-01T00:00:01Z", "from"),
        ("from=2027-01-02T00:00:00Z&until=2027-01-01T00:00:00Z", "until"),
        ("from=x", "from"),
        ("until=9999-12-31T23:59:59Z&from=0000-01-01T00:00:00Z", "from"),
        ("until=0000-01-01T00:00:00Z", "until"),
        ("hours=24", "query"),
    ] {
        let response = admin.get(&format!("statistics/?{query}")).await;
        assert_eq!(response.expect_field_errors(field).len(), 1, "{query}");
    }
    let last = admin.get("statistics/?until=9999-12-31T23:59:59Z").await.expect(200);
    assert_eq!(last["hours"].as_array().map(Vec::len), Some(24));
}
