//! The responses while a store cannot be reached, cell by cell: PostgreSQL and Redis behind proxies that can be cut.

use std::{sync::Arc, time::Duration};

use postern::{
    accounts::SessionOutagePolicy,
    clock::ManualClock,
    http::RequestLimits,
    model::{EventKind, RefreshOutcome, Rotation},
    store::{Refresh, RefreshAttempt},
};
use serde_json::json;

use super::{ALLOWANCE, STORE_TIMEOUT};
use crate::support::{
    Backend, LONG, PASSWORD, PostgresRedis, Proxy, Settings, Stores, TestUser, eventually, sql, time,
};

type Service = crate::support::Service<Proxied>;

/// PostgreSQL and Redis, each behind a proxy.
struct Proxied {
    real: PostgresRedis,
    postgres: Proxy,
    redis: Proxy,
}

impl Backend for Proxied {
    async fn empty() -> Self {
        let real = PostgresRedis::migrated().await;
        let (postgres, redis) = (Proxy::start(&real.database).await, Proxy::start(&real.redis).await);
        Self { real, postgres, redis }
    }

    async fn open(&self, clock: Arc<ManualClock>) -> Stores {
        let database = self.postgres.instead_of(&self.real.database);
        let redis = self.redis.instead_of(&self.real.redis);
        PostgresRedis { database, redis }.open(clock).await
    }
}

/// The way in which a store is lost.
#[derive(Clone, Copy)]
enum Lose {
    /// Connections are refused.
    Connections,
    /// Bytes are held.
    Bytes,
}

impl Proxied {
    async fn lose_redis(&self, lose: Lose) {
        match lose {
            Lose::Connections => self.redis.cut().await,
            Lose::Bytes => self.redis.freeze(),
        }
    }
}

async fn service() -> Service {
    Service::start_with(settings()).await
}

fn settings() -> Settings {
    let limits = RequestLimits { request: Duration::from_secs(30), store: STORE_TIMEOUT };
    Settings { limits, ..Settings::default() }
}

#[tokio::test]
async fn requests_that_need_no_store_are_answered() {
    let service = service().await;
    let ada = service.signed_up("ada@example.org").await;
    service.backend().redis.cut().await;
    service.backend().postgres.cut().await;

    service.get("/healthz").send().await.expect(200);
    service.get("/profile/").bearer("x").send().await.expect_problem(401, "invalid_token");
    service.post("/refresh/", json!({"refresh": "x"})).send().await.expect_problem(401, "invalid_refresh_token");
    service.post("/token/", json!([])).send().await.expect_problem(400, "malformed_json");
    service.post("/create-user/", json!({})).send().await.expect_problem(400, "validation_failed");
    service.get("/verify/").bearer("x").send().await.expect_problem(401, "invalid_token");
    assert_eq!(service.introspect("x").await.expect(200), json!({"active": false}));
    service.advance(Duration::from_hours(1));
    ada.profile().await.expect_problem(401, "token_expired");
    ada.verify().await.expect_problem(401, "token_expired");
    assert_eq!(ada.introspected().await.expect(200), json!({"active": false}));
}

/// Every request that needs a valid token is answered 503.
async fn expect_unavailable(person: &TestUser) {
    for response in [
        person.profile().await,
        person.rename(json!({"name": "Ada"})).await,
        person.delete_account(json!({"password": PASSWORD})).await,
        person.change_password(PASSWORD, "new_password").await,
        person.sessions().await,
        person.end_session("x").await,
        person.log_out_everywhere().await,
        person.verify().await,
        person.introspected().await,
        person.refresh().await,
    ] {
        response.expect_problem(503, "unavailable");
    }
}

