//! One conformance suite for all stores.

#![expect(clippy::duplicate_mod, reason = "the same sentences are compiled for each backend")]

#[path = "../support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "each binary uses a part")]
mod support;

use support::{Embedded, PostgresRedis, try_sql};

/// Runs SQL in the store of users and audit events, as an intruder might.
trait Sql {
    async fn sql(&self, text: &str) -> Result<(), String>;
}

impl Sql for Embedded {
    async fn sql(&self, text: &str) -> Result<(), String> {
        self.file().execute_batch(text).map_err(|error| error.to_string())
    }
}

impl Sql for PostgresRedis {
    async fn sql(&self, text: &str) -> Result<(), String> {
        try_sql(&self.database, text).await
    }
}

#[path = "."]
mod embedded {
    pub use crate::support::Embedded as Backend;
    mod administration;
    mod attempts;
    mod audit;
    mod rotation;
    mod session_limits;
    mod sessions;
    mod suite;
    mod users;
}

#[path = "."]
mod postgres_redis {
    pub use crate::support::PostgresRedis as Backend;
    mod administration;
    mod attempts;
    mod audit;
    mod redis_keys;
    mod redis_writes;
    mod rotation;
    mod schema;
    mod session_limits;
    mod sessions;
    mod suite;
    mod users;
}
