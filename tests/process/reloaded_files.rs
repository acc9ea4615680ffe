//! Files that a running server reads again.

use crate::support::{LONG, Postern, Serving, empty_schema, eventually, redis_url, write_private};

const KEY: &str = "an-api-key-that-has-32-characters";

/// The value of the label `file` and the name of each file that is made invalid here.
const FILES: [(&str, &str); 4] = [
    ("api_keys", "api-keys"),
    ("certificate", "cert.pem"),
    ("database_url", "database-url"),
    ("redis_url", "redis-url"),
];

async fn metric(serving: &Serving, file: &str) -> u64 {
    serving.metric(&format!(r#"postern_file_last_reload_successful{{file="{file}"}}"#)).await
}

/// Waits until the metrics of all files have this value.
async fn all_have(serving: &Serving, value: u64) {
    for (file, _) in FILES {
        eventually(LONG, file, async || metric(serving, file).await == value).await;
    }
}

#[tokio::test]
async fn invalid_file_is_reported_and_the_previous_content_stays() {
    // Many requests would fill the log, which nothing reads.
    let postern = Postern::new()
        .with("POSTERN_LOG", "error")
        .with("DATABASE_URL_FILE", "database-url")
        .with("REDIS_URL_FILE", "redis-url")
        .with("POSTERN_API_KEYS_FILE", "api-keys")
        .with("POSTERN_TLS_CERT", "cert.pem")
        .with("POSTERN_TLS_KEY", "key.pem")
        .with("POSTERN_KEYS_DIR", "keys");
    write_private(&postern.path("database-url"), &empty_schema().await);
    write_private(&postern.path("redis-url"), &redis_url());
    write_private(&postern.path("api-keys"), &format!("billing {KEY}\n"));
    crate::tls::make_certificate(&postern.path("cert.pem"), &postern.path("key.pem")).await;
    let postern = postern.with_keys().await.migrated().await;
    let serving = postern.serve().await;
    all_have(&serving, 1).await;

    let contents = FILES.map(|(_, name)| std::fs::read_to_string(postern.path(name)).expect("a text"));
    for (_, name) in FILES {
        write_private(&postern.path(name), "nonsense");
    }
    all_have(&serving, 0).await;
    assert_eq!(metric(&serving, "keys").await, 1);
    serving.probe("/readyz").send().await.expect(200);

    for ((_, name), text) in FILES.iter().zip(&contents) {
        write_private(&postern.path(name), text);
    }
    all_have(&serving, 1).await;
    let log = serving.stopped().await.stderr;
    assert_eq!(log.matches("failed to reload").count(), FILES.len(), "{log}");
    assert!(!log.contains("nonsense") && !log.contains(KEY), "{log}");
}
