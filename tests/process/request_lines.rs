//! The requests that are logged: `POSTERN_LOG_REQUESTS`.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::Postern;

/// Nothing listens on this port.
const UNREACHABLE: [(&str, &str); 2] =
    [("DATABASE_URL", "postgres://postern@127.0.0.1:1/postern"), ("REDIS_URL", "redis://127.0.0.1:1")];

/// Sends a request of each kind to a server whose stores are unreachable. Returns the messages and statuses of its log.
async fn logged_with(setting: &str) -> BTreeSet<(String, Option<u64>)> {
    let postern = Postern::new().with("POSTERN_KEYS_DIR", "keys").with("POSTERN_LOG_REQUESTS", setting);
    let postern = UNREACHABLE.into_iter().fold(postern, |postern, (name, url)| postern.with(name, url));
    postern.run(&["keys", "generate"]).await.expect_done();
    let serving = postern.with("POSTERN_STORE_TIMEOUT", "1s").serve().await;
    serving.probe("/livez").send().await.expect(200);
    serving.probe("/nothing").send().await.expect(404);
    serving.probe("/readyz").send().await.expect(503);

    let log = serving.stopped().await.stderr;

    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    lines.map(|line| (line["message"].as_str().expect("a text").to_owned(), line["status"].as_u64())).collect()
}

/// Returns the statuses of the requests that are logged.
fn statuses(logged: &BTreeSet<(String, Option<u64>)>) -> BTreeSet<u64> {
    logged.iter().filter_map(|(_, status)| *status).collect()
}

#[tokio::test]
async fn all_requests_are_logged_with_all() {
    let logged = logged_with("all").await;

    assert_eq!(statuses(&logged), [200, 404, 503].into());
}

#[tokio::test]
async fn only_failed_requests_are_logged_with_errors() {
    let logged = logged_with("errors").await;

    assert_eq!(statuses(&logged), [503].into());
}

#[tokio::test]
async fn only_the_server_is_logged_with_none() {
    let logged = logged_with("none").await;

    assert_eq!(statuses(&logged), [].into());
    assert!(logged.iter().any(|(message, _)| message.contains("PostgreSQL")), "{logged:?}");
}