#[tokio::test]
async fn without_redis_only_certain_errors_are_sent() {
    let service = service().await;
    let ada = service.signed_up("ada@example.org").await;
    service.backend().redis.cut().await;

    expect_unavailable(&ada).await;
    ada.log_out().await.expect_problem(503, "unavailable");
    service.log_in(&ada.email, "wrong_password").await.expect_problem(401, "invalid_credentials");
    service.log_in(&ada.email, PASSWORD).await.expect_problem(503, "unavailable");
    service.sign_up(&ada.email).await.expect_problem(409, "email_taken");
    service.sign_up("grace@example.org").await.expect_problem(503, "unavailable");

    service.backend().redis.restore().await;
    service.sign_up("grace@example.org").await.expect(201);
    ada.expect_valid().await;
}

#[tokio::test]
async fn without_redis_each_server_limits_failed_logins_by_itself() {
    for lose in [Lose::Connections, Lose::Bytes] {
        let service = service().await;
        service.backend().lose_redis(lose).await;

        let mut response = service.log_in("nobody@example.org", "wrong_password").await;
        let mut failures = 0;
        while response.status == 401 && failures < 100 {
            failures += 1;
            response = service.log_in("nobody@example.org", "wrong_password").await;
        }

        response.expect_problem(429, "too_many_attempts");
        assert!((10..20).contains(&failures), "{failures}");
        assert_eq!(service.metric("postern_rate_limit_local_fallback_total").await, failures + 1);
    }
}

#[tokio::test]
async fn without_redis_a_deleted_user_is_refused() {
    let service = service().await;
    let ada = service.signed_up("ada@example.org").await;
    sql(&service.backend().real.database, "DELETE FROM users").await;
    service.backend().redis.cut().await;

    ada.expect_ended().await;
}

#[tokio::test]
async fn without_postgres_only_certain_errors_are_sent() {
    let service = service().await;
    let (ada, gone) = (service.signed_up("ada@example.org").await, service.signed_up("gone@example.org").await);
    let leaving = ada.second_session().await;
    gone.log_out().await.expect(200);
    service.backend().postgres.cut().await;

    expect_unavailable(&ada).await;
    gone.profile().await.expect_problem(401, "invalid_token");
    gone.verify().await.expect_problem(401, "invalid_token");
    assert_eq!(gone.introspected().await.expect(200), json!({"active": false}));
    leaving.log_out().await.expect(200);
    service.log_in(&ada.email, PASSWORD).await.expect_problem(503, "unavailable");
    service.log_in(&ada.email, "wrong_password").await.expect_problem(503, "unavailable");
    service.log_in("no address", PASSWORD).await.expect_problem(503, "unavailable");
    service.sign_up("grace@example.org").await.expect_problem(503, "unavailable");

    service.backend().postgres.restore().await;
    ada.expect_valid().await;
    leaving.expect_ended().await;
    service.sign_up("grace@example.org").await.expect(201);
}

#[tokio::test]
async fn frozen_store_is_waited_for_until_its_timeout() {
    let service = service().await;
    let ada = service.signed_up("ada@example.org").await;

    for proxy in [&service.backend().redis, &service.backend().postgres] {
        proxy.freeze();
        let started = std::time::Instant::now();
        ada.profile().await.expect_problem(503, "unavailable");
        assert!(started.elapsed() < STORE_TIMEOUT + ALLOWANCE, "{:?}", started.elapsed());

        proxy.restore().await;
        ada.expect_valid().await;
    }
}

#[tokio::test]
async fn broken_connection_is_replaced_within_the_request() {
    let service = service().await;
    let ada = service.signed_up("ada@example.org").await;

    service.backend().redis.cut().await;
    service.backend().redis.restore().await;

    ada.expect_valid().await;
}

#[tokio::test]
async fn readiness_reports_stores_that_are_down() {
    let service = service().await;
    service.backend().redis.cut().await;
    let body = service.operations("/readyz").send().await.expect(503);
    assert_eq!(body, json!({"status": "starting", "users": "up", "sessions": "down"}));

    service.backend().redis.restore().await;
    service.operations("/readyz").send().await.expect(200);

    service.backend().postgres.cut().await;
    let body = service.operations("/readyz").send().await.expect(200);
    assert_eq!(body, json!({"status": "ready", "users": "down", "sessions": "up"}));
}

