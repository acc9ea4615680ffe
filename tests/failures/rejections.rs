//! Errors that no retry mends: they fail only the calls that they are about.

use std::time::Duration;

use postern::{audit, model::EventKind};

use super::Service;
use crate::support::{LONG, Settings, eventually, postgres_client, sql};

/// Runs SQL as an administrator in the database of the service.
async fn administer(service: &Service, text: &str) {
    sql(&service.backend().postgres.lock().await.administration_of_service(), text).await;
}

/// Returns the process ids of the connections of the service to PostgreSQL.
async fn connections(service: &Service) -> Vec<i32> {
    let client = postgres_client(&service.backend().postgres.lock().await.user_admin()).await;
    let query = "SELECT pid FROM pg_stat_activity WHERE usename = 'service' ORDER BY pid";
    client.query(query, &[]).await.expect("rows").iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn rejected_value_costs_no_connection() {
    let service = Service::start().await;
    service.signed_up("ada@example.org").await;
    service.audited(1).await;
    administer(&service, "ALTER TABLE users ADD CONSTRAINT no_rows CHECK (false) NOT VALID").await;
    let before = connections(&service).await;

    for number in 0..5 {
        assert_eq!(service.sign_up(&format!("user{number}@example.org")).await.status, 500);
    }

    assert_eq!(connections(&service).await, before);
    assert_eq!(service.metric(r#"postern_sign_ups_total{outcome="rejected"}"#).await, 5);
}

#[tokio::test]
async fn corrupt_session_fails_only_requests_of_its_user() {
    let service = Service::start().await;
    let (ada, grace) = (service.signed_up("ada@example.org").await, service.signed_up("grace@example.org").await);
    let id = service.user(&ada.email).await.id;
    let redis = service.backend().redis.lock().await;
    let keys: Vec<String> = redis.query(&["KEYS", &format!("session:{{{id}}}:*")]).await;
    let connected = async || -> String { redis.query(&["CLIENT", "LIST", "TYPE", "normal"]).await };
    let ids =
        |list: &str| list.lines().filter_map(|line| line.split(' ').next().map(str::to_owned)).collect::<Vec<_>>();
    let before = ids(&connected().await);
    assert_eq!(keys.len(), 1);
    redis.send(&["SET", &keys[0], "text"]).await;

    let (corrupt, intact) = tokio::join!(ada.profile(), grace.profile());

    assert_eq!((corrupt.status, intact.status), (500, 200));
    assert_eq!(ids(&connected().await), before, "the shared connection is not replaced");
}

#[tokio::test]
async fn rejected_audit_event_does_not_block_those_behind_it() {
    let audit = audit::Settings { linger: Duration::from_secs(1), ..Settings::default().audit };
    let service = Service::start_with(Settings { audit, ..Settings::default() }).await;
    administer(&service, "ALTER TABLE audit_events ADD CONSTRAINT c CHECK (event <> 'logout')").await;
    let (ada, grace) = (service.signed_up("ada@example.org").await, service.signed_up("grace@example.org").await);

    ada.log_out().await.expect(200);
    service.log_in(&ada.email, "wrong_password").await.expect(401);
    grace.log_out().await.expect(200);
    service.logged_in(&ada.email, crate::support::PASSWORD).await;

    let kinds: Vec<_> = service.audited(4).await.iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [EventKind::SignUp, EventKind::SignUp, EventKind::LoginFailed, EventKind::Login]);
    eventually(LONG, "no event waits", async || service.metric("postern_audit_events_pending").await == 0).await;
    assert_eq!(service.metric(r#"postern_audit_events_dropped_total{reason="rejected"}"#).await, 2);
    assert_eq!(service.metric("postern_audit_table_misconfigured").await, 0);
}

#[tokio::test]
async fn audit_events_wait_while_a_privilege_is_missing() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;
    service.audited(1).await;
    administer(&service, "REVOKE INSERT ON audit_events FROM service").await;

    ada.log_out().await.expect(200);
    let misconfigured = async || service.metric("postern_audit_table_misconfigured").await;
    eventually(LONG, "the metric reports it", async || misconfigured().await == 1).await;
    assert_eq!(service.metric("postern_audit_events_pending").await, 1);

    administer(&service, "GRANT INSERT ON audit_events TO service").await;
    let kinds: Vec<_> = service.audited(2).await.iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [EventKind::SignUp, EventKind::Logout]);
    eventually(LONG, "the metric reports the end", async || misconfigured().await == 0).await;
}

#[tokio::test]
async fn database_that_accepts_no_connections_is_an_outage() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;
    service.audited(1).await;
    let postgres = service.backend().postgres.lock().await;
    let client = postgres_client(&postgres.user_admin()).await;
    let allow = async |allowed: bool| {
        let text = format!("ALTER DATABASE service ALLOW_CONNECTIONS {allowed}");
        client.batch_execute(&text).await.expect("an altered database");
    };

    allow(false).await;
    postgres.end_connections().await;
    drop(postgres);
    ada.profile().await.expect_problem(503, "unavailable");
    ada.log_out().await.expect(200);
    allow(true).await;

    assert_eq!(service.audited_of(EventKind::Logout).await.len(), 1);
    assert_eq!(service.metric(r#"postern_audit_events_dropped_total{reason="rejected"}"#).await, 0);
}
