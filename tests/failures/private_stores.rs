//! Stores of the test's own, each behind a proxy, with URLs in files.

use std::{path::PathBuf, sync::Arc};

use postern::{
    clock::{Clock, ManualClock},
    rate_limit::AttemptStores,
    store::{
        StoreUrl as _,
        memory::MemoryAttempts,
        postgres::{self, PostgresStore, PostgresUrl},
        redis::{RedisStore, RedisUrl},
    },
};
use tokio::sync::Mutex;

use super::STORE_TIMEOUT;
use crate::support::{Backend, PrivatePostgres, PrivateRedis, Proxy, Stores, write_private};

/// The first password of both.
pub const FIRST: &str = "first";

/// PostgreSQL and Redis, and the proxies to them.
pub struct PrivateStores {
    pub postgres: Mutex<PrivatePostgres>,
    pub redis: Mutex<PrivateRedis>,
    pub to_postgres: Proxy,
    pub to_redis: Proxy,
    files: tempfile::TempDir,
}

impl PrivateStores {
    /// Writes URLs with these passwords to the files.
    pub async fn set_passwords(&self, postgres: &str, redis: &str) {
        let database = self.to_postgres.instead_of(&self.postgres.lock().await.url(postgres));
        write_private(&self.database_file(), &format!("{database}\n"));
        write_private(&self.redis_file(), &self.to_redis.instead_of(&self.redis.lock().await.url(redis)));
    }

    /// Writes the URL of another database of the same server to the file.
    pub async fn set_database(&self, database: &str, password: &str) {
        let url = self.postgres.lock().await.url_of(database, password);
        write_private(&self.database_file(), &self.to_postgres.instead_of(&url));
    }

    fn database_file(&self) -> PathBuf {
        self.files.path().join("database-url")
    }

    fn redis_file(&self) -> PathBuf {
        self.files.path().join("redis-url")
    }
}

impl Backend for PrivateStores {
    async fn empty() -> Self {
        let (postgres, redis) = tokio::join!(PrivatePostgres::start(), PrivateRedis::start());
        let url = postgres.url(FIRST);
        postgres::migrate(&url.parse().expect("a URL"), &|_| {}).await.expect("an empty database can be migrated");
        let (to_postgres, to_redis) = (Proxy::start(&url).await, Proxy::start(&redis.url("")).await);
        let (postgres, redis) = (Mutex::new(postgres), Mutex::new(redis));
        let files = tempfile::tempdir().expect("a temporary directory");
        let place = Self { postgres, redis, to_postgres, to_redis, files };
        place.set_passwords(FIRST, "").await;
        place
    }

    async fn open(&self, clock: Arc<ManualClock>) -> Stores {
        let database = PostgresUrl::read(&self.database_file()).expect("a URL");
        let redis = RedisUrl::read(&self.redis_file()).expect("a URL");
        let users = Arc::new(PostgresStore::new(&database, STORE_TIMEOUT).expect("a pool"));
        let redis = Arc::new(RedisStore::new(&redis, Arc::clone(&clock) as Arc<dyn Clock>).expect("an address"));
        let attempts = AttemptStores { shared: Some(redis.clone()), local: Arc::new(MemoryAttempts::new(clock)) };
        Stores {
            users: users.clone(),
            sessions: redis,
            attempts,
            audit: users.clone(),
            audit_reader: users.clone(),
            directory: users.clone(),
            user_admin: users,
        }
    }
}
