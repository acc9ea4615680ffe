//! Warnings about stores, and files with their URLs.

use std::fs;

use crate::support::{LONG, Postern, PrivateRedis, empty_schema, redis_url, within, write_private};

/// Prepares the program on PostgreSQL and this Redis.
async fn beside(redis: &str) -> Postern {
    Postern::on(empty_schema().await, redis).with_keys().await.migrated().await
}

#[tokio::test]
async fn redis_that_may_evict_sessions_is_warned_about() {
    let redis = PrivateRedis::start().await;
    redis.send(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]).await;
    let postern = beside(&redis.url("")).await;

    let mut serving = postern.serve().await;

    let warning = serving.logged_json("may lose data").await;
    assert_eq!((&warning["level"], &warning["store"]), (&"WARN".into(), &"sessions".into()));
    assert!(warning["warning"].as_str().expect("a text").contains("maxmemory-policy is allkeys-lru"), "{warning}");
}

#[tokio::test]
async fn redis_without_eviction_is_not_warned_about() {
    let postern = beside(&redis_url()).await;

    let mut serving = postern.serve().await;

    let mut lines = vec![serving.logged_json("").await];
    let reading = async {
        while lines.last().is_some_and(|line| line["message"] != "all stores responded") {
            lines.push(serving.logged_json("").await);
        }
    };
    within(LONG, "all stores respond", reading).await;
    assert!(lines.iter().all(|line| line["level"] == "INFO"), "{lines:?}");
}

#[tokio::test]
async fn urls_may_be_in_files_for_every_command() {
    let keys = "keys";
    let postern = Postern::new()
        .with("DATABASE_URL_FILE", "database-url")
        .with("REDIS_URL_FILE", "redis-url")
        .with("POSTERN_KEYS_DIR", keys);
    write_private(&postern.path("database-url"), &format!("{}\n", empty_schema().await));
    write_private(&postern.path("redis-url"), &redis_url());

    for arguments in [&["keys", "generate"][..], &["migrate"]] {
        assert_eq!(postern.run(arguments).await.code, Some(0), "{arguments:?}");
    }
    let serving = postern.serve().await;
    serving.signed_up("ada@example.org").await;

    let users = postern.run(&["user", "list"]).await;
    assert!(users.stdout.contains("ada@example.org"), "{users:?}");
    let config = postern.run(&["config"]).await;
    assert!(config.stdout.contains("database-url"), "{config:?}");
}

#[tokio::test]
async fn unusable_url_file_is_named_and_never_quoted() {
    let made = |text: &str, mode: u32| {
        let postern = Postern::new().with("DATABASE_URL_FILE", "database-url").with("POSTERN_KEYS_DIR", "keys");
        let postern = postern.with("REDIS_URL", redis_url());
        write_private(&postern.path("database-url"), text);
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
        fs::set_permissions(postern.path("database-url"), permissions).expect("ours");
        postern
    };
    let url = "postgres://postern:hunter2@localhost/postern";
    let both = made(url, 0o600).with("DATABASE_URL", url);
    let missing = made(url, 0o600).with("DATABASE_URL_FILE", "nothing");

    for (postern, output) in [
        (made(url, 0o644), "mode 0644: others must not read it"),
        (made("hunter2", 0o600), "expected postgres://"),
        (both, "set together with DATABASE_URL: expected only one of them"),
        (missing, "No such file"),
    ] {
        let ended = postern.run(&["serve"]).await;
        assert_eq!(ended.code, Some(64), "{ended:?}");
        assert!(ended.stderr.contains("DATABASE_URL_FILE: ") && ended.stderr.contains(output), "{ended:?}");
        assert!(!ended.stderr.contains("hunter2"), "{ended:?}");
    }
}
