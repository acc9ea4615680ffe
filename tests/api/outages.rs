//! What is answered while a store cannot be reached, cell by cell: PostgreSQL and Redis behind proxies that can be cut.

use std::{sync::Arc, time::Duration};

use postern::{
    accounts::SessionOutagePolicy,
    clock::ManualClock,
    http::RequestLimits,
    model::{EventKind, RefreshOutcome, Rotation},
    store::{Refresh, RefreshAttempt, TimeBudget},
};
use serde_json::json;

use crate::{
    person::Person,
    proxy::Proxy,
    service::{PASSWORD, Settings},
    support::{Backend, PostgresRedis, Stores, sql},
};

type Service = crate::service::Service<Proxied>;

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

/// How a store is lost.
#[derive(Clone, Copy)]
enum Lose {
    /// It refuses.
    Connections,
    /// It is silent.
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
    let limits = RequestLimits { request: Duration::from_secs(30), store: Duration::from_millis(500) };
    Settings { limits, ..Settings::default() }
}

#[tokio::test]
async fn what_needs_no_store_goes_on() {
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

/// Asks everything that a token in force is needed for, and is told that it cannot be answered now.
async fn expect_unavailable(person: &Person) {
    for answer in [
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
        answer.expect_problem(503, "unavailable");
    }
}

#[tokio::test]
async fn without_redis_only_a_definite_no_is_told() {
    let service = service().await;
    let ada = service.signed_up("ada@example.org").await;
    service.backend().redis.cut().await;

    expect_unavailable(&ada).await;
    ada.log_out().await.expect_problem(503, "unavailable");
    service.log_in(&ada.email, "wrong_password").await.expect_problem(401, "invalid_credentials");
    service.log_in(&ada.email, PASSWORD).await.expect_problem(503, "unavailable");
    service.sign_up(&ada.email).await.expect_problem(409, "email_taken");
    service.sign_up("grace@example.org").await.expect_problem(503, "unavailable");

    service.backend().redis.mend().await;
    service.sign_up("grace@example.org").await.expect(201);
    ada.expect_in_force().await;
}

#[tokio::test]
async fn without_redis_each_server_limits_failed_logins_by_itself() {
    for lose in [Lose::Connections, Lose::Bytes] {
        let service = service().await;
        service.backend().lose_redis(lose).await;

        let mut answer = service.log_in("nobody@example.org", "wrong_password").await;
        let mut failures = 0;
        while answer.status == 401 {
            failures += 1;
            answer = service.log_in("nobody@example.org", "wrong_password").await;
        }

        answer.expect_problem(429, "too_many_attempts");
        assert!((10..20).contains(&failures), "{failures}");
        assert_eq!(service.metric("postern_rate_limit_local_fallback_total").await, failures + 1);
    }
}

#[tokio::test]
async fn without_redis_a_user_who_is_gone_is_refused() {
    let service = service().await;
    let ada = service.signed_up("ada@example.org").await;
    sql(&service.backend().real.database, "DELETE FROM users").await;
    service.backend().redis.cut().await;

    ada.expect_ended().await;
}

#[tokio::test]
async fn without_postgres_only_a_definite_no_is_told() {
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

    service.backend().postgres.mend().await;
    ada.expect_in_force().await;
    leaving.expect_ended().await;
    service.sign_up("grace@example.org").await.expect(201);
}

#[tokio::test]
async fn a_store_that_does_not_answer_is_waited_for_no_longer_than_its_time() {
    let service = service().await;
    let ada = service.signed_up("ada@example.org").await;

    for proxy in [&service.backend().redis, &service.backend().postgres] {
        proxy.freeze();
        let started = std::time::Instant::now();
        ada.profile().await.expect_problem(503, "unavailable");
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());

        proxy.mend().await;
        ada.expect_in_force().await;
    }
}

#[tokio::test]
async fn a_connection_that_was_cut_is_replaced_within_the_request() {
    let service = service().await;
    let ada = service.signed_up("ada@example.org").await;

    service.backend().redis.cut().await;
    service.backend().redis.mend().await;

    ada.expect_in_force().await;
}

#[tokio::test]
async fn a_service_that_has_not_met_its_stores_is_not_ready_and_one_that_lost_them_says_so() {
    let service = service().await;
    service.backend().redis.cut().await;
    let body = service.operations("/readyz").send().await.expect(503);
    assert_eq!(body, json!({"status": "starting", "users": "up", "sessions": "down"}));

    service.backend().redis.mend().await;
    service.operations("/readyz").send().await.expect(200);

    service.backend().postgres.cut().await;
    let body = service.operations("/readyz").send().await.expect(200);
    assert_eq!(body, json!({"status": "ready", "users": "down", "sessions": "up"}));
}

#[tokio::test]
async fn nobody_waits_for_the_connection_that_another_caller_tries_to_make() {
    let limits = RequestLimits { request: Duration::from_secs(30), store: Duration::from_secs(2) };
    let service = Service::start_with(Settings { limits, ..Settings::default() }).await;
    let ada = service.signed_up("ada@example.org").await;
    service.backend().redis.freeze();

    let caller = async || {
        for _ in 0..2 {
            let started = std::time::Instant::now();
            ada.profile().await.expect_problem(503, "unavailable");
            assert!(started.elapsed() < Duration::from_millis(3_500), "{:?}", started.elapsed());
        }
    };
    tokio::join!(caller(), caller(), caller(), caller());

    service.backend().redis.mend().await;
    ada.expect_in_force().await;
}

/// A service whose settings have `/verify/` accept tokens for what they say.
async fn degrading_service() -> Service {
    Service::start_with(Settings { session_outage_policy: SessionOutagePolicy::Accept, ..settings() }).await
}