#[tokio::test]
async fn caller_does_not_wait_for_the_connection_of_another_caller() {
    let store = Duration::from_secs(5);
    let limits = RequestLimits { request: Duration::from_secs(30), store };
    let service = Service::start_with(Settings { limits, ..Settings::default() }).await;
    let ada = service.signed_up("ada@example.org").await;
    service.backend().redis.freeze();

    let caller = async || {
        for _ in 0..2 {
            let started = std::time::Instant::now();
            ada.profile().await.expect_problem(503, "unavailable");
            assert!(started.elapsed() < 2 * store, "{:?}", started.elapsed());
        }
    };
    tokio::join!(caller(), caller(), caller(), caller());

    service.backend().redis.restore().await;
    ada.expect_valid().await;
}

/// Starts a service whose `/verify/` trusts tokens while Redis is down.
async fn degrading_service() -> Service {
    Service::start_with(Settings { session_outage_policy: SessionOutagePolicy::Accept, ..settings() }).await
}

#[tokio::test]
async fn degraded_verify_trusts_the_token_while_redis_is_down() {
    let service = degrading_service().await;
    let ada = service.signed_up("ada@example.org").await;
    let before = ada.verify().await;
    let degraded = "postern_degraded_verifications_total";
    assert_eq!(service.metric(degraded).await, 0);

    service.backend().redis.cut().await;
    let response = ada.verify().await;

    assert_eq!(response.status, 200);
    for name in ["x-user-id", "x-user-email", "x-user-email-verified", "x-session-id"] {
        assert_eq!(response.text(name), before.text(name));
    }
    assert_eq!((before.text("x-postern-degraded"), response.text("x-postern-degraded")), ("", "true"));
    assert_eq!(service.metric(degraded).await, 1);
    service.backend().redis.restore().await;
    ada.expect_valid().await;
    assert_eq!(service.metric(degraded).await, 1);
}

#[tokio::test]
async fn degraded_verify_treats_a_frozen_redis_as_down() {
    let service = degrading_service().await;
    let ada = service.signed_up("ada@example.org").await;

    service.backend().redis.freeze();

    assert_eq!(ada.verify().await.status, 200);
}

#[tokio::test]
async fn only_verify_is_degraded() {
    let service = degrading_service().await;
    let ada = service.signed_up("ada@example.org").await;
    service.backend().redis.cut().await;

    ada.profile().await.expect_problem(503, "unavailable");
    ada.introspected().await.expect_problem(503, "unavailable");
    ada.refresh().await.expect_problem(503, "unavailable");
    ada.change_password(PASSWORD, "new_password").await.expect_problem(503, "unavailable");
}

#[tokio::test]
async fn degraded_verify_refuses_what_is_known_to_be_invalid() {
    let service = degrading_service().await;
    let (ada, gone) = (service.signed_up("ada@example.org").await, service.signed_up("gone@example.org").await);
    let logged_out = ada.second_session().await;
    logged_out.log_out().await.expect(200);
    logged_out.verify().await.expect_problem(401, "invalid_token");
    sql(&service.backend().real.database, "DELETE FROM users WHERE email = 'gone@example.org'").await;

    service.backend().redis.cut().await;
    gone.verify().await.expect_problem(401, "invalid_token");
    service.get("/verify/").bearer("x").send().await.expect_problem(401, "invalid_token");
    service.get("/verify/").bearer(&ada.tokens.refresh).send().await.expect_problem(401, "invalid_token");
    sql(&service.backend().real.database, "UPDATE users SET standing = 'inactive'").await;
    ada.verify().await.expect_problem(401, "invalid_token");
    sql(&service.backend().real.database, "UPDATE users SET standing = 'active'").await;
    service.advance(Duration::from_mins(5));
    ada.verify().await.expect_problem(401, "token_expired");
}

