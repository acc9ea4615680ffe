//! The data in PostgreSQL and Redis is not enough to log in.

use super::Service;
use crate::support::{PASSWORD, postgres_client, redis_connection, redis_url};

#[tokio::test]
async fn neither_store_holds_a_token_or_a_password() {
    let service = Service::start().await;
    let ada = service.signed_up("ada@example.org").await;
    let user = service.user(&ada.email).await.id;

    let users = rows(&service.backend().database, "SELECT users::text FROM users").await;
    let mut redis = redis_connection(&redis_url()).await;
    let keys: Vec<String> =
        redis::cmd("KEYS").arg(format!("session*{{{user}}}*")).query_async(&mut redis).await.expect("keys");
    let session = keys.iter().find(|key| key.starts_with("session:")).expect("a session");
    let index = keys.iter().find(|key| key.starts_with("sessions:")).expect("an index");
    let record: Vec<String> = redis::cmd("HGETALL").arg(session).query_async(&mut redis).await.expect("a record");
    let members: Vec<String> =
        redis::cmd("ZRANGE").arg(index).arg(0).arg(-1).query_async(&mut redis).await.expect("an index");

    let kept = [users, keys, record, members].concat().join("\n");
    assert!(kept.contains("ada@example.org") && kept.contains("user_agent"), "{kept}");
    for secret in [ada.tokens.access.as_str(), ada.tokens.refresh.as_str(), PASSWORD] {
        assert!(!kept.contains(secret));
    }
}

/// Returns the first column of a query, as texts.
async fn rows(url: &str, query: &str) -> Vec<String> {
    let found = postgres_client(url).await.query(query, &[]).await.expect("a valid query");
    found.iter().map(|row| row.get(0)).collect()
}