#[tokio::test]
async fn where_the_settings_say_so_a_proxy_is_told_what_the_token_says_while_redis_is_away() {
    let service = degrading_service().await;
    let ada = service.signed_up("ada@example.org").await;
    let before = ada.verify().await;
    let degraded = "postern_degraded_verifications_total";
    assert_eq!(service.metric(degraded).await, 0);

    service.backend().redis.cut().await;
    let answer = ada.verify().await;

    assert_eq!(answer.status, 200);
    for name in ["x-user-id", "x-user-email", "x-session-id"] {
        assert_eq!(answer.text(name), before.text(name));
    }
    assert_eq!((before.text("x-postern-degraded"), answer.text("x-postern-degraded")), ("", "true"));
    assert_eq!(service.metric(degraded).await, 1);
    service.backend().redis.mend().await;
    ada.expect_in_force().await;
    assert_eq!(service.metric(degraded).await, 1);
}

#[tokio::test]
async fn a_redis_that_does_not_answer_is_away_too() {
    let service = degrading_service().await;
    let ada = service.signed_up("ada@example.org").await;

    service.backend().redis.freeze();

    assert_eq!(ada.verify().await.status, 200);
}

#[tokio::test]
async fn nothing_but_a_proxy_is_told_what_the_token_says() {
    let service = degrading_service().await;
    let ada = service.signed_up("ada@example.org").await;
    service.backend().redis.cut().await;

    ada.profile().await.expect_problem(503, "unavailable");
    ada.introspected().await.expect_problem(503, "unavailable");
    ada.refresh().await.expect_problem(503, "unavailable");
    ada.change_password(PASSWORD, "new_password").await.expect_problem(503, "unavailable");
}

#[tokio::test]
async fn what_is_known_to_be_wrong_is_refused_whatever_the_settings_say() {
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
async fn without_postgres_nobody_is_vouched_for_whatever_the_settings_say() {
    let service = degrading_service().await;
    let ada = service.signed_up("ada@example.org").await;

    service.backend().postgres.cut().await;
    ada.verify().await.expect_problem(503, "unavailable");

    service.backend().redis.cut().await;
    ada.verify().await.expect_problem(503, "unavailable");
}

/// Has a refresh reach Redis when its caller has been told that it failed, and has gone on by another way.
async fn refreshes_late(limits: RequestLimits) {
    let service = Service::start_with(Settings { rotation_enabled: true, ..settings() }).await;
    let hasty = service.second_with(Settings { rotation_enabled: true, limits, ..settings() }).await;
    let elsewhere = service.backend().real.open(Arc::default()).await.sessions;
    let ada = service.signed_up("ada@example.org").await;
    // As a server does before it is ready.
    hasty.operations("/readyz").send().await.expect(200);
    let claims = service.accounts.refresh_tokens.verify(&ada.tokens.refresh).await.expect("an authentic token");
    let user = service.user(&ada.email).await;

    service.backend().redis.freeze();
    ada.at(&hasty).refresh().await.expect_problem(503, "unavailable");
    service.backend().redis.holds_something().await;
    for counter in [claims.counter, claims.counter + 1] {
        let rotation = Rotation::On(service.accounts.refresh_tokens.active_key());
        let attempt = RefreshAttempt { user: user.clone(), session: claims.session, counter, rotation };
        let refresh = elsewhere.refresh(&attempt, &TimeBudget::new(Duration::from_mins(1))).await.expect("an answer");
        assert!(matches!(refresh, Refresh::Decided(RefreshOutcome::Next, _)), "{refresh:?}");
    }
    service.backend().redis.mend().await;
    service.backend().redis.holds_nothing().await;

    // By the second question, Redis has read whatever came before the first.
    for _ in 0..2 {
        let sessions = elsewhere.list(user.id, &TimeBudget::new(Duration::from_mins(1))).await.expect("an answer");
        assert_eq!(sessions.len(), 1, "the session goes on");
    }
}

#[tokio::test]
async fn a_refresh_that_arrives_when_its_store_time_is_over_takes_no_effect() {
    refreshes_late(RequestLimits { request: Duration::from_secs(30), store: Duration::from_millis(500) }).await;
}

#[tokio::test]
async fn a_refresh_that_arrives_when_its_request_has_been_answered_takes_no_effect() {
    refreshes_late(RequestLimits { request: Duration::from_millis(500), store: Duration::from_secs(30) }).await;
}

#[tokio::test]
async fn nothing_is_rotated_while_a_store_is_away() {
    let service = Service::start_with(Settings { rotation_enabled: true, ..settings() }).await;
    let mut ada = service.signed_up("ada@example.org").await;
    let before = service.metric(r#"postern_refresh_tokens_total{outcome="next"}"#).await;

    for store in [&service.backend().postgres, &service.backend().redis] {
        store.cut().await;
        ada.refresh().await.expect_problem(503, "unavailable");
        store.mend().await;
    }

    ada.rotate().await;
    assert_eq!(service.metric(r#"postern_refresh_tokens_total{outcome="next"}"#).await, before + 1);
    assert_eq!(service.metric(r#"postern_refresh_tokens_total{outcome="shared"}"#).await, 0);
}

#[tokio::test]
async fn audit_events_of_an_outage_of_postgres_are_written_when_it_is_back() {
    let service = service().await;
    let ada = service.signed_up("ada@example.org").await;
    service.audited(1).await;
    service.backend().postgres.cut().await;

    ada.log_out().await.expect(200);
    assert_eq!(service.metric("postern_audit_events_pending").await, 1);

    service.backend().postgres.mend().await;
    let kinds: Vec<_> = service.audited(2).await.iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [EventKind::SignUp, EventKind::Logout]);
    while service.metric("postern_audit_events_pending").await != 0 {}
}