#[tokio::test]
async fn degraded_verify_needs_postgres() {
    let service = degrading_service().await;
    let ada = service.signed_up("ada@example.org").await;

    service.backend().postgres.cut().await;
    ada.verify().await.expect_problem(503, "unavailable");

    service.backend().redis.cut().await;
    ada.verify().await.expect_problem(503, "unavailable");
}

/// Delays a refresh until its caller has got a 503 and has refreshed in another way.
async fn refreshes_late(limits: RequestLimits) {
    let service = Service::start_with(Settings { rotation_enabled: true, ..settings() }).await;
    let hasty = service.second_with(Settings { rotation_enabled: true, limits, ..settings() }).await;
    let elsewhere = service.backend().real.open(Arc::default()).await.sessions;
    let ada = service.signed_up("ada@example.org").await;
    // Connects to its stores.
    hasty.operations("/readyz").send().await.expect(200);
    let claims = service.accounts.refresh_tokens.verify(&ada.tokens.refresh).await.expect("an authentic token");
    let user = service.user(&ada.email).await;

    service.backend().redis.freeze();
    ada.at(&hasty).refresh().await.expect_problem(503, "unavailable");
    service.backend().redis.holds_something().await;
    for counter in [claims.counter, claims.counter + 1] {
        let rotation = Rotation::On(service.accounts.refresh_tokens.active_key());
        let attempt = RefreshAttempt { user: user.clone(), session: claims.session, counter, rotation };
        let refresh = elsewhere.refresh(&attempt, &time()).await.expect("a response");
        assert!(matches!(refresh, Refresh::Decided(RefreshOutcome::Next, _)), "{refresh:?}");
    }
    service.backend().redis.restore().await;
    service.backend().redis.holds_nothing().await;

    // By the second command, Redis has read everything that came before the first one.
    for _ in 0..2 {
        let sessions = elsewhere.list(user.id, &time()).await.expect("a response");
        assert_eq!(sessions.len(), 1, "the session goes on");
    }
}

#[tokio::test]
async fn refresh_that_reaches_redis_after_its_store_timeout_is_void() {
    refreshes_late(RequestLimits { request: Duration::from_secs(30), store: STORE_TIMEOUT }).await;
}

#[tokio::test]
async fn refresh_that_reaches_redis_after_its_response_is_void() {
    refreshes_late(RequestLimits { request: STORE_TIMEOUT, store: Duration::from_secs(30) }).await;
}

#[tokio::test]
async fn no_token_rotates_while_a_store_is_down() {
    let service = Service::start_with(Settings { rotation_enabled: true, ..settings() }).await;
    let mut ada = service.signed_up("ada@example.org").await;
    let before = service.metric(r#"postern_refresh_tokens_total{outcome="next"}"#).await;

    for store in [&service.backend().postgres, &service.backend().redis] {
        store.cut().await;
        ada.refresh().await.expect_problem(503, "unavailable");
        store.restore().await;
    }

    ada.rotate().await;
    assert_eq!(service.metric(r#"postern_refresh_tokens_total{outcome="next"}"#).await, before + 1);
    assert_eq!(service.metric(r#"postern_refresh_tokens_total{outcome="shared"}"#).await, 0);
}

#[tokio::test]
async fn audit_events_of_an_outage_are_written_afterwards() {
    let service = service().await;
    let ada = service.signed_up("ada@example.org").await;
    service.audited(1).await;
    service.backend().postgres.cut().await;

    ada.log_out().await.expect(200);
    assert_eq!(service.metric("postern_audit_events_pending").await, 1);

    service.backend().postgres.restore().await;
    let kinds: Vec<_> = service.audited(2).await.iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [EventKind::SignUp, EventKind::Logout]);
    eventually(LONG, "no event waits", async || service.metric("postern_audit_events_pending").await == 0).await;
}
