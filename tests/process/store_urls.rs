//! URLs of stores that can never work are refused before anything connects.

use crate::support::Postern;

const DATABASE: &str = "postgres://postern:hunter2@127.0.0.1:1/postern";
const REDIS: &str = "redis://:hunter2@127.0.0.1:1/0";

/// Prepares the program with these URLs.
fn with_urls(database: &str, redis: &str) -> Postern {
    Postern::new().with("DATABASE_URL", database).with("REDIS_URL", redis).with("POSTERN_KEYS_DIR", "keys")
}

#[tokio::test]
async fn config_and_serve_refuse_the_same_urls() {
    let database = |parameter: &str| format!("{DATABASE}?{parameter}");
    for (name, url, reason) in [
        (
            "DATABASE_URL",
            DATABASE.replace("hunter2", "hun@ter2"),
            "`@` in the user or the password percent-encoded, as %40",
        ),
        ("DATABASE_URL", DATABASE.replace("hunter2", "hun#ter2"), "as %23"),
        ("DATABASE_URL", database("sslmode=prefer"), "sslmode=disable, or verify-full for TLS, not `prefer`"),
        ("DATABASE_URL", database("schema=app"), "no parameter `schema`"),
        ("DATABASE_URL", database("target_session_attrs=standby"), "target_session_attrs=any, read-write or primary"),
        ("DATABASE_URL", database("sslrootcert=ca.pem"), "set POSTERN_DATABASE_CA_FILE"),
        ("DATABASE_URL", DATABASE.replace(":1/", ":0/"), "a port between 1 and 65535"),
        ("REDIS_URL", "rediss://:hunter2@127.0.0.1:1/0#insecure".to_owned(), "no `#insecure`"),
        ("REDIS_URL", REDIS.replace("hunter2", "hun/ter2"), "as %2F"),
        ("REDIS_URL", format!("{REDIS}?protocol=resp3"), "protocol=resp2"),
        ("REDIS_URL", format!("{REDIS}?frobnicate=1"), "no parameter `frobnicate`"),
        ("REDIS_URL", REDIS.replace("/0", "/-1"), "the number of a database"),
    ] {
        let (database, redis) = if name == "REDIS_URL" { (DATABASE, url.as_str()) } else { (url.as_str(), REDIS) };
        let postern = with_urls(database, redis);

        let (config, serve) = (postern.run(&["config"]).await, postern.run(&["serve"]).await);

        assert_eq!((config.code, serve.code), (Some(64), Some(64)), "{url}: {config:?} {serve:?}");
        assert_eq!(config.stderr, serve.stderr);
        let expected = format!("{name}: invalid value: expected ");
        assert!(serve.stderr.contains(&expected) && serve.stderr.contains(reason), "{serve:?}");
        assert!(!serve.stderr.contains("ter2"), "{serve:?}");
    }
}

#[tokio::test]
async fn config_accepts_every_way_to_write_a_usable_url() {
    for (database, redis) in [
        (DATABASE.to_owned(), REDIS.to_owned()),
        (DATABASE.replace("postgres:", "POSTGRESQL:"), REDIS.replace("redis:", "valkey:")),
        (DATABASE.replace("hunter2", "%40%23%2F%3F%25"), REDIS.replace("hunter2", "%40%23%2F%3F%25")),
        (format!("{DATABASE}?sslmode=disable&target_session_attrs=primary"), format!("{REDIS}?protocol=2")),
    ] {
        with_urls(&database, &redis).run(&["config"]).await.expect_done();
    }
}
