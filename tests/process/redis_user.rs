//! The program with the user of Redis that docs/configuration.md describes, and with fewer permissions.

use crate::support::{PASSWORD, Postern, PrivateRedis, Tokens, empty_schema};

/// Prepares the program on a Redis of its own, with the documented user.
async fn with_documented_user() -> (PrivateRedis, Postern) {
    let redis = PrivateRedis::start().await;
    let url = redis.create_documented_user().await;
    (redis, Postern::on(empty_schema().await, url).with_keys().await.migrated().await)
}

#[tokio::test]
async fn documented_user_of_redis_may_do_everything() {
    let (redis, postern) = with_documented_user().await;
    let serving = postern.with("POSTERN_REFRESH_ROTATION", "on").serve().await;
    serving.ready().await;
    let api = serving.api();

    let tokens = serving.signed_up("ada@example.org").await;
    api.log_in("ada@example.org", "wrong_password").send().await.expect(401);
    let other = api.logged_in("ada@example.org", PASSWORD).await;
    let tokens = Tokens::of(&api.refresh(&tokens).send().await.expect(200));
    api.expect_valid(&tokens).await;
    api.sessions(&tokens).send().await.expect(200);
    api.log_out(&other).send().await.expect(200);
    api.change_password(&api.logged_in("ada@example.org", PASSWORD).await, PASSWORD, "another_password")
        .send()
        .await
        .expect(200);

    let stopped = serving.stopped().await;
    assert_eq!(stopped.code, Some(0));
    assert!(!stopped.stderr.contains("permission"), "{}", stopped.stderr);
    let denied: Vec<redis::Value> = redis.query(&["ACL", "LOG"]).await;
    assert_eq!(denied, []);
}

#[tokio::test]
async fn command_that_redis_denies_to_a_script_is_logged_by_name() {
    let (redis, postern) = with_documented_user().await;
    let mut serving = postern.serve().await;
    serving.ready().await;
    redis.send(&["ACL", "SETUSER", "postern", "-zcard"]).await;

    serving.api().sign_up("ada@example.org").send().await.expect(500);

    serving.logged("ZCARD in the script session.open").await;
}

#[tokio::test]
async fn denied_command_or_key_at_the_start_is_logged_by_name() {
    for (permission, part) in
        [("-evalsha", "'evalsha'"), ("-ping", "'ping'"), ("-select", "'select'"), ("resetkeys", "~sessions:*")]
    {
        let (redis, postern) = with_documented_user().await;
        redis.send(&["ACL", "SETUSER", "postern", permission]).await;

        let mut serving = postern.serve().await;

        let line = serving.logged("store is not usable").await;
        assert!(line.contains(part) && line.contains("Redis is misconfigured"), "{permission}: {line}");
        serving.probe("/readyz").send().await.expect(503);
    }
}
