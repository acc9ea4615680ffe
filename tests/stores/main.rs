//! One conformance suite for all stores.

#![expect(clippy::duplicate_mod, reason = "the same sentences are compiled for each backend")]

#[path = "../support/mod.rs"]
#[expect(dead_code, unused_imports, reason = "each binary uses a part")]
mod support;

use std::{any::Any, sync::Arc};

use postern::{
    clock::{Clock, ManualClock},
    store::{
        AttemptStore, UserImport, memory::MemoryAttempts, postgres::PostgresUserImport, redis::RedisStore,
        sqlite::DataDirectory,
    },
};

use support::{Embedded, LONG, PostgresRedis, PrivateRedis, eventually_some, try_sql};

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

/// Opens an import of users, and waits until a former one has ended.
trait OpenImport {
    async fn open_import(&self) -> Box<dyn UserImport>;
}

impl OpenImport for Embedded {
    async fn open_import(&self) -> Box<dyn UserImport> {
        let directory = DataDirectory::existing(self.0.path()).expect("the fixture has opened it");
        let store = directory.store_beside_server(Arc::new(ManualClock::default())).expect("the store opens");
        Box::new(eventually_some(LONG, "no other import runs", async || store.user_import().expect("an import")).await)
    }
}

impl OpenImport for PostgresRedis {
    async fn open_import(&self) -> Box<dyn UserImport> {
        let url = self.database.parse().expect("a URL");
        let open = async || PostgresUserImport::open(&url).await.expect("an import");
        Box::new(eventually_some(LONG, "no other import runs", open).await)
    }
}

/// Opens a store of attempts of its own that holds at most 256 buckets, and what it needs while it is used.
trait SmallAttempts {
    async fn small_attempts(clock: Arc<ManualClock>) -> (Arc<dyn AttemptStore>, Box<dyn Any + Send>);
}

impl SmallAttempts for Embedded {
    async fn small_attempts(clock: Arc<ManualClock>) -> (Arc<dyn AttemptStore>, Box<dyn Any + Send>) {
        (Arc::new(MemoryAttempts::new(clock).with_max_buckets(256)), Box::new(()))
    }
}

impl SmallAttempts for PostgresRedis {
    async fn small_attempts(clock: Arc<ManualClock>) -> (Arc<dyn AttemptStore>, Box<dyn Any + Send>) {
        let redis = PrivateRedis::start().await;
        let url = redis.socket_url().parse().expect("a URL");
        let store = RedisStore::new(&url, clock as Arc<dyn Clock>).expect("an address");
        (Arc::new(store.with_max_buckets(256)), Box::new(redis))
    }
}

#[path = "."]
mod embedded {
    pub use crate::support::Embedded as Backend;
    mod administration;
    mod administrators;
    mod attempts;
    mod audit;
    mod audit_pages;
    mod directory;
    mod directory_search;
    mod imported_hashes;
    mod rotation;
    mod session_limits;
    mod sessions;
    mod statistics;
    mod suite;
    mod user_admin;
    mod user_export;
    mod user_import;
    mod users;
}

#[path = "."]
mod postgres_redis {
    pub use crate::support::PostgresRedis as Backend;
    mod administration;
    mod administrators;
    mod attempts;
    mod audit;
    mod audit_pages;
    mod directory;
    mod directory_search;
    mod imported_hashes;
    mod postgres_administrators;
    mod query_plans;
    mod redis_attempts;
    mod redis_keys;
    mod redis_user;
    mod redis_writes;
    mod rotation;
    mod schema;
    mod session_limits;
    mod sessions;
    mod statistics;
    mod suite;
    mod user_admin;
    mod user_export;
    mod user_import;
    mod users;
}
