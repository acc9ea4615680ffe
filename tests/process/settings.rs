//! Settings take effect in the server.

use serde_json::Value;

use crate::support::{PASSWORD, Postern, Proxy, redis_url, string_field};

#[tokio::test]
async fn refresh_tokens_rotate_if_set() {
    for postern in Postern::on_each_backend().await {
        let serving = postern.with("POSTERN_REFRESH_ROTATION", "on").serve().await;
        let first = serving.signed_up("ada@example.org").await;

        let api = serving.api();
        let second = api.rotated(&first).await;
        assert_eq!(api.rotated(&first).await.refresh, second.refresh);
        let third = api.rotated(&second).await;

        // The reuse of the first one ends the session.
        api.refresh(&first).send().await.expect_problem(401, "invalid_refresh_token");
        api.expect_ended(&third).await;
    }
}

#[tokio::test]
async fn refresh_tokens_do_not_rotate_by_default() {
    for postern in Postern::on_each_backend().await {
        let serving = postern.serve().await;
        let tokens = serving.signed_up("ada@example.org").await;

        assert!(serving.api().refresh(&tokens).send().await.expect(200).get("refresh").is_none());
    }
}

#[tokio::test]
async fn number_of_sessions_is_limited_as_set() {
    for postern in Postern::on_each_backend().await {
        let serving = postern.with("POSTERN_MAX_SESSIONS", "1").serve().await;
        let tokens = serving.signed_up("ada@example.org").await;

        serving.api().log_in("ada@example.org", PASSWORD).send().await.expect(200);

        serving.api().refresh(&tokens).send().await.expect_problem(401, "invalid_refresh_token");
    }
}

#[tokio::test]
async fn lifetimes_of_sessions_and_tokens_are_as_set() {
    let postern = Postern::new()
        .with("POSTERN_ACCESS_TTL", "7m")
        .with("POSTERN_REFRESH_TTL", "3h")
        .with("POSTERN_SESSION_IDLE_TTL", "20m")
        .with("POSTERN_KEYS_MAX_AGE", "15s");
    let serving = postern.serve().await;
    let tokens = serving.signed_up("ada@example.org").await;

    let file = rusqlite::Connection::open(postern.path("postern-data/postern.db")).expect("the store");
    let session = "SELECT expires - created, idle FROM sessions";
    let lives: (i64, i64) = file.query_row(session, [], |row| Ok((row.get(0)?, row.get(1)?))).expect("a session");
    assert_eq!(lives, (3 * 3_600_000, 20 * 60_000));
    let keys = serving.api().get("/.well-known/paserk.json").send().await;
    assert_eq!(keys.text("cache-control"), "public, max-age=15");
    let claims = tokens.access.split('.').nth(2).expect("a payload");
    let claims = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, claims).expect("base64url");
    let claims: Value = serde_json::from_slice(&claims[..claims.len() - 64]).expect("JSON");
    let time = |claim: &str| {
        let format = &::time::format_description::well_known::Rfc3339;
        ::time::OffsetDateTime::parse(string_field(&claims, claim), format).expect("a time")
    };
    assert_eq!(time("exp") - time("iat"), ::time::Duration::minutes(7));
}

#[tokio::test]
async fn verify_works_without_redis_if_set() {
    for (setting, status) in [("accept", 200), ("refuse", 503)] {
        let redis = Proxy::start(&redis_url()).await;
        let [_, postern] = Postern::on_each_backend().await;
        let postern =
            postern.with("REDIS_URL", redis.instead_of(&redis_url())).with("POSTERN_VERIFY_DEGRADED", setting);
        let serving = postern.serve().await;
        let tokens = serving.signed_up("ada@example.org").await;

        redis.cut().await;

        let response = serving.api().get("/verify/").bearer(&tokens.access).send().await;
        assert_eq!(response.status, status);
    }
}
