//! What a server says of its stores, and the files that their URLs are in.

use std::fs;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::{Postern, Serving};
use crate::{
    private_redis::PrivateRedis,
    service::write_private,
    support::{empty_schema, redis_url},
};

/// The first line of the log that has such a message.
async fn logged(serving: &mut Serving, message: &str) -> Value {
    let mut log = BufReader::new(&mut serving.stderr).lines();
    loop {
        let line = log.next_line().await.expect("a line").expect("it still runs");
        let line: Value = serde_json::from_str(&line).expect("JSON");
        if line["message"].as_str().is_some_and(|text| text.contains(message)) {
            return line;
        }
    }
}

/// On PostgreSQL and this Redis, with keys and a schema.
async fn beside(redis: &str) -> Postern {
    let postern = Postern::new().with("DATABASE_URL", empty_schema().await).with("REDIS_URL", redis);
    let postern = postern.with("POSTERN_KEYS_DIR", "keys");
    assert_eq!(postern.run(&["keys", "generate"]).await.code, Some(0));
    assert_eq!(postern.run(&["migrate"]).await.code, Some(0));
    postern
}

#[tokio::test]
async fn a_redis_that_would_throw_sessions_away_is_warned_about_at_the_start() {
    let redis = PrivateRedis::start().await;
    redis.send(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]).await;
    let postern = beside(&redis.url("")).await;

    let mut serving = postern.serve().await;

    let warning = logged(&mut serving, "may lose what it keeps").await;
    assert_eq!((&warning["level"], &warning["store"]), (&"WARN".into(), &"sessions".into()));
    assert!(warning["warning"].as_str().expect("a text").contains("maxmemory-policy is allkeys-lru"), "{warning}");
}

#[tokio::test]
async fn a_redis_that_keeps_what_it_has_is_not_warned_about() {
    let postern = beside(&redis_url()).await;

    let mut serving = postern.serve().await;

    let line = logged(&mut serving, "").await;
    let mut lines = vec![line];
    while lines.last().is_some_and(|line| line["message"] != "each store has answered") {
        lines.push(logged(&mut serving, "").await);
    }
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
    serving.sign_up("ada@example.org").await;

    let users = postern.run(&["user", "list"]).await;
    assert!(users.stdout.contains("ada@example.org"), "{users:?}");
    let config = postern.run(&["config"]).await;
    assert!(config.stdout.contains("database-url"), "{config:?}");
}

#[tokio::test]
async fn a_file_of_a_url_that_is_of_no_use_is_named_and_never_quoted() {
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

    for (postern, said) in [
        (made(url, 0o644), "mode 0644: others must not read it"),
        (made("hunter2", 0o600), "right would be postgres://"),
        (both, "set together with DATABASE_URL: expected only one of them"),
        (missing, "No such file"),
    ] {
        let ended = postern.run(&["serve"]).await;
        assert_eq!(ended.code, Some(64), "{ended:?}");
        assert!(ended.stderr.contains("DATABASE_URL_FILE: ") && ended.stderr.contains(said), "{ended:?}");
        assert!(!ended.stderr.contains("hunter2"), "{ended:?}");
    }
}
